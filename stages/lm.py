"""Stage lm: estimate a lexicon and n-gram language models from the train transcripts."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from atc_asr.core import cli
from atc_asr.core.errors import InputError
from atc_asr.core.manifest import each_utterance
from atc_asr.core.outputs import new_folder, together
from atc_asr.lm.lexicon import read_sentences, write_words
from atc_asr.lm.ngram import TOKEN_ARPA, WORD_ARPA, WORDS_FILE, NgramModel, estimate, load_kenlm, perplexity, write_arpa
from atc_asr.lm.params import LmFlags, LmParams
from atc_asr.tokenizer.tokens import Tokens
from atc_asr.tracking.record import write_metrics

STATS_FILE = "stats.json"
FILES = (WORD_ARPA, TOKEN_ARPA, WORDS_FILE, STATS_FILE)


def build(
    arpa: Path, order: int, train: Iterable[Sequence[str]], valid: Iterable[Sequence[str]]
) -> tuple[NgramModel, dict[str, Any]]:
    """Estimate a model on train sentences of words or tokens, write it, and measure its perplexity on valid."""
    model = estimate(train, order)
    write_arpa(arpa, model)
    with_oov, without_oov, oov_rate = perplexity(load_kenlm(arpa), map(" ".join, valid))
    return model, {
        "ngrams": [len(gram.word) for gram in model.grams],
        "discounts": model.discounts,
        "fallback_orders": model.fallbacks,
        "valid_perplexity": with_oov,
        "valid_perplexity_without_oov": without_oov,
        "valid_oov_rate": oov_rate,
    }


def run(params: LmParams, flags: LmFlags) -> None:
    """Estimate the language models and measure them on valid.

    Raises:
        InputError: a file cannot be used, or there is too little text for the order.
    """
    if params.token_order and flags.tokenizer_dir is None:
        raise InputError(f"lm.token_order: got {params.token_order} without --tokenizer_dir, wanted a folder of tokens")
    sentences = [utterance.transcript for utterance in each_utterance(flags.train_manifest)]
    sentences += [sentence for path in flags.extra_text for sentence in read_sentences(path)]
    valid = [utterance.transcript for utterance in each_utterance(flags.valid_manifest)]
    with together():
        with new_folder(flags.out_dir, FILES) as folder:
            model, word_stats = build(
                folder / WORD_ARPA, params.order, map(str.split, sentences), map(str.split, valid)
            )
            write_words(folder / WORDS_FILE, model.words[3:])
            stats = {"sentences": len(sentences), "word": word_stats}
            if params.token_order and flags.tokenizer_dir is not None:
                tokens = Tokens.load(flags.tokenizer_dir)
                train_symbols = [[tokens.symbols[number] for number in tokens.encode(text)] for text in sentences]
                spellable = [text for text in valid if not tokens.unknown(text)]
                valid_symbols = [[tokens.symbols[number] for number in tokens.encode(text)] for text in spellable]
                _, stats["token"] = build(folder / TOKEN_ARPA, params.token_order, train_symbols, valid_symbols)
            write_metrics(folder / STATS_FILE, stats)
        write_metrics(flags.metrics_file, {"perplexity": word_stats["valid_perplexity"]})


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    run(*cli.parse(argv, LmParams, LmFlags))


if __name__ == "__main__":
    cli.enter(main)
