"""Tables of joint actions: counts as by plain dictionaries, Bayes' rule as by loops, and plans that see what an own action causes."""

import dataclasses
import itertools
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import collect, load_run, make_game, train
from bestreply.analysis.regret import decompose_regret
from bestreply.config import (
    CollectConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.models.true_model import TrueModel
from bestreply.opponents.base import UniformOpponents
from bestreply.opponents.table_replies import with_replies
from bestreply.opponents.tables import (
    MAX_ROWS,
    PSEUDO_COUNT,
    TableOpponents,
    fit_tables,
    table_memory,
)
from bestreply.opponents.uniform_or_model import UniformOrModel
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.expectimax import expectimax
from bestreply.planning.mcts import mcts
from bestreply.planning.one_step import one_step
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, Episodes

TEXT = "matrix(table=prisoners_dilemma, rounds=30, memory=0)"
DILEMMA = make_game(TEXT)
HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=3, stags=1, hares=1, max_steps=4)"
)
THREE = make_game("matrix", payoffs=np.ones((3, 2, 2, 2)).tolist(), rounds=9)


def episodes_of(action, player):
    """Episodes of which tables read the actions and the players alone."""
    nothing = {f.name: np.zeros(0) for f in dataclasses.fields(Episodes)}
    arrays = {"action": action.astype(np.int32), "player": player}
    return Episodes(**nothing | arrays)


def logged(game, seed=0, episodes=12, steps=7, players=2):
    """Random play; in a game that seats can leave, some do, and episodes end early."""
    rng = np.random.default_rng(seed)
    seats = game.num_players
    shape = episodes, steps, seats
    action = rng.integers(game.num_actions, size=shape).astype(np.int32)
    length = rng.integers(3, steps + 1, episodes)
    action[np.arange(steps)[None] >= length[:, None]] = ABSENT
    if game is HUNT:
        leaves = rng.integers(1, steps + 1, (episodes, seats))
        action[np.arange(steps)[None, :, None] >= leaves[:, None]] = ABSENT
    player = rng.integers(players, size=(episodes, seats)).astype(np.int32)
    return episodes_of(action, player)


def seen_by(seat, observer, seats):
    rest = [s for s in range(seats) if s not in (seat, observer)]
    return [seat, observer, *rest]


def slow_policy(game, episodes, player, past, memory):
    """[A] after `past`, joint actions with the oldest first, by counting all over again."""
    anchored, ends = Counter(), Counter()
    seats, actions = game.num_players, game.num_actions
    for row, joint in enumerate(episodes.action):
        for seat, observer in itertools.permutations(range(seats), 2):
            if episodes.player[row, seat] != player:
                continue
            order = seen_by(seat, observer, seats)
            share = 1 / (seats - 1)
            for t, now in enumerate(joint):
                if now[seat] == ABSENT:
                    continue
                before = [tuple(j[order]) for j in joint[:t]]
                if t < memory:
                    anchored[*before, "then", now[seat]] += share
                for n in range(min(t, memory) + 1):
                    ends[*before[t - n :], "then", now[seat]] += share

    def added(counts, sequence, policy):
        n = [counts[*sequence, "then", a] for a in range(actions)]
        return (np.array(n) + PSEUDO_COUNT * policy) / (sum(n) + PSEUDO_COUNT)

    policy = np.full(actions, 1 / actions)
    for n in range(min(len(past), memory) + 1):
        policy = added(ends, past[len(past) - n :], policy)
    if len(past) < memory:
        policy = added(anchored, past, policy)
    return policy


def follow(model, obs, joint_actions):
    """The beliefs before each joint action (own seat first) and after the last."""
    update, beliefs = eqx.filter_jit(type(model).update), [model.init()]
    for joint in joint_actions:
        joint = np.asarray(joint, np.int32)
        beliefs.append(update(model, beliefs[-1], obs, joint, joint != ABSENT))
    return beliefs


