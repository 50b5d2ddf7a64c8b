"""A session: an agent acts in an environment loop that this library does not run.

session = agent.session(seed=0)
action = session.act(obs, legal)      # each step
session.observe(others)               # what the other players did in that step
session.reset()                       # a new episode
"""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, PRNGKeyArray, PyTree
from numpy.typing import ArrayLike

from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel
from bestreply.planning.checks import (
    as_actions,
    as_numbers,
    check_decision,
    check_shape,
)
from bestreply.planning.packed import Leaves, Structure, packed
from bestreply.types import ABSENT
from bestreply.utils.checks import whole_number
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.seeds import checked_seed

MAX_BATCH = 1_000_000
"""Largest number of loops side by side."""
DRAWN_STEPS = 64
"""Steps of a session whose random numbers are drawn together."""


@runtime_checkable
class SessionAgent(Protocol):
    """What a session needs of an agent (`bestreply.planning.agent.Agent`)."""

    game: Game
    world: Any
    opponents: OpponentModel
    init: Any
    step: Any
    renew: Any

    def updated_belief(self, memory: Any, others: Any) -> Any:
        """Return the belief after the step that `memory` holds."""


class AgentSession:
    """An agent in an environment's loop, with its belief; or a batch of such loops."""

    def __init__(
        self, agent: SessionAgent, seed: int = 0, batch: int | None = None
    ) -> None:
        """Begin an episode, with the belief of the agent's prior.

        Args:
            agent: the agent.
            seed: seed of its random draws.
            batch: E, the number of loops side by side; None: one loop, without a
                leading axis.

        Raises:
            ValueError: the seed is outside 0 <= seed < 2^32, or `batch` below 1.
        """
        if batch is not None:
            batch = whole_number("batch", batch, 1, MAX_BATCH, ", or None")
        self.agent = agent
        self.batch = batch
        self._key = jax.random.key(checked_seed(seed))
        self._number = 0
        self._carry: PyTree = agent.init(batch)
        self._others: np.ndarray | None = None
        self._acted = False
        self._first_steps()
        cache_compilations()
        draws_alone = batch is None and hasattr(agent, "draw")
        self._packed = packed(agent) if draws_alone else None
        self._drawn: PyTree = None

    def act(
        self,
        obs: ArrayLike,
        legal: ArrayLike,
        present: ArrayLike | None = None,
    ) -> Int32[np.ndarray, "*E"]:
        """Return the action at an observation, given all that was observed before.

        Args:
            obs: [*obs_shape], own observation; [E, *obs_shape] in a batch.
            legal: [A] bool, own legal actions; [E, A] in a batch.
            present: [N] bool, the seats in the game, own seat first; None: those
                that the observation shows, else all.

        Returns:
            The action's index, int32; [E] in a batch.

        Raises:
            ValueError: a wrong shape, NaN or infinity in the observation, no legal
                action; or the opponents' actions of the step before are missing.
        """
        game, lead = self.agent.game, self._lead
        obs = as_numbers("obs", obs)
        legal = np.asarray(legal)
        check_shape("obs", obs, (*lead, *game.obs_shape))
        check_shape("legal", legal, (*lead, game.num_actions))
        check_decision(obs, legal)
        if present is not None:
            present = np.asarray(present, bool)
            check_shape("present", present, (*lead, game.num_players))
        if self._acted and game.num_players > 1:
            raise ValueError(
                "act() twice without observe(): expected the opponents' actions of "
                "the last step, session.observe(others); observe(None) if they "
                "cannot be seen, and session.reset() before a new episode"
            )
        self._number += 1
        seen = obs, legal, self._others, present
        self._carry, action, self._output = self._step(seen)
        self._acted = True
        return np.asarray(action)

    def _step(self, seen: tuple[Any, Any, Any, Any]) -> PyTree:
        if self._packed is None:
            number = np.uint32(self._number)
            return _act(
                self.agent, self._carry, seen, self._key, number, self.batch
            )
        structure, leaves = self._packed
        place = (self._number - 1) % DRAWN_STEPS
        if place == 0:
            numbers = np.arange(DRAWN_STEPS, dtype=np.uint32) + np.uint32(
                self._number
            )
            block = _draw_steps(structure, leaves, self._key, numbers)
            self._drawn = jax.tree.map(np.asarray, block)
        drawn = jax.tree.map(lambda block: block[place], self._drawn)
        return _act_once(structure, leaves, self._carry, seen, drawn)

    def observe(
        self, others: ArrayLike | None, own: ArrayLike | None = None
    ) -> None:
        """Take in what was done in the step of the last `act`.

        Args:
            others: [N-1], index of the action of each opponent, in the order of seats
                after the own one; -1 for one that has left. [E, N-1] in a batch.
                None: they cannot be seen, and the belief stays.
            own: index of the own action as it was carried out, where the environment can
                replace the chosen one (noise, actions that stick); [E] in a batch.
                None: the chosen one.

        Raises:
            ValueError: a wrong shape, or an index that is no action; an own action
                before the first `act`.
        """
        game = self.agent.game
        seats, count = game.num_players - 1, game.num_actions
        if others is not None:
            shape = (*self._lead, seats)
            others = as_actions("others", others, shape, count)
        if own is not None:
            if not self._acted:
                raise ValueError(
                    f"own={own!r:.80}: expected an act() before observe()"
                )
            own = as_actions("own", own, self._lead, count, least=0)
            world: Any = self.agent.world
            done = self._carry._replace(action=own)
            if getattr(world, "memory", None) is not None:
                done = done._replace(own=world.acted(done.own, own))
            self._carry = done
        self._others = others
        self._acted = False

    def reset(self, done: ArrayLike | None = None) -> None:
        """Begin a new episode against the same opponents.

        The belief is carried over as far as the agent's `planner.memory` says.

        Args:
            done: [E] bool, the loops of a batch whose episode has ended; None: all.

        Raises:
            ValueError: `done` without a batch, or of another shape.
        """
        if done is None:
            done = np.ones(self._lead, bool)
        done = np.asarray(done, bool)
        check_shape("done", done, self._lead)
        self._carry = _renew(self.agent, self._carry, done, self.batch)
        if done.all():
            self._first_steps()
        elif self._others is not None:
            self._others = np.where(done[..., None], ABSENT, self._others)

    @property
    def plan(self) -> Any:
        """The plan of the last `act` (`bestreply.planning.base.Plan`), or None."""
        return None if self._output is None else self._output.plan

    @property
    def belief(self) -> np.ndarray:
        """[N-1, G], probability of each type of each opponent; [E, N-1, G] in a batch.

        It follows from all observed so far. An opponent model without types has G = 1.
        """
        others = None if self._acted else self._others
        posterior = _posterior(self.agent, self._carry, others, self.batch)
        return np.asarray(posterior)

    @property
    def _lead(self) -> tuple[int, ...]:
        return () if self.batch is None else (self.batch,)

    def _first_steps(self) -> None:
        seats = self.agent.game.num_players - 1
        self._others = np.full((*self._lead, seats), ABSENT, np.int32)
        self._acted = False
        self._output: Any = None


