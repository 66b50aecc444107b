"""report: a page, a summary and a model card from scores and utterances."""

from collections.abc import Sequence

from atc_asr.core import cli
from atc_asr.core.files import write_text
from atc_asr.core.outputs import check_folder, new_folder
from atc_asr.report.card import render_card
from atc_asr.report.contents import read_contents
from atc_asr.report.page import render_page
from atc_asr.report.params import ReportFlags, ReportParams

FILES = ("report.html", "summary.pdf", "summary.png", "model_card.md")


def run(params: ReportParams, flags: ReportFlags) -> None:
    """Write the page, the summary and the model card.

    Raises:
        InputError: a file cannot be used, or an id is not in both manifest and hypotheses.
    """
    from atc_asr.report.summary import write_summary  # loads matplotlib, which --help does not need

    check_folder(flags.out_dir, FILES)
    contents = read_contents(params.title, flags)
    page = render_page(contents, out_dir=flags.out_dir)
    with new_folder(flags.out_dir, FILES) as folder:
        write_text(folder / "report.html", page)
        write_summary(folder, contents)
        write_text(folder / "model_card.md", render_card(contents))


def main(argv: Sequence[str] | None = None) -> None:
    run(*cli.parse(argv, ReportParams, ReportFlags))


if __name__ == "__main__":
    cli.enter(main)
