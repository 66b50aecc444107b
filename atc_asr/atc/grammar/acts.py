"""Instruction, request, report or readback: what a slot is part of, where the words tell.

A controller begins with the call sign and tells in the imperative what to do; a pilot who reads back ends with the call
sign; a request has its verb; a report has the verb of a state, or follows the name of the station that is called (ICAO
Doc 4444, 12.3; Doc 9432, 2.7 and 2.8).
"""

import itertools
from collections.abc import Sequence

from atc_asr.atc.grammar.callsign import STATIONS, TALK
from atc_asr.atc.grammar.slot_kinds import Slot

# Words of a request, with the word that must follow.
REQUESTS = {"REQUEST": None, "REQUESTING": None, "CAN": "WE", "COULD": "WE", "WOULD": "LIKE", "LIKE": "TO"}
STATES = frozenset("PASSING LEAVING MAINTAINING REACHING ESTABLISHED READY INBOUND PASSED WE WERE OUT".split())
ORDERS = frozenset(
    "CLIMB DESCEND TURN FLY MAINTAIN REDUCE INCREASE CONTACT MONITOR SQUAWK CLEARED CLEAR HOLD LINE PROCEED CONTINUE "
    "STOP EXPEDITE CROSS TAXI REPORT SET KEEP GO CALL EXPECT FOLLOW VACATE DIRECT RATE HEADING SPEED RESUME RUNWAY "
    "SLOW IDENT".split()
)
QUESTIONS = frozenset({"CONFIRM", "SAY", "VERIFY", "WHAT"})
NUM_FIRST_WORDS = 3  # of a message, among which the verb of a state stands
MAX_STATION_WORDS = 4


def tell_acts(words: Sequence[str], slots: Sequence[Slot]) -> list[Slot]:
    """The slots with their `act`: that of the utterance, or a request after its verb."""
    act = _act_of_utterance(words, slots)
    request = next((at for at in range(len(words)) if _begins_request(words, at)), len(words))
    return [
        slot if slot.kind == "callsign" else slot._replace(act="request" if slot.end > request else act)
        for slot in slots
    ]


def _begins_request(words: Sequence[str], position: int) -> bool:
    following = REQUESTS.get(words[position], "")
    return following is None or (following != "" and words[position + 1 : position + 2] == [following])


def _act_of_utterance(words: Sequence[str], slots: Sequence[Slot]) -> str:
    callsigns = [slot for slot in slots if slot.kind == "callsign"]
    if not callsigns:
        return ""
    first, last = callsigns[0], callsigns[-1]
    if ("WITH", "YOU") in itertools.pairwise(words):
        return "report"
    if first.start == 0:
        return _act_after_callsign(words[first.end :])
    if first.start <= MAX_STATION_WORDS and not STATIONS.isdisjoint(words[: first.start]):
        return "report"
    if last.end == len(words) or words[last.end] in TALK or words[last.end] == "GOOD":
        return "report" if _is_state(words[: last.start]) else "readback"
    return ""


def _act_after_callsign(words: Sequence[str]) -> str:
    if not QUESTIONS.isdisjoint(words[:1]):
        return ""
    if not ORDERS.isdisjoint(words):
        return "instruction"
    return "report" if _is_state(words) or words[:1] == ["GOOD"] else ""


def _is_state(words: Sequence[str]) -> bool:
    """Whether a message begins with the verb or the noun of a state."""
    return not STATES.isdisjoint(words[:NUM_FIRST_WORDS]) or words[:1] == ["LEVEL"]
