"""Each fault, planted alone in a valid dataset, is named with its place; a valid dataset has none."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_episodes import Toy, random_episodes, roster

from bestreply.data.problem import SHOWN
from bestreply.data.store import create_store, open_store
from bestreply.data.validate import validate
from bestreply.types import Episodes
from bestreply.utils.files import sha256

GAME = Toy(seats=3, shape=(2,), actions=4, max_steps=4)
PART = "part-00001.parquet"  # the second part, of episodes 2 and 3: where most faults are planted


def whole_episodes() -> Episodes:
    """Two episodes of 4 steps, cut by the limit; seat 1 leaves the second after step 1."""
    counter = np.arange(2 * 5 * 3 * 2, dtype=np.float32).reshape(2, 5, 3, 2)
    present = np.ones((2, 5, 3), bool)
    present[1, 2:, 1] = False
    acted = present[:, :4]
    terminated = np.zeros((2, 4, 3), bool)
    terminated[1, 1:, 1] = True
    return Episodes(
        obs=counter,
        legal=np.broadcast_to(
            np.array([True, True, True, False]), (2, 5, 3, 4)
        ),
        present=present,
        action=np.where(acted, np.arange(3), -1).astype(np.int32),
        prob=np.full((2, 4, 3), 0.5, np.float32),
        reward=np.ones((2, 4, 3), np.float32),
        terminated=terminated,
        truncated=np.broadcast_to(np.arange(4) == 3, (2, 4)),
        length=np.array([4, 4], np.int32),
        player=np.array([[0, 1, 2], [2, 1, 0]], np.int32),
        goal=np.zeros((2, 4, 3), np.int32),
        goal_source=np.ones((2, 4, 3), np.int8),
    )


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "clean"
    made = create_store(folder, GAME, roster())
    for seed in (0, 1):
        made.append(whole_episodes(), seed=seed)
    return folder


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    """A copy of the valid dataset, to be spoilt."""
    return Path(shutil.copytree(clean, tmp_path / "spoilt"))


def spoil_rows(
    folder: Path, change: Callable[[list[dict[str, Any]]], Any]
) -> None:
    """Changes rows of the second part; checksum and counts are made to fit, so that nothing else is wrong."""
    table = pq.read_table(folder / PART)
    rows = table.to_pylist()
    rows = change(rows) or rows
    save(folder, pa.Table.from_pylist(rows, table.schema))
    steps = len({(row["episode"], row["step"]) for row in rows})
    spoil_manifest(folder, lambda m: count_anew(m, len(rows), steps))


def save(folder: Path, table: pa.Table) -> None:
    pq.write_table(table, folder / PART)
    spoil_manifest(
        folder, lambda m: m["parts"][1].update(sha256=sha256(folder / PART))
    )


def count_anew(manifest: dict[str, Any], rows: int, steps: int) -> None:
    manifest["parts"][1].update(rows=rows, steps=steps)
    manifest["totals"] |= {
        key: sum(part[key] for part in manifest["parts"])
        for key in ("rows", "steps")
    }


def spoil_manifest(
    folder: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def at(
    rows: list[dict[str, Any]], episode: int, step: int, seat: int
) -> dict[str, Any]:
    (row,) = (
        r
        for r in rows
        if (r["episode"], r["step"], r["seat"]) == (episode, step, seat)
    )
    return row


def put(
    episode: int, step: int, seat: int, /, **values: Any
) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: at(rows, episode, step, seat).update(values)


def everywhere(
    episode: int, step: int | None = None, /, **values: Any
) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["episode"] == episode and step in (None, row["step"]):
                row.update(values)

    return change


def without(
    *places: tuple[int, int, int | None],
) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Drops the rows at (episode, step, seat); seat None is every seat."""
    whole = {place[:2] for place in places if place[2] is None}

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keys = [(row["episode"], row["step"], row["seat"]) for row in rows]
        return [
            row
            for row, key in zip(rows, keys, strict=True)
            if key not in places and key[:2] not in whole
        ]

    return change


