"""Matches: belief over time as a chart and in words, and costly decisions."""

import json
import re

import pytest
from run_files import make_match, read_page, words

from bestreply.report import write_report
from bestreply.report.belief_strips import (
    belief_strip,
    change_steps,
    likeliest_types,
)
from bestreply.report.matches import costliest, read_matches
from bestreply.report.texts import load_texts

EN = load_texts("en")
GOALS = ("stag", "hare", "random")
BELIEF = [
    [1 / 3] * 3,
    [0.2, 0.5, 0.3],
    [0.4, 0.4, 0.2],
    [0.7, 0.2, 0.1],
    [0.1, 0.1, 0.8],
]


def test_the_likeliest_type_stays_until_another_leads():
    assert likeliest_types(BELIEF) == [None, 1, 1, 0, 2]
    assert change_steps(likeliest_types(BELIEF)) == [3, 4]
    assert (
        likeliest_types([[0.5, None]]) == [0]
        and likeliest_types([[None, None]]) == [None]
        and change_steps([]) == []
    )


def test_a_strip_shows_belief_and_true_type():
    truth, who = [1, 1, 1, None, None], ["hare"] * 3 + ["stranger"] * 2
    drawn = belief_strip("Player 2", BELIEF, truth, who, GOALS, EN)
    assert drawn.words == (
        "Most probable type: undecided, hare from step 2, stag from step 4, random from step 5. "
        "True type: hare, stranger from step 4."
    )
    step = (300 - 58) / 5
    flags = re.findall(r'<line class="turn" x1="([\d.]+)"', drawn.figure)
    assert [float(x) for x in flags] == pytest.approx(
        [58 + 3 * step, 58 + 4 * step], abs=0.05
    )
    bars = re.findall(
        r'<rect class="area (.*?)" y="54" height="8" x="([\d.]+)" width="([\d.]+)"',
        drawn.figure,
    )
    assert [style for style, *_ in bars] == ["goal g1", "other"]
    assert sum(float(width) for *_, width in bars) == pytest.approx(
        242, abs=0.1
    )


def test_areas_are_as_high_as_the_belief_and_stacked():
    drawn = belief_strip("", [[0.25, 0.75, 0.0]], [None], [None], GOALS, EN)
    areas = re.findall(
        r'<polygon class="area goal g\d" points="(.*?)"', drawn.figure
    )
    tops = [[float(p.split(",")[1]) for p in a.split()] for a in areas]
    assert tops[0] == [41, 41, 50, 50] and tops[1] == [14, 14, 41, 41]
    assert "true type" not in drawn.figure and "True type" not in drawn.words


def read_match(match):
    (valid,), left_out = read_matches([match], EN)
    assert not left_out
    return valid


def test_a_match_has_a_strip_for_each_other_player_until_it_leaves():
    match = make_match(steps=9, seat=1)
    for step in match["steps"]:
        step |= {
            "who": ["nearest_stag", "nearest_hare", "stranger"],
            "truth": [0, 1, None],
        }
    strips = read_match(match).strips
    assert [s.title for s in strips] == [
        f"Player {k} (nearest_stag)" for k in (1, 3, 4)
    ]
    assert (
        "True type: nearest_hare." in strips[1].words
        and "True type: stranger." in strips[2].words
    )
    widths = [
        float(re.search(r'data-step="([\d.]+)"', s.figure)[1]) for s in strips
    ]
    assert len(set(widths)) == 1, (
        "all strips share one axis, though the last player leaves early"
    )
    right = [
        max(
            float(p)
            for p in re.findall(r"([\d.]+),\d", s.figure.split("area")[1])
        )
        for s in strips
    ]
    assert right[0] == pytest.approx(300, abs=0.1) and right[
        2
    ] == pytest.approx(300 - 2 * widths[0], abs=0.1)
    del match["goals"]
    for step in match["steps"]:
        del step["belief"], step["truth"]
    assert not read_match(match).strips


def test_the_report_shows_the_strips_once_a_match(tmp_path):
    match = make_match(steps=3)
    (tmp_path / "matches.json").write_text(json.dumps([match, match]))
    for lang, expected in (
        ("en", "most probable type changed"),
        ("zh", "最可能类型改变"),
    ):
        page = read_page(write_report(tmp_path, lang=lang))
        assert (
            len(page.of("svg", "strip")) == 6
            and len(page.of("rect", "cursor")) == 6
        )
        assert len(page.of("div", "slot")) == 6 and expected in words(page)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("truth", [9, 0, 0], "truth=9: expected an integer from 0 to 2"),
        ("truth", [0], "truth=[0]: expected 3 entries"),
        ("who", [1, 2, 3], "who=[1, 2, 3]: expected 3 names"),
        ("exact", [1.0], "exact=[1.0]: expected 7 entries"),
    ],
)
def test_a_match_with_invalid_types_is_left_out(key, value, reason):
    match = make_match(steps=2)
    match["steps"][1][key] = value
    matches, left_out = read_matches([match], EN)
    assert not matches and reason in left_out[0]


