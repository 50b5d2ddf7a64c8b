"""A last layer of the opponent model that is learned from the opponents in play.

Opponents need not be of any known type. The prediction of the types is corrected by a
layer on the last hidden features h of the opponent model, one for each opponent:

    pi_hat(a | o) = softmax_a(log sum_g b(g) pi_hat_g(a | o) + W h(o)),   W ~ N(0, variance)

After each action the mean of W makes one Newton step with a diagonal Hessian, by which
the precision grows: the Laplace approximation of Bayes' rule (Spiegelhalter and
Lauritzen, Sequential updating of conditional probabilities on directed graphical
structures, 1990).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from bestreply.types import Array

LEAST_PROB = 1e-4
"""Lower bound of a probability that types predict, before its logarithm is taken."""


class LastLayer(NamedTuple):
    """The belief about the layer of each of J opponents."""

    mean: Float[Array, "J F A"]
    precision: Float[Array, "J F A"]


def untrained_layer(
    opponents: int, features: int, actions: int, variance: float
) -> LastLayer:
    """Return the prior.

    Args:
        opponents: number of opponents, J.
        features: number of features, F.
        actions: number of actions, A.
        variance: of each weight.
    """
    shape = opponents, features, actions
    return LastLayer(jnp.zeros(shape), jnp.full(shape, 1 / variance))


def corrected(
    layer: LastLayer,
    features: Float[Array, "J F"],
    probs: Float[Array, "J A"],
    legal: Bool[Array, "J A"],
) -> Float[Array, "J A"]:
    """Return the policies of the opponents.

    Args:
        layer: the belief.
        features: of the opponent model.
        probs: the policies that types predict.
        legal: the opponents' legal actions.
    """
    logits = jnp.log(jnp.maximum(probs, LEAST_PROB))
    logits += jnp.einsum("jf,jfa->ja", features, layer.mean)
    return jax.nn.softmax(jnp.where(legal, logits, -1e9))


def after_actions(
    layer: LastLayer,
    features: Float[Array, "J F"],
    probs: Float[Array, "J A"],
    actions: Int[Array, " J"],
) -> LastLayer:
    """Return the belief after an action of each opponent.

    Args:
        layer: the belief before.
        features: of the opponent model.
        probs: the `corrected` policies.
        actions: the opponents' actions.
    """
    h, p = features[..., None], probs[:, None]
    taken = jax.nn.one_hot(actions, probs.shape[1])[:, None]
    precision = layer.precision + h**2 * p * (1 - p)
    return LastLayer(layer.mean + h * (taken - p) / precision, precision)


def forgotten(layer: LastLayer, kept: float, variance: float) -> LastLayer:
    """Return the belief with a part of what was learned forgotten.

    Args:
        layer: the belief.
        kept: the fraction that is kept.
        variance: of the prior.
    """
    prior = 1 / variance
    return LastLayer(
        layer.mean * (kept > 0), prior + kept * (layer.precision - prior)
    )
