"""Others that change their mind, that are met again, or that nobody has met before: a belief over types and over how long each has lasted.

For each other player j the belief holds P(r, k | what it did): it has been of type k for r steps (Adams and MacKay, 2007, equations 1
to 3, with a finite set of types in place of a conjugate model):

    w(r, k) = P(r, k) pi_hat_k(a_j | o)
    P'(r + 1, k) = (1 - hazard) w(r, k)
    P'(0, k') = hazard sum_{r, k != k'} w(r, k) p(k') / (1 - p(k))

so that one marginal tells who it is now (the posterior) and the other when it last changed its mind. p is the prior of that player: what
the data had, and what earlier episodes against it have shown. The last two types are "none of these", models learned on the spot for
whoever fits no known type:

    habits     it does what it has mostly done: counts of its actions, whatever it sees
    by turns   at each step it does, with fixed chances, what one of the known types would do, or anything legal; the chances by online
               EM: each action counts for every type as much as it is likely to be that type's (Cappe and Moulines, 2009)
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel, opponent_legal
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import ABSENT

MIN_PROB = 1e-6
"""Least probability that a model gives to an action that was taken, and of a type that can come back."""


def shares(x: Float[Array, "... n"]) -> Float[Array, "... n"]:
    """`x` as parts of 1; zeros where it is all zeros, as the legal actions of who has left."""
    return x / jnp.maximum(x.sum(-1, keepdims=True), MIN_PROB)


class RunLengths(NamedTuple):
    """What is believed about each other player. K types: the model's G, and two that are none of these where that is told apart."""

    joint: Float[
        Array, "others R K"
    ]  # of which type it has been for how many steps; the last bin: so many or more
    seen: Array  # [N-1] int32, steps of it seen in this episode
    habits: Float[Array, "others A"]  # counts of its actions
    turns: Float[
        Array, "others M"
    ]  # M = G + 1: of its actions, how many are whose, each type's and nobody's
    prior: Float[Array, "others K"]
    counts: Float[
        Array, "others K"
    ]  # episodes that it was of each type, discounted


