"""benchmarks/writers: several processes that write the same outputs at the same time.

    python -m benchmarks.writers --work_dir DIR [--stages score report ...] [--rounds 20] [--writers 2 3 6 12]

The processes of a round run one stage, all with the same input or every second one with another input. Afterwards the
outputs must be those of one undisturbed run that ended with exit code 0, without hidden files. All exit codes must be
0, except those of exports that say that another one is running.
"""

import argparse
import importlib
import multiprocessing
import shutil
import sys
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

from atc_asr.core.cli import enter
from benchmarks.kill_events import CASES, Case, contents, preload, run, write_data

STAGES = ("tokenizer", "lm", "calibrate", "score", "report", "export")
REFUSED = "another export is running"


def write(module: str, argv: Sequence[str], log_file: Path, barrier: Barrier) -> None:
    """Runs a stage in this process when all are ready."""
    sys.stderr = open(log_file, "w", encoding="utf-8")  # noqa: SIM115
    main = importlib.import_module(module).main
    barrier.wait()
    enter(lambda: main(argv))


def write_together(case: Case, inputs: Sequence[Path], out: Path) -> list[int]:
    """Exit codes of processes that write to one folder, one for each input; `<out>.<number>.log` has their messages."""
    context = multiprocessing.get_context("forkserver")
    barrier = context.Barrier(len(inputs))
    processes = []
    for number, data in enumerate(inputs):
        argv = case.arguments.format(data=data, out=out).split()
        log_file = out.with_name(f"{out.name}.{number}.log")
        processes.append(context.Process(target=write, args=(case.module, argv, log_file, barrier)))
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def faults(case: Case, work: Path, writers: int, rounds: int, *, same: bool) -> list[str]:
    """What was wrong in rounds of writers with the same or two inputs; `work` holds the folders data1 and data2."""
    inputs = [work / f"data{1 if same else 1 + number % 2}" for number in range(writers)]
    wanted = {}
    for data in set(inputs):
        whole = work / case.module / data.name
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir(parents=True)
        run(case, data, whole, whole.with_suffix(".log"))
        wanted[data] = contents(whole, hidden=True)
    found = []
    out = work / case.module / "out"
    for number in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        codes = write_together(case, inputs, out)
        logs = [out.with_name(f"out.{writer}.log").read_text(encoding="utf-8") for writer in range(writers)]
        for writer, (code, text) in enumerate(zip(codes, logs, strict=True)):
            is_refused = case.module == "stages.export" and code == 2 and REFUSED in text
            if code and not is_refused:
                found.append(f"round {number}, writer {writer}: exit code {code}: {text.strip()[-200:]}")
        written = contents(out, hidden=True)
        if not any(code == 0 and written == wanted[data] for code, data in zip(codes, inputs, strict=True)):
            found.append(f"round {number}: other outputs: {', '.join(written)}")
    return found


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, required=True)
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=STAGES)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--writers", type=int, nargs="+", default=[2, 3, 6, 12])
    args = parser.parse_args()
    preload()
    for keep in (1, 2):
        write_data(args.work_dir / f"data{keep}", keep)
    failed = False
    for name in args.stages:
        for writers in args.writers:
            for same in (True, False):
                wrong = faults(CASES[name], args.work_dir, writers, args.rounds, same=same)
                kind = "the same input" if same else "two inputs"
                print(f"{name}, {writers} writers, {kind}: {args.rounds} rounds, {len(wrong)} faults", flush=True)
                print(*wrong, sep="\n", end="\n" if wrong else "", flush=True)
                failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
