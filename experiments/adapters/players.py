"""A scripted player for each game of `games.PROOFS`: functions of NumPy batches."""

import numpy as np

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


LINES = [
    *([3 * i, 3 * i + 1, 3 * i + 2] for i in range(3)),
    *([i, i + 3, i + 6] for i in range(3)),
    [0, 4, 8],
    [2, 4, 6],
]


def _legal_or_first(action: np.ndarray, legal: np.ndarray) -> np.ndarray:
    fits = np.take_along_axis(legal, action[:, None], 1)[:, 0]
    return np.where(fits, action, legal.argmax(1))
