"""Each error of a dataset is reported with its place; a valid dataset has no errors."""

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
from made_episodes import Toy, assert_same_play, random_episodes, roster

from bestreply.data.problem import SHOWN
from bestreply.data.store import create_store, open_store
from bestreply.data.validate import validate
from bestreply.types import Episodes
from bestreply.utils.files import sha256

GAME = Toy(seats=3, shape=(2,), actions=4, max_steps=4)
PART = "part-00001.parquet"  # the second part, of episodes 2 and 3, where most errors are inserted


def whole_episodes() -> Episodes:
    """Return two truncated episodes of 4 steps; seat 1 leaves the second after step 1."""
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
    dataset = create_store(folder, GAME, roster())
    for seed in (0, 1):
        dataset.append(whole_episodes(), seed=seed)
    return folder


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    """Return a copy of the valid dataset, to be changed."""
    return Path(shutil.copytree(clean, tmp_path / "changed"))


def change_rows(
    folder: Path, change: Callable[[list[dict[str, Any]]], Any]
) -> None:
    """Change rows of the second part, with fitting checksum and counts."""
    table = pq.read_table(folder / PART)
    rows = table.to_pylist()
    rows = change(rows) or rows
    save(folder, pa.Table.from_pylist(rows, table.schema))
    steps = len({(row["episode"], row["step"]) for row in rows})
    change_manifest(folder, lambda m: count_anew(m, len(rows), steps))


def save(folder: Path, table: pa.Table) -> None:
    pq.write_table(table, folder / PART)
    change_manifest(
        folder, lambda m: m["parts"][1].update(sha256=sha256(folder / PART))
    )


def count_anew(manifest: dict[str, Any], rows: int, steps: int) -> None:
    manifest["parts"][1].update(rows=rows, steps=steps)
    manifest["totals"] |= {
        key: sum(part[key] for part in manifest["parts"])
        for key in ("rows", "steps")
    }


