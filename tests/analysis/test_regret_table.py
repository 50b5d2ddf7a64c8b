"""Several runs of one configuration: what may be put together, and one table in which seeds are the unit."""

import dataclasses
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


def a_run(seed, env_steps=1000, version=1, **config):
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
    return Run(
        Path(f"run{seed}"),
        RunConfig(game=GAME, seed=seed, **config),
        game,
        facts,
    )


@pytest.mark.parametrize(
    "other, told",
    [
        ({"env_steps": 2000}, "environment steps: 1,000 and 2,000"),
        ({"version": 2}, "version of the game: 1 and 2"),
        (
            {"train": TrainConfig(gamma=0.5, updates=7)},
            "train.updates: 8000 and 7; train.gamma: 0.99 and 0.5",
        ),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_refused(other, told):
    with pytest.raises(
        ValueError, match="run0 and run1 are not comparable: "
    ) as error:
        check_comparable([a_run(0), a_run(1, **other)])
    assert told in str(error.value) and "differ in their seed alone" in str(
        error.value
    )


def test_what_may_differ():
    check_comparable(
        [a_run(0), a_run(1, env_steps=1040), a_run(2, env_steps=980)]
    )
    with pytest.raises(ValueError, match="run3 and run3 both have seed 3"):
        check_comparable([a_run(3), a_run(3)])


def write_regret(path, shift):
    path.mkdir()
    entry = {
        "opponents": "random",
        "episodes": 9,
        "best": 2.0,
        "share": 0.5 + shift,
        "share_stderr": 0.1,
    }
    entry |= {"lost": 1 - 2 * shift, "lost_stderr": 0.2}
    entry |= {
        "parts": dict.fromkeys(PARTS, 0.25),
        "parts_stderr": dict.fromkeys(PARTS, 0.125),
    }
    document = {
        "planner": "one_step",
        "gamma": 0.9,
        "types": "told",
        "against": [entry],
    }
    (path / "regret.json").write_text(json.dumps(document))
    return path / "regret.json"


def printed(found):
    console = Console(
        width=200, record=True, quiet=False, file=open("/dev/null", "w")
    )
    console.print(regret_table(found))
    console.file.close()
    return " ".join(console.export_text().split())


def test_means_and_intervals_by_hand(tmp_path):
    paths = [
        write_regret(tmp_path / str(k), shift)
        for k, shift in enumerate((0.0, 0.1, 0.2))
    ]
    found = regret_over_runs(paths, [4, 5, 6])
    (row,) = found["against"]
    half = 4.302653 * 0.1 / 3**0.5  # t of 2 degrees of freedom, 97.5 %
    wanted = {"mean": 0.6, "low": 0.6 - half, "high": 0.6 + half}
    assert row["share"] == pytest.approx(wanted, rel=1e-5)
    assert row["depth"] == {"mean": 0.25, "low": 0.25, "high": 0.25}
    assert (found["unit"], found["types"]) == ("seeds", "told")
    text = printed(found)
    assert "0.600" in text and f"[{0.6 - half:.2f}, {0.6 + half:.2f}]" in text
    assert "3 training seeds (4, 5, 6)" in text and "types told" in text


def test_one_run_has_errors_over_episodes_and_says_so(tmp_path):
    found = regret_over_runs([write_regret(tmp_path / "only", 0.0)], [4])
    assert found["unit"] == "episodes"
    assert found["against"][0]["share"] == {"mean": 0.5, "stderr": 0.1}
    text = printed(found)
    assert "0.500 ± 0.100" in text and "0.250 ± 0.125" in text
    assert "over episodes" in text and "no claim about others" in text


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory):
    """Two training seeds on the same play; small enough to take seconds."""
    folder = tmp_path_factory.mktemp("two")
    data = collect(
        make_game(GAME),
        ["mixture(nearest_stag, random)"] * 2,
        64,
        0,
        path=folder / "data",
    )
    config = dataclasses.replace(PRESETS["debug"], game=GAME)
    config = dataclasses.replace(
        config,
        train=dataclasses.replace(
            config.train, opponent_updates=4, updates=4, log_every=4
        ),
    )
    return [
        train(
            data,
            dataclasses.replace(config, seed=seed),
            path=folder / f"seed{seed}",
        ).path
        for seed in (0, 1)
    ]


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["bestreply", *map(str, arguments)])
    cli.main()


@pytest.mark.slow
def test_diagnose_over_two_runs(monkeypatch, capsys, tmp_path, two_runs):
    out = tmp_path / "table.json"
    options = (
        "--opponents",
        "nearest_stag",
        "--episodes",
        8,
        "--types",
        "told",
        "--out",
        out,
    )
    call(monkeypatch, "diagnose", *two_runs, *options)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        *(str(path / "regret.json") for path in two_runs),
        str(out),
    ]
    each = [json.loads((path / "regret.json").read_text()) for path in two_runs]
    assert [one["types"] for one in each] == ["told", "told"]
    found = json.loads(out.read_text())
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    mean = sum(one["against"][0]["lost"] for one in each) / 2
    (row,) = found["against"]
    assert row["lost"]["mean"] == pytest.approx(mean)
    assert sum(row[part]["mean"] for part in PARTS) == pytest.approx(mean)
    with pytest.raises(
        SystemExit,
        match="types=told against nearest_hare; expected: players that the model",
    ):
        call(
            monkeypatch,
            "diagnose",
            two_runs[0],
            "--opponents",
            "nearest_hare",
            "--types",
            "told",
        )


def test_no_run_is_refused(monkeypatch):
    with pytest.raises(SystemExit, match="no run directory given"):
        call(monkeypatch, "diagnose")
