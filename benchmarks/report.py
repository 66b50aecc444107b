"""Opens a report of 5,000 utterances in headless Chromium and times what a reader does.

    python -m benchmarks.report --work_dir /tmp/report_benchmark
    python -m benchmarks.report --page report/report.html --picture docs/report.png

Prints size, time to open, and what several sorts and searches take. Utterances are drawn at random and share
a few sound files: the page without audio is what is measured. The second form takes README's picture of a report.
Needs Chromium and its driver.
"""

import argparse
import csv
import io
import json
import random
import shutil
import statistics
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
from atc_asr.tracking.record import write_metrics
from atc_asr.wer.wer import Pair, score_pair, summarize
from stages import report

WORDS = (
    "AMERICAN SIX EIGHTY SIX TURN LEFT HEADING THREE ZERO DESCEND AND MAINTAIN FIVE THOUSAND CONTACT APPROACH ONE "
    "TWENTY FOUR POINT NINER CLEARED ILS RUNWAY TWO SEVEN RIGHT NOVEMBER ALPHA LIMA TRAFFIC TWELVE SQUAWK WILCO"
).split()
SPEAKERS = 40
SOUNDS = 20
SAMPLE_RATE = 16000
PICTURE_HEIGHT = 1760
SECONDS_TO_DRAW = 2.0


def draw_text(generator: random.Random) -> list[str]:
    """Words of one transmission."""
    return generator.choices(WORDS, k=generator.randint(4, 20))


def misrecognise(words: Sequence[str], generator: random.Random) -> list[str]:
    """The words with about one in ten wrong."""
    heard = []
    for word in words:
        luck = generator.random()
        if luck > 0.03:
            heard.append(word if luck > 0.08 else generator.choice(WORDS))
        if luck > 0.98:
            heard.append(generator.choice(WORDS))
    return heard


def make_sounds(folder: Path) -> None:
    """Write sweeps of three seconds, rising to other heights."""
    seconds = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    for sound in range(SOUNDS):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 50 * sound * seconds) * seconds)
        soundfile.write(folder / f"{sound}.wav", wave, SAMPLE_RATE, subtype="PCM_16")


def make_inputs(folder: Path, num_utterances: int) -> None:
    """Write manifest, hypotheses, metrics, slices and curves as the stages do."""
    generator = random.Random(1)
    rows, hypotheses, scored = [], [], []
    for place in range(num_utterances):
        name, words = f"base_{place:06d}", draw_text(generator)
        heard = misrecognise(words, generator)
        columns = {"speaker": f"speaker {place % SPEAKERS}", "role": generator.choice(["pilot", "controller"])}
        rows.append(
            Utterance(name, folder / "wavs" / f"{place % SOUNDS}.wav", len(words) / 2.8, " ".join(words), columns)
        )
        times = tuple(Word(word, at / 2.8, (at + 1) / 2.8, generator.random()) for at, word in enumerate(heard))
        hypotheses.append(Hypothesis(name, " ".join(heard), -1.0, times))
        scored.append(score_pair(Pair(name, " ".join(words), " ".join(heard))))
    write_manifest(folder / "test.csv", rows)
    write_hypotheses(folder / "test.jsonl", hypotheses)
    scores = summarize(scored)
    intervals = {
        f"{name}_{end}": scores[name] for name in ("wer", "cer", "sentence_error_rate") for end in ("low", "high")
    }
    write_metrics(folder / "metrics.json", scores | intervals | {"confidence": 95})
    write_csv(
        folder / "curves.csv", [["epoch", "train_loss", "valid_wer"], *([n, 9 / n, 90 / n] for n in range(1, 31))]
    )
    groups = [
        ["speaker", f"speaker {n}", 10 + n / 10, 8 + n / 10, 12 + n / 10, num_utterances // SPEAKERS]
        for n in range(SPEAKERS)
    ]
    write_csv(folder / "slices.csv", [list(report.report.SLICE_COLUMNS), *groups])


def write_csv(path: Path, lines: Sequence[Sequence]) -> None:
    """Write lines as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


def make_page(folder: Path) -> float:
    """Run the stage on the inputs; seconds."""
    params = report.ReportParams(title="Benchmark", num_embedded=0, num_confusions=30)
    begun = time.monotonic()
    report.run(
        params,
        ref_manifest=[folder / "test.csv"],
        hyp_file=folder / "test.jsonl",
        metrics_file=folder / "metrics.json",
        slices_file=folder / "slices.csv",
        curves_file=folder / "curves.csv",
        run_metrics=None,
        out_dir=folder / "report",
    )
    return time.monotonic() - begun


def open_browser() -> webdriver.Chrome:
    """Headless Chromium, with the driver that is installed beside it."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,900"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


# From the action to the frame after the one that shows it, milliseconds.
TIMED = """
const [action, answer] = [arguments[0], arguments[arguments.length - 1]];
const begun = performance.now();
new Function(action)();
requestAnimationFrame(() => requestAnimationFrame(() => answer(performance.now() - begun)));
"""


def timed(browser: webdriver.Chrome, action: str) -> float:
    """Milliseconds until the result of an action is on the screen."""
    return browser.execute_async_script(TIMED, action)


def measure(page: Path, repeats: int) -> dict[str, float]:
    """What a reader waits for."""
    browser = open_browser()
    try:
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
    finally:
        browser.quit()
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
    """The upper part of a page as PNG, its first utterance drawn."""
    browser = open_browser()
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1280, "height": PICTURE_HEIGHT, "deviceScaleFactor": 1, "mobile": False},
        )
        browser.get(page.resolve().as_uri())
        time.sleep(SECONDS_TO_DRAW)
        picture.parent.mkdir(parents=True, exist_ok=True)
        # colours from a palette: a third of the bytes
        Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB").quantize(256).save(
            picture, optimize=True
        )
    finally:
        browser.quit()


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
