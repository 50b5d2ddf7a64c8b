"""What can be said of the methods: a sentence a comparison, a figure, all numbers, and what cannot be compared and why."""

import math
from collections.abc import Sequence
from dataclasses import replace

from bestreply.report.row_charts import Interval, Row, interval_chart
from bestreply.report.texts import Texts, fixed
from bestreply.report.verdict_text import sentence
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
"""Comparisons in a table of all numbers; with more, only those over all opponents stand there."""
STYLES = {
    "better": "better",
    "worse": "worse",
    "no_larger": "unclear",
    "not_enough": "open",
}


def section_verdicts(week: Week, texts: Texts) -> Section:
    blocks: list[Block] = [
        Paragraph(line(texts("weekly_note_verdicts")), "note")
    ]
    for family, held in week.pairs:
        blocks.append(Heading(family.title))
        blocks += _between(family, held, texts)
        blocks += _within(held, texts)
    return Section("verdicts", texts("weekly_title_verdicts"), blocks)


def said(verdict: Verdict, texts: Texts) -> str:
    """The sentence of `bestreply compare`."""
    return sentence(_worded(verdict, texts), texts.lang)


def refused(comparison: Comparison, texts: Texts) -> str:
    """Why two methods cannot be compared."""
    if not comparison.seeds:
        return texts("weekly_no_common_seed", a=comparison.a, b=comparison.b)
    facts = texts("weekly_list_gap").join(
        texts(
            "weekly_mismatch",
            fact=_fact(a.fact, texts),
            one=_known(a.one, texts),
            two=_known(a.two, texts),
        )
        for a in comparison.apart[:6]
    )
    return texts(
        "weekly_not_comparable", a=comparison.a, b=comparison.b, facts=facts
    )


def _fact(name: str, texts: Texts) -> str:
    opponents = name.partition(" against ")[2]
    if opponents:
        return texts("weekly_mismatch_episodes", opponents=opponents)
    return texts.get(f"weekly_apart_{name.replace(' ', '_')}", name)


def _known(value: object, texts: Texts) -> str:
    return texts("weekly_none") if value is None else str(value)


def _worded(verdict: Verdict, texts: Texts) -> Verdict:
    return (
        replace(verdict, opponents=texts("verdicts_all"))
        if verdict.opponents == OVERALL
        else verdict
    )


# -- of one method and another -------------------------------------------------------------------------------------------------


def _between(
    family: Family, held: GameComparisons, texts: Texts
) -> list[Block]:
    first, *others = family.groups
    if not others:
        return [
            Paragraph(
                line(texts("weekly_one_method", method=first.name)), "note"
            )
        ]
    if not held.between:
        return [Paragraph(line(texts("weekly_one_measured")), "caveat")]
    blocks: list[Block] = []
    if held.against:
        key = "weekly_to_baseline" if held.named else "weekly_to_first"
        blocks.append(
            Paragraph(
                line(texts(key, method=held.against, count=len(family.groups))),
                "note",
            )
        )
    blocks.append(BulletList(_sentences(held.between, texts)))
    blocks += _pictures(held.between, texts)
    blocks += _left_out(held.between, texts)
    return blocks + _numbers(held.between, texts)


def _sentences(
    comparisons: Sequence[Comparison], texts: Texts
) -> list[tuple[str, Line]]:
    """Of each pair the verdict over all opponent sets, and those on single sets that found something."""
    found = []
    for c in comparisons:
        if not c.verdicts:
            found.append(("trouble", line(refused(c, texts))))
            continue
        found.append((STYLES[c.overall.verdict], line(said(c.overall, texts))))
        if c.overall.seeds > 1:
            found += [
                (STYLES[v.verdict], line(said(v, texts)))
                for v in c.each
                if v.verdict in ("better", "worse")
            ]
    return found


