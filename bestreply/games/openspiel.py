"""Games of OpenSpiel, on the host: simultaneous moves, or turns with a null action.

``make_game("openspiel:goofspiel(num_cards=4)")``, ``openspiel:kuhn_poker``. Lanctot et
al., "OpenSpiel: A Framework for Reinforcement Learning in Games", 2019. The mapping:

- Settings are OpenSpiel's parameters with OpenSpiel's defaults, all listed, and two
  more: `max_steps` and `show_seat`.
- A step is a joint move or one seat's turn, and the chance nodes that follow it. In a
  game with turns each seat has one action more, the last one, "wait": the only legal
  one of a seat that is not to move. It has no effect.
- In a game with turns an observation is `information_state_tensor` (perfect recall),
  else `observation_tensor`; in a simultaneous game the other way round; in its own
  shape and layout (planes first). Many games give every seat the same tensor, so that
  a player cannot identify itself. With `show_seat` (by default in exactly these
  games) N further planes, or entries, follow: that of the observing seat is 1, the
  others are 0.
- A reward is the increment of `returns()` in a step: the rewards of an episode sum to
  `returns()`.
- A game that ends by its own rules, its own horizon included, has terminated.
  `max_steps` is an additional limit that truncates; its default is the game's
  `max_game_length()`, within which the game ends itself.
- Every seat is present until the end. In a simultaneous game a seat without a choice
  (in another seat's turn, or at the end) has action 0 as its only legal one; it has no
  effect.
- The library's players are given the actions of other seats in the last step. In the
  few games that hide moves (phantom_ttt, dark_hex) they are thus given more than
  OpenSpiel's own players.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bestreply.games.base import Game, Outcomes
from bestreply.games.openspiel_loader import (
    Parameters,
    Spiel,
    check_kind,
    checked_parameters,
    game_string,
    load_spiel,
    specification,
    spiel_of,
)
from bestreply.games.sizes import check_sizes
from bestreply.types import Array, TimeStep, ego_order

MAX_OUTCOMES = 50_000
"""Sequences of chance nodes after one move that are listed."""


@dataclasses.dataclass(frozen=True, eq=False)
class SpielState:
    """A state of OpenSpiel that is no chance node, with what it does not record."""

    spiel: Any  # pyspiel.State; cloned before it moves, so never changed
    returns: np.ndarray  # [N] float64, paid so far
    legal: np.ndarray  # [N, A] bool
    time: int  # steps made
    over: bool  # terminated or truncated


@dataclasses.dataclass(frozen=True)
class OpenSpielGame(Game):
    """A game of OpenSpiel; `load` checks and completes its settings.

    Two games are equal if their names and settings are. OpenSpiel's own object is in a
    cache, not in the instance.
    """

    version = 1
    summary = "a game of OpenSpiel, with simultaneous moves or turns"
    compiled = False

    name: str  # pyright: ignore[reportIncompatibleVariableOverride]  # one class, many games
    parameters: Parameters
    max_steps: int
    show_seat: bool

    @classmethod
    def load(
        cls,
        name: str,
        *,
        max_steps: int | None = None,
        show_seat: bool | None = None,
        **parameters: Any,
    ) -> "OpenSpielGame":
        """Return a game by OpenSpiel's short name.

        Args:
            name: the short name.
            max_steps: the step limit; by default the game's `max_game_length()`.
            show_seat: mark the observing seat in observations; by default if all
                seats have the same observation.
            parameters: OpenSpiel's parameters. A parameter that is a game is given as
                OpenSpiel writes it: ``stage_game="matrix_pd()"``.

        Returns:
            The game.

        Raises:
            ValueError: for an unknown name, parameter or value, or a mean-field game;
                lists the possible ones.
            ImportError: if `pyspiel` is not installed.
        """
        given = checked_parameters(name, parameters)
        spiel = load_spiel(name, given)
        check_kind(name, spiel)
        known = specification(name)
        complete = {
            k: v for k, v in spiel.get_parameters().items() if k in known
        }
        for key, value in complete.items():
            if isinstance(value, dict):
                complete[key] = game_string(value)
        complete = tuple(sorted((complete | dict(given)).items()))
        if max_steps is None:
            max_steps = int(spiel.max_game_length())
        if show_seat is None:
            show_seat = spiel_of(name, complete).common
        if type(max_steps) is not int or max_steps < 1:
            raise ValueError(
                f"max_steps={max_steps!r}: expected an int, 1 or more, "
                f"in openspiel:{name}"
            )
        if not isinstance(show_seat, bool):
            raise ValueError(
                f"show_seat={show_seat!r}: expected True or False "
                f"in openspiel:{name}"
            )
        game = cls(f"openspiel:{name}", complete, max_steps, show_seat)
        check_sizes(game)
        return game

    @property
    def spiel(self) -> Spiel:
        """OpenSpiel's game with its constants."""
        return spiel_of(self.name.removeprefix("openspiel:"), self.parameters)

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.parameters) | {
            "max_steps": self.max_steps,
            "show_seat": self.show_seat,
        }

    @property
    def num_players(self) -> int:
        return self.spiel.seats

    @property
    def num_actions(self) -> int:
        return self.spiel.actions

    @property
    def perfect_information(self) -> bool:
        """OpenSpiel's own statement."""
        return not self.spiel.hidden

    @property
    def action_names(self) -> tuple[str, ...]:
        """OpenSpiel's names if they are short and equal for all seats, else "0", "1", ..."""
        return self.spiel.action_names

    @property
    def obs_shape(self) -> tuple[int, ...]:
        first, *rest = self.spiel.shape
        return (first + self.show_seat * self.num_players, *rest)

    @property
    def binary(self) -> np.ndarray:
        """Only the entries of `show_seat`: OpenSpiel does not declare binary entries."""
        binary = np.zeros(self.obs_shape, bool)
        binary[self.spiel.shape[0] :] = True
        return binary

    # -- rules ---------------------------------------------------------------

    def reset(self, key: PRNGKeyArray) -> tuple[SpielState, TimeStep]:
        spiel = self.spiel.game.new_initial_state()
        _play_chance(spiel, key)
        return self._begin(spiel)

    def _begin(self, spiel: Any) -> tuple[SpielState, TimeStep]:
        """Return the first state; returns before the first step are paid with it."""
        game, zero = self.spiel, np.zeros(self.spiel.seats)
        over = spiel.is_terminal()
        state = SpielState(spiel, zero, _legal(spiel, game), 0, over)
        return state, self._look(game, state, zero)

    def step(
        self, state: SpielState, actions: Array, key: PRNGKeyArray
    ) -> tuple[SpielState, TimeStep]:
        """Return the state and the time step after one joint action (`Game.step`).

        Args:
            state: a state.
            actions: [N] int, the joint action.
            key: random key.

        Returns:
            The next state and its time step.

        Raises:
            ValueError: for an illegal action; OpenSpiel does not detect all of them.
        """
        if state.over:
            zero = np.zeros(self.spiel.seats)
            return state, self._look(self.spiel, state, zero)
        spiel = _moved(state, actions)
        _play_chance(spiel, key)
        return self._reach(state, spiel)

    def _reach(
        self, before: SpielState, spiel: Any
    ) -> tuple[SpielState, TimeStep]:
        """Return the step from `before` to `spiel`, which is no chance node."""
        game, time = self.spiel, before.time + 1
        returns = np.asarray(spiel.returns())
        over = spiel.is_terminal() or time >= self.max_steps
        state = SpielState(spiel, returns, _legal(spiel, game), time, over)
        return state, self._look(game, state, returns - before.returns)

    def outcomes(self, state: SpielState, actions: Array) -> Outcomes:
        """Return the outcomes of a step.

        Args:
            state: a state.
            actions: [N] int, the joint action.

        Returns:
            One for every sequence of chance nodes that can follow.
        """
        if state.over:
            stays = self.step(state, actions, jax.random.key(0))
            return _listed_outcomes([1.0], [stays])
        chances = _chances(_moved(state, actions), self.name)
        probability, spiels = zip(*chances, strict=True)
        reached = [self._reach(state, spiel) for spiel in spiels]
        return _listed_outcomes(probability, reached)

    def first_states(self) -> Outcomes:
        """Return the outcomes of a reset.

        Returns:
            One for every sequence of chance nodes at the start.

        Raises:
            ValueError: there are too many.
        """
        begin = self.spiel.game.new_initial_state()
        chances = _chances(begin, self.name)
        probability, spiels = zip(*chances, strict=True)
        return _listed_outcomes(probability, list(map(self._begin, spiels)))

    def state_key(self, state: SpielState) -> bytes:
        """Return the history: OpenSpiel guarantees equal play for nothing shorter.

        Args:
            state: a state.
        """
        return repr(state.spiel.history()).encode()

    def _look(
        self, game: Spiel, state: SpielState, reward: np.ndarray
    ) -> TimeStep:
        terminal = state.spiel.is_terminal()
        tensor = getattr(state.spiel, game.tensor)
        obs = np.array([tensor(seat) for seat in range(game.seats)], np.float32)
        obs = obs.reshape(game.seats, *game.shape)
        if self.show_seat:
            obs = np.concatenate([obs, game.marks], axis=1)
        return TimeStep(
            obs=obs,
            legal=state.legal.copy(),
            reward=reward.astype(np.float32),
            terminated=np.full(game.seats, terminal),
            truncated=np.array(state.over and not terminal),
            present=np.ones(game.seats, bool),
        )

    # -- contents of an observation ------------------------------------------

    def perspective(
        self, obs: Float[Array, "*batch_shape"], other: Int[Array, ""] | int
    ) -> Float[Array, "*batch_shape"] | None:
        """Return another seat's observation: another seat is marked.

        Args:
            obs: the own observations [..., *obs_shape].
            other: ego-first index of the other seat.

        Returns:
            Its observations; None unless all seats have the same observation.
        """
        game = self.spiel
        if not game.common:
            return None
        if not self.show_seat:
            return obs
        inner = len(self.obs_shape) - 1  # axes of one plane
        axis = -1 - inner
        shared, marks = jnp.split(jnp.asarray(obs), [game.shape[0]], axis=axis)
        own = marks[(..., slice(None), *(0,) * inner)].argmax(-1)
        seat = jnp.asarray(ego_order(game.seats))[own, other]
        mark = jax.nn.one_hot(seat, game.seats, dtype=marks.dtype)
        mark = mark.reshape(*seat.shape, -1, *(1,) * inner)
        mark = jnp.broadcast_to(mark, marks.shape)
        return jnp.concatenate([shared, mark], axis=axis)

    def present_in(self, obs: Float[Array, "..."]) -> Bool[Array, "... N"]:
        batch = jnp.shape(obs)[: -len(self.obs_shape)]
        return jnp.ones((*batch, self.num_players), bool)

    # -- display -------------------------------------------------------------

    def text(self, obs: Float[Array, "*obs_shape"], seat: int = 0) -> str:
        """Return an observation as text.

        Args:
            obs: the observation.
            seat: the seat that has it.

        Returns:
            Its numbers, plane by plane; `render` shows a state as OpenSpiel does.
        """
        array = np.asarray(obs)
        show = functools.partial(
            np.array2string, precision=2, suppress_small=True, threshold=2000
        )
        return "\n\n".join(map(show, array)) if array.ndim > 2 else show(array)

    def render(self, state: SpielState) -> str:
        """Return the whole state, hidden parts included, as OpenSpiel writes it.

        Args:
            state: a state.
        """
        return str(state.spiel)


