"""Pictures that a game draws itself, in matches: the right state at every step, small, never fatal."""

import base64
import io
import re

import jax
import numpy as np
import pytest
from PIL import Image

from bestreply import make_game, make_player
from bestreply.analysis import frames
from bestreply.analysis.trajectories import (
    MAX_DETAILED,
    play_matches,
    record_matches,
)
from bestreply.games.host import HostGame
from bestreply.simulation.replayed import states_of

CHASE = "tests.host_env:Chase"
HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"
)


def played(game, others, seed, episodes=1, seat=0):
    agent = make_player("random", game)
    return play_matches(game, agent, [others], seed, episodes, seat)[1]


def first_pixel(svg):
    text = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)[0]
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return image.convert("RGB").getpixel((0, 0))


@pytest.mark.parametrize("number", [0, 2])
def test_states_of_a_compiled_game_are_those_of_the_log(number):
    log = played(HUNT, ["random"], 5, 3).episodes
    episode = jax.tree.map(lambda x: x[number], log)
    states = list(states_of(HUNT, 5, number, episode))
    assert len(states) == int(episode.length)
    for t, state in enumerate(states):
        seen = HUNT.look(state, np.zeros(2, np.float32)).obs
        assert np.array_equal(np.asarray(seen), episode.obs[t])
    assert len(list(states_of(HUNT, 6, number, episode))) < len(states)


def test_states_of_an_environment_are_those_of_the_log():
    game = make_game(f"{CHASE}(tired=5)")
    log = played(game, ["random", "random"], 3, 2).episodes
    episode = jax.tree.map(lambda x: x[1], log)
    states = list(states_of(game, 3, 1, episode))
    assert len(states) == int(episode.length)
    for t, state in enumerate(states):
        present = state.shown.present
        assert np.array_equal(state.shown.obs[present], episode.obs[t][present])


def test_a_match_shows_what_the_environment_draws():
    """The environment's picture has the number of the step as its colour."""
    game = make_game(CHASE)
    agent = make_player("always(2)", game)
    (match,) = record_matches(
        game, agent, [["always(2)", "always(0)"]], 1, seat=1
    )
    assert len(match["steps"]) == game.max_steps
    for t, step in enumerate(match["steps"]):
        assert first_pixel(step["picture"]) == (t, t, t)
        assert step["text"].startswith("[")


@pytest.mark.parametrize("drawn", ["wrong", "none", "fails"])
def test_a_picture_that_cannot_be_drawn_ends_nothing(
    monkeypatch, caplog, drawn
):
    def frame(self, state):
        if drawn == "fails":
            raise OSError("no display")
        return np.zeros((3, 3)) if drawn == "wrong" else None

    monkeypatch.setattr(HostGame, "frame", frame)
    game = make_game(CHASE)
    agent = make_player("always(2)", game)
    with caplog.at_level("WARNING"):
        (match,) = record_matches(game, agent, [["always(2)", "always(0)"]], 1)
    assert all("image/png" not in s["picture"] for s in match["steps"])
    message = {
        "wrong": "draws float64[3, 3]: expected a picture [H, W, 3] of uint8",
        "none": "",
        "fails": "draws no picture: OSError: no display",
    }[drawn]
    assert message in caplog.text


def test_pictures_of_long_games_stay_small(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3))
    monkeypatch.setattr(HostGame, "frame", lambda *_: noise.astype(np.uint8))
    game = make_game(f"{CHASE}(max_steps=150)")
    agent = make_player("always(2)", game)
    (match,) = record_matches(game, agent, [["always(2)", "always(0)"]], 1)
    pictures = [s["picture"] for s in match["steps"] if "picture" in s]
    assert len(match["steps"]) == 150 and len(pictures) == MAX_DETAILED
    assert "text" in match["steps"][0] and "text" in match["steps"][-1]
    assert sum(map(len, pictures)) < 1.2 * frames.MAX_BYTES


# -- what a match tells of the game ----------------------------------------------


def test_a_match_tells_roles_observations_and_who_left():
    game = make_game(f"{CHASE}(tired=3)")
    agent = make_player("always(1)", game)
    (match,) = record_matches(game, agent, [["always(0)", "random"]], 1)
    assert match["roles"] == ["chaser", "chaser", "runner"]
    assert match["seat_actions"] == [3, 3, 4]
    assert (match["length"], match["end"]) == (8, "truncated")
    fell, tired = match["left"][1:]
    assert match["left"][0] is None and tired == [3, "left"]
    assert fell[1] == "terminated" and fell[0] >= 2
    observed = np.array(match["observed"])
    assert observed.shape == (8, 3)  # without the marks of the seat
    (match,) = record_matches(
        game, agent, [["always(1)", "always(0)"]], 1, seat=2
    )
    assert len(match["steps"]) == 3 and match["left"][2] == [3, "left"]


def test_a_seat_that_is_missing_from_the_start_is_absent():
    game = make_game(f"{CHASE}(small=True)")
    agent = make_player("always(1)", game)
    matches = [
        record_matches(game, agent, [["always(1)", "random"]], seed)[0]
        for seed in range(8)
    ]
    absent = [m["left"][1] == [0, "absent"] for m in matches]
    assert any(absent) and not all(absent)


def test_a_game_of_equal_seats_tells_no_roles():
    agent = make_player("random", HUNT)
    (match,) = record_matches(HUNT, agent, [["random"]], 0)
    assert not {"roles", "seat_actions", "observed"} & match.keys()
