"""CooperativeReaching and its eleven partners: beside plain Python, and exact best replies."""

import itertools

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.types import ABSENT
from experiments.reaching.game import Reaching, ReachingState
from experiments.reaching.players import NUMBERS, Rule

GAME = Reaching()
PLAYERS = "experiments.reaching.players"
CORNERS = {(0, 0): 1.0, (0, 4): 0.75, (4, 4): 1.0, (4, 0): 0.75}
MOVES = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
CELLS = list(itertools.product(range(5), repeat=2))
STEP = jax.jit(GAME.step)
KEY = jax.random.key(0)


def observation(own, other):
    obs = np.zeros((5, 5, 2), np.float32)
    obs[(*own, 0)] = obs[(*other, 1)] = 1
    return obs


# -- the game ------------------------------------------------------------------


def moved(cell, action):
    row, column = np.add(cell, MOVES[action])
    return (int(row), int(column)) if (row, column) in CELLS else cell


def test_the_game_keeps_the_contract_and_is_made_by_name():
    assert br.make_game("experiments.reaching.game:Reaching(size=5)") == GAME
    br.check_game(GAME, episodes=2)


def test_play_matches_plain_python():
    rng, ends = np.random.default_rng(0), set()
    for seed in range(12):
        state, shown = GAME.reset(jax.random.key(seed))
        cells = [divmod(int(c), 5) for c in state.cell]
        assert all(1 <= x <= 3 for cell in cells for x in cell)
        for time in range(1, 51):
            # Steps that reduce the distance to one corner are made often.
            actions = rng.choice(5, 2, p=[0.1, 0.4, 0.05, 0.4, 0.05])
            state, shown = STEP(state, actions, KEY)
            cells = [moved(c, a) for c, a in zip(cells, actions, strict=True)]
            met = cells[0] == cells[1] and cells[0] in CORNERS
            paid = CORNERS[cells[0]] if met else 0.0
            views = [observation(*cells), observation(*cells[::-1])]
            np.testing.assert_array_equal(shown.obs, views)
            np.testing.assert_array_equal(shown.reward, [paid, paid])
            assert shown.terminated.tolist() == [met, met]
            assert bool(shown.truncated) == (time == 50 and not met)
            if met:
                ends.add(cells[0])
                break
    assert ends


def test_first_states_are_all_pairs_of_inner_cells():
    first = GAME.first_states()
    inner = [r * 5 + c for r, c in itertools.product((1, 2, 3), repeat=2)]
    assert first.state.cell.tolist() == [[a, b] for a in inner for b in inner]
    np.testing.assert_allclose(first.probability, 1 / 81)


def test_a_goal_is_achieved_by_standing_on_its_corner():
    step = {
        ((0, 1), 3): 0,  # LEFT onto the top left corner
        ((0, 4), 0): 1,  # NOTHING on the top right one
        ((4, 4), 2): 2,  # DOWN, off the grid
        ((4, 0), 1): -1,  # UP, away from the bottom left one
        ((2, 2), 1): -1,
        ((0, 0), ABSENT): -1,
    }
    obs = np.stack([observation(own, (2, 2)) for own, _ in step])
    action = np.array([action for _, action in step])
    assert GAME.achieved(obs, action, 0.0 * action).tolist() == [*step.values()]


# -- the players ---------------------------------------------------------------


def choices(number, own, other):
    """Return the targets that a rule chooses among."""
    if number == 11:
        return [other]
    worth = {3: 1, 4: 1, 5: 0.75, 6: 0.75, 9: 1, 10: 0.75}.get(number)
    goals = [g for g, v in CORNERS.items() if worth in (None, v)]
    if number == 7:
        return goals
    origin = other if number >= 8 else own
    far = [abs(g[0] - origin[0]) + abs(g[1] - origin[1]) for g in goals]
    wanted = max(far) if number in (2, 4, 6) else min(far)
    return [g for g, d in zip(goals, far, strict=True) if d == wanted]


