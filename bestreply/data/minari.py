"""Datasets of Minari: a folder of HDF5, Arrow or Parquet files. Minari itself is not needed.

Minari has one agent. By convention several are a `Dict` space keyed by agent, and their
rewards stand in the infos: `rewards` or `reward` by agent, or `reward` of each agent.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bestreply.data.arrays import store_from_arrays
from bestreply.data.columns import numbers_of
from bestreply.data.store import Store
from bestreply.utils.checks import shown
from bestreply.utils.parquet import COPIES, decoded_size, open_parquet, reason
from bestreply.utils.untrusted import (
    check_memory,
    check_regular,
    open_regular,
    parse_json,
    read_json,
)

if TYPE_CHECKING:
    from bestreply.games.base import Game

FILE = "metadata.json"
MAX_EPISODES = 10_000_000
MAX_DEPTH = 8
"""Levels of spaces inside each other."""
MAX_JSON = 10_000_000
READ = (
    "observations",
    "actions",
    "rewards",
    "terminations",
    "truncations",
)
"""What every episode has."""
Tree = Mapping[str, Any]
"""Arrays of an episode, in dicts as the spaces are nested."""


def is_minari(folder: Path) -> bool:
    """Return whether a folder is a dataset of Minari.

    Args:
        folder: the folder, or its folder ``data``.
    """
    place = _data_folder(folder) / FILE
    if not place.is_file():
        return False
    facts = read_json(place, MAX_JSON)
    return isinstance(facts, dict) and "total_episodes" in facts


def _data_folder(folder: Path) -> Path:
    inner = folder / "data"
    return inner if (inner / FILE).is_file() else folder


def import_minari(
    folder: str | os.PathLike,
    *,
    game: "Game | None" = None,
    out: str | os.PathLike | None = None,
    players: Sequence[str] | None = None,
) -> Store:
    """Make a dataset of a dataset of Minari.

    Args:
        folder: the folder of one version, such as ``datasets/D4RL/door/human-v2``.
        game: the game; by default a recorded game.
        out: folder of the dataset; by default a new one in ``datasets/``.
        players: name of each agent's player.

    Returns:
        The dataset.

    Raises:
        ImportError: the files are HDF5, and h5py is not installed.
        OSError: a file cannot be read.
        ValueError: it is no such dataset, or its actions are not discrete.
    """
    place = _data_folder(Path(folder))
    facts = read_json(place / FILE, MAX_JSON)
    facts = facts if isinstance(facts, dict) else {}
    spaces = [
        _space(facts, name) for name in ("observation_space", "action_space")
    ]
    if any(map(_has_images, spaces)) and facts.get("jpeg_encoding", True):
        raise ValueError(
            f"{place / FILE}: jpeg_encoding=True: expected images that are stored "
            "as arrays (jpeg_encoding=False); compressed ones are not exact"
        )
    opened = _hdf5_episodes
    if facts.get("data_format", "hdf5") in ("arrow", "parquet"):
        opened = _table_episodes
    try:
        episodes = [_episode(tree, spaces) for tree in opened(place, facts)]
        if not episodes:
            raise ValueError("0 episodes: expected at least one")
        given = _joined(episodes)
        given["seat_actions"] = _counts(given["actions"], spaces[1])
        return store_from_arrays(**given, players=players, game=game, path=out)
    except (ValueError, KeyError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{place}: {text}") from None


# -- spaces --------------------------------------------------------------------


def _space(facts: Tree, name: str) -> Any:
    """Return a space as plain data; None where the metadata lack it."""
    text = facts.get(name)
    value = parse_json(text) if isinstance(text, str) else text
    return value if isinstance(value, dict) else None


def _inside(space: Any, name: str) -> Any:
    parts = space.get("subspaces") if isinstance(space, dict) else None
    if isinstance(parts, dict):
        return parts.get(name)
    return None


def _counts(actions: Any, space: Any) -> list[int] | None:
    """Return the number of actions of each agent; None where the metadata lack it."""
    parts = [space]
    if isinstance(actions, Mapping):
        parts = [_inside(space, agent) for agent in actions]
    counts = [p.get("n") if isinstance(p, dict) else None for p in parts]
    known = [n for n in counts if type(n) is int]
    return known if len(known) == len(parts) else None


def _has_images(space: Any, depth: int = 0) -> bool:
    """Return whether Minari takes an array of a space for a picture."""
    if not isinstance(space, dict) or depth > MAX_DEPTH:
        return False
    parts = space.get("subspaces")
    if isinstance(parts, dict):
        parts = list(parts.values())
    if isinstance(parts, list):
        return any(_has_images(part, depth + 1) for part in parts)
    shape = space.get("shape")
    return (
        space.get("dtype") == "uint8"
        and isinstance(shape, list)
        and len(shape) == 3
    )


# -- one episode ---------------------------------------------------------------


def _episode(tree: Tree, spaces: Sequence[Any]) -> dict[str, Any]:
    """Return the arrays of an episode of T steps; of several agents in dicts."""
    for name in READ:
        _check_arrays(name, tree[name])
    rewards = np.asarray(tree["rewards"]).reshape(-1)
    steps = len(rewards)
    actions, observations = tree["actions"], tree["observations"]
    agents = list(actions) if isinstance(actions, Mapping) else None
    terminals = np.asarray(tree["terminations"]).reshape(-1).astype(bool)
    timeouts = np.asarray(tree["truncations"]).reshape(-1).astype(bool)
    if not steps or len({steps, len(terminals), len(timeouts)}) > 1:
        raise ValueError(
            f"an episode of {steps} rewards and {len(terminals)} terminations: "
            "expected equally many, at least one"
        )
    timeouts[-1] |= ~terminals[-1]  # the record of an episode ends here
    result: dict[str, Any] = {"terminals": terminals, "timeouts": timeouts}
    if agents is None:
        seen, mask = _seen(observations, spaces[0], steps)
        result |= {
            "actions": _chosen(actions, spaces[1], steps),
            "observations": seen,
            "legal": mask,
            "rewards": rewards,
        }
        return result
    parts = {
        agent: _seen(observations[agent], _inside(spaces[0], agent), steps)
        for agent in agents
    }
    masks = {agent: mask for agent, (_, mask) in parts.items()}
    own = _own_rewards(tree.get("infos"), agents, steps)
    return result | {
        "actions": {
            agent: _chosen(actions[agent], _inside(spaces[1], agent), steps)
            for agent in agents
        },
        "observations": {agent: seen for agent, (seen, _) in parts.items()},
        "legal": None if any(m is None for m in masks.values()) else masks,
        "rewards": own or dict.fromkeys(agents, rewards),
    }


def _check_arrays(name: str, value: Any) -> None:
    """Refuse what holds text or other objects in place of numbers."""
    if isinstance(value, Mapping):
        if name in ("rewards", "terminations", "truncations"):
            raise ValueError(f"{name}: expected one number a step")
        for inner, part in value.items():
            _check_arrays(f"{name}.{inner}", part)
    elif value is None or np.ndim(value) < 1:
        raise ValueError(f"{name}: expected numbers for each step")


def _chosen(values: Any, space: Any, steps: int) -> np.ndarray:
    """Return actions counted from 0."""
    if isinstance(values, Mapping):
        raise ValueError("actions of several parts: expected one number each")
    array = np.asarray(values)
    array = array.reshape(-1) if array.size == len(array) else array
    start = space.get("start", 0) if isinstance(space, dict) else 0
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise ValueError(
            f"actions of shape {array.shape}, {array.dtype}: expected a Discrete "
            "space. Number continuous actions, or those of several parts"
        )
    if len(array) < steps or type(start) is not int:
        raise ValueError(f"{len(array)} actions: expected {steps}")
    return array[:steps].astype(np.int64) - start


def _seen(
    values: Any, space: Any, steps: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return observations [T + 1, ...] and legal actions, where a dict has both."""
    mask = None
    if isinstance(values, Mapping) and {*values} == {
        "observation",
        "action_mask",
    }:
        mask = np.asarray(values["action_mask"])
        values, space = values["observation"], _inside(space, "observation")
    array = _flat(values, space)
    for name, part in (("observations", array), ("action_mask", mask)):
        if part is not None and len(part) != steps + 1:
            raise ValueError(
                f"{name} of {len(part)} steps: expected {steps + 1}, one more than "
                "rewards"
            )
    return array, mask


