"""Regret taken apart: the parts add up to what is lost, and a fault planted in one part shows there."""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.analysis.regret import PARTS, decompose_regret
from bestreply.config import PlannerConfig, RunConfig, TrainConfig
from bestreply.models.true_model import TrueModel
from bestreply.opponents.rules import RuleOpponents
from bestreply.planning.agent import Agent
from bestreply.run import Run

GAMMA, OTHER = 0.9, "nearest_stag"
NOTHING = SimpleNamespace(
    config=SimpleNamespace(value_heads="single"),
    encode=lambda obs: None,
    value=lambda z, o, b: jnp.zeros(1),
)


class Known(eqx.Module):
    """The true game as a world model, with faults to plant: a `bonus` seen in staying, the value times `trust`.

    Its value is what the best next step pays beside one who hunts the stag: half of it where both stand on it, a hare, or nothing.
    """

    rules: RuleOpponents
    bonus: float = 0.0
    trust: float = 1.0
    config: ClassVar = SimpleNamespace(value_heads="single")

    @property
    def true(self):
        return TrueModel(learned=NOTHING, game=self.rules.game)

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
        me, other, _, stags, hares, _ = jnp.moveaxis(obs, -1, 0)
        best = jnp.maximum(5 * (me * other * stags).max(), (me * hares).max())
        return self.trust * best[None]

    def values_of(self, z, belief):
        return self.value(z, self.imagine(z), belief)


@functools.cache
def apart(steps, others=OTHER, **faults):
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
        world=Known(true, **faults),
        opponents=rules,
        game=game,
        config=PlannerConfig(),
        gamma=GAMMA,
    )
    return decompose_regret(run, [OTHER], agent=agent, episodes=200, seed=1)


@pytest.mark.slow
def test_without_a_fault_nothing_is_lost():
    found = apart(2)
    np.testing.assert_allclose(found.parts, 0, atol=1e-6)
    assert found.share == pytest.approx(1) and not found.costliest


@pytest.mark.parametrize(
    "part, steps, fault",
    [
        # nobody ever comes to the stag
        pytest.param(
            "others", 2, {"others": "always(STAY)"}, marks=pytest.mark.slow
        ),
        pytest.param("dynamics", 2, {"bonus": 9.0}, marks=pytest.mark.slow),
        # the last step is not worth anything: two steps see it
        pytest.param("depth", 2, {"trust": 0.0}, marks=pytest.mark.slow),
        # nothing is as good as the eve of a catch
        pytest.param("value", 6, {"trust": 20.0}, marks=pytest.mark.slow),
    ],
)
def test_a_fault_shows_where_it_was_planted(part, steps, fault):
    found = apart(steps, **fault)
    lost = dict(zip(PARTS, found.parts.mean(0), strict=True))
    assert lost[part] > 0.2, lost
    assert max(PARTS, key=lambda name: lost[name]) == part
    before = PARTS[
        : min(PARTS.index(part), 2)
    ]  # one step further can do worse by a wrong value
    assert all(lost[name] == pytest.approx(0, abs=1e-6) for name in before), (
        lost
    )
    told = found.summary()
    assert (
        told["lost"]
        == pytest.approx(sum(told["parts"].values()))
        == pytest.approx(sum(lost.values()))
    )


@pytest.mark.slow
def test_the_parts_are_what_the_agent_has_less_than_the_best_reply():
    """V* less the parts is the discounted return that was played, in expectation."""
    found = apart(2, bonus=9.0)
    missing = found.best - found.parts.sum(1)
    assert missing.mean() == pytest.approx(
        found.returns.mean(), abs=0.15
    )  # discounted by a step at most
    assert found.best.mean() > found.returns.mean() + 0.5


@pytest.mark.slow
def test_the_costliest_decisions_are_shown_with_their_exact_scores():
    found = apart(2, bonus=9.0)
    costs = [decision["cost"] for decision in found.costliest]
    # at the last step, the second, half a stag was to be had
    assert costs == sorted(costs, reverse=True) and costs[0] == pytest.approx(
        5 * GAMMA
    )
    first = found.costliest[0]
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


def test_what_cannot_be_solved_is_refused():
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
        world=Known(rules),
        opponents=rules,
        game=game,
        config=PlannerConfig(),
        gamma=GAMMA,
    )
    with pytest.raises(ValueError, match="positions for one layout"):
        decompose_regret(run, ["random"], agent=agent, episodes=2)
