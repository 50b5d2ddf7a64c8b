"""The best reply in a grid game that is told no modes: it believes of the others what play has shown.

With b the belief over the others' joint modes (see `modes`), and b' what Bayes' rule makes of it after a_j,

    Q_t(s, b, a) = E_{a_j ~ sum_m b(m) pi_m(. | s, t)} [ r(s, a, a_j) + gamma V_{t+1}(s', b') ]
    V_t(s, b) = max over legal a of Q_t(s, b, a)
    b'(m') = sum_m b(m) pi_m(a_j | s, t) P_{t+1}(m, m'), to scale

(Astrom, Optimal Control of Markov Processes with Incomplete State Information, 1965). V is held at the corners of a cut simplex and
is their weighted mean in between. As V is convex in b that is never too low: an upper bound, the nearer the finer the cut.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.backward_induction import Case
from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.grid_players import ReplyOnGrid, memoryless_modes, valued
from bestreply.exact.joint_backup import Choices, list_choices, list_outcomes
from bestreply.exact.positions import Layout, number_positions
from bestreply.exact.simplex import Simplex, corners, cut_simplex
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes

LIMIT = 60_000_000
"""Values of one step, over positions, beliefs and modes, that a solution holds unless told otherwise."""


@dataclasses.dataclass(frozen=True, eq=False)
class BelievedReply(ReplyOnGrid):
    """The best reply of one who knows the prior over the others' modes and what play has shown; `solve_believed` makes it."""

    simplex: Simplex = dataclasses.field(repr=False)

    def decisions(
        self,
        episodes: Episodes,
        seats: Array | None = None,
        modes: Array | None = None,
    ) -> Decisions:
        """As `BestReply.decisions`; the values are those of what was believed at each step."""
        seats = (
            np.full(len(episodes.length), self.seat)
            if seats is None
            else np.asarray(seats)
        )
        order = (
            seats[:, None] + np.arange(self.game.num_players)
        ) % self.game.num_players
        action = np.take_along_axis(
            np.asarray(episodes.action), order[:, None], 2
        )  # ego first
        layouts, number, board = self._read(episodes, seats)
        first, gamma = (
            jnp.asarray(self._first_modes(), jnp.float32),
            jnp.float32(self.gamma),
        )
        q = np.full((*number.shape, self.game.num_actions), np.nan, np.float32)
        for row in np.unique(board, return_index=True)[1]:
            solved = self._solve(
                Layout(layouts.blocks[row], layouts.thing_cell[row])
            )
            for same in np.flatnonzero(board == board[row]):
                q[same] = _along(
                    solved,
                    self.simplex,
                    first,
                    number[same],
                    action[same, :, 1:],
                    gamma,
                )
        acted = action[..., 0] != ABSENT
        q = np.where(acted[..., None], q, np.nan)
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def _start_value(self, layout: Layout) -> float:
        where = self._first_positions(layout)
        k, w = map(
            np.asarray,
            corners(
                self.simplex, jnp.asarray(self._first_modes(), jnp.float32)
            ),
        )
        value = np.asarray(self._solve(layout).value[0, : len(where)])
        return float(where @ (value[:, k] @ w))

    def _solve(self, layout: Layout) -> "Solved":
        case = self._case(layout)
        choices = list_choices(self.game, case)
        return _solve_layout(
            self.game,
            case,
            choices,
            self.simplex,
            tuple(int(w) for w in choices.widths),
        )


def solve_believed(
    game: GridGame,
    others: Sequence[ScriptedPlayer],
    *,
    seat: int = 0,
    gamma: float = 1.0,
    layouts: int = 64,
    resolution: int = 12,
) -> BestReply:
    """The best reply to `others` that believes of their modes what play has shown. `value` is over `layouts` drawn layouts.

    Args:
        resolution: beliefs are held in steps of 1/`resolution`. With one mode for each other nothing is to be believed.

    Raises ValueError for a board with too many positions and beliefs, or a player with a memory of its own.
    """
    modes, positions = memoryless_modes(game, others), number_positions(game)
    count = int(np.prod([len(m.players) for m in modes]))
    held = (
        positions.total * count * math.comb(resolution + count - 1, count - 1)
    )
    if held > LIMIT:
        raise ValueError(
            f"{positions.total:,} positions of {game.name} with beliefs over {count} joint modes in steps of 1/{resolution} make {held:,} "
            f"values; expected: at most {LIMIT:,}. Give a coarser resolution, fewer modes, or know='types' for an upper bound"
        )
    reply = BelievedReply(
        game=game,
        seat=seat,
        others=tuple(player.name for player in others),
        gamma=gamma,
        know="belief",
        kind="exact" if count == 1 else "upper bound",
        value=np.nan,
        stderr=np.nan,
        modes=modes,
        positions=positions,
        simplex=cut_simplex(count, resolution),
    )
    return valued(reply, layouts)


