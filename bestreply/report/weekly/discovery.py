"""Finds run directories and datasets under folders."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bestreply.report.run_files import MAKERS

RUN_FILES = (*MAKERS, "error.txt", "unit.json")
"""A directory with any of these is a run, or what is left of one."""
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RunFolders:
    """In the order of their names, in which 10 comes after 9."""

    runs: list[Path]
    datasets: list[Path]


def holds_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RUN_FILES)


def find_runs(folders: Sequence[Path]) -> RunFolders:
    """Runs and datasets in `folders`, however deep; what lies inside a run is its own.

    Of a run also the dataset that `bestreply run` or a sweep put beside it. Raises FileNotFoundError where a folder is not there.
    """
    runs: dict[Path, Path] = {}  # as it really is -> as it was come by
    datasets: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder} is no folder; expected: run directories, or folders of runs or sweeps"
            )
        for here, inside, files in os.walk(folder):
            inside[:] = [name for name in inside if not name.startswith(".")]
            place = Path(here)
            if MANIFEST in files:
                datasets.setdefault(place.resolve(), place)
                inside.clear()
            elif any(name in files for name in RUN_FILES):
                runs.setdefault(place.resolve(), place)
                inside.clear()
    for run in runs.values():
        for beside in _data_of(run):
            datasets.setdefault(beside.resolve(), beside)
    return RunFolders(
        sorted(runs.values(), key=natural),
        sorted(datasets.values(), key=natural),
    )


def _data_of(run: Path) -> Iterable[Path]:
    run = Path(os.path.abspath(run))
    places = [
        run / "data",
        run.parents[min(1, len(run.parents) - 1)] / "datasets" / run.name,
    ]
    return [place for place in places if (place / MANIFEST).is_file()]


def natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A key to sort by in which numbers are in the order of their size."""
    parts = re.findall(r"\d+|\D+", str(path))
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]
