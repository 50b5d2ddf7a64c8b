"""Players by name: the zoo, and errors for unknown names and settings."""

import re

import pytest

from bestreply import check_player, list_players, make_game, make_player
from bestreply.players import zoo
from bestreply.utils.spec import Spec

GAMES = {name: make_game(name) for name in ("stag_hunt", "snowdrift", "matrix")}
EXAMPLES = {
    "always": "always(0)",
    "noisy": "noisy(random, 0.1)",
    "mixture": "mixture(random, noisy(random, 0.5))",
    "switching": "switching(random, always(0), hazard=0.1)",
    "look_alike": "look_alike(random, always(0), steps=2)",
}


def test_every_player_has_a_summary_and_can_be_made():
    assert set(list_players()) == set(zoo.ZOO)
    for name, line in list_players().items():
        plays = zoo.ZOO[name].plays
        assert line.endswith(f"[{plays}]") and len(line) > len(plays) + 5
        game = GAMES["matrix" if plays == "any" else plays]
        player = make_player(EXAMPLES.get(name, name), game)
        assert player.name == EXAMPLES.get(name, name) and player.version >= 1
        assert make_player(player, game) is player


def test_the_players_of_the_publications_are_listed():
    names = (
        "random nearest_stag nearest_hare nearest_drift never_remove always_c "
    )
    names += "tit_for_tat win_stay_lose_shift grim fictitious_play equilibrium "
    names += "switching noisy mixture look_alike"
    assert set(names.split()) <= set(list_players())


@pytest.mark.parametrize(
    "game, spec, message",
    [
        (
            "matrix",
            "nobody",
            "player='nobody': expected one of random, nearest_stag",
        ),
        (
            "matrix",
            "nearest_stag",
            "player='nearest_stag': expected a player of matrix; this one plays stag_hunt",
        ),
        (
            "stag_hunt",
            "tit_for_tat",
            "player='tit_for_tat': expected a player of stag_hunt; this one plays matrix",
        ),
        ("matrix", "random(3)", "random(3): expected no settings"),
        (
            "matrix",
            "always(FLEE)",
            "action='FLEE': expected an action of matrix: COOPERATE, DEFECT",
        ),
        ("matrix", "always(2)", "action=2: expected"),
        ("matrix", "always(-1)", "action=-1: expected"),
        ("matrix", "noisy(random, 1.5)", "eps=1.5: expected a probability"),
        ("matrix", "noisy(random)", "'eps'"),
        ("matrix", "noisy(0.1, random)", "0.1: expected a player"),
        ("matrix", "noisy(nobody, 0.1)", "player='nobody': expected one of"),
        ("matrix", "mixture()", "of 0 players: expected a weight"),
        (
            "matrix",
            "mixture(random, always_c, weights=(1,))",
            "weights=(1,) of 2 players: expected",
        ),
        ("matrix", "mixture(random, always_c, weights=(0, 0))", "not all 0"),
        (
            "matrix",
            "switching(random, always_c)",
            "exactly one of step=, random=, hazard=, episode=",
        ),
        (
            "matrix",
            "switching(random, always_c, step=1, hazard=0.1)",
            "exactly one of",
        ),
        (
            "matrix",
            "switching(random, always_c, sometimes=1)",
            "exactly one of",
        ),
        (
            "matrix",
            "switching(random, always_c, hazard=2)",
            "hazard=2: expected a probability",
        ),
        (
            "matrix",
            "switching(random, always_c, step=-1)",
            "step=-1: expected an int, 0 or more",
        ),
        (
            "matrix",
            "switching(random, always_c, random=0)",
            "random=0: expected an int, 1 or more",
        ),
        ("matrix", "look_alike(random, always_c, steps=x)", "steps=x"),
        ("matrix", "switching(random, grim, step=99999999999)", "below 2^31"),
        ("matrix", "switching(random, grim, step=True)", "step=True"),
        ("matrix", "switching(random, grim, episode=1.5)", "episode=1.5"),
        ("matrix", "noisy(random, -0.1)", "eps=-0.1: expected a probability"),
        ("matrix", "noisy(random, True)", "eps=True: expected a probability"),
        ("matrix", "noisy(random, '0.1')", "eps=0.1: expected a probability"),
        ("matrix", "noisy(3, 0.1)", "3: expected a player"),
        ("matrix", "noisy(random, 0.1, size=2)", "unexpected keyword"),
        ("matrix", "mixture(random, weights=0)", "weights=0 of 1 players"),
        ("matrix", "mixture(random, grim, weights='12')", "expected a weight"),
        ("matrix", "mixture(random, weights=(True,))", "expected a weight"),
        ("matrix", "always(True)", "action=True: expected an action"),
        ("matrix", "always(-1)", "action=-1: expected an action"),
        ("matrix", "random(speed=2)", "expected no settings"),
    ],
)
def test_invalid_players_are_refused(game, spec, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_player(spec, GAMES[game])


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 10**400])
def test_weights_beyond_float32_are_refused(weight):
    spec = Spec("mixture", (Spec("random"),), {"weights": (weight,)})
    with pytest.raises(ValueError, match="expected a weight"):
        make_player(spec, GAMES["matrix"])


def test_players_nested_without_end_are_refused():
    spec = Spec("random")
    for _ in range(5000):
        spec = Spec("noisy", (spec, 0.1))
    with pytest.raises(ValueError, match="inside each other"):
        make_player(spec, GAMES["matrix"])


@pytest.mark.parametrize(
    "game, spec",
    [
        (
            "stag_hunt(hunters=3, stags=1, hares=1, height=3, width=3)",
            "noisy(nearest_stag, 0.3)",
        ),
        (
            "matrix(table=chicken, rounds=5)",
            "mixture(grim, switching(equilibrium, always_c, random=4))",
        ),
        (
            "matrix(table=rock_paper_scissors, continuation=0.8, max_steps=8)",
            "fictitious_play",
        ),
        (
            "matrix(table=prisoners_dilemma, rounds=5)",
            "look_alike(tit_for_tat, win_stay_lose_shift, steps=3)",
        ),
    ],
)
def test_the_contract_of_a_player_is_kept(game, spec):
    game = make_game(game)
    report = check_player(make_player(spec, game), game)
    assert "drawn" in report.kept and set(report.skipped) == {"plan"}
