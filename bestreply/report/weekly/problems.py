"""What went wrong, or may have: runs, files, rewards, data, models and seats, each as a line that names it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bestreply.report.run_files import number
from bestreply.report.texts import Texts, fixed
from bestreply.report.weekly.document import Line, line
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.record import EpisodeReturns, RunRecord
from bestreply.report.weekly.section_models import beliefs_of, numbers_of
from bestreply.report.weekly.section_runs import revisions
from bestreply.report.weekly.section_verdicts import refused
from bestreply.report.weekly.week import Week, list_names, mean_of
from bestreply.scores.statistics import ALPHA, holm

MAX_SAME_RETURN = 0.9
"""Share of episodes with one and the same return from which rewards count as unbalanced."""
MAX_MOVE_RATIO = 4
"""Times as many moves of one player as of another from which data counts as unbalanced."""
MAX_ECE = 0.1
MIN_RECALL, RECALL_STEPS = 0.5, 3.0
MAX_PER_KIND = 12


def problems(week: Week, texts: Texts) -> list[Line]:
    """In the order in which they matter; many of a kind are counted."""
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
        _models(week, texts),
        _seats(week, texts),
    ]
    return [said for kind in kinds for said in _shortened(list(kind), texts)]


def _shortened(lines: list[Line], texts: Texts) -> list[Line]:
    left = len(lines) - MAX_PER_KIND
    return (
        lines
        if left <= 0
        else [
            *lines[:MAX_PER_KIND],
            line(texts("weekly_problem_more", count=f"{left:,}")),
        ]
    )


# -- runs and files --------------------------------------------------------------------------------------------------------------


def _runs(week: Week, texts: Texts) -> Iterator[Line]:
    for record in week.records:
        if record.state == "failed":
            yield line(
                week.to(record.path / "error.txt", week.place(record)),
                texts("weekly_failed", error=record.error),
            )
    for record in week.records:
        if record.state in ("unfinished", "unmeasured"):
            yield line(week.to_run(record), texts(f"weekly_{record.state}"))


def _files(week: Week, texts: Texts) -> Iterator[Line]:
    """Broken files of each run, and missing ones by how many runs miss them."""
    for record in week.records:
        for problem in record.problems:
            if problem.reason:
                said = texts("broken", file=problem.file, reason=problem.reason)
                yield line(week.to_run(record), texts("weekly_colon"), said)
    missing: dict[str, list[RunRecord]] = {}
    for record in week.records:
        for problem in record.problems:
            if not problem.reason:
                missing.setdefault(problem.file, []).append(record)
    for file, records in missing.items():
        names = list_names([week.place(r) for r in records], texts, 4)
        yield line(
            texts(
                "weekly_file_missing",
                file=file,
                count=f"{len(records):,}",
                runs=names,
            )
        )


def _left_out(week: Week, texts: Texts) -> Iterator[Line]:
    if week.left_out and week.since:
        yield line(
            texts(
                "weekly_before",
                count=f"{week.left_out:,}",
                since=f"{week.since:%Y-%m-%d %H:%M} UTC",
            )
        )


def _repeats(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            if group.repeats:
                names = list_names(
                    [week.place(r) for r in group.repeats], texts, 4
                )
                yield line(
                    texts("weekly_repeats", method=group.name, runs=names)
                )


def missing_seeds(family: Family, group: RunGroup) -> list[int]:
    """Seeds that another method of the same folder of methods was measured with, and this one was not."""
    beside = [
        g
        for g in family.groups
        if g.folder.parent == group.folder.parent and g.sweep
    ]
    every = {r.seed for g in beside for r in g.runs}
    return (
        sorted(every - {r.seed for r in group.measured}) if group.sweep else []
    )


def _missing_seeds(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            gone = sorted(
                set(missing_seeds(family, group)) - {r.seed for r in group.runs}
            )
            if gone:
                yield line(
                    texts(
                        "weekly_seeds_missing",
                        method=group.name,
                        seeds=list_names(gone, texts),
                    )
                )


def _not_comparable(week: Week, texts: Texts) -> Iterator[Line]:
    for _, held in week.pairs:
        for comparison in held.comparisons:
            if not comparison.verdicts:
                yield line(refused(comparison, texts))


def _mixed_code(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        found = revisions(family.runs)
        if len(found) > 1:
            yield line(
                texts(
                    "weekly_revisions",
                    game=family.title,
                    revisions=list_names(found, texts, 4),
                )
            )
    changed = [r for r in week.records if r.revision.endswith("+changes")]
    if changed:
        yield line(texts("weekly_changed", count=f"{len(changed):,}"))


# -- rewards and data --------------------------------------------------------------------------------------------------------------


def _own(
    week: Week,
) -> Iterator[tuple[RunGroup, str, dict[int, EpisodeReturns]]]:
    for family in week.families:
        for group in family.groups:
            for against in family.opponents:
                found = group.cells(group.method, against)
                if found:
                    yield group, against, found


def _rewards(week: Week, texts: Texts) -> Iterator[Line]:
    """One return in nearly all episodes: there is little to tell methods apart by."""
    for group, against, found in _own(week):
        values, counts = np.unique(
            np.concatenate([c.returns for c in found.values()]),
            return_counts=True,
        )
        share = counts.max() / counts.sum()
        if share >= MAX_SAME_RETURN and counts.sum() > 1:
            value = fixed(float(values[counts.argmax()]))
            yield line(
                texts(
                    "weekly_same_return",
                    method=group.name,
                    opponents=against,
                    share=f"{100 * share:.0f}%",
                    value=value,
                )
            )


def _data(week: Week, texts: Texts) -> Iterator[Line]:
    """Players of whom the data holds much more than of others, by the held-out predictions of what they do."""
    for family in week.families:
        seen: set[tuple[str, str]] = set()
        for group in family.groups:
            counts: dict[str, float] = {}
            for record in group.runs:
                entries = record.diagnostics.get("opponent")
                for entry in entries if isinstance(entries, list) else []:
                    count = (
                        number(entry.get("count"))
                        if isinstance(entry, dict)
                        else None
                    )
                    if count is not None and count > 0:
                        name = str(entry.get("player", "?"))
                        counts[name] = counts.get(name, 0.0) + count
            if len(counts) < 2:
                continue
            most, least = (
                max(counts, key=lambda n: counts[n]),
                min(counts, key=lambda n: counts[n]),
            )
            if (
                counts[most] >= MAX_MOVE_RATIO * counts[least]
                and (most, least) not in seen
            ):
                seen.add((most, least))
                times = fixed(counts[most] / counts[least], 1)
                yield line(
                    texts(
                        "weekly_unbalanced",
                        method=group.name,
                        times=times,
                        most=most,
                        least=least,
                    )
                )


# -- models and seats --------------------------------------------------------------------------------------------------------------


def miscalibrated(group: RunGroup) -> float | None:
    """The expected calibration error where it is large, mean over runs."""
    ece = mean_of(numbers_of(beliefs_of(group), "ece"))
    return ece if ece is not None and ece > MAX_ECE else None


def lost_entities(group: RunGroup) -> dict[str, float]:
    """Entities that the world model has lost a few steps ahead: mean recall over runs."""
    recalls: dict[str, list[float]] = {}
    for record in group.runs:
        entries = record.diagnostics.get("open_loop")
        for entry in entries if isinstance(entries, list) else []:
            if (
                isinstance(entry, dict)
                and number(entry.get("steps")) == RECALL_STEPS
            ):
                recall = number(entry.get("recall"))
                if recall is not None:
                    recalls.setdefault(
                        str(entry.get("entity", "?")), []
                    ).append(recall)
    means = {name: mean_of(values) or 0.0 for name, values in recalls.items()}
    return {name: mean for name, mean in means.items() if mean < MIN_RECALL}


def _models(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            ece = miscalibrated(group)
            if ece is not None:
                yield line(
                    texts(
                        "weekly_miscalibrated",
                        method=group.name,
                        ece=fixed(ece, 2),
                    )
                )
    for family in week.families:
        for group in family.groups:
            lost = lost_entities(group)
            if lost:
                named = texts("list_gap").join(
                    f"{name} {fixed(recall)}"
                    for name, recall in list(lost.items())[:6]
                )
                yield line(
                    texts(
                        "weekly_lost_entities",
                        method=group.name,
                        entities=named,
                        steps=f"{RECALL_STEPS:g}",
                    )
                )


@dataclass(frozen=True)
class SeatMeans:
    """Mean returns of an agent by its seat, and p of all being the same."""

    means: dict[int, float]
    p: float


def seat_means(cells: list[EpisodeReturns]) -> SeatMeans | None:
    """F test over episodes that all seats of these trained agents have the same mean, each agent's own mean taken out.

    None where there is one seat, or too little to tell.
    """
    from scipy.special import fdtrc

    seats = np.concatenate([c.seats for c in cells])
    returns = np.concatenate([c.returns for c in cells])
    apart = np.concatenate([c.returns - c.mean for c in cells])
    names, place = np.unique(seats, return_inverse=True)
    count = np.bincount(place)
    between, within = len(names) - 1, len(seats) - len(names) - (len(cells) - 1)
    if between < 1 or within < 1 or (count < 2).any():
        return None
    mean = np.bincount(place, apart) / count
    inside = float(((apart - mean[place]) ** 2).sum()) / within
    if inside < 1e-12:
        return None
    f = float((count * mean**2).sum()) / between / inside
    means = np.bincount(place, returns) / count
    return SeatMeans(
        dict(zip(names.tolist(), means.tolist(), strict=True)),
        float(fdtrc(between, within, f)),
    )


def _seats(week: Week, texts: Texts) -> Iterator[Line]:
    tested = [
        (g, o, s)
        for g, o, found in _own(week)
        if (s := seat_means(list(found.values()))) is not None
    ]
    for (group, against, seats), p in zip(
        tested, holm([s.p for *_, s in tested]), strict=True
    ):
        if p <= ALPHA:
            low, high = (
                min(seats.means, key=lambda k: seats.means[k]),
                max(seats.means, key=lambda k: seats.means[k]),
            )
            said = (
                texts("p_less", p="0.001")
                if p < 0.001
                else texts("p_is", p=f"{p:.3f}")
            )
            values = {
                "best": high,
                "of_best": fixed(seats.means[high]),
                "worst": low,
                "of_worst": fixed(seats.means[low]),
            }
            yield line(
                texts(
                    "weekly_seats",
                    method=group.name,
                    opponents=against,
                    p=said,
                    **values,
                )
            )
