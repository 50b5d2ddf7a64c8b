"""Repeated poker beside OpenSpiel; exact replies and inference beside enumeration."""

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.sweeps.sweep import read_sweep
from bestreply.types import ABSENT
from experiments.poker import __main__ as study
from experiments.poker.betting import (
    BETS,
    CALL,
    FOLD,
    NO_CARD,
    RAISE,
    betting,
    chances,
)
from experiments.poker.equilibrium import counterfactual, exploitability
from experiments.poker.exact import (
    Hands,
    best_reply,
    deal,
    hand_value,
    inferring,
    likelihood,
    payoff,
    play_hands,
    posterior,
)
from experiments.poker.game import SHOW, WAIT, RepeatedPoker
from experiments.poker.measure import decisions, measured, replies
from experiments.poker.players import (
    STYLES,
    make_style,
    player_of,
    style_table,
)

ROOT = Path(__file__).parents[2]
KINDS = ("kuhn", "leduc")
ONE = np.ones((1, 1))
GAMES = {kind: RepeatedPoker(kind, 2) for kind in KINDS}
STEP = {kind: jax.jit(GAMES[kind].step) for kind in KINDS}


def folding(kind):
    """The table that folds, or checks where no bet is to be answered."""
    legal = betting(kind).legal
    table = np.zeros_like(style_table(kind, "random"))
    first = np.where(legal[:, FOLD], FOLD, CALL)
    table[np.arange(len(legal)), ..., :] = np.eye(BETS)[first][:, None, None]
    return table


# -- the game ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_game_keeps_the_contract_and_is_made_by_name(kind):
    name = f"experiments.poker.game:RepeatedPoker(kind={kind}, hands=2)"
    assert br.make_game(name) == GAMES[kind]
    br.check_game(GAMES[kind], episodes=1)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="kind='holdem'"):
        RepeatedPoker("holdem")
    with pytest.raises(ValueError, match="hands=0"):
        RepeatedPoker("kuhn", 0)


def openspiel_hand(pyspiel, kind, cards):
    """A hand of OpenSpiel's game in which these ranks were dealt."""
    state = pyspiel.load_game(f"{kind}_poker").new_initial_state()
    deal_next(state, kind, cards, 0)
    return deal_next(state, kind, cards, 1)


