"""Models that read a history: all at once as step by step, what they remember and forget, and that they learn who plays."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import collect, make_game, train
from bestreply.config import CollectConfig, ModelConfig, RunConfig, TrainConfig
from bestreply.opponents.base import opponent_inputs, opponent_legal
from bestreply.opponents.filtering import follow_predictions
from bestreply.opponents.sequence import SequenceOpponents
from bestreply.replay.histories import (
    draw_histories,
    seatings,
    transform_histories,
)
from bestreply.replay.moa_buffer import fill
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import fit_history
from bestreply.training.state import initial_train_state, set_units
from bestreply.types import ABSENT, ego_order

HUNT = make_game(
    "stag_hunt(height=2, width=3, hunters=3, stags=1, hares=1, max_steps=5)"
)
DILEMMA = "matrix(table=prisoners_dilemma, rounds=6, memory=0)"
drawing = jax.jit(draw_histories, static_argnums=(4, 5))
PLAYERS = ("always(COOPERATE)", "always(DEFECT)")


def model(kind, context=7, game=HUNT, goals=2):
    config = ModelConfig(width=8, depth=1, opponents=kind, context=context)
    return SequenceOpponents.create(game, config, goals, key=jax.random.key(0))


def some_play(episodes=8, game=HUNT, who="random"):
    return play(
        game, seat_players(game, [who] * game.num_players, episodes, 0), 0
    ).episodes


def step_by_step(model, played, row, seat, belief):
    """What a seat expects, and its belief, through one episode."""
    order, said = ego_order(played.action.shape[2])[seat], []
    played = jax.device_put(played)

    @jax.jit
    def step(belief, obs, legal, action, present):
        return (
            model.predict(belief, obs, legal),
            model.posterior(belief),
        ), model.update(belief, obs, action, present)

    for t in range(played.action.shape[1]):
        at = (
            played.obs[row, t, seat],
            played.legal[row, t, seat],
            played.action[row, t, order],
        )
        told, belief = step(belief, *at, played.present[row, t, order])
        said.append(told)
    return said, belief


@pytest.mark.parametrize("kind", ["recurrent", "in_context"])
def test_all_steps_at_once_are_as_step_by_step(kind):
    """Two episodes of the same others, of whom some leave early; what is remembered from the first is the window's."""
    read, played = model(kind), some_play()
    belief, said = read.init(), []
    for row in (0, 1):
        part, belief = step_by_step(read, played, row, 1, belief)
        said += part
        belief = read.renew(belief)
    place, other = 0, ego_order(3)[1][1]  # the first of seat 1's others
    seen = jnp.concatenate(
        [
            jax.vmap(lambda o: opponent_inputs(HUNT, o)[place])(
                played.obs[row, :-1, 1]
            )
            for row in (0, 1)
        ]
    )
    legal = jnp.concatenate(
        [
            jax.vmap(lambda o: opponent_legal(HUNT, o)[place])(
                played.obs[row, :-1, 1]
            )
            for row in (0, 1)
        ]
    )
    action = jnp.concatenate([played.action[row, :, other] for row in (0, 1)])
    if kind == "recurrent":  # nothing is kept from one episode to the next
        halves = [
            read.predict_all(*(x[half] for x in (seen, legal, action)))
            for half in (slice(0, 5), slice(5, 10))
        ]
        whole = jax.tree.map(lambda *x: jnp.concatenate(x), *halves)
    else:
        whole = read.predict_all(seen, legal, action)
    for t, (probs, who) in enumerate(said):
        if action[t] == ABSENT:
            continue
        np.testing.assert_allclose(
            jnp.exp(whole.action[t]), probs[place], atol=1e-5
        )
        np.testing.assert_allclose(
            jnp.exp(whole.types[t]), who[place], atol=1e-5
        )
    assert (
        np.ptp([probs[place] for probs, _ in said], axis=0).max() > 1e-3
    )  # it is not the same at every step


def test_a_window_forgets_what_is_older():
    read = model("in_context", context=3)
    rng = np.random.default_rng(0)
    looks, tokens = (
        jnp.asarray(rng.normal(size=(6, 8)), jnp.float32) for _ in range(2)
    )
    said = read.memory.read_all(looks, tokens, jnp.ones(6, bool))[0]
    other = read.memory.read_all(
        looks, tokens.at[:2].add(1.0), jnp.ones(6, bool)
    )[0]
    np.testing.assert_allclose(said[5], other[5], atol=1e-6)  # steps 2, 3, 4
    assert abs(said[4] - other[4]).max() > 1e-4  # step 1 still counts


def test_who_did_not_act_leaves_no_trace():
    read = model("in_context")
    belief, obs = read.init(), jnp.zeros(HUNT.obs_shape)
    after = read.update(
        belief, obs, jnp.array([0, ABSENT, 1]), jnp.array([True, False, True])
    )
    assert after.seen.tolist() == [0, 1]