# -- one layout ----------------------------------------------------------------------------------------------------------------


class Solved(NamedTuple):
    """One layout, solved: V, and what is needed to look one step further from any belief."""

    value: Array  # [T+1, S+1, B], 0 for position S and at time T
    legal: Array  # [S, A] bool
    acts: Array  # [S, W, N-1] int32, the others' joint actions that can be chosen in each position
    weights: Array  # [T, S, W, M], their probabilities by joint mode
    following: Array  # [A, S, W] int32, the next position
    reward: Array  # [A, S, W]
    transitions: Array  # [T+1, M, M] of the joint mode


@partial(jax.jit, static_argnames=("game", "widths"))
def _solve_layout(
    game: GridGame,
    case: Case,
    choices: Choices,
    simplex: Simplex,
    widths: tuple[int, ...],
) -> Solved:
    """`widths` as in `Choices`, fixed."""
    acts, weights = _joint_actions(choices, widths)
    following, reward = list_outcomes(game, case, acts)
    legal = jax.vmap(game.legal)(case.states(slice(None)))[:, 0]
    transitions, gamma = jnp.asarray(case.transitions), jnp.asarray(case.gamma)
    points = jnp.asarray(simplex.points)

    def backup(later: Array, time: Array) -> tuple[Array, Array]:
        """Values [S+1, B] at `time` from those a step later."""

        def position(at: tuple[Array, Array, Array, Array]) -> Array:  # [B]
            legal, likely, after, gain = at
            q = jax.vmap(
                lambda b: _scores(
                    b,
                    likely,
                    after,
                    gain,
                    later,
                    transitions[time + 1],
                    simplex,
                    gamma,
                )
            )(points)
            return jnp.where(legal, q, -jnp.inf).max(-1)

        each = (
            legal,
            weights[time],
            jnp.moveaxis(following, 1, 0),
            jnp.moveaxis(reward, 1, 0),
        )
        value = jax.lax.map(position, each, batch_size=64)
        value = jnp.concatenate([value, jnp.zeros((1, len(points)))])
        return value, value

    nothing = jnp.zeros((len(legal) + 1, len(points)))
    value = jax.lax.scan(
        backup, nothing, jnp.arange(game.max_steps), reverse=True
    )[1]
    value = jnp.concatenate([value, nothing[None]])
    return Solved(value, legal, acts, weights, following, reward, transitions)


def _scores(
    belief: Array,
    likely: Array,
    following: Array,
    reward: Array,
    later: Array,
    transition: Array,
    simplex: Simplex,
    gamma: Array,
) -> Array:
    """Q [A] in one position: `likely` [W, M], `following` and `reward` [A, W]; `later` [S+1, B] the values a step later."""
    joint = belief * likely
    chance = joint.sum(-1)
    number, weight = corners(
        simplex, (joint @ transition) / jnp.maximum(chance, 1e-12)[:, None]
    )  # [W, M]
    value = (later[following[..., None], number] * weight).sum(-1)  # [A, W]
    return (reward + gamma * value) @ chance


def _joint_actions(
    choices: Choices, widths: tuple[int, ...]
) -> tuple[Array, Array]:
    """`acts` and `weights` as in `Solved`."""
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
    )
    modes = jnp.asarray(
        list(itertools.product(*(range(len(p)) for p in choices.policies)))
    )  # [M, N-1]
    each = [
        jnp.take_along_axis(p, f[None, None], 3)[modes[:, j]][..., slots[:, j]]
        for j, (p, f) in enumerate(zip(choices.policies, firsts, strict=True))
    ]
    return acts, jnp.moveaxis(functools.reduce(jnp.multiply, each), 0, -1)


@jax.jit
def _along(
    solved: Solved,
    simplex: Simplex,
    first: Array,
    number: Array,
    others: Array,
    gamma: Array,
) -> Array:
    """Q [T, A] along one episode: positions `number` [T], the others' actions [T, N-1], what is believed at `first` [M]."""

    def step(
        belief: Array, at: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        time, here, taken = at
        s = jnp.minimum(here, len(solved.legal) - 1)
        likely, transition = (
            solved.weights[time, s],
            solved.transitions[time + 1],
        )
        following, reward = solved.following[:, s], solved.reward[:, s]
        q = _scores(
            belief,
            likely,
            following,
            reward,
            solved.value[time + 1],
            transition,
            simplex,
            gamma,
        )
        seen = likely[
            jnp.argmax(((solved.acts[s] == taken) | (taken == ABSENT)).all(-1))
        ]
        moved = (belief * seen) @ transition
        belief = jnp.where(
            moved.sum() > 0, moved / jnp.maximum(moved.sum(), 1e-12), belief
        )
        return belief, jnp.where(solved.legal[s], q, -jnp.inf)

    return jax.lax.scan(step, first, (jnp.arange(len(number)), number, others))[
        1
    ]
