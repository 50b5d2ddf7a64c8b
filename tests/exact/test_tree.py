"""The position-by-position solver beside slow recursion, known values and OpenSpiel's own best responses."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import slow_replies as slow

from bestreply import make_game, make_player
from bestreply.exact import Decisions
from bestreply.exact.tree import solve
from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play

PD = make_game("matrix(rounds=3)")
PAYOFFS = PD.payoffs_of(0)
RPS = make_game("matrix(table=rock_paper_scissors, rounds=2)")
WSLS, FP = slow.win_stay_lose_shift(PAYOFFS), slow.fictitious_play(PAYOFFS)
C, D = slow.always(0), slow.always(1)


# -- beside slow recursion -----------------------------------------------------------------------------------------------------

OTHERS = {
    "always_d": slow.plain(D),
    "random": slow.plain(slow.random()),
    "tit_for_tat": slow.plain(slow.tit_for_tat),
    "grim": slow.plain(slow.grim),
    "win_stay_lose_shift": slow.plain(WSLS),
    "noisy(tit_for_tat, 0.3)": slow.plain(slow.noisy(slow.tit_for_tat, 0.3)),
    "noisy(win_stay_lose_shift, 0.2)": slow.plain(slow.noisy(WSLS, 0.2)),
    "mixture(tit_for_tat, grim, always_d)": slow.mixture(
        (1, slow.plain(slow.tit_for_tat)),
        (1, slow.plain(slow.grim)),
        (1, slow.plain(D)),
    ),
    "mixture(always_c, noisy(always_d, 0.4), weights=(3, 1))": slow.mixture(
        (3, slow.plain(C)), (1, slow.plain(slow.noisy(D, 0.4)))
    ),
    "switching(tit_for_tat, always_c, step=1)": slow.switching(
        slow.tit_for_tat, C, [0, 1]
    ),
    "switching(tit_for_tat, always_c, random=3)": slow.switching(
        slow.tit_for_tat, C, [1 / 3] * 3
    ),
    "switching(grim, noisy(always_c, 0.2), hazard=0.4)": slow.switching(
        slow.grim, slow.noisy(C, 0.2), slow.hazard_times(0.4, 3)
    ),
    "noisy(switching(win_stay_lose_shift, grim, random=2), 0.1)": slow.switching(
        slow.noisy(WSLS, 0.1), slow.noisy(slow.grim, 0.1), [1 / 2] * 2
    ),
    "mixture(grim, switching(always_c, always_d, hazard=0.3))": slow.mixture(
        (1, slow.plain(slow.grim)),
        (1, slow.switching(C, D, slow.hazard_times(0.3, 3))),
    ),
    "switching(mixture(always_d, tit_for_tat), always_c, hazard=0.3)": slow.mixture(
        (1, slow.switching(D, C, slow.hazard_times(0.3, 3))),
        (1, slow.switching(slow.tit_for_tat, C, slow.hazard_times(0.3, 3))),
    ),
}


@pytest.mark.parametrize("spec", OTHERS)
@pytest.mark.parametrize("know", ["types", "belief"])
def test_value_is_that_of_slow_recursion(spec, know):
    wanted = slow.slow_best_reply(
        PAYOFFS, 3, [OTHERS[spec]], told=know == "types", gamma=0.9
    )
    reply = solve(PD, 0, [spec], gamma=0.9, know=know)
    assert reply.value == pytest.approx(wanted, rel=1e-6)
    assert reply.stderr == 0


@pytest.mark.parametrize("know", ["types", "belief"])
@pytest.mark.parametrize("table", ["stag_hunt", "chicken", "matching_pennies"])
def test_fictitious_play(table, know):
    game = make_game("matrix", table=table, rounds=4)
    other = slow.plain(slow.fictitious_play(game.payoffs_of(1)))
    wanted = slow.slow_best_reply(game.payoffs_of(0), 4, [other], told=True)
    assert solve(
        game, 0, ["fictitious_play"], know=know
    ).value == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("know", ["types", "belief"])
def test_three_actions(know):
    spec = "mixture(fictitious_play, noisy(always(ROCK), 0.3), random, weights=(2, 1, 1))"
    other = slow.mixture(
        (2, slow.plain(slow.fictitious_play(RPS.payoffs_of(1)))),
        (1, slow.plain(slow.noisy(slow.always(0, 3), 0.3))),
        (1, slow.plain(slow.random(3))),
    )
    wanted = slow.slow_best_reply(
        RPS.payoffs_of(0), 2, [other], told=know == "types"
    )
    assert solve(RPS, 0, [spec], know=know).value == pytest.approx(
        wanted, abs=1e-6
    )


def test_the_second_seat():
    """Seats of a table of one's own differ; the best reply in seat 1 sees them the other way round."""
    table = np.random.default_rng(0).integers(-5, 6, (2, 2, 2))
    game = make_game("matrix", payoffs=table, rounds=3)
    for spec, policy in [
        ("win_stay_lose_shift", slow.win_stay_lose_shift(table[0])),
        (
            "noisy(fictitious_play, 0.3)",
            slow.noisy(slow.fictitious_play(table[0]), 0.3),
        ),
    ]:
        wanted = slow.slow_best_reply(
            table[1].T, 3, [slow.plain(policy)], told=True
        )
        assert solve(game, 1, [spec]).value == pytest.approx(wanted, rel=1e-6)


