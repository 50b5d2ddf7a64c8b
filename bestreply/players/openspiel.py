"""Players from policies and bots of OpenSpiel, in OpenSpiel's games."""

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bestreply.games.openspiel import OpenSpielGame
from bestreply.games.registry import make_game
from bestreply.players.base import Player
from bestreply.players.function import player
from bestreply.types import ABSENT

MAX_TABLE = 20_000
"""States of a game whose policy is written into a table."""

Probabilities = Callable[[Any, int], Float[np.ndarray, " A"]]
"""From a state of OpenSpiel and a seat to probabilities of actions."""
Table = dict[bytes, np.ndarray]
"""Probabilities [A] by the bytes of an observation."""


def from_openspiel(
    policy: Any,
    game: OpenSpielGame | str,
    *,
    name: str | None = None,
    version: int = 1,
) -> Player:
    """Return a player from a policy or a bot of OpenSpiel.

    A policy (`action_probabilities`), or a bot that gives one (`provides_policy`), of
    a small game is read at every state and becomes a table by observation; exact best
    replies to it can be computed. In a game without chance the state is replayed from
    the actions of all seats, in games of any size and for any bot (`step`).

    Args:
        policy: the policy or the bot; a bot must depend on the state alone, and its
            own random draws do not follow the seed of play.
        game: a game ``openspiel:...``, or its name.
        name: name in logs and tables; by default the class's.
        version: changes whenever the player would act differently.

    Returns:
        The player.

    Raises:
        ValueError: neither policy nor bot; another game; or a game with chance in
            which the policy does not follow from the observation, or that is large.
    """
    made = make_game(game)
    if not isinstance(made, OpenSpielGame):
        raise ValueError(
            f"game={made.name}: expected a game of OpenSpiel, such as "
            "openspiel:kuhn_poker"
        )
    kind = type(policy).__name__
    name = kind.lower() if name is None else name
    probabilities = _probabilities(policy, made)
    table: Table | str = "a bot needs the state"
    if probabilities is not None:
        table = _table(made, probabilities)
        if isinstance(table, dict):

            def look_up(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
                return _look_up(table, name, obs, legal)

            return player(
                look_up, name=name, version=version, distribution=True
            )
    elif not callable(getattr(policy, "step", None)):
        raise ValueError(
            f"policy={kind}: expected a policy with `action_probabilities`, or a bot "
            "with `step`"
        )
    if _has_chance(made):
        raise ValueError(
            f"policy={kind} in {made.name}: expected a game without chance, or a "
            f"policy that follows from the observation; {table}"
        )
    return _replaying(policy, made, probabilities, name, version)


def _has_chance(game: OpenSpielGame) -> bool:
    mode = game.spiel.game.get_type().chance_mode
    return mode != type(mode).DETERMINISTIC


def _probabilities(policy: Any, game: OpenSpielGame) -> Probabilities | None:
    """Return the probabilities of a policy; None: a bot gives none."""
    if callable(getattr(policy, "action_probabilities", None)):

        def of_policy(state: Any, seat: int) -> np.ndarray:
            return _vector(game, dict(policy.action_probabilities(state, seat)))

        return of_policy
    provides = getattr(policy, "provides_policy", None)
    if provides is None or not provides():
        return None

    def of_bot(state: Any, seat: int) -> np.ndarray:
        return _vector(game, dict(policy.get_policy(state)))

    return of_bot


def _vector(
    game: OpenSpielGame, probs: dict[int, float]
) -> Float[np.ndarray, " A"]:
    vector = np.zeros(game.num_actions)
    for action, prob in probs.items():
        vector[action] = prob
    return vector


# -- a table by observation ----------------------------------------------------------


def _table(game: OpenSpielGame, probabilities: Probabilities) -> Table | str:
    """Return the table of a policy, or the reason why there is none."""
    first = game.first_states()
    queue = deque(zip(first.state, first.shown.obs, strict=True))
    table: Table = {}
    states = 0
    while queue:
        state, obs = queue.popleft()
        if state.over:
            continue
        states += 1
        if states > MAX_TABLE:
            return f"it has more than {MAX_TABLE:,} states"
        for seat in np.flatnonzero(state.legal.sum(1) > 1).tolist():
            probs = probabilities(state.spiel, seat)
            known = table.setdefault(_key(obs[seat]), probs)
            if not np.allclose(known, probs, atol=1e-6):
                return "states of one observation have different probabilities"
        each = [np.flatnonzero(row).tolist() for row in state.legal]
        for actions in itertools.product(*each):
            after = game.outcomes(state, np.array(actions, np.int32))
            queue += zip(after.state, after.shown.obs, strict=True)
    return table


def _key(obs: np.ndarray) -> bytes:
    return np.ascontiguousarray(obs, np.float32).tobytes()


def _look_up(
    table: Table,
    name: str,
    obs: np.ndarray,
    legal: Bool[np.ndarray, "B A"],
) -> Float[np.ndarray, "B A"]:
    probs = legal / legal.sum(1, keepdims=True)
    for row in np.flatnonzero(legal.sum(1) > 1):
        known = table.get(_key(obs[row]))
        if known is None:
            raise ValueError(
                f"player={name!r}: expected an observation of the game that it was "
                "made for"
            )
        probs[row] = known
    return probs


# -- states replayed from actions --------------------------------------------------------


def _replaying(
    policy: Any,
    game: OpenSpielGame,
    probabilities: Probabilities | None,
    name: str,
    version: int,
) -> Player:
    """Return a player whose memory is the actions of all seats, ego-first."""
    # Never read, as there is no chance; a function that JAX calls must not call JAX.
    key = jax.random.key(0)

    def answers(
        obs: np.ndarray,
        legal: np.ndarray,
        memory: dict[str, np.ndarray],
        own: np.ndarray,
        others: np.ndarray,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        memory = _with_last(memory, own, others)
        if probabilities is None:
            answer = legal.argmax(1)
        else:
            answer = legal / legal.sum(1, keepdims=True)
        for row in np.flatnonzero(legal.sum(1) > 1):
            past = memory["past"][row, : memory["steps"][row] - 1]
            seat, state = _replay(game, name, key, past, obs[row])
            if probabilities is None:
                answer[row] = policy.step(state)
            else:
                answer[row] = probabilities(state, seat)
        return answer, memory

    past = np.full((game.max_steps, game.num_players), ABSENT, np.int32)
    memory = {"past": past, "steps": np.int32(0)}
    return player(
        answers,
        name=name,
        version=version,
        memory=memory,
        distribution=probabilities is not None,
    )


def _with_last(
    memory: dict[str, np.ndarray],
    own: Int[np.ndarray, " B"],
    others: Int[np.ndarray, "B J"],
) -> dict[str, np.ndarray]:
    """Return the memory with the last joint action; `steps` counts the calls."""
    past, steps = memory["past"], memory["steps"]
    rows = np.flatnonzero((steps > 0) & (steps <= past.shape[1]))
    joint = np.concatenate([own[:, None], others], 1)
    past[rows, steps[rows] - 1] = joint[rows]
    return {"past": past, "steps": steps + 1}


def _replay(
    game: OpenSpielGame,
    name: str,
    key: PRNGKeyArray,
    past: Int[np.ndarray, "T N"],
    obs: np.ndarray,
) -> tuple[int, Any]:
    """Return the seat that observes `obs` after `past`, and OpenSpiel's state."""
    for seat in range(game.num_players):
        order = np.delete(np.arange(game.num_players), seat)
        actions = np.empty_like(past)
        actions[:, [seat, *order]] = past
        state, shown = game.reset(key)
        try:
            for joint in actions:
                state, shown = game.step(state, joint, key)
        except ValueError:  # impossible for this seat
            continue
        if np.array_equal(shown.obs[seat], obs):
            return seat, state.spiel
    raise ValueError(
        f"player={name!r}: expected observations and actions of {game.name}, the game "
        "that it was made for"
    )
