"""The score table and its sentences: means, errors and intervals computed by hand."""

import json
import math
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from run_files import make_references, make_scores, read_page, words
from scipy.stats import ttest_ind

from bestreply.report import summary_table, write_report
from bestreply.report.run_files import read_run
from bestreply.report.scores import compare_cells, score_table


def write_rows(path, rows):
    path.mkdir(exist_ok=True)
    names = ("method", "opponents", "seed", "episode", "return")
    table = [
        dict(zip(names, r, strict=True)) | {"seat": 0, "length": 1}
        for r in rows
    ]
    pq.write_table(pa.Table.from_pylist(table), path / "scores.parquet")
    return path


def printed(path, styles=False):
    """Return the terminal table as text on one line, with ANSI styles on request."""
    with open(os.devnull, "w") as nowhere:
        console = Console(width=200, record=True, file=nowhere)
        console.print(summary_table(path))
    return " ".join(console.export_text(styles=styles).split())


def test_error_of_one_seed_is_over_episodes(tmp_path):
    run = write_rows(
        tmp_path / "r",
        [("agent", "x", 0, e, v) for e, v in enumerate((1.0, 2.0, 3.0, 6.0))],
    )
    cell = score_table(read_run(run).scores).cells["agent", "x"]
    assert (cell.unit, cell.mean) == ("episodes", 3.0)
    assert cell.error == pytest.approx(math.sqrt(14 / 3 / 4))
    interval = cell.interval()
    assert cell.error is not None and interval is not None
    assert (interval[1] - interval[0]) / 2 == pytest.approx(
        3.182446 * cell.error, rel=1e-6
    )  # t of 3 degrees of freedom, 97.5 %
    text = printed(run)
    assert "3.00 ± 1.08" in text and "standard error (SE) over episodes" in text
    assert "does not include training variance" in text


def test_error_of_several_seeds_is_over_seeds(tmp_path):
    rows = [("agent", "x", 0, e, 1.0) for e in range(9)] + [
        ("agent", "x", 1, 0, 3.0),
        ("agent", "x", 1, 1, 5.0),
    ]
    run = write_rows(tmp_path / "r", rows)
    cell = score_table(read_run(run).scores).cells["agent", "x"]
    assert (cell.unit, cell.mean, cell.error) == (
        "seeds",
        2.5,
        pytest.approx(1.5),
    )  # seed means 1 and 4
    text = printed(run)
    assert (
        "standard error (SE) over seeds (2 seeds" in text
        and "One training seed" not in text
    )


def test_mixed_units_are_marked_cell_by_cell(tmp_path):
    rows = [("agent", "x", s, e, float(s + e)) for s in (0, 1) for e in (0, 1)]
    text = printed(
        write_rows(
            tmp_path / "r",
            [*rows, ("random", "x", 0, 0, 0.0), ("random", "x", 0, 1, 1.0)],
        )
    )
    assert (
        "1.00 ± 0.50 " in text
        and "0.50 ± 0.50*" in text
        and "* SE over episodes of one training seed" in text
    )


def test_the_best_of_each_column_is_bold_and_markup_is_text(tmp_path):
    rows = [
        (m, o, 0, e, v + e)
        for m, o, v in (
            ("agent", "a", 1.0),
            ("[red]b", "a", 2.0),
            ("agent", "b", 3.0),
        )
        for e in (0, 1)
    ]
    text = printed(write_rows(tmp_path / "r", rows), styles=True)
    assert (
        "\x1b[1m2.50 ± 0.50" in text
        and "\x1b[1m1.50" not in text
        and "\x1b[1m3.50 ± 0.50" in text
    )
    assert "[red]b" in text
    page = read_page(write_report(tmp_path / "r"))
    assert len(page.of("td", "best")) == 2


def test_comparison_pairs_equal_episodes_and_otherwise_is_welch(tmp_path):
    noise = (0.0, 10.0, -7.0, 3.0)
    rows = [
        ("agent", "x", 0, e, v + 1 + 0.1 * (-1) ** e)
        for e, v in enumerate(noise)
    ]
    rows += [("same", "x", 0, e, v) for e, v in enumerate(noise)]
    rows += [("apart", "x", 0, e + 99, v) for e, v in enumerate(noise[:3])]
    cells = score_table(read_run(write_rows(tmp_path / "r", rows)).scores).cells
    paired = compare_cells(cells["agent", "x"], cells["same", "x"])
    assert (
        paired.paired
        and paired.verdict == "better"
        and paired.mean == pytest.approx(1.0)
    )
    assert paired.high - paired.mean == pytest.approx(
        3.182446 * math.sqrt(0.04 / 3 / 4), rel=1e-5
    )
    unpaired = compare_cells(cells["agent", "x"], cells["apart", "x"])
    a, b = ([r[4] for r in rows if r[0] == m] for m in ("agent", "apart"))
    expected = ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (unpaired.low, unpaired.high) == pytest.approx(
        (expected.low, expected.high)
    )
    assert not unpaired.paired and unpaired.verdict == "unclear"


def test_headline_compares_with_the_best_other_method(tmp_path):
    means = {
        "agent": (2.0, 1.0, 1.5),
        "rival": (1.0, 2.0, 1.5),
        "weak": (0.0, 0.0, 0.0),
    }
    (tmp_path / "r").mkdir()
    make_scores(tmp_path / "r", episodes=200, means=means, sets=("A", "B", "C"))
    page = read_page(write_report(tmp_path / "r"))
    shown = words(page)
    assert (
        "on each of 3 opponent sets: better on 1, no clear difference on 1, worse on 1."
        in shown
    )
    assert "better than rival with 0.9" in shown
    assert "worse than rival with " in shown
    assert [a["class"] for a in page.of("li")] == ["better", "worse", "unclear"]