@pytest.mark.parametrize("game, memory", [(DILEMMA, 2), (THREE, 2), (HUNT, 1)])
def test_tables_are_the_counts_of_plain_dictionaries(game, memory):
    """For each opponent, as seat 0 follows a game of its own with it."""
    episodes, seats = logged(game), game.num_players
    model = TableOpponents.create(game, memory, 2, 2)
    model = fit_tables(model, episodes)
    other = logged(game, seed=1, episodes=2, steps=4).action
    obs, differences = jnp.zeros(game.obs_shape), []
    codes = eqx.filter_jit(TableOpponents.codes)
    for joint in other:
        beliefs = follow(model, obs, joint)
        for t, j in itertools.product(range(4), range(1, seats)):
            order = seen_by(j, 0, seats)
            past = [tuple(a[order]) for a in joint[:t]]
            seen = int(beliefs[t].seen)
            assert seen == min(t, memory)
            begin = sum((len(set_of(game)) ** seats) ** i for i in range(seen))
            row = begin + int(codes(model, beliefs[t])[j - 1])
            for player in (0, 1):
                slow = slow_policy(game, episodes, player, past, memory)
                found = model.probs[player, row]
                np.testing.assert_allclose(found, slow, atol=1e-6)
                differences.append(abs(slow - 1 / game.num_actions).max())
    assert max(differences) > 0.1
    first = episodes.player[episodes.action[:, 0] != ABSENT]
    share = np.bincount(first, minlength=2) / len(first)
    np.testing.assert_allclose(model.players_prior, share, atol=1e-6)


def set_of(game):
    """Actions of a seat in a table: one more where a seat can leave."""
    return [*range(game.num_actions)] + [ABSENT] * (game is HUNT)


@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_the_belief_is_bayes_rule(unknown):
    """A step in which the opponent does not act leaves its weights alone."""
    episodes = logged(DILEMMA, players=3)
    model = TableOpponents.create(DILEMMA, 3, 3, 3)
    model = fit_tables(model, episodes)
    model = dataclasses.replace(
        model, unknown_type_prior=unknown, prior_mixing=0.1
    )
    joint = logged(DILEMMA, seed=2, episodes=1, steps=9).action[0]
    joint = np.maximum(joint, 0)  # no seat leaves this game
    obs = jnp.zeros(DILEMMA.obs_shape)
    beliefs = follow(model, obs, joint)
    known = np.asarray(model.players_prior, np.float64)
    prior = np.append(known * (1 - unknown), unknown)
    weights, counts = prior, Counter()
    for t, belief in enumerate(beliefs):
        past = [(int(b), int(a)) for a, b in joint[:t]]
        policies = [
            slow_policy(DILEMMA, episodes, p, past, 3) for p in range(3)
        ]
        policy = known @ policies
        for n in range(min(t, 2) + 1):
            key = tuple(past[t - n :])
            n_of = np.array([counts[key, a] for a in (0, 1)])
            policy = (n_of + PSEUDO_COUNT * policy) / (
                n_of.sum() + PSEUDO_COUNT
            )
        policies = np.array([*policies, policy])
        expected = weights @ policies
        found = model.predict(belief, obs, jnp.ones(2, bool))
        np.testing.assert_allclose(found[0], expected, atol=1e-5)
        types = weights[:3] + weights[3] * known
        np.testing.assert_allclose(model.posterior(belief)[0], types, atol=1e-5)
        assert model.unknown_type_probability(belief)[0] == pytest.approx(
            weights[3], abs=1e-5
        )
        if t == len(joint):
            break
        taken = joint[t, 1]
        weights = weights * policies[:, taken]
        weights = 0.9 * weights / weights.sum() + 0.1 * prior
        for n in range(min(t, 2) + 1):
            counts[tuple(past[t - n :]), taken] += 1
    assert abs(weights - prior).max() > 0.05
    waits = model.update(
        beliefs[-1], obs, jnp.array([1, ABSENT]), jnp.array([True, False])
    )
    np.testing.assert_array_equal(waits.weights, beliefs[-1].weights)
    np.testing.assert_array_equal(waits.unknown, beliefs[-1].unknown)


