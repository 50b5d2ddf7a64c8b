"""Damaged runs: configuration, provenance, scores, metrics, tables of results, checkpoints."""

import contextlib
import csv
import io
import json
import struct
import sys
from pathlib import Path
from random import Random
from typing import Any

import jax
import numpy as np
import pyarrow.parquet as pq

from bestreply.cli.output import say, show
from bestreply.config import RunConfig, to_dict
from bestreply.data.store import open_store
from bestreply.pipeline import config_for_data
from bestreply.report import (
    summary_table,
    write_report,
    write_report_over_runs,
)
from bestreply.report.run_files import read_run
from bestreply.report.verdict_text import sentence, verdict_table
from bestreply.run import load_run
from bestreply.scores.compare import compare, read_group
from bestreply.scores.result_files import load_results
from bestreply.scores.returns import Scores
from bestreply.scores.run_table import (
    results_table,
    sweep_results,
)
from bestreply.utils.checkpoint import save_checkpoint
from bestreply.utils.untrusted import read_json
from experiments.faults import mutate
from experiments.faults.inputs_data import parquet, same
from experiments.faults.inputs_text import merged
from experiments.faults.registry import kind
from experiments.faults.samples import (
    NEWER,
    OLDER,
    Samples,
    no_regular_file,
    train_state,
)
from experiments.faults.verdicts import Lost, Trial, expect, no_markup


def changed_file(draw: Random, name: str, data: bytes) -> bytes:
    """Return a JSON or Parquet file with changed values or damaged bytes.

    Args:
        draw: source of the draws.
        name: name of the file.
        data: its bytes.
    """
    if draw.random() < 0.25:
        return mutate.damaged(draw, data)
    if name.endswith(".json"):
        return mutate.json_bytes(draw, mutate.tree(draw, json.loads(data)))
    rows = pq.read_table(io.BytesIO(data))
    if draw.random() < 0.3 and rows.schema.metadata:
        facts = json.loads(rows.schema.metadata[b"provenance"])
        text = mutate.json_bytes(draw, mutate.tree(draw, facts))
        return parquet(rows.replace_schema_metadata({"provenance": text}))
    return parquet(mutate.table(draw, rows))


def one_file(
    draw: Random, samples: Samples, names: tuple[str, ...]
) -> tuple[str, dict[str, bytes]]:
    """Return a run with one damaged file, and the file's name.

    Args:
        draw: source of the draws.
        samples: the files to damage.
        names: the files that may be damaged.
    """
    name = draw.choice([n for n in names if n in samples.run])
    data = changed_file(draw, name, samples.run[name])
    return name, samples.run | {name: data}


@kind(5)
def run_opened(draw: Random, samples: Samples) -> Trial:
    """A run whose configuration or provenance differs, opened for its networks."""
    name, files = one_file(draw, samples, ("config.json", "provenance.json"))

    def read() -> str:
        folder = samples.lay("r", files)
        run = load_run(folder)
        with contextlib.suppress(ValueError):
            run.player()
        given = read_json(folder / "config.json")
        expected = merged(to_dict(RunConfig()), given)
        expect(same(to_dict(run.config), expected), "another configuration")
        return "other"

    return Trial(f"{name}: {files[name][:800]!r}", read)


@kind(4)
def run_reported(draw: Random, samples: Samples) -> Trial:
    """A run with a damaged file, reported: no markup of a name stands in the page."""
    name = draw.choice(sorted(samples.reported))
    data = changed_file(draw, name, samples.reported[name])
    files = samples.reported | {name: data}
    lang = draw.choice(("en", "zh"))
    over_many = draw.random() < 0.2

    def read() -> str:
        folder = samples.lay("r", files)
        read_run(folder)
        no_markup(write_report(folder, lang).read_text("utf-8"))
        with contextlib.suppress(ValueError, OSError):
            show(summary_table(folder, lang))
        if over_many:
            page, plain = write_report_over_runs([folder], lang, out=folder)
            no_markup(page.read_text("utf-8"))
            plain.read_text("utf-8")
        return "other"

    return Trial(f"{name}: {files[name][:800]!r}", read)


@kind(5)
def scores_file(draw: Random, samples: Samples) -> Trial:
    """Scores with other columns, entries, bytes or facts, read in every way."""
    name, files = one_file(draw, samples, ("scores.parquet",))

    def read() -> str:
        folder = samples.lay("r", files)
        Scores.load(folder / name)
        rows = sweep_results([folder.parent / "r"])
        show(results_table(rows))
        groups = [read_group(f"{m}={folder}:{m}") for m in ("agent", "random")]
        for group in groups:
            for seed in group.seeds:
                values = list(seed.mean.values())
                expect(bool(np.isfinite(values).all()), f"mean {values}")
        verdicts = compare(groups)
        show(verdict_table(verdicts))
        say(*map(sentence, verdicts))
        return "other"

    return Trial(f"{name}: {files[name][:100]!r}", read)


CANARY = "faults_canary"
"""A module beside the files; no file may make the library import it."""


