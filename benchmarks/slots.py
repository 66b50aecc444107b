"""Benchmark of structured output: roles of speakers, confidences of slots, speed.

    python -m benchmarks.slots --ref_manifest data/corpus/*/test.csv --hyp_file data/hyps/test.jsonl
    python -m benchmarks.slots … --real_speech ../shared/real_speech --texts roles.tsv

The true roles are the manifest's column `role`; `--texts` names further texts, a line `role<TAB>text`. The strings of
digits and letters of `--real_speech` have no speaker on a radio: counted is how many get a role. Prints Markdown for
RESULTS.md.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from atc_asr.atc.grammar.roles import tell_role
from atc_asr.atc.grammar.slots import read_slots
from atc_asr.atc.grammar.structure import add_slots
from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.core.manifest import read_manifests
from atc_asr.core.text import normalize
from atc_asr.corpus import phraseology
from atc_asr.hypotheses.confidence import expected_calibration_error, reliability
from atc_asr.hypotheses.hypotheses import Hypothesis, read_hypotheses
from atc_asr.scoring.bootstrap import Resampling, intervals, make_rate

RESAMPLING = Resampling(10_000, 95.0)
NUM_TEXTS = 100_000
STYLE = phraseology.SpeakingStyle(pilot_fraction=0.5, group_fraction=0.6)
SURE = 0.95
# Ways to combine the confidences of a slot's words.
COMBINATIONS: dict[str, Callable[[Sequence[float]], float]] = {"lowest": np.min, "product": np.prod, "mean": np.mean}


def per_cent(fractions: Sequence[tuple[float, float]]) -> str:
    """A rate with its 95 % interval and its population."""
    found = intervals([make_rate("rate", fractions)], RESAMPLING)["rate"]
    if found.rate is None or found.low is None:
        return "–"
    return f"{found.rate:.1f} % ({found.low:.1f} to {found.high:.1f}) of {found.population}"


def role_rows(name: str, texts: Sequence[tuple[str, str]]) -> list[str]:
    """Table rows of (true role, text): accuracy, how many roles are told, accuracy of the sure ones, calibration."""
    told = [(role, *tell_role(text.split(), read_slots(text.split()))) for role, text in texts]
    sure = [(role == found, 1) for role, found, confidence in told if confidence and confidence >= SURE]
    rated = [(role == found, confidence) for role, found, confidence in told if confidence]
    bins = reliability(np.array([value for _, value in rated]), np.array([correct for correct, _ in rated], dtype=bool))
    rows = {
        "role correct, of all": per_cent([(role == found, 1) for role, found, _ in told]),
        "role told": per_cent([(found is not None, 1) for _, found, _ in told]),
        "correct, where told": per_cent([(role == found, 1) for role, found, _ in told if found]),
        f"correct, with a confidence of {SURE} or more": per_cent(sure),
        "expected calibration error": f"{expected_calibration_error(bins):.1f} %",
    }
    return [f"| {name} | {what} | {value} |" for what, value in rows.items()]


def slot_rows(references: dict[str, str], hypotheses: Sequence[Hypothesis]) -> list[str]:
    """Table rows: calibration of the confidence of a slot, and the errors among doubtful and other slots."""
    correct, words, doubtful = [], [], []
    for one in hypotheses:
        left = Counter((slot.kind, slot.value) for slot in read_slots(references[one.id].split()))
        for slot in add_slots(one).slots or ():
            is_correct = slot.value is not None and left[slot.kind, slot.value] > 0
            left[slot.kind, slot.value] -= is_correct
            if slot.value is not None and slot.confidence is not None:
                correct.append(is_correct)
                words.append([word.confidence for word in one.words[slot.first_word : slot.last_word + 1]])
                doubtful.append(bool(slot.doubtful))
    rows = {}
    for name, combine in COMBINATIONS.items():
        values = np.array([combine(own) for own in words])
        error = expected_calibration_error(reliability(values, np.array(correct)))
        brier = float(np.mean((values - np.array(correct)) ** 2))
        rows[f"confidence = {name} of its words"] = f"calibration error {error:.2f} %, Brier score {brier:.4f}"
    for name, wanted in (("doubtful slots", True), ("other slots", False)):
        some = [(not right, 1) for right, doubt in zip(correct, doubtful, strict=True) if doubt == wanted]
        rows[f"wrong among {name}"] = per_cent(some)
    return [f"| slots of the hypotheses | {what} | {value} |" for what, value in rows.items()]


def speed_rows() -> list[str]:
    """Table rows: seconds for the slots, and for the whole structured output, of 100,000 utterances."""
    rng = np.random.default_rng(1)
    texts = [phraseology.make_transmission("train", rng, STYLE).text.upper() for _ in range(NUM_TEXTS)]
    num_words = np.mean([len(text.split()) for text in texts])
    load_operators()
    name = f"{NUM_TEXTS:,} texts of {num_words:.1f} words"
    rows = []
    readers = {
        "slots": lambda text: read_slots(text.split()),
        "slots, role, units": lambda text: add_slots(Hypothesis("", text)),
    }
    for what, read in readers.items():
        started, used = time.perf_counter(), time.process_time()
        for text in texts:
            read(text)
        seconds, processor = time.perf_counter() - started, time.process_time() - used
        rows.append(f"| {name} | {what}, one process | {seconds:.1f} s, {processor:.1f} s of processor time |")
    return rows


def real_speech_rows(folder: Path) -> list[str]:
    """Table rows: how many transcripts of each configuration get a role."""
    import pyarrow.parquet as pq

    rows = []
    for config in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        tables = [pq.read_table(path, columns=["text"]) for path in sorted((folder / config).glob("*.parquet"))]
        texts = [normalize(text) for table in tables for text in table["text"].to_pylist()]
        told = [tell_role(text.split(), read_slots(text.split())) for text in texts if text]
        rows.append(f"| real_speech/{config} | no role told | {per_cent([(role is None, 1) for role, _ in told])} |")
    return rows


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ref_manifest", type=Path, nargs="+", required=True, help="references, with the column role")
    parser.add_argument("--hyp_file", type=Path, required=True, help="their decode.jsonl with calibrated words")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="further texts: role<TAB>text")
    parser.add_argument("--real_speech", type=Path, help="folder of configurations with parquet files")
    args = parser.parse_args()

    utterances, hypotheses = read_manifests(args.ref_manifest), read_hypotheses(args.hyp_file)
    roles = {one.id: one.columns["role"] for one in utterances}
    references = {one.id: normalize(one.transcript) for one in utterances}
    rows = role_rows("references", [(roles[key], text) for key, text in references.items()])
    rows += role_rows("hypotheses", [(roles[one.id], one.hyp) for one in hypotheses])
    for path in args.texts:
        lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line)
        rows += role_rows(path.stem, [(role, normalize(text)) for role, text in lines])
    rows += real_speech_rows(args.real_speech) if args.real_speech else []
    rows += slot_rows(references, hypotheses) + speed_rows()
    print("| texts | what | measured |\n|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
