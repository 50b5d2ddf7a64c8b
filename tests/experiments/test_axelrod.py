"""The prisoner's dilemma of 245 strategies: tables, exact values, the belief, matches of the package."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from experiments.axelrod.agent import BestReply, Settings
from experiments.axelrod.game import PAYOFF, TOURNAMENTS, TURNS, Log, Rules
from experiments.axelrod.model import Contexts, count, fit, solve

STANDARD, NOISE, RANDOM_ENDS = TOURNAMENTS.values()
CONTEXTS = Contexts(1)
# Cooperation after nothing, and after (own, theirs) = CC, CD, DC, DD of the agent.
TABLES = np.array(
    [[1.0, 1.0, 1.0, 0.0, 0.0], [0.0] * 5, [1.0] * 5], np.float32
).T
TIT_FOR_TAT, ALWAYS_D, ALWAYS_C = range(3)


def logged(rows: list[list[tuple[int, int]]]) -> Log:
    return Log(np.array(rows, np.int8), np.array([len(r) for r in rows]))


def test_contexts_are_the_last_joint_actions():
    contexts = Contexts(2)
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(3, 9, 2))
    found = contexts.of(Log(actions.astype(np.int8), np.full(3, 9)))
    for match, t in itertools.product(range(3), range(9)):
        last = actions[match, max(0, t - 2) : t]
        expected = tuple(int(2 * a + b) for a, b in last)
        context = found[match, t]
        assert contexts.sequences[context] == expected
        shorter = contexts.sequences[contexts.shorter[context]]
        assert shorter == expected[1:]


def test_a_table_backs_off_to_the_shorter_context():
    # The strategy defects first, then cooperates after CC, three times.
    log = logged([[(0, 1), (0, 0), (0, 0), (0, 0), (0, 0)]])
    counts = count(CONTEXTS, log, np.array([0]), 1)
    table = fit(CONTEXTS, counts, prior=2.0)[:, 0]
    marginal = (4 + 0.5) / (5 + 1)
    after = dict(zip(CONTEXTS.sequences, table, strict=True))
    assert after[(0,)] == pytest.approx((3 + 2 * marginal) / (3 + 2))
    assert after[(3,)] == pytest.approx(marginal)  # never seen
    assert after[()] == pytest.approx((0 + 2 * marginal) / (1 + 2))


def test_weights_of_turns_are_those_of_the_score():
    for rules in TOURNAMENTS.values():
        assert rules.weights.sum() == pytest.approx(1, abs=1e-3)
    length = RANDOM_ENDS.lengths(200_000, np.random.default_rng(1))
    first_turn = (1 / length).mean()
    assert RANDOM_ENDS.weights[0] == pytest.approx(first_turn, rel=0.01)


def test_exact_values_of_known_strategies():
    value = solve(CONTEXTS, TABLES, STANDARD)[0, 0].max(-1)
    # Defect at the last turn only; always; always.
    assert value == pytest.approx([(199 * 3 + 5) / 200, 1, 5], rel=1e-5)


def test_exact_values_under_noise_are_those_of_all_plans():
    """Every plan of a short match, by brute force over both players' flips."""
    rules, turns = Rules(noise=0.2), 3
    mixed = 0.1 + 0.8 * TABLES

    def best(context: int, t: int) -> float:
        if t == turns:
            return 0.0
        values = []
        for chosen in (0, 1):
            total = 0.0
            for mine, theirs in itertools.product((0, 1), repeat=2):
                p = 0.8 if mine == chosen else 0.2
                p *= mixed[context, 0] if theirs == 0 else 1 - mixed[context, 0]
                after = CONTEXTS.next[context, 2 * mine + theirs]
                total += p * (PAYOFF[mine, theirs] / TURNS + best(after, t + 1))
            values.append(total)
        return max(values)

    found = solve(CONTEXTS, mixed, rules)[TURNS - turns, 0, 0].max()
    assert found == pytest.approx(best(0, 0), rel=1e-5)


def agent(rules: Rules, **settings) -> BestReply:
    values = {rules: solve(CONTEXTS, TABLES, rules)}
    settings = {"nodes": 64} | settings
    return BestReply(CONTEXTS, {rules: TABLES}, values, Settings(**settings))


def score(player: BestReply, rules: Rules) -> np.ndarray:
    """Play the strategies of `TABLES`, one a match, in 200 turns."""
    player.begin(3, rules, 0)
    context, total = np.zeros(3, int), np.zeros(3)
    for _ in range(TURNS):
        mine = player.act()
        theirs = (TABLES[context, range(3)] < 0.5).astype(int)
        total += PAYOFF[mine, theirs]
        player.observe(mine, theirs)
        context = CONTEXTS.next[context, 2 * mine + theirs]
    return total / TURNS


def test_the_agent_infers_whom_it_plays():
    found = score(agent(STANDARD), STANDARD)
    exact = solve(CONTEXTS, TABLES, STANDARD)[0, 0].max(-1)
    # What it costs to find out is a few turns.
    assert (found > exact - 0.05).all() and (found <= exact + 1e-6).all()


