"""A game of two players with images, written for PettingZoo as a newcomer would."""

import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv

CELL, SIDE = 12, 7
MOVES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])


class Coins(ParallelEnv):
    """Two players collect coins on 7 x 7 cells; each sees 84 x 84 grey pixels.

    Itself is white, the other player grey, the coin dark. A coin pays 1, and appears
    anew; if both reach it at once, half to each.
    """

    metadata = {"name": "coins_v1", "render_modes": ["rgb_array"]}  # noqa: RUF012
    possible_agents = ["player_0", "player_1"]  # noqa: RUF012

    def __init__(self, max_steps=20, render_mode=None):
        self.max_steps, self.render_mode = max_steps, render_mode
        self._obs = Box(0, 255, (CELL * SIDE, CELL * SIDE), np.uint8)
        self._act = Discrete(len(MOVES))

    def observation_space(self, agent):
        return self._obs

    def action_space(self, agent):
        return self._act

    def reset(self, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.agents, self.time = list(self.possible_agents), 0
        self.cells = self.rng.integers(SIDE, size=(3, 2))  # players, coin
        return self._observed(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.time += 1
        for number, agent in enumerate(self.possible_agents):
            moved = self.cells[number] + MOVES[actions[agent]]
            self.cells[number] = moved.clip(0, SIDE - 1)
        there = (self.cells[:2] == self.cells[2]).all(1)
        paid = there / max(there.sum(), 1)
        if there.any():
            self.cells[2] = self.rng.integers(SIDE, size=2)
        agents, over = self.agents, self.time >= self.max_steps
        self.agents = [] if over else agents
        return (
            self._observed(),
            dict(zip(agents, paid.tolist(), strict=True)),
            dict.fromkeys(agents, False),
            dict.fromkeys(agents, over),
            {agent: {} for agent in agents},
        )

    def _observed(self):
        return {
            "player_0": self._pixels((255, 150, 70)),
            "player_1": self._pixels((150, 255, 70)),
        }

    def _pixels(self, shades):
        board = np.zeros((SIDE, SIDE), np.uint8)
        for cell, shade in sorted(
            zip(map(tuple, self.cells), shades, strict=True),
            key=lambda pair: pair[1],
        ):
            board[cell] = shade
        return board.repeat(CELL, 0).repeat(CELL, 1)

    def render(self):
        return self._pixels((255, 150, 70))[..., None].repeat(3, -1)
