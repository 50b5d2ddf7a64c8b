"""References: what returns are held against, by hand and by trying every reply; ratios and their errors; old files."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from bestreply import Scores, make_game, make_player
from bestreply.evaluate import evaluate_all, refer
from bestreply.exact import bounds
from bestreply.exact import references as exact_references
from bestreply.exact.references import find_reference
from bestreply.players.base import Player
from bestreply.scores.references import (
    Reference,
    load_references,
    save_references,
)
from bestreply.scores.returns import SCHEMA

PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")
LARGE = make_game(
    "stag_hunt(height=8, width=8, hunters=4, stags=1, hares=4, max_steps=35)"
)
EXACT = Reference("x", 4.0, 0.1, "exact", 32, 1.0, 0.05, "exact")


def scores_of(values, references, seeds=None, opponents="x"):
    n = len(values)
    columns = {
        "method": ["agent"] * n,
        "opponents": [opponents] * n,
        "seed": list(seeds or [0] * n),
        "episode": list(range(n)),
        "seat": [0] * n,
        "length": [1] * n,
        "return": list(map(float, values)),
    }
    return Scores(
        pa.table(columns, SCHEMA),
        {"seed": 0},
        {r.opponents: r for r in references},
    )


def test_share_and_normalised_by_hand():
    """Mean 3, standard error sqrt(14/3/4)."""
    scores, stderr = scores_of([1, 2, 3, 6], [EXACT]), math.sqrt(14 / 3 / 4)
    share, share_error = scores.share("agent", "x")
    assert share == 0.75
    assert share_error == pytest.approx(
        math.sqrt(stderr**2 + (0.75 * 0.1) ** 2) / 4
    )
    normalised, error = scores.normalised("agent", "x")
    assert normalised == pytest.approx(2 / 3)
    # best and random from the same layouts: their parts are added, not squared
    assert error == pytest.approx(
        math.sqrt(stderr**2 + (2 / 3 * 0.1 + 1 / 3 * 0.05) ** 2) / 3
    )


def test_errors_agree_with_many_draws():
    measured = Reference("x", 4.0, 0.1, "exact", 32, 1.0, 0.05, "measured")
    rng = np.random.default_rng(0)
    mean, best, random = (
        rng.normal(m, s, 200_000)
        for m, s in ((3.0, 0.2), (4.0, 0.1), (1.0, 0.05))
    )
    assert measured.share(3.0, 0.2)[1] == pytest.approx(
        (mean / best).std(), rel=0.02
    )
    ratio = (mean - random) / (best - random)
    assert measured.normalised(3.0, 0.2)[1] == pytest.approx(
        ratio.std(), rel=0.02
    )


def test_with_several_seeds_the_error_is_over_them():
    scores = scores_of(
        [1, 1, 3, 5], [EXACT], seeds=[0, 0, 1, 1]
    )  # means 1 and 4
    assert scores.stderr("agent", "x") == pytest.approx(1.5)
    assert scores.share("agent", "x")[0] == pytest.approx(2.5 / 4)


def test_ratios_that_do_not_exist():
    assert Reference("x", 0.0, kind="exact").share(1.0, 0.1) is None
    assert (
        Reference("x", 1.0, kind="exact", random=1.0).normalised(1.0, 0.1)
        is None
    )
    assert Reference("x", 1.0, kind="exact").normalised(1.0, 0.1) is None
    assert EXACT.share(3.0, None) == (0.75, None)
    scores = scores_of(
        [1.0], [Reference("x", missing="too_large", reason="much")]
    )
    with pytest.raises(
        ValueError,
        match="share against 'x' has no reference: too_large much; expected: one of",
    ):
        scores.share("agent", "x")
    with pytest.raises(
        ValueError, match="normalised against 'x' has no reference; wanted"
    ):
        scores_of([1.0], []).normalised("agent", "x")


def test_the_best_reply_is_what_trying_every_reply_finds():
    """Against tit for tat, four rounds: own actions decide everything. The mixture: told which it is."""
    pay = np.asarray(
        PD.payoff
        if hasattr(PD, "payoff")
        else [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]
    )
    mine = pay[..., 0] if pay.shape == (2, 2, 2) else pay[0]

    def earned(actions):
        return sum(
            mine[a, before]
            for a, before in zip(actions, (0, *actions[:-1]), strict=True)
        )

    best = max(
        earned(actions) for actions in itertools.product((0, 1), repeat=4)
    )
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
def _nothing_found_yet(monkeypatch):
    monkeypatch.setattr(exact_references, "_FOUND", {})


def test_the_units_of_a_sweep_share_what_was_found(monkeypatch):
    """One who acts otherwise, or another game, is solved anew, whatever they are called."""
    asked = []

    def solved(game, name, *_):
        asked.append(game.max_steps)
        return Reference(name, best=float(len(asked)), kind="exact")

    monkeypatch.setattr(exact_references, "_solved", solved)
    games = [
        make_game(
            f"stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps={t})"
        )
        for t in (1, 2)
    ]
    found = [
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
        found
        == [x for k in range(8) for x in (2 * k + 1, 2 * k + 1, 2 * k + 2)]
        and asked == [1] * 8 + [2] * 8
    )


def test_a_grid_game_by_hand():
    """In one step beside one who stays: 1 for who begins on the hare, a quarter of all; of four legal actions one takes it."""
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=1)"
    )
    found = find_reference(game, "1 always(STAY)", ["always(STAY)"], 32)
    assert (
        found.kind,
        found.layouts,
        found.best_stderr,
        found.random_from,
    ) == ("exact", 12, 0.0, "exact")
    assert found.best == pytest.approx(0.25) and found.random == pytest.approx(
        0.0625
    )


class Silent(Player):
    """Gives no distribution."""

    name: str = "silent"
    version: int = 1

    def start(self):
        return ()

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        return carry, jnp.argmax(legal), None


def test_what_cannot_be_solved_has_no_reference_and_says_why(monkeypatch):
    monkeypatch.setattr(
        bounds, "information_relaxation_bound", lambda *_, **__: None
    )
    assert find_reference(LARGE, "x", ["random"] * 3, 32).missing == "too_large"
    assert "positions" in find_reference(LARGE, "x", ["random"] * 3, 32).reason
    assert find_reference(LARGE, "x", ["random"] * 3, 0).missing == "off"
    found = find_reference(PD, "x", [Silent()], 32)
    assert (found.missing, found.reason) == ("no_distribution", "silent")


def test_where_much_is_to_be_weighed_fewer_layouts_are_solved_and_below_four_none(
    monkeypatch,
):
    game = make_game(
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=2)"
    )

    def anew(*asked):
        exact_references._CACHE.clear()
        return find_reference(*asked)

    each = exact_references.work(game, [make_player("nearest_stag", game)])
    monkeypatch.setattr(exact_references, "MAX_WORK", 5.5 * each)
    assert anew(game, "x", ["nearest_stag"], 32).layouts == 5
    monkeypatch.setattr(exact_references, "MAX_WORK", 3.5 * each)
    assert anew(game, "x", ["nearest_stag"], 3).layouts == 3
    found = anew(game, "x", ["nearest_stag"], 32)
    assert (found.kind, found.layouts, found.bounds, found.random) == (
        "information relaxation",
        2 * 32,
        True,
        None,
    )
    monkeypatch.setattr(
        bounds, "information_relaxation_bound", lambda *_, **__: None
    )
    found = anew(game, "x", ["nearest_stag"], 32)
    assert (
        found.missing == "too_large"
        and "outcomes" in found.reason
        and not found.bounds
    )


def test_through_a_file_and_back_and_files_without(tmp_path):
    large = Reference("y", missing="too_large", reason="much")
    scores = scores_of([1, 2], [EXACT, large])
    path = scores.save(tmp_path / "scores.parquet")
    assert Scores.load(path).references == {"x": EXACT, "y": large}
    (tmp_path / "references.json").unlink()
    assert Scores.load(path).references == {}
    save_references(tmp_path / "r.json", [EXACT], {})
    (tmp_path / "r.json").write_text(
        (tmp_path / "r.json").read_text().replace('"exact"', '"guessed"', 1)
    )
    with pytest.raises(
        ValueError,
        match="kind of 'x' is 'guessed'; expected: one of exact, upper bound, information relaxation",
    ):
        load_references(tmp_path / "r.json")
