"""Time a report of 5,000 utterances in headless Chromium: opening, sorting, searching, scrolling.

    python -m benchmarks.report --work_dir /tmp/report_benchmark
    python -m benchmarks.report --page report/report.html --picture docs/report.png

The utterances are random and share a few sound files; none is embedded in the page. The second form takes the README's
picture of a report. Needs Chromium and its driver.
"""

import argparse
import csv
import io
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

from atc_asr.core.manifest import Utterance, write_manifest
from atc_asr.hypotheses.hypotheses import Hypothesis, Word, write_hypotheses
from atc_asr.report import page as report_page
from atc_asr.report.contents import SLICE_COLUMNS
from atc_asr.report.params import ReportFlags, ReportParams
from atc_asr.tracking.record import write_metrics
from atc_asr.wer.wer import Pair, count_corpus, score_pair, summarize
from stages import report

WORDS = (
    "AMERICAN SIX EIGHTY SIX TURN LEFT HEADING THREE ZERO DESCEND AND MAINTAIN FIVE THOUSAND CONTACT APPROACH ONE "
    "TWENTY FOUR POINT NINER CLEARED ILS RUNWAY TWO SEVEN RIGHT NOVEMBER ALPHA LIMA TRAFFIC TWELVE SQUAWK WILCO"
).split()
SPEAKERS = 40
NUM_SOUNDS = 20
SAMPLE_RATE = 16000
PICTURE_HEIGHT = 1940  # pixels
SECONDS_TO_DRAW = 2.0
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync --window-size=1400,900"
).split()


def draw_text(generator: random.Random) -> list[str]:
    """Random words of a transmission."""
    return generator.choices(WORDS, k=generator.randint(4, 20))


def misrecognise(words: Sequence[str], generator: random.Random) -> list[str]:
    """The words with an error in about one of ten."""
    recognised = []
    for word in words:
        draw = generator.random()
        if draw > 0.03:
            recognised.append(word if draw > 0.08 else generator.choice(WORDS))
        if draw > 0.98:
            recognised.append(generator.choice(WORDS))
    return recognised


def make_sounds(folder: Path) -> None:
    """Write rising tones of three seconds."""
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    for sound in range(NUM_SOUNDS):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 50 * sound * seconds) * seconds)
        soundfile.write(folder / f"{sound}.wav", wave, SAMPLE_RATE, subtype="PCM_16")


