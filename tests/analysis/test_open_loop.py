"""Open-loop predictions: planes by accuracy and recall, other numbers by their error."""

import numpy as np
import pytest

from bestreply import make_game
from bestreply.analysis.open_loop import compare
from tests.models.odd_games import Pixels, Roles


def test_numbers_are_compared_in_their_deviations():
    truth = np.zeros((200, 6))
    rng = np.random.default_rng(0)
    truth[:, 0] = rng.normal(1e4, 5e3, 200)
    truth[:, 1] = rng.normal(0, 1e-4, 200)
    truth[:, 2] = 700  # never varies
    truth[:, 3] = 1
    mean = np.broadcast_to(truth.mean(0), truth.shape).copy()
    (row,) = compare(Roles(), mean, truth)
    assert row["error"] == pytest.approx(1)
    assert (row["accuracy"], row["recall"]) == (1, None)  # of the marks
    close = truth + truth.std(0) * 0.1
    close[:, 2] += 50
    (row,) = compare(Roles(), close, truth)
    assert row["error"] == pytest.approx(0.1)
    (row,) = compare(Roles(), truth[:3], np.ones((3, 6)))
    assert row["error"] is None  # nothing varies
    close[:, 3] = 0
    (row,) = compare(Roles(), close, truth)
    assert row["accuracy"] == pytest.approx(2 / 3)


def test_entries_of_images_count_together():
    game = Pixels(side=2, channels=1)
    truth = np.zeros((4, 2, 2, 1), np.uint8)
    truth[:, 0, 0, 0] = [0, 200, 0, 200]
    truth[:, 1, 1, 0] = [0, 0, 0, 2]  # hardly varies
    predicted = truth.astype(np.float32)
    predicted[:, 1, 1, 0] = 2
    (row,) = compare(game, predicted, truth)
    assert row["accuracy"] is None and row["recall"] is None
    assert row["error"] == pytest.approx((3 / 10_000.75) ** 0.5, rel=1e-3)


def test_planes_of_a_board_and_its_clock():
    game = make_game("stag_hunt(height=3, width=3, hunters=2, max_steps=4)")
    truth = np.zeros((8, *game.obs_shape), np.float32)
    truth[:, 0, 0, 0] = 1
    truth[..., -1] = np.linspace(0, 1, 8)[:, None, None]
    predicted = truth.copy()
    predicted[:4, 0, 0, 0] = 0
    rows = {row["entity"]: row for row in compare(game, predicted, truth)}
    assert list(rows) == list(game.planes)
    assert (rows["self"]["accuracy"], rows["self"]["recall"]) == (0.5, 0.5)
    assert rows["self"]["error"] is None
    assert rows["time"] == {
        "entity": "time",
        "accuracy": None,
        "recall": None,
        "error": 0.0,
    }