def _flat(values: Any, space: Any, depth: int = 0) -> np.ndarray:
    """Return an array in the shape of its space; several side by side as one vector."""
    if depth > MAX_DEPTH:
        raise ValueError("observations: expected spaces of few levels")
    if isinstance(values, Mapping):
        parts = [
            _flat(part, _inside(space, name), depth + 1)
            for name, part in values.items()
        ]
        return np.concatenate([p.reshape(len(p), -1) for p in parts], 1)
    array = np.asarray(values)
    shape = space.get("shape") if isinstance(space, dict) else None
    if isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape):
        if np.prod(shape, dtype=object) * len(array) != array.size:
            raise ValueError(
                f"observations of shape {array.shape}: expected {shape}, as in the "
                "metadata"
            )
        return array.reshape(len(array), *shape)
    return array


def _own_rewards(
    infos: Any, agents: Sequence[str], steps: int
) -> dict[str, np.ndarray] | None:
    """Return the rewards of each agent in the infos; None where they are not there."""
    if not isinstance(infos, Mapping):
        return None
    for name in ("rewards", "reward"):
        found = infos.get(name)
        if not isinstance(found, Mapping):
            inner = {a: infos.get(a) for a in agents}
            found = {
                a: part[name]
                for a, part in inner.items()
                if isinstance(part, Mapping) and name in part
            }
        if {*found} >= {*agents}:
            return {a: _of_steps(found[a], steps) for a in agents}
    return None


