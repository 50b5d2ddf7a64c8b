"""Committed tables say what the files beside them say."""

import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "benchmarks.headline",
        "benchmarks.goal_pays",
        "benchmarks.shares",
        "benchmarks.brackets",
        "benchmarks.opponents",
        "benchmarks.codes",
        "experiments.label_rules",
    ],
)
def test_a_table_is_that_of_its_files(name, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    study = importlib.import_module(name)
    assert study.summary().strip() in (study.OUT / "README.md").read_text("utf-8")
