"""The exact best reply in a grid game, by dynamic programming over every position of a layout, compiled.

For others whose modes m (see `modes`) choose by what they see, with no memory of their own:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s, t)} [ r(s, a, a_j) + gamma E_{m' ~ P_{t+1}(m, .)} [ V_{t+1}(s', m') ] ]
    V_t(s, m) = max over legal a of Q_t(s, m, a)

backwards from V = 0 at the step limit and wherever seat 0 no longer plays (Bellman, 1957). The expectation over the others' moves is
taken one player at a time where that is the same (`apart`), otherwise over their joint draws (`joint`). A layout's tables are made
when they are first asked for.
"""

import dataclasses
import enum
from collections.abc import Sequence

import numpy as np

from bestreply.exact.backward_induction import Case
from bestreply.exact.base import Decisions
from bestreply.exact.dependence import keeps_to_its_cell
from bestreply.exact.factored_backup import (
    dependence,
    solve_apart,
    steps_by_outcome,
)
from bestreply.exact.grid_players import (
    ReplyOnGrid,
    mean_and_error,
    memoryless_modes,
    valued,
)
from bestreply.exact.hidden_modes import Modes
from bestreply.exact.joint_backup import solve_jointly
from bestreply.exact.positions import Group, Layout, groups_of, number_positions
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes


class Way(enum.Enum):
    """How the others' moves are weighed."""

    APART = "one player at a time: each provably looks at its own cell and the things alone"
    TRIED = "one player at a time in layouts where trying every position shows that each does so, jointly in others"
    JOINTLY = "over all joint draws"


@dataclasses.dataclass(frozen=True, eq=False)
class GridReply(ReplyOnGrid):
    """The best reply in a grid game that is told the others' modes; `solve_grid` makes it."""

    groups: tuple[Group, ...] = dataclasses.field(repr=False)
    way: Way
    kept: dict[bytes, np.ndarray] = dataclasses.field(
        default_factory=dict, repr=False
    )  # layout -> Q [T, S, M, A]

    def tables(self, layout: Layout) -> np.ndarray:
        """Q* [T, S, M, A] float32 of one layout, -inf for illegal actions; made when first asked for, kept while there is room."""
        name = (
            np.asarray(layout.blocks).tobytes()
            + np.asarray(layout.thing_cell).tobytes()
        )
        if name not in self.kept:
            table = np.asarray(self._solve(layout, keep=True))
            if (len(self.kept) + 1) * table.nbytes > ROOM:
                return table
            self.kept[name] = table
        return self.kept[name]

    def decisions(
        self,
        episodes: Episodes,
        seats: Array | None = None,
        modes: Array | None = None,
    ) -> Decisions:
        """As `BestReply.decisions`."""
        joint = self._joint_mode(
            np.shape(episodes.action)[:2],
            [len(m.players) for m in self.modes],
            modes,
        )
        rows = np.arange(len(episodes.length))
        seats = (
            np.full(len(rows), self.seat)
            if seats is None
            else np.asarray(seats)
        )
        layouts, number, board = self._read(episodes, seats)
        action = np.asarray(episodes.action)[rows, :, seats]
        acted = action != ABSENT
        q = np.full((*action.shape, self.game.num_actions), np.nan)
        for row in np.unique(board, return_index=True)[1]:
            table = self.tables(
                Layout(layouts.blocks[row], layouts.thing_cell[row])
            )
            rows, times = np.nonzero(acted & (board == board[row])[:, None])
            q[rows, times] = table[
                times, number[rows, times], joint[rows, times]
            ]
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def value_of(
        self, player: ScriptedPlayer, layouts: Sequence[Layout]
    ) -> tuple[float, float]:
        """Expected discounted return of a scripted `player` in the place of the best reply, and its standard error over layouts."""
        return mean_and_error(
            [self._start_value(layout, player) for layout in layouts]
        )

    def _start_value(
        self, layout: Layout, own: ScriptedPlayer | None = None
    ) -> float:
        """The mean over where everybody may begin and the others' modes at the first step."""
        where = self._first_positions(layout)
        value = np.asarray(self._solve(layout, keep=False, own=own))[
            : len(where)
        ].astype(np.float64)
        return float(where @ value @ self._first_modes())

    def _solve(
        self, layout: Layout, keep: bool, own: ScriptedPlayer | None = None
    ) -> Array:
        """As `backward`, of the best reply or of a player `own` in its place."""
        case = self._case(layout, own)
        if self._apart(case):
            return solve_apart(self.game, self.groups, case, keep)
        return solve_jointly(self.game, case, keep)

    def _apart(self, case: Case) -> bool:
        if self.way is Way.TRIED:
            return float(dependence(self.game, self.groups, case)) < SAME
        return self.way is Way.APART


ROOM = 2**30
"""Bytes of tables that one best reply keeps."""

SAME = 1e-6
"""Probabilities that differ by less are taken for one, rounded differently."""


def solve_grid(
    game: GridGame,
    others: Sequence[ScriptedPlayer],
    *,
    seat: int = 0,
    gamma: float = 1.0,
    layouts: int = 64,
) -> GridReply:
    """The best reply to `others`, told their modes. `value` is over `layouts` drawn layouts, all of them where there are no more.

    Raises ValueError for a board with too many positions, or a player with a memory of its own.
    """
    modes, positions = memoryless_modes(game, others), number_positions(game)
    reply = GridReply(
        game=game,
        seat=seat,
        others=tuple(player.name for player in others),
        gamma=gamma,
        know="types",
        kind="exact"
        if all(len(m.players) == 1 for m in modes)
        else "upper bound",  # nobody can see modes
        value=np.nan,
        stderr=np.nan,
        modes=modes,
        positions=positions,
        groups=groups_of(game, positions),
        way=way_of(game, modes),
    )
    return valued(reply, layouts)


def way_of(game: GridGame, modes: Sequence[Modes]) -> Way:
    if not steps_by_outcome(game):
        return Way.JOINTLY
    proved = [
        keeps_to_its_cell(game, p, j)
        for j, m in enumerate(modes, start=1)
        for p in m.players
    ]
    return Way.APART if all(proved) else Way.TRIED