class ChangepointOpponents(OpponentModel):
    """A learned model of types under a belief that expects changes (`hazard`), remembers earlier episodes (`memory`) and doubts that it
    knows everybody (`unknown_type_prior`)."""

    model: LearnedOpponents
    hazard: float = eqx.field(static=True, default=0.0)
    """Chance before each step that a player becomes another."""
    memory: float = eqx.field(static=True, default=0.0)
    """What an earlier episode counts, a further episode later; 0: every episode is against strangers."""
    unknown_type_prior: float = eqx.field(static=True, default=0.0)
    """Prior probability of "none of these"."""

    def __check_init__(self) -> None:
        for name in ("hazard", "memory", "unknown_type_prior"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)}; expected: at least 0 and less than 1"
                )

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    @property
    def lengths(self) -> int:
        return self.game.max_steps + 1 if self.hazard else 1

    def init(self) -> RunLengths:
        others, actions = self.game.num_players - 1, self.game.num_actions
        prior = (1 - self.unknown_type_prior) * self.model.prior
        if self.unknown_type_prior:
            prior = jnp.append(prior, jnp.full(2, self.unknown_type_prior / 2))
        prior = jnp.broadcast_to(prior, (others, len(prior)))
        nobody = (
            jnp.zeros((others, actions)),
            jnp.zeros((others, self.model.goals + 1)),
        )
        return self._begin(prior, *nobody, jnp.zeros_like(prior))

    def _begin(
        self, prior: Array, habits: Array, turns: Array, counts: Array
    ) -> RunLengths:
        joint = (
            jnp.zeros((len(prior), self.lengths, prior.shape[1]))
            .at[:, 0]
            .set(prior)
        )
        return RunLengths(
            joint,
            jnp.zeros(len(prior), jnp.int32),
            habits,
            turns,
            prior,
            counts,
        )

    def renew(self, belief: RunLengths) -> RunLengths:
        """The belief at the start of a further episode against the same others: counts of whom they were, as prior."""
        counts = self.memory * (belief.counts + belief.joint.sum(1))
        prior = self.init().prior + counts
        prior = prior / prior.sum(1, keepdims=True)
        return self._begin(
            prior,
            self.memory * belief.habits,
            self.memory * belief.turns,
            counts,
        )

    def each(
        self, belief: RunLengths, obs: Array
    ) -> Float[Array, "others K A"]:
        """What each type would do now."""
        known = jnp.exp(self.model.logits(obs))
        if not self.unknown_type_prior:
            return known
        legal = opponent_legal(self.game, obs)
        habits = shares(
            (belief.habits + 0.5) * legal
        )  # Krichevsky and Trofimov, 1981
        by_turns = jnp.einsum(
            "jm,jma->ja", self.chances(belief), self._whose(known, legal)
        )
        return jnp.concatenate([known, habits[:, None], by_turns[:, None]], 1)

    def chances(self, belief: RunLengths) -> Float[Array, "others M"]:
        """With which chance one that acts by turns does what each type would do, and anything legal."""
        return shares(belief.turns + 0.5)

    def _whose(self, known: Array, legal: Array) -> Float[Array, "others M A"]:
        return jnp.concatenate(
            [known, shares(legal.astype(known.dtype))[:, None]], 1
        )

    def predict(
        self, belief: RunLengths, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        return jnp.einsum(
            "jk,jka->ja", self._now(belief), self.each(belief, obs)
        )

    def _now(self, belief: RunLengths) -> Float[Array, "others K"]:
        return belief.joint.sum(1)

    def update(
        self, belief: RunLengths, obs: Array, actions: Array, present: Array
    ) -> RunLengths:
        others = jnp.maximum(actions[1:], 0)
        acted = present[1:] & (actions[1:] != ABSENT)

        def taken(policies: Array) -> Array:
            return jnp.maximum(
                jnp.take_along_axis(policies, others[:, None, None], 2)[..., 0],
                MIN_PROB,
            )

        after = belief.joint * taken(self.each(belief, obs))[:, None]
        after = after / after.sum((1, 2), keepdims=True)
        habits, turns = belief.habits, belief.turns
        if self.unknown_type_prior:
            known = (
                jnp.exp(self.model.logits(obs)),
                opponent_legal(self.game, obs),
            )
            whose = shares(self.chances(belief) * taken(self._whose(*known)))
            habits, turns = (
                (1 - self.hazard) * old + new
                for old, new in (
                    (habits, jax.nn.one_hot(others, habits.shape[1])),
                    (turns, whose),
                )
            )
        gone_on = jax.vmap(self._go_on)(after, belief.prior)
        moved = RunLengths(
            gone_on, belief.seen + 1, habits, turns, belief.prior, belief.counts
        )
        return RunLengths(
            *(
                jnp.where(acted.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                for new, old in zip(moved, belief, strict=True)
            )
        )

    def _go_on(
        self, joint: Float[Array, "R K"], prior: Float[Array, " K"]
    ) -> Float[Array, "R K"]:
        """A step on: everybody has lasted one step longer, or has changed."""
        if not self.hazard:  # some of the prior flows back, so that nothing is ruled out for good
            return (
                1 - self.model.prior_mixing
            ) * joint + self.model.prior_mixing * prior
        was = joint.sum(0)
        prior = jnp.maximum(prior, MIN_PROB)
        prior = prior / prior.sum()
        leaves = was / jnp.maximum(
            1 - prior, MIN_PROB
        )  # from each type, shared out over the others by their prior
        changed = prior * (leaves.sum() - leaves) if len(prior) > 1 else was
        longer = jnp.roll(joint, 1, 0).at[0].set(0.0).at[-1].add(joint[-1])
        return (
            ((1 - self.hazard) * longer)
            .at[0]
            .set(self.hazard * changed / changed.sum())
        )

    def posterior(self, belief: RunLengths) -> Float[Array, "others G"]:
        """Of the known types; of what is believed to be none of these, habits are shared out as the model's prior says, and who acts by
        turns as often as it does what each type would do."""
        goals, prior, now = (
            self.model.goals,
            self.model.prior,
            self._now(belief),
        )
        if not self.unknown_type_prior:
            return now
        chances = self.chances(belief)
        like = chances[:, :goals] + chances[:, goals:] * prior
        return (
            now[:, :goals]
            + now[:, goals : goals + 1] * prior
            + now[:, goals + 1 :] * like
        )

    def strange(self, belief: RunLengths) -> Float[Array, " others"]:
        """P(none of these) for each other player."""
        return self._now(belief)[:, self.model.goals :].sum(1)

    def changed(self, belief: RunLengths) -> Float[Array, " others"]:
        """P(it is not whom it was when the episode began) for each other player."""
        if not self.hazard:
            return jnp.zeros(len(belief.joint))
        still = jnp.take_along_axis(
            belief.joint.sum(2),
            jnp.minimum(belief.seen, self.lengths - 1)[:, None],
            1,
        )
        return 1 - still[:, 0]

    def since(self, belief: RunLengths) -> Array:
        """[N-1] int32: the likeliest number of steps since each other player last changed, or since the episode began."""
        return belief.joint.sum(2).argmax(1)
