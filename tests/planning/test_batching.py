"""A batch gone through a few at a time is the batch, and so is one of which only the needed rows are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.planning.batching import in_batches, where_needed

W, X = (
    np.random.default_rng(0).normal(size=(5, 3, 4)),
    np.random.default_rng(1).normal(size=(5, 7, 4)),
)


def layer(w, x):
    return {"out": jnp.tanh(w @ x), "most": (w @ x).max()}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_over_one_axis_with_the_weights_shared(size):
    got = jax.jit(jax.vmap(in_batches(layer, size), in_axes=(None, 0)))(
        W[0], X[0]
    )
    np.testing.assert_allclose(got["out"], np.tanh(X[0] @ W[0].T), rtol=1e-5)
    np.testing.assert_allclose(got["most"], (X[0] @ W[0].T).max(1), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_over_two_axes_with_the_weights_batched_too(size):
    inner = jax.vmap(in_batches(layer, size), in_axes=(None, 0))
    got = jax.jit(jax.vmap(inner))(W, X)
    np.testing.assert_allclose(
        got["out"], np.tanh(np.einsum("bij,bmj->bmi", W, X)), rtol=1e-5
    )


def test_no_more_than_so_many_are_computed_at_once():
    """The largest array that the program makes has the rows of a part: 64 in parts of 4, none left over."""
    wide = jnp.ones((50, 4))
    program = (
        jax.jit(jax.vmap(in_batches(lambda x: (x[:, None] * wide.T).sum(), 5)))
        .lower(jnp.ones((64, 4)))
        .as_text()
    )
    if jax.default_backend() == "cpu":
        assert "tensor<4x4x50xf32>" in program
        assert not any(f"tensor<{n}x4x50xf32>" in program for n in (5, 64))


NEEDED = np.random.default_rng(2).random((7, 5)) < 0.5
NEEDED[3] = False


def row_of(w, x, row):
    return layer(w[row], x)


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_rows_that_are_needed_and_zeros_for_the_rest(size):
    got = jax.jit(jax.vmap(where_needed(row_of, size), in_axes=(None, 0, 0)))(
        W, X[0], NEEDED
    )
    every = np.tanh(np.einsum("rij,bj->bri", W, X[0]))
    np.testing.assert_allclose(
        got["out"], np.where(NEEDED[:, :, None], every, 0), rtol=1e-5
    )
    alone = where_needed(row_of, size)(W, X[0, 1], NEEDED[1])
    np.testing.assert_allclose(got["most"][1], alone["most"], rtol=1e-5)


def test_rows_needed_where_each_example_has_weights_of_its_own():
    w = np.random.default_rng(3).normal(size=(7, 5, 3, 4))
    got = jax.jit(jax.vmap(where_needed(row_of, 4)))(w, X[0], NEEDED)
    every = np.tanh(np.einsum("brij,bj->bri", w, X[0]))
    np.testing.assert_allclose(
        got["out"], np.where(NEEDED[:, :, None], every, 0), rtol=1e-5
    )


def test_rows_that_are_not_needed_are_not_computed():
    asked = []

    def told(w, x, row):
        jax.debug.callback(lambda r: asked.append(int(r)), row)
        return w[row].sum() + x.sum()

    needed = np.zeros((7, 5), bool)
    needed[:, 2] = True
    jax.block_until_ready(
        jax.vmap(where_needed(told, 7), in_axes=(None, 0, 0))(W, X[0], needed)
    )
    jax.effects_barrier()
    if jax.default_backend() == "cpu":
        assert asked == [2] * 7
