"""Scores: whose return, in which seat, from which start; tables that keep where they come from; matches to look at."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from bestreply import Scores, evaluate, make_game, make_player
from bestreply.analysis.trajectories import record_matches
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.evaluate import evaluate_all, refer
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import UniformOpponents
from bestreply.planning.agent import Agent
from bestreply.scores.returns import SCHEMA
from bestreply.simulation.lineup import fill_seats, name_opponents
from bestreply.utils.spec import parse_spec

PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")
HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"
)


def test_returns_are_the_focal_players_in_every_seat():
    """Tit for tat is exploited once, then defects: 0 + 1 + 1 + 1; who always defects gets 5 + 1 + 1 + 1."""
    scores = evaluate(PD, ["tit_for_tat", "always_d"], 4, 0)
    assert scores.table["return"].to_pylist() == [3, 3, 3, 3]
    assert (
        evaluate(PD, ["always_d", "tit_for_tat"], 4, 0)
        .table["return"]
        .to_pylist()
        == [8] * 4
    )
    assert (
        scores.table["seat"].to_pylist() == [0, 1, 0, 1]
        and scores.table["length"].to_pylist() == [4] * 4
    )
    assert (
        scores.table["episode"].to_pylist() == [0, 1, 2, 3]
        and scores.table["seed"].to_pylist() == [0] * 4
    )
    assert scores.table.schema.equals(SCHEMA)
    assert set(scores.table["method"].to_pylist()) == {"tit_for_tat"}
    assert set(scores.table["opponents"].to_pylist()) == {"1 always_d"}


def test_payoffs_that_differ_by_seat_are_the_focal_seats():
    game = make_game("matrix(table=matching_pennies, rounds=1)")
    scores = evaluate(
        game, ["always(0)", "always(0)"], 4, 0, method="me", opponents="you"
    )
    assert scores.table["return"].to_pylist() == [1, -1, 1, -1]
    assert scores.mean("me", "you") == 0


def test_every_method_against_every_opponent_set_from_the_same_starts():
    methods = {"tft": "tit_for_tat", "d": "always_d"}
    scores = evaluate_all(
        PD, methods, ["always_d", "mixture(always_c, always_d)"], 30, 1
    )
    assert len(scores.table) == 2 * 2 * 30
    assert (
        scores.mean("tft", "1 always_d") == 3
        and scores.mean("d", "1 always_d") == 4
    )
    mixed = {
        m: np.array(
            scores.table.filter(np.array(scores.table["method"]) == m)["return"]
        )[30:]
        for m in methods
    }
    assert set(
        zip(mixed["tft"].tolist(), mixed["d"].tolist(), strict=True)
    ) == {
        (12, 20),
        (3, 4),
    }  # the same others for both


def test_first_states_are_the_same_whoever_plays():
    """In one step only who starts on the hare has it."""
    game = dataclasses.replace(HUNT, max_steps=1)
    scores = evaluate_all(
        game,
        {"a": "nearest_hare", "b": "noisy(nearest_hare, 0)"},
        ["always(STAY)"],
        40,
        3,
    )
    returns = scores.table["return"].to_pylist()
    assert returns[:40] == returns[40:] and set(returns) == {0, 1}


def test_a_game_that_is_not_compiled_is_evaluated_too():
    pytest.importorskip("pyspiel")
    game = make_game("openspiel:goofspiel(num_cards=2)")
    scores = evaluate_all(game, {"random": "random"}, ["random"], 4, 0)
    assert len(scores.table) == 4 and set(
        scores.table["length"].to_pylist()
    ) <= {1, 2}


def test_means_of_parts_and_what_is_not_there():
    scores = evaluate(PD, ["always_c", "always_c"], 2, 0)
    assert (
        scores.mean()
        == scores.mean("always_c")
        == scores.mean(opponents="1 always_c")
        == 12
    )
    with pytest.raises(
        ValueError,
        match=re.escape(
            "method='me', opponents=None: expected one of {'method': ['always_c']"
        ),
    ):
        scores.mean("me")


def test_through_a_file_and_back(tmp_path):
    scores = evaluate(PD, ["always_c", "always_d"], 2, 7)
    found = Scores.load(scores.save(tmp_path / "scores.parquet"))
    assert (
        found.table.equals(scores.table)
        and found.provenance == scores.provenance
    )
    assert (
        found.provenance["seed"] == 7 and "jax" in found.provenance["versions"]
    )
    both = Scores.concat([scores, found])
    assert len(both.table) == 4 and both.provenance == scores.provenance


def test_the_same_seed_gives_the_same_scores():
    one, again, other = (
        evaluate(HUNT, ["random", "random"], 20, seed).table
        for seed in (0, 0, 1)
    )
    assert one.equals(again) and one["return"] != other["return"]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("nearest_stag", ["nearest_stag"] * 3),
        (
            "random, noisy(nearest_hare, 0.1), random",
            ["random", "noisy(nearest_hare, 0.1)", "random"],
        ),
    ],
)
def test_opponent_sets(text, wanted):
    assert [
        str(spec) for spec in fill_seats(make_game("stag_hunt"), text)
    ] == wanted


def test_an_opponent_set_of_another_size_is_refused():
    with pytest.raises(
        ValueError,
        match=r"expected 1 name \(for all other seats\) or 3 names for stag_hunt; got 2",
    ):
        fill_seats(make_game("stag_hunt"), "random, random")


def test_names_of_opponents():
    assert name_opponents([parse_spec("a(1)")] * 3) == "3 a(1)"
    assert name_opponents(["a", parse_spec("b"), "a"]) == "a, b, a"


def test_self_play_seats_the_method_itself():
    """Four rounds of 3 for who always cooperates, of 1 for who never does; the latter has 5 a round of the former."""
    scores = evaluate_all(
        PD, {"c": "always_c", "d": "always_d"}, ["self", "always_c"], 4, 0
    )
    assert scores.mean("c", "1 self") == 12 and scores.mean("d", "1 self") == 4
    assert scores.mean("d", "1 always_c") == 20


def test_returns_of_self_play_are_means_over_seats():
    """Both always play 0, which pays one of them 1 and the other -1; with a fixed action named, the seats stay apart."""
    game = make_game("matrix(table=matching_pennies, rounds=1)")
    scores = evaluate_all(
        game, {"me": "always(0)"}, ["self", "always(0)"], 4, 0
    ).table
    assert scores["return"].to_pylist() == [0, 0, 0, 0, 1, -1, 1, -1]


def test_a_planner_plays_itself():
    scores = evaluate_all(HUNT, {"agent": agent(HUNT)}, ["self"], 4, 0)
    matches = record_matches(HUNT, agent(HUNT), [fill_seats(HUNT, "self")], 0)
    assert len(scores.table) == 4 and len(set(matches[0]["players"])) == 1


def test_self_play_has_no_exact_reference():
    scores = refer(
        PD, evaluate_all(PD, {"c": "always_c"}, ["self"], 4, 0), ["self"]
    )
    assert scores.references["1 self"].missing == "no_distribution"


def test_too_few_players_are_refused():
    with pytest.raises(ValueError, match="matrix has 2 seats"):
        evaluate(PD, ["always_c"], 2, 0)


# -- matches ---------------------------------------------------------------------------------------------------


def agent(game):
    world = WorldModel(
        game,
        ModelConfig(latent=4, width=8, depth=1),
        goals=2,
        heads=1,
        key=jax.random.key(0),
    )
    return Agent(world, UniformOpponents(game, 2), game, PlannerConfig(), 0.9)


def test_a_match_is_what_was_played_and_thought():
    game = make_game("matrix(table=prisoners_dilemma, rounds=3)")
    found = record_matches(
        game,
        agent(game),
        [["always_c"], ["always_d"]],
        0,
        goals=("nice", "not"),
    )
    json.dumps(found, allow_nan=False)
    for match, action in zip(found, (0, 1), strict=True):
        assert (
            match["players"] == ["bestreply", f"always_{'cd'[action]}"]
            and match["seat"] == 0
        )
        assert match["actions"] == ["COOPERATE", "DEFECT"] and match[
            "goals"
        ] == ["nice", "not"]
        assert len(match["steps"]) == 3
        for step in match["steps"]:
            assert step["actual"] == [action] and step["legal"] == [True, True]
            assert (
                step["reward_got"]
                == game.payoff_array[0, step["action"], action]
            )
            assert step["action"] == int(np.argmax(step["scores"]))
            np.testing.assert_allclose(
                np.add(step["reward"], step["value"]), step["scores"], atol=2e-5
            )
            assert step["predicted"] == [[0.5, 0.5]] and step["belief"] == [
                [0.5, 0.5]
            ]
        assert match["return"] == sum(
            step["reward_got"] for step in match["steps"]
        )


def test_a_match_ends_for_the_agent_when_it_leaves_and_illegal_scores_are_left_out():
    found = record_matches(HUNT, agent(HUNT), [["nearest_hare"]] * 8, 1)
    assert json.dumps(found, allow_nan=False)
    for match in found:
        assert 1 <= len(match["steps"]) <= 3
        for step in match["steps"]:
            assert [score is None for score in step["scores"]] == [
                not legal for legal in step["legal"]
            ]


def test_a_scripted_player_is_recorded_without_thoughts():
    found = record_matches(
        PD, make_player("tit_for_tat", PD), [["always_d"]], 0
    )
    assert [step["action"] for step in found[0]["steps"]] == [0, 1, 1, 1]
    assert "scores" not in found[0]["steps"][0]
