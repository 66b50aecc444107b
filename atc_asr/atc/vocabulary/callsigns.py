"""Call signs in ICAO form: flights (`DAL1234`), registrations of all countries without hyphen (`N123AB`, `OKPMB`)."""

import re

FLIGHT = re.compile(r"([A-Z]{3})0*(\d[0-9A-Z]{0,4})")  # ICAO Annex 10 volume II, 5.2.1.7.2.1: type c
# Nationality marks (ICAO Annex 7 and its supplements) before four and before three letters.
MARKS_BEFORE_4 = "[CDFGIM2]"
MARKS_BEFORE_3 = (
    "3A 3B 3C 3D 3X 4K 4L 4O 4R 4W 4X 5A 5B 5H 5N 5R 5T 5U 5V 5W 5X 5Y 6O 6V 6Y 7O 7P 7Q 7T 8P 8Q 8R 9A 9G 9H 9J "
    "9K 9L 9M 9N 9Q 9S 9U 9V 9Y A2 A3 A5 A6 A7 AP B C2 C3 C5 C6 C9 CC CN CP CS D2 D4 D6 DQ E3 E5 E7 EC EI EK EP "
    "ER ES ET EX EY EZ F H4 HA HB HC HH HI HP HR HS HZ J2 J3 J5 J6 J7 J8 JY LN LV LX LY LZ OB OD OE OK OM OO OY "
    "P2 P4 PH PK PP PR PS PT PU PZ RDPL RP S2 S5 S7 S9 SE SP ST SU SX T2 T3 T7 T8 TC TF TG TI TJ TL TN TR TS TT "
    "TU TY TZ UR V2 V3 V4 V5 V6 V7 V8 VH VP VQ VT XA XB XC XT XU XW XY YA YI YJ YK YL YN YR YS YU Z3 ZA ZB ZK ZP "
    "ZS ZT ZU"
).split()
WITH_DIGITS = (
    r"JA(?:\d{4}|\d{3}[A-Z]|\d{2}[A-Z]{2})", r"HL\d{4}", r"B\d(?:[0-9A-Z]{3}|\d{4})", r"R[AF]\d{5}", r"U[KR]\d{5}",
    r"EW\d{3}[A-Z]{2}", r"VNA\d{3}", r"HK\d{4}[A-Z]?", r"RPC\d{4}",
)  # fmt: skip
UNITED_STATES = re.compile(r"N[1-9](?:\d{0,4}|\d{0,3}[A-HJ-NP-Z]|\d{0,2}[A-HJ-NP-Z]{2})")  # 14 CFR 47.15
OTHER_STATES = re.compile(
    "|".join((f"{MARKS_BEFORE_4}[A-Z]{{4}}", f"(?:{'|'.join(MARKS_BEFORE_3)})[A-Z]{{3}}", *WITH_DIGITS))
)
SHORT_LENGTH = 3  # characters of a shortened registration (ICAO Annex 10 volume II, 5.2.1.7.2.2; AIM 4-2-4)


def icao_form(text: str) -> str | None:
    """A call sign in upper case without padding, hyphens and leading zeros (`AAL22`); None if it is none."""
    plain = re.sub(r"[\s-]", "", text).upper()
    if is_registration(plain):
        return plain
    flight = FLIGHT.fullmatch(plain)
    return f"{flight[1]}{flight[2]}" if flight else None


def is_registration(callsign: str) -> bool:
    """Whether a call sign in ICAO form is a registration, not a flight."""
    return bool(UNITED_STATES.fullmatch(callsign) or OTHER_STATES.fullmatch(callsign))


def is_short_form(short: str, whole: str) -> bool:
    """Whether `short`, as the grammar reads it, is a short form of the call sign `whole`.

    A flight keeps its operator and ends alike; a registration keeps its first character, or its two-letter nationality
    mark, or nothing (`*5AB`, or the letters after the type of the aircraft), and ends alike.
    """
    if short == whole:
        return True
    if short.startswith("*"):
        return whole.endswith(short[1:])
    if FLIGHT.fullmatch(whole) and not OTHER_STATES.fullmatch(whole):
        return len(short) >= 5 and short[3:].isalpha() and short[:3] == whole[:3] and whole.endswith(short[3:])
    if len(short) == 2:
        return whole.endswith(short)
    tail = short[1:]
    is_us = short[0] == "N" and len(tail) == SHORT_LENGTH
    is_other = len(short) == SHORT_LENGTH and whole[0] == short[0]
    return (is_us and whole[0] == "N" and whole.endswith(tail)) or (
        is_other and (whole.endswith(tail) or (whole[1] == short[1] and whole[-1] == short[-1]))
    )
