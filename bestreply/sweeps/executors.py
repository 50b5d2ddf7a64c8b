"""How the jobs of a sweep are run: in this process, each in a process of its own, or on a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, NamedTuple


class Job(NamedTuple):
    """Something to be done, apart from all else."""

    name: str
    run: Callable[..., None]
    arguments: tuple[Any, ...]
    last: bool = True
    """Whether it is the last of those that are done together, after which it can be told how long the rest will take."""


Ended = Iterator[tuple[Job, str | None]]
"""Each job as it ends, and what went wrong, if anything."""


def here(jobs: Sequence[Job]) -> Ended:
    """One after another, in this process."""
    yield from ((job, tried(job)) for job in jobs)


def processes(jobs: Sequence[Job], workers: int) -> Ended:
    """`workers` at a time, each in a process of its own, so that one that dies takes nothing with it."""
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(_apart, job): job for job in jobs}
        yield from (
            (futures[future], future.result())
            for future in as_completed(futures)
        )


def on_ray(jobs: Sequence[Job], address: str | None = None) -> Ended:
    """On the Ray cluster at `address`, or on a local one: a processor for each job, and as many at once as there are.

    All of its machines have to see the sweep's folder under the same path. A worker that dies costs its job alone.

    Raises ValueError where Ray is not installed.
    """
    try:
        import ray as _ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            'executor=ray needs the package ray: pip install "bestreply[ray]"; or run without: --executor local'
        ) from error
    ray: Any = _ray
    ours = not ray.is_initialized()
    if ours:
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        task = ray.remote(num_cpus=1, max_retries=0, max_calls=1)(
            tried
        )  # a process for each: JAX's memory goes with it
        waiting = {task.remote(job): job for job in jobs}
        while waiting:
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            job = waiting.pop(done)
            try:
                yield job, ray.get(done)
            except ray.exceptions.RayError as error:
                yield job, _first_line(error)
    finally:
        if ours:
            ray.shutdown()


def tried(job: Job) -> str | None:
    """Does `job` here; what went wrong, in a line."""
    try:
        job.run(*job.arguments)
    except Exception as error:
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _apart(job: Job) -> str | None:
    context = get_context("spawn")  # a fork of a process that runs JAX can hang
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(theirs, job))
    process.start()
    theirs.close()
    try:
        return mine.recv()
    except EOFError:
        process.join()
        return f"its process ended with status {process.exitcode}"
    finally:
        process.join()


def _tell(connection: Any, job: Job) -> None:
    connection.send(tried(job))