def _named(draw: Random, value: Any) -> Any:
    """Return a JSON value in which one text is a name that imports the canary."""
    holder = [json.loads(json.dumps(value))]
    places = [
        (parent, key)
        for parent, key in mutate.places(holder)
        if isinstance(parent[key], str)
    ]
    parent, key = draw.choice(places)
    names = (f"{CANARY}:Game", f"{CANARY}:Game()", f"noisy({CANARY}:Game, 0.1)")
    parent[key] = draw.choice((*names, f"pettingzoo:{CANARY}:Game"))
    return holder[0]


@kind(4)
def code_of_a_file(draw: Random, samples: Samples) -> Trial:
    """A file that names a module beside it: opening it imports nothing."""
    files = {f"R/{name}": data for name, data in samples.run.items()}
    files |= {f"D/{name}": data for name, data in samples.dataset.items()}
    name = draw.choice(
        ("R/config.json", "R/provenance.json", "D/manifest.json")
    )
    changed = _named(draw, json.loads(files[name]))
    files |= {name: json.dumps(changed).encode(), f"{CANARY}.py": b""}
    how = draw.randrange(3)

    def read() -> str:
        root = samples.lay("i", files)
        try:
            with contextlib.chdir(root):
                _open_all(how)
        finally:
            expect(CANARY not in sys.modules, "a file had code imported")
        return "other"

    return Trial(f"{name}: {files[name][:1200]!r}", read)


def _open_all(how: int) -> None:
    """Read a run and a dataset of the current folder, as a command does."""
    if how == 0:
        load_run("R").player()
    elif how == 1:
        store = open_store("D")
        store.describe()
        config_for_data(RunConfig(), store)
    else:
        write_report("R")
        read_group("R")


# -- tables of results -----------------------------------------------------------


def _rows() -> list[dict[str, Any]]:
    """Return a table of results of two methods and two seeds."""
    return [
        {
            "folder": f"runs/{method}",
            "run": str(seed),
            "game": "matrix(table=chicken, rounds=3)",
            "game_version": 1,
            "seed": seed,
            "method": "agent",
            "opponents": opponents,
            "episodes": 6,
            "mean": 1.5 + seed + len(method),
            "stderr": 0.1,
            "share": "",
            "reference": "",
            "env_steps": 24,
            "seconds": 1.0,
            "git_revision": "unknown",
        }
        for method in ("ours", "iql")
        for seed in (0, 1)
        for opponents in ("1 always_c", "1 random")
    ]


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


TABLE = _csv(_rows())


@kind(6)
def table_of_results(draw: Random, samples: Samples) -> Trial:
    """A CSV table given to compare; accepted means are those in the table."""
    rows = _rows()
    how = draw.randrange(4)
    if how == 0:
        text = mutate.text(draw, (TABLE,))
    else:
        row = draw.choice(rows)
        name = draw.choice(sorted(row))
        row[name] = draw.choice((mutate.nasty(draw), "", "1e400", "0x10"))
        text = _csv(rows)
    data = text.encode("utf-8", "surrogatepass")
    if how == 1:
        data = mutate.damaged(draw, data)

    def read() -> str:
        file = samples.lay("t", {"table.csv": data}) / "table.csv"
        found = load_results(file)
        show(results_table(found))
        groups = [read_group(f"{m}={file}:{m}") for m in ("ours", "iql")]
        for group in groups:
            for seed in group.seeds:
                expect(isinstance(seed.seed, int), f"seed {seed.seed!r}")
                for value in seed.mean.values():
                    expect(_is_finite(value), f"mean {value!r}")
        verdicts = compare(groups)
        show(verdict_table(verdicts))
        say(*map(sentence, verdicts))
        return "other"

    return Trial(repr(data[:1500]), read)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


@kind(3)
def group(draw: Random, samples: Samples) -> Trial:
    """A group argument of compare."""
    texts = ("ours=R", "R:agent", "a=R:random", "R/*", "t=T.csv:ours", "[R]")
    text = mutate.text(draw, texts)

    def read() -> str:
        files = {f"R/{name}": data for name, data in samples.run.items()}
        root = samples.lay("g", files | {"T.csv": TABLE.encode()})
        with contextlib.chdir(root):
            found = read_group(text)
        expect(len(found.seeds) > 0, "a group without seeds")
        return "other"

    return Trial(text, read)


@kind(1)
def run_without_a_file(draw: Random, samples: Samples) -> Trial:
    """A pipe, a folder, a device or nothing in place of a run's file."""
    name = draw.choice(sorted(samples.run))
    seed = draw.random()
    which = draw.randrange(3)

    def read() -> str:
        folder = samples.lay("r", samples.run)
        no_regular_file(Random(seed), folder / name, samples.device)
        if which == 0:
            load_run(folder)
        elif which == 1:
            write_report(folder)
        else:
            read_group(str(folder))
        return "other"

    return Trial(f"{name}: no regular file ({seed}), reader {which}", read)


# -- checkpoints -----------------------------------------------------------------

NAMES = {
    "older": f"checkpoints/{OLDER:09d}.safetensors",
    "newer": f"checkpoints/{NEWER:09d}.safetensors",
}


