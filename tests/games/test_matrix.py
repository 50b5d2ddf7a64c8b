import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.games import check_game, make_game
from bestreply.games.matrix import TABLES, MatrixGame
from bestreply.types import ABSENT, ego_order

KEY = jax.random.key(0)


def play(game, rounds, seed=0):
    """Random play of 16 games side by side: actions [T, E, N], what is shown [T + 1, E, ...], in NumPy."""
    rng = np.random.default_rng(seed)
    keys = jax.random.split(jax.random.key(seed), 16)
    state, shown = jax.jit(jax.vmap(game.reset))(keys)
    step = jax.jit(jax.vmap(game.step))
    actions = rng.integers(
        game.num_actions, size=(rounds, 16, game.num_players)
    ).astype(np.int32)
    history = [jax.tree.map(np.asarray, shown)]
    for t in range(rounds):
        state, shown = step(
            state,
            actions[t],
            jax.vmap(lambda k, t=t: jax.random.fold_in(k, t))(keys),
        )
        history.append(jax.tree.map(np.asarray, shown))
    return actions, history


def slow_observation(game, past, ahead, seat):
    """Number by number: joint actions, newest first, ego first; the seat where it matters; what is ahead."""
    n, seen = game.num_players, []
    for back in range(1, game.memory + 1):
        for player in [seat] + [j for j in range(n) if j != seat]:
            acted = past[-back][player] if back <= len(past) else None
            seen += [
                1.0 if acted == a else 0.0 for a in range(game.num_actions)
            ]
    if not game.symmetric:
        seen += [1.0 if j == seat else 0.0 for j in range(n)]
    return [*seen, ahead]


THREE = np.random.default_rng(1).normal(size=(3, 2, 2, 2))
SETTINGS = [
    {},
    {"table": "stag_hunt", "rounds": 3, "memory": 3},
    {"table": "matching_pennies", "rounds": 5, "memory": 2},
    {"table": "rock_paper_scissors", "rounds": 4, "memory": 0},
    {"table": "chicken", "rounds": 6, "max_steps": 4},
    {"payoffs": THREE, "rounds": 4, "memory": 2},
]


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda s: str(s.get("table", "payoffs" in s))
)
def test_plays_by_the_rules(settings):
    game = make_game("matrix", **settings)
    table = np.asarray(settings.get("payoffs", game.payoff_array))
    actions, history = play(game, game.max_steps + 2)
    for e in range(16):
        past = []
        for t, shown in enumerate(history):
            over = t >= game.rounds
            for seat in range(game.num_players):
                ahead = (game.rounds - len(past)) / game.rounds
                np.testing.assert_allclose(
                    shown.obs[e, seat],
                    slow_observation(game, past, ahead, seat),
                    rtol=1e-6,
                )
                paid = (
                    table[(seat, *actions[t - 1, e])]
                    if 0 < t <= game.max_steps
                    else 0.0
                )
                assert shown.reward[e, seat] == pytest.approx(paid, rel=1e-6)
            assert (
                shown.terminated[e].tolist()
                == [over and game.max_steps == game.rounds] * game.num_players
            )
            assert shown.truncated[e] == (t >= game.max_steps < game.rounds)
            assert shown.legal[e].all() and shown.present[e].all()
            if t < game.max_steps:
                past.append(actions[t, e].tolist())


# -- payoffs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table, first, paid",
    [
        (
            "prisoners_dilemma",
            "COOPERATE",
            {(0, 0): (3, 3), (0, 1): (0, 5), (1, 0): (5, 0), (1, 1): (1, 1)},
        ),
        (
            "stag_hunt",
            "STAG",
            {(0, 0): (2, 2), (0, 1): (0, 1), (1, 0): (1, 0), (1, 1): (1, 1)},
        ),
        (
            "chicken",
            "SWERVE",
            {(0, 0): (3, 3), (0, 1): (1, 4), (1, 0): (4, 1), (1, 1): (0, 0)},
        ),
        (
            "matching_pennies",
            "HEADS",
            {
                (0, 0): (1, -1),
                (0, 1): (-1, 1),
                (1, 0): (-1, 1),
                (1, 1): (1, -1),
            },
        ),
        (
            "rock_paper_scissors",
            "ROCK",
            {(0, 0): (0, 0), (0, 1): (-1, 1), (0, 2): (1, -1), (1, 2): (-1, 1)},
        ),
    ],
)
def test_textbook_payoffs(table, first, paid):
    game = make_game(f"matrix(table={table})")
    assert game.action_names[0] == first
    for joint, wanted in paid.items():
        _, shown = game.step(game.start(KEY), np.array(joint, np.int32), KEY)
        assert tuple(shown.reward.tolist()) == wanted


