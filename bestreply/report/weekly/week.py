"""The runs and comparisons that a report is about; the sections write them."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from bestreply.report.page import PAGE
from bestreply.report.run_files import clean
from bestreply.report.texts import Texts, with_error
from bestreply.report.weekly.comparisons import GameComparisons, compare_methods
from bestreply.report.weekly.discovery import find_runs
from bestreply.report.weekly.document import (
    Code,
    Line,
    Link,
    Part,
    Plain,
    line,
)
from bestreply.report.weekly.groups import Family, RunGroup, families
from bestreply.report.weekly.record import RunRecord, read_record
from bestreply.scores.statistics import student_t


@dataclass(frozen=True)
class Week:
    """Runs, their games and methods, comparisons and datasets of one report."""

    records: list[RunRecord]
    families: list[Family]
    comparisons: list[GameComparisons]  # of each family
    datasets: list[Path]
    left_out: int  # runs before `since`, or without a date
    since: datetime | None
    out: Path

    @property
    def pairs(self) -> list[tuple[Family, GameComparisons]]:
        """Games with their comparisons."""
        return list(zip(self.families, self.comparisons, strict=True))

    @property
    def groups(self) -> list[tuple[Family, RunGroup]]:
        """All methods, each with its game."""
        return [(f, group) for f in self.families for group in f.groups]

    def link(self, path: Path, text: str) -> Link:
        """Return a link from the report to a file or folder.

        Args:
            path: file or folder.
            text: text of the link.

        Returns:
            The link, with a relative address.
        """
        relative = os.path.relpath(path, self.out)
        return Link(
            clean(text),
            "./" + quote(os.fsencode(relative)) + "/" * path.is_dir(),
        )

    def link_to_run(self, record: RunRecord, text: str | None = None) -> Link:
        """Return a link to the page of a run, or to its folder without one.

        Args:
            record: the run.
            text: text of the link; by default the run's path.

        Returns:
            The link.
        """
        return Link(
            clean(text or self.relative_path(record)),
            self._addresses[record.path],
        )

    @cached_property
    def _addresses(self) -> dict[Path, str]:
        """Addresses of all runs; each has many links."""
        pages = {
            r.path: r.path / PAGE
            for f in self.families
            for g in f.groups
            for r in (*g.runs, *g.repeats)
        }
        return {
            path: self.link(page if page.is_file() else path, "").to
            for path, page in pages.items()
        }

    def relative_path(self, record: RunRecord) -> str:
        """Return the path of a run relative to the report.

        Args:
            record: the run.

        Returns:
            The path.
        """
        return clean(os.path.relpath(record.path, self.out))

    def shell_path(self, path: Path) -> str:
        """Return a path for a command, relative to the working directory.

        Args:
            path: file or folder.

        Returns:
            The quoted path.
        """
        return shlex.quote(clean(os.path.relpath(path)))

    def link_to_group(self, family: Family, group: RunGroup) -> Link:
        """Return a link to a method in the list of runs.

        Args:
            family: game of the method.
            group: runs of the method.

        Returns:
            The link.
        """
        return Link(group.name, f"#{self.anchor(family, group)}")

    def anchor(self, family: Family, group: RunGroup) -> str:
        """Return the anchor of a method in the list of runs.

        Args:
            family: game of the method.
            group: runs of the method.

        Returns:
            The anchor.
        """
        return f"runs-{self.families.index(family) + 1}-{family.groups.index(group) + 1}"


def read_week(
    folders: Sequence[Path],
    out: Path,
    since: datetime | None = None,
    baseline: str | None = None,
) -> Week:
    """Read all runs and compare their methods.

    Args:
        folders: run directories, or folders of runs or sweeps.
        out: folder of the report.
        since: only runs that started since then.
        baseline: method to compare all other methods with; by default every pair.

    Returns:
        Runs, comparisons and datasets.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: there is no run, or `baseline` is unknown.
    """
    paths = find_runs(folders)
    read = [read_record(path, since) for path in paths.runs]
    records = [record for record in read if record is not None]
    listed = ", ".join(map(str, folders))
    if not paths.runs:
        raise ValueError(
            f"folders={listed}: expected run directories, or folders of runs or sweeps"
        )
    if not records:
        raise ValueError(
            f"since={since:%Y-%m-%d %H:%M}: expected an earlier time; none of the "
            f"{len(paths.runs)} runs in {listed} started since then"
        )
    games = families(records)
    groups = [group for family in games for group in family.groups]
    names = {name for g in groups for name in (g.name, *g.methods)}
    if baseline is not None and baseline not in names:
        known = ", ".join(sorted(names))
        raise ValueError(f"baseline={baseline!r}: expected one of {known}")
    comparisons = [compare_methods(family, baseline) for family in games]
    left_out = len(read) - len(records)
    return Week(
        records, games, comparisons, paths.datasets, left_out, since, out
    )


# -- numbers over seeds ----------------------------------------------------------


def mean_of(values: Sequence[float]) -> float | None:
    """Return the mean.

    Args:
        values: numbers.

    Returns:
        None without numbers.
    """
    return sum(values) / len(values) if values else None


def stderr_of(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean.

    Args:
        values: numbers.

    Returns:
        None for fewer than two numbers.
    """
    count = len(values)
    if count < 2:
        return None
    mean = sum(values) / count
    squares = sum((v - mean) ** 2 for v in values)
    return (squares / (count - 1) / count) ** 0.5


def mean_text(values: Sequence[float], decimals: int = 2) -> str:
    """Write mean and standard error over seeds: ``2.71 ± 0.03``.

    Args:
        values: one number per seed.
        decimals: decimal places.

    Returns:
        A dash without numbers; no error for one.
    """
    return with_error(mean_of(values), stderr_of(values), decimals)


def interval_of(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the mean by Student's t.

    Args:
        values: one number per seed.

    Returns:
        Low and high end; None for fewer than two numbers.
    """
    mean, error = mean_of(values), stderr_of(values)
    if mean is None or error is None:
        return None
    half = student_t(len(values) - 1, 0.975) * error
    return mean - half, mean + half


def join_lines(parts: Sequence[Line | Link | Code | str], gap: str) -> Line:
    """Join lines and parts of lines.

    Args:
        parts: what to join.
        gap: written between two of them.

    Returns:
        One line.
    """
    joined: list[Part] = []
    for part in parts:
        joined += [Plain(gap)] if joined else []
        joined += part if isinstance(part, tuple) else line(part)
    return tuple(joined)


def list_names(
    names: Sequence[object], texts: Texts, max_names: int = 12
) -> str:
    """Write names with commas.

    Args:
        names: names.
        texts: language.
        max_names: number of names to write; the rest are counted.

    Returns:
        The list.
    """
    text = texts("list_gap").join(str(name) for name in names[:max_names])
    if len(names) <= max_names:
        return text
    return text + texts("weekly_more", count=f"{len(names) - max_names:,}")