THREE = np.random.default_rng(1).integers(-4, 5, (3, 2, 2, 2))


@pytest.mark.parametrize("know", ["types", "belief"])
def test_three_players(know):
    """Different players in seats that differ, in ego-first order: seats 0 and 2 for seat 1."""
    game = make_game("matrix", payoffs=THREE, rounds=3)
    first = slow.mixture(
        (1, slow.plain(slow.tit_for_tat)),
        (2, slow.plain(slow.win_stay_lose_shift(THREE[0]))),
    )
    last = slow.switching(slow.grim, slow.random(), slow.hazard_times(0.25, 3))
    wanted = slow.slow_best_reply(
        np.moveaxis(THREE[1], 1, 0),
        3,
        [first, last],
        told=know == "types",
        gamma=0.8,
    )
    others = [
        "mixture(tit_for_tat, win_stay_lose_shift, weights=(1, 2))",
        "switching(grim, random, hazard=0.25)",
    ]
    assert solve(game, 1, others, gamma=0.8, know=know).value == pytest.approx(
        wanted, rel=1e-6
    )


@pytest.mark.parametrize("know", ["types", "belief"])
@pytest.mark.parametrize("go_on", [0.0, 0.7, 1.0])
def test_games_that_go_on_by_chance_until_a_limit(go_on, know):
    game = make_game("matrix", continuation=go_on, max_steps=3)
    spec = "mixture(tit_for_tat, noisy(grim, 0.2))"
    wanted = slow.slow_best_reply(
        PAYOFFS, 3, [OTHER_MIX], told=know == "types", gamma=0.9, go_on=go_on
    )
    assert solve(game, 0, [spec], gamma=0.9, know=know).value == pytest.approx(
        wanted, rel=1e-6
    )


OTHER_MIX = slow.mixture(
    (1, slow.plain(slow.tit_for_tat)),
    (1, slow.plain(slow.noisy(slow.grim, 0.2))),
)


def test_a_game_cut_off_before_its_end_is_worth_what_is_gained_by_then():
    assert (
        solve(
            make_game("matrix(rounds=10, max_steps=4)"), 0, ["always_c"]
        ).value
        == 20
    )


# -- known values --------------------------------------------------------------------------------------------------------------

KNOWN = {
    # nine times 3, and 5 for defecting where it can't be answered
    ("prisoners_dilemma", "tit_for_tat"): 32,
    ("prisoners_dilemma", "grim"): 32,
    ("prisoners_dilemma", "always_c"): 50,
    ("prisoners_dilemma", "always_d"): 10,
    ("prisoners_dilemma", "random"): 30,
    ("stag_hunt", "tit_for_tat"): 20,
    ("matching_pennies", "equilibrium"): 0,
    ("rock_paper_scissors", "random"): 0,
    ("rock_paper_scissors", "equilibrium"): 0,
    ("rock_paper_scissors", "always(ROCK)"): 10,
}


