"""Conversion between `Episodes`, dense arrays, and rows, one for each step of each seat.

Rows are Arrow tables; their columns are those of docs/files.md.
"""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bestreply.data.manifest import Manifest

if TYPE_CHECKING:
    from bestreply.types import Episodes

Columns = dict[str, np.ndarray]
"""Arrays by name: columns of rows, or the fields of `Episodes`."""
CHUNK_VALUES = 1 << 23
"""Approximate number of observation entries of a row group: 32 MB, to bound the memory used."""

STEP_COLUMNS = (
    "action",
    "prob",
    "reward",
    "terminated",
    "goal",
    "goal_source",
)
"""Columns that are an array [E, T, N] of `Episodes`."""
OBS_PARTS = ("bits", "rest")
"""Arrays that can stand for `obs`: the fields of `bestreply.types.PackedObs`."""


def schema(manifest: Manifest) -> pa.Schema:
    """Return the columns of a part: names, types and list sizes.

    Args:
        manifest: the dataset's manifest.

    Returns:
        The schema. With one player `others` is a plain list, always empty.
    """
    entry = pa.from_numpy_dtype(np.dtype(manifest.obs_dtype))
    obs = fixed(entry, manifest.obs_size)
    legal = fixed(pa.bool_(), manifest.num_actions)
    seats = manifest.num_players
    fields = {
        "episode": pa.int64(),
        "step": pa.int32(),
        "seat": pa.int16(),
        "obs": obs,
        "legal": legal,
        "present": fixed(pa.bool_(), seats),
        "action": pa.int32(),
        "others": fixed(pa.int32(), seats - 1),
        "prob": pa.float32(),
        "reward": pa.float32(),
        "next_obs": obs,
        "next_legal": legal,
        "terminated": pa.bool_(),
        "truncated": pa.bool_(),
        "players": fixed(pa.int32(), seats),
        "goal": pa.int32(),
        "goal_source": pa.string(),
    }
    return pa.schema(
        pa.field(name, kind, nullable=name == "prob")
        for name, kind in fields.items()
    )


def fixed(kind: pa.DataType, size: int) -> pa.DataType:
    """Return the type of a list of fixed size. Parquet lacks size 0: it is a plain list.

    Args:
        kind: type of the entries.
        size: number of entries.

    Returns:
        The list type.
    """
    entry = pa.field("element", kind, nullable=False)
    return pa.list_(entry, size or -1)


# -- from episodes to rows -----------------------------------------------------


def check_arrays(
    episodes: "Episodes", manifest: Manifest
) -> dict[str, np.ndarray]:
    """Return episodes as NumPy arrays, after a check of shapes and padding.

    Args:
        episodes: the episodes, E >= 1.
        manifest: manifest of the dataset that they are for.

    Returns:
        The arrays of `Episodes` by name.

    Raises:
        ValueError: for shapes or padding that `Episodes` does not allow.
    """
    empty = empty_arrays(dataclasses.replace(manifest, parts=()))
    arrays = {
        name: np.ascontiguousarray(getattr(episodes, name), array.dtype)
        for name, array in empty.items()
    }
    _refuse_other_obs(np.asarray(episodes.obs), arrays["obs"])
    shape = arrays["action"].shape
    if len(shape) != 3 or shape[2] != manifest.num_players:
        raise ValueError(
            f"episodes.action of shape {shape}: expected (episodes, steps, {manifest.num_players} seats)"
        )
    count, steps, _ = shape
    longest = manifest.max_steps
    for name, array in arrays.items():
        expected = (count, *empty[name].shape[1:])
        if len(expected) > 1 and name != "player":
            extra = expected[1] - longest
            expected = (count, steps + extra, *expected[2:])
        if array.shape != expected:
            raise ValueError(
                f"episodes.{name} of shape {array.shape}: expected {expected}, as episodes.action has {shape}"
            )
    _check_padding(arrays, min(steps, longest))
    return arrays


def _refuse_other_obs(given: np.ndarray, cast: np.ndarray) -> None:
    """Raise ValueError where integers or booleans do not hold the observations given."""
    if given.dtype == cast.dtype or cast.dtype.kind == "f":
        return
    for place in np.argwhere(given != cast)[:1]:
        raise ValueError(
            f"episodes.obs={given[tuple(place)]} at {place.tolist()}: expected values "
            f"that {cast.dtype} holds, the dataset's obs_dtype"
        )


