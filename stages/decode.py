"""Stage decode: search log-probabilities for text with word times, confidences and slots."""

import json
import logging
import time
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from atc_asr.atc.grammar.structure import add_slots
from atc_asr.atc.vocabulary.operators import load_operators
from atc_asr.core import cli, messages
from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.core.outputs import check_file, is_stream, together
from atc_asr.core.params import OperatorsParams
from atc_asr.decoding.boost import CallsignBoost, read_expected
from atc_asr.decoding.params import DecodeFlags, DecodeParams
from atc_asr.decoding.search import Job, SearchSources, check_boost, decode_all, describe, log_search, resolve
from atc_asr.hypotheses.confidence import read_calibration, recalibrate
from atc_asr.hypotheses.hypotheses import LIKE, Hypothesis, write_hypotheses
from atc_asr.posteriors.params import PosteriorsParams
from atc_asr.posteriors.store import PosteriorsMeta, StoredPosteriors
from atc_asr.tokenizer.tokens import Tokens

log = logging.getLogger(__name__)

OUT_FILE = "decode.jsonl"
SEARCH_SUFFIX = ".search.json"  # of the file beside it that names the search
SEARCH_LIKE = r'\{\s*"search": '

# (index of the utterance, its log-probabilities (T, V) or its row in a file of log-probabilities)
Rows = Iterator[tuple[int, np.ndarray | int]]


def load_rows(params: PosteriorsParams, flags: DecodeFlags) -> tuple[PosteriorsMeta, Tokens, Rows]:
    """Utterances, tokens and log-probabilities, stored or computed from manifests.

    Raises:
        InputError: both or neither were given, or a file cannot be used.
    """
    if flags.posteriors is not None and flags.manifest is None:
        stored = StoredPosteriors(flags.posteriors)
        rows = range(len(stored.meta.ids))
        return stored.meta, stored.load_tokens(flags.checkpoint_dir), zip(rows, rows, strict=True)
    if flags.manifest is None or flags.posteriors is not None:
        got = "neither" if flags.manifest is None else "both"
        raise InputError(f"--manifest, --posteriors: got {got}, wanted one of them")
    # Imported here because decoding stored log-probabilities does not need torch.
    from atc_asr.posteriors.forward import run_network

    return run_network(
        flags.checkpoint_dir,
        flags.manifest,
        batch_seconds=params.batch_seconds,
        hparams_file=flags.hparams_file,
        trust=flags.trust,
    )


def decode_rows(
    params: DecodeParams, meta: PosteriorsMeta, tokens: Tokens, rows: Rows, sources: SearchSources, boost: CallsignBoost
) -> list[Hypothesis]:
    """Hypotheses of all rows in the order of `meta.ids`, with a progress bar in seconds of audio."""
    durations = dict(zip(meta.ids, meta.durations, strict=True))
    jobs = (
        Job(meta.ids[row], log_probs, boost.forms(meta.ids[row], 0.0, meta.durations[row])) for row, log_probs in rows
    )
    hypotheses: dict[str, Hypothesis] = {}
    started = time.perf_counter()
    with tqdm(total=round(sum(meta.durations), 1), unit="s", desc="decode", disable=None, smoothing=0) as bar:
        for hypothesis in decode_all(params, tokens, meta.frame_seconds, sources, jobs):
            hypotheses[hypothesis.id] = hypothesis
            bar.update(durations[hypothesis.id])
            bar.set_postfix_str(f"{bar.n / (time.perf_counter() - started):.0f} x real time", refresh=False)
    seconds, audio = time.perf_counter() - started, sum(meta.durations)
    log.info(messages.DECODE_DONE, len(hypotheses), audio, seconds, audio / seconds)
    return [hypotheses[utterance_id] for utterance_id in meta.ids]


def run(
    params: DecodeParams, posteriors_params: PosteriorsParams, operators: OperatorsParams, flags: DecodeFlags
) -> None:
    """Decode manifests or stored log-probabilities.

    Raises:
        InputError: an input cannot be used; no file is written.
    """
    sources = SearchSources(lm_dir=flags.lm_dir, lexicon=flags.lexicon, posteriors=flags.posteriors)
    asked, params = params, resolve(params, sources)
    out_file = flags.out_file or flags.checkpoint_dir / OUT_FILE
    check_file(out_file, LIKE)
    if flags.boost is not None:
        check_boost(params)
    boost = CallsignBoost(read_expected(flags.boost) if flags.boost is not None else [], operators.operators)
    meta, tokens, rows = load_rows(posteriors_params, flags)
    calibration = read_calibration(flags.calibration) if flags.calibration is not None else None
    log_search(asked, params)
    hypotheses = decode_rows(params, meta, tokens, rows, sources, boost)
    if calibration is not None:
        hypotheses = [recalibrate(calibration, hypothesis) for hypothesis in hypotheses]
    if params.slots:
        known = load_operators(operators.operators)
        hypotheses = [add_slots(hypothesis, known) for hypothesis in hypotheses]
    with together():
        write_hypotheses(out_file, hypotheses)
        if not is_stream(out_file):
            write_text(out_file.with_suffix(SEARCH_SUFFIX), json.dumps(describe(params), indent=2) + "\n", SEARCH_LIKE)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, DecodeParams, PosteriorsParams, OperatorsParams, DecodeFlags))


if __name__ == "__main__":
    cli.enter(main)
