import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_grid import SlowGrid, compare, eager_actions

from bestreply.games import check_game, make_game
from bestreply.games.grid import GridState, distances, targets

UP, DOWN, LEFT, RIGHT, STAY, HUNT_STAG, HUNT_HARE = range(7)


class SlowStagHunt(SlowGrid):
    def __init__(self, game, state):
        super().__init__(game, state)
        self.leave, self.events = game.leave, set()

    def take(self, names):
        rewards = [0.0] * self.n
        for thing in list(self.things):
            kind, cell = thing
            party = self.who(
                names, "HUNT_STAG" if kind == "stags" else "HUNT_HARE", cell
            )
            self.events.add((kind, len(party)))
            if len(party) < (2 if kind == "stags" else 1):
                continue
            self.things.remove(thing)
            for i in party:
                rewards[i] = (10.0 if kind == "stags" else 1.0) / len(party)
        for i in range(self.n):
            if self.leave and rewards[i]:
                self.left[i] = True
        return rewards

    def own_end(self):
        return all(self.left) if self.leave else not self.things


SETTINGS = [
    {},
    {"stags": 2, "hunters": 3, "max_steps": 35},
    {
        "height": 3,
        "width": 3,
        "hunters": 5,
        "stags": 2,
        "hares": 2,
        "leave": False,
    },
    {
        "height": 2,
        "width": 3,
        "hunters": 2,
        "stags": 1,
        "hares": 1,
        "max_steps": 25,
    },
    {
        "height": 2,
        "width": 2,
        "hunters": 3,
        "stags": 1,
        "hares": 1,
        "leave": False,
        "max_steps": 6,
    },
    {
        "height": 5,
        "width": 3,
        "hunters": 2,
        "stags": 1,
        "hares": 0,
        "blocks": 2,
    },
    {
        "height": 6,
        "width": 4,
        "hunters": 4,
        "stags": 1,
        "hares": 4,
        "blocks": 5,
        "leave": False,
        "max_steps": 35,
    },
    {
        "height": 8,
        "width": 8,
        "hunters": 4,
        "stags": 2,
        "hares": 4,
        "blocks": 5,
        "max_steps": 35,
    },
    {
        "height": 1,
        "width": 4,
        "hunters": 1,
        "stags": 1,
        "hares": 2,
        "max_steps": 5,
    },
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_plays_by_the_rules(settings):
    compare(make_game("stag_hunt", **settings), SlowStagHunt)


def test_the_comparison_sees_every_kind_of_catch():
    slow, rewards = compare(
        make_game("stag_hunt", height=1, width=2, stags=1, hares=1),
        SlowStagHunt,
        48,
    )
    events = set().union(*(one.events for one in slow))
    assert events >= {("stags", k) for k in range(4)} | {
        ("hares", k) for k in range(4)
    }
    assert {0.0, 10 / 2, 10 / 3, 1.0, 1 / 2} <= set(np.unique(rewards))


# -- consequences of the rules -------------------------------------------------------------------------------


def line(hunter_cells, **settings):
    """A row of cells: the stag on 0, hares on 1, 2, ...; hunters where told. Gives the game and its state."""
    game = make_game(
        "stag_hunt", height=1, width=5, hunters=len(hunter_cells), **settings
    )
    state = GridState(
        cell=jnp.array(hunter_cells, jnp.int32),
        left=jnp.zeros(len(hunter_cells), bool),
        blocks=jnp.zeros(5, bool),
        thing_cell=jnp.arange(game.stags + game.hares, dtype=jnp.int32),
        thing_present=jnp.ones(game.stags + game.hares, bool),
        time=jnp.int32(0),
    )
    return game, state


KEY = jax.random.key(0)


def test_best_group_total_is_12_two_on_the_stag_and_two_on_hares():
    game, state = line([0, 0, 0, 0])
    cells = np.array(
        list(itertools.product(range(5), repeat=4)), np.int32
    )  # who hunts what: everyone catches once
    actions = np.where(cells == 0, HUNT_STAG, HUNT_HARE).astype(np.int32)

    def total(cell, action):
        at = GridState(
            cell,
            state.left,
            state.blocks,
            state.thing_cell,
            state.thing_present,
            state.time,
        )
        return game.step(at, action, KEY)[1].reward.sum()

    totals = np.asarray(jax.jit(jax.vmap(total))(cells, actions))
    assert totals.max() == 12.0
    assert totals.max() / 4 == 3.0
    best = cells[totals == 12.0]
    assert ((best == 0).sum(1) == 2).all()
    assert all(len(set(row[row > 0])) == 2 for row in best)
    assert (
        len(best) == 6 * 4 * 3
    )  # which two hunt the stag; which hares the others take


def test_all_four_on_the_stag_get_two_and_a_half_each():
    game, state = line([0, 0, 0, 0])
    _, shown = game.step(state, np.full(4, HUNT_STAG), KEY)
    assert shown.reward.tolist() == [2.5] * 4
    assert (
        shown.terminated.all()
        and not shown.truncated
        and not shown.present.any()
    )


def test_a_hare_pays_one_to_its_sole_hunter_and_is_shared_by_two():
    game, state = line([1, 2, 2, 4])
    _, shown = game.step(
        state, np.array([HUNT_HARE, HUNT_HARE, HUNT_HARE, STAY]), KEY
    )
    assert shown.reward.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert shown.present.tolist() == [False, False, False, True]


def test_one_hunter_alone_gets_no_stag_and_stays():
    game, state = line([0, 0, 1, 1])
    state, shown = game.step(
        state, np.array([HUNT_STAG, STAY, STAY, STAY]), KEY
    )
    assert shown.reward.tolist() == [0.0] * 4 and shown.present.all()
    assert shown.legal[0, HUNT_STAG] and state.thing_present.all()


def test_who_leaves_takes_its_reward_along_and_nothing_more():
    game, state = line([1, 0, 0, 0])
    state, shown = game.step(
        state, np.array([HUNT_HARE, STAY, STAY, STAY]), KEY
    )
    assert shown.reward[0] == 1 and shown.terminated.tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert np.flatnonzero(shown.legal[0]).tolist() == [STAY]
    assert shown.obs[0][..., 0].sum() == 0 and shown.obs[1][..., 1].sum() == 0
    _, shown = game.step(
        state, np.array([HUNT_STAG, HUNT_STAG, HUNT_STAG, STAY]), KEY
    )
    assert shown.reward.tolist() == [0, 5, 5, 0]


def test_without_leaving_hunters_hunt_on_until_no_prey_is_left():
    game, state = line([0, 0, 3, 4], leave=False)
    state, shown = game.step(
        state, np.array([HUNT_STAG, HUNT_STAG, HUNT_HARE, HUNT_HARE]), KEY
    )
    assert (
        shown.reward.tolist() == [5, 5, 1, 1]
        and shown.present.all()
        and not shown.terminated.any()
    )
    state, _ = game.step(state, np.array([RIGHT, RIGHT, LEFT, STAY]), KEY)
    state, shown = game.step(
        state, np.array([HUNT_HARE, HUNT_HARE, STAY, STAY]), KEY
    )
    assert (
        shown.reward.tolist() == [0.5, 0.5, 0, 0] and not shown.terminated.any()
    )
    _, shown = game.step(state, np.array([STAY, STAY, HUNT_HARE, STAY]), KEY)
    assert shown.reward.tolist() == [0, 0, 1, 0]
    assert (
        shown.terminated.all() and shown.present.all() and not shown.truncated
    )


def test_the_step_limit_truncates_and_leaves_terminated_alone():
    game, state = line([1, 2, 0, 0], max_steps=2)
    state, _ = game.step(state, np.array([HUNT_HARE, STAY, STAY, STAY]), KEY)
    state, shown = game.step(state, np.full(4, STAY), KEY)
    assert shown.truncated and shown.terminated.tolist() == [
        True,
        False,
        False,
        False,
    ]
    again, after = game.step(
        state, np.array([STAY, HUNT_HARE, STAY, STAY]), KEY
    )
    assert (
        after.reward.tolist() == [0] * 4 and after.truncated and again.time == 2
    )
    np.testing.assert_array_equal(after.obs, shown.obs)


def test_a_last_catch_in_the_last_step_is_an_end_and_no_truncation():
    game, state = line([1, 2, 3, 4], max_steps=1)
    _, shown = game.step(state, np.full(4, HUNT_HARE), KEY)
    assert shown.terminated.all() and not shown.truncated


def test_goals_are_shown_by_catches():
    game, _ = line([0, 1, 0, 0])
    action = np.array([HUNT_STAG, HUNT_STAG, HUNT_HARE, STAY, -1], np.int32)
    reward = np.array([5, 0, 0.5, 0, 0], np.float32)
    obs = np.zeros((5, *game.obs_shape), np.float32)
    assert game.goals == ("stag", "hare", "none")
    assert game.achieved(obs, action, reward).tolist() == [0, -1, 1, -1, -1]


# -- where things start --------------------------------------------------------------------------------------


def starts(game, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(game.start))(keys))