@pytest.mark.parametrize(
    "table, theirs",
    [
        ("stag_hunt", "sh"),
        ("matching_pennies", "mp"),
        ("rock_paper_scissors", "rps"),
        ("chicken", "cd"),
    ],
)
def test_payoffs_are_openspiels(table, theirs):
    pyspiel = pytest.importorskip("pyspiel")
    other = pyspiel.load_matrix_game(f"matrix_{theirs}")
    count = other.num_rows()
    order = (
        range(count)[::-1] if table == "chicken" else range(count)
    )  # dare comes first there
    for a, b in itertools.product(range(count), repeat=2):
        wanted = (
            other.row_utility(order[a], order[b]),
            other.col_utility(order[a], order[b]),
        )
        assert (
            tuple(make_game("matrix", table=table).payoff_array[:, a, b])
            == wanted
        )


def test_the_dilemmas_are_dilemmas():
    def rpst(table):
        (r, s), (t, p) = TABLES[table].rows
        return r, p, s, t

    r, p, s, t = rpst("prisoners_dilemma")
    assert t > r > p > s and 2 * r > t + s
    r, p, s, t = rpst("chicken")
    assert t > r > s > p
    r, p, s, t = rpst("stag_hunt")
    assert r > t >= p > s


def test_own_payoffs_have_the_own_action_first():
    game = make_game("matrix", payoffs=THREE)
    for seat, mine, a, b in itertools.product(
        range(3), range(2), range(2), range(2)
    ):
        joint = [a, b]
        joint.insert(seat, mine)
        assert game.payoffs_of(seat)[mine][a][b] == np.float32(
            THREE[(seat, *joint)]
        )


def test_symmetry_is_of_the_table():
    volunteers = np.zeros(
        (3, 2, 2, 2)
    )  # volunteer's dilemma: all get 2 if anybody acts, who acts pays 1
    for joint in itertools.product(range(2), repeat=3):
        for seat in range(3):
            volunteers[(seat, *joint)] = 2 * (0 in joint) - (joint[seat] == 0)
    assert make_game("matrix", payoffs=volunteers).symmetric
    volunteers[2, 0, 0, 0] += 1
    assert not make_game("matrix", payoffs=volunteers).symmetric
    assert [
        name for name in TABLES if not make_game("matrix", table=name).symmetric
    ] == ["matching_pennies"]


# -- how long ------------------------------------------------------------------------------------------------


def test_a_continuation_probability_makes_geometric_lengths():
    game = make_game("matrix", continuation=0.8, max_steps=60)

    def length(key):
        def one(carry, t):
            state, count = carry
            state, shown = game.step(
                state, jnp.zeros(2, jnp.int32), jax.random.fold_in(key, t)
            )
            return (state, count + ~shown.terminated.all()), shown.truncated

        (_, count), cut = jax.lax.scan(
            one, (game.start(key), 1), jnp.arange(60)
        )
        return count, cut.any()

    lengths, cut = jax.jit(jax.vmap(length))(jax.random.split(KEY, 20_000))
    assert not cut.any()  # 0.8 ** 60 is 1.5e-6
    assert lengths.mean() == pytest.approx(
        1 / (1 - 0.8), abs=5 * np.sqrt(0.8) / 0.2 / np.sqrt(20_000)
    )
    for k in range(1, 5):
        assert (lengths == k).mean() == pytest.approx(
            0.2 * 0.8 ** (k - 1), abs=0.015
        )


def test_an_end_by_the_draw_terminates_and_the_cap_truncates():
    _, history = play(make_game("matrix", continuation=0.5, max_steps=3), 5)
    last = history[-1]
    assert last.truncated.any() and last.terminated.any()
    assert (last.truncated == ~last.terminated.any(1)).all()  # one or the other
    assert (history[-1].reward == 0).all() and np.array_equal(
        history[-1].obs, history[3].obs
    )
    _, history = play(make_game("matrix", continuation=1, max_steps=3), 3)
    assert history[-1].truncated.all() and not history[-1].terminated.any()
    _, history = play(make_game("matrix", continuation=0, max_steps=3), 1)
    assert history[-1].terminated.all()


@pytest.mark.parametrize(
    "given, rounds, continuation, max_steps",
    [
        ({}, 10, None, 10),
        ({"rounds": 7}, 7, None, 7),
        ({"rounds": 7, "max_steps": 50}, 7, None, 7),
        ({"rounds": 7, "max_steps": 5}, 7, None, 5),
        ({"continuation": 0.9}, None, 0.9, 100),
        ({"continuation": 0.9, "max_steps": 30}, None, 0.9, 30),
    ],
)
def test_lengths_are_filled_in(given, rounds, continuation, max_steps):
    game = make_game("matrix", **given)
    assert (game.rounds, game.continuation, game.max_steps) == (
        rounds,
        continuation,
        max_steps,
    )
    assert make_game("matrix", **game.settings) == game


# -- what observations tell ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"table": "matching_pennies"}, {"payoffs": THREE}, {"table": "chicken"}],
)
def test_perspective_is_the_other_seats_view(settings):
    game = make_game("matrix", memory=2, **settings)
    _, history = play(game, 3)
    order = ego_order(game.num_players)
    for shown in history:
        for me in range(game.num_players):
            for index, seat in enumerate(order[me]):
                made = game.perspective(
                    shown.obs[:, me], index
                )  # of a whole batch at once
                np.testing.assert_array_equal(made, shown.obs[:, seat])


