"""Suggestions for the next runs, each with its command or setting."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bestreply.report.texts import Texts, duration, fixed
from bestreply.report.verdict_text import decimals_in
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
"""Fewer seeds cannot show a difference at 5 %."""
DEFAULT_SWEEP = "FILE.toml"
"""Name of a sweep file that no run states."""


def plan(week: Week, texts: Texts) -> list[Line]:
    """Return suggestions for the next runs.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        Lines with commands or settings, at most MAX_PER_KIND of each kind.
    """
    kinds = [
        _unfinished(week, texts),
        _seeds(week, texts),
        _same_budget(week, texts),
        _diagnose(week, texts),
        _nearest_stag(week, texts),
        _models(week, texts),
    ]
    lines = []
    for kind in kinds:
        lines += list(dict.fromkeys(kind))[:MAX_PER_KIND]
    return lines


def _command(text: str, command: str) -> Line:
    return line(text, Code(command))


def _unfinished(week: Week, texts: Texts) -> Iterator[Line]:
    """Continue a sweep with the same command, and other runs one by one."""
    for record in week.records:
        if record.state == "done":
            continue
        path = week.shell_path(record.path)
        if record.path.name.isdecimal():
            file = sweep_file(record.command) or DEFAULT_SWEEP
            command = f"bestreply sweep {file}"
            yield _command(texts("weekly_do_sweep_again"), command)
        elif record.state == "unmeasured":
            command = f"bestreply evaluate {path}"
            yield _command(texts("weekly_do_evaluate"), command)
        else:
            config = week.shell_path(record.path / "config.json")
            command = f"bestreply run --config {config} --out {path} --resume"
            yield _command(texts("weekly_do_resume"), command)


def sweep_file(command: str) -> str | None:
    """Return the file of a command ``bestreply sweep FILE``.

    Args:
        command: command of a run.

    Returns:
        None for other commands, and for names with special characters.
    """
    match = re.match(
        r"bestreply sweep (?:--\w+[ =]\w+ )*([\w./-]+\.toml)\b", command
    )
    return match[1] if match else None


# -- seeds -----------------------------------------------------------------------


@dataclass(frozen=True)
class OpenComparison:
    """A comparison that more seeds would decide."""

    text: str
    groups: tuple[RunGroup, ...]
    seeds: int  # required in all

    @property
    def file(self) -> str | None:
        """Sweep file of the runs; None unless all runs are of sweeps."""
        if not all(group.sweep for group in self.groups):
            return None
        runs = [record for group in self.groups for record in group.runs]
        files = [sweep_file(record.command) for record in runs]
        return next((file for file in files if file), DEFAULT_SWEEP)


def _seeds(week: Week, texts: Texts) -> Iterator[Line]:
    """Add seeds where comparisons are undecided, with one line for each sweep file."""
    by_file: dict[str, list[OpenComparison]] = {}
    for family, comparisons in week.pairs:
        for comparison, groups in _with_groups(family, comparisons):
            verdict = comparison.overall
            if verdict.verdict != "not_enough":
                continue
            names = {"a": groups[0].name, "b": comparison.b}
            if verdict.seeds > 1 and verdict.seeds_required is None:
                target = fixed(
                    verdict.target_difference, decimals_in([verdict])
                )
                yield line(texts("weekly_do_not", difference=target, **names))
                continue
            required = verdict.seeds_required or MIN_SEEDS
            seeds = max(required, verdict.seeds + 1)
            text = texts("weekly_do_seeds", seeds=f"{seeds:,}", **names)
            entry = OpenComparison(text, groups, seeds)
            if entry.file is None:
                more = line(texts("weekly_do_more", open=text))
                yield (*more, *_one_by_one(week, groups, texts))
            else:
                by_file.setdefault(entry.file, []).append(entry)
    for file, entries in by_file.items():
        entries.sort(key=lambda entry: -entry.seeds)
        yield _one_sweep(file, entries, texts)


def _with_groups(
    family: Family, comparisons: GameComparisons
) -> Iterator[tuple[Comparison, tuple[RunGroup, ...]]]:
    """Yield the comparisons for which more seeds are suggested.

    These are pairs of methods, and each method with its agent with uniform opponent models.
    """
    by_name = {g.name: g for g in family.groups}
    for c in comparisons.between:
        if c.verdicts:
            yield c, (by_name[c.a], by_name[c.b])
    for name, within in comparisons.within.items():
        for c in within:
            if c.verdicts and c.b == "uniform_others":
                yield c, (by_name[name],)


def _one_sweep(file: str, entries: list[OpenComparison], texts: Texts) -> Line:
    """Return the setting that decides all comparisons of a sweep, and its cost."""
    seeds = entries[0].seeds
    groups = {id(g): g for entry in entries for g in entry.groups}.values()
    missing = sum(seeds - len(g.measured) for g in groups)
    seconds = [r.seconds for g in groups for r in g.runs]
    known = [s for s in seconds if s is not None]
    listed = texts("weekly_list_gap").join(
        entry.text for entry in entries[:MAX_PER_KIND]
    )
    parts = [
        texts("weekly_do_more", open=listed),
        texts("weekly_in_sweep"),
        Code(f"seeds = {seeds}"),
        texts("weekly_in_file", file=file),
        Code(f"bestreply sweep {file}"),
    ]
    time = duration(missing * (mean_of(known) or 0.0), texts)
    if known and time:
        parts.append(texts("weekly_cost", runs=f"{missing:,}", time=time))
    return line(*parts)


def _one_by_one(week: Week, groups: Sequence[RunGroup], texts: Texts) -> Line:
    """Return the commands that add a seed to each method."""
    runs = [g.runs[0] for g in groups if g.runs[0].config]
    if not runs:
        return ()
    seed = max(r.seed for g in groups for r in g.runs) + 1
    commands = []
    for record in runs:
        config = week.shell_path(record.path / "config.json")
        commands.append(Code(f"bestreply run --config {config} --seed {seed}"))
    listed = join_lines(commands, texts("list_gap"))
    return (*line(texts("weekly_by_run")), *listed)


def _same_budget(week: Week, texts: Texts) -> Iterator[Line]:
    """Remove the mismatches that prevent comparisons."""
    for family, comparisons in week.pairs:
        for c in comparisons.between:
            yield from _without_mismatches(c, texts)
        for group in family.groups:
            missing = missing_seeds(family, group)
            if missing and all(r.state == "done" for r in group.runs):
                file = sweep_file(group.runs[0].command) or DEFAULT_SWEEP
                command = f"bestreply sweep {file}"
                yield _command(texts("weekly_do_sweep_again"), command)


def _without_mismatches(c: Comparison, texts: Texts) -> Iterator[Line]:
    facts = {mismatch.fact for mismatch in c.mismatches}
    if any(fact.startswith("episodes against") for fact in facts):
        command = "bestreply evaluate RUN --episodes N --opponents ..."
        text = texts("weekly_do_evaluate_alike", a=c.a, b=c.b)
        yield _command(text, command)
    if "environment steps" in facts:
        text = texts("weekly_do_budget", a=c.a, b=c.b)
        yield _command(text, "--collect.episodes")
    if not c.seeds and not c.mismatches:
        yield line(texts("weekly_do_same_seeds", a=c.a, b=c.b))


# -- returns and models ----------------------------------------------------------


def _diagnose(week: Week, texts: Texts) -> Iterator[Line]:
    for _, group in week.groups:
        is_diagnosed = any(r.regret for r in group.runs)
        if group.measured and group.runs[0].config and not is_diagnosed:
            text = texts("weekly_do_diagnose", method=group.name)
            yield line(text, diagnose(group, week))


REMEDIES = {
    "others": "train.opponent_updates",
    "dynamics": "train.updates",
    "depth": 'planner.planner = "expectimax"',
    "value": 'train.target = "improved"',
}
"""Setting with the most direct effect on each part of the regret."""


def _nearest_stag(week: Week, texts: Texts) -> Iterator[Line]:
    for family in week.families:
        for against in family.opponents:
            if bare(against) != NEAREST_STAG:
                continue
            for group in family.groups:
                parts = regret_of(group, against)
                cause = parts and parts.largest
                if not parts or not cause:
                    continue
                values = {
                    "part": texts(f"cause_{cause}"),
                    "lost": fixed(mean_of(parts.parts[cause]), parts.decimals),
                }
                key = f"weekly_do_{cause}"
                text = texts(key, method=group.name, **values)
                yield _command(text, REMEDIES[cause])


def _models(week: Week, texts: Texts) -> Iterator[Line]:
    for _, group in week.groups:
        if miscalibrated(group) is not None:
            text = texts("weekly_do_calibrate", method=group.name)
            yield _command(text, REMEDIES["others"])
        if lost_entities(group):
            text = texts("weekly_do_world", method=group.name)
            yield _command(text, REMEDIES["dynamics"])
