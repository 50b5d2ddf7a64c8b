"""Trials in worker processes, which are restarted after a hang, a crash or too much memory."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from experiments.faults.verdicts import SECONDS, Verdict

MEMORY_BYTES = 2 << 30
"""Most resident memory of a process that reads inputs."""
SPARE_BYTES = 1 << 30
"""Address space beyond `MEMORY_BYTES`; above both, an allocation fails."""
START_SECONDS = 120
"""Longest start of a worker."""
READY = "ready"
"""What a worker sends before its first trial."""


class Done(NamedTuple):
    """One trial that has ended."""

    number: int
    kind: str
    verdict: Verdict
    shown: str


class _Worker:
    """A process and its end of the pipe."""

    def __init__(self, numbers: list[int], seed: int, checkpoints: bool):
        context = multiprocessing.get_context("spawn")
        self.left, self.seed, self.checkpoints = numbers, seed, checkpoints
        self.is_ready = False
        self.pipe, theirs = context.Pipe(duplex=False)
        self.folder = Path(tempfile.mkdtemp(prefix="faults-", dir=_memory()))
        self.process = context.Process(
            target=_work,
            args=(theirs, numbers, seed, checkpoints, self.folder),
            daemon=True,
        )
        self.process.start()
        theirs.close()
        self.deadline = time.monotonic() + START_SECONDS

    def stop(self) -> None:
        """Kill the process and remove what it wrote."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _memory() -> str | None:
    """Return a folder in memory, where there is one: trials write small files."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run_trials(
    numbers: range,
    seed: int,
    *,
    workers: int,
    until: float,
    checkpoints: bool = False,
) -> Iterator[Done]:
    """Yield the verdict on each trial, as it ends.

    Args:
        numbers: numbers of the trials.
        seed: seed of the campaign.
        workers: processes at a time.
        until: time (`time.monotonic`) to end at.
        checkpoints: try damaged checkpoints, or all other inputs.

    Returns:
        The trials in the order in which they end.
    """
    running = [
        _Worker(list(numbers[k::workers]), seed, checkpoints)
        for k in range(min(workers, len(numbers)))
    ]
    try:
        while running and time.monotonic() < until:
            wait([worker.pipe for worker in running], 0.5)
            for place, worker in enumerate(list(running)):
                has_ended = not worker.process.is_alive()
                yield from _received(worker)
                fault = _fault(worker) if has_ended or _late(worker) else None
                if fault is not None:
                    yield fault
                    worker.left = worker.left[1:]
                if fault is not None or has_ended:
                    worker.stop()
                    running[place] = _Worker(worker.left, seed, checkpoints)
            for worker in [w for w in running if not w.left]:
                worker.stop()
                running.remove(worker)
    finally:
        for worker in running:
            worker.stop()


def _late(worker: _Worker) -> bool:
    return time.monotonic() > worker.deadline


def _received(worker: _Worker) -> list[Done]:
    """Return the trials that a worker reports, and restart its clock."""
    done = []
    with contextlib.suppress(EOFError, OSError):
        while worker.pipe.poll():
            said = worker.pipe.recv()
            worker.deadline = time.monotonic() + 2 * SECONDS
            worker.is_ready = True
            if said != READY:
                done.append(Done(*said))
                worker.left = worker.left[1:]
    return done


def _fault(worker: _Worker) -> Done | None:
    """Return the verdict on the trial at which a worker hangs or has crashed.

    To be called after all that a dead worker reported was received.
    """
    if not worker.left:
        return None
    if not worker.is_ready:
        raise RuntimeError("a worker does not start: expected it to be ready")
    number, code = worker.left[0], worker.process.exitcode
    if code is None and time.monotonic() < worker.deadline:
        return None
    if code is None:
        return Done(number, "", Verdict("hang", "killed"), "")
    if code == 0:  # it ended after a trial that took much memory
        return None
    return Done(number, "", Verdict("traceback", f"exit status {code}"), "")


def _work(
    pipe: Connection,
    numbers: list[int],
    seed: int,
    checkpoints: bool,
    folder: Path,
) -> None:
    """Try numbers one after the other; end early after one that took much memory."""
    from experiments.faults.kinds import trial_of
    from experiments.faults.samples import Samples
    from experiments.faults.verdicts import judge

    samples = Samples(folder)
    limit_memory()
    pipe.send(READY)
    for number in numbers:
        kind, trial = trial_of(number, seed, samples, checkpoints=checkpoints)
        verdict = judge(trial)
        too_much = resident_peak() > MEMORY_BYTES
        if too_much:
            verdict = Verdict("memory", f"{resident_peak() >> 20} MiB resident")
        pipe.send((number, kind, verdict, trial.shown[:2000]))
        if too_much:
            break
    pipe.close()
    os._exit(0)  # threads of libraries can abort an ordinary end


def limit_memory() -> None:
    """Let allocations fail that would take far more than `MEMORY_BYTES`."""
    used = 0
    with contextlib.suppress(OSError):  # Linux
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        used = pages * resource.getpagesize()
    limit = used + MEMORY_BYTES + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def resident_peak() -> int:
    """Return the largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
