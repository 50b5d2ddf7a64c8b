"""A belief over types that change, that return in later episodes, or that are unknown.

For each opponent j the belief holds P(r, k | its actions): it has had type k for r steps
(Adams and MacKay, 2007, equations 1 to 3, with a finite set of types in place of a
conjugate model):

    w(r, k) = P(r, k) pi_hat_k(a_j | o)
    P'(r + 1, k) = (1 - hazard) w(r, k)
    P'(0, k') = hazard sum_{r, k != k'} w(r, k) p(k') / (1 - p(k))

One marginal is the posterior over its current type, the other that over the step of its
last change. p is the prior of that opponent: the types in the data, and those of earlier
episodes against it. With `unknown_type_prior`, two more types are models estimated
during play, for an opponent of no known type:

    habits     action frequencies, independent of the observation
    mixture    at each step the policy of one known type, or any legal action, with fixed
               probabilities, estimated by online EM: each action counts for each type by
               its responsibility (Cappe and Moulines, 2009)
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel, opponent_legal
from bestreply.opponents.last_layer import (
    LastLayer,
    after_actions,
    corrected,
    forgotten,
    untrained_layer,
)
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import ABSENT, Array

MIN_PROB = 1e-6
"""Lower bound of a type's probability of an observed action, and of the prior of a type
after a change."""


def normalised(x: Float[Array, "... n"]) -> Float[Array, "... n"]:
    """Return `x` divided by its sum over the last axis; zeros where it is all zeros.

    Args:
        x: not negative.
    """
    return x / jnp.maximum(x.sum(-1, keepdims=True), MIN_PROB)


class RunLengths(NamedTuple):
    """The belief about each opponent, over K types and R run lengths.

    K is the number G of known types, or G + 2 with unknown types.
    """

    joint: Float[
        Array, "others R K"
    ]  # P(run length, type); the last bin: R-1 or more
    seen: Int[Array, " others"]  # actions observed in this episode
    habits: Float[Array, "others A"]  # action counts
    mixture: Float[Array, "others M"]
    """Responsibilities of each known type, and of any legal action; M = G + 1."""
    prior: Float[Array, "others K"]
    counts: Float[
        Array, "others K"
    ]  # discounted number of episodes with each type
    layer: LastLayer | None


class ChangepointOpponents(OpponentModel):
    """A learned model of types with a belief that expects changes.

    It can also remember earlier episodes, and allow for unknown types.
    """

    model: LearnedOpponents
    hazard: float = eqx.field(static=True, default=0.0)
    """Probability before each step that an opponent becomes another type."""
    memory: float = eqx.field(static=True, default=0.0)
    """Discount of earlier episodes, for each episode; 0: no memory."""
    unknown_type_prior: float = eqx.field(static=True, default=0.0)
    """Prior probability of the two unknown types together."""
    learning: float = eqx.field(static=True, default=0.0)
    """Prior variance of the weights of a layer that is learned in play; 0: none."""

    def __check_init__(self) -> None:
        if not self.learning >= 0:
            raise ValueError(f"learning={self.learning}: expected at least 0")
        for name in ("hazard", "memory", "unknown_type_prior"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(
                    f"{name}={value}: expected at least 0 and less than 1"
                )

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    @property
    def lengths(self) -> int:
        """Number of run lengths, R."""
        return self.game.max_steps + 1 if self.hazard else 1

    def init(self) -> RunLengths:
        others, actions = self.game.num_players - 1, self.game.num_actions
        prior = (1 - self.unknown_type_prior) * self.model.prior
        if self.unknown_type_prior:
            prior = jnp.append(prior, jnp.full(2, self.unknown_type_prior / 2))
        prior = jnp.broadcast_to(prior, (others, len(prior)))
        return self._start_episode(
            prior,
            habits=jnp.zeros((others, actions)),
            mixture=jnp.zeros((others, self.model.goals + 1)),
            counts=jnp.zeros_like(prior),
            layer=self._untrained_layer(),
        )

    def _untrained_layer(self) -> LastLayer | None:
        if not self.learning:
            return None
        others, actions = self.game.num_players - 1, self.game.num_actions
        features = self.model.net.hidden_size
        return untrained_layer(others, features, actions, self.learning)

    def _start_episode(
        self,
        prior: Float[Array, "others K"],
        habits: Float[Array, "others A"],
        mixture: Float[Array, "others M"],
        counts: Float[Array, "others K"],
        layer: LastLayer | None,
    ) -> RunLengths:
        others, types = prior.shape
        joint = jnp.zeros((others, self.lengths, types)).at[:, 0].set(prior)
        seen = jnp.zeros(others, jnp.int32)
        return RunLengths(joint, seen, habits, mixture, prior, counts, layer)

    def renew(self, belief: RunLengths) -> RunLengths:
        counts = self.memory * (belief.counts + belief.joint.sum(1))
        prior = self.init().prior + counts
        layer = belief.layer
        if layer is not None:
            layer = forgotten(layer, self.memory, self.learning)
        return self._start_episode(
            prior / prior.sum(1, keepdims=True),
            self.memory * belief.habits,
            self.memory * belief.mixture,
            counts,
            layer,
        )

    def type_policies(
        self, belief: RunLengths, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, "others K A"]:
        """Return the policy of each type at an observation.

        Args:
            belief: its counts define the policies of unknown types.
            obs: own observation.

        Returns:
            Action probabilities.
        """
        known = jnp.exp(self.model.logits(obs))
        if not self.unknown_type_prior:
            return known
        legal = opponent_legal(self.game, obs)
        # half a count for each action: Krichevsky and Trofimov, 1981
        habits = normalised((belief.habits + 0.5) * legal)
        mixture = jnp.einsum(
            "jm,jma->ja",
            self.mixture_weights(belief),
            _components(known, legal),
        )
        return jnp.concatenate([known, habits[:, None], mixture[:, None]], 1)

    def mixture_weights(self, belief: RunLengths) -> Float[Array, "others M"]:
        """Return the weights of the unknown type "mixture".

        Args:
            belief: holds the responsibilities so far.

        Returns:
            The probability of acting like each known type, and of any legal action.
        """
        return normalised(belief.mixture + 0.5)

    def predict(
        self,
        belief: RunLengths,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        policies = self.type_policies(belief, obs)
        probs = jnp.einsum("jk,jka->ja", belief.joint.sum(1), policies)
        if belief.layer is None:
            return probs
        seen = opponent_legal(self.game, obs)
        features = self.model.features(obs)
        return corrected(belief.layer, features, probs, seen)

    def update(
        self,
        belief: RunLengths,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> RunLengths:
        others = jnp.maximum(actions[1:], 0)
        acted = present[1:] & (actions[1:] != ABSENT)

        def prob(policies: Float[Array, "others K A"]) -> Array:
            index = others[:, None, None]
            taken = jnp.take_along_axis(policies, index, 2)[..., 0]
            return jnp.maximum(taken, MIN_PROB)

        after = belief.joint * prob(self.type_policies(belief, obs))[:, None]
        after = after / after.sum((1, 2), keepdims=True)
        habits, mixture = belief.habits, belief.mixture
        if self.unknown_type_prior:
            known = jnp.exp(self.model.logits(obs))
            components = _components(known, opponent_legal(self.game, obs))
            weights = self.mixture_weights(belief)
            kept = 1 - self.hazard
            count = jax.nn.one_hot(others, habits.shape[1])
            habits = kept * habits + count
            mixture = kept * mixture + normalised(weights * prob(components))
        layer = belief.layer
        if layer is not None:
            layer = after_actions(
                forgotten(layer, 1 - self.hazard, self.learning),
                self.model.features(obs),
                self.predict(belief, obs, present),
                others,
            )
        updated = belief._replace(
            layer=layer,
            joint=jax.vmap(self._advance)(after, belief.prior),
            seen=belief.seen + 1,
            habits=habits,
            mixture=mixture,
        )
        return jax.tree.map(
            lambda new, old: jnp.where(
                acted.reshape(-1, *[1] * (new.ndim - 1)), new, old
            ),
            updated,
            belief,
        )

    def _advance(
        self, joint: Float[Array, "R K"], prior: Float[Array, " K"]
    ) -> Float[Array, "R K"]:
        """Return the belief one step later: each type has lasted, or has changed."""
        if (
            not self.hazard
        ):  # a fraction of the prior rules no type out permanently
            mixing = self.model.prior_mixing
            return (1 - mixing) * joint + mixing * prior
        last = joint.sum(0)
        prior = jnp.maximum(prior, MIN_PROB)
        prior = prior / prior.sum()
        # from each type, divided among the other types by their prior
        leaves = last / jnp.maximum(1 - prior, MIN_PROB)
        changed = last
        if len(prior) > 1:
            changed = prior * (leaves.sum() - leaves)
        longer = jnp.roll(joint, 1, 0).at[0].set(0.0).at[-1].add(joint[-1])
        lasted = (1 - self.hazard) * longer
        return lasted.at[0].set(self.hazard * changed / changed.sum())

    def posterior(self, belief: RunLengths) -> Float[Array, "others G"]:
        """Return the probabilities of the known types.

        The probability of the unknown type "habits" is divided among them by the
        model's prior, that of "mixture" by its weights.

        Args:
            belief: the belief.

        Returns:
            Probabilities that sum to 1 for each opponent.
        """
        goals, prior = self.model.goals, self.model.prior
        now = belief.joint.sum(1)
        if not self.unknown_type_prior:
            return now
        weights = self.mixture_weights(belief)
        mixture = weights[:, :goals] + weights[:, goals:] * prior
        return (
            now[:, :goals]
            + now[:, goals : goals + 1] * prior
            + now[:, goals + 1 :] * mixture
        )

    def unknown_type_probability(
        self, belief: RunLengths
    ) -> Float[Array, " others"]:
        """Return the probability that each opponent has none of the known types.

        Args:
            belief: the belief.
        """
        return belief.joint.sum(1)[:, self.model.goals :].sum(1)

    def change_probability(self, belief: RunLengths) -> Float[Array, " others"]:
        """Return the probability that each opponent changed type in this episode.

        Args:
            belief: the belief.

        Returns:
            Probabilities; 0 where no changes are expected (`hazard` 0).
        """
        if not self.hazard:
            return jnp.zeros(len(belief.joint))
        longest = jnp.minimum(belief.seen, self.lengths - 1)[:, None]
        same = jnp.take_along_axis(belief.joint.sum(2), longest, 1)
        return 1 - same[:, 0]

    def steps_since_change(self, belief: RunLengths) -> Int[Array, " others"]:
        """Return the likeliest number of steps since each opponent's last change.

        Args:
            belief: the belief.

        Returns:
            Steps, counted from the start of the episode where there was no change.
        """
        return belief.joint.sum(2).argmax(1)


def _components(
    known: Float[Array, "others G A"], legal: Bool[Array, "others A"]
) -> Float[Array, "others M A"]:
    """Return the policies of the known types, and the uniform one."""
    uniform = normalised(legal.astype(known.dtype))
    return jnp.concatenate([known, uniform[:, None]], 1)
