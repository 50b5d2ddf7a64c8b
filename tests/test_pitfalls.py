"""The ten pitfalls that have cost people weeks in this work (design.md), a test each.

Each was put back in a copy of the library by hand, and its test failed there.
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
from bestreply.analysis.model_diagnostics import open_loop
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
from tests.shared import build, compiled

HUNT = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
)
TRIO = make_game("matrix", payoffs=np.zeros((3, 3, 3, 3)).tolist(), rounds=3)
SMALL = ModelConfig(latent=8, width=16, depth=1)


@pytest.fixture(scope="module")
def hunts():
    """Logged play in which hunters leave one by one and some episodes are cut at the limit."""
    lineup = seat_players(
        HUNT, ["random", "nearest_hare", "nearest_stag"], 6, seed=0
    )
    return play(HUNT, lineup, seed=0).episodes


def test_1_who_has_left_did_not_stay(hunts):
    """Steps after a player has left are no STAY, are nobody's transitions, and teach the model of the others nothing."""
    index = all_indices(hunts)
    found = jax.tree.map(np.asarray, gather(fill(hunts), index))
    gone = ~found.present[:, 1:]
    assert (
        gone.sum() > 20
        and (found.others[gone] == ABSENT).all()
        and (found.others[~gone] != ABSENT).all()
    )
    assert found.present[:, 0].all() and (found.action != ABSENT).all()
    model = build(LearnedOpponents.create, HUNT, SMALL, 1)
    each = np.ones((*found.others.shape, 1), np.float32)
    of_steps = compiled(opponent_losses, over=(None, 0, 0, 0))
    losses, counts = of_steps(model, found.obs, found.others, each)
    assert (np.asarray(counts) == ~gone).all() and (
        np.asarray(losses)[gone] == 0
    ).all()
    stayed = np.where(
        gone, STAY, found.others
    )  # were it stored so, it would count
    assert np.all(of_steps(model, found.obs, stayed, each)[1])


def test_2_ego_first_everywhere():
    """Player k always plays k and sits in seat k: whoever looks sees its own 0, 1 or 2 first, then the others in seat order."""
    played = play(
        TRIO,
        seat_players(TRIO, ["always(0)", "always(1)", "always(2)"], 2, seed=0),
        seed=0,
    ).episodes
    found = jax.tree.map(np.asarray, gather(fill(played), all_indices(played)))
    wanted = np.array([[0, 1, 2], [1, 0, 2], [2, 0, 1]])[found.seat]
    assert sorted(set(found.seat.tolist())) == [
        0,
        1,
        2,
    ]  # every seat's steps are there, not the first's alone
    assert np.array_equal(
        np.concatenate([found.action[:, None], found.others], 1), wanted
    )
    assert np.array_equal(found.player, wanted)
    seen = np.asarray(TRIO.recall(found.next_obs))[:, 0]
    assert np.array_equal(seen, wanted)  # observation and actions in one order


def test_3_a_step_limit_is_not_the_end_of_the_world(hunts):
    found = jax.tree.map(np.asarray, gather(fill(hunts), all_indices(hunts)))
    cut = found.truncated & ~found.terminated
    assert cut.any() and (found.step[cut] == HUNT.max_steps - 1).all()
    discount = np.asarray(
        n_step_return(TrainConfig(gamma=0.9), hunts, all_indices(hunts), 1)[1]
    )
    np.testing.assert_allclose(discount[cut], 0.9)
    np.testing.assert_allclose(discount[found.terminated], 0)
    assert (
        found.next_obs[cut][..., -1] == 0
    ).all()  # no time left: the observation reached, not a reset's
    log = dataclasses.replace(
        hunts, terminated=hunts.terminated | hunts.truncated[..., None]
    )
    assert (
        np.asarray(
            n_step_return(TrainConfig(gamma=0.9), log, all_indices(hunts), 1)[1]
        )[cut]
        == 0
    ).all()


def blank(game, likelihood):
    """A world model that decodes an empty board, whatever happens."""
    config = dataclasses.replace(SMALL, likelihood=likelihood)
    world = build(WorldModel, game, config, goals=1, heads=1)
    decoder = jax.tree.map(
        lambda x: jax.device_put(np.zeros(x.shape, x.dtype)), world.decoder
    )
    logits = np.asarray(world.binary) * np.float32(-6)
    empty = logits if likelihood == "bernoulli" else np.zeros_like(logits)
    return eqx.tree_at(
        lambda w: w.decoder,
        world,
        eqx.tree_at(
            lambda d: d.layers[-1].bias, decoder, jax.device_put(empty)
        ),
    )


def reconstruction_loss(world, obs):
    return observation_loss(world, world.encode(obs), obs)


