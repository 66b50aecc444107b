"""Start-up: what the help texts import, and stages that run without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from atc_asr.posteriors.store import PosteriorsMeta, write_posteriors
from tests.echo import FRAME_SECONDS, TOKENS, log_posteriors, spoken_path, write_corpus

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in [*ROOT.glob("stages/*.py"), *ROOT.glob("atc_asr/commands/*.py")]
    if "cli.enter(main)" in path.read_text(encoding="utf-8")
)
HEAVY = {
    "torch", "torchaudio", "speechbrain", "scipy.fft", "scipy.signal", "scipy.stats", "matplotlib", "datasets",
    "pyarrow", "pandas", "optuna", "dvc", "onnx", "onnxruntime", "huggingface_hub",
}  # fmt: skip
TEXTS = {"a": "CLIMB", "b": "DELTA ONE TWO", "c": "UNITED HEAVY TURN LEFT"}

HELP = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name).main(["--help"])
    except SystemExit as end:
        assert end.code == 0, name
    heavy = {heavy} & sys.modules.keys()
    assert not heavy, f"{{name}} --help imports {{sorted(heavy)}}"
"""

# None in sys.modules makes an import of the name fail.
WITHOUT_TORCH = """
import importlib, sys
sys.modules |= dict.fromkeys({heavy} - {{"scipy.fft", "scipy.signal", "scipy.stats", "matplotlib"}})
for line in sys.argv[1:]:
    name, *words = line.split("|")
    importlib.import_module(name).main(words)
"""


def run(code: str, *args: str) -> None:
    """Run code in a new Python, which has imported nothing."""
    command = [sys.executable, "-c", code.format(heavy=HEAVY), *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_imports_nothing_heavy():
    assert {"stages.train", "atc_asr.commands.sweep", "atc_asr.commands.summary"} <= set(COMMANDS)
    run(HELP, *COMMANDS)


def test_stages_beside_the_network_run_without_torch(tmp_path):
    manifest, hyps = write_corpus(tmp_path, TEXTS), tmp_path / "test.jsonl"
    TOKENS.save(tmp_path)
    rows = [log_posteriors(spoken_path(text, TOKENS), len(TOKENS), 0.9) for text in TEXTS.values()]
    meta = PosteriorsMeta(tuple(TEXTS), tuple(len(row) * FRAME_SECONDS for row in rows), TOKENS.symbols, FRAME_SECONDS)
    write_posteriors(tmp_path / "test.npz", meta, ((index, row.astype(np.float16)) for index, row in enumerate(rows)))
    out, refs = tmp_path / "out", f"--ref_manifest {manifest} --hyp_file {hyps}"
    commands = f"""
        stages.tokenizer --train_manifest {manifest} --out_dir {out}/tokens
        stages.lm --train_manifest {manifest} --valid_manifest {manifest} --order 2 --out_dir {out}/lm
            --metrics_file {out}/lm.json
        stages.decode --checkpoint_dir {tmp_path} --posteriors {tmp_path}/test.npz --lm_dir {out}/lm --out_file {hyps}
            --num_processes 1 --search lexicon --beam_size 8 --lm_weight 0.5
        stages.calibrate --valid_manifest {manifest} --valid_hyps {hyps} --valid_out_file {out}/valid.jsonl
            --test_manifest {manifest} --test_hyps {hyps} --test_out_file {out}/test.jsonl
            --out_file {out}/calibration.json --metrics_file {out}/ece.json
            --reliability_file {out}/reliability.csv --risk_coverage_file {out}/risk.csv
        stages.score {refs} --metrics_file {out}/metrics.json --scorecard_file {out}/scorecard.json
            --alignments_file {out}/alignments.txt --slices_file {out}/slices.csv
            --confusions_file {out}/confusions.csv --words_file {out}/words.csv
        stages.report {refs} --scorecard_file {out}/scorecard.json --out_dir {out}/report
    """
    run(WITHOUT_TORCH, *("|".join(line.split()) for line in commands.replace("\n            ", " ").splitlines()[1:-1]))
    assert (out / "report" / "report.html").is_file()
    assert [json.loads(line)["hyp"] for line in hyps.read_text().splitlines()] == [*TEXTS.values()]
