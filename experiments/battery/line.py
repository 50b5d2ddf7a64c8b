"""A line of coins: a small game with masks in which players leave, written for strangers."""

import numpy as np

from bestreply.games.host_env import EnvStep, HostEnv

CELLS, ENOUGH = 7, 3
LEFT, RIGHT, STAY, TAKE = range(4)


class Line(HostEnv):
    """Two players collect coins on seven cells; who has three leaves.

    A coin pays 1, or half if both take it at once, and appears anew on another cell.
    There are two coins. LEFT and RIGHT are legal inside the line, TAKE on a coin.
    """

    num_players, action_names = 2, ("LEFT", "RIGHT", "STAY", "TAKE")
    obs_shape = (3 * CELLS + 2,)

    def __init__(self, max_steps: int = 20):
        """Set up the game.

        Args:
            max_steps: steps of an episode.
        """
        self.max_steps = max_steps

    def reset(self, seed: int) -> EnvStep:
        self._rng = np.random.default_rng(seed)
        self._cells = self._rng.integers(CELLS, size=2)
        self._coins = self._rng.choice(CELLS, 2, replace=False)
        self._taken, self._time = np.zeros(2, int), 0
        return self._shown(np.zeros(2))

    def step(self, actions: np.ndarray) -> EnvStep:
        self._time += 1
        moves = (actions == RIGHT).astype(int) - (actions == LEFT)
        takes = actions == TAKE
        reward = np.zeros(2)
        for number in range(2):
            there = takes & (self._cells == self._coins[number])
            if there.any():
                reward[there] += 1 / there.sum()
                self._taken[there] += 1
                free = np.setdiff1d(np.arange(CELLS), self._coins)
                self._coins[number] = self._rng.choice(free)
        self._cells = self._cells + moves
        return self._shown(reward)

    def _shown(self, reward: np.ndarray) -> EnvStep:
        left = self._taken >= ENOUGH
        eye, obs = np.eye(CELLS, dtype=np.float32), []
        legal = np.ones((2, 4), bool)
        for seat in range(2):
            cell, other = self._cells[seat], self._cells[1 - seat]
            of_other = eye[other] * (not left[1 - seat])
            taken = self._taken[[seat, 1 - seat]] / ENOUGH
            coins = eye[self._coins].sum(0)
            obs.append(np.concatenate([eye[cell], of_other, coins, taken]))
            legal[seat] = (
                cell > 0,
                cell < CELLS - 1,
                True,
                cell in self._coins,
            )
        legal[left] = (False, False, True, False)
        return EnvStep(
            np.array(obs, np.float32),
            reward,
            terminated=left,
            truncated=self._time >= self.max_steps and not left.all(),
            legal=legal,
        )
