"""Sweeps: what a file asks for, what is shared, what is taken up again, and that a failure is a unit's own."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from bestreply import cli, load_run, run_data
from bestreply.config import to_dict
from bestreply.data.store import open_store
from bestreply.scores.run_table import save_results, sweep_results
from bestreply.sweeps.executors import Job, run_in_processes, run_on_ray
from bestreply.sweeps.run_sweep import run_sweep
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils.files import locked, write_json

RUN_SWEEP = sys.modules["bestreply.sweeps.run_sweep"]

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


HUNT = 'game = "stag_hunt"\n'
REFUSED = {
    "no TOML": ("[methods", "expected TOML"),
    "unknown key": ("speed = 3\n", "speed: expected keys among preset, seeds"),
    "no seeds": (HUNT + "seeds = 0\n[methods.a]\n", "seeds=0: expected a number of seeds"),
    "many seeds": (HUNT + f"seeds = {2**40}\n[methods.a]\n", "at most 10000"),
    "list of many seeds": (HUNT + f"seeds = {list(range(10_001))}\n[methods.a]\n", "at most 10000"),
    "seed twice": (HUNT + "seeds = [1, 1]\n[methods.a]\n", r"seeds=\[1, 1\]: expected different seeds"),
    "switch for seeds": (HUNT + "seeds = true\n[methods.a]\n", "seeds=True: expected"),
    "seed too large": (HUNT + "seeds = [4294967296]\n[methods.a]\n", "methods.a: seed=4294967296: expected"),
    "no such game": ('game = "chess"\n[methods.a]\n', "game='chess': expected one of"),
    "number for a game": ("game = 3\n[methods.a]\n", "game=3: expected text"),
    "no methods": (HUNT + "[methods]\n", "methods={}: expected a table"),
    "list of methods": (HUNT + "methods = [1]\n", r"methods=\[1\]: expected a table"),
    "unknown setting": (HUNT + "[methods.a.train]\nspeed = 1\n", "methods.a: train.speed: expected another name"),
    "value for a table": (HUNT + "[methods.a]\ntrain = 1\n", "methods.a.train=1: expected a table"),
    "table for a value": (HUNT + "[methods.a.train]\nupdates = {x = 1}\n", "methods.a: train.updates=.*: expected a whole number"),
    "wrong value": (HUNT + "[methods.a.train]\nlog_every = 0\n", "methods.a: train.log_every=0: expected"),
    "folder of a game": ('[games]\n"a/b" = "stag_hunt"\n[methods.a]\n', "games.'a/b': expected a folder name"),
    "no game": ("[methods.a]\n", "expected game = SPEC"),
    "preset": (HUNT + 'preset = "debgu"\n[methods.a]\n', r"wrong\.toml: preset='debgu': expected one of debug"),
    "game of all methods": (HUNT + '[config]\ngame = "snowdrift"\n[methods.a]\n', r"toml: config\.game='snowdrift': expected it at"),
    "game of a method": (HUNT + '[methods.a]\ngame = "snowdrift"\n', r"methods\.a\.game='snow.*: expected it at .* \[games\]"),
    "seed of a method": (HUNT + "[methods.a]\nseed = 5\n", r"methods\.a\.seed=5: expected seeds at the top"),
    "rounds": (HUNT + '[methods.a]\nmethod = "iql"\n[methods.a.improve]\nrounds = 2\n', "methods.a: .*improve.rounds=2"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_in_a_file_is_named(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_sweep(path)


OUTSIDE = [
    "../../x",
    "a/b",
    "/abs/olute",
    "..",
    ".",
    "",
    "data",
    "a\\b",
    "a:b",
    "x" * 300,
    " a",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_method_cannot_be_named_out_of_its_folder(tmp_path, name):
    path = tmp_path / "wrong.toml"
    path.write_text(HUNT + f"[methods.{json.dumps(name)}]\n")
    with pytest.raises(ValueError, match="expected a folder name"):
        read_sweep(path)


@pytest.mark.parametrize("name", ["ünï", "lr=0.1", "a b", "猎鹿"])
def test_method_names_of_any_script_are_folders(tmp_path, name):
    path = tmp_path / "named.toml"
    path.write_text(HUNT + f"[methods.{json.dumps(name)}]\n", "utf-8-sig")
    (unit,) = read_sweep(path, tmp_path / "out").units
    assert unit.path == tmp_path / "out" / "stag_hunt" / name / "0"


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
        patch.setattr(run_data, "collect_round", stopped)
        assert run_sweep(found) == [improved]
    assert improved.is_started and not (improved.path / "config.json").exists()
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

    monkeypatch.setattr(RUN_SWEEP, "_run_unit", run_unit)
    monkeypatch.setattr(
        RUN_SWEEP, "_collect", lambda path, config, command: None
    )
    assert run_sweep(found) == [found.units[1]] and len(ran) == 4
    assert run_sweep(found) == [found.units[1]] and ran[4:] == [
        found.units[1].path
    ]
    broken[0] = False
    assert run_sweep(found) == [] and len(ran) == 6
    assert run_sweep(found) == [] and len(ran) == 6


def test_complete_units_follow_the_file(file, tmp_path, monkeypatch):
    """Another evaluation is made again; another configuration is run again if asked to."""
    ran = []

    def run_unit(unit, command, *of_batch):
        ran.append(unit)
        unit.path.mkdir(parents=True, exist_ok=True)
        unit.data.mkdir(parents=True, exist_ok=True)
        write_json(unit.path / "config.json", to_dict(unit.config))
        facts = {"data": {"fingerprint": "0"}}
        write_json(unit.path / "provenance.json", facts)
        write_json(unit.path / "unit.json", {})

    def sweep(*changes, **options):
        ran.clear()
        text = TINY
        for old, new in changes:
            text = text.replace(old, new)
        file.write_text(text)
        run_sweep(read_sweep(file, tmp_path / "out"), **options)
        return [unit.path.parent.name for unit in ran]

    monkeypatch.setattr(RUN_SWEEP, "_run_unit", run_unit)
    monkeypatch.setattr(RUN_SWEEP, "_collect", lambda *_: None)
    assert sweep() == ["plain", "blind"] * 2
    assert sweep() == []
    assert sweep(("episodes = 8", "episodes = 9")) == ["plain", "blind"] * 2
    kept = tmp_path / "out" / "stag_hunt" / "plain" / "0" / "report.html"
    gone = tmp_path / "out" / "stag_hunt" / "blind" / "0" / "report.html"
    for page in (kept, gone):
        page.write_text("")
    changes = ("episodes = 8", "episodes = 9"), ('"none"', '"goal"')
    assert sweep(*changes, restart_changed=True) == ["blind"] * 2
    assert kept.exists() and not gone.exists()


def test_two_processes_do_not_run_one_sweep(file, tmp_path):
    found = read_sweep(file, tmp_path / "out")
    found.path.mkdir()
    with ThreadPoolExecutor(1) as pool, locked(found.path):
        other = pool.submit(run_sweep, found)
        with pytest.raises(BlockingIOError, match="another process"):
            other.result()


def test_an_unknown_player_is_refused_before_anything_is_played(file):
    file.write_text(TINY.replace('methods = ["agent"]', 'methods = ["agnet"]'))
    with pytest.raises(
        ValueError, match=r"tiny\.toml: methods\.plain: .*agnet"
    ):
        read_sweep(file)


def test_a_method_that_does_not_fit_a_game_is_refused_before_anything_is_played(
    file,
):
    game = "[games]\nhide = 'tests.role_game:Hide'\n"
    text = TINY.partition("[config.collect]")[0].partition("game = ")[0]
    file.write_text(text + game + '[methods.search]\nmethod = "hop"\n')
    with pytest.raises(
        ValueError, match=r"tiny\.toml: methods\.search: method=hop in hide"
    ):
        read_sweep(file)


def _on_ray(jobs):
    pytest.importorskip(
        "ray", reason='Ray is not installed: pip install "bestreply[ray]"'
    )
    return run_on_ray(jobs)


@pytest.mark.parametrize(
    "run",
    [
        lambda jobs: run_in_processes(jobs, 2),
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


EXECUTORS = [
    ({"workers": 0}, "workers=0: expected at least 1"),
    ({"executor": "cloud"}, "executor='cloud': expected one of local, ray"),
    ({"batch": 0}, "batch=0: expected at least 1"),
    ({"batch": 4, "workers": 2}, "batch=4: expected executor='local'"),
    ({"address": "10.0.0.1:6379"}, "address='10.0.0.1:6379': expected"),
]


@pytest.mark.parametrize(("settings", "message"), EXECUTORS)
def test_executor_settings_that_do_not_fit_are_refused(
    file, tmp_path, settings, message
):
    with pytest.raises(ValueError, match=message):
        run_sweep(read_sweep(file, tmp_path / "out"), **settings)


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
    assert json.loads((unit / "unit.json").read_text())["resumed"]
    assert len(list((out / "stag_hunt" / "data").iterdir())) == 1

    table = tmp_path / "table.csv"
    told = type_in("results", out, "--out", table)
    assert told.strip().endswith(str(table))
    rows = pyarrow.csv.read_csv(table).to_pylist()
    assert {(r["run"], r["method"], r["episodes"]) for r in rows} == {
        (0, "agent", 8)
    } and len(rows) == 1
    with pytest.raises(SystemExit, match="expected runs with scores"):
        type_in("results", out, "--method", "nobody")


def _returns(scores, folder):
    path = folder / "before.parquet"
    path.write_bytes(scores)
    return pq.read_table(path)["return"].to_pylist()


def test_tables_are_csv_or_parquet(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected a name that ends in \.csv or \.parquet"
    ):
        save_results(sweep_results([tmp_path]), tmp_path / "x.txt")
    assert (
        pq.read_table(
            save_results([], tmp_path / "deep" / "x.parquet")
        ).num_rows
        == 0
    )
