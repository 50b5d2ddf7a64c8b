"""Repeated matrix games, small enough for exact solutions."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, PRNGKeyArray

from bestreply.games.base import Game, Outcomes
from bestreply.games.sizes import check_sizes
from bestreply.types import ABSENT, Array, TimeStep, ego_order
from bestreply.utils.checks import is_number, shown
from bestreply.utils.spec import Spec

MAX_ENTRIES = 2**28
"""Largest number of entries of an observation, 1 GB."""


class Table(NamedTuple):
    """A stage game of two players."""

    rows: tuple[tuple[float, ...], ...]  # payoffs of the row player
    columns: tuple[tuple[float, ...], ...]  # payoffs of the column player
    actions: tuple[str, ...]  # names


def _symmetric(rows: tuple[tuple[float, ...], ...], *actions: str) -> Table:
    """Return the symmetric game of the row player's payoffs."""
    return Table(rows, tuple(zip(*rows, strict=True)), actions)


TABLES = {
    # Osborne, An Introduction to Game Theory (2004), ch. 2; OpenSpiel's matrix_sh.
    "stag_hunt": _symmetric(((2, 0), (1, 1)), "STAG", "HARE"),
    # Axelrod, The Evolution of Cooperation (1984): temptation 5, reward 3, punishment 1, sucker's payoff 0.
    "prisoners_dilemma": _symmetric(((3, 0), (5, 1)), "COOPERATE", "DEFECT"),
    # OpenSpiel's matrix_cd: temptation 4 > reward 3 > sucker's payoff 1 > crash 0.
    "chicken": _symmetric(((3, 1), (4, 0)), "SWERVE", "STRAIGHT"),
    # The first player wins 1 from the second on a match, the second from the first otherwise.
    "matching_pennies": Table(
        ((1, -1), (-1, 1)), ((-1, 1), (1, -1)), ("HEADS", "TAILS")
    ),
    "rock_paper_scissors": _symmetric(
        ((0, -1, 1), (1, 0, -1), (-1, 1, 0)), "ROCK", "PAPER", "SCISSORS"
    ),
}
"""Stage games by name; in the first three, action 0 is cooperative."""


class MatrixState(eqx.Module):
    """State of a repeated matrix game of ``N`` players with memory of ``k`` rounds."""

    history: Array  # [k, N] int32, joint actions, newest first; or ABSENT
    time: Array  # [] int32, rounds played
    over: Array  # [] bool, the game has ended by its rules


