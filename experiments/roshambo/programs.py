"""The 43 programs of the first roshambo contests, as they ship with OpenSpiel, and matches of 1000 throws against them.

Throws are 0 rock, 1 paper, 2 scissors: a beats b if a - b = 1 (mod 3).

All programs of a process draw from C's `random()`. It is seeded here anew before every throw, by the seed of the matches, which match
it is and which throw: what a program draws does not depend on what else is played beside it, and no two seeds share draws. Players see
nothing of it.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

THROWS = 1000
"""Of a match, by the published protocol; some programs rely on it."""
SPLITS = {"train": 1, "develop": 2, "test": 3}
"""What matches are for: each has draws of its own."""
HELD_OUT = 13
FIXED = ("debruijn81", "pibot", "textbot")
"""Play the same throws in every match, whatever happens."""


@cache
def names() -> tuple[str, ...]:
    """All 43, sorted."""
    return tuple(sorted(_pyspiel().roshambo_bot_names()))


def held_out() -> tuple[str, ...]:
    """The 13 that an agent is not trained on: drawn once, without regard to any result."""
    drawn = np.random.default_rng(13).permutation(len(names()))[:HELD_OUT]
    return tuple(names()[i] for i in sorted(drawn))


def payoff(own: Any, theirs: Any) -> Any:
    """1 for a win, 0 for a tie, -1 for a loss."""
    return (np.asarray(own) - theirs + 1) % 3 - 1


class Matches:
    """Matches against `programs` [M] side by side.

    A match's draws are set by `split`, `seed` and its number `first + m`, not by what else is played.
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
            raise ValueError(f"split={split!r}; expected: {', '.join(SPLITS)}")
        unknown = [p for p in programs if p not in names()]
        if unknown:
            raise ValueError(
                f"programs {unknown}; expected: some of {', '.join(names())}"
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
        """[M] int, what each program throws now. It has seen what came before; asked once for each throw."""
        if self._thrown == self.time:
            raise RuntimeError(
                "throw() asked twice for one throw; expected: advance() in between"
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
        """Tells the programs what both threw; `own` is what the program's opponent did."""
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
            'the programs come with the package open_spiel: pip install "bestreply[openspiel]"'
        ) from error
    return pyspiel
