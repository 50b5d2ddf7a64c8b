"""Anchors: policies by role and player, the best player by belief, plans that stay close, and training."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest

from bestreply import check_player, make_game
from bestreply.config import ModelConfig, PlannerConfig, RunConfig, TrainConfig
from bestreply.models.anchors import (
    MIN_LOG_PROB,
    SURE,
    Anchors,
    company,
    with_all_returns,
)
from bestreply.models.world_model import NO_VALUE
from bestreply.planning.agent import Agent, _plan
from bestreply.planning.one_decision import one_decision
from bestreply.replay.moa_buffer import fill
from bestreply.training.anchors import (
    ANCHORS,
    begin_anchors,
    returns_among_one_type,
    returns_of_players,
)
from bestreply.training.phases import run_phase
from bestreply.training.state import initial_train_state
from bestreply.types import ABSENT
from tests.models.test_units import made
from tests.planning.test_one_step import (
    CONFIG,
    EXACT,
    GAME,
    LEGAL,
    planning_agent,
)
from tests.role_game import Hide
from tests.shared import build, compiled, played

HIDE = Hide()
PLAYERS, TYPES = 2, 3
RNG = np.random.default_rng(0)
TABLE = RNG.normal(0, 2, (2, PLAYERS, 3)).astype(np.float32)
RETURNS = RNG.normal(size=(2, PLAYERS, TYPES)).astype(np.float32)
AMONG = RNG.normal(size=(2, PLAYERS, TYPES)).astype(np.float32)
WEIGHTS = np.array([0.5, 2.0], np.float32)


def in_all_company(values, anchors):
    """Return a value of each role as one of each role and company."""
    return np.broadcast_to(values[:, None], anchors.weight.shape).copy()


def with_tables(anchors, logits, returns, weight, sampled):
    """Return anchors whose policies do not depend on the observation."""
    last = anchors.net.layers[-1]
    values = np.zeros(last.weight.shape, np.float32), logits.reshape(-1)
    among = AMONG if returns is RETURNS else returns
    weight, sampled = (in_all_company(x, anchors) for x in (weight, sampled))
    values = (*values, returns, among, weight, sampled)
    return eqx.tree_at(
        lambda a: (
            a.net.layers[-1].weight,
            a.net.layers[-1].bias,
            a.returns,
            a.returns_among,
            a.weight,
            a.sampled,
        ),
        anchors,
        jax.device_put(values),
    )


@pytest.fixture(scope="module")
def anchors():
    """Roles adversary and agent, 2 players, 3 types; the adversary samples."""
    untrained = build(Anchors.create, HIDE, CONFIG, TYPES, PLAYERS)
    sampled = np.array([True, False])
    return with_tables(untrained, TABLE, RETURNS, WEIGHTS, sampled)


def seen_from(seat):
    obs = np.zeros(HIDE.obs_shape, np.float32)
    obs[3] = obs[5 + seat] = 1
    return obs


SEATS = [(0, 0), (1, 0), (2, 1)]
"""Seats and their roles."""


def logs_of(logits, legal):
    """Log probabilities over the legal actions, one by one."""
    total = sum(np.exp(x) for x, ok in zip(logits, legal, strict=True) if ok)
    return np.array(
        [
            x - np.log(total) if ok else -np.inf
            for x, ok in zip(logits, legal, strict=True)
        ]
    )


@pytest.mark.parametrize(("seat", "role"), SEATS)
def test_policies_are_those_of_the_role_over_legal_actions(anchors, seat, role):
    for legal in ([1, 1, 0], [1, 1, 1], [0, 0, 1]):
        found = compiled(Anchors.log_probs)(
            anchors, seen_from(seat), np.array(legal, bool)
        )
        expected = [logs_of(row, legal) for row in TABLE[role]]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def slow_best(returns, posterior, among=AMONG[0]):
    """The player of the highest mean plus effects of the types, opponent by opponent.

    Where all opponents are of one type, that of the highest return among these.
    """
    for k in range(returns.shape[1] if len(posterior) else 0):
        if sum(belief[k] for belief in posterior) / len(posterior) >= SURE:
            return int(np.argmax(among[:, k]))
    totals = []
    for row in returns.astype(np.float64):
        mean = sum(row) / len(row)
        total = mean
        for belief in posterior:
            for share, value in zip(belief, row, strict=True):
                total += share * (value - mean)
        totals.append(total)
    return int(np.argmax(totals))


def test_the_best_player_is_that_of_added_effects(anchors):
    rng = np.random.default_rng(1)
    chosen = set()
    for _ in range(20):
        posterior = rng.dirichlet(np.full(TYPES, 0.2), 2).astype(np.float32)
        for seat, role in SEATS:
            found = compiled(Anchors.best)(anchors, seen_from(seat), posterior)
            assert int(found) == slow_best(
                RETURNS[role], posterior, AMONG[role]
            )
            chosen.add((role, int(found)))
    assert len(chosen) > 2  # belief and role decide
    uniform = np.full((2, TYPES), 1 / TYPES, np.float32)
    for alone in (uniform, np.zeros((0, TYPES), np.float32)):
        found = compiled(Anchors.best)(anchors, seen_from(2), alone)
        assert int(found) == RETURNS[1].mean(1).argmax()


def test_the_bonus_is_the_weighted_log_probability_of_the_best_player(anchors):
    low = TABLE.copy()
    low[:, :, 1] = -30.0  # below the smallest that counts
    drawn = np.asarray(anchors.sampled)[:, 0]
    anchors = with_tables(anchors, low, RETURNS, WEIGHTS, drawn)
    legal = np.array([True, True, False])
    posterior = np.eye(TYPES, dtype=np.float32)[[0, 2]]
    for seat, role in SEATS:
        best = slow_best(RETURNS[role], posterior, AMONG[role])
        expected = np.maximum(logs_of(low[role, best], legal), MIN_LOG_PROB)
        found = compiled(Anchors.bonus)(
            anchors, seen_from(seat), legal, posterior
        )
        np.testing.assert_allclose(
            found, WEIGHTS[role] * expected, rtol=1e-4, atol=1e-6
        )
        assert found[1] == WEIGHTS[role] * MIN_LOG_PROB


def test_the_agent_draws_from_tilted_policies_or_takes_the_likeliest(anchors):
    legal, values = np.array([True, True, False]), np.array([0.3, 0.5, 9.0])
    uniform = np.full((2, TYPES), 1 / TYPES, np.float32)
    best = RETURNS[0].mean(1).argmax()
    bonus = compiled(Anchors.bonus)(anchors, seen_from(0), legal, uniform)
    scores = np.where(legal, values + bonus, -np.inf).astype(np.float32)
    policy = compiled(Anchors.policy)
    found = policy(anchors, seen_from(0), scores, uniform)
    tilted = np.exp(logs_of(TABLE[0, best], legal) + values / WEIGHTS[0])
    np.testing.assert_allclose(found, tilted / tilted.sum(), rtol=1e-5)
    likeliest = np.eye(3)[scores.argmax()]
    np.testing.assert_array_equal(
        policy(anchors, seen_from(2), scores, uniform), likeliest
    )
    alone = eqx.tree_at(
        lambda a: (a.weight, a.sampled),
        anchors,
        jax.device_put(
            (
                np.zeros((2, TYPES + 1), np.float32),
                np.ones((2, TYPES + 1), bool),
            )
        ),
    )
    for seat, _ in SEATS:
        np.testing.assert_array_equal(
            policy(alone, seen_from(seat), scores, uniform), likeliest
        )


def test_the_weight_is_that_of_the_company_where_it_is_sure(anchors):
    weights = np.arange(1, 9, dtype=np.float32).reshape(2, TYPES + 1)
    near = eqx.tree_at(lambda a: a.weight, anchors, jax.device_put(weights))
    legal = np.array([True, True, False])
    for posterior, at in (
        ([[0, 1, 0], [0, 0.7, 0.3]], 1),
        ([[1, 0, 0], [0.5, 0.5, 0]], TYPES),
        ([[0, 1, 0], [0, 0, 1]], TYPES),
        (np.zeros((0, TYPES)), TYPES),
    ):
        belief = np.array(posterior, np.float32)
        assert int(compiled(company)(belief)) == at
        for seat, role in SEATS:
            unit = compiled(Anchors.bonus)(
                anchors, seen_from(seat), legal, belief
            )
            found = compiled(Anchors.bonus)(
                near, seen_from(seat), legal, belief
            )
            expected = np.asarray(unit) * weights[role, at] / WEIGHTS[role]
            np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-5)


# -- plans -----------------------------------------------------------------------------

DRAWN = dataclasses.replace(EXACT, joint_limit=1, samples=4)
DEEP = dataclasses.replace(DRAWN, planner="expectimax", depth=2)
SEARCH = PlannerConfig(planner="mcts", simulations=8)
LOGITS = np.array([[[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]]], np.float32)


def anchored_agent(config, weight, sampled=False, averaged=False):
    untrained = build(Anchors.create, GAME, CONFIG, TYPES, PLAYERS)
    near = with_tables(
        untrained,
        LOGITS,
        RETURNS[:1],
        np.array([weight], np.float32),
        np.array([sampled]),
    )
    rows = np.full(near.averaged.shape, averaged)
    near = eqx.tree_at(lambda a: a.averaged, near, jax.device_put(rows))
    return dataclasses.replace(planning_agent(config), anchors=near)


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(3)
    return rng.random((4, *GAME.obs_shape)).astype(np.float32)


MASKS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], bool)


def check_anchored(plan, legal, agent):
    """Scores are reward, value and anchor; the anchor is that of the best player."""
    posterior = agent.opponents.posterior(agent.opponents.init())
    best = slow_best(RETURNS[0], np.asarray(posterior))
    weight = float(agent.anchors.weight[0, 0])
    anchor = weight * np.maximum(logs_of(LOGITS[0, best], legal), MIN_LOG_PROB)
    np.testing.assert_allclose(plan.anchor[legal], anchor[legal], rtol=1e-4)
    total = np.asarray(plan.reward) + plan.value + plan.anchor
    np.testing.assert_allclose(
        plan.scores[legal], total[legal], rtol=1e-4, atol=1e-5
    )
    assert np.isneginf(np.asarray(plan.scores)[~legal]).all()
    assert int(plan.action) == np.argmax(plan.scores)


@pytest.mark.parametrize(
    "config", [DRAWN, DEEP, SEARCH], ids=lambda c: c.planner
)
def test_scores_are_reward_value_and_anchor(seen, config):
    agent = anchored_agent(config, 0.7)
    plans = compiled(Agent.plan, over=(None, 0, 0))(agent, seen, MASKS)
    plans = jax.device_get(plans)
    for k, legal in enumerate(MASKS):
        plan = jax.tree.map(lambda x, k=k: x[k], plans)
        check_anchored(plan, legal, agent)


def test_a_plan_in_halves_has_the_anchor_of_the_whole(seen):
    agent = anchored_agent(DEEP, 0.7)
    decide = one_decision(agent, _plan)
    assert decide is not None
    whole = dataclasses.replace(decide, in_halves=False)
    halves = dataclasses.replace(decide, in_halves=True)
    for obs, legal in zip(seen, MASKS, strict=True):
        one = whole(obs, legal, None, None, None)
        other = halves(obs, legal, None, None, None)
        check_anchored(other, legal, agent)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.anchor, other.anchor)
        assert one.action == other.action


def test_a_far_larger_weight_takes_the_player_s_likeliest_action(seen):
    agent = anchored_agent(DRAWN, 1e4)
    uniform = np.full((2, TYPES), 1 / TYPES, np.float32)
    best = slow_best(RETURNS[0], uniform)
    plan = agent.plan(seen[0], LEGAL, belief=jax.numpy.log(uniform))
    assert int(plan.action) == LOGITS[0, best].argmax()


@pytest.mark.parametrize("config", [DRAWN, DEEP], ids=lambda c: c.planner)
def test_weight_0_changes_no_bit(seen, config):
    near, alone = anchored_agent(config, 0.0, True), planning_agent(config)
    for obs, legal in zip(seen, MASKS, strict=True):
        key = jax.random.key(2)
        _, action, output = near.step(near.init(), obs, legal, key)
        _, expected, without = alone.step(alone.init(), obs, legal, key)
        assert action == expected
        for one, other in (
            (output.probs, without.probs),
            (output.plan.scores, without.plan.scores),
            (near.plan(obs, legal).scores, alone.plan(obs, legal).scores),
        ):
            np.testing.assert_array_equal(one, other)


def test_the_next_value_is_the_mean_over_heads_where_it_is_averaged(seen):
    """With one head it is the value; two heads have the mean of the values of each."""
    both = anchored_agent(EXACT, 0.0, averaged=True)
    highest = anchored_agent(EXACT, 0.0)
    no_play = np.array(RETURNS[:1])
    no_play[:, 0] = NO_VALUE
    second = eqx.tree_at(lambda a: a.anchors.returns, both, no_play)
    no_play = np.array(RETURNS[:1])
    no_play[:, 1] = NO_VALUE
    first = eqx.tree_at(lambda a: a.anchors.returns, both, no_play)
    value = {}
    for obs, legal in zip(seen, MASKS, strict=True):
        for name, agent in [
            ("both", both),
            ("highest", highest),
            ("first", first),
            ("second", second),
        ]:
            plan = agent.plan(obs, legal)
            value[name] = np.asarray(plan.value)
            assert int(plan.action) == np.argmax(plan.scores)
        mean = (value["first"] + value["second"]) / 2
        np.testing.assert_allclose(value["both"], mean, rtol=1e-4, atol=1e-5)
        assert np.abs(value["first"] - value["second"]).max() > 0.1
        larger = np.maximum(value["first"], value["second"])
        assert (value["highest"] >= larger - 1e-5).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_actions_are_drawn_from_the_stated_probabilities(seen, epsilon):
    agent = anchored_agent(DRAWN, 0.8, sampled=True)
    agent = dataclasses.replace(agent, epsilon=epsilon)
    legal, count = MASKS[1], 4000

    @jax.jit
    def draw(agent, obs, legal, keys):
        def one(key):
            _, action, output = agent._step(
                agent.init(), obs, legal, key, None, None
            )
            return action, output.probs, output.plan.scores

        return jax.vmap(one)(keys)

    keys = jax.random.split(jax.random.key(5), count)
    actions, probs, scores = jax.device_get(draw(agent, seen[0], legal, keys))
    tilted = np.exp(scores / 0.8 - scores.max(1, keepdims=True) / 0.8)
    tilted /= tilted.sum(1, keepdims=True)
    expected = (1 - epsilon) * tilted + epsilon * legal / legal.sum()
    np.testing.assert_allclose(probs, expected, rtol=1e-3, atol=1e-5)
    shares = np.bincount(actions, minlength=3) / count
    np.testing.assert_allclose(shares, probs.mean(0), atol=0.03)
    assert shares[1] == 0 < min(shares[[0, 2]])


def test_a_session_draws_what_steps_draw(seen):
    agent = anchored_agent(DRAWN, 0.8, sampled=True)
    session, carry, actions = agent.session(seed=3), agent.init(), []
    last = np.full(GAME.num_players - 1, ABSENT, np.int32)
    for t in range(12):
        key = jax.random.fold_in(jax.random.key(3), t + 1)
        obs = seen[t % len(seen)]
        carry, expected, output = agent.step(
            carry, obs, LEGAL, key, others=last
        )
        assert session.act(obs, LEGAL) == expected
        last = np.array([t % 3, 1], np.int32)
        session.observe(last)
        actions.append(int(expected))
        assert output.probs[actions[-1]] > 0
    assert len(set(actions)) > 1


@pytest.mark.parametrize("sampled", [False, True])
def test_an_anchored_agent_keeps_the_contract_of_players(sampled):
    check_player(anchored_agent(DRAWN, 0.8, sampled), GAME, episodes=2)


# -- the table of returns --------------------------------------------------------------


def logged():
    """Play of 3 players in Hide; seat 1 is empty in some episodes, player 2 never hides."""
    rng = np.random.default_rng(4)
    episodes, steps = 30, 2
    obs = np.zeros((episodes, steps + 1, 3, *HIDE.obs_shape), np.float32)
    reward = rng.normal(size=(episodes, steps, 3))
    action = np.zeros((episodes, steps, 3), np.int32)
    action[20:, :, 1] = ABSENT
    play = made(HIDE, obs, reward, action)
    play.player[:] = rng.integers(0, 3, play.player.shape)
    play.player[:, 2] = rng.integers(0, 2, episodes)
    play.player[20:, 1] = ABSENT
    play.player[play.player[:, 0] == play.player[:, 1], 1] = 2
    return play


@pytest.mark.parametrize("types", ["player", "none"])
def test_returns_are_means_over_episodes_by_role_player_and_type(types):
    model = dataclasses.replace(CONFIG, opponent_types=types)
    config, episodes = RunConfig(model=model), logged()
    by_type = types == "player"
    count = 3 if by_type else 1
    near = build(Anchors.create, HIDE, CONFIG, count, 3)
    samples = {}
    for e in range(len(episodes.length)):
        for seat, role in SEATS:
            for other in range(3) if by_type else [seat]:
                if by_type and other == seat:
                    continue
                if ABSENT in (episodes.action[e, 0, [seat, other]]):
                    continue
                own = episodes.player[e, seat]
                place = role, own, episodes.player[e, other] if by_type else 0
                total = sum(float(r) for r in episodes.reward[e, :, seat])
                samples.setdefault(place, []).append(total)
    expected = np.zeros((2, 3, count))
    for role in range(2):
        for own in range(3):
            means = [
                np.mean(samples[role, own, g])
                for g in range(count)
                if (role, own, g) in samples
            ]
            for g in range(count):
                known = samples.get((role, own, g))
                rest = np.mean(means) if means else NO_VALUE
                expected[role, own, g] = np.mean(known) if known else rest
    found = returns_of_players(config, near, episodes)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (found[1, 2] == NO_VALUE).all() and (found[0] != NO_VALUE).all()
    assert (found[1, :2] > NO_VALUE).all()


def test_returns_among_one_type_are_means_over_such_episodes(monkeypatch):
    monkeypatch.setattr("bestreply.training.anchors.MIN_EPISODES", 2)
    config, episodes = RunConfig(model=CONFIG), logged()
    near = build(Anchors.create, HIDE, CONFIG, 3, 3)
    returns = returns_of_players(config, near, episodes)
    found = returns_among_one_type(config, returns, near, episodes)
    totals = np.asarray(episodes.reward).sum(1)
    measured = 0
    for role, seats in ((0, (0, 1)), (1, (2,))):
        for own in range(3):
            for kind in range(3):
                earned = []
                for row, player in enumerate(episodes.player[:20]):
                    for seat in seats:
                        others = [x for j, x in enumerate(player) if j != seat]
                        if player[seat] == own and others == [kind, kind]:
                            earned.append(totals[row, seat])
                if len(earned) >= 2:
                    measured += 1
                    expected = np.mean(earned)
                elif returns[role, own].min() > NO_VALUE:
                    mean = returns[role, own].mean()
                    expected = mean + 2 * (returns[role, own, kind] - mean)
                else:
                    expected = NO_VALUE
                assert found[role, own, kind] == pytest.approx(expected)
    assert measured > 1


def test_missing_returns_are_the_player_s_mean():
    known = np.array([[[1, 1, 0], [0, 0, 0]]], bool)
    found = with_all_returns(np.array([[[1.0, 3.0, 9.0], [5.0] * 3]]), known)
    assert found.tolist() == [[[1, 3, 2], [NO_VALUE] * 3]]


# -- training --------------------------------------------------------------------------

CHICKEN = "matrix(table=chicken, rounds=4)"
ROSTER = [{"name": name, "version": 1} for name in ("always_c", "random")]


def test_training_finds_what_the_players_do():
    config = RunConfig(
        game=CHICKEN,
        model=ModelConfig(latent=4, width=8, depth=1),
        train=TrainConfig(
            anchor_updates=150, joint_updates=0, opponent_batch=32, log_every=75
        ),
    )
    episodes = played(CHICKEN, ("always_c", "random"), 60)
    losses = []

    def write(phase, update, values):
        assert phase == "anchors"
        losses.append((update, float(values["anchors/log_loss"])))

    state = initial_train_state(config, make_game(CHICKEN), ROSTER)
    state = begin_anchors(config, state, episodes)
    before = state.anchors.model
    totals = np.asarray(episodes.reward).sum(1)
    of_players = [totals[episodes.player == k].mean() for k in range(2)]
    # Each met the other alone: a type that was not met has the player's mean.
    expected = np.repeat(np.array(of_players)[:, None], 2, 1)
    np.testing.assert_allclose(before.returns[0], expected, rtol=1e-5)
    first = jax.device_get(before)
    state = run_phase(
        ANCHORS,
        config,
        lambda _: fill(episodes),
        state,
        lambda _: None,
        write,
        1000,
    )
    after = state.anchors
    assert [update for update, _ in losses] == [75, 150]
    assert (
        losses[-1][1] < 0.5 * np.log(2) + 0.1
    )  # always_c is known, random is not
    assert int(after.updates) == 150 and int(after.trials) == 0
    obs, legal = episodes.obs[0, 2, 0], np.ones(2, bool)
    probs = np.exp(compiled(Anchors.log_probs)(after.model, obs, legal))
    assert probs[0, 0] > 0.9 and 0.2 < probs[1, 0] < 0.8
    untrained = np.exp(compiled(Anchors.log_probs)(first, obs, legal))
    assert untrained[0, 0] < 0.9
