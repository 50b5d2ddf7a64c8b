"""Verdicts: a sentence for each comparison, charts, all numbers, and mismatches."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bestreply.report.row_charts import Interval, Row, interval_chart
from bestreply.report.score_tables import method_notes
from bestreply.report.texts import Texts, fixed
from bestreply.report.verdict_text import decimals_in, sentence
from bestreply.report.weekly.comparisons import (
    OVERALL,
    Comparison,
    GameComparisons,
)
from bestreply.report.weekly.document import (
    Block,
    BulletList,
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
from bestreply.report.weekly.week import Week, list_names
from bestreply.scores.statistics import Verdict

MAX_PANELS = 6
MAX_ROWS = 300
"""Number of rows up to which a table has verdicts for single opponent sets."""
MAX_MISMATCHES = 6  # in a sentence
MAX_CHART_ROWS = 40
NUMBERS = (
    "pair",
    "against",
    "verdict",
    "seeds",
    "means",
    "difference",
    "p",
    "improvement",
    "needed",
)
STYLES = {
    "better": "better",
    "worse": "worse",
    "tie": "unclear",
    "no_larger": "unclear",
    "not_enough": "open",
}


def section_verdicts(week: Week, texts: Texts) -> Section:
    """Return verdicts, charts and numbers of all comparisons.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    note = texts("weekly_note_verdicts")
    blocks: list[Block] = [Paragraph(line(note), "note")]
    for family, comparisons in week.pairs:
        blocks.append(Heading(family.title))
        blocks += _between(family, comparisons, texts)
        blocks += _within(comparisons, texts)
    return Section("verdicts", texts("weekly_title_verdicts"), blocks)


def comparison_bullet(c: Comparison, texts: Texts) -> tuple[str, Line]:
    """Return the verdict over all opponent sets, or the reason for none.

    Args:
        c: two methods.
        texts: language.

    Returns:
        Style and line of a bullet.
    """
    if not c.verdicts:
        return "trouble", line(mismatch_sentence(c, texts))
    return _verdict_bullet(c.overall, texts)


def _verdict_bullet(verdict: Verdict, texts: Texts) -> tuple[str, Line]:
    text = sentence(_in_words(verdict, texts), texts.lang)
    return STYLES[verdict.verdict], line(text)


def mismatch_sentence(comparison: Comparison, texts: Texts) -> str:
    """Explain why two methods cannot be compared.

    Args:
        comparison: two methods without verdicts.
        texts: language.

    Returns:
        One sentence.
    """
    names = {"a": comparison.a, "b": comparison.b}
    if not comparison.seeds:
        return texts("weekly_no_common_seed", **names)
    facts = [
        texts(
            "weekly_mismatch",
            fact=_fact(mismatch.fact, texts),
            one=_value(mismatch.one, texts),
            two=_value(mismatch.two, texts),
        )
        for mismatch in comparison.mismatches[:MAX_MISMATCHES]
    ]
    listed = texts("weekly_list_gap").join(facts)
    return texts("weekly_not_comparable", facts=listed, **names)


def _fact(name: str, texts: Texts) -> str:
    opponents = name.partition(" against ")[2]
    if opponents:
        return texts("weekly_mismatch_episodes", opponents=opponents)
    return texts.get(f"weekly_mismatch_{name.replace(' ', '_')}", name)


def _value(value: object, texts: Texts) -> str:
    return texts("weekly_none") if value is None else str(value)


def _in_words(verdict: Verdict, texts: Texts) -> Verdict:
    if verdict.opponents != OVERALL:
        return verdict
    return replace(verdict, opponents=texts("verdicts_all"))


# -- pairs of methods ------------------------------------------------------------


def _between(
    family: Family, comparisons: GameComparisons, texts: Texts
) -> list[Block]:
    first, *others = family.groups
    if not others:
        text = texts("weekly_one_method", method=first.name)
        return [Paragraph(line(text), "note")]
    if not comparisons.between:
        return [Paragraph(line(texts("weekly_one_measured")), "caveat")]
    blocks: list[Block] = []
    if comparisons.baseline:
        is_requested = comparisons.is_requested
        key = "weekly_to_baseline" if is_requested else "weekly_to_first"
        count = len(family.groups)
        text = texts(key, method=comparisons.baseline, count=count)
        blocks.append(Paragraph(line(text), "note"))
    blocks.append(BulletList(_sentences(comparisons.between, texts)))
    blocks += _pictures(comparisons.between, texts)
    blocks += _left_out(comparisons.between, texts)
    return blocks + _numbers(comparisons.between, texts)


def _sentences(
    comparisons: Sequence[Comparison], texts: Texts
) -> list[tuple[str, Line]]:
    """Return the overall verdict of each pair, and decided ones for single sets."""
    bullets = []
    for c in comparisons:
        bullets.append(comparison_bullet(c, texts))
        if c.verdicts and c.overall.seeds > 1:
            bullets += [
                _verdict_bullet(verdict, texts)
                for verdict in c.each
                if verdict.verdict in ("better", "worse")
            ]
    return bullets


