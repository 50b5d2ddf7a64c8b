"""Each verdict of a campaign is reached, and the table of campaigns grows."""

import csv
import json
import math
import time
from pathlib import Path

import pytest

from bestreply.utils.spec import parse_spec
from experiments.faults import __main__ as study
from experiments.faults import mutate, registry
from experiments.faults.contents import contents, halves
from experiments.faults.kinds import KINDS
from experiments.faults.registry import Kind
from experiments.faults.table import OUT, add_row, read_rows, summary
from experiments.faults.verdicts import (
    BAD,
    Lost,
    Trial,
    Verdict,
    expect,
    judge,
    no_markup,
)
from experiments.faults.workers import Done, run_trials

ROOT = Path(__file__).parents[2]


def raises(error):
    def read():
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        (lambda: parse_spec("a("), "refused"),
        (lambda: open("/no/such/file"), "refused"),  # noqa: SIM115
        (lambda: "equal", "equal"),
        (lambda: "other", "other"),
        (lambda: expect(False, "why"), "silent"),
        (lambda: no_markup(f"<p>{mutate.MARKUP}</p>"), "silent"),
        (lambda: print(mutate.ESCAPE), "silent"),
        (raises(Lost("why")), "lost"),
        (raises(KeyError("name")), "traceback"),
        (raises(SystemExit("Traceback (most recent call last)")), "traceback"),
        (raises(SystemExit(2)), "refused"),
        (lambda: json.loads("{"), "vague"),
        (raises(MemoryError()), "memory"),
        (lambda: time.sleep(5), "hang"),
    ],
)
def test_what_a_reader_does_has_a_verdict(read, verdict):
    assert judge(Trial("", read), seconds=0.2).verdict == verdict


def test_a_new_kind_is_one_function(monkeypatch):
    monkeypatch.setattr(registry, "KINDS", {})

    @registry.kind(3)
    def colour(draw, samples):
        return Trial(draw.choice(("red", "blue")), lambda: "equal")

    assert {"colour": Kind(colour, 3, False)} == registry.KINDS
    assert registry.trial_of(0, 0, None)[0] == "colour"


def test_there_is_a_kind_for_every_reader_of_foreign_input():
    readers = "manifest part_table config sweep spec game player opponents seed"
    readers += " table_of_results group checkpoint request run_opened"
    assert {*readers.split()} <= {*KINDS}


def test_the_table_grows_and_its_totals_are_on_the_page(tmp_path):
    fault = Done(7, "spec", Verdict("traceback", "KeyError: 'a|b'"), "x")
    for seed in (0, 1):
        counts = {"kills": 5, "inputs": 1000, "checkpoints": 10}
        add_row(tmp_path, seed, 1.0, counts, [fault])
    lines = (tmp_path / "table.csv").read_text("utf-8").splitlines()
    rows = list(csv.DictReader(lines))
    assert [row["seed"] for row in rows] == ["0", "1"]
    assert {row["traceback"] for row in rows} == {"1"}
    page = summary(tmp_path, "First line.\n\nThe rest.")
    total = next(line for line in page.splitlines() if line.startswith("| all"))
    assert " | 10 | 2,000 | 20 | " in total
    assert "| traceback | spec | 1 | 7 |" in page and "a/b" in page
    assert set(BAD) <= {*rows[0]}


def test_halves_and_differences_of_folders_are_seen(tmp_path):
    for name, text in {"a": '{"seconds": 1, "x": 1}', "b": '{"x": 1}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.json").write_text(text)
    one, two = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert one == two
    (tmp_path / "b" / "f.json").write_text('{"x": 2}')
    assert contents(tmp_path / "b") != one and halves(tmp_path) == []
    (tmp_path / "b" / "f.json").write_text('{"x": ')
    (tmp_path / "b" / "f.html").write_text("<html>")
    assert len(halves(tmp_path)) == 2


@pytest.mark.slow
def test_workers_return_every_number_once():
    done = list(run_trials(range(12), 3, workers=2, until=math.inf))
    assert sorted(d.number for d in done) == list(range(12))
    assert all(d.kind in KINDS for d in done)


def test_the_page_of_the_campaigns_is_that_of_its_table():
    page = (ROOT / OUT / "README.md").read_text("utf-8")
    assert page == summary(ROOT / OUT, study.__doc__)
    assert all(int(row["lost"]) == 0 for row in read_rows(ROOT / OUT)[-1:])
