"""Play of seeds as one batch: each as it is alone, or alone where it cannot be together."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import evaluate, make_game, player
from bestreply.evaluate import evaluate_all
from bestreply.players.base import Player
from bestreply.simulation import seed_batch
from bestreply.types import ActorOutput
from bestreply.utils.turns import run_in_turns

PAYOFFS = np.random.default_rng(0).normal(size=(3, 2, 2, 2)).tolist()
GAME = make_game("matrix", payoffs=PAYOFFS, rounds=3)
SETS = ("random", "mixture(always_c, random)", "self")


class Learned(Player):
    """Draws from the softmax of weights times the observation; counts its steps."""

    weights: jax.Array
    name: str = eqx.field(static=True, default="learned")
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return jnp.int32(0)

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        logits = self.weights @ obs.reshape(-1) + 0.1 * carry
        action = jax.random.categorical(key, logits).astype(jnp.int32)
        return carry + 1, action, ActorOutput(jax.nn.softmax(logits))


def learned(seed):
    size = GAME.num_actions, int(np.prod(GAME.obs_shape))
    draws = np.random.default_rng(seed).normal(size=size)
    return Learned(weights=draws.astype(np.float32))


def scores(seed, methods=None):
    """Of a player whose weights differ by seed."""
    methods = methods or {"learned": learned(seed)}
    return evaluate_all(GAME, methods, SETS, 7, seed, chunk=12).table


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(seed_batch, "warn", found.append)
    seed_batch._warn_once.cache_clear()
    yield found
    seed_batch._warn_once.cache_clear()


@pytest.fixture
def batches(monkeypatch):
    """The number of seeds of every mapped program that was called."""
    found, mapped = [], seed_batch._mapped

    def noted(function, fixed, arrays):
        found.append(len(arrays))
        return mapped(function, fixed, arrays)

    monkeypatch.setattr(seed_batch, "_mapped", noted)
    return found


def test_scores_of_seeds_in_a_batch_are_those_of_each_alone(batches, warnings):
    """Their mixtures are drawn apart, so a player sits in one seat here, in two there."""
    together = run_in_turns([partial(scores, seed) for seed in (1, 2, 5)])
    assert batches and set(batches) == {3} and not warnings
    alone = [scores(seed) for seed in (1, 2, 5)]
    assert all(a.equals(b) for a, b in zip(together, alone, strict=True))
    assert not alone[0].drop(["seed"]).equals(alone[1].drop(["seed"]))


@jax.jit
def scaled(values, factor):
    return {"product": factor * values["x"]}


def product(x, factor=2.0):
    out = seed_batch.call_for_all(scaled, {"x": np.asarray(x)}, factor)
    return np.asarray(out["product"]).tolist()


def jobs(*calls):
    return [partial(product, *call) for call in calls]


def test_calls_that_differ_in_more_than_arrays_are_made_alone(
    batches, warnings
):
    calls = ([1.0, 2.0], 2.0), ([1.0, 2.0], 3.0), ([1.0], 2.0)
    assert run_in_turns(jobs(*calls)) == [[2.0, 4.0], [3.0, 6.0], [2.0]]
    assert run_in_turns(jobs(*calls[:1])) == [[2.0, 4.0]]
    assert not batches and len(warnings) == 1
    assert "one by one: their players or matches differ" in warnings[0]
    assert run_in_turns(jobs(([1.0],), ([5.0],))) == [[2.0], [10.0]]
    assert batches == [2] and len(warnings) == 1


def test_a_batch_that_fails_is_played_seed_by_seed(monkeypatch, warnings):
    """An own planner or player that cannot be mapped over seeds says so once."""

    def fails(function, fixed, arrays):
        raise NotImplementedError("no rule for batches\nof this")

    monkeypatch.setattr(seed_batch, "_mapped", fails)
    for _ in range(2):
        assert run_in_turns(jobs(([1.0],), ([5.0],))) == [[2.0], [10.0]]
    assert warnings == [
        "the seeds of a batch are played one by one: no rule for batches"
    ]


def test_a_host_game_is_played_seed_by_seed(warnings):
    game = make_game("tests.host_env:Chase")
    alone = evaluate(game, ["random"] * 3, 2, 0).table
    again = partial(evaluate, game, ["random"] * 3, 2, 0)
    together = run_in_turns([again, again])
    assert all(scores.table.equals(alone) for scores in together)
    assert len(warnings) == 1 and "runs on the host" in warnings[0]


@pytest.mark.slow
def test_functions_of_numpy_batches_take_seats_in_a_batch(batches, warnings):
    @player
    def last_legal(obs, legal):
        return legal.shape[1] - 1 - np.argmax(legal[:, ::-1], 1)

    methods = {"function": last_legal}
    together = run_in_turns([partial(scores, seed, methods) for seed in (1, 2)])
    assert set(batches) == {2} and not warnings
    assert together[1].equals(scores(2, methods))