def _check_padding(arrays: dict[str, np.ndarray], longest: int) -> None:
    """Raise ValueError where lengths, actions and presence contradict one another."""
    from bestreply.types import GOAL_SOURCES

    length, action = arrays["length"], arrays["action"]
    acted, present = action != -1, arrays["present"][:, :-1]
    if not len(length):
        raise ValueError("no episodes to append: expected at least one")
    for e in np.flatnonzero((length < 1) | (length > longest))[:1]:
        raise ValueError(
            f"episode {e}: length={length[e]}: expected 1 to {longest} steps"
        )
    playing = np.arange(acted.shape[1]) < length[:, None]
    for e, t, s in np.argwhere(acted != (present & playing[..., None]))[:1]:
        raise ValueError(
            f"episode {e}, step {t}, seat {s}: action={action[e, t, s]}, present={present[e, t, s]}, "
            f"length={length[e]}: expected an action if present before the end, else -1"
        )
    for e, t in np.argwhere(playing & ~acted.any(2))[:1]:
        raise ValueError(
            f"episode {e}, step {t}: no seat is present, all have left: expected "
            f"length={t}, and no steps after the end"
        )
    sources = arrays["goal_source"][acted]
    low, high = sources.min(), sources.max()
    if low < 0 or high >= len(GOAL_SOURCES):
        raise ValueError(
            f"episodes.goal_source={low} to {high}: expected indices into {GOAL_SOURCES}"
        )


def count_labelled(arrays: dict[str, np.ndarray]) -> int:
    """Return the number of rows with a goal that an event shows.

    Args:
        arrays: the arrays of `Episodes` by name.

    Returns:
        The number of rows.
    """
    from bestreply.types import GOAL_SOURCES

    event = GOAL_SOURCES.index("event")
    labelled = (arrays["goal_source"] == event) & (arrays["action"] != -1)
    return int(labelled.sum())


