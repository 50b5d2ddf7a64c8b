"""Committed tables say what the files beside them say."""

import importlib
from pathlib import Path

import pytest

from bestreply import preset
from bestreply.sweeps.sweep import read_sweep


@pytest.mark.parametrize(
    "name",
    [
        "experiments.headline",
        "experiments.goal_pays",
        "experiments.shares",
        "experiments.brackets",
        "experiments.opponents",
        "experiments.codes",
        "experiments.label_rules",
    ],
)
def test_a_table_is_that_of_its_files(name, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    study = importlib.import_module(name)
    assert study.summary().strip() in (study.OUT / "README.md").read_text(
        "utf-8"
    )


SWEEPS = sorted(Path(__file__).parents[1].glob("results/*/*.toml"))


@pytest.mark.parametrize(
    "file", SWEEPS, ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_a_sweep_beside_a_table_can_be_read(file, tmp_path):
    assert read_sweep(file, tmp_path).units


def test_the_preset_full_is_the_agent_of_the_headline(tmp_path):
    """The table of hunt2 was made with this planner."""
    file = Path(__file__).parents[1] / "results" / "headline" / "hunt2.toml"
    [planner] = {
        unit.config.planner
        for unit in read_sweep(file, tmp_path).units
        if unit.path.parent.name == "agent"
    }
    assert planner == preset("full").planner and planner.symmetry_averages == 8
