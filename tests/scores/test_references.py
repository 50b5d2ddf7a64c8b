"""References: ratios and their errors by hand; files."""

import math

import numpy as np
import pyarrow as pa
import pytest

from bestreply.scores.references import (
    Reference,
    load_references,
    save_references,
)
from bestreply.scores.returns import SCHEMA, Scores

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
    # best and random are from the same layouts: their errors are added
    assert error == pytest.approx(
        math.sqrt(stderr**2 + (2 / 3 * 0.1 + 1 / 3 * 0.05) ** 2) / 3
    )


def test_errors_equal_those_of_a_simulation():
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


def test_the_error_of_several_seeds_is_over_seeds():
    scores = scores_of(
        [1, 1, 3, 5], [EXACT], seeds=[0, 0, 1, 1]
    )  # means 1 and 4
    assert scores.stderr("agent", "x") == pytest.approx(1.5)
    assert scores.share("agent", "x")[0] == pytest.approx(2.5 / 4)


def test_undefined_ratios():
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
        match=r"share against 'x' \(too_large much\): expected a reference",
    ):
        scores.share("agent", "x")
    with pytest.raises(
        ValueError, match="normalised against 'x': expected a reference"
    ):
        scores_of([1.0], []).normalised("agent", "x")


def test_references_are_saved_and_loaded(tmp_path):
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
        match="kind of 'x'='guessed': expected one of exact, upper bound, information",
    ):
        load_references(tmp_path / "r.json")
