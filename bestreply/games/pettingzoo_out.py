"""Every game as an environment of PettingZoo, for the learners of other libraries."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from bestreply.games.base import Game
from bestreply.games.gymnasium_spaces import MASK
from bestreply.games.registry import make_game
from bestreply.types import ABSENT, TimeStep
from bestreply.utils.casts import any_array
from bestreply.utils.checks import shown as shown_text
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec

try:
    from gymnasium import spaces
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise ImportError(
        "`parallel_env` needs the package pettingzoo: "
        'pip install "bestreply[pettingzoo]"'
    ) from error


def parallel_env(
    game: str | Spec | Game,
    *,
    illegal: str = "replace",
    render_mode: str | None = None,
) -> "GameParallelEnv":
    """Return a game as a `ParallelEnv` of PettingZoo.

    Agents are named by role, ``player_0``, ``player_1``. An observation is a dict of
    ``observation`` and ``action_mask``. ``reset(seed)`` resets the game with the key
    ``jax.random.key(seed)``, and step t, from 1, has the key ``fold_in(key, t)``.

    Args:
        game: the game, or its name.
        illegal: "replace": in place of an illegal action the first legal one is played,
            and ``infos[agent]["illegal_action"]`` holds the illegal one; "raise": it is
            an error.
        render_mode: "ansi": `render` returns the observation of the first agent as
            text; "rgb_array": a picture, of games that draw one.

    Returns:
        The environment.

    Raises:
        ValueError: an unknown game, `illegal` or `render_mode`.
    """
    return GameParallelEnv(make_game(game), illegal, render_mode)


@functools.lru_cache(maxsize=64)
def _functions(game: Game) -> tuple[Any, Any]:
    """Return the game's `reset`, and its `step` with a key and its number."""

    def step(state: Any, actions: Any, key: Any, time: Any) -> Any:
        return game.step(state, actions, jax.random.fold_in(key, time))

    if not game.compiled:
        return game.reset, step
    return jax.jit(game.reset), jax.jit(step)