# -- costly decisions ----------------------------------------------------------------------------------------------------------


def costly():
    match = make_match(steps=3) | {"gamma": 0.5, "kind": "exact"}
    for step, lost in zip(match["steps"], (0.0, 1.0, 1.5), strict=True):
        step |= {"legal": [True] * 6 + [False], "action": 0}
        step["exact"] = [
            2.0 - lost,
            2.0,
            *[0.0] * 4,
            99.0,
        ]  # the last action is illegal
    return match


def test_cost_is_the_discounted_loss_of_exact_q():
    match = read_match(costly())
    assert [step.cost for step in match.steps] == [0.0, 0.5, 0.375]
    rows = match.steps[1].candidates
    assert [c.exact for c in rows[:2]] == ["1.00", "2.00"] and [
        c.lost for c in rows[:2]
    ] == ["−1.00", "0.00"]
    assert [bool(c.best) for c in rows] == [False, True] + [False] * 5 and rows[
        6
    ].exact == "–"
    jumps = costliest([match], EN)
    assert [(j.match, j.step, j.text) for j in jumps] == [
        (0, 1, "step 2: −0.50"),
        (0, 2, "step 3: −0.38"),
    ]
    assert [j.text for j in costliest([match, match], EN)][:2] == [
        "match 1, step 2: −0.50",
        "match 2, step 2: −0.50",
    ]


def test_without_exact_q_decisions_are_not_ranked():
    match = read_match(
        make_match(steps=2) | {"missing": "too_large", "reason": "9e9 outcomes"}
    )
    assert "not ranked" in match.note and "9e9 outcomes" in match.note
    assert not costliest([match], EN) and not any(
        step.exact for step in match.steps
    )
    assert read_match(make_match(steps=2)).note == ""


@pytest.mark.parametrize("gamma", [1e99, -1, "x", None])
def test_an_invalid_discount_is_ignored(gamma):
    assert [s.cost for s in read_match(costly() | {"gamma": gamma}).steps] == [
        0.0,
        1.0,
        1.5,
    ]


# -- games of strangers: seats that leave, roles, many actions, long games ------------


def plain(steps=3, players=3, actions=4, **entries):
    """Return a match of a player without scores; all step entries can be replaced."""
    step = {
        "text": "x",
        "picture": "",
        "legal": [True] * actions,
        "action": 0,
        "reward_got": 1.0,
        "actual": [1] * (players - 1),
    }
    match = {
        "opponents": "2 lazy",
        "players": ["agent", *["lazy"] * (players - 1)],
        "seat": 0,
        "return": 3.0,
        "actions": [f"A{k}" for k in range(actions)],
        "goals": [],
        "steps": [dict(step) for _ in range(steps)],
    }
    return match | entries


def refusal(match):
    """Return why a match is left out."""
    valid, (reason,) = read_matches([match], EN)
    assert not valid
    return reason


def test_who_left_when_and_how_is_told():
    left = [[2, "terminated"], [1, "terminated"], [0, "absent"], [1, "left"]]
    match = plain(2, 4, left=left, length=9, end="truncated")
    match["steps"][1]["actual"] = [-1, -1, -1]
    match["steps"][0]["actual"] = [1, -1, 2]
    read = read_match(match)
    assert [panel.left for panel in read.steps[1].others] == [
        "Its game ended at step 1.",
        "Is not in this game.",
        "Has left the game.",
    ]
    assert read.steps[0].others[0].left == ""
    assert read.steps[1].sentence == (
        "Step 2 of 9. agent chose A0. Player 2 (lazy) has left. Player 4 (lazy) has left."
    )
    assert read.course == (
        "The agent's game ended at step 2. The game was cut off at its limit of 9 steps."
    )
    match["left"][0], match["end"] = None, "terminated"
    assert read_match(match).course.startswith("The game ended by its rules")
    for wrong in ([None], [[1, "x"]] * 4, "no", [[None, "left"]] * 4):
        assert "left=" in refusal(match | {"left": wrong})


