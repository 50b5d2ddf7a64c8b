"""One decision: numbers drawn beforehand are those of the key, and a program is compiled once."""

import dataclasses
import gc
import inspect
import weakref

import equinox as eqx
import jax
import numpy as np
import pytest

from bestreply.opponents.joint_actions import (
    Draws,
    draws_from,
    joint_actions,
    random_draws,
)
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.agent import Agent, _plan
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.expectimax import TreeDraws, expectimax, tree_draws
from bestreply.planning.one_decision import _planned, _ready, one_decision
from bestreply.planning.one_step import one_step
from bestreply.planning.packed import packed
from bestreply.planning.session import DRAWN_STEPS
from bestreply.types import ABSENT
from tests.planning.test_one_step import (
    CONFIG,
    EXACT,
    GAME,
    LEGAL,
    planning_agent,
)
from tests.shared import build, compiled

DRAWN = dataclasses.replace(EXACT, joint_limit=1, samples=4)
DEEP = dataclasses.replace(DRAWN, planner="expectimax", depth=2)
OTHERS = GAME.num_players - 1


@pytest.fixture(scope="module")
def agent():
    return planning_agent(DRAWN)


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(0)
    return rng.random((8, *GAME.obs_shape)).astype(np.float32)


def test_draws_are_those_of_their_key():
    def both(key, probs):
        present = np.ones(OTHERS, bool)
        draws = random_draws(key, OTHERS, DRAWN.samples)
        by_key = joint_actions(probs, present, key, DRAWN)
        return by_key, joint_actions(probs, present, draws, DRAWN)

    keys = jax.random.split(jax.random.key(3), 200)
    probs = np.random.default_rng(0).dirichlet(
        np.ones(GAME.num_actions), OTHERS
    )
    one, other = jax.jit(jax.vmap(both, (0, None)))(keys, probs)
    np.testing.assert_array_equal(one[0], other[0])
    assert len(np.unique(one[0].reshape(200, -1), axis=0)) > 50


def test_nothing_is_drawn_where_all_joint_actions_are_listed():
    assert draws_from(jax.random.key(0), 3, 2, EXACT) is None


@pytest.mark.parametrize(
    ("planner", "config", "drawn"),
    [
        (one_step, DRAWN, Draws),
        (expectimax, DEEP, TreeDraws),
        (expectimax, dataclasses.replace(DEEP, joint_limit=9), TreeDraws),
    ],
)
def test_a_plan_from_draws_is_that_of_their_key(
    agent, seen, planner, config, drawn
):
    changed = dataclasses.replace(agent, config=config)

    @jax.jit
    def both(models: Models, key):
        at = DecisionPoint(
            seen[0],
            LEGAL,
            np.ones(GAME.num_players, bool),
            models.opponents.init(),
        )
        if planner is one_step:
            numbers = random_draws(key, OTHERS, config.samples)
        else:
            numbers = tree_draws(models, key, config.depth)
        assert isinstance(numbers, drawn)
        return planner(models, at, key), planner(models, at, numbers)

    one, other = both(changed.models, jax.random.key(4))
    np.testing.assert_array_equal(one.scores, other.scores)


def test_an_example_alone_is_as_in_a_batch(agent, seen):
    """Alone, the branches that are needed are gathered, a few at a time."""
    deep = dataclasses.replace(agent, config=DEEP)
    legal = np.tile(LEGAL, (len(seen), 1))
    together = jax.device_get(
        compiled(Agent.plan, over=(None, 0, 0))(deep, seen, legal)
    )
    for k, obs in enumerate(seen):
        alone = deep.plan(obs, LEGAL)
        np.testing.assert_allclose(
            alone.scores, together.scores[k], rtol=1e-4, atol=1e-5
        )
        assert alone.action == together.action[k]


