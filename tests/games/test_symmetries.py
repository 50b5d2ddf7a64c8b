"""Transformed steps are steps of the same game."""

import dataclasses

import jax
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
from bestreply.types import ABSENT
from tests.shared import compiled, played

GAME = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6, blocks=1)"
)
SYMMETRIES = GAME.symmetries()
COUNT = len(SYMMETRIES.obs)
INVARIANT = (
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
    players = ("random", "nearest_hare", "nearest_stag")
    episodes = played(GAME, players, 6)
    return fill(episodes), all_indices(episodes)


@pytest.fixture(scope="module")
def transformed(steps):
    """Steps [B, ...], and under every symmetry [S, B, ...]."""
    at = jax.tree.map(np.asarray, gather(*steps))
    one = jax.vmap(transform, (None, None, 0))
    every = jax.jit(jax.vmap(one, (None, 0, None)))
    after = every(SYMMETRIES, np.arange(COUNT, dtype=np.int32), at)
    return at, jax.tree.map(np.asarray, after)


@pytest.fixture(scope="module")
def flat(transformed):
    """Steps under every symmetry, [S * B, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transformed[1])


def test_the_first_symmetry_is_the_identity(transformed):
    at, after = transformed
    for field in dataclasses.fields(at):
        before, result = (getattr(x, field.name) for x in (at, after))
        nan = field.name == "prob"
        rows = result if field.name in INVARIANT else result[:1]
        for row in rows:
            assert np.array_equal(row, before, equal_nan=nan), field.name


def test_legal_actions_and_presence_transform_with_the_observation(flat):
    legal_in = compiled(GAME.legal_in, over=0)
    assert np.array_equal(legal_in(flat.obs), flat.legal)
    assert np.array_equal(GAME.present_in(flat.obs), flat.present)
    continues = ~flat.terminated
    after = np.asarray(legal_in(flat.next_obs))
    assert np.array_equal(after[continues], flat.next_legal[continues])
    assert np.take_along_axis(flat.legal, flat.action[:, None], 1).all()


def test_all_players_move_where_the_transformed_action_leads(flat):
    joint = np.concatenate([flat.action[:, None], flat.others], 1)
    before, after = (
        view.reshape(len(view), 9, -1)[..., :3]  # [S * B, cells, players]
        for view in (flat.obs, flat.next_obs)
    )
    absent = joint == ABSENT
    assert np.array_equal(absent, ~flat.present)
    assert np.array_equal(absent, before.sum(1) == 0)
    moves = ~absent & (joint < 5) & after.any(1)
    leads_to = targets(3, 3)[before.argmax(1), np.where(moves, joint, 0)]
    assert np.array_equal(leads_to[moves], after.argmax(1)[moves])
    assert (moves & (joint < 4)).sum() > 500


def test_players_and_goals_move_with_their_seats(transformed):
    at, after = transformed
    for name in ("player", "goal", "present"):
        before = getattr(at, name)
        for s, others in enumerate(SYMMETRIES.others):
            seats = [0, *(1 + others)]
            assert np.array_equal(getattr(after, name)[s], before[:, seats])


def test_a_window_is_transformed_like_its_steps(steps):
    buffer, index = steps
    index = Index(*(x[:20] for x in index))
    windows = gather_window(buffer, index, 3)
    which = np.array(5, np.int32)
    batch = jax.vmap(transform, (None, None, 0))
    whole = jax.jit(batch)(SYMMETRIES, which, windows)
    single = jax.jit(jax.vmap(batch, (None, None, 0)))(
        SYMMETRIES, which, windows
    )
    pairs = zip(*map(jax.tree.leaves, (whole, single)), strict=True)
    for a, b in pairs:
        assert np.array_equal(a, b, equal_nan=True)


def test_every_symmetry_is_drawn():
    drawn = draw_symmetry(SYMMETRIES, jax.random.key(0), 3200)
    counts = np.bincount(drawn, minlength=COUNT)
    assert len(counts) == 16 and counts.min() > 120 and counts.max() < 290
