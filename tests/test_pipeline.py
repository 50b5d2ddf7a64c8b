"""Runs from play to report: data of their own, names checked first, one process a run."""

import dataclasses
import json

import pytest

from bestreply import pipeline
from bestreply.collect import collect
from bestreply.config import preset
from bestreply.data.store import open_store
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.pipeline import check_before_play, check_names, resolve
from bestreply.run import Run
from bestreply.run_data import check_play, collect_for, play_of_round
from bestreply.utils.files import locked
from tests.role_game import Hide

GAME = "matrix(table=prisoners_dilemma, rounds=3)"


def configuration(**settings):
    """Return a small configuration; a setting is written section__name or name."""
    config = dataclasses.replace(preset("debug"), game=GAME)
    given = {
        "collect__episodes": 4,
        "collect__players": ("tit_for_tat", "random"),
    }
    for name, value in (given | settings).items():
        section, _, field = name.rpartition("__")
        if section:
            changed = dataclasses.replace(
                getattr(config, section), **{field: value}
            )
            config = dataclasses.replace(config, **{section: changed})
        else:
            config = dataclasses.replace(config, **{field: value})
    return resolve(config)


@pytest.fixture
def run_all(tmp_path, monkeypatch):
    """Return `run_all` in an empty folder, with play but without training."""

    def learn(config, path, data, *, resume, command):
        store = play_of_round(config, None, 0, data, resume, command)
        (path / "config.json").write_text("{}")
        return Run(store.path, config, store.game(), {})  # its data's path

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "learn", learn)
    monkeypatch.setattr(pipeline, "evaluate_run", lambda run, command: None)
    monkeypatch.setattr(pipeline, "write_report", lambda folder: None)
    return lambda *a, **k: open_store(pipeline.run_all(*a, **k).path)


def test_a_run_collects_data_of_its_own(run_all, tmp_path):
    game = make_game(GAME)
    others = collect(game, ["random"] * 2, 4, 5, path="datasets/matrix-0001")
    before = others.fingerprint
    store = run_all(configuration())
    assert store.path.name == "matrix-0001-2"
    assert store.manifest.episodes == 4
    assert open_store(others.path).fingerprint == before
    linked = json.loads(
        (tmp_path / "runs/matrix-0001/dataset.json").read_text()
    )
    assert linked == {"path": "../../datasets/matrix-0001-2"}


def test_a_run_that_is_resumed_uses_its_own_data_again(run_all):
    first = run_all(configuration(), "elsewhere")
    assert first.path.name == "data"
    again = run_all(configuration(), "elsewhere", resume=True)
    assert again.manifest.parts == first.manifest.parts
    with pytest.raises(FileExistsError, match="--resume"):
        run_all(configuration(), "elsewhere")


def test_a_dataset_file_leads_to_no_other_folder(run_all, tmp_path):
    run_all(configuration(), "elsewhere")
    file = tmp_path / "elsewhere" / "dataset.json"
    for text in ('{"path": "../../x"}', '{"path": 3}', "[]", "null"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"dataset\.json"):
            run_all(configuration(), "elsewhere", resume=True)


def test_one_process_a_run_directory(run_all, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    (tmp_path / "elsewhere").mkdir()
    with ThreadPoolExecutor(1) as pool, locked(tmp_path / "elsewhere"):
        running = pool.submit(run_all, configuration(), "elsewhere")
        with pytest.raises(BlockingIOError, match="another process"):
            running.result()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluate__methods": ("agent", "nobody")}, "evaluate.methods=nobody"),
        ({"evaluate__opponents": ("randon",)}, "randon"),
        ({"evaluate__opponents": ("random, random",)}, "expected 1 name"),
        ({"collect__players": ("always(5)",)}, "action=5"),
        ({"evaluate__methods": ("self",)}, "evaluate.methods=self"),
    ],
)
def test_unknown_names_are_refused_before_play(
    run_all, tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        run_all(configuration(**changes))
    assert not list(tmp_path.iterdir())


class Untold(Hide):
    """Seats differ, and observations do not tell them."""

    name = "untold"
    seat_in = Game.seat_in


HIDE, UNTOLD = "tests.role_game:Hide", "tests.test_pipeline:Untold"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "hop"}, "method=hop in hide: .* show its state"),
        ({"planner__world": "true"}, "planner.world=true in hide: .*state"),
        ({"model__opponents": "level_k"}, "model.opponents=level_k in hide"),
        ({"model__encoder": "cnn"}, "model.encoder=cnn for observations"),
        ({"model__opponents": "nowhere:X"}, "there is no 'nowhere'"),
        ({"planner__planner": "nowhere:x"}, "there is no 'nowhere'"),
        ({"train__loss": "nowhere:x"}, "there is no 'nowhere'"),
        ({"game": UNTOLD}, r"game=untold: expected a method seat_in"),
        ({"collect__episodes": 1}, "collect.episodes=1: expected at least 2"),
    ],
)
def test_what_does_not_fit_the_game_is_refused_before_play(
    run_all, tmp_path, changes, message
):
    given = {"game": HIDE, "collect__players": ("random",)} | changes
    with pytest.raises(ValueError, match=message):
        run_all(configuration(**given))
    assert not list(tmp_path.iterdir())


def test_a_planner_that_compares_values_of_actions_needs_them():
    with pytest.raises(ValueError, match=r"planner.planner=action_values, mod"):
        configuration(planner__planner="action_values")


def test_what_fits_its_game_is_played():
    for changes in (
        {"game": HIDE, "collect__players": ("random",), "method": "iql"},
        {"method": "hop"},
        {"model__opponents": "level_k"},
        {"model__opponents": "tables", "planner__world": "true"},
    ):
        check_before_play(configuration(**changes))


def test_names_with_a_meaning_of_their_own_are_known():
    check_names(
        configuration(
            evaluate__methods=("agent", "data_players", "true_types", "grim"),
            evaluate__opponents=("self", "switching(grim, random, step=2)"),
        )
    )


def test_play_of_other_settings_is_refused(tmp_path):
    config = configuration()
    data = collect_for(config, tmp_path / "data")
    check_play(config, data)
    check_play(configuration(evaluate__episodes=7), data)
    for changes, message in (
        ({"seed": 1}, r"\(0, 4\).*\(1, 4\)"),
        ({"collect__episodes": 5}, r"\(0, 4\).*\(0, 5\)"),
        ({"collect__players": ("grim", "random")}, "players: .*tit_for_tat"),
        ({"improve__rounds": 1}, "bestreply_1"),
    ):
        with pytest.raises(ValueError, match=message):
            check_play(configuration(**changes), data)
