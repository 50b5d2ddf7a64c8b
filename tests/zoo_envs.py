"""Environments of PettingZoo and Gymnasium that nobody but the tests wrote."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Relay(ParallelEnv):
    """Two runners and a keeper: other spaces, one dies, one is truncated alone.

    Runner 0 terminates at step 2 with reward 5, runner 1 is truncated at step 3, the
    keeper at step 5. All earn the value of their action.
    """

    metadata: ClassVar[Any] = {
        "name": "relay_v7",
        "render_modes": ["rgb_array"],
    }
    max_cycles = 5
    possible_agents: ClassVar[Any] = ["runner_0", "runner_1", "keeper"]

    def __init__(self, size=4, late=False, masks=None, render_mode=None):
        self.size, self.late, self.masks = size, late, masks
        self.render_mode = render_mode
        self._obs = {
            "runner": spaces.Box(0, 255, (size, size), np.uint8),
            "keeper": spaces.Dict(
                {"a": spaces.Discrete(3), "b": spaces.MultiBinary(2)}
            ),
        }
        self._act = {
            "runner": spaces.Discrete(3, start=1),
            "keeper": spaces.MultiDiscrete([2, 3]),
        }

    def observation_space(self, agent):
        return self._obs[agent.partition("_")[0]]

    def action_space(self, agent):
        return self._act[agent.partition("_")[0]]

    def _look(self):
        pixels = np.full((self.size, self.size), self.time, np.uint8)
        pixels[0, 0] = self.noise
        keeper = {"a": self.time % 3, "b": np.array([1, 0], np.int8)}
        return {"runner_0": pixels, "runner_1": pixels + 1, "keeper": keeper}

    def _infos(self):
        infos = {agent: {} for agent in self.possible_agents}
        if self.masks is not None:
            mask = self.masks[self.time % len(self.masks)]
            infos["runner_0"]["action_mask"] = np.array(mask, np.int8)
        return infos

    def reset(self, seed=None, options=None):
        self.time, self.noise = 0, np.random.default_rng(seed).integers(256)
        self.agents = self.possible_agents[: 2 if self.late else 3]
        return self._look(), self._infos()

    def step(self, actions):
        assert set(actions) == set(self.agents)
        self.time += 1
        self.noise = (self.noise + 1) % 256
        rewards = {a: float(np.sum(v)) for a, v in actions.items()}
        rewards["somebody"] = 99.0
        ended = dict.fromkeys(self.agents, False)
        cut = dict.fromkeys(self.agents, False)
        if self.time == 2:
            rewards["runner_0"], ended["runner_0"] = 5.0, True
        if self.time == 3:
            cut["runner_1"] = True
        if self.time == 5:
            cut["keeper"] = True
        self.agents = [a for a in self.agents if not (ended[a] or cut[a])]
        if self.late and self.time == 1:
            self.agents.append("keeper")
        return self._look(), rewards, ended, cut, self._infos()

    def render(self):
        return np.full((6, 8, 4), self.time, np.uint8)


def parallel_env(**settings) -> ParallelEnv:
    """A factory."""
    return Relay(**settings)


def delete_all(path):
    """No environment."""
    raise AssertionError(path)


class Stairs(gymnasium.Env):
    """Walk up `steps` stairs; the mask is in the info, rendering draws the height."""

    metadata: ClassVar[Any] = {"render_modes": ["rgb_array"]}
    observation_space = spaces.Tuple(
        [spaces.Discrete(4), spaces.Box(-1, 1, (2,), np.float64)]
    )
    action_space = spaces.MultiBinary(2)

    def __init__(self, max_steps=6, render_mode=None):
        self.limit, self.render_mode = max_steps, render_mode

    def _look(self):
        mask = np.array([1, 1, 1, self.height < 2], np.int8)
        place = np.array([self.height / 4, self.luck])
        return (self.height, place), {"action_mask": mask}

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.height, self.luck = 0, float(self.np_random.random())
        return self._look()

    def step(self, action):
        self.height += int(action.sum() > 0)
        obs, info = self._look()
        return obs, float(self.height), self.height == 3, False, info

    def render(self):
        return np.full((5, 5, 3), self.height, np.uint8)
