"""Averages over the other players one player at a time, where their choices are independent.

For players whose policies depend on their own cell and the remaining things alone. Within a
stage (who has left, which things remain), a player's action has an outcome e: the cell that the
player moves to, or the thing that it takes. The outcome depends on the player's own cell, and
the next state on all outcomes together:

    W(e_0, e_1, ..) = r(e_0, e_1, ..) + gamma V_{t+1}(s'(e_0, e_1, ..))
    Q_t(c_0, c_1, .., m, a) = sum over e_1 of P_{m_1}(e_1 | c_1) sum over e_2 of P_{m_2}(e_2 | c_2)
                              .. W(e_0(c_0, a), e_1, e_2, ..)

The sums are one small matrix product per other player, instead of one sum over all joint
actions in every position.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bestreply.exact.backward_induction import (
    GridProblem,
    induct_backward,
    policies,
)
from bestreply.exact.positions import StageGroup, position_number
from bestreply.games.grid import STAY, GridGame, GridState, targets
from bestreply.players.base import ScriptedPlayer
from bestreply.simulation.lineup import player_key
from bestreply.types import Array
from bestreply.utils.quick import quickly


class OutcomeTables(NamedTuple):
    """A step in the `Z` stages of a group, by the `E` outcomes of each player that plays."""

    following: Array  # [Z, E, E, ...] int32, number of the next position
    reward: Array  # [Z, E, E, ...] float32, of seat 0
    own: Array  # [Z, cells, A] int32, the outcome of seat 0's action


Table = TypeVar("Table")
Chances = tuple[Array, ...]
"""For each other player [M_j, T, stages, cells, E]: the probability of its outcomes."""


def solve_factored(
    game: GridGame,
    groups: tuple[StageGroup, ...],
    problem: GridProblem,
    keep: bool,
) -> Float[Array, "..."]:
    """Return Q or V as `induct_backward`, averaging over one player at a time.

    Args:
        game: a game whose steps are determined by outcomes (`outcomes_determine_step`).
        groups: as `stage_groups` returns them.
        problem: a layout, and other players that choose by their own cell and the things.
        keep: keep Q of every step.

    Returns:
        Q [T, S, M, A] or V [S+1, M].
    """
    rules = problem._replace(modes=(), own=None)  # for every player
    layout = [np.asarray(x).tobytes() for x in problem.layout]
    key = (game, *layout)
    tables = _kept(key, lambda: _outcome_tables(game, groups, rules))

    def of_player(player: ScriptedPlayer) -> np.ndarray:
        return _kept(
            (*key, player_key(player)),
            lambda: np.asarray(_outcome_chances(game, groups, rules, player)),
        )

    chances = tuple(
        np.stack([of_player(player)[seat] for player in players])
        for seat, players in enumerate(problem.modes)
    )
    problem = problem._replace(modes=())
    return _solve(game, groups, problem, tables, chances, keep)


MAX_KEPT_BYTES = 2**27
"""Bytes of tables of layouts that are kept for the next opponent set."""
_tables: dict[Hashable, Any] = {}


def _kept(key: Hashable, make: Callable[[], Table]) -> Table:
    """Return a table, made on first request; the oldest are dropped."""
    if key not in _tables:
        _tables[key] = make()
    table = _tables[key] = _tables.pop(key)  # the newest
    while len(_tables) > 1 and _bytes_kept() > MAX_KEPT_BYTES:
        del _tables[next(iter(_tables))]
    return table


def _bytes_kept() -> int:
    return sum(x.nbytes for x in jax.tree.leaves(list(_tables.values())))


@partial(jax.jit, static_argnames=("game", "groups", "keep"))
def _solve(
    game: GridGame,
    groups: tuple[StageGroup, ...],
    problem: GridProblem,
    tables: list[OutcomeTables],
    chances: Chances,
    keep: bool,
) -> jax.Array:
    counts = tuple(len(of_seat) for of_seat in chances)
    ends = np.cumsum([group.stages for group in groups])
    begins = ends - [group.stages for group in groups]

    def of_group(number: int, later: Array, time: Array) -> jax.Array:
        group, table = groups[number], tables[number]
        stages = slice(int(begins[number]), int(ends[number]))
        future = problem.gamma * later[table.following]
        value = table.reward[..., None] + future
        value = value.reshape(*table.reward.shape, *counts)
        for place, seat in enumerate(group.seats[1:], start=1):
            of_seat = jnp.moveaxis(chances[seat - 1][:, time, stages], 0, 1)
            mode_axis = len(group.seats) + seat
            value = _average_over(value, of_seat, place, mode_axis)
        rows = jnp.arange(group.stages)[:, None, None]
        # [Z, cells, cells, ..., M_1, .., A]
        q = jnp.moveaxis(value[rows, table.own], 2, -1)
        return q.reshape(-1, later.shape[-1], game.num_actions)

    def score(later: jax.Array, time: jax.Array) -> jax.Array:
        each = [of_group(k, later, time) for k in range(len(groups))]
        return jnp.concatenate(each)

    return induct_backward(game, problem, score, keep)


def _average_over(
    value: jax.Array, chances: jax.Array, place: int, mode_axis: int
) -> jax.Array:
    """Return `value` [Z, E, ..., M_1, ..] averaged over the outcomes of one player.

    Its outcomes, on axis 1 + `place`, become its cells. `chances` is [Z, M_j, cells, E], its
    mode that of `mode_axis`.
    """
    axes = list(range(value.ndim))
    cell, outcome = value.ndim, 1 + place
    result = [cell if axis == outcome else axis for axis in axes]
    return jnp.einsum(
        value,
        axes,
        chances,
        [0, mode_axis, cell, outcome],
        result,
        precision="highest",
    )


@partial(jax.jit, static_argnames=("game", "groups"))
def _outcome_tables(
    game: GridGame, groups: tuple[StageGroup, ...], problem: GridProblem
) -> list[OutcomeTables]:
    thing_cell = jnp.asarray(problem.layout.thing_cell)
    remains = [
        problem.states(_stage_begins(game, group)).thing_present
        for group in groups
    ]
    own = [_own_outcomes(game, thing_cell, r) for r in remains]
    return [
        OutcomeTables(*_joint_outcomes(game, group, problem), own[k])
        for k, group in enumerate(groups)
    ]


def _stage_begins(game: GridGame, group: StageGroup) -> np.ndarray:
    """Return the number of the first position of each stage, [Z]."""
    size = game.cells ** len(group.seats)
    return group.begin + size * np.arange(group.stages)


def _joint_outcomes(
    game: GridGame, group: StageGroup, problem: GridProblem
) -> tuple[jax.Array, jax.Array]:
    """Return `following` and `reward` of `OutcomeTables`."""
    remains = problem.states(_stage_begins(game, group)).thing_present
    thing_cell = jnp.asarray(problem.layout.thing_cell)
    blocks = jnp.asarray(problem.layout.blocks)
    seats = jnp.asarray(group.seats)
    first_cell = jnp.zeros(game.num_players, jnp.int32)
    left = jnp.ones(game.num_players, bool).at[seats].set(False)

    def step(
        remains: Array, *chosen: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """Return the next position and the reward, for a cell and an action of each player."""
        cell, action = (jnp.stack(x) for x in zip(*chosen, strict=True))
        cell = first_cell.at[seats].set(cell)
        action = (first_cell + STAY).at[seats].set(action)
        state = GridState(cell, left, blocks, thing_cell, remains, jnp.int32(0))
        state, reward = game.advance(state, action, jax.random.key(0))
        number = position_number(
            game,
            problem.positions,
            state.cell,
            state.left,
            state.thing_present,
        )
        return number, reward[0]

    count = len(group.seats)
    every = step
    for place in reversed(range(count)):
        axes = [0 if k == place else None for k in range(count)]
        every = jax.vmap(every, in_axes=(None, *axes))
    # An outcome as the cell and the action that have it.
    cell = jnp.concatenate([jnp.arange(game.cells), thing_cell])
    action = np.append(np.full(game.cells, STAY), STAY + 1 + game.thing_kind)
    outcome = cell.astype(jnp.int32), jnp.asarray(action, jnp.int32)
    return jax.vmap(lambda r: every(r, *[outcome] * count))(remains)


def _own_outcomes(
    game: GridGame, thing_cell: Array, remains: Array
) -> jax.Array:
    """Return the outcome of every action on each cell, [Z, cells, A] int32.

    `remains` [Z, K] holds the things of each stage.
    """
    to, cells = targets(game.height, game.width), np.arange(game.cells)
    moved = np.where(to < 0, cells[:, None], to)  # [cells, 5]
    on = remains[:, None] & (thing_cell == cells[:, None])  # [Z, cells, K]
    taken = []
    for kind in range(len(game.kinds)):
        of_kind = on & (game.thing_kind == kind)
        thing = game.cells + of_kind.argmax(-1)
        taken.append(jnp.where(of_kind.any(-1), thing, cells))
    moves = jnp.broadcast_to(moved, (len(remains), *moved.shape))
    outcomes = jnp.concatenate([moves, jnp.stack(taken, -1)], -1)
    return outcomes.astype(jnp.int32)


@quickly(static_argnames=("game", "groups"))
def _outcome_chances(
    game: GridGame,
    groups: Sequence[StageGroup],
    problem: GridProblem,
    player: ScriptedPlayer,
) -> Float[Array, "others T stages cells E"]:
    """Return the probability of a player's outcomes in every stage, by its seat from 1 on.

    It is computed with all other players on the first cell. In a stage that a seat has
    left, it has no meaning.
    """
    numbers = np.concatenate([_stage_begins(game, group) for group in groups])
    stages, cells = len(numbers), game.cells
    remains = problem.states(numbers).thing_present
    thing_cell = jnp.asarray(problem.layout.thing_cell)
    outcome = _own_outcomes(game, thing_cell, remains)
    count = cells + len(game.thing_kind)
    one_hot = jax.nn.one_hot(outcome, count)  # [stages, cells, A, E]

    def at(seat_and_time: tuple[Array, Array]) -> jax.Array:
        seat, time = seat_and_time
        states = problem.states(np.repeat(numbers, cells), time)
        own = jnp.tile(jnp.arange(cells, dtype=jnp.int32), stages)
        moved = states.cell.at[:, seat].set(own)
        states = dataclasses.replace(states, cell=moved)
        policy = policies(game, (player,), seat, states)
        policy = policy.reshape(stages, cells, game.num_actions)
        return jnp.einsum("zca,zcae->zce", policy, one_hot, precision="highest")

    seats, times = np.divmod(
        np.arange((game.num_players - 1) * game.max_steps), game.max_steps
    )
    chances = jax.lax.map(at, (jnp.asarray(seats + 1), jnp.asarray(times)))
    return chances.reshape(-1, game.max_steps, *chances.shape[1:])


# -- where it is exact -----------------------------------------------------------------


@partial(jax.jit, static_argnames=("game", "groups"))
def largest_dependence(
    game: GridGame, groups: tuple[StageGroup, ...], problem: GridProblem
) -> Float[Array, ""]:
    """Return the largest effect of other cells on any other player's policy in one layout.

    Args:
        game: the game to solve.
        groups: as `stage_groups` returns them.
        problem: layout and other players.

    Returns:
        [] float32: the largest difference of a probability between positions with the same
        own cell, stage and time; 0 where the factored backup is exact.
    """
    cells = game.cells

    def difference(group: StageGroup, place: int, time: Array) -> Array:
        seat, shape = group.seats[place], (cells,) * len(group.seats)
        end = group.begin + group.stages * cells ** len(shape)
        states = problem.states(slice(group.begin, end), time)
        probs = policies(game, problem.modes[seat - 1], seat, states)
        probs = probs.reshape(-1, *shape, game.num_actions)
        probs = jnp.moveaxis(probs, 1 + place, 1)
        probs = probs.reshape(len(probs), cells, -1, game.num_actions)
        return jnp.abs(probs - probs[:, :, :1]).max()

    largest = [jnp.zeros(1)]
    times = jnp.arange(game.max_steps)
    for group in groups:
        for place in range(1, len(group.seats)):
            largest.append(
                jax.lax.map(partial(difference, group, place), times)
            )
    return jnp.concatenate(largest).max()


@lru_cache
def outcomes_determine_step(game: GridGame, draws: int = 4096) -> bool:
    """Return whether a step of `game` depends on the outcomes of its actions alone.

    `GridGame.take` must satisfy this for a factored backup. It is tested by replacing moves
    by their outcomes in random states.

    Args:
        game: a grid game.
        draws: the number of random states.

    Returns:
        False if a counterexample was drawn.
    """
    rng, n = np.random.default_rng(0), game.num_players
    things = len(game.thing_kind)
    every_cell = np.tile(np.arange(game.cells), (draws, 1))
    thing_cell = rng.permuted(every_cell, axis=1)[:, :things]
    thing = rng.integers(things, size=(draws, n))
    on = np.take_along_axis(thing_cell, thing, 1)
    is_on = rng.random((draws, n)) < 0.7
    cell = np.where(is_on, on, rng.integers(game.cells, size=(draws, n)))
    left = rng.random((draws, n)) < 0.3
    remains = rng.random((draws, things)) < 0.7
    action = rng.integers(game.num_actions, size=(draws, n))

    def step(
        cell: Array,
        left: Array,
        thing_cell: Array,
        remains: Array,
        action: Array,
    ) -> tuple[Array, ...]:
        blocks, time = jnp.zeros(game.cells, bool), jnp.int32(0)
        state = GridState(cell, left, blocks, thing_cell, remains, time)
        state, reward = game.advance(state, action, jax.random.key(0))
        cell = jnp.where(state.left, 0, state.cell)
        return cell, state.left, state.thing_present, reward

    def agrees(
        cell: Array,
        left: Array,
        thing_cell: Array,
        remains: Array,
        action: Array,
    ) -> Array:
        own = _own_outcomes(game, thing_cell, remains[None])
        outcome = own[0, cell, action]
        moves = outcome < game.cells
        moved = jnp.where(moves, outcome, cell)
        stays = jnp.where(moves, STAY, action)
        one = step(cell, left, thing_cell, remains, action)
        two = step(moved, left, thing_cell, remains, stays)
        equal = [jnp.isclose(x, y).all() for x, y in zip(one, two, strict=True)]
        return jnp.stack(equal).all()

    drawn = (cell, left, thing_cell, remains, action)
    drawn = (np.asarray(x, x.dtype.name.replace("64", "32")) for x in drawn)
    return bool(np.asarray(quickly()(jax.vmap(agrees))(*drawn)).all())