def _pictures(comparisons: Sequence[Comparison], texts: Texts) -> list[Block]:
    """A panel a pair with a row an opponent set; where pairs are many, one with a row a pair."""
    shown = [c for c in comparisons if c.verdicts and c.overall.seeds > 1]
    if not shown:
        return []
    if len(shown) > MAX_PANELS:
        rows = [_row(f"{c.a} − {c.b}", c.overall) for c in shown[:40]]
        panels = [(texts("verdicts_all"), rows)]
    else:
        panels = [
            (
                f"{c.a} − {c.b}",
                [_row(_worded(v, texts).opponents, v) for v in c.verdicts],
            )
            for c in shown
        ]
    pictures = [
        Picture(
            title,
            interval_chart(
                rows, texts("weekly_differences_label", title=title), mark=0.0
            ),
        )
        for title, rows in panels
    ]
    return [
        Pictures(pictures, wide=True),
        Paragraph(line(texts("weekly_note_differences")), "figure"),
    ]


def _row(name: str, v: Verdict) -> Interval:
    interval = (
        (v.low, v.high)
        if math.isfinite(v.low) and math.isfinite(v.high)
        else None
    )
    row = Row(name, fixed(v.difference, sign=True))
    return Interval(row, v.difference, interval, f"v-{v.verdict}")


def _left_out(comparisons: Sequence[Comparison], texts: Texts) -> list[Block]:
    """Seeds that only one of two methods has."""
    notes = {}
    for c in comparisons:
        if c.verdicts and (c.only_a or c.only_b):
            for name, only in ((c.b, c.only_a), (c.a, c.only_b)):
                if only:
                    notes[name, only] = texts(
                        "weekly_seeds_left_out",
                        method=name,
                        seeds=list_names(only, texts),
                    )
    return [Paragraph(line(note), "caveat") for note in notes.values()]


def _numbers(comparisons: Sequence[Comparison], texts: Texts) -> list[Block]:
    names = (
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
    head = [texts(f"weekly_verdict_{name}") for name in names]
    many = sum(len(c.verdicts) for c in comparisons) > MAX_ROWS
    rows = [
        _numbers_row(v, texts)
        for c in comparisons
        for v in (c.verdicts[-1:] if many else c.verdicts)
    ]
    if not rows:
        return []
    title = texts(
        "weekly_overall_numbers" if many else "weekly_all_numbers",
        count=f"{len(rows):,}",
    )
    return [
        Fold(
            title,
            [
                Grid(head, rows, text=3),
                Paragraph(line(texts("verdicts_note")), "note"),
            ],
        )
    ]


def _numbers_row(v: Verdict, texts: Texts) -> list[Line]:
    return cells(
        f"{v.a} / {v.b}",
        _worded(v, texts).opponents,
        texts(f"weekly_is_{v.verdict}"),
        str(v.seeds),
        f"{fixed(v.mean_a)} / {fixed(v.mean_b)}",
        f"{fixed(v.difference, sign=True)} [{fixed(v.low)}, {fixed(v.high)}]",
        f"{v.p:.3f} ({v.p_holm:.3f})",
        fixed(v.improvement),
        "–" if v.seeds_required is None else f"{v.seeds_required:,}",
    )


# -- of one method and what else its runs measured ------------------------------------------------------------------------------


def _within(held: GameComparisons, texts: Texts) -> list[Block]:
    shown = {name: found for name, found in held.within.items() if found}
    if not shown:
        return []
    blocks: list[Block] = [
        Heading(texts("weekly_title_within")),
        Paragraph(line(texts("weekly_note_within")), "note"),
    ]
    for name, comparisons in shown.items():
        blocks.append(Paragraph(line(name), "sub"))
        alone = [c for c in comparisons if c.verdicts and c.overall.seeds == 1]
        if alone and len(alone) == len(comparisons):
            one = texts(
                "weekly_within_one_seed",
                others=list_names([c.b for c in alone], texts),
            )
            blocks.append(BulletList([("open", line(one))]))
        else:
            blocks.append(BulletList(_sentences(comparisons, texts)))
    several = [
        (name, c)
        for name, found in shown.items()
        for c in found
        if c.verdicts and c.overall.seeds > 1
    ]
    named = [_named(c, name) for name, c in several]
    return blocks + _numbers(named, texts)


def _named(c: Comparison, group: str) -> Comparison:
    """For a table in which several groups' agents stand."""
    return replace(
        c, verdicts=tuple(replace(v, a=f"{group}: {v.a}") for v in c.verdicts)
    )
