"""A scripted player as a hidden Markov chain of modes, each a player with a deterministic memory.

A mixture stays in the mode of the player that it draws. A switching player moves from the
first player to the second. These modes are all that a best reply needs: it either observes
the current mode, or holds a belief over modes given the play so far.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game, draws
from bestreply.players.base import ScriptedPlayer
from bestreply.players.scripted import Mixture, Noisy, Switching
from bestreply.types import ABSENT


class ModeChain(NamedTuple):
    """The `M` modes of a player; every mode updates its memory at every step, active or not."""

    players: tuple[ScriptedPlayer, ...]  # M
    initial: np.ndarray  # [M] float64, before the first step
    transition: Callable[[int], np.ndarray]
    """Step -> [M, M] float64, from row to column, applied before acting at that step."""


def mode_chain(player: ScriptedPlayer, game: Game | None = None) -> ModeChain:
    """Return the modes of a player in its first episode against the same opponents.

    Args:
        player: any scripted player; mixtures, switching and noisy players may be nested.
        game: check that every mode can play this game with a deterministic memory.

    Returns:
        The modes, the distribution before the first step and the transitions.

    Raises:
        ValueError: a mode draws at random what it remembers (only with `game`).
    """
    chain = _mode_chain(player)
    if game is not None:
        for mode in chain.players:
            _refuse_random_memory(mode, game)
    return chain


def _mode_chain(player: ScriptedPlayer) -> ModeChain:
    if isinstance(player, Mixture):
        parts = [_mode_chain(p) for p in player.players]
        return _mixture_chain(parts, np.asarray(player.weights, np.float64))
    if isinstance(player, Noisy):
        chain = _mode_chain(player.player)
        noisy = [_with_noise(p, player.eps) for p in chain.players]
        return chain._replace(players=tuple(noisy))
    if isinstance(player, Switching):
        return _switching_chain(player)
    return ModeChain((player,), np.ones(1), lambda step: np.eye(1))


def _with_noise(player: ScriptedPlayer, eps: float) -> Noisy:
    return Noisy(player=player, eps=eps, name=f"noisy({player.name}, {eps})")


def fixed_modes(
    chains: Sequence[ModeChain], steps: int
) -> list[tuple[float, tuple[ModeChain, ...]]]:
    """Return the joint modes of players as problems of one mode each, where modes stay.

    Of joint modes that differ in the order of equal players, one stands for all: a game
    that is symmetric has the same value from the same distribution of first states.

    Args:
        chains: the modes of each player.
        steps: number of steps of the game.

    Returns:
        The probability of each joint mode, and the players in it; the chains themselves,
        with probability 1, where a player changes its mode.
    """
    for chain in chains:
        eye = np.eye(len(chain.initial))
        each = map(chain.transition, range(steps + 1))
        if not all(np.array_equal(matrix, eye) for matrix in each):
            return [(1.0, tuple(chains))]
    equal = all(_are_equal(chain, chains[0]) for chain in chains)
    probability: dict[tuple[int, ...], float] = {}
    for joint in np.ndindex(*(len(chain.initial) for chain in chains)):
        key = tuple(sorted(joint)) if equal else joint
        each = [c.initial[m] for c, m in zip(chains, joint, strict=True)]
        probability[key] = probability.get(key, 0.0) + float(np.prod(each))
    return [
        (
            share,
            tuple(
                ModeChain((c.players[m],), np.ones(1), _stays)
                for c, m in zip(chains, joint, strict=True)
            ),
        )
        for joint, share in probability.items()
        if share
    ]


def _stays(step: int) -> np.ndarray:
    return np.eye(1)


def _are_equal(one: ModeChain, other: ModeChain) -> bool:
    pairs = zip(one.players, other.players, strict=False)
    return np.array_equal(one.initial, other.initial) and all(
        a is b or eqx.tree_equal(a, b) is True for a, b in pairs
    )


def _refuse_random_memory(player: ScriptedPlayer, game: Game) -> None:
    obs = jnp.zeros(game.obs_shape)
    others = jnp.full(game.num_players - 1, ABSENT, jnp.int32)
    if draws(player.see, player.init(), obs, others, jax.random.key(0)):
        raise ValueError(
            f"{player.name} draws by its key in `see`, so its memory does not follow from play: "
            "expected players that draw in `policy` alone, and `Mixture`, `Switching` and "
            "`Noisy` of them"
        )


def _mixture_chain(parts: list[ModeChain], weights: np.ndarray) -> ModeChain:
    """Return the chain of a player that draws one of `parts` by `weights` and keeps it."""

    def transition(step: int) -> np.ndarray:
        return _block_diagonal([part.transition(step) for part in parts])

    weights = weights / weights.sum()
    initial = [w * p.initial for w, p in zip(weights, parts, strict=True)]
    players = tuple(p for part in parts for p in part.players)
    return ModeChain(players, np.concatenate(initial), transition)


def _block_diagonal(matrices: list[np.ndarray]) -> np.ndarray:
    ends = np.cumsum([len(m) for m in matrices])
    whole = np.zeros((ends[-1], ends[-1]))
    for matrix, end in zip(matrices, ends, strict=True):
        begin = end - len(matrix)
        whole[begin:end, begin:end] = matrix
    return whole


def _switching_chain(player: Switching) -> ModeChain:
    """Return the first player's modes followed by the second's.

    Before the switch the second player's mode has no effect, so it need not be tracked: at
    the switch it has its marginal distribution at that step.
    """
    first, second = _mode_chain(player.first), _mode_chain(player.second)

    def transition(step: int) -> np.ndarray:
        rate = hazard(player, step)
        stays = (1 - rate) * first.transition(step)
        whole = _block_diagonal([stays, second.transition(step)])
        count = len(first.initial)
        whole[:count, count:] = rate * marginal(second, step)
        return whole

    initial = np.concatenate([first.initial, np.zeros_like(second.initial)])
    return ModeChain(first.players + second.players, initial, transition)


def hazard(player: Switching, step: int) -> float:
    """Return the probability of a switch right before acting at `step`, given none before.

    Args:
        player: a switching player; one of its four settings says when it switches.
        step: index of the step, from 0.

    Returns:
        A probability.
    """
    if player.random is not None:
        return 1 / max(player.random - step, 1)
    if player.hazard is not None:
        return player.hazard
    if player.step_at is not None:
        return float(step >= player.step_at)
    return float(player.episode == 0)


def marginal(chain: ModeChain, step: int) -> np.ndarray:
    """Return the distribution of the mode when the player acts at `step`, play not observed.

    Args:
        chain: modes of one player.
        step: index of the step, from 0.

    Returns:
        [M] float64.
    """
    probability = chain.initial
    for before in range(step + 1):
        probability = probability @ chain.transition(before)
    return probability
