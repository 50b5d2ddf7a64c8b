"""Training of the model of the programs: on logs of an untrained player, then on rounds of own play."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.roshambo import experts
from experiments.roshambo.model import Net, Programs
from experiments.roshambo.players import Learned, Mixture, play
from experiments.roshambo.programs import THROWS


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes and budgets of training."""

    width: int = 128
    hidden: int = 96
    first: tuple[float, ...] = (0.0, 0.2)
    """First matches of the mixture against each program: probability of a random throw in each."""
    rounds: int = 6
    again: tuple[float, ...] = (0.0, 0.0, 0.0, 0.1)
    """The same for the learned player, in each round."""
    updates: int = 80
    """Gradient steps after the first logs and after each round."""
    last_updates: int = 140
    """Gradient steps at the end."""
    batch: int = 64
    length: int = 100
    """Throws of a segment. The first `skipped` have no loss, unless the match begins there: the carry is empty."""
    skipped: int = 10
    rate: float = 3e-3
    drop: tuple[float, float] = (0.1, 0.1)
    """Fractions of inputs and of units of the last layer dropped in training, for each segment."""
    decay: float = 1e-2
    """Weight decay (Loshchilov and Hutter, 2019)."""


class Logs:
    """Logged matches of known programs."""

    def __init__(self, capacity: int, programs: int) -> None:
        self.inputs = np.zeros((capacity, THROWS, experts.FEATURES), np.float16)
        self.theirs = np.zeros((capacity, THROWS), np.int8)
        self.known = np.zeros(capacity, np.int32)
        self.count, self.programs = 0, programs

    def add(
        self, player: Any, programs: Sequence[str], known: np.ndarray, seed: int
    ) -> np.ndarray:
        """Play and log one match against each of `programs`, and return their returns."""
        added = slice(self.count, self.count + len(programs))
        log = play(
            player,
            programs,
            split="train",
            seed=seed,
            first=self.count,
            keep=True,
            out=self.inputs[added],
        )
        self.theirs[added], self.known[added] = log.throws[..., 1], known
        self.count += len(programs)
        return log.returns

    def tables(self) -> np.ndarray:
        """Return smoothed frequencies of each program's throws by step [T, G, 3]."""
        counts = np.full((THROWS, self.programs, 3), 0.2)
        for theirs, g in zip(
            self.theirs[: self.count], self.known, strict=False
        ):
            counts[np.arange(THROWS), g, theirs] += 1
        return counts / counts.sum(-1, keepdims=True)

    def sample(
        self, rng: np.random.Generator, settings: Settings
    ) -> tuple[np.ndarray, ...]:
        """Return segments: inputs [B, L, F], throws relative to the last [B, L], programs [B], weights [B, L]."""
        size, length = settings.batch, settings.length
        match = rng.integers(self.count, size=size)
        start = rng.integers(
            -length // 2, THROWS - length + 1, size
        )  # the beginning a little more often
        start = np.maximum(start, 0)
        inputs = np.stack(
            [
                self.inputs[m, s : s + length]
                for m, s in zip(match, start, strict=True)
            ]
        )
        at = start[:, None] + np.arange(length)
        theirs = self.theirs[match[:, None], at].astype(np.int32)
        last = np.where(
            at > 0, self.theirs[match[:, None], np.maximum(at - 1, 0)], 0
        )
        counts = np.ones((size, length), np.float32)
        counts[:, : settings.skipped] = (start == 0)[:, None]
        return inputs, (theirs - last) % 3, self.known[match], counts


