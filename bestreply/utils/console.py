"""What a person sees while something lasts, and where products go."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(
    stderr=True, highlight=False
)  # products' paths and tables go to standard output, all else here


class RateColumn(ProgressColumn):
    """Units per second so far."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed or 0.0
        return Text(f"{rate:,.0f} {task.fields['unit']}/s" if rate else "")


class Meter:
    """Counts units of one lasting step; `advance` moves the bar."""

    def __init__(
        self,
        progress: Progress | None,
        task: int,
        label: str,
        total: float,
        unit: str,
    ) -> None:
        self._progress, self._task = progress, task
        self._label, self._total, self._unit, self._done, self._start = (
            label,
            total,
            unit,
            0.0,
            time.monotonic(),
        )

    def advance(self, units: float, note: str = "") -> None:
        self._done += units
        if self._progress is not None:
            self._progress.update(self._task, advance=units, note=note)  # type: ignore[arg-type]

    def line(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        return f"{self._label}: {self._done:,.0f} {self._unit} in {seconds:.1f} s ({self._done / seconds:,.0f} {self._unit}/s)"


@contextmanager
def meter(label: str, total: float, unit: str) -> Iterator[Meter]:
    """A progress bar with rate and time left; where no terminal is watching, one line at the end instead."""
    if not console.is_terminal:
        bar = Meter(None, 0, label, total, unit)
        yield bar
        console.print(bar.line())
        return
    columns = (
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console
    ) as progress:
        task = progress.add_task(label, total=total, unit=unit, note="")
        yield Meter(progress, task, label, total, unit)


def fresh_path(folder: str | Path, name: str) -> Path:
    """``folder/name-0001`` with the first number that is not taken."""
    folder, number = Path(folder), 1
    while (path := folder / f"{name}-{number:04d}").exists():
        number += 1
    return path
