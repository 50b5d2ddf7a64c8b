"""The next runs that would settle what is open, each with the command or the setting that asks for it."""

import re
from collections.abc import Iterator

from bestreply.report.texts import Texts, fixed
from bestreply.report.weekly.document import Code, Line, Part, Plain, line
from bestreply.report.weekly.groups import NEAREST_STAG, Family, Group, bare
from bestreply.report.weekly.held import Comparison
from bestreply.report.weekly.problems import MOST_OF_A_KIND, lost_entities, miscalibrated, missing_seeds
from bestreply.report.weekly.section_opponents import diagnose, losses_of
from bestreply.report.weekly.week import Week, mean_of

LEAST_SEEDS = 6
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
        found += lines[:MOST_OF_A_KIND]
    return found


def _unfinished(week: Week, texts: Texts) -> Iterator[Line]:
    """Sweeps go on with the same command; runs are taken up one by one."""
    for record in week.records:
        if record.state == "done":
            continue
        file = sweep_file(record.command)
        place = week.place(record)
        if record.path.name.isdecimal():
            yield (*line(texts("weekly_do_sweep_again")), Code(f"bestreply sweep {file or 'FILE.toml'}"))
        elif record.state == "unmeasured":
            yield (*line(texts("weekly_do_evaluate")), Code(f"bestreply evaluate {place}"))
        else:
            again = Code(f"bestreply run --config {place}/config.json --out {place} --resume")
            yield (*line(texts("weekly_do_resume")), again)


def sweep_file(command: str) -> str | None:
    """The file of ``bestreply sweep FILE``, if that is what was typed and the name is a plain one."""
    found = re.match(r"bestreply sweep (?:--\w+[ =]\w+ )*([\w./-]+\.toml)\b", command)
    return found[1] if found else None


# -- seeds -----------------------------------------------------------------------------------------------------------------------


def _seeds(week: Week, texts: Texts) -> Iterator[Line]:
    """Of what is not settled between methods, how many seeds would."""
    for family, held in week.pairs:
        for comparison in held.between:
            yield from _more_seeds(week, family, comparison, texts)
    for family, held in week.pairs:
        for name, comparisons in held.within.items():
            group = next(g for g in family.groups if g.name == name)
            for comparison in comparisons:
                if comparison.b == "uniform_others" and comparison.verdicts:
                    yield from _more_seeds(week, family, comparison, texts, group)


def _more_seeds(
    week: Week, family: Family, c: Comparison, texts: Texts, group: Group | None = None
) -> Iterator[Line]:
    if not c.verdicts or c.overall.verdict != "not_enough":
        return
    v = c.overall
    names = {"a": c.a if group is None else group.name, "b": c.b}
    if v.seeds > 1 and v.needed is None:
        yield line(texts("weekly_do_not", difference=fixed(v.sought), **names))
        return
    wanted = max(v.needed or LEAST_SEEDS, v.seeds + 1)
    groups = [g for g in family.groups if g.name in (c.a, c.b)] if group is None else [group]
    key = "weekly_do_seeds" if v.seeds > 1 else "weekly_do_first_seeds"
    said = texts(key, seeds=f"{wanted:,}", more=f"{wanted - v.seeds:,}", **names)
    yield (*line(said), *_how(week, groups, wanted, texts))


def _how(week: Week, groups: list[Group], wanted: int, texts: Texts) -> tuple[Part, ...]:
    """What to change or to type, so that there are `wanted` seeds in all."""
    file = next((f for g in groups for r in g.runs if (f := sweep_file(r.command))), None)
    if all(g.sweep for g in groups):
        seeds = f"seeds = {wanted}"
        return (
            Plain(texts("weekly_in_sweep")), Code(seeds), Plain(texts("weekly_in_file", file=file or "FILE.toml")),
            Code(f"bestreply sweep {file or 'FILE.toml'}"),
        )  # fmt: skip
    runs = [g.runs[0] for g in groups if g.runs[0].config]
    if not runs:
        return ()
    seed = max(r.seed for g in groups for r in g.runs) + 1
    parts: list[Part] = [Plain(texts("weekly_by_run"))]
    for k, record in enumerate(runs):
        parts += [Plain(texts("list_gap"))] if k else []
        parts.append(Code(f"bestreply run --config {week.place(record)}/config.json --seed {seed}"))
    return tuple(parts)


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
                yield line(texts("weekly_do_budget", a=c.a, b=c.b), Code("--collect.episodes"))
            if not c.seeds and not c.apart:
                yield line(texts("weekly_do_same_seeds", a=c.a, b=c.b))
        for group in family.groups:
            gone = missing_seeds(family, group)
            if gone and all(r.state == "done" for r in group.runs):
                file = sweep_file(group.runs[0].command) or "FILE.toml"
                yield (*line(texts("weekly_do_sweep_again")), Code(f"bestreply sweep {file}"))


# -- weak play and models --------------------------------------------------------------------------------------------------------


def _diagnose(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            if group.measured and group.runs[0].config and not any(r.regret for r in group.runs):
                yield (*line(texts("weekly_do_diagnose", method=group.name)), diagnose(group, week))


REMEDIES = {
    "others": "train.opponent_updates",
    "dynamics": "train.updates",
    "depth": 'planner.planner = "look_ahead"',
    "value": 'train.target = "improved"',
}
"""What most directly works on each part of a loss."""


def _nearest_stag(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for against in family.opponents:
            if bare(against) != NEAREST_STAG:
                continue
            for group in family.groups:
                losses = losses_of(group, against)
                if losses is None or losses.largest is None:
                    continue
                lost = fixed(mean_of(losses.parts[losses.largest]))
                part = texts(f"fall_{losses.largest}")
                said = texts(f"weekly_do_{losses.largest}", method=group.name, part=part, lost=lost)
                yield (*line(said), Code(REMEDIES[losses.largest]))


def _models(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for group in family.groups:
            if miscalibrated(group) is not None:
                yield (*line(texts("weekly_do_calibrate", method=group.name)), Code(REMEDIES["others"]))
            if lost_entities(group):
                yield (*line(texts("weekly_do_world", method=group.name)), Code(REMEDIES["dynamics"]))
