"""The report of a run, or over many: one page and one terminal table, from the files of run directories alone.

Charts are SVG, coloured by the page's style sheet (docs/charts.md says why no library draws them). The page
needs no script but a step slider and a readout, and its content security policy forbids every other script
and style by their hashes: the report of a stranger's run directory is safe to open.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["summary_table", "write_report", "write_report_over_runs"]


def write_report(run_dir: str | Path, lang: str = "en") -> Path:
    """Writes ``run_dir/report.html`` from the run's files and returns its path. `lang`: "en" or "zh".

    Only reads files of the run directory and runs nothing. A missing or broken file is named on the page,
    with the command that makes it. Raises FileNotFoundError where `run_dir` is no directory, ValueError for
    an unknown `lang`.
    """
    from bestreply.report.page import write_page

    return write_page(Path(run_dir), lang)


def summary_table(run_dir: str | Path, lang: str = "en") -> "Group":
    """Methods x opponent sets for the terminal: mean return ± standard error, over seeds if there are several,
    and the same held against the best reply where the run has references.

    Raises FileNotFoundError where ``scores.parquet`` is missing, ValueError that says why where it cannot be
    read.
    """
    from bestreply.report.scores import terminal_table

    return terminal_table(Path(run_dir), lang)


def write_report_over_runs(
    folders: Sequence[str | Path],
    lang: str = "en",
    *,
    out: str | Path | None = None,
    since: str | None = None,
    baseline: str | None = None,
) -> tuple[Path, Path]:
    """Writes ``report.html`` and ``report.md``, of the same content, about all runs in `folders`; returns their paths.

    Args:
        folders: run directories, or folders of runs or sweeps, however deep.
        lang: "en" or "zh".
        out: the folder to write to; by default the one that holds all of `folders`.
        since: only runs made since then by their provenance: "7d", "24h", "2w", or an ISO 8601 date.
        baseline: a method that all others are held against, instead of every pair of methods.

    Only reads files, and runs nothing. A run that is broken is named with what is wrong, and the rest is shown. Raises
    FileNotFoundError for a folder that is not there; ValueError for no runs, an unknown `lang` or `baseline`, or a `since` that is
    no time.
    """
    from bestreply.report.weekly.page import write_pages
    from bestreply.report.weekly.timestamps import parse_since

    begin = parse_since(since) if since is not None else None
    places = [Path(folder) for folder in folders]
    return write_pages(
        places, lang, Path(out) if out is not None else None, begin, baseline
    )
