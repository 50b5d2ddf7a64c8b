"""A dataset is loaded without copies, in memory or in mapped files, with the same content."""

import dataclasses
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from bestreply.config import TrainConfig
from bestreply.data import rows
from bestreply.data.store import Store, create_store
from bestreply.replay import blocks, loading
from bestreply.replay.blocks import in_blocks
from bestreply.replay.loading import Loaded, load
from bestreply.replay.moa_buffer import (
    Index,
    all_indices,
    fill,
    filled,
    gather,
    gather_window,
)
from bestreply.train import held_out_episodes, split_episodes
from bestreply.training import state
from bestreply.types import Episodes, PackedObs, obs_at, pack_bits
from bestreply.utils.big_arrays import ALIGNMENT, new_array
from tests.data.made_episodes import Toy, TypedToy, random_episodes, roster

SHAPE = (3, 3, 4)
"""36 entries, of which those of the last plane are no bits."""
BINARY = np.broadcast_to(np.arange(4) < 3, SHAPE)
GAME = Toy(seats=3, shape=SHAPE, actions=4, max_steps=5)
COUNT = 40


def store_of(path: Path, episodes: Episodes, game: Toy = GAME) -> Store:
    written = create_store(path, game, roster())
    for part, begin in enumerate(range(0, COUNT, COUNT // 2)):
        span = slice(begin, begin + COUNT // 2)
        written.append(
            jax.tree.map(lambda x, at=span: x[at], episodes), seed=part
        )
    return written


def with_planes(episodes: Episodes) -> Episodes:
    """Return the episodes with 0/1 in the entries of BINARY."""
    obs = np.where(BINARY, episodes.obs > 0, episodes.obs)
    return dataclasses.replace(episodes, obs=obs.astype(np.float32))


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(rows, "CHUNK_VALUES", 7 * 5 * 3 * 36)  # 7 episodes
    episodes = with_planes(random_episodes(GAME, COUNT, 0))
    return store_of(tmp_path / "grid", episodes)


def loaded_from(
    store: Store, binary: np.ndarray = BINARY, most: int = COUNT
) -> Loaded:
    held_out = held_out_episodes(COUNT, 0.2, 0)
    return load(store, binary, held_out, most, store.path)


def plain(episodes: Episodes) -> Episodes:
    """Return the episodes with whole observations."""
    obs = episodes.obs
    whole = obs[:] if isinstance(obs, PackedObs) else obs
    return dataclasses.replace(episodes, obs=whole)


def assert_equal(one: object, other: object) -> None:
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    for x, y in leaves:
        x, y = np.asarray(x), np.asarray(y)
        assert x.dtype == y.dtype and x.shape == y.shape
        assert x.tobytes() == y.tobytes()


def test_episodes_are_those_of_the_dataset_split_and_padded(
    grid: Store,
) -> None:
    loaded = loaded_from(grid)
    training, held_out = split_episodes(grid.episodes(), 0.2, 0)
    assert isinstance(loaded.training.obs, PackedObs)
    assert loaded.filled == len(training.length) == COUNT - len(held_out.length)
    padded = fill(training, capacity=COUNT).episodes
    assert_equal(plain(loaded.training), padded)
    assert_equal(plain(loaded.held_out), held_out)


def test_mapped_files_hold_the_same_and_leave_nothing(
    grid: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = loaded_from(grid)
    before = sorted(grid.path.iterdir())
    monkeypatch.setattr(loading, "MEMORY_FRACTION", 0.0)
    folders = []

    def watched(*args: object) -> np.ndarray:
        folders.append(args[-1])
        return new_array(*args)

    monkeypatch.setattr(loading, "new_array", watched)
    mapped = loaded_from(grid)
    assert set(folders) == {grid.path}
    assert_equal(mapped, in_memory)
    assert sorted(grid.path.iterdir()) == before


@pytest.mark.parametrize("where", ["memory", "file"])
def test_compiled_programs_read_arrays_in_place(
    tmp_path: Path, where: str
) -> None:
    folder = tmp_path if where == "file" else None
    array = new_array((1000, 7), np.dtype(np.uint8), folder)
    assert not array.any() and array.ctypes.data % ALIGNMENT == 0
    array[:] = 3
    on_device = jax.device_put(array)
    assert on_device.unsafe_buffer_pointer() == array.ctypes.data
    assert new_array((0, 7), np.dtype(bool), folder).shape == (0, 7)


def test_transitions_of_bits_are_those_of_whole_observations(
    grid: Store,
) -> None:
    packed = loaded_from(grid)
    whole = loaded_from(grid, np.zeros(SHAPE, bool))
    assert isinstance(whole.training.obs, np.ndarray)
    size = [
        sum(x.nbytes for x in jax.tree.leaves(loaded.training.obs))
        for loaded in (packed, whole)
    ]
    assert 2 * size[0] <= size[1]
    index = all_indices(whole.training)
    steps = [
        (gather(buffer, index), gather_window(buffer, index, 3))
        for buffer in (filled(x.training, x.filled) for x in (packed, whole))
    ]
    assert_equal(*steps)


def test_observations_that_are_not_binary_are_kept_whole(
    tmp_path: Path,
) -> None:
    episodes = with_planes(random_episodes(GAME, COUNT, 0))
    last = episodes.length[-1] - 1
    seat = np.flatnonzero(episodes.action[-1, last] != -1)[0]
    obs = episodes.obs.copy()
    obs[-1, last, seat, 0, 0, 0] = 0.5
    written = store_of(tmp_path, dataclasses.replace(episodes, obs=obs))
    loaded = loaded_from(written)
    assert isinstance(loaded.training.obs, np.ndarray)
    training, _ = split_episodes(written.episodes(), 0.2, 0)
    assert_equal(loaded.training, fill(training, capacity=COUNT).episodes)


def test_bits_hold_zeros_and_ones_alone() -> None:
    ones = np.ones(3, bool)
    for value in (-0.0, 0.5, 2.0, np.nan):
        obs = np.array([[0, 1, value]], np.float32)
        assert pack_bits(obs, ones) is None
    found = pack_bits(np.array([[0, 1, 1]], np.uint8), ones)
    assert found is not None
    bits, rest = found
    assert bits.tolist() == [[0b01100000]] and rest.shape == (1, 0)


def test_the_type_of_a_game_reaches_the_buffer_and_networks_get_floats(
    tmp_path: Path,
) -> None:
    game = TypedToy(seats=3, shape=SHAPE, actions=4, max_steps=5)
    written = store_of(tmp_path, random_episodes(game, COUNT, 0), game)
    loaded = loaded_from(written, np.zeros(SHAPE, bool))
    assert loaded.training.obs.dtype == np.uint8
    buffer = filled(loaded.training, loaded.filled)
    assert buffer.episodes.obs.dtype == np.uint8
    index = all_indices(loaded.training)
    steps = gather(buffer, index)
    assert steps.obs.dtype == steps.next_obs.dtype == np.float32
    expected = loaded.training.obs[tuple(index)]
    assert np.array_equal(np.asarray(steps.obs), expected)


def test_packed_observations_are_indexed_as_arrays_are() -> None:
    rng = np.random.default_rng(0)
    whole = rng.random((4, 5, *SHAPE)).astype(np.float32)
    whole = np.where(BINARY, whole > 0.5, whole).astype(np.float32)
    parts = pack_bits(whole.reshape(20, -1), BINARY.reshape(-1))
    assert parts is not None
    mask = BINARY.astype(np.uint8).tobytes()
    lead = (4, 5)
    bits, rest = (x.reshape(*lead, -1) for x in parts)
    packed = PackedObs(bits, rest, mask, SHAPE)
    assert packed.shape == whole.shape and packed.dtype == whole.dtype
    rows_at = np.array([0, 3, 3])
    for at in (1, slice(-1), (rows_at, rows_at), (slice(1, 3), rows_at)):
        assert_equal(packed[at], whole[at])
        assert_equal(obs_at(packed, at), whole[at])


def test_few_held_out_episodes_are_read(grid: Store) -> None:
    few, all_of_them = loaded_from(grid, most=3), loaded_from(grid)
    assert len(few.held_out.length) == 3 < len(all_of_them.held_out.length)
    first = jax.tree.map(lambda x: x[:3], all_of_them.held_out)
    assert_equal(few.held_out, first)
    assert_equal(few.training, all_of_them.training)


# -- what does not fit -----------------------------------------------------------------


def test_data_that_fit_nowhere_are_refused_before_they_are_read(
    grid: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "free_memory", lambda: 40_000)
    free = 10_000 + loading.DISK_MARGIN
    monkeypatch.setattr(loading, "free_disk", lambda folder: free)
    monkeypatch.setattr(grid, "tables", None)
    with pytest.raises(ValueError, match=r"episodes=40: expected at most \d+:"):
        loaded_from(grid)


def test_data_too_large_for_a_device_are_refused(
    grid: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "free_device_memory", lambda: 20_000)
    with pytest.raises(ValueError, match="JAX_PLATFORMS=cpu"):
        loaded_from(grid)


# -- computed in pieces ----------------------------------------------------------------


def test_functions_of_episodes_are_the_same_in_blocks(
    grid: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = loaded_from(grid).training
    sizes = []

    def function(x: Episodes) -> dict[str, object]:
        sizes.append(len(x.length))
        total = np.asarray(x.obs[:]).max((1, 2))
        return {"total": total, "nothing": None}

    whole = function(episodes)
    for size in (7, 20):
        monkeypatch.setattr(blocks, "BLOCK", size)
        sizes.clear()
        assert_equal(in_blocks(function, episodes), whole)
        assert set(sizes) == {size} and len(sizes) == -(-COUNT // size)


def test_returns_are_the_same_in_pieces(
    grid: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = grid.episodes()
    index: Index = all_indices(episodes)
    whole = state._returns_to_the_end(TrainConfig(), episodes, index)
    expected = []
    gamma = TrainConfig().gamma
    for row, t, seat in itertools.islice(zip(*index, strict=True), 50):
        rewards = episodes.reward[row, t:, seat]
        expected.append((rewards * gamma ** np.arange(len(rewards))).sum())
    assert np.allclose(whole[:50], expected, atol=1e-5)
    monkeypatch.setattr(state, "STEPS_AT_ONCE", 64)
    pieces = state._returns_to_the_end(TrainConfig(), episodes, index)
    assert_equal(pieces, whole)
