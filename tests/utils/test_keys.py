"""Keys are those of a split."""

import jax
import numpy as np

from bestreply.utils.keys import two_keys


def test_two_keys_are_those_of_a_split():
    key = jax.random.key(7)
    ours = [jax.random.key_data(one) for one in two_keys(key)]
    np.testing.assert_array_equal(
        ours, jax.random.key_data(jax.random.split(key))
    )
