"""Level-based foraging: the partners beside plain Python, and exact best replies beside brute force."""

import functools

import jax
import numpy as np
import pytest

pytest.importorskip("jumanji")

import bestreply as br
from bestreply.sweeps.sweep import read_sweep
from bestreply.types import ABSENT
from experiments.foraging.__main__ import (
    GAME,
    PARTNERS,
    starts,
    sweep_file,
)
from experiments.foraging.exact import (
    Board,
    Start,
    best_reply,
    replay,
)
from experiments.foraging.networks import Relative
from experiments.foraging.players import (
    ACTIONS,
    LOAD,
    MOVES,
    NOTHING,
    ORDERS,
    Entitled,
    InOrder,
    NearestToTeammate,
    things_in,
    ways,
)

SIZE = 7
KEY = jax.random.key(0)
FOOD = ((1, 2), (2, 4), (5, 1))


def observation(own, other, food=FOOD, eaten=()):
    """Return what an agent observes; every food has level 2."""
    things = [
        (-1, -1, 0) if k in eaten else (*cell, 2) for k, cell in enumerate(food)
    ]
    return np.array([*things, (*own, 1), (*other, 1)], np.int32).reshape(-1)


def legal_at(own, other, food=FOOD, eaten=(), size=SIZE):
    left = [cell for k, cell in enumerate(food) if k not in eaten]
    cells = [tuple(np.add(own, move)) for move in MOVES]
    legal = [
        all(0 <= x < size for x in cell) and cell != other and cell not in left
        for cell in cells
    ]
    legal[LOAD] = any(far(own, cell) == 1 for cell in left)
    return np.array(legal)


def far(one, other):
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def walk(blocked, target, size=SIZE):
    """Return the distances to a target round a blocked cell."""
    steps, edge = {target: 0}, [target]
    while edge:
        cell = edge.pop(0)
        for move in MOVES[1:5]:
            near = tuple(np.add(cell, move))
            inside = all(0 <= x < size for x in near)
            if inside and near != blocked and near not in steps:
                steps[near] = steps[cell] + 1
                edge.append(near)
    return steps


def steps_toward(own, other, target, legal, size=SIZE):
    """Return the probabilities of moves toward a target."""
    steps = walk(other, target, size)
    after = [steps.get(tuple(np.add(own, m)), 99) for m in MOVES]
    moves = [
        a
        for a in range(1, 5)
        if after[a] == min(after[1:5]) < steps.get(own, 99)
    ]
    probs = np.zeros(ACTIONS)
    for action in moves:
        probs[action if legal[action] else NOTHING] += 1 / len(moves)
    return probs if moves else np.eye(ACTIONS)[NOTHING]


# -- the partners --------------------------------------------------------------


def test_ways_are_the_first_steps_of_shortest_paths():
    rng, table = np.random.default_rng(0), ways(SIZE)
    for _ in range(60):
        blocked, target, own = (divmod(int(c), SIZE) for c in rng.choice(49, 3))
        if own in (blocked, target):
            continue
        every = np.ones(ACTIONS, bool)
        expected = steps_toward(own, blocked, target, every)[1:5] > 0
        index = (r * SIZE + c for r, c in (blocked, target, own))
        np.testing.assert_array_equal(table[tuple(index)], expected)


def decide(player, carry, obs, legal, key=KEY):
    carry = player.see(carry, obs, np.array([ABSENT]), key)
    return carry, np.asarray(player.policy(carry, obs, legal))


EXPECTED = {
    "rows": [0, 1, 2],
    "rows_reversed": [2, 1, 0],
    "columns": [2, 0, 1],
    "columns_reversed": [1, 0, 2],
    "nearest": [2, 0, 1],
    "furthest": [1, 0, 2],
}


