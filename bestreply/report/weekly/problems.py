"""Problems of runs, files, rewards, data, models and seats."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bestreply.report.run_files import number
from bestreply.report.tables import entries_of
from bestreply.report.texts import Texts, decimals_of, fixed
from bestreply.report.verdict_text import p_text
from bestreply.report.weekly.document import Line, line
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.record import EpisodeReturns
from bestreply.report.weekly.section_models import beliefs_of, numbers_of
from bestreply.report.weekly.section_runs import revisions
from bestreply.report.weekly.section_verdicts import mismatch_sentence
from bestreply.report.weekly.week import Week, list_names, mean_of
from bestreply.scores.statistics import ALPHA, holm

MAX_SAME_RETURN = 0.9
"""Share of episodes with the same return from which rewards are unbalanced."""
MAX_MOVE_RATIO = 4
"""Ratio of moves of two players from which data is unbalanced."""
MAX_ECE = 0.1
MIN_RECALL, RECALL_STEPS = 0.5, 3.0
MAX_ENTITIES = 6
MAX_PER_KIND = 12


def problems(week: Week, texts: Texts) -> list[Line]:
    """Return the problems of runs, files, rewards, data, models and seats.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        Lines in order of importance, at most MAX_PER_KIND of each kind.
    """
    kinds = [
        _runs(week, texts),
        _files(week, texts),
        _left_out(week, texts),
        _repeats(week, texts),
        _missing_seeds(week, texts),
        _not_comparable(week, texts),
        _mixed_code(week, texts),
        _rewards(week, texts),
        _data(week, texts),
        _calibration(week, texts),
        _world_models(week, texts),
        _seats(week, texts),
    ]
    lines = []
    for kind in kinds:
        entries = list(kind)
        lines += entries[:MAX_PER_KIND]
        left = len(entries) - MAX_PER_KIND
        if left > 0:
            lines.append(line(texts("weekly_problem_more", count=f"{left:,}")))
    return lines


# -- runs and files --------------------------------------------------------------


def _runs(week: Week, texts: Texts) -> Iterator[Line]:
    for record in week.records:
        if record.state == "failed":
            path = week.relative_path(record)
            link = week.link(record.path / "error.txt", path)
            yield line(link, texts("weekly_failed", error=record.error))
    for record in week.records:
        if record.state in ("unfinished", "unmeasured"):
            state = texts(f"weekly_{record.state}")
            yield line(week.link_to_run(record), state)


def _files(week: Week, texts: Texts) -> Iterator[Line]:
    """Yield the broken files of each run, then missing files with their runs."""
    missing: dict[str, list[str]] = {}
    for record in week.records:
        for problem in record.problems:
            if not problem.reason:
                path = week.relative_path(record)
                missing.setdefault(problem.file, []).append(path)
                continue
            text = texts("broken", file=problem.file, reason=problem.reason)
            yield line(week.link_to_run(record), texts("weekly_colon"), text)
    for file, paths in missing.items():
        runs, count = list_names(paths, texts, 4), f"{len(paths):,}"
        yield line(
            texts("weekly_file_missing", file=file, count=count, runs=runs)
        )


def _left_out(week: Week, texts: Texts) -> Iterator[Line]:
    if week.left_out and week.since:
        since = f"{week.since:%Y-%m-%d %H:%M} UTC"
        count = f"{week.left_out:,}"
        yield line(texts("weekly_before", count=count, since=since))


def _repeats(week: Week, texts: Texts) -> Iterator[Line]:
    for _, group in week.groups:
        if group.repeats:
            paths = [week.relative_path(r) for r in group.repeats]
            runs = list_names(paths, texts, 4)
            yield line(texts("weekly_repeats", method=group.name, runs=runs))


def missing_seeds(family: Family, group: RunGroup) -> list[int]:
    """Return the seeds that a method lacks and another method of its sweep has.

    Args:
        family: runs of the game.
        group: runs of the method.

    Returns:
        Seeds in order, of runs without scores too.
    """
    if not group.sweep:
        return []
    sweep = [
        g
        for g in family.groups
        if g.folder.parent == group.folder.parent and g.sweep
    ]
    seeds = {r.seed for g in sweep for r in g.runs}
    return sorted(seeds - {r.seed for r in group.measured})


def _missing_seeds(week: Week, texts: Texts) -> Iterator[Line]:
    for family, group in week.groups:
        seeds = set(missing_seeds(family, group)) - {r.seed for r in group.runs}
        if seeds:
            listed = list_names(sorted(seeds), texts)
            yield line(
                texts("weekly_seeds_missing", method=group.name, seeds=listed)
            )


def _not_comparable(week: Week, texts: Texts) -> Iterator[Line]:
    for _, comparisons in week.pairs:
        for comparison in comparisons.comparisons:
            if not comparison.verdicts:
                yield line(mismatch_sentence(comparison, texts))


def _mixed_code(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        used = revisions(family.runs)
        if len(used) > 1:
            listed = list_names(used, texts, 4)
            yield line(
                texts("weekly_revisions", game=family.title, revisions=listed)
            )
    changed = [r for r in week.records if r.revision.endswith("+changes")]
    if changed:
        yield line(texts("weekly_changed", count=f"{len(changed):,}"))


# -- rewards and data ------------------------------------------------------------


def _own_cells(
    week: Week,
) -> Iterator[tuple[RunGroup, str, list[EpisodeReturns]]]:
    """Yield the episodes of each method's own agent by opponent set."""
    for family, group in week.groups:
        for against in family.opponents:
            cells = list(group.cells(group.method, against).values())
            if cells:
                yield group, against, cells


