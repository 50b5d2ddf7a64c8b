"""Expectimax compared with plain recursion over the real game."""

import itertools
from functools import cache, partial
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
from tests.shared import build, compiled

GAMMA = 0.9
SINGLE = ModelConfig(value_heads="single")
HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4)"
)
SNOW = make_game(
    "snowdrift(height=1, width=3, players=2, drifts=2, max_steps=4)"
)


class ConstantValue(eqx.Module):
    """A learned model whose value is the same everywhere."""

    constant: float = eqx.field(static=True, default=0.0)
    config: ModelConfig = eqx.field(static=True, default=SINGLE)

    def encode(self, obs):
        return None

    def value(self, z, obs, belief):
        return jnp.full(1, self.constant)


@partial(jax.jit, static_argnames=("planner", "config"))
def planned(world, opponents, obs, legal, planner, config):
    """Return the plans of a batch of decision points."""
    models = Models(world, opponents, GAMMA, config)
    present = np.ones(opponents.game.num_players, bool)

    def plan(obs, legal):
        at = DecisionPoint(obs, legal, present, opponents.init())
        return planner(models, at, jax.random.key(0))

    return jax.vmap(plan)(obs, legal)


def plan(world, opponents, shown, planner=expectimax, **settings):
    """Return the plans of the first seat, at a batch of time steps."""
    obs, legal = np.asarray(shown.obs)[:, 0], np.asarray(shown.legal)[:, 0]
    config = PlannerConfig(**settings)
    return jax.device_get(
        planned(world, opponents, obs, legal, planner, config)
    )


def first_steps(game, count):
    """Return the first time steps of `count` episodes."""
    keys = jax.random.split(jax.random.key(0), count)
    return jax.device_get(compiled(game.reset, over=0)(keys)[1])


def random_rules(game):
    return RuleOpponents(players=(make_player("random", game),), game=game)


# -- plain recursion -----------------------------------------------------------


@jax.jit
def policy(player, obs, legal):
    return player.policy(player.start(), obs, legal)


@cache
def parts(game):
    """Return the functions of the true model, each compiled."""
    world = TrueModel(learned=ConstantValue(), game=game)

    @jax.jit
    def step(z, action, others):
        after = world.next(z, action, others)
        reward = world.reward(z, action, others)
        return after, reward, world.continues(z, action, others) > 0

    look = jax.jit(lambda z: game.look(z, jnp.zeros(game.num_players)))
    return SimpleNamespace(encode=jax.jit(world.encode), step=step, look=look)


def recursive_scores(game, players, z, depth, value, prune_below, reach=1.0):
    """Return [A] by recursion over own actions and the opponents' actions."""
    shown = jax.device_get(parts(game).look(z))
    choices = []
    for j, player in enumerate(players, start=1):
        probs = np.asarray(policy(player, shown.obs[j], shown.legal[j]))
        choices.append([(a, p) for a, p in enumerate(probs) if p > 0])
    scores = np.full(game.num_actions, -np.inf)
    for action in np.flatnonzero(shown.legal[0]):
        scores[action] = 0
        for combination in itertools.product(*choices):
            others = np.array([a for a, _ in combination], np.int32)
            after, reward, continues = parts(game).step(
                z, np.int32(action), others
            )
            prob = np.prod([p for _, p in combination], dtype=np.float64)
            next_value, reached = value, reach * prob * bool(continues)
            if depth > 1 and continues and reached >= prune_below:
                deeper = depth - 1, value, prune_below, reached
                next_value = recursive_scores(
                    game, players, after, *deeper
                ).max()
            future = GAMMA * next_value * bool(continues)
            scores[action] += prob * (float(reward) + future)
    return scores


@pytest.mark.parametrize(
    "game, opponent, depth, prune_below",
    [
        (HUNT, "nearest_stag", 2, 0.0),
        pytest.param(
            SNOW,
            "noisy(nearest_drift, 0.5)",
            1,
            0.0,
            marks=pytest.mark.slow,
        ),
        (SNOW, "noisy(nearest_drift, 0.5)", 3, 0.3),
    ],
)
def test_scores_are_those_of_plain_recursion(
    game, opponent, depth, prune_below
):
    players = (make_player(opponent, game),)
    world = TrueModel(learned=ConstantValue(0.5), game=game)
    rules = RuleOpponents(players=players, game=game)
    shown = first_steps(game, 2)
    plans = plan(world, rules, shown, depth=depth, prune_below=prune_below)
    for row in range(2):
        z, legal = parts(game).encode(shown.obs[row, 0]), shown.legal[row, 0]
        scores = recursive_scores(game, players, z, depth, 0.5, prune_below)
        np.testing.assert_allclose(plans.scores[row], scores, rtol=1e-5)
        total = plans.reward[row] + plans.value[row]
        np.testing.assert_allclose(total[legal], plans.scores[row][legal])


