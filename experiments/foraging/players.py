"""The eight partners of level-based foraging: fixed orders of food, and two that follow their teammate.

The rules are those of jax-aht's partners in its foraging game (LARG, jax-aht:
``SequentialFruitAgent``, ``GreedyHeuristicAgent`` with ``closest_teammate`` and
``EntitledAgent``), written anew for players that observe and choose legal actions. A
partner goes to a food by a shortest path round its teammate, but not round other food: a
step that food blocks is no move. Ties are uniform.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, Shaped

from bestreply.players.base import ScriptedPlayer, uniform
from bestreply.types import ABSENT, Array

NOTHING, UP, DOWN, LEFT, RIGHT, LOAD = range(6)
MOVES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]])
"""Row and column steps of the actions."""
ACTIONS = len(MOVES)
ORDERS = (
    "rows",
    "rows_reversed",
    "columns",
    "columns_reversed",
    "nearest",
    "furthest",
)
"""Row by row; column by column; by distance from the first cell."""
BLOCKED = 127
"""Distance where there is no way."""
Obs = Shaped[Array, " D"]


class Things(NamedTuple):
    """What an observation shows."""

    food: Int32[Array, "F 2"]
    """Row and column; -1 where it is eaten."""
    left: Bool[Array, " F"]
    """Whether it is not eaten."""
    own: Int32[Array, " 2"]
    other: Int32[Array, " 2"]


def things_in(obs: Obs, food: int = 3) -> Things:
    """Return the food and the two agents that an observation shows.

    Args:
        obs: rows, columns and levels of F foods, of the agent itself, of its teammate;
            bool: each as a one-hot vector over -1, 0, 1, ...
        food: number of foods, F.
    """
    rows = jnp.asarray(obs)
    if rows.dtype == bool:
        rows = jnp.argmax(rows.reshape(3 * (food + 2), -1), -1) - 1
    rows = rows.astype(jnp.int32).reshape(-1, 3)
    return Things(
        food=rows[:-2, :2],
        left=rows[:-2, 2] > 0,
        own=rows[-2, :2],
        other=rows[-1, :2],
    )


# -- ways ----------------------------------------------------------------------


@functools.lru_cache
def ways(size: int) -> np.ndarray:
    """Return the moves that begin a shortest path, as a mask.

    Args:
        size: rows of the square grid, n.

    Returns:
        [n*n, n*n, n*n, 4] bool: for a cell that the teammate blocks, a target and the
        own cell, the moves UP, DOWN, LEFT, RIGHT; none on the target. A blocked cell
        can be the target itself.
    """
    cells = size * size
    rows, columns = np.divmod(np.arange(cells), size)
    neighbours = np.full((cells, 4), cells)  # `cells`: off the grid
    for k, (down, right) in enumerate(MOVES[UP : RIGHT + 1]):
        row, column = rows + down, columns + right
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        neighbours[inside, k] = (row * size + column)[inside]
    every = np.arange(cells)
    steps = np.full((cells, cells, cells + 1), BLOCKED, np.int16)
    steps[:, every, every] = 0  # [blocked, target, cell]
    for _ in range(cells):
        closer = steps[..., neighbours].min(-1) + 1
        found = np.minimum(steps[..., :cells], np.minimum(closer, BLOCKED))
        found[every, :, every] = BLOCKED
        found[:, every, every] = 0
        if (found == steps[..., :cells]).all():
            break
        steps[..., :cells] = found
    after = steps[..., neighbours]  # [blocked, target, cell, 4]
    nearest = after.min(-1, keepdims=True)
    here = steps[..., :cells, None]
    return (after == nearest) & (nearest < np.minimum(here, BLOCKED))


def toward(
    target: Int[Array, " 2"], at: Things, legal: Bool[Array, " 6"], size: int
) -> Float[Array, " 6"]:
    """Return the probabilities of moves toward a target.

    Args:
        target: row and column.
        at: the agents' cells.
        legal: legal actions; an illegal move is NOTHING, as the game would have it.
        size: rows of the grid.
    """
    own, other, to = (
        jnp.asarray(cell)[0] * size + jnp.asarray(cell)[1]
        for cell in (at.own, at.other, target)
    )
    moves = uniform(jnp.asarray(ways(size))[other, to, own])
    probs = jnp.zeros(ACTIONS).at[UP : RIGHT + 1].set(moves)
    probs = jnp.where(jnp.asarray(legal), probs, 0.0)
    return probs.at[NOTHING].add(1 - probs.sum())


def distance(
    one: Int[Array, "*batch 2"], other: Int[Array, " 2"]
) -> Int[Array, "*batch"]:
    """Return Manhattan distances.

    Args:
        one: rows and columns.
        other: row and column.
    """
    return jnp.abs(one - other).sum(-1)


# -- partners ------------------------------------------------------------------


class OrderCarry(NamedTuple):
    """What a partner with an order of food remembers."""

    food: Int32[Array, "F 2"]
    """Cells of all food in its order."""
    index: Int32[Array, ""]
    """Index of its target; ABSENT before the first observation."""
    advanced: Bool[Array, ""]
    """Whether its target changed at this step; then it does not load."""


class InOrder(ScriptedPlayer):
    """Goes to one food after the other, in an order fixed at its first observation.

    Beside its target it loads, until the food is eaten. Then the next one of the order
    is its target; at the step in which it finds that out it moves, and cannot load.
    """

    order: str = eqx.field(static=True)
    size: int = eqx.field(static=True, default=7)
    food: int = eqx.field(static=True, default=3)
    name: str = eqx.field(static=True, default="in_order")
    version: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(
                f"order={self.order!r}: expected one of {', '.join(ORDERS)}"
            )

    def start(self) -> OrderCarry:
        places = jnp.zeros((self.food, 2), jnp.int32)
        return OrderCarry(places, jnp.int32(ABSENT), jnp.bool_(False))

    def see(
        self,
        carry: OrderCarry,
        obs: Obs,
        others: Int32[Array, " 1"],
        key: PRNGKeyArray,
    ) -> OrderCarry:
        at = things_in(obs, self.food)
        first = carry.index == ABSENT
        food = jnp.where(first, self._sorted(at), carry.food)
        index = jnp.where(first, 0, carry.index)
        there = (at.food == food[index]).all(-1) & at.left
        advanced = ~there.any()
        index = jnp.minimum(index + advanced, self.food - 1)
        return OrderCarry(food, index.astype(jnp.int32), advanced)

    def _sorted(self, at: Things) -> Int32[Array, "F 2"]:
        row, column = at.food[:, 0], at.food[:, 1]
        by_row, by_column = row * self.size + column, column * self.size + row
        far = distance(at.food, at.own)
        key = {
            "rows": by_row,
            "rows_reversed": -by_row,
            "columns": by_column,
            "columns_reversed": -by_column,
            "nearest": far,
            "furthest": -far,
        }[self.order]
        return at.food[jnp.argsort(key, stable=True)]

    def policy(
        self, carry: OrderCarry, obs: Obs, legal: Bool[Array, " 6"]
    ) -> Float[Array, " 6"]:
        at = things_in(obs, self.food)
        target = carry.food[carry.index]
        loads = (distance(target, at.own) <= 1) & ~carry.advanced
        load = jax.nn.one_hot(LOAD, ACTIONS)
        return jnp.where(loads, load, toward(target, at, legal, self.size))


class NearestToTeammate(ScriptedPlayer):
    """Goes to the food that is nearest to its teammate now, and loads beside it.

    Of several nearest ones it takes the first that the observation lists.
    """

    size: int = eqx.field(static=True, default=7)
    food: int = eqx.field(static=True, default=3)
    name: str = eqx.field(static=True, default="nearest_to_teammate")
    version: int = eqx.field(static=True, default=1)

    def policy(
        self, carry: tuple[()], obs: Obs, legal: Bool[Array, " 6"]
    ) -> Float[Array, " 6"]:
        at = things_in(obs, self.food)
        far = jnp.where(at.left, distance(at.food, at.other), BLOCKED)
        target = at.food[jnp.argmin(far)]
        loads = (distance(target, at.own) <= 1) & at.left.any()
        load = jax.nn.one_hot(LOAD, ACTIONS)
        move = toward(jnp.maximum(target, 0), at, legal, self.size)
        return jnp.where(loads, load, move)


class Entitled(ScriptedPlayer):
    """Waits until its teammate stands at a food, then comes to the opposite side.

    For each food it draws at its first observation which two sides count: above and
    below, or left and right. It does nothing while its teammate stands on no such side.
    Else it takes the food of these that is nearest to itself, goes to the free side, and
    loads as soon as it is beside the food.
    """

    orientations: int = eqx.field(static=True, default=ABSENT)
    """Bit f: food f, as observations list it, counts above and below. ABSENT: drawn."""
    size: int = eqx.field(static=True, default=7)
    food: int = eqx.field(static=True, default=3)
    name: str = eqx.field(static=True, default="entitled")
    version: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if self.orientations not in range(ABSENT, 2**self.food):
            raise ValueError(
                f"orientations={self.orientations}: expected 0 to "
                f"{2**self.food - 1}, or {ABSENT}"
            )

    def start(self) -> Int32[Array, ""]:
        """Return the orientations in use; ABSENT before they are drawn."""
        return jnp.int32(ABSENT)

    def see(
        self,
        carry: Int32[Array, ""],
        obs: Obs,
        others: Int32[Array, " 1"],
        key: PRNGKeyArray,
    ) -> Int32[Array, ""]:
        drawn = jax.random.randint(key, (), 0, 2**self.food)
        if self.orientations != ABSENT:
            drawn = jnp.int32(self.orientations)
        return jnp.where(carry == ABSENT, drawn, carry).astype(jnp.int32)

    def policy(
        self, carry: Int32[Array, ""], obs: Obs, legal: Bool[Array, " 6"]
    ) -> Float[Array, " 6"]:
        at = things_in(obs, self.food)
        vertical = (carry >> jnp.arange(self.food)) % 2 == 1
        apart = jnp.abs(at.other - at.food)
        sides = jnp.where(
            vertical[:, None], jnp.array([1, 0]), jnp.array([0, 1])
        )
        active = (apart == sides).all(-1) & at.left
        far = jnp.where(active, distance(at.food, at.own), BLOCKED)
        food = at.food[jnp.argmin(far)]
        loads = distance(food, at.own) <= 1
        opposite = jnp.clip(2 * food - at.other, 0, self.size - 1)
        load = jax.nn.one_hot(LOAD, ACTIONS)
        wait = jax.nn.one_hot(NOTHING, ACTIONS)
        comes = toward(opposite, at, legal, self.size)
        return jnp.where(active.any(), jnp.where(loads, load, comes), wait)


UNSEEN_ORDER = "columns_reversed"
PLAYERS = "experiments.foraging.players"
LEARNED = (
    *(
        f"{PLAYERS}:InOrder({order})"
        for order in ORDERS
        if order != UNSEEN_ORDER
    ),
    f"{PLAYERS}:NearestToTeammate",
)
"""Partners that make the data."""
UNSEEN = (f"{PLAYERS}:InOrder({UNSEEN_ORDER})", f"{PLAYERS}:Entitled")
"""Partners that the agent meets in the evaluation alone: one of each kind."""