def test_a_further_episode_begins_without_history_but_with_its_prior():
    episodes = logged(DILEMMA, players=3)
    model = fit_tables(TableOpponents.create(DILEMMA, 2, 3, 3), episodes)
    obs = jnp.zeros(DILEMMA.obs_shape)
    forgets, remembers = (
        dataclasses.replace(model, unknown_type_prior=0.2, episode_memory=m)
        for m in (0.0, 0.5)
    )
    belief = follow(remembers, obs, [(0, 1), (1, 1), (0, 0)])[-1]
    again = remembers.renew(belief)
    assert int(again.seen) == 0
    counts = 0.5 * belief.weights
    np.testing.assert_allclose(
        again.weights, (remembers.init().prior + counts) / 1.5, rtol=1e-5
    )
    np.testing.assert_allclose(again.unknown, 0.5 * belief.unknown)
    fresh = forgets.renew(belief)
    for new, first in zip(fresh, forgets.init(), strict=True):
        np.testing.assert_array_equal(new, first)


def test_illegal_actions_are_not_predicted():
    """In the hunt a hunter at the edge cannot leave the board."""
    model = fit_tables(TableOpponents.create(HUNT, 1, 2, 2), logged(HUNT))
    played = play(HUNT, seat_players(HUNT, ["random"] * 3, 1, 0), 0).episodes
    obs, legal = played.obs[0, 0], np.asarray(played.legal)[0, 0]
    probs = model.predict(model.init(), jnp.asarray(obs[0]), legal[0])
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-5)
    assert not legal[1:].all()
    np.testing.assert_array_equal(np.asarray(probs) > 0, legal[1:])


def test_the_memory_is_shortened_to_the_rows_of_a_table():
    """Rows of lengths 0 to k: 1 + J + ... + J^k with J joint actions."""
    assert sum(4**i for i in range(6)) <= MAX_ROWS < sum(4**i for i in range(7))
    assert table_memory(DILEMMA, 9, MAX_ROWS) == 5
    assert table_memory(DILEMMA, 3, MAX_ROWS) == 3
    assert table_memory(THREE, 9, MAX_ROWS) == 3
    assert table_memory(HUNT, 9, MAX_ROWS) == 1  # (6 + 1)^3 = 343
    assert table_memory(HUNT, 9, 300) == 0
    nothing = fit_tables(TableOpponents.create(HUNT, 0, 2, 1), logged(HUNT))
    belief = follow(nothing, jnp.zeros(HUNT.obs_shape), [(0, 1, 2)])[-1]
    assert belief.history.shape == (0, 3)
    np.testing.assert_array_equal(nothing.posterior(belief), np.ones((2, 1)))


# -- planning --------------------------------------------------------------------


class ConstantValue:
    config = ModelConfig()

    def encode(self, obs):
        return obs

    def value(self, z, obs, belief):
        return jnp.zeros(1)


def play_of_grim(episodes=400, steps=12):
    """Grim triggers in the second seat, beside a player that mostly cooperates."""
    rng = np.random.default_rng(0)
    action = (rng.random((episodes, steps, 2)) < 0.25).astype(np.int32)
    action[..., 1] = 0
    action[:, 1:, 1] = np.maximum.accumulate(action[:, :-1, 0], 1)
    player = np.tile(np.array([[1, 0]], np.int32), (episodes, 1))
    return episodes_of(action, player)


@pytest.fixture(scope="module")
def grim():
    model = TableOpponents.create(DILEMMA, 3, 2, 1)
    model = fit_tables(model, play_of_grim())
    return dataclasses.replace(model, players_prior=jnp.array([1.0, 0.0]))


