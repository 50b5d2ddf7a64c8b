"""The command line: help that imports no JAX, errors that name what is expected, files in and out."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bestreply import cli, collect, make_game, open_store, preset
from bestreply.cli import flow, registry
from bestreply.cli import options as options_module
from bestreply.cli.options import (
    RANGES,
    check_ranges,
    config_of,
    options_of,
    read,
)
from bestreply.cli.output import describe_error, say
from bestreply.cli.registry import (
    COMMANDS,
    FAMILIES,
    GROUPS,
    UsageError,
    nearest,
)
from bestreply.config import PRESETS, EvaluateConfig, RunConfig, to_dict


def run(*arguments, cwd=None):
    """Return (exit status, standard output, standard error) of a new process."""
    code = "from bestreply.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    return done.returncode, done.stdout, done.stderr


def call(monkeypatch, capsys, *arguments):
    """Return (exit status, standard output, standard error) of `main` in this process."""
    monkeypatch.setattr(sys, "argv", ["bestreply", *map(str, arguments)])
    status, message = 0, ""
    try:
        cli.main()
    except (
        SystemExit
    ) as stop:  # a text: Python prints it to standard error and exits with 1
        status = 1 if isinstance(stop.code, str) else stop.code or 0
        message = stop.code if isinstance(stop.code, str) else ""
    shown = capsys.readouterr()
    return status, shown.out, shown.err + message


# -- help ----------------------------------------------------------------------------------------------------------------------

HEAVY = (
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "safetensors",
    "numpy",
    "pyarrow",
    "scipy",
)


LIGHT = (
    [],
    ["--help"],
    ["help"],
    ["data"],
    ["data", "--help"],
    ["--version"],
    ["evalute"],
)


def test_help_and_completion_do_not_import_jax():
    shells = [["completion", shell] for shell in ("bash", "zsh", "fish")]
    lines = [
        *LIGHT,
        ["help", "data", "describe"],
        ["run", "--help"],
        ["help", "train"],
        *shells,
    ]
    code = f"""
import sys
from bestreply.cli import main
for line in {lines}:
    sys.argv = ["bestreply", *line]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code or line == ["evalute"], (line, stop.code)
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert not heavy, (line, heavy)
    if line in {LIGHT}:
        tools = [name for name in ("tyro", "rich", "bestreply.config") if name in sys.modules]
        assert not tools, (line, tools)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (
        "usage: bestreply run" in done.stdout
        and "complete -c bestreply" in done.stdout
    )


def test_help_lists_every_command_in_its_group(monkeypatch, capsys):
    status, out, _ = call(monkeypatch, capsys, "--help")
    assert status == 0 and max(map(len, out.splitlines())) <= 100
    places = [out.index(f"\n{heading}:\n") for heading in GROUPS]
    assert places == sorted(places)
    assert all(
        f"\n  {name:<15} {command.summary}\n" in out
        for name, command in COMMANDS.items()
    )
    assert list(GROUPS["From play to report"]) == [
        "run",
        "collect",
        "train",
        "evaluate",
        "report",
        "export",
    ]
    for same in ([], ["-h"], ["help"], ["help", "--help"]):
        assert call(monkeypatch, capsys, *same) == (0, out, "")


def test_help_of_a_family_lists_its_commands(monkeypatch, capsys):
    assert FAMILIES == ("data",)
    status, out, _ = call(monkeypatch, capsys, "data")
    assert (
        status == 0
        and "  data describe " in out
        and "  data validate " in out
        and "sweep" not in out
    )
    for same in (["data", "--help"], ["data", "-h"], ["help", "data"]):
        assert call(monkeypatch, capsys, *same) == (0, out, "")


@pytest.mark.parametrize("name", ["run", "data describe"])
def test_help_of_a_command(monkeypatch, capsys, name):
    status, out, _ = call(monkeypatch, capsys, *name.split(), "--help")
    assert (
        status == 0
        and f"usage: bestreply {name}" in out
        and COMMANDS[name].summary in out
    )
    assert call(monkeypatch, capsys, "help", *name.split())[:2] == (0, out)


