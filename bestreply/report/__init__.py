"""Reports about one run or several, from the files of run directories alone.

Charts are SVG with the colours of the page's style sheet (docs/charts.md compares
drawing libraries). The only script is a step slider and a readout of curves. The
content security policy admits scripts and styles by hash, so a report of a foreign
run directory is safe to open.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bestreply.utils.checks import checked_path

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["summary_table", "write_report", "write_report_over_runs"]


def write_report(run_dir: str | Path, lang: str = "en") -> Path:
    """Write ``run_dir/report.html`` from the run's files.

    Reads files only. The page names each missing or broken file and the command that
    creates it.

    Args:
        run_dir: run directory.
        lang: "en" or "zh".

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: `run_dir` is not a directory.
        ValueError: `lang` is unknown, or `run_dir` is no path.
    """
    from bestreply.report.page import write_page

    what = "the path of a run directory: br.write_report('runs/first')"
    return write_page(checked_path("run_dir", run_dir, what), lang)


def summary_table(run_dir: str | Path, lang: str = "en") -> "Group":
    """Return the scores of a run as tables for the terminal.

    Rows are methods and columns are opponent sets: mean return ± standard error, over
    seeds if there are several. Runs with references also get normalised returns and
    shares of the best reply.

    Args:
        run_dir: run directory.
        lang: "en" or "zh".

    Returns:
        The tables and their notes.

    Raises:
        FileNotFoundError: ``scores.parquet`` is missing.
        ValueError: ``scores.parquet`` cannot be used; the message says why.
    """
    from bestreply.report.score_tables import terminal_table

    return terminal_table(Path(run_dir), lang)


def write_report_over_runs(
    folders: Sequence[str | Path],
    lang: str = "en",
    *,
    out: str | Path | None = None,
    since: str | None = None,
    baseline: str | None = None,
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md``, with the same content, about all runs in
    `folders`.

    Reads files only. A broken run is listed with its problem, and the rest is shown.

    Args:
        folders: run directories, or folders of runs or sweeps, at any depth.
        lang: "en" or "zh".
        out: output folder; by default the common parent of `folders`.
        since: only runs that started since then: "7d", "24h", "2w", or an ISO
            8601 date.
        baseline: the method to compare all other methods with; by default all
            pairs are compared.

    Returns:
        Paths of the page and of the Markdown file.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: there are no runs, `lang` or `baseline` is unknown, or `since`
            is not a time.
    """
    from bestreply.report.weekly.page import write_pages
    from bestreply.report.weekly.timestamps import parse_since
    from bestreply.utils.output_folders import checked_folder

    return write_pages(
        [Path(folder) for folder in folders],
        lang,
        None if out is None else checked_folder(out),
        None if since is None else parse_since(since),
        baseline,
    )
