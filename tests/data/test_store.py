"""Datasets on disk: episodes are read as they were written, and writes are atomic."""

import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_episodes import (
    OBS_VALUES,
    Toy,
    TypedToy,
    assert_same_play,
    random_episodes,
    roster,
)

from bestreply.data import row_checks, rows, store
from bestreply.data.store import create_store, open_store
from bestreply.data.validate import validate
from bestreply.games import GAMES, make_game
from bestreply.types import Episodes
from bestreply.utils import files


@pytest.fixture
def toy() -> Toy:
    return Toy()


def joined(*parts: Episodes) -> Episodes:
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


# -- types of observations ---


@pytest.mark.parametrize("dtype", OBS_VALUES)
def test_observations_keep_the_type_of_the_game(
    tmp_path: Path, dtype: str
) -> None:
    game = TypedToy(dtype=dtype)
    episodes = random_episodes(game, 7, 0)
    written = create_store(tmp_path, game, roster())
    written.append(episodes, seed=0)
    assert validate(tmp_path) == []
    found = open_store(tmp_path)
    assert found.episodes().obs.dtype == np.dtype(dtype)
    assert_same_play(found.episodes(), episodes)
    column = found.table(["obs"])["obs"].type.value_type
    assert column == pa.from_numpy_dtype(np.dtype(dtype))


def test_a_manifest_names_only_a_type_that_older_ones_cannot_have(
    tmp_path: Path,
) -> None:
    create_store(tmp_path / "old", TypedToy(dtype="float32"), roster())
    create_store(tmp_path / "new", TypedToy(dtype="uint8"), roster())
    old, new = (
        json.loads((tmp_path / name / "manifest.json").read_text())
        for name in ("old", "new")
    )
    assert "obs_dtype" not in old
    assert new["obs_dtype"] == "uint8"
    new["obs_dtype"] = "complex64"
    (tmp_path / "new" / "manifest.json").write_text(json.dumps(new))
    with pytest.raises(ValueError, match="obs_dtype='complex64': expected one"):
        open_store(tmp_path / "new")


def test_a_type_that_no_dataset_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="obs_dtype=float64: expected one of"):
        create_store(tmp_path, TypedToy(dtype="float64"), roster())


def test_observations_that_the_type_does_not_hold_are_refused(
    tmp_path: Path,
) -> None:
    game = TypedToy(dtype="uint8")
    episodes = random_episodes(game, 2, 0)
    wrong = np.asarray(episodes.obs, np.float32)
    wrong[0, 0, 0] = 0.5
    episodes = dataclasses.replace(episodes, obs=wrong)
    with pytest.raises(
        ValueError, match=r"0.5 at .*expected values that uint8"
    ):
        create_store(tmp_path, game, roster()).append(episodes, seed=0)


def test_a_dataset_of_floats_serves_a_game_that_has_another_type_now(
    tmp_path: Path,
) -> None:
    create_store(tmp_path, TypedToy(dtype="float32"), roster())
    settings = json.loads((tmp_path / "manifest.json").read_text())
    settings["game"]["settings"]["dtype"] = "uint8"
    (tmp_path / "manifest.json").write_text(json.dumps(settings))
    game = TypedToy(dtype="uint8")
    assert open_store(tmp_path).game(game) == game
    again = create_store(tmp_path, game, roster(), append=True)
    again.append(random_episodes(game, 2, 0), seed=0)
    assert open_store(tmp_path).episodes().obs.dtype == np.float32


# -- parts that are written and read in pieces ---