def parts_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and arrays of a safetensors file.

    Args:
        data: the file.
    """
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: Any, arrays: bytes, size: int | None = None) -> bytes:
    """Return a safetensors file.

    Args:
        header: its header, any JSON value.
        arrays: the bytes after it.
        size: the size that it gives for the header; None: the true one.
    """
    text = json.dumps(header).encode()
    return (
        struct.pack("<Q", len(text) if size is None else size) + text + arrays
    )


def damaged_checkpoint(draw: Random, data: bytes) -> bytes:
    """Return a checkpoint with damaged bytes, or another header.

    Args:
        draw: source of the draws.
        data: the whole checkpoint.
    """
    header, arrays = parts_of(data)
    how = draw.randrange(10)
    if how < 4:
        return mutate.damaged(draw, data)
    if how == 4:  # two arrays of one size exchanged
        names = [name for name in header if name != "__metadata__"]
        one, two = draw.sample(names, 2)
        header[one], header[two] = header[two], header[one]
        return with_header(header, arrays)
    if how == 5:
        name = draw.choice([n for n in header if n != "__metadata__"])
        kinds = ("F16", "BF16", "F64", "I32", "U8", "BOOL", "F8_E4M3", "X")
        header[name]["dtype"] = draw.choice(kinds)
        return with_header(header, arrays)
    if how == 6:
        sizes = (0, 1, 2**31, 2**40, 2**63, 2**64 - 1)
        return with_header(header, arrays, draw.choice(sizes))
    if how == 7:
        name = draw.choice([n for n in header if n != "__metadata__"])
        shape = draw.choice(([2**40], [0], [-1], [1] * 300, [2**62, 4]))
        header[name]["shape"] = shape
        return with_header(header, arrays)
    return with_header(mutate.tree(draw, header), arrays)


@kind(6, is_checkpoint=True)
def checkpoint(draw: Random, samples: Samples) -> Trial:
    """One of two checkpoints damaged: the run opens with the other one, bit for bit."""
    which = draw.choice(("newer", "newer", "newer", "older"))
    name = NAMES[which]
    data = damaged_checkpoint(draw, samples.run[name])

    def read() -> str:
        return _opened(samples, samples.lay("k", samples.run | {name: data}))

    return Trial(f"{name}: {len(data)} bytes, {data[:300]!r}", read)


@kind(2, is_checkpoint=True)
def both_checkpoints(draw: Random, samples: Samples) -> Trial:
    """Both checkpoints damaged: refused, or one of them bit for bit."""
    files = {
        name: damaged_checkpoint(draw, samples.run[name])
        for name in NAMES.values()
    }

    def read() -> str:
        try:
            return _opened(samples, samples.lay("k", samples.run | files))
        except Lost as error:
            raise (error.__cause__ or error) from None

    return Trial(f"{[d[:200] for d in files.values()]}", read)


@kind(1, is_checkpoint=True)
def checkpoint_of_another_kind(draw: Random, samples: Samples) -> Trial:
    """A pipe, a folder, a device or nothing in place of the newer checkpoint."""
    seed = draw.random()

    def read() -> str:
        folder = samples.lay("k", samples.run)
        no_regular_file(Random(seed), folder / NAMES["newer"], samples.device)
        return _opened(samples, folder)

    return Trial(f"the newer checkpoint: no regular file ({seed})", read)


@kind(1, is_checkpoint=True)
def checkpoint_of_other_numbers(draw: Random, samples: Samples) -> Trial:
    """A whole checkpoint of other shapes: refused, since it is no damage."""
    shapes = samples.shapes
    leaves, structure = jax.tree.flatten(shapes)
    place = draw.randrange(len(leaves))
    leaf = leaves[place]
    shape = draw.choice(((*leaf.shape, 2), (3,), ()))
    kind = draw.choice((np.float32, np.float16, np.int32, np.bool_))
    leaves[place] = jax.ShapeDtypeStruct(shape, kind)
    fits = shape == samples.shapes and kind == leaf.dtype

    def read() -> str:
        folder = samples.lay("k", samples.run)
        state = train_state(jax.tree.unflatten(structure, leaves), 7)
        save_checkpoint(folder / "checkpoints", 9, state)
        run = load_run(folder)
        found = [(x.shape, x.dtype) for x in jax.tree.leaves(run.train_state)]
        expected = [(x.shape, x.dtype) for x in jax.tree.leaves(shapes)]
        expect(found == expected and not fits, "arrays of another shape")
        return "other"

    return Trial(f"array {place}: {kind} {shape}, was {leaf}", read)


def _opened(samples: Samples, folder: Path) -> str:
    """Open a run whose two checkpoints hold known numbers."""
    try:
        state = load_run(folder).train_state
    except (ValueError, OSError) as error:
        raise Lost(f"refused beside a whole checkpoint: {error}") from error
    for step in (NEWER, OLDER):
        if _equal(state, train_state(samples.shapes, step)):
            return "equal" if step == NEWER else "other"
    expect(False, "the networks are those of no checkpoint")
    return "equal"


def _equal(one: Any, two: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(
        a.dtype == b.dtype and np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in pairs
    )
