"""Mean returns by opponent set, shares of the best reply, and regret by cause."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from bestreply.report.regret import PARTS
from bestreply.report.run_files import number
from bestreply.report.score_tables import ROLE
from bestreply.report.tables import entries_of
from bestreply.report.texts import Texts, decimals_of, fixed, with_error
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
from bestreply.report.weekly.record import EpisodeReturns
from bestreply.report.weekly.week import (
    Week,
    interval_of,
    join_lines,
    mean_of,
    mean_text,
    stderr_of,
)

MAX_SEED_LINKS = 12  # in a row
MAX_COMMAND_RUNS = 6
COLUMNS = (
    "against",
    "method",
    "seeds",
    "mean",
    "best",
    "share",
    "lost_to",
    "each",
)


@dataclass(frozen=True)
class RegretParts:
    """Regret of a method against one opponent set, with one number per run."""

    best: list[float]
    lost: list[float]
    parts: dict[str, list[float]]

    @property
    def decimals(self) -> int:
        """Decimal places of the returns."""
        return decimals_of(*self.best, *self.lost)

    @property
    def largest(self) -> str | None:
        """The part with the largest mean loss, if it is not 0 as written."""
        return next(iter(self.by_loss), None)

    @property
    def by_loss(self) -> dict[str, float]:
        """Mean losses that are not 0 as written, in descending order."""
        means = {p: mean_of(values) or 0.0 for p, values in self.parts.items()}
        ranked = sorted(PARTS, key=lambda part: -means[part])
        least = 0.5 * 10.0**-self.decimals
        return {p: means[p] for p in ranked if means[p] > least}


def regret_of(group: RunGroup, opponents: str) -> RegretParts | None:
    """Read the regret of a method from ``regret.json``.

    Args:
        group: runs of one method.
        opponents: opponent set.

    Returns:
        None without a valid entry.
    """
    result = RegretParts([], [], {part: [] for part in PARTS})
    for record in group.runs:
        for entry in entries_of(record.regret, "against"):
            numbers = _regret_numbers(entry)
            names = (opponents, bare(opponents))
            if entry.get("opponents") in names and numbers is not None:
                best, lost, *parts = numbers
                result.best.append(best)
                result.lost.append(lost)
                for part, value in zip(PARTS, parts, strict=True):
                    result.parts[part].append(value)
                break
    return result if result.lost else None


def _regret_numbers(entry: dict[str, Any]) -> list[float] | None:
    """Return best reply, total and parts; None if one of them is missing."""
    parts = entry.get("parts")
    if not isinstance(parts, dict):
        return None
    values = [entry.get("best"), entry.get("lost")]
    values += [parts.get(part) for part in PARTS]
    numbers = [number(value) for value in values]
    known = [value for value in numbers if value is not None]
    return known if len(known) == len(numbers) else None


def section_opponents(week: Week, texts: Texts) -> Section:
    """Return mean returns and regret by opponent set, nearest_stag first.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    note = texts("weekly_note_opponents")
    blocks: list[Block] = [Paragraph(line(note), "note")]
    for family in week.families:
        if family.opponents:
            blocks.append(Heading(family.title))
            blocks += _tables(week, family, texts)
            blocks += _regret(week, family, texts)
    return Section("opponents", texts("weekly_title_opponents"), blocks)


def _label(opponents: str, texts: Texts) -> str:
    """Return the opponent set, with the abbreviation of nearest_stag."""
    if bare(opponents) != NEAREST_STAG:
        return opponents
    return texts("weekly_ns", opponents=opponents)


def best_of(group: RunGroup, opponents: str) -> tuple[float, bool] | None:
    """Return the expected return of the best reply.

    Args:
        group: runs of one method.
        opponents: opponent set.

    Returns:
        Mean over runs, and whether it is an upper bound; None without references.
    """
    references = [record.references.get(opponents) for record in group.runs]
    known = [r for r in references if r is not None and not r.missing]
    mean = mean_of([reference.best for reference in known])
    if mean is None:
        return None
    return mean, any(reference.bounds for reference in known)


def share_of(group: RunGroup, method: str, opponents: str) -> float | None:
    """Return mean return / best reply.

    Args:
        group: runs of one method.
        method: method in their scores.
        opponents: opponent set.

    Returns:
        None without a best reply of positive return.
    """
    best = best_of(group, opponents)
    cells_ = group.cells(method, opponents).values()
    mean = mean_of([cell.mean for cell in cells_])
    if best is None or mean is None or best[0] <= 0:
        return None
    return mean / best[0]


def _tables(week: Week, family: Family, texts: Texts) -> list[Block]:
    """Return the table of each method's own agent, and a folded one of other methods."""
    own, others, bold = [], [], set()
    for against in family.opponents:
        groups = [g for g in family.groups if g.cells(g.method, against)]
        for k, group in enumerate(groups):
            if bare(against) == NEAREST_STAG:
                bold.add(len(own))
            link = line(week.link_to_group(family, group))
            label = _label(against, texts) if k == 0 else ""
            costs = _largest_losses(regret_of(group, against), texts)
            numbers = _numbers(
                week, family, group, group.method, against, texts
            )
            own.append(cells(label, link, *numbers[:-1], costs, numbers[-1]))
        for k, (group, method, name) in enumerate(_others(family, against)):
            label = _label(against, texts) if k == 0 else ""
            numbers = _numbers(week, family, group, method, against, texts)
            others.append(cells(label, name, *numbers))
    head = [texts(f"weekly_opponent_{name}") for name in COLUMNS]
    words = frozenset({6, 7})
    tables: list[Block] = [
        Grid(head, own, text=2, bold=frozenset(bold), words=words)
    ]
    if others:
        head = [*head[:6], head[7]]
        rest = Grid(head, others, text=2, words=frozenset({6}))
        tables.append(Fold(texts("weekly_other_methods"), [rest]))
    return tables


