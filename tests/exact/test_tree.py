"""The tree solver compared with recursion over histories, known values and OpenSpiel."""

import functools
from typing import ClassVar

import equinox as eqx
import history_replies as by_history
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.exact import Decisions
from bestreply.exact.tree import solve
from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from tests.shared import played

PD = make_game("matrix(rounds=3)")
PD4 = make_game("matrix(rounds=4)")
PAYOFFS = PD.payoffs_of(0)
RPS = make_game("matrix(table=rock_paper_scissors, rounds=2)")
WSLS = by_history.win_stay_lose_shift(PAYOFFS)
C, D = by_history.always(0), by_history.always(1)
TIT_FOR_TAT, GRIM = by_history.tit_for_tat, by_history.grim
GAMMA = 0.9
KNOW = ("types", "belief")

plain, noisy = by_history.plain, by_history.noisy
mixture, switching = by_history.mixture, by_history.switching
hazard_times = by_history.hazard_times


# -- compared with recursion -----------------------------------------------------------

ONE_MODE = {
    "always_d": plain(D),
    "random": plain(by_history.random()),
    "tit_for_tat": plain(TIT_FOR_TAT),
    "grim": plain(GRIM),
    "win_stay_lose_shift": plain(WSLS),
    "noisy(tit_for_tat, 0.3)": plain(noisy(TIT_FOR_TAT, 0.3)),
    "noisy(win_stay_lose_shift, 0.2)": plain(noisy(WSLS, 0.2)),
}
SEVERAL_MODES = {
    "mixture(tit_for_tat, grim, always_d)": mixture(
        (1, plain(TIT_FOR_TAT)), (1, plain(GRIM)), (1, plain(D))
    ),
    "mixture(always_c, noisy(always_d, 0.4), weights=(3, 1))": mixture(
        (3, plain(C)), (1, plain(noisy(D, 0.4)))
    ),
    "switching(tit_for_tat, always_c, step=1)": switching(
        TIT_FOR_TAT, C, [0, 1]
    ),
    "switching(tit_for_tat, always_c, random=3)": switching(
        TIT_FOR_TAT, C, [1 / 3] * 3
    ),
    "switching(grim, noisy(always_c, 0.2), hazard=0.4)": switching(
        GRIM, noisy(C, 0.2), hazard_times(0.4, 3)
    ),
    "noisy(switching(win_stay_lose_shift, grim, random=2), 0.1)": switching(
        noisy(WSLS, 0.1), noisy(GRIM, 0.1), [1 / 2] * 2
    ),
    "mixture(grim, switching(always_c, always_d, hazard=0.3))": mixture(
        (1, plain(GRIM)), (1, switching(C, D, hazard_times(0.3, 3)))
    ),
    "switching(mixture(always_d, tit_for_tat), always_c, hazard=0.3)": mixture(
        (1, switching(D, C, hazard_times(0.3, 3))),
        (1, switching(TIT_FOR_TAT, C, hazard_times(0.3, 3))),
    ),
}


@pytest.mark.parametrize("spec", ONE_MODE | SEVERAL_MODES)
def test_values_are_those_of_recursion(spec):
    """With one mode, observed and inferred modes have equal values."""
    other, values = (ONE_MODE | SEVERAL_MODES)[spec], {}
    for know in KNOW:
        reply = solve(PD, 0, [spec], gamma=GAMMA, know=know)
        expected = by_history.best_reply_value(
            PAYOFFS, 3, [other], sees_modes=know == "types", gamma=GAMMA
        )
        assert reply.value == pytest.approx(expected, rel=1e-6)
        assert reply.stderr == 0
        bounds = know == "types" and spec in SEVERAL_MODES
        assert reply.kind == ("upper bound" if bounds else "exact")
        values[know] = reply.value
    assert values["belief"] <= values["types"] + 1e-9
    if spec in ONE_MODE:
        assert values["belief"] == pytest.approx(values["types"], abs=1e-12)


def check_values(game, payoffs, rounds, specs, others, seat=0, **settings):
    """Compare the value with that of recursion, for observed and inferred modes."""
    gamma = settings.get("gamma", 1.0)
    for know in KNOW:
        expected = by_history.best_reply_value(
            payoffs, rounds, others, sees_modes=know == "types", **settings
        )
        reply = solve(game, seat, specs, know=know, gamma=gamma)
        assert reply.value == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("table", ["stag_hunt", "chicken", "matching_pennies"])
