"""Codes of a future state: what they are shown, against slow code; and who plays found out from where it leads."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.analysis.belief_calibration import code_table
from bestreply.config import CollectConfig, ModelConfig, RunConfig, TrainConfig
from bestreply.opponents.filtering import follow_beliefs
from bestreply.opponents.labels import label_weights
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.subgoals import (
    log_code_posterior,
    segment_ends,
    subgoal_weights,
)
from bestreply.replay.moa_buffer import Index, fill
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import fit_opponents
from bestreply.training.state import initial_train_state, set_units
from bestreply.types import ABSENT

HORIZON = 3
LEAVING = make_game(
    "stag_hunt(height=2, width=3, hunters=3, stags=1, hares=1, max_steps=6)"
)


@pytest.fixture(scope="module")
def left():
    """Play in which some leave before the end."""
    episodes = play(
        LEAVING,
        seat_players(
            LEAVING, ["random", "nearest_hare", "nearest_stag"], 20, 0
        ),
        0,
    ).episodes
    length = (episodes.action != ABSENT).sum(1)
    assert (length < LEAVING.max_steps).any() and (
        length == LEAVING.max_steps
    ).any()
    return episodes


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(
        width=8, depth=1, opponent_types="code", codes=3, code_horizon=HORIZON
    )
    return LearnedOpponents.create(LEAVING, config, 3, key=jax.random.key(0))


def test_what_a_code_is_shown_is_what_its_player_sees_now_and_then(left, model):
    """Or sees when its play ends; steps at which it did not act count for nothing."""
    weights = np.asarray(subgoal_weights(model, jax.device_put(left), HORIZON))
    rows = Index(*(jnp.asarray(x) for x in np.nonzero(left.action != ABSENT)))
    seen = segment_ends(jax.device_put(left), rows, HORIZON)
    for number, (row, step, seat) in enumerate(
        zip(*(np.asarray(x) for x in rows), strict=True)
    ):
        mine = [
            t
            for t in range(LEAVING.max_steps)
            if left.action[row, t, seat] != ABSENT
        ]
        now, then = (
            left.obs[row, step, seat],
            left.obs[row, min(step + HORIZON, mine[-1] + 1), seat],
        )
        np.testing.assert_array_equal(seen[0][number], now)
        np.testing.assert_array_equal(seen[1][number], then)
        if number % 7 == 0:
            want = np.exp(
                log_code_posterior(model, jnp.asarray(now), jnp.asarray(then))
            )
            np.testing.assert_allclose(
                weights[row, step, seat], want, atol=1e-5
            )
    np.testing.assert_allclose(
        weights.sum(-1), left.action != ABSENT, atol=1e-5
    )


def test_a_code_is_told_of_states_and_not_of_what_was_done(left, model):
    other = np.where(
        left.action == ABSENT, ABSENT, (left.action + 1) % LEAVING.num_actions
    )
    config = RunConfig(
        model=ModelConfig(opponent_types="code", codes=3, code_horizon=HORIZON)
    )
    plays = (
        jax.device_put(left),
        jax.device_put(dataclasses.replace(left, action=other)),
    )
    same = [
        np.asarray(label_weights(config, model, episodes)) for episodes in plays
    ]
    np.testing.assert_array_equal(*same)


HUNT = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=6)"
PLAYERS = ("nearest_hare", "always(STAY)")
CONFIG = RunConfig(
    game=HUNT,
    collect=CollectConfig(players=PLAYERS),
    model=ModelConfig(
        latent=8,
        width=32,
        depth=1,
        opponent_types="code",
        codes=2,
        code_horizon=2,
    ),
    train=TrainConfig(
        opponent_updates=2400, opponent_batch=128, checkpoint_every=200
    ),
)


@pytest.fixture(scope="module")
def hunt():
    game = make_game(HUNT)
    lineup = seat_players(game, [f"mixture({', '.join(PLAYERS)})"] * 2, 1200, 0)
    episodes = play(game, lineup, 0).episodes
    start = set_units(
        initial_train_state(CONFIG, game, lineup.roster), CONFIG, episodes
    )
    saved = []
    train_state = fit_opponents(
        CONFIG,
        fill(episodes),
        jax.tree.map(jnp.copy, start),
        lambda train_state: saved.append(jax.tree.map(np.asarray, train_state)),
        lambda *_: None,
    )
    return lineup, episodes, train_state, saved


@pytest.mark.slow
def test_where_it_leads_shows_who_it_is(hunt):
    """A hare hunter is elsewhere two steps later, who stands still is not: their codes are two, and what is seen tells which it is."""
    lineup, episodes, train_state, _ = hunt
    model, plays = train_state.opponents, jax.device_put(episodes)
    weights = label_weights(CONFIG, model, plays)
    code, who = weights[:, 0].argmax(-1), np.asarray(episodes.player)
    assert weights[:, 0].max(-1).mean() > 0.9
    assert max((code == who).mean(), (code != who).mean()) > 0.95
    found = code_table(
        lineup.roster, episodes, follow_beliefs(model, plays), weights
    )
    bits, hit = (
        [row[name] for row in found["moves"][:2]] for name in ("bits", "hit")
    )
    assert bits[0] < 0.1 and bits[1] > 0.85
    assert hit[0] < 0.7 and hit[1] > 0.9


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(hunt):
    """In the half in which codes are ways to act, and in that in which states show them."""
    _, episodes, train_state, saved = hunt
    assert len(saved) == 12
    for stopped in (saved[2], saved[8]):
        again = fit_opponents(
            CONFIG,
            fill(episodes),
            jax.tree.map(jnp.asarray, stopped),
            lambda _: None,
            lambda *_: None,
        )
        for a, b in zip(
            jax.tree.leaves(again), jax.tree.leaves(train_state), strict=True
        ):
            np.testing.assert_array_equal(a, b)
