"""Datasets of an unfriendly author: sizes are refused before memory is taken, and nothing waits."""

import json
import os
import resource
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_episodes import Toy, random_episodes, roster

from bestreply.data import reading
from bestreply.data.store import create_store, open_store
from bestreply.data.validate import validate
from bestreply.utils import untrusted
from bestreply.utils.files import sha256

PART = "part-00000.parquet"
GAME = Toy(seats=2, shape=(2,), actions=3, max_steps=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dataset = create_store(tmp_path / "data", GAME, roster())
    dataset.append(random_episodes(GAME, 3, 0), seed=0)
    return dataset.path


def change(folder: Path, **fields: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, value in fields.items():
        if name in manifest["parts"][0]:
            manifest["parts"][0][name] = value
        if name in manifest["totals"]:
            manifest["totals"][name] = value
        if name in manifest:
            manifest[name] = value
    path.write_text(json.dumps(manifest))


def replace(folder: Path, table: pa.Table, **settings: Any) -> None:
    pq.write_table(table, folder / PART, **settings)
    change(folder, sha256=sha256(folder / PART))


def refusal(folder: Path) -> str:
    """Return why the dataset cannot be read; neither reader takes memory for it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((ValueError, OSError)) as error:
        open_store(folder).episodes()
    assert validate(folder)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 200_000  # kB
    return str(error.value)


# -- sizes -------------------------------------------------------------------------

SIZES = {
    "max_steps": 2**31 - 1,
    "num_players": 2**15 - 1,
    "obs_shape": [2**31 - 1],
    "actions": [str(i) for i in range(100_000)],
    "episodes": 10**12,
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_compared_with_the_files_before_memory_is_taken(
    folder: Path, name: str
) -> None:
    change(folder, **{name: SIZES[name]})
    assert any(word in refusal(folder) for word in ("expected", "column"))


IMPOSSIBLE = [0, -1, 2**63, 10**400, True, 2.5, "4", None, [4], {"n": 4}]


@pytest.mark.parametrize("name", ["max_steps", "num_players", "rows", "steps"])
def test_a_size_is_a_whole_number(folder: Path, name: str) -> None:
    good = (folder / "manifest.json").read_text()
    for value in IMPOSSIBLE:
        (folder / "manifest.json").write_text(good)
        change(folder, **{name: value})
        with pytest.raises(ValueError, match=f"{name}="):
            open_store(folder)


def test_the_memory_needed_and_free_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "free_memory", lambda: 1000)
    with pytest.raises(
        ValueError, match=r"free memory, 1\.0 kB; .* takes \d\.\d kB"
    ):
        open_store(folder).episodes()
    monkeypatch.undo()
    monkeypatch.setattr(reading, "SMALL", 0)
    monkeypatch.setattr(reading, "MAX_PADDING", 1)
    with pytest.raises(ValueError, match="expected max_steps of at most"):
        open_store(folder).episodes()
    assert validate(folder)[0].kind == "too_large"


def test_few_bytes_that_stand_for_many_rows_are_not_read(folder: Path) -> None:
    """Run-length encoding: 20 million equal rows are some kilobytes."""
    table = open_store(folder).table()
    kinds = {"reward": pa.float32(), "goal_source": pa.string()}
    count = 20_000_000
    small = {"reward": 0.0, "goal_source": "x" * 100_000}
    bomb = pa.table(
        {
            name: pa.DictionaryArray.from_arrays(
                np.zeros(count, np.int8), pa.array([small[name]], kind)
            )
            for name, kind in kinds.items()
        }
    )
    path = folder / "bomb.parquet"
    pq.write_table(bomb, path)
    assert path.stat().st_size < 2_000_000
    from bestreply.utils.parquet import read_table

    with pytest.raises(ValueError, match="reading it takes"):
        read_table(path, pa.schema([("goal_source", pa.string())]))
    assert len(table)


# -- files -------------------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # names of sockets are short
        server.bind(path.name)


KINDS = {
    "pipe": fifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "socket": unix_socket,
    "nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("name", ["manifest.json", PART])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_refused_at_once(
    folder: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / name).unlink()
    KINDS[kind](folder / name)
    text = refusal(folder)
    assert name in text
    if kind in ("pipe", "folder", "device", "socket"):
        assert f"not a {kind}" in text


CONTENTS = {
    "empty": b"",
    "magic": b"PAR1",
    "both": b"PAR1\xff\xff\xff\x7fPAR1",
    "zip": b"PK\x03\x04" + bytes(100),
    "csv": b"episode,step\n0,0\n",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_a_part_of_another_format_is_refused(
    folder: Path, content: str
) -> None:
    (folder / PART).write_bytes(CONTENTS[content])
    change(folder, sha256=sha256(folder / PART))
    assert PART in refusal(folder)
    assert validate(folder)[0].kind == "unreadable"


def test_every_cut_and_every_byte_of_the_footer(folder: Path) -> None:
    """A damaged part is refused, or read as it was where the change has no effect."""
    data = (folder / PART).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        (folder / PART).write_bytes(bytes(changed))
        change(folder, sha256=sha256(folder / PART))
        try:
            open_store(folder).episodes()
        except ValueError as error:
            assert PART in str(error) or str(folder) in str(error)
        validate(folder)


NAMES = [
    "../part-00000.parquet",
    "/etc/passwd",
    "part-00000.parquet/..",
    "part-0.parquet",
    "part-00000.parquet\n",
    "part-٠٠٠٠٠.parquet",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_part_lies_outside_the_folder(folder: Path, name: str) -> None:
    change(folder, file=name)
    with pytest.raises(ValueError, match="in the dataset's own folder"):
        open_store(folder)


# -- JSON --------------------------------------------------------------------------

DOCUMENTS = {
    "deep": (
        '"settings": {}',
        '"settings": {"a": ' + "[" * 60_000 + "]" * 60_000 + "}",
    ),
    "digits": ('"max_steps": 4', '"max_steps": ' + "9" * 5000),
    "infinite": ('"max_steps": 4', '"max_steps": 1e999'),
    "nan": ('"settings": {}', '"settings": {"a": NaN}'),
    "infinite setting": ('"settings": {}', '"settings": {"a": 1e999}'),
    "name twice": ('"max_steps": 4', '"max_steps": 4, "max_steps": 5'),
    "half a character": ('"settings": {}', '"settings": {"a": "\\ud800"}'),
    "actions twice": ('"A1"', '"A0"'),
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_manifest_that_readers_would_disagree_on_is_refused(
    folder: Path, document: str
) -> None:
    path = folder / "manifest.json"
    old, new = DOCUMENTS[document]
    manifest = json.loads(path.read_text())
    manifest["game"]["settings"] = {}
    text = json.dumps(manifest)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"manifest\.json"):
        open_store(folder)
    assert [p.kind for p in validate(folder)] == ["bad_manifest"]


def test_a_manifest_of_any_editor_is_read(folder: Path) -> None:
    path = folder / "manifest.json"
    text = path.read_text()
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
        assert open_store(folder).manifest.episodes == 3
    path.write_bytes(text.replace("A0", "Ä").encode("latin-1"))
    with pytest.raises(ValueError, match="expected UTF-8 text; line"):
        open_store(folder)


# -- values ------------------------------------------------------------------------

VALUES = {
    "action": (3, "a legal action"),
    "goal": (7, "an index into the goals"),
    "reward": (float("inf"), "a finite number"),
    "prob": (2.0, "above 0 and at most 1"),
    "step": (4, "below max_steps"),
    "seat": (-1, "below num_players"),
    "episode": (3, "a number below the episodes"),
    "players": ([0, 9], "indices into the roster"),
    "others": ([9], "actions of the manifest"),
    "goal_source": ("\x1b[31m", "none, event or no_event"),
    "obs": ([0.0, float("nan")], "finite numbers"),
}


@pytest.mark.parametrize("name", VALUES)
def test_readers_refuse_values_that_no_game_has(
    folder: Path, name: str
) -> None:
    value, expected = VALUES[name]
    table = open_store(folder).table()
    rows = table.to_pylist()
    rows[2][name] = value
    replace(folder, pa.Table.from_pylist(rows, table.schema))
    message = rf"{PART}, row 2: {name}=.*expected .*{expected}"
    dataset = open_store(folder)
    for read in (
        dataset.episodes,
        dataset.table,
        lambda: dataset.table([name]),
    ):
        with pytest.raises(ValueError, match=message):
            read()
    if name not in ("obs", "prob", "others", "step"):
        with pytest.raises(ValueError, match=message):
            dataset.summary()
    assert any("row 2" in p.where and name in p.what for p in validate(folder))
