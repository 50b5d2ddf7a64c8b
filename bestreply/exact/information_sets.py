"""The exact best reply in a game that hides something, by information sets.

An information set I holds the positions (states and other players' memories) between which
the reply cannot distinguish: those with the same own observations, legal actions and shown
actions of all seats up to now. Players of this library have perfect recall, so each I has
one parent set and one own action. With the counterfactual reach w(s), the probability that
chance and the other players lead to s if the reply plays towards it,

    Q(I, a) = sum_{s in I} w(s) E_{a_j ~ pi(. | s), s' ~ P(. | s, a, a_j)} [ r ]
              + gamma sum_{I' after (I, a)} V(I')
    V(I) = max over legal a of Q(I, a)

both times the reach of I (Zinkevich et al., "Regret Minimization in Games with Incomplete
Information", 2007). The values that are returned are divided by it. Hidden modes of the
other players are part of a position; a reply that is given the types distinguishes them.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.tree import LIMIT, check_arguments, first_of, problem_of
from bestreply.exact.tree_moves import (
    CHUNK,
    TreePositions,
    TreeProblem,
    after_acting,
    after_seeing,
    first_carries,
    is_over,
    joint_actions,
    outcomes_of,
    row_keys,
    take,
    too_many,
)
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import Player
from bestreply.types import ABSENT, Array, Episodes
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.spec import Spec


class InformationLayer(NamedTuple):
    """The `I` information sets of one step."""

    numbers: dict[bytes, int]
    """The number of a set by what is known at it (`_known`)."""
    parent: np.ndarray  # [I] int64, the set of the step before
    action: np.ndarray  # [I] int64, the own action at the parent
    legal: np.ndarray  # [I, A] bool
    reach: np.ndarray  # [I] float64, counterfactual reach
    reward: np.ndarray
    """[I, A] float64: reach times expected reward of the step."""


@dataclasses.dataclass(frozen=True, eq=False)
class InformationReply(BestReply):
    """The best reply by information set; returned by `solve_information_sets`."""

    sizes: tuple[int, ...]
    """The number of modes of each other player that the reply observes; 1 if none."""
    layers: tuple[InformationLayer, ...] = dataclasses.field(repr=False)
    q: tuple[np.ndarray, ...] = dataclasses.field(repr=False)
    """For each layer [I, A] float64."""

    @property
    def information_sets(self) -> int:
        """The number of information sets in all layers."""
        return sum(len(layer.reach) for layer in self.layers)

    def decisions(
        self,
        episodes: Episodes,
        seats: Int[Array, " E"] | None = None,
        modes: Int[Array, "E T others"] | None = None,
    ) -> Decisions:
        """Return V* and Q* at every step of logged play, as `BestReply.decisions`.

        Args:
            episodes: play of this game with the seat's observations.
            seats: [E] int, the focal seat of each episode, which must be `seat`.
            modes: [E, T, N-1] int, as `BestReply.decisions`.

        Returns:
            Values of the focal seat's decisions.

        Raises:
            ValueError: the play is of another game or other players, or `modes` is
                required and not given.
        """
        if seats is not None and (np.asarray(seats) != self.seat).any():
            raise ValueError(
                f"seats={np.unique(np.asarray(seats)).tolist()} for a best reply of seat "
                f"{self.seat}: expected that seat alone. Solve for each seat and give each "
                "its own episodes"
            )
        action = np.asarray(episodes.action)
        mode = self._joint_mode(action.shape[:2], self.sizes, modes)
        q = np.full((*action.shape[:2], self.game.num_actions), np.nan)
        for time, (rows, at) in enumerate(_walk(self, episodes, mode)):
            q[rows, time] = self.q[time][at]
        return Decisions(q.max(-1), q)


def solve_information_sets(
    game: Game,
    seat: int,
    others: Sequence[str | Spec | Player],
    *,
    gamma: float = 1.0,
    know: str = "types",
    limit: int = LIMIT,
    first: Outcomes | None = None,
) -> InformationReply:
    """Return the exact best reply of `seat`, which observes what its player observes.

    Args:
        game: any game that lists its outcomes.
        seat: the replying seat.
        others: a scripted player for each other seat, in ego-first order.
        gamma: discount per step.
        know: "types": the reply is given the modes of the other players at every step;
            "belief": it knows their prior and infers them from play.
        limit: the largest number of positions.
        first: first states of a game that does not list its own (`Game.first_states`).

    Returns:
        The best reply with its information sets and their Q*.

    Raises:
        ValueError: as `tree.solve`.
    """
    cache_compilations()
    check_arguments(game, seat, others, gamma, know)
    problem, names = problem_of(game, seat, others, know, limit)
    layers = _find_layers(problem, first_of(game, first))
    q, value = _induct_backward(layers, gamma)
    sees = problem.sees_modes
    hidden = sees and len(problem.initial()) > 1
    return InformationReply(
        game=game,
        seat=seat,
        others=names,
        gamma=gamma,
        know=know,
        kind="upper bound" if hidden else "exact",
        value=value,
        stderr=0.0,
        sizes=tuple(
            len(chain.players) if sees else 1 for chain in problem.chains
        ),
        layers=layers,
        q=q,
    )


# -- forwards: positions and information sets ----------------------------------------


class _Reached(NamedTuple):
    """`Y` positions after a step, equal ones included, before the others observe them."""

    positions: TreePositions  # its `belief` holds counterfactual reach
    parent: np.ndarray  # [Y] int64
    last: np.ndarray  # [Y, N] int32, the joint action; ABSENT at the start


class _Builder:
    """Collects the positions and the information sets of one step."""

    def __init__(self, problem: TreeProblem, capacity: int):
        self.problem, self.capacity = problem, capacity
        self.index: dict[bytes, int] = {}
        self.sets: list[tuple[np.ndarray, ...]] = []
        self.numbers: dict[bytes, int] = {}
        self.parts: list[TreePositions] = []
        self.reach: list[tuple[np.ndarray, np.ndarray]] = []
        self.set_of: list[np.ndarray] = []

    def add(self, reached: _Reached) -> None:
        """Add the positions at which the game continues for the seat.

        Args:
            reached: `Y` positions.

        Raises:
            ValueError: there are more than `capacity` positions.
        """
        problem, seat = self.problem, self.problem.seat
        over = is_over(seat, reached.positions.shown)
        reached = take(reached, np.flatnonzero(~over))
        reached, mode = _by_mode(problem, reached)
        positions, parent, last = reached
        if not len(parent):
            return
        shown = positions.shown
        own = shown.obs[:, seat], shown.legal[:, seat], shown.present
        keys = _known(parent, mode, last, *own)
        at = _number(self.index, self.sets, keys, parent, last[:, seat], own[1])
        positions = after_seeing(problem, positions, last)
        number, first, new = self._number_positions(positions, at)
        if len(self.numbers) > self.capacity:
            raise too_many(problem)
        self.parts.append(take(positions, first[new]))
        self.set_of.append(at[first[new]])
        self.reach.append((number, positions.belief))

    def _number_positions(
        self, positions: TreePositions, at: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return numbers [Y]; of each distinct one its first row and whether it is new."""
        game, before = self.problem.game, len(self.numbers)
        state = positions.state if game.compiled else ()
        active = (positions.belief > 0) * self.problem.sees_modes
        leaves = jax.tree.leaves((state, positions.carries))
        keys = row_keys([*leaves, at, active], len(at))
        if not game.compiled:
            states = map(game.state_key, positions.state)
            keys = [k + s for k, s in zip(keys, states, strict=True)]
        number = np.array(
            [self.numbers.setdefault(key, len(self.numbers)) for key in keys]
        )
        distinct, first = np.unique(number, return_index=True)
        return number, first, distinct >= before

    def positions(self) -> tuple[TreePositions, np.ndarray]:
        """Return all positions, of which there is at least one, and their sets [P]."""
        whole = jax.tree.map(lambda *x: np.concatenate(x), *self.parts)
        reach = np.zeros_like(whole.belief)
        for number, each in self.reach:
            np.add.at(reach, number, each)
        return whole._replace(belief=reach), np.concatenate(self.set_of)

    def layer(self, reach: np.ndarray, reward: np.ndarray) -> InformationLayer:
        """Return the information sets.

        Args:
            reach: [I].
            reward: [I, A].
        """
        columns = zip(*self.sets, strict=True)
        parent, action, legal = map(np.concatenate, columns)
        return InformationLayer(
            self.index, parent, action, legal, reach, reward
        )


