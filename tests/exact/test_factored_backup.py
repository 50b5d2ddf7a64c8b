"""The factored backup compared with the joint one, and the conditions under which it is exact."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from state_replies import first_outcomes

from bestreply import make_game, make_player
from bestreply.exact.dependence import depends, ignores_other_players
from bestreply.exact.factored_backup import (
    largest_dependence,
    outcomes_determine_step,
)
from bestreply.exact.grid import Backup, solve_grid
from bestreply.exact.grid_players import draw_layouts
from bestreply.exact.tree import solve
from bestreply.games.grid import STAY
from bestreply.games.stag_hunt import StagHunt
from bestreply.players.base import ScriptedPlayer, uniform
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play

HUNT = make_game(
    "stag_hunt(height=2, width=3, hunters=2, stags=1, hares=1, max_steps=3)"
)
CASES = {
    "three hunters that stay, two kinds of modes": (
        dataclasses.replace(HUNT, hunters=3, leave=False),
        [
            "switching(nearest_stag, random, hazard=0.4)",
            "mixture(random, noisy(nearest_hare, 0.3), nearest_stag)",
        ],
    ),
    "blocks, and hunters that leave": (
        dataclasses.replace(HUNT, height=3, blocks=1),
        ["nearest_hare"],
    ),
    "three hunters that leave": (
        dataclasses.replace(HUNT, hunters=3),
        ["nearest_stag", "mixture(random, nearest_hare)"],
    ),
    "snowdrift, three players": (
        make_game(
            "snowdrift(height=2, width=2, players=3, drifts=2, max_steps=3)"
        ),
        [
            "switching(nearest_drift, never_remove, step=1)",
            "noisy(nearest_drift, 0.3)",
        ],
    ),
}


class Shy(ScriptedPlayer):
    """Acts at random, but stays where another player is on its cell."""

    name: str = eqx.field(static=True, default="shy")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        met = (obs[..., 0] * obs[..., 1]).sum() > 0
        stay = jax.nn.one_hot(STAY, legal.shape[0])
        return jnp.where(met, stay, uniform(legal))


class Blurred(ScriptedPlayer):
    """Reads its own cell by a product over all planes, which the analysis cannot follow."""

    name: str = eqx.field(static=True, default="blurred")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        flat = obs.reshape(-1, obs.shape[-1])
        own = flat @ jax.nn.one_hot(0, flat.shape[-1])  # the first plane
        moves = legal & (jnp.arange(len(legal)) != STAY)
        return uniform(jnp.where(own[0] > 0, legal, moves | ~legal.any()))


class Crowded(StagHunt):
    """Hunters on one cell earn a little, whatever they do."""

    def take(self, state, actions):
        reward, leaves, gone = super().take(state, actions)
        same = state.cell[:, None] == state.cell
        together = same & ~state.left & ~state.left[:, None]
        return reward + 0.1 * (together.sum(1) - 1), leaves, gone


def solved(game, others):
    players = [make_player(p, game) for p in others]
    return solve_grid(game, players, gamma=0.9, layouts=0)


def joint(reply):
    return dataclasses.replace(reply, backup=Backup.JOINT, stored={})


def check_equal(a, b):
    """Infinities included."""
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name == "three hunters that leave"
        else name
        for name in CASES
    ],
)
def test_the_factored_backup_equals_the_joint_one(name):
    game, others = CASES[name]
    reply = solved(game, others)
    assert reply.backup is Backup.FACTORED
    for layout in draw_layouts(game, 2)[0]:
        check_equal(reply.tables(layout), joint(reply).tables(layout))


def test_values_equal_those_of_the_joint_backup():
    """The best reply's, and those of a player in its place."""
    game, others = CASES["three hunters that stay, two kinds of modes"]
    reply, random = solved(game, others), make_player("random", game)
    layouts, _ = draw_layouts(game, 2)
    for value in (
        lambda r: r.start_value(layouts)[0],
        lambda r: r.value_of(random, layouts)[0],
    ):
        assert value(reply) == pytest.approx(value(joint(reply)), rel=1e-5)


