"""The others' moves weighed one player at a time: for players that look at their own cell and the things that are there alone.

Within a stage (who has left, which things are there), what a player's action comes to is its outcome e: the cell that it ends in, or
the thing that it takes where it stands. What follows depends on all outcomes together, and each outcome on the player's own cell:

    W(e_0, e_1, ..) = r(e_0, e_1, ..) + gamma V_{t+1}(s'(e_0, e_1, ..))
    Q_t(c_0, c_1, .., m, a) = sum over e_1 of P_{m_1}(e_1 | c_1) sum over e_2 of P_{m_2}(e_2 | c_2) .. W(e_0(c_0, a), e_1, e_2, ..)

so the sums are as many small matrix products as there are others, in place of one over all joint draws in every position.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.backward_induction import Case, backward, policies
from bestreply.exact.positions import Group, number_of
from bestreply.games.grid import STAY, GridGame, GridState, targets
from bestreply.types import Array


class Step(NamedTuple):
    """What can come of a step in each of the `Z` stages of a group, for every combination of the `E` outcomes of each who plays."""

    following: Array  # [Z, E, E, ...] int32, number of the next position
    reward: Array  # [Z, E, E, ...] float32, of seat 0
    own: Array  # [Z, cells, A] int32, the outcome of seat 0's action
    chances: tuple[
        Array, ...
    ]  # for each other who plays [T, Z, M_j, cells, E]: of its outcomes


def solve_apart(
    game: GridGame, groups: tuple[Group, ...], case: Case, keep: bool
) -> jax.Array:
    """As `backward`."""
    return _solve(
        game, groups, case, _steps(game, groups, case._replace(own=None)), keep
    )


@partial(jax.jit, static_argnames=("game", "groups", "keep"))
def _solve(
    game: GridGame,
    groups: tuple[Group, ...],
    case: Case,
    steps: list[Step],
    keep: bool,
) -> jax.Array:
    counts = tuple(len(players) for players in case.modes)

    def score(later: jax.Array, time: jax.Array) -> jax.Array:
        def one(group: Group, step: Step) -> jax.Array:
            worth = step.reward[..., None] + case.gamma * later[step.following]
            worth = worth.reshape(*step.reward.shape, *counts)
            for place, chances in enumerate(step.chances, start=1):
                worth = _expected(
                    worth,
                    chances[time],
                    place,
                    len(group.seats) + group.seats[place],
                )
            rows = jnp.arange(group.stages)[:, None, None]
            q = jnp.moveaxis(
                worth[rows, step.own], 2, -1
            )  # [Z, cells, cells, ..., M_1, .., A]
            return q.reshape(-1, later.shape[-1], game.num_actions)

        return jnp.concatenate(
            [
                one(group, step)
                for group, step in zip(groups, steps, strict=True)
            ]
        )

    return backward(game, case, score, keep)


def _expected(
    worth: jax.Array, chances: jax.Array, place: int, mode: int
) -> jax.Array:
    """`worth` [Z, E, ..., M_1, ..] with the outcomes of one player, on axis 1 + `place`, made its cells, as `chances`
    [Z, M_j, cells, E] of its mode, on axis `mode`, has it."""
    axes = list(range(worth.ndim))
    new, old = worth.ndim, 1 + place
    kept = [new if axis == old else axis for axis in axes]
    return jnp.einsum(
        worth, axes, chances, [0, mode, new, old], kept, precision="highest"
    )


@partial(jax.jit, static_argnames=("game", "groups"))
def _steps(game: GridGame, groups: tuple[Group, ...], case: Case) -> list[Step]:
    own = []
    for group in groups:
        there = case.states(
            group.begin + _stage_size(game, group) * np.arange(group.stages)
        ).thing_present
        own.append(_outcomes(game, jnp.asarray(case.layout.thing_cell), there))
    chances: list[list[Array]] = [[] for _ in groups]
    for seat in range(1, game.num_players):
        within = [k for k, group in enumerate(groups) if seat in group.seats]
        found = _chances(
            game,
            [groups[k] for k in within],
            case,
            seat,
            [own[k] for k in within],
        )
        for k, each in zip(within, found, strict=True):
            chances[k].append(each)
    return [
        Step(*_ends(game, group, case), own[k], tuple(chances[k]))
        for k, group in enumerate(groups)
    ]


def _stage_size(game: GridGame, group: Group) -> int:
    return game.cells ** len(group.seats)


def _ends(
    game: GridGame, group: Group, case: Case
) -> tuple[jax.Array, jax.Array]:
    """`following` and `reward` of a `Step`."""
    there = case.states(
        group.begin + _stage_size(game, group) * np.arange(group.stages)
    ).thing_present  # [Z, K]
    thing_cell, seats = (
        jnp.asarray(case.layout.thing_cell),
        jnp.asarray(group.seats),
    )
    nobody = jnp.zeros(game.num_players, jnp.int32)
    left = jnp.ones(game.num_players, bool).at[seats].set(False)

    def after(
        there: Array, *chosen: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """For where each who plays stands and what it does."""
        cell, action = (jnp.stack(x) for x in zip(*chosen, strict=True))
        cell, action = (
            nobody.at[seats].set(cell),
            (nobody + STAY).at[seats].set(action),
        )
        state = GridState(
            cell,
            left,
            jnp.asarray(case.layout.blocks),
            thing_cell,
            there,
            jnp.int32(0),
        )
        state, reward = game.advance(state, action, jax.random.key(0))
        number = number_of(
            game, case.positions, state.cell, state.left, state.thing_present
        )
        return number, reward[0]

    every = after
    for place in reversed(range(len(group.seats))):
        every = jax.vmap(
            every,
            in_axes=(
                None,
                *(0 if k == place else None for k in range(len(group.seats))),
            ),
        )
    outcome = (
        jnp.concatenate([jnp.arange(game.cells), thing_cell]).astype(jnp.int32),
        jnp.asarray(
            np.append(np.full(game.cells, STAY), STAY + 1 + game.thing_kind),
            jnp.int32,
        ),
    )
    return jax.vmap(lambda t: every(t, *[outcome] * len(group.seats)))(there)


def _outcomes(game: GridGame, thing_cell: Array, there: Array) -> jax.Array:
    """[Z, cells, A] int32: what each action comes to on each cell, in stages where the things `there` [Z, K] are to be had."""
    to, cells = targets(game.height, game.width), np.arange(game.cells)
    moved = np.where(to < 0, cells[:, None], to)  # [cells, 5]
    on = there[:, None] & (thing_cell == cells[:, None])  # [Z, cells, K]
    taken = []
    for kind in range(len(game.kinds)):
        mine = on & (game.thing_kind == kind)
        taken.append(
            jnp.where(mine.any(-1), game.cells + mine.argmax(-1), cells)
        )
    moves = jnp.broadcast_to(moved, (len(there), *moved.shape))
    return jnp.concatenate([moves, jnp.stack(taken, -1)], -1).astype(jnp.int32)


def _chances(
    game: GridGame,
    groups: Sequence[Group],
    case: Case,
    seat: int,
    outcomes: Sequence[Array],
) -> list[jax.Array]:
    """For each group [T, Z, M_j, cells, E] float32: of the outcomes of `seat` on each cell, wherever the others stand."""
    players, numbers = case.modes[seat - 1], []
    for group in groups:
        later = (
            len(group.seats) - 1 - group.seats.index(seat)
        )  # who are counted after it
        stage = group.begin + _stage_size(game, group) * np.arange(group.stages)
        numbers.append(
            (
                stage[:, None] + game.cells**later * np.arange(game.cells)
            ).reshape(-1)
        )
    everywhere = np.concatenate(numbers)
    probs = jax.lax.map(
        lambda time: policies(
            game, players, seat, case.states(everywhere, time)
        ),
        jnp.arange(game.max_steps),
    )
    found = []
    ends = np.cumsum([len(n) for n in numbers])[:-1].tolist()
    for mine, outcome in zip(
        jnp.split(probs, ends, axis=2), outcomes, strict=True
    ):
        mine = mine.reshape(
            *probs.shape[:2], *outcome.shape
        )  # [T, M, Z, cells, A]
        each = jax.nn.one_hot(
            outcome, game.cells + len(game.thing_kind)
        )  # [Z, cells, A, E]
        found.append(
            jnp.einsum("tmzca,zcae->tzmce", mine, each, precision="highest")
        )
    return found


# -- where it may be done --------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("game", "groups"))
def dependence(
    game: GridGame, groups: tuple[Group, ...], case: Case
) -> jax.Array:
    """[] float32: the most that any other's chances differ between positions with its own cell, the stage and the time alike."""
    cells = game.cells

    def apart(group: Group, place: int, time: Array) -> Array:
        seat, stage = group.seats[place], (cells,) * len(group.seats)
        numbers = slice(
            group.begin, group.begin + group.stages * cells ** len(stage)
        )
        probs = policies(
            game, case.modes[seat - 1], seat, case.states(numbers, time)
        )
        probs = jnp.moveaxis(
            probs.reshape(-1, *stage, game.num_actions), 1 + place, 1
        )
        probs = probs.reshape(len(probs), cells, -1, game.num_actions)
        return jnp.abs(probs - probs[:, :, :1]).max()

    most = [jnp.zeros(1)]
    for group in groups:
        for place in range(1, len(group.seats)):
            most.append(
                jax.lax.map(
                    partial(apart, group, place), jnp.arange(game.max_steps)
                )
            )
    return jnp.concatenate(most).max()


