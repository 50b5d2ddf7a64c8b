# pyright: reportMissingImports=false
"""Tables of any library with a row for each episode, step and seat become datasets."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import bestreply as br
from bestreply.data.store import Store
from tests.role_game import Hide

ROWS = [
    {
        "episode": f"game {e}",
        "step": t,
        "seat": seat,
        "obs": [float(e), float(t), 0.5],
        "action": ["up", "down"][(e + t + k) % 2],
        "reward": float(t),
        "terminated": t == 2,
        "player": ["ann", "bob"][(e + k) % 2],
        "prob": None if e else 0.5,
        "goal": ["left", None, "none"][t],
    }
    for e in range(3)
    for t in range(3)
    for k, seat in enumerate(("red", "blue"))
]


def column(name: str, values: list | None = None) -> dict[str, list]:
    return {name: values or [row[name] for row in ROWS]}


def write(tmp_path, frame: Any, **settings: Any) -> Store:
    return br.store_from_frame(frame, path=tmp_path / "data", **settings)


def check(store: Store) -> None:
    assert br.validate(store.path) == []
    game, episodes = store.game(), store.episodes()
    assert game.action_names == ("down", "up")
    assert game.goals == ("left", "none")
    assert episodes.action[0].tolist() == [[0, 1], [1, 0], [0, 1]]  # blue, red
    assert episodes.player.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert episodes.goal[0, :, 0].tolist() == [0, -1, 1]
    np.testing.assert_array_equal(episodes.prob[:, 0, 0], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(episodes.obs[2, 1, 0], [2, 1, 0.5])
    assert episodes.terminated[:, 2].all()


def test_rows_in_any_order_and_in_columns_of_any_kind(tmp_path):
    rows = np.random.default_rng(0).permutation(len(ROWS))
    table = pa.Table.from_pylist([ROWS[k] for k in rows])
    kinds = {
        "obs": pa.large_list(pa.float64()),
        "action": pa.dictionary(pa.int8(), pa.large_string()),
        "seat": pa.dictionary(pa.int32(), pa.string()),
        "step": pa.decimal128(20, 0),
        "reward": pa.float16(),
    }
    for name, kind in kinds.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(kind))
    check(write(tmp_path, table))


@pytest.mark.slow
def test_tables_of_polars_and_pandas(tmp_path):
    import pandas as pd
    import polars as pl

    check(write(tmp_path / "a", pl.DataFrame(ROWS)))
    check(write(tmp_path / "b", pl.LazyFrame(ROWS)))
    check(write(tmp_path / "c", pd.DataFrame(ROWS)))


def test_columns_side_by_side_and_columns_of_other_names(tmp_path):
    names = {"game": "episode", "move": "action", "who": "seat"}
    frame = {
        **{new: column(old)[old] for new, old in names.items()},
        "step": column("step")["step"],
        "reward": np.zeros(len(ROWS)),
        "terminated": column("terminated")["terminated"],
        "obs_1": np.ones(len(ROWS)),
        "obs_10": np.full(len(ROWS), 10),
        "obs_2": np.full(len(ROWS), 2),
        "m0": np.ones(len(ROWS), bool),
        "m1": np.ones(len(ROWS), bool),
    }
    columns = {old: new for new, old in names.items()} | {"legal": ["m0", "m1"]}
    store = write(tmp_path, frame, columns=columns)
    np.testing.assert_array_equal(store.episodes().obs[0, 0, 0], [1, 2, 10])
    assert store.episodes().legal.all() and br.validate(store.path) == []


def test_a_seat_without_a_row_has_left_and_one_seat_needs_no_column(tmp_path):
    rows = [row | {"terminated": row["step"] == 2} for row in ROWS]
    rows[0]["terminated"] = True
    del rows[2], rows[3]  # of the first game, red's steps 1 and 2
    episodes = write(tmp_path / "a", pa.Table.from_pylist(rows)).episodes()
    assert episodes.action[0, :, 1].tolist() == [1, -1, -1]
    alone = [row for row in ROWS if row["seat"] == "red"]
    table = pa.Table.from_pylist(alone).drop_columns("seat")
    assert write(tmp_path / "b", table).game().num_players == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": None}, "columns of the table.*expected 'reward' once"),
        ({"obs": [[1.0], [1.0, 2.0]] * 9}, "column 'obs', row 1: a list of 2"),
        ({"obs": [[1.0], None] * 9}, "column 'obs', row 1: null"),
        ({"obs": ["a"] * 18}, "column 'obs' is string: expected numbers"),
        ({"reward": [1.0, None] * 9}, "column 'reward', row 1: null"),
        (
            {"step": [0] * 18},
            "row 2: expected one row for each episode, step and seat; an earlier",
        ),
        (
            {"step": [2 * r["step"] for r in ROWS]},
            "row 2: step=2: .*without a gap",
        ),
        ({"step": [0.5] * 18}, r"step\[0\]=0.5: .*whole number"),
        ({"episode": [1.5] * 18}, "column 'episode' is double"),
        ({"player": ["ann"] * 17 + ["eve"]}, "column 'player', row 13"),
        (
            {"terminated": [2] * 18},
            r"terminated\[0\]=2: expected True or False",
        ),
        ({"prob": [0.0] * 18}, r"prob\[0\]=0.0: expected a probability"),
        (
            {"goal_source": ["guess"] * 18},
            "goal_source='guess': expected one of",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_column_and_row(
    tmp_path, changes, message
):
    frame = {name: column(name)[name] for name in ROWS[0]}
    frame = {k: v for k, v in (frame | changes).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        write(tmp_path, frame)
    assert not (tmp_path / "data").exists()


def test_names_of_seats_are_those_of_the_game(tmp_path):
    """Alphabetically `agent` comes after `adversary_1`, here its play comes first."""
    rows = [
        {
            "episode": 0,
            "step": 0,
            "seat": seat,
            "obs": [float(k), 0.0, 0.0, 0.0, 0.0, *(np.arange(3) == k) * 1.0],
            "action": action,
            "reward": float(k),
            "terminated": True,
        }
        for seat, k, action in [
            ("agent", 2, "RIGHT"),
            ("adversary_1", 1, "AWAY"),
            ("adversary_0", 0, "LEFT"),
        ]
    ]
    game = Hide(rounds=1)
    named = write(tmp_path / "a", pa.Table.from_pylist(rows), game=game)
    numbers = {"agent": 2, "adversary_1": 1, "adversary_0": 0}
    for row in rows:
        row["seat"] = numbers[row["seat"]]
    again = write(tmp_path / "b", pa.Table.from_pylist(rows), game=game)
    for store in (named, again):
        assert store.episodes().action[0, 0].tolist() == [0, 2, 1]
        assert store.episodes().reward[0, 0].tolist() == [0, 1, 2]
    rows[0]["seat"] = 3
    with pytest.raises(ValueError, match=r"seat=3: expected 0 to 2, or one of"):
        write(tmp_path / "c", pa.Table.from_pylist(rows), game=game)
    for row in rows:
        row["seat"] = "runner"
    with pytest.raises(
        ValueError, match=r"'runner': expected 0 to 2, or .*agent"
    ):
        write(tmp_path / "d", pa.Table.from_pylist(rows), game=game)


def test_numbers_are_seats_though_agents_are_named_by_numbers(tmp_path):
    """A recorded game whose seats are called "1" and "0"."""
    rows = [
        dict(row, seat={"red": "1", "blue": "0"}[row["seat"]]) for row in ROWS
    ]
    table = pa.Table.from_pylist(rows)
    game = write(tmp_path / "a", table, roles=["1", "0"]).game()
    assert game.seat_names == ("1", "0")
    named = write(tmp_path / "b", table, game=game).episodes()
    for row in rows:
        row["seat"] = int(row["seat"] == "0")
    table = pa.Table.from_pylist(rows)
    numbered = write(tmp_path / "c", table, game=game).episodes()
    np.testing.assert_array_equal(named.action, numbered.action)


def test_names_are_in_natural_order_or_in_the_order_given(tmp_path):
    seats = [f"agent_{k}" for k in (10, 2, 0)]
    rows = [
        dict(ROWS[0], seat=seat, reward=float(seat[6:]), terminated=True)
        for seat in seats
    ]
    store = write(tmp_path / "a", pa.Table.from_pylist(rows))
    assert store.episodes().reward[0, 0].tolist() == [0, 2, 10]
    table = pa.Table.from_pylist(ROWS)
    store = write(tmp_path / "b", table, roles=["red", "blue"])
    assert store.game().roles == ("red", "blue")
    red = [row["player"] == "bob" for row in ROWS if row["seat"] == "red"]
    assert store.episodes().player[:, 0].tolist() == red[::3]
    names = {"action_names": ["up", "down"], "goal_names": ["none", "left"]}
    names["goal_names"] = ["left", "none"]
    one = write(tmp_path / "c", table, **names)
    two = write(tmp_path / "d", table)
    assert one.game().action_names == ("up", "down")
    assert (one.episodes().action == 1 - two.episodes().action).all()
    with pytest.raises(ValueError, match="'down': expected one of"):
        write(tmp_path / "e", table, action_names=["up"])


def test_ordered_categories_have_their_order(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pa.Table.from_pylist(ROWS).to_pandas()
    kind = pandas.CategoricalDtype(["red", "blue"], ordered=True)
    frame["seat"] = frame["seat"].astype(kind)
    store = write(tmp_path, frame)
    episodes = store.episodes()
    assert " red  blue" in store.describe()
    assert episodes.action[0].tolist() == [[1, 0], [0, 1], [1, 0]]  # red, blue


def test_a_column_whose_name_is_nearly_one_that_is_read_is_refused(tmp_path):
    rows = [dict(row, truncatd=row["step"] == 2) for row in ROWS]
    with pytest.raises(
        ValueError, match="'truncatd': did you mean 'truncated'"
    ):
        write(tmp_path, pa.Table.from_pylist(rows))


def test_names_beside_a_game_must_be_its_own(tmp_path):
    game = write(tmp_path / "a", pa.Table.from_pylist(ROWS)).game()
    table = pa.Table.from_pylist(ROWS)
    write(tmp_path / "b", table, game=game, action_names=["down", "up"])
    for names in ({"action_names": ["up", "down"]}, {"max_steps": 9}):
        with pytest.raises(
            ValueError, match=f"{next(iter(names))}=.*leave it out"
        ):
            write(tmp_path / "c", table, game=game, **names)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_pylist(ROWS)
    twice = table.append_column("reward", table["reward"])
    pandas = table.to_pandas()
    pandas.columns = ["reward" if c == "action" else c for c in pandas]
    for frame in (twice, pandas):
        with pytest.raises(ValueError, match="are 2 columns 'reward'"):
            write(tmp_path / "a", frame)


def test_a_column_of_several_types_is_named_with_its_types(tmp_path):
    table = pa.Table.from_pylist(ROWS).to_pandas()
    table["reward"] = [0, "a", None] * 6
    for frame in (table, {name: list(table[name]) for name in table}):
        with pytest.raises(ValueError, match="'reward' holds int, str"):
            write(tmp_path / "a", frame)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="frame of int: expected a table"):
        write(tmp_path, 3)
    with pytest.raises(
        ValueError, match="columns=colour: expected names among"
    ):
        write(tmp_path, {"a": [1]}, columns={"colour": "a"})
    with pytest.raises(ValueError, match="table of 0 rows"):
        write(tmp_path, pa.Table.from_pylist(ROWS).slice(0, 0))
