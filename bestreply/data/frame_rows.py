"""Rows of a table, one for each episode, step and seat, as logged play."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, Shaped

from bestreply.data.array_casts import (
    as_flags,
    as_floats,
    as_observations,
    as_probs,
    as_whole,
)
from bestreply.data.arrays import UNKNOWN
from bestreply.data.columns import (
    codes_of,
    is_text,
    numbers_of,
)
from bestreply.data.logged import Logged
from bestreply.types import ABSENT, GOAL_SOURCES
from bestreply.utils.checks import nearly_named, shown
from bestreply.utils.untrusted import check_memory

if TYPE_CHECKING:
    from bestreply.games.base import Game

REQUIRED = ("episode", "step", "obs", "action", "reward", "terminated")
OPTIONAL = (
    "seat",
    "truncated",
    "legal",
    "prob",
    "player",
    "goal",
    "goal_source",
    "next_obs",
    "next_legal",
)
MAX_SEATS = 1_000


@dataclass(frozen=True)
class Rows:
    """Logged play from a table, and the names that it holds."""

    log: Logged
    roster: list[str]
    actions: Sequence[str] | None
    goals: Sequence[str] | None
    seats: Sequence[str]
    """Names of the seats in order; empty where they are numbers."""


def read_rows(
    table: pa.Table,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    game: "Game | None" = None,
    roster: Sequence[str] = (),
    *,
    actions: Sequence[str] | None = None,
    goals: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
) -> Rows:
    """Return the play that a table holds.

    Args:
        table: rows, in any order.
        columns: as in `bestreply.data.frames.store_from_frame`.
        game: the game, whose names columns of text hold; None: those that occur.
        roster: players in their order; others that occur follow them.
        actions, goals: names in their order, where there is no game; None: those that
            occur, in natural order.
        roles: role of each seat, where there is no game. Seats of these very names are
            in this order.

    Returns:
        The play and its names.

    Raises:
        ValueError: a column is missing or holds other values.
    """
    reader = _Reader(table, _chosen(table.column_names, columns or {}), game)
    places = reader.places(roles or ())
    spread = places.spread
    if game is not None:
        actions, goals = game.action_names, game.goals
    action, actions = reader.named("action", actions)
    goal, goals = reader.named("goal", goals)
    player, known = reader.players(roster)
    log = Logged(
        obs=spread(reader.observations("obs")),
        action=spread(action, ABSENT),
        reward=spread(as_floats("reward", reader.numbers("reward"))),
        terminated=spread(as_flags("terminated", reader.numbers("terminated"))),
        timeout=spread(reader.flags("truncated")),
        start=places.start,
        length=places.length,
        obs_start=places.start,
        has_final=np.zeros(len(places.start), bool),
        next_obs=spread(reader.observations("next_obs")),
        legal=spread(reader.flags("legal")),
        next_legal=spread(reader.flags("next_legal")),
        prob=spread(reader.probs(), np.nan),
        goal=spread(goal, ABSENT),
        goal_source=spread(reader.sources(goal)),
        player=places.of_episodes(player),
    )
    return Rows(log, known, actions, goals, places.names)


def _chosen(
    names: Sequence[str], columns: Mapping[str, str | Sequence[str]]
) -> dict[str, list[str]]:
    """Return the columns of a table that hold each quantity."""
    known = (*REQUIRED, *OPTIONAL)
    chosen = {}
    for name in columns:
        if name not in known:
            raise ValueError(
                f"columns={name}: expected names among {', '.join(known)}"
            )
    for name in known:
        given = columns.get(name)
        if given is None:
            group = _numbered(name, names)
            found = [name] if name in names else group
        else:
            found = [given] if isinstance(given, str) else list(given)
        missing = [n for n in found if names.count(n) != 1]
        if missing or (not found and name in REQUIRED):
            raise ValueError(
                f"columns of the table, {shown(list(names))}: expected "
                f"{shown((missing or [name])[0])} once. Name the column of "
                f"{name!r}: columns={{{name!r}: ...}}"
            )
        if found:
            chosen[name] = found
    read = {column for group in chosen.values() for column in group}
    spare = [name for name in names if name not in read]
    for name, meant in nearly_named([*spare, *chosen], known):
        raise ValueError(
            f"column {name!r}: did you mean {meant!r}? Rename it, name it "
            f"(columns={{{meant!r}: {name!r}}}), or leave it out"
        )
    return chosen


def _numbered(name: str, names: Sequence[str]) -> list[str]:
    """Return the columns name_0, name_1, ..., in the order of their numbers."""
    pattern = re.compile(rf"{name}_([0-9]{{1,9}})")
    found = [(int(m[1]), n) for n in names if (m := pattern.fullmatch(n))]
    return [n for _, n in sorted(found)]


@dataclass(frozen=True)
class _Places:
    """The places of rows among S joint steps and N seats."""

    step: Int[np.ndarray, " rows"]
    seat: Int[np.ndarray, " rows"]
    seats: int
    names: Sequence[str]
    start: Int[np.ndarray, " E"]
    length: Int[np.ndarray, " E"]

    def spread(self, values: Any, empty: Any = 0) -> Any:
        """Return [rows, ...] values as [S, N, ...]; None as None."""
        if values is None:
            return None
        steps = int(self.length.sum())
        shape = (steps, self.seats, *values.shape[1:])
        size = int(np.prod(shape, dtype=object)) * values.itemsize
        check_memory(2 * size, f"table of {len(values):,} rows")
        result = np.full(shape, empty, values.dtype)
        result[self.step, self.seat] = values
        return result

    def of_episodes(
        self, values: Int[np.ndarray, " rows"]
    ) -> Int[np.ndarray, "E N"]:
        """Return the value of each seat of each episode, from its first row."""
        result = np.full((len(self.start), self.seats), -1, np.int32)
        episode = np.searchsorted(self.start, self.step, side="right") - 1
        result[episode[::-1], self.seat[::-1]] = values[::-1]
        changed = result[episode, self.seat] != values
        for row in np.flatnonzero(changed)[:1]:
            raise ValueError(
                f"column 'player', row {row}: expected the player of the seat's "
                "other rows of this episode"
            )
        return np.maximum(result, 0)  # a seat without rows has any player


@dataclass(frozen=True)
class _Reader:
    """The columns of a table by quantity."""

    table: pa.Table
    chosen: dict[str, list[str]]
    game: "Game | None"

    def has(self, name: str) -> bool:
        return name in self.chosen

    def column(self, name: str) -> pa.ChunkedArray:
        if len(self.chosen[name]) > 1:
            raise ValueError(
                f"columns of {name!r}, {shown(self.chosen[name])}: expected one"
            )
        return self.table[self.chosen[name][0]]

    def numbers(self, name: str, missing: float | None = None) -> np.ndarray:
        parts = [
            numbers_of(column, self.table[column], missing)
            for column in self.chosen[name]
        ]
        if len(parts) == 1:
            return parts[0]
        for column, part in zip(self.chosen[name], parts, strict=True):
            if part.ndim > 1:
                raise ValueError(
                    f"column {column!r}: expected numbers, as one of "
                    f"{len(parts)} columns of {name!r}"
                )
        return np.stack(parts, 1)

    def flags(self, name: str) -> Bool[np.ndarray, "rows ..."] | None:
        """Return booleans; of a missing column `truncated` False."""
        if self.has(name):
            return as_flags(name, self.numbers(name))
        return np.zeros(len(self.table), bool) if name == "truncated" else None

    def observations(self, name: str) -> Shaped[np.ndarray, "rows ..."] | None:
        if not self.has(name):
            return None
        dtype = None if self.game is None else self.game.obs_dtype
        values = as_observations(name, self.numbers(name), dtype)
        flat = values.reshape(len(values), -1)
        if self.game is None:
            return flat if values.ndim == 1 else values
        shape = self.game.obs_shape
        bare = (*shape[:-1], shape[-1] - self.game.num_players)
        for fitting in (shape, bare):
            if flat.shape[1] == np.prod(fitting):
                return flat.reshape(len(values), *fitting)
        raise ValueError(
            f"column {name!r} with {flat.shape[1]} entries in a row: expected "
            f"{int(np.prod(shape))}, as {self.game.name} has"
        )

    def probs(self) -> Shaped[np.ndarray, " rows"] | None:
        if not self.has("prob"):
            return None
        return as_probs("prob", self.numbers("prob", np.nan))

    def sources(self, goal: Any) -> Shaped[np.ndarray, " rows"] | None:
        """Return where goal labels come from: an event, where no column says."""
        if goal is None:
            return None
        if not self.has("goal_source"):
            return (goal != ABSENT).astype(np.int8)
        codes, known = codes_of("goal_source", self.column("goal_source"))
        for name in known:
            if name not in GOAL_SOURCES:
                raise ValueError(
                    f"goal_source={shown(name)}: expected one of "
                    f"{', '.join(GOAL_SOURCES)}"
                )
        return np.array([GOAL_SOURCES.index(n) for n in known], np.int8)[codes]

    def named(
        self, name: str, names: Sequence[str] | None
    ) -> tuple[Any, Sequence[str] | None]:
        """Return a column of numbers or names as indices, and the names.

        Nulls are -1, for a goal that is unknown.
        """
        if not self.has(name):
            return None, names
        if not is_text(self.column(name).type):
            values = self.numbers(name, ABSENT if name == "goal" else None)
            low = ABSENT if name == "goal" else 0
            return as_whole(
                name, values, low, None, f"the number of {name}"
            ), names
        codes, known = codes_of(name, self.column(name), name == "goal")
        if names is None:
            names = [n for n in known if n != "none"] + ["none"] * (
                "none" in known
            )
        index = {n: place for place, n in enumerate(names)}
        for row in np.flatnonzero([n not in index for n in known])[:1]:
            raise ValueError(
                f"column {name!r}: {shown(known[row])}: expected one of "
                f"{shown(list(names))}"
            )
        table = np.array([*(index[n] for n in known), ABSENT], np.int32)
        return table[codes], names

    def players(self, roster: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """Return the player of each row, and the names of all players."""
        if not self.has("player"):
            names = list(roster) or [UNKNOWN]
            return np.zeros(len(self.table), np.int32), names
        codes, known = codes_of("player", self.column("player"))
        names = list(dict.fromkeys([*roster, *map(str, known)]))
        table = np.array([names.index(str(n)) for n in known], np.int32)
        return table[codes], names

    def places(self, roles: Sequence[str]) -> _Places:
        """Return where each row is; seats of the names of `roles` are in their order."""
        if not len(self.table):
            raise ValueError("table of 0 rows: expected at least one")
        episode, _ = codes_of("episode", self.column("episode"))
        t = as_whole(
            "step", self.numbers("step"), 0, None, "the number of a step"
        )
        seat, seats, names = self._seats(roles)
        steps = int(t.max()) + 1
        joint, step = np.unique(episode * steps + t, return_inverse=True)
        _, start, length = np.unique(
            joint // steps, return_index=True, return_counts=True
        )
        self._refuse_twice(step * seats + seat)
        gaps = np.diff(joint) > 1
        gaps[start[1:] - 1] = False
        for place in np.flatnonzero(gaps)[:1]:
            row = int(np.argmax(step == place + 1))
            raise ValueError(
                f"row {row}: step={t[row]}: expected the step after "
                f"{joint[place] % steps}, without a gap"
            )
        return _Places(step, seat, seats, names, start, length)

    def _refuse_twice(self, keys: Int[np.ndarray, " rows"]) -> None:
        _, first = np.unique(keys, return_index=True)
        if len(first) < len(keys):
            twice = np.ones(len(keys), bool)
            twice[first] = False
            hint = "name the column of 'seat': columns={'seat': ...}"
            if self.has("seat"):
                hint = (
                    "an earlier row has the same three; leave one of them out"
                )
            raise ValueError(
                f"row {int(twice.argmax())}: expected one row for each episode, step "
                f"and seat; {hint}"
            )

    def _seats(
        self, roles: Sequence[str]
    ) -> tuple[np.ndarray, int, Sequence[str]]:
        """Return the seat of each row, the number of seats, and names that they have."""
        if not self.has("seat"):
            return np.zeros(len(self.table), np.int64), 1, ()
        column = self.column("seat")
        codes, known = codes_of("seat", column)
        if len(known) > MAX_SEATS:
            raise ValueError(
                f"column 'seat' with {len(known):,} values: expected at most "
                f"{MAX_SEATS:,}"
            )
        if self.game is None:
            given = sorted(known) == sorted(roles)  # names of seats, as roles
            order = list(roles) if given else known
            seats = np.array([order.index(name) for name in known])
            names = order if is_text(column.type) else ()
            return seats[codes], len(known), names
        seats = _seats_of(self.game, known)
        return seats[codes], self.game.num_players, ()


def _seats_of(game: "Game", known: Sequence[Any]) -> Int[np.ndarray, " names"]:
    """Return the seat in a game of each number or name in a column."""
    from bestreply.games.seats import seats_by_name

    count, names = game.num_players, seats_by_name(game)
    seats: dict[Any, int] = {seat: seat for seat in range(count)}
    seats |= {str(seat): seat for seat in seats} | names
    for value in known:
        if value not in seats:
            raise ValueError(
                f"seat={shown(value)}: expected 0 to {count - 1}, or one of "
                f"{shown(list(names))}, as {game.name} has"
            )
    return np.array([seats[value] for value in known])
