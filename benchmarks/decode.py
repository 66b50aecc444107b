"""Benchmark of decoding: accuracy of every search, out-of-vocabulary words, speed, memory, boosting, confidence.

    python -m benchmarks.decode                                  # all parts, on models/asr and data/corpus
    python -m benchmarks.decode --parts accuracy boost           # some parts

Requires a finished `dvc repro`. Stores log-probabilities, estimates the language models and tunes the weights on valid
in `--work`, then measures on test. Prints the section of RESULTS.md: a table of targets and results, then the tables
of all parts.
"""

import argparse
import contextlib
import dataclasses
import glob
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
from tqdm import tqdm

from atc_asr.commands.params import TuneParams
from atc_asr.commands.tune_decoding import AXES, Trial, best_of, run_grid
from atc_asr.core.config import load_section
from atc_asr.core.manifest import Utterance, read_manifests
from atc_asr.corpus.phraseology import fixes, synthetic_operators
from atc_asr.corpus.source import SPLITS
from atc_asr.decoding.boost import CallsignBoost, ExpectedCallsign
from atc_asr.decoding.parallel import parallel_map
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Decoder, Job, SearchSources
from atc_asr.hypotheses import confidence
from atc_asr.hypotheses.hypotheses import Hypothesis
from atc_asr.lm.ngram import estimate, write_arpa
from atc_asr.posteriors.store import StoredPosteriors
from atc_asr.scoring.slot_scores import score_slots
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.wer import wer

ROOT = Path(__file__).resolve().parents[1]
BEAM = 100  # width at which searches are compared
THRESHOLDS = (8.0, 10.0)  # lower values of beam_threshold to try
PASSES = 5  # over a split when a search is timed
DRAWS = 5  # samples of excluded words
CALLSIGNS = 50  # length of a list of expected call signs; one of them is the true one
TEXTS = 25_000  # transcripts when the estimation of n-grams is timed
HOUR = 3600.0
GAP_SECONDS = 1.5  # between transmissions of the long recordings

Finding = tuple[str, str, str]  # quantity, target, result


@dataclasses.dataclass(frozen=True)
class Bench:
    """Paths, tokens, and the parameters tuned on valid."""

    run_dir: Path
    corpus: Path
    work: Path
    hours: Sequence[float]
    tokens: Tokens
    tuned: DecodeParams

    @property
    def sources(self) -> SearchSources:
        """The language model of the train transcripts."""
        return SearchSources(lm_dir=self.work / "lm")

    def manifests(self, split: str) -> list[Path]:
        """Manifests of a split."""
        return [Path(name) for name in sorted(glob.glob(str(self.corpus / "*" / f"{split}.csv")))]

    def utterances(self, split: str) -> list[Utterance]:
        """Rows of a split."""
        return read_manifests(self.manifests(split))

    def posteriors(self, split: str) -> Path:
        """File of a split's log-probabilities."""
        return self.work / f"{split}.posteriors"

    def stored(self, split: str) -> StoredPosteriors:
        """Log-probabilities of a split."""
        return StoredPosteriors(self.posteriors(split))


def run_module(*command: object) -> str:
    """Run a stage or command and return its log; exits with the log when it fails."""
    found = subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        sys.exit(f"{command[0]} failed: {found.stderr[-2000:]}")
    return found.stderr


def logged_speed(log: str) -> str:
    """Speed from the log, which does not include the start of Python and its libraries."""
    return re.findall(r"(\d+) x real time", log)[-1]


