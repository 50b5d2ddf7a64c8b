"""The runs of a sweep, for measurements after it."""

from pathlib import Path

from bestreply import load_run
from bestreply.run import Run


def runs_in(folder: Path) -> list[Run]:
    """Finished runs of one method in one game, one for each training seed (``runs/hunt4/hunt4/agent``), by the names of their folders.

    Raises ValueError where there are none.
    """
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [load_run(path) for path in there if (path / "unit.json").exists()]
    if not runs:
        raise ValueError(
            f"{folder} has no finished runs of a sweep; expected: a folder like runs/hunt4/hunt4/agent"
        )
    return runs
