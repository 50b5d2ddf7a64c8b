"""The command line: quick help, refusals that show what there is, files in and out."""

import dataclasses
import json
import subprocess
import sys

import pytest

from bestreply import cli, collect, make_game, open_store, preset
from bestreply.cli import flow
from bestreply.cli.registry import config_of, read
from bestreply.config import PRESETS, EvaluateConfig, RunConfig, to_dict


def run(*arguments, cwd=None):
    """In a process of its own: (exit status, standard output, standard error)."""
    code = "from bestreply.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def call(monkeypatch, capsys, *arguments):
    """In this process, where JAX has been imported: (exit status, standard output, what is said on exit)."""
    monkeypatch.setattr(sys, "argv", ["bestreply", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0, capsys.readouterr().out, str(stop.code)
    return 0, capsys.readouterr().out, ""


@pytest.mark.parametrize("arguments", ["['--help']", "[]", "['run', '--help']", "['collect', '--help']"])
def test_help_does_not_import_jax(arguments):
    code = f"""
import sys
sys.argv = ["bestreply", *{arguments}]
from bestreply.cli import main
assert "jax" not in sys.modules
try:
    main()
except SystemExit as stop:
    assert not stop.code
print([m for m in ("jax", "equinox", "optax", "orbax", "pyarrow", "scipy") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: bestreply" in done.stdout and done.stdout.rstrip().endswith("[]")


def test_help_names_every_command():
    status, out, _ = run("--help")
    assert status == 0 and all(f"  {name} " in out for name in cli.COMMANDS)
    assert {
        "run",
        "collect",
        "train",
        "evaluate",
        "report",
        "games",
        "players",
        "data describe",
        "data validate",
    } <= set(cli.COMMANDS)


def test_help_of_run_shows_every_field_with_its_default(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = call(monkeypatch, capsys, "run", "--preset", "debug", "--help")
    shown = out.replace("-", "_")

    def fields(config, prefix=""):
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if dataclasses.is_dataclass(value):
                yield from fields(value, f"{prefix}{field.name}.")
            else:
                yield prefix + field.name

    assert [name for name in fields(preset("debug")) if f"__{name}" not in shown] == []
    assert "default: 60" in out  # the preset's own number of updates


@pytest.mark.parametrize(
    "arguments, status, told",
    [
        (["fly"], 2, "there is no command 'fly'"),
        (["run", "--train.updtes", "3"], 2, "updtes"),
        (["run", "--preset", "fast"], "fail", "there is no preset 'fast'; there are: debug, demo, full"),
        (["run", "--preset"], "fail", "--preset wants a value: debug, demo, full"),
        (["run", "--config", "missing.json"], "fail", "missing.json"),
        (
            ["collect", "--players", "nobody"],
            "fail",
            "there is no player 'nobody'; there are: random, nearest_stag",
        ),
        (
            ["collect", "--game", "chess"],
            "fail",
            "there is no game 'chess'; there are: stag_hunt, snowdrift, matrix",
        ),
        (
            ["collect", "--game", "stag_hunt(hight=3)"],
            "fail",
            "stag_hunt has no setting hight; it has: height",
        ),
        (
            ["collect", "--players", "nearest_drift"],
            "fail",
            "nearest_drift plays snowdrift; the game given is stag_hunt",
        ),
        (["collect", "--players", "random", "random"], "fail", "stag_hunt has 4 seats"),
        (["evaluate", "nowhere"], "fail", "nowhere"),
        (["data", "describe", "nowhere"], "fail", "nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(monkeypatch, capfd, tmp_path, arguments, status, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bestreply", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capfd.readouterr()
    said = str(stop.value.code) + captured.err + captured.out
    assert told in said and "Traceback" not in said
    if status == 2:
        assert stop.value.code == 2
    else:  # a text: Python prints it to standard error and exits with 1
        assert isinstance(stop.value.code, str) and stop.value.code.startswith("bestreply ")
    assert list(tmp_path.iterdir()) == []


def test_training_on_what_is_not_there_is_refused(tmp_path):
    status, _, err = run("train", "nowhere", cwd=tmp_path)
    assert status == 1 and err.startswith("bestreply train: ") and "nowhere" in err
    assert list(tmp_path.iterdir()) == []


def test_a_config_file_is_where_options_start_from(tmp_path):
    config = dataclasses.replace(preset("debug"), seed=7, game="matrix")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(config)))
    found = read("run", "", flow.Run, ["--config", str(path), "--train.batch", "9", "--out", "there"])
    wanted = dataclasses.replace(config, train=dataclasses.replace(config.train, batch=9))
    assert config_of(found) == wanted and str(found.out) == "there"


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    assert config_of(read("run", "", flow.Run, [f"--preset={name}"])) == preset(name)


def test_a_config_with_an_unknown_field_is_refused(tmp_path, monkeypatch, capsys):
    path = tmp_path / "config.json"
    path.write_text('{"train": {"updtes": 3}}')
    assert "train has no field updtes" in call(monkeypatch, capsys, "run", "--config", path)[2]
    path.write_text("{")
    assert "is not JSON" in call(monkeypatch, capsys, "run", "--config", path)[2]


def test_games_and_players(monkeypatch, capsys):
    assert "stag_hunt" in call(monkeypatch, capsys, "games")[1]
    assert "tit_for_tat" in call(monkeypatch, capsys, "players")[1]


def test_collect_describe_validate(monkeypatch, capsys, tmp_path):
    path, game = tmp_path / "play", "matrix(table=chicken, rounds=3)"
    arguments = ("--game", game, "--players", "tit_for_tat", "random", "--episodes", 5, "--seed", 3)
    status, out, _ = call(monkeypatch, capsys, "collect", *arguments, "--out", path)
    assert status == 0 and out.splitlines()[-1] == str(path)  # the path last
    store = open_store(path)
    assert store.manifest.episodes == 5 and store.game() == make_game(game)
    again = collect(make_game(game), ["tit_for_tat", "random"], 5, 3, path=tmp_path / "again")
    assert again.fingerprint == store.fingerprint
    described = call(monkeypatch, capsys, "data", "describe", path)[1]
    assert "chicken" in described and "environment steps a second" in described
    assert call(monkeypatch, capsys, "data", "validate", path)[:2] == (0, f"{path}: nothing wrong\n")
    part = path / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-100])
    status, out, _ = call(monkeypatch, capsys, "data", "validate", path)
    assert status == 1 and "part-00000.parquet" in out


def test_one_name_is_for_every_seat(monkeypatch, capsys, tmp_path):
    call(
        monkeypatch,
        capsys,
        "collect",
        "--game",
        "matrix",
        "--players",
        "always_d",
        "--episodes",
        1,
        "--out",
        tmp_path / "x",
    )
    assert (open_store(tmp_path / "x").episodes().action == 1).all()


@dataclasses.dataclass(frozen=True)
class Configured:
    config: RunConfig


@pytest.mark.parametrize("named", [(), ("--opponents", "random")])
def test_evaluate_measures_changes_of_sets_that_are_named(monkeypatch, named):
    """What a sweep's file left out is measured for whoever asks by name."""
    seen = []
    config = dataclasses.replace(preset("debug"), evaluate=EvaluateConfig(changes=False))
    monkeypatch.setattr("bestreply.run.load_run", lambda path: Configured(config))
    monkeypatch.setattr("bestreply.experiment.evaluate_run", lambda run: seen.append(run.config.evaluate))
    for name in ("show_table", "show_changes", "say"):
        monkeypatch.setattr(flow, name, lambda *shown: None)
    monkeypatch.setattr(sys, "argv", ["bestreply", "evaluate", "nowhere", *named])
    cli.main()
    assert [one.changes for one in seen] == [bool(named)]
