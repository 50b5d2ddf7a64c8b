"""Between `Episodes`, dense arrays in memory, and rows of Arrow tables, one for each step of each seat.

The columns are those of docs/files.md.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bestreply.data.manifest import Manifest

if TYPE_CHECKING:
    from bestreply.types import Episodes

CHUNK_VALUES = 1 << 23
"""Observation entries of a row group, about: 32 MB, so that writing and reading need little at once."""


def schema(manifest: Manifest) -> pa.Schema:
    """Columns of a part: names, types, list sizes. With one player `others` is a plain list, always empty."""
    seats, actions, size = (
        manifest.num_players,
        manifest.num_actions,
        manifest.obs_size,
    )
    fields = {
        "episode": pa.int64(),
        "step": pa.int32(),
        "seat": pa.int16(),
        "obs": fixed(pa.float32(), size),
        "legal": fixed(pa.bool_(), actions),
        "present": fixed(pa.bool_(), seats),
        "action": pa.int32(),
        "others": fixed(pa.int32(), seats - 1),
        "prob": pa.float32(),
        "reward": pa.float32(),
        "next_obs": fixed(pa.float32(), size),
        "next_legal": fixed(pa.bool_(), actions),
        "terminated": pa.bool_(),
        "truncated": pa.bool_(),
        "players": fixed(pa.int32(), seats),
        "goal": pa.int32(),
        "goal_source": pa.string(),
    }
    return pa.schema(
        [
            pa.field(name, kind, nullable=name == "prob")
            for name, kind in fields.items()
        ]
    )


def fixed(kind: pa.DataType, size: int) -> pa.DataType:
    """A list of `size` entries; Parquet knows none of size 0, a plain list stands for it."""
    entry = pa.field("element", kind, nullable=False)
    return pa.list_(entry, size) if size else pa.list_(entry)


# -- from episodes to rows -----------------------------------------------------------------------------------


def check_arrays(
    episodes: "Episodes", manifest: Manifest
) -> dict[str, np.ndarray]:
    """`episodes` in NumPy. Raises ValueError where shapes or padding are not as `Episodes` promises."""
    kinds = {
        "obs": np.float32,
        "prob": np.float32,
        "reward": np.float32,
        "goal_source": np.int8,
    }
    kinds |= dict.fromkeys(
        ("legal", "present", "terminated", "truncated"), np.bool_
    )
    kinds |= dict.fromkeys(("action", "length", "player", "goal"), np.int32)
    arrays = {
        name: np.ascontiguousarray(getattr(episodes, name), dtype=kind)
        for name, kind in kinds.items()
    }
    shape = arrays["action"].shape
    if len(shape) != 3 or shape[2] != manifest.num_players:
        raise ValueError(
            f"episodes.action is {shape}; expected: (episodes, steps, {manifest.num_players} seats)"
        )
    count, steps, seats = shape
    whole = (count, steps + 1, seats)
    shapes = {
        "obs": (*whole, *manifest.obs_shape),
        "legal": (*whole, manifest.num_actions),
        "present": whole,
        "truncated": (count, steps),
        "length": (count,),
        "player": (count, seats),
    }
    for name, array in arrays.items():
        wanted = shapes.get(name, shape)
        if array.shape != wanted:
            raise ValueError(
                f"episodes.{name} is {array.shape}; expected: {wanted}, as episodes.action is {shape}"
            )
    _check_padding(arrays, min(steps, manifest.max_steps))
    return arrays


def _check_padding(arrays: dict[str, np.ndarray], longest: int) -> None:
    """Raises ValueError where lengths, actions and presence contradict one another."""
    from bestreply.types import GOAL_SOURCES

    length, acted, present = (
        arrays["length"],
        arrays["action"] != -1,
        arrays["present"][:, :-1],
    )
    if not len(length):
        raise ValueError(
            "there are no episodes to append; expected: at least one"
        )
    for e in np.flatnonzero((length < 1) | (length > longest))[:1]:
        raise ValueError(
            f"episode {e} has length {length[e]}; expected: between 1 and {longest} steps"
        )
    playing = np.arange(acted.shape[1]) < length[:, None]
    for e, t, s in np.argwhere(acted != (present & playing[..., None]))[:1]:
        found = f"action {arrays['action'][e, t, s]}, present {present[e, t, s]}, length {length[e]}"
        wanted = "an action where the seat is present before the episode's end, else -1"
        raise ValueError(
            f"episode {e}, step {t}, seat {s}: {found}. Expected: {wanted}"
        )
    for e, t in np.argwhere(playing & ~acted.any(2))[:1]:
        raise ValueError(
            f"episode {e}, step {t}: no seat is present. Expected: the episode's end before that"
        )
    sources = arrays["goal_source"][acted]
    if sources.min() < 0 or sources.max() >= len(GOAL_SOURCES):
        found = f"{sources.min()} to {sources.max()}"
        raise ValueError(
            f"episodes.goal_source runs from {found}; expected: an index into {GOAL_SOURCES}"
        )


def count_labelled(arrays: dict[str, np.ndarray]) -> int:
    """Rows whose goal an event shows."""
    from bestreply.types import GOAL_SOURCES

    shown = arrays["goal_source"] == GOAL_SOURCES.index("event")
    return int((shown & (arrays["action"] != -1)).sum())


def to_tables(
    arrays: dict[str, np.ndarray], manifest: Manifest, first_episode: int
) -> Iterator[pa.Table]:
    """Yields the rows of checked `arrays`, some whole episodes at a time, ids from `first_episode` on."""
    count, steps, seats = arrays["action"].shape
    per_episode = max(1, steps * seats * manifest.obs_size)
    chunk = max(1, CHUNK_VALUES // per_episode)
    for start in range(0, count, chunk):
        part = {
            name: array[start : start + chunk] for name, array in arrays.items()
        }
        yield _to_table(part, manifest, first_episode + start)


def _to_table(
    arrays: dict[str, np.ndarray], manifest: Manifest, first_episode: int
) -> pa.Table:
    from bestreply.types import GOAL_SOURCES, ego_order

    _, steps, seats = arrays["action"].shape
    e, t, s = np.nonzero(arrays["action"] != -1)  # in the order of rows
    here = (
        e * (steps + 1) + t
    ) * seats + s  # index into [E, T+1, N], flattened
    now = here - e * seats  # index into [E, T, N], flattened
    obs = arrays["obs"].reshape(-1, manifest.obs_size)
    legal = arrays["legal"].reshape(-1, manifest.num_actions)
    order = ego_order(seats)[s]  # [rows, N]
    prob = arrays["prob"].reshape(-1)[now]
    names = pa.DictionaryArray.from_arrays(
        pa.array(arrays["goal_source"].reshape(-1)[now]), pa.array(GOAL_SOURCES)
    )
    columns = {
        "episode": e + first_episode,
        "step": t.astype(np.int32),
        "seat": s.astype(np.int16),
        "obs": obs[here],
        "legal": legal[here],
        "present": np.take_along_axis(arrays["present"][e, t], order, 1),
        "action": arrays["action"].reshape(-1)[now],
        "others": np.take_along_axis(arrays["action"][e, t], order[:, 1:], 1),
        "prob": pa.array(prob, mask=np.isnan(prob)),
        "reward": arrays["reward"].reshape(-1)[now],
        "next_obs": obs[here + seats],
        "next_legal": legal[here + seats],
        "terminated": arrays["terminated"].reshape(-1)[now],
        "truncated": arrays["truncated"][e, t],
        "players": np.take_along_axis(arrays["player"][e], order, 1),
        "goal": arrays["goal"].reshape(-1)[now],
        "goal_source": names.cast(pa.string()),
    }
    wanted = schema(manifest)
    return pa.table(
        [_to_arrow(columns[f.name], f.type) for f in wanted], schema=wanted
    )


def _to_arrow(column: np.ndarray | pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(
            pa.array(column.reshape(-1), kind.value_type), type=kind
        )
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(
            np.zeros(len(column) + 1, np.int32),
            pa.array([], kind.value_type),
            type=kind,
        )
    return pa.array(column, kind)


# -- from rows to episodes -----------------------------------------------------------------------------------


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """A column as [rows] or [rows, size]; nulls of `prob` as NaN, goal sources as index, -1 if unknown."""
    from bestreply.types import GOAL_SOURCES

    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        flat = column.combine_chunks().flatten()
        return flat.to_numpy(zero_copy_only=False).reshape(
            len(column), kind.list_size
        )
    if pa.types.is_list(kind):
        return np.zeros((len(column), 0), np.int32)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = column.combine_chunks().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        index = [
            GOAL_SOURCES.index(name) if name in GOAL_SOURCES else -1
            for name in names
        ]
        return np.array(index, np.int8)[
            encoded.indices.to_numpy(zero_copy_only=False)
        ]
    return column.to_numpy()


def empty_arrays(manifest: Manifest) -> dict[str, np.ndarray]:
    """The arrays of `Episodes` for the whole dataset as padding: zeros, all actions legal, nobody there."""
    count, steps, seats = (
        manifest.episodes,
        manifest.max_steps,
        manifest.num_players,
    )
    step = (count, steps, seats)
    return {
        "obs": np.zeros(
            (count, steps + 1, seats, *manifest.obs_shape), np.float32
        ),
        "legal": np.ones((count, steps + 1, seats, manifest.num_actions), bool),
        "present": np.zeros((count, steps + 1, seats), bool),
        "action": np.full(step, -1, np.int32),
        "prob": np.full(step, np.nan, np.float32),
        "reward": np.zeros(step, np.float32),
        "terminated": np.zeros(step, bool),
        "truncated": np.zeros((count, steps), bool),
        "length": np.zeros(count, np.int32),
        "player": np.zeros((count, seats), np.int32),
        "goal": np.full(step, -1, np.int32),
        "goal_source": np.zeros(step, np.int8),
    }


def fill(
    arrays: dict[str, np.ndarray], table: pa.Table, manifest: Manifest
) -> None:
    """Puts rows where they belong. Raises ValueError for an episode, step or seat that is not there."""
    from bestreply.types import ego_order

    count, steps, seats = arrays["action"].shape
    e, t, s = (
        to_numpy(table[name]).astype(np.int64)
        for name in ("episode", "step", "seat")
    )
    for name, index, size in (
        ("episode", e, count),
        ("step", t, steps),
        ("seat", s, seats),
    ):
        if len(index) and (index.min() < 0 or index.max() >= size):
            raise ValueError(
                f"{name}s run from {index.min()} to {index.max()}; expected: between 0 and {size - 1}"
            )
    here = (e * (steps + 1) + t) * seats + s
    now = here - e * seats
    obs = arrays["obs"].reshape(-1, manifest.obs_size)
    legal = arrays["legal"].reshape(-1, manifest.num_actions)
    # The next observation first: where the seat has a next step, that row holds the same and overwrites it.
    obs[here + seats], legal[here + seats] = (
        to_numpy(table["next_obs"]),
        to_numpy(table["next_legal"]),
    )
    obs[here], legal[here] = to_numpy(table["obs"]), to_numpy(table["legal"])
    for name in (
        "action",
        "prob",
        "reward",
        "terminated",
        "goal",
        "goal_source",
    ):
        arrays[name].reshape(-1)[now] = to_numpy(table[name])
    arrays["truncated"][e, t] = to_numpy(table["truncated"])
    arrays["player"][e[:, None], ego_order(seats)[s]] = to_numpy(
        table["players"]
    )


def finish(arrays: dict[str, np.ndarray]) -> None:
    """Lengths, and who was there: before the end who acted, at the end who of them has not terminated."""
    acted = arrays["action"] != -1
    arrays["length"][:] = acted.any(2).sum(1)
    arrays["present"][:, :-1] = acted
    episode = np.arange(len(acted))
    last = arrays["length"] - 1
    arrays["present"][episode, last + 1] = (
        acted[episode, last] & ~arrays["terminated"][episode, last]
    )
