"""Text normalisation, one function for references and hypotheses.

What it does, in this order: apostrophes are removed (`we're` becomes WERE, which is also a word: the exporter counts
such collisions), Unicode is folded (NFKC, accents off, digits of any script to 0-9), letters become upper case,
bracketed and angle marks such as `[noise]`, `(unintelligible)` and `<hes>` go with what is in them, and everything
that is not a letter, a digit, `.` or `/` becomes a space; runs of spaces become one.
"""

import re
import unicodedata

VERSION = "1"
DEEPEST_MARK = 20  # brackets in brackets; a bound, so that no text takes quadratic time
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./ "

# ´ and its kin must go before NFKC, which turns them into a space and an accent
APOSTROPHES = "'’‘‛`´ʼʹʻ′＇"
_NO_APOSTROPHES = str.maketrans("", "", APOSTROPHES)
# letters that Unicode does not decompose, and the slashes that NFKC makes of fractions
_FOLDS = str.maketrans({"Æ": "AE", "Œ": "OE", "Ø": "O", "Đ": "D", "Ð": "D", "Ł": "L", "Þ": "TH", "⁄": "/", "∕": "/"})
_MARK = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|<[^<>]*>|\{[^{}]*\}")
_OUTSIDE = re.compile(r"[^A-Z0-9./]+")
_WORD = re.compile(rf"[\w{APOSTROPHES}]+")


def fold(text: str) -> str:
    """Upper case in plain letters and digits where Unicode has a plain form; the rest is left as it is."""
    text = text.translate(_NO_APOSTROPHES)
    if text.isascii():
        return text.upper()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).upper())
    plain = (_plain_digit(char) for char in text if not unicodedata.combining(char))
    return "".join(plain).translate(_FOLDS).translate(_NO_APOSTROPHES)


def _plain_digit(char: str) -> str:
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)


def without_marks(text: str) -> str:
    """Text with its bracketed and angle marks replaced by spaces, innermost first."""
    for _ in range(DEEPEST_MARK):
        shorter = _MARK.sub(" ", text)
        if shorter == text:
            break
        text = shorter
    return text


def normalize(text: str) -> str:
    """The text as manifests hold it and as scores compare it; idempotent.

    Returns:
        Words of `ALPHABET`, single spaces between them; "" when nothing is left.
    """
    return _OUTSIDE.sub(" ", without_marks(fold(text))).strip()


def foreign_characters(text: str) -> str:
    """Letters and digits of `text` that have no form in the alphabet, so that `normalize` would lose them."""
    left = without_marks(fold(text))
    if left.isascii():
        return ""
    return "".join(char for char in left if not char.isascii() and unicodedata.category(char)[0] in "LN")


def apostrophe_words(text: str) -> list[str]:
    """The normalised forms of the words that `normalize` takes an apostrophe from; a quotation mark is none."""
    if not any(char in text for char in APOSTROPHES):
        return []
    words = (word.lstrip(APOSTROPHES) for word in _WORD.findall(without_marks(text)))
    return [normalize(word) for word in words if any(char in word for char in APOSTROPHES)]
