"""The exact best reply in a grid game, by compiled backward induction over every position.

For other players whose modes m (`hidden_modes`) choose by their observation, without memory:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s, t)} [ r(s, a, a_j) + gamma E_{m' ~ P_{t+1}(m, .)} [ V_{t+1}(s', m') ] ]
    V_t(s, m) = max over legal a of Q_t(s, m, a)

backwards from V = 0 at the step limit and wherever seat 0 no longer plays (Bellman, 1957). The
expectation over the other players' actions factors over players where each chooses by its own
cell (`factored_backup`); otherwise it is over their joint actions (`joint_backup`). A layout's
tables are computed when they are first requested.
"""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from bestreply.exact.backward_induction import GridProblem
from bestreply.exact.base import Decisions
from bestreply.exact.dependence import ignores_other_players
from bestreply.exact.factored_backup import (
    largest_dependence,
    outcomes_determine_step,
    solve_factored,
)
from bestreply.exact.grid_players import (
    BaseGridReply,
    mean_and_error,
    memoryless_chains,
    with_value,
)
from bestreply.exact.hidden_modes import ModeChain, fixed_modes
from bestreply.exact.joint_backup import solve_joint
from bestreply.exact.positions import (
    Layout,
    StageGroup,
    number_positions,
    stage_groups,
)
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes

MAX_TABLE_BYTES = 2**30
"""Bytes of tables that one best reply stores."""

PROBABILITY_TOLERANCE = 1e-6
"""Probabilities that differ by less are equal up to rounding."""


class Backup(enum.Enum):
    """How the expectation over the other players' actions is computed."""

    FACTORED = (
        "player by player: each provably chooses by its own cell and the things"
    )
    CHECKED = "player by player in layouts where a check of every position allows it, else joint"
    JOINT = "over joint actions"


@dataclasses.dataclass(frozen=True, eq=False)
class GridReply(BaseGridReply):
    """The best reply in a grid game that observes the modes; returned by `solve_grid`."""

    groups: tuple[StageGroup, ...] = dataclasses.field(repr=False)
    backup: Backup
    stored: dict[bytes, np.ndarray] = dataclasses.field(
        default_factory=dict, repr=False
    )
    """By layout: Q [T, S, M, A]."""

    def tables(self, layout: Layout) -> np.ndarray:
        """Return Q* of one layout, computed on first request and stored while memory allows.

        Args:
            layout: cells of blocks and things.

        Returns:
            [T, S, M, A] float32, -inf for illegal actions.
        """
        blocks, thing_cell = map(np.asarray, layout)
        key = blocks.tobytes() + thing_cell.tobytes()
        if key not in self.stored:
            table = np.asarray(self._solve(layout, keep=True))
            if (len(self.stored) + 1) * table.nbytes > MAX_TABLE_BYTES:
                return table
            self.stored[key] = table
        return self.stored[key]

    def decisions(
        self,
        episodes: Episodes,
        seats: Int[Array, " E"] | None = None,
        modes: Int[Array, "E T others"] | None = None,
    ) -> Decisions:
        """Return V* and Q* at every step of logged play, as `BestReply.decisions`.

        Args:
            episodes: play of this game.
            seats: [E] int, the focal seat of each episode; by default `seat` in all.
            modes: [E, T, N-1] int, as `BestReply.decisions`.

        Returns:
            Values of the focal seat's decisions.
        """
        sizes = [len(chain.players) for chain in self.chains]
        joint = self._joint_mode(np.shape(episodes.action)[:2], sizes, modes)
        seats = self._seats(episodes, seats)
        layouts, number, board = self._read(episodes, seats)
        action = np.asarray(episodes.action)[np.arange(len(seats)), :, seats]
        acted = action != ABSENT
        q = np.full((*action.shape, self.game.num_actions), np.nan)
        for row in np.unique(board, return_index=True)[1]:
            layout = Layout(layouts.blocks[row], layouts.thing_cell[row])
            table = self.tables(layout)
            rows, times = np.nonzero(acted & (board == board[row])[:, None])
            at = times, number[rows, times], joint[rows, times]
            q[rows, times] = table[at]
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def value_of(
        self, player: ScriptedPlayer, layouts: Sequence[Layout]
    ) -> tuple[float, float]:
        """Return the value of a scripted player in place of the best reply.

        Args:
            player: a player without memory.
            layouts: initial layouts.

        Returns:
            Expected discounted return, and its standard error over layouts (NaN for one).
        """
        return mean_and_error(
            [self._start_value(layout, player) for layout in layouts]
        )

    def _start_value(
        self, layout: Layout, own: ScriptedPlayer | None = None
    ) -> float:
        start, total = self._first_positions(layout), 0.0
        parts = [(1.0, self)]
        if self.backup is Backup.FACTORED:
            parts = [
                (probability, dataclasses.replace(self, chains=chains))
                for probability, chains in fixed_modes(
                    self.chains, self.game.max_steps
                )
            ]
        for probability, reply in parts:
            value = np.asarray(reply._solve(layout, keep=False, own=own))
            value = value[: len(start)].astype(np.float64)
            total += probability * float(start @ value @ reply._first_modes())
        return total

    def _solve(
        self, layout: Layout, keep: bool, own: ScriptedPlayer | None = None
    ) -> Float[Array, "..."]:
        """Return Q or V as `induct_backward`, of the best reply or of `own` in its place."""
        problem = self._problem(layout, own)
        if self._factors(problem):
            return solve_factored(self.game, self.groups, problem, keep)
        return solve_joint(self.game, problem, keep)

    def _factors(self, problem: GridProblem) -> bool:
        if self.backup is Backup.CHECKED:
            largest = largest_dependence(self.game, self.groups, problem)
            return float(largest) < PROBABILITY_TOLERANCE
        return self.backup is Backup.FACTORED


def solve_grid(
    game: GridGame,
    others: Sequence[ScriptedPlayer],
    *,
    seat: int = 0,
    gamma: float = 1.0,
    layouts: int = 64,
) -> GridReply:
    """Return the best reply that observes the other players' modes.

    Args:
        game: a grid game.
        others: a player for each other seat, in ego-first order.
        seat: the replying seat.
        gamma: discount per step.
        layouts: the number of initial layouts that `value` averages over, all of them if
            there are no more; 0: it is NaN.

    Returns:
        The best reply; its tables are computed layout by layout on demand. With several
        modes its value is an upper bound, as no player observes modes.

    Raises:
        ValueError: the board has too many positions, or a player has a memory.
    """
    chains = memoryless_chains(game, others)
    positions = number_positions(game)
    plain = all(len(chain.players) == 1 for chain in chains)
    reply = GridReply(
        game=game,
        seat=seat,
        others=tuple(player.name for player in others),
        gamma=gamma,
        know="types",
        kind="exact" if plain else "upper bound",
        value=np.nan,
        stderr=np.nan,
        chains=chains,
        positions=positions,
        groups=stage_groups(game, positions),
        backup=choose_backup(game, chains),
    )
    return with_value(reply, layouts)


def choose_backup(game: GridGame, chains: Sequence[ModeChain]) -> Backup:
    """Return the cheapest exact backup against the given modes.

    Args:
        game: a grid game.
        chains: the modes of each other player, in seat order.

    Returns:
        FACTORED where independence is proved, CHECKED where it may hold in some layouts.
    """
    if not outcomes_determine_step(game):
        return Backup.JOINT
    proved = all(
        ignores_other_players(game, player, seat)
        for seat, chain in enumerate(chains, start=1)
        for player in chain.players
    )
    return Backup.FACTORED if proved else Backup.CHECKED