@dataclasses.dataclass(frozen=True)
class MatrixGame(Game):
    """A matrix game that the same players repeat; they see the last joint actions.

    The stage game is a `table` of `TABLES` by name, or `payoffs`, nested
    ``[N][A]...[A]``: ``payoffs[i][a_0][a_1]...`` is the payoff of player ``i``, e.g.
    ``matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))))`` for the prisoner's dilemma, which
    is also the default. Every player has the same number of actions. `actions` names
    them (by default those of the table, or ACTION_0, ...).

    Length, one of:

    - `rounds`: a fixed number (default 10). The game ends by its rules, so the last
      round is `terminated`. A smaller `max_steps` truncates the game earlier.
    - `continuation`: after every round the game continues with this probability p, so
      its mean length is 1 / (1 - p) rounds. A drawn end is `terminated`; the end at
      `max_steps` (default 100) is `truncated`.

    `max_steps=0` means not given.

    Observation, flat: joint actions of the last `memory` rounds, ``[memory, N, A]``
    one-hot, newest first, ego-first, zeros before the first round (`recall` decodes
    it); if the stage game treats seats differently, the own seat, ``[N]`` one-hot; the
    fraction of rounds left, or the constant `continuation`. `max_steps` is not
    observed, since it ends the episode, not the game.
    """

    name = "matrix"
    version = 1
    summary = "repeated matrix game: a table by name (stag hunt, prisoner's dilemma, chicken, ...) or any payoffs"

    table: str | None = None
    payoffs: Any = None
    actions: Any = None
    rounds: int | None = None
    continuation: float | None = None
    memory: int = 1
    max_steps: int = 0

    def __post_init__(self) -> None:
        given = dict(self.settings)
        _check_types(given)
        if self.table is not None and self.payoffs is not None:
            raise ValueError(
                f"table={self.table!r}: expected no payoffs beside it in matrix"
            )
        if self.table is None and self.payoffs is None:
            given["table"] = "prisoners_dilemma"
        if given["table"] is not None and given["table"] not in TABLES:
            raise ValueError(
                f"table={self.table!r}: expected {', '.join(TABLES)}, or payoffs=..."
            )
        try:
            given["payoffs"] = _plain(self.payoffs)
        except RecursionError:
            raise ValueError(f"payoffs nested too deeply: {PAYOFFS}") from None
        if self.actions is not None:
            given["actions"] = tuple(str(a) for a in self.actions)
        given |= _length(self.rounds, self.continuation, self.max_steps)
        # Completed and hashable, so that equal games have equal settings.
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if self.memory < 0:
            raise ValueError(
                f"memory={self.memory}: expected 0 or more rounds in matrix"
            )
        if given["payoffs"] is not None:
            _check_payoffs(given["payoffs"])
        if math.prod(self._remembered) > MAX_ENTRIES:
            raise ValueError(
                f"memory={self.memory}: expected observations of at most "
                f"{MAX_ENTRIES} entries in matrix"
            )
        count = self.payoff_array.shape[1]
        if len(set(self.action_names)) != count:
            raise ValueError(
                f"actions={self.actions}: expected {count} different names in matrix"
            )
        check_sizes(self)

    # -- payoffs and sizes --------------------------------------------------

    @functools.cached_property
    def payoff_array(self) -> Float32[np.ndarray, "N *A"]:
        """[N, A, ..., A] float32: the payoff of each player by joint action."""
        payoffs = self.payoffs
        if self.table is not None:
            table = TABLES[self.table]
            payoffs = table.rows, table.columns
        return np.asarray(payoffs, np.float32)

    def payoffs_of(self, seat: int) -> tuple[Any, ...]:
        """Return the payoffs of one seat.

        Args:
            seat: the seat.

        Returns:
            Nested [A]...[A]; its own action first, then those of the other seats in
            order.
        """
        return _plain(np.moveaxis(self.payoff_array[seat], seat, 0))

    @functools.cached_property
    def symmetric(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether exchanging two players' seats and actions exchanges their payoffs."""
        n, table = self.num_players, self.payoff_array
        for seat in range(
            n - 1
        ):  # adjacent exchanges generate all permutations
            seats = np.arange(n)
            seats[[seat, seat + 1]] = seats[[seat + 1, seat]]
            exchanged = table[seats].transpose(0, *(seats + 1))
            if not np.array_equal(exchanged, table):
                return False
        return True

    @property
    def num_players(self) -> int:
        return len(self.payoff_array)

    @property
    def action_names(self) -> tuple[str, ...]:
        if self.actions is not None:
            return self.actions
        if self.table is not None:
            return TABLES[self.table].actions
        return tuple(f"ACTION_{a}" for a in range(self.payoff_array.shape[1]))

    @property
    def _rounds(self) -> int:
        return self.rounds or self.max_steps

    @property
    def _remembered(self) -> tuple[int, int, int]:
        return (self.memory, self.num_players, self.payoff_array.shape[1])

    @property
    def obs_shape(self) -> tuple[int, ...]:
        own_seat = 0 if self.symmetric else self.num_players
        return (math.prod(self._remembered) + own_seat + 1,)

    @property
    def binary(self) -> np.ndarray:
        return np.arange(self.obs_shape[0]) < self.obs_shape[0] - 1

    # -- rules --------------------------------------------------------------

    def start(self, key: PRNGKeyArray) -> MatrixState:
        history = jnp.full((self.memory, self.num_players), ABSENT, jnp.int32)
        return MatrixState(
            history=history, time=jnp.int32(0), over=jnp.array(False)
        )

    def advance(
        self, state: MatrixState, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> tuple[MatrixState, Float[Array, " N"]]:
        reward = jnp.asarray(self.payoff_array)[(slice(None), *actions)]
        newest = actions[None].astype(jnp.int32)
        history = jnp.concatenate([newest, state.history])[: self.memory]
        time = state.time + 1
        if self.continuation is None:
            over = jnp.asarray(time >= self._rounds)
        else:
            over = ~jax.random.bernoulli(key, self.continuation)
        return MatrixState(history=history, time=time, over=over), reward

    def outcomes(
        self, state: MatrixState, actions: Int[Array, " N"]
    ) -> Outcomes:
        """Return the outcomes of a step.

        Args:
            state: the state.
            actions: the joint action.

        Returns:
            One; with `continuation` two: the game continues, the game ends.
        """
        if self.continuation is None:
            return super().outcomes(state, actions)
        actions = jnp.asarray(actions)
        moved, reward = self.advance(state, actions, jax.random.key(0))

        def settle(over: jax.Array) -> tuple[MatrixState, TimeStep]:
            new = MatrixState(moved.history, moved.time, over)
            return self._settle(state, new, reward)

        continues = jnp.where(self.finished(state), 1.0, self.continuation)
        return Outcomes(
            jnp.stack([continues, 1 - continues]),
            *jax.vmap(settle)(jnp.array([False, True])),
        )

    def first_states(self) -> Outcomes:
        state, shown = self.reset(jax.random.key(0))
        only = Outcomes(jnp.float32(1), state, shown)
        return jax.tree.map(lambda x: x[None], only)

    def finished(self, state: MatrixState) -> Bool[Array, ""]:
        return jnp.asarray(state.over | (state.time >= self.max_steps))

    def look(self, state: MatrixState, reward: Float[Array, " N"]) -> TimeStep:
        return TimeStep(
            obs=self.observe(state),
            legal=jnp.ones((self.num_players, self.num_actions), bool),
            reward=reward.astype(jnp.float32),
            terminated=jnp.broadcast_to(state.over, (self.num_players,)),
            truncated=(state.time >= self.max_steps) & ~state.over,
            present=jnp.ones(self.num_players, bool),
        )

    def observe(self, state: MatrixState) -> Float[Array, "N D"]:
        """Return the observations of all seats.

        Args:
            state: the state.

        Returns:
            Flat observations, ego-first.
        """
        n = self.num_players
        # [k, N, A]; ABSENT gives zeros
        history = jax.nn.one_hot(state.history, self.num_actions)
        views = jnp.moveaxis(history[:, ego_order(n)], 1, 0).reshape(n, -1)
        own_seat = jnp.zeros((n, 0)) if self.symmetric else jnp.eye(n)
        if self.continuation is None:
            ahead = (self._rounds - state.time) / self._rounds
        else:
            ahead = self.continuation
        ahead = jnp.full((n, 1), ahead)
        return jnp.concatenate([views, own_seat, ahead], axis=1)

    # -- contents of an observation ------------------------------------------

    def recall(
        self, obs: Float[Array, "*batch D"]
    ) -> Int32[Array, "*batch k N"]:
        """Return the joint actions in an observation.

        Args:
            obs: observations.

        Returns:
            Joint actions, newest round first, each ego-first; ABSENT if there was no
            such round.
        """
        seen = self._seen(obs)
        recalled = jnp.where(seen.any(-1), seen.argmax(-1), ABSENT)
        return recalled.astype(jnp.int32)

    def _seen(
        self, obs: Float[Array, "*batch D"]
    ) -> Float[Array, "*batch k N A"]:
        obs = jnp.asarray(obs)
        history = obs[..., : math.prod(self._remembered)]
        return history.reshape(*obs.shape[:-1], *self._remembered)

    def perspective(
        self, obs: Float[Array, "*batch D"], other: Int[Array, ""] | int
    ) -> Float[Array, "*batch D"]:
        """Return another seat's observation.

        Args:
            obs: the own observations.
            other: ego-first index of the other seat.

        Returns:
            Its observations; the remaining players are in seat order if the stage
            game treats seats differently, else in the own order.
        """
        obs, n = jnp.asarray(obs), self.num_players
        history = math.prod(self._remembered)
        if self.symmetric:
            order = jnp.asarray(ego_order(n))[other]
            order = jnp.broadcast_to(order, (*obs.shape[:-1], n))
            seat = obs[..., history:-1]
        else:
            orders = jnp.asarray(ego_order(n))
            seats = orders[obs[..., history:-1].argmax(-1)]  # [..., N]
            other_seat = seats[..., other]
            places = jnp.argsort(seats, axis=-1)
            order = jnp.take_along_axis(places, orders[other_seat], axis=-1)
            seat = jax.nn.one_hot(other_seat, n)
        order = order[..., None, :, None]
        seen = jnp.take_along_axis(self._seen(obs), order, axis=-2)
        seen = seen.reshape(*obs.shape[:-1], history)
        return jnp.concatenate([seen, seat, obs[..., -1:]], axis=-1)

    def legal_in(self, obs: Float[Array, "... D"]) -> Bool[Array, "... A"]:
        return jnp.ones((*jnp.shape(obs)[:-1], self.num_actions), bool)

    def present_in(self, obs: Float[Array, "... D"]) -> Bool[Array, "... N"]:
        return jnp.ones((*jnp.shape(obs)[:-1], self.num_players), bool)

    def state_in(self, obs: Float[Array, " D"]) -> MatrixState | None:
        """Return the state of an observation, for a symmetric stage game.

        Args:
            obs: the observation.

        Returns:
            The state; with `continuation` its round number is 0, since it is not
            observed. None if the stage game treats seats differently.
        """
        if not self.symmetric:
            return None
        history = self.recall(obs)
        if self.rounds is None:
            return MatrixState(history, jnp.int32(0), jnp.array(False))
        time = jnp.round(self.rounds * (1 - jnp.asarray(obs)[-1]))
        time = time.astype(jnp.int32)
        return MatrixState(history=history, time=time, over=time >= self.rounds)

    def text(self, obs: Float[Array, " D"], seat: int = 0) -> str:
        """Return an observation as text.

        Args:
            obs: the observation.
            seat: the seat that has it.

        Returns:
            The rounds left, and each player's remembered actions, oldest first.
        """
        ahead = float(np.asarray(obs)[-1])
        if self.rounds is None:
            first = f"continues after each round with probability {ahead:.3g}"
        else:
            left = round(ahead * self.rounds)
            first = f"{left} of {self.rounds} rounds left"
        played = np.asarray(self.recall(obs))[::-1]
        played = played[(played != ABSENT).all(1)]  # [rounds, N]
        names = np.array(self.action_names)
        width = max(map(len, self.action_names))
        lines = [first]
        places = np.argsort(ego_order(self.num_players)[seat])
        for player, place in enumerate(places):
            acts = (name.ljust(width) for name in names[played[:, place]])
            you = " (you)" if player == seat else "      "
            line = f"player {player + 1}{you}  {' '.join(acts) or '-'}"
            lines.append(line.rstrip())
        return "\n".join(lines)


# -- settings ----------------------------------------------------------------


def _plain(table: Any) -> Any:
    """Return nested lists, tuples or arrays as nested tuples of Python numbers."""
    if isinstance(table, np.ndarray | jax.Array):
        table = np.asarray(table).tolist()
    if isinstance(table, list | tuple):
        return tuple(map(_plain, table))
    return table


PAYOFFS = (
    "expected payoffs[i][a_0][a_1]... of player i: one level for the players, then one "
    "for each player's actions, e.g. (((3,0),(5,1)),((3,5),(0,1))) for two players "
    "with two actions"
)


def _check_payoffs(payoffs: Any) -> None:
    """Raise ValueError if `payoffs` are no table [N][A]...[A] of finite numbers."""
    try:
        if not all(map(_is_number, _leaves(payoffs))):
            raise TypeError
        table = np.asarray(payoffs, np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise ValueError(
            f"payoffs={shown(payoffs)}: ragged, or not only numbers; {PAYOFFS}"
        ) from None
    count = len(table) if table.ndim else 0
    is_table = table.ndim >= 3 and table.ndim == len(table) + 1
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(table.astype(np.float32)).all()
    if not is_table or not is_finite:
        raise ValueError(
            f"payoffs of shape {table.shape} for {count} players: {PAYOFFS}, "
            "all finite in float32"
        )
    if len(set(table.shape[1:])) != 1 or table.size == 0:
        counts = ", ".join(map(str, table.shape[1:]))
        raise ValueError(
            f"payoffs of players with {counts} actions: expected the same number for "
            "each. Repeat a row of the player that has fewer"
        )


def _leaves(table: Any) -> Iterator[Any]:
    if not isinstance(table, tuple):
        yield table
        return
    for entry in table:
        yield from _leaves(entry)


def _is_number(value: Any) -> bool:
    """Return whether NumPy may read a value as a number: no text, no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_types(settings: dict[str, Any]) -> None:
    """Raise ValueError if a setting, read from a file perhaps, has another type."""
    conditions = {
        "table": (lambda v: isinstance(v, str), "a name"),
        "actions": (
            lambda v: (
                isinstance(v, list | tuple)
                and all(isinstance(name, str | Spec) for name in v)
            ),
            "a list of names",
        ),
        "continuation": (is_number, "a number"),
        "rounds": (_is_count, "a whole number below 2^31"),
        "memory": (_is_count, "a whole number below 2^31"),
        "max_steps": (_is_count, "a whole number below 2^31"),
    }
    needed = ("memory", "max_steps")
    for name, (fits, condition) in conditions.items():
        value = settings[name]
        if not fits(value) and (value is not None or name in needed):
            raise ValueError(
                f"{name}={shown(value)}: expected {condition} in matrix"
            )


def _is_count(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**31


def _length(
    rounds: int | None, continuation: float | None, max_steps: int
) -> dict[str, Any]:
    """Return the complete settings of the length; raise ValueError if they conflict."""
    if rounds is not None and continuation is not None:
        raise ValueError(
            f"rounds={rounds}: expected no continuation={continuation} beside it"
        )
    if continuation is not None and not 0 <= continuation <= 1:
        raise ValueError(
            f"continuation={continuation}: expected a probability, 0 to 1"
        )
    if rounds is not None and rounds < 1:
        raise ValueError(f"rounds={rounds}: expected 1 or more")
    if max_steps < 0:
        raise ValueError(
            f"max_steps={max_steps}: expected 1 or more, or 0 for the default"
        )
    if continuation is not None:
        probability = float(continuation)
        return {"continuation": probability, "max_steps": max_steps or 100}
    rounds = 10 if rounds is None else rounds
    return {"rounds": rounds, "max_steps": min(max_steps or rounds, rounds)}
