"""Training: it learns a toy in seconds, the same from the same seed, and goes on after a kill to the same bits."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import textwrap

import equinox as eqx
import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from bestreply import RunConfig, collect, evaluate, load_run, make_game, train
from bestreply.analysis.trajectories import record_matches
from bestreply.config import ModelConfig, PlannerConfig, TrainConfig, to_dict
from bestreply.run import RUN_FORMAT
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.train import split_episodes
from bestreply.training.state import initial_train_state
from bestreply.utils.checkpoint import list_checkpoints

CHICKEN = "matrix(table=chicken, rounds=4)"
MODEL = ModelConfig(latent=8, width=16, depth=1)
FEW = TrainConfig(
    opponent_updates=6,
    opponent_batch=16,
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
    players = ["mixture(random, always_c, always_d)"] * 2
    return collect(
        make_game(CHICKEN),
        players,
        300,
        0,
        path=tmp_path_factory.mktemp("data") / "chicken",
    )


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """An uninterrupted run."""
    return train(data, CONFIG, path=tmp_path_factory.mktemp("runs") / "whole")


def bits(train_state):
    return [
        np.asarray(x).tobytes()
        for x in jax.tree.leaves(eqx.filter(train_state, eqx.is_array))
    ]


def metrics(run):
    return pq.read_table(run.path / "metrics.parquet").to_pylist()


@pytest.mark.slow
def test_it_learns_to_answer_both_players_of_chicken(data, tmp_path):
    """Best replies: straight against who always swerves (4), swerve against who never does (1). Which it is has to be seen."""
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
    assert [
        [step["action"] for step in match["steps"][2:]] for match in matches
    ] == [[1, 1], [0, 0]]
    for match, action in zip(matches, (0, 1), strict=True):
        assert match["steps"][-1]["predicted"][0][action] > 0.8
    assert (
        evaluate(run.game, [agent, "always_c"], 2, 0).mean() >= 14 > 3 * 4
    )  # not to be had by swerving
    last = {row["name"]: row["value"] for row in metrics(run)}
    assert last["world/reward"] < 0.05 and last["opponent/log_loss"] < 0.45
    report = json.loads((run.path / "diagnostics.json").read_text())
    assert {row["player"] for row in report["opponent"]} == {
        "random",
        "always_c",
        "always_d",
    }
    assert report["heldout"]["reward"] < 0.1


def test_the_same_seed_gives_the_same_bits(data, whole, tmp_path):
    again = train(data, CONFIG, path=tmp_path / "again")
    assert bits(again.train_state) == bits(whole.train_state) and metrics(
        again
    ) == metrics(whole)
    fresh = [
        initial_train_state(
            dataclasses.replace(CONFIG, seed=s), whole.game, whole.roster
        )
        for s in (0, 0, 1)
    ]
    assert bits(fresh[0]) == bits(fresh[1]) != bits(fresh[2])


def test_a_run_is_what_was_trained(whole):
    found = load_run(whole.path)
    assert (
        bits(found.train_state) == bits(whole.train_state)
        and found.config == CONFIG
    )
    assert (
        int(found.train_state.opponent_updates) == 6
        and int(found.train_state.updates) == 9
    )
    assert [(r["update"], r["name"]) for r in metrics(whole)][:2] == [
        (3, "opponent/log_loss"),
        (6, "opponent/log_loss"),
    ]
    steps = whole.provenance["env_steps"]
    assert {
        (r["env_steps"], r["update"])
        for r in metrics(whole)
        if r["name"] == "world/obs"
    } == {
        (round(steps / 3), 3),
        (round(2 * steps / 3), 6),
        (steps, 9),
    }


@pytest.mark.slow
def test_a_player_still_to_come_does_not_disturb(tmp_path):
    """The roster may name one whose play will be added later: its head has no value yet, and costs nothing."""
    game, later = make_game(CHICKEN), [{"name": "bestreply_1", "version": 1}]
    data = collect(
        game,
        ["mixture(random, always_c, always_d)"] * 2,
        40,
        0,
        path=tmp_path / "data",
        roster=later,
    )
    run = train(data, CONFIG, path=tmp_path / "run")
    assert (
        len(run.roster) == 4 and max(row["value"] for row in metrics(run)) < 100
    )
    assert run.train_state.opponents.prior[3] == 0


# -- killed and resumed ----------------------------------------------------------------------------------------

KILLED = """
    import dataclasses, json, sys, time
    from bestreply import open_store, train
    from bestreply.config import RunConfig, from_dict
    from bestreply.training.metrics_log import MetricsLog

    whole = MetricsLog.write

    def write(log, phase, update, values):
        whole(log, phase, update, values)
        if [phase, str(update)] == sys.argv[4:6]:
            print("here", flush=True)
            time.sleep(600)

    MetricsLog.write = write
    train(open_store(sys.argv[1]), from_dict(RunConfig, json.loads(sys.argv[2])), path=sys.argv[3], resume=True)