@pytest.mark.parametrize(("table", "other"), KNOWN)
def test_known_values(table, other):
    game = make_game("matrix", table=table, rounds=10)
    assert solve(game, 0, [other]).value == pytest.approx(
        KNOWN[table, other], abs=1e-9
    )


def test_what_can_be_known_of_a_type_is_worth_something():
    """One round against always_c or always_d, chicken: told, 4 or 1; not told, the better of 2 and 2."""
    game = make_game("matrix(table=chicken, rounds=1)")
    assert solve(
        game, 0, ["mixture(always_c, always_d)"], know="types"
    ).value == pytest.approx(2.5)
    assert solve(
        game, 0, ["mixture(always_c, always_d)"], know="belief"
    ).value == pytest.approx(2)


@pytest.mark.parametrize(
    "spec", [s for s in OTHERS if "mixture" in s or "switching" in s]
)
def test_belief_is_worth_no_more_than_types(spec):
    told, believed = (
        solve(PD, 0, [spec], know="types"),
        solve(PD, 0, [spec], know="belief"),
    )
    assert believed.value <= told.value + 1e-9
    assert (told.kind, believed.kind) == ("upper bound", "exact")


@pytest.mark.parametrize(
    "spec", [s for s in OTHERS if "mixture" not in s and "switching" not in s]
)
def test_belief_is_worth_as_much_as_types_where_there_is_one_mode(spec):
    told, believed = (
        solve(PD, 0, [spec], know="types"),
        solve(PD, 0, [spec], know="belief"),
    )
    assert believed.value == pytest.approx(told.value, abs=1e-12)
    assert (told.kind, believed.kind) == ("exact", "exact")


def test_equal_positions_are_one():
    """Of 4 ** t histories, those that end in the same joint action are one against tit_for_tat; memories of it add nothing."""
    assert [len(layer.obs) for layer in solve(PD, 0, ["random"]).layers] == [
        1,
        4,
        4,
    ]
    assert [
        len(layer.obs) for layer in solve(PD, 0, ["tit_for_tat"]).layers
    ] == [1, 2, 4]
    # equal counts of heads and tails, and the same last action of everybody
    game = make_game("matrix(table=matching_pennies, rounds=9, memory=0)")
    sizes = [
        len(layer.obs) for layer in solve(game, 0, ["fictitious_play"]).layers
    ]
    assert sizes == list(range(1, 10))
    believed = solve(
        game, 0, ["mixture(fictitious_play, random)"], know="belief"
    )
    assert len(believed.layers[-1].obs) < 500


# -- OpenSpiel -----------------------------------------------------------------------------------------------------------------


@functools.cache
def spiel_value(spec):
    """OpenSpiel's own best response of player 0 to a uniform player 1."""
    pyspiel = pytest.importorskip("pyspiel")
    from open_spiel.python.algorithms.best_response import BestResponsePolicy
    from open_spiel.python.policy import UniformRandomPolicy

    turns = pyspiel.convert_to_turn_based(pyspiel.load_game(spec))
    reply = BestResponsePolicy(turns, 0, UniformRandomPolicy(turns))
    return reply.value(turns.new_initial_state())


@pytest.mark.parametrize(
    "spec",
    [
        "matrix_pd()",
        "matrix_rps()",
        "goofspiel(num_cards=3,points_order=descending)",
        "goofspiel(num_cards=3,points_order=random)",
        "goofspiel(num_cards=4,points_order=descending)",
        "goofspiel(num_cards=3,points_order=random,returns_type=point_difference)",
    ],
)
def test_openspiels_best_response(spec):
    wanted = spiel_value(spec)
    game = make_game("openspiel:" + spec)
    for know in ("types", "belief"):
        assert solve(game, 0, ["random"], know=know).value == pytest.approx(
            wanted, abs=1e-6
        )


