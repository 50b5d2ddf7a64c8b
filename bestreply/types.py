"""The nouns: what a step, an episode, a plan and a score are.

Axes, always in this order: ``B`` batch (or ``E`` episodes), ``T`` time, ``N`` players, then the thing's own shape. ``A`` is the
number of actions of a seat, ``G`` the number of goals. Players are a stacked axis, never a dict. In every *ego-first* array the
seat that looks is index 0 and the others follow in seat order (`ego_order`).
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

if TYPE_CHECKING:
    Array = Any  # a static checker can't follow which of the two flows where, and would ask for a cast at every step
else:
    Array = jax.Array | np.ndarray
"""What compiled games give (`jax.Array`) and what host games give (`numpy.ndarray`)."""

ABSENT = -1
"""The action of a seat that is not in the game (any more), and of a seat before its first action."""


def ego_order(num_players: int) -> np.ndarray:
    """Seats as each seat counts them, [N, N]: row ``s`` is ``s`` and then the others in seat order."""
    seats = np.arange(num_players)
    return np.stack(
        [np.concatenate([[s], np.delete(seats, s)]) for s in seats]
    ).astype(np.int32)


class TimeStep(eqx.Module):
    """What a game shows after `reset` or `step`; seats in their global order.

    `terminated` and `truncated` are two facts: a seat that has terminated has no next value, a game that was truncated at its
    step limit has one. The observation is always the one reached, never that of a next episode.
    """

    obs: Array  # [N, *obs_shape] float32, each seat's own view
    legal: Array  # [N, A] bool, True = legal; never all False
    reward: Array  # [N] float32, for the step just made; 0 after `reset`
    terminated: Array  # [N] bool, the game is over for this seat
    truncated: Array  # [] bool, the step limit ended the game
    present: Array  # [N] bool, False once a seat has left for good


class Episodes(eqx.Module):
    """Logged play of ``E`` episodes padded to ``T`` steps; seats in their global order.

    Row ``t`` of `action`, `prob`, `reward`, `terminated`, `truncated` is the step from observation ``t`` to ``t + 1``.
    Steps at or after `length`, and steps of a seat that is not `present`, hold no transition: `action` is ABSENT there.
    """

    obs: Array  # [E, T+1, N, *obs_shape] float32
    legal: Array  # [E, T+1, N, A] bool
    present: Array  # [E, T+1, N] bool
    action: Array  # [E, T, N] int32, ABSENT where the seat did not act
    prob: Array  # [E, T, N] float32, the behaviour's probability of `action`; NaN where it is not known
    reward: Array  # [E, T, N] float32
    terminated: Array  # [E, T, N] bool
    truncated: Array  # [E, T] bool
    length: Array  # [E] int32, steps played
    player: Array  # [E, N] int32, index into the roster of players
    goal: Array  # [E, T, N] int32, index into the game's goals; ABSENT where the seat did not act
    goal_source: Array  # [E, T, N] int8, index into `GOAL_SOURCES`

    @property
    def acted(self) -> Array:
        """[E, T, N] bool: the steps that are transitions."""
        return self.action != ABSENT


GOAL_SOURCES = ("none", "event", "no_event")
"""How a goal label was come by: no label; an event later in the episode showed it; no event came until the episode's end."""


class Transition(eqx.Module):
    """One logged step of a focal seat, or a batch of them. Every array of several seats is ego-first.

    With a window of ``L`` steps the leading axes are [B, L]; `valid` is False on steps past the end of the seat's episode.
    """

    obs: Array  # [..., *obs_shape]
    action: Array  # [...] int32, a_i
    others: (
        Array  # [..., N-1] int32, a_j; ABSENT where that seat was not present
    )
    reward: Array  # [...] float32
    next_obs: Array  # [..., *obs_shape]
    terminated: Array  # [...] bool
    truncated: Array  # [...] bool
    legal: Array  # [..., A] bool
    next_legal: Array  # [..., A] bool
    present: Array  # [..., N] bool, at `obs`
    prob: Array  # [...] float32, the behaviour's probability of `action`
    player: Array  # [..., N] int32, who sat where: index into the roster
    goal: Array  # [..., N] int32, index into the game's goals
    episode: Array  # [...] int32
    step: Array  # [...] int32
    seat: Array  # [...] int32
    valid: Array  # [...] bool


class Plan(eqx.Module):
    """What a planner actor_output at one observation. ``scores = reward + value``; illegal candidates score -inf."""

    scores: Array  # [A] float32
    reward: Array  # [A] float32, E[r]
    value: Array  # [A] float32, E[gamma * continuation * V]
    action: Array  # [] int32, the best legal candidate
    others: Array  # [N-1, A] float32, predicted probabilities of the others' actions; zeros for a seat that has left
    belief: Any  # the belief they were predicted from, of the opponent model's own kind


class ActorOutput(NamedTuple):
    """What an actor tells beside its action; every part can be None."""

    probs: Any = (
        None  # [A] float32, the probabilities the action was drawn from
    )
    plan: Any = None  # Plan, of an actor that plans
    mode: Any = None  # [] int32, of a scripted player: which of its modes acted (`bestreply.exact.hidden_modes`)
