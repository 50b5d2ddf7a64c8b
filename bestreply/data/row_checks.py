"""What can be wrong with rows of a dataset, looked at all at once, without a loop over them.

`validate` asks this of what is on disk, `Store.append` of what is to go there: what was appended is valid.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from bestreply.data.manifest import Manifest
from bestreply.data.problem import LOGGER, RESTORE, SHOWN, Problem, Report
from bestreply.data.rows import to_numpy

PROB_SLACK = 1e-5
"""How far above 1 a probability may be: a softmax in float32 is not exact."""


def digest(table: pa.Table) -> dict[str, Any]:
    """The small columns as they are, and of observations a 64-bit hash and whether they are finite."""
    rows: dict[str, Any] = {
        name: to_numpy(table[name])
        for name in table.column_names
        if name not in ("obs", "next_obs")
    }
    rows["prob_known"] = np.asarray(table["prob"].is_valid())
    for name in ("obs", "next_obs"):
        values = to_numpy(table[name])
        rows[f"{name}_finite"] = np.isfinite(values).all(1)
        rows[f"{name}_hash"] = _hash(values)
    return rows


def _hash(values: np.ndarray) -> np.ndarray:
    """[rows] uint64 of the bits of [rows, D] float32: a sum with fixed odd weights modulo 2^64."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    weights = np.random.default_rng(0).integers(
        0, 2**63, bits.shape[1], dtype=np.uint64
    ) | np.uint64(1)
    total = np.zeros(len(bits), np.uint64)
    for start in range(0, len(bits), 4096):  # small enough to stay in the cache
        total[start : start + 4096] = (
            bits[start : start + 4096].astype(np.uint64) @ weights
        )
    return total


def check_rows(
    rows: dict[str, Any],
    manifest: Manifest,
    first_episode: int,
    episodes: int,
    report: Report,
    file: str,
    steps: int | None = None,
) -> None:
    """Adds to `report` what is wrong with `rows` (from `digest`), whole episodes from `first_episode` on.

    `episodes` and `steps` are how many episodes and joint steps there should be; `file` is what the problems
    name as the place.
    """
    checks = _RowChecks(rows, manifest, first_episode, episodes, report, file)
    checks.values()
    checks.ranges()
    inside = checks.places()
    if len(inside) < len(
        rows["episode"]
    ):  # what has no place has been named; look at the others
        rows = {name: array[inside] for name, array in rows.items()}
        checks = _RowChecks(
            rows, manifest, first_episode, episodes, report, file, inside
        )
    checks.find_rows()
    checks.episode_ids(steps)
    checks.steps()
    checks.ends()
    checks.company()
    checks.successors()