@contextlib.contextmanager
def memory_of_children() -> Iterator[list[float]]:
    """Peak memory of all child processes together (PSS, MiB) during the block."""
    peak = [0.0]
    done = threading.Event()

    def watch() -> None:
        own = psutil.Process()
        while not done.wait(0.2):
            total = 0
            for child in own.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    total += child.memory_full_info().pss
            peak[0] = max(peak[0], total / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def prepare(run_dir: Path, corpus: Path, work: Path, hours: Sequence[float]) -> Bench:
    """Language model, log-probabilities and tuned weights."""
    work.mkdir(parents=True, exist_ok=True)
    tokens = Tokens.load(run_dir)
    bench = Bench(run_dir, corpus, work, hours, tokens, load_section(DecodeParams))
    train, valid = bench.manifests("train"), bench.manifests("valid")
    run_module(
        "stages.lm", "--train_manifest", *train, "--valid_manifest", *valid, "--order", 4, "--token_order", 6,
        "--tokenizer_dir", run_dir, "--out_dir", work / "lm", "--metrics_file", work / "lm.json",
    )  # fmt: skip
    for split in ("valid", "test"):
        out = ("--out_file", work / f"{split}.posteriors")
        run_module("stages.posteriors", "--checkpoint_dir", run_dir, "--manifest", *bench.manifests(split), *out)
    base = bench.tuned.model_copy(update={"search": "lexicon", "nbest": 0, "words": False, "num_processes": 0})
    best = best_of(tune(bench, base, load_section(TuneParams))).params
    print(
        "Tuned on valid: "
        + ", ".join(f"{name} {getattr(best, name):g}" for name in AXES)
        + f"; measured at beam {BEAM}.\n"
    )
    return dataclasses.replace(bench, tuned=best.model_copy(update={"beam_size": BEAM}))


def tune(bench: Bench, base: DecodeParams, axes: TuneParams) -> list[Trial]:
    """All trials of a grid on valid."""
    return run_grid(
        axes,
        base,
        posteriors=bench.posteriors("valid"),
        transcripts=references(bench, "valid"),
        tokens=bench.tokens,
        sources=bench.sources,
    )


def references(bench: Bench, split: str) -> dict[str, str]:
    """Transcripts by id."""
    return {utterance.id: utterance.transcript for utterance in bench.utterances(split)}


def jobs(bench: Bench, split: str, ids: frozenset[str] | None = None) -> list[Job]:
    """Jobs for a split's utterances, or for some of them, by their rows in its stored log-probabilities."""
    names = enumerate(bench.stored(split).meta.ids)
    return [Job(name, row) for row, name in names if ids is None or name in ids]


def search(
    bench: Bench, params: DecodeParams, todo: Sequence[Job], processes: int, *, split: str = "test"
) -> tuple[list[Hypothesis], float]:
    """Hypotheses, and the mean seconds of a pass over the utterances after a first pass as warm-up."""
    sources = dataclasses.replace(bench.sources, posteriors=bench.posteriors(split))
    arguments = (params, bench.tokens, bench.stored(split).meta.frame_seconds, sources)
    found = parallel_map(Decoder, arguments, itertools.chain.from_iterable([todo] * (1 + PASSES)), processes)
    hypotheses = list(itertools.islice(found, len(todo)))
    started = time.perf_counter()
    for _ in found:
        pass
    return hypotheses, (time.perf_counter() - started) / PASSES


def error_rate(references: dict[str, str], hypotheses: Sequence[Hypothesis]) -> float:
    """WER in per cent."""
    counts = wer.total(
        wer.count_edits(references[one.id].split(), one.hyp.split()) for one in hypotheses if one.id in references
    )
    return 100 * counts.errors / counts.ref_length


def kinds(bench: Bench) -> dict[str, DecodeParams]:
    """The searches that are compared."""
    tuned = bench.tuned

    def change(params: DecodeParams, **values: object) -> DecodeParams:
        return params.model_copy(update=values)

    return {
        "greedy": change(tuned, search="greedy", lm_weight=0.0),
        f"beam {BEAM} (SpeechBrain)": change(tuned, search="beam", lm_weight=0.0),
        f"beam {BEAM} + 4-gram (SpeechBrain)": change(tuned, search="beam"),
        f"lexicon_free {BEAM} + token 6-gram": change(tuned, search="lexicon_free"),
        f"lexicon {BEAM}": change(tuned, lm_weight=0.0),
        f"lexicon {BEAM} + 4-gram, no OOV words": change(tuned, oov_score=-1000.0),
        f"lexicon {BEAM} + 4-gram": tuned,
    }


def accuracy(bench: Bench) -> list[Finding]:
    """WER of every search, on all of test and on utterances with words that do not occur in train."""
    train_words = {word for utterance in bench.utterances("train") for word in utterance.transcript.split()}
    refs = references(bench, "test")
    unseen = {name: text for name, text in refs.items() if not train_words.issuperset(text.split())}
    todo = jobs(bench, "test")
    rows, rates = [], {}
    for name, params in kinds(bench).items():
        found, seconds = search(bench, params, todo, 2)
        rest = error_rate(unseen, found) if unseen else float("nan")
        rates[name] = error_rate(refs, found)
        rows.append((name, f"{rates[name]:.2f}", f"{rest:.2f}", f"{1000 * seconds / len(todo):.2f}"))
    print(f"{len(refs)} test utterances; {len(unseen)} contain a word that does not occur in train.\n")
    table(("search", "WER %", "WER %, with OOV words", "ms per utterance, two processes"), rows)
    best, plain = rates[f"lexicon {BEAM} + 4-gram"], rates["greedy"]
    measured = f"{best:.2f} % of {plain:.2f} %: {best / plain:.2f}"
    return [("test WER, lexicon + 4-gram against greedy", "at most a third", measured)]


def names_of(utterances: Sequence[Utterance]) -> list[str]:
    """Words of operators' call signs and fixes of the built-in corpus that occur in some utterances."""
    operators = {word for operator in synthetic_operators() for word in operator.telephony.upper().split()}
    names = operators | {name.upper() for split in SPLITS for name in fixes(split)}
    return sorted(names & {word for one in utterances for word in one.transcript.split()})


def exclude(bench: Bench, excluded: set[str]) -> SearchSources:
    """Lexicon and n-gram of the train transcripts that contain none of some words."""
    texts = [utterance.transcript.split() for utterance in bench.utterances("train")]
    folder = bench.work / "excluded"
    folder.mkdir(exist_ok=True)
    model = estimate([text for text in texts if not excluded.intersection(text)], 4)
    write_arpa(folder / "word.arpa", model)
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in model.words[3:]))
    return SearchSources(folder)


