"""Recorded matches: the other players' true types at each step, and the exact Q* of actions."""

import jax
import numpy as np
import pytest
from PIL import Image

from bestreply import exact, make_game, make_player
from bestreply.analysis.trajectories import play_matches, record_matches
from bestreply.config import ModelConfig, PlannerConfig, RunConfig
from bestreply.interactive.view import animate_run, view_matches, view_run
from bestreply.run import Run
from bestreply.training.state import initial_train_state
from bestreply.utils.spec import Spec

PD = make_game("matrix(table=prisoners_dilemma, rounds=6)")
HUNT = make_game(
    "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=6)"
)
ROSTER = ("nearest_stag", "nearest_hare")


def untrained(path, game, roster):
    """A run before its first update, without a checkpoint."""
    config = RunConfig(
        game=str(Spec(game.name, (), game.settings)),
        model=ModelConfig(latent=4, width=8, depth=1, opponent_types="player"),
        planner=PlannerConfig(samples=4),
    )
    entries = [{"name": name, "version": 1} for name in roster]
    train_state = initial_train_state(config, game, entries)
    return Run(path, config, game, {"data": {"roster": entries}}, train_state)


@pytest.fixture(scope="module")
def hunt(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run"), HUNT, ROSTER)


def test_a_switching_player_is_named_by_step():
    names = ["switching(always_c, always_d, random=5)"]
    matches = record_matches(
        PD,
        make_player("always_c", PD),
        [names] * 6,
        0,
        goals=("always_d", "always_c"),
    )
    turns = set()
    for match in matches:
        assert match["players"][1] == names[0]
        who = [step["who"][0] for step in match["steps"]]
        assert who == [
            ("always_c", "always_d")[step["actual"][0]]
            for step in match["steps"]
        ]
        assert [step["truth"][0] for step in match["steps"]] == [
            int(name == "always_c") for name in who
        ]
        turns.add(who.count("always_c"))
    assert len(turns) > 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("noisy(switching(always_c, always_d, step=2), 0.5)", ["noisy(always_c, 0.5)"] * 2 + ["noisy(always_d, 0.5)"] * 4),
        ("switching(always_c, switching(always_d, grim, step=4), step=2)", ["always_c"] * 2 + ["always_d"] * 2 + ["grim"] * 2),
        ("tit_for_tat", ["tit_for_tat"] * 6),
    ],
)  # fmt: skip
def test_the_acting_player_of_a_composed_one_is_named(name, expected):
    (match,) = record_matches(PD, make_player("always_c", PD), [[name]], 0)
    assert [step["who"] for step in match["steps"]] == [
        [who] for who in expected
    ]
    assert all(step["truth"] == [None] for step in match["steps"])


def test_a_mixture_is_named_by_the_player_it_drew():
    names = [["mixture(always_c, always_d)"]] * 8
    matches = record_matches(PD, make_player("always_c", PD), names, 0)
    for match in matches:
        assert {step["who"][0] for step in match["steps"]} == {
            match["players"][1]
        }


def test_the_true_goal_is_the_label_of_the_step():
    matches = record_matches(
        HUNT,
        make_player("random", HUNT),
        [["nearest_hare"]] * 4,
        0,
        goals=HUNT.goals,
    )
    labels = {step["truth"][0] for match in matches for step in match["steps"]}
    assert HUNT.goals.index("hare") in labels <= {0, 1, 2, None}, (
        "None once it has left"
    )


@pytest.mark.slow
def test_episodes_have_different_first_states():
    lineup, played = play_matches(
        HUNT, make_player("random", HUNT), [["random"], ["nearest_hare"]], 0, 3
    )
    assert [lineup.pool[i].name for i in lineup.seating[:, 1]] == [
        "random"
    ] * 3 + ["nearest_hare"] * 3
    assert (
        len(np.unique(played.episodes.obs[:, 0, 0].reshape(6, -1), axis=0)) > 2
    )
    assert played.modes.shape == (6, HUNT.max_steps, 2)


# -- the exact Q* ----------------------------------------------------------------------


SETS = (
    "nearest_stag",
    "nearest_hare",
    "switching(nearest_stag, nearest_hare, step=2)",
)


@pytest.fixture(scope="module")
def viewed(hunt):
    """Matches with their Q*, and the same play."""
    _, played = play_matches(HUNT, hunt.agent(), [[name] for name in SETS], 0)
    return view_matches(hunt, SETS, 1, seed=0), played.episodes


def by_tables(hunt, other, episodes, row, seat=0):
    """[T, A]: Q* of episode `row`, NaN for illegal actions."""
    reply = exact.best_reply(
        HUNT, seat, [other], gamma=hunt.agent().gamma, layouts=1
    )
    q = reply.decisions(jax.tree.map(lambda x: x[row : row + 1], episodes)).q[0]
    return np.where(np.isfinite(q), q, np.nan)


