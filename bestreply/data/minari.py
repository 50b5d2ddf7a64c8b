"""Datasets of Minari: a folder of HDF5, Arrow or Parquet files. Minari itself is not needed.

Minari has one agent. By convention several are a `Dict` space keyed by agent, and their
rewards stand in the infos: `rewards` or `reward` by agent, or `reward` of each agent.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.data.arrays import store_from_arrays
from bestreply.data.minari_files import (
    FILE,
    MAX_DEPTH,
    READ,
    Tree,
    hdf5_episodes,
    table_episodes,
)
from bestreply.data.store import Store
from bestreply.utils.untrusted import parse_json, read_json

if TYPE_CHECKING:
    from bestreply.games.base import Game

MAX_JSON = 10_000_000


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
    opened = hdf5_episodes
    if facts.get("data_format", "hdf5") in ("arrow", "parquet"):
        opened = table_episodes
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
    ends = _ends(tree, len(rewards))
    actions, observations = tree["actions"], tree["observations"]
    if not isinstance(actions, Mapping):
        seen, mask = _seen(observations, spaces[0], len(rewards))
        chosen = _chosen(actions, spaces[1], len(rewards))
        own: Any = rewards
    else:
        inner = [{a: _inside(space, a) for a in actions} for space in spaces]
        parts = {
            a: _seen(observations[a], inner[0][a], len(rewards))
            for a in actions
        }
        seen = {a: part for a, (part, _) in parts.items()}
        mask = {a: part for a, (_, part) in parts.items()}
        if any(part is None for part in mask.values()):
            mask = None
        chosen = {
            a: _chosen(part, inner[1][a], len(rewards))
            for a, part in actions.items()
        }
        own = _own_rewards(tree.get("infos"), list(actions), len(rewards))
        own = own or dict.fromkeys(actions, rewards)
    named = {"actions": chosen, "observations": seen, "legal": mask}
    return ends | named | {"rewards": own}


def _ends(tree: Tree, steps: int) -> dict[str, np.ndarray]:
    """Return terminals and timeouts; the record of an episode ends by one of them."""
    terminals = np.asarray(tree["terminations"]).reshape(-1).astype(bool)
    timeouts = np.asarray(tree["truncations"]).reshape(-1).astype(bool)
    if not steps or len({steps, len(terminals), len(timeouts)}) > 1:
        raise ValueError(
            f"an episode of {steps} rewards and {len(terminals)} terminations: "
            "expected equally many, at least one"
        )
    timeouts[-1] |= ~terminals[-1]
    return {"terminals": terminals, "timeouts": timeouts}


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
