"""Find run directories and datasets in folders."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bestreply.report.run_files import MAKERS

RUN_FILES = (*MAKERS, "error.txt", "unit.json")
"""A directory with one of these files is a run, or the remains of one."""
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RunFolders:
    """Paths in order of their names, with 10 after 9."""

    runs: list[Path]
    datasets: list[Path]


def holds_run(folder: Path) -> bool:
    """Return whether a folder is a run directory, or the remains of one.

    Args:
        folder: any path.

    Returns:
        True if it has a file of RUN_FILES.
    """
    return any((folder / name).is_file() for name in RUN_FILES)


def find_runs(folders: Sequence[Path]) -> RunFolders:
    """Find runs and datasets at any depth.

    Folders inside a run are not searched. The dataset that `bestreply run` or a sweep
    stores beside a run is included.

    Args:
        folders: folders to search.

    Returns:
        Each run and dataset once.

    Raises:
        FileNotFoundError: a folder does not exist.
    """
    runs: dict[Path, Path] = {}  # by resolved path
    datasets: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"folder={folder}: expected run directories, or folders of runs or sweeps"
            )
        for root, subfolders, files in os.walk(folder):
            subfolders[:] = [
                name for name in subfolders if not name.startswith(".")
            ]
            path = Path(root)
            if MANIFEST in files:
                datasets.setdefault(path.resolve(), path)
                subfolders.clear()
            elif any(name in files for name in RUN_FILES):
                runs.setdefault(path.resolve(), path)
                subfolders.clear()
    for run in runs.values():
        for dataset in _data_of(run):
            datasets.setdefault(dataset.resolve(), dataset)
    return RunFolders(
        sorted(runs.values(), key=natural),
        sorted(datasets.values(), key=natural),
    )


def _data_of(run: Path) -> Iterable[Path]:
    run = Path(os.path.abspath(run))
    candidates = [
        run / "data",
        run.parents[min(1, len(run.parents) - 1)] / "datasets" / run.name,
    ]
    return [folder for folder in candidates if (folder / MANIFEST).is_file()]


def natural(path: Path | str) -> list[tuple[int, int, str]]:
    """Return a sort key that orders numbers by value.

    Args:
        path: path or name.

    Returns:
        The key.
    """
    parts = re.findall(r"\d+|\D+", str(path))
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts]
