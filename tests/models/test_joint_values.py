"""Values of joint actions: what they learn, which plans follow them, and when."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bestreply as br
from bestreply.config import (
    EvaluateConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.games.base import Game
from bestreply.games.matrix import TABLES
from bestreply.methods.estimates import estimate_anchors
from bestreply.methods.trials import try_anchors
from bestreply.models.joint_values import JointValues
from bestreply.planning.base import DecisionPoint
from bestreply.planning.expansion import expand
from bestreply.planning.revisions import Revisions
from bestreply.replay.moa_buffer import Index, fill, gather
from bestreply.training.joint_values import joint_value_losses
from bestreply.types import TimeStep
from tests.shared import build, played

DILEMMA = "matrix(table=prisoners_dilemma, rounds=2)"
FIRST = Index(
    *(jnp.array(x) for x in ([0, 1, 2, 3], [0, 1, 0, 1], [0, 1, 1, 0]))
)
PLAYERS = ("always_c", "always_d", "random")
CONFIG = RunConfig(
    game=DILEMMA,
    model=ModelConfig(latent=4, width=16, depth=1),
    train=TrainConfig(
        opponent_updates=60,
        opponent_batch=64,
        updates=200,
        batch=64,
        value_batch=64,
        anchor_updates=2,
        joint_updates=600,
        max_epochs=0,
        trial_episodes=32,
        log_every=300,
        checkpoint_every=600,
    ),
    planner=PlannerConfig(samples=4),
    evaluate=EvaluateConfig(episodes=16),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "dilemma"
    drawn = [f"mixture({', '.join(PLAYERS)})"] * 2
    return br.collect(br.make_game(DILEMMA), drawn, 200, seed=0, path=path)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return br.train(data, CONFIG, path=tmp_path_factory.mktemp("run") / "run")


def values_of(run):
    return run.train_state.joint_values.model


def used(run, where=True):
    """Return the run whose plans follow its values of joint actions in all company."""
    model = values_of(run).with_used(where)
    state = dataclasses.replace(run.train_state.joint_values, model=model)
    state = dataclasses.replace(run.train_state, joint_values=state)
    return run.with_train_state(state)


def last_round(data):
    """Return an observation of a last round."""
    return jnp.asarray(data.episodes().obs[0, 1, 0])


def test_values_of_a_last_round_are_the_payoffs(data, run):
    obs, values = last_round(data), values_of(run)
    payoffs = np.array(TABLES["prisoners_dilemma"].rows)
    names = [entry["name"] for entry in run.roster]
    for action, known in enumerate(("always_c", "always_d")):
        belief = jax.nn.one_hot(jnp.array([names.index(known)]), len(names))
        others = jnp.full((1, 1), action)
        found = values.expected(obs, belief, others, jnp.ones(1))
        np.testing.assert_allclose(found, payoffs[:, action], atol=0.5)


def test_scores_are_the_mean_over_predicted_actions_where_values_are_used(
    data, run
):
    obs = last_round(data)
    whole, alone = used(run).agent(), used(run, False).agent()
    assert alone.joint_values is None
    plan = whole.plan(obs, np.ones(2, bool))
    posterior = whole.opponents.posterior(plan.belief)
    values = whole.joint_values
    slow = sum(
        plan.others[0, a]
        * values.expected(obs, posterior, jnp.full((1, 1), a), jnp.ones(1))
        for a in range(2)
    )
    np.testing.assert_allclose(plan.scores, slow, rtol=1e-5)
    np.testing.assert_allclose(plan.reward + plan.value, slow, rtol=1e-5)
    by_world = alone.plan(obs, np.ones(2, bool))
    np.testing.assert_allclose(plan.reward, by_world.reward, rtol=1e-6)
    assert not np.allclose(plan.scores, by_world.scores, rtol=1e-2)
    barred = whole.plan(obs, np.array([True, False]))
    assert barred.action == 0 and barred.scores[1] == -np.inf
    # Used beside other company alone, they change nothing here.
    nowhere = values.with_used(np.eye(values.used.shape[1], dtype=bool)[:1])
    other = dataclasses.replace(whole, joint_values=nowhere)
    assert not bool(nowhere.uses(obs, posterior))
    np.testing.assert_allclose(
        other.plan(obs, np.ones(2, bool)).scores, by_world.scores, rtol=1e-6
    )


def test_an_agent_that_follows_them_defects(run):
    """The world model alone would cooperate."""
    state = backwards(used(run).train_state)
    agent = run.with_train_state(state).agent()
    alone = dataclasses.replace(agent, joint_values=None)
    assert br.evaluate(run.game, [alone, "always_c"], 4, 0).mean() == 3 + 3
    for opponent, earned in (("always_c", 5 + 5), ("always_d", 1 + 1)):
        assert br.evaluate(run.game, [agent, opponent], 4, 0).mean() == earned


def backwards(train_state):
    """Return the state with a world model that takes high rewards for low ones."""
    world = train_state.world
    return eqx.tree_at(
        lambda s: (s.world.reward_units.scale, s.world.value_scale),
        train_state,
        (-world.reward_units.scale, 0 * world.value_scale),
    )


def test_trials_choose_them_where_they_earn_more(run, tmp_path):
    apart = dataclasses.replace(run, path=tmp_path)
    state = try_anchors(apart, backwards(run.train_state), lambda *_: None)
    tried = json.loads((tmp_path / "trials.json").read_text())["tried"]
    order = [entry["name"] for entry in run.roster]
    followed = np.asarray(state.joint_values.model.used)[0]
    for opponents in dict.fromkeys(t["opponents"] for t in tried):
        own = [t for t in tried if t["opponents"] == opponents]
        planner = own[0]
        (chosen,) = [t for t in own if t["chosen"]]
        assert (planner["weight"], planner["joint"]) == (0, False)
        assert chosen["joint"] and chosen["return"] > planner["return"]
        at = order.index(opponents) if opponents in order else -1
        assert followed[at]
    agent = run.with_train_state(state).agent()
    assert br.evaluate(run.game, [agent, "always_c"], 4, 0).mean() == 5 + 5


def test_logged_play_can_choose_them_too(data, run, tmp_path):
    """Where nothing can be played, fitted Q evaluation decides."""
    apart = dataclasses.replace(run, path=tmp_path)
    buffer = fill(data.episodes())
    estimate_anchors(apart, backwards(run.train_state), buffer, lambda *_: None)
    tried = json.loads((tmp_path / "trials.json").read_text())["tried"]
    (chosen,) = [t for t in tried if t["chosen"]]
    by_kind = {(t["joint"], t["weight"], t["sampled"]): t for t in tried}
    planner, values = by_kind[False, 0, False], by_kind[True, 0, False]
    assert values["return"] > planner["return"] + 1
    assert chosen["return"] >= values["return"]


def test_losses_by_hand():
    """Against NumPy, an expectile and the lesser of two values written out."""
    game = br.make_game(DILEMMA)
    model, target = (
        build(JointValues.create, game, CONFIG.model, 3, key=k) for k in (0, 1)
    )
    units = dataclasses.replace(
        model.returns, mean=jnp.array([2.0]), scale=jnp.array([3.0])
    )
    model = dataclasses.replace(model, returns=units)
    at = gather(fill(played(DILEMMA, ("random", "random"), 4)), FIRST)
    count = len(at.action)
    now, after = jax.random.uniform(jax.random.key(2), (2, count, 1, 3))
    discount = jnp.where(at.terminated, 0.0, 0.9)
    found = joint_value_losses(model, target, at, (now, after), discount)
    sums = dict.fromkeys(found, 0.0)
    for b in range(count):
        value = (float(model.value(at.obs[b], now[b])) - 2) / 3
        next_value = float(model.value(at.next_obs[b], after[b]))
        y = (float(at.reward[b] + discount[b] * next_value) - 2) / 3
        own = np.asarray(model.own(at.obs[b], now[b]))[:, at.action[b]]
        best = np.asarray(target.own(at.obs[b], now[b]))[:, at.action[b]].min()
        joint = model.joint(at.obs[b], now[b], at.others[b][None])[0]
        weight = 0.8 if best > value else 0.2
        sums["value"] += weight * (best - value) ** 2
        sums["own"] += ((own - y) ** 2).sum() / 2
        sums["joint"] += float(joint[at.action[b]] - y) ** 2 / 2
    for name, total in sums.items():
        np.testing.assert_allclose(found[name], total / count, rtol=1e-4)


def test_they_are_trained_only_where_trials_can_choose_them():
    def trained(**changes):
        train = dataclasses.replace(CONFIG.train, **changes)
        return dataclasses.replace(CONFIG, train=train).values_joint_actions

    assert trained()
    for name in ("anchor_updates", "trial_episodes", "joint_updates"):
        assert not trained(**{name: 0})
    deeper = dataclasses.replace(CONFIG.planner, planner="expectimax")
    deeper = dataclasses.replace(CONFIG, planner=deeper)
    assert not deeper.values_joint_actions


def test_a_run_of_before_there_were_any_can_be_opened(data, tmp_path):
    train = dataclasses.replace(
        CONFIG.train, joint_updates=0, opponent_updates=2, trial_episodes=0
    )
    config = dataclasses.replace(CONFIG, train=train)
    run = br.train(data, config, path=tmp_path / "run")
    file = run.path / "config.json"
    document = json.loads(file.read_text())
    del document["train"]["joint_updates"]
    file.write_text(json.dumps(document))
    opened = br.load_run(run.path)
    assert opened.config.train.joint_updates == 0
    assert opened.agent().joint_values is None


def test_looking_ahead_takes_their_value_of_what_follows_and_revises_none(
    data, run
):
    """Revisions were made of the value heads, and do not fit V(o, b)."""
    agent, obs = used(run).agent(), data.episodes().obs[0, 0, 0]
    models, obs = agent.models, jnp.asarray(obs)
    assert models.levels is not None and models.joint_values is not None
    belief = agent.opponents.init()
    at = DecisionPoint(obs, jnp.ones(2, bool), jnp.ones(2, bool), belief)
    z = models.latent(at)

    def expanded(models, change=0.0):
        after = models.world.imagine(
            models.world.next(z, jnp.int32(0), jnp.array([0]))
        )
        revisions = Revisions.none(4).revised(
            models.levels.number(after), jnp.float32(change)
        )
        return expand(models, at._replace(revisions=revisions), z, None)

    found = jax.jit(expanded)(models, 0.0)
    world = models.world
    for own, other in np.ndindex(2, 2):
        row = int(np.flatnonzero(np.asarray(found.joint)[:, 0] == other)[0])
        after = world.imagine(world.next(z, jnp.int32(own), found.joint[row]))
        believed = models.opponents.posterior(
            jax.tree.map(lambda x, row=row: x[row], found.belief)
        )
        value = models.joint_values.value(after, believed)
        np.testing.assert_allclose(found.next_value[own, row], value, rtol=1e-4)
    again = jax.jit(expanded)(models, -5.0)
    np.testing.assert_allclose(again.next_value, found.next_value, rtol=1e-6)
    heads = dataclasses.replace(models, joint_values=None)
    before, after = (jax.jit(expanded)(heads, x) for x in (0.0, -5.0))
    assert np.min(after.next_value - before.next_value) == pytest.approx(-5)


class FlipState(eqx.Module):
    """Whether the coin was thrown (1 or -1), and the rounds played."""

    coin: jnp.ndarray
    time: jnp.ndarray


@dataclasses.dataclass(frozen=True)
class Flip(Game):
    """Take .6, or throw a coin, see it, and earn 1 by naming it: for one player."""

    name = "flip"
    version = 1
    summary = "take, or throw a coin and name it"
    num_players = 1
    action_names = ("HEADS", "TAILS")
    obs_shape = (2,)
    max_steps = 2

    def start(self, key):
        return FlipState(jnp.int32(0), jnp.int32(0))

    def advance(self, state, actions, key):
        first, throws = state.time == 0, actions[0] == 1
        side = 2 * jax.random.bernoulli(key).astype(jnp.int32) - 1
        named = (2 * actions[0] - 1) == state.coin
        reward = jnp.where(first, 0.6 * ~throws, named & (state.coin != 0))
        coin = jnp.where(first & throws, side, 0)
        time = jnp.where(first & ~throws, 2, state.time + 1)
        return FlipState(coin, time), reward[None]

    def finished(self, state):
        return state.time >= 2

    def look(self, state, reward):
        obs = jnp.stack([state.coin, state.time]).astype(jnp.float32)
        return TimeStep(
            obs=obs[None],
            legal=jnp.ones((1, 2), bool),
            reward=reward.astype(jnp.float32),
            terminated=(state.time >= 2)[None],
            truncated=jnp.asarray(False),
            present=jnp.ones(1, bool),
        )


@pytest.mark.slow
def test_they_know_what_to_do_after_chance_where_all_players_of_the_data_are_poor(
    tmp_path,
):
    """The only player names coins at random, so that its play after a throw is worth .5."""
    game = Flip()
    data = br.collect(game, ["random"], 500, seed=0, path=tmp_path / "data")
    train = dataclasses.replace(CONFIG.train, updates=400, anchor_updates=50)
    config = dataclasses.replace(CONFIG, game=game, train=train)
    run = br.train(data, config, path=tmp_path / "run")
    alone, whole = used(run, False).agent(), used(run).agent()
    alone = dataclasses.replace(alone, anchors=None)
    whole = dataclasses.replace(whole, anchors=None)
    earned = [br.evaluate(game, [x], 64, 0).mean() for x in (alone, whole)]
    assert earned[0] == pytest.approx(0.6) and earned[1] == pytest.approx(1.0)
    (tried,) = [
        t
        for t in json.loads((run.path / "trials.json").read_text())["tried"]
        if t["chosen"]
    ]
    assert tried["joint"] and tried["return"] > 0.9
