"""Distributions of scripted players of grid games: boards by hand, a reference."""

import jax
import numpy as np
import pytest
from boards import distribution, observe

from bestreply import make_game, make_player
from tests.shared import compiled

HUNT = make_game("stag_hunt(height=4, width=4, hunters=3, stags=2, hares=2)")
SNOW = make_game("snowdrift(height=4, width=4)")
THIRD, SIXTH = pytest.approx(1 / 3), pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "drawing, expected",
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
        ),  # over targets, then over axes
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
        ),  # it ignores hares
        (". . . ./ . 0S . ./ . . . ./ . . . .", {"HUNT_STAG": 1}),
        (". . . ./ . 012S . ./ . . . ./ . . . S", {"HUNT_STAG": 1}),
        (". . . ./ . 0HS . ./ . . . ./ . . . .", {"HUNT_STAG": 1}),
        (
            ". . . ./ . 0H . ./ . S . ./ . . . .",
            {"DOWN": 1},
        ),  # it does not take the hare
        (
            "0 # S ./ . . . ./ . . . ./ . . . .",
            {"DOWN": 1},
        ),  # the move is illegal: any legal move
        (
            ". . . ./ . 0 # S/ . . . ./ . . . .",
            {"UP": THIRD, "DOWN": THIRD, "LEFT": THIRD},
        ),
        (  # half of the drawn moves are illegal
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
def test_nearest_stag(drawing, expected):
    obs = observe(HUNT, drawing)
    assert (
        distribution(HUNT, make_player("nearest_stag", HUNT), obs) == expected
    )


@pytest.mark.parametrize(
    "drawing, expected",
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
def test_nearest_hare(drawing, expected):
    obs = observe(HUNT, drawing)
    assert (
        distribution(HUNT, make_player("nearest_hare", HUNT), obs) == expected
    )


@pytest.mark.parametrize(
    "name, drawing, expected",
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
def test_players_of_the_snowdrift_game(name, drawing, expected):
    obs = observe(SNOW, drawing)
    assert distribution(SNOW, make_player(name, SNOW), obs) == expected


# -- beside a reference, on random boards ------------------------------------

MOVES = {"UP": (-1, 0), "DOWN": (1, 0), "LEFT": (0, -1), "RIGHT": (0, 1)}


def cells_of(plane):
    return [tuple(map(int, cell)) for cell in np.argwhere(plane > 0.5)]


def reference_nearest(game, obs, legal, kind):
    """The rule of nearest_stag and nearest_hare (docs/players.md) in plain Python."""
    names, take = game.action_names, game.takers[kind]
    allowed = [name for name, ok in zip(names, legal, strict=True) if ok]
    own = cells_of(obs[..., 0])
    things = cells_of(obs[..., game.num_players + 1 + kind])
    if not own or not things:
        return {name: (name in allowed) / len(allowed) for name in names}
    if own[0] in things:
        return {name: float(name == take) for name in names}
    row, column = own[0]
    distances = [abs(r - row) + abs(c - column) for r, c in things]
    nearest = [
        cell
        for cell, distance in zip(things, distances, strict=True)
        if distance == min(distances)
    ]
    probs = dict.fromkeys(names, 0.0)
    for r, c in nearest:
        moves = [] if r == row else ["DOWN" if r > row else "UP"]
        moves += [] if c == column else ["RIGHT" if c > column else "LEFT"]
        for move in moves:
            legal_moves = [m for m in MOVES if m in allowed] or allowed
            chosen = [move] if move in allowed else legal_moves
            for m in chosen:
                probs[m] += 1 / len(nearest) / len(moves) / len(chosen)
    return probs


@pytest.mark.parametrize(
    "name, kind", [("nearest_stag", 0), ("nearest_hare", 1)]
)
def test_nearest_matches_the_reference_on_boards_with_blocks(name, kind):
    game = make_game(
        "stag_hunt(height=5, width=6, hunters=3, stags=3, hares=3, blocks=4)"
    )
    player = make_player(name, game)
    keys = jax.random.split(jax.random.key(0), 100)
    _, shown = compiled(game.reset, over=0)(keys)
    obs, legal = (
        np.asarray(x).reshape(300, *x.shape[2:])
        for x in (shown.obs, shown.legal)
    )
    policy = compiled(type(player).policy, over=(None, None, 0, 0))
    probs = np.asarray(policy(player, (), obs, legal))
    reference = np.array(
        [
            list(reference_nearest(game, o, m, kind).values())
            for o, m in zip(obs, legal, strict=True)
        ]
    )
    np.testing.assert_allclose(probs, reference, atol=1e-6)
    # boards with one best move and boards with several are included
    assert (probs.max(1) == 1).any() and ((probs > 0).sum(1) >= 3).any()