def held_out(bench: Bench) -> list[Finding]:
    """WER on utterances with names that were excluded from lexicon and n-gram, a tenth of all names at a time."""
    test = bench.utterances("test")
    pool = names_of(test)
    searches = {
        "greedy": bench.tuned.model_copy(update={"search": "greedy", "lm_weight": 0.0}),
        "lexicon + 4-gram, no OOV words": bench.tuned.model_copy(update={"oov_score": -1000.0}),
        "lexicon + 4-gram": bench.tuned,
    }
    counts: dict[str, list[wer.Counts]] = {name: [] for name in searches}
    rows: list[tuple[Any, ...]] = []
    for seed in range(1, DRAWS + 1):
        excluded = set(random.Random(seed).sample(pool, round(len(pool) / 10)))
        sources = dataclasses.replace(exclude(bench, excluded), posteriors=bench.posteriors("test"))
        refs = {one.id: one.transcript.split() for one in test if excluded.intersection(one.transcript.split())}
        todo = jobs(bench, "test", frozenset(refs))
        for name, params in searches.items():
            decoder = Decoder(params, bench.tokens, bench.stored("test").meta.frame_seconds, sources)
            counts[name].append(wer.total(wer.count_edits(refs[job.id], decoder(job).hyp.split()) for job in todo))
        rows.append((" ".join(sorted(excluded)), len(refs), *(f"{counts[name][-1].rate:.2f}" for name in searches)))
    rates = {name: wer.total(some).rate for name, some in counts.items()}
    rows.append(("all draws", sum(row[1] for row in rows), *(f"{rate:.2f}" for rate in rates.values())))
    print(
        f"Draws of {round(len(pool) / 10)} of {len(pool)} words; WER in per cent of the utterances that contain one.\n"
    )
    table(("excluded from lexicon and n-gram", "utterances", *searches), rows)
    worse = sum(float(row[4]) > float(row[2]) for row in rows[:-1])
    measured = f"{rates['lexicon + 4-gram']:.2f} % against {rates['greedy']:.2f} % over {DRAWS} draws"
    measured += f"; in {worse} of them worse"
    return [("utterances with words excluded from lexicon and n-gram", "lexicon not worse than greedy", measured)]


def tune_threshold(bench: Bench, theirs: DecodeParams) -> DecodeParams:
    """Our search with the lowest beam threshold whose WER on valid is at most that of SpeechBrain's."""
    todo, refs = jobs(bench, "valid"), references(bench, "valid")
    limit = error_rate(refs, search(bench, theirs, todo, 1, split="valid")[0])
    for beam_threshold in THRESHOLDS:
        ours = bench.tuned.model_copy(update={"words": False, "beam_threshold": beam_threshold})
        if error_rate(refs, search(bench, ours, todo, 1, split="valid")[0]) <= limit:
            return ours
    return bench.tuned


