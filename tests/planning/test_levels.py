"""Which observations are the same: their levels, measured from logged play."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.planning.levels import Levels, are_levels, measured_levels
from bestreply.types import ABSENT
from tests.models.odd_games import Pixels, Roles
from tests.planning.test_revisions import Line
from tests.training.test_step_limit import E, T, episodes


def play(entry):
    """Return logged play whose observations are `entry(episode, step, rng)`."""
    rng = np.random.default_rng(0)
    return episodes(
        np.array([[entry(e, t, rng) for t in range(T + 1)] for e in range(E)])
    )


def test_observations_have_numbers_of_their_own():
    """A million pairs of observations of 0 and 1, and orders of the same entries."""
    number = Levels.whole(Pixels(side=8, channels=1)).number
    rng = np.random.default_rng(0)
    obs = np.unique(rng.integers(0, 2, (1500, 64)), axis=0)
    numbers = np.asarray(jax.vmap(number)(jnp.asarray(obs, jnp.float32)))
    assert len(np.unique(numbers)) == len(obs)
    one, other = np.zeros((2, 64), np.float32)
    one[:2], other[:2] = (3, -7), (-7, 3)
    assert int(number(one)) != int(number(other))
    assert int(number(one)) == int(number(one.astype(np.int8)))


def test_predictions_go_to_the_nearest_whole_numbers():
    number = Levels.whole(Line()).number
    cell = np.eye(5, dtype=np.float32)[2]
    assert int(number(cell)) == int(number(cell + 0.4))
    assert int(number(cell)) != int(number(cell + 0.6))


def test_games_of_whole_numbers():
    assert Levels.whole(Line()) and Levels.whole(Roles()) is None
    assert Levels.whole(Pixels(side=84, channels=1)) is None  # too large


def cells(e, t, rng):
    """Thirds, negative fifths, whole numbers as floats, a constant, the time left."""
    return (
        rng.integers(4) / 3,
        -rng.integers(6) / 5,
        rng.integers(50),
        0.37,
        1 - t / 12,
    )


def test_levels_of_fractions_are_measured():
    facts = measured_levels(play(cells))
    assert are_levels(facts) and facts["time"] == [4]
    np.testing.assert_allclose(facts["step"], [1 / 3, 0.2, 1, 1, 1 / 12], 1e-5)
    number = Levels.read(facts).number
    one = np.array([1 / 3, -0.4, 7, 0.37, 0.75])
    near = one + np.array([0.15, -0.09, 0.4, 0.4, 0])
    assert int(number(one)) == int(number(near))
    later = one - np.array([0, 0, 0, 0, 0.25])
    assert int(number(one)) == int(number(later))
    for k, step in enumerate((1 / 3, -0.2, 1)):
        assert int(number(one)) != int(number(one + step * np.eye(5)[k]))


@pytest.mark.parametrize(
    "entry",
    [
        lambda e, t, rng: (rng.normal(),),
        lambda e, t, rng: (rng.integers(2), rng.normal()),
        lambda e, t, rng: (rng.choice([0.0, 0.3, 1.0]),),  # not evenly apart
        lambda e, t, rng: [0.0] * 2049,  # too large
    ],
    ids=["continuous", "partly", "uneven", "large"],
)
def test_other_observations_have_no_levels(entry):
    assert measured_levels(play(entry)) is None


def test_whole_numbers_go_to_the_nearest_that_occurs():
    """Pixels of 0 and 255; numbers without a common step but 1."""

    def entry(e, t, rng):
        return (
            rng.choice([0, 255]),
            rng.choice([0, 3, 255]),
            rng.choice([0, 4, 7]),
        )

    facts = measured_levels(play(entry))
    assert facts["step"] == [255, 3, 1]
    number = Levels.read(facts).number
    assert int(number(np.array([100, 4, 4]))) == int(
        number(np.array([0, 3, 4]))
    )


def test_what_moves_at_its_own_pace_is_no_time():
    """A cell that goes up in all steps, but not from the same one in all episodes."""
    assert measured_levels(play(lambda e, t, r: (e + t, t)))["time"] == [1]
    assert measured_levels(play(lambda e, t, r: (t // 2, t)))["time"] == [1]
    assert measured_levels(play(lambda e, t, r: (0, 3)))["time"] == []


def test_play_without_steps_has_no_levels():
    logged = play(cells)
    logged.action[:] = ABSENT
    assert measured_levels(logged) is None


@pytest.mark.parametrize(
    "facts",
    [
        3,
        {},
        {"first": [0], "step": [1]},
        {"first": [0], "step": [0], "time": []},
        {"first": [0, 1], "step": [1], "time": []},
        {"first": [0], "step": [float("nan")], "time": []},
        {"first": [True], "step": [1], "time": []},
        {"first": [0], "step": [1], "time": [1]},
        {"first": [0], "step": [1], "time": ["a"]},
    ],
)
def test_other_values_are_no_levels(facts):
    assert not are_levels(facts)