def change_manifest(
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
    """Drop the rows at (episode, step, seat); seat None: every seat."""
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
    """Add a step of seat 1 to episode 3 after it left."""
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
    # name: (change, kinds of the problems, place of the first, part of its text)
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
        "reward=nan: expected a finite number",
    ),
    "reward inf": (
        put(3, 3, 2, reward=-INF),
        {"not_finite"},
        "row 21",
        "reward=-inf",
    ),
    "illegal action": (
        put(2, 0, 0, legal=[False, True, True, True]),
        {"illegal_action"},
        PLACE,
        "action=0 (A0): expected a legal action",
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
        "action=4: expected an action, 0 to 3",
    ),
    "action absent": (
        put(2, 0, 0, action=-1),
        {"range", "others"},
        PLACE,
        "action=-1: expected",
    ),
    "others too high": (
        put(2, 0, 0, others=[1, 9]),
        {"range", "others"},
        PLACE,
        "others=[1, 9]: expected",
    ),
    "others too low": (
        put(2, 0, 0, others=[-2, 2]),
        {"range", "others"},
        PLACE,
        "others=[-2, 2]: expected",
    ),
    "others disagree": (
        put(2, 0, 0, others=[2, 2]),
        {"others"},
        PLACE,
        "others=2 for seat 1: expected 1",
    ),
    "others in another order": (
        put(2, 0, 1, others=[2, 0]),
        {"others"},
        "step 0, seat 1",
        "others=2 for seat 0",
    ),
    "a seat that left as if it stayed": (
        put(3, 2, 0, others=[0, 2]),
        {"others"},
        "episode 3, step 2, seat 0",
        "others=0 for seat 1: expected -1",
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
    "seat missing early": (
        without((2, 1, 2), (2, 2, 2), (2, 3, 2)),
        {"missing_seat", "present", "others"},
        "episode 2, step 0, seat 2",
        "neither terminated nor truncated, but the seat has no row",
    ),
    "seat comes later": (
        without((2, 0, 2)),
        {"missing_seat", "present", "others"},
        "episode 2, step 1, seat 2",
        "no row of the seat at the step before",
    ),
    "present though left": (
        put(3, 2, 0, present=[True] * 3),
        {"present"},
        "step 2, seat 0",
        "present=True for seat 1: expected False",
    ),
    "absent though it acts": (
        put(2, 0, 0, present=[True, True, False]),
        {"present"},
        PLACE,
        "present=False for seat 2: expected True",
    ),
    "absent itself": (
        put(2, 0, 0, present=[False, True, True]),
        {"present"},
        PLACE,
        "present=False for seat 0",
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
        "truncated, but the seat has a row at the next step",
    ),
    "truncated and terminated": (
        put(3, 1, 1, truncated=True),
        {"truncated"},
        "episode 3, step 1, seat 1",
        "terminated and truncated, but the episode continues to step",
    ),
    "truncated for one seat": (
        put(2, 3, 1, truncated=False),
        {"unfinished"},
        "step 3, seat 1",
        "neither terminated nor",
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
        "prob=0.0: expected the probability of the action, above 0",
    ),
    "prob above one": (put(2, 0, 0, prob=1.01), {"prob"}, PLACE, "prob=1.0"),
    "prob NaN": (put(2, 0, 0, prob=NAN), {"prob"}, PLACE, "prob=nan"),
    "player unknown": (
        lambda rows: [
            r | {"players": [3 if p == 0 else p for p in r["players"]]}
            for r in rows
        ],
        {"range"},
        PLACE,
        "players=[3, 1, 2]: expected an index into roster, 0 to 2",
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
        "goal=2: expected an index into goals",
    ),
    "goal too low": (put(2, 0, 0, goal=-2), {"range"}, PLACE, "goal=-2"),
    "goal source": (
        put(2, 0, 0, goal_source="guess"),
        {"goal_source"},
        PLACE,
        "expected none, event or no_event",
    ),
    "step too high": (
        everywhere(2, 3, step=4),
        {"range", "unfinished", "counts"},
        "episode 2, step 4, seat 0",
        "step=4: expected 0 to 3",
    ),
    "seat too high": (
        put(2, 3, 2, seat=3),
        {"range", "missing_seat", "present", "others"},
        "seat 3",
        "seat=3: expected 0 to 2",
    ),
    "episode of another part": (
        everywhere(3, episode=9),
        {"episode_ids", "counts"},
        "episode 9",
        "episode=9: expected 2 to 3",
    ),
    "episode without rows": (
        lambda rows: [row for row in rows if row["episode"] == 2],
        {"episode_ids"},
        PART,
        "1 of 2 episodes have no rows, the first of them 3",
    ),
    "rows out of order": (
        swapped,
        {"order"},
        f"row 1 ({PLACE})",
        "precedes the row above it",
    ),
    "a row twice": (
        lambda rows: [rows[0], *rows],
        {"duplicate"},
        f"row 1 ({PLACE})",
        "same episode, step and seat",
    ),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_an_error_in_the_rows_is_reported(folder: Path, fault: str) -> None:
    plant, kinds, place, message = ROW_FAULTS[fault]
    change_rows(folder, plant)
    problems = validate(folder)
    assert {problem.kind for problem in problems} == kinds
    text = str(problems[0])
    assert (
        PART in text
        and place in text
        and message in text
        and problems[0].mend in text
    )


def test_a_clean_dataset_has_no_problems(clean: Path, tmp_path: Path) -> None:
    assert validate(clean) == []
    game = Toy(seats=4, max_steps=7)
    dataset = create_store(tmp_path, game, roster())
    for seed in range(5):
        dataset.append(random_episodes(game, 20, seed), seed=seed)
    assert validate(tmp_path) == []


def test_unchanged_rows_have_no_problems(folder: Path) -> None:
    change_rows(folder, lambda rows: None)
    assert validate(folder) == []


def test_rows_are_numbered_through_the_file(folder: Path) -> None:
    """Row groups of other tools, which split episodes, give the same row numbers."""
    change_rows(folder, put(3, 3, 2, reward=NAN))
    pq.write_table(
        pq.read_table(folder / PART), folder / PART, row_group_size=5
    )
    change_manifest(
        folder, lambda m: m["parts"][1].update(sha256=sha256(folder / PART))
    )
    (problem,) = validate(folder)
    assert f"{PART}, row 21 (episode 3, step 3, seat 2)" in problem.where


def test_the_first_problems_are_listed_and_the_rest_counted(
    folder: Path,
) -> None:
    change_rows(folder, lambda rows: [row | {"reward": NAN} for row in rows])
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
        "column 'prob' is missing: expected float",
    ),
    "extra": (
        lambda t: t.append_column("mood", pa.array([0] * 22)),
        "extra_column",
        "column 'mood' is not part of the format",
    ),
    "twice": (
        lambda t: t.append_column("goal", t["goal"]),
        "column_twice",
        "'goal' occurs 2 times",
    ),
    "type": (
        lambda t: t.set_column(9, "reward", pa.array(["1.0"] * 22)),
        "column_type",
        "column 'reward' is string: expected float",
    ),
    "no list": (
        lambda t: t.set_column(3, "obs", pa.array([1.0] * 22)),
        "column_type",
        "column 'obs' is double: expected fixed list of 2 float",
    ),
    "list size": (
        shorter,
        "column_type",
        "'obs' is fixed list of 1 float: expected fixed list of 2 float",
    ),
    "lists of several sizes": (
        lambda t: t.set_column(3, "obs", pa.array([[1.0, 2]] * 21 + [[1.0]])),
        "cast",
        "row 21: obs=a list of 1 entries: expected 2",
    ),
    "rounded": (
        lambda t: t.set_column(9, "reward", pa.array([1.0] * 21 + [0.1])),
        "cast",
        "row 21: reward=0.1: expected a value that float holds",
    ),
    "rounded in a list": (
        lambda t: t.set_column(
            7, "others", pa.array([[1, 2]] * 21 + [[1, 2**40]])
        ),
        "cast",
        "row 21: others=1099511627776: expected a value that int32 holds",
    ),
    "too large": (
        lambda t: t.set_column(9, "reward", pa.array([1e300] * 22)),
        "cast",
        "row 0: reward=1e+300",
    ),
    "null": (
        lambda t: cast("reward", pa.float32())(t).set_column(
            t.column_names.index("reward"),
            "reward",
            pa.array([1.0, None, None] + [1.0] * 19, pa.float32()),
        ),
        "null",
        "row 1: reward=null, and in 1 more rows",
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
        "row 3: players=null",
    ),
}


