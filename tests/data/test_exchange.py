"""Files for other programs and of them: an equal dataset after a way out and back, and hostile files."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_episodes import Toy, random_episodes, roster

from bestreply.collect import collect
from bestreply.data.exchange import (
    FACTS,
    export_store,
    import_npz,
    import_parquet,
)
from bestreply.data.importing import import_file
from bestreply.data.store import Store, create_store
from bestreply.data.validate import validate
from bestreply.games import GAMES, make_game
from bestreply.replay.moa_buffer import Index, fill, gather
from bestreply.utils import untrusted

GAME = Toy(seats=3, shape=(2, 2), actions=4, max_steps=4)


@pytest.fixture
def store(tmp_path: Path, monkeypatch) -> Store:
    monkeypatch.setitem(GAMES, "toy", "made_episodes:Toy")
    store = create_store(tmp_path / "data", GAME, roster())
    for seed in (0, 1):
        store.append(random_episodes(GAME, 5, seed), seed=seed)
    return store


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize("name", ["play.npz", "play.parquet"])
def test_export_then_import_gives_equal_data(tmp_path, store, name):
    path = export_store(store, tmp_path / name)
    again = import_file(path, out=tmp_path / "again")
    assert again.manifest.identity == store.manifest.identity
    one, two = store.episodes(), again.episodes()
    for field in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


def test_a_seat_that_is_cut_off_alone_is_stored_and_exchanged(tmp_path):
    """It has a next observation; the game goes on, and is not truncated there."""
    game = make_game("pettingzoo:tests.zoo_envs:Relay")
    store = collect(game, ["random"] * 3, 3, seed=0, path=tmp_path / "data")
    assert validate(store.path) == []
    assert store.summary()["truncated"] == 1  # by the step limit
    play = store.episodes()
    assert np.asarray(play.present)[:, 3].tolist() == [[False, False, True]] * 3
    assert not play.terminated[:, :, 1].any()  # runner 1: cut off at step 3
    assert np.argwhere(play.truncated)[:, 1].tolist() == [4] * 3
    last = gather(fill(play), Index(*(np.array([x]) for x in (0, 2, 1))))
    assert not last.terminated.any() and last.next_obs.any()
    for name in ("play.npz", "play.parquet"):
        path = export_store(store, tmp_path / name)
        again = import_file(
            path, out=tmp_path / f"again_{name}", allow_import=["tests"]
        ).episodes()
        for field in play.__dataclass_fields__:
            one, two = getattr(play, field), getattr(again, field)
            np.testing.assert_array_equal(one, two)


def test_two_players_of_one_name_stay_two(tmp_path, store):
    twice = [{"name": "a", "version": k} for k in (1, 2)] + roster()[2:]
    other = create_store(tmp_path / "b", GAME, twice)
    other.append(random_episodes(GAME, 5, 0), seed=0)
    for name in ("play.npz", "play.parquet"):
        path = export_store(other, tmp_path / name)
        again = import_file(path, out=tmp_path / f"again_{name}")
        assert again.roster == other.roster
        players = again.episodes().player
        np.testing.assert_array_equal(players, other.episodes().player)


def test_a_file_names_a_game_that_it_may_not_import(tmp_path, store):
    path = export_store(store, tmp_path / "play.npz")
    arrays = arrays_of(path)
    facts = json.loads(str(arrays[FACTS]))
    facts["game"]["name"] = "os:system"
    np.savez(path, **arrays | {FACTS: np.array(json.dumps(facts))})
    with pytest.raises(ValueError, match="--allow-import os"):
        import_npz(path, out=tmp_path / "again")
    assert import_npz(path, game=GAME, out=tmp_path / "again").game() == GAME


def test_a_plain_npz_of_another_program(tmp_path):
    path = tmp_path / "logs.npz"
    given = {
        "observations": np.zeros((6, 2, 3)),
        "actions": np.ones((6, 2), int),
        "rewards": np.ones(6),
        "terminals": np.arange(6) % 3 == 2,
        "players": np.array(["ann", "bob"]),
        "action_names": np.array(["x", "y"]),
        "further": np.array([{}], object),  # never opened
    }
    np.savez(path, **given)
    store = import_npz(path, out=tmp_path / "data")
    assert store.game().action_names == ("x", "y")
    assert [p["name"] for p in store.roster] == ["ann", "bob"]
    assert store.manifest.episodes == 2


def test_arrays_that_are_not_read_are_named(tmp_path, caplog):
    plain = {name: np.zeros((2, 3, 1)) for name in ("rewards", "terminals")}
    plain |= {
        "actions": np.zeros((2, 3, 1), int),
        "observations": np.zeros((2, 4, 1, 2)),
    }
    path = tmp_path / "logs.npz"
    np.savez(path, **plain, weather=np.zeros(3))
    import_npz(path, out=tmp_path / "a")
    assert "not read: ['weather']" in caplog.text
    np.savez(path, **plain, legals=np.ones((2, 3, 1, 2), bool))
    with pytest.raises(ValueError, match="'legals': did you mean 'legal'"):
        import_npz(path, out=tmp_path / "b")


def npz(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy(values: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, **settings)
    return buffer.getvalue()


PLAIN = {
    "observations": npy(np.zeros((2, 2, 1))),
    "actions": npy(np.zeros((2, 2), int)),
    "rewards": npy(np.zeros((2, 2))),
    "terminals": npy(np.ones(2, bool)),
}
HEADER = npy(np.zeros((2, 2, 1))).replace(b"(2, 2, 1)", b"(9999, 2)")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": npy(np.array([{}]), allow_pickle=True)}, "not unpickled"),
        ({"observations": HEADER}, "as many entries as the file holds"),
        ({"rewards": b"\x93NUMPY\x09\x09"}, "expected an array of NumPy"),
        ({"rewards": npy(np.zeros(2, "M8[s]"))}, "expected numbers, booleans"),
        (
            {
                "players": npy(np.array(["a", "b"])).replace(
                    b"a\0\0\0", b"\xff" * 4
                )
            },
            "whole characters",
        ),
        ({"actions": None}, "expected an array 'actions'"),
        ({FACTS: npy(np.array("{"))}, "expected JSON"),
        ({FACTS: npy(np.array('{"format": 1}'))}, "expected format 1"),
        ({FACTS: npy(np.zeros(0))}, "expected"),
    ],
)
def test_a_hostile_npz_is_refused(tmp_path, changes, message):
    members = {k: v for k, v in (PLAIN | changes).items() if v is not None}
    path = npz(tmp_path / "a.npz", members)
    with pytest.raises(ValueError, match=message) as error:
        import_npz(path, out=tmp_path / "data")
    assert str(error.value).startswith(str(path))
    assert not (tmp_path / "data").exists()


def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(
    tmp_path, monkeypatch, store
):
    paths = [
        export_store(store, tmp_path / f"a.{k}") for k in ("npz", "parquet")
    ]
    monkeypatch.setattr(untrusted, "free_memory", lambda: 100)
    for path in paths:
        with pytest.raises(
            ValueError, match="expected at most the free memory"
        ):
            import_file(path, out=tmp_path / "data")


def test_damaged_bytes_are_refused(tmp_path, store):
    for kind in ("npz", "parquet"):
        path = export_store(store, tmp_path / f"a.{kind}")
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match="expected a"):
            import_file(path, out=tmp_path / "data")


def test_parquet_of_another_program(tmp_path):
    rows = [
        {"game": e, "t": t, "obs": [e, t], "a": 0, "r": 1, "done": t == 1}
        for e in range(3)
        for t in range(2)
    ]
    path = tmp_path / "logs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    columns = {
        "episode": "game",
        "step": "t",
        "action": "a",
        "reward": "r",
        "terminated": "done",
    }
    store = import_parquet(path, columns, out=tmp_path / "data")
    assert store.manifest.episodes == 3 and store.game().num_players == 1
    with pytest.raises(ValueError, match="expected 'episode' once"):
        import_parquet(path, out=tmp_path / "b")


def test_other_files_and_folders_are_refused(tmp_path, store):
    for name in ("a.csv", "a"):
        (tmp_path / name).write_text("1")
        with pytest.raises(ValueError, match=r"expected a file \.npz or"):
            import_file(tmp_path / name)
    with pytest.raises(ValueError, match=r"expected a file \.npz or"):
        import_file(store.path)
    with pytest.raises(ValueError, match=r"ends in \.npz or"):
        export_store(store, tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"columns=.*expected a Parquet file"):
        import_file(tmp_path / "a.npz", columns={"obs": "x"})
