"""Bounds for large games: plans for one future compared with every plan, and their order."""

import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import exact, make_game, make_player
from bestreply.exact.bounds import best_plan, information_relaxation_bound
from bestreply.exact.rollout_search import rollout_search
from bestreply.exact.seated_game import seat_games

HUNT = make_game(
    "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=3, leave=True)"
)
STAY = dataclasses.replace(HUNT, leave=False)
PENNIES = make_game("matrix(table=matching_pennies, rounds=4)")
PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")
GAMMA = 0.9


@jax.jit
def plan_returns(table, keys, plans):
    """The return [M, X] of every plan [X, T] in every match, -inf for illegal actions."""

    def of_match(row, key):
        one = table.rows(row)
        first_key, key = jax.random.split(key)

        def of_plan(plan):
            def step(carry, at):
                match, total = carry
                t, own = at
                legal = one.look(match).legal[one.focal, own]
                move_key = jax.random.fold_in(key, t)
                match, reward = one.move(match, own, move_key)
                gain = jnp.where(legal, GAMMA**t * reward, -jnp.inf)
                return (match, total + gain), None

            begin = one.begin(first_key), jnp.float32(0)
            times = jnp.arange(plans.shape[1])
            return jax.lax.scan(step, begin, (times, plan))[0][1]

        return jax.vmap(of_plan)(plans)

    return jax.vmap(of_match)(jnp.arange(len(keys)), keys)


@pytest.mark.parametrize(
    "game, other",
    [(HUNT, "random"), (STAY, "noisy(nearest_stag, 0.3)"), (PD, "tit_for_tat")],
)
def test_the_best_plan_is_the_best_of_all_plans(game, other):
    """Step by step with the same draws."""
    table, keys = seat_games(game, [other], 4, seed=3)
    actions = range(game.num_actions)
    plans = list(itertools.product(actions, repeat=game.max_steps))
    best = plan_returns(table, keys, jnp.array(plans, jnp.int32)).max(1)
    states = sum(game.num_actions**t for t in range(game.max_steps))
    for row in range(4):
        one = table.rows(jnp.int32(row))
        plan = best_plan(one, keys[row], GAMMA, 10_000)
        assert plan is not None
        assert plan[0] == pytest.approx(float(best[row]), rel=1e-5)
        assert plan[1] < states  # equal states are merged


def test_without_chance_the_bound_is_the_best_reply():
    """And rollout search equals it if its policies contain the best reply."""
    best = exact.best_reply(PD, 0, ["grim"]).value
    bound = information_relaxation_bound(PD, ["grim"], futures=4)
    assert bound.mean == pytest.approx(best)
    defect = make_player("always_d", PD)
    estimate = rollout_search(PD, ["always_c"], [defect], games=6)
    assert estimate.mean == exact.best_reply(PD, 0, ["always_c"]).value
    assert estimate.stderr == 0.0


def test_a_plan_for_a_known_coin_always_wins():
    bound = information_relaxation_bound(PENNIES, ["random"], futures=20)
    assert bound == (4.0, 0.0, 20)
    best = exact.best_reply(PENNIES, 0, ["random"]).value
    assert best == pytest.approx(0.0, abs=1e-6)


def test_the_best_reply_lies_between_the_bounds():
    """Within four standard errors, against an opponent with unpredictable actions."""
    game = make_game("matrix(table=chicken, rounds=3)")
    best = exact.best_reply(game, 0, ["random"]).value
    upper = information_relaxation_bound(game, ["random"], futures=200)
    policies = [make_player(name, game) for name in ("always_c", "always_d")]
    lower = rollout_search(game, ["random"], policies, games=256, rollouts=64)
    assert upper.mean > best + 4 * upper.stderr
    assert 0.8 * best < lower.mean < best + 4 * lower.stderr


def test_the_same_seed_gives_the_same_estimate():
    bound = partial(information_relaxation_bound, HUNT, ["random"], futures=6)
    assert bound(seed=1) == bound(seed=1) != bound(seed=2)


def test_the_number_of_expanded_states_is_limited():
    """One future too large; all futures together too large; and as many as fit."""
    table, keys = seat_games(HUNT, ["random"], 1, 0)
    one = table.rows(jnp.int32(0))
    plan = best_plan(one, keys[0], 1.0, 10_000)
    assert plan is not None
    _, states = plan
    assert best_plan(one, keys[0], 1.0, states - 1) is None
    bound = partial(information_relaxation_bound, HUNT, ["random"])
    assert bound(futures=32, states=100) is None
    estimate = bound(futures=1000, states=60 * states)
    assert 16 <= estimate.games < 1000
    assert np.isfinite(estimate.mean)
