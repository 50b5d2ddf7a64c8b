"""Regret decomposed: the parts sum to the lost return, and a fault shows in its part."""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.analysis.regret import (
    PARTS,
    Regret,
    decompose_regret,
    diagnose_run,
)
from bestreply.config import PlannerConfig, RunConfig, TrainConfig
from bestreply.models.true_model import TrueModel
from bestreply.opponents.rules import RuleOpponents
from bestreply.planning.agent import Agent
from bestreply.run import Run
from tests.role_game import Hide

GAMMA, OTHER = 0.9, "nearest_stag"
NO_NETWORKS = SimpleNamespace(
    config=SimpleNamespace(value_heads="single"),
    encode=lambda obs: None,
    value=lambda z, o, b: jnp.zeros(1),
)


class FaultyWorld(eqx.Module):
    """The true game as a world model, with faults: a `bonus` for staying, the value times `scale`.

    Its value is the best reward of the next step next to a player that hunts the stag: half a
    stag if both are on its cell, a hare, or nothing.
    """

    rules: RuleOpponents
    bonus: float = 0.0
    scale: float = 1.0
    config: ClassVar = SimpleNamespace(value_heads="single")

    @property
    def true(self):
        return TrueModel(learned=NO_NETWORKS, game=self.rules.game)

    num_actions = property(lambda self: self.true.num_actions)

    def encode(self, obs):
        return self.true.encode(obs)

    def imagine(self, z):
        return self.true.imagine(z)

    def next(self, z, action, others):
        return self.true.next(z, action, others)

    def continues(self, z, action, others):
        return self.true.continues(z, action, others)

    def allowed(self, z):
        return self.true.allowed(z)

    def reward(self, z, action, others):
        return self.true.reward(z, action, others) + self.bonus * (action == 4)

    def value(self, z, obs, belief):
        own, other, _, stags, hares, _ = jnp.moveaxis(obs, -1, 0)
        stag = 5 * (own * other * stags).max()
        best = jnp.maximum(stag, (own * hares).max())
        return self.scale * best[None]

    def values_of(self, z, belief):
        return self.value(z, self.imagine(z), belief)


@functools.cache
def regret(steps, others=OTHER, **faults):
    game = make_game(
        "stag_hunt",
        height=2,
        width=2,
        hunters=2,
        stags=1,
        hares=1,
        max_steps=steps,
    )
    roster = {"data": {"roster": [{"name": OTHER, "version": 1}]}}
    run = Run(
        Path(), RunConfig(train=TrainConfig(at_limit="zero")), game, roster
    )
    rules, true = (
        RuleOpponents(players=(make_player(name, game),), game=game)
        for name in (others, OTHER)
    )
    agent = Agent(
        world=FaultyWorld(true, **faults),
        opponents=rules,
        game=game,
        config=PlannerConfig(),
        gamma=GAMMA,
    )
    return decompose_regret(run, [OTHER], agent=agent, episodes=200, seed=1)


@pytest.mark.slow
def test_without_a_fault_nothing_is_lost():
    result = regret(2)
    np.testing.assert_allclose(result.parts, 0, atol=1e-6)
    assert result.share == pytest.approx(1) and not result.costliest


@pytest.mark.parametrize(
    "part, steps, fault",
    [
        # as if the other hunter never reached the stag
        pytest.param(
            "others", 2, {"others": "always(STAY)"}, marks=pytest.mark.slow
        ),
        pytest.param("dynamics", 2, {"bonus": 9.0}, marks=pytest.mark.slow),
        # no value after the next step: two steps of planning correct it
        pytest.param("depth", 2, {"scale": 0.0}, marks=pytest.mark.slow),
        # a possible catch is worth more than the catch itself
        pytest.param("value", 6, {"scale": 20.0}, marks=pytest.mark.slow),
    ],
)
def test_a_fault_shows_in_its_part(part, steps, fault):
    result = regret(steps, **fault)
    lost = dict(zip(PARTS, result.parts.mean(0), strict=True))
    assert lost[part] > 0.2, lost
    assert max(PARTS, key=lambda name: lost[name]) == part
    before = PARTS[
        : min(PARTS.index(part), 2)
    ]  # with a wrong value, deeper planning can do worse
    assert all(lost[name] == pytest.approx(0, abs=1e-6) for name in before), (
        lost
    )
    summary = result.summary()
    total = pytest.approx(sum(lost.values()))
    assert summary["lost"] == total
    assert sum(summary["parts"].values()) == total


@pytest.mark.slow
def test_the_parts_sum_to_the_difference_from_the_best_reply():
    """V* minus the parts is the discounted return of the play, in expectation."""
    result = regret(2, bonus=9.0)
    predicted = result.best - result.parts.sum(1)
    assert predicted.mean() == pytest.approx(
        result.returns.mean(), abs=0.15
    )  # discounted by a step at most
    assert result.best.mean() > result.returns.mean() + 0.5


@pytest.mark.slow
def test_the_costliest_decisions_have_their_exact_scores():
    result = regret(2, bonus=9.0)
    costs = [decision["cost"] for decision in result.costliest]
    # half a stag, at the second and last step
    assert costs == sorted(costs, reverse=True) and costs[0] == pytest.approx(
        5 * GAMMA
    )
    first = result.costliest[0]
    assert (
        first["actions"][first["action"]] == "STAY"
        and first["actions"][first["best"]] != "STAY"
    )
    assert first["exact"][first["best"]] - first["exact"][
        first["action"]
    ] == pytest.approx(first["cost"])
    assert [x is None for x in first["scores"]] == [
        x is None for x in first["exact"]
    ]  # illegal ones
    assert "steps left" in first["text"] and first["picture"].startswith("<svg")


def test_a_game_that_is_too_large_is_refused():
    game = make_game(
        "stag_hunt",
        height=8,
        width=8,
        hunters=4,
        stags=1,
        hares=4,
        max_steps=35,
    )
    run = Run(Path(), RunConfig(), game, {"data": {"roster": []}})
    rules = RuleOpponents(players=(make_player("random", game),) * 3, game=game)
    agent = Agent(
        world=FaultyWorld(rules),
        opponents=rules,
        game=game,
        config=PlannerConfig(),
        gamma=GAMMA,
    )
    with pytest.raises(ValueError, match="positions for one layout"):
        decompose_regret(run, ["random"], agent=agent, episodes=2)


@pytest.mark.parametrize(
    ("best", "share", "errors"),
    [
        ([0.0], None, None),
        ([2.0], 0.75, None),
        ([2.0, 2.0], 0.75, 0.0),
        ([-1.0, -1.0], None, 0.0),
    ],
)
def test_undefined_numbers_are_null(best, share, errors):
    parts = np.tile([0.5, 0.0, 0.0, 0.0], (len(best), 1))
    best = np.array(best)
    summary = Regret("random", best, parts, best, []).summary()
    assert summary["share"] == share and summary["lost_stderr"] == errors
    assert summary["share_stderr"] == (errors if share else None)
    assert set(summary["parts_stderr"].values()) == {errors}


def test_a_game_that_hides_its_state_is_refused_in_the_words_of_the_command():
    run = SimpleNamespace(game=Hide())
    message = "diagnose: no exact regret for hide, because .*evaluate RUN"
    for refused in (
        lambda: diagnose_run(run),
        lambda: decompose_regret(run, ["random"]),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
