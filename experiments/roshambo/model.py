"""The learned model of the programs: pi_hat(throw | match so far, g) for each known program g, and for nobody in particular.

A recurrent network is told the predictors of `experts` and what they made of the match. Its read-out for a known program is the common
one and a correction of that program's own; both also weigh the predictors directly, in the same way for each throw.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.opponents.base import OpponentModel
from experiments.roshambo import experts

_TURNS = (
    np.arange(3)[:, None] - np.arange(3)
) % 3  # [throw, throw told]: the turn between them


class Net(eqx.Module):
    """For one match, throw after throw."""

    mean: Float[Array, " F"]
    scale: Float[Array, " F"]
    enter: eqx.nn.Linear
    cell: eqx.nn.GRUCell
    mix: eqx.nn.Linear
    common: eqx.nn.Linear  # [3]
    own: eqx.nn.Linear  # [G * 3], each program's correction
    weigh: Float[Array, "triples 3"]  # of each predictor, for each turn
    weigh_own: Float[Array, "G triples 3"]
    programs: int = eqx.field(static=True)

    def __init__(
        self, programs: int, *, width: int, hidden: int, key: Array
    ) -> None:
        keys = jax.random.split(key, 5)
        inputs, triples = experts.FEATURES, experts.TRIPLES
        self.mean, self.scale = jnp.zeros(inputs), jnp.ones(inputs)
        self.enter = eqx.nn.Linear(inputs, width, key=keys[0])
        self.cell = eqx.nn.GRUCell(width, hidden, key=keys[1])
        self.mix = eqx.nn.Linear(width + hidden, width, key=keys[2])
        self.common = _silent(eqx.nn.Linear(width, 3, key=keys[3]))
        self.own = _silent(eqx.nn.Linear(width, programs * 3, key=keys[4]))
        self.weigh = (
            jnp.zeros((triples, 3)).at[-1, 0].set(0.7)
        )  # begins as the mixture
        self.weigh_own = jnp.zeros((programs, triples, 3))
        self.programs = programs

    def start(self) -> Float[Array, " H"]:
        return jnp.zeros(self.cell.hidden_size)

    def step(
        self, h: Float[Array, " H"], x: Float[Array, " F"]
    ) -> tuple[Array, Array]:
        """The carry, and log-probabilities [G + 1, 3] of the next throw counted from the last; the common read-out comes last."""
        e = self._enter(x)
        h = self.cell(e, h)
        return h, self._read(x, e, h, jnp.ones(self.mix.out_features))

    def unroll(
        self,
        x: Float[Array, "L F"],
        *,
        drop: tuple[float, float] = (0.0, 0.0),
        key: Array | None = None,
    ) -> Float[Array, "L G1 3"]:
        """Log-probabilities over L throws from an empty carry.

        With a key: shares `drop` of what is told and of the last layer left out, for all of the segment (Srivastava et al., 2014).
        """
        keep = jnp.ones(self.mix.out_features)
        if key is not None:
            told_key, keep_key = jax.random.split(key)
            x = self.mean + (x - self.mean) * _kept(
                told_key, drop[0], x.shape[1]
            )
            keep = _kept(keep_key, drop[1], len(keep))
        e = jax.vmap(self._enter)(x)

        def step(h: Array, e: Array) -> tuple[Array, Array]:
            h = self.cell(e, h)
            return h, h

        _, h = jax.lax.scan(step, self.start(), e)
        return jax.vmap(self._read, in_axes=(0, 0, 0, None))(x, e, h, keep)

    def _enter(self, x: Array) -> Array:
        return jax.nn.relu(self.enter((x - self.mean) * self.scale))

    def _read(self, x: Array, e: Array, h: Array, keep: Array) -> Array:
        z = keep * jax.nn.relu(self.mix(jnp.concatenate([e, h])))
        told = x[: 3 * experts.TRIPLES]
        every = jnp.concatenate([self.weigh_own, self.weigh[None]])
        matrix = every[:, :, _TURNS]  # [G + 1, triples, throw, throw told]
        direct = matrix.transpose(0, 2, 1, 3).reshape(-1, len(told)) @ told
        direct = direct.reshape(-1, 3)
        common = self.common(z) + direct[-1]
        own = self.own(z).reshape(-1, 3) + direct[:-1]
        return jax.nn.log_softmax(jnp.concatenate([common + own, common[None]]))


def _kept(key: Array, drop: float, count: int) -> Array:
    return jax.random.bernoulli(key, 1 - drop, (count,)) / (1 - drop)


def _silent(linear: eqx.nn.Linear) -> eqx.nn.Linear:
    where = lambda m: (m.weight, m.bias)  # noqa: E731
    return eqx.tree_at(
        where, linear, jax.tree.map(jnp.zeros_like, where(linear))
    )


def throws_game(throws: int) -> Game:
    """Repeated rock-paper-scissors in which players see what was thrown last."""
    return make_game(
        "matrix", table="rock_paper_scissors", rounds=throws, memory=1
    )


PARTS = ("mixture", "common", "programs", "tables")
"""What a prediction can rest on: the mixture of predictors; the network for nobody in particular; the network for each known program;
tables of what each known program threw at each step."""
FULL = {"mixture": 0.1, "common": 0.3, "programs": 0.4, "tables": 0.2}


class Belief(NamedTuple):
    """About one match. K: as many as `Programs.prior`."""

    bank: experts.Bank
    h: Float[Array, " H"]
    x: Float[Array, " F"]  # what the network was told last
    each: Float[Array, "K 3"]  # what each expects next
    weights: Float[Array, " K"]


class Programs(OpponentModel):
    """What a program will throw, by a belief over which of the known programs it is, or none of them.

    Its rule is that of `bestreply.opponents.mixture.MixtureOpponents`: Bayes, then a share `leak` of the prior flows back.
    """

    net: Net
    tables: Float[Array, "T G 3"]
    prior: Float[Array, " K"]  # mixture, common, programs, tables
    leak: Float[Array, ""]
    game: Game = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        net: Net,
        tables: Any,
        parts: dict[str, float] = FULL,
        leak: float = 0.01,
    ) -> "Programs":
        """`parts`: prior weights of `PARTS`, within a part the same for all."""
        known = net.programs
        sizes = {"mixture": 1, "common": 1, "programs": known, "tables": known}
        prior = np.concatenate(
            [np.full(sizes[p], parts.get(p, 0.0) / sizes[p]) for p in PARTS]
        )
        prior = jnp.asarray(prior / prior.sum(), jnp.float32)
        return cls(
            net=net,
            tables=jnp.asarray(tables, jnp.float32),
            prior=prior,
            leak=jnp.asarray(leak, jnp.float32),
            game=throws_game(len(tables)),
        )

    def init(self) -> Belief:
        bank = experts.start(self.tables.shape[0])
        return self._look(bank, self.net.start(), self.prior)

    def predict(
        self, belief: Belief, obs: Array, legal: Array
    ) -> Float[Array, "1 3"]:
        return (belief.weights @ belief.each)[None]

    def update(
        self, belief: Belief, obs: Array, actions: Array, present: Array
    ) -> Belief:
        own, theirs = actions[0], actions[1]
        after = belief.weights * jnp.maximum(belief.each[:, theirs], 1e-4)
        weights = (1 - self.leak) * after / after.sum() + self.leak * self.prior
        return self._look(
            experts.update(belief.bank, own, theirs), belief.h, weights
        )

    def _look(self, bank: experts.Bank, h: Array, weights: Array) -> Belief:
        x = experts.features(bank)
        h, logs = self.net.step(h, x)
        learned = jnp.roll(jnp.exp(logs), experts.newest(bank), axis=1)
        table = self.tables[jnp.minimum(bank.time, self.tables.shape[0] - 1)]
        each = jnp.concatenate(
            [experts.mixture(bank)[None], learned[-1:], learned[:-1], table]
        )
        return Belief(bank, h, x, each, weights)

    def posterior(self, belief: Belief) -> Float[Array, "1 G"]:
        """Over the known programs."""
        known = belief.weights[2:].reshape(2, -1).sum(0) + 1e-9
        return (known / known.sum())[None]
