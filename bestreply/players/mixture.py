"""A player drawn from several of any kind, such as functions without a distribution."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Int32, PRNGKeyArray, PyTree

from bestreply.players.base import Player, draw
from bestreply.types import ABSENT, ActorOutput, Array


class PlayerMixture(Player):
    """Plays one of `players`, drawn by `weights` at the start of every episode.

    `collect` and `evaluate` log the drawn player, not the mixture. `scripted.Mixture`
    is that of players with a known distribution.
    """

    players: tuple[Player, ...]
    weights: tuple[float, ...] = eqx.field(static=True)
    name: str = eqx.field(static=True)
    version: int = eqx.field(static=True, default=1)

    def start(self) -> PyTree:
        return jnp.int32(ABSENT), tuple(p.start() for p in self.players)

    def step(
        self,
        carry: PyTree,
        obs: Array,
        legal: Array,
        key: PRNGKeyArray,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[PyTree, Int32[Array, ""], ActorOutput]:
        chosen, inner = carry
        draw_key, *keys = jax.random.split(key, 1 + len(self.players))
        drawn = draw(draw_key, jnp.asarray(self.weights) / sum(self.weights))
        chosen = jnp.where(chosen == ABSENT, drawn, chosen)
        carries, actions = [], []
        for player, before, own_key in zip(
            self.players, inner, keys, strict=True
        ):
            after, action, _ = player.step(
                before, obs, legal, own_key, others=others, present=present
            )
            carries.append(after)
            actions.append(action)
        action = jnp.stack(actions)[chosen]
        return (chosen, tuple(carries)), action, ActorOutput()