def toward(own, target):
    """Return the probability of each action on the way to a target."""
    far = abs(target[0] - own[0]) + abs(target[1] - own[1])
    nearer = []
    for action in range(1, 5):
        row, column = np.add(own, MOVES[action])
        if abs(target[0] - row) + abs(target[1] - column) < far:
            nearer.append(action)
    nearer = nearer or [0]
    return [nearer.count(action) / len(nearer) for action in range(5)]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_rule_matches_plain_python(number):
    pairs = list(itertools.product(CELLS, CELLS))
    obs = np.stack([observation(*pair) for pair in pairs])
    rule, legal = Rule(number), np.ones(5, bool)

    def fresh(obs):
        return rule.policy(rule.start(), obs, legal)

    expected = [
        np.mean([toward(own, t) for t in choices(number, own, other)], 0)
        for own, other in pairs
    ]
    policies = jax.jit(jax.vmap(fresh))(obs)
    np.testing.assert_allclose(policies, expected, atol=1e-6)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_target_is_kept_and_ties_are_drawn(number):
    rule, legal = Rule(number), np.ones(5, bool)
    first, later = observation((2, 2), (1, 3)), observation((1, 2), (4, 4))
    keys = jax.random.split(KEY, 300)

    @jax.jit
    def play(key):
        at_first, at_second = jax.random.split(key)
        chosen = rule.see(rule.start(), first, np.array([ABSENT]), at_first)
        kept = rule.see(chosen, later, np.array([1]), at_second)
        return chosen, kept, rule.policy(kept, later, legal)

    chosen, kept, policies = jax.vmap(play)(keys)
    np.testing.assert_array_equal(chosen, kept)
    corners = list(CORNERS)
    for corner, policy in zip(np.array(kept), policies, strict=True):
        expected = toward((1, 2), corners[corner])
        np.testing.assert_allclose(policy, expected, atol=1e-6)
    tied = choices(number, (2, 2), (1, 3))
    counts = [sum(np.array(kept) == k) for k in range(4)]
    for corner, count in zip(corners, counts, strict=True):
        share = 300 / len(tied) if corner in tied else 0
        assert abs(count - share) <= 4 * (300 / len(tied)) ** 0.5 * (share > 0)


@pytest.mark.parametrize("number", range(1, 8))
def test_orders_of_tied_corners_replace_the_draw(number):
    inner = itertools.product(range(1, 4), repeat=2)
    obs = np.stack([observation(own, (2, 2)) for own in inner])

    def chosen(ties):
        rule = Rule(number, ties)

        def see(one):
            return rule.see(rule.start(), one, np.array([ABSENT]), KEY)

        return np.eye(4)[np.asarray(jax.vmap(see)(obs))]

    mean = np.mean([chosen(ties) for ties in range(4)], 0)
    for shares, one in zip(mean, obs, strict=True):
        own = divmod(int(one[..., 0].argmax()), 5)
        tied = choices(number, own, (2, 2))
        expected = [(c in tied) / len(tied) for c in CORNERS]
        np.testing.assert_allclose(shares, expected)


@pytest.mark.parametrize("number", [2, 11])
def test_a_rule_keeps_the_contract_of_players(number):
    player = br.make_player(f"{PLAYERS}:Rule({number})", GAME)
    br.check_player(player, GAME)


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="number=12: expected 1 to 11"):
        Rule(12)
    with pytest.raises(ValueError, match="ties=4: expected 0 to 3"):
        Rule(1, 4)


@pytest.mark.parametrize(("number", "value"), [(6, 0.75), (7, 0.875), (11, 1)])
def test_best_replies_that_infer_the_target(number, value):
    ties = [f"{PLAYERS}:Rule({number}, {k})" for k in range(4)]
    best = br.exact.best_reply(
        Reaching(max_steps=14),
        0,
        [f"mixture({', '.join(ties)})"],
        know="belief",
    )
    assert best.value == pytest.approx(value)


def test_a_player_reaches_a_corner_by_its_shortest_way():
    state = ReachingState(np.array([6, 18], np.int32), np.int32(0))
    shown = GAME.look(state, np.zeros(2))
    rule = Rule(4, 0)  # from (1, 1) to the bottom right corner
    carry, steps = rule.start(), 0
    while int(state.cell[0]) != 24:
        carry = rule.see(carry, shown.obs[0], np.array([ABSENT]), KEY)
        policy = np.asarray(rule.policy(carry, shown.obs[0], shown.legal[0]))
        actions = np.array([policy.argmax(), 0])
        state, shown = STEP(state, actions, KEY)
        steps += 1
    assert steps == 6
