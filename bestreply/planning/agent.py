"""The agent: a player that plans best replies and keeps a belief about opponents."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Int32, Num, PRNGKeyArray, Shaped

from bestreply.config import PlannerConfig
from bestreply.games.base import Game
from bestreply.models.anchors import Anchors, over_heads
from bestreply.models.base import PlanningModel
from bestreply.models.joint_values import JointValues
from bestreply.opponents.base import Belief, OpponentModel, present_seats
from bestreply.opponents.joint_actions import Draws
from bestreply.planning.action_values import action_values
from bestreply.planning.base import DecisionPoint, Models, anchored
from bestreply.planning.checks import as_numbers, check_numbers, check_plan
from bestreply.planning.expansion import head_weights_at
from bestreply.planning.expectimax import TreeDraws, expectimax
from bestreply.planning.levels import Levels
from bestreply.planning.one_decision import drawn_for, one_decision
from bestreply.planning.one_step import one_step
from bestreply.planning.packed import quick_method
from bestreply.planning.revisions import Revisions, pays
from bestreply.planning.session import AgentSession
from bestreply.players.base import Player, uniform
from bestreply.types import ActorOutput, Array, Plan
from bestreply.utils.checks import check_arguments
from bestreply.utils.names import Names


def _mcts(models: Models, at: DecisionPoint, key: PRNGKeyArray) -> Plan:
    from bestreply.planning.mcts import mcts  # mctx takes seconds to import

    return mcts(models, at, key)


Planner = Callable[[Models, DecisionPoint, PRNGKeyArray], Plan]
PLANNERS: dict[str, Planner] = {
    "one_step": one_step,
    "expectimax": expectimax,
    "mcts": _mcts,
    "action_values": action_values,
}
"""Planners by name (`PlannerConfig.planner`)."""
REVISING = "one_step", "expectimax", "mcts"
"""Planners whose values can be revised in play (`bestreply.planning.revisions`)."""
NAMES = Names("planner", Plan, PLANNERS, function=True)
"""Planners that are not the library's own."""


@cache
def load_planner(name: str) -> Planner:
    """Return a planner by name.

    Args:
        name: one of `PLANNERS`, of an installed package, or ``module:function``; also
            ``module:Class(settings)``, whose instances are called as a planner.

    Returns:
        The planner, one object for each name.

    Raises:
        ValueError: there is no planner of this name.
    """
    if name in PLANNERS:
        return PLANNERS[name]
    planner = cast(Planner, NAMES.make(name))
    check_arguments("planner", name, planner, ("models", "at", "key"))
    return planner


class Memory(NamedTuple):
    """What an agent remembers between steps: its last decision."""

    at: DecisionPoint
    action: Int32[Array, ""]
    started: Bool[Array, ""]  # False before the first step of an episode
    own: Any = ()  # of a world model with memory: its state, the own action


