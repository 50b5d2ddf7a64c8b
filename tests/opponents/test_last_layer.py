"""A last layer learned in play, beside gradients and Hessians by autodiff, and in a belief over types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.opponents.last_layer import (
    after_actions,
    corrected,
    forgotten,
    untrained_layer,
)
from bestreply.types import ABSENT
from tests.opponents.test_changepoint import GAME, PRESENT, believer, follow

J, F, A, VARIANCE = 2, 3, 4, 2.0
FEATURES = np.random.default_rng(0).normal(size=(J, F)).astype(np.float32)
PROBS = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.3, 0, 0]], np.float32)
LEGAL = np.array([[True] * 4, [True, True, True, False]])
ACTIONS = np.array([2, 1], np.int32)
OBS, OWN_LEGAL = jnp.zeros(GAME.obs_shape), jnp.ones(2, bool)


def prior():
    return untrained_layer(J, F, A, VARIANCE)


def test_an_untrained_layer_changes_nothing_but_illegal_and_impossible_actions():
    found = np.asarray(corrected(prior(), FEATURES, PROBS, LEGAL))
    np.testing.assert_allclose(found, PROBS, atol=1e-3)
    assert found[1, 3] == 0 < found[1, 2]
    nothing = np.zeros_like(LEGAL)  # a seat that has left
    found = np.asarray(corrected(prior(), FEATURES, PROBS, nothing))
    np.testing.assert_allclose(found, 1 / A)


def test_a_step_is_newtons_on_the_log_posterior():
    """Gradient and diagonal of the Hessian of -log p(a | W) - log p(W) at the prior mean, by autodiff."""
    probs = corrected(prior(), FEATURES, PROBS, LEGAL)
    layer = after_actions(prior(), FEATURES, probs, ACTIONS)
    for j in range(J):

        def loss(flat, j=j):
            w = flat.reshape(F, A)
            logits = jnp.log(jnp.maximum(PROBS[j], 1e-4)) + FEATURES[j] @ w
            logits = jnp.where(LEGAL[j], logits, -1e9)
            log_prob = jax.nn.log_softmax(logits)[ACTIONS[j]]
            return -log_prob + (flat**2).sum() / (2 * VARIANCE)

        at = jnp.zeros(F * A)
        gradient = jax.grad(loss)(at)
        diagonal = jnp.diag(jax.hessian(loss)(at))
        step = (-gradient / diagonal).reshape(F, A)
        np.testing.assert_allclose(layer.mean[j], step, atol=1e-5)
        np.testing.assert_allclose(
            layer.precision[j].ravel(), diagonal, rtol=1e-5
        )


def test_what_is_forgotten():
    probs = corrected(prior(), FEATURES, PROBS, LEGAL)
    layer = after_actions(prior(), FEATURES, probs, ACTIONS)
    half = forgotten(layer, 0.5, VARIANCE)
    np.testing.assert_array_equal(half.mean, layer.mean)
    np.testing.assert_allclose(
        half.precision, (layer.precision + 1 / VARIANCE) / 2, rtol=1e-6
    )
    for found, first in zip(
        forgotten(layer, 0.0, VARIANCE), prior(), strict=True
    ):
        np.testing.assert_array_equal(found, first)


def predicted(model, belief):
    return float(model.predict(belief, OBS, OWN_LEGAL)[0, 1])


def test_a_habit_of_no_type_is_learned_and_kept_with_memory():
    """No type plays 1 more often than 8 times of 10; this opponent always does."""
    plain, learns = believer(), believer(memory=0.9, learning=10.0)
    actions = [1] * 12
    assert predicted(plain, follow(plain, actions)) < 0.8
    after = follow(learns, actions)
    assert predicted(learns, after) > 0.9
    assert predicted(learns, learns.renew(after)) > 0.8
    forgets = believer(learning=10.0)
    fresh = forgets.renew(follow(forgets, actions))
    np.testing.assert_allclose(
        predicted(forgets, fresh), predicted(plain, plain.init()), atol=1e-5
    )
    np.testing.assert_allclose(
        learns.posterior(after),
        (base := believer(memory=0.9)).posterior(follow(base, actions)),
        atol=1e-6,
    )


def test_nothing_is_learned_from_who_has_left():
    model = believer(learning=10.0)
    belief = model.init()
    left = model.update(belief, OBS, jnp.array([0, ABSENT]), PRESENT)
    jax.tree.map(np.testing.assert_array_equal, left, belief)


def test_a_negative_variance_is_refused():
    with pytest.raises(ValueError, match=r"learning=-1.0: expected at least 0"):
        believer(learning=-1.0)