def test_fictitious_play(table):
    game = make_game("matrix", table=table, rounds=4)
    other = plain(by_history.fictitious_play(game.payoffs_of(1)))
    check_values(game, game.payoffs_of(0), 4, ["fictitious_play"], [other])


def test_three_actions():
    spec = "mixture(fictitious_play, noisy(always(ROCK), 0.3), random, weights=(2, 1, 1))"
    other = mixture(
        (2, plain(by_history.fictitious_play(RPS.payoffs_of(1)))),
        (1, plain(noisy(by_history.always(0, 3), 0.3))),
        (1, plain(by_history.random(3))),
    )
    check_values(RPS, RPS.payoffs_of(0), 2, [spec], [other])


@pytest.mark.parametrize(
    "spec", ["win_stay_lose_shift", "noisy(fictitious_play, 0.3)"]
)
def test_the_second_seat(spec):
    """In a table with different seats; seat 1 has the axes in the other order."""
    table = np.random.default_rng(0).integers(-5, 6, (2, 2, 2))
    game = make_game("matrix", payoffs=table, rounds=3)
    policy = {
        "win_stay_lose_shift": by_history.win_stay_lose_shift(table[0]),
        "noisy(fictitious_play, 0.3)": noisy(
            by_history.fictitious_play(table[0]), 0.3
        ),
    }[spec]
    check_values(game, table[1].T, 3, [spec], [plain(policy)], seat=1)


THREE = np.random.default_rng(1).integers(-4, 5, (3, 2, 2, 2))


def test_three_players():
    """Different players in different seats, in ego-first order: seats 0 and 2 for seat 1."""
    game = make_game("matrix", payoffs=THREE, rounds=3)
    first = mixture(
        (1, plain(TIT_FOR_TAT)),
        (2, plain(by_history.win_stay_lose_shift(THREE[0]))),
    )
    last = switching(GRIM, by_history.random(), hazard_times(0.25, 3))
    specs = [
        "mixture(tit_for_tat, win_stay_lose_shift, weights=(1, 2))",
        "switching(grim, random, hazard=0.25)",
    ]
    payoffs = np.moveaxis(THREE[1], 1, 0)
    check_values(game, payoffs, 3, specs, [first, last], seat=1, gamma=0.8)


@pytest.mark.parametrize("continuation", [0.0, 0.7, 1.0])
def test_games_that_continue_by_chance_until_a_limit(continuation):
    game = make_game("matrix", continuation=continuation, max_steps=3)
    other = mixture((1, plain(TIT_FOR_TAT)), (1, plain(noisy(GRIM, 0.2))))
    spec = "mixture(tit_for_tat, noisy(grim, 0.2))"
    settings = {"gamma": GAMMA, "continuation": continuation}
    check_values(game, PAYOFFS, 3, [spec], [other], **settings)


def test_a_truncated_game_is_worth_its_rewards_until_then():
    game = make_game("matrix(rounds=10, max_steps=4)")
    assert solve(game, 0, ["always_c"]).value == 20


# -- known values ----------------------------------------------------------------------

