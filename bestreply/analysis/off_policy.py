"""Off-policy estimates: what policies would earn, from logged play alone.

Where there is no simulator, the returns of the agent, of a clone of all logged play and
of clones of each logged player are estimated by fitted Q evaluation and by weighted
importance sampling, with 95 % intervals over episodes. A player's logged return stands
beside them. All returns are undiscounted sums over an episode as it was logged.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree

from bestreply.analysis.fitted_q import FEATURES, FittedQ
from bestreply.analysis.importance_sampling import (
    Estimate,
    logged_return,
    resamples,
    weighted_return,
)
from bestreply.analysis.logged_steps import (
    Trajectories,
    clone,
    inputs,
    learned_features,
    policy_of_clone,
    trajectories,
)
from bestreply.games.base import Game
from bestreply.planning.agent import Memory
from bestreply.players.base import Player
from bestreply.simulation.loop import PLANNING_CHUNK
from bestreply.types import ABSENT, ActorOutput, Array, Episodes

if TYPE_CHECKING:
    from rich.table import Table

CLONED = "behaviour_cloning"
"""Name of the policy that is fitted to all logged actions."""
MIN_PROB = 1e-3
"""Least probability of a logged action by a clone; smaller ones are its error."""
MAX_EPISODES = 1000
"""Episodes that estimates are made from."""
MAX_FACTS = 64
"""Facts of a step that Q reads beside the features that a network learns of them."""
MIN_EPISODES = 20
MAX_BYTES = 1 << 30
"""Bytes of the facts of all steps, above `MIN_EPISODES` episodes."""
MIN_HELD_OUT = 200
"""Held-out episodes from which they alone are used."""


@dataclasses.dataclass(frozen=True)
class PolicyEstimate:
    """The estimated return of a policy; None where an estimate cannot be made."""

    policy: str
    kind: str  # "method", "clone", or "player": a clone of one logged player
    fitted_q: Estimate | None
    weighted: Estimate | None
    effective: float  # trajectories that count for `weighted`
    logged: Estimate | None  # the mean logged return, of a player

    def to_json(self) -> dict[str, Any]:
        """Return plain data; numbers that are not finite are None."""
        fields = dataclasses.asdict(self)
        for name in ("fitted_q", "weighted", "logged"):
            value = getattr(self, name)
            fields[name] = None if value is None else value._asdict()
        return fields


def select_episodes(
    held_out: Bool[np.ndarray, " E"], most: int = MAX_EPISODES
) -> tuple[Bool[np.ndarray, " E"], bool]:
    """Return the episodes that estimates are made from, and whether all are held out.

    A policy looks better on the episodes that it was trained on. So held-out episodes
    are used alone where there are `MIN_HELD_OUT` of them.

    Args:
        held_out: the episodes that it was not trained on.
        most: largest number of episodes.
    """
    first = np.flatnonzero(held_out)[:most]
    alone = len(first) >= min(MIN_HELD_OUT, most)
    if not alone:
        rest = np.flatnonzero(~held_out)[: most - len(first)]
        first = np.concatenate([first, rest])
    chosen = np.zeros(len(held_out), bool)
    chosen[first] = True
    return chosen, alone


def most_episodes(game: Game, roster: int) -> int:
    """Return how many episodes of a game the estimates have memory for.

    Args:
        game: the game.
        roster: number of players in the roster.
    """
    facts = math.prod(game.obs_shape)
    facts += game.num_players * (game.num_actions + roster) + FEATURES
    size = 4 * facts * game.max_steps * game.num_players
    return max(MIN_EPISODES, min(MAX_EPISODES, MAX_BYTES // size))


def policy_along(
    player: Player, play: Trajectories
) -> Float[np.ndarray, "M T A"]:
    """Return the policy of a player at each step, had it made the logged moves before.

    Args:
        player: an agent, a policy or a scripted player of this game.
        play: logged play.
    """
    return np.asarray(outputs_along(player, play, _probs))


def _probs(output: ActorOutput) -> Array:
    return output.probs


@eqx.filter_jit
def outputs_along(
    player: Player,
    play: Trajectories,
    pick: Callable[[ActorOutput], PyTree],
) -> PyTree:
    """Return what a player puts out at each step, had it made the logged moves before.

    Args:
        player: an agent, a policy or a scripted player of this game.
        play: logged play.
        pick: the arrays that are wanted of an output; the same object each time, so that
            it is compiled once.

    Returns:
        The arrays, with leading axes [M, T].
    """
    keys = jax.random.split(jax.random.key(0), play.joint.shape[0])
    joint = jnp.asarray(play.joint)

    def one(at: Any) -> PyTree:
        obs, legal, joint, key = at

        def step(carry: PyTree, at: Any) -> tuple[PyTree, PyTree]:
            carry, before = carry
            obs, legal, actions, key = at
            carry, _, output = player.step(
                carry,
                jnp.asarray(obs, jnp.float32),
                legal,
                key,
                others=before[1:],
                present=actions != ABSENT,
            )
            after = _with_action(carry, actions[0]), actions
            return after, pick(output)

        steps = obs, legal, joint, jax.random.split(key, len(joint))
        start = player.init(), jnp.full_like(joint[0], ABSENT)
        return jax.lax.scan(step, start, steps)[1]

    every = jnp.asarray(play.obs), jnp.asarray(play.legal), joint, keys
    return jax.lax.map(one, every, batch_size=PLANNING_CHUNK)


def _with_action(carry: PyTree, action: Int[Array, ""]) -> PyTree:
    """Return a player's memory with the logged action in place of its own."""
    if isinstance(carry, Memory):
        return carry._replace(action=action)
    if isinstance(carry, dict) and "action" in carry:
        return carry | {"action": action}
    return carry


