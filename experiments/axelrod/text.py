"""Texts of results/axelrod/."""

import numpy as np


def spread(values: list[float], digits: int = 3) -> str:
    """Return the mean and the range over seeds."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"