def _rewards(week: Week, texts: Texts) -> Iterator[Line]:
    """Yield methods with the same return in nearly all episodes."""
    for group, against, cells in _own_cells(week):
        returns = np.concatenate([c.returns for c in cells])
        values, counts = np.unique(returns, return_counts=True)
        share = counts.max() / counts.sum()
        if share >= MAX_SAME_RETURN and len(returns) > 1:
            most = float(values[counts.argmax()])
            value = fixed(most, decimals_of(most))
            percent = f"{100 * share:.0f}%"
            names = {"method": group.name, "opponents": against}
            yield line(
                texts("weekly_same_return", share=percent, value=value, **names)
            )


def _data(week: Week, texts: Texts) -> Iterator[Line]:
    """Yield pairs of players with very different numbers of held-out moves."""
    for family in week.families:
        pairs: set[tuple[str, str]] = set()
        for group in family.groups:
            counts = _move_counts(group)
            if len(counts) < 2:
                continue
            most = max(counts, key=lambda name: counts[name])
            least = min(counts, key=lambda name: counts[name])
            ratio = counts[most] / counts[least]
            if ratio >= MAX_MOVE_RATIO and (most, least) not in pairs:
                pairs.add((most, least))
                names = {"method": group.name, "most": most, "least": least}
                times = fixed(ratio, 1)
                yield line(texts("weekly_unbalanced", times=times, **names))


def _move_counts(group: RunGroup) -> dict[str, float]:
    """Return the number of held-out moves by player."""
    counts: dict[str, float] = {}
    for record in group.runs:
        for entry in entries_of(record.diagnostics, "opponent"):
            count = number(entry.get("count"))
            if count is not None and count > 0:
                name = str(entry.get("player", "?"))
                counts[name] = counts.get(name, 0.0) + count
    return counts


# -- models and seats ------------------------------------------------------------


def miscalibrated(group: RunGroup) -> float | None:
    """Return the expected calibration error if it is large.

    Args:
        group: runs of one method.

    Returns:
        Mean over runs; None up to MAX_ECE.
    """
    ece = mean_of(numbers_of(beliefs_of(group), "ece"))
    return ece if ece is not None and ece > MAX_ECE else None


