"""Which observations are the same: their levels, measured from logged play."""

import equinox as eqx
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


def alone(facts):
    """Return the levels of seats that see alike."""
    assert facts["marked"] == [] and len(facts["layouts"]) == 1
    return facts["layouts"][0]


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
    assert are_levels(facts)
    layout = alone(facts)
    assert layout["time"] == [4]
    np.testing.assert_allclose(layout["step"][:4], [1 / 3, 0.2, 1, 1], 1e-5)
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
    assert alone(facts)["step"] == [255, 3, 1]
    number = Levels.read(facts).number
    assert int(number(np.array([100, 4, 4]))) == int(
        number(np.array([0, 3, 4]))
    )


def test_what_moves_at_its_own_pace_is_no_time():
    """A cell that goes up in all steps, but not from the same one in all episodes."""
    assert alone(measured_levels(play(lambda e, t, r: (e + t, t))))["time"] == [
        1
    ]
    assert alone(measured_levels(play(lambda e, t, r: (t // 2, t))))[
        "time"
    ] == [1]
    assert alone(measured_levels(play(lambda e, t, r: (0, 3))))["time"] == []


def test_play_without_steps_has_no_levels():
    logged = play(cells)
    logged.action[:] = ABSENT
    assert measured_levels(logged) is None


LAYOUT = {"marks": [], "first": [0], "step": [1], "time": []}


@pytest.mark.parametrize(
    "facts",
    [
        3,
        {},
        {"marked": []},
        {"marked": [], "layouts": []},
        {"marked": [], "layouts": [{}]},
        {"marked": [1], "layouts": [LAYOUT | {"marks": [0]}]},
        {"marked": [0], "layouts": [LAYOUT]},
        {"marked": [], "layouts": [LAYOUT | {"step": [0]}]},
        {"marked": [], "layouts": [LAYOUT | {"step": [1e-60]}]},
        {"marked": [], "layouts": [LAYOUT | {"step": [float("nan")]}]},
        {"marked": [], "layouts": [LAYOUT | {"first": [0, 1]}]},
        {"marked": [], "layouts": [LAYOUT | {"first": [True]}]},
        {"marked": [], "layouts": [LAYOUT | {"first": [1e300]}]},
        {"marked": [], "layouts": [LAYOUT | {"first": [10**400]}]},
        {"marked": [], "layouts": [LAYOUT | {"time": [1]}]},
        {"marked": [], "layouts": [LAYOUT | {"time": ["a"]}]},
        {"marked": [], "layouts": [LAYOUT, LAYOUT | {"first": [], "step": []}]},
    ],
)
def test_other_values_are_no_levels(facts):
    assert are_levels({"marked": [], "layouts": [LAYOUT]})
    assert not are_levels(facts)


@pytest.mark.parametrize(
    "rounded",
    [np.float16, lambda x: np.round(x, 2)],
    ids=["16 bits", "2 decimals"],
)
def test_rounded_entries_have_levels(rounded):
    """Sevenths, and the time left of 12 steps."""

    def entry(e, t, rng):
        return rounded(rng.integers(8) / 7), rounded(1 - t / 12)

    layout = alone(measured_levels(play(entry)))
    assert layout["time"] == [1]
    assert layout["step"][0] == pytest.approx(1 / 7, abs=0.001)


def test_a_long_clock_is_left_out():
    """Steps of 1 / 5000 would be too many levels."""
    layout = alone(
        measured_levels(play(lambda e, t, r: (r.integers(2), t / 5000)))
    )
    assert layout["time"] == [1]


def test_an_observation_between_levels_is_no_level():
    facts = measured_levels(play(lambda e, t, r: (2 * r.integers(4), 0.3, t)))
    levels = Levels.read(facts)
    for obs, known in (
        ((2, 0.3, 5), True),
        ((8, 0.3, 7.7), True),
        ((3, 0.3, 5), False),
        ((2, 0.4, 5), False),
    ):
        assert bool(levels.holds(np.array(obs))) == known


def test_seats_that_are_marked_have_levels_of_their_own():
    """The time is another entry of each seat; marks at the end."""
    first = play(lambda e, t, r: (r.integers(8) / 7, 1 - t / 12, 0, 1, 0))
    second = play(lambda e, t, r: (0.5, r.integers(6) / 5, 1 - t / 12, 0, 1))
    both = np.asarray(first.obs).copy()
    both[:, :, 1] = np.asarray(second.obs)[:, :, 1]
    facts = measured_levels(eqx.tree_at(lambda p: p.obs, first, both))
    assert are_levels(facts) and facts["marked"] == [2, 3, 4][1:]
    layouts = {tuple(one["marks"]): one for one in facts["layouts"]}
    assert layouts[1, 0]["time"] == [1] and layouts[0, 1]["time"] == [2]
    number = Levels.read(facts).number
    one, other = (
        np.array([3 / 7, 0.5, 0, 1, 0]),
        np.array([0.5, 0.4, 0.5, 0, 1]),
    )
    assert int(number(one)) == int(
        number(np.add(one, [0.06, 0.25, 0.4, 0.2, 0.2]))
    )
    assert int(number(one)) != int(number(np.add(one, [1 / 7, 0, 0, 0, 0])))
    assert int(number(other)) == int(
        number(np.add(other, [0.4, 0.09, 0.25, 0.2, 0]))
    )
    assert int(number(other)) != int(number(np.add(other, [0, 0.2, 0, 0, 0])))
