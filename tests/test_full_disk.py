"""A full disk: the error names the file, no temporary file is left, and what was there stays."""

import contextlib
import os

import numpy as np
import pyarrow as pa
import pytest

from bestreply.data.store import create_store
from bestreply.games import make_game
from bestreply.scores.returns import SCHEMA, Scores
from bestreply.training.event_file import EventFile, rewrite
from bestreply.training.metrics_log import MetricsLog
from bestreply.utils.checkpoint import list_checkpoints, save_checkpoint
from bestreply.utils.files import write_json, write_text
from tests.shared import played

resource = pytest.importorskip("resource")
CHICKEN = "matrix(table=chicken, rounds=4)"
PLAYERS = ("always_c", "always_d")


@contextlib.contextmanager
def at_most(size):
    """Let no file grow beyond `size` bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def append(folder, count):
    roster = [{"name": name, "version": 1} for name in PLAYERS]
    path = folder / "data"
    store = create_store(path, make_game(CHICKEN), roster, append=True)
    store.append(played(CHICKEN, PLAYERS, 8, count), seed=count)


def checkpoint(folder, count):
    save_checkpoint(folder, count, {"a": np.full(4096, count, np.float32)})


def metrics(folder, count):
    log = MetricsLog(folder, 100, {"world": 10**6})
    try:
        log.write("world", count, {f"world/{n}": 0.5 for n in range(2000)})
        log.flush()
    finally:
        log.release()


def scores(folder, count):
    row = {
        "method": "a",
        "opponents": "b",
        "seed": 0,
        "episode": 0,
        "seat": 0,
        "length": 4,
        "return": 1.5,
    }
    rows = [row | {"return": float(n)} for n in range(2000)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    Scores(table, {"seed": count}).save(folder / "scores.parquet")


def text(folder, count):
    write_text(folder / "report.html", f"{count}" * 9000)


def document(folder, count):
    write_json(folder / "diagnostics.json", {"numbers": [count] * 9000})


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (append, "data/part-"),
        (checkpoint, "000000002.safetensors"),
        (metrics, "tensorboard/events"),
        (scores, "scores.parquet"),
        (text, "report.html"),
        (document, "diagnostics.json"),
    ],
)
def test_a_full_disk_names_the_file_and_keeps_what_was_there(
    tmp_path, write, name
):
    write(tmp_path, 1)
    before = contents(tmp_path)
    with pytest.raises(OSError, match="File too large") as error, at_most(2500):
        write(tmp_path, 2)
    assert str(error.value.filename).startswith(str(tmp_path / name))
    after = contents(tmp_path)
    new = {path for path in after if path not in before}
    assert {path: after[path] for path in before} == before
    # A log that grows is the only file that may hold a part.
    assert all(path.startswith("tensorboard/events") for path in new)
    write(tmp_path, 2)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_event_files_are_replaced_whole_or_not_at_all(tmp_path):
    events = EventFile(tmp_path)
    events.write({"a": 1.0}, 1)
    events.close()
    before = contents(tmp_path)
    rows = [{"name": "a", "value": 1.0, "env_steps": n} for n in range(500)]
    with pytest.raises(OSError, match="File too large"), at_most(2500):
        rewrite(tmp_path, rows)
    assert contents(tmp_path) == before
    rewrite(tmp_path, rows)
    assert len(os.listdir(tmp_path)) == 1


def test_older_checkpoints_stay_on_a_full_disk(tmp_path):
    checkpoint(tmp_path, 1)
    checkpoint(tmp_path, 2)
    with pytest.raises(OSError, match="File too large"), at_most(2500):
        checkpoint(tmp_path, 3)
    assert list_checkpoints(tmp_path) == [1, 2]
