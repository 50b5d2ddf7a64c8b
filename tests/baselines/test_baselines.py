"""Other methods: each solves what it must be able to solve, and goes through training, loading and evaluation like the agent."""

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


def learn(method, game, players, episodes, path, **changes):
    spec = f"mixture({', '.join(players)})" if len(players) > 1 else players[0]
    data = collect(make_game(game), [spec] * 2, episodes, 0, path=path / "data")
    config = RunConfig(
        game=game,
        method=method,
        model=MODEL,
        train=TRAIN,
        collect=CollectConfig(players=players),
    )
    return train(
        data, dataclasses.replace(config, **changes), path=path / "run"
    )


def mean_return(run, opponent, episodes=400):
    scores = evaluate(run.game, [run.player(), opponent], episodes, 1)
    return scores.table["return"].to_numpy().mean()


# -- what each must solve ------------------------------------------------------------------------------------------------------


def test_behaviour_cloning_recovers_the_policy(tmp_path):
    run = learn("behaviour_cloning", DILEMMA, (NOISY,), 600, tmp_path)
    game = run.game
    first, _, did = exact_rounds(game)
    player, legal = run.player(), np.ones(2, bool)
    for obs, cooperates in (
        (first, 0.8),
        *((o, 0.8 if c == 0 else 0.2) for o, c in did),
    ):
        probs = player.step(player.init(), obs, legal, jax.random.key(0))[
            2
        ].probs
        assert probs[0] == pytest.approx(cooperates, abs=0.06)
    held_out = json.loads((run.path / "diagnostics.json").read_text())[
        "heldout"
    ]["policy"]
    assert held_out == pytest.approx(
        -(0.8 * np.log(0.8) + 0.2 * np.log(0.2)), abs=0.03
    )  # its entropy


def exact_rounds(game):
    """The first observation, and those after the other player's action 0 or 1 in a first round, with that action."""
    state, shown = game.reset(jax.random.key(0))
    found = [
        (game.step(state, np.array([0, c]), jax.random.key(1))[1].obs[0], c)
        for c in (0, 1)
    ]
    return shown.obs[0], state, found


@pytest.mark.slow
def test_iql_improves_on_the_data_as_far_as_the_best_reply(tmp_path):
    run = learn(
        "iql",
        DILEMMA,
        (NOISY,),
        1500,
        tmp_path,
        model=dataclasses.replace(MODEL, depth=2),
    )
    best = exact.best_reply(run.game, 0, [NOISY], gamma=1.0).value
    worth = exact_return(run.game, run.player(), NOISY)
    data = exact_return(run.game, NOISY, NOISY)
    assert worth > best - 0.35 > data + 1


def exact_return(game, player, opponent):
    return (
        evaluate(game, [player, opponent], 4000, 3)
        .table["return"]
        .to_numpy()
        .mean()
    )


def test_ppo_finds_the_best_reply(tmp_path):
    """Against tit for tat: cooperate nine times, then defect."""
    run = learn(
        "ppo",
        DILEMMA,
        ("tit_for_tat",),
        2000,
        tmp_path,
        model=ModelConfig(width=64),
    )
    assert (
        mean_return(run, "tit_for_tat")
        == exact.best_reply(run.game, 0, ["tit_for_tat"], gamma=1.0).value
        == 32
    )


@pytest.mark.slow
def test_ppo_with_a_memory_finds_out_who_the_other_is(tmp_path):
    """Nothing is seen of the rounds before: whoever remembers them loses the first alone, whoever does not all of one player's."""
    game = (
        "matrix(payoffs=(((1,-1),(-1,1)),((1,-1),(-1,1))), rounds=8, memory=0)"
    )
    players = ("always_c", "always_d")
    run = learn("ppo_recurrent", game, players, 2000, tmp_path)
    returns = [mean_return(run, name, 100) for name in players]
    assert sorted(returns) == [6, 8]


# -- parts of ppo --------------------------------------------------------------------------------------------------------------


def test_advantages_against_a_slow_loop():
    rng = np.random.default_rng(0)
    acted = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], bool)
    reward, values = (
        rng.normal(size=(2, 4)).astype(np.float32),
        rng.normal(size=(2, 5)).astype(np.float32),
    )
    ends = np.array(
        [[0, 0, 0, 0], [0, 1, 0, 0]], bool
    )  # one is cut off and goes on in value, one has left
    batch = ppo.Batch(
        None, None, None, np.where(acted, 0, ABSENT), None, reward, ends
    )
    found = np.asarray(ppo.gae(batch, values, 0.9, 0.7))
    for row in range(2):
        for t in range(4):
            slow, share = 0.0, 1.0
            for k in range(t, 4):
                if not acted[row, k]:
                    break
                goes_on = 0.9 * (not ends[row, k])
                slow += share * (
                    reward[row, k]
                    + goes_on * values[row, k + 1]
                    - values[row, k]
                )
                share *= 0.7 * goes_on
            assert found[row, t] == pytest.approx(slow, abs=1e-5)


def test_own_play_is_told_ego_first_from_every_seat():
    game = make_game(
        "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=1, max_steps=6)"
    )
    lineup = seat_players(game, ["random"] * 3, 9, 0, rotate=True)
    episodes = play(game, lineup, 0).episodes
    seat = np.arange(9) % 3
    batch = ppo.own_play(episodes, seat, limit_ends=False)
    for row in range(9):
        order = ego_order(3)[seat[row]]
        assert (batch.before[row, 0] == ABSENT).all()
        for t in range(6):
            assert (
                batch.before[row, t + 1] == episodes.action[row, t][order]
            ).all()
            assert batch.action[row, t] == episodes.action[row, t, seat[row]]
            assert (batch.obs[row, t] == episodes.obs[row, t, seat[row]]).all()


