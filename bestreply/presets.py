"""Ready configurations: settings and budgets by name."""

import dataclasses

from bestreply.config import (
    CollectConfig,
    EvaluateConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)


def preset(name: str) -> RunConfig:
    """Return a ready configuration.

    Args:
        name: "debug" (seconds), "demo" (minutes on 2 cores) or "full" (the
            settings of the published figures).

    Returns:
        The configuration.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(
            f"preset={name!r}: expected one of {', '.join(PRESETS)}"
        )
    return PRESETS[name]


# Chosen on Markov Stag Hunt 4x4 (results/learning.md).
_MODEL = ModelConfig(latent=64, width=128)
_TRAIN = TrainConfig(
    opponent_updates=1000,
    opponent_batch=512,
    anchor_updates=2000,
    trial_episodes=128,
    updates=4000,
    batch=128,
    gamma=0.98,
    n_step=3,
    off_policy=0.3,
    target_tau=0.03,
)
PRESETS = {
    "debug": RunConfig(
        collect=CollectConfig(episodes=256),
        model=ModelConfig(latent=16, width=32, depth=1),
        train=TrainConfig(
            opponent_updates=40,
            opponent_batch=64,
            anchor_updates=0,
            trial_episodes=0,
            updates=60,
            batch=64,
            value_batch=128,
            log_every=20,
            checkpoint_every=40,
        ),
        planner=PlannerConfig(samples=8, symmetry_averages=1),
        evaluate=EvaluateConfig(episodes=32, reference_layouts=0),
    ),
    "demo": RunConfig(
        collect=CollectConfig(episodes=20_000),
        model=_MODEL,
        train=_TRAIN,
        planner=PlannerConfig(
            samples=16, prior_mixing=0.002, symmetry_averages=1
        ),
        evaluate=EvaluateConfig(episodes=500),
    ),
    "full": RunConfig(
        collect=CollectConfig(episodes=25_000),
        model=dataclasses.replace(_MODEL, value_heads="action"),
        train=dataclasses.replace(
            _TRAIN,
            opponent_updates=6000,
            opponent_batch=512,
            anchor_updates=3000,
            trial_episodes=128,
            updates=6000,
            batch=256,
            gamma=0.99,
            target="improved",
            value_updates=20_000,
            value_batch=512,
            target_tau=0.02,
            checkpoint_every=5000,
        ),
        planner=PlannerConfig(samples=16, prior_mixing=0.002),
        evaluate=EvaluateConfig(episodes=1000, reference_layouts=32),
    ),
}
"""Configurations by name."""