def _number(
    index: dict[bytes, int],
    sets: list[tuple[np.ndarray, ...]],
    keys: list[bytes],
    *columns: np.ndarray,
) -> np.ndarray:
    """Return the number [Y] of each key in `index`; add the columns of new ones to `sets`."""
    before = len(index)
    number = np.array([index.setdefault(key, len(index)) for key in keys])
    distinct, first = np.unique(number, return_index=True)
    sets.append(tuple(column[first[distinct >= before]] for column in columns))
    return number


def _by_mode(
    problem: TreeProblem, reached: _Reached
) -> tuple[_Reached, np.ndarray]:
    """Return positions split by joint mode if the reply observes it, and the mode [Y]."""
    reach = reached.positions.belief
    if not problem.sees_modes:
        return reached, np.zeros(len(reach), np.int64)
    row, mode = np.nonzero(reach)
    reached = take(reached, row)
    only = np.zeros_like(reached.positions.belief)
    only[np.arange(len(row)), mode] = reach[row, mode]
    positions = reached.positions._replace(belief=only)
    return reached._replace(positions=positions), mode.astype(np.int64)


def _known(
    parent: np.ndarray,
    mode: np.ndarray,
    last: np.ndarray,
    obs: np.ndarray,
    legal: np.ndarray,
    present: np.ndarray,
) -> list[bytes]:
    """Return a key of what the reply knows at a step, beyond its parent's.

    Args are [Y, ...]: the number of the parent set, the observed joint mode, the joint
    action that was shown, and the own observation, legal actions and presence.
    """
    parts = [
        parent.astype(np.int64),
        mode.astype(np.int64),
        last.astype(np.int32),
        np.asarray(obs),
        np.asarray(legal, bool),
        np.asarray(present, bool),
    ]
    return row_keys(parts, len(parent))