class GameParallelEnv(ParallelEnv):
    """A game with the interface of PettingZoo; see `parallel_env`."""

    def __init__(
        self, game: Game, illegal: str, render_mode: str | None
    ) -> None:
        """Declare agents and spaces.

        Args:
            game: the game.
            illegal: "replace" or "raise".
            render_mode: "ansi", "rgb_array" or None.
        """
        if illegal not in ("replace", "raise"):
            raise ValueError(f"illegal={illegal!r}: expected replace or raise")
        draws = type(game).frame is not Game.frame
        modes = ["ansi", "rgb_array"] if draws else ["ansi"]
        if render_mode not in (None, *modes):
            raise ValueError(
                f"render_mode={render_mode!r}: expected {' or '.join(modes)}, or None, "
                f"in {game.name}"
            )
        self.game, self.illegal, self.render_mode = game, illegal, render_mode
        self.max_steps = game.max_steps
        self.binary = np.asarray(game.binary)
        """[*obs_shape] bool: entries of an observation that are 0 or 1."""
        self.metadata = {
            "name": str(Spec(game.name, (), game.settings)),
            "render_modes": modes,
            "is_parallelizable": True,
        }
        count: dict[str, int] = {}
        self.possible_agents: list[str] = []
        for role in game.roles:
            number = count.get(role, 0)
            self.possible_agents.append(f"{role}_{number}")
            count[role] = number + 1
        self.agents: list[str] = []
        self.seat = {name: s for s, name in enumerate(self.possible_agents)}
        self._spaces = [
            (_observations(game, n), spaces.Discrete(n))
            for n in game.seat_actions
        ]
        self._seeds = np.random.default_rng()
        self._reset, self._step = _functions(game)
        self._key: Any = None
        self._state: Any = None
        self._shown: Any = None
        self._time = 0

    def observation_space(self, agent: str) -> Any:
        """Return the space of an agent's observations.

        Args:
            agent: its name.
        """
        return self._spaces[self.seat[agent]][0]

    def action_space(self, agent: str) -> Any:
        """Return the space of an agent's actions.

        Args:
            agent: its name.
        """
        return self._spaces[self.seat[agent]][1]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: its seed, 0 <= seed < 2^32; None: drawn after the seed given last.
            options: not used.

        Returns:
            Observations and infos by agent.
        """
        if seed is None:
            seed = int(self._seeds.integers(2**31))
        else:
            self._seeds = np.random.default_rng(checked_seed(seed))
        self._key, self._time = jax.random.key(seed), 0
        self._state, shown = self._reset(self._key)
        self._shown = shown = jax.device_get(shown)
        self.agents = [
            name for name, seat in self.seat.items() if shown.present[seat]
        ]
        return self._observed(self.agents), {name: {} for name in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, Any],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, Any],
    ]:
        """Make one step.

        Args:
            actions: an action for each agent in `agents`; those of agents that have
                left are ignored.

        Returns:
            Observations, rewards, terminations, truncations and infos of these agents.

        Raises:
            ValueError: there was no `reset`, an agent has no action or one that is no
                whole number, there is no such agent, or an action is illegal with
                ``illegal="raise"``.
        """
        self._check_begun("step")
        acting, before = self.agents, self._shown
        infos: dict[str, Any] = {name: {} for name in acting}
        joint = self._joint(actions, infos)
        self._time += 1
        self._state, shown = self._step(
            self._state, joint, self._key, np.int32(self._time)
        )
        self._shown = shown = jax.device_get(shown)
        rewards, ended, cut = {}, {}, {}
        for name in acting:
            seat = self.seat[name]
            rewards[name] = float(shown.reward[seat])
            ended[name] = bool(shown.terminated[seat] & before.present[seat])
            left = not shown.present[seat]
            cut[name] = not ended[name] and (bool(shown.truncated) or left)
        self.agents = [n for n in acting if not (ended[n] or cut[n])]
        return self._observed(acting), rewards, ended, cut, infos

    def _check_begun(self, method: str) -> None:
        if self._shown is None:
            raise ValueError(
                f"{method}: expected a call of reset first, such as "
                "env.reset(seed=0)"
            )

    def _joint(
        self, actions: Mapping[str, Any], infos: dict[str, Any]
    ) -> Int[np.ndarray, " N"]:
        """Return the joint action; note in `infos` which were illegal."""
        for name in actions:
            if name not in self.seat:
                raise ValueError(
                    f"agent={shown_text(name)}: expected agents of {self.game.name}: "
                    f"{', '.join(self.possible_agents)}"
                )
        joint = np.full(len(self.seat), ABSENT, np.int32)
        for name in self.agents:
            seat = self.seat[name]
            legal = self._shown.legal[seat]
            if name not in actions:
                raise ValueError(
                    f"actions of {', '.join(map(str, actions)) or 'no agent'}: expected "
                    f"one of each in {', '.join(self.agents)}"
                )
            action = self._number(name, actions[name])
            if not 0 <= action < len(legal) or not legal[action]:
                allowed = np.flatnonzero(legal).tolist()
                if self.illegal == "raise":
                    raise ValueError(
                        f"action={action}: expected a legal action of {name} at step "
                        f"{self._time}: {allowed}"
                    )
                infos[name]["illegal_action"] = action
                action = allowed[0]
            joint[seat] = action
        return np.maximum(joint, 0)

    def _number(self, name: str, action: Any) -> int:
        """Return an action as an int."""
        number = any_array(action)
        if number.size != 1 or number.dtype.kind not in "biu":
            most = self.game.seat_actions[self.seat[name]] - 1
            raise ValueError(
                f"action={shown_text(action)}: expected a whole number, 0 to {most}, "
                f"of {name} at step {self._time}"
            )
        return int(number.reshape(()))

    def _observed(self, names: list[str]) -> dict[str, Any]:
        shown: TimeStep = self._shown
        counts = self.game.seat_actions
        return {
            name: {
                "observation": np.array(shown.obs[self.seat[name]]),
                MASK: shown.legal[self.seat[name]][
                    : counts[self.seat[name]]
                ].astype(np.int8),
            }
            for name in names
        }

    def state(self) -> np.ndarray:
        """Return the observations of all agents in one array, [N, *obs_shape].

        Raises:
            ValueError: there was no `reset`.
        """
        self._check_begun("state")
        return np.array(self._shown.obs)

    def render(self) -> Any:
        """Return text or a picture of the present state, as `render_mode` says.

        Raises:
            ValueError: there is something to draw, but there was no `reset`.
        """
        if self.render_mode is not None:
            self._check_begun("render")
        if self.render_mode == "ansi":
            return self.game.text(self._shown.obs[0], 0)
        if self.render_mode == "rgb_array":
            return self.game.frame(self._state)
        return None


def _observations(game: Game, actions: int) -> Any:
    """Return the space of one seat's observations and masks."""
    dtype: Any = np.dtype(game.obs_dtype)
    shape = tuple(game.obs_shape)
    if dtype.kind == "b":
        entries: Any = spaces.MultiBinary(list(shape))
    else:
        whole = dtype.kind in "ui"
        low = np.iinfo(dtype).min if whole else -np.inf
        high = np.iinfo(dtype).max if whole else np.inf
        lows, highs = np.full(shape, low, dtype), np.full(shape, high, dtype)
        binary = np.asarray(game.binary)
        lows[binary], highs[binary] = 0, 1
        entries = spaces.Box(lows, highs, dtype=dtype)
    mask = spaces.Box(0, 1, (actions,), np.int8)
    return spaces.Dict({"observation": entries, MASK: mask})
