"""The next runs that would settle what is open, each with the command or the setting that asks for it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bestreply.report.texts import Texts, duration, fixed
from bestreply.report.weekly.comparisons import Comparison, GameComparisons
from bestreply.report.weekly.document import Code, Line, line
from bestreply.report.weekly.groups import NEAREST_STAG, Family, RunGroup, bare
from bestreply.report.weekly.problems import (
    MAX_PER_KIND,
    lost_entities,
    miscalibrated,
    missing_seeds,
)
from bestreply.report.weekly.section_opponents import diagnose, regret_of
from bestreply.report.weekly.week import Week, join_lines, mean_of

MIN_SEEDS = 6
"""Fewer than so many can never show a difference at 5 %."""


def plan(week: Week, texts: Texts) -> list[Line]:
    kinds = [
        _unfinished(week, texts),
        _seeds(week, texts),
        _same_budget(week, texts),
        _diagnose(week, texts),
        _nearest_stag(week, texts),
        _models(week, texts),
    ]
    found = []
    for kind in kinds:
        lines = list(dict.fromkeys(kind))
        found += lines[:MAX_PER_KIND]
    return found


def _unfinished(week: Week, texts: Texts) -> Iterator[Line]:
    """Sweeps go on with the same command; runs are taken up one by one."""
    for record in week.records:
        if record.state == "done":
            continue
        file = sweep_file(record.command)
        place = week.typed(record.path)
        if record.path.name.isdecimal():
            yield (
                *line(texts("weekly_do_sweep_again")),
                Code(f"bestreply sweep {file or 'FILE.toml'}"),
            )
        elif record.state == "unmeasured":
            yield (
                *line(texts("weekly_do_evaluate")),
                Code(f"bestreply evaluate {place}"),
            )
        else:
            again = Code(
                f"bestreply run --config {week.typed(record.path / 'config.json')} --out {place} --resume"
            )
            yield (*line(texts("weekly_do_resume")), again)


def sweep_file(command: str) -> str | None:
    """The file of ``bestreply sweep FILE``, if that is what was typed and the name is a plain one."""
    found = re.match(
        r"bestreply sweep (?:--\w+[ =]\w+ )*([\w./-]+\.toml)\b", command
    )
    return found[1] if found else None


# -- seeds -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenComparison:
    """A comparison that more seeds would settle: so many in all."""

    said: str
    groups: tuple[RunGroup, ...]
    expected: int


def _seeds(week: Week, texts: Texts) -> Iterator[Line]:
    """Of what is not settled between methods, how many seeds would; what one sweep would settle, together."""
    by_file: dict[str, list[OpenComparison]] = {}
    for family, held in week.pairs:
        for c, groups in _compared(family, held):
            v = c.overall
            if v.verdict != "not_enough":
                continue
            names = {"a": groups[0].name, "b": c.b}
            if v.seeds > 1 and v.seeds_required is None:
                yield line(
                    texts(
                        "weekly_do_not",
                        difference=fixed(v.target_difference),
                        **names,
                    )
                )
                continue
            wanted = max(v.seeds_required or MIN_SEEDS, v.seeds + 1)
            said = texts("weekly_do_seeds", seeds=f"{wanted:,}", **names)
            if all(g.sweep for g in groups):
                file = next(
                    (
                        f
                        for g in groups
                        for r in g.runs
                        if (f := sweep_file(r.command))
                    ),
                    "FILE.toml",
                )
                by_file.setdefault(file, []).append(
                    OpenComparison(said, groups, wanted)
                )
            else:
                yield (
                    *line(texts("weekly_do_more", open=said)),
                    *_one_by_one(week, groups, texts),
                )
    for file, found in by_file.items():
        yield _one_sweep(file, sorted(found, key=lambda o: -o.expected), texts)


def _compared(
    family: Family, held: GameComparisons
) -> Iterator[tuple[Comparison, tuple[RunGroup, ...]]]:
    """Comparisons whose outcome is worth more seeds: of methods with each other, and of each with its own model of the others left out."""
    by_name = {g.name: g for g in family.groups}
    yield from (
        (c, (by_name[c.a], by_name[c.b])) for c in held.between if c.verdicts
    )
    for name, comparisons in held.within.items():
        yield from (
            (c, (by_name[name],))
            for c in comparisons
            if c.verdicts and c.b == "uniform_others"
        )


def _one_sweep(file: str, found: list[OpenComparison], texts: Texts) -> Line:
    """The setting that settles all of `found`, and what it costs at the time that runs have taken."""
    wanted = found[0].expected
    groups = {id(g): g for o in found for g in o.groups}.values()
    runs = sum(wanted - len(g.measured) for g in groups)
    seconds = [
        r.seconds for g in groups for r in g.runs if r.seconds is not None
    ]
    said = texts("weekly_list_gap").join(o.said for o in found[:MAX_PER_KIND])
    parts = [
        texts("weekly_do_more", open=said),
        texts("weekly_in_sweep"),
        Code(f"seeds = {wanted}"),
    ]
    parts += [
        texts("weekly_in_file", file=file),
        Code(f"bestreply sweep {file}"),
    ]
    long = duration(runs * (mean_of(seconds) or 0.0), texts)
    parts += (
        [texts("weekly_cost", runs=f"{runs:,}", time=long)]
        if seconds and long
        else []
    )
    return line(*parts)


def _one_by_one(week: Week, groups: Sequence[RunGroup], texts: Texts) -> Line:
    """The command that adds a seed to each method."""
    runs = [g.runs[0] for g in groups if g.runs[0].config]
    seed = max(r.seed for g in groups for r in g.runs) + 1
    typed = [
        Code(
            f"bestreply run --config {week.typed(r.path / 'config.json')} --seed {seed}"
        )
        for r in runs
    ]
    return (
        (*line(texts("weekly_by_run")), *join_lines(typed, texts("list_gap")))
        if typed
        else ()
    )


def _same_budget(week: Week, texts: Texts) -> Iterator[Line]:
    """Comparisons that were refused for what can be made the same."""
    for family, held in week.pairs:
        for c in held.between:
            facts = {a.fact for a in c.apart}
            if any(f.startswith("episodes against") for f in facts):
                yield line(
                    texts("weekly_do_evaluate_alike", a=c.a, b=c.b),
                    Code("bestreply evaluate RUN --episodes N --opponents ..."),
                )
            if "environment steps" in facts:
                yield line(
                    texts("weekly_do_budget", a=c.a, b=c.b),
                    Code("--collect.episodes"),
                )
            if not c.seeds and not c.apart:
                yield line(texts("weekly_do_same_seeds", a=c.a, b=c.b))
        for group in family.groups:
            gone = missing_seeds(family, group)
            if gone and all(r.state == "done" for r in group.runs):
                file = sweep_file(group.runs[0].command) or "FILE.toml"
                yield (
                    *line(texts("weekly_do_sweep_again")),
                    Code(f"bestreply sweep {file}"),
                )


# -- weak play and models --------------------------------------------------------------------------------------------------------


def _diagnose(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            if (
                group.measured
                and group.runs[0].config
                and not any(r.regret for r in group.runs)
            ):
                yield (
                    *line(texts("weekly_do_diagnose", method=group.name)),
                    diagnose(group, week),
                )


REMEDIES = {
    "others": "train.opponent_updates",
    "dynamics": "train.updates",
    "depth": 'planner.planner = "expectimax"',
    "value": 'train.target = "improved"',
}
"""What most directly works on each part of a loss."""


def _nearest_stag(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for against in family.opponents:
            if bare(against) != NEAREST_STAG:
                continue
            for group in family.groups:
                losses = regret_of(group, against)
                if losses is None or losses.largest is None:
                    continue
                lost = fixed(mean_of(losses.parts[losses.largest]))
                part = texts(f"cause_{losses.largest}")
                said = texts(
                    f"weekly_do_{losses.largest}",
                    method=group.name,
                    part=part,
                    lost=lost,
                )
                yield (*line(said), Code(REMEDIES[losses.largest]))


def _models(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            if miscalibrated(group) is not None:
                yield (
                    *line(texts("weekly_do_calibrate", method=group.name)),
                    Code(REMEDIES["others"]),
                )
            if lost_entities(group):
                yield (
                    *line(texts("weekly_do_world", method=group.name)),
                    Code(REMEDIES["dynamics"]),
                )
