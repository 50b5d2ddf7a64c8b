"""What a group meeting is told first."""

from bestreply.report.texts import Texts, fixed
from bestreply.report.weekly.document import Line, Link, line
from bestreply.report.weekly.groups import NEAREST_STAG, Family, bare
from bestreply.report.weekly.section_opponents import (
    best_of,
    regret_of,
    share_of,
)
from bestreply.report.weekly.section_verdicts import STYLES, refused, said
from bestreply.report.weekly.week import Week, mean_of

MAX_FINDINGS = 8


def lead(week: Week, texts: Texts) -> str:
    """How many comparisons between methods came out how."""
    overall = [
        c.overall.verdict
        for held in week.held
        for c in held.between
        if c.verdicts
    ]
    not_comparable = sum(
        not c.verdicts for held in week.held for c in held.between
    )
    counts = {
        v: overall.count(v)
        for v in ("better", "worse", "no_larger", "not_enough")
    }
    parts = [
        texts(f"weekly_count_{v}", count=n) for v, n in counts.items() if n
    ]
    parts += (
        [texts("weekly_count_refused", count=not_comparable)]
        if not_comparable
        else []
    )
    if not parts:
        return texts("weekly_lead_none")
    return texts("weekly_lead", parts=texts("list_gap").join(parts))


def findings(week: Week, texts: Texts, problems: int) -> list[tuple[str, Line]]:
    """The verdicts over all opponents, what was had of NS, and how much went wrong."""
    found: list[tuple[str, Line]] = []
    for _, held in week.pairs:
        for c in held.between:
            if c.verdicts:
                found.append(
                    (STYLES[c.overall.verdict], line(said(c.overall, texts)))
                )
            else:
                found.append(("trouble", line(refused(c, texts))))
    order = ["better", "worse", "unclear", "trouble", "open"]
    found.sort(key=lambda one: order.index(one[0]))
    left = len(found) - MAX_FINDINGS
    if left > 0:
        found = [
            *found[:MAX_FINDINGS],
            (
                "",
                line(
                    texts("weekly_more_verdicts", count=f"{left:,}"),
                    Link(texts("weekly_title_verdicts"), "#verdicts"),
                ),
            ),
        ]
    for family in week.families[:MAX_FINDINGS]:
        found += [("", one) for one in _nearest_stag(family, texts)]
    if problems:
        told = texts("weekly_problems_count", count=f"{problems:,}")
        found.append(
            (
                "trouble",
                line(
                    told,
                    Link(texts("weekly_title_plan"), "#plan"),
                    texts("weekly_stop"),
                ),
            )
        )
    return found


def _nearest_stag(family: Family, texts: Texts) -> list[Line]:
    """What the best of the methods has against NS, of what can be had, and what costs it most."""
    lines = []
    for against in family.opponents:
        means = {
            g.name: mean_of(
                [c.mean for c in g.cells(g.method, against).values()]
            )
            for g in family.groups
        }
        known = {name: mean for name, mean in means.items() if mean is not None}
        if bare(against) != NEAREST_STAG or not known:
            continue
        name = max(known, key=lambda n: known[n])
        group = next(g for g in family.groups if g.name == name)
        best, share, losses = (
            best_of(group, against),
            share_of(group, group.method, against),
            regret_of(group, against),
        )
        told = texts(
            "weekly_ns_mean",
            opponents=against,
            method=name,
            mean=fixed(known[name]),
        )
        if best is not None and share is not None:
            told += texts(
                "weekly_ns_share",
                share=f"{100 * share:.0f}%",
                best=fixed(best[0]),
            )
        if losses is not None and losses.largest is not None:
            lost = fixed(mean_of(losses.parts[losses.largest]))
            told += texts(
                "weekly_ns_lost",
                part=texts(f"cause_{losses.largest}"),
                lost=lost,
            )
        lines.append(line(told + texts("weekly_stop")))
    return lines