KNOWN = {
    # nine times 3, and 5 for the last defection, which cannot be punished
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
    value = solve(game, 0, [other]).value
    assert value == pytest.approx(KNOWN[table, other], abs=1e-9)


def test_inferred_types_are_worth_less_than_observed_ones():
    """One round of chicken against always_c or always_d: observed, 4 or 1; otherwise 2."""
    game = make_game("matrix(table=chicken, rounds=1)")
    other = "mixture(always_c, always_d)"
    values = [solve(game, 0, [other], know=know).value for know in KNOW]
    assert values == pytest.approx([2.5, 2])


def layer_sizes(reply):
    return [len(layer.obs) for layer in reply.layers]


def test_equal_positions_are_merged():
    """Against tit_for_tat, of 4 ** t histories those with the same last joint action."""
    assert layer_sizes(solve(PD, 0, ["random"])) == [1, 4, 4]
    assert layer_sizes(solve(PD, 0, ["tit_for_tat"])) == [1, 2, 4]


def test_equal_memories_and_beliefs_are_merged():
    """Equal counts of heads and tails, and the same last joint action."""
    game = make_game("matrix(table=matching_pennies, rounds=9, memory=0)")
    reply = solve(game, 0, ["fictitious_play"])
    assert layer_sizes(reply) == list(range(1, 10))
    other = "mixture(fictitious_play, random)"
    reply = solve(game, 0, [other], know="belief")
    assert layer_sizes(reply)[-1] < 500


# -- OpenSpiel -------------------------------------------------------------------------


@functools.cache
def openspiel_value(spec):
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
def test_values_are_those_of_openspiels_best_response(spec):
    expected = openspiel_value(spec)
    game = make_game("openspiel:" + spec)
    for know in KNOW:
        value = solve(game, 0, ["random"], know=know).value
        assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "other", ["noisy(tit_for_tat, 0.3)", "mixture(grim, always_c)"]
)
def test_a_repeated_game_of_openspiel_equals_ours(other):
    """A host game and a compiled one with the same rules, with players that remember."""
    pyspiel = pytest.importorskip("pyspiel")
    stage = pyspiel.load_matrix_game("matrix_pd")
    payoffs = stage.row_utilities(), stage.col_utilities()
    compiled = make_game("matrix", payoffs=payoffs, rounds=3)
    host = make_game(
        "openspiel:repeated_game", stage_game="matrix_pd()", num_repetitions=3
    )
    player = make_player(other, compiled)
    for know in KNOW:
        expected = solve(compiled, 0, [player], know=know, gamma=GAMMA).value
        value = solve(host, 0, [player], know=know, gamma=GAMMA).value
        assert value == pytest.approx(expected)


def test_all_outcomes_of_an_openspiel_game_are_listed():
    pytest.importorskip("pyspiel")
    game = make_game("openspiel:goofspiel(num_cards=3, points_order=random)")
    first = game.first_states()
    np.testing.assert_allclose(first.probability, [1 / 3] * 3)
    state, actions = first.state[0], np.array([0, 1])
    after = game.outcomes(state, actions)
    np.testing.assert_allclose(after.probability, [1 / 2] * 2)
    drawn = [game.step(state, actions, jax.random.key(s))[0] for s in range(40)]
    keys = set(map(game.state_key, drawn))
    assert keys == set(map(game.state_key, after.state))
    assert game.state_key(state) not in keys


# -- outcomes --------------------------------------------------------------------------


def row(tree, k):
    return jax.device_put(jax.tree.map(lambda x: np.asarray(x)[k], tree))


def test_a_matrix_game_has_one_outcome():
    state, actions = row(PD.first_states().state, 0), np.array([0, 1], np.int32)
    outcomes = PD.outcomes(state, actions)
    after, shown = PD.step(state, actions, jax.random.key(5))
    assert outcomes.probability.tolist() == [1]
    jax.tree.map(
        np.testing.assert_array_equal,
        row((outcomes.state, outcomes.shown), 0),
        (after, shown),
    )


def test_a_matrix_game_with_continuation_has_two_outcomes():
    game = make_game("matrix(continuation=0.75, max_steps=2)")
    state = row(game.first_states().state, 0)
    outcomes = game.outcomes(state, np.array([0, 1], np.int32))
    assert outcomes.probability.tolist() == [0.75, 0.25]
    assert outcomes.shown.terminated.all(1).tolist() == [False, True]
    assert outcomes.shown.reward.tolist() == [[0, 5], [0, 5]]
    over = row(outcomes.state, 1)
    after = game.outcomes(over, np.array([1, 1], np.int32))
    assert after.probability.tolist() == [1, 0]
    assert after.shown.reward[0].tolist() == [0, 0]
    assert bool(after.state.over[0])


def test_a_game_that_draws_must_list_its_outcomes():
    game = make_game("matrix(continuation=0.75)")
    state = row(game.first_states().state, 0)
    with pytest.raises(
        ValueError,
        match=r"expected a method `outcomes",
    ):
        Game.outcomes(game, state, np.array([0, 0], np.int32))


# -- logged play -----------------------------------------------------------------------

