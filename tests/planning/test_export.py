"""An exported agent plans as the agent does, without this library; what is damaged or hostile is refused."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.cli import main
from bestreply.config import preset
from bestreply.opponents.base import UniformOpponents
from bestreply.pipeline import resolve
from bestreply.planning.agent import Agent
from bestreply.planning.container import read_container, write_container
from bestreply.planning.export import PLAN_FIELDS, export_agent
from bestreply.run import Run
from bestreply.training.state import initial_train_state
from tests.planning.test_one_step import (
    CONFIG,
    EXACT,
    GAME,
    GAMMA,
    LEGAL,
    planning_agent,
)
from tests.shared import build

STEPS = 4
DRAWN = dataclasses.replace(EXACT, joint_limit=1, samples=4)
PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.fixture(scope="module")
def agent():
    return planning_agent(DRAWN)


@pytest.fixture(scope="module")
def seen():
    rng = np.random.default_rng(0)
    obs = rng.random((STEPS, *GAME.obs_shape)).astype(np.float32)
    return obs, rng.integers(0, GAME.num_actions, (STEPS, GAME.num_players - 1))


@pytest.fixture(scope="module")
def file(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "agent.bestreply"
    return export_agent(agent, path, {"game": "a game"})


@pytest.fixture(scope="module")
def opened(file):
    return br.load_export(file)


def test_it_plans_as_the_agent_does(agent, opened, seen):
    for obs in seen[0]:
        ours, theirs = agent.plan(obs, LEGAL), opened.plan(obs, LEGAL)
        for name in (*PLAN_FIELDS, "belief"):
            np.testing.assert_array_equal(
                getattr(ours, name), getattr(theirs, name)
            )
    assert opened.actions == GAME.action_names


def test_a_batch_is_planned_as_each_of_it(opened, seen):
    for count in (1, STEPS):
        legal = np.tile(LEGAL, (count, 1))
        many = opened.plan(seen[0][:count], legal)
        for k in range(count):
            one = opened.plan(seen[0][k], LEGAL)
            np.testing.assert_allclose(
                many.scores[k], one.scores, rtol=1e-4, atol=1e-6
            )
            assert many.action[k] == one.action


def test_a_belief_that_is_given_counts(agent, opened, seen):
    belief = np.eye(3, dtype=np.float32)[[0] * (GAME.num_players - 1)]
    ours = agent.plan(seen[0][0], LEGAL, belief=belief)
    theirs = opened.plan(seen[0][0], LEGAL, belief=belief)
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert np.abs(theirs.scores - opened.plan(seen[0][0], LEGAL).scores)[
        LEGAL
    ].any()


def test_steps_are_those_of_a_session(agent, opened, seen):
    session, state, last = agent.session(seed=7), opened.start(), None
    plan = opened.plan(seen[0][0], LEGAL)
    for t, (obs, others) in enumerate(zip(*seen, strict=True)):
        expected = session.act(obs, LEGAL)
        state, action, plan = opened.act(
            state, obs, LEGAL, others=last, seed=7, step=t + 1
        )
        assert action == expected
        np.testing.assert_allclose(
            plan.scores, session.plan.scores, rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(plan.belief, session.plan.belief, atol=1e-5)
        session.observe(others)
        last = others
    assert np.abs(plan.belief - opened.start()["state.at.belief"]).max() > 1e-4
    renewed = opened.renew(state)
    np.testing.assert_allclose(
        renewed["state.at.belief"], opened.start()["state.at.belief"]
    )


def test_the_page_s_program_plans_without_the_library(agent, file, seen):
    (program,) = re.findall(
        r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    np.save(file.parent / "obs.npy", seen[0])
    np.save(file.parent / "legal.npy", LEGAL)
    check = (
        "import sys; sys.modules['bestreply'] = None\n"
        + program
        + "legal = np.load('legal.npy')\n"
        + "plans = [plan(obs, legal, *held) for obs in np.load('obs.npy')]\n"
        + "np.save('scores.npy', np.stack([p[0] for p in plans]))\n"
        + "assert not [m for m in sys.modules if m.startswith('bestreply.')]\n"
    )
    subprocess.run([sys.executable, "-c", check], cwd=file.parent, check=True)
    planned = np.load(file.parent / "scores.npy")
    for obs, scores in zip(seen[0], planned, strict=True):
        np.testing.assert_array_equal(agent.plan(obs, LEGAL).scores, scores)


def test_what_is_remembered_is_in_the_state(tmp_path):
    config = dataclasses.replace(CONFIG, memory="gru", value_of="z")
    from bestreply.models.world_model import WorldModel

    model = build(WorldModel, GAME, config, goals=1, heads=1, key=1)
    agent = Agent(model, UniformOpponents(GAME), GAME, EXACT, GAMMA)
    opened = br.load_export(export_agent(agent, tmp_path / "a", {}))
    state = opened.start()
    assert any(name.startswith("state.own") for name in state)
    rng = np.random.default_rng(1)
    session, actions = agent.session(), []
    for t in range(3):
        obs = rng.random(GAME.obs_shape).astype(np.float32)
        expected = session.act(obs, LEGAL)
        state, action, _ = opened.act(state, obs, LEGAL, step=t + 1)
        session.observe(None)
        actions.append((int(expected), action))
    assert all(one == other for one, other in actions)


def test_the_command_exports_the_agent_of_a_run(monkeypatch, capsys, tmp_path):
    spec = (
        "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=6)"
    )
    config = resolve(dataclasses.replace(preset("debug"), game=spec))
    game = br.make_game(spec)
    roster = [{"name": name, "version": 1} for name in config.collect.players]
    state = initial_train_state(config, game, roster)
    run = Run(tmp_path, config, game, {"data": {"roster": roster}}, state)
    monkeypatch.setattr("bestreply.run.load_run", lambda path, **_: run)
    path = tmp_path / "agent.bestreply"
    monkeypatch.setattr(sys, "argv", ["bestreply", "export", "x", str(path)])
    main()
    assert capsys.readouterr().out.strip() == str(path)
    opened = br.load_export(path)
    assert opened.facts["game"] == spec
    obs = np.random.default_rng(0).random(game.obs_shape).astype(np.float32)
    legal = np.ones(game.num_actions, bool)
    np.testing.assert_array_equal(
        opened.plan(obs).scores, run.agent().plan(obs, legal).scores
    )


# -- files that are no whole export -----------------------------------------------


@pytest.mark.parametrize("place", [0, 7, 9, 200, -1, -5000])
def test_a_changed_bit_is_noticed(file, tmp_path, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    path = tmp_path / "changed"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"expected (a whole|an) exported agent"
    ):
        br.load_export(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"{}", b"\xff" * 100])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected a whole exported agent"):
        br.load_export(path)


def changed(file, path, arrays=None, **facts):
    """Write the file with other arrays or facts, and a digest that fits them."""
    old, about = read_container(file)
    held = {k: a for k, a in old.items() if not k.startswith("padding")}
    return write_container(path, held | (arrays or {}), about | facts)


def serialised(function, *given):
    made = jax.export.export(jax.jit(function))(*given)
    return np.frombuffer(made.serialize(), np.uint8)


def test_a_program_that_calls_other_code_is_refused(file, tmp_path):
    calls = serialised(jax.numpy.linalg.cholesky, np.eye(3))
    path = changed(file, tmp_path / "calls", {"plan": calls})
    with pytest.raises(
        ValueError, match=r"expected computation alone; .*lapack"
    ):
        br.load_export(path)


@pytest.mark.parametrize(
    ("arrays", "facts", "message"),
    [
        ({}, {"format": 2}, "format=2: expected export format 1"),
        ({}, {"actions": "UP"}, "actions is no list of names"),
        ({}, {"programs": []}, "programs.plan.arguments is no list"),
        ({"plan": np.zeros(99, np.uint8)}, {}, "'plan' cannot be read"),
        ({"plan": np.zeros(9, np.float32)}, {}, "'plan' is missing"),
        ({"weight.0": np.zeros(3, np.float32)}, {}, "does not fit its arrays"),
    ],
)
def test_what_does_not_fit_is_refused(file, tmp_path, arrays, facts, message):
    path = changed(file, tmp_path / "unfit", arrays, **facts)
    with pytest.raises(ValueError, match=message):
        br.load_export(path)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("data_offsets", [0, 10**12]),
        ("data_offsets", [-8, 0]),
        ("shape", [1 << 40]),
        ("dtype", "OBJECT"),
        ("shape", None),
    ],
)
def test_places_outside_of_the_file_are_refused(file, tmp_path, entry, value):
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["weight.0"][entry] = value
    text = json.dumps(header).encode()
    path = tmp_path / "places"
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + content[8 + size :]
    )
    with pytest.raises(ValueError, match=r"array 'weight.0' does not fit"):
        br.load_export(path)


def test_a_planner_that_calls_python_is_not_exported(agent, tmp_path):
    config = dataclasses.replace(
        DRAWN, planner="tests.planning.test_export:calls_python"
    )
    calling = dataclasses.replace(agent, config=config)
    with pytest.raises(ValueError, match="expected computation alone"):
        export_agent(calling, tmp_path / "a", {})
    assert not (tmp_path / "a").exists()


def test_a_path_that_cannot_be_written_is_refused(agent, tmp_path):
    for path, reason in (
        (tmp_path, "it is a folder"),
        (tmp_path / "missing" / "agent", "there is no such folder"),
    ):
        with pytest.raises(ValueError, match=f"expected a file.*{reason}"):
            export_agent(agent, path, {})


def test_an_unknown_platform_is_refused(agent, tmp_path):
    with pytest.raises(ValueError, match="expected some of cpu, cuda"):
        export_agent(agent, tmp_path / "a", {}, platforms=("npu",))


def calls_python(models, at, key):
    from bestreply.planning.one_step import one_step

    plan = one_step(models, at, key)
    like = jax.ShapeDtypeStruct(plan.scores.shape, plan.scores.dtype)
    scores = jax.pure_callback(np.asarray, like, plan.scores)
    return dataclasses.replace(plan, scores=scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs": np.zeros(3)}, "obs has shape"),
        ({"legal": np.ones(2, bool)}, "legal has shape"),
        ({"legal": LEGAL * 1}, "expected bool"),
        ({"legal": LEGAL & False}, "legal excludes every action"),
        ({"obs": np.full(GAME.obs_shape, np.nan)}, "NaN or infinity"),
        ({"obs": "none"}, "obs='none': expected an array of numbers"),
        (
            {"obs": np.zeros((0, *GAME.obs_shape)), "legal": None},
            "expected a batch of at least 1",
        ),
    ],
)
def test_bad_arguments_are_refused(opened, seen, change, message):
    given = {"obs": seen[0][0], "legal": LEGAL} | change
    with pytest.raises(ValueError, match=message):
        opened.plan(**given)


@pytest.mark.parametrize("step", [-1, 0, 2**40, None, 1.5, True])
@pytest.mark.usefixtures("as_installed")
def test_a_step_that_is_no_number_of_one_is_refused(opened, seen, step):
    with pytest.raises(ValueError, match=r"step=.*whole number, 1 to 42949672"):
        opened.act(opened.start(), seen[0][0], LEGAL, step=step)


@pytest.mark.usefixtures("as_installed")
def test_an_unknown_state_or_opponent_is_refused(opened, seen):
    scalars = {name: np.float32(0) for name in opened.start()}
    for wrong in (None, {}, 3, [], scalars):
        for call in (
            lambda state: opened.act(state, seen[0][0], LEGAL),
            opened.renew,
        ):
            with pytest.raises(ValueError, match=r"state=.*agent\.start\(\)"):
                call(wrong)
    count = GAME.num_players - 1
    for wrong in ([GAME.num_actions] * count, ["a"] * count, [0.5] * count):
        with pytest.raises(ValueError, match=r"others=.*whole numbers, -1 to"):
            opened.act(opened.start(), seen[0][0], LEGAL, others=wrong)
    with pytest.raises(ValueError, match="others has shape"):
        opened.act(opened.start(), seen[0][0], LEGAL, others=[0] * (count + 1))