"""


def train_until_killed(data, config, path, phase, update):
    """Trains in a process of its own and kills it there: after that block, before its checkpoint."""
    arguments = [
        str(data.path),
        json.dumps(to_dict(config)),
        str(path),
        phase,
        str(update),
    ]
    code = textwrap.dedent(KILLED)
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        assert said == "here\n", process.stderr.read()
    assert process.returncode == -signal.SIGKILL


def test_killed_and_resumed_it_comes_to_the_same_bits(data, whole, tmp_path):
    """Killed in the first phase, resumed, killed in the second, resumed: network, optimiser, counters and metrics."""
    path = tmp_path / "run"
    train_until_killed(data, CONFIG, path, "opponents", 6)
    assert (
        list_checkpoints(path / "checkpoints") == [3]
        and not (path / "diagnostics.json").exists()
    )
    train_until_killed(data, CONFIG, path, "world", 6)
    assert list_checkpoints(path / "checkpoints") == [6, 9]
    found = train(data, CONFIG, path=path, resume=True)
    assert bits(found.train_state) == bits(whole.train_state)
    assert metrics(found) == metrics(whole)
    assert (path / "diagnostics.json").read_text() == (
        whole.path / "diagnostics.json"
    ).read_text()


def test_resuming_what_is_done_changes_nothing(data, whole):
    before = bits(whole.train_state), metrics(whole)
    again = train(data, CONFIG, path=whole.path, resume=True)
    assert (bits(again.train_state), metrics(again)) == before


def test_a_run_is_not_overwritten_nor_resumed_with_something_else(
    data, whole, tmp_path
):
    with pytest.raises(FileExistsError, match="expected a path without a run"):
        train(data, CONFIG, path=whole.path)
    with pytest.raises(ValueError, match="expected the configuration that the run was started with"):
        train(
            data,
            dataclasses.replace(CONFIG, seed=5),
            path=whole.path,
            resume=True,
        )
    other = collect(
        make_game(CHICKEN),
        ["mixture(random, always_c, always_d)"] * 2,
        300,
        9,
        path=tmp_path / "other",
    )
    with pytest.raises(ValueError, match="expected the data that the run was started with"):
        train(other, CONFIG, path=whole.path, resume=True)
    with pytest.raises(
        ValueError, match=r"game=.*: expected the game of the data"
    ):
        train(
            data,
            dataclasses.replace(CONFIG, game="matrix"),
            path=tmp_path / "run",
        )


def test_a_damaged_run_is_refused(data, whole, tmp_path):
    with pytest.raises(ValueError, match="expected a run directory"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_text(
        (whole.path / "config.json").read_text()
    )
    (tmp_path / "provenance.json").write_text(
        (whole.path / "provenance.json").read_text()
    )
    with pytest.raises(FileNotFoundError, match="expected checkpoint"):
        load_run(tmp_path)
    facts = json.loads((whole.path / "provenance.json").read_text())
    assert facts["format"] == RUN_FORMAT == 2
    for version in (None, 1, 3):  # the first runs have none
        changed = {k: v for k, v in facts.items() if k != "format"} | (
            {"format": version} if version else {}
        )
        (tmp_path / "provenance.json").write_text(json.dumps(changed))
        with pytest.raises(
            ValueError, match=f"format={version or 1}: expected run format 2"
        ):
            load_run(tmp_path)
    with pytest.raises(
        ValueError,
        match="planner=rollout: expected one of one_step, expectimax, mcts",
    ):
        whole.agent(planner="rollout")
    with pytest.raises(
        ValueError, match=r"planner settings eps: expected one of .*memory"
    ):
        whole.agent(eps=0.1)
    with pytest.raises(
        ValueError, match="opponents=me: expected learned, uniform"
    ):
        whole.agent(opponents="me")


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
def test_imagined_games_go_on_after_a_break(data, tmp_path):
    """As if killed in the value's phase: without its last checkpoint, a run comes to the same bits again."""
    run = train(data, IMPROVED, path=tmp_path / "run")
    before = bits(run.train_state), metrics(run)
    last = list_checkpoints(run.path / "checkpoints")[-1]
    assert last == 15 and int(run.train_state.value_updates) == 9
    (run.path / "checkpoints" / f"{last:09d}.safetensors").unlink()
    again = train(data, IMPROVED, path=run.path, resume=True)
    assert (bits(again.train_state), metrics(again)) == before


