"""Single matches step by step, as plain data (docs/files.md): what an agent saw, scored,
predicted, believed and did."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from bestreply.analysis.frames import draw_frames
from bestreply.exact.hidden_modes import mode_chain
from bestreply.games.base import Game
from bestreply.games.description import Description
from bestreply.opponents.base import OpponentModel
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.simulation.lineup import (
    Lineup,
    join,
    name_opponents,
    seat_players,
    seat_self,
)
from bestreply.simulation.loop import PLANNING_CHUNK, Played, play
from bestreply.types import ABSENT, GOAL_SOURCES, Array, Episodes, ego_order
from bestreply.utils.quick import quickly
from bestreply.utils.spec import Spec

MAX_DETAILED = 100
"""Steps of a match, evenly spread, that have a text, a picture and a plan."""
MAX_OBSERVED = 100_000
"""Numbers of one match's observations."""

OpponentSet = Sequence[str | Spec | Player]
"""A player for each other seat, in ego-first order."""


def record_matches(
    game: Game,
    agent: Player,
    opponents: Sequence[OpponentSet],
    seed: int,
    goals: Sequence[str] = (),
    *,
    seat: int = 0,
    names: Sequence[str] = (),
    like: int = 0,
) -> list[dict[str, Any]]:
    """Return one episode against each opponent set.

    Args:
        game: the game.
        agent: the player to record.
        opponents: opponent sets.
        seed: of the play.
        goals: names of the types that the agent's belief is over.
        seat: of the agent; the opponents fill the other seats in order.
        names: of the opponent sets; by default the opponents' names.
        like: matches of an evaluation of the agent, whose compiled program to use.

    Returns:
        A match for each opponent set, as `describe_match`.
    """
    lineup, played = play_matches(
        game, agent, opponents, seed, seat=seat, like=like
    )
    names = names or [name_opponents(others) for others in opponents]
    matches = [
        describe_match(game, agent, lineup, played, number, name, goals, seat)
        for number, name in enumerate(names)
    ]
    draw_frames(game, played, seed, matches)
    return matches


def play_matches(
    game: Game,
    agent: Player,
    opponents: Sequence[OpponentSet],
    seed: int,
    episodes: int = 1,
    seat: int = 0,
    like: int = 0,
) -> tuple[Lineup, Played]:
    """Play against each opponent set in turn, and log the agent's outputs.

    Args:
        game: the game.
        agent: the player to log.
        opponents: opponent sets.
        seed: of the play.
        episodes: against each opponent set.
        seat: of the agent; the opponents follow in seat order.
        like: as in `record_matches`.

    Returns:
        Line-ups and play of all episodes.
    """
    lineups = []
    for entry in opponents:
        others = seat_self(entry, agent)
        players = [*others[:seat], agent, *others[seat:]]
        lineups.append(seat_players(game, players, episodes, seed))
    lineup = join(lineups)
    watch = int(lineup.seating[0, seat])
    return lineup, play(
        game, lineup, seed, watch=watch, chunk=PLANNING_CHUNK, like=like
    )


def describe_match(
    game: Game,
    agent: Player,
    lineup: Lineup,
    played: Played,
    number: int,
    name: str,
    goals: Sequence[str],
    seat: int = 0,
) -> dict[str, Any]:
    """Return one match of `play_matches` as plain data.

    Args:
        game: the game.
        agent: the logged player.
        lineup: as `play_matches` returns it.
        played: likewise.
        number: index of the episode.
        name: of the opponent set.
        goals: names of the types that the agent's belief is over.
        seat: of the agent.

    Returns:
        Players, return, the course of the game and every step in which the agent acted.
        Of long games `MAX_DETAILED` steps have all details.
    """
    episode, actor_outputs, modes = jax.tree.map(
        lambda x: x[number], tuple(played)
    )
    seating = lineup.seating[number]
    players = [lineup.pool[i] for i in seating]
    # The index of `seat` among the logged seats.
    logged = int((seating[:seat] == seating[seat]).sum())
    acted = np.flatnonzero(episode.action[:, seat] != ABSENT).tolist()
    detailed = set(_evenly(acted, MAX_DETAILED))
    plans, belief = _plans(agent, actor_outputs, logged)
    steps = []
    for t in acted:
        step = _step(game, episode, t, seat)
        if t in detailed:
            step = _shown(game, episode, t, seat) | step
        plan = _plan(plans, belief, t)
        if t not in detailed:
            plan = {k: v for k, v in plan.items() if k == "belief"}
        step |= plan
        step |= _types(game, players, episode, modes[t], t, goals, seat)
        steps.append(step)
    return {
        "opponents": name,
        "players": [p.name for p in players],
        "seat": seat,
        "return": float(episode.reward[:, seat].sum()),
        "actions": list(game.action_names),
        "goals": list(goals),
        **_seats(game),
        **_course(episode),
        **_observed(game, episode, acted, seat),
        "steps": steps,
    }


