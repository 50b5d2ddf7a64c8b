"""Trials: the weight of the anchors is the one that earns most; they continue, and are left out where they cannot be."""

import dataclasses
import json
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

import bestreply as br
from bestreply.config import (
    EvaluateConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from bestreply.data.store import create_store
from bestreply.methods import trials
from bestreply.methods.agent import AgentMethod
from bestreply.methods.estimates import estimate_anchors
from bestreply.methods.trials import best_choices, try_anchors
from bestreply.models.world_model import NO_VALUE
from bestreply.replay.moa_buffer import fill
from bestreply.run import Run
from bestreply.train import open_training, train_together
from bestreply.training.metrics_log import MetricsLog
from bestreply.training.state import initial_train_state
from bestreply.types import Plan
from bestreply.utils.checkpoint import list_checkpoints, save_checkpoint
from tests.role_game import Hide
from tests.shared import played

DILEMMA = "matrix(table=prisoners_dilemma, rounds=2)"
PLAYERS = ("always_c", "always_d")
CONFIG = RunConfig(
    game=DILEMMA,
    model=ModelConfig(latent=4, width=8, depth=1),
    train=TrainConfig(
        opponent_updates=2,
        opponent_batch=16,
        updates=2,
        batch=16,
        value_batch=16,
        anchor_updates=100,
        joint_updates=0,
        trial_episodes=16,
        log_every=50,
        checkpoint_every=50,
    ),
    planner=PlannerConfig(samples=4),
    evaluate=EvaluateConfig(episodes=16),
)


def scored(models, at, reward):
    reward = jnp.asarray(reward, jnp.float32)
    game = models.opponents.game
    shape = game.num_players - 1, game.num_actions
    scores = jnp.where(at.legal, reward, -jnp.inf)
    return Plan(
        scores=scores,
        reward=reward,
        value=jnp.zeros_like(reward),
        action=jnp.argmax(scores).astype(jnp.int32),
        others=jnp.full(shape, 1 / game.num_actions),
        belief=at.belief,
    )


def misled(models, at, key):
    """A planner that takes cooperation for a little better than defection."""
    return scored(models, at, [0.01, 0.0])


def right(models, at, key):
    """A planner with scores that are right: defection earns more in every case."""
    return scored(models, at, [0.0, 1.5])


def turned_away(models, at, key):
    """A planner of `Hide` that would not look where the runner can be."""
    return scored(models, at, [0.0, 0.0, 0.01])


def with_planner(run, name, path):
    """Return the run, in another folder and with a planner of this file."""
    planner = dataclasses.replace(
        run.config.planner, planner=f"tests.methods.test_trials:{name}"
    )
    config = dataclasses.replace(run.config, planner=planner)
    path.mkdir(exist_ok=True)
    return dataclasses.replace(run, path=path, config=config)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "dilemma"
    drawn = [f"mixture({', '.join(PLAYERS)})"] * 2
    return br.collect(br.make_game(DILEMMA), drawn, 60, 0, path=path)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run."""
    return br.train(data, CONFIG, path=tmp_path_factory.mktemp("run") / "whole")


def bits(train_state):
    leaves = jax.tree.leaves(eqx.filter(train_state, eqx.is_array))
    return [np.asarray(x).tobytes() for x in leaves]


def metrics(run):
    return pq.read_table(run.path / "metrics.parquet").to_pylist()


def tried_in(run):
    return json.loads((run.path / "trials.json").read_text())


def silent(*_):
    pass


def test_trials_are_logged_and_counted(data, whole):
    document = tried_in(whole)
    sets = list(dict.fromkeys(t["opponents"] for t in document["tried"]))
    assert sets == [*PLAYERS, f"mixture({', '.join(PLAYERS)})"]
    mixed = [t for t in document["tried"] if t["opponents"] == sets[-1]]
    (chosen,) = [t for t in mixed if t["chosen"]]
    assert document["tried"][0]["weight"] == 0  # the planner alone
    choices = [(t["weight"], t["sampled"], t["averaged"]) for t in mixed]
    assert len(set(choices)) == len(choices) > 2
    assert all(0 <= t["return"] <= 10 for t in document["tried"])
    last = metrics(whole)[-1]
    near = whole.train_state.anchors
    assert (last["name"], last["update"]) == ("trials/weight", 1)
    assert last["value"] == pytest.approx(float(near.model.weight[0, -1]))
    assert (float(near.model.weight[0, -1]) > 0) == (chosen["weight"] > 0)
    # Two steps an episode, of every choice beside every opponent set.
    steps = document["env_steps"]
    assert last["env_steps"] == data.manifest.steps
    assert steps == 2 * 16 * len(choices) * len(sets)
    assert int(near.trials) == 1
    updates = AgentMethod().updates(CONFIG, whole.train_state)
    assert updates["anchors"] == (100, 100) and updates["trials"] == (1, 1)


def test_a_misled_planner_stays_close_to_the_best_player(whole, tmp_path):
    run = with_planner(whole, "misled", tmp_path / "misled")
    state = try_anchors(run, whole.train_state, silent)
    assert float(state.anchors.model.weight[0, -1]) > 0
    returns = {t["weight"]: t["return"] for t in tried_in(run)["tried"]}
    assert (
        returns[0] < max(returns.values()) - 1
    )  # of the mixture, the last set
    agent = run.with_train_state(state).agent()
    scores = br.evaluate(run.game, [agent, "always_c"], 4, 0)
    assert scores.mean() == 5 + 5  # what always_d earns, not 3 + 3
    alone = dataclasses.replace(agent, anchors=None)
    assert br.evaluate(run.game, [alone, "always_c"], 4, 0).mean() == 3 + 3


def test_a_planner_that_is_right_is_left_alone(whole, tmp_path):
    run = with_planner(whole, "right", tmp_path / "right")
    before = whole.train_state
    logged = []
    state = try_anchors(run, before, lambda *given: logged.append(given))
    assert float(state.anchors.model.weight[0, -1]) == 0
    assert not bool(state.anchors.model.sampled[0, -1])
    chosen = [t for t in tried_in(run)["tried"] if t["chosen"]]
    kept = {(t["weight"], t["sampled"], t["averaged"]) for t in chosen}
    assert kept == {(0, False, False)}
    assert not np.any(state.anchors.model.weight)
    assert not np.any(state.anchors.model.averaged)
    assert logged[0][:3] == ("trials", 1, {"trials/weight": 0.0})
    # Nothing else of the state changes.
    like = eqx.tree_at(
        lambda s: (
            s.anchors.model.weight,
            s.anchors.model.sampled,
            s.anchors.model.averaged,
        ),
        before,
        (
            state.anchors.model.weight,
            state.anchors.model.sampled,
            state.anchors.model.averaged,
        ),
    )
    assert bits(state) == bits(like)


HIDE = Hide()


def test_each_role_is_tried_alone(tmp_path):
    """Hunters that look away earn nothing; against hunters by chance all places are as good."""
    config = dataclasses.replace(
        CONFIG,
        planner=PlannerConfig(planner="tests.methods.test_trials:turned_away"),
    )
    roster = [{"name": "random", "version": 1}]
    state = initial_train_state(config, HIDE, roster)
    left = np.zeros((2, 1, 3), np.float32)
    left[..., 0] = 20
    last = state.anchors.model.net.layers[-1]
    flat = np.zeros(last.weight.shape, np.float32), left.reshape(-1)
    state = eqx.tree_at(
        lambda s: (
            s.anchors.model.net.layers[-1].weight,
            s.anchors.model.net.layers[-1].bias,
        ),
        state,
        jax.device_put(flat),
    )
    facts = {"data": {"roster": roster}, "env_steps": 100}
    run = Run(tmp_path, config, HIDE, facts, state)
    logged = {}
    state = try_anchors(run, state, lambda *given: logged.update(given[2]))
    adversary, agent = np.asarray(state.anchors.model.weight)[:, -1].tolist()
    assert adversary > 0 and agent == 0
    assert logged == {
        "trials/adversary": pytest.approx(adversary),
        "trials/agent": 0.0,
    }
    chosen = [t for t in tried_in(run)["tried"] if t["chosen"]]
    assert [t["role"] for t in chosen] == ["adversary", "agent"]
    alone, *near = [
        t for t in tried_in(run)["tried"] if t["role"] == "adversary"
    ]
    assert alone["return"] == 0 and max(t["return"] for t in near) > 0.5
    others = [t for t in tried_in(run)["tried"] if t["role"] == "agent"]
    assert all(t["return"] < 0 for t in others)


def near_run(whole, path):
    """A copy of the run whose agent stays close, and draws its actions."""
    shutil.copytree(whole.path, path)
    near = whole.train_state.anchors.model
    last = near.net.layers[-1]
    values = (
        np.zeros(last.weight.shape, np.float32),
        np.array([0.5, 0.0, 0.0, 0.5], np.float32),  # players x actions
        np.full((1, 3), 20.0, np.float32),
        np.ones((1, 3), bool),
    )
    state = eqx.tree_at(
        lambda s: (
            s.anchors.model.net.layers[-1].weight,
            s.anchors.model.net.layers[-1].bias,
            s.anchors.model.weight,
            s.anchors.model.sampled,
        ),
        whole.train_state,
        jax.device_put(values),
    )
    number = list_checkpoints(path / "checkpoints")[-1] + 1
    save_checkpoint(path / "checkpoints", number, state)
    return whole.with_train_state(state)


OBS = np.eye(*br.make_game(DILEMMA).obs_shape * 2, dtype=np.float32)[:3]
LEGAL = np.ones(2, bool)


def test_a_loaded_and_an_exported_agent_stay_as_close(whole, tmp_path):
    run = near_run(whole, tmp_path / "near")
    loaded = br.load_run(tmp_path / "near")
    assert bits(loaded.train_state) == bits(run.train_state)
    opened = br.load_export(loaded.export(tmp_path / "agent.bestreply"))
    agents = run.agent(), loaded.agent()
    far = dataclasses.replace(agents[0], anchors=None)
    for obs in OBS:
        plans = [agent.plan(obs, LEGAL) for agent in agents]
        expected = np.asarray(plans[0].scores)
        np.testing.assert_array_equal(expected, plans[1].scores)
        np.testing.assert_array_equal(expected, opened.plan(obs, LEGAL).scores)
        assert (expected != np.asarray(far.plan(obs, LEGAL).scores)).any()
    sessions = [agent.session(seed=7) for agent in agents]
    state, last, drawn = opened.start(), None, []
    for t in range(10):
        obs = OBS[t % len(OBS)]
        first, second = (session.act(obs, LEGAL) for session in sessions)
        state, action, _ = opened.act(
            state, obs, LEGAL, others=last, seed=7, step=t + 1
        )
        assert first == second == action
        last = np.array([t % 2], np.int32)
        for session in sessions:
            session.observe(last)
        drawn.append(int(action))
    assert len(set(drawn)) == 2


def test_interrupted_training_continues_with_the_trials(
    data, whole, tmp_path, monkeypatch
):
    """Stopped while the anchors are trained, then in the trials."""
    path = tmp_path / "run"
    write, play = MetricsLog.write, trials.evaluate_all

    def stopped_write(log, phase, update, *values):
        write(log, phase, update, *values)
        if (phase, update) == ("anchors", 100):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", stopped_write)
        with pytest.raises(KeyboardInterrupt):
            br.train(data, CONFIG, path=path)
    calls = []

    def stopped_play(*given, **settings):
        calls.append(play(*given, **settings))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trials, "evaluate_all", stopped_play)
        with pytest.raises(KeyboardInterrupt):
            br.train(data, CONFIG, path=path, resume=True)
    assert len(calls) == 1 and not (path / "trials.json").exists()
    run = br.train(data, CONFIG, path=path, resume=True)
    assert bits(run.train_state) == bits(whole.train_state)
    assert metrics(run) == metrics(whole)
    assert tried_in(run) == tried_in(whole)

    def unexpected(*given, **settings):
        raise AssertionError("a complete run is tried again")

    monkeypatch.setattr(trials, "evaluate_all", unexpected)
    again = br.train(data, CONFIG, path=path, resume=True)
    assert bits(again.train_state) == bits(whole.train_state)


def few(**changes):
    train = dataclasses.replace(CONFIG.train, anchor_updates=2, **changes)
    return dataclasses.replace(CONFIG, train=train)


def unknown_players(path):
    """Play of players that cannot be made."""
    roster = [{"name": f"student_{k}", "version": 1} for k in range(2)]
    store = create_store(path, br.make_game(DILEMMA), roster)
    store.append(played(DILEMMA, PLAYERS, 12), seed=0)
    return store, DILEMMA


def recorded(path):
    """Play without rules."""
    rng = np.random.default_rng(0)
    store = br.store_from_arrays(
        rng.random((12, 3, 2, 1), np.float32),
        rng.integers(0, 2, (12, 2, 2)).astype(np.int32),
        rng.random((12, 2, 2)),
        path=path,
    )
    return store, store.game()


@pytest.mark.parametrize("make", [unknown_players, recorded])
def test_where_nothing_can_be_played_logged_play_decides(make, tmp_path):
    store, game = make(tmp_path / "data")
    config = dataclasses.replace(few(), game=game)
    run = br.train(store, config, path=tmp_path / "run")
    near = run.train_state.anchors
    assert int(near.updates) == 2 and int(near.trials) == 1
    document = tried_in(run)
    assert document["env_steps"] == 0
    (chosen,) = [t for t in document["tried"] if t["chosen"]]
    assert chosen["return"] == max(t["return"] for t in document["tried"])
    assert (chosen["weight"] > 0) == bool(np.any(near.model.weight))
    done = br.train(store, config, path=tmp_path / "run", resume=True)
    assert bits(done.train_state) == bits(run.train_state)


@pytest.mark.parametrize(
    ("name", "stays"), [("misled", True), ("right", False)]
)
def test_logged_play_tells_a_planner_that_errs(
    data, whole, tmp_path, name, stays
):
    run = with_planner(whole, name, tmp_path / name)
    buffer = fill(data.episodes())
    state = estimate_anchors(run, whole.train_state, buffer, silent)
    assert (float(state.anchors.model.weight[0, -1]) > 0) == stays
    returns = {t["weight"]: t["return"] for t in tried_in(run)["tried"]}
    # Beside both players by turns: always_d earns 5 or 1 a round, always_c 3 or 0.
    assert returns[0] == pytest.approx(3 if name == "misled" else 6, abs=0.7)
    assert returns[trials.CERTAIN] == pytest.approx(6, abs=0.7)


def test_players_are_tried_in_the_roles_that_they_have_played(tmp_path):
    names = ("random", "first_legal")
    roster = [{"name": name, "version": 1} for name in names]
    state = initial_train_state(CONFIG, HIDE, roster)
    facts = {"data": {"roster": roster}, "env_steps": 100}
    run = Run(tmp_path, CONFIG, HIDE, facts, state)
    mixture = "mixture(random, first_legal)"
    everywhere = {"random": 0, "first_legal": 1, mixture: None}
    assert trials._company(run, names, state) == everywhere

    def played_by(*absent):
        returns = np.zeros(state.anchors.model.returns.shape, np.float32)
        for at in absent:
            returns[at] = NO_VALUE
        return eqx.tree_at(
            lambda s: s.anchors.model.returns, state, jnp.asarray(returns)
        )

    by_role = played_by((1, 0))  # the random player was never the agent
    text = f"adversary={mixture}, agent=first_legal"
    assert trials._company(run, names, by_role) == {text: None}
    assert trials.trial_players(run, by_role) == names
    assert trials.trial_players(run, played_by((1, 0), (1, 1))) == ()
    tried = try_anchors(run, by_role, silent)
    assert int(tried.anchors.trials) == 1
    sets = {t["opponents"] for t in tried_in(run)["tried"]}
    assert sets == {text}


def test_where_trials_fail_logged_play_decides(
    data, whole, tmp_path, monkeypatch, caplog
):
    def refused(*given, **settings):
        raise ValueError("student chose an illegal action")

    monkeypatch.setattr(trials, "evaluate_all", refused)
    run = with_planner(whole, "misled", tmp_path / "misled")
    buffer = fill(data.episodes())
    state = AgentMethod()._close(run, buffer, whole.train_state, silent)
    assert "student chose an illegal action" in caplog.text
    assert float(state.anchors.model.weight[0, -1]) > 0
    assert {t["opponents"] for t in tried_in(run)["tried"]} == {"logged play"}


def test_trials_and_anchors_can_be_switched_off(data, tmp_path):
    untried = few(trial_episodes=0)
    run = br.train(data, untried, path=tmp_path / "untried")
    near = run.train_state.anchors
    assert int(near.updates) == 2 and not np.any(near.model.weight)
    assert not (run.path / "trials.json").exists()
    method = AgentMethod()
    assert "trials" not in method.updates(untried, run.train_state)
    config = dataclasses.replace(
        CONFIG, train=dataclasses.replace(CONFIG.train, anchor_updates=0)
    )
    state = initial_train_state(config, run.game, run.roster)
    assert state.anchors is None
    assert {"anchors", "trials"}.isdisjoint(method.updates(config, state))
    alone = dataclasses.replace(run, config=config, train_state=state)
    assert alone.agent().anchors is None


def test_without_players_value_heads_no_choice_is_tried_twice(whole):
    def choices(heads, joint_updates=1):
        model = dataclasses.replace(CONFIG.model, value_heads=heads)
        train = dataclasses.replace(CONFIG.train, joint_updates=joint_updates)
        config = dataclasses.replace(CONFIG, model=model, train=train)
        return trials.choices_of(dataclasses.replace(whole, config=config))

    assert choices("player") == trials.CHOICES
    without = [choice for choice in trials.CHOICES if not choice.joint]
    assert list(choices("player", 0)) == without
    for heads in ("single", "action"):
        found = choices(heads)
        assert len(set(found)) == len(found) < len(trials.CHOICES)
        assert not any(choice.averaged for choice in found)
        assert found[0] == trials.CHOICES[0]
        assert {c[:2] for c in found} == {c[:2] for c in trials.CHOICES}


def test_all_trials_together_are_no_more_than_the_data(whole):
    tried = len(trials.CHOICES)

    def episodes(in_data, sets):
        facts = whole.provenance["data"] | {"episodes": in_data}
        train = dataclasses.replace(CONFIG.train, trial_episodes=256)
        run = dataclasses.replace(
            whole,
            config=dataclasses.replace(CONFIG, train=train),
            provenance=whole.provenance | {"data": facts},
        )
        return trials._episodes(run, sets * tried)

    assert episodes(10**6, 1) == 256
    for in_data, sets in ((1000, 1), (4000, 8)):
        of_each = episodes(in_data, sets)
        assert in_data - tried * sets < of_each * tried * sets <= in_data
    assert episodes(10, 1) == trials.MIN_EPISODES


def drawn(gains, noise, episodes=40):
    """Returns [C, S, E] whose choices earn `gains` [C, S] more than 5, with noise."""
    rng = np.random.default_rng(0)
    gains = np.array(gains, float)
    return 5 + gains[..., None] + rng.normal(0, noise, (*gains.shape, episodes))


def test_where_sets_do_not_differ_all_of_them_count_for_each():
    """.3 in each of 30 sets is far less than its error there, but not over all."""
    returns = drawn(np.repeat([[0.0], [0.3], [-0.3]], 30, 1), 2.0)
    each = [best_choices(returns[:, [s]])[0] for s in range(30)]
    assert 0 in each and best_choices(returns) == [1] * 30


def test_where_sets_differ_each_stands_for_itself():
    gains = [[0.0, 0, 0, 0], [4.0, -4, 4, -4], [-9.0, -9, -9, 3]]
    assert best_choices(drawn(gains, 1.0)) == [1, 0, 1, 2]


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_returns_without_noise_and_of_any_unit(unit):
    gains = unit * np.array([[0.0, 0, 0], [0, 1, 2], [0, 3, 1]])
    assert best_choices(drawn(gains, 0.0)) == [0, 2, 1]
    assert best_choices(drawn(0 * gains, 0.0)) == [0, 0, 0]


def test_a_set_in_which_nothing_differs_does_not_outweigh_the_rest():
    returns = drawn(np.repeat([[0.0], [0.3]], 30, 1), 1.0)
    returns[:, 4] = 5
    assert sum(best_choices(returns)) > 25


def test_noise_alone_seldom_moves_the_agent():
    kept = [
        best_choices(np.random.default_rng(k).normal(size=(2, 4, 40)))[3]
        for k in range(200)
    ]
    assert 0.7 < np.mean(np.array(kept) == 0) < 0.95


@pytest.mark.slow
def test_seeds_of_a_batch_are_tried_when_they_are_resumed(
    data, whole, tmp_path
):
    configs = [dataclasses.replace(CONFIG, seed=seed) for seed in (0, 1)]
    paths = [tmp_path / str(seed) for seed in (0, 1)]
    train_together(
        [
            open_training(data, config, path=path)
            for config, path in zip(configs, paths, strict=True)
        ]
    )
    for config, path in zip(configs, paths, strict=True):
        assert not (path / "trials.json").exists()
        run = br.train(data, config, path=path, resume=True)
        assert int(run.train_state.anchors.trials) == 1
        assert tried_in(run)["env_steps"] == tried_in(whole)["env_steps"]
    first = br.load_run(paths[0])
    names = [(r["name"], r["update"], r["env_steps"]) for r in metrics(first)]
    alone = [(r["name"], r["update"], r["env_steps"]) for r in metrics(whole)]
    assert names == alone
