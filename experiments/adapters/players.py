"""A scripted player for each game of `games.PROOFS`: functions of NumPy batches."""

import numpy as np

HARES = 4
"""Plane of hares in stag hunt."""
STONES = 2
"""Planes of stones of a board, the own ones first."""


def own_coin(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the own coin of coin_game, on its 3x3 torus; planes: self, other, coins.

    Args:
        obs: [B, 36] observations.
        legal: [B, 5] legal actions.

    Returns:
        [B] actions.
    """
    planes = obs.reshape(-1, 9, 4)
    own, coin = planes[..., 0].argmax(1), planes[..., 2].argmax(1)
    rows, columns = (coin // 3 - own // 3) % 3, (coin % 3 - own % 3) % 3
    across = np.where(columns == 1, 0, 1)  # right, left
    down = np.where(rows == 1, 2, 3)
    return np.where(columns > 0, across, np.where(rows > 0, down, 4))


def nearest_food(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the nearest food of level-based foraging that is left, and load it.

    Args:
        obs: [B, 3 (F + N)] rows, columns and levels of F foods, the own agent, others.
        legal: [B, 6] legal actions.

    Returns:
        [B] actions.
    """
    things = obs.reshape(len(obs), -1, 3).astype(int)
    food, own = things[:, :-2], things[:, -2]  # two agents
    apart = food[..., :2] - own[:, None, :2]
    far = np.where(food[..., 2] > 0, np.abs(apart).sum(-1), 10**6)
    step = apart[np.arange(len(obs)), far.argmin(1)]
    vertical = np.where(step[:, 0] < 0, 1, 2)
    horizontal = np.where(step[:, 1] < 0, 3, 4)
    by_row = np.abs(step[:, 0]) >= np.abs(step[:, 1])
    action = np.where(by_row, vertical, horizontal)
    action = np.where(far.min(1) == 1, 5, action)
    return _legal_or_first(action, legal)


def takes_win(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Complete three in a row of tic_tac_toe, else prevent one, else the first free cell.

    Args:
        obs: [B, 3, 3, 4] planes: own stones, the other's, whose turn.
        legal: [B, 10] legal actions, "wait" the last.

    Returns:
        [B] actions.
    """
    stones = obs.reshape(len(obs), 9, -1)[..., :STONES]
    score = np.zeros((len(obs), 10))
    for line in LINES:
        count = stones[:, line].sum(1)  # [B, 2]
        score[:, line] += 4 * (count == (2, 0)).all(1)[:, None]
        score[:, line] += 2 * (count == (0, 2)).all(1)[:, None]
    return np.where(legal, score, -1).argmax(1)


def chases(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Chase the agent of simple_tag as an adversary; flee from the nearest as the agent.

    Args:
        obs: [B, 16 + 4] observations; the last 4 entries mark the seat.
        legal: [B, 5] legal actions: none, left, right, down, up.

    Returns:
        [B] actions.
    """
    prey = obs[:, 12:14]
    hunters = obs[:, 8:14].reshape(-1, 3, 2)
    nearest = np.square(hunters).sum(-1).argmin(1)
    away = -hunters[np.arange(len(obs)), nearest]
    return _move(np.where(obs[:, -1:] > 0, away, prey))


def covers(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the nearest landmark of simple_spread.

    Args:
        obs: [B, 18] observations.
        legal: [B, 5] legal actions: none, left, right, down, up.

    Returns:
        [B] actions.
    """
    marks = obs[:, 4:10].reshape(-1, 3, 2)
    nearest = np.square(marks).sum(-1).argmin(1)
    return _move(marks[np.arange(len(obs)), nearest])


def _move(way: np.ndarray) -> np.ndarray:
    """Return the action [B] of MPE along the longer axis of a way [B, 2]."""
    across = np.where(way[:, 0] < 0, 1, 2)
    along = np.where(way[:, 1] < 0, 3, 4)
    return np.where(np.abs(way[:, 0]) >= np.abs(way[:, 1]), across, along)


def balances(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Push the cart to the side to which the pole of CartPole falls.

    Args:
        obs: [B, 4] position, speed, angle, angular speed.
        legal: [B, 2] legal actions: left, right.

    Returns:
        [B] actions.
    """
    return (obs[:, 2] + obs[:, 3] > 0).astype(int)


def to_coin(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the coin of `coins.Coins`, seen in its pixels.

    Args:
        obs: [B, 84, 84, 1] grey pixels.
        legal: [B, 5] legal actions: none, up, down, left, right.

    Returns:
        [B] actions.
    """
    cells = obs[:, ::12, ::12, 0].reshape(len(obs), -1)
    return _step((cells == 255).argmax(1), (cells == 70).argmax(1), 7) + 1


def to_hare(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to a hare of stag hunt on 3x3 cells, the first in reading order, and hunt it.

    Args:
        obs: [B, 3, 3, P] planes: self, other, blocks, stags, hares, ...
        legal: [B, 7] legal actions: up, down, left, right, stay, hunt stag or hare.

    Returns:
        [B] actions.
    """
    planes = obs.reshape(len(obs), 9, -1)
    own, hare = planes[..., 0].argmax(1), planes[..., HARES].argmax(1)
    action = np.where(own == hare, legal.shape[1] - 1, _step(own, hare, 3))
    return _legal_or_first(action, legal)


def _step(own: np.ndarray, to: np.ndarray, width: int) -> np.ndarray:
    """Return up, down, left, right (0 to 3) [B] from a cell to another."""
    rows, columns = to // width - own // width, to % width - own % width
    across = np.where(columns < 0, 2, 3)
    return np.where(rows < 0, 0, np.where(rows > 0, 1, across))


LINES = [
    *([3 * i, 3 * i + 1, 3 * i + 2] for i in range(3)),
    *([i, i + 3, i + 6] for i in range(3)),
    [0, 4, 8],
    [2, 4, 6],
]


def _legal_or_first(action: np.ndarray, legal: np.ndarray) -> np.ndarray:
    fits = np.take_along_axis(legal, action[:, None], 1)[:, 0]
    return np.where(fits, action, legal.argmax(1))