def test_histories_are_of_one_player_as_another_seat_saw_it():
    game = make_game(DILEMMA.replace("memory=0", "memory=1"))
    lineup = seat_players(game, [f"mixture({', '.join(PLAYERS)})"] * 2, 30, 0)
    played = play(game, lineup, 0).episodes
    buffer, weights = (
        fill(played),
        jnp.asarray(np.eye(2)[played.player][:, None] * np.ones((1, 6, 1, 1))),
    )
    where = seatings(played)
    drawn = drawing(buffer, where, weights, jax.random.key(0), 64, 3)
    acted = np.asarray(drawn.action) != ABSENT
    assert acted[:, -1].all()  # the last is never left out
    assert {int(n) for n in acted.any(2).sum(1)} == {1, 2, 3}
    for b in range(64):
        mine = np.asarray(drawn.action[b])[acted[b]]
        assert len(set(mine)) == 1  # one player: always the same action
        assert drawn.weight[b, ..., mine[0]].all()  # and that player's label
    seen = np.asarray(drawn.obs).reshape(64 * 3, 6, -1)
    shown = np.asarray(played.obs)[:, :6].swapaxes(1, 2).reshape(60, 6, -1)
    assert all((shown == one).all((1, 2)).any() for one in seen)


def test_transform_histories_keep_the_player_in_sight():
    played = some_play(8)
    buffer, weights = fill(played), jnp.ones((*played.action.shape, 1))
    drawn = drawing(buffer, seatings(played), weights, jax.random.key(1), 32, 1)
    turned = jax.jit(partial(transform_histories, HUNT))(
        drawn, jax.random.key(2)
    )

    def standing(
        history,
    ):  # how many cells of its own view the player stands on, and what it may do
        views = jax.vmap(lambda o, j: opponent_inputs(HUNT, o)[j])(
            history.obs[:, 0, 0], history.other[:, 0]
        )
        return views.reshape(32, *HUNT.obs_shape)[..., 0].sum((1, 2))

    np.testing.assert_array_equal(standing(drawn), standing(turned))
    legal = jax.vmap(lambda o, j: opponent_legal(HUNT, o)[j])(
        turned.obs[:, 0, 0], turned.other[:, 0]
    )
    assert jnp.take_along_axis(legal, turned.action[:, 0, :1], 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recurrent", "in_context"])
def test_it_learns_who_plays(kind):
    """Always the same action: one look tells; and a window knows before the first move of a further episode."""
    config = RunConfig(
        game=DILEMMA,
        collect=CollectConfig(players=PLAYERS),
        model=ModelConfig(width=16, depth=1, opponents=kind, context=8),
        train=TrainConfig(history_updates=300, log_every=100),
    )
    game = make_game(DILEMMA)
    lineup = seat_players(game, [f"mixture({', '.join(PLAYERS)})"] * 2, 200, 0)
    played = play(game, lineup, 0).episodes
    train_state = set_units(
        initial_train_state(config, game, lineup.roster), config, played
    )
    train_state = fit_history(
        config, fill(played), train_state, lambda _: None, lambda *_: None
    )
    read = train_state.sequence.model
    expected = np.asarray(
        follow_predictions(read, jax.device_put(played))
    )  # [E, T, N, 1, A]
    taken = np.take_along_axis(
        expected, played.action[:, :, ::-1, None, None], -1
    )[..., 0, 0]
    assert abs(taken[:, 0] - 0.5).mean() < 0.15  # nothing is known yet
    assert taken[:, 1:].mean() > 0.95
    belief, obs = read.init(), jnp.asarray(played.obs[0, 0, 0])
    for _ in range(3):
        belief = read.update(belief, obs, jnp.array([0, 1]), jnp.ones(2, bool))
    assert read.posterior(belief)[0, 1] > 0.9
    further = read.predict(read.renew(belief), obs, jnp.ones(2, bool))[0, 1]
    assert further > 0.9 if kind == "in_context" else abs(further - 0.5) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recurrent", "in_context", "level_k"])
def test_a_run_plans_with_it(tmp_path, kind):
    game = (
        "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4)"
    )
    config = RunConfig(
        game=game,
        collect=CollectConfig(players=("nearest_stag", "random")),
        model=ModelConfig(
            latent=8, width=8, depth=1, opponents=kind, context=8
        ),
        train=TrainConfig(
            opponent_updates=10,
            history_updates=10,
            anchor_updates=0,
            updates=10,
            batch=16,
            log_every=10,
        ),
    )
    game = make_game(game)
    drawn = "mixture(nearest_stag, random)"
    store = collect(game, [drawn, drawn], 32, 0, path=tmp_path / "data")
    run = train(store, config, path=tmp_path / "run")
    again = train(
        store, config, path=tmp_path / "run", resume=True
    )  # finished: nothing to do
    assert eqx.tree_equal(run.train_state, again.train_state)
    if kind != "level_k":  # a further round goes on with what was learned
        further = run.method.begin(run, store.episodes(), run)
        assert eqx.tree_equal(
            further.sequence.model, run.train_state.sequence.model
        )
        assert further.sequence.updates == 0
    lineup = seat_players(game, [run.agent(), "nearest_stag"], 4, 1)
    assert np.isfinite(play(game, lineup, 1, series=2).episodes.reward).all()
    if kind != "level_k":
        with pytest.raises(ValueError, match="model.opponents=" + kind):
            run.agent(change_rate=0.1)


def test_a_planner_setting_that_needs_types_is_refused(tmp_path):
    config = RunConfig(
        game=DILEMMA,
        collect=CollectConfig(players=PLAYERS),
        model=ModelConfig(opponents="recurrent"),
        train=TrainConfig(change_rate=0.1),
    )
    game = make_game(DILEMMA)
    store = collect(game, list(PLAYERS), 4, 0, path=tmp_path / "data")
    with pytest.raises(
        ValueError,
        match=r"train\.change_rate=0\.1.*expected 0 with model\.opponents=recurrent",
    ):
        train(store, config, path=tmp_path / "run")
    assert not (tmp_path / "run").exists()
