"""report: what the scores look like, for people.

Reads   ref_manifest (CSV or JSONL), hyp_file (decode.jsonl), metrics_file (scores with their intervals);
        when given: slices_file (WER by slice), curves_file (training curves), run_metrics (the run's own metrics.json)
Writes  out_dir/report.html              one page: numbers, curves, slices, every utterance with its audio
        out_dir/summary.pdf, summary.png one sheet
        out_dir/model_card.md
"""

from collections.abc import Sequence
from pathlib import Path

from atc_asr.core.cli import Door, enter
from atc_asr.core.errors import InputError
from atc_asr.core.files import new_folder, write_text
from atc_asr.report import contents as report
from atc_asr.report.card import render_card
from atc_asr.report.page import page_data, render_page
from atc_asr.report.params import ReportParams
from atc_asr.report.summary import write_summary

SECTIONS = (ReportParams,)


def collect(
    params: ReportParams,
    *,
    ref_manifest: Sequence[Path],
    hyp_file: Path,
    metrics_file: Path,
    slices_file: Path | None,
    curves_file: Path | None,
    run: dict,
) -> report.Contents:
    """What the report says, from its files.

    Raises:
        InputError: a file cannot be used, or an id has no partner.
    """
    rows = report.read_rows(ref_manifest, hyp_file)
    metrics = report.read_object(metrics_file)
    figures = report.find_figures(metrics)
    if not figures:
        raise InputError(f"{metrics_file}: holds no score with its interval, wanted at least wer, wer_low and wer_high")
    return report.Contents(
        title=params.title,
        interval_name=report.name_interval(metrics),
        facts=tuple(report.facts_of(rows, run)),
        headline=tuple(figure for figure in figures if figure.name in report.HEADLINES),
        scorecard=tuple(figure for figure in figures if figure.name not in report.HEADLINES),
        slices=tuple(report.read_slices(slices_file)) if slices_file is not None else (),
        charts=tuple(report.read_curves(curves_file)) if curves_file is not None else (),
        ladder=tuple(report.read_ladder(metrics)),
        confusions=tuple(report.confused_words(rows, params.num_confusions)),
        rows=tuple(rows),
    )


def run(
    params: ReportParams,
    *,
    ref_manifest: Sequence[Path],
    hyp_file: Path,
    metrics_file: Path,
    slices_file: Path | None,
    curves_file: Path | None,
    run_metrics: Path | None,
    out_dir: Path,
) -> None:
    """Write the page, the sheet and the card.

    Raises:
        InputError: a file cannot be used, or an id has no partner.
    """
    facts = report.read_object(run_metrics) if run_metrics is not None else {}
    contents = collect(
        params,
        ref_manifest=ref_manifest,
        hyp_file=hyp_file,
        metrics_file=metrics_file,
        slices_file=slices_file,
        curves_file=curves_file,
        run=facts,
    )
    data = page_data(contents, out_dir=out_dir, num_embedded=params.num_embedded)
    with new_folder(out_dir) as folder:
        write_text(folder / "report.html", render_page(data))
        write_summary(folder, contents)
        write_text(folder / "model_card.md", render_card(contents, facts))


def main(argv: Sequence[str] | None = None) -> None:
    door = Door(__doc__, sections=SECTIONS)
    door.path("--ref_manifest", nargs="+", required=True, help="manifests with the references")
    door.path("--hyp_file", required=True, help="hypotheses, decode.jsonl")
    door.path("--metrics_file", required=True, help="scores, JSON")
    door.path("--slices_file", help="WER by slice, CSV")
    door.path("--curves_file", help="training curves, CSV")
    door.path("--run_metrics", help="metrics.json of the run")
    door.path("--out_dir", required=True, help="folder to write")
    args = door.parse(argv)
    run(*args.sections, **vars(args.paths))


if __name__ == "__main__":
    enter(main)
