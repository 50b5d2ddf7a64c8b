"""Play: logs match the game stepped by hand, from the seed alone, for every chunk."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.players.base import Player
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ActorOutput, ego_order
from tests.shared import compiled

HUNT = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
)
LINEUP = seat_players(HUNT, ["random", "nearest_hare", "nearest_stag"], 6, 5)


class Echo(Player):
    """Repeats the last action of the opponent at ego-first index `j`; first `first`."""

    j: int = eqx.field(static=True)
    first: int = eqx.field(static=True)
    name: str = eqx.field(static=True, default="echo")
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return ()

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        action = jnp.where(others[self.j] == ABSENT, self.first, others[self.j])
        return carry, action.astype(jnp.int32), ActorOutput()


class Stubborn(Player):
    """Chooses the last action, legal or not, from step `at` on."""

    at: int = eqx.field(static=True)
    name: str = eqx.field(static=True, default="stubborn")
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return jnp.int32(0)

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        action = jnp.where(
            carry >= self.at, legal.shape[0] - 1, jnp.argmax(legal)
        )
        return carry + 1, action.astype(jnp.int32), ActorOutput()


def same(one, other):
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True)
    )


# -- compiled games ----------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    return play(HUNT, LINEUP, seed=7).episodes


@partial(jax.jit, static_argnums=2)
def keys_of(seed, match, steps):
    """The keys of one match: of the reset, and [steps] pairs (act, move)."""
    match_key = jax.random.split(jax.random.fold_in(seed, match), 1)[0]
    reset_key, rest = jax.random.split(match_key)
    return reset_key, jax.vmap(jax.random.split)(jax.random.split(rest, steps))


@jax.jit
def step_player(player, carry, shown, key, seat, others, present):
    key = jax.random.fold_in(key, seat)
    return player.step(
        carry,
        shown.obs[seat],
        shown.legal[seat],
        key,
        others=others,
        present=present,
    )


def by_hand(game, lineup, seed, match):
    """One match, a step at a time: a list of (shown, action, prob, after)."""
    n, order = game.num_players, ego_order(game.num_players)
    reset_key, step_keys = keys_of(jax.random.key(seed), match, game.max_steps)
    state, shown = compiled(game.reset)(reset_key)
    carries = [lineup.pool[index].init() for index in lineup.seating[match]]
    last, steps = np.full(n, ABSENT), []
    for act_key, move_key in step_keys:
        action, prob = np.zeros(n, np.int32), np.full(n, np.nan, np.float32)
        for seat, index in enumerate(lineup.seating[match]):
            carries[seat], chosen, output = step_player(
                lineup.pool[index],
                carries[seat],
                shown,
                act_key,
                seat,
                last[order[seat, 1:]],
                np.asarray(shown.present)[order[seat]],
            )
            action[seat] = int(chosen)
            prob[seat] = np.asarray(output.probs)[action[seat]]
        state, after = compiled(game.step)(state, action, move_key)
        after = jax.tree.map(np.asarray, after)
        steps.append((jax.tree.map(np.asarray, shown), action, prob, after))
        if after.terminated.all() or after.truncated:
            break
        acted = steps[-1][0].present & ~steps[-1][0].terminated
        last = np.where(acted, action, ABSENT)
        shown = after
    return steps


def test_compiled_play_matches_the_game_stepped_by_hand(whole):
    absences = 0
    for match in range(6):
        steps = by_hand(HUNT, LINEUP, 7, match)
        logged = jax.tree.map(lambda x, match=match: x[match], whole)
        assert logged.length == len(steps)
        assert (logged.action[len(steps) :] == ABSENT).all()
        for t, (shown, action, prob, after) in enumerate(steps):
            acts = shown.present
            absences += (~acts).sum()
            assert np.array_equal(logged.obs[t], shown.obs)
            assert np.array_equal(logged.obs[t + 1], after.obs)
            assert np.array_equal(logged.legal[t], shown.legal)
            assert np.array_equal(logged.present[t], shown.present)
            actions = np.where(acts, action, ABSENT)
            assert np.array_equal(logged.action[t], actions)
            probs = np.where(acts, prob, np.nan)
            np.testing.assert_allclose(logged.prob[t], probs, rtol=1e-6)
            rewards = np.where(acts, after.reward, 0)
            assert np.array_equal(logged.reward[t], rewards)
            assert np.array_equal(logged.terminated[t], after.terminated & acts)
            assert logged.truncated[t] == bool(after.truncated)
    assert absences > 0  # a hunter had left before the end


def test_results_do_not_depend_on_the_chunk(whole):
    assert same(play(HUNT, LINEUP, seed=7, chunk=4).episodes, whole)


def test_results_depend_on_the_seed(whole):
    other = play(HUNT, LINEUP, seed=2).episodes
    assert not np.array_equal(other.obs[:, 0], whole.obs[:, 0])


def assert_lean(lean, whole):
    """`lean` has everything of `whole` but observations, masks and goals."""
    names = "action prob reward terminated truncated length player present"
    for name in names.split():
        assert np.array_equal(
            getattr(whole, name), getattr(lean, name), equal_nan=name == "prob"
        ), name
    assert lean.obs.size == lean.legal.size == 0


def test_lean_play_is_the_same_play(whole):
    assert_lean(play(HUNT, LINEUP, seed=7, lean=True).episodes, whole)


def test_equal_match_numbers_give_equal_first_states():
    numbers = np.array([5, 6, 7] * 2)
    first = play(HUNT, LINEUP, seed=1, numbers=numbers).episodes.obs[:, 0]
    assert np.array_equal(first[:3], first[3:])
    assert not np.array_equal(first[0], first[1])


def test_an_illegal_action_is_refused_with_its_player():
    lineup = seat_players(HUNT, ["random", Stubborn(at=2), "random"], 6, seed=0)
    message = (
        "action=HUNT_HARE: expected a legal action from stubborn at step 2 in "
        "seat 1 of stag_hunt"
    )
    with pytest.raises(ValueError, match=message) as error:
        play(HUNT, lineup, seed=3, lean=True)
    assert "; legal: " not in str(error.value)  # lean play has no masks


# -- seats -------------------------------------------------------------------


def test_players_receive_the_actions_of_the_others_ego_first():
    """The others of seat 1 are seats 0 and 2; seat 2 repeats a sampled action."""
    game = make_game(
        "matrix", payoffs=np.zeros((3, 3, 3, 3)).tolist(), rounds=3
    )
    players = [
        Echo(0, first=1, name="first"),
        Echo(1, first=0, name="second"),
        "mixture(always(1), always(2))",
    ]
    lineup = seat_players(game, players, 6, seed=0)
    episodes = play(game, lineup, seed=0).episodes
    assert set(episodes.player[:, 2]) == {2, 3}  # logged as the sampled player
    for sampled, actions in zip(
        episodes.player[:, 2] - 1, episodes.action.tolist(), strict=True
    ):
        assert actions == [
            [1, 0, sampled],
            [0, sampled, sampled],
            [sampled, sampled, sampled],
        ]


# -- several episodes of a match ---------------------------------------------


@pytest.mark.parametrize(
    "spec", ["matrix(table=prisoners_dilemma, rounds=3)", "openspiel:matrix_pd"]
)
def test_players_carry_over_what_renew_keeps(spec):
    game = make_game(spec)
    players = [
        "switching(always(0), always(1), episode=2)",
        "switching(always(1), always(0), step=1)",
    ]
    lineup = seat_players(game, players, 2, seed=0)
    episodes = play(game, lineup, seed=0, series=3).episodes
    steps = int(episodes.length[0])
    first, second = np.moveaxis(episodes.action, -1, 0).tolist()
    assert first == [[0] * steps, [0] * steps, [1] * steps] * 2
    assert second == [[1, 0, 0][:steps]] * 6  # starts again


# -- host games --------------------------------------------------------------


def test_goofspiel_matches_openspiel_for_the_logged_actions():
    pyspiel = pytest.importorskip("pyspiel")
    settings = {
        "num_cards": 3,
        "points_order": "descending",
        "returns_type": "total_points",
    }
    game = make_game("openspiel:goofspiel", **settings)
    players = ["random", "mixture(random, always(2))"]
    lineup = seat_players(game, players, 8, seed=0)
    episodes = play(game, lineup, seed=0).episodes
    assert same(play(game, lineup, seed=0, chunk=5).episodes, episodes)
    assert_lean(play(game, lineup, seed=0, lean=True).episodes, episodes)
    for e in range(8):
        state = pyspiel.load_game("goofspiel", settings).new_initial_state()
        for t in range(episodes.length[e]):
            for seat in range(2):
                legal = np.flatnonzero(episodes.legal[e, t, seat]).tolist()
                assert legal == state.legal_actions(seat)
            state.apply_actions(episodes.action[e, t].tolist())
        assert state.is_terminal()
        assert episodes.terminated[e, episodes.length[e] - 1].all()
        np.testing.assert_allclose(
            episodes.reward[e].sum(0), state.returns(), atol=1e-6
        )


def test_an_illegal_action_in_a_host_game_is_refused_with_its_player():
    game = make_game("openspiel:goofspiel(num_cards=3)")
    lineup = seat_players(game, ["random", Stubborn(at=0)], 2, seed=0)
    message = (
        "expected a legal action from stubborn at step 1 in seat 1 of "
        "openspiel:goofspiel; legal: "
    )
    with pytest.raises(ValueError, match=message):
        play(game, lineup, seed=0)
