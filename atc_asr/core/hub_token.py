"""The Hugging Face Hub token: sent to the Hub, never logged or written."""

import logging
import os

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGINGFACE_TOKEN")
MAX_MESSAGE_LENGTH = 300  # characters kept of another library's error message


def read_token() -> str | None:
    """The Hub token from the environment, or from `.env` in the working directory; None when neither has one."""
    from dotenv import dotenv_values

    values = {**dotenv_values(".env"), **os.environ}
    # A trailing line break, as some shells leave in "$(cat file)", is not valid in an HTTP header.
    tokens = ((values.get(name) or "").strip() for name in TOKEN_VARIABLES)
    return next(filter(None, tokens), None)


def silence_http_log() -> None:
    """Switch off the log of URLs in the Hub's HTTP clients; signed URLs are secret."""
    for client in ("httpx", "httpx2"):
        logging.getLogger(client).setLevel(logging.WARNING)


def one_line(error: BaseException, secret: str | None = None) -> str:
    """An error's message on one line, shortened, with `secret` replaced by `***`."""
    text = " ".join(str(error).split())
    # The secret is replaced before shortening, which could otherwise leave a part of it.
    return (text.replace(secret, "***") if secret else text)[:MAX_MESSAGE_LENGTH]
