"""The exception for everything a user can mend."""


class InputError(Exception):
    """Input that cannot be used: the message is one line that says where, what, got and wanted.

    `atc_asr.core.cli.enter` prints it and exits with 2.
    """
