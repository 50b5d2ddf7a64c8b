"""A few matches to look at, step by step as plain data: what an agent saw, scored, predicted, believed and did (docs/files.md)."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from bestreply.exact.hidden_modes import mode_chain
from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.simulation.lineup import (
    Lineup,
    join,
    name_opponents,
    seat_players,
    seat_self,
)
from bestreply.simulation.loop import Played, play
from bestreply.types import ABSENT, GOAL_SOURCES, ego_order
from bestreply.utils.spec import Spec


def record_matches(
    game: Game,
    agent: Player,
    opponents: Sequence[Sequence[str | Spec | Player]],
    seed: int,
    goals: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One episode against each opponent set with `agent` in seat 0. `goals` names what the agent's belief is about."""
    lineup, played = watch_matches(game, agent, opponents, seed)
    names = [name_opponents(others) for others in opponents]
    return [
        tell_match(game, agent, lineup, played, k, name, goals)
        for k, name in enumerate(names)
    ]


def watch_matches(
    game: Game,
    agent: Player,
    opponents: Sequence[Sequence[str | Spec | Player]],
    seed: int,
    episodes: int = 1,
    seat: int = 0,
) -> tuple[Lineup, Played]:
    """`episodes` episodes against each opponent set in turn, `agent` in `seat` and the others in seat order, with its actor_outputs."""
    company = [seat_self(others, agent) for others in opponents]
    seated = [[*others[:seat], agent, *others[seat:]] for others in company]
    lineup = join(
        [seat_players(game, players, episodes, seed) for players in seated]
    )
    return lineup, play(game, lineup, seed, watch=int(lineup.seating[0, seat]))


def tell_match(
    game: Game,
    agent: Player,
    lineup: Lineup,
    played: Played,
    number: int,
    name: str,
    goals: Sequence[str],
    seat: int = 0,
) -> dict[str, Any]:
    """Match `number` of what `watch_matches` gave for `seat`, against the opponent set `name`."""
    episode, actor_outputs, modes = jax.tree.map(
        lambda x: x[number], tuple(played)
    )
    seating, others = (
        lineup.seating[number],
        ego_order(game.num_players)[seat, 1:],
    )
    players = [lineup.pool[i] for i in seating]
    held = int(
        (seating[:seat] == seating[seat]).sum()
    )  # which of the watched seats it is
    acting = np.flatnonzero(episode.action[:, seat] != ABSENT).tolist()
    return {
        "opponents": name,
        "players": [p.name for p in players],
        "seat": seat,
        "return": float(episode.reward[:, seat].sum()),
        "actions": list(game.action_names),
        "goals": list(goals),
        "steps": [
            _step(game, episode, t, seat)
            | _planned(actor_outputs, agent, t, held)
            | _who(
                game,
                [players[s] for s in others],
                episode,
                modes[t],
                t,
                tuple(goals),
                others,
            )
            for t in acting
        ],
    }


def _step(game: Game, episode: Any, t: int, seat: int) -> dict[str, Any]:
    return {
        "text": game.text(episode.obs[t, seat], seat),
        "picture": game.picture(episode.obs[t, seat], seat),
        "legal": episode.legal[t, seat].tolist(),
        "action": int(episode.action[t, seat]),
        "reward_got": float(episode.reward[t, seat]),
        "actual": episode.action[
            t, ego_order(game.num_players)[seat, 1:]
        ].tolist(),
    }


def _planned(
    actor_outputs: Any, agent: Any, t: int, held: int
) -> dict[str, Any]:
    """What the agent actor_output at step `t` in that of the watched seats; nothing for a player that does not plan."""
    if actor_outputs.plan is None:
        return {}
    plan = jax.tree.map(lambda x: x[t, held], actor_outputs.plan)
    return {
        "scores": numbers(plan.scores),
        "reward": numbers(plan.reward),
        "value": numbers(plan.value),
        "predicted": [numbers(row) for row in plan.others],
        "belief": [
            numbers(row)
            for row in np.asarray(
                agent.opponents.posterior(jax.device_put(plan.belief))
            )
        ],
    }


def _who(
    game: Game,
    others: Sequence[Player],
    episode: Any,
    modes: np.ndarray,
    t: int,
    goals: tuple[str, ...],
    seats: np.ndarray,
) -> dict[str, Any]:
    """Who each other really was at step `t`, by name, and which of `goals` that is: by the player's name where the goals are players,
    by the label of the step where they are the game's; None where it is not known."""
    who = [
        _acting(player, int(mode))
        for player, mode in zip(others, modes[seats], strict=True)
    ]
    if goals != tuple(game.goals):
        return {
            "who": who,
            "truth": [
                goals.index(name) if name in goals else None for name in who
            ],
        }
    labels = zip(
        episode.goal[t, seats].tolist(),
        episode.goal_source[t, seats].tolist(),
        strict=True,
    )
    known = [
        goal if goal != ABSENT and GOAL_SOURCES[source] != "none" else None
        for goal, source in labels
    ]
    return {"who": who, "truth": known}


def _acting(player: Player, mode: int) -> str:
    """The name of the player that `player` was: of a switching one, whichever of the two acted."""
    if not isinstance(player, ScriptedPlayer) or mode == ABSENT:
        return player.name
    return mode_chain(player).players[mode].name


def numbers(values: Any) -> list[float | None]:
    """Finite numbers to five places, None for others."""
    return [round(float(v), 5) if np.isfinite(v) else None for v in values]
