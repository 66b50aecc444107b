"""The exception for errors that a user can mend, and how a message is shown."""

import re

MAX_MESSAGE = 1000  # characters of a message
MAX_VALUE = 200  # characters of a value in a message
_GOT = re.compile(rf"(\bgot .{{{MAX_VALUE}}})(.+(?=, wanted )|.+)", re.DOTALL)
_WORD = re.compile(rf"(\S{{{MAX_VALUE * 3 // 4}}})\S+(\S{{{MAX_VALUE // 4}}})")


class InputError(Exception):
    """Unusable input. The message is one line, `where: what, got, wanted`; `cli.enter` prints it and exits with 2."""


def printable(message: str) -> str:
    """A message on one line that shows the content of untrusted files safely on a terminal.

    Line breaks, control characters, escape sequences and marks that change the direction of text are escaped. Of a
    value at most `MAX_VALUE` characters are shown, of a message `MAX_MESSAGE`, before they are escaped.
    """
    if len(message) > MAX_VALUE:
        message = _WORD.sub(r"\1…\2", _GOT.sub(r"\1…", message))
    if len(message) > MAX_MESSAGE:
        message = f"{message[: MAX_MESSAGE * 3 // 4]} … {message[-MAX_MESSAGE // 4 :]}"
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)