def test_a_policy_reads_an_episode_as_it_is_played():
    game = make_game(DILEMMA)
    net = ActorCritic.create(game, MODEL, recurrent=True, key=jax.random.key(0))
    player = PolicyPlayer(net=net, game=game, name="policy")
    lineup = seat_players(game, [player, "random"], 4, 0, rotate=True)
    episodes = play(game, lineup, 0).episodes
    batch = ppo.own_play(episodes, np.arange(4) % 2, limit_ends=True)
    logs, _ = jax.vmap(net.along)(batch.obs, batch.legal, batch.before)
    chosen = np.take_along_axis(
        np.asarray(logs)[:, :-1], batch.action[..., None], 2
    )[..., 0]
    np.testing.assert_allclose(np.exp(chosen), batch.prob, rtol=1e-4)


# -- like the agent ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["iql", "ppo_recurrent"])
def test_a_stopped_training_goes_on_to_the_same_bits(
    method, tmp_path, monkeypatch
):
    few = dataclasses.replace(
        TRAIN,
        updates=8,
        batch=16,
        value_batch=16,
        log_every=2,
        checkpoint_every=10,
    )
    few = (
        few
        if method == "ppo_recurrent"
        else dataclasses.replace(few, checkpoint_every=4)
    )
    data = collect(
        make_game(DILEMMA),
        ["random", "tit_for_tat"],
        60,
        0,
        path=tmp_path / "data",
    )
    players = CollectConfig(players=("random", "tit_for_tat"))
    monkeypatch.setattr(ppo, "EPISODES", 16)
    config = RunConfig(
        game=DILEMMA, method=method, model=MODEL, train=few, collect=players
    )
    whole = train(data, config, path=tmp_path / "whole")

    from bestreply.utils import checkpoint

    save = checkpoint.save_checkpoint

    def stop(folder, step, tree, **settings):
        save(folder, step, tree, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        train(data, config, path=tmp_path / "stopped")
    monkeypatch.setattr(checkpoint, "save_checkpoint", save)
    again = train(data, config, path=tmp_path / "stopped", resume=True)
    assert eqx.tree_equal(again.train_state, whole.train_state)
    assert eqx.tree_equal(
        load_run(tmp_path / "whole").train_state, whole.train_state
    )


def test_a_policy_goes_through_the_flow(tmp_path):
    few = dataclasses.replace(
        TRAIN, updates=6, batch=16, log_every=3, checkpoint_every=3
    )
    evaluation = EvaluateConfig(
        ("tit_for_tat",),
        8,
        ("agent", "uniform_others", "true_types", "random"),
        0,
    )
    config = RunConfig(
        game=DILEMMA,
        method="behaviour_cloning",
        model=MODEL,
        train=few,
        evaluate=evaluation,
    )
    config = dataclasses.replace(
        config,
        collect=CollectConfig(players=("random", "tit_for_tat"), episodes=40),
    )
    run = run_all(config, tmp_path / "run")
    scores = evaluate_run(load_run(run.path))
    assert set(scores.table["method"].to_pylist()) == {
        "agent",
        "random",
    }  # it has no planner to be told anything
    assert "behaviour_cloning" in (run.path / "report.html").read_text()
    with pytest.raises(
        ValueError,
        match=r"method=behaviour_cloning: expected a method that plans",
    ):
        diagnose_run(run)
    with pytest.raises(
        ValueError, match=r"improve.rounds=1, method=iql: expected 0"
    ):
        bad = dataclasses.replace(
            config,
            method="iql",
            improve=dataclasses.replace(config.improve, rounds=1),
        )
        run_all(bad, tmp_path / "bad")


@pytest.mark.slow
def test_hop_searches_in_the_game_itself_and_believes_in_goals(tmp_path):
    game = (
        "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=5)"
    )
    few = TrainConfig(
        opponent_updates=4, updates=4, batch=8, opponent_batch=8, value_batch=8
    )
    run = learn(
        "hop", game, ("nearest_stag", "random"), 30, tmp_path, train=few
    )
    agent = run.agent(simulations=8)
    assert isinstance(agent.world, TrueModel)
    assert agent.config.planner == "mcts"
    assert run.goals == run.game.goals
    first = play(
        run.game,
        seat_players(run.game, [agent, "nearest_stag"], 2, 0),
        0,
        series=2,
        watch=0,
    )
    assert first.episodes.length.sum() > 0
    _, shown = run.game.reset(jax.random.key(0))
    plan = (
        load_run(run.path)
        .agent(planner="one_step")
        .plan(shown.obs[0], shown.legal[0])
    )
    state = run.game.state_in(shown.obs[0])
    for action in np.flatnonzero(
        shown.legal[0]
    ):  # the reward it expects is the game's, whatever the other does
        others = np.flatnonzero(np.asarray(plan.others[0]) > 0)
        paid = [
            run.game.step(state, np.array([action, a]), jax.random.key(0))[
                1
            ].reward[0]
            for a in others
        ]
        assert plan.reward[action] == pytest.approx(
            np.dot(paid, np.asarray(plan.others[0])[others]), abs=1e-4
        )
