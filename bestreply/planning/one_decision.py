"""One decision at a time: `Agent.plan` and `AgentSession.act` as programs called with NumPy.

The weights of an agent go to the device once. A call then passes the observation and
takes the plan. The random numbers of a one-step plan do not depend on the observation,
so they are drawn beforehand: 20 small kernels less in each decision.
"""

import dataclasses
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bestreply.config import PlannerConfig
from bestreply.opponents.base import Belief, present_seats
from bestreply.opponents.joint_actions import draws_from
from bestreply.planning.base import DecisionPoint, Models, anchored
from bestreply.planning.expectimax import expectimax, tree_draws
from bestreply.planning.packed import Leaves, Structure, packed
from bestreply.types import Array, Plan
from bestreply.utils.compilation import cache_compilations

Plans = Callable[[Models, DecisionPoint, Any], Plan]
"""`bestreply.planning.agent` plans by name."""


@dataclasses.dataclass
class OneDecision:
    """The planner of one agent, ready to be called."""

    structure: Structure
    leaves: Leaves
    plan: Plans
    key: Any
    """The default key, or the random numbers that are drawn from it."""
    belief: Belief
    """That of an episode's start."""
    in_halves: bool
    """Whether two threads look ahead from half of the own actions each."""
    begun: bool = False

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
        belief = self.belief if belief is None else belief
        key = self.key if key is None else key
        given = self.leaves, obs, legal, present, belief, key
        if not self.in_halves:
            return _planned(self.structure, self.plan, *given)
        first, second = _halves(legal)
        if self.begun and second.any():
            job = _other_thread().submit(self._half, given, second)
            return _joined(self._half(given, first), job.result(), first)
        self.begun = True  # compiled by one thread
        plan = self._half(given, first)
        if not second.any():
            return plan
        return _joined(plan, self._half(given, second), first)

    def _half(self, given: tuple[Any, ...], own: np.ndarray) -> Plan:
        return jax.block_until_ready(_planned_half(self.structure, *given, own))


def _plan_of(
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


_planned = jax.jit(_plan_of, static_argnums=(0, 1))


@partial(jax.jit, static_argnums=0)
def _planned_half(
    structure: Structure,
    leaves: Leaves,
    obs: Array,
    legal: Array,
    present: Array | None,
    belief: Belief,
    key: Any,
    own: Array,
) -> Plan:
    def plan(models: Models, at: DecisionPoint, key: Any) -> Plan:
        return anchored(models, at, expectimax(models, at, key, own))

    return _plan_of(structure, plan, leaves, obs, legal, present, belief, key)


def _halves(legal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of two halves of the legal actions; the first has at least one."""
    first = legal & (np.cumsum(legal) <= (legal.sum() + 1) // 2)
    return first, legal & ~first


def _joined(one: Plan, other: Plan, first: np.ndarray) -> Plan:
    """Return the plan of all actions: `one` looked ahead from `first` alone."""
    scores = np.where(first, one.scores, other.scores)
    value = np.where(first, one.value, other.value)
    action = np.argmax(scores).astype(np.int32)
    scores, value, action = jax.device_put((scores, value, action))
    return dataclasses.replace(one, scores=scores, value=value, action=action)


_threads: dict[int, ThreadPoolExecutor] = {}
"""The thread for second halves, by process: a forked one has no thread."""


def _other_thread() -> ThreadPoolExecutor:
    process = os.getpid()
    if process not in _threads:
        _threads[process] = ThreadPoolExecutor(1, "bestreply-plan")
    return _threads[process]


def _cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _splits(config: PlannerConfig) -> bool:
    """Return whether two threads share a plan: on a CPU, XLA looks ahead on one core."""
    deep = config.planner == "expectimax" and config.depth > 1
    return deep and jax.default_backend() == "cpu" and _cores() > 1


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
    models: Models = agent.models
    anchors = models.anchors
    if anchors is not None and not (
        np.any(anchors.weight) or np.any(anchors.averaged)
    ):
        models = dataclasses.replace(
            models, anchors=None
        )  # quicker, no other plan
    parts = packed(models)
    if parts is None:
        return None
    cache_compilations()
    structure, leaves = parts
    start = _start(structure, leaves, jax.random.key(0))
    in_halves = _splits(agent.config)
    key, belief = start
    return OneDecision(structure, leaves, plan, key, belief, in_halves)


@partial(jax.jit, static_argnums=0)
def _start(
    structure: Structure, leaves: Leaves, key: PRNGKeyArray
) -> tuple[Any, Belief]:
    models: Models = structure.rebuild(leaves)
    return drawn_for(models, key), models.opponents.init()