@pytest.mark.parametrize("order", ORDERS)
def test_food_is_visited_in_its_order(order):
    player = InOrder(order)
    own, other = (4, 0), (6, 6)
    obs, legal = observation(own, other), legal_at(own, other)
    carry, probs = decide(player, player.start(), obs, legal)
    cells = [tuple(cell) for cell in np.asarray(carry.food).tolist()]
    assert cells == [FOOD[k] for k in EXPECTED[order]]
    expected = steps_toward(own, other, cells[0], legal)
    np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_a_partner_loads_its_own_target_alone_and_not_as_it_changes():
    player = InOrder("rows")
    obs, own, other = observation, (1, 1), (0, 2)
    legal = legal_at(own, other)
    carry, probs = decide(player, player.start(), obs(own, other), legal)
    assert probs[LOAD] == 1
    own, eaten = (2, 3), (0,)  # beside the next food when the first is eaten
    legal = legal_at(own, other, eaten=eaten)
    shown = obs(own, other, eaten=eaten)
    carry, probs = decide(player, carry, shown, legal)
    assert probs.tolist() == [1, 0, 0, 0, 0, 0]  # moves into the food: stays
    carry, probs = decide(player, carry, shown, legal)
    assert probs[LOAD] == 1
    own = (4, 1)  # beside the last food of the order
    legal = legal_at(own, other, eaten=eaten)
    _, probs = decide(player, carry, obs(own, other, eaten=eaten), legal)
    assert probs[LOAD] == 0
    np.testing.assert_allclose(
        probs, steps_toward(own, other, FOOD[1], legal), atol=1e-6
    )


def test_the_nearest_food_to_the_teammate_is_chosen_anew():
    player = NearestToTeammate()
    for own, other, target, eaten in (
        ((0, 0), (5, 2), 2, ()),
        ((0, 0), (2, 5), 1, ()),
        ((0, 0), (2, 5), 0, (1,)),
        ((2, 3), (4, 4), 1, ()),
    ):
        legal = legal_at(own, other, eaten=eaten)
        shown = observation(own, other, eaten=eaten)
        _, probs = decide(player, (), shown, legal)
        if far(own, FOOD[target]) == 1:
            assert probs[LOAD] == 1
        else:
            expected = steps_toward(own, other, FOOD[target], legal)
            np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_the_entitled_partner_comes_to_the_opposite_side():
    above_and_below = Entitled(0b111)
    own, other = (6, 6), (0, 2)  # the teammate stands above the first food
    legal, shown = legal_at(own, other), observation(own, other)
    _, probs = decide(above_and_below, np.int32(ABSENT), shown, legal)
    expected = steps_toward(own, other, (2, 2), legal)
    np.testing.assert_allclose(probs, expected, atol=1e-6)
    beside = Entitled(0)
    _, probs = decide(beside, np.int32(ABSENT), shown, legal)
    assert probs[NOTHING] == 1
    own = (1, 3)  # beside the food, on any side
    legal, shown = legal_at(own, other), observation(own, other)
    _, probs = decide(above_and_below, np.int32(ABSENT), shown, legal)
    assert probs[LOAD] == 1
    # Its sides are drawn once, each with probability 1/2.
    player, draws = Entitled(), jax.random.split(KEY, 400)

    @jax.jit
    @jax.vmap
    def drawn(key):
        return player.see(player.start(), shown, np.array([ABSENT]), key)

    counts = np.bincount(np.asarray(drawn(draws)), minlength=8)
    assert (abs(counts - 50) < 4 * 7).all()
    kept = player.see(np.int32(5), shown, np.array([ABSENT]), KEY)
    assert int(kept) == 5


def test_unknown_partners_are_refused():
    with pytest.raises(ValueError, match="order='diagonal': expected one of"):
        InOrder("diagonal")
    with pytest.raises(ValueError, match="orientations=8: expected 0 to 7"):
        Entitled(8)


# -- the game and the exact reply ----------------------------------------------


@pytest.fixture(scope="module")
def game():
    return br.make_game(GAME)


def cell_of(place):
    row, column = np.asarray(place)
    return row * SIZE + column


