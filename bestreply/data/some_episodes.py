"""Some episodes of a dataset, without the memory that all would take."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from bestreply.data import rows
from bestreply.data.reading import check_size

if TYPE_CHECKING:
    from bestreply.data.store import Store
    from bestreply.types import Episodes


def read_episodes(store: "Store", wanted: Bool[np.ndarray, " E"]) -> "Episodes":
    """Return some episodes of a dataset, in its order.

    Args:
        store: the dataset.
        wanted: the episodes to read, at least one.

    Raises:
        ValueError: a part differs from the manifest, or the episodes do not fit into
            memory.
    """
    from bestreply.types import Episodes

    known = store.manifest
    part = dataclasses.replace(
        known.parts[0], episodes=int(wanted.sum()), rows=known.rows
    )
    manifest = dataclasses.replace(known, parts=(part,))
    check_size(manifest, f"{part.episodes} episodes of {store.path}")
    number = np.cumsum(wanted) - 1
    arrays = rows.empty_arrays(manifest)
    for table in store.tables(rows.schema(known).names):
        episode = table["episode"].to_numpy()
        kept = wanted[episode]
        if kept.any():
            columns = rows.columns_of(table.filter(pa.array(kept)))
            columns["episode"] = number[columns["episode"]]
            rows.fill(arrays, columns)
    rows.finish(arrays)
    return Episodes(**arrays)