def one_more(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seat 1 of episode 3 goes on for a step after it left."""
    left = at(rows, 3, 1, 1)
    ghost = left | {"step": 2, "obs": left["next_obs"]}
    return sorted(
        [*rows, ghost], key=lambda r: (r["episode"], r["step"], r["seat"])
    )


def swapped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rows[1], rows[0], *rows[2:]]


NAN, INF = float("nan"), float("inf")
PLACE = "episode 2, step 0, seat 0"
ROW_FAULTS = {
    # name: (how it is planted, the kinds of problems it is, the place of the first, a part of what is said)
    "obs NaN": (
        put(2, 0, 0, obs=[NAN, 0]),
        {"not_finite"},
        PLACE,
        "obs holds NaN or inf",
    ),
    "next_obs inf": (
        put(2, 3, 2, next_obs=[0, INF]),
        {"not_finite"},
        "row 11",
        "next_obs holds NaN or inf",
    ),
    "reward NaN": (
        put(2, 0, 0, reward=NAN),
        {"not_finite"},
        PLACE,
        "reward is nan",
    ),
    "reward inf": (
        put(3, 3, 2, reward=-INF),
        {"not_finite"},
        "row 21",
        "reward is -inf",
    ),
    "illegal action": (
        put(2, 0, 0, legal=[False, True, True, True]),
        {"illegal_action"},
        PLACE,
        "0 (A0) is not",
    ),
    "empty legal": (
        put(2, 0, 0, legal=[False] * 4),
        {"empty_mask", "illegal_action"},
        PLACE,
        "legal is False",
    ),
    "empty next_legal": (
        put(2, 3, 0, next_legal=[False] * 4),
        {"empty_mask"},
        "step 3, seat 0",
        "next_legal is",
    ),
    "action too high": (
        put(2, 0, 0, action=4),
        {"range", "others"},
        PLACE,
        "action is 4; expected: an action, 0 to 3",
    ),
    "action absent": (
        put(2, 0, 0, action=-1),
        {"range", "others"},
        PLACE,
        "action is -1; wanted",
    ),
    "others too high": (
        put(2, 0, 0, others=[1, 9]),
        {"range", "others"},
        PLACE,
        "others is [1, 9]; wanted",
    ),
    "others too low": (
        put(2, 0, 0, others=[-2, 2]),
        {"range", "others"},
        PLACE,
        "others is [-2, 2]; wanted",
    ),
    "others disagree": (
        put(2, 0, 0, others=[2, 2]),
        {"others"},
        PLACE,
        "others says 2 for seat 1, whose own row says 1",
    ),
    "others in another order": (
        put(2, 0, 1, others=[2, 0]),
        {"others"},
        "step 0, seat 1",
        "others says 2 for seat 0",
    ),
    "a seat that left as if it stayed": (
        put(3, 2, 0, others=[0, 2]),
        {"others"},
        "episode 3, step 2, seat 0",
        "others says 0 for seat 1, whose own row says -1",
    ),
    "step gap": (
        without((2, 1, None)),
        {"step_gap"},
        "episode 2, step 2",
        "no seat has a row at step 1",
    ),
    "no first step": (
        without((2, 0, None)),
        {"step_gap"},
        "episode 2, step 1",
        "no seat has a row at step 0",
    ),
    "steps after the end": (
        one_more,
        {"after_terminated", "present", "others"},
        "episode 3, step 1, seat 1",
        "terminated, but the seat has a row at the next step",
    ),
    "seat missing on the way": (
        without((2, 1, 2), (2, 2, 2), (2, 3, 2)),
        {"missing_seat", "present", "others"},
        "episode 2, step 0, seat 2",
        "not terminated, but the seat has no row at the next step",
    ),
    "seat comes later": (
        without((2, 0, 2)),
        {"missing_seat", "present", "others"},
        "episode 2, step 1, seat 2",
        "no row at the step before",
    ),
    "present though left": (
        put(3, 2, 0, present=[True] * 3),
        {"present"},
        "step 2, seat 0",
        "True for seat 1",
    ),
    "absent though there": (
        put(2, 0, 0, present=[True, True, False]),
        {"present"},
        PLACE,
        "False for seat 2",
    ),
    "absent itself": (
        put(2, 0, 0, present=[False, True, True]),
        {"present"},
        PLACE,
        "False for seat 0",
    ),
    "next_obs another": (
        put(2, 0, 0, next_obs=[5, 5]),
        {"next_obs"},
        PLACE,
        "not the obs of the seat's next step",
    ),
    "next_obs of another seat": (
        lambda rows: at(rows, 2, 0, 0).update(
            next_obs=at(rows, 2, 0, 1)["next_obs"]
        ),
        {"next_obs"},
        PLACE,
        "not the obs of the seat's next step",
    ),
    "next_obs turned round": (
        lambda rows: at(rows, 2, 0, 0)["next_obs"].reverse(),
        {"next_obs"},
        PLACE,
        "not the obs of the seat's next step",
    ),
    "next_legal another": (
        put(2, 0, 0, next_legal=[True] * 4),
        {"next_legal"},
        PLACE,
        "is not the legal of",
    ),
    "truncated too early": (
        everywhere(2, 1, truncated=True),
        {"truncated"},
        "episode 2, step 1",
        "truncated, but the episode goes on to step 3",
    ),
    "truncated for one seat": (
        put(2, 3, 1, truncated=False),
        {"truncated", "unfinished"},
        "step 3, seat 1",
        "False",
    ),
    "no end": (
        everywhere(3, 3, truncated=False),
        {"unfinished"},
        "episode 3, step 3",
        "neither terminated nor",
    ),
    "prob zero": (
        put(2, 0, 0, prob=0),
        {"prob"},
        PLACE,
        "prob is 0.0; expected: above 0 and at most 1",
    ),
    "prob above one": (put(2, 0, 0, prob=1.01), {"prob"}, PLACE, "prob is 1.0"),
    "prob NaN": (put(2, 0, 0, prob=NAN), {"prob"}, PLACE, "prob is nan"),
    "player unknown": (
        lambda rows: [
            r | {"players": [3 if p == 0 else p for p in r["players"]]}
            for r in rows
        ],
        {"range"},
        PLACE,
        "players is [3, 1, 2]; expected: an index into the manifest's roster, 0 to 2",
    ),
    "players change seats": (
        put(2, 2, 0, players=[0, 2, 1]),
        {"players"},
        "episode 2, step 2, seat 0",
        "[0, 2, 1]",
    ),
    "players not ego first": (
        put(2, 2, 1, players=[0, 1, 2]),
        {"players"},
        "step 2, seat 1",
        "[1, 0, 2]",
    ),
    "goal too high": (
        put(2, 0, 0, goal=2),
        {"range"},
        PLACE,
        "goal is 2; expected: an index into the manifest's goals",
    ),
    "goal too low": (put(2, 0, 0, goal=-2), {"range"}, PLACE, "goal is -2"),
    "goal source": (
        put(2, 0, 0, goal_source="guess"),
        {"goal_source"},
        PLACE,
        "expected: none, event or no_event",
    ),
    "step too high": (
        everywhere(2, 3, step=4),
        {"range", "unfinished", "counts"},
        "episode 2, step 4, seat 0",
        "step is 4; expected: 0 to 3",
    ),
    "seat too high": (
        put(2, 3, 2, seat=3),
        {"range", "missing_seat", "present", "others"},
        "seat 3",
        "expected: 0 to 2",
    ),
    "episode of another part": (
        everywhere(3, episode=9),
        {"episode_ids", "counts"},
        "episode 9",
        "holds 2 to 3",
    ),
    "episode without rows": (
        lambda rows: [row for row in rows if row["episode"] == 2],
        {"episode_ids"},
        PART,
        "1 of its 2 episodes have no rows, the first of them 3",
    ),
    "rows out of order": (
        swapped,
        {"order"},
        f"row 1 ({PLACE})",
        "belongs before the one above it",
    ),
    "a row twice": (
        lambda rows: [rows[0], *rows],
        {"duplicate"},
        f"row 1 ({PLACE})",
        "same episode, step and seat",
    ),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_a_fault_in_the_rows_is_named(folder: Path, fault: str) -> None:
    plant, kinds, place, said = ROW_FAULTS[fault]
    spoil_rows(folder, plant)
    problems = validate(folder)
    assert {problem.kind for problem in problems} == kinds
    told = str(problems[0])
    assert (
        PART in told
        and place in told
        and said in told
        and problems[0].mend in told
    )


def test_a_clean_dataset_has_no_problems(clean: Path, tmp_path: Path) -> None:
    assert validate(clean) == []
    game = Toy(seats=4, max_steps=7)
    made = create_store(tmp_path, game, roster())
    for seed in range(5):
        made.append(random_episodes(game, 20, seed), seed=seed)
    assert validate(tmp_path) == []


def test_planting_nothing_leaves_it_clean(folder: Path) -> None:
    spoil_rows(folder, lambda rows: None)
    assert validate(folder) == []


def test_rows_are_numbered_through_the_file(folder: Path) -> None:
    """Row groups, as other tools choose them, cut episodes apart and make no difference."""
    spoil_rows(folder, put(3, 3, 2, reward=NAN))
    pq.write_table(
        pq.read_table(folder / PART), folder / PART, row_group_size=5
    )
    spoil_manifest(
        folder, lambda m: m["parts"][1].update(sha256=sha256(folder / PART))
    )
    (problem,) = validate(folder)
    assert f"{PART}, row 21 (episode 3, step 3, seat 2)" in problem.where


def test_of_many_faults_the_first_are_named_and_the_rest_counted(
    folder: Path,
) -> None:
    spoil_rows(folder, lambda rows: [row | {"reward": NAN} for row in rows])
    problems = validate(folder)
    assert {problem.kind for problem in problems} == {"not_finite"} and len(
        problems
    ) == SHOWN + 1
    assert f"{22 - SHOWN} more problems" in problems[-1].what


# -- columns -------------------------------------------------------------------------------------------------


def cast(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index(name)
        return table.set_column(
            place, name, pa.array(table[name].to_pylist(), kind)
        )

    return change


def shorter(table: pa.Table) -> pa.Table:
    values = pa.array(
        [row[:1] for row in table["obs"].to_pylist()], pa.list_(pa.float32(), 1)
    )
    return table.set_column(table.column_names.index("obs"), "obs", values)


COLUMN_FAULTS = {
    "missing": (
        lambda t: t.drop_columns("prob"),
        "missing_column",
        "there is no column 'prob'; expected: prob, float",
    ),
    "extra": (
        lambda t: t.append_column("mood", pa.array([0] * 22)),
        "extra_column",
        "a column 'mood'",
    ),
    "twice": (
        lambda t: t.append_column("goal", t["goal"]),
        "column_twice",
        "'goal' is there 2 times",
    ),
    "type": (
        cast("reward", pa.float64()),
        "column_type",
        "column 'reward' is double; expected: float",
    ),
    "list type": (
        cast("others", pa.list_(pa.int64(), 2)),
        "column_type",
        "fixed list of 2 int64; expected: fixed list of 2",
    ),
    "list size": (
        shorter,
        "column_type",
        "'obs' is fixed list of 1 float; expected: fixed list of 2 float",
    ),
    "variable list": (
        cast("obs", pa.list_(pa.float32())),
        "column_type",
        "expected: fixed list of 2 float",
    ),
    "null": (
        lambda t: cast("reward", pa.float32())(t).set_column(
            t.column_names.index("reward"),
            "reward",
            pa.array([1.0, None, None] + [1.0] * 19, pa.float32()),
        ),
        "null",
        "row 1: reward is null, here and in 1 more rows",
    ),
    "null in a list": (
        lambda t: t.set_column(
            t.column_names.index("players"),
            "players",
            pa.array(
                [[0, 1, 2]] * 3 + [[0, None, 2]] * 19, pa.list_(pa.int32(), 3)
            ),
        ),
        "null",
        "row 3: players is null",
    ),
}


@pytest.mark.parametrize("fault", COLUMN_FAULTS)
def test_a_fault_in_the_columns_is_named(folder: Path, fault: str) -> None:
    plant, kind, said = COLUMN_FAULTS[fault]
    save(folder, plant(pq.read_table(folder / PART)))
    (problem,) = validate(folder)
    assert (
        problem.kind == kind and PART in problem.where and said in str(problem)
    )
    if kind != "null":
        with pytest.raises(ValueError, match="column"):
            open_store(folder).episodes()


def test_whatever_tool_rewrote_a_part_it_is_valid(folder: Path) -> None:
    """Nulls allowed, long strings, other names of list entries, another compression: no fault."""
    table = pq.read_table(folder / PART)
    fields = [pa.field(f.name, loose(f.type)) for f in table.schema]
    columns = [pa.array(table[f.name].to_pylist(), f.type) for f in fields]
    pq.write_table(
        pa.table(columns, schema=pa.schema(fields)),
        folder / PART,
        compression="snappy",
    )
    spoil_manifest(
        folder, lambda m: m["parts"][1].update(sha256=sha256(folder / PART))
    )
    assert validate(folder) == []
    assert np.array_equal(
        open_store(folder).episodes().obs[2:, :4, 0],
        whole_episodes().obs[:, :4, 0],
    )
    assert open_store(folder).table(["goal_source"]).num_rows == 44


def loose(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("item", kind.value_type), kind.list_size)
    return pa.large_string() if pa.types.is_string(kind) else kind


# -- files ---------------------------------------------------------------------------------------------------


def kinds(folder: Path) -> list[str]:
    return [problem.kind for problem in validate(folder)]


def test_a_wrong_checksum_is_named(folder: Path) -> None:
    spoil_manifest(folder, lambda m: m["parts"][0].update(sha256="0" * 64))
    (problem,) = validate(folder)
    assert (
        problem.kind == "checksum"
        and problem.where == "part-00000.parquet"
        and "000000000000" in problem.what
    )


@pytest.mark.parametrize("keep", [0, 3, 1000, -1])
def test_a_cut_file_is_named(folder: Path, keep: int) -> None:
    data = (folder / PART).read_bytes()
    (folder / PART).write_bytes(data[:keep])
    assert kinds(folder) == ["checksum", "unreadable"]
    assert validate(folder)[1].where == PART


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / PART).unlink()
    (problem,) = validate(folder)
    assert (problem.kind, problem.where) == ("missing_part", PART)


def test_a_part_left_over_from_a_crash_is_no_fault(folder: Path) -> None:
    (folder / "part-00002.parquet").write_bytes(b"half of")
    (folder / ".part-00003.parquet.0.tmp").write_bytes(b"")
    assert validate(folder) == []


COUNT_FAULTS = {
    "rows": (
        lambda m: count_anew(m, 21, 8),
        PART,
        "it holds 22 rows, the manifest says 21",
    ),
    "steps": (
        lambda m: count_anew(m, 22, 7),
        PART,
        "it holds 8 joint steps, the manifest says 7",
    ),
    "totals": (
        lambda m: m["totals"].update(rows=45),
        "totals",
        "rows = 45, but its parts sum to 44",
    ),
    "total missing": (
        lambda m: m["totals"].pop("episodes"),
        "totals",
        "episodes = None, but its parts sum to 4",
    ),
}


@pytest.mark.parametrize("fault", COUNT_FAULTS)
def test_counts_that_disagree_are_named(folder: Path, fault: str) -> None:
    plant, place, said = COUNT_FAULTS[fault]
    spoil_manifest(folder, plant)
    (problem,) = validate(folder)
    assert (
        problem.kind == "counts"
        and place in problem.where
        and said in problem.what
    )


def test_episodes_counted_from_elsewhere_are_named(folder: Path) -> None:
    spoil_manifest(folder, lambda m: m["parts"][1].update(first_episode=3))
    problems = validate(folder)
    assert {problem.kind for problem in problems} == {"counts", "episode_ids"}
    assert (
        "first_episode = 3, but the parts before it hold 2" in problems[0].what
    )


# -- the manifest --------------------------------------------------------------------------------------------

MANIFEST_FAULTS = {
    "none": (None, "no_manifest", "there is no manifest.json"),
    "empty": (b"", "bad_manifest", "cannot be read as JSON"),
    "cut": (b'{"format": 1, "game', "bad_manifest", "cannot be read as JSON"),
    "no text": (b"\xff\xfe\x00", "bad_manifest", "cannot be read as JSON"),
    "deep": (b"[" * 100_000, "bad_manifest", "cannot be read as JSON"),
    "a list": (b"[]", "bad_manifest", "it holds a list; expected: an object"),
    "newer": (
        b'{"format": 2}',
        "format",
        "format 2, this bestreply reads up to format 1",
    ),
    "not JSON": (b'{"format": NaN}', "bad_manifest", "NaN is not JSON"),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_manifest_that_cannot_be_read_is_named(
    folder: Path, fault: str
) -> None:
    data, kind, said = MANIFEST_FAULTS[fault]
    (folder / "manifest.json").unlink()
    if data is not None:
        (folder / "manifest.json").write_bytes(data)
    (problem,) = validate(folder)
    assert problem.kind == kind and said in problem.what


FIELD_FAULTS = {
    "missing": (
        lambda m: m.pop("roster"),
        "manifest.json",
        "'roster' is missing; wanted",
    ),
    "format": (lambda m: m.update(format="1"), "format", "'1'; expected: 1"),
    "type": (
        lambda m: m.update(num_players="3"),
        "num_players",
        "'3'; expected: an int, at least 1",
    ),
    "bool for int": (
        lambda m: m.update(max_steps=True),
        "max_steps",
        "True; expected: an int",
    ),
    "shape": (
        lambda m: m.update(obs_shape=[2, 0]),
        "obs_shape",
        "[2, 0]; expected: a list of ints, each at least 1",
    ),
    "game": (
        lambda m: m["game"].pop("version"),
        "game",
        "expected: {name: text",
    ),
    "roster": (
        lambda m: m["roster"].append("me"),
        "roster",
        "expected: a list of at least one {name",
    ),
    "part": (
        lambda m: m["parts"][1].pop("rows"),
        "parts[1]",
        "'rows' is missing",
    ),
    "part's checksum": (
        lambda m: m["parts"][1].update(sha256="abc"),
        "parts[1]: sha256",
        "64 hexadecimal digits",
    ),
    "path": (
        lambda m: m["parts"][0].update(file="../part-00000.parquet"),
        "parts[0]",
        "in the dataset's own folder",
    ),
    "absolute path": (
        lambda m: m["parts"][0].update(file="/part-00000.parquet"),
        "parts[0]",
        "own folder",
    ),
}


@pytest.mark.parametrize("fault", FIELD_FAULTS)
def test_a_field_of_the_manifest_that_cannot_be_used_is_named(
    folder: Path, fault: str
) -> None:
    plant, place, said = FIELD_FAULTS[fault]
    spoil_manifest(folder, plant)
    (problem,) = validate(folder)
    assert place in problem.where and said in problem.what


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        assert kinds(path) == ["no_manifest"]


# -- whatever comes ------------------------------------------------------------------------------------------


def leaves(value: Any, path: tuple = ()) -> list[tuple]:
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        path,
        *(leaf for key, entry in inner for leaf in leaves(entry, (*path, key))),
    ]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_manifest_makes_it_raise(clean: Path, data: st.DataObject) -> None:
    manifest = json.loads((clean / "manifest.json").read_text())
    path = data.draw(st.sampled_from(leaves(manifest)))
    junk = data.draw(
        st.sampled_from(
            [
                None,
                -1,
                0,
                1,
                7,
                10**6,
                2**62,
                2**70,
                "",
                "x",
                [],
                {},
                [[]],
                0.5,
                True,
            ]
        )
    )
    if path:
        inner = manifest
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = junk
    (clean.parent / "fuzzed").mkdir(exist_ok=True)
    for part in clean.glob("part-*"):
        shutil.copy(part, clean.parent / "fuzzed")
    (clean.parent / "fuzzed" / "manifest.json").write_text(
        json.dumps(manifest if path else junk)
    )
    validate(clean.parent / "fuzzed")
    with contextlib.suppress(
        ValueError, MemoryError
    ):  # a clear error, or more than there is; nothing else
        open_store(clean.parent / "fuzzed").episodes()


@settings(
    max_examples=40, deadline=None, derandomize=True
)  # Arrow's readers are not ours to fuzz
@given(seed=st.integers(0, 2**32 - 1))
def test_no_parquet_file_makes_it_raise(clean: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    broken = clean.parent / "broken"
    shutil.copytree(clean, broken, dirs_exist_ok=True)
    data = bytearray((broken / PART).read_bytes())
    for place in rng.integers(len(data), size=3):
        data[place] ^= int(rng.integers(1, 256))
    (broken / PART).write_bytes(data)
    assert "checksum" in kinds(broken)
    spoil_manifest(
        broken, lambda m: m["parts"][1].update(sha256=sha256(broken / PART))
    )
    validate(broken)


def test_problems_can_be_compared_and_printed() -> None:
    from bestreply.data.problem import Problem

    problem = Problem("kind", "a file, row 1", "x is 1; expected: 2", "Mend it")
    assert str(problem) == "a file, row 1: x is 1; expected: 2. Mend it"
    assert problem == dataclasses.replace(problem)
