"""Ten pitfalls of learning from play of several players, a test each.

Each test was seen to fail in a copy of the library that has the pitfall.
"""

import dataclasses
import io
import struct

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bestreply import Scores, collect, evaluate, make_game, write_report
from bestreply.analysis.open_loop import open_loop
from bestreply.config import ModelConfig, PlannerConfig, TrainConfig
from bestreply.games.grid import STAY
from bestreply.games.hindsight_goals import label_goals
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.agent import Agent
from bestreply.replay.moa_buffer import (
    all_indices,
    fill,
    gather,
    gather_window,
    make_moa_buffer,
)
from bestreply.report import summary_table
from bestreply.scores.returns import SCHEMA
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.losses import observation_loss, opponent_losses
from bestreply.training.metrics_log import MetricsLog
from bestreply.training.targets import n_step_return
from bestreply.types import ABSENT
from tests.shared import build, compiled, played

HUNT = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
)
TRIO = make_game("matrix", payoffs=np.zeros((3, 3, 3, 3)).tolist(), rounds=3)
SMALL = ModelConfig(latent=8, width=16, depth=1)


@pytest.fixture(scope="module")
def hunts():
    """Play in which hunters leave one by one and some episodes reach the step limit."""
    return played(HUNT, ("random", "nearest_hare", "nearest_stag"), 6)


def transitions(episodes):
    """All logged steps, as NumPy arrays."""
    return jax.device_get(gather(fill(episodes), all_indices(episodes)))


def test_1_a_seat_that_has_left_has_no_action(hunts):
    """Steps after a player has left are not STAY, are no transitions and train no model."""
    steps = transitions(hunts)
    gone = ~steps.present[:, 1:]
    assert gone.sum() > 20
    assert (steps.others[gone] == ABSENT).all()
    assert (steps.others[~gone] != ABSENT).all()
    assert steps.present[:, 0].all() and (steps.action != ABSENT).all()
    model = build(LearnedOpponents.create, HUNT, SMALL, 1)
    weights = np.ones((*steps.others.shape, 1), np.float32)
    of_steps = compiled(opponent_losses, over=(None, 0, 0, 0))
    losses, counts = map(
        np.asarray, of_steps(model, steps.obs, steps.others, weights)
    )
    assert (counts == ~gone).all() and (losses[gone] == 0).all()
    # Logged as STAY, they would count.
    stayed = np.where(gone, STAY, steps.others)
    assert np.all(of_steps(model, steps.obs, stayed, weights)[1])


def test_2_ego_first_everywhere():
    """Player k always plays k in seat k: each seat sees its own action first."""
    steps = transitions(
        played(TRIO, ("always(0)", "always(1)", "always(2)"), 2)
    )
    assert set(steps.seat.tolist()) == {0, 1, 2}
    expected = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1]])[steps.seat]
    joint = np.concatenate([steps.action[:, None], steps.others], 1)
    assert np.array_equal(joint, expected)
    assert np.array_equal(steps.player, expected)
    observed = np.asarray(TRIO.recall(steps.next_obs))[:, 0]
    assert np.array_equal(observed, expected)


def test_3_a_step_limit_is_no_termination(hunts):
    index, config = all_indices(hunts), TrainConfig(gamma=0.9)
    steps = transitions(hunts)
    cut = steps.truncated & ~steps.terminated
    assert cut.any() and (steps.step[cut] == HUNT.max_steps - 1).all()
    discount = np.asarray(n_step_return(config, hunts, index, 1)[1])
    np.testing.assert_allclose(discount[cut], 0.9)
    np.testing.assert_allclose(discount[steps.terminated], 0)
    # The next observation shows no time left: it is not that of a new episode.
    assert (steps.next_obs[cut][..., -1] == 0).all()
    ends = hunts.terminated | hunts.truncated[..., None]
    wrong = dataclasses.replace(hunts, terminated=ends)
    discount = np.asarray(n_step_return(config, wrong, index, 1)[1])
    assert (discount[cut] == 0).all()


def blank(game, likelihood):
    """A world model that decodes an empty board."""
    config = dataclasses.replace(SMALL, likelihood=likelihood)
    world = build(WorldModel, game, config, goals=1, heads=1)
    logits = np.asarray(world.binary) * np.float32(-6)
    bias = logits if likelihood == "bernoulli" else np.zeros_like(logits)
    decoder = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), world.decoder)
    decoder = eqx.tree_at(lambda d: d.layers[-1].bias, decoder, bias)
    return eqx.tree_at(lambda w: w.decoder, world, jax.device_put(decoder))


def reconstruction_loss(world, obs):
    return observation_loss(world, world.encode(obs), obs)


