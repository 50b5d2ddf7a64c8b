"""Load a dataset into the arrays that training samples from, once and without copies.

An array lies in memory, or in a file that is mapped into memory if it is too large; the
compiled programs of a CPU read both in place. Entries that a game declares binary are
kept as bits.
"""

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from bestreply.data import rows
from bestreply.data.manifest import Manifest
from bestreply.data.store import Store
from bestreply.types import ABSENT, Episodes, PackedObs, pack_bits
from bestreply.utils.big_arrays import (
    free_device_memory,
    free_disk,
    new_array,
)
from bestreply.utils.untrusted import free_memory, size_text

log = logging.getLogger("bestreply")

MEMORY_FRACTION = 0.4
"""Largest fraction of the free memory that a dataset takes; larger ones are mapped.
Beliefs, labels and the compiled programs need the rest."""
DEVICE_FRACTION = 0.6
"""Largest fraction of the free memory of a device that a dataset takes."""
DISK_MARGIN = 1 << 30
"""Bytes of a disk that are left free."""
UNREAD = ("present", "others")
"""Columns that the other rows of an episode determine."""


class Loaded(NamedTuple):
    """The episodes of a dataset, as NumPy arrays."""

    training: Episodes  # [C, ...], of `filled` episodes and then empty rows
    filled: int
    held_out: Episodes


