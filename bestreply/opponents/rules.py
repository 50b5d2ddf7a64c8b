"""Scripted players as opponent models."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.games.base import Game
from bestreply.opponents.base import (
    OpponentModel,
    opponent_legal,
    opponent_views,
)
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT


class RuleOpponents(OpponentModel):
    """Scripted players as the model of the others: exact where these are who is playing.

    Needs a game whose observation tells what the others see (`Game.perspective`). `types` [N-1] names each player's type for a
    value that is told beliefs.
    """

    players: tuple[ScriptedPlayer, ...]  # N-1, ego-first order
    game: Game = eqx.field(static=True)
    types: tuple[int, ...] = eqx.field(static=True, default=())
    goals: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if len(self.players) != self.game.num_players - 1:
            raise ValueError(
                f"{len(self.players)} rules for {self.game.num_players - 1} others; expected: one for each"
            )

    def init(self) -> Any:
        nobody = jnp.full(self.game.num_players, ABSENT)
        return tuple(p.init() for p in self.players), nobody

    def predict(
        self, belief: Any, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        carries, _ = self._seen(belief, obs)
        views, masks = (
            opponent_views(self.game, obs),
            opponent_legal(self.game, obs),
        )
        return jnp.stack(
            [
                p.policy(c, v, m)
                for p, c, v, m in zip(
                    self.players, carries, views, masks, strict=True
                )
            ]
        )

    def update(
        self, belief: Any, obs: Array, actions: Array, present: Array
    ) -> Any:
        carries, _ = self._seen(belief, obs)
        carries = tuple(
            p.did(c, a)
            for p, c, a in zip(self.players, carries, actions[1:], strict=True)
        )
        return carries, jnp.where(present, actions, ABSENT)

    def _seen(self, belief: Any, obs: Array) -> Any:
        """Each player's carry after it has looked; a belief holds the carries before, and the joint action before."""
        carries, before = belief
        seen = []
        views = opponent_views(self.game, obs)
        for j, (player, carry, view) in enumerate(
            zip(self.players, carries, views, strict=True)
        ):
            seen.append(
                player.see(
                    carry, view, jnp.delete(before, j + 1), jax.random.key(0)
                )
            )
        return tuple(seen), before

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        types = jnp.asarray(self.types or (0,) * len(self.players))
        return jax.nn.one_hot(types, self.goals)
