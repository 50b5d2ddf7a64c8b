"""Where a game is too large: plans for a known future beside trying every plan, and what lies between a search and foresight."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import exact, make_game, make_player
from bestreply.exact.bounds import _best_plan, _rows, bound, search, tables

HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3, leave=True)"
)
STAY = make_game(
    "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=3, leave=False)"
)
PENNIES = make_game("matrix(table=matching_pennies, rounds=4)")
PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")


@pytest.mark.parametrize(
    "game, other",
    [(HUNT, "random"), (STAY, "noisy(nearest_stag, 0.3)"), (PD, "tit_for_tat")],
)
def test_the_best_plan_is_what_trying_every_plan_finds(game, other):
    """Step by step with the same draws, illegal actions left out."""
    table, keys = tables(game, [other], 4, seed=3)
    gamma = 0.9
    begin = jax.jit(lambda one, key: one.begin(key))
    move = jax.jit(lambda one, world, own, key: one.move(world, own, key))
    legal = jax.jit(lambda one, world: one.look(world).legal[one.focal])
    for row in range(4):
        one = _rows(table, jnp.int32(row))
        first_key, key = jax.random.split(keys[row])
        first, best = begin(one, first_key), -np.inf
        for plan in itertools.product(
            range(game.num_actions), repeat=game.max_steps
        ):
            world, total = first, 0.0
            for t, own in enumerate(plan):
                if not legal(one, world)[own]:
                    total = -np.inf
                    break
                world, reward = move(
                    one, world, jnp.int32(own), jax.random.fold_in(key, t)
                )
                total += gamma**t * float(reward)
            best = max(best, total)
        plan = _best_plan(one, keys[row], gamma, 10_000)
        assert plan is not None
        found, seen = plan
        assert found == pytest.approx(best, abs=1e-6)
        assert seen < sum(
            game.num_actions**t for t in range(game.max_steps)
        )  # what is reached twice is one


def test_without_chance_foresight_is_the_best_reply():
    """And with it the search, whose policies hold what is best against one who cooperates until it is betrayed."""
    best = exact.best_reply(PD, 0, ["grim"]).value
    assert bound(PD, ["grim"], futures=4).mean == pytest.approx(best)
    found = search(PD, ["always_c"], [make_player("always_d", PD)], games=6)
    assert (found.mean, found.stderr) == (
        exact.best_reply(PD, 0, ["always_c"]).value,
        0.0,
    )


def test_who_foresees_a_coin_always_wins():
    found = bound(PENNIES, ["random"], futures=20)
    assert (found.mean, found.stderr, found.games) == (4.0, 0.0, 20)
    assert exact.best_reply(PENNIES, 0, ["random"]).value == pytest.approx(
        0.0, abs=1e-6
    )


def test_the_best_reply_lies_between_a_search_and_foresight():
    """Within four standard errors, against one whose next action nobody can know."""
    game = make_game("matrix(table=chicken, rounds=3)")
    best = exact.best_reply(game, 0, ["random"]).value
    above = bound(game, ["random"], futures=200)
    policies = [make_player(name, game) for name in ("always_c", "always_d")]
    below = search(game, ["random"], policies, games=256, rollouts=64)
    assert above.mean > best + 4 * above.stderr
    assert 0.8 * best < below.mean < best + 4 * below.stderr


def test_the_same_seed_gives_the_same_estimate():
    assert bound(HUNT, ["random"], futures=6, seed=1) == bound(
        HUNT, ["random"], futures=6, seed=1
    )
    assert bound(HUNT, ["random"], futures=40, seed=1) != bound(
        HUNT, ["random"], futures=40, seed=2
    )


def test_there_is_a_limit_to_what_is_looked_at():
    """A future that alone is too much; futures that together are; and as many as there is room for."""
    table, keys = tables(HUNT, ["random"], 1, 0)
    plan = _best_plan(_rows(table, jnp.int32(0)), keys[0], 1.0, 10_000)
    assert plan is not None
    _, seen = plan
    assert (
        _best_plan(_rows(table, jnp.int32(0)), keys[0], 1.0, seen - 1) is None
    )
    assert bound(HUNT, ["random"], futures=32, states=100) is None
    some = bound(HUNT, ["random"], futures=1000, states=60 * seen)
    assert 16 <= some.games < 1000
