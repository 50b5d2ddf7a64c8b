"""Against whom how much was had, nearest_stag first, of the best reply's return; and where the rest is lost."""

from collections.abc import Sequence
from dataclasses import dataclass

from bestreply.report.regret import PARTS
from bestreply.report.run_files import number
from bestreply.report.texts import Texts, fixed
from bestreply.report.weekly.document import (
    Block,
    Code,
    Fold,
    Grid,
    Heading,
    Line,
    Paragraph,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import NEAREST_STAG, Family, RunGroup, bare
from bestreply.report.weekly.week import (
    Week,
    interval_of,
    join_lines,
    mean_of,
    stderr_of,
    with_error,
)

MAX_SEED_LINKS = 12  # whose own numbers stand in a row


@dataclass(frozen=True)
class RegretParts:
    """What a method's runs lose to the best reply against one opponent set: one number a run."""

    best: list[float]
    lost: list[float]
    parts: dict[str, list[float]]

    @property
    def largest(self) -> str | None:
        """The part that costs most, if any does."""
        part = max(PARTS, key=lambda p: mean_of(self.parts[p]) or 0.0)
        return part if (mean_of(self.parts[part]) or 0.0) > 0.005 else None


def regret_of(group: RunGroup, opponents: str) -> RegretParts | None:
    """From ``regret.json``; an entry that does not fit docs/files.md is passed over. None where no run was diagnosed."""
    found = RegretParts([], [], {part: [] for part in PARTS})
    for record in group.runs:
        entries = record.regret.get("against")
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict) or entry.get("opponents") not in (
                opponents,
                bare(opponents),
            ):
                continue
            parts = entry.get("parts")
            numbers = (
                [number(parts.get(p)) for p in PARTS]
                if isinstance(parts, dict)
                else [None]
            )
            best, lost = number(entry.get("best")), number(entry.get("lost"))
            if best is None or lost is None or None in numbers:
                continue
            found.best.append(best)
            found.lost.append(lost)
            for part, value in zip(PARTS, numbers, strict=True):
                found.parts[part].append(value or 0.0)
            break
    return found if found.lost else None


def section_opponents(week: Week, texts: Texts) -> Section:
    blocks: list[Block] = [
        Paragraph(line(texts("weekly_note_opponents")), "note")
    ]
    for family in week.families:
        if not family.opponents:
            continue
        blocks += [Heading(family.title), *_tables(week, family, texts)]
        blocks += _lost(week, family, texts)
    return Section("opponents", texts("weekly_title_opponents"), blocks)


def named(opponents: str, texts: Texts) -> str:
    """With what its players call it beside it."""
    return (
        texts("weekly_ns", opponents=opponents)
        if bare(opponents) == NEAREST_STAG
        else opponents
    )


def best_of(group: RunGroup, opponents: str) -> tuple[float, bool] | None:
    """The best reply's return, mean over runs, and whether that is an upper bound."""
    known = [
        r.references[opponents] for r in group.runs if opponents in r.references
    ]
    known = [reference for reference in known if not reference.missing]
    if not known:
        return None
    mean = mean_of([reference.best for reference in known]) or 0.0
    return mean, any(reference.bounds for reference in known)


def share_of(group: RunGroup, method: str, opponents: str) -> float | None:
    """Mean return over the best reply's; None without one, or where it earns nothing."""
    best, found = best_of(group, opponents), group.cells(method, opponents)
    mean = mean_of([c.mean for c in found.values()])
    return (
        None if best is None or mean is None or best[0] <= 0 else mean / best[0]
    )


def _tables(week: Week, family: Family, texts: Texts) -> list[Block]:
    """What each method's own agent had; and, folded away, what else its runs measured."""
    names = [
        "against",
        "method",
        "seeds",
        "mean",
        "best",
        "share",
        "lost_to",
        "each",
    ]
    own, bold, others = [], set(), []
    for against in family.opponents:
        for k, group in enumerate(
            g for g in family.groups if g.cells(g.method, against)
        ):
            if bare(against) == NEAREST_STAG:
                bold.add(len(own))
            own.append(
                _row(
                    week,
                    family,
                    group,
                    (group.method, group.name, against),
                    texts,
                    k == 0,
                )
            )
        for k, (group, method, told) in enumerate(_others(family, against)):
            row = _row(
                week, family, group, (method, told, against), texts, k == 0
            )
            others.append([*row[:6], row[7]])
    head = [texts(f"weekly_opponent_{name}") for name in names]
    blocks: list[Block] = [
        Grid(head, own, text=2, bold=frozenset(bold), words=frozenset({6, 7}))
    ]
    if others:
        rest = Grid([*head[:6], head[7]], others, text=2, words=frozenset({6}))
        blocks.append(Fold(texts("weekly_other_methods"), [rest]))
    return blocks


