"""A recorded game has shapes and names, and says in one sentence what cannot be done."""

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.games.recorded import RecordedGame
from bestreply.games.registry import spec_of_game

SENTENCE = r"game=recorded: expected a game with rules; .*'bestreply run --data"


def test_its_name_makes_it_again():
    game = RecordedGame(
        players=3,
        actions=("a", "b"),
        obs=(4, 2),
        max_steps=9,
        dtype="uint8",
        roles=("x", "y", "y"),
        seat_actions=(2, 1, 1),
        goals=("g", "none"),
        zero_one=True,
    )
    assert br.make_game(str(spec_of_game(game))) == game
    assert br.make_game("recorded", **game.settings) == game
    assert game.obs_shape == (4, 5) and game.binary.shape == (4, 5)


def test_settings_that_say_nothing_are_left_out():
    game = br.make_game("recorded(players=2, actions=3, obs=(5,), max_steps=7)")
    assert set(game.settings) == {"players", "actions", "obs", "max_steps"}
    assert game.action_names == ("0", "1", "2") and game.homogeneous
    assert game.seat_in(np.zeros(5)) is None


@pytest.mark.parametrize(
    "spec",
    [
        "recorded(players=0)",
        "recorded(actions=())",
        "recorded(actions=('a', 'a'))",
        "recorded(obs=())",
        "recorded(obs=3)",
        "recorded(dtype='float64')",
        "recorded(goals=('a',))",
        "recorded(roles=('a',))",
        "recorded(seat_actions=(1, 3))",
        "recorded(zero_one=1)",
        "recorded(max_steps=0)",
        "recorded(players=1000, obs=(1000000,))",
    ],
)
def test_wrong_settings_are_refused(spec):
    with pytest.raises(ValueError, match=r"=.*: expected"):
        br.make_game(spec)


def test_it_cannot_be_played_or_solved(tmp_path):
    game = br.make_game("recorded()")
    players = ["random", "random"]
    attempts = [
        lambda: game.reset(jax.random.key(0)),
        lambda: game.step((), np.zeros(2), jax.random.key(0)),
        lambda: br.collect(game, players, 1, 0, path=tmp_path / "data"),
        lambda: br.evaluate(game, players, 1, 0),
        lambda: br.exact.best_reply(game, seat=0, others=["random"]),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=SENTENCE):
            attempt()
    assert not (tmp_path / "data").exists()
