"""A session: a person plays one seat, one game at a time, and games are logged.

The other players choose when a step is shown, before the person does: moves are
simultaneous. A game is written to the dataset when it has ended; an unfinished
game is not written.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.collect import named_in, open_log
from bestreply.games.base import Game
from bestreply.games.spaces import WAIT
from bestreply.planning.agent import Agent
from bestreply.players.base import Player
from bestreply.players.callback import player_errors
from bestreply.simulation.decisions import (
    Choice,
    Log,
    choose_batch,
    first_carries,
    log_step,
    renewed,
)
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import to_episodes
from bestreply.simulation.replayed import reset_game, step_game
from bestreply.types import ABSENT, ActorOutput, Array, TimeStep, ego_order
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.seeds import derived_seed
from bestreply.utils.spec import Spec

NAME = "person"


class HumanPlayer(Player):
    """A person in rosters and logs.

    The person's action comes from outside; `step` gives a legal placeholder.
    """

    name: str = eqx.field(static=True, default=NAME)
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return ()

    def step(
        self,
        carry: Any,
        obs: Array,
        legal: Array,
        key: jax.Array,
        *,
        others: Array | None = None,
        present: Array | None = None,
    ) -> tuple[Any, jax.Array, ActorOutput]:
        return carry, jnp.argmax(legal).astype(jnp.int32), ActorOutput()


class Session:
    """Games of a person at one seat, with given players in the other seats."""

    def __init__(
        self,
        game: Game,
        others: Sequence[str | Spec | Player],
        seat: int,
        seed: int,
        out: Path,
        *,
        append: bool = False,
        command: str | None = None,
    ) -> None:
        """Start the first game.

        Args:
            game: the game.
            others: players of the other seats, in seat order.
            seat: the person's seat, from 0.
            seed: seed of play.
            out: dataset of ended games.
            append: add to the dataset `out`, of the same game and players, if there
                is one.
            command: what was typed, for the provenance.

        Raises:
            FileExistsError: `out` holds episodes, and `append` is not set.
            ValueError: `seat` or the number of players does not fit the game, a
                player is unknown, or `out` is of another game or other players or
                has games of this seed.
        """
        n = game.num_players
        if not 0 <= seat < n:
            raise ValueError(
                f"seat={seat + 1}: expected 1 to {n} in {game.name}"
            )
        cache_compilations()
        self.game, self.seat, self.seed, self.out, self.command = (
            game,
            seat,
            seed,
            out,
            command,
        )
        self.players: list[str | Spec | Player] = [
            *others[:seat],
            HumanPlayer(),
            *others[seat:],
        ]
        self.number, self.kept, self.trouble = -1, 0, ""
        self.carries: Any = None
        self.lineup = seat_players(game, self.players, 1, seed)
        if (out / "manifest.json").exists():  # an error now, not after a game
            with open_log(
                out, game, self.lineup.roster, append=append
            ) as store:
                store.check_seed(seed, 1)
        self.begin()

    def begin(self) -> None:
        """Start a new game; an unfinished one is dropped."""
        self.number += 1
        lineup = seat_players(
            self.game, self.players, 1, derived_seed(self.seed, self.number)
        )
        same = np.array_equal(lineup.seating, self.lineup.seating)
        self.lineup, self.seats = lineup, lineup.seats()
        if self.carries is None or not same:
            self.carries = jax.vmap(partial(first_carries, lineup.pool))(
                self.seats
            )
        else:
            self.carries = jax.vmap(partial(renewed, lineup.pool))(
                self.seats, self.carries
            )
        self.key = jax.random.fold_in(jax.random.key(self.seed), self.number)
        state, shown = reset_game(
            self.game, jax.random.fold_in(self.key, self.game.max_steps)
        )
        self.state, self.shown = state, _batched(shown)
        self.last = np.full((1, self.game.num_players), ABSENT, np.int32)
        self.logs: list[Log] = []
        self.beliefs: dict[int, list[list[float]]] = {}
        self.trouble = ""
        self._think()
        self._play_on()

    def act(self, action: int) -> None:
        """Play the person's action, and the game on to the person's next decision.

        Args:
            action: index of a legal action.

        Raises:
            ValueError: the action is not legal, or the game has ended.
        """
        if self.over:
            raise ValueError("the game has ended: expected a new game")
        legal = self.legal
        if not 0 <= action < len(legal) or not legal[action]:
            there = ", ".join(
                name
                for name, ok in zip(self.game.action_names, legal, strict=True)
                if ok
            )
            raise ValueError(
                f"action={action}: expected a legal action: {there}"
            )
        self._step(action)
        self._play_on()

    @property
    def step(self) -> int:
        """Number of steps played."""
        return len(self.logs)

    @property
    def over(self) -> bool:
        """The game has ended."""
        return bool(self.shown.terminated.all() or self.shown.truncated[0])

    @property
    def out_of_it(self) -> bool:
        """The person has left or is terminated; the other players may still act."""
        return bool(
            self.shown.terminated[0, self.seat]
            or not self.shown.present[0, self.seat]
        )

    @property
    def legal(self) -> list[bool]:
        """[A], the person's legal actions; all False where the person does not act."""
        if self.over or self.out_of_it:
            return [False] * self.game.num_actions
        return self.shown.legal[0, self.seat].tolist()

    @property
    def obs(self) -> np.ndarray:
        """[*obs_shape], the person's observation."""
        return np.asarray(self.shown.obs[0, self.seat])

    @property
    def rewards(self) -> np.ndarray:
        """[steps, N] float64, the rewards of all seats."""
        rows = [
            np.where(log.action[0] != ABSENT, log.reward[0], 0.0)
            for log in self.logs
        ]
        return np.array(rows, np.float64).reshape(
            len(rows), self.game.num_players
        )

    @property
    def names(self) -> list[str]:
        """Name of the player in each seat."""
        return [self.lineup.pool[i].name for i in self.lineup.seating[0]]

    @player_errors()
    def _think(self) -> None:
        """Let the other players choose, and record what agents believe about the person."""
        if self.over:
            return
        self.move_keys = jax.random.split(
            jax.random.fold_in(self.key, self.step)
        )
        choice = choose_batch(
            self.lineup.pool,
            self.carries,
            self.seats,
            self.shown,
            self.last,
            self.move_keys[None, 0],
        )
        self.choice: Choice = jax.device_get(choice)
        acts = self.shown.present[0] & ~self.shown.terminated[0]
        legal = self.shown.legal[
            0, np.arange(self.game.num_players), self.choice.action[0]
        ]
        for seat in np.flatnonzero(acts & ~legal)[:1]:
            name = self.game.action_names[int(self.choice.action[0, seat])]
            raise ValueError(
                f"{self.names[seat]} chose {name} in seat {seat + 1}, which is illegal"
            )
        for seat, (plan, agent) in self._plans().items():
            place = self._place(seat)
            posterior = np.asarray(
                agent.opponents.posterior(jax.device_put(plan.belief))
            )
            self.beliefs.setdefault(seat, []).append(posterior[place].tolist())

    def _plans(self) -> dict[int, tuple[Any, Agent]]:
        """Return the newest plan of each planning agent, by seat."""
        found: dict[int, tuple[Any, Agent]] = {}
        for player, held, actor_output in zip(
            self.lineup.pool, self.seats, self.choice.actor_outputs, strict=True
        ):
            if not isinstance(player, Agent) or actor_output.plan is None:
                continue
            for k, seat in enumerate(held[0].tolist()):
                if seat < self.game.num_players and self.shown.present[0, seat]:
                    found[seat] = (
                        jax.tree.map(lambda x, k=k: x[0, k], actor_output.plan),
                        player,
                    )
        return found

    def _place(self, seat: int) -> int:
        """Return the person's index among the opponents of `seat`."""
        return int(
            np.flatnonzero(
                ego_order(self.game.num_players)[seat][1:] == self.seat
            )[0]
        )

    def expected(self) -> dict[int, np.ndarray]:
        """Return the probabilities [A] that each agent predicts for the person, by seat."""
        if self.over or self.out_of_it:
            return {}
        return {
            seat: np.asarray(plan.others)[self._place(seat)]
            for seat, (plan, _) in self._plans().items()
        }

    def _step(self, action: int) -> None:
        chosen = np.array(self.choice.action)
        chosen[0, self.seat] = action
        choice = self.choice._replace(action=chosen)
        state, after = step_game(
            self.game, self.state, chosen[0], self.move_keys[1]
        )
        after = _batched(after)
        log = jax.device_get(
            jax.vmap(partial(log_step, watch=None))(choice, self.shown, after)
        )
        self.logs.append(log)
        self.state, self.shown, self.last, self.carries = (
            state,
            after,
            log.action,
            choice.carries,
        )
        if self.over:
            self._keep()
        else:
            self._think()

    def _play_on(self) -> None:
        """Play on to the end where the person has left, or while it is not to move."""
        while not self.over:
            legal = np.flatnonzero(self.legal).tolist()
            names = [self.game.action_names[action] for action in legal]
            if not self.out_of_it and names != [WAIT]:
                return
            self._step(legal[0] if legal else 0)

    def _keep(self) -> None:
        """Write the game that has just ended."""
        logs = jax.tree.map(lambda *x: np.stack(x, 1), *self.logs)
        played = to_episodes(
            self.game, logs, self.shown, self.lineup.seating, lean=False
        )
        try:
            with open_log(
                self.out, self.game, self.lineup.roster, append=True
            ) as store:
                store.append(
                    named_in(store, self.lineup, played),
                    seed=self.seed,
                    seed_episode=self.number,
                    command=self.command,
                )
            self.kept += 1
        except (OSError, ValueError) as error:
            self.trouble = str(error)


def _batched(shown: TimeStep) -> TimeStep:
    """Return a step as a batch of one, in NumPy."""
    return jax.tree.map(lambda x: np.asarray(x)[None], jax.device_get(shown))
