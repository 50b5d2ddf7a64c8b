"""Markov Stag Hunt: beside a reference, worked out by hand, and where things start."""

import itertools

import jax
import numpy as np
import pytest
from reference_grid import ReferenceGrid, compare, eager_actions

from bestreply.games import check_game, make_game
from bestreply.games.grid import GridState, distances, targets
from tests.shared import compiled

UP, DOWN, LEFT, RIGHT, STAY, HUNT_STAG, HUNT_HARE = range(7)


class ReferenceStagHunt(ReferenceGrid):
    def __init__(self, game, state):
        super().__init__(game, state)
        self.leave, self.parties = game.leave, set()

    def take(self, names):
        rewards = [0.0] * self.n
        for thing in list(self.things):
            kind, cell = thing
            is_stag = kind == "stags"
            action = "HUNT_STAG" if is_stag else "HUNT_HARE"
            party = self.players_on(cell, action, names)
            self.parties.add((kind, len(party)))
            if len(party) < (2 if is_stag else 1):
                continue
            self.things.remove(thing)
            for i in party:
                rewards[i] = (10.0 if is_stag else 1.0) / len(party)
        for i in range(self.n):
            if self.leave and rewards[i]:
                self.left[i] = True
        return rewards

    def over(self):
        return all(self.left) if self.leave else not self.things


SETTINGS = [
    {},
    {"height": 3, "width": 3, "hunters": 5, "stags": 2, "leave": False},
    {"height": 5, "width": 3, "hunters": 2, "hares": 0, "blocks": 2},
    {"height": 6, "width": 4, "blocks": 5, "leave": False, "max_steps": 35},
    {"height": 8, "width": 8, "stags": 2, "blocks": 5, "max_steps": 35},
    {"height": 1, "width": 4, "hunters": 1, "hares": 2, "max_steps": 5},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_play_matches_the_reference(settings):
    compare(make_game("stag_hunt", **settings), ReferenceStagHunt)


def test_the_comparison_includes_every_kind_of_catch():
    game = make_game("stag_hunt", height=1, width=2, stags=1, hares=1)
    references, rewards = compare(game, ReferenceStagHunt, 48)
    parties = set().union(*(one.parties for one in references))
    expected = {(kind, k) for kind in ("stags", "hares") for k in range(4)}
    assert parties >= expected
    assert {0.0, 10 / 2, 10 / 3, 1.0, 1 / 2} <= set(np.unique(rewards))


# -- consequences of the rules -----------------------------------------------

KEY = jax.random.key(0)


def line(cells, time=0, **settings):
    """A row of 5 cells with the stag on 0 and hares on 1 to 4; game and state."""
    hunters = len(cells)
    game = make_game(
        "stag_hunt", height=1, width=5, hunters=hunters, **settings
    )
    state = GridState(
        cell=np.array(cells, np.int32),
        left=np.zeros(hunters, bool),
        blocks=np.zeros(5, bool),
        thing_cell=np.arange(5, dtype=np.int32),
        thing_present=np.ones(5, bool),
        time=np.array(time, np.int32),
    )
    return game, state


def step(game, state, actions):
    state, shown = compiled(game.step)(state, np.array(actions, np.int32), KEY)
    return state, jax.tree.map(np.asarray, shown)


def test_the_best_group_total_is_12_with_two_on_the_stag_and_two_on_hares():
    game, state = line([0, 0, 0, 0])
    # every hunter catches one prey: the cells that they stand on
    cells = np.array(list(itertools.product(range(5), repeat=4)), np.int32)
    actions = np.where(cells == 0, HUNT_STAG, HUNT_HARE).astype(np.int32)
    states = jax.tree.map(
        lambda x: np.broadcast_to(x, (len(cells), *x.shape)), state
    )
    states = GridState(
        cells,
        states.left,
        states.blocks,
        states.thing_cell,
        states.thing_present,
        states.time,
    )
    _, shown = jax.jit(jax.vmap(game.step, (0, 0, None)))(states, actions, KEY)
    totals = np.asarray(shown.reward).sum(1)
    assert totals.max() == 12.0
    best = cells[totals == 12.0]
    assert ((best == 0).sum(1) == 2).all()
    assert all(len(set(row[row > 0])) == 2 for row in best)
    # the pairs of stag hunters, times the hares of the other two
    assert len(best) == 6 * 4 * 3


def test_all_four_on_the_stag_get_two_and_a_half_each():
    _, shown = step(*line([0, 0, 0, 0]), [HUNT_STAG] * 4)
    assert shown.reward.tolist() == [2.5] * 4
    assert shown.terminated.all() and not shown.truncated
    assert not shown.present.any()


def test_a_hare_pays_one_to_a_sole_hunter_and_is_shared_by_two():
    _, shown = step(*line([1, 2, 2, 4]), [HUNT_HARE] * 3 + [STAY])
    assert shown.reward.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert shown.present.tolist() == [False, False, False, True]


def test_a_single_hunter_gets_no_stag_and_stays():
    state, shown = step(*line([0, 0, 1, 1]), [HUNT_STAG, STAY, STAY, STAY])
    assert shown.reward.tolist() == [0.0] * 4 and shown.present.all()
    assert shown.legal[0, HUNT_STAG] and np.asarray(state.thing_present).all()


def test_a_hunter_that_leaves_gets_no_further_reward():
    game, state = line([1, 0, 0, 0])
    state, shown = step(game, state, [HUNT_HARE, STAY, STAY, STAY])
    assert shown.reward[0] == 1
    assert shown.terminated.tolist() == [True, False, False, False]
    assert np.flatnonzero(shown.legal[0]).tolist() == [STAY]
    assert shown.obs[0][..., 0].sum() == 0 and shown.obs[1][..., 1].sum() == 0
    _, shown = step(game, state, [HUNT_STAG, HUNT_STAG, HUNT_STAG, STAY])
    assert shown.reward.tolist() == [0, 5, 5, 0]


def test_without_leaving_the_game_ends_when_no_prey_is_left():
    game, state = line([0, 0, 3, 4], leave=False)
    state, shown = step(
        game, state, [HUNT_STAG, HUNT_STAG, HUNT_HARE, HUNT_HARE]
    )
    assert shown.reward.tolist() == [5, 5, 1, 1]
    assert shown.present.all() and not shown.terminated.any()
    state, _ = step(game, state, [RIGHT, RIGHT, LEFT, STAY])
    state, shown = step(game, state, [HUNT_HARE, HUNT_HARE, STAY, STAY])
    assert shown.reward.tolist() == [0.5, 0.5, 0, 0]
    assert not shown.terminated.any()
    _, shown = step(game, state, [STAY, STAY, HUNT_HARE, STAY])
    assert shown.reward.tolist() == [0, 0, 1, 0]
    assert shown.terminated.all() and shown.present.all()
    assert not shown.truncated


def test_the_step_limit_truncates_and_does_not_terminate():
    game, state = line([1, 2, 0, 0], time=13)
    state, _ = step(game, state, [HUNT_HARE, STAY, STAY, STAY])
    state, shown = step(game, state, [STAY] * 4)
    assert shown.truncated
    assert shown.terminated.tolist() == [True, False, False, False]
    again, after = step(game, state, [STAY, HUNT_HARE, STAY, STAY])
    assert after.reward.tolist() == [0] * 4
    assert after.truncated and again.time == 15
    np.testing.assert_array_equal(after.obs, shown.obs)


def test_a_last_catch_at_the_step_limit_terminates():
    _, shown = step(*line([1, 2, 3, 4], time=14), [HUNT_HARE] * 4)
    assert shown.terminated.all() and not shown.truncated


def test_catches_reach_goals():
    game, _ = line([0, 1, 0, 0])
    action = np.array([HUNT_STAG, HUNT_STAG, HUNT_HARE, STAY, -1], np.int32)
    reward = np.array([5, 0, 0.5, 0, 0], np.float32)
    obs = np.zeros((5, *game.obs_shape), np.float32)
    assert game.goals == ("stag", "hare", "none")
    assert game.achieved(obs, action, reward).tolist() == [0, -1, 1, -1, -1]


# -- first states ------------------------------------------------------------


def starts(game, count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(game.start))(keys))


