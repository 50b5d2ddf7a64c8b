"""OpenSpiel's simultaneous-move games, on the host: ``make_game("openspiel:goofspiel(num_cards=4)")``.

Lanctot et al., "OpenSpiel: A Framework for Reinforcement Learning in Games", 2019. What is where:

- Settings are OpenSpiel's own parameters with OpenSpiel's own defaults, all written out, and two of ours,
  `max_steps` and `show_seat`.
- An observation is `observation_tensor`, or `information_state_tensor` where a game gives no other, in its
  own shape and layout (planes first, where there are planes). Many games show every seat the same tensor, so
  that nobody can tell which player is itself; with `show_seat` (by default in just these games) N further
  planes, or entries, follow: the one of the seat that looks is 1, the others 0.
- A reward is the growth of `returns()` over a step: an episode's rewards add up to `returns()`.
- A game that ends by its own rules, its own horizon included, has terminated. `max_steps` is a limit of ours
  that truncates; by default it is the game's `max_game_length()`, by which the game ends itself.
- Every seat is present until the end. A seat with nothing to choose (the other seat's turn in a game that
  mixes turns with simultaneous moves, or the end of the game) has action 0 as its only legal one; it does
  nothing.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
from bestreply.types import Array, TimeStep, ego_order


@dataclasses.dataclass(frozen=True, eq=False)
class SpielState:
    """A state of OpenSpiel that is no chance node, and what it does not keep itself."""

    spiel: Any  # pyspiel.State; cloned before it moves, so never changed
    returns: np.ndarray  # [N] float64, paid out so far
    legal: np.ndarray  # [N, A] bool
    time: int  # steps made
    over: bool  # terminated or truncated


@dataclasses.dataclass(frozen=True)
class OpenSpielGame(Game):
    """A simultaneous-move game of OpenSpiel. `load` makes it: it checks the settings and completes them.

    Two are equal when their names and settings are; OpenSpiel's own object is kept in a cache, not here.
    """

    version = 1
    summary = "a simultaneous-move game of OpenSpiel"
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
        """The game with OpenSpiel's short name `name`, its parameters as keywords.

        A parameter that is itself a game is given as OpenSpiel writes it: ``stage_game="matrix_pd()"``.

        Raises ValueError for an unknown name, parameter or value and for a game of another kind, showing what
        there is; ImportError where `pyspiel` is not installed.
        """
        given = checked_parameters(name, parameters)
        spiel = load_spiel(name, given)
        check_kind(name, spiel)
        known = specification(name)
        complete = {
            k: v for k, v in spiel.get_parameters().items() if k in known
        }
        strings = {
            k: game_string(v)
            for k, v in complete.items()
            if isinstance(v, dict)
        }
        complete = tuple(sorted((complete | strings | dict(given)).items()))
        if max_steps is None:
            max_steps = int(spiel.max_game_length())
        if show_seat is None:
            show_seat = spiel_of(name, complete).common
        if (
            isinstance(max_steps, bool)
            or not isinstance(max_steps, int)
            or max_steps < 1
        ):
            raise ValueError(
                f"openspiel:{name}: max_steps={max_steps!r}; expected: a whole number, 1 or more"
            )
        if not isinstance(show_seat, bool):
            raise ValueError(
                f"openspiel:{name}: show_seat={show_seat!r}; expected: True or False"
            )
        return cls(f"openspiel:{name}", complete, max_steps, show_seat)

    @property
    def spiel(self) -> Spiel:
        """OpenSpiel's game and what is asked of it over and over."""
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
    def action_names(self) -> tuple[str, ...]:
        """OpenSpiel's names where they are short and the same for every seat, otherwise "0", "1", ..."""
        return self.spiel.action_names

    @property
    def obs_shape(self) -> tuple[int, ...]:
        first, *rest = self.spiel.shape
        return (first + self.show_seat * self.num_players, *rest)

    @property
    def binary(self) -> np.ndarray:
        """OpenSpiel does not say which entries are 0 or 1; those of `show_seat` are."""
        binary = np.zeros(self.obs_shape, bool)
        binary[self.spiel.shape[0] :] = True
        return binary

    # -- its rules -----------------------------------------------------------------------------------------

    def reset(self, key: jax.Array) -> tuple[SpielState, TimeStep]:
        spiel = self.spiel.game.new_initial_state()
        _play_chance(spiel, key)
        return self._begin(spiel)

    def _begin(self, spiel: Any) -> tuple[SpielState, TimeStep]:
        game = self.spiel
        nothing = np.zeros(
            game.seats
        )  # what is gained before the first step is paid with it
        state = SpielState(
            spiel, nothing, _legal(spiel, game), 0, spiel.is_terminal()
        )
        return state, self._look(game, state, nothing)

    def step(
        self, state: SpielState, actions: Array, key: jax.Array
    ) -> tuple[SpielState, TimeStep]:
        """As `Game.step`. An illegal action raises ValueError: OpenSpiel itself does not catch every one."""
        if state.over:
            return state, self._look(
                self.spiel, state, np.zeros(self.spiel.seats)
            )
        spiel = _moved(state, actions)
        _play_chance(spiel, key)
        return self._reach(state, spiel)

    def _reach(
        self, before: SpielState, spiel: Any
    ) -> tuple[SpielState, TimeStep]:
        """What a step from `before` to `spiel`, which is no chance node, gives."""
        game, time, returns = (
            self.spiel,
            before.time + 1,
            np.asarray(spiel.returns()),
        )
        over = spiel.is_terminal() or time >= self.max_steps
        new = SpielState(spiel, returns, _legal(spiel, game), time, over)
        return new, self._look(game, new, returns - before.returns)

    def outcomes(self, state: SpielState, actions: Array) -> Outcomes:
        """One for every line of chance nodes that can follow."""
        if state.over:
            return _listed_outcomes(
                [1.0], [self.step(state, actions, jax.random.key(0))]
            )
        probability, spiels = zip(
            *_chances(_moved(state, actions)), strict=True
        )
        return _listed_outcomes(
            probability, [self._reach(state, spiel) for spiel in spiels]
        )

    def first_states(self) -> Outcomes:
        """One for every line of chance nodes that the game can begin with."""
        probability, spiels = zip(
            *_chances(self.spiel.game.new_initial_state()), strict=True
        )
        return _listed_outcomes(
            probability, [self._begin(spiel) for spiel in spiels]
        )

    def state_key(self, state: SpielState) -> bytes:
        """All that was played: OpenSpiel promises of nothing shorter that play goes on the same from two states that share it."""
        return repr(state.spiel.history()).encode()

    def _look(
        self, game: Spiel, state: SpielState, reward: np.ndarray
    ) -> TimeStep:
        terminal, tensor = (
            state.spiel.is_terminal(),
            getattr(state.spiel, game.tensor),
        )
        obs = np.array([tensor(seat) for seat in range(game.seats)], np.float32)
        obs = obs.reshape(game.seats, *game.shape)
        return TimeStep(
            obs=np.concatenate([obs, game.marks], axis=1)
            if self.show_seat
            else obs,
            legal=state.legal.copy(),
            reward=reward.astype(np.float32),
            terminated=np.full(game.seats, terminal),
            truncated=np.array(state.over and not terminal),
            present=np.ones(game.seats, bool),
        )

    # -- what its observations tell ------------------------------------------------------------------------

    def perspective(self, obs: Array, other: Array | int) -> Array | None:
        """The same with another seat marked, where all seats see the same; otherwise unknown."""
        game = self.spiel
        if not game.common:
            return None
        if not self.show_seat:
            return obs
        inner = len(self.obs_shape) - 1  # axes of one plane
        shared, marks = jnp.split(
            jnp.asarray(obs), [game.shape[0]], axis=-1 - inner
        )
        me = marks[(..., slice(None), *(0,) * inner)].argmax(-1)
        seat = jnp.asarray(ego_order(game.seats))[me, other]
        mark = jax.nn.one_hot(seat, game.seats, dtype=marks.dtype).reshape(
            *seat.shape, -1, *(1,) * inner
        )
        return jnp.concatenate(
            [shared, jnp.broadcast_to(mark, marks.shape)], axis=-1 - inner
        )

    def present_in(self, obs: Array) -> Array:
        """[..., N] bool: every seat."""
        return jnp.ones(
            (*jnp.shape(obs)[: -len(self.obs_shape)], self.num_players), bool
        )

    # -- to look at ----------------------------------------------------------------------------------------

    def text(self, obs: Array, seat: int = 0) -> str:
        """The numbers of the observation, plane by plane; `render` shows a state as OpenSpiel draws it."""
        array = np.asarray(obs)
        show = functools.partial(
            np.array2string, precision=2, suppress_small=True, threshold=2000
        )
        return "\n\n".join(map(show, array)) if array.ndim > 2 else show(array)

    def render(self, state: SpielState) -> str:
        """The whole state, hidden parts included, as OpenSpiel writes it."""
        return str(state.spiel)


