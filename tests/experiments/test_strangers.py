"""Generated players: their defining behaviour, exact best replies, and the Bayes player."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bestreply as br
from bestreply.exact.positions import Layout
from bestreply.games.grid import LEFT, RIGHT, STAY
from bestreply.games.stag_hunt import HUNT_HARE, HUNT_STAG
from bestreply.players.zoo import make_player
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play as play_games
from bestreply.types import ABSENT
from experiments.strangers import replies
from experiments.strangers.__main__ import OUT, bayes, summary
from experiments.strangers.players import (
    FAMILIES,
    HELD_OUT,
    KEPT,
    MODULE,
    drawn,
    join,
    players_of,
)
from experiments.strangers.rules import RULES, check_game

SMALL = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=5, leave=False)"
GAME = br.make_game(SMALL)
WIDE = br.make_game(
    "stag_hunt(height=1, width=9, hunters=2, stags=1, hares=2, max_steps=20, leave=False)"
)
KEY = jax.random.key(0)
LAYOUT = Layout(np.zeros(9, bool), np.array([0, 8], np.int32))  # stag, hare


def player(text, game=GAME):
    return make_player(f"{MODULE}:{text}", game)


def observed(own, other, stag=None, hares=(), game=WIDE, time=0):
    """Return what a hunter on the cell `own` observes, and its legal actions."""
    obs = np.zeros((game.cells, len(game.planes)), np.float32)
    obs[own, 0] = obs[other, 1] = 1
    obs[list(hares), 4] = 1
    if stag is not None:
        obs[stag, 3] = 1
    obs[:, -1] = 1 - time / game.max_steps
    obs = obs.reshape(game.obs_shape)
    return obs, np.asarray(game.legal_in(obs))


def actions_of(text, boards, last=None):
    """Return the distributions of a player over consecutive boards."""
    one = player(text, WIDE)
    carry, found = one.start(), []
    last = [ABSENT] + [STAY] * len(boards) if last is None else last
    for (obs, legal), action in zip(boards, last, strict=False):
        carry = one.see(carry, obs, np.array([action]), KEY)
        found.append(np.asarray(one.policy(carry, obs, legal)))
    return np.array(found)


# -- the players -----------------------------------------------------------------


def test_ten_families_of_six_or_more_players_half_of_them_held_out():
    assert len(FAMILIES) == 10
    assert min(map(len, FAMILIES.values())) >= 6
    assert len(set(players_of([*FAMILIES]))) >= 60
    assert sorted([*KEPT, *HELD_OUT]) == sorted(FAMILIES)
    assert len(KEPT) == len(HELD_OUT) == 5


@pytest.fixture(scope="module")
def everyone():
    players = [make_player(name, GAME) for name in players_of([*FAMILIES])]
    return join([*players, *(drawn(GAME, seed) for seed in range(4))])


@pytest.fixture(scope="module")
def tables(everyone):
    return replies.layout_tables(everyone[0], LAYOUT, 0.9)


def test_every_player_is_a_legal_distribution_in_every_position(
    everyone, tables
):
    automata, begins = everyone
    np.testing.assert_allclose(automata.weights.sum(-1), 1, atol=1e-6)
    rules, states = np.asarray(tables.rules), tables.problem.states(slice(None))
    legal = np.asarray(jax.vmap(GAME.legal)(states))[:, 1]
    np.testing.assert_allclose(rules.sum(-1), 1, atol=1e-5)
    assert rules.min() >= 0
    assert not rules[~np.broadcast_to(legal[:, None], rules.shape)].any()
    ends = np.append(begins[1:], len(automata.weights))
    for begin, end in zip(begins, ends, strict=True):
        following = automata.following[begin:end]
        assert begin <= following.min() <= following.max() < end


@pytest.mark.parametrize("goal", ["stag", "hare"])
def test_a_hunter_without_noise_is_that_of_the_library(goal, tables):
    nearest = make_player(f"nearest_{goal}", GAME)
    rule = np.asarray(tables.rules)[:, RULES.index(goal)]

    def policy(state):
        legal = GAME.legal(state)[1]
        return nearest.policy((), GAME.observe(state)[1], legal)

    states = tables.problem.states(slice(None))
    np.testing.assert_allclose(rule, jax.vmap(policy)(states), atol=1e-6)


def test_play_depends_on_the_seed_alone():
    name = f"{MODULE}:follower(lag=1, leash=0)"

    def actions(seed):
        lineup = seat_players(GAME, [name, "random"], 16, seed)
        return play_games(GAME, lineup, seed).episodes.action

    np.testing.assert_array_equal(actions(0), actions(0))
    assert (actions(0) != actions(1)).any()


def test_a_wrong_game_is_refused():
    with pytest.raises(ValueError, match="2 hunters"):
        check_game(br.make_game("stag_hunt(hunters=3)"))


def test_a_follower_goes_to_where_the_other_one_was():
    # The other one moves from 8 to 6 while the follower stands on 7.
    boards = [observed(7, cell) for cell in (8, 7, 6)]
    last = [ABSENT, LEFT, LEFT]
    now, before, two = (
        actions_of(f"follower(lag={lag}, leash=0)", boards, last)[-1].argmax()
        for lag in (0, 1, 2)
    )
    assert (now, before, two) == (LEFT, STAY, RIGHT)


def test_a_follower_takes_what_it_can_beside_the_other_one():
    boards = [observed(4, 4, stag=4)]
    assert actions_of("follower(lag=0, leash=0)", boards)[0, HUNT_STAG] == 1
    boards = [observed(4, 3, stag=8, hares=[4])]
    assert actions_of("follower(lag=0, leash=2)", boards)[0, HUNT_HARE] == 1


def test_a_delayed_player_reacts_after_the_lag():
    # The other one is near the stag (cell 8) at the first step alone.
    boards = [
        observed(4, other, stag=8, hares=[0]) for other in (8, 4, 4, 4, 4)
    ]
    policy = actions_of("delay(lag=2, near=1)", boards)
    assert policy.argmax(1).tolist() == [LEFT, LEFT, RIGHT, LEFT, LEFT]


def test_an_alternator_takes_turns():
    boards = [observed(4, 4, stag=8, hares=[0], time=t) for t in range(8)]
    policy = actions_of("alternator(first=stag, period=3)", boards)
    moves = [RIGHT] * 3 + [LEFT] * 3 + [RIGHT] * 2
    assert policy.argmax(1).tolist() == moves


def test_a_thief_goes_to_the_hare_of_the_other_one():
    near = observed(3, 6, stag=4, hares=[2, 7])
    far = observed(3, 5, stag=4, hares=[2, 8])
    none = observed(3, 5, stag=8)
    policy = actions_of("thief(near=1, then=stag)", [near, far, none])
    assert policy.argmax(1).tolist() == [RIGHT, LEFT, RIGHT]


def test_a_coward_flees_from_a_near_player():
    boards = [observed(4, other, stag=8) for other in (5, 6, 7)]
    policy = actions_of("coward(goal=stag, near=2)", boards)
    assert policy.argmax(1).tolist() == [LEFT, LEFT, RIGHT]


def test_a_stubborn_player_gives_up_for_good_after_its_patience():
    boards = [observed(cell, 1, stag=8, hares=[0]) for cell in (7, 8, 8, 8, 7)]
    policy = actions_of("stubborn(patience=2, then=hare)", boards)
    found = [RIGHT, HUNT_STAG, HUNT_STAG, LEFT, LEFT]
    assert policy.argmax(1).tolist() == found


def test_weights_by_rate_and_by_distance():
    board = [observed(4, 6, stag=8, hares=[0])]
    policy = actions_of("noisy(goal=stag, rate=0.3)", board)[0]
    np.testing.assert_allclose(policy[[LEFT, RIGHT, STAY]], [0.1, 0.8, 0.1])
    policy = actions_of("by_distance(close=hare, reach=8)", board)[0]
    np.testing.assert_allclose(policy[[LEFT, RIGHT]], [0.75, 0.25])


def test_replies_by_plan():
    # Beside a stag hunter far from the stag a hare on the way is worth taking first.
    board = [observed(5, 0, stag=8, hares=[4])]
    assert actions_of("level1(of=stag, rate=0.0)", board)[0].argmax() == LEFT
    # A hare hunter takes the near hare first, so the reply goes for the far one.
    board = [observed(4, 2, hares=[1, 8])]
    assert actions_of("level1(of=hare, rate=0.0)", board)[0].argmax() == RIGHT
    # Random play never comes to the stag: hares alone.
    board = [observed(5, 7, stag=7, hares=[0])]
    assert actions_of("level1(of=noise, rate=0.0)", board)[0].argmax() == LEFT
    # One that replies to a stag hunter comes to the stag: so does level 2.
    board = [observed(5, 6, stag=7)]
    assert actions_of("level2(of=stag, rate=0.0)", board)[0].argmax() == RIGHT
    # One that replies to random play never does.
    board = [observed(5, 6, stag=7, hares=[0])]
    assert actions_of("level2(of=noise, rate=0.0)", board)[0].argmax() == LEFT


# -- exact best replies ----------------------------------------------------------


@pytest.fixture(scope="module")
def q(everyone, tables):
    return np.asarray(replies.solve(everyone[0], tables))


def first_mode(automata, begins, tables, name, position):
    """Return the mode of a player after it has seen the first position."""
    mode = int(begins[players_of([*FAMILIES]).index(f"{MODULE}:{name}")])
    noticed = np.asarray(tables.noticed)[position, automata.watch[mode]]
    return int(automata.following[mode, 0, noticed])


def test_without_memory_values_are_those_of_the_library(everyone, tables, q):
    name = "alternator(first=hare, period=1)"
    best = br.exact.best_reply(GAME, 0, [player(name)], gamma=0.9, layouts=0)
    index = players_of([*FAMILIES]).index(f"{MODULE}:{name}")
    expected = best.tables(LAYOUT)[:, :, 0]  # pyright: ignore[reportAttributeAccessIssue]
    found = q[:, :, everyone[1][index]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    ["delay(lag=1, near=1)", "follower(lag=1, leash=0)", "stubborn(patience=2, then=flee)"],
)  # fmt: skip
def test_with_memory_values_are_those_of_plain_recursion(
    name, everyone, tables, q
):
    one, steps = player(name), 3

    @jax.jit
    def act(carry, obs, last, legal):
        carry = one.see(carry, obs, last[None], KEY)
        return carry, one.policy(carry, obs, legal)

    advance, observe = jax.jit(GAME.advance), jax.jit(GAME.observe)
    legal_in = jax.jit(GAME.legal)
    offset = GAME.max_steps - steps

    @functools.cache
    def value(cells, there, carry, last, left):
        if not left or not any(there):
            return 0.0, ()
        at = np.flatnonzero(
            (np.asarray(tables.problem.positions.cell) == cells).all(1)
            & (np.asarray(tables.problem.positions.remains) == there).all(1)
        )
        states = tables.problem.states(at, GAME.max_steps - left)
        state = jax.tree.map(lambda x: x[0], states)
        legal = np.asarray(legal_in(state))
        mode, policy = act(
            jnp.int32(carry), observe(state)[1], jnp.int32(last), legal[1]
        )
        scores = np.full(GAME.num_actions, -np.inf)
        for own in np.flatnonzero(legal[0]):
            scores[own] = 0
            for other in np.flatnonzero(np.asarray(policy) > 0):
                after, reward = advance(state, np.array([own, other]), KEY)
                later, _ = value(
                    tuple(np.asarray(after.cell).tolist()),
                    tuple(np.asarray(after.thing_present).tolist()),
                    int(mode),
                    int(own),
                    left - 1,
                )
                gain = float(reward[0]) + 0.9 * later
                scores[own] += float(policy[other]) * gain
        return scores.max(), tuple(scores)

    automata, begins = everyone
    for cells in ((1, 0), (8, 4)):
        position = cells[0] * GAME.cells + cells[1]
        _, scores = value(cells, (True, True), 0, ABSENT, steps)
        mode = first_mode(automata, begins, tables, name, position)
        np.testing.assert_allclose(q[offset, position, mode], scores, atol=1e-4)


# -- play ------------------------------------------------------------------------

STARTS = np.arange(81)


def played(focal, everyone, tables, q, name):
    automata, begins = everyone
    index = players_of([*FAMILIES]).index(f"{MODULE}:{name}")
    modes = np.full(len(STARTS), begins[index])
    return replies.play(
        focal, automata, tables, jnp.asarray(q), modes, STARTS[:, None], KEY
    )


@pytest.mark.parametrize("own", ["nearest_stag", "nearest_hare"])
def test_no_player_earns_more_than_the_best_reply(own, everyone, tables, q):
    name = "stubborn(patience=2, then=hare)"
    focal = replies.Plays(make_player(own, GAME))
    found = played(focal, everyone, tables, q, name)
    assert np.min(found.lost) > -1e-5
    # The value less what is lost is what is earned, in expectation.
    error = np.asarray(found.value - found.lost - found.returns)
    assert abs(error.mean()) < 4 * error.std() / len(error) ** 0.5 + 1e-6
    best = played(replies.Knows(), everyone, tables, q, name)
    np.testing.assert_allclose(best.lost, 0, atol=1e-5)
    np.testing.assert_allclose(best.value, found.value)


def test_a_bayes_player_that_can_meet_one_player_alone_is_the_best_reply(
    everyone, tables, q
):
    _, begins = everyone
    name = "follower(lag=1, leash=0)"
    index = players_of([*FAMILIES]).index(f"{MODULE}:{name}")
    one = played(bayes(begins[[index]]), everyone, tables, q, name)
    np.testing.assert_allclose(one.lost, 0, atol=1e-5)


def test_a_bayes_player_infers_which_of_two_it_meets(everyone, tables, q):
    _, begins = everyone
    names = ("noisy(goal=stag, rate=0.1)", "noisy(goal=hare, rate=0.1)")
    at = [players_of([*FAMILIES]).index(f"{MODULE}:{name}") for name in names]
    lost = np.zeros(
        3
    )  # with both in the library, only the first, only the second
    for index, library in enumerate((at, at[:1], at[1:])):
        for name in names:
            focal = bayes(begins[library])
            lost[index] += played(focal, everyone, tables, q, name).lost.mean()
    assert lost[0] < lost[1:].min()


def test_the_page_is_that_of_its_file():
    assert (OUT / "README.md").read_text("utf-8") == summary()
