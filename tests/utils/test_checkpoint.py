"""Checkpoints: bits round trip, the newest are kept, damage falls back to an older one, and nothing is run."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.utils.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)

TREE = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": (np.int32(7), np.array([True, False])),
    "c": None,
}


def test_round_trip_bit_by_bit(tmp_path):
    odd = np.array([np.nan, -0.0, np.inf, 1e-45], np.float32)
    tree = TREE | {"odd": odd, "empty": np.zeros((0, 3), np.float32)}
    save_checkpoint(tmp_path, 5, tree)
    step, restored = load_checkpoint(tmp_path, tree)
    assert step == 5
    assert jax.tree.structure(restored) == jax.tree.structure(tree)
    pairs = zip(jax.tree.leaves(restored), jax.tree.leaves(tree), strict=True)
    for x, y in pairs:
        assert x.dtype == y.dtype and np.asarray(x).tobytes() == y.tobytes()


def test_shapes_alone_are_enough_to_read_into(tmp_path):
    save_checkpoint(tmp_path, 1, TREE)
    like = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, TREE))
    assert np.array_equal(load_checkpoint(tmp_path, like)[1]["a"], TREE["a"])


def test_a_strided_array_is_stored_in_order(tmp_path):
    turned = np.arange(6.0, dtype=np.float32).reshape(2, 3).T
    save_checkpoint(tmp_path, 1, {"a": turned})
    assert np.array_equal(
        load_checkpoint(tmp_path, {"a": turned})[1]["a"], turned
    )


def test_the_newest_are_kept(tmp_path):
    for step in (10, 20, 30, 40):
        save_checkpoint(tmp_path, step, {"a": np.int32(step)}, keep=2)
    assert list_checkpoints(tmp_path) == [30, 40]
    assert load_checkpoint(tmp_path, {"a": np.int32(0)}) == (40, {"a": 40})
    assert load_checkpoint(tmp_path, {"a": np.int32(0)}, step=30) == (
        30,
        {"a": 30},
    )


def test_the_same_step_again_replaces_the_file(tmp_path):
    for value in (1, 2):
        save_checkpoint(tmp_path, 10, {"a": np.int32(value)})
    assert load_checkpoint(tmp_path, {"a": np.int32(0)})[1]["a"] == 2


def test_equal_trees_give_equal_bytes(tmp_path):
    one = save_checkpoint(tmp_path / "one", 1, TREE)
    two = save_checkpoint(tmp_path / "two", 1, TREE)
    assert one.read_bytes() == two.read_bytes()


def test_a_missing_checkpoint_is_named(tmp_path):
    assert list_checkpoints(tmp_path / "nowhere") == []
    with pytest.raises(
        FileNotFoundError, match="expected a checkpoint; there is none"
    ):
        load_checkpoint(tmp_path / "nowhere", TREE)
    save_checkpoint(tmp_path, 3, TREE)
    with pytest.raises(
        FileNotFoundError, match=r"expected checkpoint 4; it has: \[3\]"
    ):
        load_checkpoint(tmp_path, TREE, step=4)


def test_half_a_checkpoint_is_none(tmp_path):
    """A killed process leaves a file under a temporary name."""
    path = save_checkpoint(tmp_path, 3, TREE)
    path.with_name(".000000009.safetensors.1234.tmp").write_bytes(b"half")
    assert list_checkpoints(tmp_path) == [3]


@pytest.mark.parametrize(
    ("like", "why"),
    [
        (TREE | {"a": np.zeros((3, 2), np.float32)}, r"float32\(2, 3\), not"),
        (TREE | {"a": np.zeros((2, 3), np.int32)}, "not int32"),
        ({"a": TREE["a"]}, "3 arrays of 1"),
        (TREE | {"c": np.zeros(1, np.float32)}, "3 arrays of 4"),
    ],
    ids=["shape", "type", "fewer", "more"],
)
def test_arrays_of_another_configuration_are_refused(tmp_path, like, why):
    save_checkpoint(tmp_path, 3, TREE)
    with pytest.raises(ValueError, match=f"(?s)000000003.*{why}.*same game"):
        load_checkpoint(tmp_path, like)


def test_a_file_far_larger_than_expected_is_not_read(tmp_path):
    path = save_checkpoint(tmp_path, 3, TREE)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ValueError, match="bytes of"):
        load_checkpoint(tmp_path, TREE)


def test_every_bit_flip_is_noticed(tmp_path):
    path = save_checkpoint(tmp_path, 3, TREE)
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 7):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=str(path)):
            load_checkpoint(tmp_path, TREE)


@pytest.mark.parametrize(
    "damage", ["truncated", "pickle", "empty", "huge header"]
)
def test_damage_falls_back_to_an_older_checkpoint(tmp_path, damage, capsys):
    save_checkpoint(tmp_path, 3, TREE)
    path = save_checkpoint(
        tmp_path, 4, TREE | {"b": (np.int32(8), TREE["b"][1])}
    )
    data = path.read_bytes()
    contents = {
        "truncated": data[: len(data) // 2],
        "pickle": b"\x80\x04cos\nsystem\n" + data[12:],
        "empty": b"",
        "huge header": (1 << 40).to_bytes(8, "little") + data[8:],
    }
    path.write_bytes(contents[damage])
    step, tree = load_checkpoint(tmp_path, TREE)
    assert step == 3 and tree["b"][0] == 7
    shown = " ".join(capsys.readouterr().err.split())
    assert "damaged" in shown and "Checkpoint 3 is used instead" in shown
    with pytest.raises(ValueError, match=r"damaged.*Train the run again"):
        load_checkpoint(tmp_path, TREE, step=4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "000000009.safetensors")
    with pytest.raises(ValueError, match="expected a regular file"):
        load_checkpoint(tmp_path, TREE)
