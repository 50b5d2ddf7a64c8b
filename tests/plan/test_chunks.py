"""A batch gone through a few at a time is the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.plan.chunks import in_chunks

W, X = np.random.default_rng(0).normal(size=(5, 3, 4)), np.random.default_rng(1).normal(size=(5, 7, 4))


def layer(w, x):
    return {"out": jnp.tanh(w @ x), "most": (w @ x).max()}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_over_one_axis_with_the_weights_shared(size):
    got = jax.jit(jax.vmap(in_chunks(layer, size), in_axes=(None, 0)))(W[0], X[0])
    np.testing.assert_allclose(got["out"], np.tanh(X[0] @ W[0].T), rtol=1e-5)
    np.testing.assert_allclose(got["most"], (X[0] @ W[0].T).max(1), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_over_two_axes_with_the_weights_batched_too(size):
    inner = jax.vmap(in_chunks(layer, size), in_axes=(None, 0))
    got = jax.jit(jax.vmap(inner))(W, X)
    np.testing.assert_allclose(got["out"], np.tanh(np.einsum("bij,bmj->bmi", W, X)), rtol=1e-5)


def test_no_more_than_so_many_are_computed_at_once():
    """The largest array that the compiled program makes has `size` rows, not the whole batch's."""
    wide = jnp.ones((50, 4))
    program = (
        jax.jit(jax.vmap(in_chunks(lambda x: (x[:, None] * wide.T).sum(), 3)))
        .lower(jnp.ones((64, 4)))
        .as_text()
    )
    if jax.default_backend() == "cpu":
        assert "tensor<3x4x50xf32>" in program and "tensor<64x4x50xf32>" not in program
