"""Compare methods over training seeds: read the scores of runs and check that they are
comparable.
"""

import dataclasses
import glob
import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bestreply.scores.statistics import Verdict, judge
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec, parse_spec

FILE = "scores.parquet"

STEPS_TOLERANCE = 0.1
"""Largest relative difference of environment steps within one budget."""


@dataclasses.dataclass(frozen=True)
class SeedScores:
    """Mean returns of one training seed of a method."""

    path: Path
    seed: int
    mean: dict[str, float]
    """Mean return by opponent set."""
    facts: dict[str, Any]
    """Facts that must be equal in all compared runs, by name: game, version, settings, episodes."""
    env_steps: int


@dataclasses.dataclass(frozen=True)
class SeedGroup:
    """The seeds of one method, or of one configuration of it."""

    name: str
    seeds: list[SeedScores]  # in order of their seed


def read_group(text: str) -> SeedGroup:
    """Read the group that ``[NAME=]PATH[:METHOD]`` names.

    PATH is a run directory, a directory of runs, or a pattern of these
    (``runs/goal-*``); METHOD is then a method of their scores, by default "agent".
    PATH may also be a table of ``bestreply results --out``; METHOD is then the folder
    of a method's runs, its last part if that is unique (``hunt/iql`` or ``iql``), or
    a method of the scores. NAME is by default the text itself.

    Args:
        text: the name of the group.

    Returns:
        The group, with its seeds in ascending order.

    Raises:
        ValueError: there are no scores, no such method, or two runs have the same
            seed.
    """
    if "\0" in text:
        raise ValueError(
            f"group={text!r}: expected text without NUL characters"
        )
    name, path, method = _reading(text)
    seeds = [
        seed
        for folder in _places(path)
        for seed in _seeds_in(Path(folder), method or "agent")
    ]
    if not seeds:
        raise ValueError(
            f"group={text!r}: expected [NAME=]PATH[:METHOD] with {FILE} at {path}: a run directory, "
            "a directory of runs or a pattern of these, after `bestreply evaluate RUN`, or a table "
            "of `bestreply results --out`"
        )
    seeds = sorted(seeds, key=lambda s: s.seed)
    for one, two in pairwise(seeds):
        if one.seed == two.seed:
            raise ValueError(
                f"group={text!r}: expected runs with different seeds; {one.path} and {two.path} "
                f"both have seed {one.seed}"
            )
    return SeedGroup(name or text, seeds)


def _reading(text: str) -> tuple[str, str, str]:
    """Return name, path and method of a group, each of which may hold = and :.

    The first reading whose path exists is taken, with the shortest name and then the
    longest path; else the first whose pattern matches something.
    """
    readings = []
    for start in [0, *(i + 1 for i, c in enumerate(text) if c == "=")]:
        rest = text[start:]
        ends = [i for i, c in enumerate(rest) if c == ":"]
        for end in [len(rest), *reversed(ends)]:
            name = text[: max(start - 1, 0)]
            readings.append((name, rest[:end], rest[end + 1 :]))
    for exists in (os.path.lexists, glob.glob, _places):
        for reading in readings:
            if reading[1] and exists(reading[1]):
                return reading
    name, _, rest = text.rpartition("=")
    path, _, method = rest.partition(":")
    return name, path, method


def _places(path: str) -> list[str]:
    """Return a path that exists, or those that a pattern matches, in order.

    Brackets stand for themselves where the pattern matches nothing otherwise.
    """
    if os.path.lexists(path):
        return [path]
    literal = path.replace("[", "[[]")
    return sorted(glob.glob(path) or glob.glob(literal))


def _seeds_in(place: Path, method: str) -> list[SeedScores]:
    from bestreply.scores.run_table import is_results

    if is_results(place):
        return _of_table(place, method)
    return [_read(file, method) for file in _scores_in(place)]


