"""Environments of Gymnasium, for one agent.

``make_game("gymnasium:CartPole-v1")`` is a name of Gymnasium's registry,
``gymnasium:pkg:Maze-v0`` one that the module ``pkg`` registers, and
``gymnasium:pkg.mod:MyEnv(size=3)`` a class or a function that makes an environment. The
mapping:

- Settings are those of the environment, and `max_steps`, the step limit, by default that
  of the registry (`max_episode_steps`).
- There is one seat. Observations keep their type; those with parts become a vector.
  Actions with several parts are combined; continuous ones are refused.
- Legal actions are ``info["action_mask"]``, or ``obs["action_mask"]`` beside the rest.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32

from bestreply.games.environments import (
    Make,
    draws_pictures,
    made,
    maker,
    picture,
    step_limit,
    takes,
    version_of,
)
from bestreply.games.gymnasium_spaces import (
    MASK,
    Actions,
    Observations,
    read_flag,
    read_mask,
)
from bestreply.games.host import HostGame, host_game
from bestreply.games.host_env import EnvStep, HostEnv
from bestreply.utils.environment_names import ENVIRONMENT_ID
from bestreply.utils.importing import import_attribute

PREFIX = "gymnasium"


def load(name: str, **settings: Any) -> HostGame:
    """Return a game by the name of its environment.

    Args:
        name: a name of the registry, perhaps behind the module that registers it, or
            ``module:attr``.
        settings: those of the environment, and `max_steps`.

    Returns:
        The game.

    Raises:
        ValueError: there is no such name or setting, a space cannot be played, or no
            step limit is known.
        ImportError: Gymnasium is not installed.
    """
    full = f"{PREFIX}:{name}"
    make = _maker(name, full)

    def factory(**settings: Any) -> HostEnv:
        return GymnasiumEnv(make, full, settings)

    return host_game(full, factory, settings)


def _maker(name: str, full: str) -> Make:
    """Return the function that makes an environment of a name."""
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError(
            "environments of Gymnasium need the package gymnasium: "
            'pip install "bestreply[gymnasium]"'
        ) from error
    if ":" in name and not ENVIRONMENT_ID.fullmatch(name):
        return maker(name, full)
    module, colon, name = name.rpartition(":")
    if colon:  # it registers its environments
        import_attribute("game", f"{module}:__name__")
    # what they stand for is named by a setting, past all checks of names
    if name.startswith("GymV"):
        raise ValueError(f"game={full!r}: expected the environment's own name")
    try:
        spec = gymnasium.spec(name)
    except gymnasium.error.Error as error:
        raise ValueError(
            f"game={full!r:.200}: expected a name of Gymnasium's registry, such as "
            f"CartPole-v1, or module:attr; {error}"
        ) from None

    def make(**settings: Any) -> Any:
        try:
            return gymnasium.make(spec, disable_env_checker=True, **settings)
        except gymnasium.error.DependencyNotInstalled as error:
            raise ImportError(f"game={full!r}: {error}") from error

    return make


class GymnasiumEnv(HostEnv):
    """An environment of Gymnasium, stepped in place."""

    num_players = 1

    def __init__(
        self, make: Make, full: str, settings: Mapping[str, Any]
    ) -> None:
        """Make the environment and read what it declares.

        Args:
            make: makes it of its settings.
            full: name of the game, for errors.
            settings: its settings, and `max_steps`.
        """
        self.full, self.make, self.given = full, make, dict(settings)
        limit = self.given.pop("max_steps", None)
        if limit is not None and takes(make, "max_steps"):
            self.given["max_steps"] = limit
        self.env = self._made()
        self.observations = Observations.of(
            self.env.observation_space, f" of {full}"
        )
        self.actions = Actions.of(self.env.action_space, f" of {full}")
        self.action_names = self.actions.names
        self.obs_shape = self.observations.shape
        self.obs_dtype = self.observations.dtype
        self.binary = self.observations.binary
        self.max_steps = step_limit(limit, self.env, make, full)
        self.version = version_of(full)
        self.drawn: Any = None
        self.seed = 0
        self.taken: list[int] = []

    def _made(self, **more: Any) -> Any:
        env = made(self.make, self.given, self.full, "max_steps", **more)
        if not hasattr(env, "observation_space") or not hasattr(env, "step"):
            raise ValueError(
                f"game={self.full!r}: expected an environment of Gymnasium; it is a "
                f"{type(env).__name__}"
            )
        return env

    # -- play ------------------------------------------------------------------

    def reset(self, seed: int) -> EnvStep:
        self.seed, self.taken = int(seed), []
        obs, info = self.env.reset(seed=int(seed))
        return self._shown(obs, 0.0, False, False, info)

    def step(self, actions: Int32[np.ndarray, " N"]) -> EnvStep:
        action = int(actions[0])
        self.taken.append(action)
        return self._shown(*self.env.step(self.actions.values[action]))

    def _shown(
        self, obs: Any, reward: Any, ended: Any, cut: Any, info: Any
    ) -> EnvStep:
        mask = obs[MASK] if self.observations.masked else (info or {}).get(MASK)
        legal = np.ones((1, len(self.action_names)), bool)
        place = f" at step {len(self.taken)} of seed {self.seed} in {self.full}"
        ended = read_flag("terminated", ended, place)
        cut = read_flag("truncated", cut, place)
        if mask is not None and not (ended or cut):
            legal[0] = read_mask(mask, len(self.action_names), place)
        return EnvStep(
            obs=self.observations.read(obs)[None],
            reward=np.array([reward], np.float32),
            terminated=np.array([ended]),
            truncated=cut and not ended,
            legal=legal,
        )

    # -- pictures ----------------------------------------------------------------

    def render(self) -> np.ndarray | None:
        """Return a picture, drawn by a second environment that replays the episode."""
        if self.given.get("render_mode") == "rgb_array":
            return picture(self.env.render())
        if not draws_pictures(self.env, self.given):
            return None
        if self.drawn is None:
            self.drawn = self._made(render_mode="rgb_array")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it is given twice
            self.drawn.reset(seed=self.seed)
            for action in self.taken:
                self.drawn.step(self.actions.values[action])
        return picture(self.drawn.render())

    def close(self) -> None:
        self.env.close()
        if self.drawn is not None:
            self.drawn.close()
