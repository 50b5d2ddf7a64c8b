import numpy as np
import pytest

from bestreply.utils.seeds import checked_seed, derived_seed


@pytest.mark.parametrize(
    "seed", [0, 7, 2**32 - 1, np.int64(7), np.uint32(7), np.array(7)]
)
def test_whole_numbers_are_seeds(seed):
    number = checked_seed(seed)
    assert type(number) is int
    assert number == seed


@pytest.mark.parametrize(
    "seed",
    [
        -1,
        2**32,
        2**32 + 1,
        2**64,
        np.int64(-1),
        np.uint64(2**63),
        1.0,
        1.5,
        "3",
        True,
        np.bool_(True),
        None,
        [1],
        np.array([1, 2]),
        float("nan"),
        pytest.param(10**10_000, id="too long to print"),
    ],
)
def test_other_values_are_refused_by_name(seed):
    with pytest.raises(ValueError, match=r"^first_seed=.*expected a whole num"):
        checked_seed(seed, "first_seed")


def test_derived_seeds_wrap_and_stay_different():
    last = 2**32 - 1
    assert derived_seed(3, 2) == 5
    assert derived_seed(last, 1) == 0
    assert len({derived_seed(s, 4) for s in (0, 1, last - 3, last)}) == 4