def test_prey_starts_on_distinct_cells_everything_anywhere():
    state = starts(make_game("stag_hunt"), 8000)
    assert all(len(set(cells)) == 5 for cells in state.thing_cell)
    for cells in (
        state.cell[:, 0],
        state.cell[:, 3],
        state.thing_cell[:, 0],
        state.thing_cell[:, 4],
    ):
        counts = np.bincount(cells, minlength=16)
        assert abs(counts - 500).max() < 5 * np.sqrt(
            500
        )  # five standard deviations of a uniform draw
    assert (state.cell[:, 0] == state.cell[:, 1]).mean() == pytest.approx(
        1 / 16, abs=0.015
    )  # may overlap
    assert (state.cell[:, 0] == state.thing_cell[:, 0]).mean() == pytest.approx(
        1 / 16, abs=0.015
    )


def pieces(blocks, height, width):
    """The connected components of a set of cells, by flood."""
    cells, found = set(blocks), []
    while cells:
        front, piece = [cells.pop()], set()
        while front:
            row, column = front.pop()
            piece.add((row, column))
            near = {
                (row + 1, column),
                (row - 1, column),
                (row, column + 1),
                (row, column - 1),
            } & cells
            cells -= near
            front += near
        found.append(frozenset(piece))
    return found


def canonical(piece):
    """A piece moved to the corner, in the turn and mirror image that sorts first."""
    forms = []
    for flip, turns in itertools.product((1, -1), range(4)):
        form = [(r, c * flip) for r, c in piece]
        for _ in range(turns):
            form = [(c, -r) for r, c in form]
        top, edge = min(r for r, _ in form), min(c for _, c in form)
        forms.append(tuple(sorted((r - top, c - edge) for r, c in form)))
    return min(forms)


