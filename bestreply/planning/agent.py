"""The agent: a player that remembers what it believes about the others and answers with the best reply."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bestreply.config import PlannerConfig
from bestreply.games.base import Game
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.base import OpponentModel
from bestreply.planning.expectimax import look_ahead
from bestreply.planning.one_step import one_step
from bestreply.players.base import Player, uniform
from bestreply.types import ActorOutput, Array, Plan


def _search(*seen: Any, **settings: Any) -> Plan:
    from bestreply.planning.mcts import search  # mctx takes seconds to import

    return search(*seen, **settings)


PLANNERS: dict[str, Callable[..., Plan]] = {
    "one_step": one_step,
    "expectimax": look_ahead,
    "mcts": _search,
}
"""By name (`PlannerConfig.planner`), all with the same arguments and the same plan."""


class Agent(Player):
    """Plans with a world model and a model of the others. `plan` is the online call; `step` makes it a player like any other."""

    world: PlanningModel
    opponents: OpponentModel
    game: Game = eqx.field(static=True)
    config: PlannerConfig = eqx.field(static=True)
    gamma: float = eqx.field(static=True)
    name: str = eqx.field(static=True, default="bestreply")
    version: int = eqx.field(static=True, default=1)
    epsilon: float = eqx.field(static=True, default=0.0)
    """Probability of a uniform legal action instead of the planned one."""

    def start(self) -> Any:
        return self._begin(self.opponents.init())

    def renew(self, carry: Any) -> Any:
        return self._begin(self.opponents.renew(carry["belief"]))

    def _begin(self, belief: Any) -> Any:
        n = self.game.num_players
        return {
            "belief": belief,
            "obs": jnp.zeros(self.game.obs_shape),
            "action": jnp.int32(0),
            "present": jnp.ones(n, bool),
            "begun": jnp.bool_(False),
        }

    def step(
        self,
        carry: Any,
        obs: Array,
        legal: Array,
        key: Array,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Any, jax.Array, ActorOutput]:
        given = (carry, obs, legal, key, others, present)
        return _step_compiled(self, *given)

    def _step(
        self,
        carry: Any,
        obs: Array,
        legal: Array,
        key: Array,
        others: Array | None,
        present: Array | None,
    ) -> tuple[Any, jax.Array, ActorOutput]:
        obs = jnp.asarray(obs, jnp.float32)
        plan_key, act_key = jax.random.split(key)
        belief = carry["belief"]
        if others is not None:
            joint = jnp.concatenate([carry["action"][None], others])
            moved = self.opponents.update(
                belief, carry["obs"], joint, carry["present"]
            )
            belief = jax.tree.map(
                lambda new, old: jnp.where(carry["begun"], new, old),
                moved,
                belief,
            )
        present = (
            self._present(obs) if present is None else jnp.asarray(present)
        )
        plan = self._plan(belief, obs, legal, present, plan_key)
        eps = self.epsilon
        probs = (1 - eps) * jax.nn.one_hot(
            plan.action, self.game.num_actions
        ) + eps * uniform(legal)
        action = (
            jax.random.categorical(act_key, jnp.log(probs)).astype(jnp.int32)
            if eps
            else plan.action
        )
        after = {
            "belief": belief,
            "obs": obs,
            "action": action,
            "present": present,
            "begun": jnp.bool_(True),
        }
        return after, action, ActorOutput(probs, plan)

    def plan(
        self,
        obs: Array,
        legal: Array,
        *,
        belief: Any = None,
        present: Array | None = None,
        candidates: Array | Sequence[str] | None = None,
        key: Array | None = None,
    ) -> Plan:
        """Scores every candidate action at one observation; batch with `jax.vmap`.

        Args:
            obs: [*obs_shape], own observation. legal: [A] bool, own legal actions.
            belief: of the opponent model's kind, as in a plan before; by default that of an episode's start.
            present: [N] bool, ego first, who is in the game; by default what the observation tells, else everyone.
            candidates: names of actions or [A] bool, the subset to choose from; by default every action.
            key: for drawing the others' joint actions where there are too many to enumerate; by default always the same.

        Raises ValueError, showing what was given and what is wanted, for a wrong shape, NaN or infinity in the observation, an
        unknown candidate, or no legal candidate at all. (Inside `jit` or `vmap` only what shapes tell can be checked.)
        """
        obs, legal = jnp.asarray(obs, jnp.float32), jnp.asarray(legal)
        self._check(obs, legal)
        if candidates is not None:
            legal = legal & self._mask(candidates)
            self._check(obs, legal)
        belief = self.opponents.init() if belief is None else belief
        present = (
            self._present(obs) if present is None else jnp.asarray(present)
        )
        return _plan_compiled(
            self,
            belief,
            obs,
            legal,
            present,
            jax.random.key(0) if key is None else key,
        )

    def _plan(
        self, belief: Any, obs: Array, legal: Array, present: Array, key: Array
    ) -> Plan:
        return PLANNERS[self.config.planner](
            self.world,
            self.opponents,
            belief,
            obs,
            legal,
            present,
            key,
            gamma=self.gamma,
            config=self.config,
        )

    def _present(self, obs: Array) -> Array:
        told = self.game.present_in(obs)
        return (
            jnp.ones(self.game.num_players, bool)
            if told is None
            else jnp.asarray(told)
        )

    def _mask(self, candidates: Any) -> Array:
        names = self.game.action_names
        if isinstance(candidates, str) or any(
            isinstance(c, str) for c in candidates
        ):
            unknown = [c for c in candidates if c not in names]
            if isinstance(candidates, str) or unknown:
                raise ValueError(
                    f"candidates={candidates!r}; expected: some of {names}, or a mask of {len(names)} booleans"
                )
            return jnp.asarray([name in candidates for name in names])
        mask = jnp.asarray(candidates)
        if mask.shape != (len(names),) or mask.dtype != bool:
            raise ValueError(
                f"candidates of shape {mask.shape}, {mask.dtype}; expected: names or ({len(names)},) bool"
            )
        return mask

    def _check(self, obs: Array, legal: Array) -> None:
        shape, actions = self.game.obs_shape, self.game.num_actions
        if obs.shape != shape:
            hint = (
                "; for a batch use jax.vmap(agent.plan)"
                if obs.shape[1:] == shape
                else ""
            )
            raise ValueError(
                f"obs has shape {obs.shape}; expected: {shape} for {self.game.name}{hint}"
            )
        if legal.shape != (actions,) or legal.dtype != bool:
            raise ValueError(
                f"legal has shape {legal.shape} and type {legal.dtype}; expected: ({actions},) bool, True = legal"
            )
        if isinstance(obs, Tracer) or isinstance(legal, Tracer):
            return
        if not np.isfinite(obs).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(obs))[0])
            raise ValueError(
                f"obs[{where}] is {np.asarray(obs)[where]}; expected: finite numbers"
            )
        if not np.asarray(legal).any():
            raise ValueError(
                f"no candidate is legal: every one of {', '.join(self.game.action_names)} is masked; expected: at least one"
            )


@jax.jit
def _plan_compiled(
    agent: Agent,
    belief: Any,
    obs: Array,
    legal: Array,
    present: Array,
    key: Array,
) -> Plan:
    return agent._plan(belief, obs, legal, present, key)


@jax.jit
def _step_compiled(agent: Agent, *given: Any) -> Any:
    return agent._step(*given)