def models(opponents, **settings):
    world = TrueModel(learned=ConstantValue(), game=DILEMMA)
    config = PlannerConfig(prune_below=0.0, **settings)
    return Models(world, opponents, 1.0, config)


def game_against_grim(opponents, planner, **settings):
    """The own actions of a game of 30 rounds."""
    reply = models(opponents, **settings)

    @jax.jit
    def decide(obs, belief):
        ones = jnp.ones(2, bool)
        at = DecisionPoint(obs, ones, ones, belief)
        return planner(reply, at, jax.random.key(0)).action

    update = eqx.filter_jit(TableOpponents.update)
    belief, own, triggered = opponents.init(), [], False
    for t in range(30):
        obs = jnp.full(DILEMMA.obs_shape, (30 - t) / 30)
        own.append(int(decide(obs, belief)))
        joint = jnp.array([own[-1], int(triggered)], jnp.int32)
        belief = update(opponents, belief, obs, joint, jnp.ones(2, bool))
        triggered |= own[-1] == 1
    return own


def slow_scores(opponents, obs, belief, left, depth):
    """[A] by recursion over own and opponent's actions, beliefs updated by both."""
    if not depth or not left:
        return np.zeros(2)
    payoff = np.asarray(DILEMMA.payoff_array)[0]
    probs = np.asarray(opponents.predict(belief, obs, jnp.ones(2, bool)))[0]
    scores = np.zeros(2)
    for own, other in itertools.product((0, 1), (0, 1)):
        joint = jnp.array([own, other], jnp.int32)
        after = opponents.update(belief, obs, joint, jnp.ones(2, bool))
        later = slow_scores(opponents, obs, after, left - 1, depth - 1)
        scores[own] += probs[other] * (payoff[own, other] + later.max())
    return scores


def test_planning_sees_what_an_own_action_makes_the_opponent_do(grim):
    """Cooperation in all but the last rounds of a game against grim; one step defects."""
    own = game_against_grim(grim, expectimax, depth=3)
    assert own[:27] == [0] * 27
    assert own[-1] == 1
    assert game_against_grim(grim, one_step) == [1] * 30


def test_scores_are_those_of_plain_recursion(grim):
    eager = dataclasses.replace(grim, unknown_type_prior=0.3)
    obs = jnp.full(DILEMMA.obs_shape, 5 / 30)
    belief = follow(eager, obs, [(0, 0), (0, 0), (1, 0)])[-1]
    ones = jnp.ones(2, bool)
    at = DecisionPoint(obs, ones, ones, belief)
    slow = slow_scores(eager, obs, belief, 5, 2)
    plan = jax.jit(
        lambda at: expectimax(models(eager, depth=2), at, jax.random.key(0))
    )(at)
    np.testing.assert_allclose(plan.scores, slow, rtol=1e-5)
    plan = jax.jit(  # enough nodes for every branch of the second step
        lambda at: mcts(
            models(eager, simulations=400), at, jax.random.key(0), depth=2
        )
    )(at)
    np.testing.assert_allclose(plan.scores, slow, rtol=1e-5)


# -- exact replies ---------------------------------------------------------------


def slow_value(episodes, player, past, left):
    """The best return in the rounds left, by recursion over both players' actions."""
    if not left:
        return 0.0
    policy = slow_policy(DILEMMA, episodes, player, past, 2)
    payoff = np.asarray(DILEMMA.payoff_array)[0]
    return max(
        sum(
            policy[other]
            * (
                payoff[own, other]
                + 0.9
                * slow_value(episodes, player, [*past, (other, own)], left - 1)
            )
            for other in (0, 1)
        )
        for own in (0, 1)
    )


