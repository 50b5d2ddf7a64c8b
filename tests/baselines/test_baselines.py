"""Baselines: each solves a toy with a known solution, and passes through the flow like the agent."""

import dataclasses
import json

import equinox as eqx
import jax
import numpy as np
import pytest

from bestreply import (
    RunConfig,
    collect,
    evaluate,
    exact,
    load_run,
    make_game,
    train,
)
from bestreply.analysis.regret import diagnose_run
from bestreply.baselines import ppo
from bestreply.baselines.policy import ActorCritic, PolicyPlayer
from bestreply.config import (
    CollectConfig,
    EvaluateConfig,
    ModelConfig,
    TrainConfig,
)
from bestreply.models.true_model import TrueModel
from bestreply.pipeline import evaluate_run, run_all
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ego_order
from bestreply.utils import checkpoint
from tests.shared import build, compiled, played

DILEMMA = "matrix(table=prisoners_dilemma, rounds=10, memory=1)"
NOISY = "noisy(tit_for_tat, 0.4)"
MODEL = ModelConfig(latent=8, width=32, depth=1)
TRAIN = TrainConfig(
    updates=600,
    batch=128,
    value_batch=256,
    gamma=1.0,
    at_limit="zero",
    log_every=200,
    target_tau=0.02,
)


def trained(method, game, players, episodes, path, **changes):
    """A run of `method` on play of `players`."""
    spec = f"mixture({', '.join(players)})" if len(players) > 1 else players[0]
    data = collect(make_game(game), [spec] * 2, episodes, 0, path=path / "data")
    config = RunConfig(
        game=game,
        method=method,
        model=MODEL,
        train=TRAIN,
        collect=CollectConfig(players=players),
    )
    config = dataclasses.replace(config, **changes)
    return train(data, config, path=path / "run")


def mean_return(game, player, opponent, episodes=400, seed=1):
    return evaluate(game, [player, opponent], episodes, seed).mean()


# -- the toy that each must solve ------------------------------------------------------


def test_behaviour_cloning_recovers_the_policy(tmp_path):
    run = trained("behaviour_cloning", DILEMMA, (NOISY,), 600, tmp_path)
    first, after = first_rounds(run.game)
    player, legal, key = run.player(), np.ones(2, bool), jax.random.key(0)
    step = compiled(type(player).step)
    carry = player.init()
    for obs, cooperates in ((first, 0.8), (after[0], 0.8), (after[1], 0.2)):
        probs = step(player, carry, obs, legal, key)[2].probs
        assert probs[0] == pytest.approx(cooperates, abs=0.06)
    report = json.loads((run.path / "diagnostics.json").read_text())
    entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert report["heldout"]["policy"] == pytest.approx(entropy, abs=0.03)


def first_rounds(game):
    """The first observation, and those after the opponent's action 0 and 1."""
    key = jax.random.key(0)
    state, start = compiled(game.reset)(key)
    step = compiled(game.step)
    after = [
        step(state, np.array([0, action], np.int32), key)[1].obs[0]
        for action in (0, 1)
    ]
    return start.obs[0], after


@pytest.mark.slow
def test_iql_improves_on_the_data_almost_to_the_best_reply(tmp_path):
    model = dataclasses.replace(MODEL, depth=2)
    run = trained("iql", DILEMMA, (NOISY,), 1500, tmp_path, model=model)
    best = exact.best_reply(run.game, 0, [NOISY], gamma=1.0).value
    learned, data = (
        mean_return(run.game, player, NOISY, 4000, seed=3)
        for player in (run.player(), NOISY)
    )
    assert learned > best - 0.35 > data + 1


def test_ppo_finds_the_best_reply(tmp_path):
    """To tit for tat: cooperate nine times, then defect."""
    model = ModelConfig(width=64)
    run = trained("ppo", DILEMMA, ("tit_for_tat",), 2000, tmp_path, model=model)
    best = exact.best_reply(run.game, 0, ["tit_for_tat"], gamma=1.0).value
    assert best == 32
    assert mean_return(run.game, run.player(), "tit_for_tat") == best


@pytest.mark.slow
def test_ppo_with_memory_infers_the_type_of_its_opponent(tmp_path):
    """Observations show no past rounds: with memory one round is lost, without all eight."""
    game = (
        "matrix(payoffs=(((1,-1),(-1,1)),((1,-1),(-1,1))), rounds=8, memory=0)"
    )
    players = ("always_c", "always_d")
    run = trained("ppo_recurrent", game, players, 2000, tmp_path)
    returns = [
        mean_return(run.game, run.player(), name, 100) for name in players
    ]
    assert sorted(returns) == [6, 8]


# -- parts of ppo ----------------------------------------------------------------------


def test_advantages_against_a_loop():
    rng = np.random.default_rng(0)
    acted = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
    reward = rng.normal(size=(2, 4)).astype(np.float32)
    values = rng.normal(size=(2, 5)).astype(np.float32)
    # The first episode is truncated, in the second the seat terminates.
    ends = np.array([[0, 0, 0, 0], [0, 1, 0, 0]], bool)
    batch = ppo.Batch(
        None, None, None, np.where(acted, 0, ABSENT), None, reward, ends
    )
    estimates = jax.jit(lambda values: ppo.gae(batch, values, 0.9, 0.7))(values)
    for row in range(2):
        for t in range(4):
            expected, weight = 0.0, 1.0
            for k in range(t, 4):
                if not acted[row, k]:
                    break
                discount = 0.9 * (not ends[row, k])
                next_value = discount * values[row, k + 1]
                error = reward[row, k] + next_value - values[row, k]
                expected += weight * error
                weight *= 0.7 * discount
            assert estimates[row, t] == pytest.approx(expected, abs=1e-5)


