"""Whether observations tell the time left, and so whether the step limit ends the return."""

import dataclasses

import numpy as np
import pytest

from bestreply.config import RunConfig, TrainConfig
from bestreply.training.epochs import as_started
from bestreply.training.step_limit import with_measured_limit
from bestreply.types import ABSENT, Episodes

E, T, N = 40, 12, 2


def episodes(obs, truncated=True):
    """Episodes of T steps with observations [E, T + 1, *entries], equal for both seats."""
    obs = np.repeat(np.expand_dims(obs, 2), N, 2).astype(np.float32)
    last = np.zeros((E, T), bool)
    last[:, -1] = True
    return Episodes(
        obs=obs,
        legal=np.ones((E, T + 1, N, 2), bool),
        present=np.ones((E, T + 1, N), bool),
        action=np.zeros((E, T, N), np.int32),
        prob=np.full((E, T, N), 0.5, np.float32),
        reward=np.zeros((E, T, N), np.float32),
        terminated=np.repeat(last[..., None] & (not truncated), N, 2),
        truncated=last & truncated,
        length=np.full(E, T, np.int32),
        player=np.zeros((E, N), np.int32),
        goal=np.full((E, T, N), ABSENT, np.int32),
        goal_source=np.zeros((E, T, N), np.int8),
    )


def noise(*entries):
    return np.random.default_rng(0).normal(size=(E, T + 1, *entries))


def clock():
    return np.broadcast_to(np.arange(T + 1) / T, (E, T + 1))


def measured(play):
    return with_measured_limit(RunConfig(), play).train.at_limit


def one_hot():
    return np.broadcast_to(np.eye(T + 1), (E, T + 1, T + 1))


def image():
    """Many more entries than steps; a plane of them counts down."""
    planes = noise(20, 20, 3)
    planes[..., 2] = clock()[..., None, None]
    return planes


def drifting():
    """Positions of a random walk, which spread out with time but do not tell it."""
    return noise(4).cumsum(1)


@pytest.mark.parametrize(
    ("obs", "limit"),
    [
        (np.dstack([noise(3), 100 - 50 * clock()[..., None]]), "zero"),
        (np.dstack([noise(3), one_hot()]), "zero"),
        (image(), "zero"),
        (noise(3), "bootstrap"),
        (drifting(), "bootstrap"),
        (np.ones((E, T + 1, 1)), "bootstrap"),
        # as many entries as steps: what is fitted by heart does not count
        (noise(600), "bootstrap"),
    ],
    ids=["fraction", "one_hot", "image", "noise", "walk", "constant", "heart"],
)
def test_the_limit_ends_the_return_where_observations_tell_the_time_left(
    obs, limit
):
    assert measured(episodes(obs)) == limit


def test_no_limit_was_reached():
    assert measured(episodes(noise(3), truncated=False)) == "zero"


def test_what_is_set_is_kept():
    for limit in ("zero", "bootstrap"):
        config = RunConfig(train=TrainConfig(at_limit=limit))
        assert with_measured_limit(config, episodes(noise(3))) == config


def test_a_further_round_keeps_the_choice_of_the_first():
    before = RunConfig(train=TrainConfig(at_limit="zero"))
    after = with_measured_limit(RunConfig(), episodes(noise(3)), before)
    assert after.train.at_limit == "zero"


def test_a_started_run_has_the_configuration_that_it_was_started_with():
    started = RunConfig(seed=3, train=TrainConfig(at_limit="zero"))
    assert as_started(started, RunConfig(seed=3)) == started
    set_by_hand = TrainConfig(at_limit="bootstrap")
    other = dataclasses.replace(started, train=set_by_hand)
    assert as_started(started, other) == other