def deal_next(state, kind, cards, number):
    size = 2 if kind == "leduc" else 1
    card = next(a for a in state.legal_actions() if a // size == cards[number])
    state.apply_action(card)
    return state


@pytest.mark.parametrize("kind", KINDS)
def test_play_is_that_of_openspiel(kind):
    pyspiel = pytest.importorskip("pyspiel")
    game, step, rng = GAMES[kind], STEP[kind], np.random.default_rng(0)
    reset, ends = jax.jit(game.reset), set()
    for seed in range(12):
        state, shown = reset(jax.random.key(seed))
        for hand in range(2):
            first, total = hand % 2, np.zeros(2)
            cards = np.asarray(state.rank)[[first, 1 - first]]
            cards = [*cards, int(state.public)]
            theirs = openspiel_hand(pyspiel, kind, cards)
            for at in range(game.hand_steps):
                if theirs.is_chance_node() and at in game.windows:
                    deal_next(theirs, kind, cards, 2)
                legal = np.asarray(shown.legal)
                movers = np.flatnonzero(legal[:, :BETS].any(1))
                waits = np.ones(2, bool)
                for seat in movers:
                    assert theirs.current_player() == seat ^ first
                    names = [
                        # In Kuhn poker Pass is a check or a fold.
                        [FOLD, RAISE, CALL][a] if kind == "leduc" else a
                        for a in theirs.legal_actions()
                    ]
                    assert legal[seat].sum() == len(names)
                    waits[seat] = False
                over = theirs.is_terminal() and at == game.showdown
                shows = over and legal[:, SHOW:].any()
                if shows:
                    rank = np.argmax(legal[:, SHOW:], 1)
                    np.testing.assert_array_equal(rank, state.rank)
                    waits[:] = False
                np.testing.assert_array_equal(legal[:, WAIT], waits)
                actions = np.array(
                    [rng.choice(np.flatnonzero(x)) for x in legal]
                )
                for seat in movers:
                    action = int(actions[seat])
                    if kind == "kuhn":
                        raised = legal[seat, FOLD]
                        action = int(action == (CALL if raised else RAISE))
                    theirs.apply_action(action)
                state, shown = step(state, actions, jax.random.key(at))
                total += np.asarray(shown.reward)
                assert over or not np.asarray(shown.reward).any()
                if over:
                    np.testing.assert_array_equal(
                        total[[first, 1 - first]], theirs.returns()
                    )
                    ends.add(tuple(theirs.returns()))
                if shown.terminated.any():
                    break
        assert shown.terminated.all() and not shown.truncated
    assert len(ends) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_observations_show_the_hand_and_the_card_after_a_showdown(kind):
    game, step = GAMES[kind], STEP[kind]
    state, shown = jax.jit(game.reset)(jax.random.key(3))
    legal_in = jax.jit(jax.vmap(game.legal_in))
    player = make_style("loose", game)
    policy = jax.jit(lambda obs, legal: player.policy((), obs, legal))
    table = style_table(kind, "loose")
    seen = []
    for at in range(game.max_steps):
        obs, legal = np.asarray(shown.obs), np.asarray(shown.legal)
        np.testing.assert_array_equal(legal_in(obs), legal)
        np.testing.assert_array_equal(game.node_in(obs), [state.node] * 2)
        own, public = game.ranks_in(obs)
        np.testing.assert_array_equal(own, state.rank)
        hidden = kind == "kuhn" or int(state.step) < game.windows[1]
        assert (public == (NO_CARD if hidden else state.public)).all()
        parts = game.split(obs)
        first = np.arange(2) == int(state.hand) % 2
        np.testing.assert_array_equal(parts["first"][:, 0], first)
        other = np.asarray(parts["shown"])
        if int(state.step) > game.showdown:
            seen.append(other.argmax(1).tolist() == state.rank[::-1].tolist())
        else:
            assert not other.any()
        for seat in np.flatnonzero(legal[:, :BETS].any(1)):
            found = policy(obs[seat], legal[seat])
            expected = table[int(state.node), own[seat], public[seat]]
            np.testing.assert_allclose(found[:BETS], expected, atol=1e-6)
        calls = legal[:, CALL]
        actions = np.where(calls, CALL, legal.argmax(1))
        state, shown = step(state, actions, jax.random.key(at))
    assert shown.terminated.all() and seen == [True]
    np.testing.assert_array_equal(
        np.asarray(game.split(shown.obs)["shown"]).argmax(1), state.rank[::-1]
    )


# -- exact values --------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"), [("kuhn", 11 / 12), ("leduc", 4.747222)]
)
def test_best_replies_are_those_of_openspiel(kind, value):
    def both(table):
        return sum(best_reply(kind, p, [table], ONE).value[0] for p in (0, 1))

    assert both(style_table(kind, "random")) == pytest.approx(value, abs=1e-5)
    assert both(folding(kind)) == pytest.approx(2)


def test_equilibria_have_the_values_of_the_games():
    for kind, first, gap in (
        ("kuhn", -1 / 18, 1e-9),
        ("leduc", -0.0856, 0.0015),
    ):
        table = style_table(kind, "equilibrium")
        assert exploitability(kind, table) <= gap
        value = hand_value(kind, 0, table[None], table[None])
        np.testing.assert_allclose(value, first, atol=1e-3)
        np.testing.assert_allclose(table.sum(-1), 1)
    assert exploitability("kuhn", counterfactual("kuhn", 200)) < 0.003


def pure_tables(position):
    """All pure strategies of a position of Kuhn poker."""
    tree = betting("kuhn")
    nodes = np.flatnonzero(tree.mover == position)
    places = [*itertools.product(nodes, range(3))]
    choices = [np.flatnonzero(tree.legal[node]) for node, _ in places]
    for actions in itertools.product(*choices):
        table = np.array(style_table("kuhn", "random"))
        for (node, card), action in zip(places, actions, strict=True):
            table[node, card] = np.eye(BETS)[action]
        yield table