@pytest.mark.parametrize("fault", COLUMN_FAULTS)
def test_an_error_in_the_columns_is_reported(folder: Path, fault: str) -> None:
    plant, kind, message = COLUMN_FAULTS[fault]
    save(folder, plant(pq.read_table(folder / PART)))
    (problem,) = validate(folder)
    assert (
        problem.kind == kind
        and PART in problem.where
        and message in str(problem)
    )
    with pytest.raises(ValueError, match=r"column|null|row \d+: "):
        open_store(folder).episodes()


def of_pandas(kind: pa.DataType) -> pa.DataType:
    """Return the type that pandas and Spark write: lists of any size, wide numbers."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", of_pandas(kind.value_type)))
    if pa.types.is_integer(kind):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(kind) else kind


def of_polars(kind: pa.DataType) -> pa.DataType:
    """Return the type that Arrow's newer users write: long lists and text, codes."""
    if pa.types.is_fixed_size_list(kind):
        return pa.large_list(pa.field("item", kind.value_type))
    if pa.types.is_string(kind):
        return pa.dictionary(pa.int8(), pa.large_string())
    return pa.uint64() if pa.types.is_integer(kind) else kind


def of_arrays(kind: pa.DataType) -> pa.DataType:
    """Return another name for list entries, long text, and codes for numbers."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("item", kind.value_type), kind.list_size)
    return pa.large_string() if pa.types.is_string(kind) else kind


@pytest.mark.parametrize("tool", [of_pandas, of_polars, of_arrays])
def test_a_part_rewritten_by_another_tool_is_valid(
    folder: Path, tool: Callable[[pa.DataType], pa.DataType]
) -> None:
    """Other types that hold the same values, nullable columns, row groups, compression."""
    before = open_store(folder).episodes()
    table = pq.read_table(folder / PART)
    names = [*table.column_names[3:], *table.column_names[:3]]
    columns = {}
    for name in names:
        values = pa.array(table[name].to_pylist(), tool(table[name].type))
        if tool is of_arrays and pa.types.is_floating(values.type):
            values = values.cast(pa.float64()).dictionary_encode()
        if tool is of_arrays and pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        columns[name] = values
    pq.write_table(
        pa.table(columns), folder / PART, row_group_size=5, compression="snappy"
    )
    change_manifest(
        folder, lambda m: m["parts"][1].update(sha256=sha256(folder / PART))
    )
    assert validate(folder) == []
    dataset = open_store(folder)
    assert_same_play(dataset.episodes(), before)
    schema = pq.read_schema(folder / "part-00000.parquet")
    assert dataset.table().schema.equals(schema)
    rows = dataset.table(["episode", "step", "seat"]).to_pylist()
    assert rows[22:] == table.select(["episode", "step", "seat"]).to_pylist()


# -- files ---------------------------------------------------------------------------------------------------


def kinds(folder: Path) -> list[str]:
    return [problem.kind for problem in validate(folder)]


def test_a_wrong_checksum_is_reported(folder: Path) -> None:
    change_manifest(folder, lambda m: m["parts"][0].update(sha256="0" * 64))
    (problem,) = validate(folder)
    assert (
        problem.kind == "checksum"
        and problem.where == "part-00000.parquet"
        and "000000000000" in problem.what
    )


@pytest.mark.parametrize("keep", [0, 3, 1000, -1])
def test_a_truncated_file_is_reported(folder: Path, keep: int) -> None:
    data = (folder / PART).read_bytes()
    (folder / PART).write_bytes(data[:keep])
    assert kinds(folder) == ["checksum", "unreadable"]
    assert validate(folder)[1].where == PART


def test_a_missing_part_is_reported(folder: Path) -> None:
    (folder / PART).unlink()
    (problem,) = validate(folder)
    assert (problem.kind, problem.where) == ("missing_part", PART)


def test_a_part_left_over_from_a_crash_is_ignored(folder: Path) -> None:
    (folder / "part-00002.parquet").write_bytes(b"half of")
    (folder / ".part-00003.parquet.0.tmp").write_bytes(b"")
    assert validate(folder) == []


COUNT_FAULTS = {
    "rows": (
        lambda m: count_anew(m, 21, 8),
        PART,
        "22 rows: expected 21",
    ),
    "steps": (
        lambda m: count_anew(m, 22, 7),
        PART,
        "8 joint steps: expected 7",
    ),
    "totals": (
        lambda m: m["totals"].update(rows=45),
        "totals",
        "rows=45: expected 44",
    ),
    "total missing": (
        lambda m: m["totals"].pop("episodes"),
        "totals",
        "episodes=None: expected 4",
    ),
}


@pytest.mark.parametrize("fault", COUNT_FAULTS)
def test_contradicting_counts_are_reported(folder: Path, fault: str) -> None:
    plant, place, message = COUNT_FAULTS[fault]
    change_manifest(folder, plant)
    problem = validate(folder)[-1]
    assert (
        problem.kind == "counts"
        and place in problem.where
        and message in problem.what
    )


def test_a_wrong_first_episode_is_reported(folder: Path) -> None:
    change_manifest(folder, lambda m: m["parts"][1].update(first_episode=3))
    problems = validate(folder)
    assert {problem.kind for problem in problems} == {"counts", "episode_ids"}
    assert "first_episode=3: expected 2" in problems[0].what


# -- the manifest --------------------------------------------------------------------------------------------

MANIFEST_FAULTS = {
    "none": (None, "no_manifest", "there is no manifest.json"),
    "empty": (b"", "bad_manifest", "cannot be read as JSON"),
    "cut": (b'{"format": 1, "game', "bad_manifest", "cannot be read as JSON"),
    "no text": (b"\xff\xfe\x00", "bad_manifest", "cannot be read as JSON"),
    "deep": (b"[" * 100_000, "bad_manifest", "cannot be read as JSON"),
    "a list": (b"[]", "bad_manifest", "it holds a list: expected an object"),
    "newer": (
        b'{"format": 2}',
        "format",
        "format=2: expected at most 1",
    ),
    "not JSON": (b'{"format": NaN}', "bad_manifest", "NaN is not JSON"),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_an_unreadable_manifest_is_reported(folder: Path, fault: str) -> None:
    data, kind, message = MANIFEST_FAULTS[fault]
    (folder / "manifest.json").unlink()
    if data is not None:
        (folder / "manifest.json").write_bytes(data)
    (problem,) = validate(folder)
    assert problem.kind == kind and message in problem.what


FIELD_FAULTS = {
    "missing": (
        lambda m: m.pop("roster"),
        "manifest.json",
        "roster=(missing): expected a list",
    ),
    "format": (
        lambda m: m.update(format="1"),
        "manifest.json",
        "format='1': expected 1",
    ),
    "type": (
        lambda m: m.update(num_players="3"),
        "manifest.json",
        "num_players='3': expected an int, at least 1",
    ),
    "bool for int": (
        lambda m: m.update(max_steps=True),
        "manifest.json",
        "max_steps=True: expected an int",
    ),
    "shape": (
        lambda m: m.update(obs_shape=[2, 0]),
        "manifest.json",
        "obs_shape=[2, 0]: expected a list of ints, each at least 1",
    ),
    "game": (
        lambda m: m["game"].pop("version"),
        "manifest.json",
        "expected {name: text",
    ),
    "roster": (
        lambda m: m["roster"].append("me"),
        "manifest.json",
        "expected a list of at least one {name",
    ),
    "part": (
        lambda m: m["parts"][1].pop("rows"),
        "parts[1]",
        "rows=(missing)",
    ),
    "part's checksum": (
        lambda m: m["parts"][1].update(sha256="abc"),
        "parts[1]",
        "sha256='abc': expected 64 hexadecimal digits",
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
def test_an_invalid_field_of_the_manifest_is_reported(
    folder: Path, fault: str
) -> None:
    plant, place, message = FIELD_FAULTS[fault]
    change_manifest(folder, plant)
    (problem,) = validate(folder)
    assert place in problem.where and message in problem.what


def test_a_path_without_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        assert kinds(path) == ["no_manifest"]


# -- random damage ------------------------------------------------------------------------------------------


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
def test_a_damaged_manifest_never_raises(
    clean: Path, data: st.DataObject
) -> None:
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
    ):  # an error of the dataset, or too large
        open_store(clean.parent / "fuzzed").episodes()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_part_never_raises(clean: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    broken = clean.parent / "broken"
    shutil.copytree(clean, broken, dirs_exist_ok=True)
    data = bytearray((broken / PART).read_bytes())
    for place in rng.integers(len(data), size=3):
        data[place] ^= int(rng.integers(1, 256))
    (broken / PART).write_bytes(data)
    assert "checksum" in kinds(broken)
    change_manifest(
        broken, lambda m: m["parts"][1].update(sha256=sha256(broken / PART))
    )
    validate(broken)


def test_problems_can_be_compared_and_printed() -> None:
    from bestreply.data.problem import Problem

    problem = Problem("kind", "a file, row 1", "x=1: expected 2", "Mend it")
    assert str(problem) == "a file, row 1: x=1: expected 2. Mend it"
    assert problem == dataclasses.replace(problem)