def test_the_game_is_that_of_the_search(game):
    """Random play, with much loading, beside the tables."""
    rng = np.random.default_rng(0)
    state, shown = game.reset(jax.random.key(3))
    at = things_in(np.asarray(shown.obs[0]))
    board = Board(SIZE, tuple(np.asarray(at.food) @ [SIZE, 1]))
    own, other, eaten = cell_of(at.own), cell_of(at.other), np.int64(0)
    for _ in range(60):
        legal = np.asarray(shown.legal)
        actions = [
            LOAD
            if row[LOAD] and rng.random() < 0.9
            else rng.choice(np.flatnonzero(row))
            for row in legal
        ]
        expected = board.after(own, other, eaten, *map(np.int64, actions))
        state, shown = game.step(state, np.array(actions, np.int32), KEY)
        at, before = things_in(np.asarray(shown.obs[0])), eaten
        own, other = cell_of(at.own), cell_of(at.other)
        left = np.asarray(at.left)
        eaten = sum(1 << k for k in range(3) if not left[k])
        assert expected == (own, other, eaten)
        paid = (bin(eaten).count("1") - bin(before).count("1")) / 6
        np.testing.assert_allclose(shown.reward, [paid, paid], atol=1e-6)


def plain_order(size, food, order):
    """Return the rule of `InOrder("rows")` in plain Python; its memory is an index."""
    food = [food[k] for k in order]

    def rule(_, index, own, other, left):
        advanced = food[index] not in left
        index = min(index + advanced, len(food) - 1)
        if far(own, food[index]) <= 1 and not advanced:
            return np.eye(ACTIONS)[LOAD], index
        eaten = [k for k, cell in enumerate(food) if cell not in left]
        legal = legal_at(own, other, food, eaten, size)
        return steps_toward(own, other, food[index], legal, size), index

    return rule


def plain_entitled(size, food):
    """Return the rule of `Entitled` in plain Python; its mode has a bit for each food."""

    def rule(mode, memory, own, other, left):
        active = []
        for k, (row, column) in enumerate(food):
            sides = [(row, column - 1), (row, column + 1)]
            if mode >> k & 1:
                sides = [(row - 1, column), (row + 1, column)]
            if (row, column) in left and other in sides:
                sides.remove(other)
                active.append((far(own, (row, column)), k, sides[0]))
        if not active:
            return np.eye(ACTIONS)[NOTHING], memory
        away, _, side = min(active)
        if away <= 1:
            return np.eye(ACTIONS)[LOAD], memory
        eaten = [k for k, cell in enumerate(food) if cell not in left]
        legal = legal_at(own, other, food, eaten, size)
        return steps_toward(own, other, side, legal, size), memory

    return rule


def brute_force(rule, modes, size, food, own, other, limit):
    """Return the least expected steps, by trying all own actions to the step limit."""

    def stepped(cells, actions, left):
        to = []
        for cell, action in zip(cells, actions, strict=True):
            there = tuple(int(x) for x in np.add(cell, MOVES[action]))
            inside = all(0 <= x < size for x in there)
            free = inside and there not in left and there not in cells
            to.append(there if free else cell)
        if to[0] == to[1]:
            to = cells
        if tuple(actions) == (LOAD, LOAD):
            left = frozenset(
                f for f in left if {far(c, f) for c in cells} != {1}
            )
        return tuple(to), left

    @functools.cache
    def value(steps, cells, left, index, weights):
        if not left or not steps:
            return 0.0
        answers = [
            rule(m, index, cells[1], cells[0], left) for m in range(modes)
        ]
        groups = {}  # the modes of each action distribution, which is observed
        for mode, (probs, _) in enumerate(answers):
            if weights[mode]:
                groups.setdefault(tuple(probs.round(6)), []).append(mode)
        least = np.inf
        for own_action in range(ACTIONS):
            total = 1.0
            for probs, group in groups.items():
                mass = sum(weights[mode] for mode in group)
                after = tuple(
                    round(w / mass, 9) * (mode in group)
                    for mode, w in enumerate(weights)
                )
                for action, prob in enumerate(probs):
                    if prob:
                        joint = (own_action, action)
                        nodes = stepped(cells, joint, left)
                        memory = answers[0][1]
                        following = value(steps - 1, *nodes, memory, after)
                        total += mass * prob * following
            least = min(least, total)
        return least

    return value(limit, (own, other), frozenset(food), 0, (1 / modes,) * modes)


