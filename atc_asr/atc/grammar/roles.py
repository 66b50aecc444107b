"""Controller or pilot: who speaks, from the phraseology of a transmission.

A controller begins with the call sign and gives orders; a pilot begins with the name of the station or ends with the
call sign, and says what the aircraft does (ICAO Doc 9432, 2.7 and 2.8; Aeronautical Information Manual, 4-2-3). Every
sign of a role adds to the log odds of a controller; the weights are set by hand.
"""

import math
from collections.abc import Sequence
from typing import Literal

from atc_asr.atc.grammar.acts import REQUESTS
from atc_asr.atc.grammar.callsign import STATIONS, TALK
from atc_asr.atc.grammar.slot_kinds import Slot
from atc_asr.atc.grammar.slots import HESITATIONS
from atc_asr.atc.vocabulary.operators import phraseology

Role = Literal["controller", "pilot"]

# Log odds of a controller. Phrases without a weight speak for nobody, longer ones are looked up first.
PHRASES = {
    "IDENTIFIED": 3.0, "RADAR CONTACT": 3.0, "READ BACK": 3.0, "READBACK": 3.0, "VERIFY": 2.5, "APPROVED": 2.0,
    "ARE YOU READY": 2.0, "CAUTION": 2.0, "REPORT": 2.0, "REPORT ESTABLISHED": 2.0, "REPORT READY": 2.0,
    "TERMINATED": 2.0, "YOURE": 2.0, "ADVISE": 1.5, "EXPECT": 1.5, "TRAFFIC": 1.5, "WIND": 1.5, "YOU": 1.5, "YOUR": 1.5,
    "BEHIND YOU": 1.0, "CONFIRM": 1.0, "IMMEDIATELY": 1.0, "NUMBER": 1.0, "REQUEST ESTIMATE": 1.0, "SAY": 1.0,
    "STANDBY": 1.0, "WHEN READY": 1.0, "TILL ESTABLISHED": 0.5, "UNTIL ESTABLISHED": 0.5, "SEE YOU": 0.0,
    "NEGATIVE CONTACT": -4.0, "WITH YOU": -4.0, "CHECKING IN": -3.0, "FULLY READY": -3.0, "TRAFFIC IN SIGHT": -3.0,
    "WILCO": -3.0, "WE": -2.5, "WEVE": -2.5, "GOING AROUND": -2.0, "IN SIGHT": -2.0, "LOOKING": -2.0,
    "ON THE SPEED": -2.0, "OUR": -2.0, "OVER TO": -2.0, "READY": -2.0, "STANDING BY": -2.0, "UNABLE": -2.0,
    "WERE": -2.0, "WITH INFORMATION": -2.0, "CLEAR OF": -1.5, "DOWN TO": -1.5, "ESTABLISHED": -1.5, "UP TO": -1.5,
    "US": -1.5, "COPIED": -1.0, "LEFT TO": -1.0, "MY": -1.0, "ON THE HEADING": -1.0, "RIGHT TO": -1.0, "NEED": -0.7,
    "AFFIRM": -0.5, "AFFIRMATIVE": -0.5, "FROM YOU": -0.5, "INBOUND": -0.5, "ON YOUR": -0.5, "SAY AGAIN": -0.5,
    "THANK YOU": -0.5, "THANKS": -0.5, "YOU TOO": -0.5,
}  # fmt: skip
WEIGHTS: dict[tuple[str | None, ...], float] = {tuple(phrase.split()): weight for phrase, weight in PHRASES.items()}
MAX_PHRASE_WORDS = max(map(len, WEIGHTS))
FIRST_WORDS = frozenset(phrase[0] for phrase in WEIGHTS)
ORDERS = frozenset(
    "CLIMB DESCEND TURN FLY MAINTAIN REDUCE INCREASE CONTACT MONITOR SQUAWK CLEARED HOLD LINE PROCEED CONTINUE STOP "
    "EXPEDITE CROSS TAXI SET KEEP CALL FOLLOW VACATE RESUME SLOW IDENT JOIN ENTER PUSH GIVE".split()
)
DOINGS = frozenset(
    "CLIMBING DESCENDING TURNING MAINTAINING REDUCING INCREASING CONTACTING MONITORING SQUAWKING HOLDING LINING "
    "PROCEEDING CROSSING TAXIING PASSING LEAVING REACHING SLOWING VACATING APPROACHING IDENTING REQUESTING "
    "SWITCHING CHANGING EXPEDITING LEVEL".split()
)
NOT_BEFORE_DOINGS = frozenset("REPORT CONFIRM WHEN UNTIL AFTER BEFORE CONTINUE IS ARE YOU VERIFY TO BE".split())
ORDER, LATER_ORDER, ORDER_WITHOUT_CALLSIGN, DOING, REQUEST = 2.0, 1.0, -0.7, -2.0, -3.0
CALLSIGN_FIRST, CALLSIGN_LAST, STATION_FIRST, STATION_AFTER_CALLSIGN, GREETING_FIRST = 0.3, -2.5, -3.5, 3.0, -0.7
MAX_STATION_WORDS = 4
MAX_LOG_ODDS = 6.0


