"""lm: a lexicon and n-gram language models from the train transcripts.

Reads   train_manifest  manifests whose transcripts are counted
        extra_text      further text files, a sentence a line, normalised as transcripts are
        valid_manifest  manifests whose perplexity is measured
        tokenizer_dir   tokens of stages.tokenizer (only for lm.token_order > 0)
Writes  out_dir/        word.arpa, words.txt (the lexicon) and, when asked, token.arpa
        metrics_file    sizes, discounts, perplexity on valid

ARPA and not KenLM's binary form: kenlm's wheel can read that but has nothing that writes it (`build_binary`).
"""

from collections.abc import Sequence
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.files import new_folder
from atc_asr.core.manifest import read_manifests
from atc_asr.core.text import normalize
from atc_asr.lm.lexicon import write_words
from atc_asr.lm.ngram import TOKEN_ARPA, WORD_ARPA, WORDS_FILE, NgramModel, estimate, load_kenlm, perplexity, write_arpa
from atc_asr.lm.params import LmParams
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.tracking.record import write_metrics

SECTIONS = (LmParams,)


def read_text(path: Path) -> list[str]:
    """Normalised lines of a text file, empty ones left out.

    Raises:
        InputError: the file cannot be read or holds no text.
    """
    try:
        lines = [normalize(line) for line in Path(path).read_text(encoding="utf-8").split("\n")]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 at byte {error.start}, wanted a sentence a line") from error
    sentences = [line for line in lines if line]
    if not sentences:
        raise InputError(f"{path}: holds no text, wanted a sentence a line")
    return sentences


def describe(unit: str, model: NgramModel, arpa: Path, sentences: Sequence[str]) -> dict[str, float]:
    """Metrics of one model on sentences whose units are parted by spaces."""
    measured = perplexity(load_kenlm(arpa), sentences)
    metrics = {f"{unit}_{k}grams": len(gram.word) for k, gram in enumerate(model.grams, start=1)}
    for k, discounts in enumerate(model.discounts, start=1):
        metrics |= {f"{unit}_{k}gram_discount_{count}": value for count, value in enumerate(discounts, start=1)}
    return metrics | {
        f"{unit}_fallback_orders": len(model.fallbacks),
        f"{unit}_valid_perplexity": measured.with_oov,
        f"{unit}_valid_perplexity_known": measured.without_oov,
        f"{unit}_valid_oov_rate": measured.oov_rate,
    }


def token_sentences(sentences: Sequence[str], tokens: Tokens) -> list[list[str]]:
    """Sentences as token symbols."""
    return [[tokens.symbols[number] for number in tokens.encode(sentence)] for sentence in sentences]


def run(
    params: LmParams,
    *,
    train_manifest: Sequence[Path],
    valid_manifest: Sequence[Path],
    extra_text: Sequence[Path],
    tokenizer_dir: Path | None,
    out_dir: Path,
    metrics_file: Path,
) -> None:
    """Estimate the language models and measure them.

    Raises:
        InputError: a file cannot be used, or there is too little text for the order.
    """
    if params.token_order and tokenizer_dir is None:
        raise InputError(f"lm.token_order: got {params.token_order} without --tokenizer_dir, wanted the tokens")
    sentences = [utterance.transcript for utterance in read_manifests(train_manifest)]
    sentences += [line for path in extra_text for line in read_text(path)]
    valid = [utterance.transcript for utterance in read_manifests(valid_manifest)]
    with new_folder(out_dir) as folder:
        model = estimate((sentence.split() for sentence in sentences), params.order)
        write_arpa(folder / WORD_ARPA, model)
        write_words(folder / WORDS_FILE, model.words[3:])
        metrics = {"sentences": len(sentences)} | describe("word", model, folder / WORD_ARPA, valid)
        if params.token_order:
            tokens = Tokens.load(tokenizer_dir)
            spellable = [sentence for sentence in valid if not tokens.unknown(sentence)]
            model = estimate(token_sentences(sentences, tokens), params.token_order)
            write_arpa(folder / TOKEN_ARPA, model)
            lines = [" ".join(sentence) for sentence in token_sentences(spellable, tokens)]
            metrics |= describe("token", model, folder / TOKEN_ARPA, lines)
        write_metrics(metrics_file, metrics)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("--train_manifest", nargs="+", required=True, help="train manifests, CSV or JSONL")
    door.path("--valid_manifest", nargs="+", required=True, help="validation manifests, CSV or JSONL")
    door.path("--extra_text", nargs="*", default=[], help="further text files, a sentence a line")
    door.path("--tokenizer_dir", help="folder of stages.tokenizer")
    door.path("--out_dir", required=True, help="folder of the language model")
    door.path("--metrics_file", required=True, help="metrics of the language model, JSON")
    args = door.parse(argv)
    run(*args.sections, **vars(args.paths))


if __name__ == "__main__":
    enter(main)
