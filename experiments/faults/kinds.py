"""All kinds of inputs: importing this module registers them."""

from experiments.faults import (
    inputs_data,
    inputs_imports,
    inputs_runs,
    inputs_server,
    inputs_text,
)
from experiments.faults.registry import KINDS, trial_of

__all__ = [
    "KINDS",
    "inputs_data",
    "inputs_imports",
    "inputs_runs",
    "inputs_server",
    "inputs_text",
    "trial_of",
]