def test_prey_starts_on_distinct_cells_and_everything_anywhere():
    state = starts(make_game("stag_hunt"), 8000)
    hunters, prey = state.cell, state.thing_cell
    assert all(len(set(cells)) == 5 for cells in prey)
    for cells in (hunters[:, 0], hunters[:, 3], prey[:, 0], prey[:, 4]):
        counts = np.bincount(cells, minlength=16)
        # five standard deviations of a uniform draw
        assert abs(counts - 500).max() < 5 * np.sqrt(500)
    for other in (hunters[:, 1], prey[:, 0]):  # players may share a cell
        same = (hunters[:, 0] == other).mean()
        assert same == pytest.approx(1 / 16, abs=0.015)


def pieces(blocks):
    """The connected components of a set of cells, by flood fill."""
    cells, components = set(blocks), []
    while cells:
        front, piece = [cells.pop()], set()
        while front:
            row, column = front.pop()
            piece.add((row, column))
            near = {(row + 1, column), (row - 1, column)}
            near |= {(row, column + 1), (row, column - 1)}
            front += near & cells
            cells -= near
        components.append(frozenset(piece))
    return components


def canonical(piece):
    """A piece in the corner, in the orientation that sorts first."""
    forms = []
    for flip, quarters in itertools.product((1, -1), range(4)):
        form = [(r, c * flip) for r, c in piece]
        for _ in range(quarters):
            form = [(c, -r) for r, c in form]
        top, edge = min(r for r, _ in form), min(c for _, c in form)
        forms.append(tuple(sorted((r - top, c - edge) for r, c in form)))
    return min(forms)


