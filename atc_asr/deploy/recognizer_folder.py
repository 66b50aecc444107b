"""The recogniser folder: all that a transcription needs, on a machine without torch and without this repository.

    recognizer.json   version of the format, version of the text rules, size of every other file but the last two
    network.onnx      waveforms -> log-probabilities, with features and normaliser (atc_asr/deploy/onnx_export.py)
    tokens.txt        output tokens, with spm.model for SentencePiece
    lm/               lexicon and n-gram of stages.lm
    calibration.json  calibration of the word confidences
    operators.csv     the user's operators (score.operators)
    params.yaml       decode, posteriors, segment and score.operators, as the run has them; flags replace them
    README.md         model card, as the Hub shows it

Nothing in it is executed; the folder may come from anyone.
"""

import json
import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from atc_asr.core import files, messages, outputs, text
from atc_asr.core.config import Section
from atc_asr.core.documents import read_json
from atc_asr.core.errors import InputError
from atc_asr.tokenizer.tokens import SPM_FILE, TOKENS_FILE, Tokens

log = logging.getLogger(__name__)

FORMAT = 1  # of the folder; a program reads only its own
DESCRIPTION, NETWORK, LM, CALIBRATION = "recognizer.json", "network.onnx", "lm", "calibration.json"
OPERATORS, PARAMS, README = "operators.csv", "params.yaml", "README.md"
LM_FILES = ("words.txt", "word.arpa", "token.arpa")  # as in atc_asr.lm.ngram
NAMES = (DESCRIPTION, NETWORK, TOKENS_FILE, SPM_FILE, LM, CALIBRATION, OPERATORS, PARAMS, README)
REQUIRED = (NETWORK, TOKENS_FILE)
SIZED = (*REQUIRED, SPM_FILE, *(f"{LM}/{name}" for name in LM_FILES), CALIBRATION, OPERATORS)
RUN_FILES = ("hyperparams.yaml", "model.ckpt")  # of a run folder


@dataclass(frozen=True)
class RecognizerFolder:
    """A recogniser folder whose files are complete; None for what it does not have."""

    path: Path
    tokens: Tokens
    lm_dir: Path | None
    calibration: Path | None
    operators: Path | None

    @property
    def network(self) -> Path:
        """The ONNX file."""
        return self.path / NETWORK


def find_params(path: Path) -> Path:
    """The parameter file of a recogniser folder.

    Raises:
        InputError: the path is no recogniser folder; the message says how to make one.
    """
    if not (path / DESCRIPTION).is_file():
        if any((path / name).is_file() for name in RUN_FILES):
            make = f"atc-asr package --checkpoint_dir {path} --lm_dir models/lm --out_dir models/recognizer"
            raise InputError(f"{path}: got a run folder, wanted a recogniser folder, which this makes: {make}")
        raise InputError(f"{path}: has no {DESCRIPTION}, wanted a recogniser folder of stages.package first")
    return path / PARAMS


def open_folder(path: Path) -> RecognizerFolder:
    """Check that a recogniser folder is complete and of this version, and read its tokens.

    Raises:
        InputError: it is not; the message names the file.
    """
    find_params(path)
    where = path / DESCRIPTION
    content = read_json(where)
    if content.get("format") != FORMAT:
        got = content.get("format")
        raise InputError(f"{where}: got format {got!r}, wanted {FORMAT}: it is of another version of this program")
    sizes = content.get("files")
    if not isinstance(sizes, dict) or not set(REQUIRED) <= set(sizes) <= set(SIZED):
        raise InputError(f"{where}: got files {sizes!r}, wanted the sizes of {', '.join(REQUIRED)} and others")
    for name, size in sizes.items():
        if not (path / name).is_file():
            raise InputError(f"{path / name}: no such file, wanted the complete recogniser folder")
        got = (path / name).stat().st_size
        if got != size:
            raise InputError(f"{path / name}: got {got} bytes, wanted {size!r} (the file is incomplete or changed)")
    if content.get("text_version") != text.VERSION:
        log.warning(messages.OTHER_TEXT_VERSION, where, content.get("text_version"), text.VERSION)
    return RecognizerFolder(
        path,
        Tokens.load(path),
        path / LM if f"{LM}/{LM_FILES[0]}" in sizes else None,
        path / CALIBRATION if CALIBRATION in sizes else None,
        path / OPERATORS if OPERATORS in sizes else None,
    )


def copy_lm(lm_dir: Path, folder: Path) -> None:
    """Copy the lexicon and the n-grams of a folder of stages.lm into a recogniser folder.

    Raises:
        InputError: it has no lexicon.
    """
    (folder / LM).mkdir()
    for name in LM_FILES:
        if name == LM_FILES[0] or (lm_dir / name).exists():
            copy(lm_dir / name, folder / LM / name)


def copy(source: Path, target: Path) -> None:
    """Copy a file without its mode: those of DVC's cache are read-only.

    Raises:
        InputError: it cannot be read.
    """
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from error


def params_text(sections: Iterable[Section]) -> str:
    """A parameter file of some sections, with help texts as in params.yaml."""
    lines = []
    for section in sections:
        lines.append(f"{section.section}:")
        for key, field in type(section).model_fields.items():
            lines.append(f"  {key}: {json.dumps(getattr(section, key), ensure_ascii=False)}  # {field.description}")
    return "\n".join(lines) + "\n"


def finish(folder: Path, sections: Sequence[Section], card: str) -> None:
    """Write the parameters, the card and recognizer.json of a folder whose other files are complete."""
    files.write_text(folder / PARAMS, params_text(sections), outputs.ANY)
    files.write_text(folder / README, card, outputs.ANY)
    sizes = {name: (folder / name).stat().st_size for name in SIZED if (folder / name).is_file()}
    content = {"format": FORMAT, "text_version": text.VERSION, "files": sizes}
    files.write_text(folder / DESCRIPTION, json.dumps(content, indent=2) + "\n", outputs.ANY)