@pytest.mark.parametrize("position", [0, 1])
def test_a_best_reply_to_a_mixture_is_the_best_of_all_pure_strategies(position):
    weights = np.random.default_rng(0).dirichlet(np.ones(len(STYLES)), 3)
    tables = [style_table("kuhn", style) for style in STYLES]
    own = np.stack([*pure_tables(position)])
    each = np.stack(
        [
            hand_value("kuhn", position, own, np.repeat(t[None], len(own), 0))
            for t in tables
        ],
        -1,
    )
    reply = best_reply("kuhn", position, tables, weights)
    np.testing.assert_allclose(
        reply.value, (each @ weights.T).max(0), atol=1e-12
    )
    earned = [
        hand_value("kuhn", position, reply.policy, np.repeat(t[None], 3, 0))
        for t in tables
    ]
    np.testing.assert_allclose(
        (np.stack(earned, -1) * weights).sum(1), reply.value, atol=1e-12
    )


def lines(kind, own, other, position):
    """Every line of play: (probability, cards, nodes and actions, last node), slowly."""
    tree = betting(kind)

    def below(node, cards, probability, path):
        mover = tree.mover[node]
        if mover == ABSENT:
            yield probability, cards, path, node
            return
        card = cards[0] if mover == position else cards[1]
        hidden = kind == "kuhn" or tree.round[node] == 0
        table = own if mover == position else other
        probs = table[node, card, NO_CARD if hidden else cards[2]]
        for action in np.flatnonzero(tree.legal[node]):
            if probs[action] > 0:
                yield from below(
                    tree.child[node, action],
                    cards,
                    probability * probs[action],
                    [*path, (node, action)],
                )

    for cards in np.ndindex(chances(kind).shape):
        if chances(kind)[cards] > 0:
            yield from below(0, cards, chances(kind)[cards], [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 1])
def test_chips_are_those_of_the_best_reply_less_what_is_lost(kind, position):
    tree = betting(kind)
    own, style = style_table(kind, "equilibrium"), STYLES.index("loose")
    reply = replies(kind)[position]
    chips = lost = 0.0
    for probability, cards, path, last in lines(
        kind, own, style_table(kind, "loose"), position
    ):
        public = cards[2] if tree.opens else 0
        won = payoff(kind, last, position)[cards[0], cards[1], public]
        chips += probability * won
        for node, action in path:
            if tree.mover[node] == position:
                hidden = kind == "kuhn" or tree.round[node] == 0
                seen = NO_CARD if hidden else cards[2]
                lost += (
                    probability
                    * reply.lost[style, node, cards[0], seen, action]
                )
    value = hand_value(
        kind, position, own[None], style_table(kind, "loose")[None]
    )
    assert value[0] == pytest.approx(chips)
    assert reply.value[style] - lost == pytest.approx(chips)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 1])
def test_the_posterior_is_that_of_enumerated_play(kind, position):
    tree, own = betting(kind), style_table(kind, "random")
    tables = [style_table(kind, style) for style in STYLES]
    seen: dict = {}
    for number, table in enumerate(tables):
        for probability, cards, _, last in lines(kind, own, table, position):
            showdown = tree.folded[last] == ABSENT
            # A public card that was not opened is not seen.
            is_open = tree.opens and tree.round[last] == 1
            key = (
                cards[0],
                cards[2] if is_open else None,
                cards[1] if showdown else None,
                last,
            )
            seen.setdefault(key, np.zeros(len(tables)))[number] += probability
    keys = [*seen]
    hands = Hands(
        np.full(len(keys), position),
        np.array([k[0] for k in keys]),
        np.array([NO_CARD - 1 if k[1] is None else k[1] for k in keys]),
        np.array([0 if k[2] is None else k[2] for k in keys]),
        np.array([k[3] for k in keys]),
    )
    even = np.full((len(keys), len(tables)), 1 / len(tables))
    found = posterior(even, likelihood(kind, tables, hands))
    expected = np.stack([*seen.values()])
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_played_hands_have_the_expected_chips():
    rng, count = np.random.default_rng(0), 40_000
    own, other = (style_table("leduc", s) for s in ("loose", "random"))
    hands = play_hands(
        "leduc",
        1,
        np.broadcast_to(own, (count, *own.shape)),
        np.broadcast_to(other, (count, *other.shape)),
        rng,
    )
    won = np.zeros(count)
    for node in np.unique(hands.node):
        at = hands.node == node
        paid = payoff("leduc", node, 1)
        won[at] = paid[hands.own[at], hands.other[at], hands.public[at]]
    error = won.std() / count**0.5
    expected = hand_value("leduc", 1, own[None], other[None])[0]
    assert abs(won.mean() - expected) < 4 * error
    cards = deal("leduc", rng, count)
    share = ((cards[:, 0] == cards[:, 1]) & (cards[:, 1] == 0)).mean()
    assert abs(share - 1 / 15) < 4 * (1 / 15 / count) ** 0.5


