"""Logged steps under the symmetries of the game: still steps of the same game."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.games.grid import targets
from bestreply.games.symmetries import draw_symmetry, transform
from bestreply.replay.moa_buffer import (
    Index,
    all_indices,
    fill,
    gather,
    gather_window,
)
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT

GAME = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6, blocks=1)"
)
SYMMETRIES = GAME.symmetries()
KEPT = (
    "reward",
    "terminated",
    "truncated",
    "prob",
    "episode",
    "step",
    "seat",
    "valid",
)


@pytest.fixture(scope="module")
def steps():
    episodes = play(
        GAME,
        seat_players(
            GAME, ["random", "nearest_hare", "nearest_stag"], 6, seed=0
        ),
        seed=0,
    ).episodes
    return fill(episodes), all_indices(episodes)


@pytest.fixture(scope="module")
def turned(steps):
    """[S, B, ...]: every step under every symmetry."""
    at = gather(*steps)
    each = jax.vmap(
        lambda which: jax.vmap(lambda one: transform(SYMMETRIES, which, one))(
            at
        )
    )
    return at, jax.jit(each)(jnp.arange(len(SYMMETRIES.obs)))


def test_the_first_changes_nothing(turned):
    at, after = turned
    for field in dataclasses.fields(at):
        before, found = (
            getattr(at, field.name),
            np.asarray(getattr(after, field.name)),
        )
        assert np.array_equal(
            found[0], before, equal_nan=field.name == "prob"
        ), field.name
        if field.name in KEPT:
            assert all(
                np.array_equal(row, before, equal_nan=field.name == "prob")
                for row in found
            )


def test_what_is_legal_and_who_is_there_turn_along(turned):
    _, after = turned
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), after)
    legal_in = jax.jit(jax.vmap(GAME.legal_in))
    assert np.array_equal(legal_in(flat.obs), flat.legal)
    assert np.array_equal(GAME.present_in(flat.obs), flat.present)
    going_on = ~np.asarray(flat.terminated)
    assert np.array_equal(
        legal_in(flat.next_obs)[going_on], flat.next_legal[going_on]
    )
    assert np.take_along_axis(
        np.asarray(flat.legal), np.asarray(flat.action)[:, None], 1
    ).all()


def test_everybody_moves_where_the_turned_action_leads(turned):
    _, after = turned
    flat = jax.tree.map(
        lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), after
    )
    joint = np.concatenate([flat.action[:, None], flat.others], 1)
    planes = (
        v.reshape(len(v), 9, -1)[..., :3] for v in (flat.obs, flat.next_obs)
    )
    moved = 0
    for k, (before, then) in enumerate(zip(*planes, strict=True)):
        for seat in range(3):
            assert (
                (joint[k, seat] == ABSENT)
                == (not flat.present[k, seat])
                == (before[:, seat].sum() == 0)
            )
            if 0 <= joint[k, seat] < 5 and then[:, seat].any():
                moved += joint[k, seat] < 4
                assert (
                    targets(3, 3)[before[:, seat].argmax(), joint[k, seat]]
                    == then[:, seat].argmax()
                )
    assert moved > 500


def test_who_it_was_goes_with_the_seat(turned):
    at, after = turned
    for name in ("player", "goal", "present"):
        before = np.asarray(getattr(at, name))
        for s, others in enumerate(SYMMETRIES.others):
            seats = [0, *(1 + others)]
            assert np.array_equal(getattr(after, name)[s], before[:, seats])


def test_a_window_is_turned_as_its_steps(steps):
    buffer, index = steps
    index = Index(*(x[:20] for x in index))
    windows = gather_window(buffer, index, 3)
    whole = jax.vmap(lambda w: transform(SYMMETRIES, jnp.int32(5), w))(windows)
    single = jax.vmap(
        jax.vmap(lambda one: transform(SYMMETRIES, jnp.int32(5), one))
    )(windows)
    for a, b in zip(
        jax.tree.leaves(whole), jax.tree.leaves(single), strict=True
    ):
        assert np.array_equal(a, b, equal_nan=True)


def test_every_symmetry_is_drawn():
    drawn = np.bincount(
        draw_symmetry(SYMMETRIES, jax.random.key(0), 3200),
        minlength=len(SYMMETRIES.obs),
    )
    assert len(drawn) == 16 and drawn.min() > 120 and drawn.max() < 290
