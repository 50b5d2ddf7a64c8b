"""Log what the suite compiles: `pytest -p tests.compile_log --compile-log DIR`, then `python -m tests.compile_log DIR`."""

import json
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType

import pytest

EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--compile-log", metavar="DIR", help="folder for one JSON line a test"
    )


ROOT = Path(__file__).parents[1]
ROOMS = tuple(f"{ROOT / name}{os.sep}" for name in ("bestreply", "tests"))


def _place(frame: FrameType | None) -> str:
    """Return file and line of the innermost frame of the project, below this file."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOMS) and name != __file__:
            return f"{Path(name).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


class CompileLog:
    """Count programs, and seconds to trace, lower and compile them, for each test."""

    def __init__(self, folder: Path) -> None:
        import jax.monitoring

        folder.mkdir(parents=True, exist_ok=True)
        self._file = (
            folder / f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.jsonl"
        ).open("a")
        self._seconds: Counter[str] = Counter()
        self._programs: Counter[str] = Counter()
        self._places: Counter[str] = Counter()
        self._processor_seconds = time.process_time()
        jax.monitoring.register_event_duration_secs_listener(self._note)

    def _note(self, event: str, seconds: float, **facts: object) -> None:
        kind = EVENTS.get(event)
        if kind is None:
            return
        self._seconds[kind] += seconds
        if kind == "compile":
            self._programs[str(facts.get("fun_name", "?"))] += 1
            self._places[_place(sys._getframe())] += 1

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write one line for each phase of a test; setup holds the fixtures that this test was the first to ask for."""
        line = {
            "test": report.nodeid,
            "when": report.when,
            "seconds": report.duration,
        }
        now = time.process_time()
        line["cpu"], self._processor_seconds = (
            now - self._processor_seconds,
            now,
        )
        line |= {
            "stages": dict(self._seconds),
            "programs": dict(self._programs),
            "places": dict(self._places),
        }
        print(json.dumps(line), file=self._file, flush=True)
        self._seconds.clear()
        self._programs.clear()
        self._places.clear()


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--compile-log")
    is_controller = config.getoption("numprocesses", None) and not hasattr(
        config, "workerinput"
    )
    if folder and not is_controller:
        config.pluginmanager.register(CompileLog(Path(folder)))


def table(folder: Path, rows: int = 25) -> str:
    """Return three Markdown tables: test files by seconds, programs and places by count."""
    files: dict[str, Counter[str]] = defaultdict(Counter)
    programs: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for path in folder.glob("*.jsonl"):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            file = files[line["test"].split("::")[0]]
            file["tests"] += line["when"] == "call"
            file["seconds"] += line["seconds"]
            file["cpu"] += line.get("cpu", 0.0)
            file["programs"] += sum(line["programs"].values())
            file.update(
                {
                    kind: line["stages"].get(kind, 0.0)
                    for kind in EVENTS.values()
                }
            )
            programs.update(line["programs"])
            places.update(line.get("places", {}))
    columns = ("tests", "seconds", "cpu", "programs", *EVENTS.values())
    total = sum(files.values(), Counter())
    ordered = sorted(files.items(), key=lambda item: -item[1]["seconds"])[:rows]
    lines = [
        "| file | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, counts in [("all", total), *ordered]:
        lines.append(
            f"| {name} | "
            + " | ".join(f"{counts[c]:.0f}" for c in columns)
            + " |"
        )
    lines += ["", "| program | times compiled |", "|---|---|"]
    lines += [
        f"| {name} | {count} |" for name, count in programs.most_common(rows)
    ]
    lines += ["", "| compiled from | programs |", "|---|---|"]
    lines += [
        f"| {name} | {count} |" for name, count in places.most_common(rows)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
