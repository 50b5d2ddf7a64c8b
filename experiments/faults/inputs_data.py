"""Damaged datasets: manifests, Parquet bytes, tables."""

import contextlib
import hashlib
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.cli.output import say
from bestreply.data.manifest import read_manifest
from bestreply.data.store import open_store
from bestreply.data.validate import validate
from bestreply.utils.untrusted import read_json
from experiments.faults import mutate
from experiments.faults.registry import kind
from experiments.faults.samples import Samples, no_regular_file
from experiments.faults.verdicts import Trial, expect


def same(one: Any, two: Any) -> bool:
    """Return whether two JSON values say the same; 1 and 1.0 do, 1 and True do not.

    Args:
        one: a value; tuples count as lists.
        two: another.
    """
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(
            same(one[key], two[key]) for key in one
        )
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, bool) != isinstance(two, bool):
        return False
    numbers = [value for value in (one, two) if isinstance(value, int | float)]
    if len(numbers) == 2 and any(isinstance(n, float) for n in numbers):
        with contextlib.suppress(OverflowError):
            return float(numbers[0]) == float(numbers[1])
    return one == two


def parquet(rows: pa.Table) -> bytes:
    """Return a table as the bytes of a Parquet file.

    Args:
        rows: the table.
    """
    for fields in (rows.schema, [f.with_nullable(True) for f in rows.schema]):
        with contextlib.suppress(pa.ArrowException, ValueError):
            buffer = io.BytesIO()
            pq.write_table(rows.cast(pa.schema(fields)), buffer)
            return buffer.getvalue()
    return b"PAR1"  # a table that Parquet cannot hold


def read_dataset(folder: Path, samples: Samples) -> str:
    """Read a dataset in every way; rows must be those of the sample.

    Args:
        folder: the dataset.
        samples: the files that were damaged.
    """
    problems = validate(folder)
    say(*map(str, problems))
    store = open_store(folder)
    say(store.describe())
    episodes = store.episodes()
    expect(not problems or problems[0] is not None, "no problem is shown")
    expect(store.table().equals(samples.table), "other rows than were written")
    expect(len(episodes.length) == 8, "other episodes than were written")
    store.game()
    raw = read_json(folder / "manifest.json")
    return "equal" if same(raw, samples.manifest) else "other"


@kind(6)
def manifest(draw: Random, samples: Samples) -> Trial:
    """A manifest whose values differ, or whose bytes are damaged."""
    raw = mutate.tree(draw, samples.fresh_manifest())
    data = mutate.json_bytes(draw, raw)

    def read() -> str:
        folder = samples.lay("d", samples.dataset | {"manifest.json": data})
        found, problems = read_manifest(folder)
        if found is not None and not problems:
            text = read_json(folder / "manifest.json")
            known = {key: text[key] for key in found.to_json()}
            kept = found.to_json()
            for key in ("parts", "totals"):  # further keys are allowed there
                del known[key], kept[key]
            expect(same(known, kept), "the manifest reads as another one")
        return read_dataset(folder, samples)

    return Trial(f"manifest.json: {data[:400]!r}", read)


@kind(4)
def part_bytes(draw: Random, samples: Samples) -> Trial:
    """Damaged bytes of a part under the checksum of the whole one."""
    data = mutate.damaged(draw, samples.dataset[samples.part])

    def read() -> str:
        files = samples.dataset | {samples.part: data}
        return read_dataset(samples.lay("d", files), samples)

    return Trial(f"{samples.part}: {len(data)} bytes", read)


def _with_part(samples: Samples, data: bytes, counts: dict) -> dict[str, bytes]:
    """Return the dataset with another part, under its own checksum and counts."""
    manifest = samples.fresh_manifest()
    part = manifest["parts"][0]
    part["sha256"] = hashlib.sha256(data).hexdigest()
    part |= counts
    manifest["totals"]["rows"] = sum(p["rows"] for p in manifest["parts"])
    return samples.dataset | {
        "manifest.json": json.dumps(manifest).encode(),
        samples.part: data,
    }


def _read_foreign(folder: Path) -> str:
    """Read a dataset by somebody else: valid or refused, in any case as it says."""
    problems = validate(folder)
    say(*map(str, problems))
    store = open_store(folder)
    say(store.describe())
    episodes = store.episodes()
    rows = store.table()
    expect(bool(problems) or len(rows) == store.manifest.rows, "rows were lost")
    expect(len(episodes.length) == store.manifest.episodes, "other episodes")
    return "other"


@kind(4)
def part_of_a_stranger(draw: Random, samples: Samples) -> Trial:
    """Damaged Parquet bytes under their own checksum: only the reader can refuse them."""
    data = mutate.damaged(draw, samples.dataset[samples.part])

    def read() -> str:
        return _read_foreign(samples.lay("d", _with_part(samples, data, {})))

    return Trial(f"{samples.part}: {len(data)} bytes, own checksum", read)


@kind(8)
def part_table(draw: Random, samples: Samples) -> Trial:
    """A part with other columns, types or entries, under its own checksum."""
    rows = mutate.table(draw, samples.rows)
    data = parquet(rows)
    counts = {"rows": max(1, len(rows))} if draw.random() < 0.7 else {}

    def read() -> str:
        return _read_foreign(
            samples.lay("d", _with_part(samples, data, counts))
        )

    return Trial(f"{samples.part}: {rows.schema} {len(rows)} rows", read)


@kind(1)
def dataset_without_a_file(draw: Random, samples: Samples) -> Trial:
    """A pipe, a folder, a device or nothing in place of a file."""
    name = draw.choice(sorted(samples.dataset))
    seed = draw.random()

    def read() -> str:
        folder = samples.lay("d", samples.dataset)
        no_regular_file(Random(seed), folder / name, samples.device)
        return read_dataset(folder, samples)

    return Trial(f"{name}: no regular file ({seed})", read)
