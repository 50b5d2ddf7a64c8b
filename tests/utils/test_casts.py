"""Casts that keep numbers, and those that would change them."""

import numpy as np
import pytest

from bestreply.utils.casts import cast, is_mask


@pytest.mark.parametrize(
    "values, dtype, lost",
    [
        (np.int64([1, 2**40]), "int32", "1099511627776"),
        (np.int64([-1]), "uint8", "-1"),
        (np.uint64([2**64 - 1]), "uint32", "18446744073709551615"),
        (np.int64([2**24, 2**24 + 1]), "float32", "16777217"),
        (np.float64([1e39]), "float32", "1e+39"),
        (np.float64([0.5]), "uint8", "0.5"),
        (np.float64([np.nan]), "int32", "nan"),
        (np.int8([2]), "bool", "2"),
        (np.int64([2**31 - 1, -(2**31)]), "int32", ""),
        (np.int64([2**24]), "float32", ""),
        (np.float64([0.1, np.inf, np.nan]), "float32", ""),
        (np.float64([0, 1, 255]), "uint8", ""),
        (np.bool_([True]), "float32", ""),
    ],
)
def test_the_first_number_that_a_cast_changes(values, dtype, lost):
    new, changed = cast(values, np.dtype(dtype))
    assert new.dtype == dtype and changed == lost


@pytest.mark.parametrize(
    "values, fits",
    [
        ([True, False], True),
        ([0, 1], True),
        ([0.0, 1.0], True),
        ([0.3], False),
        ([2], False),
        ([-3], False),
        ([np.nan], False),
        (["1"], False),
        ([None], False),
    ],
)
def test_a_mask_holds_nothing_but_0_and_1(values, fits):
    assert is_mask(np.array(values)) == fits