def test_perspective_without_seats_keeps_our_order_of_the_others():
    game = make_game("matrix", payoffs=np.zeros((4, 3, 3, 3, 3)))
    state, _ = game.step(game.start(KEY), np.array([0, 1, 2, 1], np.int32), KEY)
    obs = game.look(state, jnp.zeros(4)).obs
    assert game.recall(obs[3]).tolist() == [[1, 0, 1, 2]]
    assert game.recall(game.perspective(obs[3], 2)).tolist() == [[1, 1, 0, 2]]


def test_recall_reads_the_rounds_back():
    game = make_game("matrix", table="rock_paper_scissors", memory=3)
    state, shown = game.reset(KEY)
    assert game.recall(shown.obs).tolist() == [[[ABSENT] * 2] * 3] * 2
    for joint in ([0, 1], [2, 0]):
        state, shown = game.step(state, np.array(joint, np.int32), KEY)
    assert game.recall(shown.obs)[0].tolist() == [[2, 0], [0, 1], [ABSENT] * 2]
    assert game.recall(shown.obs)[1].tolist() == [[0, 2], [1, 0], [ABSENT] * 2]


def test_text_reads_from_left_to_right():
    game = make_game("matrix", memory=2)
    state, shown = game.reset(KEY)
    assert game.text(shown.obs[1], 1).splitlines()[1:] == [
        "player 1        -",
        "player 2 (you)  -",
    ]
    for joint in ([0, 0], [1, 0], [0, 1]):
        state, shown = game.step(state, np.array(joint, np.int32), KEY)
    wanted = [
        "7 of 10 rounds left",
        "player 1        DEFECT    COOPERATE",
        "player 2 (you)  COOPERATE DEFECT",
    ]
    assert game.text(shown.obs[1], 1).splitlines() == wanted
    game = make_game("matrix", continuation=0.9)
    assert game.text(game.reset(KEY)[1].obs[0]).startswith(
        "goes on after each round with probability 0.9"
    )


# -- settings ------------------------------------------------------------------------------------------------


def test_payoffs_on_the_command_line_are_the_named_table():
    game = make_game(
        "matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))), actions=(C, D))"
    )
    np.testing.assert_array_equal(
        game.payoff_array,
        make_game("matrix(table=prisoners_dilemma)").payoff_array,
    )
    assert game.action_names == ("C", "D")
    assert make_game("matrix", payoffs=np.array(game.payoffs)).action_names == (
        "ACTION_0",
        "ACTION_1",
    )


def test_settings_from_json_lists_make_an_equal_hashable_game():
    game = make_game(
        "matrix",
        payoffs=[[[3, 0], [5, 1]], [[3, 5], [0, 1]]],
        actions=["C", "D"],
    )
    assert game == make_game(
        "matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))), actions=('C','D'))"
    )
    assert hash(game) == hash(make_game("matrix", **game.settings))


@pytest.mark.parametrize(
    "settings, told",
    [
        (
            {"table": "poker"},
            "table='poker'; expected: stag_hunt, prisoners_dilemma",
        ),
        ({"table": "chicken", "payoffs": THREE}, "one of the two"),
        (
            {"payoffs": ((3, 0), (5, 1))},
            r"shape \(2, 2\), 2 players; expected: payoffs\[i\]",
        ),
        ({"payoffs": (((3, 0), (5,)), ((3, 5), (0, 1)))}, "ragged"),
        (
            {"payoffs": (((3, "x"), (5, 1)), ((3, 5), (0, 1)))},
            "ragged, or holds other things",
        ),
        (
            {"payoffs": np.zeros((2, 2, 3))},
            "players have 2, 3 actions; expected: the same number",
        ),
        ({"payoffs": np.full((2, 2, 2), np.nan)}, "finite"),
        ({"payoffs": np.zeros((1, 2))}, "1 players; wanted"),
        ({"actions": ("C",)}, "expected: 2 different names"),
        ({"actions": ("C", "C")}, "expected: 2 different names"),
        ({"rounds": 0}, "rounds=0"),
        ({"rounds": 5, "continuation": 0.5}, "one of the two"),
        ({"continuation": 1.5}, "continuation=1.5; expected: a probability"),
        ({"memory": -1}, "memory=-1"),
        ({"max_steps": -1}, "max_steps=-1"),
    ],
)
def test_settings_that_make_no_game_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        MatrixGame(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"table": "rock_paper_scissors", "rounds": 4, "memory": 2},
        {"table": "matching_pennies", "continuation": 0.7, "max_steps": 9},
        {"payoffs": THREE, "rounds": 3},
        {"memory": 0, "rounds": 2},
    ],
    ids=lambda s: str(s.get("table")),
)
def test_keeps_every_promise_of_a_game(settings):
    assert set(check_game(make_game("matrix", **settings)).skipped) == {
        "left",
        "symmetries",
    }
