"""The best reply in a grid game that infers the other players' modes from play.

With b the belief over the other players' joint modes (`hidden_modes`), and b' its Bayesian
update after their actions a_j,

    Q_t(s, b, a) = E_{a_j ~ sum_m b(m) pi_m(. | s, t)} [ r(s, a, a_j) + gamma V_{t+1}(s', b') ]
    V_t(s, b) = max over legal a of Q_t(s, b, a)
    b'(m') is proportional to sum_m b(m) pi_m(a_j | s, t) P_{t+1}(m, m')

(Astrom, Optimal Control of Markov Processes with Incomplete State Information, 1965). V is
stored at the points of a grid over the simplex and interpolated in between. As V is convex in
b, the interpolation is an upper bound, which tightens as the grid gets finer.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from bestreply.exact.backward_induction import GridProblem
from bestreply.exact.base import Decisions
from bestreply.exact.grid_players import (
    BaseGridReply,
    memoryless_chains,
    with_value,
)
from bestreply.exact.joint_backup import (
    Policies,
    list_joint_actions,
    list_outcomes,
    list_policies,
)
from bestreply.exact.positions import Layout, number_positions
from bestreply.exact.simplex import SimplexGrid, interpolate, simplex_grid
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes

LIMIT = 60_000_000
"""The largest number of values of one step, over positions, beliefs and modes."""


@dataclasses.dataclass(frozen=True, eq=False)
class BeliefGridReply(BaseGridReply):
    """The best reply that knows the prior over modes; returned by `solve_belief_grid`."""

    grid: SimplexGrid = dataclasses.field(repr=False)

    def decisions(
        self,
        episodes: Episodes,
        seats: Int[Array, " E"] | None = None,
        modes: Int[Array, "E T others"] | None = None,
    ) -> Decisions:
        """Return V* and Q* at the belief of every step, as `BestReply.decisions`.

        Args:
            episodes: play of this game.
            seats: [E] int, the focal seat of each episode; by default `seat` in all.
            modes: ignored.

        Returns:
            Values of the focal seat's decisions.
        """
        seats = self._seats(episodes, seats)
        n = self.game.num_players
        order = (seats[:, None] + np.arange(n)) % n
        action = np.asarray(episodes.action)
        action = np.take_along_axis(action, order[:, None], 2)  # ego first
        layouts, number, board = self._read(episodes, seats)
        prior = jnp.asarray(self._first_modes(), jnp.float32)
        gamma = jnp.float32(self.gamma)
        q = np.full((*number.shape, self.game.num_actions), np.nan, np.float32)
        for row in np.unique(board, return_index=True)[1]:
            layout = Layout(layouts.blocks[row], layouts.thing_cell[row])
            solution = self._solve(layout)
            for same in np.flatnonzero(board == board[row]):
                others = action[same, :, 1:]
                q[same] = _follow(
                    solution, self.grid, prior, number[same], others, gamma
                )
        acted = action[..., 0] != ABSENT
        q = np.where(acted[..., None], q, np.nan)
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def _start_value(self, layout: Layout) -> float:
        start = self._first_positions(layout)
        prior = jnp.asarray(self._first_modes(), jnp.float32)
        number, weight = map(np.asarray, interpolate(self.grid, prior))
        value = np.asarray(self._solve(layout).value[0, : len(start)])
        return float(start @ (value[:, number] @ weight))

    def _solve(self, layout: Layout) -> "LayoutSolution":
        problem = self._problem(layout)
        mode_policies, widths = list_policies(self.game, problem)
        return _solve_layout(
            self.game, problem, mode_policies, self.grid, widths
        )


def solve_belief_grid(
    game: GridGame,
    others: Sequence[ScriptedPlayer],
    *,
    seat: int = 0,
    gamma: float = 1.0,
    layouts: int = 64,
    resolution: int = 12,
) -> BeliefGridReply:
    """Return the best reply that infers the other players' modes from play.

    Args:
        game: a grid game.
        others: a player for each other seat, in ego-first order.
        seat: the replying seat.
        gamma: discount per step.
        layouts: the number of initial layouts that `value` averages over; 0: it is NaN.
        resolution: beliefs are multiples of 1/`resolution`; with one mode for each player
            the belief is trivial.

    Returns:
        The best reply; its tables are computed layout by layout on demand.

    Raises:
        ValueError: there are too many positions and beliefs, or a player has a memory.
    """
    chains = memoryless_chains(game, others)
    positions = number_positions(game)
    count = math.prod(len(chain.players) for chain in chains)
    beliefs = math.comb(resolution + count - 1, count - 1)
    values = positions.total * count * beliefs
    if values > LIMIT:
        raise ValueError(
            f"{positions.total:,} positions of {game.name} with beliefs over {count} joint modes "
            f"in steps of 1/{resolution} have {values:,} values: expected at most {LIMIT:,}. Use "
            "a coarser resolution, fewer modes, or know='types' for an upper bound"
        )
    reply = BeliefGridReply(
        game=game,
        seat=seat,
        others=tuple(player.name for player in others),
        gamma=gamma,
        know="belief",
        kind="exact" if count == 1 else "upper bound",
        value=np.nan,
        stderr=np.nan,
        chains=chains,
        positions=positions,
        grid=simplex_grid(count, resolution),
    )
    return with_value(reply, layouts)


# -- one layout ------------------------------------------------------------------------


class LayoutSolution(NamedTuple):
    """V of one layout, and the transitions that give Q at any belief."""

    value: Array  # [T+1, S+1, B], 0 for position S and at time T
    legal: Array  # [S, A] bool
    actions: Array  # [S, W, N-1] int32, joint actions of the other players
    weights: Array  # [T, S, W, M], their probabilities by joint mode
    following: Array  # [A, S, W] int32, the next position
    reward: Array  # [A, S, W]
    transitions: Array  # [T+1, M, M] of the joint mode


@partial(jax.jit, static_argnames=("game", "widths"))
def _solve_layout(
    game: GridGame,
    problem: GridProblem,
    mode_policies: Policies,
    grid: SimplexGrid,
    widths: tuple[int, ...],
) -> LayoutSolution:
    joint = list_joint_actions(mode_policies, widths)
    each = [
        p[joint.modes[:, j]][..., joint.slots[:, j]]
        for j, p in enumerate(joint.chances)
    ]
    weights = jnp.moveaxis(functools.reduce(jnp.multiply, each), 0, -1)
    following, reward = list_outcomes(game, problem, joint.actions)
    legal = jax.vmap(game.legal)(problem.states(slice(None)))[:, 0]
    transitions = jnp.asarray(problem.transitions)
    gamma, points = jnp.asarray(problem.gamma), jnp.asarray(grid.points)

    def backup(later: Array, time: Array) -> tuple[Array, Array]:
        """Return V [S+1, B] at `time` from the next step's."""

        def of_position(at: tuple[Array, Array, Array, Array]) -> Array:  # [B]
            legal, weights, following, reward = at
            score = partial(
                _scores,
                weights=weights,
                following=following,
                reward=reward,
                later=later,
                transition=transitions[time + 1],
                grid=grid,
                gamma=gamma,
            )
            return jnp.where(legal, jax.vmap(score)(points), -jnp.inf).max(-1)

        position = (
            legal,
            weights[time],
            jnp.moveaxis(following, 1, 0),
            jnp.moveaxis(reward, 1, 0),
        )
        value = jax.lax.map(of_position, position, batch_size=64)
        value = jnp.concatenate([value, jnp.zeros((1, len(points)))])
        return value, value

    at_end = jnp.zeros((len(legal) + 1, len(points)))
    times = jnp.arange(game.max_steps)
    value = jax.lax.scan(backup, at_end, times, reverse=True)[1]
    value = jnp.concatenate([value, at_end[None]])
    return LayoutSolution(
        value, legal, joint.actions, weights, following, reward, transitions
    )