def speed(bench: Bench) -> list[Finding]:
    """Speed of the search alone on the same log-probabilities, ours and SpeechBrain's, in one and two processes."""
    todo, refs = jobs(bench, "test"), references(bench, "test")
    speechbrain = {"search": "beam", "beam_threshold": 10.0, "words": False}  # SpeechBrain's default threshold
    base = bench.tuned.model_copy(update=speechbrain)
    axes = load_section(TuneParams).model_copy(update={"beam_sizes": [BEAM]})
    theirs = best_of(tune(bench, base, axes)).params
    narrow = tune_threshold(bench, theirs)
    searches = {
        "ours as in params.yaml": bench.tuned.model_copy(update={"words": False}),
        f"ours, beam_threshold {narrow.beam_threshold:g}, chosen on valid": narrow,
        f"SpeechBrain's, default threshold, lm_weight {theirs.lm_weight:g}, word_score {theirs.word_score:g}": theirs,
    }
    rows = []
    for processes in (1, 2):
        found = {name: search(bench, params, todo, processes) for name, params in searches.items()}
        slowest = max(seconds for _, seconds in found.values())
        for name, (hypotheses, seconds) in found.items():
            cells = f"{1000 * seconds / len(todo):.2f}", f"{slowest / seconds:.1f}"
            rows.append((name, processes, *cells, f"{error_rate(refs, hypotheses):.2f}"))
    table(("search, beam 100, same 4-gram", "processes", "ms per utterance", "times faster", "WER %"), rows)
    ours, narrow_row, last = rows[-3:]
    measured = f"{narrow_row[3]} times, WER {narrow_row[4]} against {last[4]} %; as in params.yaml {ours[3]} times"
    return [("search alone against SpeechBrain's, two processes", "10 times faster, WER no worse", measured)]


def whole(bench: Bench) -> list[Finding]:
    """Speed and memory of the stages from WAVs to decode.jsonl."""
    rows = []
    for split in ("test", "train"):
        audio = sum(utterance.duration for utterance in bench.utterances(split))
        for name, more in (("greedy", ("--search", "greedy")), ("lexicon + 4-gram", overrides(bench))):
            stored = bench.work / "whole.posteriors"
            with memory_of_children() as peak:
                started = time.perf_counter()
                run_module(
                    "stages.posteriors", "--checkpoint_dir", bench.run_dir, "--manifest", *bench.manifests(split),
                    "--out_file", stored,
                )  # fmt: skip
                network = time.perf_counter() - started
                run_module(
                    "stages.decode", "--checkpoint_dir", bench.run_dir, "--posteriors", stored,
                    "--out_file", bench.work / "whole.jsonl", "--lm_dir", bench.work / "lm", *more,
                )  # fmt: skip
                seconds = time.perf_counter() - started
            times = f"{network:.1f}", f"{seconds - network:.1f}", f"{audio / seconds:.0f}"
            rows.append((split, name, f"{audio:.0f}", *times, f"{peak[0]:.0f}"))
            stored.unlink()
    header = "split", "search", "audio, s", "stages.posteriors, s", "stages.decode, s", "times real time", "peak MiB"
    table(header, rows)
    print("Seconds from start to end of both processes, Python and its libraries included.\n")
    measured = f"{rows[1][5]} times real time, {rows[1][6]} MiB ({rows[3][5]} times on train)"
    return [("whole decode of test, lexicon + 4-gram", "300 times real time, under 1,500 MiB", measured)]


def overrides(bench: Bench) -> tuple[object, ...]:
    """The tuned weights as flags."""
    return tuple(item for name in ("search", *AXES) for item in (f"--{name}", getattr(bench.tuned, name)))


def make_recording(path: Path, utterances: Sequence[Utterance], seconds: float) -> None:
    """Write a recording of utterances, one after the other, with faint noise."""
    rng = np.random.default_rng(1)
    with soundfile.SoundFile(path, "w", 16000, 1, subtype="PCM_16") as file:
        written = number = 0
        while written < seconds * 16000:
            samples, _ = soundfile.read(utterances[number % len(utterances)].wav, dtype="float32")
            block = np.concatenate((samples, np.zeros(round(GAP_SECONDS * 16000), dtype=np.float32)))
            file.write(block + 1e-4 * rng.standard_normal(len(block)).astype(np.float32))
            written, number = written + len(block), number + 1


