"""Online predictors of both players' throws, and their mixture by Bayes' rule with
forgetting.

A context is a window of the last throws. A predictor counts what followed its context,
for both players, absolutely or relative to an earlier throw. Predictions of our own
throws are used too: a program that predicts us replies to the prediction, so each of
them enters three times, rotated by 0, 1 and 2. Weights follow fixed share (Herbster and
Warmuth, 1998), for several rates of forgetting:

    w'(e) = (1 - share) w(e) p_e(throw) / sum_f w(f) p_f(throw) + share / E

and the mixtures are mixed in the same way. Functions are written for one match; batch
with `jax.vmap`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SHARES = (0.003, 0.02, 0.1)
"""Rates of forgetting."""
OUTER_SHARE = 0.02
"""Rate of forgetting of the mixture of mixtures."""
DECAYS = (1.0, 0.7)
"""Factors of a count when its context occurs again."""
OWN, THEIRS, JOINT, TURNED, LAGS = 4, 4, 3, 3, 3
"""Longest contexts: own throws, theirs, both, both relative to their last throw; and the largest lag of relative counts."""
STRENGTH = 0.9
"""Weight of a sharp prediction; the rest is uniform."""
POWER = 8
"""Exponent that sharpens probabilities."""
SCORE_DECAY = 0.95
PRIOR = 0.1
"""Added to every count."""
MIN_PROB = 1e-6
"""Smaller counts become 0: subnormal numbers are slow."""

_SIZES = np.array(
    [
        1,
        *(3**k for k in range(1, OWN + 1)),
        *(3**k for k in range(1, THEIRS + 1)),
    ]
    + [9**k for k in range(1, JOINT + 1)]
    + [9**k for k in range(TURNED + 1)]
    + [1] * (2 * LAGS - 1)  # their last throw is in TURNED already
)
_STARTS = np.cumsum(_SIZES) - _SIZES
CONTEXTS = len(_SIZES)
_RECENT = max(OWN, THEIRS, JOINT, TURNED, LAGS)
PLAIN = CONTEXTS * len(DECAYS)
"""Number of predictors by counts. Sharp ones (first decay) and the longest matches follow them."""
SHARP = CONTEXTS + 3
PREDICTORS = PLAIN + SHARP
EXPERTS = PREDICTORS * 4 + 1
"""Each prediction of their throw, each of ours in three rotations, and a uniform one."""


class Bank(NamedTuple):
    """The memory of one match."""

    time: Array  # [] int32, throws seen
    history: Array  # [T, 2] int32, own and theirs
    tables: Array  # [S, D, 2, 3] counts of throws after each context, ours and theirs
    lengths: Array  # [3, T] int32: length of the common suffix at j and now, by own, theirs, both
    weights: Float[Array, "R E"]  # of the experts, for each rate of forgetting
    outer: Float[Array, " R"]  # of the mixtures
    offsets: Array  # [2, SHARP, 2, 3]: discounted offset of our and their throws from each sharp prediction (of us, of them)
    gains: Float[Array, " 2"]  # our payoff, mean and discounted mean
    predicted: Array  # [PREDICTORS, 2, 3] of the next throws: ours, theirs
    seen: Float[Array, " C"]  # how often the present context was seen
    longest: Array  # [3] int32, lengths of the longest matches


def start(throws: int) -> Bank:
    """Return the bank before a match of `throws` throws."""
    return Bank(
        time=jnp.int32(0),
        history=jnp.zeros((throws, 2), jnp.int32),
        tables=jnp.zeros((int(_SIZES.sum()), len(DECAYS), 2, 3)),
        lengths=jnp.zeros((3, throws), jnp.int32),
        weights=jnp.full((len(SHARES), EXPERTS), 1 / EXPERTS),
        outer=jnp.full(len(SHARES), 1 / len(SHARES)),
        offsets=jnp.full((2, SHARP, 2, 3), 1 / 3),
        gains=jnp.zeros(2),
        predicted=jnp.full((PREDICTORS, 2, 3), 1 / 3),
        seen=jnp.zeros(CONTEXTS),
        longest=jnp.zeros(3, jnp.int32),
    )


def experts(bank: Bank) -> Float[Array, "E 3"]:
    """Return each expert's probabilities of the program's next throw."""
    ours, theirs = bank.predicted[:, 0], bank.predicted[:, 1]
    turned = [jnp.roll(ours, k, axis=1) for k in range(3)]
    return jnp.concatenate([theirs, *turned, jnp.full((1, 3), 1 / 3)])


def mixtures(bank: Bank) -> Float[Array, "R 3"]:
    """Return the mixture for each rate of forgetting."""
    return bank.weights @ experts(bank)


def mixture(bank: Bank) -> Float[Array, " 3"]:
    """Return the mixture of all experts."""
    return bank.outer @ mixtures(bank)


def fixed_share(weights: Array, likelihood: Array, share: Any) -> Array:
    """Return weights after Bayes' rule on the last axis, with a `share` of them spread evenly."""
    after = weights * likelihood
    after = after / jnp.maximum(after.sum(-1, keepdims=True), 1e-30)
    return (1 - share) * after + share / weights.shape[-1]


