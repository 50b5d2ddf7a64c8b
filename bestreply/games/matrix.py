"""Repeated matrix games: small enough to be solved exactly."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game, Outcomes
from bestreply.types import ABSENT, Array, TimeStep, ego_order


class Table(NamedTuple):
    """A named stage game of two players: payoffs of the row and of the column player, the actions' names."""

    rows: tuple[tuple[float, ...], ...]
    columns: tuple[tuple[float, ...], ...]
    actions: tuple[str, ...]


def _symmetric(rows: tuple[tuple[float, ...], ...], *actions: str) -> Table:
    """The column player gets what the row player would get in its place."""
    return Table(rows, tuple(zip(*rows, strict=True)), actions)


TABLES = {
    # Osborne, An Introduction to Game Theory (2004), ch. 2; OpenSpiel's matrix_sh. A stag takes both.
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
"""The stage games by name; in the first three, action 0 is the cooperative one."""


class MatrixState(eqx.Module):
    """State of a repeated matrix game of ``N`` players who remember ``k`` rounds."""

    history: Array  # [k, N] int32, joint actions in seat order, newest first; ABSENT before the game began
    time: Array  # [] int32, rounds played
    over: Array  # [] bool, the game has come to its own end


@dataclasses.dataclass(frozen=True)
class MatrixGame(Game):
    """A matrix game played again and again by the same players, who see the last `memory` joint actions.

    The stage game is a `table` of `TABLES` by name, or any `payoffs`, nested ``[N][A]...[A]``:
    ``payoffs[i][a_0][a_1]...`` is what player ``i`` gets, e.g.
    ``matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))))`` for the prisoner's dilemma. Every player has the same
    number of actions. `actions` names them (ACTION_0, ... where a table of one's own has no names). With no
    stage game named it is the prisoner's dilemma.

    How long:
    - `rounds`: a fixed number, known to all. It is the game's own end, so the last round is `terminated`. 10
      if nothing is said.
    - `continuation`: after every round the game goes on with this probability, so that a game has 1 / (1 - p)
      rounds in the mean. An end by the draw is `terminated`; one at `max_steps` (100 if not given) is
      `truncated`. With probability 1 only the cap ends the game. A `max_steps` (0: not given) below `rounds`
      cuts the game off there: `truncated`.

    Observation, flat: ``[memory, N, A]`` one-hot, newest round first, ego first, zeros before the game began
    (`recall` reads it); then, only where the table treats seats differently, the own seat [N] one-hot, for a
    player has to know which side it is on; then one number, the fraction of rounds left, or the constant
    `continuation`. The cap is not in sight: it ends the episode, not the game.
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
        if self.table is not None and self.payoffs is not None:
            raise ValueError(
                f"matrix: table={self.table!r} and payoffs; expected: one of the two"
            )
        if self.table is None and self.payoffs is None:
            given["table"] = "prisoners_dilemma"
        if given["table"] is not None and given["table"] not in TABLES:
            raise ValueError(
                f"matrix: table={self.table!r}; expected: {', '.join(TABLES)}, or payoffs=..."
            )
        given["payoffs"] = _plain(self.payoffs)
        given["actions"] = (
            None
            if self.actions is None
            else tuple(str(a) for a in self.actions)
        )
        given |= _length(self.rounds, self.continuation, self.max_steps)
        for (
            name,
            value,
        ) in given.items():  # filled in and hashable, so that equal games are equal and settings are complete
            object.__setattr__(self, name, value)
        if self.memory < 0:
            raise ValueError(
                f"matrix: memory={self.memory}; expected: 0 or more rounds"
            )
        if given["payoffs"] is not None:
            _check_payoffs(given["payoffs"])
        if len(set(self.action_names)) != self.payoff_array.shape[1]:
            raise ValueError(
                f"matrix: actions={self.actions}; expected: {self.payoff_array.shape[1]} different names"
            )

    # -- what it is ------------------------------------------------------------------------------------------

    @functools.cached_property
    def payoff_array(self) -> np.ndarray:
        """[N, A, ..., A] float32: what each player gets for a joint action."""
        payoffs = (
            self.payoffs
            if self.table is None
            else (TABLES[self.table].rows, TABLES[self.table].columns)
        )
        return np.asarray(payoffs, np.float32)

    def payoffs_of(self, seat: int) -> tuple[Any, ...]:
        """What `seat` gets, nested [A]...[A]: its own action first, then the others' in seat order."""
        return _plain(np.moveaxis(self.payoff_array[seat], seat, 0))

    @functools.cached_property
    def symmetric(self) -> bool:
        """The table treats all seats alike: players that swap seats and actions swap payoffs."""
        n, table = self.num_players, self.payoff_array
        for seat in range(n - 1):  # neighbours' swaps make every permutation
            seats = np.arange(n)
            seats[[seat, seat + 1]] = seats[[seat + 1, seat]]
            if not np.array_equal(
                table[seats].transpose(0, *(seats + 1)), table
            ):
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
        return (
            math.prod(self._remembered)
            + (0 if self.symmetric else self.num_players)
            + 1,
        )

    @property
    def binary(self) -> np.ndarray:
        return np.arange(self.obs_shape[0]) < self.obs_shape[0] - 1

    # -- rules -----------------------------------------------------------------------------------------------

    def start(self, key: jax.Array) -> MatrixState:
        history = jnp.full((self.memory, self.num_players), ABSENT, jnp.int32)
        return MatrixState(
            history=history, time=jnp.int32(0), over=jnp.array(False)
        )

    def advance(
        self, state: MatrixState, actions: jax.Array, key: jax.Array
    ) -> tuple[MatrixState, jax.Array]:
        reward = jnp.asarray(self.payoff_array)[(slice(None), *actions)]
        history = jnp.concatenate(
            [actions[None].astype(jnp.int32), state.history]
        )[: self.memory]
        time = state.time + 1
        if self.continuation is None:
            over = jnp.asarray(time >= self._rounds)
        else:
            over = ~jax.random.bernoulli(key, self.continuation)
        return MatrixState(history=history, time=time, over=over), reward

    def outcomes(self, state: MatrixState, actions: Array) -> Outcomes:
        """With `continuation` two: the game goes on, or comes to its end."""
        if self.continuation is None:
            return super().outcomes(state, actions)
        moved, reward = self.advance(
            state, jnp.asarray(actions), jax.random.key(0)
        )

        def ended(over: jax.Array) -> tuple[MatrixState, TimeStep]:
            return self._settle(
                state, MatrixState(moved.history, moved.time, over), reward
            )

        go_on = jnp.where(self.finished(state), 1.0, self.continuation)
        return Outcomes(
            jnp.stack([go_on, 1 - go_on]),
            *jax.vmap(ended)(jnp.array([False, True])),
        )

    def first_states(self) -> Outcomes:
        """One."""
        state, shown = self.reset(jax.random.key(0))
        return jax.tree.map(
            lambda x: x[None], Outcomes(jnp.float32(1), state, shown)
        )

    def finished(self, state: MatrixState) -> jax.Array:
        return jnp.asarray(state.over | (state.time >= self.max_steps))

    def look(self, state: MatrixState, reward: jax.Array) -> TimeStep:
        return TimeStep(
            obs=self.observe(state),
            legal=jnp.ones((self.num_players, self.num_actions), bool),
            reward=reward.astype(jnp.float32),
            terminated=jnp.broadcast_to(state.over, (self.num_players,)),
            truncated=(state.time >= self.max_steps) & ~state.over,
            present=jnp.ones(self.num_players, bool),
        )

    def observe(self, state: MatrixState) -> jax.Array:
        """[N, *obs_shape] float32."""
        n = self.num_players
        history = jax.nn.one_hot(
            state.history, self.num_actions
        )  # [k, N, A]; ABSENT gives zeros
        seen = jnp.moveaxis(history[:, ego_order(n)], 1, 0).reshape(
            n, -1
        )  # [N, k * N * A]
        seat = jnp.zeros((n, 0)) if self.symmetric else jnp.eye(n)
        ahead = (
            (self._rounds - state.time) / self._rounds
            if self.continuation is None
            else self.continuation
        )
        return jnp.concatenate([seen, seat, jnp.full((n, 1), ahead)], axis=1)

    # -- what an observation tells ---------------------------------------------------------------------------

    def recall(self, obs: Array) -> jax.Array:
        """[..., memory, N] int32: the joint actions in an observation, newest round first, each ego first.

        ABSENT where there was no such round.
        """
        seen = self._seen(obs)
        return jnp.where(seen.any(-1), seen.argmax(-1), ABSENT).astype(
            jnp.int32
        )

    def _seen(self, obs: Array) -> jax.Array:
        """[..., memory, N, A]."""
        obs = jnp.asarray(obs)
        return obs[..., : math.prod(self._remembered)].reshape(
            *obs.shape[:-1], *self._remembered
        )

    def perspective(self, obs: Array, other: Array | int) -> jax.Array:
        """Seat `other` (ego-first index) first, then the others.

        They follow in seat order where the observation tells seats apart, otherwise in our order.
        """
        obs, n = jnp.asarray(obs), self.num_players
        history = math.prod(self._remembered)
        if self.symmetric:
            order = jnp.argsort(jnp.arange(n) != other, stable=True)
            order, seat = (
                jnp.broadcast_to(order, (*obs.shape[:-1], n)),
                obs[..., history:-1],
            )
        else:
            seats = jnp.asarray(ego_order(n))[
                obs[..., history:-1].argmax(-1)
            ]  # [..., N], who sits where in our order
            theirs = seats[..., other]
            order = jnp.take_along_axis(
                jnp.argsort(seats, axis=-1),
                jnp.asarray(ego_order(n))[theirs],
                axis=-1,
            )
            seat = jax.nn.one_hot(theirs, n)
        seen = jnp.take_along_axis(
            self._seen(obs), order[..., None, :, None], axis=-2
        )
        return jnp.concatenate(
            [seen.reshape(*obs.shape[:-1], history), seat, obs[..., -1:]],
            axis=-1,
        )

    def legal_in(self, obs: Array) -> jax.Array:
        return jnp.ones((*jnp.shape(obs)[:-1], self.num_actions), bool)

    def present_in(self, obs: Array) -> jax.Array:
        return jnp.ones((*jnp.shape(obs)[:-1], self.num_players), bool)

    def state_in(self, obs: Array) -> MatrixState | None:
        """Where the table treats all seats alike. Of a game that goes on by chance the round number is not in sight: 0."""
        if not self.symmetric:
            return None
        time = (
            jnp.int32(0)
            if self.rounds is None
            else jnp.round(self.rounds * (1 - jnp.asarray(obs)[-1])).astype(
                jnp.int32
            )
        )
        over = jnp.array(False) if self.rounds is None else time >= self.rounds
        return MatrixState(history=self.recall(obs), time=time, over=over)

    def text(self, obs: Array, seat: int = 0) -> str:
        """How much is left, and what each player did in the rounds remembered, oldest first."""
        ahead = float(np.asarray(obs)[-1])
        if self.rounds is None:
            lines = [f"goes on after each round with probability {ahead:.3g}"]
        else:
            lines = [
                f"{round(ahead * self.rounds)} of {self.rounds} rounds left"
            ]
        played = np.asarray(self.recall(obs))[::-1]
        played = played[(played != ABSENT).all(1)]  # [rounds remembered, N]
        wide = max(map(len, self.action_names))
        for player, index in enumerate(
            np.argsort(ego_order(self.num_players)[seat])
        ):
            acts = (
                " ".join(
                    self.action_names[a].ljust(wide) for a in played[:, index]
                )
                or "-"
            )
            lines.append(
                f"player {player + 1}{' (you)' if player == seat else '      '}  {acts}".rstrip()
            )
        return "\n".join(lines)


# -- settings ------------------------------------------------------------------------------------------------


def _plain(table: Any) -> Any:
    """Nested lists, tuples or arrays as nested tuples of Python numbers."""
    if isinstance(table, np.ndarray | jax.Array):
        table = np.asarray(table).tolist()
    return (
        tuple(_plain(row) for row in table)
        if isinstance(table, list | tuple)
        else table
    )


def _check_payoffs(payoffs: Any) -> None:
    """Raises ValueError where `payoffs` is no table [N][A]...[A] of finite numbers."""
    wanted = (
        "expected: payoffs[i][a_0][a_1]..., what player i gets: one level for the players, then one for each "
        "player's actions, e.g. (((3,0),(5,1)),((3,5),(0,1))) for two players of two actions"
    )
    try:
        table = np.asarray(payoffs, np.float64)
    except (ValueError, TypeError):
        raise ValueError(
            f"matrix: payoffs={payoffs!r}: ragged, or holds other things than numbers; {wanted}"
        ) from None
    if (
        table.ndim < 3
        or table.ndim != len(table) + 1
        or not np.isfinite(table).all()
    ):
        raise ValueError(
            f"matrix: payoffs of shape {table.shape}, {len(payoffs)} players; {wanted}, all finite"
        )
    if len(set(table.shape[1:])) != 1 or table.size == 0:
        raise ValueError(
            f"matrix: the players have {', '.join(map(str, table.shape[1:]))} actions; "
            "expected: the same number for each. Repeat a row of the player that has fewer"
        )


def _length(
    rounds: int | None, continuation: float | None, max_steps: int
) -> dict[str, Any]:
    """The settings that say how long a game lasts, filled in. Raises ValueError where they do not fit."""
    if rounds is not None and continuation is not None:
        raise ValueError(
            f"matrix: rounds={rounds} and continuation={continuation}; expected: one of the two"
        )
    if continuation is not None and not 0 <= continuation <= 1:
        raise ValueError(
            f"matrix: continuation={continuation}; expected: a probability, 0 to 1"
        )
    if (rounds is not None and rounds < 1) or max_steps < 0:
        raise ValueError(
            f"matrix: rounds={rounds}, max_steps={max_steps}; expected: 1 or more (max_steps 0: not given)"
        )
    if continuation is not None:
        return {
            "continuation": float(continuation),
            "max_steps": max_steps or 100,
        }
    rounds = rounds if rounds is not None else 10
    return {"rounds": rounds, "max_steps": min(max_steps or rounds, rounds)}
