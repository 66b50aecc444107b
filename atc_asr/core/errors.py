"""The exception for errors that a user can mend."""


class InputError(Exception):
    """Unusable input. The message is one line, `where: what, got, wanted`; `cli.enter` prints it and exits with 2."""
