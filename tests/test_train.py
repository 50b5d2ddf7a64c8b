"""Training: a toy is learned in seconds, the same from one seed; interrupted runs continue bit by bit."""

import dataclasses
import json
import signal
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from bestreply import (
    RunConfig,
    collect,
    evaluate,
    load_run,
    make_game,
    store_from_arrays,
    train,
)
from bestreply.analysis.trajectories import record_matches
from bestreply.config import ModelConfig, PlannerConfig, TrainConfig, to_dict
from bestreply.replay import loading
from bestreply.run import METHODS, RUN_FORMAT, load_method
from bestreply.train import split_episodes
from bestreply.training.epochs import as_started
from bestreply.training.metrics_log import MetricsLog
from bestreply.training.state import initial_train_state
from bestreply.utils.checkpoint import list_checkpoints
from bestreply.utils.spec import Spec
from tests.shared import played

CHICKEN = "matrix(table=chicken, rounds=4)"
PLAYERS = ["mixture(random, always_c, always_d)"] * 2
MODEL = ModelConfig(latent=8, width=16, depth=1)
FEW = TrainConfig(
    opponent_updates=6,
    opponent_batch=16,
    anchor_updates=0,
    updates=9,
    batch=16,
    value_batch=16,
    log_every=3,
    checkpoint_every=3,
)
CONFIG = RunConfig(
    game=CHICKEN, model=MODEL, train=FEW, planner=PlannerConfig(samples=4)
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "chicken"
    return collect(make_game(CHICKEN), PLAYERS, 300, 0, path=path)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run."""
    return train(data, CONFIG, path=tmp_path_factory.mktemp("runs") / "whole")


def bits(train_state):
    leaves = jax.tree.leaves(eqx.filter(train_state, eqx.is_array))
    return [np.asarray(x).tobytes() for x in leaves]


def metrics(run):
    return pq.read_table(run.path / "metrics.parquet").to_pylist()


def test_goals_as_types_need_steps_with_a_goal(tmp_path):
    two = np.zeros((3, 1, 2), np.int32)  # 3 episodes of a step, no goals
    seen = np.zeros((3, 2, 2, 1), np.float32)
    data = store_from_arrays(
        seen, two, np.zeros((3, 1, 2)), path=tmp_path / "d"
    )
    model = dataclasses.replace(MODEL, opponent_types="goal")
    config = dataclasses.replace(CONFIG, game=data.game(), model=model)
    with pytest.raises(ValueError, match="expected steps with a goal"):
        train(data, config, path=tmp_path / "run")


@pytest.mark.slow
def test_the_agent_replies_to_both_players_of_chicken(data, tmp_path):
    """Best replies: straight (4) to always_c, swerve (1) to always_d, by the play observed."""
    config = dataclasses.replace(
        CONFIG,
        model=ModelConfig(latent=16, width=32, depth=1),
        train=dataclasses.replace(
            FEW,
            opponent_updates=200,
            opponent_batch=64,
            updates=500,
            batch=64,
            value_batch=128,
            learning_rate=5e-3,
            log_every=100,
            gamma=1.0,
        ),
    )
    run = train(data, config, path=tmp_path / "run")
    agent = run.agent()
    matches = record_matches(run.game, agent, [["always_c"], ["always_d"]], 0)
    late = [[step["action"] for step in m["steps"][2:]] for m in matches]
    assert late == [[1, 1], [0, 0]]
    for match, action in zip(matches, (0, 1), strict=True):
        assert match["steps"][-1]["predicted"][0][action] > 0.8
    # Swerving earns at most 3 x 4.
    assert evaluate(run.game, [agent, "always_c"], 2, 0).mean() >= 14
    last = {row["name"]: row["value"] for row in metrics(run)}
    assert last["world/reward"] < 0.05 and last["opponent/log_loss"] < 0.45
    report = json.loads((run.path / "diagnostics.json").read_text())
    players = {row["player"] for row in report["opponent"]}
    assert players == {"random", "always_c", "always_d"}
    assert report["heldout"]["reward"] < 0.1


def test_the_same_seed_gives_the_same_bits(data, whole, tmp_path):
    seen = {}

    def callback(phase, update, values):
        seen.update({(update, name): value for name, value in values.items()})

    again = train(data, CONFIG, path=tmp_path / "again", callback=callback)
    assert bits(again.train_state) == bits(whole.train_state)
    assert metrics(again) == metrics(whole)
    names = {name for _, name in seen}
    logged = {row["name"] for row in metrics(again)}
    assert names and names <= logged
    assert len(seen) == len(metrics(again))
    first, same, other = (
        initial_train_state(
            dataclasses.replace(CONFIG, seed=seed), whole.game, whole.roster
        )
        for seed in (0, 0, 1)
    )
    assert bits(first) == bits(same) != bits(other)


def test_training_on_mapped_files_gives_the_same_bits(
    data, whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(loading, "MEMORY_FRACTION", 0.0)
    mapped = train(data, CONFIG, path=tmp_path / "mapped")
    assert bits(mapped.train_state) == bits(whole.train_state)
    assert metrics(mapped) == metrics(whole)
    files = {path.name for path in mapped.path.iterdir()}
    assert files == {path.name for path in whole.path.iterdir()}


def test_beliefs_that_do_not_fit_into_memory_are_refused(
    data, tmp_path, monkeypatch
):
    module = sys.modules["bestreply.train"]
    monkeypatch.setattr(module, "CHECKED_BYTES", 0)
    monkeypatch.setattr(module, "free_memory", lambda: 10_000)
    expected = r"episodes=300: expected at most \d+: the beliefs and labels"
    with pytest.raises(ValueError, match=expected):
        train(data, CONFIG, path=tmp_path / "run")


def test_a_run_is_loaded_as_it_was_trained(whole):
    run = load_run(whole.path)
    assert bits(run.train_state) == bits(whole.train_state)
    assert run.config == as_started(run.config, CONFIG)
    assert run.config.train.at_limit == "zero"  # the rounds left are observed
    assert int(run.train_state.opponent_updates) == 6
    assert int(run.train_state.updates) == 9
    rows = metrics(whole)
    first = [(row["update"], row["name"]) for row in rows][:2]
    assert first == [(3, "opponent/log_loss"), (6, "opponent/log_loss")]
    steps = whole.provenance["env_steps"]
    places = {
        (row["env_steps"], row["update"])
        for row in rows
        if row["name"] == "world/obs"
    }
    assert places == {
        (round(steps / 3), 3),
        (round(2 * steps / 3), 6),
        (steps, 9),
    }


def test_a_run_is_loaded_without_a_program(whole, caplog):
    """Shapes are traced; no untrained network is computed."""
    jax.clear_caches()
    with jax.log_compiles():
        run = load_run(whole.path)
        assert "Compiling" not in caplog.text
        initial_train_state(CONFIG, run.game, run.roster)
        assert "Compiling jit(_untrained)" in caplog.text
    assert bits(run.train_state) == bits(whole.train_state)


@pytest.mark.slow
def test_a_player_without_play_has_a_value_head_that_costs_nothing(tmp_path):
    """The roster may name a player whose play is added later."""
    data = collect(
        make_game(CHICKEN),
        PLAYERS,
        40,
        0,
        path=tmp_path / "data",
        roster=[{"name": "bestreply_1", "version": 1}],
    )
    run = train(data, CONFIG, path=tmp_path / "run")
    assert len(run.roster) == 4
    assert max(row["value"] for row in metrics(run)) < 100
    assert run.train_state.opponents.prior[3] == 0


# -- interrupted runs ------------------------------------------------------------------

KILLED = """
    import json, sys, time
    from bestreply import open_store, train
    from bestreply.config import RunConfig, from_dict
    from bestreply.training.metrics_log import MetricsLog

    write = MetricsLog.write

    def write_and_wait(log, phase, update, values):
        write(log, phase, update, values)
        if [phase, update] == ["opponents", 6]:
            print("reached", flush=True)
            time.sleep(600)

    MetricsLog.write = write_and_wait
    config = from_dict(RunConfig, json.loads(sys.argv[2]))
    train(open_store(sys.argv[1]), config, path=sys.argv[3])
"""


def train_until_killed(data, config, path):
    """Train in a process, and kill it after a block of the first phase, before its checkpoint."""
    code = textwrap.dedent(KILLED)
    arguments = [str(data.path), json.dumps(to_dict(config)), str(path)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        assert line == "reached\n", process.stderr.read()
    assert process.returncode == -signal.SIGKILL


def test_an_interrupted_run_continues_to_the_same_bits(
    data, whole, tmp_path, monkeypatch
):
    """Killed in the first phase, stopped in the second: networks, optimisers, counters, metrics."""
    path = tmp_path / "run"
    train_until_killed(data, CONFIG, path)
    assert list_checkpoints(path / "checkpoints") == [3]
    assert not (path / "diagnostics.json").exists()
    write = MetricsLog.write

    def write_and_stop(log, phase, update, values):
        write(log, phase, update, values)
        if (phase, update) == ("world", 6):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "write", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(data, CONFIG, path=path, resume=True)
    assert list_checkpoints(path / "checkpoints") == [6, 9]
    run = train(data, CONFIG, path=path, resume=True)
    assert bits(run.train_state) == bits(whole.train_state)
    assert metrics(run) == metrics(whole)
    diagnostics = [r.path / "diagnostics.json" for r in (run, whole)]
    assert diagnostics[0].read_text() == diagnostics[1].read_text()


def test_resuming_a_complete_run_changes_nothing(data, whole):
    before = bits(whole.train_state), metrics(whole)
    again = train(data, CONFIG, path=whole.path, resume=True)
    assert (bits(again.train_state), metrics(again)) == before


def test_a_run_is_resumed_only_with_its_configuration_and_data(
    data, whole, tmp_path
):
    with pytest.raises(FileExistsError, match="expected a path without a run"):
        train(data, CONFIG, path=whole.path)
    message = "expected the configuration that the run was started with"
    with pytest.raises(ValueError, match=message):
        other_seed = dataclasses.replace(CONFIG, seed=5)
        train(data, other_seed, path=whole.path, resume=True)
    game = make_game(CHICKEN)
    other = collect(game, PLAYERS, 300, 9, path=tmp_path / "other")
    message = "expected the data that the run was started with"
    with pytest.raises(ValueError, match=message):
        train(other, CONFIG, path=whole.path, resume=True)
    message = r"game=.*: expected the game of the data"
    with pytest.raises(ValueError, match=message):
        other_game = dataclasses.replace(CONFIG, game="matrix")
        train(data, other_game, path=tmp_path / "run")


def test_a_damaged_run_is_refused(whole, tmp_path):
    with pytest.raises(ValueError, match="expected a run directory"):
        load_run(tmp_path)
    for name in ("config.json", "provenance.json"):
        (tmp_path / name).write_text((whole.path / name).read_text())
    with pytest.raises(
        FileNotFoundError,
        match=r"expected a checkpoint; there is none. Train the run again",
    ):
        load_run(tmp_path)


def test_what_does_not_fit_the_game_is_refused_before_training(data, tmp_path):
    model = dataclasses.replace(MODEL, encoder="cnn")
    config = dataclasses.replace(CONFIG, model=model)
    steps = []
    with pytest.raises(
        ValueError, match=r"model\.encoder=cnn for observations"
    ):
        train(
            data,
            config,
            path=tmp_path / "run",
            callback=lambda *logged: steps.append(logged),
        )
    assert not steps and not (tmp_path / "run").exists()


def test_a_game_that_was_edited_after_training_is_refused(whole, tmp_path):
    """The checkpoints would be evaluated in another game than they learned."""
    facts = (whole.path / "provenance.json").read_text()
    (tmp_path / "provenance.json").write_text(facts)
    config = json.loads((whole.path / "config.json").read_text())
    assert load_run(whole.path).game == whole.game
    edited = Spec(whole.game.name, (), whole.game.settings | {"rounds": 9})
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"game": str(edited)})
    )
    message = (
        r"config\.json: game=matrix with rounds=9, not 4.*: expected the set"
    )
    with pytest.raises(ValueError, match=message):
        load_run(tmp_path)


def test_a_run_of_another_format_is_refused(whole, tmp_path):
    for name in ("config.json", "provenance.json"):
        (tmp_path / name).write_text((whole.path / name).read_text())
    facts = json.loads((whole.path / "provenance.json").read_text())
    assert facts["format"] == RUN_FORMAT == 4
    for version in (None, 1, 2, 3):  # the first runs have no format version
        changed = facts | {"format": version}
        if version is None:
            del changed["format"]
        (tmp_path / "provenance.json").write_text(json.dumps(changed))
        message = f"format={version or 1}: expected run format 4"
        with pytest.raises(ValueError, match=message):
            load_run(tmp_path)


def test_a_run_keeps_the_levels_of_its_observations(whole, data, tmp_path):
    """The rounds left are left out: what is equal but for them has one number."""
    agent = load_run(whole.path).agent()
    obs = np.asarray(data.episodes().obs)[:20, :4, 0]
    times = [np.unique(obs[:, t, 4]) for t in range(4)]
    assert all(len(left) == 1 for left in times)
    rest = obs[..., :4].reshape(80, 4)
    same = np.all(rest[:, None] == rest[None], -1)
    numbers = jax.vmap(agent.levels.number)(obs.reshape(80, 5))
    assert np.array_equal(numbers[:, None] == numbers[None], same)


def test_damaged_levels_are_refused(whole, tmp_path):
    facts = json.loads((whole.path / "provenance.json").read_text())
    layout = {"marks": [], "first": [0], "step": [1], "time": []}
    few = {"marked": [], "layouts": [layout]}

    def changed(levels):
        return facts | {"data": facts["data"] | {"levels": levels}}

    (tmp_path / "config.json").write_text(
        (whole.path / "config.json").read_text()
    )
    damaged = json.dumps(changed(few | {"marked": ["a"]}))
    (tmp_path / "provenance.json").write_text(damaged)
    with pytest.raises(ValueError, match=r"data\.levels: expected null or"):
        load_run(tmp_path)
    run = dataclasses.replace(whole, provenance=changed(few))
    with pytest.raises(
        ValueError, match=r"data\.levels of 1 entries: expected"
    ):
        run.agent()
    run = dataclasses.replace(whole, provenance=changed(None))
    assert run.agent().levels is None
    assert run.agent().start().at.revisions is None


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"planner": "rollout"},
            "planner='rollout': expected one of one_step, expectimax, mcts",
        ),
        ({"eps": 0.1}, r"planner settings eps: expected one of .*memory"),
        ({"epsilon": 2.0}, r"epsilon=2\.0: expected a number, 0 to 1"),
        ({"epsilon": float("nan")}, "epsilon=nan: expected a number, 0 to 1"),
        ({"change_rate": -1.0}, "change_rate=-1.0: expected a number, 0 to 1"),
        ({"change_rate": 1}, "change_rate=1: expected less than 1"),
        ({"name": ""}, "name='': expected a text, not empty"),
        (
            {"opponents": "me"},
            "opponents=me: expected learned, uniform",
        ),
    ],
)
def test_an_unknown_setting_of_an_agent_is_refused(whole, settings, message):
    with pytest.raises(ValueError, match=message):
        whole.agent(**settings)


def test_settings_of_an_agent_reach_its_opponent_model(whole):
    assert whole.agent(prior_mixing=0.3).opponents.prior_mixing == 0.3
    trained = whole.config.planner.prior_mixing
    assert whole.agent().opponents.prior_mixing == trained


def test_every_method_is_in_the_table():
    for name in METHODS:
        method = load_method(name)
        assert method is load_method(name)
    planning = {name for name in METHODS if load_method(name).plans}
    assert planning == {"agent", "hop"}
    with pytest.raises(ValueError, match="method='dqn': expected one of agent"):
        load_method("dqn")


# -- improved values -------------------------------------------------------------------

IMPROVED = dataclasses.replace(
    CONFIG,
    model=dataclasses.replace(MODEL, value_heads="action"),
    train=dataclasses.replace(
        FEW,
        target="improved",
        value_updates=9,
        imagined_games=8,
        opponent_updates=3,
        updates=3,
    ),
)


@pytest.mark.slow
def test_imagined_games_continue_after_an_interruption(data, tmp_path):
    """Without its last checkpoint, a run continues in the value's phase."""
    run = train(data, IMPROVED, path=tmp_path / "run")
    before = bits(run.train_state), metrics(run)
    last = list_checkpoints(run.path / "checkpoints")[-1]
    assert last == 15 and int(run.train_state.value_updates) == 9
    (run.path / "checkpoints" / f"{last:09d}.safetensors").unlink()
    again = train(data, IMPROVED, path=run.path, resume=True)
    assert (bits(again.train_state), metrics(again)) == before


def test_improved_values_need_heads_of_actions(data, tmp_path):
    wrong = dataclasses.replace(IMPROVED, model=MODEL)
    message = "target=improved, model.value_heads=player: expected improved with action"
    with pytest.raises(ValueError, match=message):
        train(data, wrong, path=tmp_path / "run")


@pytest.mark.slow
def test_delayed_reward_is_learned(tmp_path):
    """The best reply to tit for tat defects in the last round alone: 3 + 3 + 5."""
    spec = "matrix(table=prisoners_dilemma, rounds=3, memory=1)"
    players = ["random", "tit_for_tat"]
    path = tmp_path / "data"
    data = collect(make_game(spec), players, 500, 0, path=path, rotate=True)
    train_config = dataclasses.replace(
        IMPROVED.train,
        opponent_updates=300,
        opponent_batch=64,
        updates=400,
        value_updates=600,
        batch=64,
        value_batch=64,
        imagined_games=64,
        optimiser="adamw",  # Muon earns 10, not 11, with 600 updates of 64
        learning_rate=5e-3,
        gamma=1.0,
        target_tau=0.05,
        at_limit="zero",
        log_every=200,
        checkpoint_every=10_000,
    )
    config = dataclasses.replace(IMPROVED, game=spec, train=train_config)
    run = train(data, config, path=tmp_path / "run")
    scores = evaluate(run.game, [run.agent(), "tit_for_tat"], 2, 0)
    assert scores.mean() == 3 + 3 + 5


TINY = "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"


@pytest.fixture(scope="module")
def hunts(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "hunts"
    players = ["random", "nearest_hare"]
    return collect(make_game(TINY), players, 8, 0, path=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, changes",
    [
        (
            {
                "likelihood": "squared",
                "value_of": "z",
                "value_heads": "single",
                "opponent_types": "goal",
            },
            {"target": "expected", "augment": False},
        ),
        ({}, {"n_step": 3, "at_limit": "zero"}),
        (
            {"value_heads": "action"},
            {
                "target": "improved",
                "value_updates": 2,
                "imagined_games": 4,
                "at_limit": "zero",
            },
        ),
    ],
    ids=["expected", "n_step", "improved"],
)
def test_every_target_trains_on_a_grid_game(hunts, model, changes, tmp_path):
    """Two updates of each phase: finite losses of every name, and an agent that plans."""
    few = dataclasses.replace(
        FEW,
        opponent_updates=2,
        updates=2,
        log_every=2,
        checkpoint_every=2,
        **changes,
    )
    config = dataclasses.replace(
        CONFIG, game=TINY, model=dataclasses.replace(MODEL, **model), train=few
    )
    run = train(hunts, config, path=tmp_path / "run")
    rows = metrics(run)
    assert all(np.isfinite(row["value"]) for row in rows)
    names = {row["name"].split("/")[1] for row in rows}
    further = {"continuation", "legal", "log_loss"}
    assert names == {*dataclasses.asdict(few.weights)} | further
    log = hunts.episodes()
    legal = log.legal[0, 0, 0]
    plan = run.agent().plan(log.obs[0, 0, 0], legal)
    assert np.isfinite(np.asarray(plan.scores)[legal]).all()
    assert legal[int(plan.action)]


# -- held-out episodes -----------------------------------------------------------------


def test_episodes_are_held_out_by_their_place_and_the_seed(data):
    episodes = data.episodes()
    training, held_out = split_episodes(episodes, 0.25, 0)
    count = len(held_out.length)
    assert len(training.length) + count == 300 and 45 <= count <= 105
    more = jax.tree.map(lambda x: np.concatenate([x, x]), episodes)
    held_out_of_more = split_episodes(more, 0.25, 0)[1]
    assert np.array_equal(held_out_of_more.obs[:count], held_out.obs)
    other_seed = split_episodes(episodes, 0.25, 1)[1]
    assert not np.array_equal(other_seed.obs[:10], held_out.obs[:10])
    two = jax.tree.map(lambda x: x[:2], episodes)
    assert [len(part.length) for part in split_episodes(two, 0.0, 0)] == [1, 1]
    one = jax.tree.map(lambda x: x[:1], episodes)
    with pytest.raises(ValueError, match="episodes=1: expected at least 2"):
        split_episodes(one, 0.25, 0)


def test_held_out_episodes_do_not_depend_on_the_players():
    """Both are drawn from the run's seed, by different streams."""
    game = "matrix(table=chicken, rounds=1)"
    mixture = "mixture(always_c, always_d, random)"
    episodes = played(game, (mixture,) * 2, 6000)
    _, held_out = split_episodes(episodes, 0.1, 0)
    for seat in range(2):
        counts = np.bincount(held_out.player[:, seat], minlength=3)
        share = counts / len(held_out.length)
        np.testing.assert_allclose(share, 1 / 3, atol=0.08)