def _of_steps(values: Any, steps: int) -> np.ndarray:
    """Return rewards of T steps; infos have one entry more, of the reset."""
    array = np.asarray(values).reshape(-1)
    if len(array) not in (steps, steps + 1):
        raise ValueError(f"{len(array)} rewards in the infos: expected {steps}")
    return array[len(array) - steps :]


def _joined(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the arrays of all episodes one after the other."""
    first = episodes[0]
    agents = first["actions"] if isinstance(first["actions"], dict) else None
    given: dict[str, Any] = {}
    for name in ("actions", "rewards", "terminals", "timeouts"):
        given[name] = _concatenated(episodes, name, agents, slice(None))
    for name, after in (
        ("observations", "next_observations"),
        ("legal", "next_legal"),
    ):
        if any(episode[name] is None for episode in episodes):
            continue
        given[name] = _concatenated(episodes, name, agents, slice(-1))
        given[after] = _concatenated(episodes, name, agents, slice(1, None))
    return given


def _concatenated(
    episodes: list[dict[str, Any]], name: str, agents: Any, some: slice
) -> Any:
    parts = [episode[name] for episode in episodes]
    if not isinstance(parts[0], Mapping):
        return np.concatenate([part[some] for part in parts])
    if any(set(part) != set(agents) for part in parts):
        raise ValueError(f"{name}: expected the same agents in all episodes")
    return {
        a: np.concatenate([part[a][some] for part in parts]) for a in agents
    }


# -- files ---------------------------------------------------------------------


def _count(facts: Tree) -> int:
    count = facts.get("total_episodes")
    if type(count) is not int or not 0 < count <= MAX_EPISODES:
        raise ValueError(
            f"total_episodes={shown(count)}: expected 1 to {MAX_EPISODES:,}"
        )
    return count


def _table_episodes(folder: Path, facts: Tree) -> Iterator[Tree]:
    """Yield the episodes of a folder with a folder of one table for each."""
    for number in range(_count(facts)):
        inside = folder / str(number)
        files = [
            path
            for path in sorted(inside.iterdir())
            if path.name != FILE and not path.name.startswith((".", "_"))
        ]
        if len(files) != 1:
            raise ValueError(f"{inside}: {len(files)} tables: expected one")
        table = _read_table(files[0], str(facts.get("data_format")))
        tree = {
            name: _tree(name, table[name].combine_chunks())
            for name in table.column_names
            if name != "episode_id"
        }
        for name in READ[2:]:
            if isinstance(tree.get(name), np.ndarray):
                tree[name] = tree[name][:-1]  # padded to the observations
        yield tree


def _read_table(path: Path, kind: str) -> pa.Table:
    if kind == "parquet":
        with open_parquet(path) as file:
            names = file.schema_arrow.names
            check_memory(COPIES * decoded_size(file, names), str(path))
            return _read(path, lambda: file.read(use_threads=False))
    check_memory(COPIES * check_regular(path), str(path))
    with open_regular(path) as handle:
        return _read(path, lambda: pa.ipc.open_file(handle).read_all())


def _read(path: Path, reader: Any) -> pa.Table:
    try:
        table = reader()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a whole file; {reason(error)}"
        ) from None
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError(f"{path}: expected each column once")
    return table


def _tree(name: str, array: Any, depth: int = 0) -> Any:
    """Return a column as an array, or as a dict of its fields; None for other values."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if depth > MAX_DEPTH:
        raise ValueError(f"column {name!r}: expected spaces of few levels")
    if pa.types.is_struct(array.type):
        return {
            field.name: _tree(f"{name}.{field.name}", part, depth + 1)
            for field, part in zip(array.type, array.flatten(), strict=True)
        }
    pad = array.slice(0, len(array) - 1) if array.null_count else array
    with contextlib.suppress(ValueError):
        return numbers_of(name, pa.chunked_array([pad]))
    return None


def _hdf5_episodes(folder: Path, facts: Tree) -> Iterator[Tree]:
    """Yield the episodes of an HDF5 file."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            f"{folder}: expected h5py for HDF5 files: pip install 'bestreply[minari]'"
        ) from error
    path = folder / "main_data.hdf5"
    with open_regular(path) as handle:
        try:
            with h5py.File(handle, "r") as file:
                total = sum(
                    _check_links(h5py, file[name], name)
                    for name in _names(h5py, file)
                )
                check_memory(COPIES * total, str(path))
                for number in range(_count(facts)):
                    yield _groups(file[f"episode_{number}"])
        except (OSError, RuntimeError, KeyError, TypeError) as error:
            text = shown(str(error))
            raise ValueError(
                f"{path}: expected a whole HDF5 file; {text}"
            ) from None


def _names(h5py: Any, group: Any) -> list[str]:
    """Return the names in a group; links to other places and files are refused."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(
                f"{shown(name)}: expected no link to another place"
            )
    return list(group)


def _check_links(h5py: Any, node: Any, name: str, depth: int = 0) -> int:
    """Return the bytes of a group or an array, after a check that all is in this file."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{shown(name)}: expected groups of few levels")
    if isinstance(node, h5py.Group):
        return sum(
            _check_links(h5py, node[inner], inner, depth + 1)
            for inner in _names(h5py, node)
        )
    if node.is_virtual or node.external:
        raise ValueError(f"{shown(name)}: expected data in this file")
    return node.size * node.dtype.itemsize if node.size else 0


def _groups(node: Any) -> Any:
    """Return a group as a dict of arrays; None for text and other objects."""
    if hasattr(node, "keys"):
        return {name: _groups(node[name]) for name in node}
    return node[()] if node.dtype.kind in "biuf" else None
