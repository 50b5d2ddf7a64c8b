"""How good beliefs are said to be: by hand, and on beliefs that are right by construction."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.analysis.belief_calibration import (
    belief_table,
    by_moves,
    informative,
    true_types,
)
from bestreply.config import ModelConfig, RunConfig
from bestreply.games.hindsight_goals import EVENT
from bestreply.opponents.learned import LearnedOpponents
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ego_order

GAME = make_game(
    "stag_hunt(height=2, width=3, hunters=3, stags=1, hares=2, max_steps=5)"
)
NAMES = ["random", "nearest_hare", "nearest_stag"]


@pytest.fixture(scope="module")
def episodes():
    return play(
        GAME,
        seat_players(GAME, [f"mixture({', '.join(NAMES)})"] * 3, 30, seed=0),
        seed=0,
    ).episodes


@pytest.fixture(scope="module")
def model():
    return LearnedOpponents.create(
        GAME, ModelConfig(width=8, depth=1), 3, key=jax.random.key(0)
    )


def test_by_moves_by_hand():
    believed = np.array([[0.5, 0.5], [0.9, 0.1], [0.25, 0.75], [0.5, 0.5]])
    rows = by_moves(believed, np.array([0, 0, 0, 1]), np.array([0, 1, 1, 7]))
    assert [row["moves"] for row in rows] == [0, 1]
    assert rows[1] == {
        "moves": 1,
        "accuracy": 0.5,
        "share": pytest.approx(0.575),
        "bits": pytest.approx((np.log2(0.9) + np.log2(0.25)) / 2),
        "entropy": 0.0,
        "count": 2,
    }
    both = by_moves(np.eye(2), np.array([0, 1]), np.array([0, 0]))[0]
    assert both["bits"] == both["entropy"] == 1 and both["accuracy"] == 1


@pytest.mark.parametrize("kind", ["player", "goal"])
def test_the_truth_is_looked_up_seat_by_seat(episodes, kind):
    found = true_types(
        RunConfig(model=ModelConfig(opponent_types=kind)), episodes
    )
    order = ego_order(3)
    seen = 0
    for (e, t, seat, k), value in np.ndenumerate(found):
        other = order[seat, k + 1]
        both = (
            episodes.action[e, t, seat] != ABSENT
            and episodes.action[e, t, other] != ABSENT
        )
        shown = kind == "player" or episodes.goal_source[e, t, other] == EVENT
        wanted = (
            episodes.player[e, other]
            if kind == "player"
            else episodes.goal[e, t, other]
        )
        assert value == (wanted if both and shown else ABSENT)
        seen += both and shown
    assert seen > 50


def test_a_belief_that_knows_and_one_that_is_sure_and_wrong(episodes, model):
    config = RunConfig()
    truth = true_types(config, episodes)
    certain = np.zeros((30, 6, 3, 2, 3), np.float32)
    certain[:, :-1] = np.eye(3)[np.maximum(truth, 0)]
    right = belief_table(config, model, episodes, jnp.asarray(certain))
    assert right["ece"] == 0 and all(
        row["accuracy"] == 1 for row in right["moves"]
    )
    assert right["reliability"] == [
        {
            "confidence": 1.0,
            "accuracy": 1.0,
            "count": int((truth != ABSENT).sum()),
        }
    ]
    wrong = belief_table(
        config, model, episodes, jnp.asarray(np.roll(certain, 1, -1))
    )
    assert right is not None and wrong is not None
    assert wrong["ece"] == 1 and wrong["moves"][0]["bits"] < -10


def test_calibration_of_a_belief_that_says_what_is_so(episodes, model):
    """The prior is calibrated whatever the play: its confidence is the share of the likeliest type."""
    truth = true_types(RunConfig(), episodes)
    prior = (
        np.bincount(truth[truth != ABSENT], minlength=3)
        / (truth != ABSENT).sum()
    )
    table = belief_table(
        RunConfig(),
        model,
        episodes,
        jnp.broadcast_to(jnp.asarray(prior), (30, 6, 3, 2, 3)),
    )
    assert table is not None
    assert (
        table["ece"] == pytest.approx(0, abs=1e-6)
        and len(table["reliability"]) == 1
    )


def test_moves_that_tell_types_apart(model):
    """Types 0 and 1 act alike, type 2 otherwise; a type that never occurs tells nothing."""

    class Told(LearnedOpponents):
        def logits(self, obs):
            alike = jnp.log(jnp.asarray([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]]))
            return jnp.broadcast_to(alike, (2, 3, 2))

    for prior, wanted in (((0.3, 0.3, 0.4), True), ((0.5, 0.5, 0.0), False)):
        told = Told(net=model.net, prior=jnp.asarray(prior), game=GAME)
        found = informative(told, jnp.zeros((2, 4, 3, *GAME.obs_shape)))
        assert (
            found.shape == (2, 4, 3, 2) and (np.asarray(found) == wanted).all()
        )


def test_one_type_is_nothing_to_guess(episodes, model):
    alone = dataclasses.replace(model, prior=jnp.ones(1))
    assert (
        belief_table(RunConfig(), alone, episodes, jnp.ones((30, 6, 3, 2, 1)))
        is None
    )
