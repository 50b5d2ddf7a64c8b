"""Players of many matches at once, and the loop over their matches."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from experiments.roshambo import experts
from experiments.roshambo.model import Belief, Programs
from experiments.roshambo.programs import THROWS, Matches

ABOVE = np.array([1, 2, 0])  # what beats each throw
BELOW = np.array([2, 0, 1])


class Player(Protocol):
    """A player of M matches: `start`, then in turn `throw` and `see`, which receives both throws [M]."""

    def start(self, matches: int, seed: int) -> None: ...
    def throw(self) -> np.ndarray: ...
    def see(self, own: np.ndarray, theirs: np.ndarray) -> None: ...


def best_reply(
    probs: np.ndarray, rng: np.random.Generator, min_gain: float = 0.0
) -> np.ndarray:
    """Return the throws [M] with the largest expected payoff, ties at random.

    Args:
        probs: [M, 3] predicted throws.
        rng: for ties.
        min_gain: where no throw earns more than this, a random one.
    """
    gain = probs[:, BELOW] - probs[:, ABOVE]
    best = (gain + 1e-6 * rng.random(gain.shape)).argmax(1)
    return np.where(gain.max(1) > min_gain, best, rng.integers(0, 3, len(best)))


class Uniform:
    """Random throws: no model of the program."""

    def start(self, matches: int, seed: int) -> None:
        self.rng, self.matches = np.random.default_rng([4, seed]), matches

    def throw(self) -> np.ndarray:
        return self.rng.integers(0, 3, self.matches)

    def see(self, own: np.ndarray, theirs: np.ndarray) -> None:
        pass


class Counts(Uniform):
    """Best reply to the frequencies of the program's throws."""

    def start(self, matches: int, seed: int) -> None:
        super().start(matches, seed)
        self.counts = np.ones((matches, 3))

    def throw(self) -> np.ndarray:
        return best_reply(
            self.counts / self.counts.sum(1, keepdims=True), self.rng
        )

    def see(self, own: np.ndarray, theirs: np.ndarray) -> None:
        self.counts[np.arange(self.matches), theirs] += 1


class Mixture(Uniform):
    """Best reply to the mixture of predictors, without training. `noise`: probability of a random throw."""

    def __init__(self, noise: Any = 0.0) -> None:
        self.noise = noise

    def start(self, matches: int, seed: int) -> None:
        super().start(matches, seed)
        self.bank, self.probs = _bank_start(jnp.zeros(matches))

    def throw(self) -> np.ndarray:
        return noisy(
            best_reply(np.asarray(self.probs), self.rng), self.noise, self.rng
        )

    def see(self, own: np.ndarray, theirs: np.ndarray) -> None:
        self.bank, self.probs = _bank_update(self.bank, own, theirs)

    def inputs(self) -> Any:
        return _bank_features(self.bank)


class Learned(Uniform):
    """Best reply to a learned model under its belief."""

    def __init__(
        self, model: Programs, noise: Any = 0.0, min_gain: float = 0.0
    ) -> None:
        self.model, self.noise, self.min_gain = model, noise, min_gain

    def start(self, matches: int, seed: int) -> None:
        super().start(matches, seed)
        self.arrays, self.rest = eqx.partition(self.model, eqx.is_array)
        self.belief, self.probs, self.x = _model_start(
            self.arrays, self.rest, jnp.zeros(matches)
        )

    def throw(self) -> np.ndarray:
        return noisy(
            best_reply(np.asarray(self.probs), self.rng, self.min_gain),
            self.noise,
            self.rng,
        )

    def see(self, own: np.ndarray, theirs: np.ndarray) -> None:
        self.belief, self.probs, self.x = _model_update(
            self.arrays, self.rest, self.belief, own, theirs
        )

    def inputs(self) -> Any:
        return self.x


class Replayed(Uniform):
    """One of the programs as the player."""

    def __init__(self, program: str, split: str) -> None:
        self.program, self.split = program, split

    def start(self, matches: int, seed: int) -> None:
        self.inner = Matches(
            [self.program] * matches, split=self.split, seed=seed, seat=0
        )

    def throw(self) -> np.ndarray:
        return self.inner.throw()

    def see(self, own: np.ndarray, theirs: np.ndarray) -> None:
        self.inner.advance(theirs, own)


def noisy(
    throws: np.ndarray, noise: Any, rng: np.random.Generator
) -> np.ndarray:
    random_throws = rng.integers(0, 3, len(throws))
    return np.where(rng.random(len(throws)) < noise, random_throws, throws)


@jax.jit
def _bank_start(each: Any) -> Any:
    bank = jax.vmap(lambda _: experts.start(THROWS))(each)
    return bank, jax.vmap(experts.mixture)(bank)


@partial(jax.jit, donate_argnums=0)
def _bank_update(bank: Any, own: Any, theirs: Any) -> Any:
    bank = jax.vmap(experts.update)(bank, own, theirs)
    return bank, jax.vmap(experts.mixture)(bank)


@jax.jit
def _bank_features(bank: Any) -> Any:
    return jax.vmap(experts.features)(bank).astype(jnp.float16)


@partial(jax.jit, static_argnums=1)
def _model_start(arrays: Any, rest: Any, each: Any) -> Any:
    model: Programs = eqx.combine(arrays, rest)
    return _shown(jax.vmap(lambda _: model.init())(each))


@partial(jax.jit, static_argnums=1, donate_argnums=2)
def _model_update(
    arrays: Any, rest: Any, belief: Belief, own: Any, theirs: Any
) -> Any:
    model: Programs = eqx.combine(arrays, rest)
    nothing = jnp.zeros(0)
    update = lambda b, *a: model.update(b, nothing, jnp.stack(a), nothing)  # noqa: E731
    return _shown(jax.vmap(update)(belief, own, theirs))


def _shown(belief: Belief) -> Any:
    probs = jnp.einsum("mk,mka->ma", belief.weights, belief.each)
    return belief, probs, belief.x.astype(jnp.float16)


class Log(NamedTuple):
    """The log of M matches."""

    throws: np.ndarray  # [M, T, 2] int8, own and theirs
    inputs: (
        np.ndarray | None
    )  # [M, T, F] float16: `experts.features` before each throw

    @property
    def returns(self) -> np.ndarray:
        """Sum of payoffs of each match [M]."""
        both = self.throws.astype(int)
        return ((both[..., 0] - both[..., 1] + 1) % 3 - 1).sum(1)


def play(
    player: Any,
    programs: Sequence[str],
    *,
    split: str,
    seed: int,
    first: int = 0,
    keep: bool = False,
    out: np.ndarray | None = None,
) -> Log:
    """Play one match against each of `programs`, all in parallel.

    Args:
        player: the player.
        programs: names, one for each match.
        split: of `programs.SPLITS`.
        seed: of the matches.
        first: number of the first match.
        keep: log the inputs of the network too.
        out: array for the inputs.
    """
    matches = Matches(programs, split=split, seed=seed, first=first)
    player.start(len(programs), seed * 1000 + first)
    throws = np.zeros((len(programs), THROWS, 2), np.int8)
    inputs = None
    if keep:
        inputs = (
            np.zeros((len(programs), THROWS, experts.FEATURES), np.float16)
            if out is None
            else out
        )
    for t in range(THROWS):
        if inputs is not None:
            inputs[:, t] = player.inputs()
        own = player.throw()
        theirs = matches.throw()
        matches.advance(own, theirs)
        player.see(own, theirs)
        throws[:, t, 0], throws[:, t, 1] = own, theirs
    return Log(throws, inputs)
