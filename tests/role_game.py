"""A small game whose seats differ: two hunters guess where one runner hides."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game, Outcomes
from bestreply.games.seats import marked_seat, own_actions
from bestreply.types import TimeStep


class HideState(eqx.Module):
    """Rounds played, and where the runner hid last (3: nowhere yet)."""

    time: jnp.ndarray
    last: jnp.ndarray


@dataclasses.dataclass(frozen=True)
class Hide(Game):
    """Seats 0 and 1 look in one of 3 places; seat 2 hides in one of the first 2.

    A hunter earns 1 for finding the runner; the runner loses 1 for each hunter that
    does. Everybody sees the last hiding place.
    """

    rounds: int = 2
    unit: float = 1.0

    name = "hide"
    version = 1
    summary = "hunters and a runner"
    roles = ("adversary", "adversary", "agent")
    seat_actions = (3, 3, 2)

    @property
    def num_players(self):
        return 3

    @property
    def action_names(self):
        return ("LEFT", "RIGHT", "AWAY")

    @property
    def obs_shape(self):
        return (4 + 1 + 3,)

    @property
    def max_steps(self):
        return self.rounds

    def seat_in(self, obs):
        return marked_seat(obs, self.obs_shape, 3)

    def start(self, key):
        return HideState(jnp.int32(0), jnp.int32(3))

    def advance(self, state, actions, key):
        found = (actions[:2] == actions[2]).astype(jnp.float32)
        reward = jnp.concatenate([found, -found.sum(keepdims=True)])
        return HideState(state.time + 1, actions[2]), reward * self.unit

    def finished(self, state):
        return state.time >= self.rounds

    def look(self, state, reward):
        seen = jnp.concatenate(
            [
                (jnp.arange(4) == state.last).astype(jnp.float32),
                jnp.full(1, state.time / self.rounds, jnp.float32),
            ]
        )
        obs = jnp.concatenate(
            [jnp.broadcast_to(seen, (3, 5)), jnp.eye(3)], axis=1
        )
        over = state.time >= self.rounds
        return TimeStep(
            obs=obs.astype(jnp.float32),
            legal=jnp.asarray(own_actions(self)),
            reward=reward.astype(jnp.float32),
            terminated=jnp.full(3, over),
            truncated=jnp.asarray(False),
            present=jnp.ones(3, bool),
        )

    def first_states(self):
        state = self.start(None)
        seen = self.look(state, jnp.zeros(3))
        only = Outcomes(jnp.float32(1), state, seen)
        return jax.tree.map(lambda x: jnp.asarray(x)[None], only)

    def text(self, obs, seat=0):
        return f"last {int(np.argmax(obs[:4]))}"