# -- steps -------------------------------------------------------------------


def _play_chance(spiel: Any, key: jax.Array) -> None:
    """Move `spiel` to the next node that is not chance; `key` is read only at chance."""
    rng = None
    while spiel.is_chance_node():
        if rng is None:
            rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        outcomes, rest = spiel.chance_outcomes(), rng.random()
        # The last outcome, if rounding leaves the sum below the draw.
        chosen = outcomes[-1][0]
        for outcome, prob in outcomes:
            rest -= prob
            if rest < 0:
                chosen = outcome
                break
        spiel.apply_action(chosen)


def _moved(state: SpielState, actions: Array) -> Any:
    """Return OpenSpiel's state after a joint action; raise ValueError if illegal."""
    moves = _checked_moves(actions, state.legal)
    spiel = state.spiel.clone()
    if spiel.is_simultaneous_node():
        spiel.apply_actions(moves)
    else:
        spiel.apply_action(moves[spiel.current_player()])
    return spiel


def _chances(spiel: Any, name: str) -> list[tuple[float, Any]]:
    """Return every next node that is not chance, with its probability."""
    count, node = 1, spiel
    while (
        node.is_chance_node() and count <= MAX_OUTCOMES
    ):  # along the first path
        outcomes = node.chance_outcomes()
        count, node = count * len(outcomes), node.child(outcomes[0][0])
    if count > MAX_OUTCOMES:
        raise ValueError(
            f"more than {MAX_OUTCOMES:,} positions of {name} can follow one: expected "
            "at most that many, to list them"
        )
    return _ends(spiel)


