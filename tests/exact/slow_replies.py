"""Best replies by recursion over whole histories, with players written down anew in plain Python: slow and obvious.

A player is a list of kinds ``(probability, policy, label)``. It is of one kind for the whole episode, with hidden switches written
out as one kind for every time at which they may come. ``policy(mine, theirs)`` gives its action probabilities after its own actions
so far and the others' (one tuple a round); ``label(t)`` is what a reply that is told modes is told at round t.
"""

import itertools
import math

import numpy as np


def one_hot(action, count):
    return [float(a == action) for a in range(count)]


def uniform(actions, count):
    return [(a in actions) / len(actions) for a in range(count)]


def always(action, count=2):
    return lambda mine, theirs: one_hot(action, count)


def random(count=2):
    return lambda mine, theirs: uniform(range(count), count)


def tit_for_tat(mine, theirs):
    return one_hot(int(bool(theirs) and any(theirs[-1])), 2)


def grim(mine, theirs):
    return one_hot(int(any(any(joint) for joint in theirs)), 2)


def win_stay_lose_shift(payoffs):
    """payoffs [A]...[A], its own action first."""
    payoffs = np.asarray(payoffs, float)

    def policy(mine, theirs):
        if not mine:
            return one_hot(0, len(payoffs))
        won = payoffs[(mine[-1], *theirs[-1])] >= payoffs.mean()
        return one_hot(
            mine[-1] if won else (mine[-1] + 1) % len(payoffs), len(payoffs)
        )

    return policy


def fictitious_play(payoffs):
    """Of two players."""
    payoffs = np.asarray(payoffs, float)

    def policy(mine, theirs):
        counts = [
            1 + sum(joint[0] == a for joint in theirs)
            for a in range(len(payoffs))
        ]
        worth = payoffs @ counts / sum(counts)
        return uniform(
            [a for a in range(len(worth)) if worth[a] >= worth.max() - 1e-6],
            len(worth),
        )

    return policy


def noisy(policy, eps):
    def shaken(mine, theirs):
        probs = policy(mine, theirs)
        return [(1 - eps) * p + eps / len(probs) for p in probs]

    return shaken


def plain(policy, name="plain"):
    return [(1.0, policy, lambda t: name)]


def mixture(*parts):
    """parts: (weight, kinds)."""
    total = sum(weight for weight, _ in parts)
    return [
        (
            weight / total * prob,
            policy,
            lambda t, i=i, label=label: (i, label(t)),
        )
        for i, (weight, kinds) in enumerate(parts)
        for prob, policy, label in kinds
    ]


def switching(first, second, times):
    """times: the probability of a switch before round 0, 1, ...; what is missing to 1 is that of no switch."""
    kinds = []
    for at, prob in enumerate([*times, 1 - sum(times)]):
        at = at if at < len(times) else math.inf

        def policy(mine, theirs, at=at):
            return (first if len(mine) < at else second)(mine, theirs)

        kinds.append((prob, policy, lambda t, at=at: t >= at))
    return kinds


def hazard_times(hazard, rounds):
    return [hazard * (1 - hazard) ** t for t in range(rounds)]


def slow_best_reply(payoffs, rounds, others, *, told, gamma=1.0, go_on=1.0):
    """The value of the best reply of seat 0; payoffs [A]...[A] are its own, `others` a player for each other seat.

    After each round but the last of `rounds` the game goes on with probability `go_on`.
    """
    payoffs = np.asarray(payoffs, float)
    count, joint_kinds = len(payoffs), list(itertools.product(*others))
    joints = list(itertools.product(range(count), repeat=len(others)))

    def best(history, weights):
        """What can still be gained, times the probability of having come here as one of the kinds, given in `weights`."""
        t = len(history)
        if t == rounds:
            return 0.0
        groups = {}
        for kind, weight in enumerate(weights):
            if weight > 0:
                label = (
                    tuple(label(t) for _, _, label in joint_kinds[kind])
                    if told
                    else None
                )
                groups.setdefault(label, []).append(kind)
        return sum(
            max(gain(history, weights, group, a) for a in range(count))
            for group in groups.values()
        )

    def gain(history, weights, group, action):
        total = 0.0
        for joint in joints:
            after = [0.0] * len(weights)
            for kind in group:
                after[kind] = weights[kind] * likelihood(
                    joint_kinds[kind], history, joint
                )
            if sum(after) > 0:
                later = best((*history, (action, *joint)), after)
                total += (
                    sum(after) * payoffs[(action, *joint)]
                    + gamma * go_on * later
                )
        return total

    def likelihood(kinds, history, joint):
        prob = 1.0
        for j, (_, policy, _) in enumerate(kinds):
            mine = [played[j + 1] for played in history]
            theirs = [
                (*played[: j + 1], *played[j + 2 :]) for played in history
            ]
            prob *= policy(mine, theirs)[joint[j]]
        return prob

    return best(
        (), [math.prod(prob for prob, _, _ in kinds) for kinds in joint_kinds]
    )
