"""Best replies by information set: OpenSpiel's own, and `tree` where nothing is hidden."""

import numpy as np
import pytest

from bestreply import make_game
from bestreply.exact import best_reply
from bestreply.exact.information_sets import (
    InformationReply,
    solve_information_sets,
)
from bestreply.exact.tree import solve
from tests.shared import played

KNOW = ("types", "belief")


def openspiel_values(spec, policy):
    """OpenSpiel's own best response of each player to players of one policy."""
    pyspiel = pytest.importorskip("pyspiel")
    from open_spiel.python import policy as policies
    from open_spiel.python.algorithms.best_response import BestResponsePolicy

    game = pyspiel.load_game(spec)
    replies = [
        BestResponsePolicy(game, seat, getattr(policies, policy)(game))
        for seat in range(game.num_players())
    ]
    return [reply.value(game.new_initial_state()) for reply in replies]


@pytest.mark.parametrize(
    "spec, player, policy, total",
    [
        ("kuhn_poker", "random", "UniformRandomPolicy", 11 / 12),
        ("kuhn_poker", "first_legal", "FirstActionPolicy", 2),
        ("leduc_poker", "random", "UniformRandomPolicy", 4.747222),
        ("leduc_poker", "first_legal", "FirstActionPolicy", 2),
        ("kuhn_poker(players=3)", "random", "UniformRandomPolicy", None),
        ("tiny_hanabi", "random", "UniformRandomPolicy", None),
    ],
)
def test_values_are_those_of_openspiels_best_response(
    spec, player, policy, total
):
    game = make_game(f"openspiel:{spec}")
    seats = range(game.num_players)
    replies = [best_reply(game, seat, [player]) for seat in seats]
    assert all(isinstance(reply, InformationReply) for reply in replies)
    values = [reply.value for reply in replies]
    assert values == pytest.approx(openspiel_values(spec, policy), abs=1e-9)
    if total is not None:
        assert sum(values) == pytest.approx(total, abs=1e-5)


def test_a_reply_that_saw_the_cards_would_earn_more():
    game = make_game("openspiel:kuhn_poker")
    assert best_reply(game, 1, ["random"]).value == pytest.approx(5 / 12)
    # with the queen, facing a bet, it calls the jack alone
    assert solve(game, 1, ["random"]).value == pytest.approx(0.5)


@pytest.mark.parametrize("know", KNOW)
@pytest.mark.parametrize(
    "spec, other",
    [
        ("matrix(rounds=3)", "noisy(tit_for_tat, 0.2)"),
        ("matrix(rounds=3)", "mixture(tit_for_tat, always_d)"),
        (
            "matrix(continuation=0.7, max_steps=3)",
            "switching(grim, random, random=2)",
        ),
        ("openspiel:goofspiel(num_cards=3, points_order=random)", "random"),
    ],
)
def test_values_are_those_of_the_tree_where_nothing_is_hidden(
    spec, other, know
):
    game = make_game(spec)
    settings = {"gamma": 0.9, "know": know}
    expected = solve(game, 0, [other], **settings)
    reply = solve_information_sets(game, 0, [other], **settings)
    assert reply.value == pytest.approx(expected.value, abs=1e-9)
    assert reply.kind == expected.kind
    if know == "types" and "(" in other and not other.startswith("noisy"):
        return  # its modes would have to be logged
    episodes = played(spec, ("random", other), 40)
    one, two = (r.decisions(episodes) for r in (reply, expected))
    np.testing.assert_allclose(one.value, two.value, atol=1e-6)
    np.testing.assert_allclose(one.q, two.q, atol=1e-6)


def test_decisions_in_kuhn_poker():
    """Lost returns have the mean of the reply's value minus the random player's return."""
    game = make_game("openspiel:kuhn_poker")
    reply = best_reply(game, 0, ["random"])
    episodes = played(game, ("random", "random"), 600, 3)
    value, q = decisions = reply.decisions(episodes)
    acted = episodes.acted[:, :, 0]
    assert np.array_equal(~np.isnan(value), acted)
    legal = np.asarray(episodes.legal)[:, :-1, 0]
    np.testing.assert_array_equal(np.isneginf(q[acted]), ~legal[acted])
    assert value[:, 0].mean() == pytest.approx(0.5, abs=0.1)
    lost = decisions.lost(episodes.action[:, :, 0], 1.0)
    gap = reply.value - episodes.reward[:, :, 0].sum(1) - lost
    assert abs(gap.mean()) <= 5 * gap.std() / 600**0.5
    waits = acted & legal[..., -1]
    assert (
        waits.any()
        and not decisions.regret(episodes.action[:, :, 0])[waits].any()
    )
    with pytest.raises(ValueError, match="expected that seat alone"):
        reply.decisions(episodes, np.ones(600, int))
    folds = best_reply(game, 0, ["first_legal"])
    with pytest.raises(
        ValueError, match="cannot reach its observation at step"
    ):
        folds.decisions(episodes)


def test_a_game_that_is_too_large_is_refused():
    game = make_game("openspiel:leduc_poker")
    with pytest.raises(ValueError, match="more than 500 positions"):
        best_reply(game, 0, ["random"], limit=500)
    with pytest.raises(
        ValueError, match=r"more than .* positions of openspiel:bridge"
    ):
        best_reply(make_game("openspiel:bridge"), 0, ["random"])
