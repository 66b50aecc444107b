"""stages.report: the files it writes, and the page in headless Chromium."""

import base64
import csv
import functools
import http.server
import io
import json
import re
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from atc_asr.core.errors import InputError
from atc_asr.core.manifest import Utterance, write_manifest
from atc_asr.hypotheses.hypotheses import Hypothesis, SlotRow, Word, write_hypotheses
from atc_asr.readback.exchanges import Comparison, Exchange, Said, lines
from atc_asr.report.contents import LEVEL_LABELS, SLICE_COLUMNS, Chart, Contents, Row, Score, make_subtitle
from atc_asr.report.page import render_page
from atc_asr.report.params import ReportFlags, ReportParams
from atc_asr.report.summary import choose_groups
from atc_asr.scoring.levels import LEVELS
from atc_asr.tracking.record import write_metrics, write_record
from atc_asr.wer.wer import Pair, score_pair
from stages import report, score

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM_FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync
    --window-size=1300,900 --autoplay-policy=no-user-gesture-required
""".split()
NUM_UTTERANCES = 120
MARKUP_ID = "<script>document.title='taken'</script>"
MARKUP_COLUMN = "</script><img src=x onerror=document.title='taken'>"
# Call sign, role and slots of two hypotheses; those of the others were not read.
SLOTS = {
    8: {"slots": (SlotRow("callsign", None, None, None, 0, 1, 0.0, 0.4, 0.5, ("FIVE",)),)},
    10: {
        "callsign": "DAL9",
        "role": "controller",
        "role_confidence": 0.9,
        "slots": (
            SlotRow("altitude", "5000", "ft", "instruction", 2, 3, 0.4, 0.8, 0.9),
            SlotRow("station", "BOSTON TOWER", None, None, 4, 4, 0.8, 1.0, 0.9),
        ),
    },
}
SCORECARD = {
    "wer": 12.34,
    "wer_low": 10.1,
    "wer_high": 14.2,
    "wer_population": 480,
    "cer": 5.0,
    "cer_low": None,
    "cer_high": None,
    "callsign": {"accuracy": 91.5, "accuracy_low": 85.0, "accuracy_high": 96.0, "accuracy_population": 47},
    "confidence": 95,
    "levels": {"groups_folded": 9.0, "normalized": 12.34, "raw": 14.0},
    "insertions": 3,
    "corpora": {
        "us": {"wer": 13.0, "wer_low": 11.0, "wer_high": 15.0, "callsign": {"accuracy": None, "accuracy_low": None}},
        "digits": {"wer": 2.0, "wer_low": 1.0, "wer_high": 3.0, "cer": 1.0, "cer_low": 0.5, "cer_high": 1.5},
    },
}
PARAMS = ReportParams(title="Test <b>report</b> $1")


def make_utterances(folder: Path) -> list[tuple[Utterance, Hypothesis]]:
    """Utterances of four words; every tenth has errors."""
    (folder / "wavs").mkdir()
    seconds = np.arange(16000) / 16000
    soundfile.write(folder / "wavs" / "tone é #1.wav", 0.3 * np.sin(2 * np.pi * 1000 * seconds), 16000)
    pairs = []
    for number in range(NUM_UTTERANCES):
        name = f"base_{number}"
        ref = hyp = "DELTA FIVE CLIMB NOW"
        if number % 10 == 0:
            hyp = "DELTA NINER CLIMB NOW PLEASE"
        if number == 7:
            hyp = ""
        columns = {"speaker": f"s{number % 3}", "role": "pilot" if number % 2 else "controller"}
        if number == 8:
            name, columns["speaker"] = MARKUP_ID, MARKUP_COLUMN
        words = tuple(Word(word, at * 0.2, at * 0.2 + 0.2, 0.5) for at, word in enumerate(hyp.split()))
        utterance = Utterance(name, folder / "wavs" / "tone é #1.wav", 1.0 + number / 100, ref, columns)
        pairs.append((utterance, Hypothesis(name, hyp, -1.0, words, **SLOTS.get(number, {}))))
    return pairs


def make_exchange(file: str, kind: str, callsign: str, text: str, alert: bool = True) -> Exchange:
    """A left that is read back as right, with a call sign that cannot be read."""
    slots = (
        Comparison("callsign", callsign, None, "missing", 0.5),
        Comparison(kind, "LEFT", "RIGHT", "wrong", 0.9),
        Comparison("heading", "270", "270", "correct", 0.8),
    )
    return Exchange("a", alert, file, callsign, Said("a", 75.5, 78.0, text), Said("b", 80.0, 82.0, text), slots)


def write_lines(path: Path, lines: list[list]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)


@pytest.fixture(scope="module", autouse=True)
def few_embedded():
    """Three utterances whose audio the page contains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atc_asr.report.page.NUM_EMBEDDED", 3)
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A folder with the outputs of the other stages."""
    folder = tmp_path_factory.mktemp("inputs")
    pairs = make_utterances(folder)
    write_manifest(folder / "test.csv", [utterance for utterance, _ in pairs])
    write_hypotheses(folder / "test.jsonl", [hypothesis for _, hypothesis in pairs])
    write_metrics(folder / "scorecard.json", SCORECARD)
    write_lines(
        folder / "curves.csv", [["epoch", "train_loss", "valid_loss", "valid_wer"], [1, 3.5, "", 90], [2, 2, 2.5, 50]]
    )
    write_lines(
        folder / "slices.csv",
        [
            list(SLICE_COLUMNS),
            ["speaker", "s0", 10, 8, 12, 40],
            ["speaker", "s1", "", "", "", 0],
            ["role", "pilot", 9, 7, 11, 60],
            ["duration", "1.05-1.1 s", 9, 7, 11, 5],
        ],
    )
    exchanges = [make_exchange("a.wav", "turn", "UAL686", "LEFT", alert) for alert in (True, False)]
    (folder / "readback.jsonl").write_text(lines(exchanges))
    write_record(folder / "run.json", {"model": "m", "git_commit": "abc", "epochs": 2, "notes": "`x` | <b>"})
    return folder


def run(inputs: Path, out_dir: Path, **changes) -> Path:
    paths = {
        "ref_manifest": [inputs / "test.csv"],
        "hyp_file": inputs / "test.jsonl",
        "scorecard_file": inputs / "scorecard.json",
        "slices_file": inputs / "slices.csv",
        "curves_file": inputs / "curves.csv",
        "run_metrics": inputs / "run.json",
    }
    report.run(PARAMS, ReportFlags(**(paths | changes), out_dir=out_dir))
    return out_dir


@pytest.fixture(scope="module")
def written(inputs) -> Path:
    return run(inputs, inputs / "report")


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_page_data_has_the_readback_alerts(inputs, tmp_path):
    page = run(inputs, tmp_path / "report", readback_file=inputs / "readback.jsonl") / "report.html"
    readback = data_of(page.read_text(encoding="utf-8"))["readback"]
    assert readback == {
        "count": 2,
        "alerts": [["a.wav", 75.5, "UAL686", "LEFT", "LEFT", [["turn", "LEFT", "RIGHT", 0.9]]]],
    }


def test_page_data_has_the_scores_and_every_utterance(written):
    data = data_of((written / "report.html").read_text(encoding="utf-8"))
    assert [(score["label"], score["value"], score["low"], score["count"]) for score in data["headline"]] == [
        ("Word error rate", 12.34, 10.1, 480),
        ("Character error rate", 5.0, None, None),
        ("Callsign accuracy", 91.5, 85.0, 47),
    ]
    assert data["interval"] == "95 % interval" and data["columns"] == ["role", "speaker"]
    matrix = [(name, [score and (score["value"], score["low"]) for score in row]) for name, row in data["corpora"]]
    assert matrix == [
        ("all", [(12.34, 10.1), (5.0, None)]),
        ("digits", [(2.0, 1.0), (1.0, 0.5)]),
        ("us", [(13.0, 11.0), None]),
    ]
    assert data["levels"] == [["as written", 14.0], ["normalised", 12.34], [LEVEL_LABELS["groups_folded"], 9.0]]
    assert data["subtitle"] == ["120 utterances", "0.05 hours", "model m", "epochs 2", "commit abc"]
    assert data["confusions"] == [["FIVE", "NINER", 12]]
    rows = {row[0]: row[1:] for row in data["utterances"]}
    assert len(rows) == NUM_UTTERANCES
    assert rows["base_10"] == [
        "../wavs/tone é #1.wav",
        1.1,
        2,
        4,
        "=DELTA ~FIVE\tNINER =CLIMB =NOW +PLEASE",
        "controller",
        "s1",
    ]
    assert rows["base_7"][2:5] == [4, 4, "-DELTA -FIVE -CLIMB -NOW"]
    assert [chart["title"] for chart in data["charts"]] == ["Loss", "Word error rate"]
    assert data["charts"][0]["series"]["valid_loss"] == [None, 2.5]
    assert data["slices"]["speaker"][1] == {
        "label": "s1",
        "value": None,
        "low": None,
        "high": None,
        "count": 0,
        "counted": "utterance",
    }


def test_page_is_self_contained_and_escapes_all_text(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert page.count("<script") == 2 and page.count("</script>") == 2
    assert "onerror=document" in page and "<img" not in page
    assert "<title>Test &lt;b&gt;report&lt;/b&gt; $1</title>" in page


def test_embedded_audio_has_the_same_samples(written, inputs):
    data = data_of((written / "report.html").read_text(encoding="utf-8"))
    assert len(data["audio"]) == 3
    errors = {index: row[3] for index, row in enumerate(data["utterances"])}
    assert sorted((errors[int(index)] for index in data["audio"]), reverse=True) == [4, 2, 2]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(next(iter(data["audio"].values())))), dtype="int16")
    wanted, _ = soundfile.read(inputs / "wavs" / "tone é #1.wav", dtype="int16")
    assert rate == 16000 and np.array_equal(samples, wanted)


def test_summary_and_card_have_the_scores_and_a_second_run_writes_equal_bytes(written, inputs, tmp_path):
    assert (written / "summary.pdf").read_bytes().startswith(b"%PDF")
    assert (written / "summary.png").read_bytes().startswith(b"\x89PNG")
    card = (written / "model_card.md").read_text(encoding="utf-8")
    assert card.startswith("# Test \\<b\\>report\\</b\\> $1\n")
    assert "| Word error rate | 12.3 | 10.1 to 14.2 | 480 |" in card
    assert "| Callsign accuracy | 91.5 | 85.0 to 96.0 | 47 |" in card
    assert "| Commit | abc |" in card
    again = run(inputs, inputs / "again")
    for name in ("report.html", "summary.pdf", "summary.png", "model_card.md"):
        assert (again / name).read_bytes() == (written / name).read_bytes(), name


def test_summary_shows_the_largest_groups_of_each_slice():
    speakers = [Score(f"s{count}", 10.0, 9.0, 11.0, count) for count in range(20)]
    chosen = choose_groups({"speaker": speakers, "role": [Score("pilot", 10.0, 9.0, 11.0, 3)]})
    assert [group.label for _, group in chosen] == ["s14", "s15", "s16", "s17", "s18", "s19", "pilot"]


def test_commit_is_shortened_and_keeps_dirty():
    run = {"git_commit": f"{'0123456789abcdef':0<40}-dirty"}
    assert make_subtitle([], run)[-1] == "commit 0123456789-dirty"
    assert not any(part.startswith("commit") for part in make_subtitle([], {}))


def test_optional_inputs_may_be_left_out(inputs, tmp_path):
    folder = run(inputs, tmp_path / "report", slices_file=None, curves_file=None, run_metrics=None)
    data = data_of((folder / "report.html").read_text(encoding="utf-8"))
    assert data["slices"] == {} and data["charts"] == []
    assert "## Training" not in (folder / "model_card.md").read_text()


def test_page_has_the_counts_of_the_score_stage(inputs, tmp_path):
    names = ("metrics_file", "scorecard_file", "alignments_file", "slices_file")
    files = {name: tmp_path / f"{name}.out" for name in names}
    flags = ["--resamples", "200", "--estimate_snr", "false", "--params", str(ROOT / "params.yaml")]
    score.main(
        [*flags, "--ref_manifest", str(inputs / "test.csv"), "--hyp_file", str(inputs / "test.jsonl")]
        + [part for name, path in files.items() for part in (f"--{name}", str(path))]
    )
    folder = run(inputs, tmp_path / "report", scorecard_file=files["scorecard_file"], slices_file=files["slices_file"])
    data = data_of((folder / "report.html").read_text(encoding="utf-8"))
    errors, words = (sum(row[column] for row in data["utterances"]) for column in (3, 4))
    wer = data["headline"][0]
    assert wer["value"] == pytest.approx(100 * errors / words) and wer["count"] == words == 480
    assert wer["low"] < wer["value"] < wer["high"]
    assert data["slices"].keys() == {"duration", "speaking rate", "speaker", "role"}
    assert list(LEVELS) == list(LEVEL_LABELS)
    assert [level for level, _ in data["levels"]] == list(LEVEL_LABELS.values())


@pytest.mark.parametrize(
    ("flag", "content", "complaint"),
    [
        ("scorecard_file", '{"wer": 1', r"scorecard_file: is not JSON"),
        ("scorecard_file", "[1]", r"scorecard_file: got list, wanted an object"),
        ("scorecard_file", '{"wer": 1}', r"scorecard_file: holds no score with its interval"),
        ("slices_file", "slice,group\na,b\n", r"slices_file:1: has no column wer, low, high, num_utterances"),
        (
            "slices_file",
            "slice,group,wer,low,high,num_utterances\na,b,x,1,2,3\n",
            r"slices_file:2: wer is 'x', wanted a number",
        ),
        (
            "slices_file",
            "slice,group,wer,low,high,num_utterances\na,b,1\n",
            r"slices_file:2: got another number of cells",
        ),
        ("curves_file", "step,loss\n1,2\n", r"curves_file:1: has no column epoch"),
        ("curves_file", "epoch,lr\n1,nan\n", r"curves_file:2: lr is 'nan', wanted a number"),
        ("hyp_file", '{"id": "base_0", "hyp": "A"}\n', r"ids differ: 119 without a hypothesis"),
        ("hyp_file", '{"id": "base_0", "hyp": ', r"hyp_file:1"),
        ("run_metrics", None, r"run_metrics: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(inputs, tmp_path, flag, content, complaint):
    path = tmp_path / flag
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=complaint) as caught:
        run(inputs, tmp_path / "report", **{flag: path})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report").exists()


def test_flags_replace_params(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("report: {title: A}\n")
    flags = ["--ref_manifest", inputs / "test.csv", "--hyp_file", inputs / "test.jsonl"]
    flags += ["--scorecard_file", inputs / "scorecard.json", "--out_dir", "out", "--title", "B"]
    report.main([str(flag) for flag in flags])
    data = data_of(Path("out/report.html").read_text())
    assert data["title"] == "B" and len(data["slots"]) == 2


# The page in a browser.


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments) -> None:
        pass


@pytest.fixture(scope="module")
def server(inputs):
    handler = functools.partial(QuietHandler, directory=str(inputs))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture
def page(chromium, server, written):
    """The page, newly loaded, with an empty console log."""
    chromium.get_log("browser")
    chromium.get(f"{server}/report/report.html")
    return chromium


def run_script(page, script: str, *arguments):
    return page.execute_script(script, *arguments)


def until(page, script: str):
    """Wait until a script returns a true value, and return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 20, poll_frequency=0.05).until(lambda browser: browser.execute_script(script))


