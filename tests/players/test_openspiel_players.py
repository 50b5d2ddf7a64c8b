"""Policies and bots of OpenSpiel as players."""

import numpy as np
import pytest

import bestreply as br
from bestreply.players import openspiel
from bestreply.players.function import FunctionPolicy
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play

KUHN = br.make_game("openspiel:kuhn_poker")
TIC = br.make_game("openspiel:tic_tac_toe")


class Uniform:
    """OpenSpiel's `Policy`: uniform over legal actions."""

    def action_probabilities(self, state, player_id=None):
        legal = state.legal_actions(player_id)
        return dict.fromkeys(legal, 1 / len(legal))


class First:
    """OpenSpiel's `Bot`: the first legal action."""

    def step(self, state):
        return state.legal_actions()[0]


def test_best_replies_to_a_policy_of_a_small_game_are_exact():
    player = br.from_openspiel(Uniform(), "openspiel:kuhn_poker")
    assert isinstance(player, FunctionPolicy) and player.name == "uniform"
    values = [
        br.exact.best_reply(KUHN, seat, [player]).value for seat in (0, 1)
    ]
    # Both together: 11/12 (Kuhn 1950; OpenSpiel's exploitability).
    assert sum(values) == pytest.approx(11 / 12, abs=1e-5)


def actions(player):
    others = ["first_legal(8)"]
    lineup = seat_players(TIC, [player, *others], 2, 0, rotate=True)
    return play(TIC, lineup, 0).episodes.action


def test_a_bot_is_given_the_state_that_is_replayed():
    bot = br.from_openspiel(First(), TIC)
    np.testing.assert_array_equal(actions(bot), actions("first_legal(0)"))


def test_a_policy_of_a_large_game_without_chance_is_replayed_too(monkeypatch):
    monkeypatch.setattr(openspiel, "MAX_TABLE", 100)
    policy = br.from_openspiel(Uniform(), TIC)
    assert set(policy.rule.extras) == {"memory", "own", "others"}
    np.testing.assert_array_equal(actions(policy), actions("random"))


def test_what_is_no_policy_is_refused(monkeypatch):
    with pytest.raises(
        ValueError, match="policy=object: expected a policy with"
    ):
        br.from_openspiel(object(), KUHN)
    with pytest.raises(
        ValueError, match=r"without chance.*a bot needs the state"
    ):
        br.from_openspiel(First(), KUHN)
    with pytest.raises(ValueError, match="expected a game of OpenSpiel"):
        br.from_openspiel(Uniform(), "matrix")
    monkeypatch.setattr(openspiel, "MAX_TABLE", 3)
    with pytest.raises(ValueError, match="it has more than 3 states"):
        br.from_openspiel(Uniform(), KUHN)
