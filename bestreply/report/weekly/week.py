"""All that a report is about, read and worked out; sections take what they say from it."""

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
from bestreply.report.texts import Texts, fixed
from bestreply.report.weekly.comparisons import GameComparisons, compare_methods
from bestreply.report.weekly.discovery import find_runs
from bestreply.report.weekly.document import Code, Line, Link, Plain, line
from bestreply.report.weekly.groups import Family, RunGroup, families
from bestreply.report.weekly.record import RunRecord, read_record
from bestreply.scores.statistics import student_t


@dataclass(frozen=True)
class Week:
    records: list[RunRecord]
    families: list[Family]
    held: list[GameComparisons]  # of each family
    datasets: list[Path]
    left_out: (
        int  # runs before `since`, or without a date where there is a `since`
    )
    since: datetime | None
    out: Path

    @property
    def pairs(self) -> list[tuple[Family, GameComparisons]]:
        return list(zip(self.families, self.held, strict=True))

    def to(self, path: Path, text: str) -> Link:
        """A link from the report to a file or folder."""
        relative = os.path.relpath(path, self.out)
        return Link(
            clean(text),
            "./" + quote(os.fsencode(relative)) + "/" * path.is_dir(),
        )

    def to_run(self, record: RunRecord, text: str | None = None) -> Link:
        """To the run's own page where it has one, else to its folder."""
        return Link(
            clean(text or self.place(record)), self._addresses[record.path]
        )

    @cached_property
    def _addresses(self) -> dict[Path, str]:
        """Of every run; it is linked to from many places."""
        pages = {
            r.path: r.path / PAGE
            for f in self.families
            for g in f.groups
            for r in (*g.runs, *g.repeats)
        }
        return {
            path: self.to(page if page.is_file() else path, "").to
            for path, page in pages.items()
        }

    def place(self, record: RunRecord) -> str:
        return clean(os.path.relpath(record.path, self.out))

    def typed(self, path: Path) -> str:
        """A path as a command would name it, where the report is made."""
        return shlex.quote(clean(os.path.relpath(path)))

    def to_group(self, family: Family, group: RunGroup) -> Link:
        """To where the page says what was run."""
        return Link(group.name, f"#{self.anchor(family, group)}")

    def anchor(self, family: Family, group: RunGroup) -> str:
        return f"runs-{self.families.index(family) + 1}-{family.groups.index(group) + 1}"


def read_week(
    folders: Sequence[Path],
    out: Path,
    since: datetime | None = None,
    baseline: str | None = None,
) -> Week:
    """Raises FileNotFoundError for a folder that is not there, ValueError where there is no run, or no method is named `baseline`."""
    found = find_runs(folders)
    read = [read_record(path, since) for path in found.runs]
    records = [record for record in read if record is not None]
    asked = ", ".join(map(str, folders))
    if not found.runs:
        raise ValueError(
            f"no runs under {asked}; expected: run directories, or folders of runs or sweeps"
        )
    if not records:
        raise ValueError(
            f"none of the {len(found.runs)} runs under {asked} was made since {since:%Y-%m-%d %H:%M}; expected: an earlier --since"
        )
    by_game = families(records)
    names = {g.name for f in by_game for g in f.groups} | {
        m for f in by_game for g in f.groups for m in g.methods
    }
    if baseline is not None and baseline not in names:
        raise ValueError(
            f"no method is named {baseline!r}; there are: {', '.join(sorted(names))}"
        )
    held = [compare_methods(family, baseline) for family in by_game]
    return Week(
        records,
        by_game,
        held,
        found.datasets,
        len(read) - len(records),
        since,
        out,
    )


# -- numbers over seeds --------------------------------------------------------------------------------------------------------


def mean_of(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def stderr_of(values: Sequence[float]) -> float | None:
    """Of the mean; None for fewer than two."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return (
        sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)
    ) ** 0.5


def with_error(values: Sequence[float], decimals: int = 2) -> str:
    """``2.71 ± 0.03``: mean and standard error over seeds."""
    error = stderr_of(values)
    return fixed(mean_of(values), decimals) + (
        f" ± {fixed(error, decimals)}" if error is not None else ""
    )


def interval_of(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % of the mean, by Student's t."""
    error = stderr_of(values)
    if error is None:
        return None
    mean, half = (
        sum(values) / len(values),
        student_t(len(values) - 1, 0.975) * error,
    )
    return mean - half, mean + half


def join_lines(parts: Sequence[Line | Link | Code | str], gap: str) -> Line:
    """Parts with `gap` between them."""
    found: list = []
    for part in parts:
        found += [Plain(gap)] if found else []
        found += part if isinstance(part, tuple) else line(part)
    return tuple(found)


def list_names(names: Sequence[object], texts: Texts, most: int = 12) -> str:
    """Names with commas, at most so many and how many more."""
    shown = texts("list_gap").join(str(n) for n in names[:most])
    return (
        shown
        if len(names) <= most
        else shown + texts("weekly_more", count=f"{len(names) - most:,}")
    )
