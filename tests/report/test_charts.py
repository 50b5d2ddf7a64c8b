"""Charts: names, numbers and positions in the SVG."""

import numpy as np
import pytest
from read_charts import (
    axis_of,
    bands_of,
    bars_of,
    dots_of,
    lines_of,
    texts_of,
    values_at,
)
from run_files import Page

from bestreply.report.line_charts import (
    MAX_POINTS,
    Curve,
    line_chart,
    line_style,
    named_lines,
    thin,
)
from bestreply.report.row_charts import (
    Interval,
    Row,
    WaterfallStep,
    heat_map,
    interval_chart,
    stacked_shares,
    waterfall,
)
from bestreply.report.svg import Scale, el, name_text, ticks


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-3.2, 7.7), (0, 240_000), (1e-7, 3e-7), (99.5, 100.1)],
)
def test_ticks_are_few_round_and_inside(low, high):
    found = ticks(low, high)
    assert (
        2 <= len(found) <= 6
        and low <= found[0]
        and found[-1] <= high * (1 + 1e-9)
    )
    assert len(set(np.round(np.diff(found) / (found[1] - found[0]), 6))) == 1
    assert Scale(low, high, 0, 100)(high) == 100


def test_ticks_of_a_logarithmic_axis_are_powers_of_ten_or_1_2_5():
    assert Scale(0.5, 5e4, 0, 1, log=True).ticks() == [1, 100, 10_000]
    assert Scale(1.5, 60, 0, 1, log=True).ticks() == [2, 5, 10, 20, 50]
    assert Scale(1, 100, 0, 50, log=True)(10) == 25


def test_texts_are_escaped_and_long_names_shortened():
    assert (
        el("text", "<b>&", x=1.04, class_="a", y=None)
        == '<text x="1" class="a">&lt;b&gt;&amp;</text>'
    )
    assert name_text("abcdef", 6) == '<text class="name">abcdef</text>'
    assert (
        name_text("abcdefg", 6)
        == '<text class="name"><title>abcdefg</title>abcde…</text>'
    )
    assert texts_of(name_text("对手模型", 8)) == ["对手模型"]
    assert texts_of(name_text("对手模型的准确率", 8)) == ["对手模…"]


def curve(y, name="a", x=None, **edges):
    y = np.array(y, float)
    x = np.arange(len(y)) if x is None else np.array(x)
    return Curve(
        name,
        "c0",
        x,
        y,
        **{key: np.array(edge, float) for key, edge in edges.items()},
    )


def test_a_line_goes_through_its_values_inside_its_band():
    shown = line_chart(
        [curve([0, 1, 4], low=[-1, 0, 3], high=[1, 2, 5])], "three values"
    )
    points = lines_of(shown)["a"]
    assert values_at(shown, "x", [x for x, _ in points]) == pytest.approx(
        [0, 1, 2], abs=0.01
    )
    assert values_at(shown, "y", [y for _, y in points]) == pytest.approx(
        [0, 1, 4], abs=0.03
    )
    (band,) = bands_of(shown)
    assert values_at(shown, "y", [y for _, y in band]) == pytest.approx(
        [1, 2, 5, 3, 0, -1], abs=0.03
    )
    (element,) = Page(shown).of("svg")
    assert element["role"] == "img" and element["aria-label"] == "three values"
    assert shown == line_chart(
        [curve([0, 1, 4], low=[-1, 0, 3], high=[1, 2, 5])], "three values"
    )


def test_a_power_is_a_straight_line_on_logarithmic_axes():
    powers = Curve(
        "a", "c0", np.array([1.0, 4.0, 16.0]), np.array([2.0, 8, 32])
    )
    places = np.array(lines_of(line_chart([powers], "", log=True))["a"])
    steps = np.diff(places, axis=0)
    assert steps[0] == pytest.approx(steps[1], abs=0.11)
    assert (steps[:, 0] > 0).all() and (steps[:, 1] < 0).all()


def test_y_is_logarithmic_over_a_factor_of_30_of_positive_values():
    assert "log" in texts_of(line_chart([curve([1, 31])], ""))
    for values in ([1, 29], [-1, 31], [0, 31]):
        assert "log" not in texts_of(line_chart([curve(values)], ""))
    below = line_chart([curve([1, 31], low=[-2, 30], high=[4, 32])], "")
    assert max(y for _, y in bands_of(below)[0]) <= axis_of(below, "y")[0]


def test_an_axis_of_whole_numbers_has_whole_ticks():
    shown = line_chart([curve([0.5, 0.6, 0.7])], "", y_range=(0, 1))
    assert texts_of(shown)[-3:] == ["0", "1", "2"]
    halves = line_chart([curve([1, 2], x=[0.5, 1.5])], "", y_range=(0, 3))
    assert "0.75" in texts_of(halves)


def test_a_given_range_is_covered_and_bands_are_clipped():
    shown = line_chart(
        [curve([0.2, 0.9], low=[-1, 0], high=[0.4, 3])],
        "",
        y_range=(0, 1),
        diagonal=True,
    )
    bottom, top = axis_of(shown, "y")
    edge = [y for _, y in bands_of(shown)[0]]
    assert (max(edge), min(edge)) == (bottom, top)
    (mark,) = Page(shown).of("line", "mark")
    assert (float(mark["y1"]), float(mark["y2"])) == (bottom, top)


