"""Methods held against each other over training seeds: reads the scores of many runs, refuses what is not comparable, and says in one
sentence a comparison what can be said."""

import dataclasses
import glob
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from bestreply.report.texts import Texts, fixed, load_texts
from bestreply.spec import Spec, parse_spec
from bestreply.sweeps.verdicts import Verdict, judge

FILE = "scores.parquet"

STEPS_APART = 0.1
"""Runs that collect the same number of episodes play about as many steps; more apart than this share is another budget."""


@dataclasses.dataclass(frozen=True)
class Seed:
    """What one training seed of a method was measured to have."""

    path: Path
    seed: int
    mean: dict[str, float]
    """Mean return by opponent set."""
    facts: dict[str, Any]
    """What has to be the same for all that is compared, by name."""
    env_steps: int


@dataclasses.dataclass(frozen=True)
class Group:
    """One method, or one configuration of it."""

    name: str
    seeds: list[Seed]  # in order of their seed


def read_group(text: str) -> Group:
    """The group that ``[NAME=]PATH[:METHOD]`` names.

    PATH is a run directory, a directory of runs, or a pattern of these (``runs/goal-*``), and METHOD a method of their scores, by default
    "agent". Or PATH is a table that ``bestreply results --out`` wrote, and METHOD whom of it: the folder of a method's runs, its last
    part where that is enough (``hunt/iql`` or ``iql``), or whoever else was measured. NAME is by default the text itself.

    Raises ValueError where there are no scores, no such method, or a seed twice.
    """
    named = "=" in text and not glob.glob(text.partition(":")[0])
    name, _, rest = text.partition("=") if named else ("", "", text)
    path, _, method = rest.partition(":")
    method = method or "agent"
    found = [seed for place in sorted(glob.glob(path)) for seed in _seeds_in(Path(place), method)]
    if not found:
        raise ValueError(
            f"{text!r}: no {FILE} at {path}; wanted: [NAME=]PATH[:METHOD], PATH a run directory, a directory of runs or a pattern of "
            "these that `bestreply evaluate` has measured, or a table that `bestreply results --out` wrote"
        )
    seeds = sorted(found, key=lambda s: s.seed)
    for one, two in pairwise(seeds):
        if one.seed == two.seed:
            raise ValueError(
                f"{text!r}: {one.path} and {two.path} both have seed {one.seed}; wanted: runs that differ in their seed"
            )
    return Group(name or text, seeds)


def _seeds_in(place: Path, method: str) -> list[Seed]:
    from bestreply.sweeps.results import is_results  # which takes JAX

    if is_results(place):
        return _of_table(place, method)
    return [_read(file, method) for file in _scores_in(place)]


