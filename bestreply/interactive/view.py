"""Show single games of an agent: observations, scores, beliefs, regret by the exact Q*.

Exact tables are solved for the first boards of these games alone, with the
opponents' types known at every step. Where that is too large the page says so and
ranks nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bestreply import exact
from bestreply.analysis.frames import draw_frames
from bestreply.analysis.trajectories import (
    describe_match,
    finite_numbers,
    play_matches,
)
from bestreply.exact.references import MAX_POSITIONS, MAX_WORK, work
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.games.seats import role_names
from bestreply.games.sizes import checked_episodes
from bestreply.pipeline import resolve
from bestreply.players.base import ScriptedPlayer
from bestreply.report.animation import write_gif
from bestreply.report.view_page import render_view
from bestreply.run import Run
from bestreply.simulation.lineup import Lineup
from bestreply.simulation.loop import Played
from bestreply.simulation.opponent_sets import sets_at
from bestreply.types import ego_order
from bestreply.utils.console import meter
from bestreply.utils.files import write_text
from bestreply.utils.seeds import derived_seed
from bestreply.utils.spec import Spec

PAGE = "view.html"


def view_run(
    run: Run,
    opponents: Sequence[str] = (),
    episodes: int = 2,
    *,
    seed: int | None = None,
    seat: int | None = None,
    planner: str | None = None,
    lang: str = "en",
) -> Path:
    """Play games against each opponent set and write ``view.html`` into the run directory.

    Args:
        run: a trained run.
        opponents: opponent sets; none given: the run's own.
        episodes: games against each set.
        seed: seed of play; None: the seed of the report's games.
        seat: the agent's seat, counted from 1; opponents follow in seat order. By default
            the first seat, or of a game with several roles the first seat of each.
        planner: the agent's planner; None: the run's own.
        lang: language of the page.

    Returns:
        The page.

    Raises:
        ValueError: a player, planner or language is unknown, or `seat` or
            `episodes` is out of range.
    """
    seats = _seats(run.game, seat)
    episodes = checked_episodes(episodes)
    sets = tuple(opponents) or resolve(run.config).evaluate.opponents
    seed = derived_seed(run.config.seed, 2) if seed is None else seed
    agent = run.agent(planner)
    matches = [
        match
        for at in seats
        for match in view_matches(run, sets, episodes, seed, planner, at)
    ]
    facts = {
        "game": str(Spec(run.game.name, (), run.game.settings)),
        "planner": agent.config.planner,
        "seed": seed,
        "gamma": agent.gamma,
    }
    page = render_view(run.path.resolve().name, matches, facts, lang)
    write_text(run.path / PAGE, page)
    return run.path / PAGE


def animate_run(
    run: Run,
    file: Path,
    opponents: Sequence[str] = (),
    *,
    seed: int | None = None,
    seat: int | None = None,
    planner: str | None = None,
    lang: str = "en",
) -> Path:
    """Play one game against the first opponent set and write it as an animated GIF.

    Args:
        run: a trained run.
        file: file with a name that ends in .gif.
        opponents: opponent sets; the first is played.
        seed: seed of play, as for `view_run`.
        seat: the agent's seat, counted from 1; by default the first.
        planner: the agent's planner; None: the run's own.
        lang: language of the texts.

    Returns:
        `file`.

    Raises:
        ValueError: as `view_run`, and for another file name.
    """
    if file.suffix.lower() != ".gif":
        raise ValueError(
            f"gif={str(file)!r}: expected a name that ends in .gif"
        )
    at = _seats(run.game, seat)[0]
    sets = tuple(opponents) or resolve(run.config).evaluate.opponents
    name, others = next(iter(sets_at(run.game, sets[:1], at).items()))
    seed = derived_seed(run.config.seed, 2) if seed is None else seed
    agent = run.agent(planner)
    lineup, played = play_matches(run.game, agent, [others], seed, 1, at)
    match = describe_match(
        run.game, agent, lineup, played, 0, name, run.goals, at
    )
    draw_frames(run.game, played, seed, [match])
    return write_gif(match, file, lang)


def _seats(game: Game, seat: int | None) -> list[int]:
    """Return the seats, from 0, in which the agent is shown."""
    if seat is None:
        return [game.roles.index(role) for role in role_names(game)]
    if not 1 <= seat <= game.num_players:
        raise ValueError(
            f"seat={seat}: expected 1 to {game.num_players} in {game.name}"
        )
    return [seat - 1]


def view_matches(
    run: Run,
    opponents: Sequence[str],
    episodes: int,
    seed: int,
    planner: str | None = None,
    seat: int = 0,
) -> list[dict[str, Any]]:
    """Return games as in `matches.json` (docs/files.md), with exact Q* where it can be solved.

    Args:
        run: a trained run.
        opponents: opponent sets.
        episodes: games against each set.
        seed: seed of play.
        planner: the agent's planner; None: the run's own.
        seat: the agent's seat, from 0.

    Returns:
        Plain data, a game each.
    """
    agent, game = run.agent(planner), run.game
    sets = sets_at(game, opponents, seat)
    lineup, played = play_matches(
        game, agent, list(sets.values()), seed, episodes, seat
    )
    names = [name for name in sets for _ in range(episodes)]
    matches: list[dict[str, Any]] = [
        describe_match(game, agent, lineup, played, k, name, run.goals, seat)
        | {"gamma": agent.gamma}
        for k, name in enumerate(names)
    ]
    draw_frames(game, played, seed, matches)
    groups: dict[tuple[int, ...], list[int]] = {}
    for k, seating in enumerate(lineup.seating):
        groups.setdefault(tuple(np.delete(seating, seat).tolist()), []).append(
            k
        )
    with meter("solve", len(matches), "matches") as progress:
        for rows in groups.values():
            for k, found in zip(
                rows,
                _solved(game, lineup, played, rows, agent.gamma, seat),
                strict=True,
            ):
                matches[k] |= {
                    name: value for name, value in found.items() if name != "q"
                }
                steps: list[dict[str, Any]] = matches[k]["steps"]
                for step, q in zip(steps, found.get("q", ()), strict=False):
                    step["exact"] = finite_numbers(q)
            progress.advance(len(rows))
    return matches


def _solved(
    game: Game,
    lineup: Lineup,
    played: Played,
    rows: list[int],
    gamma: float,
    seat: int,
) -> list[dict[str, Any]]:
    """Return `q` [T, A] and `kind` for each game of `rows`, or `missing` and `reason`.

    All these games have the same opponents.
    """
    seats = ego_order(game.num_players)[seat, 1:]
    others = [lineup.pool[i] for i in lineup.seating[rows[0]][seats]]
    if wrong := sorted(
        {p.name for p in others if not isinstance(p, ScriptedPlayer)}
    ):
        return [
            {"missing": "no_distribution", "reason": ", ".join(wrong)}
        ] * len(rows)
    scripted = [p for p in others if isinstance(p, ScriptedPlayer)]
    try:
        count = _affordable(game, scripted, len(rows))
        settings: dict[str, Any] = (
            {"layouts": 0}
            if isinstance(game, GridGame)
            else {"limit": MAX_POSITIONS}
        )
        reply = exact.best_reply(game, seat, scripted, gamma=gamma, **settings)
        log = jax.tree.map(lambda x: x[rows[:count]], played.episodes)
        decided = reply.decisions(
            log, modes=played.modes[rows[:count]][:, :, seats]
        )
    except ValueError as error:
        reason = str(error)
        missing = (
            "too_large"
            if "positions" in reason or "outcomes" in reason
            else "not_solved"
        )
        return [{"missing": missing, "reason": reason}] * len(rows)
    rest = {
        "missing": "too_large",
        "reason": f"{count} of {len(rows)} episodes were solved",
    }
    found: list[dict[str, Any]] = [
        {"q": q, "kind": reply.kind} for q in decided.q
    ]
    return found + [rest] * (len(rows) - count)


def _affordable(
    game: Game, others: Sequence[ScriptedPlayer], expected: int
) -> int:
    """Return how many of `expected` boards may be solved. Raise ValueError for none."""
    if not isinstance(game, GridGame):
        return expected
    each = work(game, others)
    if each > MAX_WORK:
        raise ValueError(
            f"one layout has {each:.0e} outcomes, more than the limit of {MAX_WORK:.0e}"
        )
    return int(np.clip(MAX_WORK / each, 1, expected))