@pytest.mark.parametrize("left", [0, 1, 4])
def test_replies_to_tables_are_those_of_plain_recursion(left):
    """Weighted by the belief; "none of these" counts as the mean of the players."""
    episodes = logged(DILEMMA, players=3)
    model = fit_tables(TableOpponents.create(DILEMMA, 2, 3, 1), episodes)
    model = dataclasses.replace(model, unknown_type_prior=0.2)
    model = with_replies(model, DILEMMA, 0.9, limit_ends=True)
    obs = jnp.full(DILEMMA.obs_shape, left / 30)
    belief = follow(model, obs, [(0, 1), (1, 1), (1, 0)])[-1]
    past = [(1, 1), (0, 1)]  # the opponent's action first
    values = [slow_value(episodes, p, past, left) for p in range(3)]
    weights = np.asarray(belief.weights[0])
    known = weights[:3] + weights[3] * np.asarray(model.players_prior)
    expected = known @ np.array(values)
    assert model.reply_value(belief, obs) == pytest.approx(expected, rel=1e-5)
    assert left == 0 or np.ptp(values) > 0.1


@pytest.mark.parametrize("limit_ends, rounds", [(True, 6), (False, 10_000)])
def test_where_the_end_is_drawn_replies_are_stationary(limit_ends, rounds):
    """Beside a player that always defects: 1 + .8 + .64 + ..., as far as the limit."""
    game = make_game("matrix", continuation=0.8, max_steps=6, memory=1)
    model = TableOpponents.create(game, 1, 1, 1)
    always_d = jnp.zeros(model.probs.shape).at[..., 1].set(1.0)
    model = dataclasses.replace(model, probs=always_d)
    model = with_replies(model, game, 1.0, limit_ends)
    value = model.reply_value(model.init(), jnp.zeros(game.obs_shape))
    assert value == pytest.approx((1 - 0.8**rounds) / (1 - 0.8), abs=1e-3)


def test_one_step_with_exact_replies_is_patient(grim):
    """Without look-ahead it cooperates with grim until the last round."""
    exact = with_replies(grim, DILEMMA, 1.0, limit_ends=True)
    assert game_against_grim(exact, one_step) == [0] * 29 + [1]


def test_a_limit_that_does_not_count_is_planned_beyond():
    """Tit for tat, six rounds of which three are played: patience pays until the last of six."""
    game = make_game(
        "matrix(table=prisoners_dilemma, rounds=6, max_steps=3, memory=1)"
    )
    tit_for_tat = TableOpponents.create(game, 1, 1, 1)
    probs = np.zeros(tit_for_tat.probs.shape, np.float32)
    probs[:, 0, 0] = 1.0
    other = np.arange(4) // 2  # of its observer
    probs[0, 1 + np.arange(4), other] = 1.0
    model = dataclasses.replace(tit_for_tat, probs=jnp.asarray(probs))
    model = with_replies(model, game, 1.0, limit_ends=False)
    world = TrueModel(learned=ConstantValue(), game=game, limit_ends=False)
    obs = jnp.asarray([1, 0, 1, 0, 4 / 6], jnp.float32)
    belief = follow(model, obs, [(0, 0), (0, 0)])[-1]
    at = DecisionPoint(obs, jnp.ones(2, bool), jnp.ones(2, bool), belief)
    for depth in (1, 3):
        config = PlannerConfig(depth=depth, prune_below=0.0)
        reply = Models(world, model, 1.0, config)
        plan = jax.jit(lambda at: expectimax(reply, at, jax.random.key(0)))(at)  # noqa: B023
        np.testing.assert_allclose(plan.scores, [3 * 3 + 5, 5 + 0 + 3 + 5])


def test_other_games_and_models_have_no_exact_replies():
    hunt = TableOpponents.create(HUNT, 1, 2, 2)
    assert not with_replies(hunt, HUNT, 1.0, True).knows_replies
    uniform = with_replies(UniformOpponents(game=DILEMMA), DILEMMA, 1.0, True)
    assert uniform.knows_replies  # nothing that is done changes what they do


