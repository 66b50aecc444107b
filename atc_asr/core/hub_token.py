"""The Hugging Face Hub token: sent to the Hub, never logged or written."""

import logging
import os
import re
from pathlib import Path

from atc_asr.core.errors import InputError

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGINGFACE_TOKEN")
MAX_MESSAGE_LENGTH = 300  # characters kept of another library's error message


def read_token() -> str | None:
    """The Hub token from the environment, or from `.env` in the working directory; None when neither has one.

    DVC runs queued and temporary experiments in a copy of the repository below `.dvc/tmp`, without `.env`: there the
    file is looked for in the repository too.

    Raises:
        InputError: the token has a character that no HTTP header can have; the message does not contain it.
    """
    from dotenv import dotenv_values

    here = Path.cwd()
    owners = (folder.parents[1] for folder in here.parents if folder.parts[-2:] == (".dvc", "tmp"))
    values: dict[str, str | None] = {}
    for folder in (*owners, here):
        try:
            values |= dotenv_values(folder / ".env")
        except UnicodeDecodeError:
            raise InputError(f"{folder / '.env'}: is not UTF-8 text") from None  # the error has the file's content
    values |= os.environ
    for name in TOKEN_VARIABLES:
        # Some shells leave a line break at the end of "$(cat file)".
        token = (values.get(name) or "").strip()
        if re.search(r"[^!-~]", token):
            raise InputError(f"{name}: has a line break, a space or another character that no token has")
        if token:
            return token
    return None


def silence_http_log() -> None:
    """Switch off the log of URLs in the Hub's HTTP clients; signed URLs are secret."""
    for client in ("httpx", "httpx2"):
        logging.getLogger(client).setLevel(logging.WARNING)


def one_line(error: BaseException, secret: str | None = None) -> str:
    """An error's message on one line, shortened, with `secret` replaced by `***`."""
    text = " ".join(str(error).split())
    # The secret is replaced before shortening, which could otherwise leave a part of it.
    return (text.replace(secret, "***") if secret else text)[:MAX_MESSAGE_LENGTH]