class _RowChecks:
    """The checks of `check_rows`: each looks at all rows at once."""

    def __init__(
        self,
        rows: dict[str, Any],
        manifest: Manifest,
        first_episode: int,
        episodes: int,
        report: Report,
        file: str,
        numbers: np.ndarray | None = None,
    ) -> None:
        from bestreply.types import ego_order

        self.rows, self.manifest, self.report, self.file = (
            rows,
            manifest,
            report,
            file,
        )
        self.first_episode, self.episodes = first_episode, episodes
        self.numbers = (
            np.arange(len(rows["episode"])) if numbers is None else numbers
        )  # row numbers in the file
        self.e, self.t, self.s = (
            rows[name].astype(np.int64) for name in ("episode", "step", "seat")
        )
        self.order = ego_order(manifest.num_players)

    def bad(
        self,
        kind: str,
        flags: np.ndarray,
        what: Callable[[int], str],
        mend: str = LOGGER,
    ) -> None:
        """Reports the rows where `flags` is set; ``what(row)`` says what is wrong there."""
        found = np.flatnonzero(flags)
        for row in found[:SHOWN]:
            place = (
                f"episode {self.e[row]}, step {self.t[row]}, seat {self.s[row]}"
            )
            self.report.add(
                Problem(
                    kind,
                    f"{self.file}, row {self.numbers[row]} ({place})",
                    what(int(row)),
                    mend,
                )
            )
        self.report.counts[kind] += max(0, len(found) - SHOWN)

    def values(self) -> None:
        """Numbers and probabilities that are none, masks that allow nothing, actions against the mask."""
        rows, actions = self.rows, self.manifest.num_actions
        for name in ("obs", "next_obs"):
            self.bad(
                "not_finite",
                ~rows[f"{name}_finite"],
                lambda i, name=name: f"{name} holds NaN or inf",
            )
        self.bad(
            "not_finite",
            ~np.isfinite(rows["reward"]),
            lambda i: (
                f"reward is {rows['reward'][i]}; expected: a finite number"
            ),
        )
        prob = rows["prob"]
        unlikely = rows["prob_known"] & ~((prob > 0) & (prob <= 1 + PROB_SLACK))
        mend = f"Write null where the probability is not known. {LOGGER}"
        self.bad(
            "prob",
            unlikely,
            lambda i: (
                f"prob is {prob[i]}; expected: above 0 and at most 1, of the action taken"
            ),
            mend,
        )
        for name in ("legal", "next_legal"):
            self.bad(
                "empty_mask",
                ~rows[name].any(1),
                lambda i, name=name: (
                    f"{name} is False for every action; expected: one or more"
                ),
            )
        action = rows["action"]
        known = (action >= 0) & (action < actions)
        allowed = rows["legal"][
            np.arange(len(action)), np.where(known, action, 0)
        ]
        self.bad(
            "illegal_action",
            known & ~allowed,
            lambda i: (
                f"action {self.named(action[i])} is not legal there (see `legal`)"
            ),
        )

    def ranges(self) -> None:
        """Indices that point to nothing."""
        rows, manifest = self.rows, self.manifest
        limits = {
            "action": (0, manifest.num_actions, "an action"),
            "others": (
                -1,
                manifest.num_actions,
                "an action, or -1 for a seat that had left",
            ),
            "players": (
                0,
                len(manifest.roster),
                "an index into the manifest's roster",
            ),
            "goal": (
                -1,
                len(manifest.goals),
                "an index into the manifest's goals, or -1 for no label",
            ),
        }
        for name, (low, high, meaning) in limits.items():
            found = rows[name]
            outside = (found < low) | (found >= high)
            outside = outside.any(1) if outside.ndim == 2 else outside

            def what(
                i: int,
                name: str = name,
                low: int = low,
                high: int = high,
                meaning: str = meaning,
            ) -> str:
                return f"{name} is {rows[name][i].tolist()}; expected: {meaning}, {low} to {high - 1}"

            self.bad("range", outside, what)
        unknown = rows["goal_source"] < 0
        self.bad(
            "goal_source",
            unknown,
            lambda i: (
                "goal_source is not known; expected: none, event or no_event"
            ),
        )

    def places(self) -> np.ndarray:
        """Steps and seats that cannot be, rows out of order or twice; returns the rows to look at further."""
        steps, seats = self.manifest.max_steps, self.manifest.num_players
        late, odd = (
            (self.t < 0) | (self.t >= steps),
            (self.s < 0) | (self.s >= seats),
        )
        self.bad(
            "range",
            late,
            lambda i: (
                f"step is {self.t[i]}; expected: 0 to {steps - 1} (the game's max_steps is {steps})"
            ),
        )
        self.bad(
            "range",
            odd,
            lambda i: f"seat is {self.s[i]}; expected: 0 to {seats - 1}",
        )
        stray = (self.e < self.first_episode) | (
            self.e >= self.first_episode + self.episodes
        )
        ids = (
            f"{self.first_episode} to {self.first_episode + self.episodes - 1}"
        )
        self.bad(
            "episode_ids",
            stray,
            lambda i: (
                f"episode is {self.e[i]}; the manifest says that this part holds {ids}"
            ),
            RESTORE,
        )
        inside = np.flatnonzero(~(late | odd | stray))
        key = self.keys()[inside]
        mend = "Sort the rows by episode, step, seat"
        turned = np.zeros(len(self.e), bool)
        turned[inside[1:]] = np.diff(key) < 0
        self.bad(
            "order",
            turned,
            lambda i: "the row belongs before the one above it",
            mend,
        )
        twice = np.ones(len(self.e), bool)
        twice[inside[np.unique(key, return_index=True)[1]]] = False
        twice[late | odd | stray] = False
        self.bad(
            "duplicate",
            twice,
            lambda i: "an earlier row is of the same episode, step and seat",
            "Drop one of them",
        )
        return np.flatnonzero(~(late | odd | stray | twice))

    def keys(self) -> np.ndarray:
        """One number for episode, step, seat, in this order; a step later the same seat's is larger by N."""
        step = (self.e - self.first_episode) * (
            self.manifest.max_steps + 2
        ) + self.t
        return step * self.manifest.num_players + self.s

    def find_rows(self) -> None:
        """Where the row of every key is, and the episode and the joint step that each row is part of."""
        self.key = self.keys()
        self.sorting = np.argsort(self.key, kind="stable")
        self.sorted = self.key[self.sorting]
        self.joint, self.joint_first, self.joint_of = np.unique(
            self.key // self.manifest.num_players,
            return_index=True,
            return_inverse=True,
        )
        self.ids, self.id_first, self.id_of = np.unique(
            self.e, return_index=True, return_inverse=True
        )
        self.last = np.full(len(self.ids), -1)
        np.maximum.at(self.last, self.id_of, self.t)
        self.last = self.last[self.id_of]  # the last step of each row's episode

    def row_of(self, key: np.ndarray) -> np.ndarray:
        """The rows with these keys, -1 where there is none."""
        if not len(self.sorted):
            return np.full(len(key), -1)
        place = np.minimum(
            np.searchsorted(self.sorted, key), len(self.sorted) - 1
        )
        return np.where(self.sorted[place] == key, self.sorting[place], -1)

    def has_step(self, joint: np.ndarray) -> np.ndarray:
        """Whether any seat has a row at these joint steps (keys without the seat)."""
        if not len(self.joint):
            return np.zeros(len(joint), bool)
        return (
            self.joint[
                np.minimum(
                    np.searchsorted(self.joint, joint), len(self.joint) - 1
                )
            ]
            == joint
        )

    def episode_ids(self, steps: int | None) -> None:
        """Every episode has rows, and there are as many joint steps as the manifest says."""
        missing = self.episodes - len(self.ids)
        if missing:
            gaps = np.flatnonzero(
                np.diff(self.ids, prepend=self.first_episode - 1) > 1
            )
            before = (
                self.ids[gaps[0] - 1]
                if len(gaps) and gaps[0]
                else self.first_episode - 1
            )
            first = (
                before + 1 if len(gaps) else self.first_episode + len(self.ids)
            )
            what = f"{missing} of its {self.episodes} episodes have no rows, the first of them {first}"
            self.report.add(Problem("episode_ids", self.file, what, RESTORE))
        if steps is not None and steps != len(self.joint):
            what = f"it holds {len(self.joint)} joint steps, the manifest says {steps}"
            self.report.add(Problem("counts", self.file, what, RESTORE))

    def steps(self) -> None:
        """Steps run from 0 without a gap; a seat has a row at each until it terminates, and none after."""
        seats = self.manifest.num_players
        joint = self.key // seats
        before = self.has_step(joint - 1)
        gap = np.zeros(len(self.key), bool)
        gap[self.joint_first] = ((self.t > 0) & ~before)[self.joint_first]
        self.bad(
            "step_gap",
            gap,
            lambda i: (
                f"no seat has a row at step {self.t[i] - 1}, the one before"
            ),
        )
        following, preceding = (
            self.row_of(self.key + seats),
            self.row_of(self.key - seats),
        )
        over = self.rows["terminated"]
        self.bad(
            "after_terminated",
            (following >= 0) & over,
            lambda i: "terminated, but the seat has a row at the next step",
        )
        lost = (following < 0) & ~over & self.has_step(joint + 1)
        self.bad(
            "missing_seat",
            lost,
            lambda i: (
                "not terminated, but the seat has no row at the next step"
            ),
        )
        late = (self.t > 0) & before & (preceding < 0)
        self.bad(
            "missing_seat",
            late,
            lambda i: (
                "the seat has no row at the step before: no seat comes back or comes later"
            ),
        )

    def ends(self) -> None:
        """The last step of an episode says why it is the last, and no other step is truncated."""
        over, cut = self.rows["terminated"], self.rows["truncated"]
        first = self.joint_first[self.joint_of]
        self.bad(
            "truncated",
            cut & (self.t < self.last),
            lambda i: (
                f"truncated, but the episode goes on to step {self.last[i]}"
            ),
        )
        self.bad(
            "truncated",
            cut != cut[first],
            lambda i: (
                f"truncated is {cut[i]}, of another seat at this step {cut[first[i]]}"
            ),
        )
        open_end = (self.t == self.last) & ~over & ~cut
        self.bad(
            "unfinished",
            open_end,
            lambda i: (
                "the episode's last step, but it is neither terminated nor truncated"
            ),
        )

    def company(self) -> None:
        """`present` and `others` against the other seats' rows; `players` the same all through an episode."""
        rows, joint = (
            self.rows,
            self.key // self.manifest.num_players * self.manifest.num_players,
        )
        for j in range(self.manifest.num_players):
            seat = self.order[self.s, j]
            there = self.row_of(joint + seat)
            says = rows["present"][:, j]

            def absent(
                i: int, seat: np.ndarray = seat, says: np.ndarray = says
            ) -> str:
                count = "no" if says[i] else "a"
                return f"present is {says[i]} for seat {seat[i]}, which has {count} row at this step"

            self.bad("present", says != (there >= 0), absent)
            if j == 0 or not len(there):
                continue
            did = np.where(there >= 0, rows["action"][there], -1)

            def other(
                i: int,
                j: int = j,
                seat: np.ndarray = seat,
                did: np.ndarray = did,
            ) -> str:
                told = rows["others"][i, j - 1]
                return f"others says {told} for seat {seat[i]}, whose own row says {did[i]} (-1: no row)"

            self.bad("others", rows["others"][:, j - 1] != did, other)
        seated = np.zeros_like(rows["players"])
        np.put_along_axis(seated, self.order[self.s], rows["players"], 1)
        first = self.id_first[self.id_of]
        moved = (seated != seated[first]).any(1)
        self.bad(
            "players",
            moved,
            lambda i: (
                f"by seat {seated[i].tolist()}, elsewhere in this episode {seated[first[i]].tolist()}"
            ),
        )

    def successors(self) -> None:
        """What a step reached is what the next step of the seat began with."""
        rows = self.rows
        following = self.row_of(self.key + self.manifest.num_players)
        there = following >= 0
        if not there.any():
            return
        differs = there & (rows["next_obs_hash"] != rows["obs_hash"][following])
        self.bad(
            "next_obs",
            differs,
            lambda i: "next_obs is not the obs of the seat's next step",
        )
        differs = there & (rows["next_legal"] != rows["legal"][following]).any(
            1
        )
        self.bad(
            "next_legal",
            differs,
            lambda i: "next_legal is not the legal of the seat's next step",
        )

    def named(self, action: Any) -> str:
        return f"{action} ({self.manifest.actions[action]})"
