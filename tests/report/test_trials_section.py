"""The page says how close the agent stays to players of its data; the file may hold anything."""

import json

import pytest

from bestreply.report import write_report
from bestreply.report.texts import load_texts
from bestreply.report.trials import trials_section


def tried(
    role="player",
    weight=0.0,
    sampled=False,
    chosen=False,
    mean=2.0,
    opponents="mixture(a, b)",
    averaged=False,
):
    return {
        "role": role,
        "opponents": opponents,
        "weight": weight,
        "sampled": sampled,
        "averaged": averaged,
        "return": mean,
        "stderr": 0.126,
        "chosen": chosen,
    }


def document(*entries):
    return {"tried": list(entries), "env_steps": 12345}


NEAR = document(
    tried(chosen=True, mean=3.0, opponents="a"),
    tried(mean=1.0),
    tried(weight=0.03, chosen=True, mean=2.514, averaged=True),
    tried(weight=1e3, sampled=True),
)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_was_tried_and_chosen(lang):
    texts = load_texts(lang)
    section = trials_section(NEAR, texts)
    assert section is not None
    likeliest, drawn = texts("trials_likeliest"), texts("trials_drawn")
    highest, mean = texts("trials_highest"), texts("trials_mean")
    mixed = "mixture(a, b)"
    assert section["table"].rows == [
        ["a", highest, "0", likeliest, "3.00 ± 0.13", texts("trials_yes")],
        [mixed, highest, "0", likeliest, "1.00 ± 0.13", ""],
        [mixed, mean, "0.03", likeliest, "2.51 ± 0.13", texts("trials_yes")],
        [mixed, highest, texts("trials_itself"), drawn, "2.00 ± 0.13", ""],
    ]
    assert len(section["table"].head) == 6
    expected = texts("chosen_near", weight="0.03", action=likeliest)
    assert section["chosen"] == expected
    assert "12,345" in section["note"]


def test_a_choice_for_each_role():
    texts = load_texts("en")
    section = trials_section(
        document(
            tried("hider", chosen=True),
            tried("hider", 0.1),
            tried("finder", averaged=True, chosen=True),
            tried("seeker", chosen=False),
            tried("seeker", 1e3, sampled=True, chosen=True),
        ),
        texts,
    )
    assert section is not None
    assert [row[0] for row in section["table"].rows] == [
        *["hider"] * 2,
        "finder",
        *["seeker"] * 2,
    ]
    alone = texts("chosen_alone")
    itself = texts("chosen_itself", action="drawn")
    mean = texts("chosen_alone_mean")
    parts = f"hider: {alone}", f"finder: {mean}", f"seeker: {itself}"
    assert section["chosen"] == " ".join(parts)


@pytest.mark.parametrize(
    "bad",
    [None, {}, {"tried": 3}, {"tried": [3, None, {"role": 4}, {"weight": 1}]}],
)
def test_no_trials_no_section(bad):
    assert trials_section(bad, load_texts("en")) is None


@pytest.mark.parametrize(
    "value", [None, "0.1", [], {}, True, -1, 1e300, 10**400]
)
def test_numbers_of_any_type(value):
    entry = {"role": "<b>", "opponents": "x", "chosen": True}
    for name in ("weight", "sampled", "return", "stderr"):
        section = trials_section(
            {"tried": [entry | {name: value}], "env_steps": value},
            load_texts("en"),
        )
        assert section is not None and section["chosen"]
        ((_, _, _, action, mean, choice),) = section["table"].rows
        assert choice == "chosen"
        assert (action == "drawn") == (name == "sampled" and value is True)
        known = not mean.startswith("–")
        assert known == (name == "return" and value == -1)


def test_the_page_shows_trials_and_escapes_them(tmp_path):
    page = write_report(tmp_path).read_text("utf-8")
    assert 'id="trials"' not in page  # no trials: nothing is missing
    entries = tried("<i>hider", chosen=True), tried("seeker", chosen=True)
    path = tmp_path / "trials.json"
    path.write_text(json.dumps(document(*entries)))
    page = write_report(tmp_path).read_text("utf-8")
    assert 'href="#trials"' in page and "&lt;i&gt;hider" in page
    assert "<i>hider" not in page
    path.write_text("[1, 2]")
    page = write_report(tmp_path).read_text("utf-8")
    assert "trials.json" in page and "expected dict" in page
