"""Command compare: is recogniser B better than A?"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from atc_asr.core import cli
from atc_asr.core.config import Flags, argument
from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.core.outputs import ANY
from atc_asr.scoring.comparison import Comparison, compare, format_comparison
from atc_asr.scoring.pairs import read_pairs
from atc_asr.scoring.params import ScoreParams


class CompareFlags(Flags):
    """Compare two recognisers on the same utterances: a paired bootstrap.

        atc-asr compare old.jsonl new.jsonl --ref_manifest data/corpus/*/test.csv
        atc-asr compare main workspace --ref_manifest data/corpus/*/test.csv --hyp_path data/hyps/test.jsonl

    A and B are each a decode.jsonl, or a revision (commit, branch, tag or DVC experiment) whose hyp_path is read, or
    `workspace` for the hyp_path of the working tree. The references come from the working tree.

    Prints the rates of A and B, their differences with intervals and p values, and whether the WER differs
    significantly, over all utterances and on each corpus of the manifest column `corpus`.
    """

    a: str = argument("decode.jsonl or revision", positional=True)
    b: str = argument("decode.jsonl or revision", positional=True)
    ref_manifest: list[Path] = argument("manifests with the references")
    hyp_path: Path | None = argument("decode.jsonl within a revision, for instance data/hyps/test.jsonl", None)


def run(params: ScoreParams, flags: CompareFlags, root: Path = Path()) -> Comparison:
    """Compare two sets of hypotheses for the same references; `root` is the repository that holds the revisions.

    Raises:
        InputError: a file or revision cannot be used, or an id has no partner.
    """
    corpora = []
    with tempfile.TemporaryDirectory() as folder:
        for source in (flags.a, flags.b):
            hyp_file = find_hypotheses(source, flags.hyp_path, root, Path(folder))
            corpora.append(read_pairs(flags.ref_manifest, hyp_file, normalize_hypotheses=params.normalize_hypotheses))
    return compare(corpora[0], corpora[1], params)


def find_hypotheses(source: str, hyp_path: Path | None, root: Path, folder: Path) -> Path:
    """The path of the decode.jsonl that a file name or a revision stands for; a revision's file is copied to `folder`.

    Raises:
        InputError: `source` is neither, or the revision has no `hyp_path`.
    """
    if Path(source).is_file():
        return Path(source)
    if hyp_path is None:
        raise InputError(f"{source}: no such file; to compare revisions, name the hypotheses with --hyp_path")
    if source == "workspace":
        return root / hyp_path
    copy = folder / source.replace("/", "_") / hyp_path.name
    write_text(copy, read_revision(source, hyp_path, root), ANY)
    return copy


def read_revision(revision: str, path: Path, root: Path) -> str:
    """A file of git or DVC at a revision; DVC reads it from its cache, else from its remote.

    Raises:
        InputError: the revision is unknown, or does not have the file.
    """
    # Importing DVC takes a second; comparing two files does not need it.
    import dvc.api
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        return dvc.api.read(path.as_posix(), repo=str(root), rev=revision, encoding="utf-8")
    except (DvcException, SCMError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{revision}: not a file, and as a revision it has no {path}: {reason}") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the command."""
    print(format_comparison(run(*cli.parse(argv, ScoreParams, CompareFlags))))


if __name__ == "__main__":
    cli.enter(main)