def test_a_given_strategy_costs_nothing():
    player = agent(STANDARD, slip=0.0)
    player.types = np.arange(3)
    exact = solve(CONTEXTS, TABLES, STANDARD)[0, 0].max(-1)
    assert score(player, STANDARD) == pytest.approx(exact, rel=1e-5)


def test_a_strategy_that_is_none_of_the_known_is_learned_in_play():
    """Against always-D, an agent that knows only always-C stops to cooperate."""
    tables = TABLES[:, [ALWAYS_C]]
    player = BestReply(
        CONTEXTS,
        {STANDARD: tables},
        {STANDARD: solve(CONTEXTS, tables, STANDARD)},
        Settings(unknown_prior=0.1, nodes=64),
    )
    player.begin(1, STANDARD, 0)
    for _ in range(50):
        mine = player.act()
        player.observe(mine, np.array([1]))
    assert player.weights[0, -1] > 0.99
    assert player.adaptive[0, player.to_short[player.context[0]]] < 0.2


def test_look_ahead_is_the_sum_over_both_players_moves():
    player = agent(NOISE, unknown_prior=0.0)
    player.begin(1, NOISE, 0)
    player.rows = np.arange(1)
    weights, context = player.weights, player.context
    found = player.scores(weights, context, 0, 1)[0]
    expected = []
    for chosen in (0, 1):
        total = 0.0
        for mine, theirs in itertools.product((0, 1), repeat=2):
            p = 0.95 if mine == chosen else 0.05
            cooperates = weights[0, :3] * player.table[0]
            mass = cooperates if theirs == 0 else weights[0, :3] - cooperates
            after = CONTEXTS.next[0, 2 * mine + theirs]
            follow = (mass[:, None] * player.value[1, after]).sum(0).max()
            total += p * (mass.sum() * PAYOFF[mine, theirs] / TURNS + follow)
        expected.append(total)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_pool_and_the_matches_are_those_of_the_package():
    axelrod = pytest.importorskip("axelrod")
    from experiments.axelrod.matches import play
    from experiments.axelrod.pool import pool, published_name

    named = pool()
    file = Path("results") / "axelrod" / "published.csv"
    with file.open(encoding="utf-8") as rows:
        published = {row["strategy"] for row in csv.DictReader(rows)}
    assert len(published) == 245 and len(named) == 227
    assert {*map(published_name, named)} <= published

    class AlwaysDefects:
        def begin(self, matches, rules, seed):
            self.matches = matches

        def act(self):
            return np.ones(self.matches, int)

        def observe(self, mine, theirs):
            pass

    names = ["Tit For Tat", "Grudger", "Evolved FSM 16", "Win-Stay Lose-Shift"]
    log = play(AlwaysDefects(), [named[n] for n in names], STANDARD, 0)
    for name, mine, theirs in zip(
        names, log.scores, log.opponents, strict=True
    ):
        match = axelrod.Match((axelrod.Defector(), named[name]()), turns=200)
        match.play()
        assert (mine, theirs) == pytest.approx(match.final_score_per_turn())


# -- players of the library ------------------------------------------------------


def test_automata_act_as_the_strategies_of_the_package():
    """Each on random actions of the other player; one that draws, by frequencies."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.strategies import (
        STRATEGIES,
        automaton,
        next_action,
    )

    rng, drawn = np.random.default_rng(0), []
    for name in STRATEGIES:
        machine, state, past = automaton(name), 0, []
        for theirs in rng.integers(2, size=8):
            defects = machine.defects[state]
            played = np.reshape(past, (len(past), 2)).astype(int)
            draws = 1 if defects in (0, 1) else 40
            found = [next_action(name, played, rng) for _ in range(draws)]
            assert np.mean(found) == pytest.approx(defects, abs=0.3)
            if draws > 1:
                drawn.append(name)
            past.append((found[-1], theirs))
            state = machine.next[state, found[-1], theirs]
    assert {*drawn} == {"Random", "GTFT", "FirstByJoss"}
    tats = automaton("TitFor2Tats")
    assert tats.defects.tolist() == [0, 0, 1]  # by defections in a row
    assert tats.next[:, 0].tolist() == [[0, 1], [0, 2], [0, 2]]
    forgives = automaton("GTFT").defects
    assert forgives == pytest.approx([0, 0, 2 / 3, 0, 2 / 3])


def test_players_of_the_library_play_the_matches_of_the_package():
    """One pair of automata; and Joss, which after a defection always defects."""
    axelrod = pytest.importorskip("axelrod")
    from bestreply import make_game
    from bestreply.simulation.lineup import seat_players
    from bestreply.simulation.loop import play
    from experiments.axelrod.strategies import MODULE

    names = ("TwoTitsForTat", "Alternator")
    makers = [getattr(axelrod, name)() for name in names]
    match = axelrod.Match(makers, turns=12).play()
    expected = [[action.value for action in joint] for joint in match]
    game = make_game("matrix(table=prisoners_dilemma, rounds=12, memory=0)")
    specs = [f"{MODULE}:strategy({name})" for name in names]
    lineup = seat_players(game, specs, 1, 0)
    assert [entry["name"] for entry in lineup.roster] == specs
    found = play(game, lineup, 0).episodes.action[0]
    assert found.tolist() == expected
    specs = [f"{MODULE}:strategy({n})" for n in ("FirstByJoss", "Defector")]
    joss = play(game, seat_players(game, specs, 3, 0), 0).episodes.action
    assert joss[:, 1:, 0].all() and not joss[:, 0, 0].any()


def test_any_strategy_of_the_package_plays():
    """One that draws by more than the last joint action: it is made anew each time."""
    pytest.importorskip("axelrod")
    from bestreply import make_game
    from bestreply.simulation.lineup import seat_players
    from bestreply.simulation.loop import play
    from experiments.axelrod.strategies import MODULE, automaton

    assert automaton("SoftJoss") is not None and automaton("Stalker") is None
    game = make_game("matrix(table=prisoners_dilemma, rounds=4, memory=0)")
    specs = [f"{MODULE}:strategy({n})" for n in ("Stalker", "TitForTat")]
    action = play(game, seat_players(game, specs, 2, 0), 0).episodes.action
    np.testing.assert_array_equal(action[:, 1:, 1], action[:, :-1, 0])


def test_a_drawing_strategy_draws_by_the_seed_of_play():
    """Generous tit for tat forgives a defection with probability 1/3."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.strategies import next_action

    past = np.array([[0, 1]])
    rng = np.random.default_rng(0)
    drawn = [next_action("GTFT", past, rng) for _ in range(300)]
    assert np.mean(drawn) == pytest.approx(2 / 3, abs=0.08)
    one, other = (
        next_action("Random", past, np.random.default_rng(5)) for _ in (0, 1)
    )
    assert one == other


