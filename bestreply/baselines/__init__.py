"""What the agent is compared with: other methods, trained on as many environment steps (`RunConfig.method`).

Two more need no training of their own and are methods of evaluation (`evaluate.methods`): the agent's planner with uniform others, and
with others whose types it is told.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import jax

from bestreply.baselines import behaviour_cloning, hop, iql, ppo
from bestreply.baselines.policy import PolicyPlayer
from bestreply.config import RunConfig
from bestreply.data.moa_buffer import fill
from bestreply.files import write_json
from bestreply.games.base import Game
from bestreply.phases import Phase, Write, run_phase
from bestreply.types import Episodes

if TYPE_CHECKING:
    from bestreply.data.store import Store
    from bestreply.run import Run

OFFLINE: dict[str, ModuleType] = {"behaviour_cloning": behaviour_cloning, "iql": iql}
POLICIES = (*OFFLINE, "ppo", "ppo_recurrent")
"""Methods that learn a policy and plan nothing."""


def configure(config: RunConfig) -> RunConfig:
    """`config` with what its method asks for written out."""
    return hop.configure(config) if config.method == "hop" else config


def start_policy(config: RunConfig, game: Game) -> Any:
    """What training changes, untrained, drawn from the run's seed."""
    key = jax.random.key(config.seed)
    if config.method in OFFLINE:
        return jax.jit(partial(OFFLINE[config.method].start, config, game))(key)
    return jax.jit(partial(ppo.start, config, game, recurrent=config.method == "ppo_recurrent"))(key)


def policy_player(config: RunConfig, game: Game, learner: Any, name: str) -> PolicyPlayer:
    greedy = OFFLINE.get(config.method, ppo).GREEDY
    return PolicyPlayer(net=learner.net, game=game, name=name, greedy=greedy)


def policy_updates(config: RunConfig, learner: Any) -> dict[str, tuple[int, int]]:
    """The updates made and those to make; how many `ppo` will make is not known before its play is over: 0."""
    return {"policy": (int(learner.updates), config.train.updates if config.method in OFFLINE else 0)}


def fit_policy(
    run: "Run",
    data: "Store",
    episodes: tuple[Episodes, Episodes],
    learner: Any,
    save: Callable[[Any], None],
    write: Write,
) -> Any:
    """Trains a policy on `episodes` of `data`, the others of which are held out, or, for as many environment steps, in the game; writes
    ``diagnostics.json``."""
    config, game = run.config, run.game
    if config.method in OFFLINE:
        method = OFFLINE[config.method]
        phase = Phase("policy", partial(_step, method, game), "updates", stream=5)
        buffer = fill(episodes[0])
        every = config.train.checkpoint_every
        learner = run_phase(phase, config, lambda _: buffer, learner, save, write, every)
        found = method.held_out(learner, episodes[1])
    else:
        learner = ppo.fit(config, game, data.manifest.steps, learner, save, write)
        found = {}
    write_json(run.path / "diagnostics.json", {"heldout": found} if found else {})
    return learner


def _step(method: ModuleType, game: Game, config: RunConfig, buffer: Any, learner: Any, key: Any) -> Any:
    return method.step(config, game, buffer, learner, key)
