"""compare: is recogniser B better than A? A paired bootstrap on the same utterances.

    python -m atc_asr.commands.compare old.jsonl new.jsonl --ref_manifest data/corpus/*/test.csv
    python -m atc_asr.commands.compare main workspace --ref_manifest data/corpus/*/test.csv --hyp_path data/hyps/test.jsonl

Reads   a, b          each a decode.jsonl, a revision (commit, branch, tag or DVC experiment) whose hyp_path is taken,
                      or `workspace` for the hyp_path that lies here
        ref_manifest  the references, from the workspace
Prints  rates of both, differences with intervals and p, wins and losses, and whether the difference can be told
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.files import write_text
from atc_asr.scoring.comparison import Comparison, compare, format_comparison
from atc_asr.scoring.pairs import read_pairs
from atc_asr.scoring.params import ScoreParams

SECTIONS = (ScoreParams,)
WORKSPACE = "workspace"


def run(
    params: ScoreParams, *, a: str, b: str, ref_manifest: Sequence[Path], hyp_path: Path | None, root: Path
) -> Comparison:
    """Compare two sets of hypotheses for the same references.

    Args:
        params: how wide the intervals are, and what is resampled.
        a: a decode.jsonl or a revision of the repository.
        b: as `a`.
        ref_manifest: manifests with the references.
        hyp_path: the decode.jsonl within a revision, from the repository's root.
        root: the repository.

    Raises:
        InputError: a file or revision cannot be used, or an id has no partner.
    """
    corpora = []
    for source in (a, b):
        with open_hypotheses(source, hyp_path, root) as hyp_file:
            corpora.append(read_pairs(ref_manifest, hyp_file, normalize_hypotheses=params.normalize_hypotheses))
    return compare(*corpora, params)


@contextlib.contextmanager
def open_hypotheses(source: str, hyp_path: Path | None, root: Path) -> Iterator[Path]:
    """The decode.jsonl that a file name or a revision stands for, as a file.

    Raises:
        InputError: it is neither, or the revision does not have `hyp_path`.
    """
    if Path(source).is_file():
        yield Path(source)
    elif hyp_path is None:
        raise InputError(f"{source}: no such file; to compare revisions, name the hypotheses with --hyp_path")
    elif source == WORKSPACE:
        yield root / hyp_path
    else:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / source.replace("/", "_") / hyp_path.name
            write_text(copy, read_revision(source, hyp_path, root))
            yield copy


def read_revision(revision: str, path: Path, root: Path) -> str:
    """A file of git or DVC as a revision has it; from DVC's cache, else from its remote.

    Raises:
        InputError: the revision is unknown, or does not have the file.
    """
    # DVC takes a second to import, which two files do not need
    import dvc.api
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        return dvc.api.read(path.as_posix(), repo=str(root), rev=revision, encoding="utf-8")
    except (DvcException, SCMError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{revision}: is no file, and as a revision gives no {path}: {reason}") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the tool."""
    door = Door(__doc__, sections=SECTIONS)
    door.path("a", type=str, help="decode.jsonl or revision")
    door.path("b", type=str, help="decode.jsonl or revision")
    door.path("--ref_manifest", nargs="+", required=True, help="manifests with the references")
    door.path("--hyp_path", help="decode.jsonl within a revision, for instance data/hyps/test.jsonl")
    args = door.parse(argv)
    sys.stdout.write(format_comparison(run(*args.sections, **vars(args.paths), root=Path())) + "\n")


if __name__ == "__main__":
    enter(main)
