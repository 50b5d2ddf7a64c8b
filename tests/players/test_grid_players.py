"""Exact distributions of the scripted players of grid games, on boards drawn by hand and against slow code."""

import jax
import numpy as np
import pytest
from boards import distribution, observe

from bestreply import make_game, make_player

HUNT = make_game("stag_hunt(height=4, width=4, hunters=3, stags=2, hares=2)")
SNOW = make_game("snowdrift(height=4, width=4)")
THIRD, SIXTH = pytest.approx(1 / 3), pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "drawing, wanted",
    [
        ("0 . S ./ . . . ./ . . . ./ . . . .", {"RIGHT": 1}),
        (". . . ./ . . S ./ . . . ./ . . 0 .", {"UP": 1}),
        (
            "0 . . ./ . S . ./ . . . ./ . . . .",
            {"RIGHT": 0.5, "DOWN": 0.5},
        ),  # a tie between axes
        (
            "0 . S ./ . S . ./ . . . ./ . . . .",
            {"RIGHT": 0.75, "DOWN": 0.25},
        ),  # targets first, then axes
        (
            ". S . ./ S 0 S ./ . S . ./ . . . .",
            {"UP": 0.25, "DOWN": 0.25, "LEFT": 0.25, "RIGHT": 0.25},
        ),
        (
            "0 S . ./ . . . ./ . . . ./ . S . .",
            {"RIGHT": 1},
        ),  # only a nearest one counts
        (
            "0 H . ./ . . . ./ S . . ./ . . . .",
            {"DOWN": 1},
        ),  # hares are nothing to it
        (". . . ./ . 0S . ./ . . . ./ . . . .", {"HUNT_STAG": 1}),
        (". . . ./ . 012S . ./ . . . ./ . . . S", {"HUNT_STAG": 1}),
        (". . . ./ . 0HS . ./ . . . ./ . . . .", {"HUNT_STAG": 1}),
        (
            ". . . ./ . 0H . ./ . S . ./ . . . .",
            {"DOWN": 1},
        ),  # not the hare it stands on
        (
            "0 # S ./ . . . ./ . . . ./ . . . .",
            {"DOWN": 1},
        ),  # the step is illegal: any legal move
        (
            ". . . ./ . 0 # S/ . . . ./ . . . .",
            {"UP": THIRD, "DOWN": THIRD, "LEFT": THIRD},
        ),
        (  # half of the time the step drawn is illegal
            ". . . ./ . 0 # ./ . . S ./ . . . .",
            {"DOWN": pytest.approx(0.5 + 0.5 / 3), "UP": SIXTH, "LEFT": SIXTH},
        ),
        ("0 # S ./ # . . ./ . . . ./ . . . .", {"STAY": 1}),  # walled in
        (
            "0H # S ./ # . . ./ . . . ./ . . . .",
            {"STAY": 0.5, "HUNT_HARE": 0.5},
        ),
        (
            ". . . ./ . 0H . ./ . . . ./ . . . H",
            dict.fromkeys(
                ("UP", "DOWN", "LEFT", "RIGHT", "STAY", "HUNT_HARE"), SIXTH
            ),
        ),
        (
            "0 . . ./ . . . ./ . . . ./ . . . .",
            {"DOWN": THIRD, "RIGHT": THIRD, "STAY": THIRD},
        ),  # no prey at all
        (". 1 . ./ . S . ./ . . . ./ . . . .", {"STAY": 1}),  # it has left
    ],
)
def test_nearest_stag(drawing, wanted):
    obs = observe(HUNT, drawing.replace("/", "\n"))
    assert distribution(HUNT, make_player("nearest_stag", HUNT), obs) == wanted


@pytest.mark.parametrize(
    "drawing, wanted",
    [
        ("0 . H ./ . H . ./ . . . ./ S . . .", {"RIGHT": 0.75, "DOWN": 0.25}),
        (". . . ./ . 0SH . ./ . . . ./ . . . .", {"HUNT_HARE": 1}),
        (". . . ./ . 0S . H/ . . . ./ . . . .", {"RIGHT": 1}),
        (
            ". . . ./ . 0S . ./ . . . ./ . . . .",
            dict.fromkeys(
                ("UP", "DOWN", "LEFT", "RIGHT", "STAY", "HUNT_STAG"), SIXTH
            ),
        ),
        (". . . ./ . . # H/ . . # 0/ . . . .", {"UP": 1}),
    ],
)
def test_nearest_hare(drawing, wanted):
    obs = observe(HUNT, drawing.replace("/", "\n"))
    assert distribution(HUNT, make_player("nearest_hare", HUNT), obs) == wanted