def test_a_part_does_not_depend_on_how_its_episodes_are_added(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK_VALUES", 5 * 4 * 3 * 2)  # 5 episodes
    episodes = random_episodes(toy, 23, 0)
    whole = create_store(tmp_path / "whole", toy, roster())
    whole.append(episodes, seed=0, seconds=1.5)
    pieces = create_store(tmp_path / "pieces", toy, roster())
    with pieces.new_part(23, seed=0) as part:
        for begin, end in itertools.pairwise((0, 1, 4, 17, 23)):
            part.add(jax.tree.map(lambda x, b=begin, e=end: x[b:e], episodes))
        part.seconds = 1.5
    one, other = whole.manifest.parts[0], pieces.manifest.parts[0]
    assert dataclasses.replace(one, created=other.created) == other
    assert whole.fingerprint == pieces.fingerprint
    with pq.ParquetFile(pieces.path / other.file) as file:
        groups = file.metadata.num_row_groups
    assert groups == 5


def test_a_part_with_another_number_of_episodes_is_not_appended(
    tmp_path: Path, toy: Toy
) -> None:
    written = create_store(tmp_path, toy, roster())
    with (
        pytest.raises(ValueError, match="episodes=5: 3 were added"),
        written.new_part(5, seed=0) as part,
    ):
        part.add(random_episodes(toy, 3, 0))
    assert [p.name for p in tmp_path.glob("*.parquet")] == []
    assert open_store(tmp_path).manifest.parts == ()


def test_a_part_is_validated_in_pieces_with_the_same_result(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK_VALUES", 1)  # an episode in a row group
    written = create_store(tmp_path, toy, roster())
    written.append(random_episodes(toy, 40, 0), seed=0)
    checked = []

    def check_rows(found: dict[str, np.ndarray], *rest: Any) -> int:
        checked.append(len(found["episode"]))
        return row_checks.check_rows(found, *rest)

    module = sys.modules["bestreply.data.validate"]
    monkeypatch.setattr(module, "check_rows", check_rows)
    monkeypatch.setattr(module, "CHECKED_ROWS", 50)
    assert validate(tmp_path) == []
    assert len(checked) > 3 and sum(checked) == written.manifest.rows
    path = tmp_path / "part-00000.parquet"
    table = pq.read_table(path)
    reward = table["reward"].to_numpy().copy()
    reward[200] = np.inf
    place = table.schema.get_field_index("reward")
    column = pa.array(reward, pa.float32())
    pq.write_table(
        table.set_column(place, table.schema.field(place), column),
        path,
        row_group_size=30,
    )
    in_pieces = list(map(str, validate(tmp_path)))
    monkeypatch.setattr(module, "CHECKED_ROWS", 1 << 19)
    assert in_pieces == list(map(str, validate(tmp_path)))
    assert any("row 200" in problem for problem in in_pieces)


# -- round trips ---------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    seats=st.integers(1, 4),
    shape=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    actions=st.integers(1, 5),
    max_steps=st.integers(1, 6),
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    chunk=st.sampled_from([1, 20, 1 << 23]),
)
def test_appended_episodes_are_read_unchanged_and_valid(
    seed: int,
    seats: int,
    shape: tuple[int, ...],
    actions: int,
    max_steps: int,
    counts: list[int],
    chunk: int,
) -> None:
    game = Toy(seats, shape, actions, max_steps)
    parts = [
        random_episodes(game, count, seed + k) for k, count in enumerate(counts)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(
            rows, "CHUNK_VALUES", chunk
        )  # several row groups in a part
        written = create_store(folder, game, roster())
        for part in parts:
            first = written.manifest.episodes
            written.append(part, seed=seed, seed_episode=first)
        assert validate(folder) == []
        loaded = open_store(folder).episodes()
    assert loaded.action.shape == (sum(counts), max_steps, seats)
    assert_same_play(loaded, joined(*parts))
    assert loaded.legal.any(-1).all()
    padding = np.arange(max_steps + 1) > np.asarray(loaded.length)[:, None]
    assert not loaded.present[padding].any() and not loaded.obs[padding].any()


def test_episodes_shorter_than_the_game_are_padded_to_it(
    tmp_path: Path, toy: Toy
) -> None:
    short = random_episodes(toy, 5, 0, steps=2)
    written = create_store(tmp_path, toy, roster())
    written.append(short, seed=0)
    loaded = written.episodes()
    assert loaded.obs.shape == (5, toy.max_steps + 1, 3, 2)
    assert_same_play(loaded, short)


def test_episodes_of_a_real_game_are_read_unchanged(tmp_path: Path) -> None:
    game = make_game(
        "stag_hunt", height=3, width=3, hunters=3, hares=2, max_steps=6
    )
    play = play_stag_hunt(game, 8)
    assert (
        play.terminated.any() and play.truncated.any()
    )  # hunters leave, and time runs out
    written = create_store(tmp_path / "new" / "deeper", game, roster())
    written.append(play, seed=7, command="by hand")
    assert_same_play(written.episodes(), play)
    assert open_store(tmp_path / "new" / "deeper").game() == game
    assert validate(tmp_path / "new" / "deeper") == []


def play_stag_hunt(game, count: int) -> Episodes:
    """Return random legal play, stepped one episode at a time."""
    rng, step = (
        np.random.default_rng(0),
        jax.jit(type(game).step, static_argnums=0),
    )
    played = random_episodes(
        game, count, 0
    )  # shapes, and arrays independent of the rules
    e_arrays = {
        f.name: np.array(getattr(played, f.name))
        for f in dataclasses.fields(Episodes)
    }
    e_arrays["action"][:], e_arrays["goal"][:] = -1, -1
    for name in ("terminated", "truncated", "present", "reward"):
        e_arrays[name][:] = 0
    for e in range(count):
        state, shown = game.reset(jax.random.key(e))
        for t in range(game.max_steps + 1):
            for name in ("obs", "legal", "present"):
                e_arrays[name][e, t] = getattr(shown, name)
            if np.all(shown.terminated) or shown.truncated:
                break
            choice = [
                rng.choice(np.flatnonzero(mask))
                for mask in np.asarray(shown.legal)
            ]
            e_arrays["action"][e, t] = np.where(shown.present, choice, -1)
            present = np.asarray(shown.present)
            state, shown = step(
                game, state, np.array(choice), jax.random.key(t)
            )
            e_arrays["reward"][e, t] = np.where(present, shown.reward, 0)
            e_arrays["terminated"][e, t] = shown.terminated
            e_arrays["truncated"][e, t] = shown.truncated
            e_arrays["length"][e] = t + 1
    return Episodes(**e_arrays)


def test_an_empty_dataset_is_valid(tmp_path: Path, toy: Toy) -> None:
    created = create_store(tmp_path, toy, roster())
    assert validate(tmp_path) == []
    assert created.episodes().obs.shape == (0, 5, 3, 2)
    assert created.table().num_rows == 0
    assert "0 episodes" in created.describe()


# -- files on disk -----------------------------------------------------------------------------------


def two_seats() -> tuple[Toy, Episodes]:
    """Return an episode of two seats and three steps; seat 1 leaves after the first step."""
    game = Toy(seats=2, shape=(1,), actions=3, max_steps=3)
    t, s = np.arange(4)[:, None], np.arange(2)[None, :]
    return game, Episodes(
        obs=(10.0 * s + t).astype(np.float32)[None, ..., None],
        legal=np.ones((1, 4, 2, 3), bool),
        present=np.array([[[1, 1], [1, 0], [1, 0], [1, 0]]], bool),
        action=np.array([[[0, 2], [1, -1], [2, -1]]], np.int32),
        prob=np.array(
            [[[0.5, np.nan], [1.0, np.nan], [0.25, np.nan]]], np.float32
        ),
        reward=np.array([[[0, 5], [0, 0], [1, 0]]], np.float32),
        terminated=np.array([[[0, 1], [0, 1], [0, 1]]], bool),
        truncated=np.array([[False, False, True]]),
        length=np.array([3], np.int32),
        player=np.array([[2, 0]], np.int32),
        goal=np.array([[[1, 0], [-1, -1], [1, -1]]], np.int32),
        goal_source=np.array([[[2, 1], [0, 0], [2, 0]]], np.int8),
    )


def test_the_rows_are_those_of_the_documented_format(tmp_path: Path) -> None:
    game, play = two_seats()
    create_store(tmp_path, game, roster()).append(play, seed=0)
    table = pq.read_table(tmp_path / "part-00000.parquet")
    assert table.schema.field("obs").type == pa.list_(
        pa.field("element", pa.float32(), nullable=False), 1
    )
    assert table.schema.field("goal_source").type == pa.string()
    assert table.to_pydict() == {
        "episode": [0, 0, 0, 0],
        "step": [0, 0, 1, 2],
        "seat": [0, 1, 0, 0],
        "obs": [[0.0], [10.0], [1.0], [2.0]],
        "legal": [[True] * 3] * 4,
        "present": [[True, True], [True, True], [True, False], [True, False]],
        "action": [0, 2, 1, 2],
        "others": [[2], [0], [-1], [-1]],
        "prob": [0.5, None, 1.0, 0.25],
        "reward": [0.0, 5.0, 0.0, 1.0],
        "next_obs": [[1.0], [11.0], [2.0], [3.0]],
        "next_legal": [[True] * 3] * 4,
        "terminated": [False, True, False, False],
        "truncated": [False, False, False, True],
        "players": [[2, 0], [0, 2], [2, 0], [2, 0]],
        "goal": [1, 0, -1, 1],
        "goal_source": ["no_event", "event", "none", "no_event"],
    }


def test_the_manifest_describes_the_parts(tmp_path: Path, toy: Toy) -> None:
    written = create_store(tmp_path, toy, roster())
    written.append(
        random_episodes(toy, 3, 0), seed=11, command="collect ...", seconds=0.5
    )
    written.append(random_episodes(toy, 2, 1), seed=12)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["game"] == {
        "name": "made_episodes:Toy",
        "version": 3,
        "settings": {
            "seats": 3,
            "shape": [2],
            "actions": 4,
            "max_steps": 4,
            "payoffs": [[1.0, 0.0], [0.5, -1.0]],
        },
    }
    assert manifest["roster"] == roster() and manifest["goals"] == [
        "thing",
        "none",
    ]
    assert [
        (p["file"], p["episodes"], p["first_episode"], p["seed"])
        for p in manifest["parts"]
    ] == [
        ("part-00000.parquet", 3, 0, 11),
        ("part-00001.parquet", 2, 3, 12),
    ]
    assert [p["command"] for p in manifest["parts"]] == ["collect ...", None]
    assert [p["seconds"] for p in manifest["parts"]] == [0.5, None]
    assert written.manifest.rate == manifest["parts"][0]["steps"] / 0.5
    sources = written.table(["goal_source"]).column(0).to_pylist()
    assert (
        sum(p["labelled"] for p in manifest["parts"])
        == sources.count("event")
        > 0
    )
    assert manifest["parts"][1]["sha256"] == files.sha256(
        tmp_path / "part-00001.parquet"
    )
    table = written.table(["episode", "step"])
    assert manifest["totals"] == {
        "parts": 2,
        "episodes": 5,
        "steps": len(set(zip(*table.to_pydict().values(), strict=True))),
        "rows": table.num_rows,
    }


def test_table_returns_the_named_columns(tmp_path: Path, toy: Toy) -> None:
    written = create_store(tmp_path, toy, roster())
    written.append(random_episodes(toy, 3, 0), seed=0)
    assert written.table(["reward", "seat"]).column_names == ["reward", "seat"]
    assert written.table().schema.equals(rows.schema(written.manifest))
    with pytest.raises(
        ValueError, match="columns=rewards: expected names among episode, step"
    ):
        written.table(["rewards"])


def test_game_restores_settings_with_tuples(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GAMES, "toy", "made_episodes:Toy")
    game = Toy(seats=2, payoffs=((2.0,), (3.0,)))
    create_store(tmp_path, game, roster())
    assert open_store(tmp_path).game() == game
    monkeypatch.setattr(Toy, "version", 4)
    with pytest.raises(
        ValueError,
        match="game version: the dataset has 3, the game is 4",
    ):
        open_store(tmp_path).game()


def test_the_fingerprint_depends_on_the_data_alone(
    tmp_path: Path, toy: Toy
) -> None:
    def fingerprint(
        name: str, seed: int = 0, players: int = 3, game: Toy = toy
    ) -> str:
        written = create_store(tmp_path / name, game, roster(players))
        written.append(random_episodes(game, 3, seed), seed=seed, command=name)
        assert written.fingerprint == open_store(tmp_path / name).fingerprint
        return written.fingerprint

    first = fingerprint("a")
    assert first == fingerprint("b")
    other_payoff = dataclasses.replace(toy, payoffs=())
    assert (
        len(
            {
                first,
                fingerprint("c", seed=1),
                fingerprint("d", players=4),
                fingerprint("e", game=other_payoff),
            }
        )
        == 4
    )


def test_the_summary_equals_counts_by_a_loop(tmp_path: Path, toy: Toy) -> None:
    play = random_episodes(toy, 40, 5)
    written = create_store(tmp_path, toy, roster(4))
    written.append(play, seed=5)
    summary = written.summary()
    acted = np.asarray(play.acted)
    for k, player in enumerate(summary["players"]):
        seats = [
            (e, s)
            for e in range(40)
            for s in range(3)
            if play.player[e, s] == k
        ]
        returns = [
            sum(play.reward[e, t, s] for t in range(4) if acted[e, t, s])
            for e, s in seats
        ]
        chosen = [
            play.action[e, t, s]
            for e, s in seats
            for t in range(4)
            if acted[e, t, s]
        ]
        assert player["episodes"] == len(seats) and player[
            "transitions"
        ] == len(chosen)
        by_seat = [
            sum(acted[e, :, s].sum() for e, q in seats if q == s)
            for s in range(3)
        ]
        assert player["transitions_by_seat"] == by_seat
        if seats:
            assert player["mean_return"] == pytest.approx(
                np.mean(returns), abs=1e-6
            )
            assert player["actions"]["A2"] == pytest.approx(
                chosen.count(2) / len(chosen)
            )
    assert summary["players"][3]["mean_return"] is None  # no episodes
    labels = [
        (int(play.goal_source[i]), int(play.goal[i]))
        for i in zip(*np.nonzero(acted), strict=True)
    ]
    assert summary["goals"]["event"] == {
        "-": labels.count((1, -1)),
        "thing": labels.count((1, 0)),
        "none": labels.count((1, 1)),
    }
    assert summary["truncated"] == pytest.approx(
        np.mean([play.truncated[e, play.length[e] - 1] for e in range(40)])
    )
    assert summary["terminated"] == pytest.approx(
        np.mean((play.terminated & acted).any(1))
    )
    assert (
        summary["steps"] == play.length.sum()
        and summary["bytes"] == (tmp_path / "part-00000.parquet").stat().st_size
    )
    text = written.describe()
    for fact in (
        "made_episodes:Toy version 3",
        f"{acted.sum():,} transitions",
        "player_2 v2",
        "no_event",
        "40 episodes",
    ):
        assert fact in text


# -- atomic writes -------------------------------------------------------------------------------------


def test_a_crash_between_part_and_manifest_keeps_all_parts(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, lost, second = (random_episodes(toy, n, n) for n in (4, 6, 2))
    written = create_store(tmp_path, toy, roster())
    written.append(first, seed=0)
    before = (tmp_path / "manifest.json").read_bytes()
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(store, "write_json", crash)
            with pytest.raises(KeyboardInterrupt):
                open_store(tmp_path).append(lost, seed=1)
        assert (tmp_path / "part-00001.parquet").exists()  # left over
        assert (tmp_path / "manifest.json").read_bytes() == before
        assert validate(tmp_path) == []
        assert_same_play(open_store(tmp_path).episodes(), first)
    written.append(second, seed=2)
    assert validate(tmp_path) == []
    assert_same_play(open_store(tmp_path).episodes(), joined(first, second))


def test_a_crash_while_a_part_is_written_leaves_no_part(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = create_store(tmp_path, toy, roster())
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            written.append(random_episodes(toy, 4, 0), seed=0)
    (tmp_path / ".part-00000.parquet.12345678.tmp").write_bytes(
        b"written by a killed process"
    )
    assert open_store(tmp_path).episodes().length.shape == (0,)
    written.append(random_episodes(toy, 4, 0), seed=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "manifest.json",
        "part-00000.parquet",
    ]


def crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_parts_of_two_writers_are_kept(tmp_path: Path, toy: Toy) -> None:
    one, other = create_store(tmp_path, toy, roster()), open_store(tmp_path)
    plays = [random_episodes(toy, 3, seed) for seed in range(4)]
    for k, play in enumerate(plays):
        (one, other)[k % 2].append(play, seed=k)
    assert_same_play(open_store(tmp_path).episodes(), joined(*plays))
    assert validate(tmp_path) == []


def test_replacing_keeps_the_old_file_until_the_new_one_is_complete(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old\n")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as beside:
        beside.write_text("half of the ne")
        assert path.read_text() == "old\n"
        crash()
    assert path.read_text() == "old\n" and list(tmp_path.iterdir()) == [path]
    files.write_json(path, {"é": (1, None)})
    assert json.loads(path.read_text("utf-8")) == {"é": [1, None]}
    files.write_json(path, float("nan"))
    assert json.loads(path.read_text("utf-8")) is None
    assert (
        files.sha256(path)
        == files.hashlib.sha256(path.read_bytes()).hexdigest()
    )


# -- errors -----------------------------------------------------------------------------------------


def test_another_game_or_roster_is_an_error_that_names_it(
    tmp_path: Path, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_store(tmp_path, toy, roster()).append(
        random_episodes(toy, 2, 0), seed=0
    )
    with pytest.raises(FileExistsError, match="append=True"):
        create_store(tmp_path, toy, roster())
    assert (
        create_store(tmp_path, toy, roster(), append=True).manifest.episodes
        == 2
    )
    with pytest.raises(
        ValueError,
        match=r"max_steps: the dataset has 4, given is 9(.|\n)*game setting max_steps",
    ):
        create_store(
            tmp_path,
            dataclasses.replace(toy, max_steps=9),
            roster(),
            append=True,
        )
    with pytest.raises(
        ValueError, match=r"game setting payoffs: the dataset has \[\[1.0"
    ):
        create_store(
            tmp_path,
            dataclasses.replace(toy, payoffs=()),
            roster(),
            append=True,
        )
    with pytest.raises(ValueError, match="roster: the dataset has"):
        create_store(tmp_path, toy, roster(2), append=True)
    monkeypatch.setattr(Toy, "version", 5)
    with pytest.raises(
        ValueError, match="game version: the dataset has 3, given is 5"
    ):
        create_store(tmp_path, toy, roster(), append=True)
    assert open_store(tmp_path).manifest.episodes == 2


@pytest.mark.parametrize(
    "bad", [[], [{"name": "x"}], [{"name": 3, "version": 1}]]
)
def test_a_roster_without_names_and_versions_is_an_error(
    tmp_path: Path, toy: Toy, bad: list
) -> None:
    with pytest.raises(ValueError, match="'version': int"):
        create_store(tmp_path, toy, bad)


def changed(play: Episodes, name: str, place: tuple, value: object) -> Episodes:
    array = np.array(getattr(play, name))
    array[place] = value
    return dataclasses.replace(play, **{name: array})


FAULTS = {
    "NaN": ("obs", (0, 1, 0), np.nan, "obs holds NaN"),
    "infinite reward": ("reward", (0, 0, 1), np.inf, "reward=inf"),
    "illegal action": (
        "legal",
        (0, 0, 0, 0),
        False,
        "action=0 .A0.: expected a legal action",
    ),
    "action of a seat that left": (
        "action",
        (0, 1, 1),
        1,
        "step 1, seat 1: action=1, present=False",
    ),
    "no action of a present seat": (
        "action",
        (0, 1, 0),
        -1,
        "step 1, seat 0: action=-1, present=True",
    ),
    "action out of range": (
        "action",
        (0, 1, 0),
        3,
        "action=3: expected an action, 0 to 2",
    ),
    "probability": ("prob", (0, 0, 0), 0, "prob=0.0"),
    "player": ("player", (0, 0), 3, "index into roster"),
    "goal": ("goal", (0, 0, 0), 2, "index into goals"),
    "goal source": (
        "goal_source",
        (0, 0, 0),
        3,
        "goal_source=0 to 3: expected indices",
    ),
    "length": ("length", (0,), 4, "length=4: expected 1 to 3 steps"),
    "shorter": (
        "length",
        (0,),
        2,
        "step 2, seat 0: action=2, present=True, length=2",
    ),
    "truncated early": (
        "truncated",
        (0, 1),
        True,
        "truncated, but the seat has a row",
    ),
    "no end": ("truncated", (0, 2), False, "neither terminated nor truncated"),
    "terminated early": (
        "terminated",
        (0, 1, 0),
        True,
        "terminated, but the seat has a row",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_invalid_episodes_are_not_appended(tmp_path: Path, fault: str) -> None:
    game, play = two_seats()
    name, place, value, message = FAULTS[fault]
    written = create_store(tmp_path, game, roster())
    with pytest.raises(ValueError, match=message):
        written.append(changed(play, name, place, value), seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]
    written.append(play, seed=0)  # the unchanged episodes are valid
    assert validate(tmp_path) == []


def test_episodes_of_another_shape_are_an_error(
    tmp_path: Path, toy: Toy
) -> None:
    written = create_store(tmp_path, toy, roster())
    for other, message in (
        (
            Toy(seats=2),
            r"episodes.action of shape \(3, 4, 2\): expected \(episodes, steps, 3 seats\)",
        ),
        (
            Toy(shape=(2, 1)),
            r"episodes.obs of shape \(3, 5, 3, 2, 1\): expected \(3, 5, 3, 2\)",
        ),
        (
            Toy(actions=5),
            r"episodes.legal of shape \(3, 5, 3, 5\): expected \(3, 5, 3, 4\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            written.append(random_episodes(other, 3, 0), seed=0)
    with pytest.raises(ValueError, match="no episodes"):
        written.append(
            jax.tree.map(lambda x: x[:0], random_episodes(toy, 3, 0)), seed=0
        )


def test_a_changed_part_is_not_read(tmp_path: Path, toy: Toy) -> None:
    written = create_store(tmp_path, toy, roster())
    written.append(random_episodes(toy, 3, 0), seed=0)
    path = tmp_path / "part-00000.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(
        ValueError,
        match=r"expected the checksum in the manifest\. `bestreply data validate",
    ):
        open_store(tmp_path).episodes()
    path.unlink()
    with pytest.raises(ValueError, match=r"part-00000\.parquet is missing"):
        open_store(tmp_path).table()


@pytest.mark.parametrize(
    "name",
    [
        "../x.parquet",
        "/tmp/x.parquet",
        "part-00000.parquet/../../x",
        "x.parquet",
        "..",
    ],
)
def test_a_manifest_cannot_name_files_elsewhere(
    tmp_path: Path, toy: Toy, name: str
) -> None:
    inner = tmp_path / "inner"
    create_store(inner, toy, roster()).append(
        random_episodes(toy, 3, 0), seed=0
    )
    (inner / "part-00000.parquet").rename(
        tmp_path / "x.parquet"
    )  # the file exists and is valid
    manifest = json.loads((inner / "manifest.json").read_text())
    manifest["parts"][0]["file"] = name
    (inner / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="in the dataset's own folder"):
        open_store(inner)


def test_missing_broken_and_newer_manifests_are_errors(
    tmp_path: Path, toy: Toy
) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"there is no manifest\.json in this folder"
    ):
        open_store(tmp_path)
    create_store(tmp_path, toy, roster())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(
        json.dumps({"format": 2, "all": "else is new"})
    )
    with pytest.raises(
        ValueError,
        match=r"format=2: expected at most 1. Update the library",
    ):
        open_store(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest)[:-20])
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        open_store(tmp_path)


def test_a_dataset_without_times_is_read_and_appended_to(
    tmp_path: Path, toy: Toy
) -> None:
    old = create_store(tmp_path, toy, roster())
    old.append(random_episodes(toy, 3, 0), seed=0, seconds=2.0)
    path, fingerprint = tmp_path / "manifest.json", old.fingerprint
    manifest = json.loads(path.read_text())
    for name in ("seconds", "labelled"):
        del manifest["parts"][0][name]
    path.write_text(json.dumps(manifest))
    opened = open_store(tmp_path)
    assert opened.manifest.rate is None and opened.fingerprint == fingerprint
    opened.append(random_episodes(toy, 2, 1), seed=1, seconds=0.25)
    assert opened.manifest.rate == opened.manifest.parts[1].steps / 0.25
    manifest["parts"][0]["seconds"] = -1
    path.write_text(json.dumps(manifest))
    with pytest.raises(
        ValueError,
        match=r"seconds=-1: expected a number, at least 0, or null",
    ):
        open_store(tmp_path)


def test_importing_datasets_does_not_import_jax() -> None:
    code = "import sys, bestreply.data.store, bestreply.data.validate; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
