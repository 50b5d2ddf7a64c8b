"""Jobs that take turns in threads, and make the calls that they share in one call for all.

One job runs at a time, so nothing that it uses has to be safe for threads. A job runs
until it calls `meet`, or ends; when every job has, the shared calls are made.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")
Result = TypeVar("Result")

PATIENCE = 10.0
"""Seconds that an interrupt waits for the job whose turn it is."""

_thread = threading.local()


class Stopped(BaseException):
    """The jobs were given up; raised inside each at its next meeting."""


class Turn(Generic[Result]):
    """One job: a thread that runs between two meetings."""

    def __init__(self, job: Callable[[], Result], jobs: int) -> None:
        self.jobs = jobs
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.call: tuple[Callable[[list[Any]], list[Any]], Any] | None = None
        """The function and the value that it waits with."""
        self.answer: Any = None
        self.seconds = 0.0
        """Seconds of its own turns, and its part of the shared calls."""
        self._is_stopped = False
        self._resumed = 0.0
        self._go, self._pause = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(
            target=self._run, args=(job,), daemon=True
        )
        self._thread.start()

    def _run(self, job: Callable[[], Result]) -> None:
        _thread.turn = self
        try:
            self._wait()
            self.result = job()
        except BaseException as error:
            self.error = error
        self.is_over = True
        self._pause.release()

    def _wait(self) -> None:
        self._go.acquire()
        if self._is_stopped:
            raise Stopped
        if isinstance(self.answer, BaseException):
            raise self.answer

    def proceed(self) -> None:
        """Run the job to its next meeting, or to its end."""
        begun = self._resumed = time.perf_counter()
        self.call = None
        self._go.release()
        self._pause.acquire()
        self.seconds += time.perf_counter() - begun

    def meet(self, function: Callable[..., Any], value: Any) -> Any:
        """Wait for the other jobs; called by the job itself."""
        self.call = function, value
        self._pause.release()
        self._wait()
        return self.answer

    def clock(self) -> float:
        """Return the seconds so far; called by the job itself."""
        return self.seconds + time.perf_counter() - self._resumed

    def stop(self) -> None:
        """Raise `Stopped` inside the job, and let it clean up."""
        self._is_stopped = True
        self._go.release()
        self._thread.join(PATIENCE)


def run_in_turns(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run jobs side by side, and return their results.

    Args:
        jobs: functions without arguments.

    Returns:
        The result of each.

    Raises:
        BaseException: that of the first job that raised one, after all have ended.
    """
    turns = [Turn(job, len(jobs)) for job in jobs]
    try:
        while waiting := [turn for turn in turns if not turn.is_over]:
            for turn in waiting:
                turn.proceed()
            _answer([turn for turn in waiting if not turn.is_over])
    finally:  # an interrupt
        for turn in turns:
            if not turn.is_over:
                turn.stop()
    for turn in turns:
        if turn.error is not None:
            raise turn.error
    return [turn.result for turn in turns]  # pyright: ignore[reportReturnType]


def _answer(turns: Sequence[Turn]) -> None:
    """Make the calls that jobs wait with, one for each function."""
    groups: dict[Callable[..., Any], list[Turn]] = {}
    for turn in turns:
        if turn.call is not None:
            groups.setdefault(turn.call[0], []).append(turn)
    for function, members in groups.items():
        begun = time.perf_counter()
        try:
            values = [turn.call[1] for turn in members if turn.call]
            answers: list[Any] = function(values)
        except Exception as error:
            answers = [error] * len(members)
        share = (time.perf_counter() - begun) / len(members)
        for turn, answer in zip(members, answers, strict=True):
            turn.answer = answer
            turn.seconds += share


def meet(
    function: Callable[[list[Value]], list[Result]], value: Value
) -> Result:
    """Return this job's entry of one call of a function for all jobs that meet there.

    Args:
        function: takes the values of the jobs, and returns a result for each. Jobs
            that meet give the same object.
        value: this job's value.

    Returns:
        Its result; outside `run_in_turns` that of the value alone.
    """
    turn = getattr(_thread, "turn", None)
    return function([value])[0] if turn is None else turn.meet(function, value)


def job_count() -> int:
    """Return the number of jobs that take turns with this one; 1 outside `run_in_turns`."""
    turn = getattr(_thread, "turn", None)
    return 1 if turn is None else turn.jobs


def clock() -> float:
    """Return seconds that advance while this job has its turn."""
    turn = getattr(_thread, "turn", None)
    return time.perf_counter() if turn is None else turn.clock()
