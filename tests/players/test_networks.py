"""Players from Stable-Baselines3 and PyTorch, with stand-ins of their interfaces."""

import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.players.callback import Call

WEIGHTS = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
OBS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
LEGAL = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def answer(player, obs=OBS, memory=None):
    """Return what a player's function answers to three rows, checked."""
    if memory is None:
        memory = jax.tree.map(lambda x: np.stack([x] * 3), player.memory)
    taken = {"memory": memory} if "memory" in player.rule.extras else {}
    return Call(player.rule, player.name, obs.ndim - 1)(obs, LEGAL, taken)


class Tensor:
    """The methods of a tensor that are used."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.array


# -- Stable-Baselines3 -----------------------------------------------------------------


class Model:
    """`predict` of PPO: the largest score."""

    observation_space = SimpleNamespace(shape=(2,), dtype=np.dtype(np.float32))

    def predict(
        self, observation, state=None, episode_start=None, deterministic=False
    ):
        assert deterministic and observation.dtype == np.float32
        return (observation @ WEIGHTS).argmax(1), None


class MaskableModel(Model):
    """`predict` of MaskablePPO, and the distribution of its policy."""

    def predict(
        self, observation, state=None, episode_start=None, deterministic=False,
        action_masks=None,
    ):  # fmt: skip
        scores = observation @ WEIGHTS
        if action_masks is not None:
            scores = np.where(action_masks, scores, -np.inf)
        return scores.argmax(1), None

    @property
    def policy(self):
        def get_distribution(obs, action_masks=None):
            probs = np.exp(obs @ WEIGHTS) * action_masks
            probs = Tensor(probs / probs.sum(1, keepdims=True))
            return SimpleNamespace(distribution=SimpleNamespace(probs=probs))

        return SimpleNamespace(
            obs_to_tensor=lambda obs: (obs, True),
            get_distribution=get_distribution,
        )


class RecurrentModel(Model):
    """`predict` of RecurrentPPO: the batch is the second axis of its state."""

    def predict(
        self, observation, state=None, episode_start=None, deterministic=False
    ):
        batch = len(observation)
        hidden = np.zeros((1, batch, 2)) if state is None else state[0]
        hidden = np.where(episode_start[None, :, None], 0.0, hidden)
        assert hidden.shape == (1, batch, 2)
        hidden = hidden + observation
        return hidden[0].sum(1).astype(int) % 3, (hidden, hidden)


def test_a_model_of_stable_baselines_acts_as_its_predict():
    player = br.from_sb3(Model())
    assert player.name == "model"
    np.testing.assert_array_equal(answer(player)[0], [0, 1, 1])
    np.testing.assert_array_equal(
        answer(br.from_sb3(MaskableModel()))[0], [0, 0, 1]
    )


def test_a_recurrent_model_keeps_its_state_for_each_seat():
    player = br.from_sb3(RecurrentModel(), name="lstm")
    assert player.memory["state"][0].shape == (1, 2)
    action, memory = answer(player)
    np.testing.assert_array_equal(action, [1, 1, 2])
    action, memory = answer(player, memory=memory)
    np.testing.assert_array_equal(action, [2, 2, 1])
    np.testing.assert_array_equal(memory["state"][0][:, 0], 2 * OBS)


def test_a_model_may_state_its_distribution():
    probs, _ = answer(br.from_sb3(MaskableModel(), distribution=True))
    scores = np.exp(OBS @ WEIGHTS) * LEGAL
    np.testing.assert_allclose(
        probs, scores / scores.sum(1)[:, None], rtol=1e-5
    )
    for model in (Model(), RecurrentModel()):
        with pytest.raises(ValueError, match="expected distribution=False"):
            br.from_sb3(model, distribution=True)


def test_a_view_gives_a_network_the_observations_that_it_takes():
    wide = np.concatenate([OBS, np.ones((3, 4), np.float32)], 1)
    with pytest.raises(
        ValueError, match=r"'model': observations of shape \(6,\)"
    ):
        answer(br.from_sb3(Model()), wide)
    player = br.from_sb3(Model(), view=lambda obs: obs[:, :2])
    np.testing.assert_array_equal(answer(player, wide)[0], [0, 1, 1])
    # Equal sizes are reshaped.
    player = br.from_sb3(Model())
    np.testing.assert_array_equal(answer(player, OBS[:, None])[0], [0, 1, 1])


def test_what_is_no_model_is_refused():
    spaces = SimpleNamespace(predict=len, observation_space=SimpleNamespace())
    for model in (object(), spaces):
        with pytest.raises(ValueError, match="expected a model of Stable-Bas"):
            br.from_sb3(model)


# -- PyTorch ---------------------------------------------------------------------------


class NoGradients:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def torch(monkeypatch):
    stand_in = SimpleNamespace(
        as_tensor=lambda array, device=None: array, inference_mode=NoGradients
    )
    monkeypatch.setitem(sys.modules, "torch", stand_in)


def linear(obs):
    assert obs.dtype == np.float32 and obs.flags.writeable
    return Tensor(obs @ WEIGHTS)


def test_a_module_scores_the_legal_actions(torch):
    player = br.from_torch(linear)
    np.testing.assert_array_equal(answer(player)[0], [0, 0, 1])
    probs, _ = answer(br.from_torch(linear, distribution=True, name="soft"))
    scores = np.exp(OBS @ WEIGHTS) * LEGAL
    np.testing.assert_allclose(
        probs, scores / scores.sum(1)[:, None], rtol=1e-5
    )
    chosen = br.from_torch(lambda obs: Tensor(np.array([2, 0, 1])))
    np.testing.assert_array_equal(answer(chosen)[0], [2, 0, 1])


def test_a_module_with_memory(torch):
    def recurrent(obs, hidden):
        hidden = hidden + obs
        return Tensor(hidden @ WEIGHTS), Tensor(hidden)

    player = br.from_torch(recurrent, memory=np.zeros(2), name="gru")
    memory = np.array([[0, 9], [0, 0], [9, 0]], np.float32)
    action, memory = answer(player, memory=memory)
    np.testing.assert_array_equal(action, [1, 0, 0])
    np.testing.assert_array_equal(memory, [[1, 9], [0, 1], [10, 1]])


def test_wrong_outputs_of_a_module_are_a_sentence(torch):
    for outputs, message in (
        (
            np.zeros((3, 2)),
            r"'net': output of shape \(3, 2\) .*of shape \(3, 3\)",
        ),
        (np.full((3, 3), np.nan), "'net': output .*not NaN"),
        (np.zeros(3), r"output of shape \(3,\) and type float64"),
    ):
        for distribution in (False, True):
            player = br.from_torch(
                lambda obs, outputs=outputs: Tensor(outputs),
                name="net",
                distribution=distribution,
            )
            with pytest.raises(ValueError, match=message):
                answer(player)
    with pytest.raises(ValueError, match=r"expected a torch\.nn\.Module"):
        br.from_torch(3)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        br.from_torch(linear)
