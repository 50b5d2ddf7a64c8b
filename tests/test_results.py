"""Pages of results/ are those of the files beside them, and their commands exist."""

import importlib
import json
from pathlib import Path

import pytest

from bestreply import preset
from bestreply.sweeps.sweep import read_sweep
from experiments.__main__ import NAMES

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def test_every_command_of_a_results_page_names_a_study():
    pages = [*RESULTS.glob("*/*.md"), *RESULTS.glob("*.md")]
    words = " ".join(page.read_text("utf-8") for page in pages).split()
    called = [
        words[k + 2].strip("`,.;:")
        for k in range(len(words) - 2)
        if words[k : k + 2] == ["-m", "experiments"]
    ]
    assert {*called} <= {*NAMES}
    # Studies were modules of benchmarks, and then of experiments.
    former = {f"{a}.{b}" for a in ("benchmarks", "experiments") for b in NAMES}
    assert not former & {word.strip("`,.;:") for word in words}


def rows_of(file: str) -> list:
    return json.loads((RESULTS / file).read_text("utf-8"))["rows"]


@pytest.mark.parametrize(
    "name",
    [
        "headline",
        "goal_pays",
        "shares",
        "brackets",
        "opponents",
        "codes",
        "label_rules",
        "few_shot",
    ],
)
def test_a_page_is_that_of_its_files(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = importlib.import_module(f"experiments.{name}")
    page = (study.OUT / "README.md").read_text("utf-8")
    assert study.summary().strip() in page


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("beliefs", "beliefs/stay.json"),
        ("unknown_types", "beliefs/unknown_types.json"),
        ("changes", "changes/stay.json"),
    ],
)
def test_the_tables_of_a_page_are_those_of_its_file(name, file):
    page = (RESULTS / file).with_name("README.md").read_text("utf-8")
    for table in (
        importlib.import_module(f"experiments.{name}")
        .summary(rows_of(file))
        .split("\n\n")
    ):
        assert table in page


def test_the_page_of_the_rock_paper_scissors_programs_is_that_of_its_files():
    pyspiel = pytest.importorskip("pyspiel")
    if not hasattr(pyspiel, "roshambo_bot_names"):
        pytest.skip("open_spiel was built without its roshambo programs")
    from experiments.roshambo.table import summary

    folder = RESULTS / "roshambo"
    assert summary(folder) == (folder / "README.md").read_text("utf-8")


def test_the_page_of_the_prisoners_dilemma_is_that_of_its_files(monkeypatch):
    pytest.importorskip("axelrod")
    from experiments.axelrod.page import summary

    monkeypatch.chdir(ROOT)
    folder = RESULTS / "axelrod"
    assert summary() == (folder / "README.md").read_text("utf-8")


def sweep(file):
    """`file` as a case; slow where its game's library is installed for slow tests alone."""
    text = file.read_text("utf-8")
    wants = any(prefix in text for prefix in ("jaxmarl:", "pgx:"))
    return pytest.param(
        file,
        id=f"{file.parent.name}/{file.name}",
        marks=[pytest.mark.slow] if wants else [],
    )


@pytest.mark.parametrize(
    "file", [sweep(file) for file in sorted(RESULTS.glob("*/*.toml"))]
)
def test_a_sweep_of_results_can_be_read(file, tmp_path):
    if "experiments.axelrod" in file.read_text("utf-8"):
        pytest.importorskip("axelrod")
    assert read_sweep(file, tmp_path).units


def test_the_preset_full_has_the_planner_of_the_headline(tmp_path):
    file = RESULTS / "headline" / "hunt2.toml"
    [planner] = {
        unit.config.planner
        for unit in read_sweep(file, tmp_path).units
        if unit.path.parent.name == "agent"
    }
    assert planner == preset("full").planner and planner.symmetry_averages == 8