def _find_layers(
    problem: TreeProblem, first: Outcomes
) -> tuple[InformationLayer, ...]:
    """Return the information sets of every step that play from `first` can reach."""
    size, capacity = len(first.probability), problem.limit
    reach = first.probability / first.probability.sum()
    reach = reach[:, None].astype(np.float64) * problem.initial()
    carries = first_carries(problem, size)
    begin = TreePositions(first.state, first.shown, carries, reach)
    last = np.full((size, problem.game.num_players), ABSENT, np.int32)
    builder = _Builder(problem, capacity)
    builder.add(_Reached(begin, np.zeros(size, np.int64), last))
    layers: list[InformationLayer] = []
    while builder.index:
        capacity -= len(builder.numbers)
        positions, at = builder.positions()
        after = _Builder(problem, capacity)
        mix = problem.transition(len(layers) + 1)
        reward = _expand(problem, positions, at, mix, after)
        reach = np.bincount(at, positions.belief.sum(1))
        layers.append(builder.layer(reach, reward))
        builder = after
    return tuple(layers)


def _expand(
    problem: TreeProblem,
    positions: TreePositions,
    set_of: np.ndarray,
    transition: np.ndarray,
    after: _Builder,
) -> np.ndarray:
    """Return the rewards [I, A] of a layer times reach, and add its successors to `after`.

    `set_of` [P] is the information set of each position.
    """
    seat, game = problem.seat, problem.game
    at, actions, joint = joint_actions(problem, positions)
    shown = positions.shown
    acts = np.logical_and(shown.present, np.logical_not(shown.terminated))
    reward = np.zeros((set_of.max() + 1, game.num_actions))
    for begin in range(0, len(at), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        state = take(positions.state, at[chunk])
        row, ends = outcomes_of(game, state, actions[chunk])
        row = row + begin
        reach = joint[row] * ends.probability[:, None]
        paid = reach.sum(1) * ends.shown.reward[:, seat].astype(np.float64)
        parent = set_of[at[row]]
        np.add.at(reward, (parent, actions[row, seat]), paid)
        carries = after_acting(problem, positions, at[row], actions[row])
        last = np.where(acts[at[row]], actions[row], ABSENT).astype(np.int32)
        reached = TreePositions(
            ends.state, ends.shown, carries, reach @ transition
        )
        after.add(_Reached(reached, parent, last))
    return reward


# -- backwards: values ----------------------------------------------------------------


def _induct_backward(
    layers: Sequence[InformationLayer], gamma: float
) -> tuple[tuple[np.ndarray, ...], float]:
    """Return Q [I, A] of every layer, and the value of the first."""
    q: list[np.ndarray] = []
    value = np.zeros(0)
    for time, layer in reversed(list(enumerate(layers))):
        total = layer.reward.copy()
        if time + 1 < len(layers):
            later = layers[time + 1]
            np.add.at(total, (later.parent, later.action), gamma * value)
        total = np.where(layer.legal, total, -np.inf)
        q.append(total / layer.reach[:, None])
        value = total.max(1)
    return tuple(q[::-1]), float(value.sum())


# -- logged play -----------------------------------------------------------------------


def _walk(
    reply: InformationReply, episodes: Episodes, mode: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each step the episodes [R] in which the seat acts and their sets [R]."""
    game, seat = reply.game, reply.seat
    obs, action = np.asarray(episodes.obs), np.asarray(episodes.action)
    legal, present = np.asarray(episodes.legal), np.asarray(episodes.present)
    if obs.shape[2:] != (game.num_players, *game.obs_shape):
        raise ValueError(
            f"episodes.obs of shape {obs.shape[2:]} per step: expected play of {game.name}, "
            f"{(game.num_players, *game.obs_shape)} (a lean log has none)"
        )
    rows = np.flatnonzero(action[:, 0, seat] != ABSENT)
    at, last = np.zeros(len(rows), np.int64), np.full_like(action[rows, 0], -1)
    for time in range(action.shape[1]):
        if not len(rows):
            return
        own = obs[rows, time, seat], legal[rows, time, seat]
        keys = _known(at, mode[rows, time], last, *own, present[rows, time])
        index = reply.layers[time].numbers if time < len(reply.layers) else {}
        at = np.array([index.get(key, -1) for key in keys])
        for row in rows[at < 0][:1]:
            raise ValueError(
                f"episode {row} cannot reach its observation at step {time}: expected first "
                f"episodes of {game.name} with {', '.join(reply.others)} as the other "
                f"players of seat {seat}, in this order"
            )
        yield rows, at
        if time + 1 == action.shape[1]:
            return
        acts = action[rows, time + 1, seat] != ABSENT
        rows, at = rows[acts], at[acts]
        last = action[rows, time]