def _scores(
    belief: Array,
    weights: Array,
    following: Array,
    reward: Array,
    later: Array,
    transition: Array,
    grid: SimplexGrid,
    gamma: Array,
) -> Array:
    """Return Q [A] in one position at one belief [M].

    `weights` is [W, M], `following` and `reward` are [A, W], `later` [S+1, B] is the next V.
    """
    joint = belief * weights
    chance = joint.sum(-1)
    updated = (joint @ transition) / jnp.maximum(chance, 1e-12)[:, None]
    number, weight = interpolate(grid, updated)  # [W, M]
    value = (later[following[..., None], number] * weight).sum(-1)  # [A, W]
    return (reward + gamma * value) @ chance


@jax.jit
def _follow(
    solution: LayoutSolution,
    grid: SimplexGrid,
    prior: Array,
    number: Array,
    others: Array,
    gamma: Array,
) -> Array:
    """Return Q [T, A] along one episode.

    `prior` is [M], `number` [T] holds positions, `others` [T, N-1] the other players' actions.
    """

    def step(
        belief: Array, at: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        time, position, taken = at
        s = jnp.minimum(position, len(solution.legal) - 1)
        weights = solution.weights[time, s]
        transition = solution.transitions[time + 1]
        q = _scores(
            belief,
            weights,
            solution.following[:, s],
            solution.reward[:, s],
            solution.value[time + 1],
            transition,
            grid,
            gamma,
        )
        matches = (solution.actions[s] == taken) | (taken == ABSENT)
        likelihood = weights[jnp.argmax(matches.all(-1))]
        joint = (belief * likelihood) @ transition
        updated = joint / jnp.maximum(joint.sum(), 1e-12)
        belief = jnp.where(joint.sum() > 0, updated, belief)
        return belief, jnp.where(solution.legal[s], q, -jnp.inf)

    steps = (jnp.arange(len(number)), number, others)
    return jax.lax.scan(step, prior, steps)[1]
