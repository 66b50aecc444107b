"""Compare what pilots read back with what they were cleared to."""

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.core import cli, messages
from atc_asr.core.config import Flags, argument
from atc_asr.core.files import write_text
from atc_asr.core.params import OperatorsParams
from atc_asr.readback.exchanges import LIKE, Exchange, lines
from atc_asr.readback.pairing import find_exchanges
from atc_asr.readback.transcript import read_transcript

log = logging.getLogger(__name__)


class ReadbackFlags(Flags):
    """Compare readbacks with clearances, slot by slot.

    Reads   transcript  of transcribe, best with --slots and --calibration; or lines with id, hyp, start, end, [file]
    Writes  out_file    a line for every clearance: what was cleared, what was read back, and whether it is an alert
    """

    transcript: Path = argument("transcript of transcribe, JSON Lines", positional=True)
    out_file: Path | None = argument("exchanges, JSON Lines (standard output)", None, output=True)
    max_seconds: Annotated[float, Field(ge=0)] = argument(
        "longest time between a clearance and its readback, seconds (20)", 20.0
    )
    threshold: Annotated[float, Field(ge=0, le=1)] = argument("lowest confidence of an alert, 0 to 1 (0.7)", 0.7)


def run(operators: OperatorsParams, flags: ReadbackFlags) -> list[Exchange]:
    """The exchanges of a transcript, in the order of its recordings.

    Raises:
        InputError: the transcript or the operators cannot be used.
    """
    recordings, counts = read_transcript(flags.transcript, load_operators(operators.operators))
    exchanges: list[Exchange] = []
    not_judged: Counter[str] = Counter()
    for transmissions in recordings:
        found, left_out = find_exchanges(transmissions, flags.max_seconds, flags.threshold)
        exchanges += found
        not_judged += left_out
    for reason, count in sorted((counts + not_judged).items()):
        log.warning(messages.READBACK_COUNTED, flags.transcript, count, reason)
    num_read = sum(exchange.readback is not None for exchange in exchanges)
    num_alerts = sum(exchange.alert for exchange in exchanges)
    log.info(messages.READBACK_DONE, sum(map(len, recordings)), len(exchanges), num_read, num_alerts)
    return exchanges


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    operators, flags = cli.parse(argv, OperatorsParams, ReadbackFlags)
    text = lines(run(operators, flags))
    if flags.out_file is None:
        sys.stdout.write(text)
    else:
        write_text(flags.out_file, text, LIKE)


if __name__ == "__main__":
    cli.enter(main)
