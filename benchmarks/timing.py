"""Measurement: contenders take turns, so that a slow phase of the machine affects all of them; medians of several rounds."""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

Job = Callable[[], float]
"""A function that does a fixed amount of work, waits for it, and returns the number of units."""

MEGABYTE = 1024  # kilobytes, in which Linux counts both


def seconds_of(job: Job) -> tuple[float, float]:
    """Return the units and seconds of one call."""
    begin = time.perf_counter()
    units = job()
    return units, time.perf_counter() - begin


def rate(job: Job, seconds: float) -> float:
    """Return units per second over calls of at least `seconds` in total."""
    units, taken = 0.0, 0.0
    while taken < seconds:
        done, spent = seconds_of(job)
        units, taken = units + done, taken + spent
    return units / taken


def take_turns(
    jobs: dict[str, Job], *, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest rate of each job over `rounds` rounds, after one call each to warm up."""
    for job in jobs.values():
        job()
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            rates[name].append(rate(job, seconds))
    return {
        name: {
            "per_second": statistics.median(r),
            "least": min(r),
            "greatest": max(r),
        }
        for name, r in rates.items()
    }


def peak_memory(name: str, quick: bool) -> float | None:
    """Return the peak megabytes of a new process that sets up and runs contender `name`; None if it cannot run."""
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "memory-of",
        name,
        *(["--quick"] if quick else []),
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = out.stdout.strip().splitlines()
    return (
        json.loads(lines[-1])["megabytes"]
        if out.returncode == 0 and lines
        else None
    )


def own_peak() -> float:
    """Megabytes that this process has held at most, what it was before it became this program left out.

    Linux hands `ru_maxrss` down from the parent that a process was forked from; the kernel's `VmHWM` begins with the program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(
            line
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM:")
        )
        return int(line.split()[1]) / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


def over_seeds(each: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """Return mean ± half of the 95 % interval over seeds (Student's t)."""
    if not len(each):
        return "-"
    mean = f"{np.mean(each):.{digits}f}"
    if len(each) == 1:
        return f"{mean}, one seed"
    half = (
        stdtrit(len(each) - 1, 0.975) * np.std(each, ddof=1) / len(each) ** 0.5
    )
    return f"{mean} ± {half:.{digits}f}"


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [
        columns,
        ["---"] * len(columns),
        *([str(x) for x in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(number: float | None) -> str:
    """Return a number with three significant digits and separated thousands."""
    if number is None:
        return "-"
    return (
        f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.3g}"
    )
