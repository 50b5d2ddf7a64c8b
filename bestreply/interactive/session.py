"""One seat for a person, one game at a time: what it may do, what the others do, and the log of it.

The others choose as soon as a step is shown, before the person does: moves are simultaneous, and theirs are never made in the light of its.
A game is written to the dataset when it has ended, whole; one that is left unfinished is not written.
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
from bestreply.planning.agent import Agent
from bestreply.players.base import Player
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import (
    Choice,
    Log,
    choose_batch,
    first_carries,
    log_step,
    renewed,
    to_episodes,
)
from bestreply.types import ABSENT, ActorOutput, Array, TimeStep, ego_order
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.spec import Spec

NAME = "person"


class HumanPlayer(Player):
    """Stands in for a person in rosters and logs. What the person does comes from outside: `step` holds the place with a legal action."""

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
    """Games of a person at global seat `seat` with `others` in the other seats, in seat order."""

    def __init__(
        self,
        game: Game,
        others: Sequence[str | Spec | Player],
        seat: int,
        seed: int,
        out: Path,
        *,
        command: str | None = None,
    ) -> None:
        """The first game is begun. `out`: the dataset that ended games go to, or are added to.

        Raises ValueError for a seat that is not there, a wrong number of others, unknown players, and a dataset at `out` of another
        game or other players.
        """
        n = game.num_players
        if not 0 <= seat < n:
            raise ValueError(
                f"seat {seat + 1} of {game.name}; expected: 1 to {n}"
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
        if (out / "manifest.json").exists():
            open_log(
                out, game, self.lineup.roster
            )  # refuses now rather than after a game
        self.begin()

    # -- a game ----------------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new game; one that has not ended is dropped."""
        self.number += 1
        lineup = seat_players(
            self.game, self.players, 1, self.seed + self.number
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
        state, shown = _reset(
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
        """The person's action at this step. Raises ValueError for one that is not legal, or where the game has ended."""
        if self.over:
            raise ValueError("the game has ended; expected: a new game")
        legal = self.legal
        if not 0 <= action < len(legal) or not legal[action]:
            there = ", ".join(
                name
                for name, ok in zip(self.game.action_names, legal, strict=True)
                if ok
            )
            raise ValueError(
                f"action {action} is not legal here; legal: {there}"
            )
        self._step(action)
        self._play_on()

    @property
    def step(self) -> int:
        return len(self.logs)

    @property
    def over(self) -> bool:
        return bool(self.shown.terminated.all() or self.shown.truncated[0])

    @property
    def out_of_it(self) -> bool:
        """Whether the person has nothing left to do, while the others may."""
        return bool(
            self.shown.terminated[0, self.seat]
            or not self.shown.present[0, self.seat]
        )

    @property
    def legal(self) -> list[bool]:
        """[A], of the person; all False where it does not act."""
        if self.over or self.out_of_it:
            return [False] * self.game.num_actions
        return self.shown.legal[0, self.seat].tolist()

    @property
    def obs(self) -> np.ndarray:
        return np.asarray(self.shown.obs[0, self.seat])

    @property
    def rewards(self) -> np.ndarray:
        """[steps, N] float64: what everybody got for what it did."""
        rows = [
            np.where(log.action[0] != ABSENT, log.reward[0], 0.0)
            for log in self.logs
        ]
        return np.array(rows, np.float64).reshape(
            len(rows), self.game.num_players
        )

    @property
    def names(self) -> list[str]:
        """Who sits in each seat."""
        return [self.lineup.pool[i].name for i in self.lineup.seating[0]]

    def _think(self) -> None:
        """The others choose; what agents believe about the person is noted."""
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
        """By seat, what each agent that plans has just actor_output."""
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
        """Where the person is among the others of `seat`."""
        return int(
            np.flatnonzero(
                ego_order(self.game.num_players)[seat][1:] == self.seat
            )[0]
        )

    def expected(self) -> dict[int, np.ndarray]:
        """By seat of each agent, [A]: the probabilities that it gives to the person's actions now."""
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
        state, after = _step(
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
        """To the end, where the person has nothing left to do."""
        while not self.over and self.out_of_it:
            self._step(0)

    def _keep(self) -> None:
        """Writes the game that has just ended."""
        logs = jax.tree.map(lambda *x: np.stack(x, 1), *self.logs)
        played = to_episodes(
            self.game, logs, self.shown, self.lineup.seating, lean=False
        )
        try:
            store = open_log(self.out, self.game, self.lineup.roster)
            store.append(
                named_in(store, self.lineup, played),
                seed=self.seed,
                command=self.command,
            )
            self.kept += 1
        except (OSError, ValueError) as error:
            self.trouble = str(error)


# -- a game's own rules, compiled where they can be ------------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("game",))
def _reset_compiled(game: Game, key: jax.Array) -> Any:
    return game.reset(key)


@partial(jax.jit, static_argnames=("game",))
def _step_compiled(
    game: Game, state: Any, actions: Array, key: jax.Array
) -> Any:
    return game.step(state, actions, key)


def _reset(game: Game, key: jax.Array) -> Any:
    return _reset_compiled(game, key) if game.compiled else game.reset(key)


def _step(game: Game, state: Any, actions: Array, key: jax.Array) -> Any:
    return (
        _step_compiled(game, state, actions, key)
        if game.compiled
        else game.step(state, actions, key)
    )


def _batched(shown: TimeStep) -> TimeStep:
    """A batch of one, in NumPy."""
    return jax.tree.map(lambda x: np.asarray(x)[None], jax.device_get(shown))
