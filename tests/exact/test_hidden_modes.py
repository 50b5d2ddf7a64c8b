"""Modes compared with draws of the player, and with hazards computed by hand."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player, player
from bestreply.exact import best_reply
from bestreply.exact.hidden_modes import fixed_modes, marginal, mode_chain
from bestreply.players.scripted import Random
from bestreply.types import ABSENT

GAME = make_game("matrix(rounds=6, memory=2)")
EPISODES, STEPS = 20_000, 4


def switching(when):
    return make_player(f"switching(always_c, always_d, {when})", GAME)


HAZARDS = {
    "step=0": [1, 1, 1, 1, 1],
    "step=2": [0, 0, 1, 1, 1],
    "step=9": [0, 0, 0, 0, 0],
    "random=4": [1 / 4, 1 / 3, 1 / 2, 1, 1],
    "random=1": [1, 1, 1, 1, 1],
    "hazard=0.3": [0.3] * 5,
    "episode=0": [1, 1, 1, 1, 1],
    "episode=2": [0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("when", HAZARDS)
def test_transitions_follow_the_hazard(when):
    chain = mode_chain(switching(when), GAME)
    assert [p.name for p in chain.players] == ["always_c", "always_d"]
    np.testing.assert_array_equal(chain.initial, [1, 0])
    for step, hazard in enumerate(HAZARDS[when]):
        np.testing.assert_allclose(
            chain.transition(step), [[1 - hazard, hazard], [0, 1]]
        )


def test_a_random_switch_is_equally_likely_at_each_step():
    chain = mode_chain(switching("random=4"), GAME)
    np.testing.assert_allclose(
        [marginal(chain, t)[1] for t in range(5)], [0.25, 0.5, 0.75, 1, 1]
    )


def test_a_plain_player_has_one_mode():
    player = make_player("grim", GAME)
    chain = mode_chain(player, GAME)
    assert chain.players == (player,)
    np.testing.assert_array_equal(chain.initial, [1])
    np.testing.assert_array_equal(chain.transition(3), [[1]])


def test_modes_of_a_mixture_are_those_of_its_players():
    spec = "mixture(grim, switching(always_c, always_d, hazard=0.2), weights=(1, 3))"
    chain = mode_chain(make_player(spec, GAME), GAME)
    assert [p.name for p in chain.players] == ["grim", "always_c", "always_d"]
    np.testing.assert_allclose(chain.initial, [0.25, 0.75, 0])
    np.testing.assert_allclose(
        chain.transition(1), [[1, 0, 0], [0, 0.8, 0.2], [0, 0, 1]]
    )


def test_modes_of_a_noisy_player_are_noisy():
    chain = mode_chain(
        make_player("noisy(mixture(always_c, always_d), 0.2)", GAME), GAME
    )
    probs = [
        p.policy((), jnp.zeros(GAME.obs_shape), jnp.ones(2, bool))
        for p in chain.players
    ]
    np.testing.assert_allclose(probs, [[0.9, 0.1], [0.1, 0.9]], rtol=1e-6)


def test_a_switch_to_a_mixture_leads_to_any_of_its_modes():
    spec = "switching(mixture(grim, always_c), mixture(always_d, tit_for_tat, weights=(1, 3)), hazard=0.4)"
    chain = mode_chain(make_player(spec, GAME), GAME)
    np.testing.assert_allclose(chain.initial, [0.5, 0.5, 0, 0])
    expected = [
        [0.6, 0, 0.1, 0.3],
        [0, 0.6, 0.1, 0.3],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(chain.transition(2), expected)


class RandomMemory(Random):
    """Remembers a random draw."""

    def start(self):
        return jnp.int32(0)

    def see(self, carry, obs, others, key):
        return jax.random.randint(key, (), 0, 2)


def test_a_player_that_remembers_a_draw_is_refused():
    mode_chain(RandomMemory())  # without a game there is no check
    with pytest.raises(
        ValueError,
        match=r"draws by its key in `see`.*expected players that draw in `policy`",
    ):
        mode_chain(RandomMemory(), GAME)


# -- compared with the player ------------------------------------------------------------

COMPOSED = [
    "grim",
    "switching(always_c, always_d, random=4)",
    "switching(tit_for_tat, noisy(always_d, 0.3), hazard=0.3)",
    "switching(grim, random, step=2)",
    "mixture(tit_for_tat, noisy(always_d, 0.2), grim, weights=(2, 1, 1))",
    "noisy(mixture(grim, switching(always_d, always_c, hazard=0.4)), 0.1)",
    "switching(mixture(always_c, always_d), switching(always_d, tit_for_tat, random=3), hazard=0.25)",
    "noisy(switching(win_stay_lose_shift, fictitious_play, random=3), 0.3)",
]


OTHERS = [ABSENT, 0, 1, 0]
"""What the other player did before each of STEPS steps. Observations are not read here."""
SEQUENCES = np.array(list(itertools.product(range(2), repeat=STEPS)))
OBS, LEGAL = np.zeros(GAME.obs_shape, np.float32), np.ones(2, bool)


@functools.partial(jax.jit, static_argnums=1)
def sampled(keys, spec):
    """[EPISODES, STEPS]: what the player does."""
    player = make_player(spec, GAME)

    def episode(key):
        def step(carry, at):
            other, key = at
            carry, action, _ = player.step(
                carry, OBS, LEGAL, key, others=other[None]
            )
            return carry, action

        keys = jax.random.split(key, STEPS)
        steps = jnp.array(OTHERS), keys
        return jax.lax.scan(step, player.init(), steps)[1]

    return jax.vmap(episode)(keys)


@functools.partial(jax.jit, static_argnums=0)
def mode_probabilities(spec):
    """[STEPS, M, 2 ** STEPS]: of each action of `SEQUENCES` by each mode."""
    key = jax.random.key(0)

    def of_sequence(actions, player):
        def step(carry, at):
            other, action = at
            carry = player.see(carry, OBS, other[None], key)
            prob = player.policy(carry, OBS, LEGAL)[action]
            return player.remember(carry, OBS, LEGAL, action), prob

        steps = jnp.array(OTHERS), actions
        return jax.lax.scan(step, player.init(), steps)[1]

    players = mode_chain(make_player(spec, GAME)).players
    actions = jnp.asarray(SEQUENCES, jnp.int32)
    each = [
        jax.vmap(lambda a, p=p: of_sequence(a, p))(actions) for p in players
    ]
    return jnp.stack(each).transpose(2, 0, 1)


def likelihoods(spec):
    """[2 ** STEPS]: of every sequence of actions by the forward rule of a hidden chain."""
    chain = mode_chain(make_player(spec, GAME), GAME)
    mass = np.tile(chain.initial, (2**STEPS, 1))
    for step, probs in enumerate(np.asarray(mode_probabilities(spec))):
        mass = mass @ chain.transition(step) * probs.T
    return mass.sum(1)


@pytest.mark.parametrize("spec", COMPOSED)
def test_modes_act_as_the_player_does(spec):
    expected = likelihoods(spec)
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    keys = jax.random.split(jax.random.key(3), EPISODES)
    codes = np.asarray(sampled(keys, spec)) @ 2 ** np.arange(STEPS)[::-1]
    frequency = np.bincount(codes, minlength=2**STEPS) / EPISODES
    assert (frequency[expected == 0] == 0).all()
    error = np.sqrt(expected * (1 - expected) / EPISODES)
    assert (abs(frequency - expected) <= 5 * error + 1e-4).all()


def test_joint_modes_that_stay_are_problems_of_their_own():
    """Equal players in any order are one; players that switch are left together."""
    drawn = make_player(
        "mixture(always_c, always_d, random, weights=[1, 2, 1])", GAME
    )
    chain = mode_chain(drawn)
    modes = fixed_modes([chain] * 2, STEPS)
    names = {
        tuple(c.players[0].name for c in chains): share
        for share, chains in modes
    }
    assert len(names) == 6 and sum(names.values()) == pytest.approx(1)
    assert names["always_c", "always_d"] == pytest.approx(2 * 1 / 4 * 2 / 4)
    other = mode_chain(make_player("mixture(always_c, random)", GAME))
    assert len(fixed_modes([chain, other], STEPS)) == 6
    ((share, chains),) = fixed_modes([mode_chain(switching("step=2"))], STEPS)
    assert share == 1 and len(chains[0].players) == 2


# -- finite automata -------------------------------------------------------------------


def two_tats(obs, legal, memory, others):
    """Defect after two consecutive defections; the state is the number of the last ones."""
    last = others[:, 0]
    state = np.where(last == 1, np.minimum(memory + 1, 2), 0).astype(np.int32)
    return np.eye(2)[(state == 2).astype(int)], state


# A player with a finite memory is an automaton, and that of a function is one too.
TWO_TATS = player(two_tats, memory=np.int32(0), distribution=True)


@pytest.mark.parametrize("rounds", [1, 2, 5, 8])
@pytest.mark.parametrize("other", ["tit_for_tat", "grim", TWO_TATS])
def test_best_replies_to_automata_are_those_by_hand(other, rounds):
    """Payoffs 5, 3, 1, 0. Against tit for tat and grim: cooperate until the last round,
    then defect. Against tit for two tats: defect in the last two rounds, and in every
    second one before the round ahead of them; no defection is answered."""
    text = f"matrix(table=prisoners_dilemma, rounds={rounds}, memory=0)"
    value = best_reply(make_game(text), 0, [other]).value
    if other is TWO_TATS:
        defections = min(rounds, 2) + max(rounds - 2, 0) // 2
        assert value == pytest.approx(3 * rounds + 2 * defections)
    else:
        assert value == pytest.approx(3 * (rounds - 1) + 5)