class _Layout(NamedTuple):
    """How observations are kept: whole, or the entries of `binary` as bits."""

    binary: Bool[np.ndarray, " D"] | None

    def parts(self, columns: rows.Columns) -> rows.Columns | None:
        """Return columns with the parts of observations; None if they are not binary."""
        if self.binary is None:
            return columns
        parts = dict(columns)
        for prefix in ("", "next_"):
            packed = pack_bits(parts.pop(f"{prefix}obs"), self.binary)
            if packed is None:
                return None
            names = [prefix + name for name in rows.OBS_PARTS]
            parts |= dict(zip(names, packed, strict=True))
        return parts

    def specs(self, manifest: Manifest) -> dict[str, rows.ArraySpec]:
        """Return the arrays of `Episodes`, or of its parts."""
        specs = rows.array_specs(manifest)
        if self.binary is None:
            return specs
        obs = specs.pop("obs")
        lead = obs.shape[: len(obs.shape) - len(manifest.obs_shape)]
        ones = int(self.binary.sum())
        byte = np.dtype(np.uint8)
        bits = rows.ArraySpec((*lead, -(-ones // 8)), byte, 0)
        rest = obs._replace(shape=(*lead, self.binary.size - ones))
        return specs | dict(zip(rows.OBS_PARTS, (bits, rest), strict=True))

    def episodes(self, arrays: rows.Columns, manifest: Manifest) -> Episodes:
        """Return arrays of `specs` as episodes."""
        fields: dict[str, Any] = dict(arrays)
        if self.binary is not None:
            parts = {name: fields.pop(name) for name in rows.OBS_PARTS}
            mask = self.binary.astype(np.uint8).tobytes()
            shape = manifest.obs_shape
            fields["obs"] = PackedObs(**parts, binary=mask, obs_shape=shape)
        return Episodes(**fields)


def load(
    store: Store,
    binary: Bool[np.ndarray, "*obs"],
    held_out: Bool[np.ndarray, " E"],
    most_held_out: int,
    folder: Path,
) -> Loaded:
    """Read a dataset into training and held-out episodes.

    Args:
        store: the dataset, which `validate` accepts.
        binary: the entries of an observation that the game declares binary.
        held_out: the episodes that are not for training.
        most_held_out: the number of held-out episodes that are read, the first ones.
        folder: a folder on the disk that arrays too large for memory lie on.

    Returns:
        The episodes. The training arrays have a row for each episode of the dataset,
        so that their shapes do not depend on `held_out`.

    Raises:
        ValueError: the arrays fit neither into memory nor on the disk; or a part
            differs from the manifest.
    """
    mask = np.array(binary.reshape(-1))
    mask[-1] &= not mask.all()  # programs of JAX do not map over empty arrays
    packed, whole = _Layout(mask), _Layout(None)
    size, plain_size = (
        _episode_bytes(layout.specs(store.manifest))
        for layout in (packed, whole)
    )
    layouts = (packed, whole) if 2 * size <= plain_size else (whole,)
    for layout in layouts:
        place = _places(held_out, most_held_out)
        loaded = _load(store, layout, place, folder)
        if loaded is not None:
            return loaded
    raise AssertionError  # whole observations can always be kept


def _places(
    held_out: Bool[np.ndarray, " E"], most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return [E] the row of each episode in the training and in the held-out arrays.

    It is -1 in the other arrays.
    """
    places = []
    for chosen in (~held_out, held_out & (np.cumsum(held_out) <= most)):
        place = np.where(chosen, np.cumsum(chosen) - 1, -1)
        places.append(place)
    return places[0], places[1]


def _load(
    store: Store,
    layout: _Layout,
    places: tuple[np.ndarray, np.ndarray],
    folder: Path,
) -> Loaded | None:
    """Return what `load` returns; None if the observations do not have the layout."""
    manifest, specs = store.manifest, layout.specs(store.manifest)
    counts = [int((place >= 0).sum()) for place in places]
    sizes = manifest.episodes, counts[1]
    where = _room(store, sum(sizes) * _episode_bytes(specs), folder)
    sets = [
        _padded(specs, size, count, where)
        for size, count in zip(sizes, counts, strict=True)
    ]
    names = [n for n in rows.schema(manifest).names if n not in UNREAD]
    for table in store.tables(names):
        columns = layout.parts(rows.columns_of(table))
        if columns is None:
            return None
        for arrays, place in zip(sets, places, strict=True):
            _fill(arrays, columns, place)
    for arrays, count in zip(sets, counts, strict=True):
        rows.finish({name: x[:count] for name, x in arrays.items()})
    training, held_out = (layout.episodes(x, manifest) for x in sets)
    return Loaded(training, counts[0], held_out)


def _episode_bytes(specs: dict[str, rows.ArraySpec]) -> int:
    return sum(
        math.prod(spec.shape) * spec.dtype.itemsize for spec in specs.values()
    )


def _room(store: Store, size: int, folder: Path) -> Path | None:
    """Return the folder whose disk has room for arrays; None if memory has.

    Raises:
        ValueError: neither has, or a device of its own has too little memory.
    """
    count = store.manifest.episodes
    device = free_device_memory()
    if device is not None and size > DEVICE_FRACTION * device:
        fits = int(DEVICE_FRACTION * device / size * count)
        raise ValueError(
            f"{store.path}: episodes={count:,}: expected at most {fits:,} on this "
            f"device: they take {size_text(size)}, and {size_text(device)} are free. "
            "Train on the CPU, which maps files into memory (JAX_PLATFORMS=cpu), or "
            "collect fewer episodes"
        )
    memory, disk = free_memory(), free_disk(folder)
    if size <= MEMORY_FRACTION * memory:
        return None
    if device is None and size <= disk - DISK_MARGIN:
        log.info(
            "%s: %s of data are mapped from a file, as %s of memory are free",
            store.path,
            size_text(size),
            size_text(memory),
        )
        return folder
    most = max(MEMORY_FRACTION * memory, disk - DISK_MARGIN, 0)
    raise ValueError(
        f"{store.path}: episodes={count:,}: expected at most "
        f"{int(most / size * count):,}: they take {size_text(size)}; "
        f"{size_text(memory)} of memory and {size_text(disk)} on the disk of {folder} "
        "are free. Free some, write the run to a larger disk (--out), or collect "
        "fewer episodes"
    )


def _padded(
    specs: dict[str, rows.ArraySpec],
    size: int,
    count: int,
    folder: Path | None,
) -> rows.Columns:
    """Return arrays of `size` rows: `count` rows of padding, then empty rows."""
    arrays = {}
    for name, (shape, dtype, padding) in specs.items():
        array = new_array((size, *shape), dtype, folder)
        if padding:  # pages of zeros take no memory before they are written
            array[:count] = padding
        if name == "action":
            array[count:] = ABSENT
        arrays[name] = array
    return arrays


def _fill(
    arrays: rows.Columns, columns: rows.Columns, place: np.ndarray
) -> None:
    """Write those rows whose episodes have a place into the arrays."""
    row = place[columns["episode"]]
    inside = row >= 0
    if inside.any():
        chosen = {name: x[inside] for name, x in columns.items()}
        rows.fill(arrays, chosen | {"episode": row[inside]})
