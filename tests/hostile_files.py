"""Untrusted files for every reader of files: all of them must be refused.

    python -m tests.hostile_files

reads each one in a process of its own, and prints those that were not refused as they should be: with one line, exit
code 2, at most 1 GB of memory and 10 s of CPU time.
"""

import io
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from atc_asr.commands import check_params
from atc_asr.core import cli, config, manifest
from atc_asr.decoding.boost import read_expected
from atc_asr.deploy import onnx_export, recognizer_folder
from atc_asr.hypotheses.confidence import read_calibration
from atc_asr.hypotheses.hypotheses import read_hypotheses
from atc_asr.lm.lexicon import read_sentences, read_words
from atc_asr.model.run_folder import load_recognizer
from atc_asr.posteriors.store import PosteriorsMeta, StoredPosteriors, write_posteriors
from atc_asr.report import contents
from atc_asr.tokenizer.tokens import Tokens, char_tokens, train_spm
from atc_asr.tracking.sweep_csv import SWEEP_COLUMNS, read_sweep
from atc_asr.training import pretrained
from atc_asr.transcribe.onnx_network import OnnxNetwork
from tests.tiny_network import save_run

TEXTS = ["DELTA ONE TWO CLIMB", "SPEEDBIRD NINE TURN LEFT", "ROGER RUNWAY THREE", "CONTACT TOWER FIVE BYE"] * 4
MAX_MEMORY = 10**9  # bytes
MAX_SECONDS = 10  # of CPU time


@dataclass(frozen=True)
class Case:
    """A file, and how it is read."""

    reader: str
    name: str
    content: bytes

    @property
    def id(self) -> str:
        """Its name in reports."""
        return f"{self.reader}-{self.name}"

    def read(self, good: Path, folder: Path) -> None:
        """Read the file in a copy (`folder`) of the `good` files."""
        shutil.copytree(good, folder)
        file, read = READERS[self.reader]
        (folder / file).write_bytes(self.content)
        read(folder / file)


def read_posteriors(path: Path) -> None:
    """Read all rows."""
    stored = StoredPosteriors(path)
    for row in range(len(stored.meta.ids)):
        stored.read(row)


def _run_folder(path: Path) -> None:
    load_recognizer(path.parent, device="cpu")


def _network(path: Path) -> None:
    OnnxNetwork(recognizer_folder.RecognizerFolder(path.parent, Tokens.load(path.parent), None, None, None))


# reader -> (path of its file among the good files, function that reads it)
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "params": ("params.yaml", lambda path: check_params.check(config.read_yaml(path), str(path))),
    "hparams": ("run/hyperparams.yaml", _run_folder),
    "model": ("run/model.ckpt", _run_folder),
    "normalizer": ("run/normalizer.ckpt", _run_folder),
    "tokens": ("run/tokens.txt", _run_folder),
    "spm": ("spm/spm.model", lambda path: Tokens.load(path.parent)),
    "source": ("run/hyperparams.yaml", lambda path: pretrained.load(path.parent)),
    "source_tokens": ("run/tokenizer.ckpt", lambda path: pretrained.load(path.parent)),
    "recognizer": ("recognizer/recognizer.json", lambda path: recognizer_folder.open_folder(path.parent)),
    "network": ("recognizer/network.onnx", _network),
    "csv": ("train.csv", manifest.read_manifest),
    "jsonl": ("train.jsonl", manifest.read_manifest),
    "stats": ("stats.json", lambda path: manifest.text_version(path.parent / "train.csv")),
    "hyps": ("hyps.jsonl", read_hypotheses),
    "calibration": ("calibration.json", read_calibration),
    "posteriors": ("posteriors.npz", read_posteriors),
    "words": ("words.txt", read_words),
    "text": ("text.txt", read_sentences),
    "callsigns": ("callsigns.csv", read_expected),
    "sweep": ("sweep.csv", read_sweep),
    "scorecard": ("scorecard.json", contents.read_json),
    "slices": ("slices.csv", lambda path: contents._read_slices(path)),
    "curves": ("curves.csv", lambda path: contents._read_charts(path)),
}
LONG = b"A" * 100_000
BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (level, level, b",".join([b"*a%d" % (level - 1)] * 9)) for level in range(1, 10)
)
# Contents that no reader may accept.
ANYWHERE = {
    "empty": b"",
    "zeros": bytes(5000),
    "bytes": bytes(range(256)) * 20,
    "utf16": "id,wav,duration,transcript\n".encode("utf-16"),
    "latin1": b"caf\xe9\n",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(100),
    "zip": b"PK\x05\x06" + bytes(18),
    "zip-start": b"PK\x03\x04" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "pickle": b"cos\nsystem\n(S'touch /tmp/executed'\ntR.",
    "lists": b"[" * 20_000,
    "objects": b'{"a":' * 20_000,
    "braces": b"{" * 20_000,
    "ones": b"1" * 100_000,
    "quotes": b'"' * 99_999,
    "bomb": BOMB,
    "terminal": b"\x1b]0;title\x07\x1b[2J\x1b[31m\n",
    "direction": "\u202e\u2066\u200f\n".encode(),
}
ACCEPTED = {
    ("sweep", "empty"),  # a new file
    ("text", "ones"),
    ("text", "bomb"),
    ("text", "objects"),
    ("text", "terminal"),  # text
    ("text", "pickle"),
    ("text", "elf"),
    ("text", "zip"),
    ("text", "zip-start"),
}