def test_terminal_table_without_scores_names_the_command(tmp_path):
    (tmp_path / "r").mkdir()
    with pytest.raises(
        FileNotFoundError,
        match=r"scores\.parquet: expected a file; create it with `bestreply evaluate",
    ):
        summary_table(tmp_path / "r")
    write_rows(tmp_path / "r", [("agent", "x", 0, 0, math.nan)])
    with pytest.raises(
        ValueError,
        match="column return: expected finite numbers; 1 entries are empty",
    ):
        summary_table(tmp_path / "r")


def test_ratios_to_the_best_reply(tmp_path):
    """An exact reference, an upper bound, a game that is too large, and no reference at all."""
    run = tmp_path / "r"
    run.mkdir()
    sets = (
        "3 nearest_stag",
        "3 nearest_hare",
        "other",
        "mixture(nearest_stag, nearest_hare, random)",
    )
    rows = [
        ("agent", o, 0, e, v) for o in sets for e, v in enumerate((1.0, 3.0))
    ]
    write_rows(run, rows)
    without = printed(run)
    assert "best reply" not in without and "Normalised" not in without
    make_references(run)
    shown, page = printed(run), words(read_page(write_report(run)))
    # mean 2, error 1: share 2/4, error hypot(1, 0.05)/4; normalised 1/3 ± hypot(1, 0.1/3 + 0.05 * 2/3)/3
    for text in (shown, page):
        assert "0.50 ± 0.25" in text and "0.33 ± 0.33" in text
        assert (
            "4.00 ± 0.10 (exact)" in text
            and "2.00 ± 0.10 (upper bound)" in text
        )
        assert "1 (exact)" in text and "1 (upper bound)" in text
        assert (
            "given the opponents' current types" in text
            and "delta method" in text
        )
        assert (
            "No best reply against 3 nearest_hare: the game is too large to solve (one"
            in text
        )
    assert "No best reply against other" not in shown
    original = (run / "references.json").read_text()
    (run / "references.json").write_text(
        original.replace("upper bound", "information relaxation")
    )
    for text in (printed(run), words(read_page(write_report(run)))):
        assert (
            "2.00 ± 0.10 (information-relaxation bound)" in text
            and "current types" not in text
        )
        assert "given all future random draws" in text
    (run / "references.json").write_text('{"against": 3}')
    assert (
        "references.json cannot be used: against=3: expected a list with an entry for each opponent set"
        in printed(run)
    )
    assert "references.json cannot be used" in words(
        read_page(write_report(run))
    )


def test_equal_returns_are_a_tie(tmp_path):
    rows = [("agent", "x", 0, e, float(e % 2)) for e in range(6)]
    rows += [("one", *row[1:]) for row in rows]
    rows += [("two", "x", 0, e, 0.5) for e in range(6)]
    rows += [("agent", "y", 0, e, 3.0 + e) for e in range(2)]
    rows += [("one", "y", 0, e, float(e)) for e in range(2)]
    path = write_rows(tmp_path / "r", rows)
    shown = words(read_page(write_report(path)))
    assert "opponent sets: better on 1, a tie on 1." in shown
    assert "Against x: mean return 0.50 ± 0.22, a tie with one, two (" in shown
    assert "several bold means in a column are a tie" in shown
    assert "several bold means in a column are a tie" in printed(path)
    assert "打平" in words(read_page(write_report(path, "zh")))


def test_differences_of_zero_as_written_are_a_tie(tmp_path):
    noise = [0.0, 1.0] * 50
    rows = [("agent", "x", 0, e, v + 1e-4) for e, v in enumerate(noise)]
    rows += [("b", "x", 0, e, v) for e, v in enumerate(noise)]
    shown = words(read_page(write_report(write_rows(tmp_path / "r", rows))))
    assert "a tie with b (0.50 ± 0.05)." in shown


@pytest.mark.parametrize(
    "unit, mean", [(1e-6, "2.50e−6 ± 5.0e−7"), (1e6, "2.50e6 ± 5.0e5")]
)
def test_returns_of_any_unit_are_readable(tmp_path, unit, mean):
    rows = [("agent", "x", 0, 0, 2 * unit), ("agent", "x", 0, 1, 3 * unit)]
    path = write_rows(tmp_path / "r", rows)
    assert mean in printed(path)
    page = write_report(path)
    assert f"mean return {mean}" in words(read_page(page))


def test_sets_of_roles_are_explained(tmp_path):
    rows = [("agent", f"{r} | 3 lazy", 0, e, 1.0) for r in "ab" for e in (0, 1)]
    path = write_rows(tmp_path / "r", rows)
    note = "a | 3 lazy: the measured player has the role a; its opponents are 3 lazy."
    assert note in printed(path)
    assert note in words(read_page(write_report(path)))


def test_equal_reasons_for_a_missing_reference_are_one_note(tmp_path):
    rows = [("agent", name, 0, 0, 1.0) for name in "xyz"]
    path = write_rows(tmp_path / "r", rows)
    missing = [
        {"opponents": name, "missing": "not_solved", "reason": "no rules"}
        for name in "xyz"
    ]
    document = {"gamma": 1.0, "against": missing, "provenance": {}}
    (path / "references.json").write_text(json.dumps(document))
    assert "No best reply against x, y, z: " in printed(path)


def test_one_player_is_measured_alone(tmp_path):
    rows = [("agent", "none", 0, 0, 1.0), ("random", "none", 0, 0, 0.5)]
    shown = words(read_page(write_report(write_rows(tmp_path / "r", rows))))
    assert "Alone: mean return 1.00" in shown and "against none" not in shown