def recordings(bench: Bench) -> list[Finding]:
    """atc_asr.commands.transcribe on recordings of several lengths."""
    rows = []
    for hours in bench.hours:
        path = bench.work / f"{hours:g}h.wav"
        make_recording(path, bench.utterances("test"), hours * HOUR)
        with memory_of_children() as peak:
            started = time.perf_counter()
            log = run_module(
                "atc_asr.commands.transcribe", path, "--checkpoint_dir", bench.run_dir,
                "--out_dir", bench.work / "transcripts", "--lm_dir", bench.work / "lm", *overrides(bench),
            )  # fmt: skip
            seconds = time.perf_counter() - started
        lines = (bench.work / "transcripts" / f"{path.stem}.jsonl").read_text().count("\n")
        whole_process = f"{hours * HOUR / seconds:.0f}"
        rows.append((f"{hours:g}", lines, f"{seconds:.0f}", logged_speed(log), whole_process, f"{peak[0]:.0f}"))
        path.unlink()
    speeds = "times real time, libraries loaded", "times real time, whole process"
    table(("hours", "transmissions", "seconds", *speeds, "peak MiB, all processes"), rows)
    measured = "; ".join(f"{row[0]} h: {row[4]} times, {row[5]} MiB" for row in rows)
    return [("atc_asr.commands.transcribe, lexicon + 4-gram", "100 times real time on an hour, flat memory", measured)]


def boost(bench: Bench) -> list[Finding]:
    """Call sign accuracy by boost score, with 50 expected call signs per utterance, the true one included."""
    test = [one for one in bench.utterances("test") if one.columns.get("callsign")]
    if not test:
        print("No `callsign` column in the test manifests: boosting not measured.\n")
        return []
    rng = random.Random(1)
    everyone = sorted({one.columns["callsign"] for one in test} | {one.columns["callsign"] for one in
                       bench.utterances("train") if one.columns.get("callsign")})  # fmt: skip
    expected = [
        ExpectedCallsign(callsign, one.id, 0.0, float("inf"))
        for one in test
        for callsign in {one.columns["callsign"], *rng.sample(everyone, CALLSIGNS - 1)}
    ]
    boosts = CallsignBoost(expected)
    plain = jobs(bench, "test", frozenset(one.id for one in test))
    listed = [Job(job.id, job.log_probs, boosts.forms(job.id, 0.0, 1e9)) for job in plain]
    rows = []
    for name, todo, score in (
        ("off", plain, 0.0),
        *((f"{value:g}", listed, value) for value in sorted({1.0, 2.0, 3.0, 4.0, bench.tuned.boost_score})),
    ):
        found, seconds = search(bench, bench.tuned.model_copy(update={"boost_score": score}), todo, 2)
        hyps = {one.id: one.hyp for one in found}
        scored = [wer.score_pair(wer.Pair(one.id, one.transcript, hyps[one.id])) for one in test]
        slots = [score_slots(item, one.columns["callsign"]) for item, one in zip(scored, test, strict=True)]
        correct = sum(one.callsign_correct is True for one in slots)
        scorable = sum(one.callsign_correct is not None for one in slots)
        rate = 100 * wer.total(item.words for item in scored).errors / wer.total(i.words for i in scored).ref_length
        cells = (
            f"{100 * correct / scorable:.1f} ({correct}/{scorable})",
            f"{rate:.2f}",
            f"{1000 * seconds / len(todo):.2f}",
        )
        rows.append((name, *cells))
    table(("boost_score", "call sign accuracy %", "WER %", "ms per utterance, two processes"), rows)
    off = rows[0]
    on = next(row for row in rows if row[0] == f"{bench.tuned.boost_score:g}")
    measured = f"{off[1]} -> {on[1]} %, WER {off[2]} -> {on[2]} % (boost_score {on[0]})"
    return [(f"call sign accuracy, boost off -> on, {CALLSIGNS} expected", "clearly better, WER not worse", measured)]


def confidences(bench: Bench) -> list[Finding]:
    """Calibration error before and after calibration, and area under the risk-coverage curve."""
    rows = []
    for name, search_params in (
        ("greedy", bench.tuned.model_copy(update={"search": "greedy", "lm_weight": 0.0})),
        ("lexicon", bench.tuned),
    ):
        values = {}
        for split in ("valid", "test"):
            with_words = search_params.model_copy(update={"words": True})
            found, _ = search(bench, with_words, jobs(bench, split), 2, split=split)
            refs = references(bench, split)
            raw = np.array([word.confidence for one in found for word in one.words])
            steps = (step for one in found for step in wer.align(refs[one.id].split(), one.hyp.split()))
            correct = np.array([step.operation == "equal" for step in steps if step.hyp is not None])
            values[split] = raw, correct
        calibration = confidence.fit(*values["valid"])
        raw, correct = values["test"]
        errors = [
            confidence.expected_calibration_error(confidence.reliability(one, correct))
            for one in (raw, confidence.apply(calibration, raw))
        ]
        area = confidence.area_under_risk(confidence.risk_coverage(raw, correct))
        rows.append(
            (name, len(raw), f"{100 * (~correct).mean():.2f}", *(f"{one:.2f}" for one in errors), f"{area:.2f}")
        )
    table(("search", "words", "wrong %", "ECE % raw", "ECE % calibrated", "area under risk-coverage %"), rows)
    measured = "; ".join(f"{row[0]} {row[3]} -> {row[4]} %" for row in rows)
    return [("expected calibration error on test, calibrated on valid", "", measured)]


