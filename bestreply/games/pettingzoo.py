"""Environments of PettingZoo, Parallel and AEC.

``make_game("pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=25)")`` imports a
module and calls its attribute; ``pettingzoo:classic/tictactoe-v3(max_steps=9)`` is a name
of PettingZoo's registry. The mapping:

- Settings are those of the environment, and two more: `max_steps`, the step limit, by
  default the environment's own `max_cycles`, and `wait`.
- Seats are `possible_agents` in their order. Agents with equal spaces and equal names
  but for trailing digits have one role.
- Observations keep their type, are padded to one shape, and marked with their seat
  where roles or actions differ. Actions with several parts are combined.
- Legal actions are the ``action_mask`` in the observation or in the info.
- In an AEC environment that is not parallelizable, a step is the turn of one agent.
  The other agents have one legal action, the last one, "wait"; so has an agent of a parallel
  environment whose mask is empty, where one has at the first step or with `wait=True`.
- An agent that terminates leaves with the observation and reward of that step. One that
  is truncated alone leaves and keeps a next value.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, cast

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
from bestreply.games.pettingzoo_turns import CycleEnv, TurnEnv
from bestreply.games.seats import common_shape, marked_shape, padded
from bestreply.games.spaces import WAIT, common_dtype
from bestreply.utils.spec import is_role

PREFIX = "pettingzoo"


def load(name: str, **settings: Any) -> HostGame:
    """Return a game by the name of its environment.

    Args:
        name: ``module:attr``, or a name of the registry such as ``classic/rps-v2``.
        settings: those of the environment, `max_steps` and `wait`.

    Returns:
        The game.

    Raises:
        ValueError: there is no such name or setting, a space cannot be played, or no
            step limit is known.
        ImportError: PettingZoo is not installed.
    """
    _import_pettingzoo()
    full = f"{PREFIX}:{name}"
    make = _maker(name, full)

    def factory(**settings: Any) -> HostEnv:
        return PettingZooEnv(make, full, settings)

    return host_game(full, factory, settings)


def _import_pettingzoo() -> Any:
    try:
        import pettingzoo
    except ImportError as error:
        raise ImportError(
            "environments of PettingZoo need the package pettingzoo: "
            'pip install "bestreply[pettingzoo]"'
        ) from error
    return pettingzoo


def _maker(name: str, full: str) -> Make:
    """Return the function that makes an environment of a name."""
    if ":" in name:
        return maker(name, full)
    zoo: Any = _import_pettingzoo()
    for kind, registry in (
        ("parallel", zoo.parallel_registry),
        ("aec", zoo.aec_registry),
    ):
        if name in registry:
            return lambda **settings: zoo.make(kind, name, **settings)
    raise ValueError(
        f"game={full!r}: expected module:attr, such as "
        "mpe2.simple_tag_v3:parallel_env, or one of "
        f"{', '.join(sorted({*zoo.parallel_registry, *zoo.aec_registry}))}"
    )


# -- what agents are -------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _Agents:
    """The agents of an environment: names, spaces, roles."""

    names: tuple[Any, ...]
    observations: tuple[Observations, ...]
    actions: tuple[Actions, ...]

    @classmethod
    def of(cls, env: Any, full: str) -> "_Agents":
        names: tuple[Any, ...] = tuple(
            getattr(env, "possible_agents", None) or ()
        )
        if not names:
            raise ValueError(
                f"game={full!r}: expected an environment with possible_agents; "
                f"{type(env).__name__} has none"
            )
        observations = tuple(
            Observations.of(env.observation_space(a), f" of {a} in {full}")
            for a in names
        )
        actions = tuple(
            Actions.of(env.action_space(a), f" of {a} in {full}") for a in names
        )
        return cls(names, observations, actions)

    def roles(self) -> tuple[str, ...]:
        """Return a role for each; agents of one role have equal spaces and stems."""
        stems = [_stem(name) for name in self.names]
        kinds = [
            (stem, o.shape, o.dtype, a.names)
            for stem, o, a in zip(
                stems, self.observations, self.actions, strict=True
            )
        ]
        roles: dict[Any, str] = {}
        for kind in kinds:
            same = [known for known in roles if known[0] == kind[0]]
            if kind not in roles:
                roles[kind] = f"{kind[0]} {len(same) + 1}" if same else kind[0]
        return tuple(roles[kind] for kind in kinds)


def _stem(name: Any) -> str:
    """Return an agent's name without trailing digits and what no role can have."""
    stem = re.sub(r"[\W_]*\d+$", "", str(name))
    plain = "".join(c if is_role(c) else " " for c in stem)
    return " ".join(plain.split()) or "player"


