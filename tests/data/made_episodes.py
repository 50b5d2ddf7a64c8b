"""A game of shapes without dynamics, and valid random episodes of it, for tests."""

import dataclasses
from typing import Any

import numpy as np

from bestreply.games.base import Game
from bestreply.types import Episodes


@dataclasses.dataclass(frozen=True)
class Toy(Game):
    """A game with the shapes that a dataset needs; it has no dynamics."""

    name = "toy"
    version = 3
    summary = "shapes alone"

    seats: int = 3
    shape: tuple[int, ...] = (2,)
    actions: int = 4
    max_steps: int = 4
    payoffs: tuple[tuple[float, ...], ...] = ((1.0, 0.0), (0.5, -1.0))

    @property
    def num_players(self) -> int:
        return self.seats

    @property
    def action_names(self) -> tuple[str, ...]:
        return tuple(f"A{k}" for k in range(self.actions))

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def goals(self) -> tuple[str, ...]:
        return ("thing", "none")


@dataclasses.dataclass(frozen=True)
class TypedToy(Toy):
    """A toy whose observations are of a type of their own."""

    name = "typed_toy"

    dtype: str = "uint8"

    @property
    def obs_dtype(self) -> np.dtype:
        return np.dtype(self.dtype)


OBS_VALUES = {
    "float32": [0, -0.0, 1, 1 / 3, 3e38, 1e-45, -7],
    "bool": [False, True],
    "uint8": [0, 1, 127, 255],
    "int16": [0, -(2**15), 2**15 - 1],
    "uint32": [0, 1, 2**32 - 1],
}
"""Observation entries of random episodes, by their type."""


def roster(count: int = 3) -> list[dict[str, Any]]:
    return [{"name": f"player_{k}", "version": k} for k in range(count)]


def random_episodes(
    game: Game,
    count: int,
    seed: int,
    players: int = 3,
    steps: int | None = None,
) -> Episodes:
    """Return episodes of random numbers with random leaves; observations continue after the end."""
    rng = np.random.default_rng(seed)
    steps, seats, actions = (
        game.max_steps if steps is None else steps,
        game.num_players,
        game.num_actions,
    )
    whole, step = (count, steps + 1, seats), (count, steps, seats)
    dtype = game.obs_dtype
    obs = rng.choice(
        np.array(OBS_VALUES[dtype.name], dtype), (*whole, *game.obs_shape)
    )
    legal = rng.random((*whole, actions)) < 0.5
    legal[..., 0] |= ~legal.any(-1)
    present, action = np.zeros(whole, bool), np.full(step, -1, np.int32)
    terminated, truncated = np.zeros(step, bool), np.zeros((count, steps), bool)
    length = rng.integers(1, min(steps, game.max_steps) + 1, count).astype(
        np.int32
    )
    for e, last in enumerate(length - 1):
        cut = rng.random() < 0.5
        truncated[e, last] = cut
        stays = rng.integers(seats)
        for s in range(seats):
            leaves = (
                last
                if s == stays or rng.random() < 0.5
                else rng.integers(last + 1)
            )
            terminated[e, leaves, s] = (
                leaves < last or not cut or (s != stays and rng.random() < 0.3)
            )
            present[e, : leaves + 1, s] = True
            present[e, leaves + 1, s] = not terminated[e, leaves, s]
            for t in range(leaves + 1):
                action[e, t, s] = rng.choice(np.flatnonzero(legal[e, t, s]))
    acted = action != -1
    prob = rng.random(step, dtype=np.float32) * 0.99 + np.float32(0.01)
    return Episodes(
        obs=obs,
        legal=legal,
        present=present,
        action=action,
        prob=np.where(rng.random(step) < 0.3, np.nan, prob).astype(np.float32),
        reward=np.where(acted, rng.normal(size=step), 0).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        length=length,
        player=rng.integers(0, players, (count, seats)).astype(np.int32),
        goal=np.where(
            acted, rng.integers(-1, len(game.goals), step), -1
        ).astype(np.int32),
        goal_source=np.where(acted, rng.integers(0, 3, step), 0).astype(
            np.int8
        ),
    )


def assert_same_play(loaded: Episodes, expected: Episodes) -> None:
    """Assert that all transitions are equal bit for bit; `loaded` can have more padding."""
    count, steps = expected.action.shape[:2]
    assert np.array_equal(loaded.length, expected.length) and np.array_equal(
        loaded.player, expected.player
    )
    assert not loaded.acted[:, steps:].any() and np.array_equal(
        loaded.acted[:, :steps], expected.acted
    )
    acted = np.asarray(expected.acted)
    for name in (
        "action",
        "prob",
        "reward",
        "terminated",
        "goal",
        "goal_source",
    ):
        _assert_bits(
            getattr(loaded, name)[:, :steps][acted],
            getattr(expected, name)[acted],
            name,
        )
    for name in ("obs", "legal", "present"):
        a, b = getattr(loaded, name), getattr(expected, name)
        _assert_bits(a[:, :steps][acted], b[:, :-1][acted], name)
        _assert_bits(
            a[:, 1 : steps + 1][acted],
            b[:, 1:][acted],
            f"{name} of the next step",
        )
    for e in range(count):
        assert np.array_equal(
            loaded.truncated[e, : expected.length[e]],
            expected.truncated[e, : expected.length[e]],
        )


def _assert_bits(loaded: np.ndarray, expected: np.ndarray, name: str) -> None:
    assert loaded.dtype == expected.dtype and loaded.shape == expected.shape, (
        name
    )
    both_nan = (loaded != loaded) & (expected != expected)
    same = (
        loaded.view(np.uint32) == expected.view(np.uint32)
        if loaded.dtype == np.float32
        else loaded == expected
    )
    assert (same | both_nan).all(), name
