"""A stateful environment whose seats differ: two chasers (and up to one more) and a runner on a line."""

import os
import signal

import numpy as np

from bestreply.games.host_env import EnvStep, HostEnv

ACTIONS = ("LEFT", "STAY", "RIGHT", "JUMP")


class Chase(HostEnv):
    """Chasers earn 1 for standing where the runner is, which loses as much.

    A chaser on cell 0 falls off (it dies alone); with `tired` the runner is truncated
    alone at that step; with `small` each third episode has one chaser; `fault` names
    what goes wrong at step 2 of odd seeds.
    """

    num_players = 3
    action_names = ACTIONS
    roles = ("chaser", "chaser", "runner")
    seat_actions = (3, 3, 4)
    seat_shapes = ((3,), (3,), (2,))

    def __init__(
        self,
        cells: int = 6,
        max_steps: int = 8,
        tired: int = 99,
        small: bool = False,
        fault: str = "",
    ) -> None:
        self.cells, self.max_steps, self.tired = cells, max_steps, tired
        self.small, self.fault = small, fault

    def reset(self, seed):
        self.seed = seed
        rng = np.random.default_rng(seed + 7)
        self.cell = rng.integers(2, self.cells, 3)
        self.away = np.zeros(3, bool)
        self.away[1] = self.small and seed % 3 == 0
        self.dead, self.time = np.zeros(3, bool), 0
        self.rng = np.random.default_rng(
            None if self.fault == "chance" else seed
        )
        return self._shown(np.zeros(3))

    def step(self, actions):
        self.time += 1
        if self.time == 2 and self.seed % 2:
            self._fail()
        acts = actions >= 0
        move = np.array([-1, 0, 1, 2])[np.maximum(actions, 0)]
        slips = self.rng.random(3) < 0.2
        cell = np.clip(self.cell + np.where(slips, 0, move), 0, self.cells - 1)
        self.cell = np.where(acts, cell, self.cell)
        self.dead |= acts & (self.cell == 0) & (np.arange(3) < 2)
        caught = acts[:2] & (self.cell[:2] == self.cell[2]) & acts[2]
        return self._shown(np.array([*caught, -caught.sum()], float))

    def render(self):
        return np.full((4, 6, 3), self.time, np.uint8)

    def _shown(self, reward):
        tired = np.array([False, False, self.time >= self.tired])
        gone = self.away | self.dead | tired
        place = (self.cell / self.cells).astype(np.float32)
        if self.fault == "chance":  # else equal episodes would come by chance
            place += self.rng.random(3, np.float32)
        others = [[1, 0, 2], [0, 1, 2], [0, 2]]
        legal = np.ones((3, 4), bool)
        if self.fault == "mask":
            legal[:] = False
        return EnvStep(
            obs=[place[rows] for rows in others],
            legal=legal,
            reward=reward if self.fault != "reward" else reward[:2],
            terminated=self.dead.copy(),
            truncated=np.array(self.time >= self.max_steps),
            present=~gone,
        )

    def _fail(self):
        if self.fault == "raise":
            raise KeyError("no such cell")
        if self.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)


class Shapeless(HostEnv):
    """An environment that does not say what it shows."""

    num_players, action_names, max_steps = 1, ("GO",), 3


one_chase = Chase()