@partial(jax.jit, static_argnums=0)
def _draw_steps(
    structure: Structure, leaves: Leaves, key: PRNGKeyArray, numbers: Any
) -> PyTree:
    agent = structure.rebuild(leaves)
    return jax.vmap(lambda n: agent.draw(jax.random.fold_in(key, n)))(numbers)


@partial(jax.jit, static_argnums=0)
def _act_once(
    structure: Structure,
    leaves: Leaves,
    carry: PyTree,
    seen: tuple[Any, Any, Any, Any],
    drawn: PyTree,
) -> PyTree:
    obs, legal, others, present = seen
    agent = structure.rebuild(leaves)
    return agent.step_drawn(carry, obs, legal, drawn, others, present)


@eqx.filter_jit
def _act(
    agent: SessionAgent,
    carry: PyTree,
    seen: tuple[Any, Any, Any, Any],
    key: PRNGKeyArray,
    number: Any,
    batch: int | None,
) -> PyTree:
    def step(carry: PyTree, seen: tuple[Any, Any, Any, Any], key: Any) -> Any:
        obs, legal, others, present = seen
        return agent.step(
            carry, obs, legal, key, others=others, present=present
        )

    key = jax.random.fold_in(key, number)
    if batch is None:
        return step(carry, seen, key)
    return jax.vmap(step)(carry, seen, jax.random.split(key, batch))


@eqx.filter_jit
def _renew(
    agent: SessionAgent, carry: PyTree, done: Any, batch: int | None
) -> PyTree:
    def renew(carry: PyTree, done: Any) -> PyTree:
        renewed = agent.renew(carry)
        return jax.tree.map(
            lambda new, old: jnp.where(done, new, old), renewed, carry
        )

    return (renew if batch is None else jax.vmap(renew))(carry, done)


@eqx.filter_jit
def _posterior(
    agent: SessionAgent, memory: Any, others: Any, batch: int | None
) -> jax.Array:
    def posterior(memory: Any, others: Any) -> jax.Array:
        belief = memory.at.belief
        if others is not None:
            belief = agent.updated_belief(memory, others)
        return agent.opponents.posterior(belief)

    mapped = posterior if batch is None else jax.vmap(posterior)
    return mapped(memory, others)
