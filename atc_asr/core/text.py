"""Text normalisation of references and hypotheses.

The steps, in this order:
1. Apostrophes are removed. `we're` becomes WERE, which is also a word; the export counts such collisions.
2. Unicode is folded: NFKC, accents removed, digits of any script to 0-9, upper case.
3. Bracketed marks such as `[noise]`, `(unintelligible)` and `<hes>` are removed together with their content.
   A corpus whose brackets hold speech has its own convention (`atc_asr.corpus.conventions`), applied before.
4. Everything but letters, digits, `.` and `/` becomes a space; runs of spaces become one.
5. `.` and `/` stay inside a word (`118.7`, `1/2`) and as the point of a decimal (`.5`); elsewhere they are no speech.
"""

import re
import unicodedata

VERSION = "2"
MAX_NESTING = 20  # depth of nested brackets; the limit keeps the run time linear
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./ "

# Removed before NFKC, which turns ´ and similar characters into a space and an accent.
APOSTROPHES = "'’‘‛`´ʼʹʻ′＇"
_NO_APOSTROPHES = str.maketrans("", "", APOSTROPHES)
# Letters that Unicode does not decompose, and the slashes that NFKC makes of fractions.
_FOLDS = str.maketrans({"Æ": "AE", "Œ": "OE", "Ø": "O", "Đ": "D", "Ð": "D", "Ł": "L", "Þ": "TH", "⁄": "/", "∕": "/"})
MARK = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|<[^<>]*>|\{[^{}]*\}")
# Characters outside of the alphabet, pauses (`..`), and `.` and `/` at the ends of words.
_OUTSIDE = re.compile(r"(?:[^A-Z0-9./]|[./]{2,}|(?<![A-Z0-9])(?:/|\.(?![0-9]))|[./](?![A-Z0-9]))+")
_WORD = re.compile(rf"[\w{APOSTROPHES}]+")
_NORMALIZED = re.compile("[A-Z0-9]+(?: [A-Z0-9]+)*")  # most texts are; checking takes a tenth of the time


def fold(text: str) -> str:
    """Upper case without accents and apostrophes; characters without a plain form stay as they are."""
    text = text.translate(_NO_APOSTROPHES)
    if text.isascii():
        return text.upper()
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).upper())
    plain = (str(unicodedata.decimal(char, char)) for char in text if not unicodedata.combining(char))
    return "".join(plain).translate(_FOLDS).translate(_NO_APOSTROPHES)


def without_marks(text: str) -> str:
    """Text with its bracketed marks replaced by spaces, innermost first."""
    for _ in range(MAX_NESTING):
        shorter = MARK.sub(" ", text)
        if shorter == text:
            break
        text = shorter
    return text


def normalize(text: str) -> str:
    """Normalise a text as described at the top of this module; idempotent.

    Returns:
        Words of `ALPHABET` separated by single spaces; "" when nothing is left.
    """
    return text if _NORMALIZED.fullmatch(text) else _OUTSIDE.sub(" ", without_marks(fold(text))).strip()


def foreign_characters(text: str) -> str:
    """Letters and digits of `text` that have no plain form, so that `normalize` removes them."""
    left = without_marks(fold(text))
    if left.isascii():
        return ""
    return "".join(char for char in left if not char.isascii() and unicodedata.category(char)[0] in "LN")


def apostrophe_words(text: str) -> list[str]:
    """Normalised forms of the words that lose an apostrophe; quotation marks before a word do not count."""
    if not any(char in text for char in APOSTROPHES):
        return []
    words = (word.lstrip(APOSTROPHES) for word in _WORD.findall(without_marks(text)))
    return [normalize(word) for word in words if any(char in word for char in APOSTROPHES)]
