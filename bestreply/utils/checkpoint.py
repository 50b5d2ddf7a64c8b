"""Checkpoints: the arrays of a PyTree in one safetensors file. Opening one runs no code."""

import hashlib
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

from bestreply.utils.console import warn
from bestreply.utils.files import (
    make_folder,
    remove,
    remove_leftovers,
    write_bytes,
)

Tree = TypeVar("Tree", bound=PyTree)

MAX_HEADER_BYTES = 16 << 20
"""Largest difference between a checkpoint's file and the arrays that it holds."""


class DamagedCheckpoint(ValueError):
    """A file that is no whole checkpoint."""


def save_checkpoint(
    folder: str | Path, step: int, tree: PyTree, *, keep: int = 2
) -> Path:
    """Write the array leaves of a tree, then remove all but the newest checkpoints.

    The file gets its name when it is whole and on the disk, so a killed process
    leaves no half checkpoint. It holds the SHA-256 of its content.

    Args:
        folder: folder of the checkpoints; it is made where it is missing.
        step: number of the checkpoint, in updates.
        tree: PyTree of arrays.
        keep: number of checkpoints that stay, at least 1.

    Returns:
        The file, ``folder/STEP.safetensors``.

    Raises:
        OSError: it cannot be written; the error names it, and older checkpoints stay.
    """
    from safetensors.numpy import save

    folder = make_folder(folder)
    remove_leftovers(folder)
    leaves = jax.device_get(jax.tree.leaves(tree))
    arrays = {
        str(i): np.array(leaf, order="C") for i, leaf in enumerate(leaves)
    }
    path = _file(folder, step)
    write_bytes(path, save(arrays, metadata={"sha256": _digest(arrays)}))
    for old in list_checkpoints(folder)[:-keep]:
        remove(_file(folder, old))
    return path


def list_checkpoints(folder: str | Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, ascending.

    Args:
        folder: folder of the checkpoints; it may be missing.

    Returns:
        The steps; an empty list for a missing folder.
    """
    folder = Path(folder)
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    matches = (re.fullmatch(r"(\d{9})\.safetensors", name) for name in names)
    return sorted(int(match[1]) for match in matches if match)


def load_checkpoint(
    folder: str | Path,
    like: Tree,
    step: int | None = None,
    *,
    finite: bool = False,
) -> tuple[int, Tree]:
    """Return the step and the arrays of the newest whole checkpoint.

    A damaged checkpoint is skipped with a warning where an older one is whole.

    Args:
        folder: folder of the checkpoints.
        like: PyTree of arrays or of `jax.ShapeDtypeStruct`; only its structure,
            shapes and types are read.
        step: the checkpoint to read; None: the newest.
        finite: skip checkpoints with numbers that are not finite, like damaged ones.

    Returns:
        The step, and the arrays in the structure of `like`.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: no checkpoint is whole, or the arrays do not fit `like`
            (another configuration or version).
    """
    steps = list_checkpoints(folder)
    if not steps:
        raise FileNotFoundError(
            f"{folder}: expected a checkpoint; there is none. Train the run again: "
            f"bestreply train DATASET --resume --out {Path(folder).parent}"
        )
    if step is not None and step not in steps:
        raise FileNotFoundError(
            f"{folder}: expected checkpoint {step}; it has: {steps}"
        )
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: like))
    damaged: list[str] = []
    for number in [step] if step is not None else steps[::-1]:
        try:
            path = _file(Path(folder), number)
            arrays = _read(path, leaves)
            if finite and not all(map(_is_finite, arrays)):
                raise DamagedCheckpoint(
                    f"{path} holds numbers that are not finite: training diverged"
                )
        except DamagedCheckpoint as error:
            damaged.append(str(error))
            continue
        for line in damaged:
            warn(f"{line}. Checkpoint {number} is used instead")
        restored = [jax.device_put(array) for array in arrays]
        return number, jax.tree.unflatten(structure, restored)
    raise DamagedCheckpoint("; ".join(damaged) + ". Train the run again")


def _file(folder: Path, step: int) -> Path:
    return folder / f"{step:09d}.safetensors"


def _read(path: Path, like: list[jax.ShapeDtypeStruct]) -> list[np.ndarray]:
    """Return the arrays of a file, checked against its digest and against `like`."""
    from safetensors import SafetensorError, safe_open

    size = _regular_size(path)
    expected = sum(leaf.size * leaf.dtype.itemsize for leaf in like)
    if size > expected + MAX_HEADER_BYTES:
        raise ValueError(_misfit(path, f"has {size} bytes of {expected}"))
    try:
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys(), key=lambda name: (len(name), name))
            arrays = {name: np.array(file.get_tensor(name)) for name in names}
            digest = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {error}") from None
    if digest != _digest(arrays):
        raise DamagedCheckpoint(f"{path} is damaged: its SHA-256 differs")
    found = [(a.shape, a.dtype) for a in arrays.values()]
    if names != [str(i) for i in range(len(like))]:
        raise ValueError(
            _misfit(path, f"has {len(names)} arrays of {len(like)}")
        )
    for name, (shape, dtype), leaf in zip(names, found, like, strict=True):
        if (shape, dtype) != (leaf.shape, leaf.dtype):
            is_there, is_expected = (
                f"{dtype}{shape}",
                f"{leaf.dtype}{leaf.shape}",
            )
            raise ValueError(
                _misfit(path, f"array {name} is {is_there}, not {is_expected}")
            )
    return list(arrays.values())


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _misfit(path: Path, why: str) -> str:
    return (
        f"{path} {why}: expected a checkpoint of the same game, model settings "
        "and version"
    )


def _regular_size(path: Path) -> int:
    """Return a file's bytes; a pipe or a device is refused, since reading it can wait forever."""
    try:
        status = path.stat()
    except OSError as error:  # a link that leads nowhere, or in a circle
        raise DamagedCheckpoint(f"{path} is damaged: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise DamagedCheckpoint(f"{path}: expected a regular file")
    return status.st_size


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