def _others(family: Family, against: str) -> list[tuple[RunGroup, str, str]]:
    """(group, method, name) of what was measured beside the groups' own methods; once, where all groups have the same of it."""
    rows = []
    others: dict[str, list[tuple[RunGroup, dict[int, float]]]] = {}
    for group in family.groups:
        for method in group.methods:
            means = {
                seed: c.mean for seed, c in group.cells(method, against).items()
            }
            if method != group.method and means:
                others.setdefault(method, []).append((group, means))
    for method, found in others.items():
        most, means = max(found, key=lambda one: len(one[1]))
        if all(
            means.get(seed) == mean
            for _, of in found
            for seed, mean in of.items()
        ):
            rows.append((most, method, method))
        else:
            rows += [
                (group, method, f"{method} ({group.name})")
                for group, _ in found
            ]
    return rows


def _row(
    week: Week,
    family: Family,
    group: RunGroup,
    what: tuple[str, str, str],
    texts: Texts,
    first: bool,
) -> list[Line]:
    method, told, against = what
    found, own = group.cells(method, against), method == group.method
    means = [c.mean for c in found.values()]
    mean = with_error(means)
    if len(means) == 1:
        (cell,) = found.values()
        mean += (
            f" ± {fixed(float(cell.returns.std(ddof=1) / len(cell.returns) ** 0.5))}*"
            if len(cell.returns) > 1
            else ""
        )
    best, share = best_of(group, against), share_of(group, method, against)
    bound = "≤ " if best is not None and best[1] else ""
    by_seed = {r.seed: r for r in group.runs}
    links = [
        week.to_run(by_seed[seed], fixed(c.mean))
        for seed, c in list(found.items())[:MAX_SEED_LINKS]
    ]
    more = (
        texts("weekly_more", count=len(found) - MAX_SEED_LINKS)
        if len(found) > MAX_SEED_LINKS
        else ""
    )
    losses = regret_of(group, against) if own else None
    return cells(
        named(against, texts) if first else "",
        line(week.to_group(family, group)) if own else told,
        str(len(means)),
        mean,
        "–" if best is None else bound + fixed(best[0]),
        "–" if share is None else ("≥ " if bound else "") + fixed(share),
        _lost_to(losses, texts),
        (*join_lines(links, "  "), *line(more)),
    )


def _lost_to(losses: RegretParts | None, texts: Texts) -> str:
    """The two parts that cost most, if any cost something."""
    if losses is None:
        return "–"
    costs = {
        part: mean_of(values) or 0.0 for part, values in losses.parts.items()
    }
    dear = sorted(
        (p for p in PARTS if costs[p] > 0.005), key=lambda p: -costs[p]
    )
    told = [f"{texts(f'cause_{p}')} {fixed(costs[p])}" for p in dear[:2]]
    return texts("weekly_list_gap").join(told) or texts("weekly_nothing_lost")


# -- where return is lost --------------------------------------------------------------------------------------------------------


def _lost(week: Week, family: Family, texts: Texts) -> list[Block]:
    """A row an opponent set and method that was diagnosed; and how those that were not can be."""
    rows = []
    for against in family.opponents:
        for group in family.groups:
            losses = regret_of(group, against)
            if losses is not None:
                rows.append(
                    _losses_row(week, family, group, against, losses, texts)
                )
    blocks: list[Block] = []
    if rows:
        head = [
            texts("opponents_column"),
            texts("method"),
            texts("weekly_opponent_seeds"),
            texts("best_reply_column"),
        ]
        head += [texts(f"part_{p}") for p in PARTS] + [texts("lost")]
        blocks += [
            Heading(texts("weekly_title_lost")),
            Grid(head, rows, text=2),
            Paragraph(line(texts("weekly_note_lost")), "note"),
        ]
    without = [
        g
        for g in family.groups
        if g.measured and not any(regret_of(g, o) for o in family.opponents)
    ]
    if without:
        said = texts(
            "weekly_not_diagnosed",
            methods=texts("list_gap").join(g.name for g in without),
        )
        blocks.append(
            Paragraph(line(said, " ", diagnose(without[0], week)), "note")
        )
    return blocks


def diagnose(group: RunGroup, week: Week) -> Code:
    """The command that would say where a method loses."""
    return Code(
        "bestreply diagnose "
        + " ".join(week.typed(r.path) for r in group.measured[:6])
    )


def _losses_row(
    week: Week,
    family: Family,
    group: RunGroup,
    against: str,
    losses: RegretParts,
    texts: Texts,
) -> list[Line]:
    return cells(
        named(against, texts),
        line(week.to_group(family, group)),
        str(len(losses.lost)),
        fixed(mean_of(losses.best)),
        *(_less(losses.parts[p], interval=False) for p in PARTS),
        _less(losses.lost),
    )


def _less(values: Sequence[float], interval: bool = True) -> str:
    """What is lost, as a number below 0, with its interval or standard error over runs."""
    mean, within, error = (
        mean_of(values),
        interval_of(values),
        stderr_of(values),
    )
    if mean is None:
        return "–"
    if within is None or error is None:
        return fixed(-mean, sign=True)
    told = (
        f" [{fixed(-within[1])}, {fixed(-within[0])}]"
        if interval
        else f" ± {fixed(error)}"
    )
    return fixed(-mean, sign=True) + told
