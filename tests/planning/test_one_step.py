"""The planner's scores beside a slow triple loop; exact and sampled; who has left; what cannot be planned for."""

import dataclasses
import itertools
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import check_player, make_game, make_player
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import OpponentModel, UniformOpponents
from bestreply.opponents.joint_actions import joint_actions, stratified
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.rules import RuleOpponents
from bestreply.planning.agent import Agent
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.one_step import one_step
from bestreply.types import ABSENT
from tests.shared import build

GAME = make_game(
    "matrix",
    payoffs=np.random.default_rng(0)
    .normal(size=(3, 3, 3, 3))
    .round(2)
    .tolist(),
    rounds=5,
)
GAMMA = 0.8
CONFIG = ModelConfig(latent=4, width=8, depth=1)
OBS = np.random.default_rng(1).random(GAME.obs_shape).astype(np.float32)
LEGAL, HERE = np.ones(3, bool), np.ones(3, bool)
EXACT, SAMPLED = (
    PlannerConfig(joint_limit=9),
    PlannerConfig(joint_limit=8, samples=6),
)


class Fixed(OpponentModel):
    """Set probabilities [N-1, A]; the belief counts what each other did, and its posterior is the shares so far."""

    probs: jax.Array
    game: object = eqx.field(static=True, default=GAME)

    def init(self):
        return jnp.ones((2, 3))

    def predict(self, belief, obs, legal):
        return self.probs

    def update(self, belief, obs, actions, present):
        return belief + jnp.where(
            present[1:, None], jax.nn.one_hot(actions[1:], 3), 0
        )

    def posterior(self, belief):
        return belief / belief.sum(1, keepdims=True)


PROBS = jnp.array([[0.5, 0.3, 0.2], [0.1, 0.0, 0.9]])


def world(heads=2, key=0, **config):
    config = dataclasses.replace(CONFIG, **config)
    model = build(WorldModel, GAME, config, goals=3, heads=heads, key=key)
    units = np.linspace(-1, 1, heads), np.linspace(1, 2, heads)
    units = tuple(jax.device_put(x.astype(np.float32)) for x in units)
    return eqx.tree_at(lambda w: (w.value_mean, w.value_scale), model, units)


def planning_agent(config):
    """An agent of untrained networks."""
    opponents = build(LearnedOpponents.create, GAME, CONFIG, 3, key=5)
    return Agent(world(), opponents, GAME, config, GAMMA)


@partial(jax.jit, static_argnames="config")
def planned(model, opponents, obs, legal, present, key, config):
    at = DecisionPoint(obs, legal, present, opponents.init())
    return one_step(Models(model, opponents, GAMMA, config), at, key)


def plan(
    model, opponents, obs=OBS, legal=LEGAL, present=HERE, config=EXACT, key=0
):
    key = jax.random.key(key)
    return planned(model, opponents, obs, legal, present, key, config)


@jax.jit
def outcome(model, opponents, obs, actions, present):
    """Reward, logit of going on and values [K] after one joint action [N]."""
    z, belief, own, others = (
        model.encode(obs),
        opponents.init(),
        actions[0],
        actions[1:],
    )
    after = opponents.update(belief, obs, actions, present)
    values = model.values_of(
        model.next(z, own, others), opponents.posterior(after)
    )
    return (
        model.reward(z, own, others),
        model.continues(z, own, others),
        values,
    )


def slow_scores(model, opponents, obs=OBS, present=HERE):
    """sum over joint a_j of prod_j pi_j(a_j) x (r + gamma c V), one by one: reward and value part [A]."""
    probs = np.asarray(opponents.probs, np.float64)
    rewards, values = np.zeros(3), np.zeros(3)
    choices = [
        range(3) if here else [ABSENT] for here in np.asarray(present)[1:]
    ]
    for own, *others in itertools.product(range(3), *choices):
        weight = 1.0
        for j, action in enumerate(others):
            weight *= 1.0 if action == ABSENT else probs[j, action]
        actions = np.array([own, *others], np.int32)
        reward, logit, heads = outcome(model, opponents, obs, actions, present)
        goes_on = 1 / (1 + np.exp(-float(logit)))
        rewards[own] += weight * float(reward)
        values[own] += weight * GAMMA * goes_on * float(np.max(heads))
    return rewards, values


