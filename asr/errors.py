"""The one exception a user can cause."""


class InputError(Exception):
    """What the user gave cannot be used.

    The message is one line: where, what, got, wanted. `asr.door` prints it and exits with 2.
    """
