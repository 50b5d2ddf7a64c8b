"""Draws made side by side are those that a function makes one after the other."""

import jax
import numpy as np

from bestreply.utils.draws import with_shared_draws


def draws(key):
    """Return arrays of several generations of keys, some of draws by earlier draws."""
    first, second, third = jax.random.split(key, 3)
    left, right = jax.random.split(first)
    scale = jax.random.uniform(left, (7,), minval=-0.5, maxval=0.5)
    later = jax.random.fold_in(second, jax.random.randint(third, (), 0, 9))
    return {
        "scale": scale,
        "matrix": jax.random.normal(right, (3, 5)),
        "large": jax.random.bits(second, (600,)),
        "small": jax.random.bits(jax.random.fold_in(key, 3), ()),
        "later": jax.random.bernoulli(later, 0.5, (4,)),
        "given": key,
        "many": jax.vmap(lambda k: jax.random.bits(k, (2,)))(
            jax.random.split(third, 4)
        ),
    }


def test_shared_draws_are_the_same_to_the_bit():
    key = jax.random.key(7)
    both = jax.jit(lambda key: (draws(key), with_shared_draws(draws)(key)))
    plain, shared = both(key)
    assert jax.random.key_data(plain.pop("given")).tolist() == (
        jax.random.key_data(shared.pop("given")).tolist()
    )
    for name, array in plain.items():
        np.testing.assert_array_equal(array, shared[name], err_msg=name)


def test_draws_of_a_generation_share_a_loop():
    def weights(key):
        keys = jax.random.split(key, 5)
        return [jax.random.uniform(k, (n + 1,)) for n, k in enumerate(keys)]

    key = jax.random.key(0)
    plain = str(jax.make_jaxpr(weights)(key))
    shared = str(jax.make_jaxpr(with_shared_draws(weights))(key))
    assert plain.count("random_bits") >= 1  # within functions of one name
    assert shared.count("random_bits") == 1
