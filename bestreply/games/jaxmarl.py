"""Environments of JaxMARL, compiled.

``make_game("jaxmarl:coin_game")``, ``jaxmarl:overcooked(layout=coord_ring)``,
``jaxmarl:MPE_simple_tag_v3(num_adversaries=2)``. Rutherford et al., "JaxMARL:
Multi-Agent RL Environments and Algorithms in JAX", 2024. The mapping:

- Settings are arguments of `jaxmarl.make`; a layout of overcooked and a scenario of SMAX
  are given by name.
- A seat is an agent, in the order of `env.agents`. Agents with equal spaces whose names
  differ in their last number alone have one role. Where agents differ in roles or
  actions, observations are padded to one shape and marked with their seat. An
  observation with several arrays is flattened to one vector.
- Steps are those of `step_env`: `step` would restart by itself and lose the last
  observation.
- JaxMARL tells no truncation. An environment's `max_steps` is kept here and truncates;
  one without a limit needs `max_steps=`. MPE makes one step more than its `max_steps`,
  which is not made here.
- An agent that is done before the others leaves with its last reward. In SMAX a dead unit
  still earns the reward of its team: it stays, with "stop" as its only action.
- coin_game restarts after `num_inner_steps` steps within one long episode. Here an
  episode is one of these inner ones, with its last observation and reward, which JaxMARL
  overwrites; `series` plays several in a row.
"""

import functools
import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree

from bestreply.games.adapted import (
    AdaptedGame,
    AdaptedState,
    Move,
    Options,
    Traits,
    fill,
    one_array,
    part_types,
    plain_defaults,
    sorted_options,
    step_limit,
)
from bestreply.games.seats import common_shape
from bestreply.games.sizes import check_sizes
from bestreply.games.spaces import common_dtype, flat_actions, refuse_actions
from bestreply.types import Array

INNER = "num_inner_steps"
"""The step limit of coin_game."""
LIMIT_OBSERVED = ("overcooked", "jaxnav")
"""Environments whose observations depend on their step limit."""
UNMASKED = ("jaxnav",)
"""Environments whose masks have another length than their actions."""
DEAD_EARN = ("SMAX", "HeuristicEnemySMAX")
"""Environments whose agents that are done still earn rewards."""
MOVES = ("stay", "left", "right", "down", "up")
ACTIONS = {
    "coin_game": ("right", "left", "up", "down", "stay"),
    "overcooked": ("up", "down", "right", "left", "stay", "interact"),
    "overcooked_v2": ("up", "down", "right", "left", "stay", "interact"),
    "MPE_simple_v3": MOVES,
    "MPE_simple_tag_v3": MOVES,
    "MPE_simple_spread_v3": MOVES,
    "MPE_simple_push_v3": MOVES,
    "MPE_simple_adversary_v3": MOVES,
}
"""Names of actions, where all agents have the same; others are numbered."""
TILE = 32
"""Pixels of a tile in a picture of overcooked."""