def _others(family: Family, against: str) -> list[tuple[RunGroup, str, str]]:
    """Return (group, method, name) of methods other than the groups' own.

    A method with the same means in all groups is listed once.
    """
    by_method: dict[str, list[tuple[RunGroup, dict[int, float]]]] = {}
    for group in family.groups:
        for method in group.methods:
            by_seed = group.cells(method, against)
            means = {seed: cell.mean for seed, cell in by_seed.items()}
            if method != group.method and means:
                by_method.setdefault(method, []).append((group, means))
    rows = []
    for method, entries in by_method.items():
        most, reference = max(entries, key=lambda entry: len(entry[1]))
        pairs = [pair for _, means in entries for pair in means.items()]
        if all(reference.get(seed) == mean for seed, mean in pairs):
            rows.append((most, method, method))
        else:
            for group, _ in entries:
                rows.append((group, method, f"{method} ({group.name})"))
    return rows


def _numbers(
    week: Week,
    family: Family,
    group: RunGroup,
    method: str,
    against: str,
    texts: Texts,
) -> list[str | Line]:
    """Return seeds, mean, best reply, share, and the means of runs with links."""
    by_seed = group.cells(method, against)
    means = [cell.mean for cell in by_seed.values()]
    decimals = family.decimals
    mean = mean_text(means, decimals)
    if len(means) == 1:
        (cell,) = by_seed.values()
        error = stderr_of(cell.returns.tolist())
        mean += "" if error is None else f" ± {fixed(error, decimals)}*"
    best, share = best_of(group, against), share_of(group, method, against)
    is_bound = best is not None and best[1]
    return [
        str(len(means)),
        mean,
        ("≤ " if is_bound else "") + fixed(best and best[0], decimals),
        ("≥ " if is_bound and share is not None else "") + fixed(share),
        _run_links(week, group, by_seed, decimals, texts),
    ]


def _run_links(
    week: Week,
    group: RunGroup,
    by_seed: dict[int, EpisodeReturns],
    decimals: int,
    texts: Texts,
) -> Line:
    records = {record.seed: record for record in group.runs}
    links = [
        week.link_to_run(records[seed], fixed(cell.mean, decimals))
        for seed, cell in list(by_seed.items())[:MAX_SEED_LINKS]
    ]
    left = len(by_seed) - MAX_SEED_LINKS
    more = texts("weekly_more", count=left) if left > 0 else ""
    return (*join_lines(links, "  "), *line(more))


def _largest_losses(parts: RegretParts | None, texts: Texts) -> str:
    """Write the two largest parts of the regret."""
    if parts is None:
        return "–"
    losses = [
        f"{texts(f'cause_{part}')} {fixed(mean, parts.decimals)}"
        for part, mean in parts.by_loss.items()
    ]
    listed = texts("weekly_list_gap").join(losses[:2])
    return listed or texts("weekly_nothing_lost")


# -- regret by cause -------------------------------------------------------------


def _regret(week: Week, family: Family, texts: Texts) -> list[Block]:
    """Return a row for each opponent set and method, and the command for the rest."""
    rows, diagnosed = [], set()
    for against in family.opponents:
        for group in family.groups:
            parts = regret_of(group, against)
            if parts is not None:
                diagnosed.add(group.name)
                link = line(week.link_to_group(family, group))
                label = _label(against, texts)
                rows.append(cells(label, link, *_regret_texts(parts)))
    blocks: list[Block] = []
    if rows:
        causes = [f"part_{part}" for part in PARTS]
        names = ["opponents_column", "method", "weekly_opponent_seeds"]
        names += ["best_reply_column", *causes, "weekly_lost_total"]
        blocks += [
            Heading(texts("weekly_title_lost")),
            Grid([texts(name) for name in names], rows, text=2),
            Paragraph(line(texts("weekly_note_lost")), "note"),
        ]
    rest = [g for g in family.groups if g.measured and g.name not in diagnosed]
    if rest and not all(ROLE in name for name in family.opponents):
        methods = texts("list_gap").join(g.name for g in rest)
        text = texts("weekly_not_diagnosed", methods=methods)
        command = diagnose(rest[0], week)
        blocks.append(Paragraph(line(text, " ", command), "note"))
    return blocks


def diagnose(group: RunGroup, week: Week) -> Code:
    """Return the command that decomposes the regret of a method.

    Args:
        group: runs of the method.
        week: runs and comparisons.

    Returns:
        The command for the first runs.
    """
    runs = group.measured[:MAX_COMMAND_RUNS]
    paths = " ".join(week.shell_path(record.path) for record in runs)
    return Code(f"bestreply diagnose {paths}")


def _regret_texts(parts: RegretParts) -> list[str]:
    """Return seeds, best reply, parts with standard errors, and total with interval."""
    losses = []
    for part in PARTS:
        values = [-value for value in parts.parts[part]]
        mean, error = mean_of(values), stderr_of(values)
        losses.append(with_error(mean, error, parts.decimals, sign=True))
    values = [-value for value in parts.lost]
    write = partial(fixed, decimals=parts.decimals)
    total, interval = write(mean_of(values), sign=True), interval_of(values)
    if interval is not None:
        total += f" [{write(interval[0])}, {write(interval[1])}]"
    return [str(len(values)), write(mean_of(parts.best)), *losses, total]