def test_every_command_has_an_example_or_no_arguments_and_documents_every_option():
    for name, command in COMMANDS.items():
        kind = command.load()
        assert dataclasses.is_dataclass(kind) and callable(kind.run), name
        assert kind.__doc__ and not kind.__doc__.startswith(
            f"{kind.__name__}("
        ), name
        if name not in ("games", "players", "methods", "completion"):
            assert f"Example: bestreply {name} " in kind.__doc__, name


def test_examples_in_help_have_valid_options():
    for name, command in COMMANDS.items():
        kind = command.load()
        flags = {flag for option in options_of(kind) for flag in option.flags}
        example = kind.__doc__.partition("Example: ")[2]
        assert {
            word for word in example.split() if word.startswith("--")
        } <= flags, name


def test_version(monkeypatch, capsys):
    import importlib.metadata

    version = importlib.metadata.version("bestreply")
    assert call(monkeypatch, capsys, "--version") == (
        0,
        f"bestreply {version}\n",
        "",
    )


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

    assert [
        name for name in fields(preset("debug")) if f"__{name}" not in shown
    ] == []
    assert "default: 60" in out  # the preset's own number of updates


# -- errors --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        ("fly", 2, "bestreply: unknown command 'fly'. "),
        (
            "evalute runs/x",
            2,
            "unknown command 'evalute'. Did you mean 'evaluate'? All commands: bestreply --help",
        ),
        (
            "describe x",
            2,
            "unknown command 'describe'. Did you mean 'data describe'?",
        ),
        (
            "data desribe x",
            2,
            "unknown command 'data desribe'. Did you mean 'data describe'?",
        ),
        (
            "help evalute",
            2,
            "unknown command 'evalute'. Did you mean 'evaluate'?",
        ),
        (
            "--versoin",
            2,
            "unknown option '--versoin'. Did you mean '--version'?",
        ),
        (
            "run --train.updtes 3",
            2,
            "bestreply run: unknown option '--train.updtes'. Did you mean '--train.updates'? All options: bestreply run --help",
        ),
        (
            "run --updates=3",
            2,
            "unknown option '--updates'. Did you mean '--train.updates'?",
        ),
        (
            "run --prest debug",
            2,
            "unknown option '--prest'. Did you mean '--preset'?",
        ),
        ("train x --episodes 3", 2, "Did you mean '--collect.episodes'"),
        (
            "report --lnag zh",
            2,
            "unknown option '--lnag'. Did you mean '--lang'?",
        ),
        ("report --lang fr", 2, "'fr'"),
        ("evaluate", 2, "Run directory"),
        ("completion tcsh", 2, "tcsh"),
        ("run --preset fast", 2, "--preset=fast: expected debug, demo or full"),
        ("run --preset", 2, "--preset: expected debug, demo or full"),
        ("run --config", 2, "--config: expected a JSON file"),
        (
            "run --config c.json --preset debug",
            2,
            "--config=c.json --preset=debug: expected one",
        ),
        (
            "train x --preset=debug --preset demo",
            2,
            "--preset=debug --preset=demo: expected one",
        ),
        (
            "run --seed -1",
            2,
            "--seed=-1: expected a whole number from 0 to 4294967295",
        ),
        (
            "play stag_hunt --port 99999",
            2,
            "--port=99999: expected a whole number from 0 to 65535",
        ),
        ("compare a", 2, "expected at least two groups of runs"),
        (
            "diagnose",
            2,
            "expected one, or several that differ in their seed alone",
        ),
        (
            "play stag_hunt matrix",
            2,
            "game=stag_hunt matrix: expected one game",
        ),
        (
            "run --config missing.json",
            1,
            "bestreply run: missing.json: No such file or directory",
        ),
        ("collect --players unknown", 1, "random, nearest_stag"),
        ("collect --game chess", 1, "stag_hunt, snowdrift, matrix"),
        ("collect --game stag_hunt(hight=3)", 1, "height"),
        ("collect --players nearest_drift", 1, "snowdrift"),
        ("collect --players random random", 1, "4 seats"),
        ("evaluate nowhere", 1, "bestreply evaluate: nowhere"),
        (
            "data describe nowhere",
            1,
            "bestreply data describe: path=nowhere: expected a dataset",
        ),
        ("results nowhere", 1, "bestreply evaluate RUN"),
        (
            "sweep nowhere.toml",
            1,
            "bestreply sweep: nowhere.toml: No such file or directory",
        ),
        ("check-game chess", 1, "stag_hunt, snowdrift, matrix"),
        ("run --preset debug --resume", 1, "--resume: --out FOLDER"),
        ("collect --append", 1, "--append: --out FOLDER"),
    ],
)
def test_an_error_is_shown_in_a_line(
    monkeypatch, capsys, tmp_path, arguments, status, message
):
    monkeypatch.chdir(tmp_path)
    actual, out, error = call(monkeypatch, capsys, *arguments.split())
    assert (
        (actual, out) == (status, "")
        and message in error
        and "Traceback" not in error
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        *(["run", "--out", ""], ["run", "--out="], ["collect", "--out", ""]),
        *(["train", "ds", "--out", ""], ["train", "", "--out", "runs/1"]),
        *(["report", "runs", "--out", ""], ["play", "matrix", "--out", ""]),
        *(["sweep", "s.toml", "--out", ""], ["export", "runs/1", ""]),
        *(["data", "import", "f.npz", "--out", ""], ["results", ""]),
        ["view", "runs/1", "--gif", ""],
    ],
)
def test_an_empty_path_is_refused(monkeypatch, capsys, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    status, out, error = call(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "") and "='': expected a path" in error
    assert list(tmp_path.iterdir()) == []


def test_an_empty_value_that_is_no_path_is_left_to_its_option():
    options_module.check_paths(flow.Evaluate, ["runs/1", "--opponents", ""])
    options_module.check_paths(flow.Run, ["--out", "runs/1", "--game", ""])


def test_an_error_reaches_standard_error_and_the_shell(tmp_path):
    status, out, error = run("train", "nowhere", cwd=tmp_path)
    assert (
        (status, out) == (1, "")
        and error.startswith("bestreply train: ")
        and "nowhere" in error
    )
    assert run("evalute")[::2] == (
        2,
        "bestreply: unknown command 'evalute'. Did you mean 'evaluate'? All commands: bestreply --help\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ("collect", ""),
        (
            "run",
            " The same command with --resume and --out RUN continues from here.",
        ),
        ("sweep s.toml", " The same command continues from here."),
    ],
)
def test_ctrl_c_says_that_files_are_complete_and_how_to_continue(
    monkeypatch, capsys, words, after
):
    def interrupt(self):
        raise KeyboardInterrupt

    name = words.split()[0]
    monkeypatch.setattr(COMMANDS[name].load(), "run", interrupt)
    assert call(monkeypatch, capsys, *words.split()) == (
        130,
        "",
        f"\nbestreply {name}: interrupted. All files on disk are complete.{after}\n",
    )


