"""Stands in for `dvc exp run --temp`: a training in a folder, with DVC's files beside it and a result.

The parameters decide what happens: `train.kill=N` kills the first N runs, `train.fail=1` fails, `train.hold=1` waits
until a file `go` or `go-<name>` exists, and `train.lr` decides the WER. Each start is a line of `starts.txt`.
"""

import argparse
import json
import os
import signal
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--wait-for-lock", action="store_true")
parser.add_argument("command", nargs=2)
parser.add_argument("--temp", action="store_true")
parser.add_argument("--name")
parser.add_argument("--set-param", action="append", default=[])
args = parser.parse_args()
values = dict(text.removeprefix("train.").split("=") for text in args.set_param)

experiments = Path(".dvc/tmp/exps")
work_dir = experiments / "standalone" / args.name
work_dir.mkdir(parents=True)  # fails when the files of an earlier run are still there
run_dir = experiments / "run" / args.name
run_dir.mkdir(parents=True)
(run_dir / "new").write_text(json.dumps({"name": args.name, "root_dir": str(work_dir.resolve())}))
with open("starts.txt", "a") as starts:
    starts.write(json.dumps({"name": args.name, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), **values}) + "\n")
wer = 100 * abs(float(values.get("lr", 0.3)) - 0.3)
(work_dir / "curve.csv").write_text(
    "epoch,valid_wer\n" + "".join(f"{step},{wer + 10 / step}\n" for step in (1, 2, 3, 4))
)
os.rename(run_dir / "new", run_dir / f"{args.name}.run")
print("started", values, flush=True)

if Path("starts.txt").read_text().count(f'"name": "{args.name}"') <= int(values.get("kill", 0)):
    os.kill(os.getpid(), signal.SIGKILL)
if values.get("fail") == "1":
    raise SystemExit("failed")
while values.get("hold") == "1" and not (Path("go").exists() or Path(f"go-{args.name}").exists()):
    time.sleep(0.01)
Path("results").mkdir(exist_ok=True)
Path("results", f"{args.name}.json").write_text(json.dumps({"wer": wer, "deep": {"er": wer / 2}, "nothing": None}))
