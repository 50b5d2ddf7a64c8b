"""The commands that import and export datasets, and what they say about wrong words."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bestreply.cli.main import main
from bestreply.data.arrays import store_from_arrays
from bestreply.data.store import open_store


def bestreply(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["bestreply", *map(str, words)])
    main()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shape = (3, 4, 2)
    store = store_from_arrays(
        np.arange(48.0).reshape(3, 4, 2, 2),
        np.ones(shape, int),
        np.zeros(shape),
        np.broadcast_to(np.arange(4) == 3, (3, 4)),
        path=tmp_path / "data",
    )
    return store.path


@pytest.mark.parametrize("name", ["play.npz", "play.parquet"])
def test_out_and_in_again(tmp_path, monkeypatch, capsys, data, name):
    file, again = tmp_path / name, tmp_path / "again"
    bestreply(monkeypatch, "data", "export", data, file)
    bestreply(monkeypatch, "data", "import", file, "--out", again)
    assert capsys.readouterr().out.split() == [str(file), str(again)]
    one, other = open_store(data), open_store(again)
    assert one.table().equals(other.table())
    assert one.manifest.identity == other.manifest.identity


def test_columns_of_other_names(tmp_path, monkeypatch, data):
    rows = open_store(data).table(
        ["episode", "step", "seat", "action", "reward"]
    )
    rows = rows.append_column("x", pa.array(np.arange(len(rows)) / 2))
    rows = rows.append_column("y", pa.array(np.zeros(len(rows))))
    rows = rows.append_column("done", pa.array(np.asarray(rows["step"]) == 3))
    rows = rows.rename_columns({"seat": "agent"})
    pq.write_table(rows, tmp_path / "logs.parquet")
    columns = "--columns", "seat=agent", "obs=x,y", "terminated=done"
    out = tmp_path / "again"
    file = tmp_path / "logs.parquet"
    bestreply(monkeypatch, "data", "import", file, *columns, "--out", out)
    game = open_store(out).game()
    assert game.obs_shape == (2,) and game.num_players == 2


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (
            ["import", "a.csv"],
            1,
            "path=a.csv: expected a file .npz or .parquet",
        ),
        (["import", "a.npz"], 1, "No such file or directory"),
        (["import", "a.npz", "--columns", "x"], 2, "expected NAME=COLUMN"),
        (["import", "a.npz", "--columns", "x=y"], 1, "expected a Parquet file"),
        (["export", "none", "a.npz"], 1, "there is no manifest.json"),
    ],
)
def test_what_is_refused(tmp_path, monkeypatch, capsys, words, status, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        bestreply(monkeypatch, "data", *words)
    text = " ".join([str(end.value), capsys.readouterr().err])
    assert message in " ".join(text.split())
    assert "Traceback" not in text
    assert status in (end.value.code, 1)
