"""The dense solver beside slow recursion over the game itself, and against what is known of the games."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import exact, make_game, make_player
from bestreply.exact.grid_players import draw_layouts
from bestreply.exact.positions import number_of, number_positions
from bestreply.games.grid import GridState
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT

SMALL = {
    "a corridor": (
        "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=2)",
        ["nearest_stag"],
    ),
    "two hunters": (
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)",
        ["nearest_stag"],
    ),
    "they stay": (
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3, leave=False)",
        ["noisy(nearest_hare, 0.3)"],
    ),
    "three hunters": (
        "stag_hunt(height=1, width=3, hunters=3, stags=1, hares=1, max_steps=2)",
        ["nearest_stag", "random"],
    ),
    "snowdrift": (
        "snowdrift(height=2, width=2, players=2, drifts=2, max_steps=3)",
        ["nearest_drift"],
    ),
}


@functools.cache
def rules_of(game):
    """The game's own step and look, compiled, what is seen as NumPy arrays: recursion calls them thousands of times."""
    step, look = (
        jax.jit(game.step),
        jax.jit(lambda state: game.look(state, jnp.zeros(game.num_players))),
    )

    def advance(*args):
        after, seen = step(*args)
        return after, jax.device_get(seen)

    return advance, lambda state: jax.device_get(look(state))


@jax.jit
def chances(player, obs, legal):
    return player.policy(player.start(), obs, legal)


def slow_values(game, others, state, time, gamma, own=None):
    """Q [A] at one state by recursion over `game.step`; the best reply's, or that of a player who acts by `own`."""
    advance, look = rules_of(game)
    shown, acts = look(state), []
    for j, player in enumerate(others, start=1):
        probs = np.asarray(
            chances(player, shown.obs[j], shown.legal[j]), np.float64
        )
        acts.append([(a, p) for a, p in enumerate(probs) if p > 0])
    scores = np.full(game.num_actions, -np.inf)
    for action in np.flatnonzero(np.asarray(shown.legal[0])):
        scores[action] = 0
        for combination in itertools.product(*acts):
            joint = np.array([action, *(a for a, _ in combination)], np.int32)
            after, seen = advance(state, joint, jax.random.key(0))
            more = 0.0
            if not (bool(seen.terminated[0]) or time + 1 == game.max_steps):
                q = slow_values(game, others, after, time + 1, gamma, own)
                more = (
                    q.max()
                    if own is None
                    else np.nansum(q * weights(own, seen))
                )
            scores[action] += np.prod([p for _, p in combination]) * (
                float(seen.reward[0]) + gamma * more
            )
    return scores


def weights(player, seen):
    """What `player` does in seat 0; NaN for what it does not do, where Q can be -inf."""
    probs = np.asarray(chances(player, seen.obs[0], seen.legal[0]), np.float64)
    return np.where(probs > 0, probs, np.nan)


def first_states(game, layouts):
    """Every first state on each of `layouts`."""
    nobody, all_there = jnp.zeros(2, bool), jnp.ones(2, bool)
    for layout, *cells in itertools.product(
        layouts, range(game.cells), range(game.cells)
    ):
        things, blocks = (
            jnp.asarray(layout.thing_cell),
            jnp.zeros(game.cells, bool),
        )
        yield GridState(
            jnp.array(cells, jnp.int32),
            nobody,
            blocks,
            things,
            all_there,
            jnp.int32(0),
        )


def solved(name, gamma=0.9):
    spec, others = SMALL[name]
    game = make_game(spec)
    players = [make_player(p, game) for p in others]
    return (
        game,
        players,
        exact.best_reply(game, 0, others, gamma=gamma, layouts=1),
    )


@pytest.mark.parametrize("name", SMALL)
def test_values_of_every_step_are_those_of_slow_recursion(name):
    game, players, reply = solved(name)
    played = play(
        game, seat_players(game, ["random", *players], 2, 5), 5
    ).episodes
    found = reply.decisions(played)
    for episode, step in itertools.product(range(2), range(game.max_steps)):
        if played.action[episode, step, 0] == ABSENT:
            assert (
                np.isnan(found.value[episode, step])
                and np.isnan(found.q[episode, step]).all()
            )
            continue
        state = game.state_in(jnp.asarray(played.obs[episode, step, 0]))
        slow = slow_values(game, players, state, step, 0.9)
        np.testing.assert_allclose(found.q[episode, step], slow, rtol=1e-5)
        assert found.value[episode, step] == found.q[episode, step].max()


def test_the_value_is_the_mean_over_all_first_states():
    game, players, reply = solved("two hunters")
    layouts, every = draw_layouts(game, 12)
    assert every and len(layouts) == 4 * 3
    reply = exact.best_reply(game, 0, ["nearest_stag"], gamma=0.9, layouts=12)
    values = []
    for layout, first, second in itertools.product(layouts, range(4), range(4)):
        cell = jnp.array([first, second], jnp.int32)
        nobody, all_there = jnp.zeros(2, bool), jnp.ones(2, bool)
        state = GridState(
            cell,
            nobody,
            jnp.zeros(4, bool),
            jnp.asarray(layout.thing_cell),
            all_there,
            jnp.int32(0),
        )
        values.append(slow_values(game, players, state, 0, 0.9).max())
    assert (
        reply.value == pytest.approx(np.mean(values), rel=1e-5)
        and reply.stderr == 0
    )


