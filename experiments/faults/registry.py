"""The kinds of inputs that a campaign damages, by name."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from experiments.faults.samples import Samples
from experiments.faults.verdicts import Trial

Make = Callable[[Random, Samples], Trial]


class Kind(NamedTuple):
    """One kind of input: makes a damaged one, with the reader to try it on."""

    make: Make
    weight: int
    """How often it is drawn, relative to the other kinds."""
    is_checkpoint: bool


KINDS: dict[str, Kind] = {}
"""Every kind by name. `kind` adds to it; a new kind is a function in `inputs_*.py`."""


def kind(weight: int = 1, *, is_checkpoint: bool = False) -> Callable:
    """Register a function ``(draw, samples) -> Trial`` under its name.

    Args:
        weight: how often it is drawn.
        is_checkpoint: count it as a damaged checkpoint, not as an input.
    """

    def register(make: Make) -> Make:
        KINDS[make.__name__] = Kind(make, weight, is_checkpoint)
        return make

    return register


def trial_of(
    number: int, seed: int, samples: Samples, *, checkpoints: bool = False
) -> tuple[str, Trial]:
    """Return the name of the kind and the trial of a number; the same for the same seed.

    Args:
        number: number of the trial.
        seed: seed of the campaign.
        samples: the files to damage.
        checkpoints: draw damaged checkpoints, or all other inputs.
    """
    draw = Random(f"{seed}-{number}")
    names = [n for n, k in KINDS.items() if k.is_checkpoint == checkpoints]
    weights = [KINDS[name].weight for name in names]
    name = draw.choices(names, weights)[0]
    return name, KINDS[name].make(draw, samples)