def _scores_in(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [place / FILE] if (place / FILE).exists() else sorted(place.glob(f"*/{FILE}"))


def _read(file: Path, method: str) -> Seed:
    from bestreply.evaluate import (
        Scores,
    )  # which takes JAX; a report holds runs against each other without it

    scores = Scores.load(file)
    columns = {
        name: np.array(scores.table[name].to_pylist()) for name in ("method", "opponents", "seed", "return")
    }
    mine = columns["method"] == method
    if not mine.any():
        there = ", ".join(dict.fromkeys(columns["method"].tolist()))
        raise ValueError(f"{file} has no method {method!r}; it has: {there}")
    sets = list(dict.fromkeys(columns["opponents"][mine].tolist()))
    rows = {name: mine & (columns["opponents"] == name) for name in sets}
    run = scores.provenance.get("config", {})
    game = run.get("game", {})
    facts = {
        "game": game.get("name"),
        "version of the game": game.get("version"),
        **_said_settings(game.get("settings", {})),
        **{f"episodes against {name}": int(rows[name].sum()) for name in sets},
    }
    return Seed(
        path=file.parent,
        seed=int(run.get("seed", columns["seed"][mine][0])),
        mean={name: float(columns["return"][rows[name]].mean()) for name in sets},
        facts=facts,
        env_steps=int(run.get("env_steps", 0)),
    )


def _of_table(file: Path, method: str) -> list[Seed]:
    """The seeds of `method` in a table of results: a row is a run of it against an opponent set."""
    from bestreply.sweeps.results import load_results, methods_in, of_method

    rows = load_results(file)
    mine = of_method(rows, method)
    if not mine:
        raise ValueError(f"{file} has no method {method!r}; it has: {', '.join(methods_in(rows))}")
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in mine:
        runs.setdefault((row["folder"], str(row.get("run"))), []).append(row)
    return [_of_rows(Path(folder) / run, found) for (folder, run), found in runs.items()]


def _of_rows(path: Path, rows: list[dict[str, Any]]) -> Seed:
    first = rows[0]
    try:
        game = parse_spec(first["game"])
    except ValueError:  # scores from elsewhere, that name no game or have settings that cannot be read
        game = Spec(first["game"])
    facts = {
        "game": game.name,
        **_said_settings(game.settings),
        "version of the game": first.get("game_version"),
        **{f"episodes against {row['opponents']}": row["episodes"] for row in rows},
    }
    means = {row["opponents"]: row["mean"] for row in rows}
    return Seed(path, first["seed"], means, facts, first["env_steps"])


def _said_settings(settings: dict[str, Any]) -> dict[str, str]:
    """As a run has them or a table: both write them alike."""
    return {
        f"game.{k}": json.dumps(v) if isinstance(v, list | tuple) else str(v) for k, v in settings.items()
    }


def check_groups(groups: Sequence[Group]) -> None:
    """Raises ValueError that names all that keeps `groups` from being compared: seeds, opponent sets, game, episodes, budget."""
    problems: list[str] = []
    names = [group.name for group in groups]
    problems += [f"{name} is named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    first = groups[0]
    every = sorted({s.seed for g in groups for s in g.seeds})
    for group in groups:
        missing = sorted(set(every) - {s.seed for s in group.seeds})
        if missing:
            problems.append(f"{group.name} has no seed {', '.join(map(str, missing))}")
    reference = first.seeds[0]
    for group in groups:
        for seed in group.seeds:
            problems += [
                f"{a.fact}: {a.one} ({reference.path}) and {a.two} ({seed.path})"
                for a in apart(reference, seed)
            ]
    if problems:
        listed = "\n  ".join(dict.fromkeys(problems))
        raise ValueError(
            f"these cannot be compared:\n  {listed}\nWanted: the same game, opponent sets, episodes, seeds and environment steps"
        )


@dataclasses.dataclass(frozen=True)
class Apart:
    """A fact that differs between two runs and must not."""

    fact: str
    one: Any
    two: Any


def apart(one: Seed, two: Seed) -> list[Apart]:
    """All that keeps two runs from being compared."""
    found = [
        Apart(name, one.facts.get(name), two.facts.get(name))
        for name in dict.fromkeys([*one.facts, *two.facts])
        if one.facts.get(name) != two.facts.get(name)
    ]
    if abs(one.env_steps - two.env_steps) > STEPS_APART * max(one.env_steps, two.env_steps):
        found.append(Apart("environment steps", f"{one.env_steps:,}", f"{two.env_steps:,}"))
    return found


def compare(
    groups: Sequence[Group], *, margin: float | None = None, seed: int = 0, overall: str = "all"
) -> list[Verdict]:
    """The first group against each other one (`bestreply.sweeps.verdicts.judge`), if `check_groups` lets it."""
    check_groups(groups)
    sets = list(groups[0].seeds[0].mean)
    scores = {g.name: {o: np.array([s.mean[o] for s in g.seeds]) for o in sets} for g in groups}
    return judge(scores, np.random.default_rng(seed), margin=margin, overall=overall)


# -- said ----------------------------------------------------------------------------------------------------------------------


def sentence(verdict: Verdict, lang: str = "en") -> str:
    """What can be said of a comparison, in one sentence."""
    texts, v = load_texts(lang), verdict
    values: dict[str, Any] = {
        "a": v.a,
        "b": v.b,
        "opponents": v.opponents,
        "difference": fixed(abs(v.difference)),
        "low": fixed(v.low if v.verdict != "worse" else -v.high),
        "high": fixed(v.high if v.verdict != "worse" else -v.low),
        "p": _p(v.p_holm, texts),
        "bound": fixed(v.bound),
        "sought": fixed(v.sought),
        "seeds": v.seeds,
    }
    if v.verdict != "not_enough":
        return texts(f"verdict_{v.verdict}", **values)
    if v.needed is None:
        return texts("verdict_never" if v.seeds > 1 else "verdict_one_seed", **values)
    more = max(v.needed - v.seeds, 1)
    return texts("verdict_not_enough", more=f"{more:,}", **values)


def _p(p: float, texts: Texts) -> str:
    return texts("p_less", p="0.001") if p < 0.001 else texts("p_is", p=f"{p:.3f}")


def verdict_table(verdicts: Sequence[Verdict], lang: str = "en") -> Table:
    """All numbers, for a terminal: two to a cell, since it is narrow."""
    texts = load_texts(lang)
    others = dict.fromkeys(v.b for v in verdicts)
    title = texts("verdicts_title", a=verdicts[0].a, others=", ".join(others), seeds=verdicts[0].seeds)
    table = Table(title=title, caption=texts("verdicts_note"))
    for name in ("against", "means", "difference", "p", "improvement", "needed"):
        left = name == "against"
        table.add_column(
            texts(f"verdicts_{name}"), justify="left" if left else "right", overflow="fold", no_wrap=not left
        )
    for v in verdicts:
        table.add_row(
            v.opponents + (f"\n({v.b})" if len(others) > 1 else ""),
            f"{fixed(v.mean_a)} / {fixed(v.mean_b)}\n{fixed(v.iqm_a)} / {fixed(v.iqm_b)}",
            f"{fixed(v.difference, sign=True)}\n[{fixed(v.low)}, {fixed(v.high)}]",
            f"{v.p:.3f}\n{v.p_holm:.3f}",
            f"{fixed(v.improvement)}\n{fixed(v.effect)}",
            "–" if v.needed is None else f"{v.needed:,}",
        )
    return table