def test_a_closed_pipe_is_no_error():
    code = "import os, sys; from bestreply.cli import main; sys.argv[1:] = ['--help']; os.close(r)\nmain()"
    code = f"import os; r, w = os.pipe(); os.dup2(w, 1); {code}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, "")


def test_suggestions():
    names = [
        "--train.updates",
        "--train.value-updates",
        "--collect.episodes",
        "--evaluate.episodes",
        "--seed",
    ]
    assert nearest("--train.updats", names) == ["--train.updates"]
    assert nearest("--episodes", names) == [
        "--collect.episodes",
        "--evaluate.episodes",
    ]
    assert nearest("--colect.episodes", names) == ["--collect.episodes"]
    assert nearest(
        "--train.planer", [*names, "--train.labels", "--planner.planner"]
    ) == ["--planner.planner"]
    assert nearest("--xyz", names) == []
    assert registry.did_you_mean("xyz", ["run"]) == ""
    assert (
        registry.one_of(["a"]) == "a"
        and registry.one_of(["a", "b", "c"]) == "a, b or c"
    )


# -- options -------------------------------------------------------------------------------------------------------------------


def test_options_of_a_dataclass():
    options = {
        option.name: option for option in options_of(COMMANDS["train"].load())
    }
    assert options["data"].positional and options["data"].is_path
    assert options["--preset"].choices == tuple(PRESETS)
    assert options["--out"].is_path and not options["--out"].choices
    assert options["--resume"].flags == ("--resume", "--no-resume")
    assert options["--evaluate.changes"].flags == (
        "--evaluate.changes",
        "--evaluate.no-changes",
    )
    assert options["--planner.planner"].choices == (
        "one_step",
        "expectimax",
        "mcts",
        "action_values",
    )
    assert "--train.learning-rate" in options


