"""The report on one A4 page, as PDF and PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from atc_asr.core.outputs import new_file
from atc_asr.report.contents import Chart, Contents, Score

A4 = (8.27, 11.69)  # inches
PNG_DPI = 130
MAX_GROUPS = 20
MAX_GROUPS_PER_SLICE = 6  # so that a slice with many speakers does not hide the others
MAX_TABLE_ROWS = 14
COLOURS = ("#1f5fbf", "#b3541e", "#0b6b3a", "#7b3fa0")
GREY = "#566072"


def _plain(text: str) -> str:
    """Escapes `$`, which starts a formula in matplotlib."""
    return text.replace("$", r"\$")


def _draw_chart(axes: Axes, chart: Chart) -> None:
    for colour, (name, values) in zip(COLOURS, chart.series.items(), strict=False):
        known = [float("nan") if value is None else value for value in values]
        axes.plot(chart.epochs, known, color=colour, label=name)
    axes.set_title(chart.title, loc="left", fontsize=10)
    axes.set_xlabel("epoch")
    axes.set_ylabel(chart.y_label)
    axes.set_ylim(bottom=0)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=8)


def choose_groups(slices: Mapping[str, Sequence[Score]]) -> list[tuple[str, Score]]:
    """(slice, group) of the largest groups of each slice, in the order of the file."""
    chosen = []
    for name, groups in slices.items():
        known = [group for group in groups if group.value is not None]
        largest = sorted(known, key=lambda group: -(group.count or 0))[:MAX_GROUPS_PER_SLICE]
        chosen += [(name, group) for group in known if group in largest]
    return chosen[:MAX_GROUPS]


def _draw_slices(axes: Axes, groups: Sequence[tuple[str, Score]]) -> None:
    """WER of groups with their intervals, the first group on top."""
    for place, (_, group) in enumerate(groups):
        if group.low is not None and group.high is not None:
            axes.plot([group.low, group.high], [place, place], color=COLOURS[0], linewidth=1.5)
        axes.plot(group.value or 0.0, place, "o", color=COLOURS[0], markersize=4)
    axes.set_yticks(range(len(groups)), [_plain(f"{name}: {group.label}"[:34]) for name, group in groups], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("WER, %")
    axes.set_title("Word error rate by slice", loc="left", fontsize=10)


def _draw_table(axes: Axes, title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """A table: labels on the left, one or two columns of numbers on the right."""
    axes.axis("off")
    axes.set_title(title, loc="left", fontsize=10)
    for place, (label, *numbers) in enumerate(rows[:MAX_TABLE_ROWS]):
        height = 0.97 - place / MAX_TABLE_ROWS
        axes.text(0, height, _plain(label[:36]), fontsize=8, va="top", transform=axes.transAxes)
        for right, text in zip((1, 0.72), reversed(numbers), strict=False):
            axes.text(right, height, text, fontsize=8, va="top", ha="right", transform=axes.transAxes)


def _draw_summary(contents: Contents) -> Figure:
    """The page with as much of the contents as fits."""
    figure = Figure(figsize=A4)
    FigureCanvasAgg(figure)
    figure.text(0.08, 0.955, _plain(contents.title[:80]), fontsize=16, weight="bold")
    figure.text(0.08, 0.937, _plain(" · ".join(contents.subtitle)[:120]), color=GREY, fontsize=9)
    for place, score in enumerate(contents.headline):
        left = 0.08 + place * 0.178
        figure.text(left, 0.905, score.label, color=GREY, fontsize=8)
        figure.text(left, 0.878, f"{score.percent} %", fontsize=20, weight="bold")
        figure.text(left, 0.863, score.interval, color=GREY, fontsize=9)
    charts = figure.add_gridspec(1, 2, left=0.13, right=0.94, top=0.81, bottom=0.63, wspace=0.3)
    for place, chart in enumerate(contents.charts[:2]):
        _draw_chart(figure.add_subplot(charts[0, place]), chart)
    groups = choose_groups(contents.slices)
    if groups:
        _draw_slices(figure.add_axes((0.3, 0.34, 0.64, 0.22)), groups)
    scores = [(score.label, f"{score.percent} %", score.interval) for score in contents.scorecard]
    confusions = [(f"{ref} → {hyp}", str(count)) for ref, hyp, count in contents.confusions]
    tables = figure.add_gridspec(1, 2, left=0.08, right=0.94, top=0.27, bottom=0.03, wspace=0.12)
    _draw_table(figure.add_subplot(tables[0, 0]), f"Scorecard, {contents.interval_name}", scores)
    _draw_table(figure.add_subplot(tables[0, 1]), "Most confused words", confusions)
    return figure


def write_summary(out_dir: Path, contents: Contents) -> None:
    """Write summary.pdf and summary.png; equal contents give equal bytes."""
    figure = _draw_summary(contents)
    with new_file(out_dir / "summary.pdf") as partial:
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    with new_file(out_dir / "summary.png") as partial:
        figure.savefig(partial, format="png", dpi=PNG_DPI)
