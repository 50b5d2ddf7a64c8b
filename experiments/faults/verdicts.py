"""Verdict on one input: refused in a sentence, accepted, silent, a traceback, a hang, too much memory."""

import contextlib
import io
import linecache
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from experiments.faults.mutate import ESCAPE, MARKUP

SECONDS = 20
"""Longest time that a reader may take for one input."""
BAD = ("lost", "silent", "traceback", "vague", "hang", "memory")
"""Verdicts that are faults, the worst first."""
VERDICTS = ("refused", "equal", "other", *BAD)
"""All verdicts. `equal`: accepted, content as before the damage. `other`: accepted,
content as the changed input says. `vague`: an error of a library below, which
does not say what a person can do."""


class Silent(Exception):
    """A reader accepted an input, and its content is not what the input says."""


class Lost(Exception):
    """Content that is whole on disk was not found again."""


class Hang(BaseException):
    """A reader took longer than `SECONDS`."""


class Trial(NamedTuple):
    """One input and the reader to try it on."""

    shown: str
    """The input, for a report."""
    read: Callable[[], Any]
    """Reads it; returns "equal" or "other", or raises."""


class Verdict(NamedTuple):
    """Result of one trial."""

    verdict: str
    detail: str = ""


def judge(trial: Trial, seconds: float = SECONDS) -> Verdict:
    """Return the verdict on one input.

    Args:
        trial: the input and its reader.
        seconds: time after which the reader hangs.
    """
    printed = io.StringIO()
    try:
        with _alarm(seconds), _quiet(printed):
            accepted = trial.read()
    except Hang:
        return Verdict("hang", _place())
    except (Silent, Lost) as error:
        return Verdict(type(error).__name__.lower(), str(error))
    except MemoryError as error:
        return Verdict("memory", _last_lines(error))
    except SystemExit as error:
        return _judged_exit(error, printed.getvalue())
    except Exception as error:
        return _judged_error(error)
    if ESCAPE in printed.getvalue():
        return Verdict("silent", "an escape sequence reached the terminal")
    return Verdict("other" if accepted == "other" else "equal")


def expect(holds: bool, why: str) -> None:
    """Raise `Silent` where an accepted input does not hold what it says.

    Args:
        holds: the condition.
        why: what differs.
    """
    if not holds:
        raise Silent(why)


def no_markup(page: str) -> None:
    """Raise `Silent` where a page holds markup of a foreign name.

    Args:
        page: HTML.
    """
    expect(MARKUP not in page, "markup of a name stands in the page")


def _judged_exit(error: SystemExit, printed: str) -> Verdict:
    """Judge a command that ended: its status, and what it printed."""
    text = f"{printed}\n{error.code}"
    if "Traceback (most recent call last)" in text:
        return Verdict("traceback", text[-2000:])
    if ESCAPE in text:
        return Verdict("silent", "an escape sequence reached the terminal")
    return Verdict("refused" if error.code else "equal")


def _judged_error(error: Exception) -> Verdict:
    lines = _last_lines(error)
    if not isinstance(error, ValueError | OSError):
        return Verdict("traceback", lines)
    if isinstance(error, OSError) and error.filename and error.strerror:
        return Verdict("refused", str(error))
    if not str(error).strip() or not _raised_by_us(error):
        return Verdict("vague", lines)
    return Verdict("refused", str(error))


def _raised_by_us(error: Exception) -> bool:
    """Return whether a `raise` statement of this library raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    ours = f"{os.sep}bestreply{os.sep}" in last.filename
    line = linecache.getline(last.filename, last.lineno or 0)
    return ours and line.lstrip().startswith("raise")


def _last_lines(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(
        f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(frames)
    )
    return f"{type(error).__name__}: {str(error)[:300]} [{where}]"


def _place() -> str:
    return f"no answer within {SECONDS} s"


@contextlib.contextmanager
def _quiet(printed: io.StringIO) -> Iterator[None]:
    """Catch what is printed, warnings included."""
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the block after a time (POSIX, main thread)."""

    def ring(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
