"""The others' moves weighed one at a time beside all their joint draws, and which players and games may be solved so."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.exact.backward_induction import Case
from bestreply.exact.dependence import depends, keeps_to_its_cell
from bestreply.exact.factored_backup import dependence, steps_by_outcome
from bestreply.exact.grid import Way, solve_grid
from bestreply.exact.grid_players import draw_layouts
from bestreply.exact.positions import groups_of, number_positions
from bestreply.exact.tree import solve
from bestreply.games.base import Outcomes
from bestreply.games.grid import STAY
from bestreply.games.stag_hunt import StagHunt
from bestreply.players.base import ScriptedPlayer, uniform
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play

STAGS = "stag_hunt(height=2, width=3, stags=1, max_steps=3, "
CASES = {
    "two hunters": (
        STAGS + "hunters=2, hares=2)",
        ["noisy(nearest_stag, 0.3)"],
    ),
    "three hunters, a mixture": (
        STAGS + "hunters=3, hares=1)",
        ["nearest_stag", "mixture(random, nearest_hare)"],
    ),
    "they stay, two kinds of modes": (
        STAGS + "hunters=3, hares=1, leave=False)",
        [
            "switching(nearest_stag, random, hazard=0.4)",
            "mixture(random, nearest_hare, nearest_stag)",
        ],
    ),
    "blocks": (
        "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=3, blocks=1)",
        ["nearest_hare"],
    ),
    "snowdrift": (
        "snowdrift(height=2, width=2, players=2, drifts=2, max_steps=3)",
        ["nearest_drift"],
    ),
    "snowdrift, three players": (
        "snowdrift(height=2, width=2, players=3, drifts=2, max_steps=3)",
        [
            "switching(nearest_drift, never_remove, step=1)",
            "noisy(nearest_drift, 0.3)",
        ],
    ),
}


class Shy(ScriptedPlayer):
    """Goes anywhere, but stays where somebody else stands too."""

    name: str = eqx.field(static=True, default="shy")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        met = (obs[..., 0] * obs[..., 1]).sum() > 0
        return jnp.where(
            met, jax.nn.one_hot(STAY, legal.shape[0]), uniform(legal)
        )


class Blurred(ScriptedPlayer):
    """Looks at its own cell by a product over all planes, which no proof sees through."""

    name: str = eqx.field(static=True, default="blurred")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry, obs, legal):
        flat = obs.reshape(-1, obs.shape[-1])
        own = flat @ jax.nn.one_hot(0, flat.shape[-1])  # the first plane
        return uniform(
            jnp.where(
                own[0] > 0,
                legal,
                legal & (jnp.arange(len(legal)) != STAY) | ~legal.any(),
            )
        )


class Crowded(StagHunt):
    """Who stands with another earns a little, whatever they do."""

    def take(self, state, actions):
        reward, leaves, gone = super().take(state, actions)
        together = (
            (state.cell[:, None] == state.cell)
            & ~state.left
            & ~state.left[:, None]
        )
        return reward + 0.1 * (together.sum(1) - 1), leaves, gone


def solved(spec, others):
    game = make_game(spec)
    players = [
        make_player(p, game) if isinstance(p, str) else p for p in others
    ]
    return game, players, solve_grid(game, players, gamma=0.9, layouts=2)


def close(one, two):
    np.testing.assert_allclose(
        one, two, rtol=1e-5, atol=1e-6
    )  # infinities alike too


@pytest.mark.parametrize("name", CASES)
def test_one_at_a_time_is_as_all_joint_draws(name):
    game, _, reply = solved(*CASES[name])
    jointly = dataclasses.replace(reply, way=Way.JOINTLY, kept={})
    assert reply.way is Way.APART
    for layout in draw_layouts(game, 2)[0]:
        close(reply.tables(layout), jointly.tables(layout))


def test_values_are_those_of_joint_draws():
    """The best reply's, and those of a player in its place."""
    game, _, reply = solved(*CASES["they stay, two kinds of modes"])
    layouts, _ = draw_layouts(game, 2)
    jointly = dataclasses.replace(reply, way=Way.JOINTLY, kept={})
    assert reply.value == pytest.approx(
        jointly.value_of_starts(layouts)[0], rel=1e-5
    )
    random = make_player("random", game)
    assert reply.value_of(random, layouts)[0] == pytest.approx(
        jointly.value_of(random, layouts)[0], rel=1e-5
    )


