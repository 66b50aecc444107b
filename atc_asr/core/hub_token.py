"""The Hub's token: read here, sent to the Hub, written nowhere."""

import os

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGINGFACE_TOKEN")
LONGEST_REASON = 300  # characters of another library's message


def read_token() -> str | None:
    """The Hub token from the environment, or from `.env` in the working folder; it goes to the Hub and nowhere else."""
    from dotenv import dotenv_values

    values = {**dotenv_values(".env"), **os.environ}
    # stripped: a line break at its end, as `$(cat file)` in other shells leaves it, is no part of a header
    tokens = ((values.get(name) or "").strip() for name in TOKEN_VARIABLES)
    return next(filter(None, tokens), None)


def one_line(error: BaseException, secret: str | None = None) -> str:
    """An error's text on one line, cut, without the secret."""
    text = " ".join(str(error).split())
    # the secret goes before the text is cut, which could leave the half of it
    return (text.replace(secret, "***") if secret else text)[:LONGEST_REASON]