NOISY = "noisy(tit_for_tat, 0.2)"
LOGGED = [
    ("matrix(rounds=4)", NOISY, "types"),
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


def discounted(rewards):
    """[E]: of rewards [E, T]."""
    return (GAMMA ** np.arange(rewards.shape[1]) * rewards).sum(1)


def assert_mean(values, expected):
    """The mean of values is within five standard errors of `expected`."""
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) <= 5 * error + 1e-6


def logged(spec, other):
    """200 episodes of `random` with `other`."""
    return played(spec, ("random", other), 200)


@pytest.mark.parametrize(("spec", "other", "know"), LOGGED)
def test_decisions_agree_with_the_solution(spec, other, know):
    reply = solve(make_game(spec), 0, [other], gamma=GAMMA, know=know)
    episodes = logged(spec, other)
    value, q = decisions = reply.decisions(episodes)
    acted = episodes.acted[:, :, 0]
    legal = np.asarray(episodes.legal)[:, :-1, 0]
    assert np.array_equal(~np.isnan(value), acted)
    np.testing.assert_array_equal(value[acted], q.max(2)[acted])
    np.testing.assert_array_equal(np.isneginf(q[acted]), ~legal[acted])
    if len(reply.layers[0].obs) == 1:
        np.testing.assert_allclose(value[:, 0], reply.value, rtol=1e-12)
    regret = decisions.regret(episodes.action[:, :, 0])
    assert (regret[acted] >= 0).all() and (regret[~acted] == 0).all()
    assert regret.max() > 0
    # Reward plus regret has the best reply's value in expectation.
    reward = np.asarray(episodes.reward)[:, :, 0]
    assert_mean(discounted(reward + regret), reply.value)


def test_decisions_with_observed_modes():
    """After the switch to always_d, defection earns 1 a round."""
    game = make_game("matrix(rounds=5)")
    other = "switching(tit_for_tat, always_d, random=4)"
    reply = solve(game, 0, [other], gamma=GAMMA)
    lineup = seat_players(game, ["random", other], 600, 0)
    play_log = play(game, lineup, 0, watch=0)
    modes = play_log.modes[:, :, 1:]
    decisions = reply.decisions(play_log.episodes, modes=modes)
    changed = modes[:, :, 0] == 1
    assert changed.any(0).all() and not changed.all(0)[:3].any()
    value = (1 - GAMMA ** (5 - np.arange(5))) / (1 - GAMMA)
    expected = np.broadcast_to(value, changed.shape)[changed]
    np.testing.assert_allclose(decisions.value[changed], expected)
    action = np.asarray(play_log.episodes.action)[:, :, 0]
    reward = np.asarray(play_log.episodes.reward)[:, :, 0]
    assert_mean(discounted(reward + decisions.regret(action)), reply.value)


def test_the_share_by_regret_is_that_by_returns_with_less_noise():
    reply = solve(PD4, 0, [NOISY], gamma=GAMMA)
    episodes = logged("matrix(rounds=4)", NOISY)
    decisions = reply.decisions(episodes)
    action = np.asarray(episodes.action)[:, :, 0]
    lost = decisions.lost(action, GAMMA)
    expected = [
        sum(GAMMA**t * r for t, r in enumerate(regrets))
        for regrets in decisions.regret(action).tolist()
    ]
    np.testing.assert_allclose(lost, expected, rtol=1e-12)
    returns = discounted(np.asarray(episodes.reward)[:, :, 0])
    share, error = decisions.share(action, GAMMA), returns.std() / reply.value
    assert 0 < share < 1
    ratio = returns.mean() / reply.value
    assert abs(share - ratio) <= 4 * error / np.sqrt(len(returns))
    assert lost.std() < returns.std()
    best = np.nan_to_num(decisions.q, nan=-np.inf).argmax(2)
    assert decisions.share(best, GAMMA) == 1


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_share_of_nothing_is_refused(value):
    decisions = Decisions(np.full((3, 2), value), np.zeros((3, 2, 2)))
    with pytest.raises(
        ValueError, match=r"at the first step=(0|nan): expected more than 0"
    ):
        decisions.share(np.zeros((3, 2), int), GAMMA)


