"""decode: log-probabilities of the network -> text with times and confidence.

Reads   checkpoint_dir   run folder of stages.train (network and tokens)
        manifest         CSV or JSONL with id,wav,duration,transcript; several are decoded as one
        or posteriors    stored log-probabilities of stages.posteriors: then only the search runs
        lm_dir           language model and lexicon of stages.lm (decode.lm_weight > 0, or decode.search: lexicon)
        boost            CSV of callsigns expected on frequency, which the lexicon search favours
Writes  out_file         decode.jsonl, lines in manifest order (not given: <checkpoint_dir>/decode.jsonl)
"""

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.decoding.boost import CallsignBoost, read_expected
from atc_asr.decoding.params import DecodeParams
from atc_asr.decoding.search import Job, SearchSources, check_boost, decode_all
from atc_asr.hypotheses.confidence import read_calibration, recalibrate
from atc_asr.hypotheses.hypotheses import Hypothesis, write_hypotheses
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.posteriors.store import PosteriorsMeta, StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens

log = logging.getLogger(__name__)

SECTIONS = (DecodeParams, PosteriorsParams)
OUT_FILE = "decode.jsonl"

Rows = Iterator[tuple[int, np.ndarray | int]]  # row of the manifest; log-probabilities, or their row in a file


def from_stored(checkpoint_dir: Path, posteriors: Path) -> tuple[PosteriorsMeta, Tokens, Rows]:
    """Log-probabilities of a file, with the tokens of the run that made it."""
    stored = StoredPosteriors(posteriors)
    tokens = Tokens.load(checkpoint_dir)
    if stored.meta.symbols != tokens.symbols:
        raise InputError(f"{posteriors}: was made with other tokens than {checkpoint_dir} holds")
    rows = range(len(stored.meta.ids))
    return stored.meta, tokens, zip(rows, rows, strict=True)


def decode_rows(
    params: DecodeParams,
    meta: PosteriorsMeta,
    tokens: Tokens,
    rows: Rows,
    *,
    sources: SearchSources,
    boost: CallsignBoost,
) -> list[Hypothesis]:
    """Hypotheses of all rows, in the order of `meta.ids`, with a progress bar in seconds of audio."""
    durations = dict(zip(meta.ids, meta.durations, strict=True))
    jobs = (
        Job(meta.ids[row], log_probs, boost.forms(meta.ids[row], 0.0, meta.durations[row])) for row, log_probs in rows
    )
    found: dict[str, Hypothesis] = {}
    started = time.perf_counter()
    with tqdm(total=round(sum(meta.durations), 1), unit="s", desc="decode", disable=None, smoothing=0) as bar:
        for hypothesis in decode_all(params, tokens, meta.frame_seconds, sources, jobs):
            found[hypothesis.id] = hypothesis
            bar.update(durations[hypothesis.id])
            bar.set_postfix_str(f"{bar.n / (time.perf_counter() - started):.0f} x real time", refresh=False)
    seconds = time.perf_counter() - started
    audio = sum(meta.durations)
    log.info("%d utterances, %.0f s of audio in %.1f s: %.0f x real time", len(found), audio, seconds, audio / seconds)
    return [found[utterance_id] for utterance_id in meta.ids]


def run(
    params: DecodeParams,
    posteriors_params: PosteriorsParams,
    *,
    checkpoint_dir: Path,
    out_file: Path,
    manifest: Sequence[Path] | None = None,
    posteriors: Path | None = None,
    hparams_file: Path | None = None,
    sources: SearchSources,
    boost: Path | None = None,
    calibration: Path | None = None,
) -> None:
    """Decode manifests, or stored log-probabilities, with one run.

    Raises:
        InputError: an input cannot be used; nothing is written then.
    """
    if (manifest is None) == (posteriors is None):
        raise InputError("--manifest, --posteriors: got both or neither, wanted one of them")
    if boost is not None:
        check_boost(params)
    expected = CallsignBoost(read_expected(boost) if boost is not None else [])
    if posteriors is not None:
        meta, tokens, rows = from_stored(checkpoint_dir, posteriors)
    else:
        # Here and not above: stored log-probabilities are decoded without torch.
        from atc_asr.posteriors.forward import run_network

        meta, tokens, rows = run_network(
            checkpoint_dir, manifest, hparams_file=hparams_file, batch_seconds=posteriors_params.batch_seconds
        )
    scale = read_calibration(calibration) if calibration is not None else None
    sources = dataclasses.replace(sources, posteriors=posteriors)
    hypotheses = decode_rows(params, meta, tokens, rows, sources=sources, boost=expected)
    write_hypotheses(out_file, [recalibrate(scale, one) for one in hypotheses] if scale is not None else hypotheses)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--checkpoint_dir", required=True, help="run folder of stages.train")
    door.path("--hparams_file", help="HyperPyYAML of the network (<checkpoint_dir>/hyperparams.yaml)")
    door.path("--manifest", nargs="+", help="manifests to decode, CSV or JSONL")
    door.path("--posteriors", help="stored log-probabilities to decode instead of manifests")
    door.path("--out_file", help="hypotheses (<checkpoint_dir>/decode.jsonl)")
    door.path("--lm_dir", help="language model folder of stages.lm")
    door.path("--lexicon", help="text file of further words for decode.search: lexicon, one a line")
    door.path("--boost", help="CSV of callsigns expected on frequency (callsign[,file,start,end])")
    door.path("--calibration", help="calibration of stages.calibrate for the word confidences")
    args = door.parse(argv)
    paths = args.paths
    run(
        *args.sections,
        checkpoint_dir=paths.checkpoint_dir,
        out_file=paths.out_file or paths.checkpoint_dir / OUT_FILE,
        manifest=paths.manifest,
        posteriors=paths.posteriors,
        hparams_file=paths.hparams_file,
        boost=paths.boost,
        calibration=paths.calibration,
        sources=SearchSources(lm_dir=paths.lm_dir, lexicon=paths.lexicon),
    )


if __name__ == "__main__":
    enter(main)
