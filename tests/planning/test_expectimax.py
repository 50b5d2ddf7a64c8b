"""Several steps of look-ahead: beside slow recursion over the real game, and where looking ahead must pay."""

import itertools
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.models.true_model import TrueModel
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.rules import RuleOpponents
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.expectimax import expectimax
from bestreply.planning.one_step import one_step

GAMMA = 0.9


def nothing_learned(worth=0.0):
    """A value that is the same everywhere."""
    return SimpleNamespace(
        config=SimpleNamespace(value_heads="single"),
        encode=lambda obs: None,
        value=lambda z, obs, belief: jnp.full(1, worth),
    )


def plan(
    world, opponents, obs, legal, planner=expectimax, present=None, **settings
):
    config = PlannerConfig(**settings)
    here = (
        jnp.ones(opponents.game.num_players, bool)
        if present is None
        else present
    )

    @jax.jit
    def answer(*sight):
        at = DecisionPoint(*sight, opponents.init())
        models = Models(world, opponents, GAMMA, config)
        return planner(models, at, jax.random.key(0))

    return answer(obs, legal, here)


@jax.jit
def policy(player, obs, legal):
    return player.policy(player.start(), obs, legal)


def compiled(world):
    """The parts of a world that slow recursion asks for again and again."""

    def part(name):
        return jax.jit(lambda *args: getattr(world, name)(*args))

    parts = {
        name: part(name)
        for name in ("encode", "next", "continues", "imagine", "reward")
    }
    look = jax.jit(
        lambda z: world.game.look(z, jnp.zeros(world.game.num_players))
    )
    return SimpleNamespace(
        game=world.game, look=lambda z: jax.device_get(look(z)), **parts
    )


def slow_scores(world, players, obs, depth, worth, unlikely=0.0, reach=1.0):
    """[A] by recursion: every own action, every action the others may choose, all in Python."""
    game, z = world.game, world.encode(obs)
    shown = world.look(z)
    acts = []
    for j, player in enumerate(players, start=1):
        probs = np.asarray(
            policy(player, shown.obs[j], shown.legal[j]), np.float64
        )
        acts.append([(a, p) for a, p in enumerate(probs) if p > 0])
    scores = np.full(game.num_actions, -np.inf)
    for action in np.flatnonzero(np.asarray(shown.legal[0])):
        scores[action] = 0
        for combination in itertools.product(*acts):
            others = jnp.array([a for a, _ in combination], jnp.int32)
            after = world.next(z, jnp.int32(action), others)
            chance = np.prod([p for _, p in combination])
            goes_on = float(world.continues(z, jnp.int32(action), others)) > 0
            more, reached = worth, reach * chance * goes_on
            if depth > 1 and goes_on and reached >= unlikely:
                seen = world.imagine(after)
                more = slow_scores(
                    world, players, seen, depth - 1, worth, unlikely, reached
                ).max()
            reward = float(world.reward(z, jnp.int32(action), others))
            scores[action] += chance * (reward + GAMMA * more * goes_on)
    return scores


@pytest.mark.parametrize(
    "spec, others, depth, unlikely",
    [
        (
            "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4)",
            ["nearest_stag"],
            2,
            0,
        ),
        pytest.param(
            "snowdrift(height=1, width=3, players=2, drifts=2, max_steps=4)",
            ["noisy(nearest_drift, 0.5)"],
            1,
            0,
            marks=pytest.mark.slow,
        ),
        (
            "snowdrift(height=1, width=3, players=2, drifts=2, max_steps=4)",
            ["noisy(nearest_drift, 0.5)"],
            3,
            0.3,
        ),
    ],
)
def test_scores_are_those_of_slow_recursion(spec, others, depth, unlikely):
    game = make_game(spec)
    players = tuple(make_player(p, game) for p in others)
    world, rules = (
        TrueModel(learned=nothing_learned(0.5), game=game),
        RuleOpponents(players=players, game=game),
    )
    for seed in range(2):
        shown = game.reset(jax.random.key(seed))[1]
        found = plan(
            world,
            rules,
            shown.obs[0],
            shown.legal[0],
            depth=depth,
            prune_below=unlikely,
        )
        slow = slow_scores(
            compiled(world), players, shown.obs[0], depth, 0.5, unlikely
        )
        np.testing.assert_allclose(found.scores, slow, rtol=1e-5)
        np.testing.assert_allclose(
            np.asarray(found.reward + found.value)[shown.legal[0]],
            found.scores[shown.legal[0]],
        )


