"""Datasets from tables with a row for each episode, step and seat."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bestreply.data.arrays import recorded_game, refuse_beside, write_store
from bestreply.data.frame_rows import read_rows
from bestreply.data.logged import warned_ends
from bestreply.data.store import Store
from bestreply.utils.checks import shown
from bestreply.utils.parquet import reason

if TYPE_CHECKING:
    from bestreply.games.base import Game


def store_from_frame(
    frame: Any,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    action_names: Sequence[str] | None = None,
    goal_names: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seat_actions: Sequence[int] | None = None,
    max_steps: int | None = None,
    game: "Game | str | None" = None,
    path: str | os.PathLike | None = None,
) -> Store:
    """Write a table as a dataset; it has a row for each episode, step and seat.

    Columns: `episode`, `step`, `obs`, `action`, `reward`, `terminated`, and optionally
    `seat` (needed for more than one), `truncated`, `legal`, `prob`, `player`, `goal`,
    `next_obs`, `next_legal`. Seats, actions, players and goals can be names. A seat
    without a row at a step is absent. Casts, and the treatment of unknown observations
    after an episode's last step, are those of `store_from_arrays`.

    Names of seats are those of the game: its agents, its roles, or roles with a number
    ("hunter_0"). Without a game, seats, actions and goals are in the order of an
    ordered categorical column, else in natural order ("a2" before "a10").

    Args:
        frame: a table of pandas, Polars, PyArrow, DuckDB, or a dict of columns.
        columns: for each of the names above the column that has it, or several columns
            of numbers that stand side by side, such as ``{"obs": ["x", "y"]}``. By
            default the column of this name, or those of name_0, name_1, ...
        action_names: names of the actions in the order wanted; needed where the column
            has numbers and "0", "1", ... are not wanted.
        goal_names: names of the goals, in the same way.
        roles: role of each seat, where seats differ; if the seats have these very
            names, also their order.
        seat_actions: number of actions of each seat, where they differ.
        max_steps: step limit; by default the longest episode.
        game: the game, or its name; by default a recorded game of these shapes and
            names.
        path: folder of the dataset; by default a new one in ``datasets/``.

    Returns:
        The dataset.

    Raises:
        ValueError: a column is missing or holds other values; names it and the row.
        FileExistsError: there is a dataset in `path`.
    """
    from bestreply.games import make_game

    game = None if game is None else make_game(game)
    return store_from_table(
        as_table(frame),
        columns,
        action_names=action_names,
        goal_names=goal_names,
        roles=roles,
        seat_actions=seat_actions,
        max_steps=max_steps,
        game=game,
        path=path,
    )


def store_from_table(
    table: pa.Table,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    action_names: Sequence[str] | None = None,
    goal_names: Sequence[str] | None = None,
    game: "Game | None" = None,
    path: str | os.PathLike | None = None,
    **shape: Any,
) -> Store:
    """Write an Arrow table as a dataset, as `store_from_frame`.

    Args:
        table: the rows.
        columns, action_names, goal_names, game, path: as there.
        shape: its `roles`, `seat_actions` and `max_steps`.

    Returns:
        The dataset.

    Raises:
        ValueError, FileExistsError: as there.
    """
    names: dict[str, Any] = {"actions": action_names, "goals": goal_names}
    rows = read_rows(table, columns, game, **names, roles=shape.get("roles"))
    log = warned_ends(rows.log)
    if game is None:
        game = recorded_game(
            log,
            action_names=rows.actions,
            goal_names=rows.goals,
            seat_names=rows.seats,
            **shape,
        )
    else:
        given = {"action_names": action_names, "goal_names": goal_names}
        refuse_beside(game, given | shape)
    roster = [{"name": name, "version": 1} for name in rows.roster]
    return write_store(log, game, roster, path)


def as_table(frame: Any) -> pa.Table:
    """Return a table of any library as an Arrow table.

    Args:
        frame: a table of pandas, Polars, PyArrow, DuckDB, or a dict of columns.

    Raises:
        ValueError: it is no such table, two columns have one name, or a column has
            values of several types.
    """
    _refuse_equal_names(frame)
    try:
        if isinstance(frame, Mapping):
            columns = {str(k): _column(v) for k, v in frame.items()}
            return pa.table(columns)
        if isinstance(frame, pa.Table):
            return frame
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
        if hasattr(frame, "collect"):  # a lazy frame
            return as_table(frame.collect())
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(
            f"frame: expected columns of numbers, text and flat lists; "
            f"{_mixed_columns(frame) or reason(error)}"
        ) from None
    raise ValueError(
        f"frame of {type(frame).__name__}: expected a table of pandas, Polars or "
        "PyArrow, or a dict of columns"
    )


def _refuse_equal_names(frame: Any) -> None:
    if hasattr(frame, "collect"):  # a lazy frame; its names take a query
        return
    names = getattr(frame, "column_names", getattr(frame, "columns", ()))
    if not isinstance(names, Iterable):
        return
    counts = Counter(map(str, names))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"columns of the table, {shown(list(counts))}: expected each name once; "
            f"there are {counts[twice[0]]} columns {twice[0]!r}. Rename or drop one"
        )


def _mixed_columns(frame: Any) -> str:
    """Return what columns of Python objects hold, in words; "" if that is one type."""
    words = []
    names = getattr(frame, "columns", frame)
    for name in names if isinstance(names, Iterable) else ():
        values = frame[name] if isinstance(frame[name], Iterable) else ()
        types = {type(v).__name__ for v in values if not _is_missing(v)}
        if len(types) > 1:
            words.append(f"column {name!r} holds {', '.join(sorted(types))}")
    return "; ".join(words)


def _column(values: Any) -> Any:
    """Return values for an Arrow column; arrays of more axes as lists of numbers."""
    if isinstance(values, list | pa.Array | pa.ChunkedArray):
        return values
    array = np.asarray(values)
    if array.ndim < 2 or array.dtype.kind == "O":
        return values
    return pa.FixedSizeListArray.from_arrays(
        pa.array(array.reshape(-1)), int(np.prod(array.shape[1:]))
    )


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)
