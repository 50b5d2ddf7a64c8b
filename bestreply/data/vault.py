# pyright: reportMissingImports=false
"""Vaults of flashbax, as OG-MARL's datasets are: arrays in TensorStore. Flashbax is not needed.

A vault is a folder with ``metadata.json`` and an OCDBT key-value store of zarr arrays,
one for each leaf of the experience, named by its path ("observations.",
"infos.legals."). Each is [B, 10^13, ...], of which the first `vault_index` steps are
written. Episodes follow each other along the steps; nothing says who played.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.data.arrays import store_from_arrays
from bestreply.data.store import Store
from bestreply.utils.checks import shown
from bestreply.utils.untrusted import check_memory, check_regular, read_json

if TYPE_CHECKING:
    from bestreply.games.base import Game

FILE = "metadata.json"
MAX_JSON = 10_000_000
COPIES = 3
LEAVES = {
    "observations": ("observations", "observation", "obs"),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "terminals": ("terminals", "terminal", "done", "dones"),
    "timeouts": ("truncations", "truncation", "timeouts"),
    "legal": ("infos.legals", "legals", "infos.action_mask", "action_mask"),
}
"""Names of the leaves that are read."""
REQUIRED = ("observations", "actions", "rewards", "terminals")
SHAPE = re.compile(r"\((\d{1,15}(?:, \d{1,15})*),?\)")
TYPE = re.compile(r"[a-z]{1,9}[0-9]{0,3}")


def is_vault(folder: Path) -> bool:
    """Return whether a folder is a vault of flashbax.

    Args:
        folder: the folder.
    """
    if not (folder / FILE).is_file():
        return False
    facts = read_json(folder / FILE, MAX_JSON)
    return isinstance(facts, dict) and "structure_shape" in facts


def import_vault(
    folder: str | os.PathLike,
    *,
    game: "Game | None" = None,
    out: str | os.PathLike | None = None,
    players: Sequence[str] | None = None,
) -> Store:
    """Make a dataset of a vault of flashbax.

    Args:
        folder: the folder of one version, such as ``vaults/3m.vlt/Good``.
        game: the game; by default a recorded game.
        out: folder of the dataset; by default a new one in ``datasets/``.
        players: name of each agent's player.

    Returns:
        The dataset. A vault has no observation after an episode's last step: see
        `store_from_arrays`.

    Raises:
        ImportError: TensorStore is not installed.
        OSError: a file cannot be read.
        ValueError: it is no such vault, or a leaf does not fit.
    """
    folder = Path(folder)
    for path in folder.rglob("*"):
        if not path.is_dir():
            check_regular(path)
    facts = read_json(folder / FILE, MAX_JSON)
    try:
        shapes = _leaves(facts, "structure_shape")
        names = {
            name: next((k for k in known if k in shapes), None)
            for name, known in LEAVES.items()
        }
        for name in REQUIRED:
            if names[name] is None:
                raise ValueError(
                    f"leaves {shown(sorted(shapes))}: expected one of "
                    f"{', '.join(LEAVES[name])}"
                )
        leaves = {name: leaf for name, leaf in names.items() if leaf}
        arrays = _read(
            folder, {k: _shape(shapes[v]) for k, v in leaves.items()}, leaves
        )
        return store_from_arrays(
            **_flat(arrays), players=players, game=game, path=out
        )
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _leaves(facts: Any, name: str) -> dict[str, Any]:
    """Return the leaves of a tree in the metadata by their paths."""
    tree = facts.get(name) if isinstance(facts, dict) else None
    if not isinstance(tree, dict):
        raise ValueError(f"{FILE}: {name}={shown(tree)}: expected an object")
    found: dict[str, Any] = {}
    queue = [("", tree)]
    while queue:
        prefix, node = queue.pop()
        for key, value in node.items():
            path = f"{prefix}{key}"
            if isinstance(value, dict):
                queue.append((f"{path}.", value))
            else:
                found[path] = value
    return found


def _shape(text: Any) -> tuple[int, ...]:
    match = SHAPE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"{FILE}: shape={shown(text)}: expected one such as (1, 2)"
        )
    return tuple(map(int, match[1].split(",")))


def _read(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    leaves: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """Return the written steps of each leaf, [B, T, ...]."""
    try:
        import tensorstore
    except ImportError as error:
        raise ImportError(
            f"{folder}: expected TensorStore for vaults: pip install "
            "'bestreply[vault]'"
        ) from error

    def opened(name: str) -> Any:
        base = f"file://{folder.resolve()}/"
        kvstore = {"driver": "ocdbt", "base": base, "path": name}
        spec = {"driver": "zarr", "kvstore": kvstore}
        return tensorstore.open(spec, open=True, read=True).result()

    try:
        steps = int(np.asarray(opened("vault_index").read().result())[0])
        stores = {name: opened(f"{leaf}.") for name, leaf in leaves.items()}
        sizes = [
            _size(store, shapes[name], steps, leaves[name])
            for name, store in stores.items()
        ]
        check_memory(COPIES * sum(sizes), f"{steps:,} steps")
        return {
            name: np.asarray(store[:, :steps].read().result())
            for name, store in stores.items()
        }
    except (IndexError, TypeError) as error:
        raise ValueError(f"expected a vault; {shown(str(error))}") from None
    except ValueError as error:
        raise ValueError(f"{str(error).splitlines()[0]:.400}") from None


def _size(store: Any, shape: tuple[int, ...], steps: int, leaf: str) -> int:
    """Return the bytes of the written steps of a leaf, after a check of its shape."""
    batch, most, *rest = store.shape
    if not 0 < steps <= most:
        raise ValueError(f"vault_index={steps}: expected 1 to {most:,}")
    if (batch, *rest) != (shape[0], *shape[2:]):
        raise ValueError(
            f"{leaf} of shape {store.shape}: expected {shape}, as in {FILE}, but for "
            "the steps"
        )
    entries = int(np.prod((batch, steps, *rest), dtype=object))
    return entries * store.dtype.numpy_dtype.itemsize


def _flat(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return [B, T, ...] as steps one after the other; each row of B ends an episode."""
    batch, steps = arrays["actions"].shape[:2]
    given: dict[str, Any] = dict(arrays)
    ends = given.get("timeouts")
    ends = np.zeros((batch, steps), bool) if ends is None else np.array(ends)
    if batch > 1:
        ends[:, -1] = True
    given["timeouts"] = ends
    if given["actions"].ndim == 4 and given["actions"].shape[-1] == 1:
        given["actions"] = given["actions"][..., 0]
    for name, values in given.items():
        if values.shape[:2] != (batch, steps):
            raise ValueError(
                f"{name} of shape {values.shape}: expected {(batch, steps)} first"
            )
        given[name] = values.reshape(batch * steps, *values.shape[2:])
    return given
