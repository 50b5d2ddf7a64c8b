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
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

from bestreply.games.adapted import (
    AdaptedGame,
    AdaptedState,
    Move,
    Options,
    Traits,
    fill,
    one_array,
    part_types,
)
from bestreply.games.jaxmarl_envs import (
    LIMIT_OBSERVED,
    check_name,
    draw_circles,
    draw_kitchen,
    is_fixed,
    limit_of,
    make_env,
    whole_settings,
)
from bestreply.games.seats import common_shape
from bestreply.games.sizes import check_sizes
from bestreply.games.spaces import common_dtype, flat_actions, refuse_actions
from bestreply.types import Array

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
        check_name(name)
        if max_steps is not None:
            settings["max_steps"] = max_steps
        options, steps = whole_settings(name, settings)
        game = cls(full, options, steps)
        check_sizes(game)
        return game

    @property
    def traits(self) -> Traits:
        return _traits(self.name.removeprefix("jaxmarl:"), self.options)

    @property
    def seat_names(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(self.traits.extra.agents)

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
        self, obs: Shaped[Array, "..."], other: Int[Array, ""] | int
    ) -> Shaped[Array, "..."] | None:
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
            return draw_kitchen(self.traits.env, state.env)
        if self.name.startswith("jaxmarl:MPE_"):
            return draw_circles(self.traits.env, state.env)
        return None


# -- constants -------------------------------------------------------------------


class _Agents(NamedTuple):
    """How seats act, and what they may do."""

    agents: dict[str, Callable[[Array], Array]]
    """By agent, in seat order: the action that the environment takes for an index."""
    masks: Callable[[PyTree], Bool[Array, "N A"]]


@functools.lru_cache(maxsize=64)
def _traits(name: str, options: Options) -> Traits:
    where = f" in jaxmarl:{name}"
    env = make_env(name, options, dict(options)[limit_of(name)])
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
        own_limit=name in LIMIT_OBSERVED or is_fixed(name, options),
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
        names, table = flat_actions(
            np.asarray(space.num_categories).tolist(), where
        )
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