def learn(
    programs: Sequence[str],
    seed: int,
    settings: Settings,
    say: Callable[[str], None],
) -> Programs:
    """Train a model.

    Args:
        programs: names of the programs.
        seed: of play and training.
        settings: sizes and budgets.
        say: receives a line about each stage.

    Returns:
        The model.
    """
    known = np.arange(len(programs))
    each = len(programs)
    capacity = each * (
        len(settings.first) + settings.rounds * len(settings.again)
    )
    logs, rng = Logs(capacity, each), np.random.default_rng([7, seed])

    def add(player: Any, noises: Sequence[float]) -> np.ndarray:
        player.noise = np.repeat(noises, each)
        copies = len(noises)
        returns = logs.add(
            player, list(programs) * copies, np.tile(known, copies), seed
        )
        return returns.reshape(copies, each).mean(1).round(1)

    say(f"mixture {add(Mixture(), settings.first)}")
    net = Net(
        each,
        width=settings.width,
        hidden=settings.hidden,
        key=jax.random.key(seed),
    )
    some = (
        logs.inputs[: logs.count, ::37]
        .reshape(-1, experts.FEATURES)
        .astype(np.float32)
    )
    scales = jnp.asarray(some.mean(0)), jnp.asarray(1 / (some.std(0) + 0.05))
    net = eqx.tree_at(lambda n: (n.mean, n.scale), net, scales)
    total = settings.updates * (settings.rounds + 1) + settings.last_updates
    trainer = Trainer(net, settings, total)
    say(f"trained {trainer.train(logs, settings.updates, rng)}")
    for r in range(settings.rounds):
        began = time.process_time()
        player = Learned(Programs.create(trainer.net, logs.tables()))
        returns = add(player, settings.again)
        played = time.process_time() - began
        losses = trainer.train(logs, settings.updates, rng)
        say(
            f"round {r}: {returns} losses {losses}; {played:.0f} of {time.process_time() - began:.0f} s play"
        )
    if settings.last_updates:
        say(f"trained {trainer.train(logs, settings.last_updates, rng)}")
    return Programs.create(trainer.net, logs.tables())


class Trainer:
    """A network and the state of its optimiser."""

    def __init__(self, net: Net, settings: Settings, total: int) -> None:
        self.settings = settings
        rate = optax.warmup_cosine_decay_schedule(
            0.0, settings.rate, min(50, total // 4), total
        )
        self.optimiser = optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adamw(rate, weight_decay=settings.decay),
        )
        self.params, self.fixed = eqx.partition(net, _learned(net))
        self.state = self.optimiser.init(self.params)
        self._update = jax.jit(self._updated)

    @property
    def net(self) -> Net:
        return eqx.combine(self.params, self.fixed)

    def train(
        self, logs: Logs, updates: int, rng: np.random.Generator
    ) -> list[float]:
        """Make gradient steps and return the two mean losses: program given, and common read-out."""
        losses = []
        for _ in range(updates):
            batch = logs.sample(rng, self.settings)
            key = jax.random.key(int(rng.integers(2**31)))
            self.params, self.state, both = self._update(
                self.params, self.state, key, *batch
            )
            losses.append(both)
        return (
            [round(float(x), 4) for x in np.mean(np.array(losses), axis=0)]
            if losses
            else []
        )

    def _updated(self, params: Any, state: Any, *batch: Any) -> Any:
        grads, both = jax.grad(self._loss, has_aux=True)(params, *batch)
        changes, state = self.optimiser.update(grads, state, params)
        return optax.apply_updates(params, changes), state, both

    def _loss(
        self,
        params: Any,
        key: Any,
        inputs: Any,
        throws: Any,
        known: Any,
        counts: Any,
    ) -> Any:
        net: Net = eqx.combine(params, self.fixed)
        unroll = lambda x, k: net.unroll(x, drop=self.settings.drop, key=k)  # noqa: E731
        logs = jax.vmap(unroll)(
            inputs.astype(jnp.float32), jax.random.split(key, len(inputs))
        )  # [B, L, G + 1, 3]
        taken = jnp.take_along_axis(logs, throws[..., None, None], 3)[..., 0]
        own = jnp.take_along_axis(taken, known[:, None, None], 2)[..., 0]
        both = (
            -jnp.stack([(own * counts).sum(), (taken[..., -1] * counts).sum()])
            / counts.sum()
        )
        return both.sum(), both


def _learned(net: Net) -> Any:
    """Return True for each trained array: all except the scales of inputs."""
    every = jax.tree.map(eqx.is_array, net)
    return eqx.tree_at(lambda n: (n.mean, n.scale), every, (False, False))


def save(model: Programs, path: Path) -> None:
    """Write the arrays of a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    eqx.tree_serialise_leaves(path, model)


def load(path: Path, programs: int, settings: Settings) -> Programs:
    """Return the model that `save` wrote."""
    net = Net(
        programs,
        width=settings.width,
        hidden=settings.hidden,
        key=jax.random.key(0),
    )
    return eqx.tree_deserialise_leaves(
        path, Programs.create(net, np.zeros((THROWS, programs, 3)))
    )
