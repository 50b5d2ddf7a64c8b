"""Several runs of one configuration: which may be combined, and one table with seeds as the unit."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from bestreply import cli, collect, make_game, train
from bestreply.analysis.regret import PARTS
from bestreply.analysis.regret_table import (
    check_comparable,
    regret_over_runs,
    regret_table,
)
from bestreply.config import PRESETS, RunConfig, TrainConfig
from bestreply.run import Run

GAME = "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=2)"


def run_of(seed, env_steps=1000, version=1, **config):
    game = make_game(GAME)
    facts = {
        "game": {
            "name": game.name,
            "version": version,
            "settings": game.settings,
        },
        "env_steps": env_steps,
        "data": {"roster": [{"name": "random", "version": 1}]},
    }
    config = RunConfig(game=GAME, seed=seed, **config)
    return Run(Path(f"run{seed}"), config, game, facts)


@pytest.mark.parametrize(
    "other, difference",
    [
        ({"env_steps": 2000}, "environment steps: 1,000 and 2,000"),
        ({"version": 2}, "version of the game: 1 and 2"),
        (
            {"train": TrainConfig(gamma=0.5, updates=7)},
            "train.updates: 8000 and 7; train.gamma: 0.99 and 0.5",
        ),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_refused(
    other, difference
):
    with pytest.raises(
        ValueError, match="run0 and run1 are not comparable: "
    ) as error:
        check_comparable([run_of(0), run_of(1, **other)])
    assert difference in str(error.value)
    assert "expected runs of one configuration" in str(error.value)


def test_the_amount_of_data_may_differ_by_a_few_steps():
    runs = [run_of(0), run_of(1, env_steps=1040), run_of(2, env_steps=980)]
    check_comparable(runs)


def test_two_runs_with_one_seed_are_refused():
    with pytest.raises(ValueError, match="run3 and run3 both have seed 3"):
        check_comparable([run_of(3), run_of(3)])


def write_regret(path, shift):
    path.mkdir()
    entry = {
        "opponents": "random",
        "episodes": 9,
        "best": 2.0,
        "share": 0.5 + shift,
        "share_stderr": 0.1,
        "lost": 1 - 2 * shift,
        "lost_stderr": 0.2,
        "parts": dict.fromkeys(PARTS, 0.25),
        "parts_stderr": dict.fromkeys(PARTS, 0.125),
    }
    document = {
        "planner": "one_step",
        "gamma": 0.9,
        "types": "true",
        "against": [entry],
    }
    (path / "regret.json").write_text(json.dumps(document))
    return path / "regret.json"


def printed(regret):
    console = Console(width=200, file=io.StringIO())
    console.print(regret_table(regret))
    return " ".join(console.file.getvalue().split())


def test_means_and_intervals_by_hand(tmp_path):
    paths = [
        write_regret(tmp_path / str(k), shift)
        for k, shift in enumerate((0.0, 0.1, 0.2))
    ]
    regret = regret_over_runs(paths, [4, 5, 6])
    (row,) = regret["against"]
    half = 4.302653 * 0.1 / 3**0.5  # t of 2 degrees of freedom, 97.5 %
    expected = {"mean": 0.6, "low": 0.6 - half, "high": 0.6 + half}
    assert row["share"] == pytest.approx(expected, rel=1e-5)
    assert row["depth"] == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert (regret["unit"], regret["types"]) == ("seeds", "true")
    text = printed(regret)
    assert "0.600" in text and f"[{0.6 - half:.2f}, {0.6 + half:.2f}]" in text
    assert "3 training seeds (4, 5, 6)" in text and "types true" in text


def test_one_run_has_errors_over_episodes_and_says_so(tmp_path):
    regret = regret_over_runs([write_regret(tmp_path / "only", 0.0)], [4])
    assert regret["unit"] == "episodes"
    assert regret["against"][0]["share"] == {"mean": 0.5, "stderr": 0.1}
    text = printed(regret)
    assert "0.500 ± 0.100" in text and "0.250 ± 0.125" in text
    assert "over episodes" in text and "no claim about others" in text


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
    """Two training seeds on the same play, trained for seconds."""
    folder = tmp_path_factory.mktemp("two")
    players = ["mixture(nearest_stag, random)"] * 2
    data = collect(make_game(GAME), players, 64, 0, path=folder / "data")
    debug = PRESETS["debug"]
    short = dataclasses.replace(
        debug.train, opponent_updates=4, updates=4, log_every=4
    )
    paths = []
    for seed in (0, 1):
        config = dataclasses.replace(debug, game=GAME, seed=seed, train=short)
        run = train(data, config, path=folder / f"seed{seed}")
        paths.append(run.path)
    return paths


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["bestreply", *map(str, arguments)])
    cli.main()


@pytest.mark.parametrize("count", [1, 2])
def test_a_share_that_is_undefined_is_null(tmp_path, count):
    paths = [tmp_path / str(n) for n in range(count)]
    for path in paths:
        write_regret(path, 0.0)
        document = json.loads((path / "regret.json").read_text())
        document["against"][0] |= {"share": None, "share_stderr": None}
        document["against"][0]["parts_stderr"] = dict.fromkeys(PARTS)
        (path / "regret.json").write_text(json.dumps(document))
    files = [path / "regret.json" for path in paths]
    table = regret_over_runs(files, range(count))
    assert table["against"][0]["share"]["mean"] is None
    assert table["against"][0]["lost"]["mean"] == 1.0
    console = Console(file=io.StringIO(), width=200)
    console.print(regret_table(table))
    assert "nan" not in console.file.getvalue().lower()


@pytest.mark.slow
def test_diagnose_over_two_runs(monkeypatch, capsys, tmp_path, two_runs):
    out = tmp_path / "table.json"
    options = ["--episodes", 8, "--types", "true"]
    known = ["--opponents", "nearest_stag", *options, "--out", out]
    call(monkeypatch, "diagnose", *two_runs, *known)
    files = [path / "regret.json" for path in two_runs]
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [*map(str, files), str(out)]
    each = [json.loads(path.read_text()) for path in files]
    assert [one["types"] for one in each] == ["true", "true"]
    regret = json.loads(out.read_text())
    assert [run["seed"] for run in regret["runs"]] == [0, 1]
    mean = sum(one["against"][0]["lost"] for one in each) / 2
    (row,) = regret["against"]
    assert row["lost"]["mean"] == pytest.approx(mean)
    assert sum(row[part]["mean"] for part in PARTS) == pytest.approx(mean)
    with pytest.raises(
        SystemExit,
        match="types=true against nearest_hare: expected players that the model",
    ):
        unknown = ["--opponents", "nearest_hare", *options]
        call(monkeypatch, "diagnose", two_runs[0], *unknown)


def test_diagnose_requires_a_run(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, "diagnose")
    assert stopped.value.code == 2
    assert "0 run directories" in capsys.readouterr().err
