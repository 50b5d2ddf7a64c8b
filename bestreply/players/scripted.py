"""Players by rule. Each gives its exact action distribution; `games.md`'s rules, with choices made here named where they are made."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.grid import (
    DOWN,
    LEFT,
    RIGHT,
    STAY,
    UP,
    GridGame,
    distances,
)
from bestreply.players.base import ScriptedPlayer, draw, uniform
from bestreply.types import ABSENT, Array

field = eqx.field


class Random(ScriptedPlayer):
    """Uniform over the legal actions (R)."""

    name: str = field(static=True, default="random")
    version: int = field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return uniform(legal)


class Nearest(ScriptedPlayer):
    """Goes to a nearest thing of one kind and takes it: nearest_stag (NS), nearest_hare (NH), nearest_drift (ND).

    Standing on one: takes it, again and again. Otherwise one step that reduces the Manhattan distance to a nearest one; ties
    between targets, then between axes, are uniform. None left: uniform over legal actions. If the step drawn is illegal: uniform
    over the legal ones of UP, DOWN, LEFT, RIGHT (chosen here: STAY only if there is none).
    """

    name: str = field(static=True)
    game: GridGame = field(static=True)
    kind: int = field(static=True)
    version: int = field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        game, take = self.game, STAY + 1 + self.kind
        flat = jnp.reshape(obs, (game.cells, -1))
        me = flat[:, 0] > 0.5
        there = flat[:, game.num_players + 1 + self.kind] > 0.5
        toward = steps_toward(self.game, me, there)
        moves = jnp.asarray(legal).at[STAY:].set(False)
        fallback = uniform(jnp.where(moves.any(), moves, jnp.asarray(legal)))
        blocked = jnp.where(legal, 0.0, toward).sum()
        probs = jnp.where(legal, toward, 0.0) + blocked * fallback
        probs = jnp.where(
            (me & there).any(), jax.nn.one_hot(take, game.num_actions), probs
        )
        return jnp.where(me.any() & there.any(), probs, uniform(legal))


def steps_toward(game: GridGame, me: Array, there: Array) -> jax.Array:
    """[A] float32: probabilities of UP, DOWN, LEFT, RIGHT for one step from `me` [cells] to a nearest of `there` [cells]."""
    far = jnp.asarray(distances(game.height, game.width))[
        jnp.argmax(me)
    ]  # [cells]
    nearest = there & (far == jnp.min(jnp.where(there, far, game.cells + 1)))
    rows, columns = np.divmod(np.arange(game.cells), game.width)
    down, right = _offset(rows, me), _offset(columns, me)
    axes = jnp.maximum((down != 0).astype(jnp.float32) + (right != 0), 1)
    weight = nearest / jnp.maximum(nearest.sum(), 1) / axes
    probs = jnp.zeros(game.num_actions)
    for action, helps in (
        (UP, down < 0),
        (DOWN, down > 0),
        (LEFT, right < 0),
        (RIGHT, right > 0),
    ):
        probs = probs.at[action].set((weight * helps).sum())
    return probs


def _offset(line: np.ndarray, me: Array) -> jax.Array:
    """[cells]: how far each cell lies from `me` along one axis."""
    return jnp.asarray(line) - jnp.asarray(line)[jnp.argmax(me)]


class NeverRemove(ScriptedPlayer):
    """Uniform over legal actions other than REMOVE (FIX, the defector of the Snowdrift Game)."""

    name: str = field(static=True, default="never_remove")
    version: int = field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return uniform(jnp.asarray(legal).at[STAY + 1 :].set(False))


# -- made of other players -----------------------------------------------------------------------------------------------------


class Noisy(ScriptedPlayer):
    """Plays `player`, and with probability `eps` a uniform legal action instead."""

    player: ScriptedPlayer
    eps: float = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def start(self) -> Any:
        return self.player.start()

    def renew(self, carry: Any) -> Any:
        return self.player.renew(carry)

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        return self.player.see(carry, obs, others, key)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return (1 - self.eps) * self.player.policy(
            carry, obs, legal
        ) + self.eps * uniform(legal)

    def did(self, carry: Any, action: jax.Array) -> Any:
        return self.player.did(carry, action)

    @property
    def num_modes(self) -> int:
        return self.player.num_modes

    def mode(self, carry: Any) -> jax.Array:
        return self.player.mode(carry)


class Mixture(ScriptedPlayer):
    """Draws one of `players` by `weights` at the start of every episode and plays it.

    `collect` and `evaluate` log the player that was drawn, not the mixture.
    """

    players: tuple[ScriptedPlayer, ...]
    weights: tuple[float, ...] = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def start(self) -> Any:
        return jnp.int32(ABSENT), tuple(p.start() for p in self.players)

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        chosen, inner = carry
        pick_key, *keys = jax.random.split(key, 1 + len(self.players))
        drawn = draw(pick_key, jnp.asarray(self.weights) / sum(self.weights))
        chosen = jnp.where(chosen == ABSENT, drawn, chosen)
        return chosen, tuple(
            p.see(c, obs, others, k)
            for p, c, k in zip(self.players, inner, keys, strict=True)
        )

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        chosen, inner = carry
        return jnp.stack(
            [
                p.policy(c, obs, legal)
                for p, c in zip(self.players, inner, strict=True)
            ]
        )[chosen]

    def did(self, carry: Any, action: jax.Array) -> Any:
        chosen, inner = carry
        return chosen, tuple(
            p.did(c, action) for p, c in zip(self.players, inner, strict=True)
        )

    @property
    def num_modes(self) -> int:
        return sum(p.num_modes for p in self.players)

    def mode(self, carry: Any) -> jax.Array:
        chosen, inner = carry
        before = np.cumsum([0, *(p.num_modes for p in self.players[:-1])])
        each = [
            int(b) + p.mode(c)
            for b, p, c in zip(before, self.players, inner, strict=True)
        ]
        return jnp.stack(each)[chosen]


class Switching(ScriptedPlayer):
    """Plays `first`, then `second` for good.

    When: at step `step`; at a step drawn uniformly from ``range(random)`` in each episode; with probability `hazard` before each
    step; or from the start of episode number `episode` (counted from 0) against the same others. Exactly one is given.
    """

    first: ScriptedPlayer
    second: ScriptedPlayer
    name: str = field(static=True)
    step_at: Any = None  # int or [] int32
    random: int | None = field(static=True, default=None)
    hazard: float | None = field(static=True, default=None)
    episode: int | None = field(static=True, default=None)
    version: int = field(static=True, default=1)

    def start(self) -> Any:
        return self._carry(
            jnp.int32(0), self.first.start(), self.second.start()
        )

    def _carry(self, episode: Any, first: Any, second: Any) -> dict[str, Any]:
        zero = jnp.int32(0)
        return {
            "step": zero,
            "at": zero,
            "episode": episode,
            "switched": jnp.bool_(False),
            "first": first,
            "second": second,
        }

    def renew(self, carry: Any) -> Any:
        first, second = (
            self.first.renew(carry["first"]),
            self.second.renew(carry["second"]),
        )
        return self._carry(carry["episode"] + 1, first, second)

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        key, first_key, second_key = jax.random.split(key, 3)
        step, at = carry["step"], carry["at"]
        if self.random is not None:
            at = jnp.where(
                step == 0, jax.random.randint(key, (), 0, self.random), at
            )
            now = step >= at
        elif self.hazard is not None:
            now = jax.random.bernoulli(key, self.hazard)
        elif self.step_at is not None:
            now = step >= self.step_at
        else:
            now = carry["episode"] >= self.episode
        return {
            "step": step + 1,
            "at": at,
            "episode": carry["episode"],
            "switched": carry["switched"] | now,
            "first": self.first.see(carry["first"], obs, others, first_key),
            "second": self.second.see(carry["second"], obs, others, second_key),
        }

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        first, second = (
            self.first.policy(carry["first"], obs, legal),
            self.second.policy(carry["second"], obs, legal),
        )
        return jnp.where(carry["switched"], second, first)

    def did(self, carry: Any, action: jax.Array) -> Any:
        return carry | {
            "first": self.first.did(carry["first"], action),
            "second": self.second.did(carry["second"], action),
        }

    @property
    def num_modes(self) -> int:
        return self.first.num_modes + self.second.num_modes

    def mode(self, carry: Any) -> jax.Array:
        second = self.first.num_modes + self.second.mode(carry["second"])
        return jnp.where(
            carry["switched"], second, self.first.mode(carry["first"])
        )


# -- for matrix games ----------------------------------------------------------------------------------------------------------


class Always(ScriptedPlayer):
    """One action whenever it is legal, otherwise uniform over the legal ones."""

    action: int = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        legal = jnp.asarray(legal)
        return jnp.where(
            legal[self.action],
            jax.nn.one_hot(self.action, legal.shape[-1]),
            uniform(legal),
        )


class Strategy(ScriptedPlayer):
    """The same mixed strategy in every round; `equilibrium` is one."""

    probs: tuple[float, ...] = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return jnp.asarray(self.probs)


class TitForTat(ScriptedPlayer):
    """Cooperates first (action 0), then does what the others did: cooperates if all of them did, else defects (action 1)."""

    name: str = field(static=True, default="tit_for_tat")
    version: int = field(static=True, default=1)

    def start(self) -> Any:
        return jnp.int32(0)

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        return (others > 0).any().astype(jnp.int32)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return jax.nn.one_hot(carry, jnp.shape(legal)[-1])


class Grim(TitForTat):
    """Cooperates until somebody has defected once, then defects for good."""

    name: str = field(static=True, default="grim")

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        return jnp.maximum(carry, (others > 0).any().astype(jnp.int32))


class WinStayLoseShift(ScriptedPlayer):
    """Repeats its action after a payoff of at least the table's mean, otherwise takes the next one; cooperates first."""

    payoffs: tuple = field(
        static=True
    )  # own payoffs, [A, A, ...], own action first
    name: str = field(static=True, default="win_stay_lose_shift")
    version: int = field(static=True, default=1)

    def start(self) -> Any:
        return jnp.int32(0)

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        table = jnp.asarray(self.payoffs)
        won = (
            table[
                (
                    carry,
                    *(jnp.maximum(others[j], 0) for j in range(table.ndim - 1)),
                )
            ]
            >= table.mean()
        )
        return jnp.where(
            won | (others == ABSENT).any(), carry, (carry + 1) % table.shape[0]
        )

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return jax.nn.one_hot(carry, jnp.shape(legal)[-1])

    def did(self, carry: Any, action: jax.Array) -> Any:
        return action


class FictitiousPlay(ScriptedPlayer):
    """Best reply to each other's empirical frequencies, counted from one of each; ties are uniform (Brown, 1951)."""

    payoffs: tuple = field(static=True)
    name: str = field(static=True, default="fictitious_play")
    version: int = field(static=True, default=1)

    def start(self) -> Any:
        table = np.asarray(self.payoffs)
        return jnp.ones((table.ndim - 1, table.shape[0]))

    def renew(self, carry: Any) -> Any:
        return carry

    def see(self, carry: Any, obs: Array, others: Array, key: jax.Array) -> Any:
        return carry + jax.nn.one_hot(
            others, carry.shape[-1]
        )  # ABSENT gives a row of zeros

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        worth = jnp.asarray(self.payoffs, jnp.float32)
        for counts in carry[::-1]:  # the last axis first
            worth = worth @ (counts / counts.sum())
        return uniform(worth >= worth.max() - 1e-6)
