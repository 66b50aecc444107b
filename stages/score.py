"""score: compare hypotheses with references.

Reads   ref_manifest     CSV or JSONL, and the audio beside it when score.estimate_snr is true
        hyp_file         decode.jsonl
Writes  metrics_file     numbers only, rates in per cent with intervals: WER, CER, ATC scorecard, normalisation ladder
        alignments_file  every utterance, reference above hypothesis
when asked
        slices_file      CSV, WER by slice with intervals
        confusions_file  CSV, substitutions among the most confused words, one a row
        words_file       CSV, recall of every word and what it is confused with
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import soundfile
from tqdm import tqdm

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.files import new_file
from atc_asr.core.manifest import Utterance
from atc_asr.scoring import atc, bootstrap, levels, pairs, scores, slices
from atc_asr.scoring.params import ScoreParams
from atc_asr.tracking.record import write_metrics
from atc_asr.wer import wer

SECTIONS = (ScoreParams,)


def run(
    params: ScoreParams,
    *,
    ref_manifest: Sequence[Path],
    hyp_file: Path,
    metrics_file: Path,
    alignments_file: Path,
    slices_file: Path | None,
    confusions_file: Path | None,
    words_file: Path | None,
) -> None:
    """Score hypotheses against the transcripts of manifests.

    Raises:
        InputError: a file cannot be used, an id has no partner, or texts are of another normalisation.
    """
    corpus = pairs.read_pairs(ref_manifest, hyp_file, normalize_hypotheses=params.normalize_hypotheses)
    utterances = corpus.utterances
    truths = pairs.read_column(utterances, params.callsign_column, "score.callsign_column")
    groups = pairs.read_groups(utterances, params.group_column)
    scored = [wer.score_pair(pair) for pair in corpus.pairs]
    cards = [atc.make_card(item, truth) for item, truth in zip(scored, truths or [None] * len(scored), strict=True)]
    divisions = divide(params, utterances, scored) if slices_file else []

    by_slice = slices.rates(scored, divisions)
    scorecard = atc.rates(cards)
    intervals = bootstrap.intervals(
        [*scores.error_rates(scored), *scorecard, *by_slice.values()],
        groups=groups,
        resamples=params.resamples,
        confidence=params.confidence,
        seed=params.seed,
    )
    intervals |= {
        rate.name: bootstrap.widen_unanimous(intervals[rate.name], rate, groups=groups, confidence=params.confidence)
        for rate in scorecard
    }
    of_slices = {key: intervals.pop(rate.name) for key, rate in by_slice.items()}
    metrics = scores.make_metrics(scored, cards, intervals, levels.wer_by_level(corpus.written))
    metrics["confidence"] = params.confidence
    words = slices.score_words(scored)
    tables = (
        (slices_file, scores.SLICE_COLUMNS, scores.slice_rows(of_slices, slices.group_sizes(divisions))),
        (confusions_file, scores.CONFUSION_COLUMNS, slices.list_confusions(words, params.confused_words)),
        (words_file, scores.WORD_COLUMNS, scores.word_rows(words)),
    )
    with ExitStack() as outputs:
        alignments = outputs.enter_context(new_file(alignments_file))
        with open(alignments, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(wer.format_alignments(scored))
        for path, header, rows in tables:
            if path is not None:
                scores.write_table(outputs.enter_context(new_file(path)), header, rows)
        write_metrics(outputs.enter_context(new_file(metrics_file)), metrics)


def divide(
    params: ScoreParams, utterances: Sequence[Utterance], scored: Sequence[wer.ScoredPair]
) -> list[slices.Slice]:
    """The slices that the manifest allows."""
    durations = [utterance.duration for utterance in utterances]
    word_rates = [
        slices.speaking_rate(item.words.ref_length, duration) for item, duration in zip(scored, durations, strict=True)
    ]
    divisions = [
        slices.slice_by_number("duration", durations, params.duration_edges, "s"),
        slices.slice_by_number("speaking rate", word_rates, params.rate_edges, "words/min"),
    ]
    if params.estimate_snr:
        ratios = [read_snr(utterance) for utterance in tqdm(utterances, desc="estimating SNR", disable=None)]
        divisions.append(slices.slice_by_number("SNR", ratios, params.snr_edges, "dB"))
    for name in params.slice_columns:
        values = [utterance.columns.get(name) for utterance in utterances]
        if any(values):
            divisions.append(slices.slice_by_column(name, values))
    return divisions


def read_snr(utterance: Utterance) -> float | None:
    """The estimated signal-to-noise ratio of an utterance's audio in dB.

    Raises:
        InputError: the audio cannot be read.
    """
    try:
        samples, sample_rate = soundfile.read(utterance.wav, dtype="float32")
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{utterance.wav} (id {utterance.id}): cannot be read as audio: {error}") from error
    return slices.estimate_snr(samples, sample_rate)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--ref_manifest", nargs="+", required=True, help="manifests with the references")
    door.path("--hyp_file", required=True, help="hypotheses, decode.jsonl")
    door.path("--metrics_file", required=True, help="scores to write, JSON")
    door.path("--alignments_file", required=True, help="alignments to write, text")
    door.path("--slices_file", help="WER by slice to write, CSV")
    door.path("--confusions_file", help="confused words to write, CSV")
    door.path("--words_file", help="recall of words to write, CSV")
    args = door.parse(argv)
    run(*args.sections, **vars(args.paths))


if __name__ == "__main__":
    enter(main)
