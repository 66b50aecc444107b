"""Detection of readback errors in synthetic exchanges, from audio and from perfect transcripts.

    python -m benchmarks.readback --checkpoint_dir models/asr --lm_dir models/lm --calibration models/calibration.json

Makes recordings of clearances and readbacks with the voices and call signs of `--split`, a fifth of them with an error,
and with first calls, requests and reports of other aircraft between them. Transcribes them (lexicon search, greedy) and
compares the readbacks. Prints the tables of RESULTS.md: detection is the fraction of the exchanges with an error whose
clearance has an alert, false alarms the fraction of the others with an alert of the clearance or of what follows it up
to the next exchange. The default of `--threshold` was chosen on `--split valid`.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.stats import binomtest

from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.commands import transcribe
from atc_asr.commands.readback import ReadbackFlags
from atc_asr.core.config import load_section
from atc_asr.core.text import normalize
from atc_asr.corpus.audio import SAMPLE_RATE
from atc_asr.corpus.exchanges import ERRORS, make_call, make_exchange
from atc_asr.corpus.params import SyntheticParams
from atc_asr.corpus.phraseology import SpeakingStyle, Transmission
from atc_asr.corpus.synthetic import draw_voice, record
from atc_asr.corpus.voices import VoiceSettings, split_voices
from atc_asr.readback.exchanges import Exchange
from atc_asr.readback.pairing import find_exchanges
from atc_asr.readback.transcript import read_transcript

ERROR_FRACTION = 0.2
CALL_FRACTION = 0.3  # exchanges that another aircraft's transmission follows
PER_RECORDING = 50  # exchanges of a recording, which has one controller
READBACK_GAP = (0.8, 3.0)  # seconds between a clearance and its readback
OTHER_GAP = (1.5, 4.0)  # seconds before another exchange or call
NOISE = 1e-4  # of full scale, between transmissions
THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SEARCHES = {"lexicon and n-gram": "lexicon", "greedy": "greedy"}
DEFAULT = ReadbackFlags.model_fields["threshold"].default


@dataclass(frozen=True)
class Planted:
    """An exchange of a recording: when its clearance starts and ends (seconds), its error, and its texts."""

    recording: str
    start: float
    end: float
    error: str
    texts: tuple[str, str]


class Recorder:
    """Writes recordings of exchanges, with the times and texts of their transmissions as a perfect transcript."""

    def __init__(self, split: str, seed: int) -> None:
        self._split = split
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(len(split), 1)))
        self._params = load_section(SyntheticParams)
        self._style = SpeakingStyle(
            pilot_fraction=self._params.pilot_fraction, group_fraction=self._params.group_fraction
        )
        self._voices = split_voices()[split]
        self._blocks: list[np.ndarray] = []
        self._rows: list[dict[str, object]] = []

    def write(self, folder: Path, name: str, errors: Sequence[str]) -> list[Planted]:
        """Write a recording with an exchange for each of `errors` (empty for none)."""
        self._blocks, self._rows = [], []
        planted = []
        controller = draw_voice(self._rng, self._voices)
        for error in errors:
            exchange = make_exchange(self._split, self._rng, self._style, error)
            start, end = self._add(exchange.clearance, controller, OTHER_GAP, name)
            self._add(exchange.readback, draw_voice(self._rng, self._voices), READBACK_GAP, name)
            planted.append(Planted(name, start, end, error, (exchange.clearance.text, exchange.readback.text)))
            if self._rng.random() < CALL_FRACTION:
                call = make_call(self._split, self._rng, self._style)
                self._add(call, draw_voice(self._rng, self._voices), OTHER_GAP, name)
        samples = np.concatenate([*self._blocks, np.zeros(SAMPLE_RATE, dtype=np.float32)])
        noise = self._rng.standard_normal(len(samples), dtype=np.float32) * np.float32(NOISE)
        soundfile.write(folder / f"{name}.wav", samples + noise, SAMPLE_RATE, subtype="PCM_16")
        lines = "".join(json.dumps(row) + "\n" for row in self._rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        return planted

    def _add(
        self, transmission: Transmission, voice: VoiceSettings, gap: tuple[float, float], name: str
    ) -> tuple[float, float]:
        """Append a transmission after a gap; returns its start and end, seconds."""
        silence = np.zeros(int(SAMPLE_RATE * self._rng.uniform(*gap)), dtype=np.float32)
        samples = record(transmission, voice, self._rng, self._params)
        self._blocks += [silence, samples]
        end = sum(map(len, self._blocks)) / SAMPLE_RATE
        start = end - len(samples) / SAMPLE_RATE
        row = {"id": f"{name}#{start:.3f}", "hyp": normalize(transmission.text), "start": start, "end": end}
        self._rows.append({**row, "file": f"{name}.wav"})
        return start, end


def make_recordings(folder: Path, split: str, count: int, seed: int) -> list[Planted]:
    """Recordings of `count` exchanges, a fifth of them with errors of all kinds in turn."""
    num_errors = round(ERROR_FRACTION * count)
    errors = [ERRORS[number % len(ERRORS)] for number in range(num_errors)] + [""] * (count - num_errors)
    np.random.default_rng(seed).shuffle(errors)
    recorder = Recorder(split, seed)
    parts = [errors[start : start + PER_RECORDING] for start in range(0, count, PER_RECORDING)]
    return [one for number, part in enumerate(parts) for one in recorder.write(folder, f"r{number:02d}", part)]


def compare_all(folder: Path) -> dict[str, list[Exchange]]:
    """The exchanges of all transcripts of a folder, by recording."""
    operators, found = load_operators(), {}
    for path in sorted(folder.glob("*.jsonl")):
        recordings, _ = read_transcript(path, operators)
        flags = ReadbackFlags.model_fields["max_seconds"].default
        found[path.name.partition(".")[0]] = [
            one for recording in recordings for one in find_exchanges(recording, flags, 0.0)[0]
        ]
    return found


def confidence_of(exchange: Exchange) -> float:
    """The highest confidence of a fault, -1 without one: the alert is raised at thresholds up to it."""
    return max((slot.confidence for slot in exchange.slots if slot.is_fault), default=-1.0)


def middle_of(exchange: Exchange) -> float:
    """Seconds; a detected transmission begins and ends some tenths of a second beside the speech."""
    return (exchange.clearance.start + exchange.clearance.end) / 2


def rate_all(planted: Sequence[Planted], found: dict[str, list[Exchange]]) -> list[tuple[float, float]]:
    """For each planted exchange the highest confidence of an alert of its clearance, and of its whole time."""
    rated = []
    for index, one in enumerate(planted):
        following = planted[index + 1] if index + 1 < len(planted) else None
        until = following.start if following is not None and following.recording == one.recording else float("inf")
        exchanges = [(exchange, middle_of(exchange)) for exchange in found.get(one.recording, [])]
        own = [exchange for exchange, middle in exchanges if one.start <= middle <= one.end]
        mine = [exchange for exchange, middle in exchanges if one.start <= middle < until]
        best = [max(map(confidence_of, group), default=-1.0) for group in (own, mine)]
        rated.append((best[0], best[1]))
    return rated


def percent(hits: int, count: int) -> str:
    """A rate with its Wilson interval."""
    if not count:
        return "–"
    interval = binomtest(hits, count).proportion_ci(method="wilson")
    return f"{100 * hits / count:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def print_table(results: dict[str, list[tuple[float, float]]], planted: Sequence[Planted]) -> None:
    """Detection by kind of error and false alarms at the default threshold, then at others."""
    wrong = [index for index, one in enumerate(planted) if one.error]
    right = [index for index, one in enumerate(planted) if not one.error]
    header = ["transcripts", "detection", "false alarms", *ERRORS]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for name, rated in results.items():
        kinds = [[i for i in wrong if planted[i].error == error] for error in ERRORS]
        cells = [percent(sum(rated[i][0] >= DEFAULT for i in wrong), len(wrong))]
        cells.append(percent(sum(rated[i][1] >= DEFAULT for i in right), len(right)))
        cells += [f"{sum(rated[i][0] >= DEFAULT for i in kind)} of {len(kind)}" for kind in kinds]
        print("| " + " | ".join([name, *cells]) + " |")
    print("\n| threshold | " + " | ".join(f"{name}: detection, false alarms" for name in results) + " |")
    print("|" + "---|" * (len(results) + 1))
    for threshold in THRESHOLDS:
        cells = []
        for rated in results.values():
            detected = sum(rated[i][0] >= threshold for i in wrong) / max(1, len(wrong))
            alarms = sum(rated[i][1] >= threshold for i in right) / max(1, len(right))
            cells.append(f"{100 * detected:.1f} %, {100 * alarms:.1f} %")
        print(f"| {threshold:g} | " + " | ".join(cells) + " |")


def show_failures(
    name: str, rated: Sequence[tuple[float, float]], planted: Sequence[Planted], found: dict[str, list[Exchange]]
) -> None:
    """Print missed errors and false alarms with what was recognised."""
    for one, (own, whole) in zip(planted, rated, strict=True):
        if (own >= DEFAULT) if one.error else (whole < DEFAULT):
            continue
        print(f"\n{name}: {one.error or 'false alarm'} {own:.2f} {whole:.2f}\n  {one.texts[0]}\n  {one.texts[1]}")
        for exchange in found[one.recording]:
            if one.start - 1 <= exchange.clearance.start <= one.end + 15:
                faults = [(s.kind, s.cleared, s.read, s.result, round(s.confidence, 2)) for s in exchange.slots]
                print(f"    {exchange.clearance.hyp}\n    {exchange.readback and exchange.readback.hyp}\n    {faults}")


def main() -> None:
    """Make, transcribe, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test", choices=("valid", "test"))
    parser.add_argument("--count", type=int, default=500, help="number of exchanges")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work_dir", type=Path, help="folder that is kept (a temporary one)")
    parser.add_argument("--show", action="store_true", help="print what failed")
    parser.add_argument("--checkpoint_dir", type=Path, default=Path("models/asr"))
    parser.add_argument("--lm_dir", type=Path, default=Path("models/lm"))
    parser.add_argument("--calibration", type=Path, default=Path("models/calibration.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work_dir or Path(temporary)
        audio = work / "audio"
        audio.mkdir(parents=True, exist_ok=True)
        planted = make_recordings(audio, args.split, args.count, args.seed)
        found = {"perfect": compare_all(audio)}
        for name, search in SEARCHES.items():
            flags = ["--checkpoint_dir", args.checkpoint_dir, "--search", search, "--slots", "--out_dir", work / search]
            flags += ["--calibration", args.calibration, "--lm_dir", args.lm_dir] if search != "greedy" else []
            transcribe.main([*map(str, sorted(audio.glob("*.wav"))), *map(str, flags)])
            found[name] = compare_all(work / search)
        results = {name: rate_all(planted, exchanges) for name, exchanges in found.items()}
        print_table(results, planted)
        for name in results if args.show else ():
            show_failures(name, results[name], planted, found[name])


if __name__ == "__main__":
    main()