# -- steps -------------------------------------------------------------------------------------------------


def _play_chance(spiel: Any, key: jax.Array) -> None:
    """Moves `spiel` to the next node that is not chance's. The key is only read where there is chance."""
    draws = None
    while spiel.is_chance_node():
        if draws is None:
            draws = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        outcomes, rest = spiel.chance_outcomes(), draws.random()
        chosen = outcomes[-1][
            0
        ]  # where rounding leaves the sum of the probabilities below the draw
        for outcome, prob in outcomes:
            rest -= prob
            if rest < 0:
                chosen = outcome
                break
        spiel.apply_action(chosen)


def _moved(state: SpielState, actions: Array) -> Any:
    """OpenSpiel's state after everybody's actions, before chance. Raises ValueError for an illegal one."""
    moves = _checked_moves(actions, state.legal)
    spiel = state.spiel.clone()
    if spiel.is_simultaneous_node():
        spiel.apply_actions(moves)
    else:
        spiel.apply_action(moves[spiel.current_player()])
    return spiel


def _chances(spiel: Any) -> list[tuple[float, Any]]:
    """Every next node that is not chance's, with its probability."""
    if not spiel.is_chance_node():
        return [(1.0, spiel)]
    drawn = [
        (prob, spiel.child(outcome))
        for outcome, prob in spiel.chance_outcomes()
        if prob > 0
    ]
    return [
        (prob * later, end)
        for prob, node in drawn
        for later, end in _chances(node)
    ]


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
    """[N, A] bool; a seat with nothing to choose has action 0 alone."""
    legal = np.zeros((game.seats, game.actions), bool)
    turn, everyone = spiel.current_player(), spiel.is_simultaneous_node()
    for seat in range(game.seats):
        actions = spiel.legal_actions(seat) if everyone or seat == turn else []
        legal[seat, actions or 0] = True
    return legal


def _checked_moves(actions: Array, legal: np.ndarray) -> list[int]:
    moves = np.asarray(actions)
    seats, count = legal.shape
    if moves.shape != (seats,) or moves.dtype.kind not in "iu":
        raise ValueError(
            f"actions are {moves.dtype} {moves.shape}; expected: whole numbers ({seats},), one a seat"
        )
    for seat, move in enumerate(moves.tolist()):
        if not 0 <= move < count or not legal[seat, move]:
            allowed = np.flatnonzero(legal[seat]).tolist()
            raise ValueError(
                f"action {move} of seat {seat} is illegal here; legal: {allowed}"
            )
    return moves.tolist()