def episodes_of_group(manifest: Manifest, steps: int) -> int:
    """Return the number of episodes of a row group.

    Args:
        manifest: the dataset's manifest.
        steps: steps of the padded episodes.
    """
    per_episode = max(1, steps * manifest.num_players * manifest.obs_size)
    return max(1, CHUNK_VALUES // per_episode)


def to_table(
    arrays: dict[str, np.ndarray], manifest: Manifest, first_episode: int
) -> pa.Table:
    """Return the rows of episodes.

    Args:
        arrays: the arrays that `check_arrays` returned.
        manifest: the dataset's manifest.
        first_episode: number of the first episode.

    Returns:
        A table with the columns of `schema`, in the order of episode, step, seat.
    """
    from bestreply.types import GOAL_SOURCES, ego_order

    action = arrays["action"]
    e, t, s = np.nonzero(action != -1)  # in the order of rows
    seats = ego_order(action.shape[2])[s].T  # [N, rows], the row's seat first
    columns = {
        "episode": e + first_episode,
        "step": t,
        "seat": s,
        "obs": arrays["obs"][e, t, s],
        "legal": arrays["legal"][e, t, s],
        "present": arrays["present"][e, t, seats].T,
        "others": action[e, t, seats[1:]].T,
        "next_obs": arrays["obs"][e, t + 1, s],
        "next_legal": arrays["legal"][e, t + 1, s],
        "truncated": arrays["truncated"][e, t] | cut_off(arrays)[e, t, s],
        "players": arrays["player"][e, seats].T,
    }
    columns |= {name: arrays[name][e, t, s] for name in STEP_COLUMNS}
    prob = columns["prob"]
    columns["prob"] = pa.array(prob, mask=np.isnan(prob))
    names = pa.array(GOAL_SOURCES)
    columns["goal_source"] = names.take(pa.array(columns["goal_source"]))
    fields = schema(manifest)
    return pa.table(
        [_to_arrow(columns[f.name], f.type) for f in fields], schema=fields
    )


def cut_off(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return the last steps of seats that leave alone, without having terminated.

    Args:
        arrays: the arrays of `Episodes` by name.

    Returns:
        Booleans [E, T, N].
    """
    acted = arrays["action"] != -1
    return acted & ~arrays["terminated"] & ~arrays["present"][:, 1:]


def _to_arrow(column: np.ndarray | pa.Array, kind: pa.DataType) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    if not pa.types.is_nested(kind):
        return pa.array(column, kind)
    values = pa.array(column.reshape(-1), kind.value_type)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    offsets = np.zeros(len(column) + 1, np.int32)
    return pa.ListArray.from_arrays(offsets, values, type=kind)


# -- from rows to episodes -----------------------------------------------------


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column as a NumPy array.

    Args:
        column: a column of `schema`.

    Returns:
        [rows] or [rows, size]; NaN for a null of `prob`; goal sources as indices into
        `GOAL_SOURCES`, -1 if unknown.
    """
    from bestreply.types import GOAL_SOURCES

    kind, rows = column.type, len(column)
    if pa.types.is_fixed_size_list(kind):
        values = column.combine_chunks().flatten()
        size = kind.list_size
        return values.to_numpy(zero_copy_only=False).reshape(rows, size)
    if pa.types.is_list(kind):
        return np.zeros((rows, 0), np.int32)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        names = pa.array(GOAL_SOURCES, kind)
        index = pc.call_function(
            "index_in", [column], pc.SetLookupOptions(names)
        )
        return index.fill_null(-1).to_numpy().astype(np.int8)
    return column.to_numpy()


class ArraySpec(NamedTuple):
    """One array of `Episodes`, without its first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype
    padding: float | int | bool


def array_specs(manifest: Manifest) -> dict[str, ArraySpec]:
    """Return shape, type and padding of each array of `Episodes`.

    Args:
        manifest: the dataset's manifest.

    Returns:
        The arrays by name. Padding is zeros, all actions legal, no action, and no seat
        present.
    """
    steps, seats = manifest.max_steps, manifest.num_players
    whole, step = (steps + 1, seats), (steps, seats)
    specs = {
        "obs": ((*whole, *manifest.obs_shape), manifest.obs_dtype, 0),
        "legal": ((*whole, manifest.num_actions), bool, True),
        "present": (whole, bool, False),
        "action": (step, np.int32, -1),
        "prob": (step, np.float32, np.nan),
        "reward": (step, np.float32, 0),
        "terminated": (step, bool, False),
        "truncated": ((steps,), bool, False),
        "length": ((), np.int32, 0),
        "player": ((seats,), np.int32, 0),
        "goal": (step, np.int32, -1),
        "goal_source": (step, np.int8, 0),
    }
    return {
        name: ArraySpec(shape, np.dtype(dtype), padding)
        for name, (shape, dtype, padding) in specs.items()
    }


def empty_arrays(manifest: Manifest) -> dict[str, np.ndarray]:
    """Return the arrays of `Episodes` for a whole dataset, filled with padding.

    Args:
        manifest: the dataset's manifest.

    Returns:
        Arrays [episodes, max_steps, ...] by name, with the padding of `array_specs`.
    """
    arrays = {}
    for name, (shape, dtype, padding) in array_specs(manifest).items():
        arrays[name] = np.zeros((manifest.episodes, *shape), dtype)
        if padding:  # pages of zeros take no memory before they are written
            arrays[name][...] = padding
    return arrays


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns of rows as `to_numpy` returns them.

    Args:
        table: rows with columns of `schema`.
    """
    return {name: to_numpy(table[name]) for name in table.column_names}


def fill(arrays: dict[str, np.ndarray], columns: dict[str, np.ndarray]) -> None:
    """Write rows into the arrays of episodes.

    Args:
        arrays: arrays of `Episodes` by name, filled with padding; they are changed.
            The parts of observations can have names of their own.
        columns: the rows' columns by name, with those that `arrays` has.

    Raises:
        ValueError: for an episode, step or seat out of range.
    """
    from bestreply.types import ego_order

    sizes = arrays["action"].shape
    places = []
    for name, size in zip(("episode", "step", "seat"), sizes, strict=True):
        index = columns[name].astype(np.int64)
        outside = index[(index < 0) | (index >= size)]
        if len(outside):
            raise ValueError(f"{name}={outside[0]}: expected 0 to {size - 1}")
        places.append(index)
    e, t, s = places
    # The next step first: if the seat has a row there, it overwrites these values.
    for step, prefix in ((t + 1, "next_"), (t, "")):
        for name in arrays.keys() & {"legal", "obs", *OBS_PARTS}:
            values = columns[f"{prefix}{name}"]
            array = arrays[name]
            array[e, step, s] = values.reshape(len(e), *array.shape[3:])
    for name in STEP_COLUMNS:
        arrays[name][e, t, s] = columns[name]
    np.logical_or.at(arrays["truncated"], (e, t), columns["truncated"])
    arrays["player"][e[:, None], ego_order(sizes[2])[s]] = columns["players"]


def finish(arrays: dict[str, np.ndarray]) -> None:
    """Derive lengths and presence from the actions, after all rows are written.

    Before the end the seats that act are present; at the end those that acted last
    and have not terminated. Before the end, rows that are truncated are of seats that
    are cut off alone; the game is not.

    Args:
        arrays: the arrays that `fill` has written; they are changed.
    """
    acted, present = arrays["action"] != -1, arrays["present"]
    arrays["length"][:] = length = acted.any(2).sum(1)
    present[:, :-1] = acted
    episode, last = np.arange(len(acted)), length - 1
    stays = acted & ~arrays["terminated"]
    present[episode, length] = stays[episode, last]
    truncated = arrays["truncated"]
    truncated &= np.arange(truncated.shape[1]) == last[:, None]