def _pictures(comparisons: Sequence[Comparison], texts: Texts) -> list[Block]:
    """Return a chart for each pair; for many pairs one chart with a row for each."""
    shown = [c for c in comparisons if c.verdicts and c.overall.seeds > 1]
    if not shown:
        return []
    if len(shown) > MAX_PANELS:
        rows = [
            _row(f"{c.a} − {c.b}", c.overall) for c in shown[:MAX_CHART_ROWS]
        ]
        panels = {texts("verdicts_all"): rows}
    else:
        panels = {
            f"{c.a} − {c.b}": [
                _row(_in_words(v, texts).opponents, v) for v in c.verdicts
            ]
            for c in shown
        }
    pictures = []
    for title, rows in panels.items():
        label = texts("weekly_differences_label", title=title)
        pictures.append(Picture(title, interval_chart(rows, label, mark=0.0)))
    note = Paragraph(line(texts("weekly_note_differences")), "figure")
    return [Pictures(pictures, wide=True), note]


def _row(name: str, v: Verdict) -> Interval:
    is_finite = math.isfinite(v.low) and math.isfinite(v.high)
    interval = (v.low, v.high) if is_finite else None
    value = fixed(v.difference, decimals_in([v]), sign=True)
    row = Row(name, value)
    return Interval(row, v.difference, interval, f"v-{v.verdict}")


def _left_out(comparisons: Sequence[Comparison], texts: Texts) -> list[Block]:
    """Return notes on seeds that only one of two methods has."""
    lacking: dict[tuple[str, tuple[int, ...]], None] = {}
    for c in comparisons:
        if c.verdicts:
            lacking |= dict.fromkeys([(c.b, c.only_a), (c.a, c.only_b)])
    blocks: list[Block] = []
    for method, seeds in lacking:
        if seeds:
            listed = list_names(seeds, texts)
            text = texts("weekly_seeds_left_out", method=method, seeds=listed)
            blocks.append(Paragraph(line(text), "caveat"))
    return blocks


def _numbers(comparisons: Sequence[Comparison], texts: Texts) -> list[Block]:
    head = [texts(f"weekly_verdict_{name}") for name in NUMBERS]
    is_long = sum(len(c.verdicts) for c in comparisons) > MAX_ROWS
    rows = []
    for c in comparisons:
        verdicts = c.verdicts[-1:] if is_long else c.verdicts
        rows += [_numbers_row(verdict, texts) for verdict in verdicts]
    if not rows:
        return []
    key = "weekly_overall_numbers" if is_long else "weekly_all_numbers"
    title = texts(key, count=f"{len(rows):,}")
    note = Paragraph(line(texts("verdicts_note")), "note")
    return [Fold(title, [Grid(head, rows, text=3), note])]


def _numbers_row(v: Verdict, texts: Texts) -> list[Line]:
    write = partial(fixed, decimals=decimals_in([v]))
    return cells(
        f"{v.a} / {v.b}",
        _in_words(v, texts).opponents,
        texts(f"weekly_is_{v.verdict}"),
        str(v.seeds),
        f"{write(v.mean_a)} / {write(v.mean_b)}",
        f"{write(v.difference, sign=True)} [{write(v.low)}, {write(v.high)}]",
        f"{v.p:.3f} ({v.p_holm:.3f})",
        fixed(v.improvement),
        "–" if v.seeds_required is None else f"{v.seeds_required:,}",
    )


# -- methods of the same run -----------------------------------------------------


def _within(comparisons: GameComparisons, texts: Texts) -> list[Block]:
    by_group = {name: cs for name, cs in comparisons.within.items() if cs}
    if not by_group:
        return []
    methods = dict.fromkeys(c.b for cs in by_group.values() for c in cs)
    notes = [texts("weekly_note_within"), *method_notes(methods, texts)]
    blocks: list[Block] = [
        Heading(texts("weekly_title_within")),
        Paragraph(line(texts("sentence_gap").join(notes)), "note"),
    ]
    for name, within in by_group.items():
        blocks.append(Paragraph(line(name), "sub"))
        blocks.append(BulletList(_within_sentences(within, texts)))
    several = [
        _with_group_name(c, name)
        for name, within in by_group.items()
        for c in within
        if c.verdicts and c.overall.seeds > 1
    ]
    return blocks + _numbers(several, texts)


def _within_sentences(
    comparisons: Sequence[Comparison], texts: Texts
) -> list[tuple[str, Line]]:
    """Return verdicts; one sentence if all are about a single seed."""
    if not all(c.verdicts and c.overall.seeds == 1 for c in comparisons):
        return _sentences(comparisons, texts)
    others = list_names([c.b for c in comparisons], texts)
    return [("open", line(texts("weekly_within_one_seed", others=others)))]


def _with_group_name(c: Comparison, group: str) -> Comparison:
    """Name the agent after its group, for a table with agents of several groups."""
    verdicts = tuple(replace(v, a=f"{group}: {v.a}") for v in c.verdicts)
    return replace(c, verdicts=verdicts)