@pytest.mark.parametrize(
    "words, augment",
    [
        ("--train.augment false", False),
        ("--train.augment=False", False),
        ("--train.no-augment", False),
        ("--train.no_augment=false", None),
        ("--train.augment true --no-resume", True),
        ("--train.augment", True),
    ],
)
def test_flags_may_be_given_true_or_false(words, augment):
    arguments = ["--preset=debug", *words.split()]
    if augment is None:
        with pytest.raises(SystemExit):
            read("run", flow.Run, arguments)
        return
    assert read("run", flow.Run, arguments).train.augment is augment


def test_a_flag_that_is_neither_true_nor_false_names_both_spellings():
    with pytest.raises(UsageError) as error:
        read("run", flow.Run, ["--planner.revise_values=maybe"])
    assert str(error.value) == (
        "--planner.revise_values=maybe: expected true or false; "
        "--planner.revise-values alone is true, --planner.no-revise-values is false"
    )


@pytest.mark.parametrize("name", RANGES)
def test_ranges(name):
    kind = dataclasses.make_dataclass("Kind", [name])
    for value in (*RANGES[name], None):
        check_ranges(kind(value))
    for value in (RANGES[name][0] - 1, RANGES[name][1] + 1):
        with pytest.raises(UsageError, match=f"--{name}={value}: expected"):
            check_ranges(kind(value))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_options_start_from_a_config_file(tmp_path, encoding):
    config = dataclasses.replace(preset("debug"), seed=7, game="matrix")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_dict(config)), encoding)
    options = read(
        "run",
        flow.Run,
        ["--config", str(path), "--train.batch", "9", "--out", "there"],
    )
    expected = dataclasses.replace(
        config, train=dataclasses.replace(config.train, batch=9)
    )
    assert config_of(options) == expected and str(options.out) == "there"


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    words = [f"--preset={name}", "--preset", name]  # the same, twice
    assert config_of(read("run", flow.Run, words)) == preset(name)


@pytest.mark.parametrize(
    "text, status, message",
    [
        ('{"train": {"updtes": 3}}', 2, "did you mean 'updates'?"),
        ("{", 2, "expected a JSON file"),
        ("[" * 100_000, 2, "expected a JSON file"),
        ("[]", 2, "expected a JSON object"),
        ('{"train": 3}', 2, "train=3: expected a table of settings"),
        ('{"seed": "x"}', 2, "seed='x': expected"),
        (
            '{"train": {"updates": true}}',
            2,
            "train.updates=True: expected",
        ),
        (
            '{"collect": {"players": "random"}}',
            2,
            "collect.players='random': expected",
        ),
        ('{"method": "best"}', 2, "method='best': expected one of 'agent', "),
    ],
)
def test_a_wrong_config_file_is_refused(
    tmp_path, monkeypatch, capsys, text, status, message
):
    path = tmp_path / "config.json"
    path.write_text(text)
    actual, out, error = call(monkeypatch, capsys, "run", "--config", path)
    assert (actual, out) == (status, "") and message in error


def test_games_and_players(monkeypatch, capsys):
    assert "stag_hunt" in call(monkeypatch, capsys, "games")[1]
    assert "tit_for_tat" in call(monkeypatch, capsys, "players")[1]


