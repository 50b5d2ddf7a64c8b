# pyright: reportMissingImports=false
"""Datasets of Minari, of one agent or several, in each of its formats; Minari is not needed."""

import json
from pathlib import Path

import numpy as np
import pytest
from minari_folder import write_minari

import bestreply as br
from bestreply.data.importing import import_file


def change(folder: Path, **facts: object) -> None:
    path = folder / "data" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_several_agents_by_convention(tmp_path):
    folder = write_minari(tmp_path / "ours-v0")
    store = import_file(folder, players=["x", "y"], out=tmp_path / "data")
    assert br.validate(store.path) == []
    game, episodes = store.game(), store.episodes()
    assert game.roles == ("a", "b") and game.seat_actions == (2, 3)
    assert [p["name"] for p in store.roster] == ["x", "y"]
    assert episodes.reward[0, :, 0].tolist() == [1, 2, 3, 4]
    assert episodes.reward[0, :, 1].tolist() == [-1, -2, -3, -4]
    assert episodes.truncated[0, -1] and episodes.terminated[1:, -1].all()
    assert episodes.action.min() == 0 and episodes.action[..., 0].max() <= 1
    assert (episodes.obs[0, 4] != 0).any()  # the observation reached


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"total_episodes": 10**12}, "total_episodes=1000000000000: expected"),
        ({"total_episodes": 4}, "No such file"),
        ({"observation_space": "[["}, "expected JSON"),
        (
            {
                "observation_space": json.dumps(
                    {"type": "Box", "dtype": "uint8", "shape": [9, 9, 3]}
                )
            },
            "jpeg_encoding=True: expected images",
        ),
        ({"action_space": json.dumps({"n": 2})}, None),
    ],
)
def test_other_metadata(tmp_path, facts, message):
    folder = write_minari(tmp_path / "ours-v0")
    change(folder, **facts)
    if message is None:
        assert import_file(folder, out=tmp_path / "data").manifest.episodes == 3
        return
    with pytest.raises((ValueError, OSError), match=message):
        import_file(folder, out=tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", ["hdf5", "arrow", "parquet"])
def test_what_minari_writes(tmp_path, monkeypatch, form):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    import gymnasium as gym
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    rng = np.random.default_rng(0)
    observations = [rng.normal(size=(5, 2, 2)).astype("f4") for _ in range(3)]
    buffers = [
        EpisodeBuffer(
            id=k,
            observations=obs,
            actions=np.array([0, 1, 0, 1]),
            rewards=np.arange(4.0),
            terminations=[False] * 3 + [k > 0],
            truncations=[False] * 3 + [k == 0],
            infos={},
        )
        for k, obs in enumerate(observations)
    ]
    minari.create_dataset_from_buffers(
        "ours-v0",
        buffers,
        observation_space=gym.spaces.Box(-9, 9, (2, 2), np.float32),
        action_space=gym.spaces.Discrete(2),
        data_format=form,
    )
    store = import_file(tmp_path / "ours-v0", out=tmp_path / "data")
    assert br.validate(store.path) == [] and store.game().obs_shape == (2, 2)
    np.testing.assert_array_equal(
        store.episodes().obs[:, :, 0], np.stack(observations)
    )


@pytest.mark.slow
def test_an_hdf5_file_that_leads_elsewhere_is_refused(tmp_path):
    import h5py

    folder = tmp_path / "ours-v0" / "data"
    folder.mkdir(parents=True)
    facts = {"total_episodes": 1, "data_format": "hdf5"}
    (folder / "metadata.json").write_text(json.dumps(facts))
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group["actions"] = h5py.ExternalLink("/etc/hostname", "x")
    with pytest.raises(ValueError, match="no link to another place"):
        import_file(tmp_path / "ours-v0", out=tmp_path / "data")
    (folder / "main_data.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="expected a whole HDF5 file"):
        import_file(tmp_path / "ours-v0", out=tmp_path / "data")