def test_4_lost_players_cost_and_are_named(hunts):
    """Squared error hardly penalises an empty board; the Bernoulli likelihood does."""
    obs = hunts.obs[0, 0, 0].copy()
    obs[..., -1] = 0
    ones = float(obs.sum())
    zeros = HUNT.binary.sum() - ones
    squared, bernoulli = (blank(HUNT, k) for k in ("squared", "bernoulli"))
    loss = compiled(reconstruction_loss)
    assert loss(squared, obs) == pytest.approx(ones / obs.size)
    missed, right = np.log1p(np.exp(6)), np.log1p(np.exp(-6))
    expected = (ones * missed + zeros * right) / obs.size
    assert loss(bernoulli, obs) == pytest.approx(expected, rel=1e-4)
    assert missed > 6  # a lost player costs six times as much as squared error
    buffer, index = fill(hunts), all_indices(hunts)
    rows = open_loop(HUNT, squared, buffer, index)
    assert {row["steps"] for row in rows} == {1, 3, 5}
    for steps in (1, 3, 5):
        entities = {r["entity"]: r for r in rows if r["steps"] == steps}
        hunters = {"self", "hunter_1", "hunter_2"}
        assert entities.pop("time")["error"] > 0  # a number, neither 0 nor 1
        assert set(entities) == {*hunters, "blocks", "stags", "hares"}
        assert entities["blocks"]["accuracy"] == 1  # the board has none
        lost = {name for name, r in entities.items() if r["recall"] == 0}
        assert {*hunters, "stags"} <= lost
    perfect = build(Perfect, HUNT, SMALL, goals=1, heads=1)
    for row in open_loop(HUNT, perfect, buffer, index):
        if row["steps"] == 1 and row["entity"] != "time":
            assert row["accuracy"] == 1 and row["recall"] in (1, None)


class Perfect(WorldModel):
    """Predicts the next observation of these plays; its latents are observations."""

    def encode(self, obs):
        return obs

    def next(self, z, action, others):
        moves = jnp.array(
            [[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0], [0, 0], [0, 0]]
        )
        joint = jnp.concatenate([jnp.reshape(action, (1,)), others])
        stag = (joint == 5) & (z[..., :3] * z[..., 4:5]).any((0, 1))
        hare = (joint == 6) & (z[..., :3] * z[..., 5:6]).any((0, 1))
        together = (z[..., :3][..., None] * z[..., None, :3]).sum((0, 1))
        caught = hare | (stag & ((together * stag).sum(1) >= 2))
        planes = [
            jnp.roll(z[..., k], moves[joint[k]], (0, 1))
            * ~caught[k]
            * (joint[k] != ABSENT)
            for k in range(3)
        ]
        taken = [
            (z[..., :3] * (caught & (joint == 5 + k))).any(-1) for k in range(2)
        ]
        prey = [z[..., 4 + k] * ~taken[k] for k in range(2)]
        return jnp.stack([*planes, z[..., 3], *prey, z[..., 6]], -1)

    def decode(self, z):
        return z


def test_5_goals_are_discrete_and_bayes_rule_applies(hunts):
    assert HUNT.goals == ("stag", "hare", "none")
    goal, source = label_goals(
        HUNT, hunts.obs[:, :-1], hunts.action, hunts.reward
    )
    acted = hunts.action != ABSENT
    labels = set(goal[acted].tolist())
    assert goal.dtype == np.int32
    assert labels <= {0, 1, 2} and len(labels) >= 2
    assert (goal[~acted] == ABSENT).all()
    assert np.array_equal(goal, hunts.goal)
    assert np.array_equal(source, hunts.goal_source)
    types = len(HUNT.goals)
    model = build(LearnedOpponents.create, HUNT, SMALL, types, prior_mixing=0.0)
    obs, joint = hunts.obs[0, 0, 0], hunts.action[0, 0]
    belief = compiled(LearnedOpponents.update)(
        model, model.init(), obs, joint, np.ones(3, bool)
    )
    logits = np.asarray(compiled(LearnedOpponents.logits)(model, obs))
    likelihood = np.exp(logits)[np.arange(2), :, joint[1:]]
    expected = likelihood / likelihood.sum(1, keepdims=True)
    np.testing.assert_allclose(belief, expected, rtol=1e-4)


def test_6_steps_without_reward_are_kept(tmp_path):
    """Play without any reward is kept to the last step, on disk and in the buffer."""
    store = collect(TRIO, ["random"] * 3, 5, 0, path=tmp_path / "data")
    logged = store.episodes()
    assert not logged.reward.any()
    assert store.manifest.rows == (logged.action != ABSENT).sum() == 5 * 3 * 3
    buffer = make_moa_buffer(5, 200)
    state = buffer.add(buffer.init(logged), logged)
    assert state.ends[-1] == 5 * 3 * 3
    sample = jax.device_get(buffer.sample(state, jax.random.key(0)))
    columns = (sample.episode, sample.step, sample.seat)
    assert len({*zip(*(x.tolist() for x in columns), strict=True)}) == 45