def estimate_returns(
    episodes: Episodes,
    roster: Sequence[str],
    policies: Mapping[str, Player],
    seed: int,
) -> list[PolicyEstimate]:
    """Return the estimated returns of policies, of a clone, and of each logged player.

    Args:
        episodes: logged play.
        roster: names of the players that it indexes.
        policies: players by name.
        seed: seed of networks, features and resamples.
    """
    return estimates_of_play(trajectories(episodes), roster, policies, seed)


def estimates_of_play(
    play: Trajectories,
    roster: Sequence[str],
    policies: Mapping[str, Player],
    seed: int,
) -> list[PolicyEstimate]:
    """Return `estimate_returns` from logged play of some seats alone.

    Args:
        play: logged play, such as that of one role.
        roster: names of the players that it indexes.
        policies: players by name.
        seed: seed of networks, features and resamples.
    """
    plain, _, nets, estimator = _prepared(play, len(roster), seed)
    legal = play.rows(play.legal)
    rows = []
    for name, player in policies.items():
        policy = play.rows(policy_along(player, play))
        rows.append(estimator.of(name, "method", policy))
    policy = policy_of_clone(nets[0], plain, legal)
    rows.append(estimator.of(CLONED, "clone", policy))
    own = np.full_like(play.player, ABSENT)
    for k in np.unique(play.player[:, 0]):
        own[:, 0] = k
        x = inputs(play, own, len(roster))
        policy = policy_of_clone(nets[1], x, legal)
        rows.append(estimator.of(roster[int(k)], "player", policy, int(k)))
    return widened(rows)


def fitted_returns(
    play: Trajectories,
    policies: Sequence[Float[np.ndarray, "rows A"]],
    roster: int,
    seed: int,
) -> list[float]:
    """Return the mean return of policies by fitted Q evaluation.

    Args:
        play: logged play.
        policies: probabilities of actions at each of its steps (`Trajectories.rows`).
        roster: number of players in the roster.
        seed: seed of networks, features and resamples.
    """
    estimator = _prepared(play, roster, seed)[3]
    return [float(estimator.q.estimate(policy).mean) for policy in policies]


