"""Damaged files of other programs, which `bestreply data import` reads."""

import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.data.exchange import export_store
from bestreply.data.importing import import_file
from bestreply.data.store import open_store
from bestreply.data.validate import validate
from experiments.faults import mutate
from experiments.faults.inputs_data import parquet
from experiments.faults.registry import kind
from experiments.faults.samples import Samples
from experiments.faults.verdicts import Trial, expect

_made: dict[Path, dict[str, bytes]] = {}


def _files(samples: Samples) -> dict[str, bytes]:
    """Return the dataset of the samples, exported, and as a dataset of Minari."""
    if samples.scratch not in _made:
        folder = samples.lay("exported", samples.dataset)
        store, files = open_store(folder), {}
        for name in ("a.npz", "a.parquet"):
            path = export_store(store, samples.scratch / name)
            files[name] = path.read_bytes()
        _made[samples.scratch] = files | _minari()
    return _made[samples.scratch]


def _minari() -> dict[str, bytes]:
    """Return the files of a dataset of Minari of one agent."""
    size, facts = 4, {"total_episodes": 2, "data_format": "parquet"}
    spaces = {
        "observation_space": {"type": "Box", "shape": [2], "dtype": "float32"},
        "action_space": {"type": "Discrete", "n": 2, "start": 0},
    }
    facts |= {name: json.dumps(value) for name, value in spaces.items()}
    files = {"m/metadata.json": json.dumps(facts).encode()}
    for e in range(2):
        ends = pa.array(np.arange(size) == size - 2)
        observations = np.arange(2.0 * size, dtype=np.float32)
        table = pa.table(
            {
                "observations": pa.FixedSizeListArray.from_arrays(
                    observations, 2
                ),
                "actions": pa.array(np.arange(size) % 2),
                "rewards": pa.array(np.ones(size)),
                "terminations": ends,
                "truncations": pa.array(np.zeros(size, bool)),
            }
        )
        files[f"m/{e}/part.parquet"] = parquet(table)
    return files


def _import(samples: Samples, name: str, files: dict[str, bytes]) -> str:
    """Import a file; a dataset that results is valid, a refusal leaves none."""
    folder = samples.lay("imports", files)
    out = folder / "out"
    try:
        store = import_file(folder / name, out=out)
    except BaseException:
        expect(not out.exists(), "a refused file left a dataset")
        raise
    problems = validate(out)
    expect(not problems, f"an invalid dataset was written: {problems[:1]}")
    expect(store.manifest.episodes > 0, "a dataset without episodes")
    return "other"


@kind(4)
def npz_bytes(draw: Random, samples: Samples) -> Trial:
    """Damaged bytes of an exported .npz file."""
    data = mutate.damaged(draw, _files(samples)["a.npz"])
    return Trial(
        f"a.npz: {len(data)} bytes",
        lambda: _import(samples, "a.npz", {"a.npz": data}),
    )


@kind(6)
def npz_arrays(draw: Random, samples: Samples) -> Trial:
    """An .npz file whose arrays differ in values, types and shapes."""
    with np.load(io.BytesIO(_files(samples)["a.npz"])) as archive:
        arrays = dict(archive)
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice(sorted(arrays))
        changed = _changed(draw, arrays[name])
        if changed is None:
            del arrays[name]
        else:
            arrays[name] = changed
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            inner = io.BytesIO()
            np.save(inner, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", inner.getvalue())
    data = buffer.getvalue()
    shown = {name: f"{a.dtype}{a.shape}" for name, a in arrays.items()}
    return Trial(
        f"a.npz: {shown}",
        lambda: _import(samples, "a.npz", {"a.npz": data}),
    )


def _changed(draw: Random, array: np.ndarray) -> Any:
    """Return an array of other values, or of another type or shape; None: without it."""
    flat = array.reshape(-1)
    if array.dtype.kind in "biuf" and flat.size and draw.random() < 0.5:
        values = array.astype(float)
        place = draw.randrange(values.size)
        worst = (np.nan, np.inf, -1.0, 2.0, 1e300, -(2.0**40), 0.5)
        values.reshape(-1)[place] = draw.choice(worst)
        return values
    options = [
        None,
        flat[:0],
        array[:-1] if array.ndim else flat,
        array[..., None],
        array.astype(object),
        array.astype("U20"),
        np.array([{"a": 1}], object),
        np.zeros(3, "M8[s]"),
        np.zeros(2, complex),
    ]
    return draw.choice(options)


@kind(4)
def parquet_bytes(draw: Random, samples: Samples) -> Trial:
    """Damaged bytes of an exported Parquet file."""
    data = mutate.damaged(draw, _files(samples)["a.parquet"])
    return Trial(
        f"a.parquet: {len(data)} bytes",
        lambda: _import(samples, "a.parquet", {"a.parquet": data}),
    )


@kind(6)
def parquet_table(draw: Random, samples: Samples) -> Trial:
    """An exported Parquet file with other columns, types or entries."""
    table = pq.read_table(io.BytesIO(_files(samples)["a.parquet"]))
    if draw.random() < 0.5:  # as another program would write it
        table = table.replace_schema_metadata(None)
    rows = mutate.table(draw, table)
    data = parquet(rows)
    return Trial(
        f"a.parquet: {rows.schema} {len(rows)} rows",
        lambda: _import(samples, "a.parquet", {"a.parquet": data}),
    )


@kind(4)
def minari_folder(draw: Random, samples: Samples) -> Trial:
    """A dataset of Minari with other metadata, or a damaged table."""
    files = {k: v for k, v in _files(samples).items() if k.startswith("m/")}
    name = draw.choice(sorted(files))
    if name.endswith(".json"):
        raw = mutate.tree(draw, json.loads(files[name]))
        files[name] = mutate.json_bytes(draw, raw)
    else:
        table = pq.read_table(io.BytesIO(files[name]))
        whole = draw.random() < 0.5
        damaged = mutate.damaged(draw, files[name])
        files[name] = parquet(mutate.table(draw, table)) if whole else damaged
    return Trial(
        f"{name}: {files[name][:300]!r}",
        lambda: _import(samples, "m", files),
    )