@pytest.mark.parametrize(
    "name, drawing, wanted",
    [
        (
            "nearest_drift",
            "0 . D ./ . D . ./ . . . ./ . . . .",
            {"RIGHT": 0.75, "DOWN": 0.25},
        ),
        ("nearest_drift", "0D . D ./ . D . ./ . . . ./ . . . .", {"REMOVE": 1}),
        (
            "nearest_drift",
            "0 . . ./ . . . ./ . . . ./ . . . .",
            {"DOWN": THIRD, "RIGHT": THIRD, "STAY": THIRD},
        ),
        (
            "never_remove",
            "0D D . ./ . . . ./ . . . ./ . . . .",
            {"DOWN": THIRD, "RIGHT": THIRD, "STAY": THIRD},
        ),
        (
            "random",
            "0D # . ./ . . . ./ . . . ./ . . . .",
            {"DOWN": THIRD, "STAY": THIRD, "REMOVE": THIRD},
        ),
        (
            "always(REMOVE)",
            "0D . . ./ . . . ./ . . . ./ . . . .",
            {"REMOVE": 1},
        ),
        (
            "always(REMOVE)",
            "0 # D ./ . . . ./ . . . ./ . . . .",
            {"DOWN": 0.5, "STAY": 0.5},
        ),  # illegal: uniform
    ],
)
def test_players_of_the_snowdrift_game(name, drawing, wanted):
    obs = observe(SNOW, drawing.replace("/", "\n"))
    assert distribution(SNOW, make_player(name, SNOW), obs) == wanted


# -- beside slow code, on boards that nobody picked ------------------------------------------------------------

MOVES = {"UP": (-1, 0), "DOWN": (1, 0), "LEFT": (0, -1), "RIGHT": (0, 1)}


def slow_nearest(game, obs, legal, kind):
    """games.md's words, one after another."""
    names, take = game.action_names, game.takers[kind]
    allowed = [name for name, ok in zip(names, legal, strict=True) if ok]
    me = [tuple(map(int, c)) for c in np.argwhere(obs[..., 0] > 0.5)]
    there = [
        tuple(map(int, c))
        for c in np.argwhere(obs[..., game.num_players + 1 + kind] > 0.5)
    ]
    chances = dict.fromkeys(names, 0.0)
    if not me or not there:
        return {name: (name in allowed) / len(allowed) for name in names}
    (row, column) = me[0]
    if me[0] in there:
        return {name: float(name == take) for name in names}
    far = [abs(r - row) + abs(c - column) for r, c in there]
    nearest = [
        cell for cell, d in zip(there, far, strict=True) if d == min(far)
    ]
    for r, c in nearest:
        vertical = [] if r == row else ["DOWN" if r > row else "UP"]
        horizontal = [] if c == column else ["RIGHT" if c > column else "LEFT"]
        for move in vertical + horizontal:
            chance = 1 / len(nearest) / len(vertical + horizontal)
            if move in allowed:
                chances[move] += chance
                continue
            instead = [m for m in MOVES if m in allowed] or allowed
            for m in instead:
                chances[m] += chance / len(instead)
    return chances


@pytest.mark.parametrize(
    "name, kind", [("nearest_stag", 0), ("nearest_hare", 1)]
)
def test_nearest_is_what_the_rules_say_on_boards_with_blocks(name, kind):
    game = make_game(
        "stag_hunt(height=5, width=6, hunters=3, stags=3, hares=3, blocks=4)"
    )
    player = make_player(name, game)
    _, shown = jax.jit(jax.vmap(game.reset))(
        jax.random.split(jax.random.key(0), 100)
    )
    obs, legal = (
        np.asarray(x).reshape(300, *x.shape[2:])
        for x in (shown.obs, shown.legal)
    )
    probs = np.asarray(
        jax.jit(jax.vmap(lambda o, m: player.policy((), o, m)))(obs, legal)
    )
    slow = np.array(
        [
            list(slow_nearest(game, o, m, kind).values())
            for o, m in zip(obs, legal, strict=True)
        ]
    )
    np.testing.assert_allclose(probs, slow, atol=1e-6)
    assert (probs.max(1) == 1).any() and (
        (probs > 0).sum(1) >= 3
    ).any()  # easy and hard boards were there