@pytest.mark.parametrize("value_of", ["z", "o"])
@pytest.mark.parametrize(
    "present", [(True, True, True), (True, False, True), (True, False, False)]
)
def test_scores_are_the_sum_over_joint_actions(value_of, present):
    model, opponents, present = (
        world(value_of=value_of),
        Fixed(PROBS),
        np.array(present),
    )
    found = plan(model, opponents, present=present)
    reward, value = slow_scores(model, opponents, present=present)
    np.testing.assert_allclose(found.reward, reward, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(found.value, value, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(
        found.scores, reward + value, rtol=2e-4, atol=1e-5
    )
    assert found.action == (reward + value).argmax()
    np.testing.assert_allclose(
        found.others, np.where(np.asarray(present)[1:, None], PROBS, 0)
    )
    assert np.array_equal(found.belief, opponents.init())


def test_scores_by_hand():
    """r = 1 + 2 [a_i = 1] and V = 10, whatever else; half goes on. One other seat would halve nothing: 1, 3, 1 + 0.8 x 0.5 x 10."""
    start = world(heads=1)
    model = jax.tree.map(
        lambda x: jnp.zeros_like(x) if eqx.is_inexact_array(x) else x, start
    )
    net = model.reward_net
    net = eqx.tree_at(lambda n: n.norm.weight, net, jnp.zeros(8))
    model = eqx.tree_at(
        lambda w: (w.reward_net, w.value_mean, w.obs_units, w.reward_units),
        model,
        (net, jnp.array([10.0]), start.obs_units, start.reward_units),
    )

    class Known(eqx.Module):
        def __call__(self, z, actions):
            return 1 + 2 * actions[1:2]  # ego first: one-hot of a_i is in front

    model = eqx.tree_at(lambda w: w.reward_net, model, Known())
    found = plan(model, Fixed(PROBS))
    np.testing.assert_allclose(found.reward, [1, 3, 1], rtol=1e-6)
    np.testing.assert_allclose(found.value, [4, 4, 4], rtol=1e-6)
    assert found.action == 1


def test_the_best_head_is_followed():
    """Generalised policy improvement: the maximum over heads is taken inside the expectation."""
    model = world(heads=4, key=3)
    each = [
        eqx.tree_at(
            lambda w: w.value_net, model, _Head(model.value_net, np.int32(k))
        )
        for k in range(4)
    ]
    best = plan(model, Fixed(PROBS)).value
    assert all((best >= plan(m, Fixed(PROBS)).value - 1e-5).all() for m in each)


class _Head(eqx.Module):
    net: eqx.Module
    k: np.integer  # an argument of the program, one for all heads

    def __call__(self, x):
        out = self.net(x)
        shift, scale = jnp.linspace(-1, 1, 4), jnp.linspace(1, 2, 4)
        value = shift[self.k] + scale[self.k] * out[self.k]
        return (value - shift) / scale  # every head says what head k says


# -- which joint actions ---------------------------------------------------------------------------------------


joint_drawn = jax.jit(joint_actions, static_argnums=3)


def joint(config, present=(True, True)):
    key = jax.random.key(0)
    joints, weights = joint_drawn(PROBS, np.array(present), key, config)
    return np.asarray(joints), np.asarray(weights)


def test_all_joint_actions_with_their_probabilities():
    joints, weights = joint(EXACT)
    wanted = {
        (a, b): float(PROBS[0, a] * PROBS[1, b])
        for a in range(3)
        for b in range(3)
    }
    assert {
        tuple(j): w
        for j, w in zip(joints.tolist(), weights.tolist(), strict=True)
    } == pytest.approx(wanted)


def test_who_has_left_is_not_averaged_over():
    joints, weights = joint(EXACT, present=(False, True))
    assert (joints[:, 0] == ABSENT).all() and weights.sum() == pytest.approx(1)
    for action in range(3):
        assert weights[joints[:, 1] == action].sum() == pytest.approx(
            float(PROBS[1, action])
        )
    joints, weights = joint(SAMPLED, present=(False, True))
    assert (
        (joints[:, 0] == ABSENT).all()
        and (joints[:, 1] != 1).all()
        and weights.sum() == pytest.approx(1)
    )


def test_the_limit_decides():
    shapes = [joint(config)[0].shape for config in (EXACT, SAMPLED)]
    assert shapes == [(9, 2), (6, 2)]


def test_samples_are_right_on_average():
    model, opponents = world(), Fixed(PROBS)
    exact = plan(model, opponents)
    keys = jax.random.split(jax.random.key(0), 3000)

    at = DecisionPoint(OBS, LEGAL, HERE, opponents.init())

    @jax.jit
    @partial(jax.vmap, in_axes=(None, 0))
    def run(at, key):
        models = Models(model, opponents, GAMMA, SAMPLED)
        return one_step(models, at, key).scores

    scores = np.asarray(run(at, keys))
    assert (scores.std(0) > 0).all()
    assert (
        abs(scores.mean(0) - exact.scores)
        < 5 * scores.std(0) / 3000**0.5 + 1e-4
    ).all()


@partial(jax.jit, static_argnums=(1, 2))
def strata_drawn(probs, samples, keys):
    keys = jax.random.split(jax.random.key(0), keys)
    return jax.vmap(lambda key: stratified(probs, key, samples))(keys)


def strata(probs, samples, keys):
    """[keys, samples]: strata drawn with as many keys."""
    probs = np.array(probs, np.float32)
    return np.asarray(strata_drawn(probs, samples, keys))


def test_strata_never_draw_what_has_no_probability_and_hit_every_share():
    """Ten samples of (0.5, 0.3, 0, 0.2): at least 5, 3, 0 and 2 of each but for the strata that an edge cuts."""
    for drawn in strata([0.5, 0.3, 0.0, 0.2], 10, keys=20):
        counts = np.bincount(drawn, minlength=4)
        assert counts.tolist() == [5, 3, 0, 2]


def test_the_order_of_strata_is_random():
    """Else two players' draws would rise together."""
    drawn = strata([0.5, 0.5], 8, keys=200)
    assert 0.3 < drawn[:, 0].mean() < 0.7


def test_strata_vary_no_more_than_independent_draws():
    probs, worth = (
        np.array([0.15, 0.35, 0.05, 0.45]),
        np.array([1.0, -2.0, 4.0, 0.5]),
    )
    ours = worth[strata(probs, 7, keys=2000)].mean(1)
    rng = np.random.default_rng(0)
    apart = worth[rng.choice(4, (2000, 7), p=probs)].mean(1)
    assert ours.mean() == pytest.approx(
        float(probs @ worth), abs=5 * float(ours.std()) / 2000**0.5
    )
    assert ours.var() < 0.5 * apart.var()


def test_every_candidate_is_scored_on_the_same_draws():
    """Where nothing depends on one's own action, all scores are equal though each is a sample."""
    model = world()

    def blind(net):
        return eqx.tree_at(
            lambda n: n.of_actions.weight,
            net,
            net.of_actions.weight.at[:, :3].set(0),
        )

    def places(w):
        return (w.reward_net, w.dynamics, w.continuation)

    model = eqx.tree_at(
        places, model, tuple(blind(net) for net in places(model))
    )
    found = [
        plan(model, Fixed(PROBS), config=SAMPLED, key=k).scores
        for k in range(2)
    ]
    assert np.ptp(found[0]) < 1e-5 < abs(found[0][0] - found[1][0])


# -- legal candidates ------------------------------------------------------------------------------------------


def agent(opponents=None, **settings):
    return Agent(
        world(),
        opponents or Fixed(PROBS),
        GAME,
        dataclasses.replace(EXACT, **settings),
        GAMMA,
    )


def test_illegal_candidates_score_minus_infinity():
    free = agent().plan(OBS, LEGAL)
    best = int(free.action)
    found = agent().plan(OBS, np.arange(3) != best)
    assert found.scores[best] == -jnp.inf and found.action != best
    others = np.arange(3) != best
    assert np.array_equal(found.scores[others], free.scores[others])
    assert np.array_equal(found.reward, free.reward)  # its parts are still told


def test_a_subset_of_candidates():
    names = GAME.action_names
    by_name = agent().plan(OBS, LEGAL, candidates=(names[0], names[2]))
    by_mask = agent().plan(OBS, LEGAL, candidates=np.array([True, False, True]))
    for x, y in zip(
        jax.tree.leaves(by_name), jax.tree.leaves(by_mask), strict=True
    ):
        assert np.array_equal(x, y)
    assert np.isinf(by_name.scores).tolist() == [False, True, False]
    legal = np.array([False, True, True])
    assert np.isinf(
        agent().plan(OBS, legal, candidates=(names[0], names[2])).scores
    ).tolist() == [
        True,
        True,
        False,
    ]


NAMES = GAME.action_names


def with_entry(index, value):
    obs = OBS.copy()
    obs[index] = value
    return obs


@pytest.mark.parametrize(
    "obs, legal, settings, told",
    [
        (
            OBS,
            np.zeros(3, bool),
            {},
            "legal excludes every candidate of ACTION_0, ACTION_1, ACTION_2: expected",
        ),
        (
            OBS,
            np.array([True, False, False]),
            {"candidates": (NAMES[1],)},
            "legal excludes every candidate",
        ),
        (OBS[:-1], LEGAL, {}, r"obs has shape .*: expected .* for matrix"),
        (
            np.stack([OBS, OBS]),
            LEGAL,
            {},
            r"for a batch use jax.vmap\(agent.plan\)",
        ),
        (
            OBS,
            np.ones(4, bool),
            {},
            r"legal has shape \(4,\) and type bool: expected \(3,\) bool",
        ),
        (OBS, np.ones(3, np.float32), {}, "type float32: expected"),
        (
            with_entry(2, np.nan),
            LEGAL,
            {},
            r"obs\[\(2,\)\]=nan: expected a finite number",
        ),
        (with_entry(1, np.inf), LEGAL, {}, r"obs\[\(1,\)\]=inf"),
        (
            OBS + 1e300 * (np.arange(len(OBS), dtype=float) > 0),
            LEGAL,
            {},
            r"obs\[\(1,\)\]=1e\+300: expected a number that float32 holds",
        ),
        (
            OBS,
            LEGAL,
            {"candidates": ("RUN",)},
            r"candidates=\('RUN',\): expected some of \('ACTION_0'",
        ),
        (OBS, LEGAL, {"candidates": "ACTION_0"}, "expected some of"),
        (
            OBS,
            LEGAL,
            {"candidates": np.array([True, False])},
            r"candidates of shape \(2,\)",
        ),
    ],
)
def test_what_cannot_be_planned_for_is_shown(obs, legal, settings, told):
    with pytest.raises(ValueError, match=told):
        agent().plan(obs, legal, **settings)


def test_a_batch_of_different_masks_is_what_each_is_alone():
    """Every row with a mask, an observation and a belief of its own, so that a leak between rows shows."""
    rng, player = np.random.default_rng(2), agent()
    masks = [m for m in itertools.product([True, False], repeat=3) if any(m)]
    obs = jnp.asarray(rng.random((7, *GAME.obs_shape)), jnp.float32)
    present = jnp.asarray(rng.random((7, 3)) < 0.6).at[:, 0].set(True)
    keys = jax.random.split(jax.random.key(0), 7)
    for settings in ({}, {"joint_limit": 1, "samples": 4}):
        player = agent(**settings)

        def call(o, m, p, k, player=player):
            return player.plan(o, m, present=p, key=k)

        batch = jax.vmap(call)(obs, jnp.array(masks), present, keys)
        for row in range(7):
            one = call(obs[row], jnp.array(masks[row]), present[row], keys[row])
            for x, y in zip(
                jax.tree.leaves(batch), jax.tree.leaves(one), strict=True
            ):
                np.testing.assert_allclose(x[row], y, rtol=1e-4, atol=1e-5)
            assert masks[row][int(batch.action[row])]


def test_by_default_everybody_is_there_and_draws_are_the_same():
    player = agent(joint_limit=1)
    one, other = (
        player.plan(OBS, LEGAL),
        player.plan(OBS, LEGAL, present=HERE, key=jax.random.key(0)),
    )
    assert all(
        np.array_equal(x, y)
        for x, y in zip(
            jax.tree.leaves(one), jax.tree.leaves(other), strict=True
        )
    )


# -- as a player -----------------------------------------------------------------------------------------------


def test_the_agent_plays_the_plan_of_what_it_has_come_to_believe():
    """Step by step beside updates made by hand; what it did itself and saw then is what the belief is about."""
    opponents = build(
        LearnedOpponents.create, GAME, CONFIG, 3, key=5, prior_mixing=0.0
    )
    update = jax.jit(LearnedOpponents.update)
    player = Agent(world(), opponents, GAME, EXACT, GAMMA)
    carry, belief, rng = (
        player.init(),
        opponents.init(),
        np.random.default_rng(0),
    )
    before = None
    for t in range(4):
        obs = rng.random(GAME.obs_shape).astype(np.float32)
        others = np.array(
            [ABSENT, ABSENT] if t == 0 else rng.integers(0, 3, 2), np.int32
        )
        if before is not None:
            seen, action = before
            joint = np.array([action, *others], np.int32)
            belief = update(opponents, belief, seen, joint, HERE)
        carry, action, actor_output = player.step(
            carry, obs, LEGAL, jax.random.key(t), others=others, present=HERE
        )
        np.testing.assert_allclose(
            actor_output.plan.belief, belief, rtol=1e-4, atol=1e-6
        )
        wanted = player.plan(obs, LEGAL, belief=belief)
        np.testing.assert_allclose(
            actor_output.plan.scores, wanted.scores, rtol=1e-3, atol=1e-5
        )
        assert action == wanted.action and actor_output.probs[action] == 1
        before = obs, int(action)


def test_epsilon_is_the_share_of_uniform_actions():
    player = dataclasses.replace(agent(), epsilon=0.3)
    legal = np.array([True, True, False])
    keys = jax.random.split(jax.random.key(0), 2000)
    action, actor_output = jax.jit(
        jax.vmap(lambda k: player.step(player.init(), OBS, legal, k)[1:])
    )(keys)
    best = int(player.plan(OBS, legal).action)
    wanted = np.where(np.arange(3) == best, 0.85, 0.15) * np.asarray(legal)
    np.testing.assert_allclose(actor_output.probs[0], wanted, rtol=1e-5)
    counts = np.bincount(action, minlength=3) / 2000
    assert (
        abs(counts - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / 2000)
    ).all()


@pytest.mark.parametrize(
    "spec, kind",
    [
        (
            "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)",
            "learned",
        ),
        ("matrix(table=chicken, rounds=3)", "rules"),
        ("matrix(table=matching_pennies, rounds=3)", "uniform"),
    ],
)
def test_an_agent_is_a_player_like_any_other(spec, kind):
    game = make_game(spec)
    model = build(WorldModel, game, CONFIG, goals=2, heads=2)
    opponents = {
        "uniform": lambda: UniformOpponents(game, 2),
        "learned": lambda: build(
            LearnedOpponents.create, game, CONFIG, 2, key=1
        ),
        "rules": lambda: RuleOpponents(
            (make_player("random", game),), game, goals=2
        ),
    }[kind]()
    found = check_player(
        Agent(model, opponents, game, PlannerConfig(), GAMMA), game, episodes=2
    )
    assert {"plan", "drawn", "vmap", "absent"} <= set(found.kept)
