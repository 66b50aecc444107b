"""The export of a gated dataset from a local server with the Hub's endpoints that `datasets` uses."""

import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from stages import export

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "hf_" + "s3cr3t" * 5
NAME = "owner/gated_atc"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
configs:
- config_name: base
  data_files:
  - {split: train, path: base/train-*.parquet}
  - {split: test, path: base/test-*.parquet}
---
"""

pytestmark = pytest.mark.slow


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves `files` (path -> bytes) to requests with the token, and lists the requested paths."""

    files: dict[str, bytes]
    requested: list[str]

    def log_message(self, *args):
        self.requested.append(self.path)

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._is_authorized():
            paths = json.loads(body).get("paths", []) if body.startswith(b"{") else []
            self._json([self._entry(path) for path in paths if path in self.files])

    def _answer(self, with_body):
        if not self._is_authorized():
            return
        path = self.path.partition("?")[0]
        if match := re.fullmatch(rf"/datasets/{NAME}/resolve/[^/]+/(.+)", path):
            self._file(match[1], with_body)
        elif match := re.fullmatch(rf"/api/datasets/{NAME}/tree/[^/]+/?(.*)", path):
            self._json(self._tree(f"{match[1]}/" if match[1] else "", "recursive=true" in self.path.lower()))
        elif path.startswith(f"/api/datasets/{NAME}"):
            siblings = [{"rfilename": name} for name in self.files]
            self._json({"id": NAME, "sha": COMMIT, "gated": "auto", "private": False, "siblings": siblings})
        else:
            self._send(404, b"", {})

    def _is_authorized(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to dataset {NAME} is restricted."}
        self._send(401, b"", headers)
        return False

    def _tree(self, folder, recursive):
        entries = {}
        for path in self.files:
            first, _, rest = path.removeprefix(folder).partition("/")
            if path.startswith(folder) and rest:
                entries[folder + first] = {"type": "directory", "path": folder + first, "oid": "0" * 40, "size": 0}
            if path.startswith(folder) and (recursive or not rest):
                entries[path] = self._entry(path)
        return list(entries.values())

    def _entry(self, path):
        content = self.files[path]
        return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _file(self, path, with_body):
        if path not in self.files:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = self.files[path]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        self._send(200, content, headers, with_body)

    def _json(self, content):
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status, content, headers, with_body=True):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def parquet(split, count):
    rows = []
    for number in range(count):
        file = io.BytesIO()
        noise = np.random.default_rng(number + 100 * len(split)).standard_normal(8000) * 0.1
        sf.write(file, noise, 8000, format="WAV", subtype="PCM_16")
        rows.append({"bytes": file.getvalue(), "path": f"{split}_{number:04d}.wav"})
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"audio": rows, "text": [f"roger {number}\n" for number in range(count)]}), buffer)
    return buffer.getvalue().to_pybytes()


@pytest.fixture(scope="module")
def files():
    return {
        "README.md": CARD.encode(),
        "base/train-0.parquet": parquet("train", 6),
        "base/test-0.parquet": parquet("test", 2),
    }


@pytest.fixture
def requested():
    """The paths of all requests."""
    return []


@pytest.fixture
def endpoint(files, requested):
    handler = type("LocalHub", (Hub,), {"files": files, "requested": requested})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def local_export(files, tmp_path_factory):
    """The files of an export of the same dataset from a local folder."""
    local = tmp_path_factory.mktemp("local")
    for path, content in files.items():
        (local / path).parent.mkdir(parents=True, exist_ok=True)
        (local / path).write_bytes(content)
    export.main(["--corpus", str(local), "--config", "base", "--out_dir", str(local / "out"), "--processes", "1"])
    return contents(local / "out")


def export_from_hub(folder, endpoint, *flags, **environment):
    """Run the stage in a folder of its own."""
    folder.mkdir(exist_ok=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    local = {
        "HF_HOME": str(folder / "cache"),
        "HF_ENDPOINT": endpoint,
        "PYTHONPATH": str(ROOT),
        "HF_HUB_DISABLE_XET": "1",
    }
    words = ["-m", "stages.export", "--params", str(ROOT / "params.yaml"), "--corpus", NAME, "--config", "base"]
    return subprocess.run(
        [sys.executable, *words, "--out_dir", "out", "--processes", "1", *flags],
        cwd=folder,
        env={**clean, **local, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_without_a_token(tmp_path, endpoint):
    done = export_from_hub(tmp_path / "run", endpoint)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(name in done.stderr for name in (NAME, "HF_TOKEN", "HUGGINGFACE_TOKEN"))


def test_with_a_token_the_export_equals_that_of_a_local_folder(tmp_path, endpoint, local_export):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.env").write_text(f'HF_TOKEN="{TOKEN}"\n')
    done = export_from_hub(tmp_path / "run", endpoint)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "run/out") == local_export
    assert len(contents(tmp_path / "run/out/base/wavs")) == 8
    assert TOKEN not in done.stderr + done.stdout
    (tmp_path / "run/.env").unlink()
    assert not [name for name, content in contents(tmp_path).items() if TOKEN.encode() in content]


def test_the_given_revision_is_requested(tmp_path, endpoint, requested, local_export):
    done = export_from_hub(tmp_path / "run", endpoint, "--revision", "v1.2", HUGGINGFACE_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert f"/datasets/{NAME}/resolve/v1.2/README.md" in requested
    assert not [path for path in requested if "/main" in path]
    assert contents(tmp_path / "run/out") == local_export