def test_a_seat_has_its_role_and_its_own_actions():
    match = plain(roles=["a", "b", "b"], seat_actions=[2, 4, 3])
    step = read_match(match).steps[0]
    assert [c.name for c in step.candidates] == ["A0", "A1"]
    assert [p.title for p in step.others] == [
        "Player 2 (b: lazy)",
        "Player 3 (b: lazy)",
    ]
    assert [len(p.actions) for p in step.others] == [4, 3]


def test_of_many_actions_the_chosen_and_the_best_are_listed():
    match = plain(1, 2, 100)
    scores = [float(k) for k in range(100)]
    match["steps"][0] |= {
        "scores": scores,
        "action": 3,
        "actual": [70],
        "predicted": [[k / 4950 for k in range(100)]],
    }
    (step,) = read_match(match).steps
    assert [c.name for c in step.candidates] == [
        "A3",
        *(f"A{k}" for k in range(89, 100)),
    ]
    assert step.hidden == "88 more actions"
    (panel,) = step.others
    assert [bar.name for bar in panel.actions] == [
        "A70",
        *(f"A{k}" for k in range(93, 100)),
    ]
    assert panel.rest == "92 more actions"


def test_many_other_players_have_a_sentence_each_beyond_some_panels():
    match = plain(1, 20)
    (step,) = read_match(match).steps
    assert len(step.others) == 8
    assert step.more.count("chose A1.") == 11 and "Player 20" in step.more


@pytest.mark.slow
def test_long_games_show_some_of_their_steps(tmp_path):
    match = plain(1000, 5, 30)
    for t, step in enumerate(match["steps"]):
        step["picture"] = f"<svg viewBox='0 0 9 9'>{'<rect/>' * 300}</svg>"
        if t % 10:
            del step["text"], step["picture"]
        step["actual"] = [t % 30] * 4
        step["predicted"] = [[1 / 30] * 30] * 4
    match["observed"] = [[float(t), t % 2, 0.0] for t in range(1000)]
    documents = [match] * 3
    (tmp_path / "matches.json").write_text(json.dumps(documents))
    page = write_report(tmp_path)
    assert page.stat().st_size < 1_100_000
    read = read_matches(documents, EN)[0][0]
    places = [step.at for step in read.steps]
    assert places[0] == 0 and places[-1] == 990 and len(places) > 9
    assert all(at % 10 == 0 for at in places)
    assert read.steps[-1].total == "991.00"
    assert read.left_out == f"{1000 - len(places)} steps are not shown, " + (
        "to limit the size of the page."
    )
    shown = read_page(page).of("article", "step")
    assert [int(a["data-at"]) for a in shown][: len(places)] == places


def test_observations_are_drawn_over_time():
    rows = [[0.1 * t, -0.2 * t, 300.0 * t, t % 2, 7.0, None] for t in range(5)]
    match = plain(5, observed=rows)
    read = read_match(match)
    assert [p.title for p in read.plots] == [
        "Entries 0 to 1",
        "Entry 2",
        "Entry 3",
    ]
    assert [len(p.legend) for p in read.plots] == [2, 1, 0]
    assert read.plot_note == "Entries that never change: 2."
    first = read.plots[0].figure
    assert first.count("<polyline") == 2 and ">0.4<" in first
    assert read.plots[2].figure.count('class="bit"') == 2
    wrong = plain(2, observed=[[1], [1, 2]])
    assert "expected rows of one length" in refusal(wrong)


def test_rewards_of_any_unit_are_readable():
    for unit, shown in ((1e-6, "1.00e−6"), (1e6, "1.00e6"), (1.0, "1.00")):
        match = plain()
        for step in match["steps"]:
            step["reward_got"] = unit
        assert read_match(match).steps[0].reward == shown


def test_equal_best_actions_are_a_tie():
    match = plain(1) | {"kind": "exact", "gamma": 1.0}
    match["steps"][0]["exact"] = [1.0, 2.0, 2.001, 0.5]
    (step,) = read_match(match).steps
    tie = "best (tie)"
    assert [c.best for c in step.candidates] == ["", tie, tie, ""]


def test_one_player_is_alone(tmp_path):
    match = plain(2, 1, opponents="none")
    read = read_match(match)
    assert read.title == "alone · seat 1 · return 3.00"
    (tmp_path / "matches.json").write_text(json.dumps([match]))
    page = read_page(write_report(tmp_path))
    assert "Other players" not in words(page)
