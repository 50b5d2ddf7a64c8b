"""Collect: what a store holds after play, and what it refuses."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from bestreply import collect, make_game, open_store
from bestreply.data.validate import validate

PAYOFFS = np.random.default_rng(0).normal(size=(3, 2, 2, 2)).round(2)
GAME = make_game("matrix", payoffs=PAYOFFS.tolist(), rounds=3)
PLAYERS = ["random", "always_c", "tit_for_tat"]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    seeds = {"a": 4, "b": 4, "c": 5}
    stores = [
        collect(GAME, PLAYERS, 6, seed, path=tmp_path / name)
        for name, seed in seeds.items()
    ]
    a, b, c = ((s.path / "part-00000.parquet").read_bytes() for s in stores)
    assert a == b != c
    a, b, c = (s.fingerprint for s in stores)
    assert a == b != c


def test_a_second_collection_appends(tmp_path):
    path = tmp_path / "data"
    collect(GAME, PLAYERS, 6, 0, path=path, command="one")
    collect(GAME, PLAYERS[::-1], 6, 1, path=path, append=True, command="two")
    store = open_store(path)
    assert [(p.episodes, p.seed, p.command) for p in store.manifest.parts] == [
        (6, 0, "one"),
        (6, 1, "two"),
    ]
    assert [p["name"] for p in store.roster] == PLAYERS
    player = store.episodes().player  # by name, not by place
    assert player.tolist() == [[0, 1, 2]] * 6 + [[2, 1, 0]] * 6
    with pytest.raises(ValueError, match=r"lists the players .*always\(1\)"):
        collect(GAME, ["always(1)", *PLAYERS[1:]], 3, 2, path=path, append=True)
    with pytest.raises(ValueError, match="game setting rounds"):
        other = dataclasses.replace(GAME, rounds=2)
        collect(other, PLAYERS, 3, 2, path=path, append=True)


def test_nothing_is_added_without_being_asked_for(tmp_path):
    path = tmp_path / "data"
    collect(GAME, PLAYERS, 6, 0, path=path)
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(FileExistsError, match=r"6 episodes.*--append"):
        collect(GAME, PLAYERS, 6, 1, path=path)
    with pytest.raises(ValueError, match="seed=0: expected a seed without"):
        collect(GAME, PLAYERS, 3, 0, path=path, append=True)
    assert (path / "manifest.json").read_bytes() == before


def test_play_that_fails_leaves_no_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = sys.modules["bestreply.collect"]
    monkeypatch.setattr(module, "play_pieces", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect(GAME, PLAYERS, 6, 0, path=tmp_path / "a" / "data")
    with pytest.raises(KeyboardInterrupt):
        collect(GAME, PLAYERS, 6, 0)
    assert not list(tmp_path.glob("*/*"))


def _interrupted(*_, **__):
    raise KeyboardInterrupt


def test_validate_names_parts_with_the_same_episodes(tmp_path):
    path = tmp_path / "data"
    store = collect(GAME, PLAYERS, 6, 0, path=path)
    store.append(store.episodes(), seed=None)
    collect(GAME, PLAYERS, 6, 1, path=path, append=True)
    assert validate(path) == []
    facts = json.loads((path / "manifest.json").read_text())
    facts["parts"][1]["seed"] = 0
    (path / "manifest.json").write_text(json.dumps(facts))
    (problem,) = validate(path)
    assert problem.kind == "equal_parts"
    assert "same 6 episodes as part-00000.parquet" in problem.what
    facts["parts"][1]["seed_episode"] = 6
    (path / "manifest.json").write_text(json.dumps(facts))
    assert validate(path) == []


def test_later_players_can_be_listed_from_the_start(tmp_path):
    later = [{"name": "always_d", "version": 1}]
    store = collect(GAME, PLAYERS, 6, 0, path=tmp_path / "data", roster=later)
    assert [p["name"] for p in store.roster] == [*PLAYERS, "always_d"]


def test_the_default_path_is_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [collect(GAME, PLAYERS, 6, 0).path for _ in range(2)]
    assert [str(p) for p in paths] == [
        "datasets/matrix-0001",
        "datasets/matrix-0002",
    ]


def test_a_host_game_is_collected_like_a_compiled_one(tmp_path):
    game = make_game("openspiel:matrix_rps")
    store = collect(game, ["random", "random"], 40, 3, path=tmp_path / "rps")
    episodes = store.episodes()
    one, other = episodes.action[:, 0].T
    wins = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])[one, other]
    assert np.array_equal(episodes.reward[:, 0], np.stack([wins, -wins], 1))
    assert episodes.terminated[:, 0].all()
    assert len(set(zip(one.tolist(), other.tolist(), strict=True))) == 9