def _evenly(steps: Sequence[int], most: int) -> list[int]:
    """Return at most so many of the steps, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[k] for k in np.linspace(0, len(steps) - 1, most).astype(int)]


def _seats(game: Game) -> dict[str, Any]:
    """Return roles and numbers of actions by seat, in a game whose seats differ."""
    if game.homogeneous:
        return {}
    return {"roles": list(game.roles), "seat_actions": list(game.seat_actions)}


def _course(episode: Episodes) -> dict[str, Any]:
    """Return the length of a game, how it ended, and which seats left before."""
    length = int(episode.length)
    cut = bool(episode.truncated[length - 1])
    left = []
    for actions, ended in zip(
        episode.action[:length].T, episode.terminated[:length].T, strict=True
    ):
        acted = np.flatnonzero(actions != ABSENT)
        last = int(acted[-1]) if len(acted) else -1
        how = "absent" if last < 0 else "terminated" if ended[last] else "left"
        left.append(None if last == length - 1 else [last + 1, how])
    end = "truncated" if cut else "terminated"
    return {"length": length, "end": end, "left": left}


def _observed(
    game: Game, episode: Episodes, acted: Sequence[int], seat: int
) -> dict[str, Any]:
    """Return the agent's observations, where they are vectors that the game draws no better."""
    kind = type(getattr(game, "description", game))
    own = (Description.text, Description.picture)
    rows = episode.obs[list(acted), seat]
    if (kind.text, kind.picture) != own or rows.ndim != 2:
        return {}
    if rows.size > MAX_OBSERVED or not rows.size:
        return {}
    if not game.homogeneous:  # without the marks of the seat
        marked = game.seat_in(rows) is not None
        rows = rows[:, : -game.num_players] if marked else rows
    numbers = rows.astype(np.float64)
    return {
        "observed": [
            [float(f"{v:.5g}") if np.isfinite(v) else None for v in row]
            for row in numbers.tolist()
        ]
    }


def _shown(game: Game, episode: Episodes, t: int, seat: int) -> dict[str, Any]:
    return {
        "text": game.text(episode.obs[t, seat], seat),
        "picture": game.picture(episode.obs[t, seat], seat),
    }


def _step(game: Game, episode: Episodes, t: int, seat: int) -> dict[str, Any]:
    others = ego_order(game.num_players)[seat, 1:]
    return {
        "legal": episode.legal[t, seat].tolist(),
        "action": int(episode.action[t, seat]),
        "reward_got": float(episode.reward[t, seat]),
        "actual": episode.action[t, others].tolist(),
    }


def _plans(agent: Any, actor_outputs: Any, logged: int) -> tuple[Any, Any]:
    """Return an agent's plans and posteriors [T, ...]; None for one that does not plan."""
    if actor_outputs.plan is None:
        return None, None
    plans = jax.tree.map(lambda x: x[:, logged], actor_outputs.plan)
    steps = np.arange(len(plans.action))
    return plans, np.asarray(_posteriors(agent.opponents, steps, plans.belief))


@quickly()
def _posteriors(
    opponents: OpponentModel, steps: Int[Array, " T"], beliefs: PyTree
) -> Float[Array, "T others G"]:
    # Mapped over the steps as well, since a belief can have no arrays.
    return jax.vmap(lambda _, one: opponents.posterior(one))(steps, beliefs)


def _plan(
    plans: Any, beliefs: Float[np.ndarray, "T others G"] | None, t: int
) -> dict[str, Any]:
    """Return the agent's plan at step `t`; nothing for a player that does not plan."""
    if beliefs is None:
        return {}
    return {
        "scores": finite_numbers(plans.scores[t]),
        "reward": finite_numbers(plans.reward[t]),
        "value": finite_numbers(plans.value[t]),
        "predicted": [finite_numbers(row) for row in plans.others[t]],
        "belief": [finite_numbers(row) for row in beliefs[t]],
    }


def _types(
    game: Game,
    players: Sequence[Player],
    episode: Episodes,
    modes: np.ndarray,
    t: int,
    goals: Sequence[str],
    seat: int,
) -> dict[str, Any]:
    """Return the name of each other player that acted, and its true type as an index of `goals`.

    The type is the step's label if `goals` are the game's, otherwise the player's name; None
    if it is unknown.
    """
    seats = ego_order(game.num_players)[seat, 1:].tolist()
    names = [_acting(players[s], int(modes[s])) for s in seats]
    if tuple(goals) == tuple(game.goals):
        truth = [_labelled_goal(episode, t, s) for s in seats]
    else:
        index = {goal: k for k, goal in enumerate(goals)}
        truth = [index.get(name) for name in names]
    return {"who": names, "truth": truth}


def _labelled_goal(episode: Episodes, t: int, seat: int) -> int | None:
    goal = int(episode.goal[t, seat])
    source = GOAL_SOURCES[int(episode.goal_source[t, seat])]
    return None if goal == ABSENT or source == "none" else goal


def _acting(player: Player, mode: int) -> str:
    """Return the name of the mode of `player` that acted."""
    if not isinstance(player, ScriptedPlayer) or mode == ABSENT:
        return player.name
    return mode_chain(player).players[mode].name


def finite_numbers(values: Float[Array, " n"]) -> list[float | None]:
    """Return numbers rounded to five places, None for those that are not finite.

    Args:
        values: [n].

    Returns:
        Plain data for JSON.
    """
    return [round(float(v), 5) if np.isfinite(v) else None for v in values]
