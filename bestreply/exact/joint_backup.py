"""The others' moves weighed as joint draws, position by position: for players that look at one another.

Q_t(s, m, a) = sum over a_j of prod_j pi_{m_j}(a_j | s, t) [ r(s, a, a_j) + gamma V_{t+1}(s') ]
"""

import itertools
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.backward_induction import Case, backward, policies
from bestreply.exact.positions import number_of
from bestreply.games.grid import GridGame, GridState
from bestreply.types import Array

LIMIT = 2**28
"""Numbers of a kind that are held in memory for one layout."""


def solve_jointly(game: GridGame, case: Case, keep: bool) -> jax.Array:
    """As `backward`. Raises ValueError where the others' joint draws do not fit in memory."""
    positions, modes = (
        case.positions.total,
        [len(players) for players in case.modes],
    )
    _refuse_large(
        game,
        positions * game.max_steps * game.num_actions * sum(modes),
        "probabilities",
    )
    choices = list_choices(game, case)
    widths = tuple(int(w) for w in choices.widths)
    draws = positions * math.prod(widths)
    _refuse_large(
        game,
        draws * max(game.num_actions, math.prod(modes)),
        "outcomes of a step",
    )
    return _tables(game, case, choices, widths, keep)


def _refuse_large(game: GridGame, count: int, what: str) -> None:
    if count > LIMIT:
        raise ValueError(
            f"{game.name} against players that look at one another has {count:,} {what} for one layout; expected: at most {LIMIT:,}. "
            "Use players that choose by their own cell and the things that are there, or a smaller game"
        )


class Choices(NamedTuple):
    """What the others may do in each position of one layout."""

    policies: tuple[Array, ...]  # for each other [M_j, T, S, A]
    widths: Array  # [N-1] int32, the most actions that each may choose among in any position


@partial(jax.jit, static_argnames=("game",))
def list_choices(game: GridGame, case: Case) -> Choices:
    times = jnp.arange(game.max_steps)
    found = []
    for j, players in enumerate(case.modes, start=1):
        at = jax.lax.map(
            lambda time, j=j, players=players: policies(
                game, players, j, case.states(slice(None), time)
            ),
            times,
        )
        found.append(jnp.moveaxis(at, 1, 0))
    widths = [(p > 0).any((0, 1)).sum(-1).max() for p in found]
    return Choices(tuple(found), jnp.asarray(widths, jnp.int32))


@partial(jax.jit, static_argnames=("game", "widths", "keep"))
def _tables(
    game: GridGame,
    case: Case,
    choices: Choices,
    widths: tuple[int, ...],
    keep: bool,
) -> jax.Array:
    """As `backward`; `widths` as in `Choices`, fixed."""
    slots = jnp.asarray(
        list(itertools.product(*map(range, widths))), jnp.int32
    ).reshape(-1, len(widths))
    likely = [
        (p > 0).any((0, 1)) for p in choices.policies
    ]  # [S, A]: ever chosen
    firsts = [
        jnp.argsort(~x, axis=1, stable=True)[:, :k]
        for x, k in zip(likely, widths, strict=True)
    ]
    acts = jnp.stack(
        [f[:, s] for f, s in zip(firsts, slots.T, strict=True)], -1
    )  # [S, slots, N-1]
    probs = [
        jnp.take_along_axis(p, f[None, None], 3)
        for p, f in zip(choices.policies, firsts, strict=True)
    ]
    following, reward = list_outcomes(game, case, acts)
    modes = np.array(
        list(itertools.product(*(range(len(p)) for p in choices.policies)))
    )  # [M, N-1]

    def weigh(slot: Array, time: Array) -> jax.Array:
        """[S, M]: how likely each mode is to draw the joint actions of `slot`."""
        each = [p[modes[:, j], time][..., slot[j]] for j, p in enumerate(probs)]
        return jnp.stack(each).prod(0).T

    def score(later: jax.Array, time: jax.Array) -> jax.Array:
        weights = jax.vmap(partial(weigh, time=time), out_axes=1)(
            slots
        )  # [S, slots, M]

        def one(at: tuple[Array, Array]) -> Array:
            after, gain = at
            return (
                weights * (gain[..., None] + case.gamma * later[after])
            ).sum(1)  # [S, M]

        return jnp.moveaxis(jax.lax.map(one, (following, reward)), 0, -1)

    return backward(game, case, score, keep)


def list_outcomes(
    game: GridGame, case: Case, acts: Array
) -> tuple[Array, Array]:
    """The next position and the reward of seat 0, [A, S, slots] each, where the others do `acts` [S, slots, N-1]."""

    def after(
        action: Array, state: GridState, others: Array
    ) -> tuple[Array, Array]:
        state, reward = game.advance(
            state, jnp.concatenate([action[None], others]), jax.random.key(0)
        )
        number = number_of(
            game, case.positions, state.cell, state.left, state.thing_present
        )
        return number, reward[0]

    def outcome(action: Array) -> tuple[Array, Array]:
        each = jax.vmap(partial(after, action), in_axes=(None, 0))
        return jax.vmap(each)(case.states(slice(None)), acts)

    return jax.lax.map(outcome, jnp.arange(game.num_actions))
