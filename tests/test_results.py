"""Committed tables say what the files beside them say."""

import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "name",
    ["headline", "goal_pays", "shares", "brackets", "opponents", "codes", "label_rules", "alike"],
)
def test_a_table_is_that_of_its_files(name, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    benchmark = importlib.import_module(f"benchmarks.{name}")
    assert benchmark.summary().strip() in (benchmark.OUT / "README.md").read_text("utf-8")