def test_long_lines_are_means_inside_the_band_of_extremes():
    values = np.tile([0.0, 1.0], 10 * MAX_POINTS)
    thinned = thin(curve(values), extremes=True)
    assert (
        len(thinned.y) == MAX_POINTS
        and thinned.low is not None
        and thinned.high is not None
    )
    assert (
        (thinned.y == 0.5).all()
        and (thinned.low == 0).all()
        and (thinned.high == 1).all()
    )
    assert thin(curve(values)).low is None
    kept = thin(curve([1, np.nan, 3], low=[0, 1, 2], high=[2, 3, np.inf]))
    assert kept.x.tolist() == [0] and kept.y.tolist() == [1]
    assert line_chart([curve([np.nan])], "") == "" == line_chart([], "")


def test_names_at_the_ends_of_lines_do_not_overlap():
    shown = named_lines(
        {"b": [(1, 0.9), (0, 0.5)], "a": [(0, 0.5), (1, 0.91)], "none": []}, ""
    )
    places = [float(a["y"]) for a in Page(shown).of("text", "name")]
    assert texts_of(shown)[-2:] == ["b", "a"] and places[0] - places[1] >= 13
    assert lines_of(shown)["b"][0] < lines_of(shown)["b"][1], (
        "points are sorted by x"
    )
    many = named_lines({str(k): [(0, 0.5)] for k in range(20)}, "")
    places = sorted(float(a["y"]) for a in Page(many).of("text", "name"))
    assert min(np.diff(places)) >= 13
    assert [line_style(k) for k in (0, 7, 8)] == ["c0", "c7", "c0 dashed"]


def test_a_waterfall_goes_from_the_first_value_to_the_last():
    shown = waterfall(
        ("a", 4.0),
        [WaterfallStep("b", 1.0, None), WaterfallStep("c", -0.5, 0.1)],
        ("d", 3.5),
        "x",
    )
    (start,), (end,) = dots_of(shown, "other"), dots_of(shown, "own")
    (loss, low, high), (gain, begin, finish) = bars_of(shown)
    assert (loss, gain) == ("loss", "gain")
    assert high == pytest.approx(start, abs=0.2) and begin == pytest.approx(
        low, abs=0.2
    )
    assert finish == pytest.approx(end, abs=0.2)
    assert finish - begin == pytest.approx((high - low) / 2, abs=0.2)
    (whisker,) = Page(shown).of("line", "whisker")
    width = float(whisker["x2"]) - float(whisker["x1"])
    assert width == pytest.approx((high - low) * 2 * 1.96 * 0.1, abs=0.2)
    assert texts_of(shown)[-8:] == [
        "a",
        "4.00",
        "b",
        "−1.00",
        "c",
        "+0.50",
        "d",
        "3.50",
    ]


def test_intervals_contain_their_values_and_the_mark_is_on_the_axis():
    rows = [
        Interval(Row("first", "2.00"), 2.0, (1.0, 3.0), "v-better"),
        Interval(Row("x" * 40), 1.5, None, "own"),
    ]
    shown = interval_chart(rows, "", mark=0.0)
    (bar,) = Page(shown).of("line", "v-better")
    (dot,), (mark,) = dots_of(shown, "v-better"), Page(shown).of("line", "mark")
    assert float(bar["x1"]) + float(bar["x2"]) == pytest.approx(
        2 * dot, abs=0.2
    )
    assert float(mark["x1"]) == pytest.approx(
        float(bar["x1"]) - (dot - float(bar["x1"])), abs=0.2
    )
    assert {"first", "2.00", "x" * 20 + "…"} <= set(texts_of(shown))
    assert not Page(interval_chart(rows, "")).of("line", "mark")


def test_stacked_shares_fill_their_rows_in_order():
    shown = stacked_shares(
        {"a": np.array([0.25, 0.0, 0.75]), "b": np.array([0.0, 1.0, 0.0])}, ""
    )
    bars = bars_of(shown)
    assert [style for style, *_ in bars] == ["s0", "s5", "s2"]
    widths = [right - left for _, left, right in bars]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.3) and sum(
        widths[:2]
    ) == pytest.approx(widths[2])
    assert [t for t in texts_of(shown) if "%" in t] == [
        "0%",
        "25%",
        "50%",
        "75%",
        "100%",
    ]
    assert shown.count("<title>25.0%</title>") == 1


def test_a_heat_map_has_every_share():
    shown = heat_map(
        {"p": [0.25, 0.75], "q": [1.0, 0.0]}, ["1", "2"], "code", ""
    )
    assert texts_of(shown) == [
        "code",
        "1",
        "2",
        "p",
        "25",
        "75",
        "q",
        "100",
        "0",
    ]
    assert [a["fill-opacity"] for a in Page(shown).of("rect", "heat")] == [
        "0.16",
        "0.36",
        "0.46",
        "0.06",
    ]
