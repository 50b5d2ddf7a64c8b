"""Progress on the terminal, and paths for new results."""

import itertools
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from bestreply.utils.turns import job_count

console = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""Standard error, all text as it is. Paths of results and tables go to standard output."""

CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"
    r"\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that steer a terminal, change the direction of text, are invisible, or are
half of a surrogate pair, which no stream can write."""
MAX_NAME = 200
"""Characters of a name that are shown."""


def printable(text: object) -> str:
    """Return text without the characters that could steer a terminal or disguise a name.

    Names in files from elsewhere can hold escape sequences. Line ends and tabs
    stay; each other character of `CONTROL` becomes U+FFFD.

    Args:
        text: what is to be shown.
    """
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def one_line(text: object) -> str:
    """Return a name from elsewhere as a table or a sentence shows it.

    Args:
        text: the name.

    Returns:
        `printable` text with U+FFFD for line ends and tabs, of at most `MAX_NAME`
        characters.
    """
    name = printable(str(text)[: MAX_NAME + 1])
    name = re.sub(r"[\n\t]", "\N{REPLACEMENT CHARACTER}", name)
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."


def warn(text: str) -> None:
    """Show a warning on standard error, literally.

    Args:
        text: one sentence; markup in it has no effect.
    """
    log.warning("%s", text)


class ConsoleHandler(logging.Handler):
    """Shows messages on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message literally; a warning or an error begins with its level.

        Args:
            record: the message.
        """
        text = printable(record.getMessage())
        if record.levelno > logging.INFO:
            text = f"{record.levelname.lower()}: {text}"
        console.print(Text(text))


log = logging.getLogger("bestreply")
"""Progress at level INFO, warnings at WARNING, on standard error alone.

``log.setLevel("WARNING")`` shows no progress. ``log.handlers.clear()`` and
``log.propagate = True`` hand all messages to the handlers of the application.
"""
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(ConsoleHandler())


class RateColumn(ProgressColumn):
    """Units per second so far."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed or 0.0
        return Text(f"{rate:,.0f} {task.fields['unit']}/s" if rate else "")


class Meter:
    """A counter of the units of one long step, with or without a bar."""

    def __init__(
        self, label: str, unit: str, bar: tuple[Progress, TaskID] | None
    ) -> None:
        self._label, self._unit, self._bar = label, unit, bar
        self._done = 0.0
        self._start = time.monotonic()

    def advance(self, units: float, note: str = "") -> None:
        """Count units as done.

        Args:
            units: how many, in the meter's unit.
            note: text beside the bar.
        """
        self._done += units
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, advance=units, note=note)

    def line(self) -> str:
        """Summarise the step.

        Returns:
            Label, units done, seconds and rate as one line.
        """
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self._done / seconds
        return (
            f"{self._label}: {self._done:,.0f} {self._unit} in {seconds:.1f} s "
            f"({rate:,.0f} {self._unit}/s)"
        )


@contextmanager
def meter(label: str, total: float, unit: str) -> Iterator[Meter]:
    """Show a progress bar; where standard error is no terminal, log a line at the end.

    Nothing is shown where the logger `bestreply` is above level INFO. Jobs that take
    turns (`bestreply.utils.turns`) log lines.

    Args:
        label: name of the step.
        total: units in all.
        unit: name of the unit, in the plural.

    Returns:
        A context manager that gives a meter to advance.
    """
    label = printable(label)
    is_quiet = not log.isEnabledFor(logging.INFO)
    if is_quiet or not console.is_terminal or job_count() > 1:
        counter = Meter(label, unit, None)
        yield counter
        log.info("%s", counter.line())
        return
    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total, unit=unit, note="")
        yield Meter(label, unit, (progress, task))


def fresh_path(folder: str | Path, name: str) -> Path:
    """Make and return ``folder/name-0001``, with the first number that is free.

    The folder is made here, so two processes never choose the same one.

    Args:
        folder: the folder around it; it is made where it is missing.
        name: first part of the new folder's name.

    Returns:
        The new, empty folder.
    """
    number = 1
    while True:
        path = Path(folder) / f"{name}-{number:04d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return path


def free_path(
    folder: str | Path, name: str, record: Callable[[Path], object]
) -> Path:
    """Make and return ``folder/name``, or ``name-2``, ``name-3``, ... where it is taken.

    Args:
        folder: the folder around it; it is made where it is missing.
        name: name of the new folder.
        record: called with the new folder before it is made, so that a process that is
            killed in between finds it again.

    Returns:
        The new, empty folder.
    """
    for number in itertools.count(1):
        path = Path(folder) / (name if number == 1 else f"{name}-{number}")
        if path.exists():
            continue
        record(path)
        try:
            path.mkdir(parents=True)
        except FileExistsError:  # another process has just made it
            continue
        return path
    raise AssertionError  # `count` does not end