@pytest.mark.parametrize(
    "other", ["noisy(tit_for_tat, 0.3)", "mixture(grim, always_c)"]
)
def test_openspiels_repeated_game_is_ours(other):
    """A host game and a compiled one with the same rules, with players that remember."""
    pyspiel = pytest.importorskip("pyspiel")
    stage = pyspiel.load_matrix_game("matrix_pd")
    ours = make_game(
        "matrix",
        payoffs=(stage.row_utilities(), stage.col_utilities()),
        rounds=3,
    )
    theirs = make_game(
        "openspiel:repeated_game", stage_game="matrix_pd()", num_repetitions=3
    )
    player = make_player(other, ours)
    for know in ("types", "belief"):
        wanted = solve(ours, 0, [player], know=know, gamma=0.9).value
        assert solve(
            theirs, 0, [player], know=know, gamma=0.9
        ).value == pytest.approx(wanted)


def test_openspiels_outcomes_are_all_there_are():
    pytest.importorskip("pyspiel")
    game = make_game("openspiel:goofspiel(num_cards=3, points_order=random)")
    first = game.first_states()
    np.testing.assert_allclose(first.probability, [1 / 3] * 3)
    state = first.state[0]
    after = game.outcomes(state, np.array([0, 1]))
    np.testing.assert_allclose(after.probability, [1 / 2] * 2)
    drawn = {
        game.state_key(game.step(state, np.array([0, 1]), jax.random.key(s))[0])
        for s in range(40)
    }
    assert drawn == {game.state_key(s) for s in after.state}
    assert game.state_key(state) not in drawn


# -- outcomes ------------------------------------------------------------------------------------------------------------------


def test_outcomes_of_a_matrix_game():
    fixed = make_game("matrix(rounds=2)")
    state = jax.tree.map(lambda x: x[0], fixed.first_states().state)
    found = fixed.outcomes(state, jnp.array([0, 1]))
    after, shown = fixed.step(state, jnp.array([0, 1]), jax.random.key(5))
    assert found.probability.tolist() == [1]
    jax.tree.map(
        np.testing.assert_array_equal,
        (found.state, found.shown),
        jax.tree.map(lambda x: x[None], (after, shown)),
    )

    game = make_game("matrix(continuation=0.75, max_steps=2)")
    state = jax.tree.map(lambda x: x[0], game.first_states().state)
    found = game.outcomes(state, jnp.array([0, 1]))
    assert found.probability.tolist() == [0.75, 0.25]
    assert found.shown.terminated.all(1).tolist() == [False, True]
    assert found.shown.reward.tolist() == [[0, 5], [0, 5]]
    over = jax.tree.map(lambda x: x[1], found.state)
    again = game.outcomes(over, jnp.array([1, 1]))
    assert again.probability.tolist() == [1, 0]
    assert again.shown.reward[0].tolist() == [0, 0] and bool(
        again.state.over[0]
    )


def test_a_game_that_draws_must_list_its_outcomes():
    game = make_game("matrix(continuation=0.75)")
    state = jax.tree.map(lambda x: x[0], game.first_states().state)
    with pytest.raises(
        ValueError,
        match=r"expected a method `outcomes.*since `advance` uses its key",
    ):
        Game.outcomes(game, state, jnp.array([0, 0]))


# -- logged play ---------------------------------------------------------------------------------------------------------------

LOGGED = [
    ("matrix(rounds=4)", "noisy(tit_for_tat, 0.2)", "types"),
    ("matrix(continuation=0.7, max_steps=4)", "noisy(grim, 0.3)", "types"),
    (
        "matrix(rounds=4)",
        "switching(always_c, noisy(grim, 0.1), random=3)",
        "belief",
    ),
    (
        "openspiel:goofspiel(num_cards=3, points_order=random)",
        "random",
        "types",
    ),
]


class Follows(ScriptedPlayer):
    """Plays the best action of the position that looks as its observation does."""

    obs: jax.Array  # [P, *obs_shape]
    best: jax.Array  # [P] int32
    name: str = eqx.field(static=True, default="follows")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        found = jnp.argmin(
            abs(self.obs - obs).reshape(len(self.obs), -1).sum(1)
        )
        return jax.nn.one_hot(self.best[found], legal.shape[-1])


@functools.cache
def logged(spec, other, episodes=200):
    """Play of `random` with `other`."""
    game = make_game(spec)
    return play(
        game, seat_players(game, ["random", other], episodes, 0), 0
    ).episodes


