"""Environments that are stepped in this process and in others."""

import jax
import numpy as np
import pytest

from bestreply import make_game
from bestreply.simulation import env_batch
from bestreply.simulation.env_workers import EnvWorkers
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT

NAME = "tests.host_env:Chase"
SEATS = ["random", "random", "random"]


@pytest.fixture(autouse=True)
def fresh():
    env_batch.close_kept()
    yield
    env_batch.close_kept()


def episodes(game, *, chunk=12, seed=3, count=12):
    return play(game, seat_players(game, SEATS, count, 0), seed, chunk=chunk)


def assert_equal(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_processes_give_what_this_process_gives(monkeypatch):
    game = make_game(NAME, small=True)
    here = episodes(game)
    monkeypatch.setenv("BESTREPLY_ENV_WORKERS", "2")
    assert_equal(here, episodes(game))
    batch = env_batch._kept.popitem()[1]
    env_batch._kept["again"] = batch
    assert isinstance(batch, EnvWorkers)


def test_a_process_that_dies_is_replaced_and_its_episodes_replayed(
    monkeypatch, caplog
):
    game = make_game(NAME)
    here = episodes(game)
    monkeypatch.setenv("BESTREPLY_ENV_WORKERS", "1")
    step, steps = EnvWorkers.step, []

    def killing(self, *args):
        steps.append(0)
        if len(steps) == 4:
            self.workers[0].process.kill()
        return step(self, *args)

    monkeypatch.setattr(EnvWorkers, "step", killing)
    assert_equal(here, episodes(game))
    assert "it is replaced and its 12 episodes are replayed" in caplog.text


def test_slow_environments_are_handed_over_to_processes(monkeypatch):
    game = make_game(NAME)
    here = episodes(game)
    env_batch.close_kept()
    monkeypatch.setattr(env_batch, "SLOW", 0.0)
    assert_equal(here, episodes(game))
    (batch,) = env_batch._kept.values()
    assert batch.workers is not None and not batch.envs


@pytest.mark.parametrize(
    "fault, error, sentence",
    [
        ("raise", KeyError, "no such cell"),
        ("die", ValueError, "3 processes ended at step 1"),
    ],
)
def test_an_environment_that_fails_in_a_process_says_why(
    monkeypatch, fault, error, sentence
):
    monkeypatch.setenv("BESTREPLY_ENV_WORKERS", "1")
    with pytest.raises(error, match=sentence):
        episodes(make_game(NAME, fault=fault), count=4, chunk=4)


def test_after_a_failure_play_begins_anew(monkeypatch):
    monkeypatch.setenv("BESTREPLY_ENV_WORKERS", "2")
    game = make_game(NAME, fault="raise")
    calls = []
    for _ in range(
        2
    ):  # the answers of the first call are not read in the second
        with pytest.raises(KeyError, match="no such cell"):
            episodes(game, count=4, chunk=4)
        calls.append(dict(env_batch._kept))
    assert calls == [{}, {}]


def test_an_environment_that_draws_from_elsewhere_is_not_replayed(monkeypatch):
    monkeypatch.setattr(env_batch, "SLOW", 0.0)
    with pytest.raises(
        ValueError, match="expected equal episodes from equal seeds"
    ):
        episodes(make_game(NAME, fault="chance"))


def test_an_odd_number_of_processes_is_refused(monkeypatch):
    monkeypatch.setenv("BESTREPLY_ENV_WORKERS", "two")
    with pytest.raises(ValueError, match="BESTREPLY_ENV_WORKERS='two'"):
        episodes(make_game(NAME))


def test_play_of_an_environment_is_logged_seat_by_seat():
    played = episodes(make_game(NAME, tired=3, small=True), count=24, chunk=24)
    e = played.episodes
    absent = ~e.present[:, 0]
    assert absent[:, 1].any() and not absent[:, [0, 2]].any()
    assert (e.action[:, :, 1][absent[:, 1]] == ABSENT).all()
    runner = (e.action[:, :, 2] != ABSENT).sum(1)
    assert runner.max() == 3 and not e.terminated[:, :3, 2].any()
    assert (e.action[:, :, :2] < 3).all() and (e.action[:, :, 2] == 3).any()
