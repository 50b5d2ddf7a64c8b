"""Sweeps: what a file asks for, what is shared, what is taken up again, and that a failure is a unit's own."""

import json
import os

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from bestreply import cli, load_run
from bestreply import pipeline as experiment
from bestreply.data.store import open_store
from bestreply.scores.run_table import save_results, sweep_results
from bestreply.sweeps import sweep
from bestreply.sweeps.executors import Job, on_ray, processes
from bestreply.sweeps.sweep import read_sweep, run_sweep

TINY = """
preset = "debug"
seeds = [0, 3]
game = "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=2)"

[config.collect]
episodes = 32
players = ["random"]
[config.train]
opponent_updates = 2
updates = 2
log_every = 2
[config.evaluate]
episodes = 8
methods = ["agent"]
reference_layouts = 0

[methods.plain]
[methods.blind.model]
opponent_types = "none"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_units_of_a_file(file, tmp_path):
    found = read_sweep(file, tmp_path / "out")
    places = [str(unit.path.relative_to(found.path)) for unit in found.units]
    assert places == [
        "stag_hunt/plain/0",
        "stag_hunt/blind/0",
        "stag_hunt/plain/3",
        "stag_hunt/blind/3",
    ]
    plain, blind = found.units[:2]
    assert (
        plain.config.seed,
        plain.config.train.updates,
        plain.config.model.opponent_types,
    ) == (
        0,
        2,
        "player",
    )
    assert (
        blind.config.model.opponent_types == "none"
        and blind.config.train == plain.config.train
    )
    assert (
        plain.data == blind.data and len(found.data) == 2
    )  # the same play, one for each seed
    assert read_sweep(file).path.parts == ("runs", "tiny")


def test_other_play_is_another_dataset(file, tmp_path):
    file.write_text(
        TINY
        + '[methods.more.collect]\nepisodes = 64\n[methods.also]\n[methods.also.collect]\nplayers = ["random"]\n'
    )
    found = read_sweep(file, tmp_path / "out")
    by_name = {
        unit.path.parent.name: unit.data
        for unit in found.units
        if unit.config.seed == 0
    }
    assert by_name["more"] != by_name["plain"] == by_name["also"]


@pytest.mark.parametrize(
    "change, told",
    [
        ("[methods", "is not TOML"),
        ("speed = 3\n", "has speed; a sweep has: preset, seeds"),
        ("seeds = 0\n[methods.a]\n", "seeds=0; expected: how many"),
        (
            "seeds = [1, 1]\n[methods.a]\n",
            "expected: how many, or a list of different",
        ),
        ("seeds = true\n[methods.a]\n", "seeds=True"),
        ('game = "chess"\n[methods.a]\n', "game='chess': expected one of"),
        ('game = "stag_hunt"\n[methods]\n', "has no methods"),
        (
            'game = "stag_hunt"\n[methods.a.train]\nspeed = 1\n',
            r"methods.a.train has speed; there are: opponent_updates",
        ),
        (
            'game = "stag_hunt"\n[methods.a]\ntrain = 1\n',
            "methods.a.train is 1; expected: a table",
        ),
        (
            'game = "stag_hunt"\n[methods.a.train]\nupdates = {x = 1}\n',
            "expected: a value like",
        ),
        (
            '[games]\n"a/b" = "stag_hunt"\n[methods.a]\n',
            "calls a game 'a/b'; expected: letters",
        ),
        ("[methods.a]\n", "names no game"),
        (
            'game = "stag_hunt"\n[methods.a]\nmethod = "iql"\n[methods.a.improve]\nrounds = 2\n',
            "methods.a: improve.rounds=2 with method=iql; expected: 0",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, change, told):
    path = tmp_path / "wrong.toml"
    path.write_text(change)
    with pytest.raises(ValueError, match=told):
        read_sweep(path)


@pytest.mark.slow
def test_rounds_of_own_play_are_a_units_own(file, tmp_path, monkeypatch):
    """Two methods that learn from the same first play, one of which adds to it, and is stopped before it does."""
    own = "[methods.improved.improve]\nrounds = 1\nepisodes = 4\n"
    file.write_text(
        TINY.replace("[0, 3]", "[0]").partition("[methods.blind")[0] + own
    )
    found = read_sweep(file, tmp_path / "out")
    plain, improved = found.units
    assert plain.data != improved.data

    def stopped(*_):
        raise RuntimeError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "collect_round", stopped)
        assert run_sweep(found) == [improved]
    assert improved.begun and not (improved.path / "config.json").exists()
    assert run_sweep(found) == []
    first, added = open_store(plain.data), open_store(improved.data)
    assert [entry["name"] for entry in added.roster] == [
        "random",
        "bestreply_1",
    ]
    assert [part.episodes for part in added.manifest.parts] == [32, 4]
    np.testing.assert_array_equal(
        added.episodes().action[:32], first.episodes().action
    )
    steps = [
        load_run(unit.path).provenance["env_steps"] for unit in found.units
    ]
    assert steps == [first.manifest.steps, added.manifest.steps]


def test_failures_are_a_units_own(file, tmp_path, monkeypatch):
    """Finished units are not run again, a failed one leaves its log and is tried again."""
    found, ran, broken = read_sweep(file, tmp_path / "out"), [], [True]

    def run_unit(unit, command, *of_batch):
        ran.append(unit.path)
        unit.path.mkdir(parents=True, exist_ok=True)
        if unit == found.units[1] and broken[0]:
            raise ValueError("no luck\nat all")
        (unit.path / "unit.json").write_text("{}")

    monkeypatch.setattr(sweep, "_run_unit", run_unit)
    monkeypatch.setattr(sweep, "_collect", lambda path, config, command: None)
    assert run_sweep(found) == [found.units[1]] and len(ran) == 4
    assert run_sweep(found) == [found.units[1]] and ran[4:] == [
        found.units[1].path
    ]
    broken[0] = False
    assert run_sweep(found) == [] and len(ran) == 6
    assert run_sweep(found) == [] and len(ran) == 6


def _on_ray(jobs):
    pytest.importorskip(
        "ray", reason='Ray is not installed: pip install "bestreply[ray]"'
    )
    return on_ray(jobs)


@pytest.mark.parametrize(
    "run",
    [
        lambda jobs: processes(jobs, 2),
        pytest.param(_on_ray, marks=pytest.mark.slow),
    ],
)
def test_a_job_that_dies_takes_nothing_with_it(run):
    jobs = [
        Job("dies", os._exit, (3,)),
        Job("fails", int, ("x",)),
        Job("works", int, ("7",)),
    ]
    found = {job.name: error for job, error in run(jobs)}
    assert set(found) == {"dies", "fails", "works"}
    assert found["works"] is None
    assert found["dies"]
    assert "invalid literal" in str(found["fails"])


@pytest.mark.parametrize(
    "asked, wanted",
    [
        ({"workers": 0}, "0 workers; expected: at least 1"),
        ({"executor": "cloud"}, "executor='cloud'; there are: local, ray"),
        ({"batch": 0}, "batch=0; expected: at least 1 seed at once"),
        (
            {"batch": 4, "workers": 2},
            r"batch=4 with executor=local, workers=2; expected: batches in this process alone",
        ),
        (
            {"address": "10.0.0.1:6379"},
            "address='10.0.0.1:6379' with executor=local; wanted",
        ),
    ],
)
def test_executors_that_there_are_not(file, tmp_path, asked, wanted):
    with pytest.raises(ValueError, match=wanted):
        run_sweep(read_sweep(file, tmp_path / "out"), **asked)


@pytest.mark.slow
def test_the_commands(file, tmp_path, monkeypatch, capsys):
    """A sweep as it is typed: run, broken off in the middle of a unit, taken up again; and its table."""
    out = tmp_path / "out"

    def type_in(*words):
        monkeypatch.setattr("sys.argv", ["bestreply", *map(str, words)])
        cli.main()
        return capsys.readouterr().out

    file.write_text(
        TINY.replace("[0, 3]", "[0]").partition("[methods.blind")[0]
    )
    assert type_in("sweep", file, "--out", out).strip().endswith(str(out))
    unit = out / "stag_hunt" / "plain" / "0"
    before = {
        name: (unit / name).read_bytes()
        for name in ("scores.parquet", "unit.json")
    }
    for name in ("scores.parquet", "unit.json"):
        (
            unit / name
        ).unlink()  # as if it had been stopped while it was measured
    type_in("sweep", file, "--out", out)
    assert pq.read_table(unit / "scores.parquet")[
        "return"
    ].to_pylist() == _returns(before["scores.parquet"], tmp_path)
    assert json.loads((unit / "unit.json").read_text())["taken_up_again"]
    assert len(list((out / "stag_hunt" / "data").iterdir())) == 1

    table = tmp_path / "table.csv"
    told = type_in("results", out, "--out", table)
    assert told.strip().endswith(str(table))
    rows = pyarrow.csv.read_csv(table).to_pylist()
    assert {(r["run"], r["method"], r["episodes"]) for r in rows} == {
        (0, "agent", 8)
    } and len(rows) == 1
    with pytest.raises(SystemExit, match="no scores under"):
        type_in("results", out, "--method", "nobody")


def _returns(scores, folder):
    path = folder / "before.parquet"
    path.write_bytes(scores)
    return pq.read_table(path)["return"].to_pylist()


def test_tables_are_csv_or_parquet(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected: a name that ends in \.csv or \.parquet"
    ):
        save_results(sweep_results([tmp_path]), tmp_path / "x.txt")
    assert (
        pq.read_table(
            save_results([], tmp_path / "deep" / "x.parquet")
        ).num_rows
        == 0
    )
