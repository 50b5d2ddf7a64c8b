"""Scripted players of the battery's games: functions of NumPy batches."""

import numpy as np

from bestreply import player
from experiments.adapters.players import (
    chases,
    covers,
    nearest_food,
    own_coin,
)
from experiments.battery.line import CELLS, LEFT, RIGHT, STAY, TAKE


def _mostly(action: np.ndarray, legal: np.ndarray, rate: float) -> np.ndarray:
    """Return distributions [B, A]: an action, or at a rate any legal one."""
    own = np.eye(legal.shape[1])[action]
    return (1 - rate) * own + rate * legal / legal.sum(1, keepdims=True)


@player(distribution=True)
def chaser(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Chase, or flee as the prey, of simple_tag; 5 % at random."""
    return _mostly(chases(obs, legal), legal, 0.05)


@player(distribution=True)
def lazy(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Do the first action, nothing in the particle games; 10 % at random."""
    return _mostly(np.zeros(len(obs), int), legal, 0.1)


@player(distribution=True)
def greedy(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the nearest coin of coin_game, of any colour; 5 % at random."""
    planes = obs.reshape(-1, 9, 4)
    own = planes[..., 0].argmax(1)
    coins = [planes[..., k].argmax(1) for k in (2, 3)]
    ways = np.stack([_torus(own, coin) for coin in coins])  # [2, B, 2]
    nearest = np.abs(ways).sum(-1).argmin(0)
    action = _torus_move(ways[nearest, np.arange(len(obs))])
    return _mostly(action, legal, 0.05)


@player(distribution=True)
def coop(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the coin of the own colour of coin_game; 5 % at random."""
    return _mostly(own_coin(obs, legal), legal, 0.05)


def _torus(own: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Return the shortest way [B, 2] on a 3x3 torus."""
    ways = np.stack([to // 3 - own // 3, to % 3 - own % 3], -1)
    return (ways + 1) % 3 - 1


def _torus_move(way: np.ndarray) -> np.ndarray:
    """Return right, left, down, up, stay (0 to 4) [B] of coin_game."""
    across = np.where(way[:, 1] > 0, 0, 1)
    down = np.where(way[:, 0] > 0, 2, 3)
    either = np.where(way[:, 0] != 0, down, 4)
    return np.where(way[:, 1] != 0, across, either)


@player(distribution=True)
def taker(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the nearest coin of the line and take it; 10 % at random."""
    own = obs[:, :CELLS].argmax(1)
    coins = obs[:, 2 * CELLS : 3 * CELLS] > 0
    way = np.arange(CELLS) - own[:, None]
    nearest = np.where(coins, np.abs(way), CELLS).argmin(1)
    step = nearest - own
    action = np.where(step < 0, LEFT, np.where(step > 0, RIGHT, TAKE))
    fits = legal[np.arange(len(obs)), action]
    return _mostly(np.where(fits, action, STAY), legal, 0.1)


@player(distribution=True)
def forager(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the nearest food of level-based foraging; 5 % at random."""
    return _mostly(nearest_food(obs, legal), legal, 0.05)


@player(distribution=True)
def cover(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the nearest landmark of simple_spread; 5 % at random."""
    return _mostly(covers(obs, legal), legal, 0.05)


@player(distribution=True)
def seeker(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Go to the goal of simple_adversary, as the adversary to the middle; 5 % at random."""
    wide = obs.shape[1] - 3  # the seat is marked behind the observation
    adversary = obs[:, wide] > 0
    goal = obs[:, 0:2]
    marks = obs[:, 0:4].reshape(-1, 2, 2).mean(1)
    way = np.where(adversary[:, None], marks, goal)
    across = np.where(way[:, 0] < 0, 1, 2)
    along = np.where(way[:, 1] < 0, 3, 4)
    wider = np.abs(way[:, 0]) >= np.abs(way[:, 1])
    return _mostly(np.where(wider, across, along), legal, 0.05)