NGRAM = """
import resource, sys, time
from pathlib import Path
from atc_asr.lm.ngram import estimate, load_kenlm, write_arpa
texts = [line.split() for line in open(sys.argv[1])]
started = time.perf_counter()
model = estimate(texts, int(sys.argv[2]))
write_arpa(Path(sys.argv[3]), model)
load_kenlm(Path(sys.argv[3]))
seconds = time.perf_counter() - started
print(len(texts), sum(map(len, texts)), sum(len(gram.word) for gram in model.grams), seconds,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def ngram(bench: Bench) -> list[Finding]:
    """Time and memory for the n-grams of 25,000 transcripts."""
    texts = [utterance.transcript for utterance in bench.utterances("train")]
    rng = random.Random(1)
    words = [text.split() for text in texts]
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in words]
    lines = [" ".join((*rng.choice(halves)[0], *rng.choice(halves)[1])) for _ in range(TEXTS)]
    (bench.work / "texts.txt").write_text("\n".join(lines) + "\n")
    rows = []
    for order in (3, 4, 5):
        found = subprocess.run(
            [sys.executable, "-c", NGRAM, bench.work / "texts.txt", str(order), bench.work / "timed.arpa"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        rows.append((order, found[0], found[1], found[2], f"{float(found[3]):.2f}", f"{float(found[4]):.0f}"))
    table(("order", "transcripts", "words", "n-grams", "seconds, ARPA written and loaded", "peak MiB"), rows)
    stats = json.loads((bench.work / "lm" / "stats.json").read_text())["word"]
    print(
        f"Perplexity of valid, 4-gram of the train transcripts: {stats['valid_perplexity']:.1f} "
        f"(without OOV words {stats['valid_perplexity_without_oov']:.1f}, {stats['valid_oov_rate']:.2f} % OOV).\n"
    )
    measured = f"{rows[1][4]} s, {rows[1][5]} MiB"
    return [(f"4-gram of {TEXTS:,} transcripts", "under 30 s, under 1,024 MiB", measured)]


PARTS: dict[str, Callable[[Bench], list[Finding]]] = {
    "accuracy": accuracy,
    "held_out": held_out,
    "speed": speed,
    "whole": whole,
    "recordings": recordings,
    "boost": boost,
    "confidences": confidences,
    "ngram": ngram,
}


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", type=Path, default=ROOT / "models" / "asr")
    parser.add_argument("--corpus", type=Path, default=ROOT / "data" / "corpus")
    parser.add_argument("--work", type=Path, help="folder for intermediate files (a temporary one)")
    parser.add_argument("--hours", type=float, nargs="*", default=[1.0, 4.0], help="lengths of the recordings")
    parser.add_argument("--parts", nargs="*", choices=sorted(PARTS), default=list(PARTS))
    args = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as temporary:
        report(args.run_dir.resolve(), args.corpus.resolve(), (args.work or Path(temporary)).resolve(), args)


def report(run_dir: Path, corpus: Path, work: Path, args: argparse.Namespace) -> None:
    """Run the parts; print the findings and then the tables of all parts, also when a part fails."""
    started = time.perf_counter()
    details = io.StringIO()
    findings: list[Finding] = []
    try:
        with contextlib.redirect_stdout(details):
            bench = prepare(run_dir, corpus, work, args.hours)
            for part in tqdm(args.parts, desc="benchmark", disable=None):
                print(f"### {part}\n\n{PARTS[part].__doc__}\n")
                findings += PARTS[part](bench)
    finally:
        minutes = (time.perf_counter() - started) / 60
        git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        print("## decode: accuracy, speed, memory, boosting, confidence\n")
        print(f"`{' '.join(['python -m benchmarks.decode', *sys.argv[1:]])}`; {os.cpu_count()} CPU cores; ", end="")
        print(f"commit {git.stdout.strip()}; {minutes:.1f} minutes in all.\n")
        table(("quantity", "target", "measured"), findings)
        print(details.getvalue().rstrip())


if __name__ == "__main__":
    main()