I3, I4 = [(0, 0), (0, 1), (0, 2)], [(0, 0), (0, 1), (0, 2), (0, 3)]
L3, L4 = [(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize("height, width", [(8, 8), (4, 5)])
def test_blocks_are_few_i_and_l_pieces_that_leave_one_free_area(height, width):
    game = make_game("stag_hunt", height=height, width=width, blocks=5)
    state = starts(game, 200)
    everything = set(itertools.product(range(height), range(width)))
    shapes, most = set(), 0
    for index in range(200):
        blocks = {
            divmod(int(c), width) for c in np.flatnonzero(state.blocks[index])
        }
        found = pieces(blocks, height, width)
        shapes |= {canonical(piece) for piece in found}
        most = max(most, len(found))
        assert 1 <= len(found) <= 5
        assert len(pieces(everything - blocks, height, width)) == 1
        taken = np.concatenate([state.cell[index], state.thing_cell[index]])
        assert not state.blocks[index][taken].any()
        assert len(set(state.thing_cell[index])) == 5
    assert shapes == {canonical(piece) for piece in (I3, I4, L3, L4)}
    if (height, width) == (8, 8):
        assert most == 5


def test_blocks_never_take_the_room_of_the_prey():
    state = starts(
        make_game("stag_hunt", height=3, width=3, blocks=5, hares=5), 100
    )
    assert ((~state.blocks).sum(1) >= 6).all() and state.blocks.any()
    assert not starts(
        make_game("stag_hunt", height=1, width=2, blocks=5, hares=1), 4
    ).blocks.any()  # no piece fits


def test_moves_and_distances_agree_with_counting():
    to, far = targets(3, 4), distances(3, 4)
    assert to[0].tolist() == [-1, 4, -1, 1, 0] and to[11].tolist() == [
        7,
        -1,
        10,
        -1,
        11,
    ]
    for a, b in itertools.product(range(12), repeat=2):
        assert far[a, b] == abs(a // 4 - b // 4) + abs(a % 4 - b % 4)


def read(game, obs):
    """A state of `game` read off what seat 0 sees."""
    planes = np.moveaxis(np.asarray(obs).reshape(game.cells, -1), 1, 0)
    n, counts = game.num_players, list(game.kinds.values())
    cells, there = [], []
    for plane, count in zip(planes[n + 1 : -1], counts, strict=True):
        found = np.flatnonzero(plane)
        cells += [*found, *[0] * (count - len(found))]
        there += [True] * len(found) + [False] * (count - len(found))
    return GridState(
        cell=jnp.asarray(planes[:n].argmax(1), jnp.int32),
        left=jnp.asarray(planes[:n].max(1) == 0),
        blocks=jnp.asarray(planes[n] > 0),
        thing_cell=jnp.array(cells, jnp.int32),
        thing_present=jnp.array(there),
        time=jnp.int32(round((1 - planes[-1, 0]) * game.max_steps)),
    )


@pytest.mark.parametrize(
    "spec, count",
    [
        ("stag_hunt(hunters=3, height=3, width=3, hares=2)", 8 * 2),
        (
            "stag_hunt(hunters=3, height=2, width=3, hares=2, leave=False)",
            4 * 2,
        ),
        ("snowdrift(height=3, width=3, drifts=3, blocks=1)", 8 * 6),
    ],
)
def test_a_game_turned_by_a_symmetry_goes_on_as_the_turned_game(spec, count):
    game, rng = make_game(spec), np.random.default_rng(0)
    turns, step = game.symmetries(), jax.jit(game.step)
    assert turns.obs.shape == (count, np.prod(game.obs_shape))
    state, shown = game.reset(jax.random.key(3))
    for which in rng.permutation(count)[:12]:
        obs_map, action_map, others = (
            np.asarray(part)[which] for part in turns
        )
        seats = np.array([0, *(1 + others)])
        actions = eager_actions(game, np.asarray(shown.legal)[None], rng)[0]
        turned = read(
            game,
            np.asarray(shown.obs[0])
            .reshape(-1)[obs_map]
            .reshape(game.obs_shape),
        )
        _, there = step(turned, action_map[actions[seats]], KEY)
        state, shown = step(state, actions, KEY)
        wanted = (
            np.asarray(shown.obs[0])
            .reshape(-1)[obs_map]
            .reshape(game.obs_shape)
        )
        np.testing.assert_allclose(there.obs[0], wanted, rtol=1e-6)
        for name in ("reward", "terminated", "present"):
            np.testing.assert_array_equal(
                getattr(there, name), np.asarray(getattr(shown, name))[seats]
            )
        if game.finished(state):
            state, shown = game.reset(jax.random.key(int(which)))


# -- how it is made and looked at ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"height": 0}, "height=0|at least 1"),
        ({"hunters": 0}, "hunters=0"),
        ({"hares": -1}, "hares=-1"),
        ({"stags": 0, "hares": 0}, "0 things"),
        ({"height": 2, "width": 2}, "5 things for 4 cells"),
        ({"stag_reward": float("nan")}, "stag_reward=nan"),
        ({"wolves": 1}, "wolves=1: expected a setting of stag_hunt: .*hunters"),
        ({"role": "x"}, "role='x': expected a setting"),
    ],
)
def test_settings_that_make_no_game_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        make_game("stag_hunt", **settings)


def test_text_and_picture_show_what_is_where():
    game, state = line([0, 2, 4, 4])
    _, shown = game.step(state, np.array([STAY, HUNT_HARE, STAY, STAY]), KEY)
    assert game.text(shown.obs[0], 0).splitlines() == [
        " 1S   H   .   H 34H",
        "14 of 15 steps left",
    ]
    assert game.text(shown.obs[3], 3) == game.text(
        shown.obs[0], 0
    )  # by global seat, whoever looks
    assert ">1</text>" in game.picture(
        shown.obs[0], 0
    ) and ">2</text>" not in game.picture(shown.obs[0], 0)


def test_keeps_every_promise_of_a_game():
    game = make_game(
        "stag_hunt(hunters=3, height=3, width=3, hares=2, blocks=1)"
    )
    assert check_game(game, episodes=4).skipped == {}
