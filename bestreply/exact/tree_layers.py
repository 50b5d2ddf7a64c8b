"""The positions that play of a small game can reach, step by step, for `tree` to solve."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Int

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
from bestreply.games.base import Outcomes
from bestreply.types import ABSENT

BELIEF_TOLERANCE = 1e-9
"""Beliefs that differ by less are merged."""


class Layer(NamedTuple):
    """The `P` positions of one step and the transitions out of them.

    A row `X` is a position, an own action and a joint action of the other players that some
    mode may choose. A row `Y` is an outcome of chance after such a row. `C` is the number of
    modes that the reply observes: 1 if it observes none.
    """

    obs: np.ndarray  # [P, N, *obs_shape] float32
    legal: np.ndarray  # [P, A] bool, of the seat
    code: (
        np.ndarray
    )  # [X] int64, ascending: position, own and joint action (`coded`)
    weight: np.ndarray  # [X, C] float64, the probability of the joint action
    step: np.ndarray  # [Y] int64, ascending: the row in `code`
    probability: np.ndarray  # [Y] float64
    reward: np.ndarray  # [Y] float64, of the seat
    child: (
        np.ndarray
    )  # [Y] int64, position in the next layer; -1 where the game is over


class LayerBuilder:
    """Collects the positions of one step and merges equal ones."""

    def __init__(self, problem: TreeProblem, capacity: int):
        self.problem, self.capacity = problem, capacity
        self.index: dict[bytes, int] = {}
        self.parts: list[TreePositions] = []
        self.beliefs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(
        self, reached: TreePositions, last: Int[np.ndarray, "Y N"]
    ) -> np.ndarray:
        """Add positions in which the other players have not observed yet.

        Args:
            reached: `Y` positions, equal ones included.
            last: [Y, N] int32, the joint action that led to each.

        Returns:
            [Y] int64, the index of each position; -1 where the game is over for the seat.

        Raises:
            ValueError: there are more than `capacity` positions.
        """
        problem, index = self.problem, self.index
        over = is_over(problem.seat, reached.shown)
        number, live = np.full(len(over), -1), np.flatnonzero(~over)
        if not len(live):
            return number
        reached, last = take((reached, last), live)
        reached = after_seeing(problem, reached, last)
        before = len(index)
        keys = _keys(problem, reached)
        number[live] = [index.setdefault(key, len(index)) for key in keys]
        if len(index) > self.capacity:
            raise too_many(problem)
        new, first = np.unique(number[live], return_index=True)
        self.parts.append(take(reached, first[new >= before]))
        self.beliefs.append((number[live], reached.belief))
        return number

    def positions(self) -> TreePositions:
        """Return all positions in the order of their index.

        Returns:
            The positions, of which there must be at least one.
        """
        whole = jax.tree.map(lambda *x: np.concatenate(x), *self.parts)
        belief = np.zeros_like(whole.belief)
        for number, each in self.beliefs:
            # With modes observed, different paths to a position may allow different modes.
            np.maximum.at(belief, number, each)
        belief = _normalised(belief, self.problem.sees_modes)
        return whole._replace(belief=belief)


def _normalised(belief: np.ndarray, sees_modes: bool) -> np.ndarray:
    """Return `belief` [P, M] as `TreePositions` holds it."""
    if sees_modes:
        return (belief > 0).astype(np.float64)
    return belief / belief.sum(1, keepdims=True)


def _keys(problem: TreeProblem, reached: TreePositions) -> list[bytes]:
    """Return a key per position, the same for equal positions."""
    state = reached.state if problem.game.compiled else ()
    leaves = jax.tree.leaves((state, reached.carries))
    if not problem.sees_modes:
        # Beliefs are often round numbers; the offset keeps them off the cells' borders.
        cell = np.floor(reached.belief / BELIEF_TOLERANCE + 0.3183)
        leaves.append(cell.astype(np.int64))
    keys = row_keys(leaves, len(reached.belief))
    if problem.game.compiled:
        return keys
    return [
        key + problem.game.state_key(state)
        for key, state in zip(keys, reached.state, strict=True)
    ]


def find_layers(
    problem: TreeProblem, first: Outcomes
) -> tuple[list[Layer], np.ndarray]:
    """Return every layer of positions that play from `first` can reach.

    Args:
        problem: game, seat and other players.
        first: `K` first states in NumPy (see `listed`).

    Returns:
        The layers, and the index [K] of each first state in the first layer; -1 where the
        game is over there.

    Raises:
        ValueError: more than `problem.limit` positions can be reached.
    """
    size = len(first.probability)
    carries = first_carries(problem, size)
    builder = LayerBuilder(problem, problem.limit)
    prior = np.tile(problem.initial(), (size, 1))
    belief = _normalised(prior, problem.sees_modes)
    begin = TreePositions(first.state, first.shown, carries, belief)
    no_action = np.full((size, problem.game.num_players), ABSENT, np.int32)
    begins = builder.add(begin, no_action)
    layers, capacity = [], problem.limit
    while builder.index:
        capacity -= len(builder.index)
        positions = builder.positions()
        builder = LayerBuilder(problem, capacity)
        transition = problem.transition(len(layers) + 1)
        layers.append(_expand(problem, positions, transition, builder))
    return layers, begins


def coded(
    position: Int[np.ndarray, " X"],
    own: Int[np.ndarray, " X"],
    others: Int[np.ndarray, "X others"],
    num_actions: int,
) -> np.ndarray:
    """Return one number per position and joint action; the last action changes fastest.

    Args:
        position: [X] int, index in the layer.
        own: [X] int, action of the replying seat.
        others: [X, N-1] int, actions of the other players.
        num_actions: A.

    Returns:
        [X] int64.
    """
    code = position.astype(np.int64) * num_actions + own
    for action in others.T:
        code = code * num_actions + action
    return code


def _expand(
    problem: TreeProblem,
    positions: TreePositions,
    transition: np.ndarray,
    builder: LayerBuilder,
) -> Layer:
    """Return the layer of `positions`, and add their successors to `builder`.

    `transition` [M, M] is that of the joint mode to the next step.
    """
    game, seat, seats = problem.game, problem.seat, problem.seats
    at, actions, joint = joint_actions(problem, positions)
    acts = positions.shown.present & ~positions.shown.terminated
    parts = []
    for begin in range(0, len(at), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        state = take(positions.state, at[chunk])
        row, ends = outcomes_of(game, state, actions[chunk])
        row = row + begin
        belief = _normalised(joint[row] @ transition, problem.sees_modes)
        carries = after_acting(problem, positions, at[row], actions[row])
        last = np.where(acts[at[row]], actions[row], ABSENT).astype(np.int32)
        reached = TreePositions(ends.state, ends.shown, carries, belief)
        child = builder.add(reached, last)
        reward = ends.shown.reward[:, seat].astype(np.float64)
        parts.append((row, ends.probability, reward, child))
    step, probability, reward, child = map(
        np.concatenate, zip(*parts, strict=True)
    )
    weight = joint if problem.sees_modes else joint.sum(1, keepdims=True)
    return Layer(
        obs=positions.shown.obs,
        legal=positions.shown.legal[:, seat],
        code=coded(at, actions[:, seat], actions[:, seats], game.num_actions),
        weight=weight,
        step=step,
        probability=probability,
        reward=reward,
        child=child,
    )
