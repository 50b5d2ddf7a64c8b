"""Players by name: what there is, and what is said to a name or setting that is not."""

import re

import pytest

from bestreply import check_player, list_players, make_game, make_player
from bestreply.players import zoo

GAMES = {name: make_game(name) for name in ("stag_hunt", "snowdrift", "matrix")}
EXAMPLES = {
    "always": "always(0)",
    "noisy": "noisy(random, 0.1)",
    "mixture": "mixture(random, noisy(random, 0.5))",
    "switching": "switching(random, always(0), hazard=0.1)",
    "look_alike": "look_alike(random, always(0), steps=2)",
}


def test_every_player_has_a_line_and_can_be_made():
    assert set(list_players()) == set(zoo.ZOO)
    for name, line in list_players().items():
        plays = zoo.ZOO[name].plays
        assert line.endswith(f"[{plays}]") and len(line) > len(plays) + 5
        game = GAMES["matrix" if plays == "any" else plays]
        player = make_player(EXAMPLES.get(name, name), game)
        assert player.name == EXAMPLES.get(name, name) and player.version >= 1
        assert make_player(player, game) is player


def test_games_md_is_covered():
    wanted = "random nearest_stag nearest_hare nearest_drift never_remove switching noisy mixture look_alike "
    wanted += "always_c tit_for_tat win_stay_lose_shift grim fictitious_play equilibrium"
    assert set(wanted.split()) <= set(list_players())


@pytest.mark.parametrize(
    "game, spec, told",
    [
        (
            "matrix",
            "nobody",
            "there is no player 'nobody'; there are: random, nearest_stag",
        ),
        (
            "matrix",
            "nearest_stag",
            "nearest_stag plays stag_hunt; the game given is matrix",
        ),
        (
            "stag_hunt",
            "tit_for_tat",
            "tit_for_tat plays matrix; the game given is stag_hunt",
        ),
        ("matrix", "random(3)", "random(3): it takes no settings"),
        (
            "matrix",
            "always(FLEE)",
            "no action 'FLEE'; matrix has COOPERATE, DEFECT",
        ),
        ("matrix", "always(2)", "no action 2"),
        ("matrix", "always(-1)", "no action -1"),
        ("matrix", "noisy(random, 1.5)", "eps=1.5; expected: a probability"),
        ("matrix", "noisy(random)", "'eps'"),
        ("matrix", "noisy(0.1, random)", "0.1 is no player"),
        ("matrix", "noisy(nobody, 0.1)", "there is no player 'nobody'"),
        ("matrix", "mixture()", "0 players"),
        (
            "matrix",
            "mixture(random, always_c, weights=(1,))",
            "2 players with weights (1.0,)",
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
        ("matrix", "switching(random, always_c, hazard=2)", "hazard=2"),
        ("matrix", "switching(random, always_c, step=-1)", "step=-1"),
        ("matrix", "switching(random, always_c, random=0)", "random=0"),
        ("matrix", "look_alike(random, always_c, steps=x)", "steps=x"),
    ],
)
def test_what_cannot_be_made_is_shown(game, spec, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        make_player(spec, GAMES[game])


@pytest.mark.parametrize(
    "game, spec",
    [
        (
            "stag_hunt(hunters=3, stags=1, hares=1, height=3, width=3, blocks=1)",
            "nearest_stag",
        ),
        ("snowdrift(height=3, width=3, drifts=2)", "noisy(nearest_drift, 0.3)"),
        (
            "matrix(table=chicken)",
            "mixture(grim, switching(equilibrium, always_c, random=4))",
        ),
        (
            "matrix(table=rock_paper_scissors, continuation=0.8, max_steps=8)",
            "fictitious_play",
        ),
        (
            "matrix(table=prisoners_dilemma)",
            "look_alike(tit_for_tat, win_stay_lose_shift, steps=3)",
        ),
    ],
)
def test_players_of_the_zoo_keep_every_promise(game, spec):
    game = make_game(game)
    found = check_player(make_player(spec, game), game)
    assert "drawn" in found.kept and set(found.skipped) == {"plan"}
