"""Checkpoints: round trips, the newest few kept; what is damaged or of something else is refused, and nothing is run."""

import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.utils.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)

TREE = {
    "a": jnp.arange(6.0).reshape(2, 3),
    "b": (jnp.int32(7), jnp.array([True, False])),
    "c": None,
}


def test_round_trip_bit_by_bit(tmp_path):
    tree = TREE | {
        "nan": jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45], jnp.float32)
    }
    save_checkpoint(tmp_path, 5, tree)
    like = {
        "a": jnp.zeros((2, 3)),
        "b": (jnp.int32(0), jnp.zeros(2, bool)),
        "c": None,
        "nan": jnp.zeros(4),
    }
    step, found = load_checkpoint(tmp_path, like)
    assert step == 5 and found["c"] is None and isinstance(found["b"], tuple)
    for x, y in (
        (found["a"], tree["a"]),
        (found["b"][0], tree["b"][0]),
        (found["b"][1], tree["b"][1]),
    ):
        assert x.dtype == y.dtype and np.array_equal(x, y)
    assert (
        np.asarray(found["nan"]).view(np.uint32).tolist()
        == np.asarray(tree["nan"]).view(np.uint32).tolist()
    )


def test_the_newest_are_kept(tmp_path):
    for step in (10, 20, 30, 40):
        save_checkpoint(tmp_path, step, {"a": jnp.int32(step)}, keep=2)
    assert list_checkpoints(tmp_path) == [30, 40]
    assert load_checkpoint(tmp_path, {"a": jnp.int32(0)}) == (40, {"a": 40})
    assert load_checkpoint(tmp_path, {"a": jnp.int32(0)}, step=30) == (
        30,
        {"a": 30},
    )


def test_the_same_step_again_takes_the_place(tmp_path):
    for value in (1, 2):
        save_checkpoint(tmp_path, 10, {"a": jnp.int32(value)})
    assert load_checkpoint(tmp_path, {"a": jnp.int32(0)})[1]["a"] == 2


def test_none_there(tmp_path):
    assert list_checkpoints(tmp_path / "nowhere") == []
    with pytest.raises(FileNotFoundError, match="there are: none"):
        load_checkpoint(tmp_path / "nowhere", TREE)
    save_checkpoint(tmp_path, 3, TREE)
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint 4 in .*; there are: \[3\]"
    ):
        load_checkpoint(tmp_path, TREE, step=4)


def test_half_a_checkpoint_is_none(tmp_path):
    """What a killed process leaves: a folder under another name."""
    save_checkpoint(tmp_path, 3, TREE)
    (tmp_path / "000000009.orbax-checkpoint-tmp").mkdir()
    assert list_checkpoints(tmp_path) == [3]


@pytest.mark.parametrize(
    "like",
    [
        {
            "a": jnp.zeros((3, 2)),
            "b": (jnp.int32(0), jnp.zeros(2, bool)),
        },  # another shape
        {"a": jnp.zeros((2, 3))},  # fewer
        {
            "a": jnp.zeros((2, 3)),
            "b": (jnp.int32(0), jnp.zeros(2, bool), jnp.zeros(1)),
        },  # more
    ],
    ids=["shape", "fewer", "more"],
)
def test_a_foreign_one_is_refused(tmp_path, like):
    save_checkpoint(tmp_path, 3, TREE)
    with pytest.raises(
        ValueError, match=r"000000003.*(does not fit|has shape|wants)"
    ):
        load_checkpoint(tmp_path, like)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of Orbax's threads, after its error
@pytest.mark.parametrize("how", ["truncated", "garbage", "removed"])
def test_a_damaged_one_is_refused_whatever_file_it_is(tmp_path, how):
    """Each file of a checkpoint in turn: an error that says so, or (a file that nothing is read from) the true arrays."""
    tree = {"a": jnp.arange(3000.0), "b": jnp.int32(7)}
    path = save_checkpoint(tmp_path / "whole", 3, tree)
    files = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    refused = 0
    for k, name in enumerate(files):
        copy = save_checkpoint(tmp_path / str(k), 3, tree) / name
        if (
            not copy.exists()
        ):  # data files go by names of their own in every checkpoint
            copy = max(
                (p for p in copy.parent.rglob("*") if p.is_file()),
                key=lambda p: p.stat().st_size,
            )
        data = copy.read_bytes()
        if how == "removed":
            copy.unlink()
        else:
            copy.write_bytes(
                data[: len(data) // 2]
                if how == "truncated"
                else b"\x80\x04cos\nsystem\n" + data[12:]
            )
        try:
            _, found = load_checkpoint(
                tmp_path / str(k), {"a": jnp.zeros(3000), "b": jnp.int32(0)}
            )
        except ValueError as error:
            assert "is damaged" in str(
                error
            ) and "Expected: a checkpoint written with" in str(error)
            refused += 1
        else:
            assert np.array_equal(found["a"], tree["a"]) and found["b"] == 7, (
                name
            )
    assert refused >= 2
