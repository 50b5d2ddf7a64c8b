"""The rules that generated players choose among, and the features that they choose by.

All are functions of one observation of a stag hunt of two hunters with one stag and no
blocks. Targets are approached as by the library's `Nearest`: one move along an axis that
leads closer, axes equally likely; on its target a player takes it.

`level1` and `level2` are replies by plan. A plan is an order of the things that are
present; its value is the sum of discounted rewards, given the step at which the other
player takes each thing. Level 1 assumes that the other one is a stag hunter, a hare hunter
or random; level 2 assumes that it is of level 1 in this sense. The first thing of a plan
is drawn by a softmax over the best values.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from bestreply.games.grid import MOVES, OFFSETS, STAY
from bestreply.games.stag_hunt import HUNT_HARE, HUNT_STAG, StagHunt
from bestreply.players.base import uniform
from bestreply.types import Array

SHIFTS = tuple(
    (down, right)
    for down, right in itertools.product(range(-2, 3), repeat=2)
    if abs(down) + abs(right) <= 2
)
"""Sums of at most two moves: rows and columns."""
ASSUMED = ("stag", "hare", "noise")
"""What a player of level 1 assumes the other one to be."""
SHIFT_OF = {f"follow{shift}": shift for shift in SHIFTS}
PLAN_OF = {
    f"level{level}({assumed})": (level, assumed)
    for level in (1, 2)
    for assumed in ASSUMED
}
RULES = (
    "noise",  # uniform over legal actions
    "stag",
    "hare",  # a nearest hare
    "stay",
    "flee",  # a legal move that leads furthest from the other player
    "rob",  # the hare that is nearest to the other player
    "yield",  # the hare that is furthest from the other player
    *SHIFT_OF,
    *PLAN_OF,
)
"""Rules, in the order of `rule_policies`. `follow` goes to the cell of the other player less
a shift; there it takes what it can."""
FEATURES = (
    "nothing",  # 0
    "time",
    "distance",  # to the other player
    "other_to_stag",  # its distance to the stag
    "other_to_hare",  # its distance to a nearest hare
    "on_stag",  # 1 on a stag that is present
)
"""Features, in the order of `features`."""
VALUES, NONE = 22, 21
"""Number of values of a feature; the value where what it measures is gone."""
NEVER = 1e6
"""The step at which a player takes a thing that it does not take."""
PLAN_DISCOUNT, TEMPERATURE = 0.95, 0.25
"""Discount of plans, and temperature of their softmax, in units of reward."""


class Board(NamedTuple):
    """Contents of an observation; thing 0 is the stag."""

    own: Int32[Array, ""]
    other: Int32[Array, ""]
    cell: Int32[Array, " K"]
    there: Bool[Array, " K"]
    time: Int32[Array, ""]


def check_game(game: object) -> StagHunt:
    """Return a game that the rules are written for.

    Args:
        game: the game.

    Raises:
        ValueError: another game.
    """
    fits = (
        isinstance(game, StagHunt)
        and (game.hunters, game.stags, game.blocks) == (2, 1, 0)
        and 1 <= game.hares <= 3
        and max(game.max_steps, game.height + game.width) <= NONE
    )
    if not fits or not isinstance(game, StagHunt):
        raise ValueError(
            f"game={game!r:.200}: expected stag_hunt with 2 hunters, 1 stag, 1 to 3 hares, "
            f"no blocks, at most {NONE} steps"
        )
    return game


def read_board(game: StagHunt, obs: Float[Array, "H W P"]) -> Board:
    """Return the contents of an observation.

    Args:
        game: the game.
        obs: the observation.
    """
    flat = jnp.reshape(obs, (game.cells, -1))
    own, other = jnp.argmax(flat[:, 0]), jnp.argmax(flat[:, 1])
    cells, there = [jnp.argmax(flat[:, 3])], [flat[:, 3].max() > 0.5]
    hares = flat[:, 4]
    for _ in range(game.hares):
        cells.append(jnp.argmax(hares))
        there.append(hares[cells[-1]] > 0.5)
        hares = jnp.where(jnp.arange(game.cells) == cells[-1], 0.0, hares)
    time = jnp.round(game.max_steps * (1 - flat[0, -1])).astype(jnp.int32)
    cell = jnp.stack(cells).astype(jnp.int32)
    own, other = own.astype(jnp.int32), other.astype(jnp.int32)
    return Board(own, other, cell, jnp.stack(there), time)


def distance(
    game: StagHunt, a: Int[Array, "..."], b: Int[Array, "..."]
) -> Int[Array, "..."]:
    """Return the number of moves between cells.

    Args:
        game: the game.
        a: cells.
        b: cells.
    """
    rows = jnp.abs(a // game.width - b // game.width)
    return rows + jnp.abs(a % game.width - b % game.width)


def features(game: StagHunt, board: Board) -> Int32[Array, " features"]:
    """Return `FEATURES` of an observation.

    Args:
        game: the game.
        board: its contents.

    Returns:
        Values below `VALUES`.
    """
    away = distance(game, board.other, board.cell)
    away = jnp.where(board.there, away, NONE)
    return jnp.stack(
        [
            jnp.int32(0),
            board.time,
            distance(game, board.own, board.other),
            away[0],
            away[1:].min(),
            board.there[0] & (board.own == board.cell[0]),
        ]
    ).astype(jnp.int32)


def rule_policies(
    game: StagHunt,
    board: Board,
    legal: Bool[Array, " A"],
    rules: Sequence[int] = range(len(RULES)),
) -> Float[Array, "rules A"]:
    """Return action distributions of rules.

    Args:
        game: the game.
        board: contents of the own observation.
        legal: the own legal actions.
        rules: indices into `RULES`.
    """
    go = _go(game, board)
    chance = uniform(legal)

    def toward(weights: Float[Array, " K"]) -> Float[Array, " A"]:
        return weights @ go + (weights.sum() == 0) * chance

    def one(rule: str) -> Float[Array, " A"]:
        reach = distance(game, board.other, board.cell[1:])
        if rule == "noise":
            return chance
        if rule == "stay":
            return jax.nn.one_hot(STAY, game.num_actions)
        if rule == "flee":
            return _flee(game, board, legal)
        if rule in SHIFT_OF:
            return _follow(game, board, legal, SHIFT_OF[rule])
        if rule in PLAN_OF:
            return toward(_plan_weights(game, board, *PLAN_OF[rule]))
        if rule == "stag":
            stag = jnp.arange(len(board.cell)) == 0
            return toward(jnp.where(stag & board.there, 1.0, 0.0))
        away = {
            "hare": distance(game, board.own, board.cell[1:]),
            "rob": reach,
            "yield": -reach,
        }
        return toward(_hares(board, away[rule]))

    return jnp.stack([one(RULES[index]) for index in rules])


def _hares(board: Board, distances: Int[Array, " hares"]) -> Float[Array, " K"]:
    """Return weights of things: equal for the present hares at the smallest distance."""
    there = board.there[1:]
    smallest = jnp.min(jnp.where(there, distances, NONE))
    return jnp.append(0.0, uniform(there & (distances == smallest)))


def _toward(
    game: StagHunt, own: Int[Array, ""], cells: Int[Array, " n"]
) -> Float[Array, "n A"]:
    """Return the moves toward cells; zeros on the cell."""
    down = cells // game.width - own // game.width
    right = cells % game.width - own % game.width
    closer = jnp.stack([down < 0, down > 0, right < 0, right > 0], axis=1)
    return jnp.pad(uniform(closer), ((0, 0), (0, game.num_actions - STAY)))


def _go(game: StagHunt, board: Board) -> Float[Array, "K A"]:
    """Return the policy that goes to each thing and takes it."""
    takes = np.where(game.thing_kind == 0, HUNT_STAG, HUNT_HARE)
    take = jax.nn.one_hot(takes, game.num_actions)
    on = (board.own == board.cell)[:, None]
    return jnp.where(on, take, _toward(game, board.own, board.cell))


def _flee(
    game: StagHunt, board: Board, legal: Bool[Array, " A"]
) -> Float[Array, " A"]:
    steps = jnp.asarray(OFFSETS @ [game.width, 1])
    away = distance(game, board.own + steps, board.other)
    away = jnp.where(legal[: len(MOVES)], away, -1)
    best = uniform(away == away.max())
    return jnp.pad(best, (0, game.num_actions - len(MOVES)))


def _follow(
    game: StagHunt,
    board: Board,
    legal: Bool[Array, " A"],
    shift: tuple[int, int],
) -> Float[Array, " A"]:
    row = jnp.clip(board.other // game.width - shift[0], 0, game.height - 1)
    column = jnp.clip(board.other % game.width - shift[1], 0, game.width - 1)
    takes = uniform(legal.at[: len(MOVES)].set(False))
    stay = jax.nn.one_hot(STAY, game.num_actions)
    takes = jnp.where(takes.sum() > 0, takes, stay)
    cell = row * game.width + column
    policy = _toward(game, board.own, cell[None])[0]
    return jnp.where(cell == board.own, takes, policy)


# -- plans -----------------------------------------------------------------------


class Plans(NamedTuple):
    """The plans of a player, one for each order of things."""

    value: Float[Array, " plans"]
    first: Int32[Array, " plans"]  # first thing, -1: none
    when: Float[Array, "plans K"]  # the step at which each thing is taken


def _plans(
    game: StagHunt,
    own: Int[Array, ""],
    board: Board,
    other_takes: Float[Array, " K"],
) -> Plans:
    """Return the plans of a player on the cell `own`, given when the other one takes things.

    A stag is taken when both are there. A hare goes to the earlier one, and is shared in
    the same step. Things without a reward are skipped.
    """
    count = len(board.cell)
    orders = np.array(list(itertools.permutations(range(count))), np.int32)

    def one(order: Int[Array, " K"]) -> Plans:
        clock, at = jnp.float32(0), own
        value, first = jnp.float32(0), jnp.int32(-1)
        when = jnp.full(count, NEVER)
        for thing in order:
            takes, is_stag = other_takes[thing], thing == 0
            arrives = clock + distance(game, at, board.cell[thing])
            taken = jnp.where(is_stag, jnp.maximum(arrives, takes), arrives)
            hare = jnp.where(
                arrives == takes, 0.5, (arrives < takes).astype(jnp.float32)
            )
            gain = jnp.where(
                is_stag, game.stag_reward / 2, game.hare_reward * hare
            )
            goes = board.there[thing] & (gain > 0) & (taken < NEVER)
            value += jnp.where(goes, gain * PLAN_DISCOUNT**taken, 0.0)
            first = jnp.where(goes & (first < 0), thing, first)
            when = when.at[thing].set(jnp.where(goes, taken, NEVER))
            at = jnp.where(goes, board.cell[thing], at)
            clock = jnp.where(goes, taken + 1, clock)
        return Plans(value, first, when)

    return jax.vmap(one)(jnp.asarray(orders))


def _schedule(
    game: StagHunt, board: Board, cell: Int[Array, ""], assumed: str
) -> Float[Array, " K"]:
    """Return the step at which an assumed player on `cell` takes each thing."""
    count = len(board.cell)
    takes = jnp.full(count, NEVER)
    if assumed == "stag":
        away = distance(game, cell, board.cell[0]).astype(jnp.float32)
        takes = takes.at[0].set(jnp.where(board.there[0], away, NEVER))
    if assumed == "hare":
        open_hares, clock = board.there.at[0].set(False), jnp.float32(0)
        for _ in range(count - 1):
            away = distance(game, cell, board.cell)
            nearest = jnp.argmin(jnp.where(open_hares, away, NONE + 1))
            goes = open_hares[nearest]
            clock = jnp.where(goes, clock + away[nearest], clock)
            takes = takes.at[nearest].set(
                jnp.where(goes, clock, takes[nearest])
            )
            cell = jnp.where(goes, board.cell[nearest], cell)
            clock = jnp.where(goes, clock + 1, clock)
            open_hares = open_hares.at[nearest].set(False)
    return takes


def _plan_weights(
    game: StagHunt, board: Board, level: int, assumed: str
) -> Float[Array, " K"]:
    """Return the probability of each thing as the first one; zeros where no plan pays."""
    if level == 1:
        takes = _schedule(game, board, board.other, assumed)
    else:
        mine = _schedule(game, board, board.own, assumed)
        plans = _plans(game, board.other, board, mine)
        takes = plans.when[jnp.argmax(plans.value)]
    plans = _plans(game, board.own, board, takes)
    things = jnp.arange(len(board.cell))
    of_thing = plans.first[:, None] == things
    best = jnp.where(of_thing, plans.value[:, None], -jnp.inf).max(0)
    pays = jnp.isfinite(best).any()
    weights = jax.nn.softmax(jnp.where(pays, best, 0.0) / TEMPERATURE)
    return jnp.where(pays, weights, 0.0)
