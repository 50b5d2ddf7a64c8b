"""Scripted players as opponent model."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import (
    Belief,
    OpponentModel,
    opponent_legal,
    opponent_views,
)
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array


class RuleOpponents(OpponentModel):
    """Scripted players as opponent model: exact where the opponents follow them.

    Needs a game whose observation shows what opponents see (`Game.perspective`). The
    belief holds each player's carry before it observes, and the last joint action.
    `types` [N-1] gives each player's type to a value that is conditioned on beliefs.
    """

    players: tuple[ScriptedPlayer, ...]  # N-1, ego-first order
    game: Game = eqx.field(static=True)
    types: tuple[int, ...] = eqx.field(static=True, default=())
    goals: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        others = self.game.num_players - 1
        if len(self.players) != others:
            raise ValueError(
                f"players={[p.name for p in self.players]}: expected {others}, "
                f"one for each opponent in {self.game.name}"
            )

    @property
    def reads_own_actions(self) -> bool:
        return True  # a player can remember what the others did

    def init(self) -> Belief:
        carries = tuple(p.init() for p in self.players)
        return carries, jnp.full(self.game.num_players, ABSENT)

    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        if not self.players:  # a game of one player
            return jnp.zeros((0, self.game.num_actions))
        views = opponent_views(self.game, obs)
        masks = opponent_legal(self.game, obs)
        carries = self._observe(belief, views)
        each = zip(self.players, carries, views, masks, strict=True)
        return jnp.stack([p.policy(c, v, m) for p, c, v, m in each])

    def update(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Belief:
        views = opponent_views(self.game, obs)
        carries = self._observe(belief, views)
        masks = opponent_legal(self.game, obs)
        each = zip(
            self.players, carries, views, masks, actions[1:], strict=True
        )
        carries = tuple(p.remember(c, v, m, a) for p, c, v, m, a in each)
        return carries, jnp.where(present, actions, ABSENT)

    def _observe(
        self, belief: Belief, views: Shaped[Array, "others *obs"]
    ) -> tuple[PyTree, ...]:
        """Return each player's carry after it has observed its view."""
        carries, last = belief
        key = jax.random.key(0)
        each = zip(self.players, carries, views, strict=True)
        return tuple(
            player.see(carry, view, jnp.delete(last, j + 1), key)
            for j, (player, carry, view) in enumerate(each)
        )

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        types = jnp.asarray(self.types or (0,) * len(self.players))
        return jax.nn.one_hot(types, self.goals)