def test_the_inferring_reply_begins_with_the_mixture_and_ends_near_the_known_style():
    tables = [style_table("kuhn", style) for style in STYLES]
    even = np.full((1, len(STYLES)), 1 / len(STYLES))
    mixed = [best_reply("kuhn", p, tables, even).value[0] for p in (0, 1)]
    truth = np.repeat(np.arange(len(STYLES)), 60)
    chips = inferring("kuhn", tables, truth, 30, seed=0)
    np.testing.assert_allclose(
        [chips[p::2, 0].mean() for p in (0, 1)], mixed, atol=1e-12
    )
    known = np.mean([reply.value for reply in replies("kuhn")])
    assert chips[:, -4:].mean() > 0.98 * known > 1.05 * chips[:, 0].mean()


def test_decisions_lose_what_the_table_says():
    """By hand: a caller answers a bet of Kuhn poker with a jack."""
    game = GAMES["kuhn"]
    state, shown = jax.jit(game.reset)(jax.random.key(0))
    obs, actions = [np.asarray(shown.obs)], []
    for at in range(game.max_steps):
        legal = np.asarray(shown.legal)
        chosen = np.where(legal[:, RAISE], RAISE, legal.argmax(1))
        chosen = np.where(legal[:, FOLD], CALL, chosen)  # a bet is called
        state, shown = STEP["kuhn"](state, chosen, jax.random.key(at))
        obs.append(np.asarray(shown.obs))
        actions.append(chosen)
    played, views = np.stack(actions), np.stack(obs)[:-1]
    first, second = replies("kuhn")
    tight = STYLES.index("tight")
    for seat in (0, 1):
        at_seat = views[None, :, seat], played[None, :, seat]
        found = decisions(game, *at_seat, np.array([tight]))
        assert found.moves.sum() == 2  # a bet, and the answer to one
        own = game.ranks_in(views[:, seat])[0]
        answered = betting("kuhn").child[0, RAISE]
        for at in np.flatnonzero(found.moves[0]):
            bets = int(played[at, seat]) == RAISE
            reply, node = (first, 0) if bets else (second, answered)
            expected = reply.lost[
                tight, node, own[at], NO_CARD, played[at, seat]
            ]
            assert found.lost[0, at] == pytest.approx(expected)
    # With a jack, calling a bet that is never a bluff loses nearly a chip.
    assert second.lost[tight, answered, 0, NO_CARD, CALL] > 0.5


def test_measured_chips_are_the_exact_ones_of_a_player_by_rule():
    game, episodes = GAMES["kuhn"], 400
    found = measured(game, [make_style("loose", game)] * 2, episodes, 0)
    own = style_table("kuhn", "loose")[None]
    for style in STYLES[:2]:
        other = style_table("kuhn", style)[None]
        exact = np.mean([hand_value("kuhn", p, own, other) for p in (0, 1)])
        error = 4 * found["stderr"][style]
        assert 0 < error < 0.1
        assert abs(found["chips"][style] - exact) < error
        assert (
            abs(found["played"][style] - exact) < 4 * 2 / (2 * episodes) ** 0.5
        )
    means = [found["chips"][style] for style in STYLES[:2]]
    assert np.mean(found["by_hand"]) == pytest.approx(np.mean(means))


# -- the study -----------------------------------------------------------------


def test_styles_are_made_by_name():
    for style in STYLES:
        player = br.make_player(player_of(style), GAMES["kuhn"])
        assert player.name.endswith(style)
    with pytest.raises(ValueError, match="expected repeated_poker"):
        make_style("tight", br.make_game("matrix"))
    with pytest.raises(ValueError, match="style='wild'"):
        style_table("kuhn", "wild")


@pytest.mark.parametrize("kind", KINDS)
def test_the_sweep_is_the_stored_one_and_can_be_read(kind, tmp_path):
    file = ROOT / "results" / "poker" / f"{kind}.toml"
    sweep = read_sweep(file, tmp_path)
    seeds = tuple(sorted({unit.config.seed for unit in sweep.units}))
    assert study.sweep_file(kind, seeds) == file.read_text("utf-8")


def test_the_page_is_that_of_its_files(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (study.OUT / "README.md").read_text("utf-8")
    assert study.summary() == page
