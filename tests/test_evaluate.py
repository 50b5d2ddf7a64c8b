"""Scores: returns of the focal player in every seat, from fixed starts; files; matches."""

import dataclasses
import json
import re
import sys
from functools import cache

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
from bestreply.simulation import loop
from bestreply.simulation.lineup import fill_seats, name_opponents
from bestreply.utils.spec import parse_spec
from tests.role_game import Hide
from tests.shared import build

evaluate_module = sys.modules["bestreply.evaluate"]
PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")
HIDE = Hide()
PENNIES = make_game("matrix(table=matching_pennies, rounds=1)")
HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"
)


def column(scores, name):
    return scores.table[name].to_pylist()


def test_returns_are_the_focal_players_in_every_seat():
    """Tit for tat is exploited once, then defects: 0 + 1 + 1 + 1 against 5 + 1 + 1 + 1."""
    scores = evaluate(PD, ["tit_for_tat", "always_d"], 4, 0)
    assert column(scores, "return") == [3, 3, 3, 3]
    assert column(scores, "seat") == [0, 1, 0, 1]
    assert column(scores, "length") == [4] * 4
    assert column(scores, "episode") == [0, 1, 2, 3]
    assert column(scores, "seed") == [0] * 4
    assert column(scores, "method") == ["tit_for_tat"] * 4
    assert column(scores, "opponents") == ["1 always_d"] * 4
    assert scores.table.schema.equals(SCHEMA)
    reversed_roles = evaluate(PD, ["always_d", "tit_for_tat"], 4, 0)
    assert column(reversed_roles, "return") == [8] * 4


def test_payoffs_that_differ_by_seat_are_the_focal_seats():
    players = ["always(0)", "always(0)"]
    scores = evaluate(PENNIES, players, 4, 0, method="me", opponents="you")
    assert column(scores, "return") == [1, -1, 1, -1]
    assert scores.mean("me", "you") == 0


def test_every_method_against_every_opponent_set_from_the_same_starts():
    methods = {"tft": "tit_for_tat", "d": "always_d"}
    sets = ["always_d", "mixture(always_c, always_d)"]
    scores = evaluate_all(PD, methods, sets, 30, 1)
    assert len(scores.table) == 2 * 2 * 30
    assert scores.mean("tft", "1 always_d") == 3
    assert scores.mean("d", "1 always_d") == 4
    returns = np.array(column(scores, "return")).reshape(2, 2, 30)
    against_mixture = zip(*returns[:, 1].tolist(), strict=True)
    # Both methods meet the same player of the mixture in the same episode.
    assert set(against_mixture) == {(12, 20), (3, 4)}


def test_calls_against_one_set_each_share_the_program_of_all(monkeypatch):
    programs = []

    def play(game, lineup, *args, **settings):
        shapes = [x.shape[1:] for x in lineup.seats()]
        programs.append(([p.name for p in lineup.pool], shapes))
        return loop.play(game, lineup, *args, **settings)

    monkeypatch.setattr(evaluate_module, "play", play)
    sets = ["random", "always(STAY)", "random, always(STAY)"]
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=3, stags=1, hares=1, max_steps=3)"
    )
    for text in sets:
        shared = evaluate_all(game, {"me": "random"}, [text], 4, 1, among=sets)
        alone = evaluate_all(game, {"me": "random"}, [text], 4, 1)
        assert shared.table.equals(alone.table)
    assert len(programs) == 6 and programs[0] == programs[2] == programs[4]


@pytest.mark.parametrize("among", [["always(0)"], ["tit_for_tat"], []])
def test_sets_that_are_spelled_otherwise_or_missing_are_played_too(among):
    """always_c is always(0) under another name, so `among` holds it as that."""
    scores = evaluate_all(
        PD, {"d": "always_d"}, ["always_c"], 2, 0, among=among
    )
    assert column(scores, "opponents") == ["1 always_c"] * 2
    assert column(scores, "return") == [20, 20]


def test_first_states_are_the_same_for_all_players():
    """With one step, only a hunter that starts on the hare catches it."""
    game = dataclasses.replace(HUNT, max_steps=1)
    methods = {"a": "nearest_hare", "b": "noisy(nearest_hare, 0)"}
    scores = evaluate_all(game, methods, ["always(STAY)"], 40, 3)
    returns = column(scores, "return")
    assert returns[:40] == returns[40:] and set(returns) == {0, 1}