def test_4_lost_players_cost_and_show(hunts):
    """Squared error hardly logged_beliefs an empty board; the Bernoulli likelihood does, and diagnostics name who is lost."""
    obs = hunts.obs[0, 0, 0].copy()
    obs[..., -1] = 0
    ones = float(obs.sum())
    squared, likely = (blank(HUNT, kind) for kind in ("squared", "bernoulli"))
    loss = compiled(reconstruction_loss)
    assert loss(squared, obs) == pytest.approx(ones / obs.size)
    zeros, lost, kept = (
        HUNT.binary.sum() - ones,
        np.log1p(np.exp(6)),
        np.log1p(np.exp(-6)),
    )
    assert loss(likely, obs) == pytest.approx(
        (ones * lost + zeros * kept) / obs.size, rel=1e-4
    )
    assert (
        ones * lost / obs.size > 6 * ones / obs.size
    )  # a lost player costs six times as much, and more the surer
    rows = open_loop(HUNT, squared, fill(hunts), all_indices(hunts))
    assert {row["steps"] for row in rows} == {1, 3, 5}
    for steps in (1, 3, 5):
        named = {row["entity"]: row for row in rows if row["steps"] == steps}
        assert set(named) == {
            "self",
            "hunter_1",
            "hunter_2",
            "blocks",
            "stags",
            "hares",
        }
        assert named["blocks"]["accuracy"] == 1  # there are none
        lost = [name for name, row in named.items() if row["recall"] == 0]
        assert {"self", "stags", "hunter_1", "hunter_2"} <= set(lost)
    truth = open_loop(
        HUNT,
        build(Perfect, HUNT, SMALL, goals=1, heads=1),
        fill(hunts),
        all_indices(hunts),
    )
    assert all(
        row["accuracy"] == 1 and row["recall"] in (1, None)
        for row in truth
        if row["steps"] == 1
    )


class Perfect(WorldModel):
    """Knows what comes next in these plays: what is encoded carries it."""

    def encode(self, obs):
        return obs

    def next(self, z, action, others):
        moves = jnp.array(
            [[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0], [0, 0], [0, 0]]
        )
        joint = jnp.concatenate([jnp.reshape(action, (1,)), others])
        stag = (joint == 5) & (z[..., :3] * z[..., 4:5]).any((0, 1))
        hare = (joint == 6) & (z[..., :3] * z[..., 5:6]).any((0, 1))
        place = (z[..., :3][..., None] * z[..., None, :3]).sum(
            (0, 1)
        )  # who stands with whom
        caught = hare | (stag & ((place * stag).sum(1) >= 2))
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
    assert (
        goal.dtype == np.int32
        and set(goal[acted].tolist()) <= {0, 1, 2}
        and len(set(goal[acted].tolist())) >= 2
    )
    assert (
        (goal[~acted] == ABSENT).all()
        and np.array_equal(goal, hunts.goal)
        and np.array_equal(source, hunts.goal_source)
    )
    model = build(
        LearnedOpponents.create, HUNT, SMALL, len(HUNT.goals), prior_mixing=0.0
    )
    obs, joint = hunts.obs[0, 0, 0], hunts.action[0, 0]
    after = compiled(LearnedOpponents.update)(
        model, model.init(), obs, joint, np.ones(3, bool)
    )
    logits = np.asarray(compiled(LearnedOpponents.logits)(model, obs))
    likelihood = np.exp(logits)[np.arange(2), :, joint[1:]]
    np.testing.assert_allclose(
        after, likelihood / likelihood.sum(1, keepdims=True), rtol=1e-4
    )


def test_6_nothing_is_thrown_away_for_its_reward(tmp_path):
    """Play in which nobody ever gets anything is kept to the last step, on disk and in the buffer."""
    store = collect(TRIO, ["random"] * 3, 5, 0, path=tmp_path / "data")
    logged = store.episodes()
    assert not logged.reward.any()
    assert store.manifest.rows == (logged.action != ABSENT).sum() == 5 * 3 * 3
    buffer = make_moa_buffer(5, 200)
    state = buffer.add(buffer.init(logged), logged)
    assert state.ends[-1] == 5 * 3 * 3
    found = jax.tree.map(np.asarray, buffer.sample(state, jax.random.key(0)))
    assert (
        len(
            {
                (int(e), int(t), int(s))
                for e, t, s in zip(
                    found.episode, found.step, found.seat, strict=True
                )
            }
        )
        == 45
    )


