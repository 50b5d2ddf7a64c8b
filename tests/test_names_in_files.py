"""A game and players of somebody else's, through data, configuration and runs; and hostile files."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import bestreply as br
from bestreply.cli.main import run_command
from bestreply.config import RunConfig, from_dict, to_dict
from bestreply.data.store import create_store, open_store
from bestreply.pipeline import config_for_data, resolve
from bestreply.run import RUN_FORMAT, load_run
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils import names
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from bestreply.utils.trust import ALLOW_VARIABLE
from tests.own_package import forget, write_package

OURS, THEIRS = "our_package", "evil_package"
GAME = f"{OURS}.games:MyGame"
CHASER = f"{OURS}.players:Chaser(1)"


@pytest.fixture(scope="module", autouse=True)
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    write_package(folder, OURS)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    players = [CHASER, f"noisy({OURS}.players:Last, 0.5)"]
    path = tmp_path_factory.mktemp("data") / "mine"
    game = br.make_game(GAME, size=3, weights=(1.0, 2.5))
    return br.collect(game, players, 6, 0, path=path)


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """Return the file that an import of the hostile package creates."""
    folder = tmp_path / "path"
    witness = write_package(folder, THEIRS)
    monkeypatch.syspath_prepend(str(folder))
    yield witness
    forget(THEIRS, monkeypatch)


def test_a_dataset_names_the_game_and_its_players_by_module(data):
    manifest = json.loads((data.path / "manifest.json").read_text())
    assert manifest["game"]["name"] == GAME
    assert manifest["game"]["settings"]["weights"] == [1.0, 2.5]
    players = [entry["name"] for entry in manifest["roster"]]
    assert players == [CHASER, f"noisy({OURS}.players:Last, 0.5)"]
    assert br.validate(data.path) == []
    assert CHASER in open_store(data.path).describe()


def test_its_game_is_handed_in_or_allowed(data, monkeypatch):
    game, store = data.game(), open_store(data.path)
    with pytest.raises(ValueError, match=f"--allow-import {OURS}"):
        store.game()
    assert store.game(game) is game
    assert store.game(type(game)) == game
    assert store.game(allow_import=(OURS,)) == game
    monkeypatch.setenv(ALLOW_VARIABLE, OURS)
    assert store.game() == game
    other = dataclasses.replace(game, size=2)
    with pytest.raises(
        ValueError, match="game setting size: the dataset has 3"
    ):
        store.game(other)


def test_more_play_of_it_is_appended(data, tmp_path):
    path = shutil.copytree(data.path, tmp_path / "copy")
    players = [CHASER, f"noisy({OURS}.players:Last, 0.5)"]
    game = br.make_game(GAME, size=3, weights=(1.0, 2.5))
    more = br.collect(game, players, 2, 1, path=path, append=True)
    assert more.manifest.episodes == 8


def test_a_dataset_with_the_plain_name_is_handed_its_game(data, tmp_path):
    path = shutil.copytree(data.path, tmp_path / "older")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["game"]["name"] = "my_game"  # as written before names had modules
    write_json(path / "manifest.json", manifest)
    store, game = open_store(path), data.game()
    with pytest.raises(ValueError, match=r"game='my_game.*expected one of"):
        store.game()
    assert store.game(game) is game and store.is_of(game)


def test_a_game_that_no_import_leads_to_is_handed_in(
    data, tmp_path, monkeypatch
):
    class Local(type(data.game())):
        name = "local_game"

    store = create_store(tmp_path / "a", Local(size=3), data.roster)
    assert store.game() == Local(size=3)
    assert store.manifest.game["name"] == "local_game"
    again = open_store(tmp_path / "a")
    assert again.game() == Local(size=3)  # this process knows the name
    monkeypatch.setitem(names._registered, "game", {})  # another does not
    with pytest.raises(ValueError, match=r"game='local_game.*expected one of"):
        again.game()
    assert again.game(Local) == Local(size=3)
    config = RunConfig(game=Local(size=3))
    assert again.is_of(br.make_game(config.game))


def test_an_own_game_goes_through_a_configuration(data):
    game = data.game()
    config = RunConfig(
        game=game,
        planner=dataclasses.replace(
            RunConfig().planner, planner=f"{OURS}.models:planner"
        ),
    )
    again = from_dict(RunConfig, json.loads(json.dumps(to_dict(config))))
    assert again == config and br.make_game(again.game) == game


def test_players_of_a_dataset_are_those_that_may_be_imported(data):
    store, config = open_store(data.path), br.preset("debug")
    config = config_for_data(config, store, allow_import=(OURS,))
    assert config.collect.players == (
        CHASER,
        f"noisy({OURS}.players:Last, 0.5)",
    )
    assert br.make_game(config.game) == data.game()


def test_a_sweep_reads_names_of_modules(tmp_path, ours):
    file = tmp_path / "sweep.toml"
    file.write_text(
        f"game = '{GAME}(size=3)'\npreset = 'debug'\n"
        f"[config.collect]\nplayers = ['{CHASER}']\n"
        f"[methods.ours]\nmethod = '{OURS}.models:Cloning'\n"
    )
    [unit] = read_sweep(file, tmp_path / "sweep").units
    assert unit.path == tmp_path / "sweep" / "my_game" / "ours" / "0"
    assert unit.config.evaluate.opponents == (CHASER,)
    code = (
        "import sys; from bestreply.sweeps.sweep import read_sweep; "
        f"print(len(read_sweep({str(file)!r}).units))"
    )
    done = (
        subprocess.run(  # another process, which finds the package by its path
            [sys.executable, "-c", code],
            env={"PYTHONPATH": f"{ours}:{':'.join(p for p in sys.path if p)}"},
            capture_output=True,
            text=True,
        )
    )
    assert done.stdout == "1\n", done.stderr
    file.write_text(file.read_text().replace("Chaser", "Chase"))
    with pytest.raises(ValueError, match="did you mean 'Chaser'"):
        read_sweep(file)


# -- hostile files -----------------------------------------------------------------


def write_run(path, config, game, roster=("random",)):
    """Write a run directory without networks."""
    facts = provenance(0) | {
        "format": RUN_FORMAT,
        "method": config["method"],
        "plans": True,
        "env_steps": 10,
        "game": game,
        "data": {
            "fingerprint": "0" * 64,
            "roster": [{"name": name, "version": 1} for name in roster],
            "episodes": 2,
        },
    }
    path.mkdir()
    write_json(path / "provenance.json", facts)
    write_json(path / "config.json", config)
    return path


def changed(config, place, value):
    *sections, name = place.split(".")
    table = config
    for section in sections:
        table = table[section]
    table[name] = value
    return config


EVIL = {
    "game": ("game", f"{THEIRS}.games:MyGame"),
    "game with settings": ("game", f"{THEIRS}.games:MyGame(size=3)"),
    "system": ("game", "os:system('true')"),
    "adapter": ("game", f"pettingzoo:{THEIRS}.games:MyGame"),
    "method": ("method", f"{THEIRS}.models:Cloning"),
    "planner": ("planner.planner", f"{THEIRS}.models:planner"),
    "opponents": ("model.opponents", f"{THEIRS}.models:Uniform"),
    "network": ("model.encoder", f"{THEIRS}.models:Conv"),
    "loss": ("train.loss", f"{THEIRS}.models:planner"),
    "players": ("collect.players", ["random", f"{THEIRS}.players:Last"]),
    "nested": ("collect.players", [f"noisy({THEIRS}.players:Last, 0.1)"]),
    "sets": ("evaluate.opponents", [f"mixture(random, {THEIRS}.players:Last)"]),
    "sets by role": (
        "evaluate.opponents",
        [f"player=noisy({THEIRS}.players:Last, 0.1)"],
    ),
    "methods": ("evaluate.methods", ["agent", f"{THEIRS}.players:Last"]),
}


@pytest.mark.parametrize(("place", "value"), EVIL.values(), ids=EVIL)
def test_a_run_imports_nothing(place, value, tmp_path, evil):
    config = changed(to_dict(br.preset("debug")), place, value)
    config = json.loads(json.dumps(config))
    game = br.make_game(br.preset("debug").game)
    facts = {"name": game.name, "version": 1, "settings": game.settings}
    run = write_run(tmp_path / "run", config, facts)
    with pytest.raises(
        ValueError, match="expected a name that needs no import"
    ):
        load_run(run)
    assert not evil.exists()


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        ("evaluate", True),
        ("view", True),
        ("diagnose", True),
        ("play --against", True),
        ("report", False),
        ("results", False),
        ("compare", False),
    ],
)
def test_commands_on_a_run_import_nothing(
    command, refused, tmp_path, evil, capsys
):
    name = f"{THEIRS}.games:MyGame"
    config = json.loads(json.dumps(to_dict(br.preset("debug"))))
    config["game"], config["method"] = name, f"{THEIRS}.models:Cloning"
    facts = {"name": name, "version": 1, "settings": {"size": 2}}
    roster = (f"{THEIRS}.players:Last", "os:abort")
    run = write_run(tmp_path / "run", config, facts, roster)
    words = [*command.split(), str(run)]
    if command == "compare":
        words.append(str(run))
    message = ""
    try:
        run_command(words)
    except SystemExit as end:
        message = str(end.code)
    assert (f"--allow-import {THEIRS}" in message) == refused, message
    assert "Traceback" not in capsys.readouterr().err
    assert not evil.exists()


def test_a_dataset_imports_nothing(data, tmp_path, evil, capsys):
    path = tmp_path / "data"
    game = data.game()
    roster = [
        {"name": f"{THEIRS}.players:Last", "version": 1},
        {"name": "os:abort", "version": 1},
    ]
    store = create_store(path, game, roster)
    store.append(data.episodes(), seed=0)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["game"]["name"] = f"{THEIRS}.games:MyGame"
    write_json(path / "manifest.json", manifest)
    store = open_store(path)
    assert br.validate(path) == [] and store.describe() and store.summary()
    assert np.asarray(store.episodes().length).size == 6
    for words in ("data describe", "data validate"):
        run_command([*words.split(), str(path)])
    with pytest.raises(ValueError, match="--allow-import evil_package"):
        config_for_data(br.preset("debug"), store)
    capsys.readouterr()
    with pytest.raises(
        ValueError, match="expected a name that needs no import"
    ):
        store.game()
    assert not evil.exists()
    # with its game allowed, players of other modules are left out
    manifest["game"]["name"] = GAME
    write_json(path / "manifest.json", manifest)
    config = config_for_data(
        br.preset("debug"), open_store(path), allow_import=(OURS,)
    )
    assert config.collect.players == ("random",)
    assert not evil.exists()


def test_an_allowed_or_handed_in_run_is_read(data, tmp_path):
    game = data.game()
    config = resolve(dataclasses.replace(br.preset("debug"), game=game))
    recorded = json.loads((data.path / "manifest.json").read_text())["game"]
    run = write_run(tmp_path / "run", to_dict(config), recorded)
    with pytest.raises(ValueError, match=f"--allow-import {OURS}"):
        load_run(run)
    for given in ({"allow_import": (OURS,)}, {"game": game}):
        with pytest.raises(FileNotFoundError):  # it has no checkpoint
            load_run(run, **given)
    with pytest.raises(ValueError, match="expected the settings of the run"):
        load_run(run, game=type(game)())


@pytest.mark.slow
def test_the_command_line_takes_names_of_modules(tmp_path, ours):
    code = "from bestreply.cli import main; main()"
    path = ":".join([str(ours), *filter(None, sys.path)])

    def bestreply(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    sizes = ["--train.updates", "4", "--train.opponent-updates", "4"]
    run = [
        *("run", "--preset", "debug", "--out", "runs/a", *sizes),
        *("--collect.episodes", "32", "--evaluate.episodes", "8"),
        *("--game", f"{GAME}(size=3)", "--collect.players", CHASER, "random"),
        *("--planner.planner", f"{OURS}.models:planner"),
    ]
    bestreply(*run)
    bestreply(*run, "--resume")
    assert f"--allow-import {OURS}" in bestreply("evaluate", "runs/a", status=1)
    allow = ("--allow-import", OURS)
    shown = bestreply("evaluate", "runs/a", "--episodes", "6", *allow)
    assert "runs/a/scores.parquet" in shown
    bestreply("view", "runs/a", "--episodes", "1", *allow)
    words = ("datasets/a", "--preset", "debug", "--out", "runs/b", *sizes)
    bestreply("train", *words, *allow)
    bestreply("report", "runs")
