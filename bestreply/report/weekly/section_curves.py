"""Learning curves with intervals over seeds, their convergence, and distributions of
returns.
"""

from bestreply.report.line_charts import (
    MAX_LINES,
    Curve,
    line_chart,
    line_style,
)
from bestreply.report.row_charts import shade, stacked_shares
from bestreply.report.texts import Texts, compact, facing, fixed, show
from bestreply.report.weekly.curves import (
    FRACTIONS,
    Convergence,
    LearningCurves,
    MetricCurves,
    learning_curves,
)
from bestreply.report.weekly.document import (
    Block,
    Fold,
    Grid,
    Heading,
    Line,
    Paragraph,
    Picture,
    Pictures,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import Family
from bestreply.report.weekly.returns import (
    MIN_DISTANCE,
    ReturnDistribution,
    return_distributions,
)
from bestreply.report.weekly.week import (
    Week,
    mean_of,
    mean_text,
    stderr_of,
)

MAX_PANELS = 12


def section_curves(week: Week, texts: Texts) -> Section:
    """Return the learning curves of every game.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    blocks: list[Block] = []
    for family in week.families:
        curves = learning_curves(family)
        blocks.append(Heading(family.title))
        if curves is None:
            blocks.append(Paragraph(line(texts("weekly_no_curves")), "caveat"))
        else:
            blocks += _curves(family, curves, texts)
    return Section("curves", texts("weekly_title_curves"), blocks)


def legend(family: Family) -> list[tuple[str, str]]:
    """Return the legend of charts with a line for each method.

    Args:
        family: runs of one game.

    Returns:
        (style, name) of the first MAX_LINES methods.
    """
    groups = family.groups[:MAX_LINES]
    return [(line_style(k), group.name) for k, group in enumerate(groups)]


def _curves(
    family: Family, curves: LearningCurves, texts: Texts
) -> list[Block]:
    unit = "steps" if curves.by_steps else "updates"
    steps = texts.count(*curves.steps)
    axis = texts(f"weekly_axis_{unit}", steps=steps)
    styles = {name: style for style, name in legend(family)}
    pictures = [
        _picture(metric, styles, texts)
        for metric in curves.metrics[:MAX_PANELS]
    ]
    blocks: list[Block] = [
        Paragraph(line(axis), "note"),
        Pictures(pictures, keys=legend(family)),
    ]
    if len(family.groups) > MAX_LINES:
        text = texts("weekly_lines_left_out", count=MAX_LINES)
        blocks.append(Paragraph(line(text), "note"))
    note = texts("weekly_note_speed", every=f"{curves.every:,.0f}")
    table = _convergence_table(curves, unit, texts)
    fold = [table, Paragraph(line(note), "note")]
    return [*blocks, Fold(texts("weekly_title_speed"), fold)]


def _convergence_table(curves: LearningCurves, unit: str, texts: Texts) -> Grid:
    names = ("metric", "method", "seeds", "first")
    head = [texts(f"weekly_curve_{name}") for name in names]
    head += [f"{100 * fraction:.0f}%" for fraction in FRACTIONS]
    head.append(texts("weekly_curve_final"))
    head.append(texts(f"weekly_curve_reached_{unit}"))
    rows = [
        _convergence_row(metric.name, method, convergence, texts)
        for metric in curves.metrics
        for method, convergence in metric.convergence.items()
    ]
    return Grid(head, rows, text=2)


def _picture(
    metric: MetricCurves, styles: dict[str, str], texts: Texts
) -> Picture:
    lines = [
        Curve(m.name, styles[m.name], m.x, m.mean, m.low, m.high)
        for m in metric.means
        if m.name in styles
    ]
    ends = texts("list_gap").join(
        f"{m.name} {show(float(m.mean[-1]))}" for m in metric.means
    )
    label = texts("weekly_curve_label", metric=metric.name, ends=ends)
    return Picture(metric.name, line_chart(lines, label))


def _convergence_row(
    metric: str, method: str, convergence: Convergence, texts: Texts
) -> list[Line]:
    seeds = len(convergence.final)
    reached = [x for x in convergence.reached if x is not None]
    some = ""
    if len(reached) < seeds:
        some = texts("weekly_of_seeds", count=len(reached), seeds=seeds)
    along = [
        show(mean_of([values[k] for values in convergence.along]))
        for k in range(len(FRACTIONS))
    ]
    first = show(mean_of(convergence.first))
    final, error = mean_of(convergence.final), stderr_of(convergence.final)
    shown = show(final) + ("" if error is None else f" ± {show(error, 2)}")
    to_final = mean_text(reached, 0) + some
    return cells(metric, method, str(seeds), first, *along, shown, to_final)


# -- returns ---------------------------------------------------------------------


def section_returns(week: Week, texts: Texts) -> Section:
    """Return the distributions of the returns of episodes.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    note = texts("weekly_note_returns", distance=fixed(MIN_DISTANCE, 1))
    blocks: list[Block] = [Paragraph(line(note), "note")]
    for family in week.families:
        distributions = return_distributions(family)
        if distributions:
            blocks.append(Heading(family.title))
            blocks += _returns(distributions, texts)
    return Section("returns", texts("weekly_title_returns"), blocks)


def _returns(
    distributions: list[ReturnDistribution], texts: Texts
) -> list[Block]:
    is_single = all(len(d.shares) < 2 for d in distributions)
    different = [d for d in distributions if d.distance >= MIN_DISTANCE]
    similar = [d for d in distributions if d.distance < MIN_DISTANCE]
    drawn = distributions if is_single else different
    blocks: list[Block] = [_shares_chart(d, texts) for d in drawn]
    if not is_single:
        blocks += _distances("weekly_different", different, texts)
        blocks += _distances("weekly_similar", similar, texts)
    tables = [_shares_table(d, texts) for d in distributions]
    return [*blocks, Fold(texts("weekly_title_shares"), tables)]


def _shares_chart(distribution: ReturnDistribution, texts: Texts) -> Pictures:
    bins, against = distribution.bins, distribution.opponents
    title = facing(against, texts)
    label = texts("weekly_returns_label", opponents=against)
    keys = [(shade(k, len(bins)), _bin(b)) for k, b in enumerate(bins)]
    picture = Picture(title, stacked_shares(distribution.shares, label))
    return Pictures([picture], wide=True, keys=keys)


def _distances(
    key: str, distributions: list[ReturnDistribution], texts: Texts
) -> list[Block]:
    """List opponent sets with the greatest distance of two methods."""
    if not distributions:
        return []
    listed = texts("weekly_list_gap").join(
        f"{d.opponents} ({fixed(d.distance)})" for d in distributions
    )
    return [Paragraph(line(texts(key, opponents=listed)), "note")]


def _shares_table(distribution: ReturnDistribution, texts: Texts) -> Grid:
    title = facing(distribution.opponents, texts)
    head = [title, *(_bin(b) for b in distribution.bins)]
    rows = [
        cells(name, *(f"{100 * share:.1f}%" for share in shares.tolist()))
        for name, shares in distribution.shares.items()
    ]
    return Grid(head, rows)


def _bin(bin_: tuple[float, float]) -> str:
    low, high = (compact(round(v, 2)) for v in bin_)
    return low if low == high else f"{low} … {high}"