def test_7_windows_stay_in_one_episode_and_clear_of_the_write_head(hunts):
    """Counters in, contiguous counters out, while the ring turns; a slow look at every window of every length."""
    count = (hunts.action != ABSENT).sum(1)
    for window in (2, 3, 9):
        index = all_indices(hunts)
        found = jax.tree.map(
            np.asarray,
            gather_window(fill(hunts), index, window),
        )
        for k in range(0, len(index.row), 3):
            e, t, s = index.row[k], index.step[k], index.seat[k]
            valid = min(window, count[e, s] - t)
            assert (
                found.valid[k].sum() == valid and found.valid[k, :valid].all()
            )
            assert np.array_equal(
                found.obs[k, :valid], hunts.obs[e, t : t + valid, s]
            )
            assert np.array_equal(
                found.next_obs[k, :valid],
                hunts.obs[e, t + 1 : t + valid + 1, s],
            )
            assert np.array_equal(
                found.reward[k, :valid], hunts.reward[e, t : t + valid, s]
            )
            assert (
                not found.terminated[k, : valid - 1].any()
                and not found.truncated[k, : valid - 1].any()
            )
    buffer = make_moa_buffer(4, 60, window=3)
    add, sample = jax.jit(buffer.add), jax.jit(buffer.sample)
    state, length = buffer.init(hunts), hunts.length.tolist()
    for number in range(11):
        row = number % 6
        state = add(
            state, jax.tree.map(lambda x, row=row: x[row : row + 1], hunts)
        )
        found = jax.tree.map(np.asarray, sample(state, jax.random.key(number)))
        assert (
            found.episode == found.episode[:, :1]
        ).all() and found.episode.min() >= number - 3
        steps = np.where(
            found.valid, found.step - found.step[:, :1], np.arange(3)
        )
        assert (steps == np.arange(3)).all()
        rows = found.episode % 6
        assert np.array_equal(
            found.obs, hunts.obs[rows, found.step, found.seat]
        )
        assert np.array_equal(
            found.next_obs, hunts.obs[rows, found.step + 1, found.seat]
        )
        assert all(
            t < length[e % 6]
            for e, t in zip(found.episode[:, 0], found.step.max(1), strict=True)
        )


def tensorboard_steps(folder):
    """(name, step) of every scalar in TensorBoard's event files, read record by record."""
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
    log = MetricsLog(
        tmp_path, env_steps=9000, updates={"opponents": 20, "world": 60}
    )
    for update in (10, 20):
        log.write("opponents", update, {"opponent/log_loss": 1.0})
    log.write("world", 15, {"world/obs": 2.0})
    log.close()
    wanted = [
        ("opponent/log_loss", 4500),
        ("opponent/log_loss", 9000),
        ("world/obs", 2250),
    ]
    rows = pq.read_table(tmp_path / "metrics.parquet").to_pylist()
    assert [(row["name"], row["env_steps"]) for row in rows] == wanted
    assert sorted(tensorboard_steps(tmp_path / "tensorboard")) == sorted(wanted)


def test_9_few_shot_means_with_frozen_weights():
    """Against a player that it has never met, an agent adapts by what it believes; not a bit of its weights changes."""
    game = make_game("matrix(table=chicken, rounds=4)")
    opponents = build(LearnedOpponents.create, game, SMALL, 2)
    world = build(WorldModel, game, SMALL, goals=2, heads=2, key=1)
    agent = Agent(world, opponents, game, PlannerConfig(), 0.9)
    before = [
        np.asarray(x).tobytes()
        for x in jax.tree.leaves(eqx.filter(agent, eqx.is_array))
    ]
    lineup = seat_players(game, [agent, "tit_for_tat"], 1, seed=0)
    actor_outputs = play(game, lineup, seed=0, series=2, watch=0).actor_outputs
    evaluate(game, [agent, "tit_for_tat"], 2, 0)
    assert [
        np.asarray(x).tobytes()
        for x in jax.tree.leaves(eqx.filter(agent, eqx.is_array))
    ] == before
    belief = actor_outputs.plan.belief[:, :, 0, 0]  # [episode, step, G]
    assert (
        (abs(np.diff(belief, axis=1)) > 1e-6).any(-1).all()
    )  # every step is learned from, within the episode
    assert np.array_equal(
        belief[0, 0], belief[1, 0]
    )  # and each episode is counted anew


def test_10_one_seed_is_called_one_seed(tmp_path):
    """The table says of what its error is an error, in the terminal and on the page."""
    rng = np.random.default_rng(0)
    said = {}
    for seeds in (1, 3):
        rows = [
            ("agent", "3 nearest_stag", s, e, e % 3, 6, float(rng.normal()))
            for s in range(seeds)
            for e in range(4)
        ]
        columns = dict(
            zip(SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True)
        )
        folder = tmp_path / str(seeds)
        folder.mkdir()
        Scores(pa.table(columns, SCHEMA), {}).save(folder / "scores.parquet")
        console = Console(width=200, file=io.StringIO())
        console.print(summary_table(folder))
        said[seeds] = " ".join(console.file.getvalue().split())
        assert ("one training seed" in said[seeds].lower()) == (seeds == 1), said[seeds]
        assert (
            "one training seed"
            in write_report(folder).read_text(encoding="utf-8").lower()
        ) == (seeds == 1)
    assert "3 seeds" in said[3]