class PettingZooEnv(HostEnv):
    """An environment of PettingZoo, stepped in place."""

    def __init__(
        self, make: Make, full: str, settings: Mapping[str, Any]
    ) -> None:
        """Make the environment and read what it declares.

        Args:
            make: makes it of its settings.
            full: name of the game, for errors.
            settings: its settings, `max_steps` and `wait`.
        """
        self.full, self.make = full, make
        self.seed = 0
        self.taken: list[np.ndarray] = []
        self.given = dict(settings)
        wait = self.given.pop("wait", None)
        limit = self.given.pop("max_steps", None)
        if limit is not None and takes(make, "max_steps"):
            self.given["max_steps"] = limit
        self.env = self._made()
        self.agents = agents = _Agents.of(self.env, full)
        self.seat = {name: seat for seat, name in enumerate(agents.names)}
        self.turns = isinstance(self.env, TurnEnv)
        self.masked = any(o.masked for o in agents.observations)
        self.num_players = len(agents.names)
        self.max_steps = step_limit(limit, self.env, make, full)
        self.wait = self.turns or (
            self._has_empty_mask() if wait is None else bool(wait)
        )
        self._declare()
        self.drawn: PettingZooEnv | None = None
        self.version = version_of(full)

    def _made(self) -> Any:
        """Return a new environment with the interface of `ParallelEnv`."""
        env = made(self.make, self.given, self.full, "max_steps or wait")
        return _parallel(env, self.full)

    def _has_empty_mask(self) -> bool:
        """Return whether an agent has no legal action at the first step."""
        obs, infos = self.env.reset(seed=0)
        masks = [self._mask(name, obs, infos) for name in self.env.agents]
        return any(mask is not None and not mask.any() for mask in masks)

    def _declare(self) -> None:
        """Set the attributes of a `HostEnv` from the agents' spaces."""
        agents, n = self.agents, self.num_players
        counts = [len(a.names) for a in agents.actions]
        names = max((a.names for a in agents.actions), key=len)
        if any(a.names != names[: len(a.names)] for a in agents.actions):
            names = tuple(map(str, range(len(names))))
        self.counts, self.null = counts, len(names)
        self.action_names = (*names, WAIT) if self.wait else names
        if not self.wait:
            self.seat_actions = tuple(counts)
        elif len(set(counts)) > 1:
            # all seats have the last action; masks forbid those between
            self.seat_actions = (len(names) + 1,) * n
        self.roles = agents.roles()
        self.seat_names = tuple(map(str, agents.names))
        shapes = [o.shape for o in agents.observations]
        self.seat_shapes = tuple(shapes)
        self.obs_dtype = common_dtype([o.dtype for o in agents.observations])
        shape = common_shape(shapes)
        whole = np.stack([padded(o.binary, shape) for o in agents.observations])
        self.binary = whole.all(0)
        given = np.asarray(getattr(self.env, "binary", False))
        if given.shape == shape:
            self.binary = self.binary | given.astype(bool)
        if not self.homogeneous:
            marks = np.ones(marked_shape(shape, n), bool)
            marks[..., : shape[-1]] = self.binary
            self.binary = marks

    # -- play ------------------------------------------------------------------

    def reset(self, seed: int) -> EnvStep:
        self.seed, self.taken = int(seed), []
        obs, infos = self.env.reset(seed=self.seed)
        present = np.zeros(self.num_players, bool)
        present[[self.seat[name] for name in self.env.agents]] = True
        legal = self._legal(obs, infos)
        seen = self._read(obs, list(self.env.agents))
        return EnvStep(seen, legal=legal, present=present)

    def step(self, actions: Int32[np.ndarray, " N"]) -> EnvStep:
        self.taken.append(actions)
        before = list(self.env.agents)
        obs, rewards, ended, cut, infos = self.env.step(
            {name: self._value(name, actions) for name in before}
        )
        self._refuse_new(before)
        n, after = self.num_players, set(self.env.agents)
        reward, terminated = np.zeros(n), np.zeros(n, bool)
        present, alone = np.zeros(n, bool), np.zeros(n, bool)
        for name in before:
            seat = self.seat[name]
            reward[seat] = rewards.get(name, 0)
            over = self._flag("terminated", ended, name)
            alone[seat] = self._flag("truncated", cut, name) and not over
            terminated[seat] = over or (name not in after and not alone[seat])
            present[seat] = name in after and not alone[seat]
        playing = [self.seat[name] for name in before]
        every = bool(alone[playing].any() and not present.any())
        present[playing] |= terminated[playing] | every
        return EnvStep(
            obs=self._read(obs, before),
            legal=self._legal(obs, infos),
            reward=reward,
            terminated=terminated,
            truncated=every,
            present=present,
        )

    def _flag(self, field: str, flags: Mapping[Any, Any], name: Any) -> bool:
        value = flags.get(name, False)
        return read_flag(field, value, f" of {name!r} {self._place()}")

    def _value(self, name: Any, actions: np.ndarray) -> Any:
        """Return what an agent does; of one that waits anything, which is ignored."""
        seat = self.seat[name]
        action = int(actions[seat])
        values = self.agents.actions[seat].values
        return values[action] if 0 <= action < len(values) else values[0]

    def _refuse_new(self, before: list[Any]) -> None:
        for name in self.env.agents:
            if name not in before:
                raise ValueError(
                    f"agent={name!r} joins at step {len(self.taken)}: expected agents "
                    f"that are there from the first step in {self.full}"
                )

    def _read(self, obs: Mapping[Any, Any], playing: list[Any]) -> Any:
        """Return the seats' observations; None of an agent that had left."""
        read: list[np.ndarray | None] = [None] * self.num_players
        for name in playing:
            seat = self.seat[name]
            own = self._observed(name, obs)
            read[seat] = np.asarray(self.agents.observations[seat].read(own))
        return self._joined(read)

    def _joined(self, read: list[np.ndarray | None]) -> Any:
        """Return observations as one array where they are flat and none is missing.

        A list with one of another shape than its space, or with one whose numbers the
        common type may not hold, stays, and is checked later.
        """
        declared = self.agents.observations
        if len(self.bare_shape) > 1 or not all(
            own is not None
            and own.shape == space.shape
            and _is_kept(own.dtype, self.obs_dtype)
            for own, space in zip(read, declared, strict=True)
        ):
            return read
        whole = np.zeros((len(read), *self.bare_shape), self.obs_dtype)
        for row, own in zip(whole, read, strict=True):
            flat = np.reshape(cast(np.ndarray, own), -1)
            np.copyto(row[: flat.size], flat, casting="same_kind")
        return whole

    def _observed(self, name: Any, obs: Mapping[Any, Any]) -> Any:
        """Return the observation of an agent in play, as the environment gives it."""
        if name not in obs:
            raise ValueError(
                f"agent={name!r} at step {len(self.taken)} of seed {self.seed}: "
                f"expected an observation of each agent in play from {self.full}; it "
                f"gives those of: {', '.join(map(str, obs)) or 'none'}"
            )
        return obs[name]

    def _mask(
        self, name: Any, obs: Mapping[Any, Any], infos: Mapping[Any, Any]
    ) -> np.ndarray | None:
        """Return the legal actions of an agent; None: all."""
        seat = self.seat[name]
        if self.agents.observations[seat].masked:
            mask = self._observed(name, obs)[MASK]
        else:
            mask = (infos.get(name) or {}).get(MASK)
            if mask is None:
                return None
        count = len(self.agents.actions[seat].names)
        return read_mask(mask, count, f" of {name!r} {self._place()}")

    def _place(self) -> str:
        return f"at step {len(self.taken)} of seed {self.seed} in {self.full}"

    def _legal(
        self, obs: Mapping[Any, Any], infos: Mapping[Any, Any]
    ) -> np.ndarray | None:
        """Return the seats' legal actions; None: all that they have."""
        if not (self.wait or self.masked) and not any(
            info and MASK in info for info in infos.values()
        ):
            return None
        legal = np.zeros((self.num_players, len(self.action_names)), bool)
        for name in self.env.agents:
            seat = self.seat[name]
            count = self.counts[seat]
            if self.turns and name != self.env.turn:
                mask: Any = False
            else:
                mask = self._mask(name, obs, infos)
                mask = True if mask is None else mask
            legal[seat, :count] = mask
            if self.turns and name == self.env.turn and not legal[seat].any():
                raise ValueError(
                    f"{MASK} of {name!r} {self._place()}: expected a legal action, "
                    "since it is the turn of this agent; the environment has to pass "
                    "over agents that cannot move, or offer an action for it"
                )
            if self.wait and not legal[seat].any():
                legal[seat, self.null] = True
            if not legal[seat].any():
                raise ValueError(
                    f"{MASK} of {name!r} {self._place()}: expected a legal action; "
                    f"for agents that sometimes do not move, {self.full}(wait=True)"
                )
        return legal

    # -- pictures ----------------------------------------------------------------

    def render(self) -> np.ndarray | None:
        """Return a picture, drawn by a second environment that replays the episode."""
        if self.given.get("render_mode") == "rgb_array":
            return picture(self.env.render())
        if not draws_pictures(self.env, self.given):
            return None
        if self.drawn is None:
            given = self.given | {"render_mode": "rgb_array"}
            limits = {"max_steps": self.max_steps, "wait": self.wait}
            self.drawn = PettingZooEnv(self.make, self.full, given | limits)
        drawn = self.drawn
        same = drawn.seed == self.seed and drawn.taken
        if not same or not _begins(drawn.taken, self.taken):
            drawn.reset(self.seed)
        for actions in self.taken[len(drawn.taken) :]:
            drawn.step(actions)
        return picture(drawn.env.render())

    def close(self) -> None:
        self.env.close()
        if self.drawn is not None:
            self.drawn.close()


def _is_kept(dtype: np.dtype, wider: np.dtype) -> bool:
    """Return whether a cast changes no number, but for floats that are rounded."""
    return np.can_cast(dtype, wider) or dtype.kind == wider.kind == "f"


def _begins(first: list[np.ndarray], whole: list[np.ndarray]) -> bool:
    """Return whether one list of joint actions is the start of another."""
    return len(first) <= len(whole) and all(
        np.array_equal(a, b) for a, b in zip(first, whole, strict=False)
    )


def _parallel(env: Any, full: str) -> Any:
    """Return an environment with the interface of `ParallelEnv`."""
    if type(env).__name__ == "aec_to_parallel_wrapper":
        env = env.aec_env
    if hasattr(env, "agent_iter"):
        together = (env.metadata or {}).get("is_parallelizable", False)
        return CycleEnv(env) if together else TurnEnv(env)
    if not hasattr(env, "possible_agents") or not callable(
        getattr(env, "step", None)
    ):
        raise ValueError(
            f"game={full!r}: expected a ParallelEnv or AECEnv of PettingZoo; it is "
            f"a {type(env).__name__}"
        )
    return env