def test_a_player_beside_any_two_methods_draws_alike():
    game = make_game("matrix(table=prisoners_dilemma, rounds=10)")
    methods = {"random": "random", "always_c": "always_c"}
    c = evaluate_all(game, methods, ["random"], 40, 3)
    d = evaluate_all(game, {"always_d": "always_d"}, ["random"], 40, 3)
    kind = np.array(column(c, "return")[40:]) / 3  # rounds of cooperation
    assert len(set(kind)) > 5
    np.testing.assert_allclose(column(d, "return"), 5 * kind + (10 - kind))


def test_a_game_that_is_not_compiled_is_evaluated_too():
    pytest.importorskip("pyspiel")
    game = make_game("openspiel:goofspiel(num_cards=2)")
    scores = evaluate_all(game, {"random": "random"}, ["random"], 4, 0)
    assert len(scores.table) == 4
    assert set(column(scores, "length")) <= {1, 2}


def test_means_of_methods_and_opponent_sets():
    scores = evaluate(PD, ["always_c", "always_c"], 2, 0)
    assert scores.mean() == 12
    assert scores.mean("always_c") == 12
    assert scores.mean(opponents="1 always_c") == 12
    message = (
        "method='me', opponents=None: expected one of {'method': ['always_c']"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        scores.mean("me")


def test_scores_are_saved_and_loaded(tmp_path):
    scores = evaluate(PD, ["always_c", "always_d"], 2, 7)
    loaded = Scores.load(scores.save(tmp_path / "scores.parquet"))
    assert loaded.table.equals(scores.table)
    assert loaded.provenance == scores.provenance
    assert loaded.provenance["seed"] == 7
    assert "jax" in loaded.provenance["versions"]
    both = Scores.concat([scores, loaded])
    assert len(both.table) == 4 and both.provenance == scores.provenance


def test_the_same_seed_gives_the_same_scores():
    first, second, other = (
        evaluate(HUNT, ["random", "random"], 20, seed).table
        for seed in (0, 0, 1)
    )
    assert first.equals(second) and first["return"] != other["return"]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("nearest_stag", ["nearest_stag"] * 3),
        (
            "random, noisy(nearest_hare, 0.1), random",
            ["random", "noisy(nearest_hare, 0.1)", "random"],
        ),
    ],
)
def test_opponent_sets(text, expected):
    specs = fill_seats(make_game("stag_hunt"), text)
    assert [str(spec) for spec in specs] == expected


def test_an_opponent_set_of_another_size_is_refused():
    message = r"expected 1 name \(for all other seats\) or 3 names for stag_hunt; got 2"
    with pytest.raises(ValueError, match=message):
        fill_seats(make_game("stag_hunt"), "random, random")


def test_names_of_opponents():
    assert name_opponents([parse_spec("a(1)")] * 3) == "3 a(1)"
    assert name_opponents(["a", parse_spec("b"), "a"]) == "a, b, a"


def test_self_play_seats_the_method_itself():
    """Four rounds of mutual cooperation pay 12, of mutual defection 4, of exploitation 20."""
    methods = {"c": "always_c", "d": "always_d"}
    scores = evaluate_all(PD, methods, ["self", "always_c"], 4, 0)
    assert scores.mean("c", "1 self") == 12
    assert scores.mean("d", "1 self") == 4
    assert scores.mean("d", "1 always_c") == 20


def test_returns_of_self_play_are_means_over_seats():
    """The same player by name is an opponent like any other: returns differ by seat."""
    scores = evaluate_all(
        PENNIES, {"me": "always(0)"}, ["self", "always(0)"], 4, 0
    )
    assert column(scores, "return") == [0, 0, 0, 0, 1, -1, 1, -1]


def test_self_play_of_a_planner():
    scores = evaluate_all(HUNT, {"agent": agent(HUNT)}, ["self"], 4, 0)
    matches = record_matches(HUNT, agent(HUNT), [fill_seats(HUNT, "self")], 0)
    assert len(scores.table) == 4 and len(set(matches[0]["players"])) == 1


def test_self_play_has_no_exact_reference():
    scores = evaluate_all(PD, {"c": "always_c"}, ["self"], 4, 0)
    references = refer(PD, scores, ["self"]).references
    assert references["1 self"].missing == "no_distribution"


def test_too_few_players_are_refused():
    with pytest.raises(ValueError, match="matrix has 2 seats"):
        evaluate(PD, ["always_c"], 2, 0)


# -- matches ---------------------------------------------------------------------------


@cache
def agent(game):
    """An untrained agent."""
    config = ModelConfig(latent=4, width=8, depth=1)
    world = build(WorldModel, game, config, goals=2, heads=1)
    return Agent(world, UniformOpponents(game, 2), game, PlannerConfig(), 0.9)