def _line(**changes: object) -> bytes:
    row = {"id": "a", "wav": "a.wav", "duration": 1.0, "transcript": "ROGER"} | changes
    return json.dumps(row).encode() + b"\n"


def _cells(**changes: str) -> bytes:
    row = {"id": "a", "wav": "a.wav", "duration": "1", "transcript": "ROGER"} | changes
    return (",".join(row) + "\n" + ",".join(row.values()) + "\n").encode()


def _saved(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _posteriors(row: bytes | None = None, **changes: object) -> bytes:
    meta = {"ids": ["a"], "durations": [1.0], "symbols": ["<blank>", "A", "B"], "frame_seconds": 0.04} | changes
    rows = {} if row is None else {"0000000.npy": row}
    return _zip({**rows, "meta.json": json.dumps(meta).encode()})


def special(good: Path) -> Iterator[Case]:
    """Files made for one reader each."""
    params = (good / "params.yaml").read_bytes()

    def in_train(line: bytes) -> bytes:
        return re.sub(rb"(?m)^train:.*\n", lambda match: match[0] + b"  " + line + b"\n", params)

    for name, content in {
        "alias-of-itself": params + b"\nextra: &a [*a]\n",
        "bomb-in-a-section": BOMB + in_train(b"more: *a9"),
        "merge-bomb": BOMB
        + b"b0: &b0 {x: 1}\n"
        + b"".join(b"b%d: &b%d\n  <<: [%s]\n" % (n, n, b",".join([b"*b%d" % (n - 1)] * 9)) for n in range(1, 9)),
        "list": b"- a\n",
        "text": b"a\n",
        "two-documents": b"a: 1\n---\nb: 2\n",
        "object": b"a: !!python/object:x.Y {}\n",
        "number-keys": b"1: 2\n",
        "list-key": b"? [a, b]\n: c\n",
        "null": b"~\n",
        "twice": params + params,
        "long-key": LONG + b": 1\n",
        "long-value": b"train: " + LONG,
        "sections-are-numbers": b"train: 1\nmodel: 2\n",
        "hex": params + b"extra: 0x" + b"f" * 50_000,
        "base60": b"%YAML 1.1\n---\na: 1" + b":1" * 50_000,
        "date": b"a: 2001-99-99\n",
        "unknown-section": params + b"\ntrian: {}\n",
        "escape": b'"\\e[31m": 1\n',
        "many-keys": b"".join(b"k%d: 1\n" % n for n in range(20_000)),
        "long": b"#" * 2_000_000,
        "number-in-section": in_train(b"1: 2"),
        "infinity": re.sub(rb"(?m)^  lr: .*", b"  lr: .inf", params),
        "list-in-train": in_train(b"[1]: 2"),
    }.items():
        yield Case("params", name, content)
    hparams = (good / "run/hyperparams.yaml").read_bytes()
    for name, old, new in (
        ("apply", b"sample_rate: 16000", b"sample_rate: !apply:os.system [touch /tmp/executed]"),
        ("new", b"!new:speechbrain.nnet.linear.Linear", b"!new:os.system"),
        ("extra-argument", b"    apply_log: true", b"    apply_log: true\n    x: !apply:os.getpid []"),
        ("include", b"hop_length: 10", b"hop_length: !include:/etc/passwd"),
        ("missing", b"sample_rate: 16000", b""),
        ("rate", b"sample_rate: 16000", b"sample_rate: 1"),
        ("layers", b"num_layers: 1", b"num_layers: 1000000000"),
        ("layers-0", b"num_layers: 1", b"num_layers: 0"),
        ("layers-2", b"num_layers: 1", b"num_layers: 2"),
        ("layers-many", b"num_layers: 1", b"num_layers: 20000"),
        ("layers-text", b"num_layers: 1", b"num_layers: one"),
        ("layers-list", b"num_layers: 1", b"num_layers: [1]"),
        ("width", b"d_model: 16", b"d_model: 1000000"),
        ("width-2", b"d_model: 16", b"d_model: 32"),
        ("width-own", b"d_model: 16", b"d_model: !ref <d_model>"),
        ("heads", b"num_heads: 2", b"num_heads: 3"),
        ("ffn", b"d_ffn: 32", b"d_ffn: 1000000000000"),
        ("ffn-digits", b"d_ffn: 32", b"d_ffn: " + b"9" * 3000),
        ("kernel", b"kernel_size: 3", b"kernel_size: 1000000001"),
        ("mels", b"n_mels: 20", b"n_mels: 1000000000"),
        ("mels-2", b"n_mels: 20", b"n_mels: 40"),
        ("fft", b"n_fft: 400", b"n_fft: 1000000000"),
        ("window", b"win_length: 25", b"win_length: 1000000000"),
        ("tokens", b"num_tokens: ", b"num_tokens: 1"),
        ("strides", b"strides: [2, 2]", b"strides: [0, 0]"),
        ("strides-text", b"strides: [2, 2]", b"strides: two"),
        ("strides-lists", b"strides: [2, 2]", b"strides: [[2], [2]]"),
        ("strides-many", b"strides: [2, 2]", b"strides: [" + b"2," * 9000 + b"2]"),
        ("channels", b"front_end_channels: [4, 4]", b"front_end_channels: [1000000, 1000000]"),
        ("channels-many", b"front_end_channels: [4, 4]", b"front_end_channels: [" + b"4," * 4000 + b"4]"),
        ("channels-none", b"front_end_channels: [4, 4]", b"front_end_channels: []"),
        ("kernels", b"front_end_kernels: [3, 3]", b"front_end_kernels: [99999, 99999]"),
        ("dropout", b"dropout: 0.1", b"dropout: .nan"),
        ("attention", b'"RelPosMHAXL"', b'"hypermixing"'),
        ("activation", b"!name:speechbrain.nnet.activations.Swish", b"!name:os.system"),
        ("alias", b"n_mels: 20", b"n_mels: &a [*a]"),
        ("bomb-inside", b"n_mels: 20", BOMB + b"n_mels: *a9"),
        ("masks", b"time_masks: 1", b"time_masks: -1"),
        ("tab", b"n_mels: 20", b"n_mels:\t\t- 20"),
    ):
        assert old in hparams, name
        yield Case("hparams", name, hparams.replace(old, new, 1))
    for name, old, new in (
        ("blocks", b"num_blocks: 2", b"num_blocks: 1000000000"),
        ("blocks-text", b"num_blocks: 2", b"num_blocks: two"),
        ("channels", b"front_end_channels: [4, 4]", b"front_end_channels: 4"),
        ("mels", b"n_mels: 20", b"n_mels: [20]"),
        ("strides", b"strides: [2, 2]", b"strides: [[2], [2]]"),
        ("strides-0", b"strides: [2, 2]", b"strides: [0, 0]"),
        ("ring", b"strides: [2, 2]", b"strides: [!ref <ring>, 2]\nring: [!ref <strides>]"),
        (
            "chain",
            b"n_mels: 20",
            b"n_mels: !ref <r0>\n"
            + b"".join(b"r%d: [!ref <r%d>, !ref <r%d>]\n" % (n, n + 1, n + 1) for n in range(40))
            + b"r40: 1",
        ),
        ("tuple", b"strides: [2, 2]", b"strides: (" + b"-" * 1900 + b"2, 2)"),
        (
            "pretrainer-list",
            b"parameter_transfer.Pretrainer\n    loadables:",
            b"parameter_transfer.Pretrainer\n    - a:",
        ),
        ("pretrainer-text", b"    loadables:\n", b"    loadables: model\n    x:\n"),
        ("activation", b"!name:speechbrain.nnet.activations.Swish", b"[Swish]"),
        ("fbank", b"!new:speechbrain.lobes.features.Fbank", b"!new:x.Fbank [1]\nunused:"),
        ("no-network", b"ConvolutionFrontEnd", b"Other"),
        ("two-networks", b"LengthsCapableSequential", b"TransformerASR"),
    ):
        assert old in hparams, name
        yield Case("source", name, hparams.replace(old, new, 1))
    for name, content in {
        "deep": b"'a' => 0\n" + b"(" * 50_000,
        "number": b"'a' => " + b"9" * 5000,
        "no-arrow": b"'a' 0\n",
        "gap": b"'<blank>' => 0\n'a' => 7\n================\n",
        "unary": b"-" * 50_000 + b"1 => 0\n",
    }.items():
        yield Case("source_tokens", name, content)
    state = torch.load(good / "run/model.ckpt", weights_only=True)
    first = next(iter(state))
    huge = torch.zeros(1).expand(10**6, 10**6)
    for name, tensors in {
        "list": [1],
        "number": 1,
        "tensor": torch.zeros(3),
        "number-names": {1: torch.zeros(1)},
        "nothing": {},
        "no-tensors": {"a": 1},
        "one-missing": dict(list(state.items())[1:]),
        "one-more": state | {"x": torch.zeros(1)},
        "shape": state | {first: torch.zeros(3)},
        "scalar": state | {first: torch.tensor(1.0)},
        "text": state | {first: "x"},
        "expanded": state | {first: huge},
        "code": {"x": Evil()},
        "sparse": state | {first: torch.zeros(3).to_sparse()},
    }.items():
        yield Case("model", name, _saved(tensors))
    for size in (1, 100, 2000):
        yield Case("model", f"first-{size}-bytes", (good / "run/model.ckpt").read_bytes()[:size])
    yield Case("model", "compressed", _zip({"archive/data.pkl": bytes(50_000_000)}, zipfile.ZIP_DEFLATED))
    old_format = io.BytesIO()
    torch.save({"x": torch.zeros(4)}, old_format, _use_new_zipfile_serialization=False)
    yield Case("model", "old-format-cut", old_format.getvalue()[:-8])
    found = torch.load(good / "run/normalizer.ckpt", weights_only=True)
    nan = torch.full_like(found["glob_mean"], torch.nan)
    for name, changes in {
        "nan": {"glob_mean": nan},
        "infinite": {"glob_std": torch.full_like(nan, torch.inf)},
        "shape": {"glob_mean": torch.zeros(3)},
        "text": {"glob_mean": "x"},
        "none": {"glob_std": None},
        "count": {"count": "many"},
    }.items():
        yield Case("normalizer", name, _saved(found | changes))
    for name, content in {
        "no-blank": b"A\nB\n",
        "twice": b"<blank>\nA\nA\n",
        "one": b"<blank>\n",
        "empty-token": b"<blank>\n\nA\n",
        "crlf": b"<blank>\r\nA\r\n",
        "others": b"<blank>\nA\nB\n",
        "million": b"<blank>\n" + b"".join(b"t%d\n" % number for number in range(1_000_000)),
    }.items():
        yield Case("tokens", name, content)
    spm = (good / "spm/spm.model").read_bytes()
    for name, content in {
        "cut": spm[: len(spm) // 2],
        "other": train_spm([*TEXTS, "QUEBEC XRAY"], 28).spm_model or b"",
        "text": b"<blank>\nA\n",
        "one-byte": b"\x0a",
        "length": b"\x0a\xff\xff\xff\xff\x0f",
    }.items():
        yield Case("spm", name, content)
    described = json.loads((good / "recognizer/recognizer.json").read_bytes())
    for name, files in {
        "none": None,
        "list": [],
        "few": {"network.onnx": 1},
        "outside": described["files"] | {"../model.ckpt": 1},
        "folder": described["files"] | {"lm": 4096},
        "size-text": described["files"] | {"network.onnx": "1"},
        "size-long": described["files"] | {"network.onnx": 10**400},
        "size-list": described["files"] | {"network.onnx": [LONG.decode()]},
    }.items():
        yield Case("recognizer", name, json.dumps(described | {"files": files}).encode())
    for version in (0, "1", None, LONG.decode()):
        content = json.dumps(described | {"format": version}).encode()
        yield Case("recognizer", f"format-{str(version)[:4]}", content)
    network = (good / "recognizer/network.onnx").read_bytes()
    for name, change in {"outside": _external, "huge": _huge, "metadata": _no_metadata, "tokens": _deep_tokens}.items():
        yield Case("network", name, change(onnx.load_from_string(network)))
    yield Case("network", "cut", network[: len(network) // 2])
    manifest_changes: dict[str, dict[str, str]] = {
        "duration-1e300": {"duration": "1e300"},
        "duration-nan": {"duration": "nan"},
        "duration-inf": {"duration": "inf"},
        "duration-minus": {"duration": "-1"},
        "duration-text": {"duration": "one"},
        "duration-two-days": {"duration": "172800"},
        "duration-digits": {"duration": "9" * 5000},
        "no-id": {"id": ""},
        "wav-folder": {"wav": "."},
        "wav-none": {"wav": ""},
        "wav-long": {"wav": "w" * 5000},
        "wav-missing": {"wav": "b.wav"},
        "transcript-marks": {"transcript": "[x]" * 9000},
        "transcript-control": {"transcript": "\x1b[2J\u202e".replace("2J", "")},
        "no-transcript": {"transcript": ""},
    }
    for name, change in manifest_changes.items():
        yield Case("csv", name, _cells(**change))
        yield Case("jsonl", name, _line(**change))
    for name, content in {
        "twice": _line() * 2,
        "number": b"1\n",
        "list": b"[]\n",
        "null-id": _line(id=None),
        "1e999": b'{"id": "a", "wav": "a.wav", "duration": 1e999, "transcript": "ROGER"}\n',
        "surrogate": b'{"id": "\\ud800"}\n',
        "object-id": _line(wav={"a": 1}),
        "long-line": b'{"id": "' + b"A" * (1 << 24) + b'"}\n',
        "deep": b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}\n",
    }.items():
        yield Case("jsonl", name, content)
    for name, content in {
        "twice": _cells() + b"a,a.wav,1,ROGER\n",
        "no-rows": b"id,wav,duration,transcript\n",
        "quote": _cells(transcript='"x"y'),
        "more-cells": _cells()[:-1] + b",x\n",
        "fewer-cells": b"id,wav,duration,transcript\na,a.wav\n",
        "open-quote": b'id,wav,duration,transcript\n"' + LONG * 3,
        "other-columns": b"a,b\n1,2\n",
        "many-columns": b"," * 100_000 + b"\n1\n",
        "nul": b"id,wav,duration,transcript\n\0,\0,\0,\0\n",
    }.items():
        yield Case("csv", name, content)
    for name, content in {
        "list": b"[]",
        "no-version": b"{}",
        "number": b'{"text_version": 1}',
        "deep": b'{"text_version": ' + b"[" * 300,
        "nan": b'{"text_version": NaN}',
    }.items():
        yield Case("stats", name, content)
    for name, content in {
        "slope-nan": b'{"slope": NaN, "intercept": 0}',
        "slope-inf": b'{"slope": 1e999, "intercept": 0}',
        "intercept-inf": b'{"slope": 1, "intercept": -Infinity}',
        "text": b'{"slope": "1", "intercept": 0}',
        "digits": b'{"slope": ' + b"9" * 400 + b', "intercept": 0}',
        "missing": b'{"slope": 1}',
        "list": b"[1, 0]",
        "null": b'{"slope": null, "intercept": 0}',
        "true": b'{"slope": true, "intercept": 0}',
    }.items():
        yield Case("calibration", name, content)
    word = {"word": "A", "start": 0.0, "end": 1.0, "confidence": 0.5}
    for name, line in {
        "no-hyp": {"id": "a"},
        "number-id": {"id": 1, "hyp": "A"},
        "null": {"id": "a", "hyp": None},
        "confidence": {"words": [word | {"confidence": 2}]},
        "negative": {"words": [word | {"start": -1}]},
        "backwards": {"words": [word | {"start": 2}]},
        "word": {"words": [1]},
        "long-score": {"score": LONG.decode()},
    }.items():
        yield Case("hyps", name, json.dumps({"id": "a", "hyp": "A"} | line if name[-3:] != "hyp" else line).encode())
    for name, content in {
        "nan-score": b'{"id": "a", "hyp": "A", "score": NaN}',
        "1e999": b'{"id": "a", "hyp": "A", "score": 1e999}',
        "twice": b'{"id": "a", "hyp": "A"}\n' * 2,
        "deep": b'{"id": "a", "hyp": ' + b"[" * 100_000,
        "long-line": b'{"id": "' + b"A" * (1 << 24) + b'"}',
    }.items():
        yield Case("hyps", name, content)
    rows = np.full((4, 3), -1.0, np.float16)
    for name, content in {
        "no-rows": _posteriors(),
        "width": _posteriors(_npy(rows[:, :2])),
        "rank-1": _posteriors(_npy(rows[0])),
        "float32": _posteriors(_npy(rows.astype(np.float32))),
        "int16": _posteriors(_npy(rows.astype(np.int16))),
        "fortran": _posteriors(_npy(np.asfortranarray(rows))),
        "nan": _posteriors(_npy(rows * np.float16(np.nan))),
        "positive": _posteriors(_npy(-rows)),
        "infinite": _posteriors(_npy(rows * np.float16(np.inf))),
        "object": _posteriors(pickle_npy()),
        "no-npy": _posteriors(b"x"),
        "npy-cut": _posteriors(_npy(rows)[:-3]),
        "ids-twice": _posteriors(_npy(rows), ids=["a", "a"], durations=[1.0, 1.0]),
        "no-ids": _posteriors(ids=[], durations=[]),
        "durations": _posteriors(_npy(rows), durations=[]),
        "duration-text": _posteriors(_npy(rows), durations=["1"]),
        "no-symbols": _posteriors(_npy(rows), symbols=[]),
        "symbols": _posteriors(_npy(rows), symbols=["A", 1, 2]),
        "frame": _posteriors(_npy(rows), frame_seconds=0),
        "frame-long": _posteriors(_npy(rows), frame_seconds=1e300),
        "meta-list": _zip({"meta.json": b"[]"}),
        "meta-deep": _zip({"meta.json": b"[" * 100_000}),
        "compressed": _zip({"meta.json": bytes(100_000_000)}, zipfile.ZIP_DEFLATED),
        "cut": (good / "posteriors.npz").read_bytes()[:-30],
        "no-meta": _zip({"0000000.npy": _npy(rows)}),
        "size": _posteriors(_npy(rows)).replace(b"0000000.npy", b"\x00000000.npy"),
    }.items():
        yield Case("posteriors", name, content)
    for name, content in {
        "long": LONG + b"\n",
        "two-words": b"ONE TWO\n",
        "lower": b"one\n",
        "mark": b"[X]\n",
        "long-line": b"A" * (1 << 24),
        "longest": b"A" * 201 + b"\n",
    }.items():
        yield Case("words", name, content)
    yield Case("text", "long-line", b"A" * (1 << 24))
    for name, content in {
        "name": b"callsign\n=cmd\n",
        "columns": b"a,b\n1,2\n",
        "start": b"callsign,start\nDAL1,-1\n",
        "nan": b"callsign,start\nDAL1,nan\n",
        "order": b"callsign,start,end\nDAL1,2,1\n",
        "no-rows": b"callsign\n",
        "long": b"callsign\n" + LONG * 2,
        "digits": b"callsign,start\nDAL1," + b"x" * 5000 + b"\n",
    }.items():
        yield Case("callsigns", name, content)
    header = ",".join(SWEEP_COLUMNS).encode() + b"\n"
    for name, content in {"header": b"a,b\n", "cells": header + b"1\n", "long": header + b'"' + LONG * 2}.items():
        yield Case("sweep", name, content)
    for name, content in {"list": b"[]", "1e999": b'{"wer": 1e999}', "nan": b'{"wer": NaN}', "text": b'"x"'}.items():
        yield Case("scorecard", name, content)
    slices, curves = ",".join(contents.SLICE_COLUMNS).encode() + b"\n", b"epoch,train_loss\n"
    for name, content in {"cells": slices + b"a\n", "nan": slices + b"a,b" + b",nan" * 20 + b"\n"}.items():
        yield Case("slices", name, content)
    for name, content in {
        "text": b"x,1\n",
        "inf": b"1,inf\n",
        "nan": b"nan,1\n",
        "cells": b"1,2,3\n",
        "long": LONG * 2,
    }.items():
        yield Case("curves", name, curves + content)


def _external(model: onnx.ModelProto) -> bytes:
    """A graph with weights in a file outside of its folder."""
    weights = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weights, "../run/model.ckpt", 0, len(weights.raw_data))
    weights.ClearField("raw_data")
    return model.SerializeToString()


def _huge(model: onnx.ModelProto) -> bytes:
    """A graph that makes 4 TB of zeros."""
    shape = onnx.numpy_helper.from_array(np.array([1 << 40]), "huge_shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["huge_shape"], ["zeros"]))
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0))
    model.graph.node.append(onnx.helper.make_node("Add", ["log_probs_", "zero"], ["log_probs"]))
    for node in model.graph.node[:-1]:
        node.output[:] = [f"{name}_" if name == "log_probs" else name for name in node.output]
    return model.SerializeToString()


def _no_metadata(model: onnx.ModelProto) -> bytes:
    del model.metadata_props[:]
    return model.SerializeToString()


def _deep_tokens(model: onnx.ModelProto) -> bytes:
    onnx.helper.set_model_props(model, {"tokens": "[" * 100_000})
    return model.SerializeToString()


class Evil:
    """Code in a pickle."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch /tmp/executed",)


def pickle_npy() -> bytes:
    """A NumPy file of objects, which only `pickle` reads."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil(), None, None], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def make_good(folder: Path) -> None:
    """Files that the readers accept."""
    tokens = char_tokens(TEXTS)
    recognizer = save_run(folder / "run", tokens)
    onnx_export.export(recognizer, folder / "recognizer" / recognizer_folder.NETWORK)
    tokens.save(folder / "recognizer")
    recognizer_folder.finish(folder / "recognizer", (), "")
    (folder / "spm").mkdir()
    train_spm(TEXTS, 24).save(folder / "spm")
    shutil.copy(Path(__file__).parents[1] / "params.yaml", folder)
    (folder / "a.wav").touch()
    (folder / "train.csv").write_bytes(_cells())
    (folder / "train.jsonl").write_bytes(_line())
    (folder / "stats.json").write_text('{"text_version": "1"}')
    (folder / "hyps.jsonl").write_text('{"id": "a", "hyp": "ROGER"}\n')
    (folder / "calibration.json").write_text('{"slope": 1, "intercept": 0.5, "stats": {}}')
    meta = PosteriorsMeta(("a",), (1.0,), ("<blank>", "A", "B"), 0.04)
    write_posteriors(folder / "posteriors.npz", meta, [(0, np.full((4, 3), -1.0, np.float16))])
    (folder / "words.txt").write_text("ROGER\n")
    (folder / "text.txt").write_text("roger that\n")
    (folder / "callsigns.csv").write_text("callsign\nDAL1\n")
    (folder / "sweep.csv").write_text(",".join(SWEEP_COLUMNS) + "\n")
    (folder / "scorecard.json").write_text('{"wer": 1.0}')
    (folder / "slices.csv").write_text(",".join(contents.SLICE_COLUMNS) + "\n")
    (folder / "curves.csv").write_text("epoch,train_loss\n1,2.5\n")


def cases(good: Path) -> list[Case]:
    """All hostile files."""
    anywhere = [
        Case(reader, name, content)
        for reader in READERS
        for name, content in ANYWHERE.items()
        if (reader, name) not in ACCEPTED
    ]
    return [*anywhere, *special(good)]


def _measure(case: Case, good: Path, folder: Path) -> str:
    """What is wrong with reading a file in a process of its own; empty when it is refused as it should be."""
    errors = folder / "errors"
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        code = 0
        try:
            cli.enter(lambda: case.read(good, folder / case.id))
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            code = 99
        sys.stderr.flush()
        os._exit(code)
    _, status, usage = os.wait4(child, 0)
    shutil.rmtree(folder / case.id, ignore_errors=True)
    code, said = os.waitstatus_to_exitcode(status), errors.read_text(errors="replace")
    memory = usage.ru_maxrss * 1024
    if code == 2 and said.count("\n") == 1 and said.startswith("error: ") and memory <= MAX_MEMORY:
        return ""
    return f"exit code {code}, {memory / 1e6:.0f} MB, {usage.ru_utime + usage.ru_stime:.1f} s, {said[:300]!r}"


def main() -> int:
    """Read all files, print those that are not refused as they should be, and return their number."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        good, work = Path(name) / "good", Path(name) / "work"
        work.mkdir()
        make_good(good)
        everything = cases(good)
        wrong = {case.id: problem for case in everything if (problem := _measure(case, good, work))}
    for case_id, problem in wrong.items():
        print(f"{case_id}: {problem}")
    print(f"{len(everything)} files, {len(wrong)} not refused as they should be")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(bool(main()))