def test_one_step_is_depth_one():
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4)"
    )
    world = WorldModel(
        game,
        ModelConfig(latent=4, width=8, depth=1),
        goals=1,
        heads=2,
        key=jax.random.key(0),
    )
    rules = RuleOpponents(players=(make_player("random", game),), game=game)
    shown = game.reset(jax.random.key(0))[1]
    one = plan(world, rules, shown.obs[0], shown.legal[0], planner=one_step)
    same = plan(world, rules, shown.obs[0], shown.legal[0], depth=1)
    np.testing.assert_allclose(one.scores, same.scores, rtol=1e-5)
    assert not np.allclose(
        one.scores,
        plan(world, rules, shown.obs[0], shown.legal[0], depth=2).scores,
    )


def test_predicted_illegal_actions_are_not_dreamt_of():
    """On two cells, one with the hare: from the other, one step sees nothing, two see that the hare can be had only there."""
    game = make_game(
        "stag_hunt(height=1, width=2, hunters=2, stags=0, hares=1, max_steps=9)"
    )
    state = game.state_in(game.reset(jax.random.key(0))[1].obs[0])
    state = eqx.tree_at(
        lambda s: (s.cell, s.thing_cell),
        state,
        (jnp.array([0, 0], jnp.int32), jnp.array([1], jnp.int32)),
    )
    shown = game.look(state, jnp.zeros(2))
    rules = RuleOpponents(
        players=(make_player("always(STAY)", game),), game=game
    )
    world = TrueModel(learned=nothing_learned(), game=game)
    near = plan(world, rules, shown.obs[0], shown.legal[0], depth=2)
    right, stay = (
        game.action_names.index("RIGHT"),
        game.action_names.index("STAY"),
    )
    assert (
        near.action == right
        and near.scores[right] == pytest.approx(GAMMA)
        and near.scores[stay] == 0
    )


class Secret(OpponentModel):
    """One other of two types, as likely: in the first round type k plays k; later it plays anything."""

    game: object = eqx.field(static=True)

    def init(self):
        return jnp.array([[0.5, 0.5]])

    def predict(self, belief, obs, legal):
        return belief

    def update(self, belief, obs, actions, present):
        return jax.nn.one_hot(actions[1:], 2)

    def posterior(self, belief):
        return belief


def test_the_belief_moves_inside_the_plan():
    """Matching the other pays 1, missing it costs 1: nothing to be had now, but its first action tells the second."""
    payoffs = (((1, -1), (-1, 1)), ((1, -1), (-1, 1)))
    game = make_game("matrix", payoffs=payoffs, rounds=2)
    world, secret = (
        TrueModel(learned=nothing_learned(), game=game),
        Secret(game=game),
    )
    shown = game.reset(jax.random.key(0))[1]
    assert np.allclose(
        plan(world, secret, shown.obs[0], shown.legal[0], depth=1).scores, 0
    )
    np.testing.assert_allclose(
        plan(world, secret, shown.obs[0], shown.legal[0], depth=2).scores,
        GAMMA,
        rtol=1e-6,
    )


@pytest.mark.slow
def test_rows_of_a_batch_do_not_touch():
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4)"
    )
    world = TrueModel(learned=nothing_learned(), game=game)
    rules = RuleOpponents(players=(make_player("random", game),), game=game)
    shown = jax.vmap(lambda k: game.reset(k)[1])(
        jax.random.split(jax.random.key(0), 5)
    )
    masks = shown.legal[:, 0] & (jnp.arange(7) != jnp.arange(5)[:, None])
    masks = masks.at[:, 4].set(True)
    settings = {"depth": 2, "joint_limit": 1, "samples": 2}
    whole = jax.vmap(lambda o, m: plan(world, rules, o, m, **settings))(
        shown.obs[:, 0], masks
    )
    for row in range(5):
        alone = plan(world, rules, shown.obs[row, 0], masks[row], **settings)
        np.testing.assert_allclose(whole.scores[row], alone.scores, rtol=1e-5)
        assert np.array_equal(np.isfinite(whole.scores[row]), masks[row])