def test_too_many_values_are_not_computed(caplog):
    game = make_game("matrix(table=prisoners_dilemma, rounds=200000)")
    model = TableOpponents.create(game, 5, 1, 1)
    assert not with_replies(model, game, 1.0, True).knows_replies
    assert "smaller model.table_memory" in caplog.text


def test_tables_can_be_given_who_the_opponent_is():
    model = fit_tables(
        TableOpponents.create(DILEMMA, 2, 3, 3), logged(DILEMMA, players=3)
    )
    model = dataclasses.replace(model, unknown_type_prior=0.2)
    known = model.given(jnp.array([2]))
    obs = jnp.zeros(DILEMMA.obs_shape)
    for belief in follow(known, obs, [(0, 1), (1, 1), (1, 0)]):
        posterior = known.posterior(belief)[0]
        np.testing.assert_allclose(posterior, [0, 0, 1], atol=1e-6)


# -- runs ------------------------------------------------------------------------

SIZES = {"latent": 4, "width": 8, "depth": 1}


def small_run(**model):
    return RunConfig(
        game=TEXT,
        collect=CollectConfig(players=("grim", "always_d")),
        model=ModelConfig(**SIZES, opponents="tables", **model),
        train=TrainConfig(
            opponent_updates=2,
            updates=2,
            anchor_updates=0,
            batch=8,
            opponent_batch=8,
            log_every=2,
        ),
        planner=PlannerConfig(symmetry_averages=1),
    )


@pytest.mark.slow
def test_a_run_counts_saves_and_plans(tmp_path):
    config, drawn = small_run(table_memory=2), "mixture(grim, always_d)"
    store = collect(DILEMMA, [drawn, drawn], 32, 0, path=tmp_path / "data")
    run = train(store, config, path=tmp_path / "run")
    fitted = fit_tables(
        TableOpponents.create(DILEMMA, 2, 2, 2), store.episodes()
    )
    # a part of the episodes is held out
    assert run.train_state.tables.probs.shape == fitted.probs.shape
    assert abs(run.train_state.tables.probs - fitted.probs).max() < 0.3
    again = load_run(tmp_path / "run")
    assert eqx.tree_equal(run.train_state, again.train_state)
    more = run.method.begin(run, store.episodes(), run)  # counted anew
    np.testing.assert_array_equal(more.tables.probs, fitted.probs)
    agent = again.agent(unknown_type_prior=0.2, memory=0.5, prior_mixing=0.0)
    assert agent.opponents.unknown_type_prior == 0.2
    assert agent.opponents.episode_memory == 0.5
    lineup = seat_players(DILEMMA, [agent, "grim"], 2, 1)
    assert np.isfinite(play(DILEMMA, lineup, 1, series=2).episodes.reward).all()
    exact = again.agent("one_step", world="true", unknown_type_prior=0.2)
    regret = decompose_regret(again, ["always_d"], agent=exact, episodes=4)
    others, dynamics, depth, value = regret.parts.mean(0)
    assert others >= -0.1  # knowing the policies can only help
    np.testing.assert_allclose([dynamics, depth, value], 0, atol=0.1)
    with pytest.raises(ValueError, match=r"change_rate=0\.1, .*expected 0"):
        again.agent(change_rate=0.1)
    alone = again.agent("one_step", world="true", opponents="uniform")
    both = UniformOrModel(
        model=exact.opponents, otherwise=alone.opponents, uniform=np.array(True)
    )
    beside = dataclasses.replace(exact, opponents=both)
    obs, legal = jnp.ones(DILEMMA.obs_shape), jnp.ones(2, bool)
    scores = [a.plan(obs, legal).scores for a in (alone, beside)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


def test_types_that_are_no_players_are_refused(tmp_path):
    store = collect(DILEMMA, ["grim", "grim"], 4, 0, path=tmp_path / "data")
    with pytest.raises(
        ValueError, match=r"model\.opponent_types=code: expected player or none"
    ):
        train(store, small_run(opponent_types="code"), path=tmp_path / "run")
    assert not (tmp_path / "run").exists()