def tell_role(words: Sequence[str], slots: Sequence[Slot]) -> tuple[Role | None, float | None]:
    """The role of the speaker and its probability, 0.5 to 1; None twice where nothing tells.

    `slots` are those of the words of the utterance.
    """
    callsigns = [slot for slot in slots if slot.kind == "callsign"]
    named = {position for slot in callsigns for position in range(slot.start, slot.end)}
    # A call sign is None, so that no phrase goes over it.
    message = [None if at in named else word for at, word in enumerate(words) if word not in HESITATIONS]
    odds = _from_place(message) + _from_phrases(message)
    if not odds:
        return None, None
    odds = max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, odds))
    return "controller" if odds > 0 else "pilot", 1 / (1 + math.exp(-abs(odds)))


def _from_place(message: Sequence[str | None]) -> float:
    """Log odds from the place of the call sign and the verb at the beginning of the message."""
    if None not in message:
        return ORDER_WITHOUT_CALLSIGN if message and message[0] in ORDERS else 0.0
    first = message.index(None)
    end = next((at for at in range(first, len(message)) if message[at] is not None), len(message))
    before, after = message[:first], message[end:]
    if not before or all(word in TALK or word == "GOOD" for word in before):
        if not after or all(word in TALK or word == "GOOD" for word in after):
            return GREETING_FIRST if before else 0.0
        said = [word for word in after if word not in TALK and word != "GOOD"]
        odds = CALLSIGN_FIRST + (ORDER if said[0] in ORDERS else 0.0 if ORDERS.isdisjoint(said) else LATER_ORDER)
        return odds + (STATION_AFTER_CALLSIGN if _begins_with_station(said) else 0.0)
    if len(before) <= MAX_STATION_WORDS and not STATIONS.isdisjoint(before) and before[0] not in ORDERS:
        return STATION_FIRST
    return CALLSIGN_LAST


def _begins_with_station(words: Sequence[str | None]) -> bool:
    """Whether words begin with the name of a station: BOSTON APPROACH, TOWER; not READY FOR DEPARTURE."""
    station = next((at for at, word in enumerate(words[:MAX_STATION_WORDS]) if word in STATIONS), None)
    return station is not None and words[station] != "INFORMATION" and phraseology().isdisjoint(words[:station])


def _from_phrases(message: Sequence[str | None]) -> float:
    """Log odds from the words; every phrase counts once."""
    found: dict[tuple[str | None, ...], float] = {}
    position = 0
    while position < len(message):
        for length in range(MAX_PHRASE_WORDS if message[position] in FIRST_WORDS else 0, 0, -1):
            phrase = tuple(message[position : position + length])
            if phrase in WEIGHTS:
                found[phrase] = WEIGHTS[phrase]
                position += length
                break
        else:
            word, before = message[position], message[position - 1] if position else None
            following = message[position + 1] if position + 1 < len(message) else None
            if word in REQUESTS and REQUESTS[word] in (None, following) and before != "SAY":
                found["REQUEST",] = REQUEST
            elif word in DOINGS and before not in NOT_BEFORE_DOINGS and (word != "LEVEL" or before is None):
                found["DOING",] = DOING
            position += 1
    return sum(found.values())
