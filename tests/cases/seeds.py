"""Seeds that people use: negative, hashes, times in ns, beyond 64 bits, text.

Each seed in 0 <= s < 2^32 plays its own episodes; any other is refused in words
before a folder is made.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

import bestreply as br
from bestreply.evaluate import evaluate_all

GAME = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=6)"
SEEDS = (1, 2**31, 2**32 - 1, np.int64(5), np.uint32(6))
REFUSED = (-1, 2**32, 2**32 + 1, 1732834567890123456, 2**63, 2**64, 10**9999)
REFUSED += (1.5, "3", True, None, np.int64(-1))


def refusal(call, seed):
    """Return what is wrong with how a seed is refused."""
    try:
        call(seed)
    except ValueError as error:
        text = str(error)
        return "" if text.startswith("seed=") and len(text) < 200 else text
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


with tempfile.TemporaryDirectory() as folder:
    game, players, home = br.make_game(GAME), ["random"] * 2, Path(folder)

    numbers = itertools.count()

    def collect(seed):
        path = home / str(next(numbers))
        return br.collect(game, players, 4, seed, path=path)

    stores = [collect(seed) for seed in SEEDS]
    plays = [store.episodes().obs.tobytes() for store in stores]
    bad = [] if len(set(plays)) == len(SEEDS) else ["two seeds play the same"]
    made = set(home.iterdir())
    calls = {
        "collect": collect,
        "evaluate": lambda seed: br.evaluate(game, players, 4, seed),
        "evaluate_all": lambda seed: evaluate_all(
            game, {"random": "random"}, ["random"], 4, seed
        ),
        "check_game": lambda seed: br.check_game(game, seed),
    }
    for name, call in calls.items():
        for seed in REFUSED:
            if wrong := refusal(call, seed):
                bad.append(f"{name}: {type(seed)!s} {wrong}")
    bad += [f"left {path}" for path in set(home.iterdir()) - made]
print("\n".join(bad))
sys.exit(bool(bad))