@pytest.mark.parametrize(("spec", "other", "know"), LOGGED)
def test_decisions_agree_with_the_solution(spec, other, know):
    game = make_game(spec)
    reply = solve(game, 0, [other], gamma=0.9, know=know)
    episodes = logged(spec, other)
    found = reply.decisions(episodes)
    acted, legal = (
        episodes.acted[:, :, 0],
        np.asarray(episodes.legal)[:, :-1, 0],
    )
    assert np.array_equal(~np.isnan(found.value), acted)
    np.testing.assert_array_equal(found.value[acted], found.q.max(2)[acted])
    np.testing.assert_array_equal(np.isneginf(found.q[acted]), ~legal[acted])
    if len(reply.layers[0].obs) == 1:
        np.testing.assert_allclose(found.value[:, 0], reply.value, rtol=1e-12)
    regret = found.regret(episodes.action[:, :, 0])
    assert (
        (regret[acted] >= 0).all()
        and (regret[~acted] == 0).all()
        and regret.max() > 0
    )
    # what was gained and what could still have been gained, less what was given away, is a fair game
    gains = (
        0.9 ** np.arange(game.max_steps)
        * (np.asarray(episodes.reward)[:, :, 0] + regret)
    ).sum(1)
    assert (
        abs(gains.mean() - reply.value)
        <= 5 * gains.std() / np.sqrt(len(gains)) + 1e-6
    )


def test_decisions_of_a_reply_that_is_told_the_modes():
    game, other = (
        make_game("matrix(rounds=5)"),
        "switching(tit_for_tat, always_d, random=4)",
    )
    reply = solve(game, 0, [other], gamma=0.9)
    played = play(
        game, seat_players(game, ["random", other], 600, 0), 0, watch=0
    )
    modes, action = (
        played.modes[:, :, 1:],
        np.asarray(played.episodes.action)[:, :, 0],
    )
    found = reply.decisions(played.episodes, modes=modes)
    left = 5 - np.arange(5)
    changed = modes[:, :, 0] == 1
    assert changed.any(0).all() and not changed.all(0)[:3].any()
    # who defects for good leaves 1 a round
    np.testing.assert_allclose(
        found.value[changed],
        np.broadcast_to((1 - 0.9**left) / 0.1, changed.shape)[changed],
    )
    reward = np.asarray(played.episodes.reward)[:, :, 0]
    gains = (0.9 ** np.arange(5) * (reward + found.regret(action))).sum(1)
    assert abs(gains.mean() - reply.value) <= 5 * gains.std() / np.sqrt(
        len(gains)
    )


def test_the_share_by_regret_is_that_by_returns_with_less_noise():
    game, other = make_game("matrix(rounds=5)"), "noisy(tit_for_tat, 0.2)"
    reply, episodes = (
        solve(game, 0, [other], gamma=0.9),
        logged("matrix(rounds=5)", other),
    )
    found, action = (
        reply.decisions(episodes),
        np.asarray(episodes.action)[:, :, 0],
    )
    slow = [
        sum(0.9**t * r for t, r in enumerate(row))
        for row in found.regret(action).tolist()
    ]
    np.testing.assert_allclose(found.lost(action, 0.9), slow, rtol=1e-12)
    returns = (0.9 ** np.arange(5) * np.asarray(episodes.reward)[:, :, 0]).sum(
        1
    )
    raw, error = (
        returns.mean() / reply.value,
        returns.std() / reply.value / np.sqrt(len(returns)),
    )
    assert 0 < found.share(action, 0.9) < 1
    assert abs(found.share(action, 0.9) - raw) <= 4 * error
    assert found.lost(action, 0.9).std() < returns.std()
    best = np.nan_to_num(found.q, nan=-np.inf).argmax(2)
    assert found.share(best, 0.9) == 1


def test_a_share_of_nothing_is_refused():
    q = np.zeros((3, 2, 2))
    for value in (np.zeros((3, 2)), np.full((3, 2), np.nan)):
        with pytest.raises(
            ValueError,
            match=r"worth (0|nan) at the first step; expected: .* more than 0",
        ):
            Decisions(value, q).share(np.zeros((3, 2), int), 0.9)