def test_a_scripted_player_in_its_place_is_worth_what_recursion_says():
    game, players, reply = solved("a corridor")
    random = make_player("random", game)
    layouts, _ = draw_layouts(game, 12)
    values = []
    for state in first_states(game, layouts[:2]):
        q = slow_values(game, players, state, 0, 0.9, own=random)
        values.append(q[np.isfinite(q)].mean())
    assert reply.value_of(random, layouts[:2])[0] == pytest.approx(
        np.mean(values), rel=1e-5
    )


def test_return_is_value_less_regret():
    """E[return] = E[V*(s_0)] - E[sum of gamma^t (V* - Q*(a_t))]: the identity that regrets are read by."""
    game, _, reply = solved("they stay", gamma=0.95)
    played = play(
        game,
        seat_players(game, ["random", "noisy(nearest_hare, 0.3)"], 4000, 1),
        1,
    ).episodes
    found, weight = reply.decisions(played), 0.95 ** np.arange(game.max_steps)
    told = found.value[:, 0] - (
        found.regret(played.action[:, :, 0]) * weight
    ).sum(1)
    got = (played.reward[:, :, 0] * weight).sum(1)
    assert abs((told - got).mean()) < 4 * (told - got).std() / np.sqrt(4000)
    assert told.mean() < found.value[:, 0].mean() - 0.05


def test_the_best_reply_in_any_seat():
    game, _, reply = solved("two hunters")
    played = play(
        game,
        seat_players(game, ["random", "nearest_stag"], 40, 2, rotate=True),
        2,
    ).episodes
    found = reply.decisions(played, seats=np.arange(40) % 2)
    alone = reply.decisions(played)
    np.testing.assert_array_equal(found.q[::2], alone.q[::2])
    acted = played.action[1::2, 0, 1]
    assert np.isfinite(
        np.take_along_axis(found.q[1::2, 0], acted[:, None], 1)
    ).all()


def test_modes_told_are_worth_more_than_their_mean_play():
    """A mixture, told: the mean of the replies to its players. A switch at a set step, told: no more than the better of both."""
    game = make_game(SMALL["they stay"][0])
    each = [
        exact.best_reply(game, 0, [p], layouts=12).value
        for p in ("nearest_stag", "random")
    ]
    mixture = exact.best_reply(
        game, 0, ["mixture(nearest_stag, random, weights=(1, 3))"], layouts=12
    ).value
    assert mixture == pytest.approx(0.25 * each[0] + 0.75 * each[1], rel=1e-5)
    late = exact.best_reply(
        game, 0, ["switching(nearest_stag, random, step=3)"], layouts=12
    ).value
    assert late == pytest.approx(each[0], rel=1e-5)  # it never comes in 3 steps
    at_once = exact.best_reply(
        game, 0, ["switching(nearest_stag, random, step=0)"], layouts=12
    ).value
    assert at_once == pytest.approx(each[1], rel=1e-5)


def test_known_values():
    """With 20 steps on 5x5, NS is always met at the stag in time: 5 for half the stag, and both hares."""
    game = make_game(
        "stag_hunt",
        height=5,
        width=5,
        hunters=2,
        stags=1,
        hares=2,
        max_steps=20,
        leave=False,
    )
    assert exact.best_reply(
        game, 0, ["nearest_stag"], layouts=2
    ).value == pytest.approx(7)
    alone = make_game(
        "stag_hunt",
        height=3,
        width=3,
        hunters=2,
        stags=1,
        hares=1,
        max_steps=30,
    )
    assert exact.best_reply(
        alone, 0, ["nearest_stag"], layouts=2
    ).value == pytest.approx(5)


def test_positions_are_numbered_without_gaps():
    game = make_game(
        "stag_hunt", height=2, width=2, hunters=3, stags=1, hares=1, max_steps=3
    )
    positions = number_positions(game)
    numbers = jax.vmap(lambda c, f, t: number_of(game, positions, c, f, t))(
        *map(jnp.asarray, positions[:3])
    )
    np.testing.assert_array_equal(numbers, np.arange(positions.total))
    gone = jnp.array([True, False, False])
    assert (
        number_of(
            game, positions, jnp.zeros(3, jnp.int32), gone, jnp.ones(2, bool)
        )
        == positions.total
    )


def test_what_cannot_be_solved_is_refused():
    large = make_game(
        "stag_hunt",
        height=8,
        width=8,
        hunters=4,
        stags=1,
        hares=4,
        max_steps=35,
    )
    with pytest.raises(
        ValueError, match=r"positions for one layout; expected: at most"
    ):
        exact.best_reply(large, 0, ["nearest_stag"])
    game = make_game(SMALL["two hunters"][0])
    with pytest.raises(
        ValueError, match="2 others for seat 0 of stag_hunt; expected: 1"
    ):
        exact.best_reply(game, 0, ["random", "random"])
    hidden = exact.best_reply(
        game, 0, ["mixture(nearest_stag, random)"], layouts=1
    )
    played = play(
        game, seat_players(game, ["random", "random"], 1, 0), 0
    ).episodes
    assert hidden.kind == "upper bound"
    with pytest.raises(ValueError, match="modes are hidden"):
        hidden.decisions(played)