def test_an_improved_value_goes_with_values_of_actions(data, tmp_path):
    wrong = dataclasses.replace(IMPROVED, model=MODEL)
    with pytest.raises(
        ValueError,
        match=r"target=improved, model.value_heads=player: expected improved with action",
    ):
        train(data, wrong, path=tmp_path / "run")


@pytest.mark.slow
def test_it_learns_what_pays_later(tmp_path):
    """Against tit for tat one defects in the last round alone: the value of a round that nobody in the data played so is learned."""
    spec = "matrix(table=prisoners_dilemma, rounds=3, memory=1)"
    data = collect(
        make_game(spec),
        ["random", "tit_for_tat"],
        500,
        0,
        path=tmp_path / "data",
        rotate=True,
    )
    train_config = dataclasses.replace(
        IMPROVED.train,
        opponent_updates=300,
        opponent_batch=64,
        updates=400,
        value_updates=600,
        batch=64,
        value_batch=64,
        imagined_games=64,
        optimiser="adamw",  # Muon at 600 updates of 64 comes to 10, not 11
        learning_rate=5e-3,
        gamma=1.0,
        target_tau=0.05,
        at_limit="zero",
        log_every=200,
        checkpoint_every=10_000,
    )
    run = train(
        data,
        dataclasses.replace(IMPROVED, game=spec, train=train_config),
        path=tmp_path / "run",
    )
    assert (
        evaluate(run.game, [run.agent(), "tit_for_tat"], 2, 0).mean()
        == 3 + 3 + 5
    )


TINY = "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"


@pytest.fixture(scope="module")
def hunts(tmp_path_factory):
    return collect(
        make_game(TINY),
        ["random", "nearest_hare"],
        8,
        0,
        path=tmp_path_factory.mktemp("data") / "hunts",
    )


@pytest.mark.parametrize(
    "model, changes",
    [
        pytest.param(
            {
                "likelihood": "squared",
                "value_of": "z",
                "value_heads": "single",
                "opponent_types": "goal",
            },
            {"target": "expected", "augment": False},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {}, {"n_step": 3, "at_limit": "zero"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"value_heads": "action"},
            {
                "target": "improved",
                "value_updates": 2,
                "imagined_games": 4,
                "at_limit": "zero",
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["expected", "n_step", "improved"],
)
def test_every_choice_trains_on_a_grid_game(hunts, model, changes, tmp_path):
    """Two updates each, nothing but finite numbers under every loss's name, and an agent that can plan."""
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
    assert all(np.isfinite(row["value"]) for row in metrics(run))
    assert {row["name"].split("/")[1] for row in metrics(run)} == {
        *dataclasses.asdict(few.weights),
        "continuation",
        "legal",
        "log_loss",
    }
    shown = hunts.episodes()
    plan = run.agent().plan(shown.obs[0, 0, 0], shown.legal[0, 0, 0])
    assert (
        np.isfinite(plan.scores[shown.legal[0, 0, 0]]).all()
        and shown.legal[0, 0, 0, int(plan.action)]
    )


def test_episodes_are_held_out_by_their_place_and_the_seed(data):
    episodes = data.episodes()
    learn, held = split_episodes(episodes, 0.25, 0)
    assert (
        len(learn.length) + len(held.length) == 300
        and 45 <= len(held.length) <= 105
    )
    more = jax.tree.map(lambda x: np.concatenate([x, x]), episodes)
    assert np.array_equal(
        split_episodes(more, 0.25, 0)[1].obs[: len(held.length)], held.obs
    )
    assert not np.array_equal(
        split_episodes(episodes, 0.25, 1)[1].obs[:10], held.obs[:10]
    )
    two = jax.tree.map(lambda x: x[:2], episodes)
    assert [len(part.length) for part in split_episodes(two, 0.0, 0)] == [1, 1]
    with pytest.raises(
        ValueError, match="episodes=1: expected at least 2"
    ):
        split_episodes(jax.tree.map(lambda x: x[:1], episodes), 0.25, 0)


def test_who_is_held_out_has_nothing_to_do_with_who_played():
    """Both are drawn from the run's seed: once every held-out episode had the first player in the first seat."""
    game = make_game("matrix(table=chicken, rounds=1)")
    lineup = seat_players(
        game, ["mixture(always_c, always_d, random)"] * 2, 6000, seed=0
    )
    episodes = play(game, lineup, seed=0).episodes
    _, held = split_episodes(episodes, 0.1, 0)
    for seat in range(2):
        share = np.bincount(held.player[:, seat], minlength=3) / len(
            held.length
        )
        np.testing.assert_allclose(share, 1 / 3, atol=0.08)
