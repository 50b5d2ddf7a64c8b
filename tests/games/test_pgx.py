# pyright: reportMissingImports=false
"""The adapter beside pgx itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.games import make_game
from bestreply.games.check import check_game
from bestreply.games.registry import spec_of_game
from tests.games.beside_bare import beside

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*player_id.*:DeprecationWarning"),
]

PLAYED = [
    ("tic_tac_toe", {}, 64),
    ("connect_four", {}, 32),
    ("kuhn_poker", {}, 64),
    ("leduc_holdem", {}, 64),
    ("backgammon", {"max_steps": 12}, 16),  # dice
    ("2048", {"max_steps": 12}, 16),  # one player, chance
    ("minatar-breakout", {"max_steps": 40}, 16),  # one player, ends early
    ("sparrow_mahjong", {"max_steps": 40}, 16),  # three players
]


@pytest.mark.parametrize(("name", "settings", "episodes"), PLAYED)
def test_moves_are_those_of_pgx_itself(name, settings, episodes):
    import pgx

    game, env = make_game(f"pgx:{name}", **settings), pgx.make(name)
    seats = game.num_players

    def seen(state):
        views = [env.observe(state, jnp.int32(s)) for s in range(seats)]
        return state, (state, jnp.stack(views))

    def step(state, actions, key):
        return seen(env.step(state, actions[state.current_player], key))

    played = beside(game, lambda key: seen(env.init(key)), step, episodes)
    live, after, (bare, views) = played.live, played.after, played.bare
    kept = views.shape[-1]
    assert game.obs_dtype == views.dtype
    np.testing.assert_array_equal(after.obs[live][..., :kept], views[live])
    np.testing.assert_array_equal(after.reward[live], bare.rewards[live])
    over = bare.terminated | bare.truncated
    np.testing.assert_array_equal(
        after.terminated[live], np.repeat(over[live][:, None], seats, 1)
    )
    np.testing.assert_array_equal(
        after.truncated[live],
        (~over & (np.arange(live.shape[1]) == game.max_steps - 1))[live],
    )
    goes_on = live & ~over
    if seats == 1:
        assert kept == game.obs_shape[-1]
        np.testing.assert_array_equal(
            after.legal[goes_on][:, 0], bare.legal_action_mask[goes_on]
        )
        return
    turn = bare.current_player[..., None] == np.arange(seats)
    legal = after.legal[goes_on]
    np.testing.assert_array_equal(legal[..., -1], ~turn[goes_on])
    np.testing.assert_array_equal(
        legal[turn[goes_on]][:, :-1], bare.legal_action_mask[goes_on]
    )
    assert not legal[~turn[goes_on]][:, :-1].any()
    # pgx's mask is all True at the end; nothing of it is shown.
    ended = live & over
    assert ended.any() or "max_steps" in settings
    assert bare.legal_action_mask[ended].all()
    assert after.legal[ended][..., -1].all()
    assert not after.legal[ended][..., :-1].any()
    # Whose turn it is, ego-first.
    told = after.obs[goes_on][..., kept:]
    told = told.reshape(len(told), seats, -1, seats)[:, :, 0]
    for seat in range(seats):
        others = [s for s in range(seats) if s != seat]
        np.testing.assert_array_equal(
            told[:, seat], turn[goes_on][:, [seat, *others]]
        )


def test_settings_make_an_equal_game():
    game = make_game("pgx:go_9x9(komi=6.5)")
    assert game.max_steps == 2 * 81
    assert game.settings["size"] == 9
    assert make_game(str(spec_of_game(game))) == game
    assert hash(make_game(spec_of_game(game))) == hash(game)
    assert make_game("pgx:go_9x9").settings["komi"] == 7.5


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("ludo", "expected one of .*tic_tac_toe"),
        (
            "go_9x9(komy=1)",
            "komy=1: expected a setting of pgx:go_9x9: max_steps",
        ),
        ("backgammon", r"max_steps=None: .* give one"),
        ("tic_tac_toe(max_steps=0)", "max_steps=0: expected an int, 1 or more"),
        ("hex(size=5)", "expected settings that pgx accepts"),
    ],
)
def test_refused_in_a_sentence(spec, text):
    with pytest.raises(ValueError, match=text) as error:
        make_game(f"pgx:{spec}")
    assert "\n" not in str(error.value)


def test_a_board_is_shown_with_stones():
    game = make_game("pgx:tic_tac_toe")
    state, shown = game.reset(jax.random.key(0))
    first = int(np.asarray(shown.legal)[:, -1].argmin())
    actions = np.full(2, 9)
    actions[first] = 4
    _, shown = game.step(state, actions, jax.random.key(1))
    obs = np.asarray(shown.obs)
    assert game.text(obs[first], first) == ". . .\n. x .\n. . ."
    assert game.text(obs[1 - first], 1 - first) == ". . .\n. o .\n. . ."


def test_a_deterministic_game_lists_its_outcome_and_dice_are_refused():
    key = jax.random.key(0)
    game = make_game("pgx:tic_tac_toe")
    state, shown = game.reset(key)
    actions = np.asarray(shown.legal).argmax(1)
    only = game.outcomes(state, actions)
    after = game.step(state, actions, key)[1]
    assert only.probability.tolist() == [1.0]
    np.testing.assert_array_equal(only.shown.obs[0], after.obs)
    game = make_game("pgx:backgammon(max_steps=5)")
    state, shown = game.reset(key)
    with pytest.raises(ValueError, match="uses its random key"):
        game.outcomes(state, np.asarray(shown.legal).argmax(1))


@pytest.mark.parametrize(
    "spec",
    [
        "tic_tac_toe",
        "connect_four",
        "kuhn_poker",
        "minatar-breakout(max_steps=20)",
    ],
)
def test_the_contract_is_kept(spec):
    check_game(make_game(f"pgx:{spec}"), episodes=3)
