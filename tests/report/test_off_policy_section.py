"""A run on a recorded game shows estimated returns, and asks for no scores."""

import json

import pytest

from bestreply.report import write_report
from bestreply.report.off_policy import off_policy_section
from bestreply.report.texts import load_texts

CELL = {"mean": 4.126, "low": 3.5, "high": 4.75}
DOCUMENT = {
    "episodes": 1000,
    "held_out": True,
    "policies": [
        {
            "policy": "agent",
            "kind": "method",
            "fitted_q": CELL,
            "weighted": None,
        },
        {"policy": "ann", "kind": "player", "fitted_q": CELL, "logged": CELL},
    ],
}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_estimates_with_their_intervals(lang):
    texts = load_texts(lang)
    section = off_policy_section(DOCUMENT, texts)
    assert section is not None
    assert section["table"].rows == [
        ["agent", "4.13 [3.50, 4.75]", "–", "–"],
        [
            texts("off_policy_clone_of", player="ann"),
            "4.13 [3.50, 4.75]",
            "–",
            "4.13 [3.50, 4.75]",
        ],
    ]
    assert "1,000" in section["note"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"policies": 3},
        {"policies": [3, {"policy": 4}, {"kind": "method"}]},
    ],
)
def test_no_estimates_no_section(document):
    assert off_policy_section(document, load_texts("en")) is None


@pytest.mark.parametrize("cell", [3, [], {"mean": "4"}, {"mean": 1e300}, CELL])
def test_a_cell_of_any_type(cell):
    entry = {"policy": "<b>", "kind": [], "fitted_q": cell}
    section = off_policy_section({"policies": [entry]}, load_texts("en"))
    assert section is not None and section["table"].rows[0][0] == "<b>"


def test_the_page_of_a_recorded_game(tmp_path):
    facts = {"game": {"name": "recorded", "version": 1, "settings": {}}}
    (tmp_path / "provenance.json").write_text(json.dumps(facts))
    page = write_report(tmp_path).read_text("utf-8")
    assert "bestreply diagnose" in page and 'id="off_policy"' in page
    assert "bestreply evaluate" not in page
    (tmp_path / "off_policy.json").write_text(json.dumps(DOCUMENT))
    page = write_report(tmp_path).read_text("utf-8")
    assert "ann (cloned)" in page and 'href="#off_policy"' in page
    assert "bestreply diagnose" not in page