class Agent(Player):
    """A player that plans with a world model and an opponent model.

    `plan` scores candidate actions at one observation; `step` makes it a `Player`.
    """

    world: PlanningModel
    opponents: OpponentModel
    game: Game = eqx.field(static=True)
    config: PlannerConfig = eqx.field(static=True)
    gamma: float = eqx.field(static=True)
    name: str = eqx.field(static=True, default="bestreply")
    version: int = eqx.field(static=True, default=1)
    epsilon: float = eqx.field(static=True, default=0.0)
    """Probability of a uniform legal action instead of the planned one."""
    anchors: Anchors | None = None
    """Policies that it stays close to; None: scores alone decide."""
    levels: Levels | None = None
    """Which observations are the same, where values are revised in play; None: values are
    not revised."""
    joint_values: JointValues | None = None
    """Values of joint actions (`Models.joint_values`)."""

    @property
    def models(self) -> Models:
        """The models and settings, as planners take them."""
        return Models(
            self.world,
            self.opponents,
            self.gamma,
            self.config,
            self.anchors,
            self._levels,
            self.joint_values,
        )

    @property
    def _levels(self) -> Levels | None:
        """Those by which values are revised; None where they are not."""
        if not (self.config.revise_values and self._memoryless):
            return None
        looks_ahead = self.config.planner in REVISING
        if not looks_ahead or self.opponents.knows_replies:
            return None
        return self.levels

    def __hash__(self) -> int:
        """Return a hash by identity, so that `jax.jit(agent.step)` works."""
        return id(self)

    def start(self) -> Memory:
        return self._memory(self.opponents.init())

    def renew(self, carry: Memory) -> Memory:
        return self._memory(self.opponents.renew(carry.at.belief))

    def _memory(self, belief: Belief) -> Memory:
        at = DecisionPoint(
            obs=jnp.zeros(self.game.obs_shape),
            legal=jnp.ones(self.game.num_actions, bool),
            present=jnp.ones(self.game.num_players, bool),
            belief=belief,
            revisions=self._no_revisions(),
        )
        world: Any = self.world
        own = () if self._memoryless else world.remembered()
        return Memory(at, jnp.int32(0), jnp.bool_(False), own)

    def _no_revisions(self) -> Revisions | None:
        """Return those of an episode's start; None where values are not revised."""
        if self._levels is None:
            return None
        return Revisions.none(self.game.max_steps)

    @property
    def _memoryless(self) -> bool:
        return getattr(self.world, "memory", None) is None

    def step(
        self,
        carry: Memory,
        obs: Array,
        legal: Array,
        key: PRNGKeyArray,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Memory, jax.Array, ActorOutput]:
        return _step_compiled(self, carry, obs, legal, key, others, present)

    def _step(
        self,
        memory: Memory,
        obs: Array,
        legal: Array,
        key: PRNGKeyArray,
        others: Array | None,
        present: Array | None,
    ) -> tuple[Memory, Array, ActorOutput]:
        plan_key, act_key = jax.random.split(key)
        draws = plan_key, act_key
        return self._decide(memory, obs, legal, draws, others, present)

    def draw(self, key: PRNGKeyArray) -> tuple[Any, Array]:
        """Return the random numbers of a step, as `step_drawn` takes them.

        Args:
            key: the key of the step.

        Returns:
            Those of the plan, and those of the action; keys as numbers.
        """
        plan_key, act_key = jax.random.split(key)
        return self.draw_plan(plan_key), jax.random.key_data(act_key)

    def draw_plan(self, key: PRNGKeyArray) -> Any:
        """Return the random numbers of a plan; the key as numbers if it draws later.

        Args:
            key: the key of the plan.
        """
        drawn = drawn_for(self.models, key)
        return jax.random.key_data(key) if drawn is key else drawn

    def key_of(self, drawn: Any) -> PRNGKeyArray | Draws | TreeDraws:
        """Return what a planner takes as its key.

        Args:
            drawn: what `draw_plan` returned.
        """
        if isinstance(drawn, Draws | TreeDraws):
            return drawn
        return jax.random.wrap_key_data(drawn)

    def step_drawn(
        self,
        carry: Memory,
        obs: Array,
        legal: Array,
        drawn: tuple[Any, Array],
        others: Array | None,
        present: Array | None,
    ) -> tuple[Memory, Array, ActorOutput]:
        """Return what `step` returns, from random numbers instead of a key.

        Args:
            carry: the carry of the step before.
            obs: the own observation.
            legal: the own legal actions.
            drawn: what `draw` returned.
            others: actions of the other players in the step before.
            present: the players present now.
        """
        for_plan, for_action = drawn
        draws = self.key_of(for_plan), jax.random.wrap_key_data(for_action)
        return self._decide(carry, obs, legal, draws, others, present)

    def _decide(
        self,
        memory: Memory,
        obs: Array,
        legal: Array,
        draws: tuple[Any, PRNGKeyArray],
        others: Array | None,
        present: Array | None,
    ) -> tuple[Memory, Array, ActorOutput]:
        plan_key, act_key = draws
        belief = memory.at.belief
        if others is not None:
            belief = self.updated_belief(memory, others)
        obs = jnp.asarray(obs, jnp.float32)
        if present is None:
            present = present_seats(self.game, obs)
        at = DecisionPoint(obs, legal, present, belief)
        at, own = at._replace(revisions=memory.at.revisions), memory.own
        world: Any = self.world
        if not self._memoryless:
            own, z = world.observe(own, obs)
            at = at._replace(z=z)
        plan = _plan(self.models, at, plan_key)
        planned = jax.nn.one_hot(plan.action, self.game.num_actions)
        if self.anchors is not None:
            posterior = self.opponents.posterior(belief)
            planned = self.anchors.policy(obs, plan.scores, posterior)
        probs = (1 - self.epsilon) * planned + self.epsilon * uniform(legal)
        action = plan.action
        if self.epsilon or self.anchors is not None:
            action = jax.random.categorical(act_key, jnp.log(probs))
            action = action.astype(jnp.int32)
        if not self._memoryless:
            own = world.acted(own, action)
        if at.revisions is not None:
            at = at._replace(revisions=_revised(self.models, at, plan))
        memory = Memory(at._replace(z=None), action, jnp.bool_(True), own)
        return memory, action, ActorOutput(probs, plan)

    def updated_belief(self, memory: Memory, others: Array) -> Belief:
        """Return the belief after the last step, in which opponents played `others`.

        Args:
            memory: the carry after the last step.
            others: [N-1] int32, actions of the opponents, own seat first.

        Returns:
            The belief; that of `memory` before the first step of an episode.
        """
        last = memory.at
        joint = jnp.concatenate([memory.action[None], others])
        updated = self.opponents.update(
            last.belief, last.obs, joint, last.present
        )
        return jax.tree.map(
            lambda new, old: jnp.where(memory.started, new, old),
            updated,
            last.belief,
        )

    def session(self, seed: int = 0, batch: int | None = None) -> AgentSession:
        """Return a session, in which the agent acts in your own environment loop.

        Args:
            seed: seed of the agent's random draws.
            batch: number of loops side by side; None: one.

        Returns:
            The session (`bestreply.planning.session.AgentSession`).

        Raises:
            ValueError: the seed is outside 0 <= seed < 2^32, or `batch` below 1.
        """
        return AgentSession(self, seed, batch)

    @quick_method
    def plan(
        self,
        obs: Num[Array, "..."],
        legal: Shaped[Array, "..."],
        *,
        belief: Belief = None,
        present: Bool[Array, " N"] | None = None,
        candidates: Shaped[Array, "..."] | Sequence[str] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Plan:
        """Score every candidate action at one observation; batch with `jax.vmap`.

        With `model.memory` the observation counts as the first of an episode; `step`
        and `session` remember.

        Args:
            obs: [*obs_shape], own observation.
            legal: [A] bool, own legal actions.
            belief: belief of the opponent model, as in an earlier plan; by default that
                of an episode's start.
            present: seats in the game, ego first; by default those that the observation
                shows, else all.
            candidates: names of actions or a mask [A] bool, the subset to choose from;
                by default every action.
            key: for drawing joint opponent actions, where they are too many to
                enumerate; by default always the same.

        Returns:
            The plan.

        Raises:
            ValueError: a wrong shape, NaN or infinity in the observation, an unknown
                candidate, or no legal candidate. (Inside `jit` or `vmap` only shapes
                are checked.)
        """
        given = obs, legal, belief, present, candidates, key
        traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(given))
        decide = None if traced else one_decision(self, _plan)
        lib: Any = jnp if decide is None else np
        if not traced and not isinstance(obs, jax.Array):
            obs = as_numbers("obs", obs)
        obs, legal = lib.asarray(obs, np.float32), lib.asarray(legal)
        _check(self.game, obs, legal)
        if candidates is not None:
            legal = legal & lib.asarray(self._candidate_mask(candidates))
            _check(self.game, obs, legal)
        if decide is not None:
            plan = decide(obs, legal, present, belief, key)
        else:
            plan = self._plan_inside(obs, legal, belief, present, key)
        check_numbers(plan, self.config.planner, self.opponents)
        return plan

    def _plan_inside(
        self,
        obs: Array,
        legal: Array,
        belief: Belief,
        present: Bool[Array, " N"] | None,
        key: PRNGKeyArray | None,
    ) -> Plan:
        """Return the plan inside of another program."""
        if belief is None:
            belief = self.opponents.init()
        if present is None:
            present = present_seats(self.game, obs)
        at = DecisionPoint(obs, legal, jnp.asarray(present), belief)
        key = jax.random.key(0) if key is None else key
        return _plan_compiled(self.models, at, key)

    def _candidate_mask(
        self, candidates: Shaped[Array, "..."] | Sequence[str]
    ) -> Bool[Array, " A"]:
        names = self.game.action_names
        if isinstance(candidates, str) or any(
            isinstance(c, str) for c in candidates
        ):
            unknown = [c for c in candidates if c not in names]
            if isinstance(candidates, str) or unknown:
                raise ValueError(
                    f"candidates={candidates!r}: expected some of {names}, or a mask "
                    f"of {len(names)} booleans"
                )
            return jnp.asarray([name in candidates for name in names])
        mask = jnp.asarray(candidates)
        if mask.shape != (len(names),) or mask.dtype != bool:
            raise ValueError(
                f"candidates of shape {mask.shape}, {mask.dtype}: expected names or "
                f"({len(names)},) bool"
            )
        return mask


