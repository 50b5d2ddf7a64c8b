"""A session acts as the agent does step by step, and its belief moves by itself."""

import jax
import numpy as np
import pytest

from bestreply.types import ABSENT
from tests.planning.test_one_step import (
    EXACT,
    GAME,
    LEGAL,
    planning_agent,
)

STEPS = 3
LOOPS = 2


@pytest.fixture(scope="module")
def agent():
    return planning_agent(EXACT)


@pytest.fixture(scope="module")
def seen():
    """Return observations [T, E, ...] and opponents' actions [T, E, N-1]."""
    rng = np.random.default_rng(0)
    obs = rng.random((STEPS, LOOPS, *GAME.obs_shape)).astype(np.float32)
    shape = STEPS, LOOPS, GAME.num_players - 1
    return obs, rng.integers(0, GAME.num_actions, shape)


def test_a_session_is_the_agent_step_by_step(agent, seen):
    obs, others = (values[:, 0] for values in seen)
    session = agent.session(seed=3)
    carry = agent.init()
    last = np.full(GAME.num_players - 1, ABSENT, np.int32)
    beliefs = [session.belief]
    for t in range(STEPS):
        action = session.act(obs[t], LEGAL)
        carry, expected, output = agent.step(
            carry, obs[t], LEGAL, jax.random.key(t), others=last
        )
        assert action == expected
        np.testing.assert_allclose(
            session.plan.scores, output.plan.scores, rtol=1e-4, atol=1e-6
        )
        session.observe(others[t])
        last = others[t].astype(np.int32)
        beliefs.append(session.belief)
    posterior = agent.opponents.posterior(carry.at.belief)
    np.testing.assert_allclose(beliefs[-2], posterior, rtol=1e-4, atol=1e-6)
    moved = np.abs(np.diff(beliefs, axis=0)).max((1, 2))
    assert (moved > 1e-4).all()
    session.reset()
    np.testing.assert_allclose(session.belief, beliefs[0], atol=1e-6)


def test_each_loop_of_a_batch_is_as_it_is_alone(agent, seen):
    obs, others = seen
    legal = np.tile(LEGAL, (LOOPS, 1))
    batch = agent.session(batch=LOOPS)
    alone = [agent.session() for _ in range(LOOPS)]
    done = np.array([True, False])
    for t in range(STEPS):
        actions = batch.act(obs[t], legal)
        assert actions.tolist() == [
            int(session.act(obs[t, e], LEGAL))
            for e, session in enumerate(alone)
        ]
        batch.observe(others[t])
        for e, session in enumerate(alone):
            session.observe(others[t, e])
        if t == 1:
            batch.reset(done)
            alone[0].reset()
        np.testing.assert_allclose(
            batch.belief, [s.belief for s in alone], rtol=1e-4, atol=1e-6
        )


def test_opponents_that_cannot_be_seen_leave_the_belief(agent, seen):
    obs, others = (values[:, 0] for values in seen)
    session = agent.session()
    session.act(obs[0], LEGAL)
    session.observe(others[0])
    session.act(obs[1], LEGAL)
    before = session.belief
    session.observe(None)
    session.act(obs[2], LEGAL)
    np.testing.assert_allclose(session.belief, before, atol=1e-6)


def test_an_action_that_was_not_carried_out_as_chosen(agent, seen):
    """What the belief remembers is the action that was carried out."""
    obs, others = (values[:, 0] for values in seen)
    session, same = agent.session(), agent.session()
    for one in (session, same):
        chosen = int(one.act(obs[0], LEGAL))
    carried = (chosen + 1) % len(LEGAL)
    session.observe(others[0], own=carried)
    same.observe(others[0], own=chosen)
    assert session._carry.action == carried
    assert same._carry.action == chosen
    with pytest.raises(ValueError, match=r"own=.*act\(\) before observe"):
        session.observe(others[0], own=carried)
    session.act(obs[1], LEGAL)
    for wrong in (-1, 99, 0.5, [0, 1]):
        with pytest.raises(ValueError, match="own"):
            session.observe(others[1], own=wrong)


def test_wrong_use_is_explained(agent, seen):
    obs, others = (values[:, 0] for values in seen)
    session = agent.session()
    for arguments, message in (
        ((obs[0][:1], LEGAL), "obs has shape"),
        ((obs[0] * np.nan, LEGAL), "finite"),
        ((obs[0], LEGAL[:1]), "legal has shape"),
        ((obs[0], LEGAL.astype(int)), "expected bool"),
        ((obs[0], ~LEGAL & False), "excludes every action"),
    ):
        with pytest.raises(ValueError, match=message):
            session.act(*arguments)
    session.act(obs[0], LEGAL)
    with pytest.raises(ValueError, match=r"act\(\) twice"):
        session.act(obs[0], LEGAL)
    for wrong in (
        others[0][:1],
        others[0] + 99,
        others[0] - 9,
        others[0] * 1.0,
        ["a"] * len(others[0]),
        "a",
        [[0], [0, 1]],
    ):
        with pytest.raises(ValueError, match=r"others(=.*whole| has shape)"):
            session.observe(wrong)
    session.observe(others[0])
    with pytest.raises(ValueError, match="done has shape"):
        session.reset(np.array([True]))
    for settings in ({"batch": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match="expected"):
            agent.session(**settings)


def test_a_step_can_be_compiled_by_its_user(agent, seen):
    obs = seen[0][0, 0]
    key = jax.random.key(0)
    carry = agent.init()
    _, action, _ = jax.jit(agent.step)(carry, obs, LEGAL, key)
    assert int(action) == int(agent.step(carry, obs, LEGAL, key)[1])