def test_a_match_holds_the_play_and_the_plans():
    players = [["always_c"], ["always_d"]]
    matches = record_matches(PD, agent(PD), players, 0, goals=("nice", "not"))
    json.dumps(matches, allow_nan=False)
    for match, action in zip(matches, (0, 1), strict=True):
        assert match["players"] == ["bestreply", f"always_{'cd'[action]}"]
        assert match["seat"] == 0
        assert match["actions"] == ["COOPERATE", "DEFECT"]
        assert match["goals"] == ["nice", "not"]
        assert len(match["steps"]) == 4
        for step in match["steps"]:
            assert step["actual"] == [action] and step["legal"] == [True, True]
            payoff = PD.payoff_array[0, step["action"], action]
            assert step["reward_got"] == payoff
            assert step["action"] == int(np.argmax(step["scores"]))
            scores = np.add(step["reward"], step["value"])
            np.testing.assert_allclose(scores, step["scores"], atol=2e-5)
            assert step["predicted"] == [[0.5, 0.5]]
            assert step["belief"] == [[0.5, 0.5]]
        rewards = [step["reward_got"] for step in match["steps"]]
        assert match["return"] == sum(rewards)


def test_a_match_ends_when_the_agent_leaves_and_illegal_actions_have_no_score():
    matches = record_matches(HUNT, agent(HUNT), [["nearest_hare"]] * 8, 1)
    assert json.dumps(matches, allow_nan=False)
    for match in matches:
        assert 1 <= len(match["steps"]) <= 3
        for step in match["steps"]:
            illegal = [not legal for legal in step["legal"]]
            assert [score is None for score in step["scores"]] == illegal


def test_a_match_of_a_scripted_player_holds_no_plans():
    player = make_player("tit_for_tat", PD)
    matches = record_matches(PD, player, [["always_d"]], 0)
    assert [step["action"] for step in matches[0]["steps"]] == [0, 1, 1, 1]
    assert "scores" not in matches[0]["steps"][0]


# -- games with several roles -------------------------------------------------


def test_every_role_is_measured_in_its_own_seats():
    sets = ["always(1)", "adversary=always(0), agent=always(1)"]
    scores = evaluate_all(HIDE, {"me": "always(0)"}, sets, 5, 0)
    names = [
        "adversary | 2 always(1)",
        "adversary | adversary=always(0), agent=always(1)",
        "agent | 2 always(1)",
        "agent | adversary=always(0), agent=always(1)",
    ]
    assert column(scores, "opponents") == np.repeat(names, 5).tolist()
    assert column(scores, "seat") == [0, 1, 0, 1, 0] * 2 + [2] * 10
    # A hunter earns 1 a round where it finds the runner, which loses 1 for each.
    assert [scores.mean("me", name) for name in names] == [0, 0, 0, -4]
    runner = evaluate_all(HIDE, {"me": "always(1)"}, sets, 2, 0)
    assert [runner.mean("me", name) for name in names] == [2, 2, -4, 0]


def test_self_play_of_a_role_is_the_mean_of_its_seats():
    scores = evaluate_all(HIDE, {"me": "always(0)"}, ["self"], 2, 0)
    assert scores.mean("me", "adversary | 2 self") == 2
    assert scores.mean("me", "agent | 2 self") == -4


def test_opponents_are_given_by_role_in_python():
    others = {"adversary": make_player("always(1)", HIDE), "agent": "always(0)"}
    scores = evaluate(HIDE, ["always(0)", others], 4, 0)
    named = "adversary=always(1), agent=always(0)"
    assert scores.mean("always(0)", f"adversary | {named}") == 2
    assert scores.mean("always(0)", f"agent | {named}") == 0
    with pytest.raises(ValueError, match="each role of hide: adversary, agent"):
        evaluate(HIDE, ["always(0)", {"agent": "always(0)"}], 4, 0)


def test_exact_references_by_role():
    """Uniform play of a hunter finds half of the hiding places, and a third of the tries hit."""
    sets = ["random", "adversary=random, agent=always(1)"]
    scores = evaluate_all(HIDE, {"random": "random"}, sets, 2, 0)
    known = refer(HIDE, scores, sets).references
    assert {name: r.best for name, r in known.items()} == pytest.approx(
        {
            "adversary | 2 random": 1,
            "adversary | adversary=random, agent=always(1)": 2,
            "agent | 2 random": -4 / 3,
            "agent | adversary=random, agent=always(1)": -4 / 3,
        }
    )
    assert {r.kind for r in known.values()} == {"exact"}
    mine = refer(HIDE, scores, ["self"]).references["agent | 2 self"]
    assert (mine.missing, mine.reason) == ("no_distribution", "self")