@pytest.fixture(scope="module")
def layout():
    return draw_layouts(HUNT, 1)[0][0]


def test_a_player_that_observes_others_has_a_joint_backup(layout):
    """Compared with the solver of any game, position by position."""
    reply = solved(HUNT, [Shy()])
    assert reply.backup is Backup.CHECKED
    assert not reply._factors(reply._problem(layout))
    lineup = seat_players(HUNT, ["random", Shy()], 6, 0)
    episodes = play(HUNT, lineup, 0).episodes
    first = first_outcomes(HUNT, episodes)
    tree = solve(HUNT, 0, [Shy()], gamma=0.9, first=first)
    check_equal(reply.decisions(episodes).q, tree.decisions(episodes).q)


def test_without_a_proof_every_position_is_checked(layout):
    reply = solved(HUNT, [Blurred()])
    problem = reply._problem(layout)
    assert reply.backup is Backup.CHECKED and reply._factors(problem)
    assert float(largest_dependence(HUNT, reply.groups, problem)) == 0
    shy = problem._replace(modes=((Shy(),),))
    assert float(largest_dependence(HUNT, reply.groups, shy)) > 0.5
    check_equal(reply.tables(layout), joint(reply).tables(layout))


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("stag_hunt(blocks=2)", ["random", "nearest_stag", "nearest_hare"]),
        ("snowdrift", ["random", "never_remove", "nearest_drift"]),
    ],
)
def test_all_players_of_the_zoo_provably_ignore_other_players(spec, names):
    game = make_game(spec)
    for name in (*names, f"noisy({names[1]}, 0.2)"):
        player = make_player(name, game)
        assert ignores_other_players(game, player, 1), name
        assert ignores_other_players(game, player, 3), name
    assert outcomes_determine_step(game)


def test_no_proof_for_players_that_observe_others():
    assert not ignores_other_players(HUNT, Shy(), 1)
    assert not ignores_other_players(HUNT, Blurred(), 1)


def test_a_game_with_other_effects_has_a_joint_backup():
    game = Crowded(height=2, width=3, hunters=2, stags=1, hares=1, max_steps=3)
    assert not outcomes_determine_step(game)
    assert solved(game, ["random"]).backup is Backup.JOINT


@pytest.mark.parametrize(
    ("limit", "what"),
    [(700, "882 probabilities"), (1000, "1,176 outcomes of a step")],
)
def test_joint_actions_beyond_memory_are_refused(
    limit, what, layout, monkeypatch
):
    monkeypatch.setattr("bestreply.exact.joint_backup.LIMIT", limit)
    with pytest.raises(
        ValueError,
        match=f"players that observe each other has {what} .* expected at most",
    ):
        solved(HUNT, [Shy()]).tables(layout)


FUNCTIONS = {  # of [4] int32, whose last two elements are hidden
    "elements": (lambda x: (x * 2 + x[0])[:2], False),
    "a hidden element": (lambda x: x[2] + x[0], True),
    "a sum": (lambda x: x.sum(), True),
    "a sum of hidden elements": (lambda x: x.reshape(2, 2).sum(1)[1], True),
    "a sum of others": (lambda x: x.reshape(2, 2).sum(1)[0], False),
    "constant indices": (lambda x: x[np.array([1, 0])], False),
    "a hidden index": (lambda x: jnp.arange(5)[x[3]], True),
    "one index per row": (lambda x: jnp.arange(5)[x][:2], False),
    "a nested program": (
        lambda x: jax.jit(lambda y: y.at[3].set(0) * 0 + y)(x)[:2],
        True,
    ),
    "an unknown operation": (lambda x: jnp.sort(x)[:1], True),
    "a branch": (lambda x: jax.lax.cond(x[3] > 0, lambda: 1, lambda: 2), True),
    "a constant": (lambda x: jnp.arange(3), False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dependence_of_a_program(name):
    function, expected = FUNCTIONS[name]
    hidden = np.array([False, False, True, True])
    assert depends(function, (np.zeros(4, np.int32),), (hidden,)) is expected