class JaxMarlGame(AdaptedGame):
    """A game of JaxMARL; `load` checks and completes its settings."""

    version = 1
    summary = "an environment of JaxMARL"

    @classmethod
    def load(
        cls, name: str, *, max_steps: int | None = None, **settings: Any
    ) -> "JaxMarlGame":
        """Return a game by JaxMARL's name.

        Args:
            name: the name, such as ``coin_game``.
            max_steps: the step limit; by default the environment's own. coin_game
                has `num_inner_steps` in its place.
            settings: arguments of `jaxmarl.make`.

        Returns:
            The game.

        Raises:
            ValueError: for an unknown name, setting or value, for an environment
                without a step limit, or for actions that are no list.
            ImportError: if `jaxmarl` is not installed.
        """
        full = f"jaxmarl:{name}"
        _check_name(name)
        if name == "coin_game":
            for outer in ("num_outer_steps", "max_steps"):
                given = {"max_steps": max_steps, **settings}.get(outer)
                if given is not None:
                    raise ValueError(
                        f"{outer}={given!r:.100}: expected no such setting of {full}, "
                        f"whose episodes are inner ones of {INNER} steps; series= "
                        "plays several in a row"
                    )
            settings = {INNER: 10, **settings}
            max_steps = settings.pop(INNER)
        limit = INNER if name == "coin_game" else "max_steps"
        options = sorted_options(full, settings)
        env = _env(name, options, None)
        if max_steps is None:
            max_steps = getattr(env, "max_steps", None)
        max_steps = step_limit(full, limit, max_steps)
        if _is_fixed(name, options) and max_steps > env.max_steps:
            raise ValueError(
                f"max_steps={max_steps}: expected at most {env.max_steps} in {full}, "
                "where the environment itself ends"
            )
        kind = inspect.signature(type(env)).parameters.values()
        known = plain_defaults([p for p in kind if p.name not in _OWN])
        whole = {**known, **dict(options), limit: max_steps}
        game = cls(full, sorted_options(full, whole), max_steps)
        check_sizes(game)
        return game

    @property
    def traits(self) -> Traits:
        return _traits(self.name.removeprefix("jaxmarl:"), self.options)

    # -- rules ---------------------------------------------------------------

    def _reset(self, key: PRNGKeyArray) -> Move:
        obs, env = self.traits.env.reset(key)
        still = jnp.zeros(self.num_players)
        return self._move(obs, env, still, still > 0, jnp.zeros((), bool))

    def _step(
        self, env: PyTree, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> Move:
        inner, agents = self.traits.env, self.traits.extra.agents
        given = {
            agent: decode(actions[seat])
            for seat, (agent, decode) in enumerate(agents.items())
        }
        obs, env, reward, done, _ = inner.step_env(key, env, given)
        paid = [jnp.asarray(reward[a], jnp.float32) for a in agents]
        ended = jnp.stack([jnp.asarray(done[a], bool) for a in agents])
        if self.name.removeprefix("jaxmarl:") in DEAD_EARN:
            ended = jnp.zeros_like(ended)
        over = jnp.asarray(done["__all__"], bool)
        return self._move(obs, env, jnp.stack(paid), ended, over)

    def _move(
        self,
        obs: dict[str, PyTree],
        env: PyTree,
        reward: Float[Array, " N"],
        ended: Bool[Array, " N"],
        over: Bool[Array, ""],
    ) -> Move:
        traits, agents = self.traits, self.traits.extra.agents
        seen = [one_array(obs[agent], traits.dtype) for agent in agents]
        return Move(
            env=env,
            obs=jnp.stack([fill(own, traits.shape) for own in seen]),
            legal=traits.extra.masks(env),
            reward=reward,
            ended=ended,
            over=over,
        )

    # -- contents of an observation ------------------------------------------

    def perspective(
        self, obs: Float[Array, "..."], other: Int[Array, ""] | int
    ) -> Float[Array, "..."] | None:
        """Return the other seat's observation in coin_game, with absolute positions.

        Args:
            obs: [..., *obs_shape] the own observation.
            other: ego-first index of the other seat.

        Returns:
            The observation with own and other planes exchanged; None in other games.
        """
        if self.name != "jaxmarl:coin_game" or self.settings["egocentric"]:
            return None
        planes = obs.reshape(*obs.shape[: -len(self.obs_shape)], 3, 3, 4)
        exchanged = planes[..., [1, 0, 3, 2]].reshape(obs.shape)
        return jnp.where(jnp.equal(other, 0), obs, exchanged)

    # -- display -------------------------------------------------------------

    def frame(self, state: AdaptedState) -> np.ndarray | None:
        if self.name == "jaxmarl:overcooked":
            return _kitchen(self.traits.env, state.env)
        if self.name.startswith("jaxmarl:MPE_"):
            return _circles(self.traits.env, state.env)
        return None


_OWN = (INNER, "num_outer_steps", "max_steps")


# -- environments ----------------------------------------------------------------


class _Agents(NamedTuple):
    """How seats act, and what they may do."""

    agents: dict[str, Callable[[Array], Array]]
    """By agent, in seat order: the action that the environment takes for an index."""
    masks: Callable[[PyTree], Bool[Array, "N A"]]


def _jaxmarl() -> Any:
    try:
        # It prints which of its parts are missing, and warns of old names; one of its
        # imports ends a redirection of standard output.
        with (
            warnings.catch_warnings(),
            mock.patch("builtins.print", lambda *_, **__: None),
        ):
            warnings.simplefilter("ignore")
            import jaxmarl
    except ImportError as error:
        raise ImportError(
            "environments of JaxMARL need the package jaxmarl: "
            'pip install "bestreply[jaxmarl]"'
        ) from error
    return jaxmarl


def _check_name(name: str) -> None:
    names = _jaxmarl().registered_envs
    if name not in names:
        raise ValueError(
            f"game='jaxmarl:{name}': expected one of {', '.join(names)}"
        )


@functools.lru_cache(maxsize=64)
def _env(name: str, options: Options, limit: int | None) -> Any:
    """Return an environment; with `limit`, one that the limit does not end, if it can."""
    settings = {k: v for k, v in options if k not in _OWN}
    for key, value in settings.items():
        settings[key] = _named(name, key, value)
    if limit is not None and name == "coin_game":
        settings |= {INNER: limit + 1, "num_outer_steps": 1}
    elif limit is not None and _takes_limit(name, options):
        settings["max_steps"] = limit + (name not in LIMIT_OBSERVED)
    try:
        with jax.ensure_compile_time_eval(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _jaxmarl().make(name, **settings)
    except Exception as error:  # whatever JaxMARL raises for its own settings
        given = ", ".join(f"{k}={v!r}" for k, v in options)
        raise ValueError(
            f"game='jaxmarl:{name}({given})': expected settings that JaxMARL accepts; "
            f"it says: {' '.join(str(error).split()):.300}"
        ) from error


def _takes_limit(name: str, options: Options) -> bool:
    env = _env(name, tuple(o for o in options if o[0] not in _OWN), None)
    parameters = inspect.signature(type(env)).parameters.values()
    names = [p.name for p in parameters]
    return hasattr(env, "max_steps") and (
        "max_steps" in names or any(p.kind is p.VAR_KEYWORD for p in parameters)
    )


def _is_fixed(name: str, options: Options) -> bool:
    """Return whether an environment has a step limit that cannot be changed."""
    env = _env(name, tuple(o for o in options if o[0] not in _OWN), None)
    return hasattr(env, "max_steps") and not _takes_limit(name, options)


def _named(name: str, key: str, value: Any) -> Any:
    """Return a setting that is given by its name: a layout or a scenario."""
    if name == "overcooked" and key == "layout" and isinstance(value, str):
        from jaxmarl.environments.overcooked import overcooked_layouts as table
    elif "SMAX" in name and key == "scenario" and isinstance(value, str):
        from jaxmarl.environments.smax.smax_env import (
            MAP_NAME_TO_SCENARIO as table,
        )
    else:
        return value
    if value not in table:
        raise ValueError(
            f"{key}={value!r:.100}: expected one of {', '.join(table)} in "
            f"jaxmarl:{name}"
        )
    return table[value]


@functools.lru_cache(maxsize=64)
def _traits(name: str, options: Options) -> Traits:
    where = f" in jaxmarl:{name}"
    limit = dict(options)[INNER if name == "coin_game" else "max_steps"]
    env = _env(name, options, limit)
    with jax.ensure_compile_time_eval():
        obs, state = jax.eval_shape(env.reset, jax.random.key(0))
    agents = list(env.agents)
    if not isinstance(obs, dict) or not all(a in obs for a in agents):
        raise ValueError(
            f"game='jaxmarl:{name}': expected observations by agent, as JaxMARL's "
            "interface has them; write a wrapper and name it as module:attr"
        )
    parts = [part_types(obs[agent]) for agent in agents]
    shape = common_shape([own for own, _ in parts])
    dtype = common_dtype([own for _, own in parts])
    actions = {a: _actions(env.action_space(a), where) for a in agents}
    counts = tuple(len(names) for names, _ in actions.values())
    names = max((own for own, _ in actions.values()), key=len)
    if len(set(counts)) == 1 and len(ACTIONS.get(name, ())) == len(names):
        names = ACTIONS[name]
    roles = _roles(agents, list(zip(parts, counts, strict=True)))
    decoders = {agent: decode for agent, (_, decode) in actions.items()}
    return Traits(
        env=env,
        action_names=names,
        shape=shape,
        dtype=dtype,
        roles=roles,
        seat_actions=counts,
        null=0,
        marked=len(set(roles)) > 1 or len(set(counts)) > 1,
        binary=np.full(shape, _is_binary(env, agents, dtype)),
        own_limit=name in LIMIT_OBSERVED or _is_fixed(name, options),
        extra=_Agents(
            decoders,
            _masks(env, state, agents, counts, masked=name not in UNMASKED),
        ),
    )


def _actions(
    space: Any, where: str
) -> tuple[tuple[str, ...], Callable[[Array], Array]]:
    """Return names of an agent's actions, and how one is given to the environment."""
    kind = type(space).__name__
    if kind == "Discrete":
        names, _ = flat_actions([int(space.n)], where)
        return names, lambda index: index.astype(space.dtype)
    if kind == "MultiDiscrete":
        names, table = flat_actions(np.asarray(space.num_categories), where)
        return names, lambda index: jnp.asarray(table)[index]
    refuse_actions(f"{kind}{getattr(space, 'shape', '')}", where)


def _roles(agents: list[str], spaces: list[Any]) -> tuple[str, ...]:
    """Return roles: names without their last number, numbered where spaces differ."""
    kinds: dict[str, list[Any]] = {}
    roles = []
    for agent, space in zip(agents, spaces, strict=True):
        stem = re.sub(r"[_ ]*\d+$", "", str(agent)) or "player"
        known = kinds.setdefault(stem, [])
        if space not in known:
            known.append(space)
        place = known.index(space)
        roles.append(f"{stem}_{place + 1}" if place else stem)
    return tuple(roles) if len(set(roles)) > 1 else ("player",) * len(roles)


def _is_binary(env: Any, agents: list[str], dtype: np.dtype) -> bool:
    """Return whether all spaces are of integers that are 0 or 1."""
    if dtype.kind == "f":
        return False
    spaces = [env.observation_space(agent) for agent in agents]
    bounds = [(getattr(s, "low", 0), getattr(s, "high", 255)) for s in spaces]
    return all(np.all(low == 0) and np.all(high == 1) for low, high in bounds)


def _masks(
    env: Any,
    state: PyTree,
    agents: list[str],
    counts: tuple[int, ...],
    *,
    masked: bool,
) -> Callable[[PyTree], Bool[Array, "N A"]]:
    """Return the function that gives the legal actions of a state."""
    has = np.arange(max(counts)) < np.array(counts)[:, None]
    rule = getattr(env, "get_legal_moves", env.get_avail_actions)
    try:
        jax.eval_shape(rule, state)
    except NotImplementedError:
        masked = False
    if not masked:
        return lambda state: jnp.asarray(has)

    def masks(state: PyTree) -> Bool[Array, "N A"]:
        legal = rule(state)
        rows = [legal[a].astype(bool) for a in agents]
        return jnp.stack([fill(row, (max(counts),)) for row in rows])

    return masks


# -- pictures --------------------------------------------------------------------


def _kitchen(env: Any, state: Any) -> np.ndarray:
    """Return overcooked's own picture."""
    from jaxmarl.viz.overcooked_visualizer import OvercookedVisualizer

    edge = env.agent_view_size - 2
    return OvercookedVisualizer._render_grid(
        np.asarray(state.maze_map)[edge:-edge, edge:-edge, :],
        TILE,
        agent_dir_idx=np.asarray(state.agent_dir_idx),
        agent_inv=np.asarray(state.agent_inv),
    )


def _circles(env: Any, state: Any) -> np.ndarray:
    """Return a picture as MPE's own visualizer draws it, without its window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    figure = Figure((4, 4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-2, 2), ylim=(-2, 2))
    axes.set_axis_off()
    for place, radius, colour in zip(
        np.asarray(state.p_pos), np.asarray(env.rad), env.colour, strict=True
    ):
        axes.add_patch(
            Circle(place, float(radius), color=np.array(colour) / 255)
        )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba(), np.uint8)[..., :3]
