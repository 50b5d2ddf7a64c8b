"""Folders that datasets and runs are written to."""

import os
from pathlib import Path

from bestreply.utils.console import fresh_path

FOREIGN_FILES = {
    "datasets": ("provenance.json", "a run directory"),
    "runs": ("manifest.json", "a dataset"),
}
"""File and kind of a folder that is none of a kind."""


def output_folder(
    path: str | os.PathLike | None, kind: str, name: str, *, continues: str = ""
) -> Path:
    """Return the folder to write a dataset or a run to.

    Args:
        path: the folder; None: a new one in the folder `kind`.
        kind: "datasets" or "runs".
        name: first part of a new folder's name, such as the name of a game.
        continues: "resume" or "append" where what the folder holds is continued.

    Returns:
        The folder; it may be missing.

    Raises:
        ValueError: the path is empty, missing with `continues`, or a folder of the
            other kind.
        FileExistsError: it is a file, or inside one.
    """
    if path is None:
        if continues:
            raise ValueError(
                f"{continues}=True, path=None: expected the folder to continue. Give "
                f"it beside --{continues}: --out FOLDER (path=FOLDER)"
            )
        return fresh_path(kind, name.replace(":", "-").replace("/", "-"))
    folder = checked_folder(path)
    file, other = FOREIGN_FILES[kind]
    if (folder / file).exists():
        raise ValueError(
            f"path={path}: expected a folder for {kind}; it is {other}. Give another "
            "path"
        )
    return folder


def checked_folder(path: str | os.PathLike) -> Path:
    """Return the path of a folder to write to.

    Args:
        path: the folder; it may be missing.

    Raises:
        ValueError: the path is empty.
        FileExistsError: it is a file, or inside one.
    """
    if not os.fspath(path):
        raise ValueError(
            "path='': expected a folder. A variable of a shell that is not set is empty"
        )
    folder = Path(path)
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise FileExistsError(
                f"path={path}: expected a folder; {place} is a file. Give another path"
            )
    return folder