def press(page, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def text_of(page, selector: str) -> str:
    return run_script(page, "return document.querySelector(arguments[0]).textContent", selector)


def first_cells(page) -> list[str]:
    return run_script(
        page,
        "return [...document.querySelectorAll('#grid-rows [role=row]')].find((row) => row.style.top === '0px')"
        ".querySelectorAll('[role=gridcell]').values().map((cell) => cell.textContent.trim()).toArray()",
    )


def search(page, text: str) -> str:
    field = page.find_element("id", "search")
    field.clear()
    field.send_keys(text)
    return text_of(page, "#count")


@pytest.mark.slow
def test_browser_shows_scores_charts_and_slices(page):
    assert text_of(page, "#title") == PARAMS.title and page.title == PARAMS.title
    assert "12.3 %" in text_of(page, "#headline") and "95 % interval 10.1 to 14.2" in text_of(page, "#headline")
    cells = run_script(page, "return [...document.querySelectorAll('#corpora tr')].map((row) => row.innerText)")
    assert cells[2:] == ["digits\t2.0 %, 1.0 to 3.0\t1.0 %, 0.5 to 1.5", "us\t13.0 %, 11.0 to 15.0\t–"]
    assert run_script(page, "return document.querySelectorAll('#charts svg').length") == 2
    assert run_script(page, "return document.querySelectorAll('#slices svg g').length") == 2
    run_script(page, "document.querySelector('#slices circle').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert text_of(page, "#count").startswith("40 of 120 utterances")


@pytest.mark.slow
def test_browser_shows_the_utterances_of_a_range_slice(page):
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("id", "slice-name")).select_by_visible_text("duration")
    run_script(page, "document.querySelector('#slices circle').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert run_script(page, "return document.getElementById('search').value") == "sec>=1.05 sec<1.1"
    assert text_of(page, "#count").startswith("5 of 120")


@pytest.mark.slow
def test_browser_shows_markup_in_any_text_as_text(chromium, inputs, server, monkeypatch):
    """Normalisation removes markup from transcripts, but the page does not rely on it."""
    markup = "<script>document.title='taken'</script>"
    utterance = Utterance("a", inputs / "none.wav", 1.0, markup, {"speaker": markup, markup: markup})
    slot = SlotRow(markup, markup, markup, "report", 0, 0, doubtful=(markup,))
    hypothesis = Hypothesis("a", MARKUP_COLUMN, callsign=markup, slots=(slot,))
    row = Row(utterance, hypothesis, score_pair(Pair("a", markup, MARKUP_COLUMN)))
    score = Score(markup, 1.0, 0.5, 2.0, 3, markup)
    chart = Chart(markup, markup, (1.0, 2.0), {markup: (1.0, None)})
    contents = Contents(
        title=markup,
        interval_name=markup,
        subtitle=(markup,),
        headline=(score,),
        scorecard=(score,),
        slices={markup: (score,)},
        charts=(chart,),
        levels=((markup, 1.0),),
        confusions=((markup, MARKUP_COLUMN, 3),),
        rows=(row,),
        run={},
        readbacks=(make_exchange(markup, markup, markup, markup),),
        corpora={markup: (score,)},
    )
    monkeypatch.setattr("atc_asr.report.page.NUM_EMBEDDED", 0)
    html = render_page(contents, out_dir=inputs)
    (inputs / "markup.html").write_text(html, encoding="utf-8")
    chromium.get(f"{server}/markup.html")
    assert chromium.title == markup
    assert markup in text_of(chromium, "#alignment") and "onerror" in text_of(chromium, "#grid-rows")
    assert text_of(chromium, "#readback").count(markup) == 4  # of the recording only the name is shown
    assert run_script(chromium, "return document.querySelectorAll('script').length") == 2
    assert run_script(chromium, "return document.querySelectorAll('img').length") == 0
    for place in (
        "title",
        "subtitle",
        "headline",
        "scorecard",
        "slices",
        "charts",
        "levels",
        "confusions",
        "detail-info",
        "slots",
    ):
        assert markup in text_of(chromium, f"#{place}"), place


@pytest.mark.slow
def test_browser_shows_slots_and_searches_for_them(page):
    assert "slot:altitude=5000" in text_of(page, "#search-help")
    for query, count in (
        ("slot:altitude=5000", 1),
        ("slot:altitude=500", 0),
        ("slot:altitude wer>20", 1),
        ('slot:"station=boston tower"', 1),
        ("slot:callsign=?", 1),
        ("slot:doubtful", 1),
        ("slot:role=controller", 1),
    ):
        assert search(page, query).startswith(f"{count} of 120"), query
    search(page, "slot:altitude")
    run_script(page, "document.querySelector('#grid-rows [role=row]').click()")
    chips = "return [...document.querySelectorAll('#slots button')].map((chip) => chip.textContent)"
    assert run_script(page, chips) == ["controller", "altitude 5000 ft", "station BOSTON TOWER"]
    run_script(page, "document.querySelectorAll('#slots button')[2].click()")
    assert run_script(page, "return document.getElementById('search').value") == 'slot:"station=boston tower"'
    assert text_of(page, "#count").startswith("1 of 120")
    search(page, "id:base_7")
    run_script(page, "document.querySelector('#grid-rows [role=row]').click()")
    assert run_script(page, chips) == [] and run_script(page, "return document.getElementById('slots').hidden")


@pytest.mark.slow
def test_browser_sorts(page):
    assert first_cells(page)[:2] == ["100.0", "base_7"]
    page.find_element("css selector", "[data-sort=id]").click()
    assert first_cells(page)[1] == MARKUP_ID
    page.find_element("css selector", "[data-sort=id]").click()
    assert first_cells(page)[1] == "base_119"
    states = "return [...document.querySelectorAll('[role=columnheader]')].map((one) => one.getAttribute('aria-sort'))"
    assert run_script(page, states) == ["none", "descending", "none", "none", "none"]
    page.find_element("css selector", "[data-sort=sec]").click()
    assert first_cells(page)[1] == "base_0"


@pytest.mark.slow
def test_browser_searches(page):
    counts = {
        "wer>99": 1,
        "wer=50": 12,
        "niner": 12,
        "hyp:please": 12,
        "ref:niner": 0,
        "id:base_11": 11,
        "speaker:s1 role:controller wer>0": 4,
        '"delta five"': 120,
        "sec<1.05": 5,
        "wpm>=240": 1,
        "words>3 errors>3": 1,
        "<script>document": 1,
        "ONERROR=document": 1,
        "constructor": 0,
        "constructor:x": 0,
        "nothing like this": 0,
    }
    script = """
        const field = document.getElementById("search");
        return arguments[0].map((query) => {
          field.value = query;
          field.dispatchEvent(new Event("input"));
          return parseInt(document.getElementById("count").textContent);
        });"""
    found = run_script(page, script, list(counts))
    assert dict(zip(counts, found, strict=True)) == counts
    assert search(page, "niner").startswith("12 of 120 utterances")
    assert search(page, " ").startswith("120 of 120")


@pytest.mark.slow
def test_browser_filters_by_slice(page):
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("id", "column")).select_by_visible_text("speaker")
    Select(page.find_element("id", "value")).select_by_visible_text(MARKUP_COLUMN)
    assert text_of(page, "#count").startswith("1 of 120") and first_cells(page)[4] == MARKUP_COLUMN


@pytest.mark.slow
def test_browser_shows_markup_in_ids_and_columns_as_text(page):
    search(page, "id:<script>")
    press(page, "\ue00c", "j")
    assert MARKUP_ID == text_of(page, "#detail-id") == first_cells(page)[1]
    assert page.title == PARAMS.title
    assert run_script(page, "return document.querySelectorAll('script, img').length") == 2
    assert run_script(page, "return document.querySelectorAll('#grid script, #detail script, #grid img').length") == 0
    errors = [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in errors if "favicon.ico" not in message]  # Chromium asks for an icon by itself


@pytest.mark.slow
def test_browser_keyboard_moves_plays_and_searches(page):
    until(page, "return document.getElementById('spectrogram').dataset.drawn !== undefined")
    page.find_element("id", "grid").click()
    page.find_element("css selector", "#grid-rows [role=row]").click()
    assert text_of(page, "#detail-id") == "base_7"
    press(page, "j")
    second = text_of(page, "#detail-id")
    assert second != "base_7"
    press(page, "k")
    assert text_of(page, "#detail-id") == "base_7"
    run_script(page, "document.getElementById('grid').focus()")
    press(page, "\ue015")
    assert text_of(page, "#detail-id") == second
    active = run_script(page, "return document.getElementById('grid').getAttribute('aria-activedescendant')")
    assert (
        run_script(page, "return document.getElementById(arguments[0]).getAttribute('aria-selected')", active) == "true"
    )
    press(page, "\ue010")
    active = run_script(page, "return document.getElementById('grid').getAttribute('aria-activedescendant')")
    assert run_script(page, "return document.getElementById(arguments[0]) !== null", active)
    until(page, "return document.getElementById('spectrogram').dataset.drawn !== undefined")
    until(page, "return document.getElementById('audio').readyState >= 0")
    press(page, "p")
    until(page, "return document.getElementById('audio').currentTime > 0.1")
    press(page, " ")
    until(page, "return document.getElementById('audio').paused")
    press(page, "/")
    assert run_script(page, "return document.activeElement.id") == "search"
    press(page, "jp")
    assert run_script(page, "return document.getElementById('search').value") == "jp"


@pytest.mark.slow
def test_browser_spectrogram_shows_a_tone_at_its_frequency(page):
    search(page, "id:base_119")
    press(page, "\ue00c")
    run_script(page, "document.getElementById('grid').focus()")
    press(page, "\ue011")
    until(
        page,
        "return document.getElementById('spectrogram').dataset.drawn === '" + str(index_of(page, "base_119")) + "'",
    )
    brightest = run_script(
        page,
        "const canvas = document.getElementById('spectrogram');"
        "const pixels = canvas.getContext('2d').getImageData(canvas.width / 2, 0, 1, canvas.height).data;"
        "let best = [0, -1];"
        "for (let y = 0; y < canvas.height; y += 1) {"
        "  const light = pixels[4 * y] + pixels[4 * y + 1] + pixels[4 * y + 2];"
        "  if (light > best[1]) best = [y, light]; }"
        "return 8000 * (canvas.height - 0.5 - best[0]) / canvas.height;",
    )
    assert brightest == pytest.approx(1000, abs=60)


def index_of(page, name: str) -> int:
    rows = "JSON.parse(document.getElementById('data').textContent).utterances"
    return run_script(page, f"return {rows}.findIndex((row) => row[0] === arguments[0])", name)


@pytest.mark.slow
def test_browser_has_roles_labels_and_themes(page):
    assert run_script(page, "return document.documentElement.lang") == "en"
    grid = page.find_element("id", "grid")
    assert (grid.aria_role, grid.get_attribute("aria-rowcount"), grid.accessible_name) == ("grid", "121", "Utterances")
    assert page.find_element("id", "search").accessible_name == "Search"
    assert page.find_element("id", "column").accessible_name == "Slice"
    spoken = text_of(page, "#detail-description")
    assert spoken.startswith("Reference: DELTA FIVE CLIMB NOW. Hypothesis: nothing. 4 errors: DELTA deleted")
    buttons = "[...document.querySelectorAll('button')].filter((one) => one.tabIndex >= 0)"
    assert run_script(page, f"return {buttons}.every((one) => one.textContent.trim() !== '')")
    colour = "return getComputedStyle(document.body).backgroundColor"
    page.find_element("id", "theme").click()
    one = run_script(page, colour)
    page.find_element("id", "theme").click()
    assert {one, run_script(page, colour)} == {"rgb(255, 255, 255)", "rgb(18, 22, 29)"}


@pytest.mark.slow
def test_browser_keeps_few_rows_in_the_document_and_fits_a_phone(page):
    run_script(page, "document.getElementById('grid-body').scrollTop = 1e9")
    until(
        page,
        "return [...document.querySelectorAll('#grid-rows [role=row]')].some((row) => row.dataset.position === '119')",
    )
    assert run_script(page, "return document.querySelectorAll('#grid-rows [role=row]').length") < 60
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        page.refresh()
        assert run_script(page, "return document.documentElement.scrollWidth") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.slow
def test_browser_from_disk_draws_embedded_audio_and_asks_for_the_audio_folder(chromium, written):
    chromium.get((written / "report.html").resolve().as_uri())
    until(chromium, "return document.getElementById('spectrogram').dataset.drawn !== undefined")
    assert text_of(chromium, "#detail-id") == "base_7"
    search(chromium, "id:base_119")
    press(chromium, "\ue00c", "\ue011")
    until(chromium, "return !document.getElementById('folder-label').hidden")
    assert "opened from disk" in text_of(chromium, "#audio-note")