def test_own_steps_are_ego_first_for_every_seat():
    game = make_game(
        "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=1, max_steps=6)"
    )
    episodes = played(game, ("random",) * 3, 9)
    seat = np.arange(9) % 3
    batch = ppo.own_play(episodes, seat, limit_ends=False)
    assert (batch.before[:, 0] == ABSENT).all()
    for row in range(9):
        own, order = seat[row], ego_order(3)[seat[row]]
        joint = episodes.action[row][:, order]
        assert (batch.before[row, 1:] == joint).all()
        assert (batch.action[row] == episodes.action[row, :, own]).all()
        assert (batch.obs[row] == episodes.obs[row, :, own]).all()


def test_a_policy_reads_an_episode_as_it_is_played():
    game = make_game(DILEMMA)
    net = build(ActorCritic.create, game, MODEL, recurrent=True)
    player = PolicyPlayer(net=net, game=game, name="policy")
    lineup = seat_players(game, [player, "random"], 4, 0, rotate=True)
    episodes = play(game, lineup, 0).episodes
    batch = ppo.own_play(episodes, np.arange(4) % 2, limit_ends=True)
    along = eqx.filter_jit(jax.vmap(ActorCritic.along, (None, 0, 0, 0)))
    log_probs = np.asarray(along(net, batch.obs, batch.legal, batch.before)[0])
    action = np.asarray(batch.action)[..., None]
    log_prob = np.take_along_axis(log_probs[:, :-1], action, 2)[..., 0]
    np.testing.assert_allclose(np.exp(log_prob), batch.prob, rtol=1e-4)


# -- the flow --------------------------------------------------------------------------

FEW = dataclasses.replace(
    TRAIN, updates=8, batch=16, value_batch=16, log_every=2, checkpoint_every=4
)
PLAYERS = ("random", "tit_for_tat")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "dilemma"
    return collect(make_game(DILEMMA), PLAYERS, 60, 0, path=path)


@pytest.mark.parametrize(
    "method, checkpoint_every", [("iql", 4), ("ppo_recurrent", 10)]
)
def test_an_interrupted_training_continues_to_the_same_bits(
    method, checkpoint_every, data, tmp_path, monkeypatch
):
    monkeypatch.setattr(ppo, "EPISODES", 16)
    config = RunConfig(
        game=DILEMMA,
        method=method,
        model=MODEL,
        train=dataclasses.replace(FEW, checkpoint_every=checkpoint_every),
        collect=CollectConfig(players=PLAYERS),
    )
    whole = train(data, config, path=tmp_path / "whole")
    save = checkpoint.save_checkpoint

    def save_and_stop(folder, step, tree, **settings):
        save(folder, step, tree, **settings)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(data, config, path=tmp_path / "stopped")
    again = train(data, config, path=tmp_path / "stopped", resume=True)
    assert eqx.tree_equal(again.train_state, whole.train_state)
    loaded = load_run(tmp_path / "whole")
    assert eqx.tree_equal(loaded.train_state, whole.train_state)


def test_a_policy_goes_through_the_flow(tmp_path):
    methods = ("agent", "uniform_others", "true_types", "random")
    config = RunConfig(
        game=DILEMMA,
        method="behaviour_cloning",
        model=MODEL,
        train=FEW,
        evaluate=EvaluateConfig(("tit_for_tat",), 8, methods, 0),
        collect=CollectConfig(players=PLAYERS, episodes=40),
    )
    run = run_all(config, tmp_path / "run")
    scores = evaluate_run(load_run(run.path))
    # A policy has no planner: no rows of uniform opponents or true types.
    assert set(scores.table["method"].to_pylist()) == {"agent", "random"}
    assert "behaviour_cloning" in (run.path / "report.html").read_text()
    message = r"method=behaviour_cloning: expected a method that plans"
    with pytest.raises(ValueError, match=message):
        diagnose_run(run)


def test_rounds_of_own_play_need_a_method_that_plans(tmp_path):
    config = RunConfig(game=DILEMMA, method="iql")
    improve = dataclasses.replace(config.improve, rounds=1)
    config = dataclasses.replace(config, improve=improve)
    message = r"improve.rounds=1, method=iql: expected 0"
    with pytest.raises(ValueError, match=message):
        run_all(config, tmp_path / "run")


@pytest.mark.slow
def test_hop_searches_in_the_true_game_with_a_belief_over_goals(tmp_path):
    game = (
        "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=5)"
    )
    few = TrainConfig(
        opponent_updates=4, updates=4, batch=8, opponent_batch=8, value_batch=8
    )
    players = ("nearest_stag", "random")
    run = trained("hop", game, players, 30, tmp_path, train=few)
    agent = run.agent(simulations=8)
    assert isinstance(agent.world, TrueModel)
    assert agent.config.planner == "mcts"
    assert run.goals == run.game.goals
    lineup = seat_players(run.game, [agent, "nearest_stag"], 2, 0)
    log = play(run.game, lineup, 0, series=2, watch=0).episodes
    assert log.length.sum() > 0
    check_expected_rewards(run)


def check_expected_rewards(run):
    """One step of planning expects the rewards of the true game."""
    key = jax.random.key(0)
    _, start = run.game.reset(key)
    obs, legal = start.obs[0], np.asarray(start.legal[0])
    plan = load_run(run.path).agent(planner="one_step").plan(obs, legal)
    state, step = run.game.state_in(obs), compiled(run.game.step)
    probs = np.asarray(plan.others[0])
    for action in np.flatnonzero(legal):
        rewards = [
            prob * step(state, np.array([action, other]), key)[1].reward[0]
            for other, prob in enumerate(probs)
            if prob > 0
        ]
        assert plan.reward[action] == pytest.approx(
            float(sum(rewards)), abs=1e-4
        )
