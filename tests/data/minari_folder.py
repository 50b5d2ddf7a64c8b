"""A dataset of Minari as it lies on disk, written without Minari."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def space(kind: str, **facts: object) -> dict[str, object]:
    return {"type": kind, **facts}


SPACES = {
    "observation_space": space(
        "Dict",
        subspaces={
            "a": space("Box", shape=[2], dtype="float32"),
            "b": space("Box", shape=[3], dtype="float32"),
        },
    ),
    "action_space": space(
        "Dict",
        subspaces={
            "a": space("Discrete", n=2, start=0),
            "b": space("Discrete", n=3, start=1),
        },
    ),
}


def write_minari(folder: Path, episodes: int = 3, steps: int = 4) -> Path:
    """Write episodes of two agents in Minari's layout of Parquet files."""
    data = folder / "data"
    rng = np.random.default_rng(0)
    for e in range(episodes):
        size = steps + 1  # actions and flags are padded to the observations
        ends = np.arange(size) == steps - 1
        columns = {
            "observations": {
                "a": pa.FixedSizeListArray.from_arrays(
                    rng.normal(size=2 * size).astype("f4"), 2
                ),
                "b": pa.FixedSizeListArray.from_arrays(
                    rng.normal(size=3 * size).astype("f4"), 3
                ),
            },
            "actions": {
                "a": pa.array(rng.integers(0, 2, size)),
                "b": pa.array(rng.integers(1, 4, size)),
            },
            "infos": {
                "rewards": {
                    "a": pa.array(np.arange(size, dtype=float)),
                    "b": pa.array(-np.arange(size, dtype=float)),
                }
            },
        }
        plain = {
            "rewards": np.ones(size),
            "terminations": ends & (e > 0),
            "truncations": ends & (e == 0),
        }
        arrays = {k: _struct(v) for k, v in columns.items()}
        arrays |= {k: pa.array(v) for k, v in plain.items()}
        (data / str(e)).mkdir(parents=True)
        pq.write_table(pa.table(arrays), data / str(e) / "part-0.parquet")
        (data / str(e) / "metadata.json").write_text("{}")
    facts = {"total_episodes": episodes, "data_format": "parquet"}
    facts |= {name: json.dumps(value) for name, value in SPACES.items()}
    (data / "metadata.json").write_text(json.dumps(facts))
    return folder


def _struct(parts: dict) -> pa.StructArray:
    arrays = [_struct(v) if isinstance(v, dict) else v for v in parts.values()]
    return pa.StructArray.from_arrays(arrays, list(parts))
