"""Action numbers as one action, and types of vectors with parts."""

import numpy as np
import pytest

from bestreply.games.spaces import common_dtype, flat_actions, refuse_actions


def test_every_combination_of_numbers_is_an_action():
    names, decode = flat_actions([2, 3])
    assert names == ("0,0", "0,1", "0,2", "1,0", "1,1", "1,2")
    assert decode.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert flat_actions([3])[0] == ("0", "1", "2")


@pytest.mark.parametrize("nvec", [[], [0, 2], [32, 33]])
def test_too_many_combinations_are_refused(nvec):
    with pytest.raises(
        ValueError, match=r"expected 1 to 1024 comb.* in a game"
    ):
        flat_actions(nvec, " in a game")


def test_other_action_spaces_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="write a wrapper") as error:
        refuse_actions("Box(-1.0,\n 1.0, (2,))", " in gymnasium:Walk")
    assert "\n" not in str(error.value)
    assert "in gymnasium:Walk" in str(error.value)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([bool, bool], bool),
        ([bool, np.uint8], np.uint8),
        ([np.int64], np.int32),
        ([np.int32, np.float64], np.float32),
        ([np.uint8, np.int8], np.int16),
        ([np.uint32, np.int32], np.int32),
    ],
)
def test_a_vector_has_the_smallest_type_of_its_parts(parts, whole):
    assert common_dtype([np.dtype(p) for p in parts]) == np.dtype(whole)