def test_a_player_that_looks_at_others_is_weighed_jointly_and_right():
    """Beside the solver of any game, position by position."""
    game, players, reply = solved(STAGS + "hunters=2, hares=1)", [Shy()])
    assert reply.way is Way.TRIED and not reply._apart(
        case_of(game, [Shy()], draw_layouts(game, 1)[0][0])
    )
    episodes = play(
        game, seat_players(game, ["random", *players], 6, 0), 0
    ).episodes
    states = jax.vmap(game.state_in)(episodes.obs[:, 0, 0])
    first = Outcomes(
        np.full(6, 1 / 6),
        states,
        jax.vmap(game.look)(states, jnp.zeros((6, 2))),
    )
    close(
        reply.decisions(episodes).q,
        solve(game, 0, players, gamma=0.9, first=first).decisions(episodes).q,
    )


def case_of(game, players, layout):
    still = np.ones((game.max_steps + 1, 1, 1), np.float32)
    return Case(
        tuple((p,) for p in players),
        still,
        number_positions(game),
        layout,
        np.float32(0.9),
    )


def test_what_is_not_proved_is_tried():
    game, _, reply = solved(STAGS + "hunters=2, hares=1)", [Blurred()])
    layout = draw_layouts(game, 1)[0][0]
    case, groups = (
        case_of(game, [Blurred()], layout),
        groups_of(game, reply.positions),
    )
    assert reply.way is Way.TRIED and reply._apart(case)
    assert float(dependence(game, groups, case)) == 0
    assert (
        float(dependence(game, groups, case._replace(modes=((Shy(),),)))) > 0.5
    )
    jointly = dataclasses.replace(reply, way=Way.JOINTLY, kept={})
    close(reply.tables(layout), jointly.tables(layout))


@pytest.mark.parametrize(
    "spec", ["stag_hunt", "stag_hunt(leave=False, blocks=2)", "snowdrift"]
)
def test_all_players_of_the_zoo_are_proved_to_keep_to_their_cell(spec):
    game = make_game(spec)
    names = (
        ("never_remove", "nearest_drift")
        if spec == "snowdrift"
        else ("nearest_stag", "nearest_hare")
    )
    for name in ("random", *names, f"noisy({names[0]}, 0.2)"):
        assert all(
            keeps_to_its_cell(game, make_player(name, game), seat)
            for seat in (1, 3)
        ), name
    assert not keeps_to_its_cell(game, Shy(), 1) and not keeps_to_its_cell(
        game, Blurred(), 1
    )
    assert steps_by_outcome(game)


def test_a_game_of_more_than_outcomes_is_solved_jointly():
    game = Crowded(height=2, width=3, hunters=2, stags=1, hares=1, max_steps=3)
    assert not steps_by_outcome(game)
    assert (
        solve_grid(game, [make_player("random", game)], layouts=1).way
        is Way.JOINTLY
    )


def test_joint_draws_beyond_memory_are_refused(monkeypatch):
    game = make_game(STAGS + "hunters=2, hares=1)")
    for limit, what in (
        (700, "882 probabilities"),
        (1000, "1,176 outcomes of a step"),
    ):
        monkeypatch.setattr("bestreply.exact.joint_backup.LIMIT", limit)
        with pytest.raises(
            ValueError,
            match=f"players that look at one another has {what} .* expected: at most",
        ):
            solve_grid(game, [Shy()], layouts=1)


FUNCTIONS = {  # of [4] int32, whose last two elements are hidden
    "elements": (lambda x: (x * 2 + x[0])[:2], False),
    "an element that is hidden": (lambda x: x[2] + x[0], True),
    "a sum": (lambda x: x.sum(), True),
    "a row of sums of hidden ones": (lambda x: x.reshape(2, 2).sum(1)[1], True),
    "a row of sums": (lambda x: x.reshape(2, 2).sum(1)[0], False),
    "by indices that are known": (lambda x: x[np.array([1, 0])], False),
    "by an index that is hidden": (lambda x: jnp.arange(5)[x[3]], True),
    "rows by their own indices": (lambda x: jnp.arange(5)[x][:2], False),
    "in a program of its own": (
        lambda x: jax.jit(lambda y: y.at[3].set(0) * 0 + y)(x)[:2],
        True,
    ),
    "sorted": (lambda x: jnp.sort(x)[:1], True),
    "a choice": (lambda x: jax.lax.cond(x[3] > 0, lambda: 1, lambda: 2), True),
    "nothing of it": (lambda x: jnp.arange(3), False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_program_depends_on(name):
    function, wanted = FUNCTIONS[name]
    hidden = np.array([False, False, True, True])
    assert depends(function, (jnp.zeros(4, jnp.int32),), (hidden,)) is wanted
