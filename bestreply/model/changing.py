"""Others that change their mind, that are met again, or that nobody has met before: a belief over types and over how long each has lasted.

For each other player j the belief holds P(r, k | what it did): it has been of type k for r steps (Adams and MacKay, 2007, equations 1
to 3, with a finite set of types in place of a conjugate model):

    w(r, k) = P(r, k) pi_hat_k(a_j | o)
    P'(r + 1, k) = (1 - hazard) w(r, k)
    P'(0, k') = hazard sum_{r, k != k'} w(r, k) p(k') / (1 - p(k))

so that one marginal tells who it is now (the posterior) and the other when it last changed its mind. p is the prior of that player: what
the data had, and what earlier episodes against it have shown. The last type is "none of these": a model of the player's own habits,
learned on the spot from counts of its actions, for whoever fits no known type.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.games.base import Game
from bestreply.model.opponent import LearnedOpponents, OpponentModel, legal_of_others
from bestreply.types import ABSENT

LEAST = 1e-6
"""Least probability that a model gives to an action that was taken, and of a type that can come back."""


class RunLengths(NamedTuple):
    """What is believed about each other player. K types: the model's G, and "none of these" where it is told apart."""

    joint: Float[
        Array, "others R K"
    ]  # of which type it has been for how many steps; the last bin: so many or more
    seen: Array  # [N-1] int32, steps of it seen in this episode
    habits: Float[Array, "others A"]  # counts of its actions
    prior: Float[Array, "others K"]
    counts: Float[Array, "others K"]  # episodes that it was of each type, discounted


class ChangingOpponents(OpponentModel):
    """A learned model of types under a belief that expects changes (`hazard`), remembers earlier episodes (`memory`) and doubts that it
    knows everybody (`novelty`)."""

    model: LearnedOpponents
    hazard: float = eqx.field(static=True, default=0.0)
    """Chance before each step that a player becomes another."""
    memory: float = eqx.field(static=True, default=0.0)
    """What an earlier episode counts, a further episode later; 0: every episode is against strangers."""
    novelty: float = eqx.field(static=True, default=0.0)
    """Prior probability of "none of these"."""

    def __check_init__(self) -> None:
        for name in ("hazard", "memory", "novelty"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; wanted: at least 0 and less than 1")

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    @property
    def lengths(self) -> int:
        return self.game.max_steps + 1 if self.hazard else 1

    def init(self) -> RunLengths:
        others, actions = self.game.num_players - 1, self.game.num_actions
        prior = (1 - self.novelty) * self.model.prior
        if self.novelty:
            prior = jnp.append(prior, self.novelty)
        prior = jnp.broadcast_to(prior, (others, len(prior)))
        return self._begin(prior, jnp.zeros((others, actions)), jnp.zeros_like(prior))

    def _begin(self, prior: Array, habits: Array, counts: Array) -> RunLengths:
        joint = jnp.zeros((len(prior), self.lengths, prior.shape[1])).at[:, 0].set(prior)
        return RunLengths(joint, jnp.zeros(len(prior), jnp.int32), habits, prior, counts)

    def renew(self, belief: RunLengths) -> RunLengths:
        """The belief at the start of a further episode against the same others: counts of whom they were, as prior."""
        counts = self.memory * (belief.counts + belief.joint.sum(1))
        prior = self.init().prior + counts
        prior = prior / prior.sum(1, keepdims=True)
        return self._begin(prior, self.memory * belief.habits, counts)

    def each(self, belief: RunLengths, obs: Array) -> Float[Array, "others K A"]:
        """What each type would do now."""
        known = jnp.exp(self.model.logits(obs))
        if not self.novelty:
            return known
        legal = legal_of_others(self.game, obs)
        habits = (belief.habits + 0.5) * legal  # Krichevsky and Trofimov, 1981
        total = jnp.maximum(habits.sum(1, keepdims=True), LEAST)  # who has left has no legal action
        return jnp.concatenate([known, (habits / total)[:, None]], 1)

    def predict(self, belief: RunLengths, obs: Array, legal: Array) -> Float[Array, "others A"]:
        return jnp.einsum("jk,jka->ja", belief.joint.sum(1), self.each(belief, obs))

    def update(self, belief: RunLengths, obs: Array, actions: Array, present: Array) -> RunLengths:
        others = jnp.maximum(actions[1:], 0)
        acted = present[1:] & (actions[1:] != ABSENT)
        taken = jnp.take_along_axis(self.each(belief, obs), others[:, None, None], 2)[..., 0]  # [N-1, K]
        after = belief.joint * jnp.maximum(taken, LEAST)[:, None]
        after = after / after.sum((1, 2), keepdims=True)
        habits = (1 - self.hazard) * belief.habits + jax.nn.one_hot(others, belief.habits.shape[1])
        moved = RunLengths(
            jax.vmap(self._go_on)(after, belief.prior), belief.seen + 1, habits, belief.prior, belief.counts
        )
        return RunLengths(
            *(
                jnp.where(acted.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(moved, belief, strict=True)
            )
        )

    def _go_on(self, joint: Float[Array, "R K"], prior: Float[Array, " K"]) -> Float[Array, "R K"]:
        """A step on: everybody has lasted one step longer, or has changed."""
        if not self.hazard:  # some of the prior flows back, so that nothing is ruled out for good
            return (1 - self.model.leak) * joint + self.model.leak * prior
        was = joint.sum(0)
        prior = jnp.maximum(prior, LEAST)
        prior = prior / prior.sum()
        leaves = was / jnp.maximum(
            1 - prior, LEAST
        )  # from each type, shared out over the others by their prior
        changed = prior * (leaves.sum() - leaves) if len(prior) > 1 else was
        longer = jnp.roll(joint, 1, 0).at[0].set(0.0).at[-1].add(joint[-1])
        return ((1 - self.hazard) * longer).at[0].set(self.hazard * changed / changed.sum())

    def posterior(self, belief: RunLengths) -> Float[Array, "others G"]:
        """Of the known types; what is believed to be none of these is shared out as the model's prior says."""
        now = belief.joint.sum(1)
        known = now[:, : self.model.goals]
        return known + (1 - known.sum(1, keepdims=True)) * self.model.prior

    def strange(self, belief: RunLengths) -> Float[Array, " others"]:
        """P(none of these) for each other player."""
        now = belief.joint.sum(1)
        return now[:, self.model.goals :].sum(1)

    def changed(self, belief: RunLengths) -> Float[Array, " others"]:
        """P(it is not whom it was when the episode began) for each other player."""
        if not self.hazard:
            return jnp.zeros(len(belief.joint))
        still = jnp.take_along_axis(
            belief.joint.sum(2), jnp.minimum(belief.seen, self.lengths - 1)[:, None], 1
        )
        return 1 - still[:, 0]

    def since(self, belief: RunLengths) -> Array:
        """[N-1] int32: the likeliest number of steps since each other player last changed, or since the episode began."""
        return belief.joint.sum(2).argmax(1)
