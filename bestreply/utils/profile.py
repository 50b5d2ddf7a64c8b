"""What JAX compiles in a process, and how long it takes: ``bestreply --profile COMMAND``.

In Python the environment variable `VARIABLE` does the same. The table is printed to
standard error when the process ends.
"""

import atexit
import os
import sys
import time
from collections import Counter, defaultdict
from typing import NamedTuple

VARIABLE = "BESTREPLY_PROFILE"
"""Environment variable: 1 prints the table at the end of the process."""
SHOWN = 20
"""Programs in the table, those that take longest."""

_PHASES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}
_CACHE = {
    "/jax/compilation_cache/cache_hits": "hits",
    "/jax/compilation_cache/cache_misses": "misses",
}


class Compiled(NamedTuple):
    """What the compilations of one function took."""

    name: str
    programs: int
    trace: float
    """Seconds from Python to a jaxpr; those of functions inside are counted twice."""
    lower: float
    """Seconds from a jaxpr to StableHLO."""
    compile: float
    """Seconds of XLA, or to read the program from the cache."""

    @property
    def seconds(self) -> float:
        """All three."""
        return self.trace + self.lower + self.compile


class Profile:
    """Counts what JAX compiles, from `start` on."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.programs: Counter[str] = Counter()
        self.cache: Counter[str] = Counter()
        self.begun, self.processor = time.perf_counter(), time.process_time()

    def start(self) -> None:
        """Listen to JAX's events."""
        import jax.monitoring

        jax.monitoring.register_event_duration_secs_listener(self._took)
        jax.monitoring.register_event_listener(self._happened)

    def _took(self, event: str, duration_secs: float, **facts: object) -> None:
        if phase := _PHASES.get(event):
            name = str(facts.get("fun_name", "?"))
            name = name.removeprefix("jit(").removesuffix(")")
            self.seconds[name, phase] += duration_secs
            self.programs[name] += phase == "compile"

    def _happened(self, event: str, **facts: object) -> None:
        if kind := _CACHE.get(event):
            self.cache[kind] += 1

    def rows(self) -> list[Compiled]:
        """Return what each compiled function took, the longest first."""
        found = [
            Compiled(
                name,
                count,
                *(self.seconds[name, phase] for phase in _PHASES.values()),
            )
            for name, count in self.programs.items()
            if count
        ]
        return sorted(found, key=lambda row: -row.seconds)

    def text(self) -> str:
        """Return the table."""
        rows = self.rows()
        total = [
            sum(column) for column in zip(*(r[1:] for r in rows), strict=True)
        ]
        programs, trace, lower, compiling = total or (0, 0, 0, 0)
        wall = time.perf_counter() - self.begun
        processor = time.process_time() - self.processor
        lines = [
            f"{'program':<40} {'times':>6} {'trace':>8} {'lower':>8} {'compile':>8}",
            *(_line(row) for row in rows[:SHOWN]),
        ]
        if len(rows) > SHOWN:
            rest = rows[SHOWN:]
            sums = [
                sum(column)
                for column in zip(*(r[1:] for r in rest), strict=True)
            ]
            lines.append(_line(Compiled(f"{len(rest)} others", *sums)))
        lines.append(
            _line(Compiled("all", int(programs), trace, lower, compiling))
        )
        lines.append(
            f"cache: {self.cache['hits']} hits, {self.cache['misses']} misses. "
            f"{wall:.1f} s by the clock, {processor:.1f} s of processor; "
            f"{max(wall - lower - compiling - trace, 0):.1f} s not compiling"
        )
        return "\n".join(lines)


def _line(row: Compiled) -> str:
    name = row.name if len(row.name) <= 40 else row.name[:37] + "..."
    return (
        f"{name:<40} {row.programs:>6} {row.trace:>7.2f}s {row.lower:>7.2f}s "
        f"{row.compile:>7.2f}s"
    )


_profiles: list[Profile] = []


def start_if_asked() -> None:
    """Start the profile of this process, once, if `VARIABLE` asks for it."""
    if _profiles or os.environ.get(VARIABLE, "0") in ("", "0"):
        return
    profile = Profile()
    profile.start()
    _profiles.append(profile)
    atexit.register(lambda: sys.stderr.write(profile.text() + "\n"))