def test_decisions_of_a_best_reply_give_nothing_away():
    game = make_game("matrix(rounds=4)")
    other = "noisy(tit_for_tat, 0.2)"
    reply = solve(game, 0, [other])
    obs = np.concatenate([layer.obs[:, 0] for layer in reply.layers])
    best = np.concatenate([q[:, 0].argmax(1) for q in reply.q])
    follower = Follows(obs=jnp.asarray(obs), best=jnp.asarray(best))
    episodes = play(
        game, seat_players(game, [follower, other], 200, 0), 0
    ).episodes
    assert reply.decisions(episodes).regret(episodes.action[:, :, 0]).max() == 0
    returns = np.asarray(episodes.reward)[:, :, 0].sum(1)
    assert abs(returns.mean() - reply.value) <= 5 * returns.std() / np.sqrt(
        len(returns)
    )


def test_decisions_of_the_second_seat_and_a_third():
    game = make_game("matrix", payoffs=THREE, rounds=3)
    others = ["tit_for_tat", "noisy(win_stay_lose_shift, 0.2)"]
    reply = solve(game, 1, others)
    lineup = seat_players(
        game, [others[0], "random", make_player(others[1], game, 2)], 100, 0
    )
    episodes = play(game, lineup, 0).episodes
    found = reply.decisions(episodes, np.ones(100, int))
    np.testing.assert_allclose(found.value[:, 0], reply.value)
    with pytest.raises(
        ValueError,
        match=r"seats=\[0\] for a best reply of seat 1; expected",
    ):
        reply.decisions(episodes, np.zeros(100, int))


# -- what is refused -----------------------------------------------------------------------------------------------------------


def test_play_against_others_is_refused():
    episodes = logged("matrix(rounds=4)", "noisy(tit_for_tat, 0.2)")
    reply = solve(make_game("matrix(rounds=4)"), 0, ["grim"])
    wanted = r"the actions \[\d, \d\] at step \d cannot be; expected: first episodes of matrix with grim"
    with pytest.raises(ValueError, match=wanted):
        reply.decisions(episodes)
    longer = solve(make_game("matrix(rounds=5)"), 0, ["random"])
    with pytest.raises(
        ValueError, match="episode 0 cannot come to what it shows at step 1"
    ):
        longer.decisions(episodes)
    lean = eqx.tree_at(
        lambda e: e.obs,
        episodes,
        np.zeros((*episodes.obs.shape[:3], 0), np.float32),
    )
    with pytest.raises(ValueError, match="a lean log has none"):
        reply.decisions(lean)


def test_hidden_modes_are_not_logged():
    reply = solve(make_game("matrix(rounds=4)"), 0, ["mixture(grim, always_c)"])
    with pytest.raises(
        ValueError,
        match="their modes are hidden and not logged; expected: know='belief'",
    ):
        reply.decisions(logged("matrix(rounds=4)", "noisy(tit_for_tat, 0.2)"))


class Wordless(Player):
    """Tells no distribution."""

    name: str = "wordless"
    version: int = 1

    def start(self):
        return ()

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"seat": 2}, "seat=2 of matrix; expected: 0 to 1"),
        ({"others": []}, "expected: 1, one for each other seat"),
        ({"others": ["grim", "grim"]}, "expected: 1, one for each other seat"),
        (
            {"others": [Wordless()]},
            "wordless gives no exact action distribution",
        ),
        ({"gamma": 1.5}, "expected: a discount, 0 to 1"),
        ({"know": "all"}, "know='all'; expected: 'types' or 'belief'"),
        ({"limit": 8}, "more than 8 positions of matrix can be reached"),
        (
            {
                "game": make_game(
                    "stag_hunt(height=2, width=2, hunters=2, hares=1)"
                ),
                "others": ["random"],
            },
            "`first`",
        ),
    ],
)
def test_refused(settings, wanted):
    settings = {"game": PD, "seat": 0, "others": ["random"]} | settings
    with pytest.raises(ValueError, match=wanted):
        solve(**settings)
