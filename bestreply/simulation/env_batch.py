"""Many games stepped side by side on the host.

A `HostGame` is stepped in place, here or in worker processes
(`bestreply.simulation.env_workers`). Any other host game is stepped by its own `reset`
and `step`.
"""

import atexit
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Key

from bestreply.games.base import Game
from bestreply.games.host import HostGame, seeds_of
from bestreply.simulation.env_worker import FIELDS
from bestreply.simulation.env_workers import Course, EnvWorkers, can_be_sent
from bestreply.types import Array, TimeStep

SLOW = 10.0
"""Seconds of play from which on worker processes pay for their start."""
WORKERS = "BESTREPLY_ENV_WORKERS"
"""Environment variable: worker processes that step environments; 0: none."""


def env_batch(game: Game, size: int, steps: int) -> "EnvBatch":
    """Return M games to step side by side.

    A number in the variable `WORKERS` is the number of processes that step
    environments. Without one, environments are stepped here, and in a process for each
    processor once they prove slow. The results are the same.

    Args:
        game: a host game.
        size: the number of games, M.
        steps: steps of each that are to be made, to tell whether processes pay.

    Returns:
        The games.

    Raises:
        ValueError: the variable is no number.
    """
    if not isinstance(game, HostGame):
        return StateBatch(game)
    key = game, size, os.environ.get(WORKERS)
    if key not in _kept:
        close_kept()
        _kept[key] = _live_batch(game, size)
    batch = _kept[key]
    if isinstance(batch, LiveBatch):
        batch.steps = steps
    return batch


_kept: dict[Any, "EnvBatch"] = {}
"""The environments of the last call, so that the next one need not make them again."""


@atexit.register
def close_kept() -> None:
    """Free the environments that are kept for a further call."""
    while _kept:
        _kept.popitem()[1].close()


def _live_batch(game: HostGame, size: int) -> "EnvBatch":
    given = os.environ.get(WORKERS, "")
    if given and not given.isdecimal():
        raise ValueError(
            f"{WORKERS}={given!r}: expected a number of processes, or 0"
        )
    if size < 2 or not can_be_sent(game):
        return LiveBatch(game, size, can_help=False)
    count = min(int(given or 0), size)
    if count:
        return EnvWorkers(game, size, count)
    return LiveBatch(game, size, can_help=not given)


class StateBatch:
    """M games of pure rules, a state for each."""

    def __init__(self, game: Game) -> None:
        """Make the games.

        Args:
            game: the game.
        """
        self.game = game
        self.states: list[Any] = []
        self.shown: list[TimeStep] = []

    def reset(self, keys: Key[Array, " M"]) -> TimeStep:
        """Start M episodes.

        Args:
            keys: a random key for each.

        Returns:
            The first time steps [M, ...].
        """
        pairs = list(map(self.game.reset, keys))
        self.states = [state for state, _ in pairs]
        self.shown = [shown for _, shown in pairs]
        return stack(self.shown)

    def step(
        self,
        actions: Int[np.ndarray, "M N"],
        keys: Key[Array, " M"],
        live: Bool[np.ndarray, " M"],
    ) -> TimeStep:
        """Make a step.

        Args:
            actions: the joint actions.
            keys: random keys of the step.
            live: the matches that make it.

        Returns:
            The time steps [M, ...]; those of other matches with reward 0.
        """
        for row in np.flatnonzero(live):
            self.states[row], self.shown[row] = self.game.step(
                self.states[row], actions[row], keys[row]
            )
        return without_reward(stack(self.shown), ~live)

    def close(self) -> None:
        """Free what the games hold: nothing."""


class LiveBatch:
    """Environments in this process, until they prove slow."""

    steps = 0
    """Steps of each that are to be made; 0: it is known that no process is to help."""

    def __init__(self, game: HostGame, size: int, *, can_help: bool) -> None:
        """Make the environments.

        Args:
            game: the game.
            size: the number of environments.
            can_help: other processes may take over.
        """
        self.game, self.size, self.can_help = game, size, can_help
        self.envs = [game.live() for _ in range(size)]
        self.course = Course(np.zeros(size, np.uint32))
        self.workers: EnvWorkers | None = None

    def reset(self, keys: Key[Array, " M"]) -> TimeStep:
        """Start M episodes, as `StateBatch.reset`."""
        if self.workers is not None:
            return self.workers.reset(keys)
        self.course = Course(np.asarray(seeds_of(keys)))
        pairs = zip(self.envs, self.course.seeds, strict=True)
        return stack([env.reset(int(seed)) for env, seed in pairs])

    def step(
        self,
        actions: Int[np.ndarray, "M N"],
        keys: Key[Array, " M"],
        live: Bool[np.ndarray, " M"],
    ) -> TimeStep:
        """Make a step, as `StateBatch.step`; the seed of an episode decides all chance."""
        if self.workers is not None:
            return self.workers.step(actions, keys, live)
        begun = time.perf_counter()
        for row in np.flatnonzero(live):
            self.envs[row].step(actions[row])
        seconds = time.perf_counter() - begun
        shown = stack([env.shown for env in self.envs])
        if (
            self.steps and self.can_help
        ):  # the first step tells how slow they are
            self.course.add(actions, live)
            self._hand_over(seconds * self.steps, shown)
            self.steps = 0
        return without_reward(shown, ~live)

    def _hand_over(self, seconds: float, shown: TimeStep) -> None:
        processors = os.cpu_count() or 1
        if seconds < SLOW or processors < 2:
            return
        self.close()
        count = min(processors, self.size)
        self.workers = EnvWorkers(self.game, self.size, count)
        self.workers.resume(self.course, shown)

    def close(self) -> None:
        """Free the environments and the processes."""
        for env in self.envs:
            env.env.close()
        self.envs = []
        if self.workers is not None:
            self.workers.close()


EnvBatch = StateBatch | LiveBatch | EnvWorkers
"""M games that are stepped side by side."""


def stack(steps: Sequence[Any]) -> TimeStep:
    """Return time steps as one, with a leading axis.

    Args:
        steps: M time steps in NumPy, each a `TimeStep` or an `EnvStep`.

    Returns:
        The time step [M, ...].
    """
    return TimeStep(
        **{
            field: np.stack([getattr(s, field) for s in steps])
            for field in FIELDS
        }
    )


def without_reward(shown: TimeStep, over: Bool[np.ndarray, " M"]) -> TimeStep:
    """Return time steps with reward 0 in matches that were over before the step.

    Args:
        shown: time steps [M, ...].
        over: those matches.

    Returns:
        The time steps.
    """
    reward = np.where(over[:, None], np.float32(0), shown.reward)
    return TimeStep(
        obs=shown.obs,
        legal=shown.legal,
        reward=reward,
        terminated=shown.terminated,
        truncated=shown.truncated,
        present=shown.present,
    )
