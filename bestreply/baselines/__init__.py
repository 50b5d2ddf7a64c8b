"""What the agent is compared with: other methods, trained on as many environment steps (`RunConfig.method`).

Two more need no training of their own and are methods of evaluation (`evaluate.methods`): the agent's planner with uniform others, and
with others whose types it is told.
"""

from collections.abc import Callable
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax

from bestreply.baselines import behaviour_cloning, hop, iql, ppo
from bestreply.baselines.policy import PolicyPlayer
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.replay.moa_buffer import BufferState
from bestreply.training.phases import (
    Phase,
    Seeds,
    Write,
    run_phase,
    updates_made,
)
from bestreply.types import Episodes
from bestreply.utils.files import write_json

if TYPE_CHECKING:
    from bestreply.run import Run

OFFLINE: dict[str, ModuleType] = {
    "behaviour_cloning": behaviour_cloning,
    "iql": iql,
}
"""Methods that learn a policy from the data alone."""


def configure(config: RunConfig) -> RunConfig:
    """`config` with what its method asks for written out."""
    return hop.configure(config) if config.method == "hop" else config


def start_policy(config: RunConfig, game: Game) -> Any:
    """What training changes, untrained, drawn from the run's seed."""
    key = jax.random.key(config.seed)
    if config.method in OFFLINE:
        return jax.jit(partial(OFFLINE[config.method].start, config, game))(key)
    return jax.jit(
        partial(
            ppo.start, config, game, recurrent=config.method == "ppo_recurrent"
        )
    )(key)


def policy_player(
    config: RunConfig, game: Game, train_state: Any, name: str
) -> PolicyPlayer:
    greedy = OFFLINE.get(config.method, ppo).GREEDY
    return PolicyPlayer(
        net=train_state.net, game=game, name=name, greedy=greedy
    )


def policy_updates(
    config: RunConfig, train_state: Any
) -> dict[str, tuple[int, int]]:
    """The updates made and those to make; how many `ppo` will make is not known before its play is over: 0."""
    return {
        "policy": (
            updates_made(train_state, "updates"),
            config.train.updates if config.method in OFFLINE else 0,
        )
    }


def fit_policy(
    run: "Run",
    buffer: BufferState,
    train_state: Any,
    save: Callable[[Any], None],
    write: Write,
    seeds: Seeds = None,
) -> Any:
    """Trains a policy on `buffer`, or, for as many environment steps as the data has, in the game."""
    config, game = run.config, run.game
    if config.method not in OFFLINE:
        return ppo.fit(
            config, game, run.provenance["env_steps"], train_state, save, write
        )
    every = config.train.checkpoint_every
    phase = _phase(config.method, game)
    return run_phase(
        phase, config, lambda _: buffer, train_state, save, write, every, seeds
    )


@cache  # the same step again is the same program again
def _phase(method: str, game: Game) -> Phase:
    return Phase(
        "policy", partial(_step, OFFLINE[method], game), "updates", stream=5
    )


def _step(
    method: ModuleType,
    game: Game,
    config: RunConfig,
    buffer: Any,
    train_state: Any,
    key: Any,
) -> Any:
    return method.step(config, game, buffer, train_state, key)


def diagnose_policy(run: "Run", held_out: Episodes) -> None:
    """Measures a policy on episodes that it was not trained on, where there is anything to measure; writes ``diagnostics.json``."""
    method = OFFLINE.get(run.config.method)
    found = method.held_out(run.train_state, held_out) if method else {}
    write_json(
        run.path / "diagnostics.json", {"heldout": found} if found else {}
    )
