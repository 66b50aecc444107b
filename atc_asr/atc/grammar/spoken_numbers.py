"""Spoken numbers: from words to digits, in group form or digit by digit.

SIX EIGHTY SIX is 686, TWENTY ONE OH FOUR 2104, ONE TWENTY FOUR POINT SIX FIVE 124.65, ONE ZERO THOUSAND 10000 (FAA
Order JO 7110.65, section 2-4-17 to 2-4-18; ICAO Doc 9432, section 2.4). Words are upper case.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from atc_asr.atc.vocabulary import words as vocabulary

# Word -> digits, with pronunciations and spellings of transcribers.
DIGITS = {word.upper(): str(digit) for digit, word in enumerate(vocabulary.DIGITS)} | {
    "OH": "0", "O": "0", "NOUGHT": "0", "WUN": "1", "TREE": "3", "FOWER": "4", "FIFE": "5", "NINER": "9",
}  # fmt: skip
TEENS = {word.upper(): str(number) for number, word in enumerate(vocabulary.TEENS, start=10)}
TENS = {word.upper(): str(digit) for digit, word in enumerate(vocabulary.TENS, start=2)} | {"FOURTY": "4"}
Multiplier = Literal["hundred", "thousand"]
MULTIPLIERS: dict[str, Multiplier] = {"HUNDRED": "hundred", "THOUSAND": "thousand", "TOUSAND": "thousand"}
POINTS = frozenset({"POINT", "DECIMAL", "DAYSEEMAL"})
REPEATS = {"DOUBLE": 2, "TRIPLE": 3}
NUMBER_WORDS = frozenset([*DIGITS, *TEENS, *TENS, *MULTIPLIERS, *POINTS])
MAX_RUN = 40  # numerals; keeps the time for a recogniser that repeats itself linear
WRITTEN = re.compile(r"(\d+)(?:\.(\d+))?")
WRITTEN_WITH_LETTERS = re.compile(r"(\d{1,4})([A-Z]{1,2})")
WRITTEN_SIDES = {"L": "LEFT", "R": "RIGHT", "C": "CENTER"}


class Numeral(NamedTuple):
    """One element of a spoken number: digits of one group (`86`), or a multiplier or point without digits."""

    kind: Literal["digits", "hundred", "thousand", "point"]
    digits: str
    end: int  # position after its last word


def word_at(words: Sequence[str], position: int) -> str:
    """The word at a position, an empty string outside of the utterance."""
    return words[position] if 0 <= position < len(words) else ""


def is_number_word(word: str) -> bool:
    """Whether a word is (part of) a number, spoken or written."""
    return word in NUMBER_WORDS or WRITTEN.fullmatch(word) is not None


def read_run(words: Sequence[str], start: int) -> list[Numeral]:
    """The longest run of numerals from position `start`; empty where no number begins.

    The readers of an utterance ask for the same run several times: `Words` keeps the runs in its attribute `runs`.
    """
    if start >= len(words) or not (
        words[start] in NUMBER_WORDS or words[start] in REPEATS or words[start][:1].isdigit()
    ):
        return []
    known: dict[int, list[Numeral]] = getattr(words, "runs", {})
    if start not in known:
        known[start] = _read_run(words, start)
    return known[start]


def _read_run(words: Sequence[str], start: int) -> list[Numeral]:
    run: list[Numeral] = []
    position = start
    while position < len(words) and len(run) < MAX_RUN:
        # TWO HUNDRED AND TEN
        joined = bool(run) and run[-1].kind in ("hundred", "thousand") and words[position] == "AND"
        found = _read_numeral(words, position + joined, first=not run) if position + joined < len(words) else []
        if not found or (joined and found[0].kind != "digits"):
            break
        run += found
        position = run[-1].end
    while run and run[-1].kind == "point":
        run.pop()
    return run


def _read_numeral(words: Sequence[str], position: int, *, first: bool) -> list[Numeral]:
    word, end = words[position], position + 1
    following = word_at(words, end)
    if word in TENS:
        unit = DIGITS.get(following, "0") if following not in ("OH", "O") else "0"
        # TWENTY ONE is one numeral, TWENTY ZERO are two.
        return [Numeral("digits", TENS[word] + unit, end + (unit != "0"))]
    if word in TEENS:
        return [Numeral("digits", TEENS[word], end)]
    if word in DIGITS:
        if word in ("OH", "O") and (following == "CLOCK" or (first and not is_number_word(following))):
            return []
        return [Numeral("digits", DIGITS[word], end)]
    if word in REPEATS and following in DIGITS:
        return [Numeral("digits", DIGITS[following], end + 1)] * REPEATS[word]
    if word in MULTIPLIERS and not first:
        return [Numeral(MULTIPLIERS[word], "", end)]
    if word in POINTS and is_number_word(following) and following not in POINTS:
        return [Numeral("point", "", end)]
    written = WRITTEN.fullmatch(word)
    if written is None:
        return []
    if len(written[1]) <= 2 and not written[2] and re.fullmatch(r"\d00", following):  # 10,000 without its comma
        hundreds = [Numeral("digits", following[0], end + 1), Numeral("hundred", "", end + 1)]
        return [
            Numeral("digits", written[1], end),
            Numeral("thousand", "", end + 1),
            *hundreds[: 2 * (following[0] != "0")],
        ]
    decimals = [Numeral("point", "", end), Numeral("digits", written[2], end)] if written[2] else []
    return [Numeral("digits", written[1], end), *decimals]


def join_digits(run: Sequence[Numeral]) -> str | None:
    """The digits of a run: 6, 86 -> `686`; 12, hundred -> `1200`; None for a run with a point or without digits.

    FIVE HUNDRED TWELVE is 512: at most two digits can follow HUNDRED, three THOUSAND.
    """
    text = ""
    for index, numeral in enumerate(run):
        if numeral.kind == "digits":
            text += numeral.digits
            continue
        if numeral.kind == "point" or not text:
            return None
        width = 2 if numeral.kind == "hundred" else 3
        rest = join_digits(run[index + 1 :]) if run[index + 1 :] else ""
        return None if rest is None or len(rest) > width else text + rest.rjust(width, "0")
    return text or None


def join_value(run: Sequence[Numeral]) -> int | None:
    """The value of a run: 1, 0, thousand, 5, hundred -> 10500; None where it is not one number.

    A number said twice counts once: ONE ZERO TEN THOUSAND is 10000 (FAA Order JO 7110.65, section 2-4-17 a 3).
    """
    kinds = [numeral.kind for numeral in run]
    if "point" in kinds or kinds.count("thousand") > 1 or kinds.count("hundred") > 1:
        return None
    for kind, factor in (("thousand", 1000), ("hundred", 100)):
        if kind in kinds:
            at = kinds.index(kind)
            head = _plain_value(run[:at])
            rest = join_value(run[at + 1 :]) if run[at + 1 :] else 0
            return None if head is None or rest is None or rest >= factor else head * factor + rest
    return _plain_value(run)


def _plain_value(run: Sequence[Numeral]) -> int | None:
    """The value of a run of digits; a number said digit by digit and again in group form counts once."""
    text = "".join(numeral.digits for numeral in run)
    if not text:
        return None
    said_twice = len(text) == 4 and text[:2] == text[2:] and len(run) == 3 and len(run[-1].digits) == 2
    return int(text[2:] if said_twice else text)


def fold_digits(words: Sequence[str]) -> list[str]:
    """Replace digit words by digits: NINER, NINE and 9 become `9`; group form is unchanged."""
    folded: list[str] = []
    for position, word in enumerate(words):
        if spelled := _spell_written(words, position):
            folded += spelled
        elif written := WRITTEN.fullmatch(word):
            folded += [*written[1]] + (["POINT", *written[2]] if written[2] else [])
        elif word in POINTS:
            folded.append("POINT")
        else:
            folded.append(DIGITS.get(word, word) if word != "O" else word)
    return folded


def _spell_written(words: Sequence[str], position: int) -> list[str]:
    """27G as 2 7 GOLF, and after RUNWAY 26R as 2 6 RIGHT; empty for other words."""
    written = WRITTEN_WITH_LETTERS.fullmatch(words[position])
    if written is None:
        return []
    letters = [vocabulary.PHONETIC[letter].upper() for letter in written[2]]
    is_side = word_at(words, position - 1) == "RUNWAY" and written[2] in WRITTEN_SIDES
    return [*written[1], *([WRITTEN_SIDES[written[2]]] if is_side else letters)]


def fold_groups(words: Sequence[str]) -> list[str]:
    """Replace numbers by their digits: SIX EIGHTY SIX and SIX EIGHT SIX become `6 8 6`."""
    folded: list[str] = []
    position = 0
    while position < len(words):
        run = read_run(words, position)
        folded += _spell(run) if run else _spell_written(words, position) or [words[position]]
        position = run[-1].end if run else position + 1
    return folded


def _spell(run: Sequence[Numeral]) -> list[str]:
    spelled: list[str] = []
    for is_point, numerals in itertools.groupby(run, key=lambda numeral: numeral.kind == "point"):
        part = list(numerals)
        value = join_value(part) if any(numeral.kind != "digits" for numeral in part) else None
        text = str(value) if value is not None else "".join(numeral.digits for numeral in part)
        spelled += ["POINT"] if is_point else [*text]
    return spelled