def _prepared(
    play: Trajectories, roster: int, seed: int
) -> tuple[np.ndarray, np.ndarray, list[PyTree], "_Estimator"]:
    """Return the facts of logged steps without players and with the own one, clones of
    both, and what estimates from the play."""
    legal, action = play.rows(play.legal), play.rows(play.joint)[:, 0]
    unknown = np.full_like(play.player, ABSENT)
    own = unknown.copy()
    own[:, 0] = play.player[:, 0]
    plain, by_own = (inputs(play, who, roster) for who in (unknown, own))
    nets = [clone(x, legal, action, seed) for x in (plain, by_own)]
    behaviour = policy_of_clone(nets[1], by_own, legal)
    return plain, by_own, nets, _Estimator(play, behaviour, roster, seed)


def widened(rows: Sequence[PolicyEstimate]) -> list[PolicyEstimate]:
    """Return estimates whose intervals of fitted Q hold its misses where the truth is known.

    A bootstrap shows the error of the data, not that of the features. The return of a
    logged player is known: the largest miss among them widens every interval.

    Args:
        rows: the estimates, those of logged players included.
    """
    miss = largest_miss(rows)
    return [
        dataclasses.replace(
            row,
            fitted_q=row.fitted_q
            and Estimate(
                row.fitted_q.mean,
                row.fitted_q.low - miss,
                row.fitted_q.high + miss,
            ),
        )
        for row in rows
    ]


def largest_miss(rows: Sequence[PolicyEstimate]) -> float:
    """Return by how much fitted Q misses the return of a logged player at most.

    Args:
        rows: the estimates.
    """
    misses = [
        abs(row.fitted_q.mean - row.logged.mean)
        for row in rows
        if row.fitted_q and row.logged
    ]
    return max(misses, default=0.0)


class _Estimator:
    """Logged play, and what all estimates from it share."""

    def __init__(
        self,
        play: Trajectories,
        behaviour: Float[np.ndarray, "rows A"],
        roster: int,
        seed: int,
    ) -> None:
        others = play.player.copy()
        others[:, 0] = ABSENT
        self.play = play
        self.counts = resamples(int(play.episode.max()) + 1, seed)
        x = inputs(play, others, roster)
        reward = play.reward.astype(np.float64)
        to_go = play.rows(reward[:, ::-1].cumsum(1)[:, ::-1])
        learned = learned_features(
            x, play.rows(play.legal), play.rows(play.joint)[:, 0], to_go, seed
        )
        if x.shape[1] > MAX_FACTS:
            x = x[:, :0]
        x = np.concatenate([x, learned], 1)
        self.q = FittedQ(play, x, self.counts, seed)
        self.action = play.rows(play.joint)[:, :1]
        cloned = np.take_along_axis(behaviour, self.action, 1)[:, 0]
        logged = play.rows(play.prob)
        self.prob = np.where(
            np.isnan(logged), np.maximum(cloned, MIN_PROB), logged
        )

    def of(
        self,
        name: str,
        kind: str,
        policy: Float[np.ndarray, "rows A"],
        player: int | None = None,
    ) -> PolicyEstimate:
        """Return the estimates of a policy; of a logged player its returns too."""
        play = self.play
        chosen = np.take_along_axis(policy, self.action, 1)[:, 0]
        weighted = weighted_return(
            play.spread(chosen / self.prob),
            play.reward,
            play.acted,
            play.episode,
            self.counts,
        )
        logged = None
        if player is not None:
            rows = play.player[:, 0] == player
            logged = _finite(
                logged_return(
                    play.returns[rows], play.episode[rows], self.counts
                )
            )
        return PolicyEstimate(
            name,
            kind,
            _finite(self.q.estimate(policy)),
            _finite(weighted.estimate),
            weighted.effective,
            logged,
        )


def _finite(estimate: Estimate) -> Estimate | None:
    return estimate if all(map(math.isfinite, estimate)) else None


def off_policy_table(rows: Sequence[dict[str, Any]]) -> "Table":
    """Return estimates as a table for the terminal.

    Args:
        rows: `policies` of off_policy.json.
    """
    from rich.table import Table

    table = Table(title="Estimated returns, with 95 % intervals over episodes")
    table.add_column("policy")
    heads = ("fitted Q evaluation", "importance sampling", "logged")
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows:
        cells = [_cell(row[k]) for k in ("fitted_q", "weighted", "logged")]
        table.add_row(row["policy"], *cells)
    return table


def _cell(value: dict[str, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