@lru_cache
def steps_by_outcome(game: GridGame, draws: int = 4096) -> bool:
    """Whether a step of `game` depends on the outcomes alone, as `GridGame.take` is to have it: tried in `draws` drawn states."""
    rng, n, things = (
        np.random.default_rng(0),
        game.num_players,
        len(game.thing_kind),
    )
    thing_cell = rng.permuted(
        np.tile(np.arange(game.cells), (draws, 1)), axis=1
    )[:, :things]
    on = np.take_along_axis(
        thing_cell, rng.integers(things, size=(draws, n)), 1
    )
    cell = np.where(
        rng.random((draws, n)) < 0.7,
        on,
        rng.integers(game.cells, size=(draws, n)),
    )
    left, there = (
        rng.random((draws, n)) < 0.3,
        rng.random((draws, things)) < 0.7,
    )
    action = rng.integers(game.num_actions, size=(draws, n))

    def alike(
        cell: Array, left: Array, thing_cell: Array, there: Array, action: Array
    ) -> Array:
        outcome = _outcomes(game, thing_cell, there[None])[0, cell, action]
        stays = outcome < game.cells
        plain = jnp.where(stays, outcome, cell), jnp.where(stays, STAY, action)
        found = []
        for cells, actions in ((cell, action), plain):
            state = GridState(
                cells,
                left,
                jnp.zeros(game.cells, bool),
                thing_cell,
                there,
                jnp.int32(0),
            )
            state, reward = game.advance(state, actions, jax.random.key(0))
            found.append(
                (
                    jnp.where(state.left, 0, state.cell),
                    state.left,
                    state.thing_present,
                    reward,
                )
            )
        return jnp.stack(
            [jnp.isclose(x, y).all() for x, y in zip(*found, strict=True)]
        ).all()

    drawn = (cell, left, thing_cell, there, action)
    return bool(jax.jit(jax.vmap(alike))(*map(jnp.asarray, drawn)).all())
