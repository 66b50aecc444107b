"""The report on one sheet, as PDF and PNG, from the same numbers as the page."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet

from atc_asr.core.files import new_file
from atc_asr.report.contents import Chart, Contents, Figure, SliceFigure

A4 = (8.27, 11.69)  # inches
PNG_DPI = 130
MAX_SLICES = 20
MAX_GROUPS = 6  # of one slice, so that a column of many speakers leaves room for the others
MAX_SCORES = 14
MAX_CONFUSIONS = 14
COLOURS = ("#1f5fbf", "#b3541e", "#0b6b3a", "#7b3fa0")
SOFT = "#566072"


def plain(text: str) -> str:
    """A text as it is: a `$` would switch matplotlib to formulas."""
    return text.replace("$", r"\$")


def interval(low: float | None, high: float | None) -> str:
    """`3.1 to 4.2`, nothing when there is no interval."""
    return "" if low is None or high is None else f"{low:.1f} to {high:.1f}"


def draw_headline(sheet: Sheet, figures: Sequence[Figure], top: float) -> None:
    """Large numbers side by side."""
    for place, figure in enumerate(figures[:4]):
        left = 0.08 + place * 0.22
        sheet.text(left, top, figure.label, color=SOFT, fontsize=9)
        sheet.text(left, top - 0.027, f"{figure.value:.1f} %", fontsize=20, weight="bold")
        sheet.text(left, top - 0.042, interval(figure.low, figure.high), color=SOFT, fontsize=9)


def draw_curves(axes: Axes, chart: Chart) -> None:
    """One chart of training curves."""
    for colour, (name, values) in zip(COLOURS, chart.series.items(), strict=False):
        axes.plot(chart.x, [float("nan") if value is None else value for value in values], color=colour, label=name)
    axes.set_title(chart.title, loc="left", fontsize=10)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.set_ylim(bottom=0)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=8)


def choose_slices(slices: Sequence[SliceFigure]) -> list[SliceFigure]:
    """The largest groups of each slice, as many as fit, in their order."""
    known = [figure for figure in slices if figure.value is not None]
    chosen = set()
    for name in {figure.slice for figure in known}:
        places = [place for place, figure in enumerate(known) if figure.slice == name]
        chosen |= set(sorted(places, key=lambda place: -(known[place].population or 0))[:MAX_GROUPS])
    return [known[place] for place in sorted(chosen)][:MAX_SLICES]


def draw_slices(axes: Axes, shown: Sequence[SliceFigure]) -> None:
    """WER of groups with their intervals, the first group on top."""
    for place, figure in enumerate(shown):
        if figure.low is not None and figure.high is not None:
            axes.plot([figure.low, figure.high], [place, place], color=COLOURS[0], linewidth=1.5)
        axes.plot([figure.value], [place], "o", color=COLOURS[0], markersize=4)
    axes.set_yticks(range(len(shown)), [plain(f"{figure.slice}: {figure.label}"[:34]) for figure in shown], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("WER, %")
    axes.set_title("By slice", loc="left", fontsize=10)


def draw_lines(axes: Axes, title: str, lines: Sequence[tuple[str, str]]) -> None:
    """A table of two columns."""
    axes.axis("off")
    axes.set_title(title, loc="left", fontsize=10)
    for place, (left, right) in enumerate(lines):
        height = 0.97 - place / max(len(lines), MAX_SCORES)
        axes.text(0, height, plain(left[:36]), fontsize=8, va="top", transform=axes.transAxes)
        axes.text(1, height, plain(right), fontsize=8, va="top", ha="right", transform=axes.transAxes)


def draw_sheet(contents: Contents) -> Sheet:
    """The sheet with everything that fits on it."""
    sheet = Sheet(figsize=A4)
    FigureCanvasAgg(sheet)
    sheet.text(0.08, 0.955, plain(contents.title[:80]), fontsize=16, weight="bold")
    facts = " · ".join(contents.facts)
    sheet.text(0.08, 0.937, plain(facts[:120]), color=SOFT, fontsize=9)
    draw_headline(sheet, contents.headline, 0.905)
    curves = sheet.add_gridspec(1, 2, left=0.13, right=0.94, top=0.81, bottom=0.63, wspace=0.3)
    for place, chart in enumerate(contents.charts[:2]):
        draw_curves(sheet.add_subplot(curves[0, place]), chart)
    shown = choose_slices(contents.slices)
    if shown:
        draw_slices(sheet.add_axes((0.3, 0.34, 0.64, 0.22)), shown)
    tables = sheet.add_gridspec(1, 2, left=0.08, right=0.94, top=0.27, bottom=0.03, wspace=0.12)
    scores = [
        (figure.label, f"{figure.value:.1f} %   {interval(figure.low, figure.high)}")
        for figure in contents.scorecard[:MAX_SCORES]
    ]
    confusions = [(f"{ref} → {hyp}", str(times)) for ref, hyp, times in contents.confusions[:MAX_CONFUSIONS]]
    if scores:
        draw_lines(sheet.add_subplot(tables[0, 0]), f"Scorecard ({contents.interval_name})", scores)
    if confusions:
        draw_lines(sheet.add_subplot(tables[0, 1]), "Most confused words", confusions)
    return sheet


def write_summary(out_dir: Path, contents: Contents) -> None:
    """Write summary.pdf and summary.png, the same bytes for the same numbers."""
    sheet = draw_sheet(contents)
    with new_file(out_dir / "summary.pdf") as partial:
        sheet.savefig(partial, format="pdf", metadata={"CreationDate": None})
    with new_file(out_dir / "summary.png") as partial:
        sheet.savefig(partial, format="png", dpi=PNG_DPI)