def test_the_table_of_the_librarys_opponent_models():
    """Two seeds of each: means, ranges, fraction of the exact reply."""
    pytest.importorskip("axelrod")
    from experiments.axelrod import library
    from experiments.axelrod.strategies import STRATEGIES

    means = dict.fromkeys(STRATEGIES, 2.0)
    rows = [
        {"model": model, "seed": seed, "mean": means | {"Defector": paid}}
        for model in library.MODELS
        for seed, paid in enumerate((0.8, 1.0))
    ]
    exact = dict.fromkeys(STRATEGIES, 4.0) | {"Defector": 1.0}
    lines = library.strategy_table(rows, exact).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|") for line in lines}
    assert cells["TitForTat"][2:4] == [" 4.00 ", " 2.00 (2.00 to 2.00) "]
    assert cells["Defector"][2:4] == [" 1.00 ", " 0.90 (0.80 to 1.00) "]
    mean, best = (11 * 2 + 0.9) / 12, (11 * 4 + 1) / 12
    assert cells["mean, as beside a mixture of all"][2] == f" {best:.2f} "
    fraction = cells["fraction of the exact best reply"][3]
    assert fraction.startswith(f" {mean / best:.3f} (")


# -- the library's agent ---------------------------------------------------------


def test_matches_become_a_dataset(tmp_path):
    """Rewards, names and ends; of a match longer than the game's the rest is left out."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.library_entry import OWN, store_of

    rng = np.random.default_rng(0)
    length = np.array([3, TURNS + 4, 1])
    actions = rng.integers(2, size=(3, TURNS + 4, 2)).astype(np.int8)
    actions[np.arange(TURNS + 4) >= length[:, None]] = -1
    log = Log(actions, length)
    kind, names = np.array([1, 0, 1]), ["A", "B"]
    store = store_of([(log, kind)], names, RANDOM_ENDS, tmp_path / "data")
    episodes = store.episodes()
    assert episodes.length.tolist() == [3, TURNS, 1]
    assert episodes.terminated[[0, 2], [2, 0]].all()
    assert np.asarray(episodes.truncated).sum(1).tolist() == [0, 1, 0]
    roster = [entry["name"] for entry in store.manifest.roster]
    seated = [[roster[p] for p in row] for row in episodes.player]
    assert seated == [[OWN, "B"], [OWN, "A"], [OWN, "B"]]
    rewards = np.asarray(episodes.reward)[0, :3]
    np.testing.assert_allclose(rewards[:, 0], log.rewards[0, :3])


@pytest.mark.slow
def test_the_librarys_agent_finds_out_whom_it_plays(tmp_path, monkeypatch):
    """After a few turns it has the exact best reply: 5, 1 and 3 a turn."""
    pytest.importorskip("axelrod")
    from experiments.axelrod import library_entry as entry
    from experiments.axelrod.matches import play
    from experiments.axelrod.pool import pool

    monkeypatch.setattr(entry, "ROUNDS", 0)
    names = ["Cooperator", "Defector", "Tit For Tat"]
    makers = {name: pool()[name] for name in names}
    run = entry.train(makers, STANDARD, 0, tmp_path)
    agent = entry.LibraryAgent(run, names)
    log = play(agent, [*makers.values()], STANDARD, 1)
    exact = np.array([5, 1, (199 * 3 + 5) / 200])
    assert (log.scores > exact - 0.1).all() and (log.scores <= exact).all()
