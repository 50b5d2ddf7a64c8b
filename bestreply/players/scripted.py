"""Scripted players: rules with exact action distributions.

The rules are those of the publications, as docs/games.md lists them; choices made
here are marked.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, PRNGKeyArray, PyTree, Shaped

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

Obs = Shaped[Array, "*obs_shape"]
Others = Int[Array, " others"]


class Random(ScriptedPlayer):
    """Uniform over the legal actions (R)."""

    name: str = field(static=True, default="random")
    version: int = field(static=True, default=1)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        return uniform(legal)


class Nearest(ScriptedPlayer):
    """Goes to a nearest thing of one kind and takes it.

    nearest_stag (NS), nearest_hare (NH), nearest_drift (ND). On such a thing: takes it,
    repeatedly. Otherwise: one move that reduces the Manhattan distance to a nearest
    one; ties between targets, then between axes, are uniform. If none is present:
    uniform over legal actions. If the drawn move is illegal: uniform over the legal
    moves among UP, DOWN, LEFT, RIGHT (chosen here: STAY only if there is none).
    """

    name: str = field(static=True)
    game: GridGame = field(static=True)
    kind: int = field(static=True)
    version: int = field(static=True, default=1)

    def policy(
        self,
        carry: PyTree,
        obs: Float[Array, "H W P"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, " A"]:
        game, take = self.game, STAY + 1 + self.kind
        legal = jnp.asarray(legal)
        flat = jnp.reshape(obs, (game.cells, -1)) > 0.5
        own, things = flat[:, 0], flat[:, game.num_players + 1 + self.kind]
        toward = steps_toward(game, own, things)
        moves = legal.at[STAY:].set(False)
        fallback = uniform(jnp.where(moves.any(), moves, legal))
        blocked = jnp.where(legal, 0.0, toward).sum()
        probs = jnp.where(legal, toward, 0.0) + blocked * fallback
        on_thing = (own & things).any()
        takes = jax.nn.one_hot(take, game.num_actions)
        probs = jnp.where(on_thing, takes, probs)
        return jnp.where(own.any() & things.any(), probs, uniform(legal))


def steps_toward(
    game: GridGame, own: Bool[Array, " cells"], things: Bool[Array, " cells"]
) -> Float[Array, " A"]:
    """Return the probabilities of the moves toward a nearest thing.

    Args:
        game: the game.
        own: the own cell.
        things: the cells of the things.

    Returns:
        Probabilities of UP, DOWN, LEFT, RIGHT; 0 for other actions. Uniform over
        nearest things, then over the axes along which the thing lies away.
    """
    cell = jnp.argmax(own)
    distance = jnp.asarray(distances(game.height, game.width))[cell]
    smallest = jnp.min(jnp.where(things, distance, game.cells + 1))
    nearest = things & (distance == smallest)
    rows, columns = map(
        jnp.asarray, np.divmod(np.arange(game.cells), game.width)
    )
    down, right = rows - rows[cell], columns - columns[cell]
    axes = jnp.maximum((down != 0).astype(jnp.float32) + (right != 0), 1)
    weight = nearest / jnp.maximum(nearest.sum(), 1) / axes
    probs = jnp.zeros(game.num_actions)
    helps = {UP: down < 0, DOWN: down > 0, LEFT: right < 0, RIGHT: right > 0}
    for action, closer in helps.items():
        probs = probs.at[action].set((weight * closer).sum())
    return probs


class NeverRemove(ScriptedPlayer):
    """Uniform over legal actions except REMOVE (FIX, a defector in the Snowdrift Game)."""

    name: str = field(static=True, default="never_remove")
    version: int = field(static=True, default=1)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        return uniform(jnp.asarray(legal).at[STAY + 1 :].set(False))


# -- combinations of players -------------------------------------------------


class Noisy(ScriptedPlayer):
    """Plays `player`; with probability `eps` a uniform legal action instead."""

    player: ScriptedPlayer
    eps: float = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def start(self) -> PyTree:
        return self.player.start()

    def renew(self, carry: PyTree) -> PyTree:
        return self.player.renew(carry)

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        return self.player.see(carry, obs, others, key)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        probs = self.player.policy(carry, obs, legal)
        return (1 - self.eps) * probs + self.eps * uniform(legal)

    def remember(
        self,
        carry: PyTree,
        obs: Obs,
        legal: Bool[Array, " A"],
        action: Int[Array, ""],
    ) -> PyTree:
        return self.player.remember(carry, obs, legal, action)

    @property
    def num_modes(self) -> int:
        return self.player.num_modes

    def mode(self, carry: PyTree) -> Int32[Array, ""]:
        return self.player.mode(carry)


class Mixture(ScriptedPlayer):
    """Plays one of `players`, drawn by `weights` at the start of every episode.

    `collect` and `evaluate` log the drawn player, not the mixture.
    """

    players: tuple[ScriptedPlayer, ...]
    weights: tuple[float, ...] = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def start(self) -> PyTree:
        return jnp.int32(ABSENT), tuple(p.start() for p in self.players)

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        chosen, inner = carry
        draw_key, *keys = jax.random.split(key, 1 + len(self.players))
        drawn = draw(draw_key, jnp.asarray(self.weights) / sum(self.weights))
        chosen = jnp.where(chosen == ABSENT, drawn, chosen)
        parts = zip(self.players, inner, keys, strict=True)
        return chosen, tuple(p.see(c, obs, others, k) for p, c, k in parts)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        chosen, inner = carry
        parts = zip(self.players, inner, strict=True)
        return jnp.stack([p.policy(c, obs, legal) for p, c in parts])[chosen]

    def remember(
        self,
        carry: PyTree,
        obs: Obs,
        legal: Bool[Array, " A"],
        action: Int[Array, ""],
    ) -> PyTree:
        chosen, inner = carry
        parts = zip(self.players, inner, strict=True)
        return chosen, tuple(
            p.remember(c, obs, legal, action) for p, c in parts
        )

    @property
    def num_modes(self) -> int:
        return sum(p.num_modes for p in self.players)

    def mode(self, carry: PyTree) -> Int32[Array, ""]:
        chosen, inner = carry
        counts = [p.num_modes for p in self.players]
        first = np.cumsum([0, *counts[:-1]])  # the first mode of each player
        parts = zip(first, self.players, inner, strict=True)
        return jnp.stack([int(f) + p.mode(c) for f, p, c in parts])[chosen]


class Switching(ScriptedPlayer):
    """Plays `first`, then `second` until the end of the episode.

    It switches, by the one setting given: at step `step_at`; at a step drawn uniformly
    from ``range(random)`` in each episode; with probability `hazard` before each step;
    or from the start of episode number `episode` (from 0) of a match on.
    """

    first: ScriptedPlayer
    second: ScriptedPlayer
    name: str = field(static=True)
    step_at: Any = None  # int or [] int32
    random: int | None = field(static=True, default=None)
    hazard: float | None = field(static=True, default=None)
    episode: int | None = field(static=True, default=None)
    version: int = field(static=True, default=1)

    def start(self) -> PyTree:
        first, second = self.first.start(), self.second.start()
        return self._carry(jnp.int32(0), first, second)

    def _carry(
        self, episode: Array, first: PyTree, second: PyTree
    ) -> dict[str, PyTree]:
        zero = jnp.int32(0)
        return {
            "step": zero,
            "at": zero,
            "episode": episode,
            "switched": jnp.bool_(False),
            "first": first,
            "second": second,
        }

    def renew(self, carry: PyTree) -> PyTree:
        first = self.first.renew(carry["first"])
        second = self.second.renew(carry["second"])
        return self._carry(carry["episode"] + 1, first, second)

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        key, first_key, second_key = jax.random.split(key, 3)
        step, at = carry["step"], carry["at"]
        if self.random is not None:
            drawn = jax.random.randint(key, (), 0, self.random)
            at = jnp.where(step == 0, drawn, at)
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

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        first = self.first.policy(carry["first"], obs, legal)
        second = self.second.policy(carry["second"], obs, legal)
        return jnp.where(carry["switched"], second, first)

    def remember(
        self,
        carry: PyTree,
        obs: Obs,
        legal: Bool[Array, " A"],
        action: Int[Array, ""],
    ) -> PyTree:
        first, second = carry["first"], carry["second"]
        return carry | {
            "first": self.first.remember(first, obs, legal, action),
            "second": self.second.remember(second, obs, legal, action),
        }

    @property
    def num_modes(self) -> int:
        return self.first.num_modes + self.second.num_modes

    def mode(self, carry: PyTree) -> Int32[Array, ""]:
        first = self.first.mode(carry["first"])
        second = self.first.num_modes + self.second.mode(carry["second"])
        return jnp.where(carry["switched"], second, first)


# -- matrix games ------------------------------------------------------------


class Always(ScriptedPlayer):
    """One action when it is legal, else uniform over legal actions."""

    action: int = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        legal = jnp.asarray(legal)
        chosen = jax.nn.one_hot(self.action, legal.shape[-1])
        return jnp.where(legal[self.action], chosen, uniform(legal))


class FirstLegal(ScriptedPlayer):
    """The first action of an order that is legal, such as fold, then check, in poker."""

    order: tuple[int, ...] = field(static=True)  # all actions
    name: str = field(static=True, default="first_legal")
    version: int = field(static=True, default=1)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        order = np.asarray(self.order)
        chosen = jnp.asarray(order)[jnp.argmax(jnp.asarray(legal)[order])]
        return jax.nn.one_hot(chosen, len(order))


class Strategy(ScriptedPlayer):
    """The same mixed strategy in every round, such as `equilibrium`."""

    probs: tuple[float, ...] = field(static=True)
    name: str = field(static=True)
    version: int = field(static=True, default=1)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        return jnp.asarray(self.probs)


class TitForTat(ScriptedPlayer):
    """Cooperates (action 0) first; then if all others cooperated, else defects (1)."""

    name: str = field(static=True, default="tit_for_tat")
    version: int = field(static=True, default=1)

    def start(self) -> PyTree:
        return jnp.int32(0)

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        return (others > 0).any().astype(jnp.int32)

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        return jax.nn.one_hot(carry, jnp.shape(legal)[-1])


class Grim(TitForTat):
    """Cooperates until another player defects, then defects until the end."""

    name: str = field(static=True, default="grim")

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        return jnp.maximum(carry, (others > 0).any().astype(jnp.int32))


class WinStayLoseShift(ScriptedPlayer):
    """Repeats an action that paid at least the mean payoff, else takes the next one.

    Cooperates first.
    """

    payoffs: tuple = field(static=True)  # [A, A, ...], own action first
    name: str = field(static=True, default="win_stay_lose_shift")
    version: int = field(static=True, default=1)

    def start(self) -> PyTree:
        return jnp.int32(0)

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        table = jnp.asarray(self.payoffs)
        known = [jnp.maximum(others[j], 0) for j in range(table.ndim - 1)]
        won = table[(carry, *known)] >= table.mean()
        keeps = won | (others == ABSENT).any()
        return jnp.where(keeps, carry, (carry + 1) % table.shape[0])

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        return jax.nn.one_hot(carry, jnp.shape(legal)[-1])

    def did(self, carry: PyTree, action: Int[Array, ""]) -> PyTree:
        return action


class FictitiousPlay(ScriptedPlayer):
    """Best reply to every other player's empirical action frequencies.

    Counts start at one of each action; ties are uniform. Brown, "Iterative Solution of
    Games by Fictitious Play", 1951.
    """

    payoffs: tuple = field(static=True)
    name: str = field(static=True, default="fictitious_play")
    version: int = field(static=True, default=1)

    def start(self) -> PyTree:
        table = np.asarray(self.payoffs)
        return jnp.ones((table.ndim - 1, table.shape[0]))

    def renew(self, carry: PyTree) -> PyTree:
        return carry

    def see(
        self, carry: PyTree, obs: Obs, others: Others, key: PRNGKeyArray
    ) -> PyTree:
        # ABSENT gives a row of zeros.
        return carry + jax.nn.one_hot(others, carry.shape[-1])

    def policy(
        self, carry: PyTree, obs: Obs, legal: Bool[Array, " A"]
    ) -> Float[Array, " A"]:
        value = jnp.asarray(self.payoffs, jnp.float32)
        for counts in carry[::-1]:  # the last axis first
            value = value @ (counts / counts.sum())
        return uniform(value >= value.max() - 1e-6)
