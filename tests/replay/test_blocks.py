"""Functions of rows, computed for some of them at a time."""

import jax
import numpy as np

from bestreply.replay.blocks import map_in_parts


def test_parts_that_overlap_return_each_row_once():
    calls = []

    def double(row):
        calls.append(row)
        return row["a"] * 2, row["b"].sum()

    for count in (3, 4, 10, 12):
        rows = {"a": np.arange(count), "b": np.ones((count, 2), np.float32)}
        calls.clear()
        twice, total = jax.jit(lambda rows: map_in_parts(double, rows, 4))(rows)
        np.testing.assert_array_equal(twice, rows["a"] * 2)
        np.testing.assert_array_equal(total, np.full(count, 2.0))
        assert len(calls) == 1  # one body, whatever remains