def lost_entities(group: RunGroup) -> dict[str, float]:
    """Return the entities that the world model loses within RECALL_STEPS steps.

    Args:
        group: runs of one method.

    Returns:
        Mean recall over runs, for entities below MIN_RECALL.
    """
    recalls: dict[str, list[float]] = {}
    for record in group.runs:
        for entry in entries_of(record.diagnostics, "open_loop"):
            recall = number(entry.get("recall"))
            if (
                number(entry.get("steps")) == RECALL_STEPS
                and recall is not None
            ):
                name = str(entry.get("entity", "?"))
                recalls.setdefault(name, []).append(recall)
    means = {name: mean_of(values) or 0.0 for name, values in recalls.items()}
    return {name: mean for name, mean in means.items() if mean < MIN_RECALL}


def _calibration(week: Week, texts: Texts) -> Iterator[Line]:
    for _, group in week.groups:
        ece = miscalibrated(group)
        if ece is not None:
            names = {"method": group.name, "ece": fixed(ece, 2)}
            yield line(texts("weekly_miscalibrated", **names))


def _world_models(week: Week, texts: Texts) -> Iterator[Line]:
    for _, group in week.groups:
        lost = list(lost_entities(group).items())[:MAX_ENTITIES]
        if lost:
            entities = texts("list_gap").join(
                f"{name} {fixed(recall)}" for name, recall in lost
            )
            names = {"method": group.name, "steps": f"{RECALL_STEPS:g}"}
            yield line(
                texts("weekly_lost_entities", entities=entities, **names)
            )


@dataclass(frozen=True)
class SeatMeans:
    """Mean return of an agent by seat, and p of equal means."""

    means: dict[int, float]
    p: float


def seat_means(cells: list[EpisodeReturns]) -> SeatMeans | None:
    """Test whether the mean return depends on the seat, by an F test over episodes.

    The null hypothesis is that all seats of these trained agents have the same mean, after
    subtracting each agent's own mean.

    Args:
        cells: episodes of each agent.

    Returns:
        Mean by seat, and p; None for a single seat or too few episodes.
    """
    from scipy.special import fdtrc

    seats = np.concatenate([c.seats for c in cells])
    returns = np.concatenate([c.returns for c in cells])
    residuals = np.concatenate([c.returns - c.mean for c in cells])
    names, index = np.unique(seats, return_inverse=True)
    count = np.bincount(index)
    between, within = len(names) - 1, len(seats) - len(names) - (len(cells) - 1)
    if between < 1 or within < 1 or (count < 2).any():
        return None
    mean = np.bincount(index, residuals) / count
    variance = float(((residuals - mean[index]) ** 2).sum()) / within
    if variance < 1e-12:
        return None
    f = float((count * mean**2).sum()) / between / variance
    means = np.bincount(index, returns) / count
    by_seat = dict(zip(names.tolist(), means.tolist(), strict=True))
    return SeatMeans(by_seat, float(fdtrc(between, within, f)))


def _seats(week: Week, texts: Texts) -> Iterator[Line]:
    tested = []
    for group, against, cells in _own_cells(week):
        seats = seat_means(cells)
        if seats is not None:
            tested.append((group, against, seats))
    adjusted = holm([seats.p for *_, seats in tested])
    for (group, against, seats), p in zip(tested, adjusted, strict=True):
        if p > ALPHA:
            continue
        means = seats.means
        worst, best = (
            min(means, key=means.__getitem__),
            max(means, key=means.__getitem__),
        )
        yield line(
            texts(
                "weekly_seats",
                method=group.name,
                opponents=against,
                best=best,
                of_best=fixed(means[best], decimals_of(*means.values())),
                worst=worst,
                of_worst=fixed(means[worst], decimals_of(*means.values())),
                p=p_text(p, texts),
            )
        )
