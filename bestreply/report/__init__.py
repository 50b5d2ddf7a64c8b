"""The report of a run: one page and one terminal table, from the files of its run directory alone.

Figures are SVG drawn by `figures`, not Plotly: a demo's page is about an eighth of Plotly's script alone,
follows the reader's colour scheme through CSS, prints, and needs no more script than a step slider and a
readout. So its content security policy can forbid every script and style but our own by their hashes, which
keeps the report of a stranger's run directory safe to open.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["summary_table", "write_report"]


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
