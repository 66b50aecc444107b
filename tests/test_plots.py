"""The plot templates of .dvc/plots, filled as `dvc plots` fills them."""

import json
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).resolve().parents[1] / ".dvc" / "plots"
POINT = {"slice": "duration", "group": "< 2 s", "wer": "9.5", "low": "8", "high": "11", "num_utterances": "40"}


@pytest.fixture
def filled() -> dict:
    vega = pytest.importorskip("dvc_render.vega")
    points = [POINT | {"rev": rev} for rev in ("workspace", "HEAD")]
    properties = {"x": "wer", "y": "group", "title": "By slice", "x_label": "WER, %", "y_label": ""}
    renderer = vega.VegaRenderer(
        points,
        "slices",
        template="wer_by_slice",
        template_dir=str(TEMPLATES),
        revs_with_datapoints=["workspace", "HEAD"],
        **properties,
    )
    return renderer.get_filled_template()


def test_every_placeholder_is_filled(filled):
    assert "DVC_METRIC" not in json.dumps(filled)
    assert filled["title"]["text"] == "By slice"
    assert [point["rev"] for point in filled["data"]["values"]] == ["workspace", "HEAD"]


def test_intervals_and_rates_share_an_axis_with_its_unit(filled):
    interval, rate = filled["spec"]["layer"]
    assert interval["encoding"]["x"] == {"field": "low", "type": "quantitative", "title": "WER, %"}
    assert interval["encoding"]["x2"] == {"field": "high"}
    assert rate["encoding"]["x"] == {"field": "wer", "type": "quantitative", "title": "WER, %"}
    assert filled["spec"]["encoding"]["color"]["scale"]["domain"] == ["workspace", "HEAD"]


def test_each_split_has_its_own_curve():
    vega = pytest.importorskip("dvc_render.vega")
    points = [{"rev": "workspace", "split": split, "coverage": "5", "risk": "1"} for split in ("valid", "test")]
    labels = {"title": "Risk", "x_label": "kept, %", "y_label": "wrong, %"}
    renderer = vega.VegaRenderer(
        points,
        "risk",
        template="line_by_split",
        template_dir=str(TEMPLATES),
        revs_with_datapoints=["workspace"],
        x="coverage",
        y="risk",
        **labels,
    )
    filled = renderer.get_filled_template()
    assert "DVC_METRIC" not in json.dumps(filled)
    assert filled["encoding"]["strokeDash"]["field"] == "split"
    assert filled["encoding"]["x"]["title"] == "kept, %"


def test_only_the_largest_groups_of_a_slice_are_drawn(filled):
    window = filled["transform"][2]
    assert window["groupby"] == ["slice", "rev"] and window["sort"] == [{"field": "size", "order": "descending"}]
    assert filled["transform"][3] == {"filter": "datum.rank <= 12"}
