"""Updates by the size of the data, and the configuration that a run was started with.

The run's configuration holds the numbers that were chosen.
"""

import dataclasses

from bestreply.config import RunConfig, TrainConfig

UPDATES = {
    "opponent_updates": "opponent_batch",
    "updates": "batch",
    "anchor_updates": "opponent_batch",
    "joint_updates": "value_batch",
}
"""Phases that learn from logged steps: the setting of their gradient steps, and of the
logged steps in each."""
LEAST_UPDATES = 200
"""Gradient steps that are made however little data there is."""
HALVINGS = 32
"""More than any number of updates has."""


def with_epochs_limited(config: RunConfig, rows: int) -> RunConfig:
    """Return the configuration with fewer updates, where there is little data.

    The updates of a phase are halved until they pass over the data at most
    `train.max_epochs` times: on more passes, networks learn the few episodes by heart.
    Halving gives datasets of about the same size the same programs.

    Args:
        config: configuration of a run.
        rows: logged steps, of all seats.

    Returns:
        The configuration; no phase has fewer than `LEAST_UPDATES`, unless the
        configuration has.
    """
    train = config.train
    if not train.max_epochs:
        return config
    fewer = {}
    for name, batch in UPDATES.items():
        most = train.max_epochs * rows / getattr(train, batch)
        numbers = (_halved(train, name, k) for k in range(HALVINGS))
        fewer[name] = next(n for n in numbers if n <= max(most, LEAST_UPDATES))
    return _with_train(config, fewer)


def as_started(started: RunConfig, config: RunConfig) -> RunConfig:
    """Return a configuration with what was measured when its run was started.

    Args:
        started: configuration of the started run.
        config: the same configuration, or another one, before anything is measured.
    """
    chosen = {}
    if config.train.at_limit == "auto":
        chosen["at_limit"] = started.train.at_limit
    if config.train.max_epochs:
        for name in UPDATES:
            made = getattr(started.train, name)
            if made in (
                _halved(config.train, name, k) for k in range(HALVINGS)
            ):
                chosen[name] = made
    return _with_train(config, chosen)


def _halved(train: TrainConfig, name: str, times: int) -> int:
    given = getattr(train, name)
    return max(given >> times, min(given, LEAST_UPDATES))


def _with_train(config: RunConfig, changes: dict[str, object]) -> RunConfig:
    train = dataclasses.replace(config.train, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(config, train=train)
