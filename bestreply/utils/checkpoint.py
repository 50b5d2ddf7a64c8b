"""Checkpoints: a PyTree of arrays in a folder, written by Orbax. Atomic, and safe to open: arrays and JSON, no code."""

import re
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np


def save_checkpoint(
    folder: str | Path, step: int, tree: Any, *, keep: int = 2
) -> Path:
    """Writes the array leaves of `tree` as ``folder/STEP``, then removes all but the newest `keep`.

    Orbax writes to a temporary name and renames it when all is there: a killed process leaves no half checkpoint.
    """
    import orbax.checkpoint as ocp

    folder = Path(folder).absolute()
    path = folder / f"{step:09d}"
    leaves = {
        str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))
    }
    with ocp.StandardCheckpointer() as writer:
        writer.save(path, leaves, force=True)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(folder / f"{old:09d}")
    return path


def list_checkpoints(folder: str | Path) -> list[int]:
    """Steps of the whole checkpoints in `folder`, ascending."""
    folder = Path(folder)
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch(r"\d{9}", name))


def load_checkpoint(
    folder: str | Path, like: Any, step: int | None = None
) -> tuple[int, Any]:
    """Return the step of the newest checkpoint (or `step`) and its arrays, in the structure of `like`.

    Args:
        folder: folder of the checkpoints.
        like: a PyTree of arrays or of `jax.ShapeDtypeStruct`; only shapes and types are read.
        step: the checkpoint to read; None: the newest.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it does not fit `like` (another configuration or version), or is damaged.
    """
    import orbax.checkpoint as ocp

    steps = list_checkpoints(folder)
    if not steps or (step is not None and step not in steps):
        raise FileNotFoundError(
            f"no checkpoint {'' if step is None else step} in {folder}; there are: {steps or 'none'}"
        )
    step = steps[-1] if step is None else step
    leaves, structure = jax.tree.flatten(like)
    shapes = jax.eval_shape(lambda arrays: arrays, leaves)
    expected = {str(i): leaf for i, leaf in enumerate(shapes)}
    path = Path(folder).absolute() / f"{step:09d}"
    try:
        with ocp.StandardCheckpointer() as reader:
            arrays = reader.restore(path, expected)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(
            f"{path} does not fit this configuration or is damaged: {str(error).splitlines()[0]}. "
            "Expected: a checkpoint written with the same game, model settings and version"
        ) from error
    for name, leaf in expected.items():
        if arrays[name].shape != leaf.shape:
            raise ValueError(
                f"{path}: array {name} has shape {arrays[name].shape}; this configuration wants {leaf.shape}"
            )
    restored = [jax.device_put(arrays[name]) for name in expected]
    return step, jax.tree.unflatten(structure, restored)