def test_depth_one_is_one_step():
    config = ModelConfig(latent=4, width=8, depth=1)
    world = build(WorldModel, HUNT, config, goals=1, heads=2, key=0)
    rules, shown = random_rules(HUNT), first_steps(HUNT, 1)
    one = plan(world, rules, shown, planner=one_step).scores
    np.testing.assert_allclose(
        one, plan(world, rules, shown, depth=1).scores, rtol=1e-5
    )
    assert not np.allclose(one, plan(world, rules, shown, depth=2).scores)


def test_actions_predicted_illegal_are_not_expanded():
    """Two cells, a hare on the right one; the agent on the left one. One step finds no
    reward, two steps find that the hare can be caught only on the right cell."""
    game = make_game(
        "stag_hunt(height=1, width=2, hunters=2, stags=0, hares=1, max_steps=9)"
    )
    state = compiled(game.reset)(jax.random.key(0))[0]
    cells = np.array([0, 0], np.int32), np.array([1], np.int32)
    state = eqx.tree_at(lambda s: (s.cell, s.thing_cell), state, cells)
    shown = compiled(game.look)(state, np.zeros(2, np.float32))
    shown = jax.tree.map(lambda x: np.asarray(x)[None], shown)
    player = make_player("always(STAY)", game)
    rules = RuleOpponents(players=(player,), game=game)
    world = TrueModel(learned=ConstantValue(), game=game)
    found = plan(world, rules, shown, depth=2)
    right = game.action_names.index("RIGHT")
    stay = game.action_names.index("STAY")
    assert found.action == right
    assert found.scores[0, right] == pytest.approx(GAMMA)
    assert found.scores[0, stay] == 0


class TwoTypes(OpponentModel):
    """One opponent of two equally likely types; in round one, type k plays k."""

    game: object = eqx.field(static=True)

    def init(self):
        return np.array([[0.5, 0.5]], np.float32)

    def predict(self, belief, obs, legal):
        return belief

    def update(self, belief, obs, actions, present):
        return jax.nn.one_hot(actions[1:], 2)

    def posterior(self, belief):
        return belief


def test_belief_is_updated_inside_the_plan():
    """A match pays 1, a mismatch costs 1: no gain now, but the opponent's first action
    reveals the second."""
    payoffs = (((1, -1), (-1, 1)), ((1, -1), (-1, 1)))
    game = make_game("matrix", payoffs=payoffs, rounds=2)
    world = TrueModel(learned=ConstantValue(), game=game)
    opponents, shown = TwoTypes(game=game), first_steps(game, 1)
    now = plan(world, opponents, shown, depth=1)
    np.testing.assert_allclose(now.scores, 0, atol=1e-7)
    two_steps = plan(world, opponents, shown, depth=2)
    np.testing.assert_allclose(two_steps.scores, GAMMA, rtol=1e-6)


@pytest.mark.slow
def test_rows_of_a_batch_are_independent():
    world = TrueModel(learned=ConstantValue(), game=HUNT)
    rules, shown = random_rules(HUNT), first_steps(HUNT, 5)
    masks = shown.legal[:, :1] & (np.arange(7) != np.arange(5)[:, None, None])
    masks[..., 4] = True
    shown = eqx.tree_at(lambda s: s.legal, shown, masks)
    settings = {"depth": 2, "joint_limit": 1, "samples": 2}
    whole = plan(world, rules, shown, **settings)
    for row in range(5):
        alone = jax.tree.map(lambda x, row=row: x[row : row + 1], shown)
        scores = plan(world, rules, alone, **settings).scores[0]
        np.testing.assert_allclose(whole.scores[row], scores, rtol=1e-5)
        assert np.array_equal(np.isfinite(whole.scores[row]), masks[row, 0])
