"""How many programs a run compiles: a bound on their number, and none for another seed or number of episodes."""

import dataclasses

import pytest

from bestreply import make_game
from bestreply.analysis.model_diagnostics import diagnose
from bestreply.collect import collect
from bestreply.config import EvaluateConfig, ModelConfig, PlannerConfig, preset
from bestreply.pipeline import evaluate_run, resolve
from bestreply.run import Run
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.training.state import initial_train_state
from bestreply.utils.profile import Profile

GAME = "matrix(table=prisoners_dilemma, rounds=4)"
EPISODES = 12


def configuration(seed=0, episodes=EPISODES):
    return resolve(
        dataclasses.replace(
            preset("debug"),
            game=GAME,
            seed=seed,
            model=ModelConfig(latent=4, width=8, depth=1),
            planner=PlannerConfig(samples=4),
            evaluate=EvaluateConfig(episodes=episodes, reference_layouts=0),
        )
    )


def untrained(path, config):
    """A run before its first update, of a dataset of the game's standard players."""
    path.mkdir()
    roster = [{"name": n, "version": 1} for n in config.collect.players]
    game = make_game(config.game)
    state = initial_train_state(config, game, roster)
    return Run(path, config, game, {"data": {"roster": roster}}, state)


@pytest.fixture(scope="module")
def profile():
    found = Profile()
    found.start()
    return found


@pytest.fixture
def programs(profile):
    """Return a function: what has been compiled since the last call, by name."""
    seen = profile.programs.copy()

    def since():
        nonlocal seen
        new, seen = +(profile.programs - seen), profile.programs.copy()
        return dict(new)

    return since


def play_of(config, episodes):
    game = make_game(config.game)
    seats = [drawn_players(config)] * game.num_players
    lineup = seat_players(game, seats, episodes, config.seed)
    return play(game, lineup, config.seed).episodes


def test_play_and_evaluation_compile_two_programs_of_play(tmp_path, programs):
    """Collection and scripted methods share one; both agents and the recorded games another."""
    config = configuration()
    run = untrained(tmp_path / "run", config)
    programs()
    game = make_game(GAME)
    seats = [drawn_players(config)] * 2
    collect(game, seats, 256, 0, path=tmp_path / "data")
    evaluate_run(run)
    compiled = programs()
    assert compiled.get("_play_compiled", 0) <= 2
    assert sum(compiled.values()) <= 9, str(sorted(compiled))
    assert {"matches.json", "scores.parquet"} <= {
        file.name for file in run.path.iterdir()
    }
    other = untrained(tmp_path / "other", configuration(7, EPISODES + 1))
    programs()
    collect(game, seats, 300, 5, path=tmp_path / "more")
    evaluate_run(other)
    assert not programs()


def test_diagnostics_compile_a_program_each(tmp_path, programs):
    config = configuration()
    run = untrained(tmp_path / "run", config)
    held_out = play_of(config, 24), play_of(configuration(1), 27)
    programs()
    result = diagnose(run, held_out[0])
    compiled = programs()
    assert sum(compiled.values()) <= 8, str(sorted(compiled))
    assert {row["steps"] for row in result["open_loop"]} == {1, 3}
    again = diagnose(run, held_out[1])
    assert not programs() and again.keys() == result.keys()
