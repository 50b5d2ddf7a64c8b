"""Codes that nobody labelled: the smoothing against brute force, and who plays found out without being told."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import collect, make_game, train
from bestreply.analysis.belief_calibration import code_table
from bestreply.config import CollectConfig, ModelConfig, RunConfig, TrainConfig
from bestreply.opponents.filtering import follow_beliefs
from bestreply.opponents.labels import label_weights
from bestreply.opponents.latent_codes import random_codes, smooth_codes
from bestreply.replay.moa_buffer import fill
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import fit_opponents
from bestreply.training.state import initial_train_state, set_units

DILEMMA = "matrix(table=prisoners_dilemma, rounds=8, memory=0)"  # with a memory, always the same is "as before"


def test_smoothing_against_all_sequences_of_codes():
    rng = np.random.default_rng(0)
    likely = np.log(
        rng.dirichlet(np.ones(4), size=(3, 5, 2, 2))[..., 0]
    ).astype(np.float32)  # [E, T, N, G]
    acted = np.ones((3, 5, 2), bool)
    acted[1, 3:, 1] = False  # a player that leaves says nothing from then on
    found = smooth_codes(likely, acted, 0.2)
    assert found.prior.sum() == pytest.approx(1)
    for e, n in itertools.product(range(3), range(2)):
        weight = np.zeros((5, 2))
        for codes in itertools.product(range(2), repeat=5):
            p = found.prior[codes[0]]
            for before, after in itertools.pairwise(codes):
                p *= 0.8 * (before == after) + 0.2 * found.prior[after]
            for t, c in enumerate(codes):
                p *= np.exp(likely[e, t, n, c]) if acted[e, t, n] else 1
            weight[np.arange(5), codes] += p
        slow = weight / weight.sum(1, keepdims=True) * acted[e, :, n, None]
        np.testing.assert_allclose(found.weight[e, :, n], slow, atol=1e-4)


def test_without_a_hazard_an_episode_has_one_code():
    likely = np.log(
        np.random.default_rng(1).uniform(0.1, 1, (4, 6, 1, 3))
    ).astype(np.float32)
    found = smooth_codes(likely, np.ones((4, 6, 1), bool), 0.0)
    np.testing.assert_allclose(
        found.weight,
        np.broadcast_to(found.weight[:, :1], found.weight.shape),
        atol=1e-5,
    )
    total = np.exp(likely.sum(1)[:, 0]) * found.prior
    np.testing.assert_allclose(
        found.weight[:, 0, 0], total / total.sum(1, keepdims=True), atol=1e-4
    )


def test_before_anything_is_learned_codes_are_drawn_and_absent_steps_have_none():
    acted = np.ones((50, 3, 2), bool)
    acted[7, 1:, 0] = False
    found = random_codes(acted, 4, seed=3)
    assert (found.sum(-1) == acted).all()
    assert (found[:, 0].argmax(-1) == found[:, 1].argmax(-1))[acted[:, 1]].all()
    assert len(np.unique(found[:, 0].argmax(-1))) == 4


def fitted(
    players, codes=4, updates=400, checkpoint_every=250, save=lambda _: None
):
    config = RunConfig(
        game=DILEMMA,
        collect=CollectConfig(players=players),
        model=ModelConfig(
            latent=8, width=32, depth=1, opponent_types="code", codes=codes
        ),
        train=TrainConfig(
            opponent_updates=updates,
            opponent_batch=256,
            checkpoint_every=checkpoint_every,
        ),
    )
    game = make_game(DILEMMA)
    lineup = seat_players(game, [f"mixture({', '.join(players)})"] * 2, 600, 0)
    episodes = play(game, lineup, 0).episodes
    train_state = set_units(
        initial_train_state(config, game, lineup.roster), config, episodes
    )
    train_state = fit_opponents(
        config, fill(episodes), train_state, save, lambda *_: None
    )
    return config, train_state.opponents, episodes, lineup


@pytest.mark.slow
def test_who_plays_is_found_out_without_labels():
    """Always the same, always the other, and a coin: as much is known at the end as labels could tell."""
    config, model, episodes, lineup = fitted(
        ("always_c", "always_d", "random"), updates=1500
    )
    beliefs = follow_beliefs(model, jax.device_put(episodes))
    weights = label_weights(config, model, jax.device_put(episodes))
    found = code_table(lineup.roster, episodes, beliefs, weights)
    assert found["end"]["bits"] > 0.85 * found["end"]["entropy"]
    assert found["moves"][-1]["hit"] > 0.8 > found["moves"][0]["hit"]
    assert found["end"]["accuracy"] > 0.95
    by_moves = [row["bits"] for row in found["moves"]]
    assert by_moves[0] < 0.05 and by_moves == sorted(
        by_moves
    )  # more moves tell more
    assert np.asarray(found["shares"]).sum() == pytest.approx(1, abs=1e-3)


def test_labels_are_computed_anew_with_every_checkpoint():
    """However seldom metrics are logged."""
    saved = []
    fitted(
        ("always_c", "always_d"),
        updates=6,
        checkpoint_every=2,
        save=lambda s: saved.append(int(s.opponent_updates)),
    )
    assert saved == [2, 4, 6]


def test_codes_by_hand():
    """Two codes, each one player's: after a move that both share nothing is known, at the end everything."""
    game = make_game(DILEMMA)
    lineup = seat_players(game, ["always_c", "always_d"], 2, 0)
    episodes = play(game, lineup, 0).episodes
    beliefs = np.full((2, 9, 2, 1, 2), 0.5)
    beliefs[:, 4:, 0, 0] = [0, 1]  # the first seat meets the second player
    beliefs[:, 4:, 1, 0] = [1, 0]
    weights = np.zeros(
        (2, 8, 2, 2)
    )  # what the first player does shows code 0, the second changes its mind after two moves
    weights[:, :, 0, 0] = weights[:, :2, 1, 0] = weights[:, 2:, 1, 1] = 1
    found = code_table(lineup.roster, episodes, jnp.asarray(beliefs), weights)
    assert [row["hit"] for row in found["moves"]] == [
        1,
        1,
        0.5,
        0.5,
        1,
    ]  # after 0, 1, 2, 3, 5 moves; of equals the first is likeliest
    assert found["shares"] == [[0.5, 0], [0, 0.5]]
    assert [row["bits"] for row in found["moves"]] == pytest.approx(
        [0, 0, 0, 0, 1]
    )  # after 0, 1, 2, 3, 5 moves


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [0, 2])
def test_an_agent_learns_and_plans_with_codes(horizon, tmp_path):
    game = make_game(DILEMMA)
    players = ("always_d", "tit_for_tat")
    data = collect(
        game,
        [f"mixture({', '.join(players)})"] * 2,
        60,
        0,
        path=tmp_path / "data",
    )
    few = TrainConfig(
        opponent_updates=6,
        opponent_batch=16,
        anchor_updates=0,
        updates=4,
        batch=16,
        value_batch=16,
        checkpoint_every=3,
    )
    few = dataclasses.replace(
        few, target="improved", value_updates=4, imagined_games=8
    )
    model = ModelConfig(
        latent=8,
        width=16,
        depth=1,
        opponent_types="code",
        codes=3,
        value_heads="action",
        code_horizon=horizon,
    )
    config = RunConfig(
        game=DILEMMA,
        model=model,
        train=few,
        collect=CollectConfig(players=players),
    )
    run = train(data, config, path=tmp_path / "run")
    assert run.goals == ("code 1", "code 2", "code 3")
    _, shown = game.reset(jax.random.key(0))
    plan = run.agent().plan(shown.obs[0], shown.legal[0])
    assert np.isfinite(plan.scores).all() and plan.belief.shape == (1, 3)