SMALL, SMALL_FOOD = 4, ((1, 1), (2, 2))


@pytest.mark.parametrize(
    ("name", "own", "other"),
    [
        ("rows", (3, 0), (0, 3)),
        ("rows_reversed", (0, 1), (0, 2)),
        ("entitled", (3, 0), (0, 3)),
        ("entitled", (1, 0), (3, 3)),
    ],
)
def test_the_exact_reply_is_that_of_brute_force(name, own, other):
    limit, modes = 7, 1
    if name == "entitled":
        partner = Entitled(size=SMALL, food=2)
        rule, modes = plain_entitled(SMALL, SMALL_FOOD), 4
    else:
        partner = InOrder(name, size=SMALL, food=2)
        order = [0, 1] if name == "rows" else [1, 0]
        rule = plain_order(SMALL, SMALL_FOOD, order)
    cells = [row * SMALL + column for row, column in (own, other, *SMALL_FOOD)]
    start = Start(cells[0], cells[1], tuple(cells[2:]))
    reply = best_reply(partner, start, size=SMALL, limit=limit)
    expected = brute_force(rule, modes, SMALL, SMALL_FOOD, own, other, limit)
    assert reply.steps == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", [PARTNERS[0], PARTNERS[5], PARTNERS[7]])
def test_the_exact_reply_attains_its_steps_in_the_game(name, game):
    partner = br.make_player(name, game)
    [start] = starts(game, 11, 1)
    reply = best_reply(partner, start)
    steps = [replay(game, partner, reply, 11, 0, draws) for draws in range(30)]
    error = np.std(steps, ddof=1) / len(steps) ** 0.5
    assert abs(np.mean(steps) - reply.steps) <= 4 * error + 1e-6
    assert 0 < reply.discounted < 0.5


def test_one_hot_observations_show_the_same():
    obs = observation((4, 0), (6, 6), eaten=(1,))
    one_hot = (obs[:, None] == np.arange(-1, 8)).reshape(-1)
    for plain, shown in zip(things_in(obs), things_in(one_hot), strict=True):
        np.testing.assert_array_equal(plain, shown)


def test_offsets_do_not_depend_on_the_place():
    def features(shift, eaten=()):
        food = [tuple(np.add(cell, shift)) for cell in FOOD]
        own, other = (tuple(np.add(c, shift)) for c in ((2, 2), (3, 4)))
        obs = observation(own, other, food, eaten)
        one_hot = (obs[:, None] == np.arange(-1, 8)).reshape(-1)
        return np.asarray(Relative._features(np.float32(one_hot)))[135:]

    here = features((0, 0))
    np.testing.assert_array_equal(here, features((1, 1)))
    # Row and column of six offsets to food and one to the teammate, and near ones.
    near = [far_at_most_2((2, 2), f) for f in FOOD]
    near += [far_at_most_2((3, 4), f) for f in FOOD]
    assert here.sum() == 2 * 7 + sum(near) + far_at_most_2((2, 2), (3, 4))
    assert (
        features((0, 0), eaten=(0,)).sum() == here.sum() - 4 - near[0] - near[3]
    )


def far_at_most_2(one, other):
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) <= 2


def test_players_keep_the_contract(game):
    br.check_player(br.make_player(PARTNERS[-1], game), game)


def test_the_sweep_is_read_and_two_partners_are_not_in_its_data(tmp_path):
    file = tmp_path / "foraging.toml"
    file.write_text(sweep_file((4, 7)))
    units = read_sweep(file).units
    assert {unit.config.seed for unit in units} == {4, 7}
    methods = {unit.config.method for unit in units}
    assert methods == {"agent", "behaviour_cloning", "ppo"}
    config = units[0].config
    assert config.evaluate.opponents == PARTNERS
    learned = {p for p in PARTNERS if p in config.collect.players}
    assert len(learned) == 6
    unseen = ("Entitled", "columns_reversed")
    assert not any(name in p for name in unseen for p in config.collect.players)
