"""Any scripted player as a hidden chain of modes, in each of which it is a player whose memory follows from what it saw.

A mixture is in one of its players' modes for good; a switching player goes from the first to the second. The best reply that is told
the mode, or believes what play has shown of it, needs no more.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game, draws
from bestreply.players.base import ScriptedPlayer
from bestreply.players.scripted import Mixture, Noisy, Switching
from bestreply.types import ABSENT


class Modes(NamedTuple):
    """A player as `M` modes. Every mode's player looks and remembers at every step, whichever of them acts."""

    players: tuple[ScriptedPlayer, ...]  # M
    initial: np.ndarray  # [M] float64, before the first step
    transition: Callable[
        [int], np.ndarray
    ]  # step -> [M, M] float64: from each mode to each, applied before acting at that step


def modes_of(player: ScriptedPlayer, game: Game | None = None) -> Modes:
    """The modes of a player, of one made of others included, in a first episode against the same others.

    With `game`, raises ValueError where a mode's player draws what it remembers, and so is no mode.
    """
    modes = _modes(player)
    if game is not None:
        for part in modes.players:
            _refuse_draws(part, game)
    return modes


def _modes(player: ScriptedPlayer) -> Modes:
    if isinstance(player, Mixture):
        return _side_by_side(
            [_modes(p) for p in player.players],
            np.asarray(player.weights, np.float64),
        )
    if isinstance(player, Noisy):
        inner = _modes(player.player)
        noisy = tuple(
            Noisy(
                player=p, eps=player.eps, name=f"noisy({p.name}, {player.eps})"
            )
            for p in inner.players
        )
        return inner._replace(players=noisy)
    if isinstance(player, Switching):
        return _switching(player)
    return Modes((player,), np.ones(1), lambda step: np.eye(1))


def _refuse_draws(player: ScriptedPlayer, game: Game) -> None:
    obs, others = (
        jnp.zeros(game.obs_shape),
        jnp.full(game.num_players - 1, ABSENT, jnp.int32),
    )
    if draws(player.see, player.init(), obs, others, jax.random.key(0)):
        raise ValueError(
            f"{player.name} draws by its key in `see`, so its memory does not follow from play; expected: players that draw in "
            "`policy` alone, and `Mixture`, `Switching` and `Noisy` of them"
        )


def _side_by_side(parts: list[Modes], weights: np.ndarray) -> Modes:
    """One of `parts`, drawn by `weights` before the first step and kept."""

    def transition(step: int) -> np.ndarray:
        return _blocks([part.transition(step) for part in parts])

    share = weights / weights.sum()
    initial = np.concatenate(
        [w * part.initial for w, part in zip(share, parts, strict=True)]
    )
    return Modes(
        tuple(p for part in parts for p in part.players), initial, transition
    )


def _blocks(matrices: list[np.ndarray]) -> np.ndarray:
    """Square matrices down the diagonal of one."""
    ends = np.cumsum([len(m) for m in matrices])
    whole = np.zeros((ends[-1], ends[-1]))
    for matrix, end in zip(matrices, ends, strict=True):
        whole[end - len(matrix) : end, end - len(matrix) : end] = matrix
    return whole


def _switching(player: Switching) -> Modes:
    """The first's modes, then the second's.

    Until the switch the second's mode shows in nothing, so it need not be kept: its distribution at the switch is that of the step.
    """
    first, second = _modes(player.first), _modes(player.second)

    def transition(step: int) -> np.ndarray:
        now = hazard(player, step)
        whole = _blocks(
            [(1 - now) * first.transition(step), second.transition(step)]
        )
        whole[: len(first.initial), len(first.initial) :] = now * marginal(
            second, step
        )
        return whole

    initial = np.concatenate([first.initial, np.zeros_like(second.initial)])
    return Modes(first.players + second.players, initial, transition)


def hazard(player: Switching, step: int) -> float:
    """The chance that the switch comes right before acting at `step`, given that it has not come before."""
    if player.random is not None:
        return 1 / max(player.random - step, 1)
    if player.hazard is not None:
        return player.hazard
    if player.step_at is not None:
        return float(step >= player.step_at)
    return float(player.episode == 0)


def marginal(modes: Modes, step: int) -> np.ndarray:
    """[M] float64: how likely each mode is when the player acts at `step`, not knowing its play."""
    likely = modes.initial
    for before in range(step + 1):
        likely = likely @ modes.transition(before)
    return likely
