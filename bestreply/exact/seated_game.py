"""A game with its players seated, moved step by step from outside the focal seat."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key, PRNGKeyArray, PyTree

from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer, uniform
from bestreply.simulation.decisions import (
    Choice,
    choose,
    first_carries,
    log_step,
)
from bestreply.simulation.lineup import seat_players
from bestreply.types import ABSENT, Array, TimeStep
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec


class Estimate(NamedTuple):
    """The mean of a return over games from the first state, and its standard error."""

    mean: float
    stderr: float
    games: int

    @classmethod
    def of(cls, returns: Float[np.ndarray, " games"]) -> "Estimate":
        """Return the estimate from the return of each game.

        Args:
            returns: [games].

        Returns:
            Mean and standard error; 0 for one game.
        """
        spread = 0.0
        if len(returns) > 1:
            spread = float(returns.std(ddof=1) / len(returns) ** 0.5)
        return cls(float(returns.mean()), spread, len(returns))


class MatchState(NamedTuple):
    """The state of a match: all that determines its future but for later random draws."""

    state: PyTree
    last: Array  # [N] int32, everyone's action in the previous step
    carries: PyTree  # of the pool's players


class FocalSeat(ScriptedPlayer):
    """A placeholder in the focal seat, whose actions come from outside."""

    name: str = eqx.field(static=True, default="focal")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return uniform(legal)


class SeatedGame(eqx.Module):
    """One match to be played; with leading axes [M], several."""

    pool: tuple[Player, ...]
    seats: PyTree  # for each pool player, [m] int32
    focal: Array  # [] int32
    game: Game = eqx.field(static=True)

    def begin(self, key: PRNGKeyArray) -> MatchState:
        """Return a first state.

        Args:
            key: of the game's draw.

        Returns:
            State, actions and carries before the first step.
        """
        no_action = jnp.full(self.game.num_players, ABSENT, jnp.int32)
        carries = first_carries(self.pool, self.seats)
        return MatchState(self.game.start(key), no_action, carries)

    def look(self, match: MatchState) -> TimeStep:
        """Return the observations of all seats.

        Args:
            match: state of the match.

        Returns:
            The time step, without rewards.
        """
        return self.game.look(match.state, jnp.zeros(self.game.num_players))

    def choose(self, match: MatchState, key: PRNGKeyArray) -> Choice:
        """Return the joint decision; the focal seat's part is to be replaced.

        Args:
            match: state of the match.
            key: of the players' draws.

        Returns:
            The joint decision.
        """
        shown = self.look(match)
        return choose(
            self.pool, match.carries, self.seats, shown, match.last, key
        )

    def step(
        self,
        match: MatchState,
        choice: Choice,
        own: Int[Array, ""],
        key: PRNGKeyArray,
    ) -> tuple[MatchState, Float[Array, ""]]:
        """Return the match after one step; a finished game does not change.

        Args:
            match: state of the match.
            choice: as `choose` returns it.
            own: action of the focal seat.
            key: of the game's draws.

        Returns:
            The next state, and the focal seat's reward.
        """
        before = self.look(match)
        joint = choice._replace(action=choice.action.at[self.focal].set(own))
        state, after = self.game.step(match.state, joint.action, key)
        last = log_step(joint, before, after, None).action
        reward = after.reward[self.focal]
        return MatchState(state, last, choice.carries), reward

    def move(
        self, match: MatchState, own: Int[Array, ""], key: PRNGKeyArray
    ) -> tuple[MatchState, Float[Array, ""]]:
        """Return the match after one step with the other players' draws.

        Args:
            match: state of the match.
            own: action of the focal seat.
            key: of all draws.

        Returns:
            As `step`.
        """
        act_key, move_key = jax.random.split(key)
        choice = self.choose(match, act_key)
        return self.step(match, choice, own, move_key)

    def is_done(self, match: MatchState) -> Bool[Array, ""]:
        """Return whether the focal seat can earn nothing more.

        Args:
            match: state of the match.

        Returns:
            [] bool.
        """
        shown = self.look(match)
        gone = shown.terminated[self.focal] | ~shown.present[self.focal]
        return shown.truncated | gone

    def rows(self, index: Int[Array, "*rows"]) -> "SeatedGame":
        """Return some of several matches.

        Args:
            index: one index, or [R].

        Returns:
            The matches, without a leading axis for one index.
        """
        seats = jax.tree.map(lambda x: x[index], self.seats)
        return SeatedGame(self.pool, seats, self.focal[index], self.game)


def seat_games(
    game: Game, others: Sequence[str | Spec | Player], games: int, seed: int
) -> tuple[SeatedGame, Key[Array, " games"]]:
    """Return matches with the focal seat in every place in turn, as `evaluate` seats them.

    Args:
        game: a compiled game.
        others: a player for each other seat, in ego-first order.
        games: the number of matches, M.
        seed: of all draws.

    Returns:
        The matches [M, ...], and a key for each.
    """
    focal_seat = FocalSeat()  # pyright: ignore[reportCallIssue]
    players = [focal_seat, *others]
    seed = checked_seed(seed)
    lineup = seat_players(game, players, games, seed, rotate=True)
    focal = jnp.arange(games, dtype=jnp.int32) % game.num_players
    fold = partial(jax.random.fold_in, jax.random.key(seed))
    keys = jax.vmap(fold)(jnp.arange(games))
    seats = jax.tree.map(jnp.asarray, lineup.seats())
    return SeatedGame(lineup.pool, seats, focal, game), keys