def _scores_in(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return (
        [place / FILE]
        if (place / FILE).exists()
        else sorted(place.glob(f"*/{FILE}"))
    )


def _read(file: Path, method: str) -> SeedScores:
    from bestreply.scores.returns import Scores

    scores = Scores.load(file)
    columns = {
        name: np.array(scores.table[name].to_pylist())
        for name in ("method", "opponents", "seed", "return")
    }
    of_method = columns["method"] == method
    if not of_method.any():
        methods = ", ".join(dict.fromkeys(columns["method"].tolist()))
        raise ValueError(
            f"method={method!r}: expected one of {file}: {methods}"
        )
    sets = list(dict.fromkeys(columns["opponents"][of_method].tolist()))
    rows = {name: of_method & (columns["opponents"] == name) for name in sets}
    run = scores.run_facts
    facts = {
        "game": run.game,
        "version of the game": run.game_version,
        **_setting_facts(run.settings),
        **{f"episodes against {name}": int(rows[name].sum()) for name in sets},
    }
    own_seed = int(columns["seed"][of_method][0])
    return SeedScores(
        path=file.parent,
        seed=own_seed if run.seed is None else run.seed,
        mean={
            name: float(columns["return"][rows[name]].mean()) for name in sets
        },
        facts=facts,
        env_steps=run.env_steps,
    )


def _of_table(file: Path, method: str) -> list[SeedScores]:
    """Read the seeds of a method from a table of results, with one row per run and
    opponent set.
    """
    from bestreply.scores.result_files import load_results
    from bestreply.scores.run_table import methods_in, of_method

    rows = load_results(file)
    rows_of_method = of_method(rows, method)
    if not rows_of_method:
        raise ValueError(
            f"method={method!r}: expected one of {file}: {', '.join(methods_in(rows))}"
        )
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows_of_method:
        runs.setdefault((row["folder"], str(row.get("run"))), []).append(row)
    return [
        _of_rows(Path(folder) / run, of_run)
        for (folder, run), of_run in runs.items()
    ]


def _of_rows(path: Path, rows: list[dict[str, Any]]) -> SeedScores:
    first = rows[0]
    try:
        game = parse_spec(first["game"])
    except ValueError:  # no game, or settings of another form
        game = Spec(first["game"])
    facts = {
        "game": game.name,
        **_setting_facts(game.settings),
        "version of the game": first.get("game_version"),
        **{
            f"episodes against {row['opponents']}": row["episodes"]
            for row in rows
        },
    }
    means = {row["opponents"]: row["mean"] for row in rows}
    return SeedScores(path, first["seed"], means, facts, first["env_steps"])


def _setting_facts(settings: dict[str, Any]) -> dict[str, str]:
    """Write the settings of a game in one form, from a run or from a table."""
    return {
        f"game.{k}": json.dumps(v) if isinstance(v, list | tuple) else str(v)
        for k, v in settings.items()
    }


def check_groups(groups: Sequence[SeedGroup]) -> None:
    """Check that groups are comparable: same seeds, opponent sets, game, episodes and
    budget.

    Args:
        groups: at least one.

    Raises:
        ValueError: lists all differences.
    """
    names = [group.name for group in groups]
    problems = [
        f"{name} is given twice"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    all_seeds = {s.seed for g in groups for s in g.seeds}
    for group in groups:
        missing = sorted(all_seeds - {s.seed for s in group.seeds})
        if missing:
            problems.append(
                f"{group.name} has no seed {', '.join(map(str, missing))}"
            )
    reference = groups[0].seeds[0]
    for seed in (s for group in groups for s in group.seeds):
        for m in mismatches(reference, seed):
            problems.append(
                f"{m.fact}: {m.one} ({reference.path}) and {m.two} ({seed.path})"
            )
    if problems:
        listed = "\n  ".join(dict.fromkeys(problems))
        raise ValueError(
            "these cannot be compared: expected the same game, opponent sets, episodes, seeds and "
            "environment steps\n  " + listed
        )


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """A fact that differs between two runs and must be equal to compare them."""

    fact: str
    one: Any
    two: Any


def mismatches(one: SeedScores, two: SeedScores) -> list[Mismatch]:
    """Return the facts that must be equal to compare two runs, and are not.

    Args:
        one: first run.
        two: second run.

    Returns:
        All differences; environment steps may differ by `STEPS_TOLERANCE`.
    """
    facts = dict.fromkeys([*one.facts, *two.facts])
    values = [
        (name, one.facts.get(name), two.facts.get(name)) for name in facts
    ]
    differing = [Mismatch(*value) for value in values if value[1] != value[2]]
    if abs(one.env_steps - two.env_steps) > STEPS_TOLERANCE * max(
        one.env_steps, two.env_steps
    ):
        differing.append(
            Mismatch(
                "environment steps", f"{one.env_steps:,}", f"{two.env_steps:,}"
            )
        )
    return differing


def compare(
    groups: Sequence[SeedGroup],
    *,
    margin: float | None = None,
    seed: int = 0,
    overall: str = "all",
) -> list[Verdict]:
    """Compare the first group with each other one (`bestreply.scores.statistics.judge`).

    Args:
        groups: at least two.
        margin: largest irrelevant difference of mean returns; by default 5 % of
            the other method's mean.
        seed: seed of the bootstrap.
        overall: name of the row over all opponent sets.

    Returns:
        For each other group, a verdict for each opponent set and then one over
        all sets.

    Raises:
        ValueError: the groups are not comparable (`check_groups`), or fewer than
            two, or the seed is outside 0 <= seed < 2^32.
    """
    check_groups(groups)
    sets = list(groups[0].seeds[0].mean)
    scores = {
        g.name: {o: np.array([s.mean[o] for s in g.seeds]) for o in sets}
        for g in groups
    }
    return judge(
        scores,
        np.random.default_rng(checked_seed(seed)),
        margin=margin,
        overall=overall,
    )