def update(bank: Bank, own: Array, theirs: Array) -> Bank:
    """Return the bank after both throws."""
    each = experts(bank)
    weights = fixed_share(
        bank.weights, each[:, theirs], jnp.array(SHARES)[:, None]
    )
    outer = fixed_share(
        bank.outer, (bank.weights @ each)[:, theirs], OUTER_SHARE
    )
    gain = ((own - theirs + 1) % 3 - 1).astype(jnp.float32)
    rate = jnp.maximum(1 / (bank.time + 1.0), jnp.array([0.0, 1 - SCORE_DECAY]))
    gains = bank.gains + rate * (gain - bank.gains)

    pair = jnp.stack([own, theirs]).astype(jnp.int32)
    offsets = _offsets(bank, pair)
    tables = _count(bank, pair)
    history = bank.history.at[bank.time].set(pair)
    time = bank.time + 1
    lengths = _lengths(bank, history, pair)
    slots, since = _slots(history, time)
    found = tables[slots]  # [C, D, 2, 3]
    shown = (found + PRIOR) / (found + PRIOR).sum(-1, keepdims=True)
    shown = jnp.take_along_axis(
        shown, ((jnp.arange(3) - since[:, None]) % 3)[:, None, None], 3
    )
    longest, matched = _matches(lengths, history, time)
    predicted = jnp.concatenate(
        [shown.reshape(-1, 2, 3), _sharp(shown[:, 0]), matched]
    )
    seen = found[:, 0, 0].sum(-1)
    return Bank(
        time, history, tables, lengths, weights, outer, offsets, gains, predicted, seen, longest
    )  # fmt: skip


def _sharp(probs: Array) -> Array:
    high = (probs / probs.max(-1, keepdims=True)) ** POWER
    return STRENGTH * high / high.sum(-1, keepdims=True) + (1 - STRENGTH) / 3


def _last(history: Array, time: Array, count: int) -> Array:
    """Return the last throws [count, 2], newest first; zeros before the match."""
    at = time - 1 - jnp.arange(count)
    return jnp.where((at >= 0)[:, None], history[jnp.maximum(at, 0)], 0)


def _slots(history: Array, time: Array) -> tuple[Array, Array]:
    """Return, for each context [C], its current row of `tables` and its reference throw."""
    recent = _last(history, time, _RECENT)
    both = 3 * recent[:, 0] + recent[:, 1]
    turned = (recent - recent[0, 1]) % 3
    turned = 3 * turned[:, 0] + turned[:, 1]
    nothing = jnp.zeros(1, jnp.int32)

    def codes(values: Array, base: int, count: int) -> Array:
        return jnp.cumsum(values[:count] * base ** jnp.arange(count))

    inside = [
        nothing,
        codes(recent[:, 0], 3, OWN),
        codes(recent[:, 1], 3, THEIRS),
    ]
    inside += [codes(both, 9, JOINT), nothing, codes(turned, 9, TURNED)]
    inside += [jnp.zeros(2 * LAGS - 1, jnp.int32)]
    lags = jnp.delete(recent[:LAGS].reshape(-1), 1)
    plain = jnp.zeros(1 + OWN + THEIRS + JOINT, jnp.int32)
    since = jnp.concatenate([plain, jnp.full(TURNED + 1, recent[0, 1]), lags])
    return jnp.concatenate(inside).astype(jnp.int32) + _STARTS, since