class BestAction(ScriptedPlayer):
    """Takes the best action of the position with the closest observation."""

    obs: jax.Array  # [P, *obs_shape]
    best: jax.Array  # [P] int32
    name: str = eqx.field(static=True, default="best_action")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        distance = abs(self.obs - obs).reshape(len(self.obs), -1).sum(1)
        best = self.best[jnp.argmin(distance)]
        return jax.nn.one_hot(best, legal.shape[-1])


def test_the_best_reply_has_no_regret():
    reply = solve(PD4, 0, [NOISY])
    obs = np.concatenate([layer.obs[:, 0] for layer in reply.layers])
    best = np.concatenate([q[:, 0].argmax(1) for q in reply.q])
    player = BestAction(obs=jax.device_put(obs), best=jax.device_put(best))
    lineup = seat_players(PD4, [player, NOISY], 200, 0)
    episodes = play(PD4, lineup, 0).episodes
    regret = reply.decisions(episodes).regret(episodes.action[:, :, 0])
    assert regret.max() == 0
    assert_mean(np.asarray(episodes.reward)[:, :, 0].sum(1), reply.value)


def test_decisions_of_the_second_of_three_seats():
    game = make_game("matrix", payoffs=THREE, rounds=3)
    others = ["tit_for_tat", "noisy(win_stay_lose_shift, 0.2)"]
    reply = solve(game, 1, others)
    last = make_player(others[1], game, 2)
    lineup = seat_players(game, [others[0], "random", last], 100, 0)
    episodes = play(game, lineup, 0).episodes
    decisions = reply.decisions(episodes, np.ones(100, int))
    np.testing.assert_allclose(decisions.value[:, 0], reply.value)
    with pytest.raises(
        ValueError, match=r"seats=\[0\] for a best reply of seat 1: expected"
    ):
        reply.decisions(episodes, np.zeros(100, int))


# -- errors ----------------------------------------------------------------------------


def test_play_with_other_players_is_refused():
    reply = solve(PD4, 0, ["grim"])
    expected = r"the actions \[\d, \d\] at step \d are impossible: expected first episodes of matrix with grim"
    with pytest.raises(ValueError, match=expected):
        reply.decisions(logged("matrix(rounds=4)", NOISY))


def test_play_of_another_game_is_refused():
    longer = solve(make_game("matrix(rounds=5)"), 0, ["random"])
    expected = "episode 0 cannot reach its observation at step 1"
    with pytest.raises(ValueError, match=expected):
        longer.decisions(logged("matrix(rounds=4)", NOISY))


def test_a_log_without_observations_is_refused():
    episodes = logged("matrix(rounds=4)", NOISY)
    none = np.zeros((*episodes.obs.shape[:3], 0), np.float32)
    lean = eqx.tree_at(lambda e: e.obs, episodes, none)
    with pytest.raises(ValueError, match="a lean log has none"):
        solve(PD4, 0, ["grim"]).decisions(lean)


def test_decisions_against_hidden_modes_require_modes():
    reply = solve(PD4, 0, ["mixture(grim, always_c)"])
    with pytest.raises(
        ValueError, match=r"modes=None .* hidden: expected know='belief'"
    ):
        reply.decisions(logged("matrix(rounds=4)", NOISY))


class NoDistribution(Player):
    """Gives no action distribution."""

    name: ClassVar[str] = "no_distribution"
    version: ClassVar[int] = 1

    def start(self):
        return ()

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"seat": 2}, "seat=2 of matrix: expected 0 to 1"),
        ({"others": []}, "expected 1, one for each other seat"),
        ({"others": ["grim", "grim"]}, "expected 1, one for each other seat"),
        (
            {"others": [NoDistribution()]},
            "no_distribution gives no exact action distribution",
        ),
        ({"gamma": 1.5}, "expected a discount, 0 to 1"),
        ({"know": "all"}, "know='all': expected 'types' or 'belief'"),
        ({"limit": 8}, "more than 8 positions of matrix can be reached"),
        (
            {
                "game": make_game(
                    "stag_hunt(height=2, width=2, hunters=2, hares=1)"
                )
            },
            "game=stag_hunt: expected a game whose rules list every first state",
        ),
    ],
)
def test_wrong_settings_are_refused(settings, expected):
    settings = {"game": PD, "seat": 0, "others": ["random"]} | settings
    with pytest.raises(ValueError, match=expected):
        solve(**settings)