def _ends(spiel: Any) -> list[tuple[float, Any]]:
    if not spiel.is_chance_node():
        return [(1.0, spiel)]
    ends = []
    for outcome, prob in spiel.chance_outcomes():
        if prob > 0:
            later = _ends(spiel.child(outcome))
            ends += [(prob * rest, end) for rest, end in later]
    return ends


def _listed_outcomes(
    probability: Sequence[float], reached: Sequence[tuple[SpielState, TimeStep]]
) -> Outcomes:
    states, shown = zip(*reached, strict=True)
    return Outcomes(
        np.array(probability),
        list(states),
        jax.tree.map(lambda *x: np.stack(x), *shown),
    )


def _legal(spiel: Any, game: Spiel) -> np.ndarray:
    """Return the legal actions [N, A]; a seat without a choice has only the null one."""
    legal = np.zeros((game.seats, game.actions), bool)
    turn, everyone = spiel.current_player(), spiel.is_simultaneous_node()
    for seat in range(game.seats):
        actions = spiel.legal_actions(seat) if everyone or seat == turn else []
        legal[seat, actions or game.null] = True
    return legal


def _checked_moves(actions: Array, legal: np.ndarray) -> list[int]:
    moves = np.asarray(actions)
    seats, count = legal.shape
    if moves.shape != (seats,) or moves.dtype.kind not in "iu":
        raise ValueError(
            f"actions of {moves.dtype} {moves.shape}: expected ints ({seats},), "
            "one for each seat"
        )
    for seat, move in enumerate(moves.tolist()):
        if not 0 <= move < count or not legal[seat, move]:
            allowed = np.flatnonzero(legal[seat]).tolist()
            raise ValueError(
                f"action={move}: expected a legal action of seat {seat}: {allowed}"
            )
    return moves.tolist()