def _count(bank: Bank, pair: Array) -> Array:
    """Return the tables after the throws `pair` [2]."""
    slots, since = _slots(bank.history, bank.time)
    came = (pair - since[:, None]) % 3  # [C, 2]
    kept = jnp.array(DECAYS)[:, None, None] * bank.tables[slots]
    kept = jnp.where(kept < MIN_PROB, 0.0, kept)
    new = kept + jax.nn.one_hot(came, 3)[:, None]
    return bank.tables.at[slots].set(new, unique_indices=True)


def _offsets(bank: Bank, pair: Array) -> Array:
    """Return the discounted offsets of throws from each sharp prediction."""
    sharp = bank.predicted[PLAIN:]
    far = jnp.stack([jnp.roll(sharp, -pair[who], axis=-1) for who in range(2)])[
        ..., _BACKWARDS
    ]
    return SCORE_DECAY * bank.offsets + (1 - SCORE_DECAY) * far


_BACKWARDS = np.array(
    [0, 2, 1]
)  # after the roll, place k holds P(throw - prediction = -k)


def _lengths(bank: Bank, history: Array, pair: Array) -> Array:
    """Return, for each earlier step j, the length of the common suffix at j and now [3, T]."""
    same = history == pair  # [T, 2]
    same = jnp.stack([same[:, 0], same[:, 1], same.all(1)])
    before = jnp.pad(bank.lengths[:, :-1], ((0, 0), (1, 0)))
    earlier = jnp.arange(history.shape[0]) < bank.time
    return jnp.where(same & earlier, before + 1, 0)


def _matches(
    lengths: Array, history: Array, time: Array
) -> tuple[Array, Array]:
    """Return the lengths [3] of the longest (latest of equal) earlier matches, and predictions from them [3, 2, 3]."""
    throws = history.shape[0]
    best = jnp.max(
        lengths * throws + jnp.arange(throws), axis=1
    )  # on a CPU far quicker than argmax
    longest, place = best // throws, best % throws
    came = jax.nn.one_hot(history[jnp.minimum(place + 1, throws - 1)], 3)
    sure = STRENGTH * came + (1 - STRENGTH) / 3
    return longest, jnp.where((longest > 0)[:, None, None], sure, 1 / 3)


TRIPLES = PREDICTORS * 2 + len(SHARES) + 1
"""Number of distributions over throws, the first features; the mixture is the last of them."""
FEATURES = TRIPLES * 3 + 30 + CONTEXTS + 3 + SHARP * 12 + 3 + 4


def features(bank: Bank) -> Float[Array, " F"]:
    """Return the inputs of the network: predictions, their success, and the last throws.

    Throws are relative to the program's last one, so that what is learned for rock holds for paper and scissors; the last throw
    itself is a separate input.

    Args:
        bank: the memory of one match.
    """
    last = newest(bank)
    triples = [bank.predicted, mixtures(bank), mixture(bank)]
    seen = jax.nn.one_hot(_last(bank.history, bank.time, 5), 3)
    seen = seen * (bank.time > jnp.arange(5))[:, None, None]
    turned = jnp.concatenate(
        [*(3 * t.reshape(-1, 3) - 1 for t in triples), seen.reshape(-1, 3)]
    )
    when = bank.time / bank.history.shape[0]
    parts = [
        jnp.roll(turned, -last, axis=1).reshape(-1),
        jnp.log1p(bank.seen) / 3,
        jnp.log1p(bank.longest) / 2,
        3 * bank.offsets.reshape(-1) - 1,
        jax.nn.one_hot(last, 3),
        jnp.stack([when, jnp.log1p(bank.time) / 3.5 - 1]),
        3 * bank.gains,
    ]
    return jnp.concatenate(parts)


def newest(bank: Bank) -> Array:
    """Return the program's last throw; 0 before its first."""
    return _last(bank.history, bank.time, 1)[0, 1]