def exact_scores(match):
    return np.array(
        [
            [np.nan if q is None else q for q in step["exact"]]
            for step in match["steps"]
        ]
    )


@pytest.mark.parametrize("row", [0, 1])
def test_the_q_of_a_view_is_that_of_the_exact_tables(hunt, viewed, row):
    matches, episodes = viewed
    match, steps = matches[row], len(matches[row]["steps"])
    np.testing.assert_allclose(
        exact_scores(match),
        by_tables(hunt, SETS[row], episodes, row)[:steps],
        atol=1e-5,
    )
    assert match["kind"] == "exact" and match["gamma"] == hunt.agent().gamma
    assert [
        [q is not None for q in step["exact"]] for step in match["steps"]
    ] == [step["legal"] for step in match["steps"]]


def test_the_agent_may_have_another_seat(hunt):
    """Observations and Q* are those of the seat."""
    (match,) = view_matches(hunt, SETS[:1], 1, seed=0, seat=1)
    _, played = play_matches(HUNT, hunt.agent(), [["nearest_stag"]], 0, seat=1)
    log, steps = played.episodes, len(match["steps"])
    assert (match["seat"], match["players"][0]) == (1, "nearest_stag")
    assert [s["action"] for s in match["steps"]] == log.action[
        0, :steps, 1
    ].tolist()
    assert [s["actual"] for s in match["steps"]] == log.action[
        0, :steps, :1
    ].tolist()
    assert match["steps"][0]["text"] == HUNT.text(log.obs[0, 0, 1], 1)
    np.testing.assert_allclose(
        exact_scores(match),
        by_tables(hunt, SETS[0], log, 0, seat=1)[:steps],
        atol=1e-5,
    )
    with pytest.raises(
        ValueError, match="seat=3: expected 1 to 2 in stag_hunt"
    ):
        view_run(hunt, seat=3)


def test_q_against_a_switching_player_observes_the_switch(hunt, viewed):
    """From the switch on it is that against the second player; before, that against neither."""
    matches, episodes = viewed
    match, steps = matches[2], len(matches[2]["steps"])
    before, after = (
        by_tables(hunt, name, episodes, 2)[:steps] for name in SETS[:2]
    )
    assert match["kind"] == "upper bound" and steps > 2
    np.testing.assert_allclose(exact_scores(match)[2:], after[2:], atol=1e-5)
    assert not np.allclose(exact_scores(match)[:2], before[:2], equal_nan=True)


def test_a_game_is_animated_step_by_step(hunt, viewed, tmp_path):
    """It is the game that the page shows first."""
    path = animate_run(hunt, tmp_path / "a.gif", SETS[:1], seed=0, lang="en")
    with Image.open(path) as image:
        assert image.n_frames == len(viewed[0][0]["steps"])
    with pytest.raises(ValueError, match=r"expected a name that ends in \.gif"):
        animate_run(hunt, tmp_path / "a.png")
    with pytest.raises(ValueError, match="seat=3: expected 1 to 2"):
        animate_run(hunt, tmp_path / "a.gif", seat=3)


def test_without_an_exact_reply_the_page_ranks_no_decisions(hunt, monkeypatch):
    monkeypatch.setattr("bestreply.interactive.view.MAX_WORK", 10)
    page = view_run(hunt, SETS[:1], 1, seed=0).read_text()
    assert (
        "No exact Q, so decisions are not ranked: the game is too large" in page
    )
    assert "more than the limit of 1e+01" in page and 'class="jump"' not in page


@pytest.mark.slow
def test_the_page_shows_exact_scores_against_a_player_with_a_memory(tmp_path):
    run = untrained(tmp_path, PD, ("tit_for_tat", "always_d"))
    (match,) = view_matches(run, ["tit_for_tat"], 1, seed=0)
    *_, last = match["steps"]
    defect = 5 if last["actual"] == [0] else 1
    assert match["kind"] == "exact" and last["exact"][1] == pytest.approx(
        defect
    )
    path = view_run(run, ["tit_for_tat"], 1, seed=0)
    page = path.read_text()
    assert (
        path == tmp_path / "view.html" and page.count('<div class="match"') == 1
    )
    assert (
        page.count("<script>") == 1
        and f'<td class="exact">{defect:.2f}</td>' in page
    )
    assert (
        "信念随时间的变化"
        in view_run(run, ["tit_for_tat"], 1, lang="zh").read_text()
    )
    with pytest.raises(ValueError, match="episodes=0: expected a whole number"):
        view_run(run, episodes=0)
    with pytest.raises(ValueError, match="player='nobody': expected one of"):
        view_run(run, ["nobody"])
