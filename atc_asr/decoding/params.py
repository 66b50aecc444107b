"""Parameters and flags of the stage decode."""

from pathlib import Path
from typing import ClassVar, Literal

from atc_asr.core.config import Flags, Section, argument, param
from atc_asr.core.errors import InputError


class DecodeParams(Section):
    """Search."""

    section: ClassVar[str] = "decode"
    search: Literal["auto", "greedy", "beam", "lexicon", "lexicon_free"] = param(
        "auto (lexicon with --lm_dir, else greedy or beam by beam_size), greedy, beam, lexicon, lexicon_free"
    )
    beam_size: int = param("beam width; 1 = greedy (search: auto, greedy or beam only)", ge=1)
    lm_weight: float = param("weight of the n-gram's natural log-probability, 0 = off", ge=0)
    word_score: float = param("score added per word, natural log")
    oov_score: float = param("score added per out-of-vocabulary word, natural log", le=0)
    oov_uncertainty_penalty: float = param(
        "score per expected wrong token (1 - probability) of an out-of-vocabulary word, natural log", le=0
    )
    beam_threshold: float = param("hypotheses this far below the best are dropped, natural log", gt=0)
    nbest: int = param("alternatives listed per utterance, 0 = none", ge=0)
    words: bool = param("list words with times and confidence")
    slots: bool = param("list call sign, role of the speaker and slots")
    boost_score: float = param("score added per word of an expected call sign, natural log (with --boost)", ge=0)
    num_processes: int = param("processes of the search, 0 = one per core", ge=0)


def check_search(params: DecodeParams) -> None:
    """Check that the search has the beam and the language model that it needs.

    Not a validator of the section, because `tune` replaces the beam width.

    Raises:
        InputError: names the key.
    """
    search = params.search
    if search in ("lexicon", "lexicon_free") and params.beam_size == 1:
        raise InputError(f"decode.beam_size: got 1 with decode.search {search}, wanted 2 or more (for instance 50)")
    if search == "lexicon_free" and not params.lm_weight:
        raise InputError("decode.lm_weight: got 0 with decode.search lexicon_free, wanted a weight above 0, or beam")


class DecodeFlags(Flags):
    """Search log-probabilities for text with times and confidence.

    Reads   checkpoint_dir   run folder of stages.train (network and tokens)
            manifest         CSV or JSONL with id,wav,duration,transcript, one or several
            or posteriors    log-probabilities of stages.posteriors: then only the search runs
            lm_dir           language model and lexicon of stages.lm (decode.lm_weight > 0, or decode.search: lexicon)
            boost            CSV of call signs expected on frequency, which the lexicon search favours
    Writes  out_file         decode.jsonl, lines in manifest order (<checkpoint_dir>/decode.jsonl)
    """

    checkpoint_dir: Path = argument("run folder of stages.train")
    hparams_file: Path | None = argument("HyperPyYAML of the network (<checkpoint_dir>/hyperparams.yaml)", None)
    trust: bool = argument("execute the run folder's hyperparams.yaml, which can run any code (read it as data)", False)
    manifest: list[Path] | None = argument("manifests to decode, CSV or JSONL", None)
    posteriors: Path | None = argument("log-probabilities to decode instead of manifests", None)
    out_file: Path | None = argument("hypotheses to write (<checkpoint_dir>/decode.jsonl)", None, output=True)
    lm_dir: Path | None = argument("language model folder of stages.lm", None)
    lexicon: Path | None = argument("text file of further words for decode.search: lexicon, one a line", None)
    boost: Path | None = argument("CSV of call signs expected on frequency (callsign[,file,start,end])", None)
    calibration: Path | None = argument("calibration of stages.calibrate for the word confidences", None)
