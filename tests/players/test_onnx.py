# pyright: reportMissingImports=false
"""Players from ONNX files, run by onnxruntime."""

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.players.callback import Call

pytestmark = (
    pytest.mark.slow
)  # `make test` does not install onnx and onnxruntime
WEIGHTS = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], np.float32)
OBS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
LEGAL = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def write(path, nodes, inputs, outputs, weights=None):
    """Write a model of nodes (operation, inputs, outputs), its arrays float32 but masks."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def value(name, shape):
        kind = TensorProto.BOOL if name == "action_mask" else TensorProto.FLOAT
        if name == "chosen":
            kind = TensorProto.INT64
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        [
            helper.make_node(operation, taken, given, **settings)
            for operation, taken, given, settings in nodes
        ],
        "policy",
        [value(*pair) for pair in inputs],
        [value(*pair) for pair in outputs],
        [numpy_helper.from_array(WEIGHTS, "w"), *(weights or [])],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def linear(path, batch="batch"):
    nodes = [("MatMul", ["obs", "w"], ["scores"], {})]
    return write(path, nodes, [("obs", [batch, 2])], [("scores", [batch, 3])])


def answer(player, obs=OBS, memory=None):
    if memory is None:
        memory = jax.tree.map(lambda x: np.stack([x] * 3), player.memory)
    taken = {"memory": memory} if "memory" in player.rule.extras else {}
    return Call(player.rule, player.name, obs.ndim - 1)(obs, LEGAL, taken)


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_file_scores_the_legal_actions(tmp_path, batch):
    path = linear(tmp_path / "net.onnx", batch)
    player = br.from_onnx(path)
    assert player.name == "net"
    np.testing.assert_array_equal(answer(player)[0], [0, 0, 1])
    probs, _ = answer(br.from_onnx(path, distribution=True))
    scores = np.exp(OBS @ WEIGHTS) * LEGAL
    np.testing.assert_allclose(
        probs, scores / scores.sum(1)[:, None], rtol=1e-5
    )


def test_a_file_that_takes_masks_and_gives_actions(tmp_path):
    nodes = [
        ("MatMul", ["obs", "w"], ["scores"], {}),
        ("Where", ["action_mask", "scores", "low"], ["allowed"], {}),
        ("ArgMax", ["allowed"], ["chosen"], {"axis": 1, "keepdims": 0}),
    ]
    from onnx import numpy_helper

    path = write(
        tmp_path / "masked.onnx",
        nodes,
        [("obs", ["b", 2]), ("action_mask", ["b", 3])],
        [("chosen", ["b"])],
        [numpy_helper.from_array(np.float32(-9), "low")],
    )
    np.testing.assert_array_equal(answer(br.from_onnx(path))[0], [0, 0, 1])


def test_a_file_with_a_memory_plays(tmp_path):
    nodes = [
        ("Add", ["obs", "hidden"], ["later"], {}),
        ("MatMul", ["later", "w"], ["scores"], {}),
    ]
    path = write(
        tmp_path / "gru.onnx",
        nodes,
        [("obs", ["b", 2]), ("hidden", ["b", 2])],
        [("scores", ["b", 3]), ("later", ["b", 2])],
    )
    player = br.from_onnx(path)
    action, memory = answer(player)
    np.testing.assert_array_equal(action, [0, 0, 1])
    np.testing.assert_array_equal(memory[0], OBS)
    game = br.make_game("matrix(table=rock_paper_scissors, rounds=2)")
    view = br.from_onnx(path, view=lambda obs: obs[:, :2])
    assert "legal" in br.check_player(view, game, episodes=2).kept


def test_wrong_files_are_a_sentence(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match="expected an ONNX model"):
        br.from_onnx(tmp_path / "text.onnx")
    with pytest.raises(FileNotFoundError):
        br.from_onnx(tmp_path / "missing.onnx")
    path = linear(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"observations of shape \(4,\)"):
        answer(br.from_onnx(path), np.ones((3, 4), np.float32))
    nodes = [("Add", ["obs", "hidden"], ["scores"], {})]
    shapes = [("obs", ["b", 2]), ("hidden", ["b", 2])]
    path = write(tmp_path / "half.onnx", nodes, shapes, [("scores", ["b", 2])])
    with pytest.raises(ValueError, match="one for each input of memory"):
        br.from_onnx(path)


def test_a_file_that_names_weights_elsewhere_is_refused(tmp_path, monkeypatch):
    import onnx

    path = linear(tmp_path / "net.onnx")
    onnx.save(
        onnx.load(path),
        tmp_path / "apart.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="expected an ONNX model"):
        br.from_onnx(tmp_path / "apart.onnx")
