"""The learned model of the programs: pi_hat(throw | match, program), and a read-out common
to all programs.

The inputs of a recurrent network are the predictors of `experts` and their success. The
read-out of a known program is the common one plus a correction. Both also weight the
predictors directly, equally for each throw.
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

_ROTATIONS = (
    np.arange(3)[:, None] - np.arange(3)
) % 3  # [throw, predicted throw]: the rotation between them


class Net(eqx.Module):
    """The network, for one match, throw by throw."""

    mean: Float[Array, " F"]
    scale: Float[Array, " F"]
    enter: eqx.nn.Linear
    cell: eqx.nn.GRUCell
    mix: eqx.nn.Linear
    common: eqx.nn.Linear  # [3]
    own: eqx.nn.Linear  # [G * 3], each program's correction
    weigh: Float[Array, "triples 3"]  # of each predictor, for each rotation
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
        """Return the carry, and log-probabilities [G + 1, 3] of the next throw relative to the last; the common read-out is last."""
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
        """Return log-probabilities over L throws from an empty carry.

        Args:
            x: inputs.
            drop: fractions of inputs and of units of the last layer to drop for the whole segment (Srivastava et al., 2014).
            key: random key; None: drop nothing.
        """
        keep = jnp.ones(self.mix.out_features)
        if key is not None:
            input_key, keep_key = jax.random.split(key)
            x = self.mean + (x - self.mean) * _kept(
                input_key, drop[0], x.shape[1]
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
        predictions = x[: 3 * experts.TRIPLES]
        every = jnp.concatenate([self.weigh_own, self.weigh[None]])
        matrix = every[
            :, :, _ROTATIONS
        ]  # [G + 1, triples, throw, predicted throw]
        direct = (
            matrix.transpose(0, 2, 1, 3).reshape(-1, len(predictions))
            @ predictions
        )
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
    """Return repeated rock-paper-scissors whose players observe the last throws."""
    return make_game(
        "matrix", table="rock_paper_scissors", rounds=throws, memory=1
    )


PARTS = ("mixture", "common", "programs", "tables")
"""Parts of a prediction: the mixture of predictors; the common read-out; the read-out of each known program; tables of each program's
throws by step."""
FULL = {"mixture": 0.1, "common": 0.3, "programs": 0.4, "tables": 0.2}


class Belief(NamedTuple):
    """The belief in one match. K is the length of `Programs.prior`."""

    bank: experts.Bank
    h: Float[Array, " H"]
    x: Float[Array, " F"]  # the last inputs of the network
    each: Float[Array, "K 3"]  # each part's prediction
    weights: Float[Array, " K"]


class Programs(OpponentModel):
    """An opponent model with a belief over the known programs, and an unknown one.

    It updates as `bestreply.opponents.mixture.MixtureOpponents`: Bayes' rule, then a fraction `prior_mixing` of the prior.
    """

    net: Net
    tables: Float[Array, "T G 3"]
    prior: Float[Array, " K"]  # mixture, common, programs, tables
    prior_mixing: Float[Array, ""]
    game: Game = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        net: Net,
        tables: Any,
        parts: dict[str, float] = FULL,
        prior_mixing: float = 0.01,
    ) -> "Programs":
        """Return the model.

        Args:
            net: the network.
            tables: [T, G, 3] throws of each program by step.
            parts: prior weights of `PARTS`, equal within a part.
            prior_mixing: fraction of the prior mixed into the belief at each throw.
        """
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
            prior_mixing=jnp.asarray(prior_mixing, jnp.float32),
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
        weights = (
            1 - self.prior_mixing
        ) * after / after.sum() + self.prior_mixing * self.prior
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
        """Return probabilities of the known programs."""
        known = belief.weights[2:].reshape(2, -1).sum(0) + 1e-9
        return (known / known.sum())[None]
