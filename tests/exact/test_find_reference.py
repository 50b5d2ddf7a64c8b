"""Reference values of the exact solvers: by enumeration, by hand, and the reasons for missing ones."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.evaluate import evaluate_all, refer
from bestreply.exact import bounds
from bestreply.exact import references as exact_references
from bestreply.exact.references import find_reference
from bestreply.players.base import Player
from bestreply.scores.references import Reference

PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")
LARGE = make_game(
    "stag_hunt(height=8, width=8, hunters=4, stags=1, hares=4, max_steps=35)"
)


def test_the_best_reply_equals_enumeration():
    """Tit for tat repeats the agent's actions; for the mixture the type is given."""
    pay = np.array([[3, 0], [5, 1]])
    returns = [
        sum(pay[a, b] for a, b in zip(actions, (0, *actions), strict=False))
        for actions in itertools.product((0, 1), repeat=4)
    ]
    best = max(returns)
    sets = ["tit_for_tat", "mixture(always_c, always_d)"]
    scores = refer(
        PD, evaluate_all(PD, {"random": "random"}, sets, 40, 0), sets
    )
    exact, bound = (
        scores.references[name] for name in (f"1 {text}" for text in sets)
    )
    assert (exact.best, exact.kind, exact.best_stderr) == (best, "exact", 0.0)
    assert (bound.best, bound.kind) == ((4 * 5 + 4 * 1) / 2, "upper bound")
    assert exact.random_from == "measured" and exact.random == scores.mean(
        "random", "1 tit_for_tat"
    )
    assert scores.normalised("random", "1 tit_for_tat")[0] == 0


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch):
    monkeypatch.setattr(exact_references, "_CACHE", {})


def test_references_are_cached(monkeypatch):
    """Another player or game is solved separately, also under the same name."""
    requests = []

    def count_requests(game, name, *_):
        requests.append(game.max_steps)
        return Reference(name, best=float(len(requests)), kind="exact")

    monkeypatch.setattr(exact_references, "_solve", count_requests)
    games = [
        make_game(
            f"stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps={t})"
        )
        for t in (1, 2)
    ]
    reference = [
        find_reference(game, "x", [player], layouts).best
        for game in games
        for player in (
            "always(STAY)",
            "always(UP)",
            "noisy(random, 0.1)",
            "noisy(random, 0.2)",
        )
        for layouts in (8, 8, 9)
    ]
    assert (
        reference
        == [x for k in range(8) for x in (2 * k + 1, 2 * k + 1, 2 * k + 2)]
        and requests == [1] * 8 + [2] * 8
    )


def test_a_grid_game_by_hand():
    """One step: reward 1 for a player that starts on the hare, a quarter of all layouts."""
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=1)"
    )
    reference = find_reference(game, "1 always(STAY)", ["always(STAY)"], 32)
    assert (
        reference.kind,
        reference.layouts,
        reference.best_stderr,
        reference.random_from,
    ) == ("exact", 12, 0.0, "exact")
    assert reference.best == pytest.approx(
        0.25
    ) and reference.random == pytest.approx(0.0625)


class Silent(Player):
    """A player without a distribution."""

    name: str = "silent"
    version: int = 1

    def start(self):
        return ()

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        return carry, jnp.argmax(legal), None


def test_a_missing_reference_has_a_reason(monkeypatch):
    monkeypatch.setattr(
        bounds, "information_relaxation_bound", lambda *_, **__: None
    )
    assert find_reference(LARGE, "x", ["random"] * 3, 32).missing == "too_large"
    assert "positions" in find_reference(LARGE, "x", ["random"] * 3, 32).reason
    assert find_reference(LARGE, "x", ["random"] * 3, 0).missing == "off"
    reference = find_reference(PD, "x", [Silent()], 32)
    assert (reference.missing, reference.reason) == (
        "no_distribution",
        "silent",
    )


def test_the_number_of_layouts_is_limited_by_the_work(
    monkeypatch,
):
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=2)"
    )

    def solve(*requests):
        exact_references._CACHE.clear()
        return find_reference(*requests)

    each = exact_references.work(game, [make_player("nearest_stag", game)])
    monkeypatch.setattr(exact_references, "MAX_WORK", 5.5 * each)
    assert solve(game, "x", ["nearest_stag"], 32).layouts == 5
    monkeypatch.setattr(exact_references, "MAX_WORK", 3.5 * each)
    assert solve(game, "x", ["nearest_stag"], 3).layouts == 3
    reference = solve(game, "x", ["nearest_stag"], 32)
    assert (
        reference.kind,
        reference.layouts,
        reference.bounds,
        reference.random,
    ) == (
        "information relaxation",
        2 * 32,
        True,
        None,
    )
    monkeypatch.setattr(
        bounds, "information_relaxation_bound", lambda *_, **__: None
    )
    reference = solve(game, "x", ["nearest_stag"], 32)
    assert (
        reference.missing == "too_large"
        and "outcomes" in reference.reason
        and not reference.bounds
    )