def test_7_windows_stay_in_one_episode(hunts):
    """Windows of logged steps are contiguous; every window is compared with the log."""
    count = (hunts.action != ABSENT).sum(1)
    index = all_indices(hunts)
    for length in (2, 3, 9):
        windows = jax.device_get(gather_window(fill(hunts), index, length))
        for k in range(0, len(index.row), 3):
            e, t, s = index.row[k], index.step[k], index.seat[k]
            valid = min(length, count[e, s] - t)
            at = jax.tree.map(lambda x, k=k, n=valid: x[k, :n], windows)
            now, then = slice(t, t + valid), slice(t + 1, t + valid + 1)
            assert windows.valid[k].sum() == valid and at.valid.all()
            assert np.array_equal(at.obs, hunts.obs[e, now, s])
            assert np.array_equal(at.next_obs, hunts.obs[e, then, s])
            assert np.array_equal(at.reward, hunts.reward[e, now, s])
            ends = at.terminated | at.truncated
            assert not ends[:-1].any()


def test_7_windows_avoid_the_write_head_of_a_ring(hunts):
    """Episodes are added one by one to a ring of four; samples are of whole episodes."""
    buffer = make_moa_buffer(4, 60, window=3)
    add, sample = jax.jit(buffer.add), jax.jit(buffer.sample)
    state = buffer.init(hunts)
    for number in range(11):
        row = number % 6
        episode = jax.tree.map(lambda x, r=row: x[r : r + 1], hunts)
        state = add(state, episode)
        at = jax.device_get(sample(state, jax.random.key(number)))
        assert (at.episode == at.episode[:, :1]).all()
        assert at.episode.min() >= number - 3
        steps = at.step - at.step[:, :1]
        assert (np.where(at.valid, steps, np.arange(3)) == np.arange(3)).all()
        rows = at.episode % 6
        obs, next_obs = (hunts.obs[rows, at.step + k, at.seat] for k in (0, 1))
        assert np.array_equal(at.obs, obs)
        assert np.array_equal(at.next_obs, next_obs)
        assert (at.step.max(1) < hunts.length[rows[:, 0]]).all()


def tensorboard_steps(folder):
    """(name, step) of every scalar in TensorBoard's event files."""
    from tensorboardX.proto.event_pb2 import Event

    for file in folder.glob("events*"):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + size])
            yield from (
                (value.tag, event.step) for value in event.summary.value
            )
            at += 12 + size + 4


def test_8_the_x_axis_is_environment_steps(tmp_path):
    updates = {"opponents": 20, "world": 60}
    log = MetricsLog(tmp_path, env_steps=9000, updates=updates)
    for update in (10, 20):
        log.write("opponents", update, {"opponent/log_loss": 1.0})
    log.write("world", 15, {"world/obs": 2.0})
    log.close()
    expected = [
        ("opponent/log_loss", 4500),
        ("opponent/log_loss", 9000),
        ("world/obs", 2250),
    ]
    rows = pq.read_table(tmp_path / "metrics.parquet").to_pylist()
    assert [(row["name"], row["env_steps"]) for row in rows] == expected
    events = tensorboard_steps(tmp_path / "tensorboard")
    assert sorted(events) == sorted(expected)


def bits(module):
    leaves = jax.tree.leaves(eqx.filter(module, eqx.is_array))
    return [np.asarray(x).tobytes() for x in leaves]


def test_9_few_shot_means_with_frozen_weights():
    """Against an unknown player the agent adapts by its belief; its weights do not change."""
    game = make_game("matrix(table=chicken, rounds=4)")
    opponents = build(LearnedOpponents.create, game, SMALL, 2)
    world = build(WorldModel, game, SMALL, goals=2, heads=2, key=1)
    agent = Agent(world, opponents, game, PlannerConfig(), 0.9)
    before = bits(agent)
    lineup = seat_players(game, [agent, "tit_for_tat"], 1, seed=0)
    outputs = play(game, lineup, seed=0, series=2, watch=0).actor_outputs
    evaluate(game, [agent, "tit_for_tat"], 2, 0)
    assert bits(agent) == before
    belief = outputs.plan.belief[:, :, 0, 0]  # [episode, step, G]
    changes = abs(np.diff(belief, axis=1)) > 1e-6
    assert changes.any(-1).all()  # every step within an episode is evidence
    assert np.array_equal(belief[0, 0], belief[1, 0])  # an episode starts anew


def test_10_one_seed_is_called_one_seed(tmp_path):
    """The table of scores names its error, in the terminal and on the page."""
    rng = np.random.default_rng(0)
    note = "one training seed"
    for seeds in (1, 3):
        rows = [
            ("agent", "3 nearest_stag", s, e, e % 3, 6, float(rng.normal()))
            for s in range(seeds)
            for e in range(4)
        ]
        columns = map(list, zip(*rows, strict=True))
        table = pa.table(dict(zip(SCHEMA.names, columns, strict=True)), SCHEMA)
        folder = tmp_path / str(seeds)
        folder.mkdir()
        Scores(table, {}).save(folder / "scores.parquet")
        console = Console(width=200, file=io.StringIO())
        console.print(summary_table(folder))
        text = " ".join(console.file.getvalue().split())
        assert (note in text.lower()) == (seeds == 1), text
        page = write_report(folder).read_text(encoding="utf-8")
        assert (note in page.lower()) == (seeds == 1)
        assert ("3 seeds" in text) == (seeds == 3)