def make_inputs(folder: Path, num_utterances: int) -> None:
    """Write manifest, hypotheses, scorecard, slices and curves as the stages do."""
    generator = random.Random(1)
    rows, hypotheses, scored = [], [], []
    for number in range(num_utterances):
        name, words = f"base_{number:06d}", draw_text(generator)
        recognised = misrecognise(words, generator)
        columns = {"speaker": f"speaker {number % SPEAKERS}", "role": generator.choice(["pilot", "controller"])}
        rows.append(
            Utterance(name, folder / "wavs" / f"{number % NUM_SOUNDS}.wav", len(words) / 2.8, " ".join(words), columns)
        )
        times = tuple(Word(word, at / 2.8, (at + 1) / 2.8, generator.random()) for at, word in enumerate(recognised))
        hypotheses.append(Hypothesis(name, " ".join(recognised), -1.0, times))
        scored.append(score_pair(Pair(name, " ".join(words), " ".join(recognised))))
    write_manifest(folder / "test.csv", rows)
    write_hypotheses(folder / "test.jsonl", hypotheses)
    scores = summarize(count_corpus(scored))
    intervals = {
        f"{name}_{end}": scores[name] for name in ("wer", "cer", "sentence_error_rate") for end in ("low", "high")
    }
    write_metrics(folder / "scorecard.json", scores | intervals | {"confidence": 95})
    write_csv(
        folder / "curves.csv", [["epoch", "train_loss", "valid_wer"], *([n, 9 / n, 90 / n] for n in range(1, 31))]
    )
    groups = [
        ["speaker", f"speaker {n}", 10 + n / 10, 8 + n / 10, 12 + n / 10, num_utterances // SPEAKERS]
        for n in range(SPEAKERS)
    ]
    write_csv(folder / "slices.csv", [list(SLICE_COLUMNS), *groups])


def write_csv(path: Path, lines: Sequence[Sequence]) -> None:
    """Write lines as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def make_page(folder: Path) -> float:
    """Run the stage on the inputs; returns its seconds."""
    report_page.NUM_EMBEDDED = 0
    params = ReportParams(title="Benchmark")
    flags = ReportFlags(
        ref_manifest=[folder / "test.csv"],
        hyp_file=folder / "test.jsonl",
        scorecard_file=folder / "scorecard.json",
        slices_file=folder / "slices.csv",
        curves_file=folder / "curves.csv",
        out_dir=folder / "report",
    )
    begun = time.monotonic()
    report.run(params, flags)
    return time.monotonic() - begun


def open_browser(profile: str) -> webdriver.Chrome:
    """Headless Chromium with the installed driver and an empty folder as its profile."""
    options = webdriver.ChromeOptions()
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


# Milliseconds from the action to the frame after the one that shows it.
TIMED = """
const [action, done] = [arguments[0], arguments[arguments.length - 1]];
const begun = performance.now();
new Function(action)();
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - begun)));
"""


def timed(browser: webdriver.Chrome, action: str) -> float:
    """Milliseconds until the result of an action is on the screen."""
    return browser.execute_async_script(TIMED, action)


def measure(page: Path, repeats: int) -> dict[str, float]:
    """Rows in the document and times of opening, sorting, searching and scrolling."""
    with tempfile.TemporaryDirectory() as profile, open_browser(profile) as browser:
        opened = []
        for _ in range(repeats):
            browser.get("about:blank")
            browser.get(page.resolve().as_uri())
            opened.append(browser.execute_script("return performance.getEntriesByName('ready')[0].startTime"))
        rows = browser.find_elements(By.CSS_SELECTOR, "#grid-rows > [role=row]")
        sorts = [
            timed(browser, f"document.querySelector('[data-sort={name}]').click()")
            for name in ("id", "text", "sec", "slice", "wer") * repeats
        ]
        searches = [
            timed(
                browser,
                "const field = document.getElementById('search');"
                f"field.value = {json.dumps(text)}; field.dispatchEvent(new Event('input'))",
            )
            for text in ("s", "squ", "squawk", "speaker:7 wer>10", "base_00012", "zzz", "") * repeats
        ]
        scrolls = [
            timed(browser, f"document.getElementById('grid-body').scrollTop = {at}") for at in range(0, 160_000, 8_000)
        ]
    return {
        "rows in the document": len(rows),
        "open, median ms": statistics.median(opened),
        "open, slowest ms": max(opened),
        "sort, median ms": statistics.median(sorts),
        "sort, slowest ms": max(sorts),
        "search, median ms": statistics.median(searches),
        "search, slowest ms": max(searches),
        "scroll, slowest ms": max(scrolls),
    }


def take_picture(page: Path, picture: Path) -> None:
    """Write the upper part of a page as PNG, after the spectrogram is drawn."""
    with tempfile.TemporaryDirectory() as profile, open_browser(profile) as browser:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1280, "height": PICTURE_HEIGHT, "deviceScaleFactor": 1, "mobile": False},
        )
        browser.get(page.resolve().as_uri())
        time.sleep(SECONDS_TO_DRAW)
        picture.parent.mkdir(parents=True, exist_ok=True)
        # 256 colours need a third of the bytes.
        Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").quantize(256).save(
            picture, optimize=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--num_utterances", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.page is not None and args.picture is not None:
        take_picture(args.page, args.picture)
        return
    if args.work_dir is None:
        parser.error("--work_dir is missing, or --page and --picture")
    (args.work_dir / "wavs").mkdir(parents=True, exist_ok=True)
    make_sounds(args.work_dir / "wavs")
    make_inputs(args.work_dir, args.num_utterances)
    print(f"{'stage, s':<24}{make_page(args.work_dir):10.1f}")
    page = args.work_dir / "report" / "report.html"
    print(f"{'page, MB':<24}{page.stat().st_size / 1e6:10.2f}")
    for name, value in measure(page, args.repeats).items():
        print(f"{name:<24}{value:10.1f}")


if __name__ == "__main__":
    main()