def _check(game: Game, obs: Array, legal: Array) -> None:
    """Raise ValueError unless a plan is possible at `obs` with `legal` actions."""
    shape, actions = game.obs_shape, game.num_actions
    if obs.shape != shape:
        is_batch = obs.shape[1:] == shape
        hint = "; for a batch use jax.vmap(agent.plan)" if is_batch else ""
        raise ValueError(
            f"obs has shape {obs.shape}: expected {shape} for {game.name}{hint}"
        )
    if legal.shape != (actions,) or legal.dtype != bool:
        raise ValueError(
            f"legal has shape {legal.shape} and type {legal.dtype}: expected "
            f"({actions},) bool, True = legal"
        )
    if isinstance(obs, Tracer) or isinstance(legal, Tracer):
        return
    if not np.isfinite(obs).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(obs))[0])
        raise ValueError(
            f"obs[{index}]={np.asarray(obs)[index]}: expected a finite number"
        )
    if not np.asarray(legal).any():
        raise ValueError(
            "legal excludes every candidate of "
            f"{', '.join(game.action_names)}: expected at least one"
        )


def _plan(
    models: Models,
    at: DecisionPoint,
    key: PRNGKeyArray | Draws | TreeDraws,
) -> Plan:
    name = models.config.planner
    plan = cast(Any, load_planner(name))(models, at, key)
    if name not in PLANNERS:
        check_plan(name, plan, at.legal.shape[-1], at.present.shape[-1])
    return anchored(models, at, plan)


def _revised(models: Models, at: DecisionPoint, plan: Plan) -> Revisions:
    """Return the revisions with that of the value of the observation of a plan."""
    revisions, world = cast(Revisions, at.revisions), models.world
    levels = cast(Levels, models.levels)
    posterior = models.opponents.posterior(at.belief)
    values = world.values_of(models.latent(at), posterior)
    value = over_heads(values, head_weights_at(models, at))
    planned = (plan.reward + plan.value)[plan.action]
    revised = revisions.revised(levels.number(at.obs), planned - value)
    paid = pays(plan.reward[plan.action], value, models.gamma)
    known = levels.holds(at.obs) & ~paid
    if (joint := models.joint_values) is not None:
        known &= ~joint.uses(at.obs, posterior)
    return jax.tree.map(partial(jnp.where, known), revised, revisions)


_plan_compiled = jax.jit(_plan)


@jax.jit
def _step_compiled(
    agent: Agent,
    memory: Memory,
    obs: Array,
    legal: Array,
    key: PRNGKeyArray,
    others: Array | None,
    present: Array | None,
) -> tuple[Memory, Array, ActorOutput]:
    return agent._step(memory, obs, legal, key, others, present)
