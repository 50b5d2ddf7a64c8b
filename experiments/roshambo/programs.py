"""The 43 programs of the first roshambo contests, as they ship with OpenSpiel, and matches
of 1000 throws against them.

Throws are 0 rock, 1 paper, 2 scissors: a beats b if a - b = 1 (mod 3).

All programs of a process draw from C's `random()`. It is seeded before every throw from
the seed of the matches, the match and the throw. So a program's draws do not depend on
other matches, and no two seeds share draws. Players have no access to it.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

THROWS = 1000
"""Throws of a match in the published protocol, on which some programs rely."""
SPLITS = {"train": 1, "develop": 2, "test": 3}
"""Uses of matches, each with separate draws."""
HELD_OUT = 13
FIXED = ("debruijn81", "pibot", "textbot")
"""Programs with the same throws in every match."""


@cache
def names() -> tuple[str, ...]:
    """Return all 43 names, sorted."""
    return tuple(sorted(_pyspiel().roshambo_bot_names()))


def held_out() -> tuple[str, ...]:
    """Return the 13 programs that `thirty` is not trained on, drawn once before any training."""
    drawn = np.random.default_rng(13).permutation(len(names()))[:HELD_OUT]
    return tuple(names()[i] for i in sorted(drawn))


def payoff(own: Any, theirs: Any) -> Any:
    """Return 1 for a win, 0 for a tie, -1 for a loss."""
    return (np.asarray(own) - theirs + 1) % 3 - 1


class Matches:
    """Parallel matches against `programs` [M].

    The draws of match m depend on `split`, `seed` and its number `first + m` only.
    """

    def __init__(
        self,
        programs: Sequence[str],
        *,
        split: str,
        seed: int,
        seat: int = 1,
        first: int = 0,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(
                f"split={split!r}: expected one of {', '.join(SPLITS)}"
            )
        unknown = [p for p in programs if p not in names()]
        if unknown:
            raise ValueError(
                f"programs={unknown}: expected some of {', '.join(names())}"
            )
        pyspiel = _pyspiel()
        game = pyspiel.load_game(
            f"repeated_game(stage_game=matrix_rps(),num_repetitions={THROWS})"
        )
        self.seat, self.time = seat, 0
        self._states = [game.new_initial_state() for _ in programs]
        self._bots = [
            pyspiel.make_roshambo_bot(seat, name, THROWS) for name in programs
        ]
        draws = [
            np.random.default_rng(
                [SPLITS[split], seed, seat, first + m]
            ).integers(2**32, size=THROWS)
            for m in range(len(programs))
        ]
        self._seeds = np.array(draws).T.tolist()  # [T][M]
        self._thrown = -1

    def throw(self) -> np.ndarray:
        """Return the next throw of each program [M]; call once for each throw."""
        if self._thrown == self.time:
            raise RuntimeError(
                "throw() was called twice: expected advance() in between"
            )
        self._thrown = self.time
        seed, thrown = _libc().srandom, []
        for bot, state, draw in zip(
            self._bots, self._states, self._seeds[self.time], strict=True
        ):
            seed(draw)
            thrown.append(bot.step(state))
        return np.array(thrown)

    def advance(self, own: np.ndarray, theirs: np.ndarray) -> None:
        """Apply both throws.

        Args:
            own: [M] throws of the player.
            theirs: [M] throws of the programs.
        """
        pairs = (own, theirs) if self.seat == 1 else (theirs, own)
        for state, first, second in zip(
            self._states, *(p.tolist() for p in pairs), strict=True
        ):
            state.apply_actions([first, second])
        self.time += 1


@cache
def _libc() -> Any:
    libc = ctypes.CDLL(None)
    libc.srandom.argtypes = [ctypes.c_uint]
    libc.srandom.restype = None
    return libc


def _pyspiel() -> Any:
    try:
        import pyspiel
    except ImportError as error:
        raise ImportError(
            'the programs need the package open_spiel: pip install "bestreply[openspiel]"'
        ) from error
    return pyspiel
