# pyright: reportMissingImports=false
"""Vaults of flashbax, as OG-MARL writes them; flashbax itself is not needed."""

import json
from pathlib import Path

import numpy as np
import pytest

import bestreply as br
from bestreply.data.importing import import_file

STEPS, N, A = 12, 2, 3
RNG = np.random.default_rng(0)
LEAVES = {
    "observations": RNG.normal(size=(1, STEPS, N, 4)).astype("f4"),
    "actions": RNG.integers(0, A, (1, STEPS, N)).astype("i4"),
    "rewards": RNG.normal(size=(1, STEPS, N)).astype("f4"),
    "terminals": np.repeat(np.arange(STEPS) % 4 == 3, N).reshape(1, STEPS, N),
    "truncations": np.zeros((1, STEPS, N), bool),
    "infos.legals": np.ones((1, STEPS, N, A), bool),
}


def write_vault(folder: Path, index: int = STEPS) -> Path:
    """Write the layout of flashbax's vault.py: zarr arrays in an OCDBT store."""
    import tensorstore

    def write(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
        base = {"driver": "ocdbt", "base": f"file://{folder}/", "path": name}
        store = tensorstore.open(
            {"driver": "zarr", "kvstore": base},
            create=True,
            shape=shape,
            dtype=values.dtype,
        ).result()
        place = [slice(size) for size in values.shape]
        store[tuple(place)].write(values).result()

    folder.mkdir(parents=True)
    shapes: dict = {"infos": {}}
    for name, values in LEAVES.items():
        whole = (values.shape[0], 10**9, *values.shape[2:])
        write(f"{name}.", values, whole)
        text = str((values.shape[0], 20, *values.shape[2:]))
        parent = shapes["infos"] if "." in name else shapes
        parent[name.rpartition(".")[2]] = text
    write("vault_index", np.array([index], "i4"), (1,))
    facts = {"version": 1.2, "structure_shape": shapes}
    (folder / "metadata.json").write_text(json.dumps(facts))
    return folder


@pytest.mark.slow
def test_a_vault(tmp_path, capsys):
    folder = write_vault(tmp_path / "3m.vlt" / "Good")
    store = import_file(folder, out=tmp_path / "data")
    assert br.validate(store.path) == [] and store.game().num_actions == A
    episodes = store.episodes()
    assert episodes.length.tolist() == [4, 4, 4]
    np.testing.assert_array_equal(
        episodes.action.reshape(-1, N), LEAVES["actions"][0]
    )
    with pytest.raises(ValueError, match=r"such as .*Good"):
        import_file(folder.parent)


@pytest.mark.slow
def test_a_vault_that_says_what_it_does_not_hold(tmp_path):
    late = write_vault(tmp_path / "late", index=2**31 - 1)
    with pytest.raises(ValueError, match="vault_index=2147483647: expected"):
        import_file(late, out=tmp_path / "data")
    folder = write_vault(tmp_path / "good")
    path = folder / "metadata.json"
    facts = json.loads(path.read_text())
    changes = {
        "(9, 20, 2)": r"actions\. of shape|actions of shape",
        "__import__('os')": "expected one such as",
    }
    for text, message in changes.items():
        facts["structure_shape"]["actions"] = text
        path.write_text(json.dumps(facts))
        with pytest.raises(ValueError, match=message):
            import_file(folder, out=tmp_path / "data")
    del facts["structure_shape"]["actions"]
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="expected one of actions, action"):
        import_file(folder, out=tmp_path / "data")
    assert not (tmp_path / "data").exists()
