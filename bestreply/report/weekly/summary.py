"""The summary at the head of the report."""

from collections import Counter
from functools import partial

from bestreply.report.texts import Texts, fixed, ties
from bestreply.report.weekly.document import Line, Link, line
from bestreply.report.weekly.groups import (
    NEAREST_STAG,
    Family,
    RunGroup,
    bare,
)
from bestreply.report.weekly.section_opponents import (
    best_of,
    regret_of,
    share_of,
)
from bestreply.report.weekly.section_verdicts import (
    STYLES,
    comparison_bullet,
)
from bestreply.report.weekly.week import Week, list_names, mean_of

MAX_FINDINGS = 8
STYLE_ORDER = ["better", "worse", "unclear", "trouble", "open"]


def lead(week: Week, texts: Texts) -> str:
    """Count the verdicts on pairs of methods.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        One sentence.
    """
    counts = Counter(
        c.overall.verdict if c.verdicts else "refused"
        for comparisons in week.comparisons
        for c in comparisons.between
    )
    parts = [
        texts(f"weekly_count_{verdict}", count=counts[verdict])
        for verdict in (*STYLES, "refused")
        if counts[verdict]
    ]
    if not parts:
        return texts("weekly_lead_none")
    return texts("weekly_lead", parts=texts("list_gap").join(parts))


def findings(week: Week, texts: Texts, problems: int) -> list[tuple[str, Line]]:
    """Return the main results.

    Args:
        week: runs and comparisons.
        texts: language.
        problems: number of problems of the runs.

    Returns:
        (style, line) of verdicts over all opponent sets, results against nearest_stag, and the
        number of problems.
    """
    bullets = _verdicts(week, texts)
    for family in week.families[:MAX_FINDINGS]:
        bullets += [("", entry) for entry in _nearest_stag(family, texts)]
    if problems:
        count = texts("weekly_problems_count", count=f"{problems:,}")
        link = Link(texts("weekly_title_plan"), "#plan")
        bullets.append(("trouble", line(count, link, texts("weekly_stop"))))
    return bullets


def _verdicts(week: Week, texts: Texts) -> list[tuple[str, Line]]:
    bullets = [
        comparison_bullet(c, texts)
        for _, comparisons in week.pairs
        for c in comparisons.between
    ]
    bullets.sort(key=lambda bullet: STYLE_ORDER.index(bullet[0]))
    left = len(bullets) - MAX_FINDINGS
    if left > 0:
        more = texts("weekly_more_verdicts", count=f"{left:,}")
        link = Link(texts("weekly_title_verdicts"), "#verdicts")
        bullets[MAX_FINDINGS:] = [("", line(more, link))]
    return bullets


def _nearest_stag(family: Family, texts: Texts) -> list[Line]:
    """Return the best method against nearest_stag: return, share and largest loss."""
    lines = []
    for against in family.opponents:
        means = {}
        for k, group in enumerate(family.groups):
            cells = group.cells(group.method, against).values()
            mean = mean_of([cell.mean for cell in cells])
            if mean is not None:
                means[k] = mean
        if bare(against) == NEAREST_STAG and means:
            best = max(means.values())
            leaders = [
                family.groups[k]
                for k, mean in means.items()
                if ties(mean, best, family.decimals)
            ]
            text = _result(family, leaders, against, best, texts)
            lines.append(line(text))
    return lines


def _result(
    family: Family,
    leaders: list[RunGroup],
    against: str,
    mean: float,
    texts: Texts,
) -> str:
    """Describe the methods with the highest mean, several in a tie."""
    group, write = leaders[0], partial(fixed, decimals=family.decimals)
    name = list_names([leader.name for leader in leaders], texts)
    names = {"opponents": against, "method": name}
    key = "weekly_ns_mean" if len(leaders) == 1 else "weekly_ns_tie"
    text = texts(key, mean=write(mean), **names)
    best = best_of(group, against)
    share = share_of(group, group.method, against)
    if best is not None and share is not None:
        percent = f"{100 * share:.0f}%"
        text += texts("weekly_ns_share", share=percent, best=write(best[0]))
    parts = regret_of(group, against)
    if len(leaders) == 1 and parts is not None and parts.largest is not None:
        lost = write(mean_of(parts.parts[parts.largest]))
        cause = texts(f"cause_{parts.largest}")
        text += texts("weekly_ns_lost", part=cause, lost=lost)
    return text + texts("weekly_stop")
