"""Fewer updates where there is little data; what a started run was started with."""

import dataclasses

import pytest

from bestreply.config import RunConfig, TrainConfig
from bestreply.training.epochs import as_started, with_epochs_limited

TRAIN = TrainConfig(
    updates=4000,
    batch=100,
    opponent_updates=1000,
    opponent_batch=500,
    anchor_updates=0,
    max_epochs=20,
)
CONFIG = RunConfig(train=TRAIN)


def limited(rows, **settings):
    train = dataclasses.replace(TRAIN, **settings)
    train = with_epochs_limited(RunConfig(train=train), rows).train
    return train.updates, train.opponent_updates, train.anchor_updates


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (25_000, (4000, 1000, 0)),  # 16 and 20 passes
        (20_000, (4000, 500, 0)),  # 20 and 25 passes
        (19_999, (2000, 500, 0)),
        (5_000, (1000, 200, 0)),  # 1000 -> 500 -> 250 -> 200, not 125
        (1, (200, 200, 0)),
    ],
)
def test_updates_are_halved_until_they_pass_over_the_data_seldom(
    rows, expected
):
    assert limited(rows) == expected


def test_few_updates_and_no_limit_stay_as_they_are():
    assert limited(1, updates=30, opponent_updates=7) == (30, 7, 0)
    assert limited(1, max_epochs=0) == (4000, 1000, 0)


def test_limiting_again_changes_nothing():
    for rows in (1, 777, 5_000, 10**6):
        once = with_epochs_limited(CONFIG, rows)
        assert with_epochs_limited(once, rows) == once


@pytest.mark.parametrize("rows", [1, 5_000, 10**6])
def test_a_started_run_has_the_configuration_that_it_was_started_with(rows):
    started = with_epochs_limited(CONFIG, rows)
    started = dataclasses.replace(
        started, train=dataclasses.replace(started.train, at_limit="zero")
    )
    assert as_started(started, CONFIG) == started


def test_other_updates_are_another_configuration():
    started = with_epochs_limited(CONFIG, 5_000)
    train = dataclasses.replace(TRAIN, updates=3000)
    other = RunConfig(train=train)
    assert as_started(started, other).train.updates == 3000