def test_two_threads_plan_as_one(agent, seen):
    deep = dataclasses.replace(agent, config=DEEP)
    decide = one_decision(deep, _plan)
    assert decide is not None
    whole = dataclasses.replace(decide, in_halves=False)
    halves = dataclasses.replace(decide, in_halves=True)
    masks = [
        LEGAL,
        np.arange(len(LEGAL)) == 1,
        LEGAL,
        np.arange(len(LEGAL)) > 0,
    ]
    for obs, legal in zip(seen, masks, strict=False):
        one = whole(obs, legal, None, None, None)
        other = halves(obs, legal, None, None, None)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.value, other.value)
        assert one.action == other.action


def test_plans_compile_once_for_all_agents_of_one_structure(agent, seen):
    agent.plan(seen[0], LEGAL)
    programs = _planned._cache_size()
    other = build(LearnedOpponents.create, GAME, CONFIG, 3, key=6)
    another = dataclasses.replace(agent, opponents=other)
    for obs in seen:
        agent.plan(obs, LEGAL)
        another.plan(obs, LEGAL)
    assert _planned._cache_size() == programs
    assert (
        np.asarray(agent.plan(seen[0], LEGAL).others)
        != np.asarray(another.plan(seen[0], LEGAL).others)
    ).any()


def test_a_packed_tree_is_rebuilt(agent):
    parts = packed(agent)
    assert parts is not None
    structure, leaves = parts
    rebuilt = structure.rebuild(leaves)
    assert jax.tree.structure(rebuilt) == jax.tree.structure(agent)
    jax.tree.map(np.testing.assert_array_equal, rebuilt, agent)
    again = packed(dataclasses.replace(agent))
    assert again is not None and again[0] == structure
    assert hash(again[0]) == hash(structure)
    renamed = packed(dataclasses.replace(agent, name="other"))
    assert renamed is not None and renamed[0] != structure


def test_what_is_traced_is_not_packed(agent):
    def inside(agent):
        assert packed(agent) is None
        return agent.opponents.prior

    jax.jit(inside)(agent)


def test_an_agent_that_planned_is_forgotten(agent, seen):
    short = dataclasses.replace(agent, name="short-lived")
    short.plan(seen[0], LEGAL)
    number, alive = id(short), weakref.ref(short)
    assert number in _ready
    del short
    gc.collect()
    assert alive() is None and number not in _ready


def test_plan_is_a_method_and_a_tree_of_its_agent(agent, seen):
    assert Agent.plan.__doc__.startswith("Score every")
    parameters = [*inspect.signature(agent.plan).parameters]
    assert parameters[:2] == ["obs", "legal"]
    assert agent.plan == agent.plan and hash(agent.plan) == hash(agent.plan)
    assert agent.plan != dataclasses.replace(agent).plan
    arrays = jax.tree.leaves(agent)
    assert len(jax.tree.leaves(agent.plan)) == len(arrays)
    structure = jax.tree.structure(agent)
    agent.plan(seen[0], LEGAL)
    assert jax.tree.structure(agent) == structure
    plan = eqx.filter_jit(lambda plan, obs: plan(obs, LEGAL))
    np.testing.assert_allclose(
        plan(agent.plan, seen[0]).scores,
        agent.plan(seen[0], LEGAL).scores,
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_a_session_draws_as_the_agent_does_in_each_step(agent, seen, epsilon):
    """Its numbers are drawn for `DRAWN_STEPS` steps at a time."""
    agent = dataclasses.replace(agent, epsilon=epsilon)
    session, carry = agent.session(seed=3), agent.init()
    rng = np.random.default_rng(1)
    last = np.full(OTHERS, ABSENT, np.int32)
    actions = []
    for t in range(DRAWN_STEPS + 3):
        obs = seen[t % len(seen)]
        key = jax.random.fold_in(jax.random.key(3), t + 1)
        carry, expected, output = agent.step(
            carry, obs, LEGAL, key, others=last
        )
        action = session.act(obs, LEGAL)
        assert action == expected
        np.testing.assert_allclose(
            session.plan.scores, output.plan.scores, rtol=1e-4, atol=1e-5
        )
        last = rng.integers(0, GAME.num_actions, OTHERS).astype(np.int32)
        session.observe(last)
        actions.append(int(action))
    assert epsilon == 0 or len(set(actions)) > 1
