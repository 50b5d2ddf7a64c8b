"""One decision at a time: `Agent.plan` and `AgentSession.act` as programs called with NumPy.

The weights of an agent go to the device once. A call then passes the observation and
takes the plan. The random numbers of a one-step plan do not depend on the observation,
so they are drawn beforehand: 20 small kernels less in each decision.
"""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bestreply.opponents.base import Belief, present_seats
from bestreply.opponents.joint_actions import draws_from
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.expectimax import tree_draws
from bestreply.planning.packed import Leaves, Structure, packed
from bestreply.types import Array, Plan
from bestreply.utils.compilation import cache_compilations

Plans = Callable[[Models, DecisionPoint, Any], Plan]
"""`bestreply.planning.agent` plans by name."""


class OneDecision(NamedTuple):
    """The planner of one agent, ready to be called."""

    structure: Structure
    leaves: Leaves
    plan: Plans
    key: Any
    """The default key, or the random numbers that are drawn from it."""
    belief: Belief
    """That of an episode's start."""

    def __call__(
        self,
        obs: np.ndarray,
        legal: np.ndarray,
        present: Array | None,
        belief: Belief,
        key: PRNGKeyArray | None,
    ) -> Plan:
        """Return the plan at one observation.

        Args:
            obs: [*obs_shape] float32.
            legal: [A] bool.
            present: [N] bool; None: those that the observation shows.
            belief: None: that of an episode's start.
            key: None: the default.
        """
        return _planned(
            self.structure,
            self.plan,
            self.leaves,
            obs,
            legal,
            present,
            self.belief if belief is None else belief,
            self.key if key is None else key,
        )


@partial(jax.jit, static_argnums=(0, 1))
def _planned(
    structure: Structure,
    plan: Plans,
    leaves: Leaves,
    obs: Array,
    legal: Array,
    present: Array | None,
    belief: Belief,
    key: Any,
) -> Plan:
    models: Models = structure.rebuild(leaves)
    if present is None:
        present = present_seats(models.opponents.game, obs)
    return plan(models, DecisionPoint(obs, legal, present, belief), key)


def drawn_for(models: Models, key: PRNGKeyArray) -> Any:
    """Return the random numbers of a plan where they can be drawn beforehand.

    Args:
        models: the models and settings.
        key: the key of the plan.

    Returns:
        `Draws` of a one-step plan, `TreeDraws` of expectimax; for another planner, or
        where nothing is drawn, the key itself.
    """
    config, game = models.config, models.opponents.game
    if config.planner == "expectimax":
        return tree_draws(models, key, config.depth)
    if config.planner != "one_step":
        return key
    draws = draws_from(key, game.num_actions, game.num_players - 1, config)
    return key if draws is None else draws


_ready: dict[int, OneDecision | None] = {}


def one_decision(agent: Any, plan: Plans) -> OneDecision | None:
    """Return the planner of an agent, made at the first call and kept while it lives.

    Args:
        agent: the agent (`bestreply.planning.agent.Agent`).
        plan: function of the models, the decision point and a key.

    Returns:
        The planner; None where the agent is being traced, or holds what cannot be
        hashed.
    """
    number = id(agent)
    if number not in _ready:
        made = _made(agent, plan)
        if made is None:
            return None
        _ready[number] = made
        weakref.finalize(agent, _ready.pop, number, None)
    return _ready[number]


def _made(agent: Any, plan: Plans) -> OneDecision | None:
    parts = packed(agent.models)
    if parts is None:
        return None
    cache_compilations()
    structure, leaves = parts
    start = _start(structure, leaves, jax.random.key(0))
    return OneDecision(structure, leaves, plan, *start)


@partial(jax.jit, static_argnums=0)
def _start(
    structure: Structure, leaves: Leaves, key: PRNGKeyArray
) -> tuple[Any, Belief]:
    models: Models = structure.rebuild(leaves)
    return drawn_for(models, key), models.opponents.init()