I3, I4 = [(0, 0), (0, 1), (0, 2)], [(0, 0), (0, 1), (0, 2), (0, 3)]
L3, L4 = [(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize("height, width", [(8, 8), (4, 5)])
def test_blocks_are_i_and_l_pieces_that_leave_the_free_cells_connected(
    height, width
):
    game = make_game("stag_hunt", height=height, width=width, blocks=5)
    state = starts(game, 200)
    grid = set(itertools.product(range(height), range(width)))
    shapes, counts = set(), set()
    for index in range(200):
        cells = np.flatnonzero(state.blocks[index])
        blocks = {divmod(int(c), width) for c in cells}
        components = pieces(blocks)
        shapes |= {canonical(piece) for piece in components}
        counts.add(len(components))
        assert len(pieces(grid - blocks)) == 1
        occupied = [*state.cell[index], *state.thing_cell[index]]
        assert not state.blocks[index][occupied].any()
        assert len(set(state.thing_cell[index])) == 5
    assert shapes == {canonical(piece) for piece in (I3, I4, L3, L4)}
    assert counts <= {1, 2, 3, 4, 5}
    if (height, width) == (8, 8):
        assert 5 in counts


def test_blocks_leave_cells_for_the_prey():
    game = make_game("stag_hunt", height=3, width=3, blocks=5, hares=5)
    state = starts(game, 100)
    assert ((~state.blocks).sum(1) >= 6).all() and state.blocks.any()
    # no piece fits on two cells
    game = make_game("stag_hunt", height=1, width=2, blocks=5, hares=1)
    assert not starts(game, 4).blocks.any()


def test_moves_and_distances_agree_with_counting():
    to, far = targets(3, 4), distances(3, 4)
    assert to[0].tolist() == [-1, 4, -1, 1, 0]
    assert to[11].tolist() == [7, -1, 10, -1, 11]
    for a, b in itertools.product(range(12), repeat=2):
        assert far[a, b] == abs(a // 4 - b // 4) + abs(a % 4 - b % 4)


# -- symmetries --------------------------------------------------------------


@pytest.mark.parametrize(
    "spec, count",
    [
        ("stag_hunt(hunters=3, height=3, width=3, hares=2)", 8 * 2),
        ("stag_hunt(hunters=3, height=2, width=3, hares=2, leave=False)", 8),
        ("snowdrift(height=3, width=3, drifts=3, blocks=1)", 8 * 6),
    ],
)
def test_a_transformed_game_continues_as_the_transformed_play(spec, count):
    game, rng = make_game(spec), np.random.default_rng(0)
    symmetries = game.symmetries()
    assert symmetries.obs.shape == (count, np.prod(game.obs_shape))
    state, shown = compiled(game.reset)(jax.random.key(3))
    for which in rng.permutation(count)[:12]:
        obs_map, action_map, others = (table[which] for table in symmetries)
        seats = np.array([0, *(1 + others)])

        def transformed(shown, obs_map=obs_map):
            obs = np.asarray(shown.obs[0]).reshape(-1)[obs_map]
            return obs.reshape(game.obs_shape)

        actions = eager_actions(game, np.asarray(shown.legal)[None], rng)[0]
        start = compiled(game.state_in)(transformed(shown))
        _, result = step(game, start, action_map[actions[seats]])
        state, shown = step(game, state, actions)
        np.testing.assert_allclose(result.obs[0], transformed(shown), rtol=1e-6)
        for name in ("reward", "terminated", "present"):
            expected = getattr(shown, name)[seats]
            np.testing.assert_array_equal(getattr(result, name), expected)
        if shown.truncated or shown.terminated.all():
            state, shown = compiled(game.reset)(jax.random.key(int(which)))


# -- settings and display ----------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"height": 0}, "height=0: expected at least 1"),
        ({"hunters": 0}, "hunters=0: expected 1 or more"),
        ({"hares": -1}, "hares=-1: expected an int, 0 or more"),
        ({"stags": 0, "hares": 0}, "0 things"),
        ({"height": 2, "width": 2}, "5 things for 4 cells: expected 1 to 4"),
        ({"stag_reward": float("nan")}, "stag_reward=nan: expected a finite"),
        ({"wolves": 1}, "wolves=1: expected a setting of stag_hunt: .*hunters"),
        ({"role": "x"}, "role='x': expected a setting"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make_game("stag_hunt", **settings)


def test_text_and_picture_show_the_contents_of_cells():
    game, state = line([0, 2, 4, 4])
    _, shown = step(game, state, [STAY, HUNT_HARE, STAY, STAY])
    assert game.text(shown.obs[0], 0).splitlines() == [
        " 1S   H   .   H 34H",
        "14 of 15 steps left",
    ]
    # players have their global numbers in every seat's view
    assert game.text(shown.obs[3], 3) == game.text(shown.obs[0], 0)
    picture = game.picture(shown.obs[0], 0)
    assert ">1</text>" in picture and ">2</text>" not in picture


def test_the_contract_of_a_game_is_kept():
    spec = "stag_hunt(hunters=3, height=3, width=3, hares=2, blocks=1)"
    assert check_game(make_game(spec), episodes=4).skipped == {}
