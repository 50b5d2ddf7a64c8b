"""Shared data types: time steps, episodes, transitions, plans.

Axes stand in this order: ``B`` batch (or ``E`` episodes), ``T`` time, ``N``
players, then the shape of the quantity. ``A`` is the number of actions of a
seat, ``G`` the number of goals. Players are an axis, never keys of a dict. In an
*ego-first* array, index 0 is the observing seat and the other seats follow in
seat order (`ego_order`).
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

if TYPE_CHECKING:
    Array = Any  # one alias for both kinds; a checker would ask for casts
else:
    Array = jax.Array | np.ndarray
"""Arrays of compiled games (`jax.Array`) and of host games (`numpy.ndarray`)."""

ABSENT = -1
"""The action of a seat that has left, and of a seat before its first action."""


def ego_order(num_players: int) -> Int32[np.ndarray, "N N"]:
    """Return the ego-first order of the seats for every seat.

    Args:
        num_players: the number of seats, ``N``.

    Returns:
        [N, N] int32; row ``s`` is ``s`` followed by the other seats in seat order.
    """
    seats = np.arange(num_players)
    rows = [np.concatenate([[s], np.delete(seats, s)]) for s in seats]
    return np.stack(rows).astype(np.int32)


class TimeStep(eqx.Module):
    """The output of a game's `reset` or `step`; seats in global order.

    `terminated` and `truncated` are separate facts: a terminated seat has no next
    value, a game truncated at its step limit has one. `obs` is the observation
    reached by the step, never the first one of a next episode.
    """

    obs: Array  # [N, *obs_shape] in the game's `obs_dtype`, the view of each seat
    legal: Array  # [N, A] bool, True = legal; never all False
    reward: Array  # [N] float32, of the step just made; 0 after `reset`
    terminated: Array  # [N] bool, the game is over for this seat
    truncated: Array  # [] bool, the step limit ended the game
    present: Array  # [N] bool, False once a seat has left for good


class PackedObs(eqx.Module):
    """Observations [*lead, *obs_shape] whose 0/1 entries are kept as bits.

    Indexing its leading axes returns the observations themselves.
    """

    bits: Array  # [*lead, ceil(b / 8)] uint8: the b binary entries in order
    rest: (
        Array  # [*lead, D - b], the other entries, in the type of observations
    )
    binary: bytes = eqx.field(static=True)
    """For each of the D flat entries 1 if it is binary, else 0."""
    obs_shape: tuple[int, ...] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the observations."""
        return (*self.bits.shape[:-1], *self.obs_shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the observations' entries."""
        return self.rest.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return self.bits.nbytes + self.rest.nbytes

    def __getitem__(self, at: Any) -> Array:
        bits, rest = self.bits[at], self.rest[at]
        lib = np if isinstance(bits, np.ndarray) else jnp
        binary = np.frombuffer(self.binary, np.uint8) > 0
        ones = lib.unpackbits(bits, axis=-1, count=int(binary.sum()))
        entries = lib.concatenate([ones.astype(rest.dtype), rest], -1)
        stored = np.concatenate(
            [np.flatnonzero(binary), np.flatnonzero(~binary)]
        )
        entries = entries[..., np.argsort(stored)]
        return entries.reshape(*bits.shape[:-1], *self.obs_shape)


def pack_bits(
    obs: np.ndarray, binary: Bool[np.ndarray, " D"]
) -> tuple[UInt8[np.ndarray, "R b"], np.ndarray] | None:
    """Return the two parts of `PackedObs` for rows of observations.

    Args:
        obs: [R, D] flat observations.
        binary: the entries that are 0 or 1.

    Returns:
        Bits, and the other entries; None if an entry is neither 0 nor 1. The float
        -0.0 is no 0.
    """
    raw, one = obs, obs.dtype.type(1)
    if obs.dtype.kind == "f":  # as their bits, of which -0.0 has one
        unsigned = np.dtype(f"u{obs.dtype.itemsize}")
        raw = np.ascontiguousarray(obs).view(unsigned)
        one = one.view(unsigned)
    ones = raw == one
    if not (ones | (raw == 0) | ~binary).all():
        return None
    bits = np.packbits(ones.compress(binary, axis=1), axis=-1)
    return bits, obs.compress(~binary, axis=1)


def obs_at(obs: "Array | PackedObs", at: Any) -> Float32[Array, "..."]:
    """Return logged observations as networks read them.

    Args:
        obs: observations [*lead, *obs_shape] of any type of entries.
        at: index of the leading axes.

    Returns:
        The observations in float32.
    """
    if not isinstance(obs, PackedObs):
        obs = jnp.asarray(obs)
    return jnp.asarray(obs[at]).astype(jnp.float32)


class Episodes(eqx.Module):
    """Logged play of ``E`` episodes, padded to ``T`` steps; seats in global order.

    Row ``t`` of `action`, `prob`, `reward`, `terminated` and `truncated` describes
    the step from observation ``t`` to ``t + 1``. Steps at or after `length`, and
    steps of a seat that is not `present`, are no transitions: `action` is ABSENT.
    """

    obs: Any  # [E, T+1, N, *obs_shape] in the game's `obs_dtype`; can be `PackedObs`
    legal: Array  # [E, T+1, N, A] bool
    present: Array  # [E, T+1, N] bool
    action: Array  # [E, T, N] int32, ABSENT where the seat did not act
    prob: Array  # [E, T, N] float32, behaviour probability of `action`, or NaN
    reward: Array  # [E, T, N] float32
    terminated: Array  # [E, T, N] bool
    truncated: Array  # [E, T] bool
    length: Array  # [E] int32, number of steps
    player: Array  # [E, N] int32, index into the roster of players
    goal: Array  # [E, T, N] int32, index into the game's goals, or ABSENT
    goal_source: Array  # [E, T, N] int8, index into `GOAL_SOURCES`

    @property
    def acted(self) -> Bool[Array, "E T N"]:
        """[E, T, N] bool: the steps that are transitions."""
        return self.action != ABSENT


GOAL_SOURCES = ("none", "event", "no_event")
"""Origin of a goal label: no label; a later event; no event until the end."""


class Transition(eqx.Module):
    """One logged step of a focal seat, or a batch of them; seats ego-first.

    A batch of windows of ``L`` steps has the leading axes [B, L]; `valid` is False
    on steps past the end of the seat's episode.
    """

    obs: Array  # [..., *obs_shape]
    action: Array  # [...] int32, of the focal seat
    others: Array  # [..., N-1] int32, actions of the other seats, or ABSENT
    reward: Array  # [...] float32
    next_obs: Array  # [..., *obs_shape]
    terminated: Array  # [...] bool
    truncated: Array  # [...] bool
    legal: Array  # [..., A] bool
    next_legal: Array  # [..., A] bool
    present: Array  # [..., N] bool, at `obs`
    prob: Array  # [...] float32, behaviour probability of `action`
    player: Array  # [..., N] int32, the players: indices into the roster
    goal: Array  # [..., N] int32, index into the game's goals
    episode: Array  # [...] int32
    step: Array  # [...] int32
    seat: Array  # [...] int32
    valid: Array  # [...] bool


class Plan(eqx.Module):
    """The output of a planner at one observation: ``scores = reward + value``.

    With an anchor it is added to the scores. Illegal candidates score -inf.
    """

    scores: Array  # [A] float32
    reward: Array  # [A] float32, E[r]
    value: Array  # [A] float32, E[gamma * continuation * V], or the rest of a value of joint actions
    action: Array  # [] int32, the best legal candidate
    others: Array  # [N-1, A] float32, predicted opponent policies; 0 if absent
    belief: Any  # the belief behind `others`, of the opponent model's own type
    anchor: Any = (
        None  # [A] float32, lambda log pi_k(a | o) (`models.anchors`), or None
    )


class ActorOutput(NamedTuple):
    """The outputs of an actor besides its action; each can be None."""

    probs: Any = None  # [A] float32, the distribution of the action
    plan: Any = None  # Plan, of a planning actor
    mode: Any = None  # [] int32, acting mode of a scripted player
