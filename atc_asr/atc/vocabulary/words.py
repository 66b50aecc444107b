"""The words of air traffic control: digits, letters, numbers in groups and aircraft types.

Used by the synthetic corpus, call sign boosting and scoring. Sources: FAA Order JO 7110.65, chapter 2,
section 4 (radio alphabet, group-form numbers); ICAO Annex 10, volume II (spoken digits).
"""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = tuple("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
RADIO_DIGITS = {"nine": "niner", "three": "tree", "five": "fife"}
ALPHABET = tuple(
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey xray yankee zulu".split()
)
PHONETIC = {word[0].upper(): word for word in ALPHABET}
AIRCRAFT = ("cessna", "cirrus", "skyhawk", "bonanza", "cherokee")


def is_tail(icao: str) -> bool:
    """Whether a call sign is a US registration (`N` and a digit), not a flight of an airline."""
    return icao[0] == "N" and icao[1].isdigit()


def two_digit_words(number: int) -> str:
    """10 to 99: `forty five`."""
    if number < 20:
        return TEENS[number - 10]
    tens = TENS[number // 10 - 2]
    return f"{tens} {DIGITS[number % 10]}" if number % 10 else tens


def group_words(number: int) -> str:
    """1 to 9999 in group form: 686 `six eighty six`, 2104 `twenty one oh four`, 500 `five hundred`."""
    if number < 10:
        return DIGITS[number]
    if number < 100:
        return two_digit_words(number)
    head, pair = divmod(number, 100)
    if pair == 0:
        return f"{group_words(head)} hundred"
    return f"{group_words(head)} oh {DIGITS[pair]}" if pair < 10 else f"{group_words(head)} {two_digit_words(pair)}"