def test_check_game_and_player(monkeypatch, capsys):
    checked = []
    for place in ("games.check.check_game", "players.check.check_player"):
        monkeypatch.setattr(
            f"bestreply.{place}",
            lambda *arguments: checked.append(arguments) or "kept",
        )
    assert call(monkeypatch, capsys, "check-game", "matrix", "--episodes", 1)[
        :2
    ] == (0, "kept\n")
    assert call(
        monkeypatch,
        capsys,
        "check-player",
        "tit_for_tat",
        "--game",
        "matrix",
        "--seed",
        3,
    )[:2] == (
        0,
        "kept\n",
    )
    assert checked[0] == (make_game("matrix"), 0, 1)
    assert (checked[1][0].name, *checked[1][1:]) == (
        "tit_for_tat",
        make_game("matrix"),
        3,
        4,
    )
    monkeypatch.setattr("bestreply.games.check.check_game", broken)
    status, out, error = call(monkeypatch, capsys, "check-game", "matrix")
    assert (status, out, error) == (1, "", "bestreply check-game: it is broken")
    monkeypatch.setattr("bestreply.players.check.check_player", broken)
    status, out, error = call(
        monkeypatch, capsys, "check-player", "tit_for_tat", "--game", "matrix"
    )
    assert (status, out, error) == (
        1,
        "",
        "bestreply check-player: it is broken",
    )


def broken(*arguments):
    raise AssertionError("it is broken")


def test_collect_describe_validate(monkeypatch, capsys, tmp_path):
    path, game = tmp_path / "play", "matrix(table=chicken, rounds=3)"
    arguments = (
        "--game",
        game,
        "--players",
        "tit_for_tat",
        "random",
        "--episodes",
        5,
        "--seed",
        3,
    )
    status, out, _ = call(
        monkeypatch, capsys, "collect", *arguments, "--out", path
    )
    assert status == 0 and out.splitlines()[-1] == str(path)  # the path last
    store = open_store(path)
    assert store.manifest.episodes == 5 and store.game() == make_game(game)
    again = collect(
        make_game(game),
        ["tit_for_tat", "random"],
        5,
        3,
        path=tmp_path / "again",
    )
    assert again.fingerprint == store.fingerprint
    described = call(monkeypatch, capsys, "data", "describe", path)[1]
    assert "chicken" in described and "environment steps a second" in described
    assert call(monkeypatch, capsys, "data", "validate", path)[:2] == (
        0,
        f"{path}: no errors\n",
    )
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
    """Sets that are named on the command line include their changes, whatever the run's configuration says."""
    seen = []
    config = dataclasses.replace(
        preset("debug"), evaluate=EvaluateConfig(changes=False)
    )
    monkeypatch.setattr(
        "bestreply.run.load_run",
        lambda path, allow_import: Configured(config),
    )
    monkeypatch.setattr(
        "bestreply.pipeline.evaluate_run",
        lambda run: seen.append(run.config.evaluate),
    )
    for name in ("show_scores", "show_changes", "say"):
        monkeypatch.setattr(flow, name, lambda *shown: None)
    monkeypatch.setattr(
        sys, "argv", ["bestreply", "evaluate", "nowhere", *named]
    )
    cli.main()
    assert [one.changes for one in seen] == [bool(named)]


def test_control_characters_are_not_printed(capsys):
    say("a\x1b[2Jb", Path("c\u202ed"))
    assert capsys.readouterr().out == "a\ufffd[2Jb\nc\ufffdd\n"
    assert describe_error(ValueError("x\x07")) == "x\ufffd"


# -- the page ------------------------------------------------------------------------------------------------------------------


def test_the_page_names_every_command_and_shows_errors_as_they_are(
    monkeypatch, capsys
):
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text(
        "utf-8"
    )
    assert [name for name in COMMANDS if f"`{name}`" not in page] == []
    shown = re.findall(
        r"^    \$ bestreply (.*)\n    (bestreply.*)$", page, re.MULTILINE
    )
    assert len(shown) == 2
    for words, message in shown:
        assert call(monkeypatch, capsys, *words.split()) == (
            2,
            "",
            f"{message}\n",
        )
