"""Executors of a sweep's jobs: this process, one process a job, or a Ray cluster."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import (
    get_context,
    parent_process,
    resource_tracker,
)
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple


class Job(NamedTuple):
    """A function and its arguments, independent of all other jobs."""

    name: str
    run: Callable[..., None]
    arguments: tuple[Any, ...]
    ends_batch: bool = True
    """False: jobs of the same batch follow, so the time left cannot be estimated yet."""


Outcomes = Iterator[tuple[Job, str | None]]
"""Each job as it ends, with its error in one line; None: it succeeded."""


def run_here(jobs: Sequence[Job]) -> Outcomes:
    """Run jobs one after another in this process.

    Args:
        jobs: the jobs, in order.

    Yields:
        Each job with its error or None.
    """
    yield from ((job, attempt(job)) for job in jobs)


def run_in_processes(jobs: Sequence[Job], workers: int) -> Outcomes:
    """Run each job in a process of its own. A process that dies costs its job alone.

    Args:
        jobs: the jobs, started in order.
        workers: processes at a time.

    Yields:
        Each job as it ends, with its error or None.
    """
    pool, processes = ThreadPoolExecutor(workers), Processes()
    try:
        futures = {
            pool.submit(_run_in_process, job, processes): job for job in jobs
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:  # an interrupt, or a caller that stops, leaves no process behind
        pool.shutdown(wait=False, cancel_futures=True)
        processes.terminate()
        pool.shutdown()


def run_on_ray(jobs: Sequence[Job], address: str | None = None) -> Outcomes:
    """Run jobs on a Ray cluster, one processor each.

    All machines must see the sweep's folder under the same path. A worker that
    dies costs its job alone.

    Args:
        jobs: the jobs.
        address: address of the cluster; None: a local one.

    Yields:
        Each job as it ends, with its error or None.

    Raises:
        ValueError: Ray is not installed.
    """
    try:
        import ray as _ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            "executor='ray': expected the package ray; "
            'pip install "bestreply[ray]", or use --executor local'
        ) from error
    ray: Any = _ray
    starts_ray = not ray.is_initialized()
    if starts_ray:
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        # A new process for each job returns JAX's memory.
        task = ray.remote(num_cpus=1, max_retries=0, max_calls=1)(attempt)
        waiting = {task.remote(job): job for job in jobs}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(ready)
            try:
                yield job, ray.get(ready)
            except ray.exceptions.RayError as error:
                yield job, _first_line(error)
    finally:
        if starts_ray:
            ray.shutdown()


def attempt(job: Job) -> str | None:
    """Run a job in this process.

    Args:
        job: the job.

    Returns:
        None, or the first line of its error.
    """
    try:
        job.run(*job.arguments)
    except Exception as error:
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Processes:
    """The processes of jobs that are running; after `terminate` none is started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[SpawnProcess] | None = set()

    def start(self, process: SpawnProcess) -> bool:
        """Start a process, deaf to Ctrl-C: the parent decides when it ends.

        Args:
            process: the process, not started.

        Returns:
            Whether it was started.
        """
        with self._lock:
            if self._running is None:
                return False
            if hasattr(signal, "pthread_sigmask"):
                # The new process inherits the mask. The tracker's start clears it.
                resource_tracker.ensure_running()
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            process.start()
            self._running.add(process)
            return True

    def end(self, process: SpawnProcess) -> None:
        """Wait for a process that was started.

        Args:
            process: the process.
        """
        process.join()
        with self._lock:
            if self._running is not None:
                self._running.discard(process)

    def terminate(self) -> None:
        """End all running processes."""
        with self._lock:
            running, self._running = self._running or set(), None
        for process in running:
            process.terminate()


def _run_in_process(job: Job, processes: Processes) -> str | None:
    context = get_context("spawn")  # a fork of a process with JAX can hang
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_attempt_and_send, args=(sender, job))
    if not processes.start(process):
        return "interrupted"
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return f"its process ended with status {process.exitcode}"
    finally:
        processes.end(process)


def _attempt_and_send(sender: Connection, job: Job) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(attempt(job))


def _end_with_parent() -> None:
    """End this process when the process that started it ends, however it ends."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
