"""Checks of the rows of a dataset, vectorised over all rows.

`validate` applies them to the rows on disk, `Store.append` to the rows to write, so
appended rows are valid.
"""

import numpy as np
import pyarrow as pa

from bestreply.data.manifest import Manifest
from bestreply.data.problem import LOGGER, RESTORE, SHOWN, Problem, Report
from bestreply.data.reading import PROB_SLACK
from bestreply.data.rows import to_numpy

HASH_ROWS = 4096
"""Rows that are hashed at once; they fit into the cache."""


def digest(table: pa.Table) -> dict[str, np.ndarray]:
    """Return the columns of rows; of each observation a hash and whether it is finite.

    Args:
        table: rows with the columns of `bestreply.data.rows.schema`.

    Returns:
        Arrays [rows, ...] by column. `prob_known` is False where `prob` is null.
        `obs_hash` and `next_obs_hash` are 64 bits; `obs_finite` and `next_obs_finite`
        are booleans.
    """
    observations = ("obs", "next_obs")
    small = table.drop_columns(observations)
    rows = {name: to_numpy(small[name]) for name in small.column_names}
    rows["prob_known"] = np.asarray(table["prob"].is_valid())
    for name in observations:
        values = to_numpy(table[name])
        rows[f"{name}_finite"] = np.asarray(np.isfinite(values).all(1))
        rows[f"{name}_hash"] = _hash(values)
    return rows


def _hash(values: np.ndarray) -> np.ndarray:
    """Return [rows] uint64, a sum modulo 2^64 of the bits of [rows, D] entries with odd weights."""
    bits = np.ascontiguousarray(values).view(f"u{values.itemsize}")
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 2**63, bits.shape[1], np.uint64) | np.uint64(1)
    total = np.zeros(len(bits), np.uint64)
    for start in range(0, len(bits), HASH_ROWS):
        block = slice(start, start + HASH_ROWS)
        total[block] = bits[block].astype(np.uint64) @ weights
    return total


def check_rows(
    rows: dict[str, np.ndarray],
    manifest: Manifest,
    first_episode: int,
    episodes: int,
    report: Report,
    file: str,
    first_row: int = 0,
) -> int:
    """Check the rows of whole episodes, and add their errors to a report.

    Args:
        rows: arrays [rows, ...] from `digest`.
        manifest: the dataset's manifest.
        first_episode: number of the first episode.
        episodes: expected number of episodes.
        report: the report to add to.
        file: name of the file in the problems.
        first_row: number of the first row in its file.

    Returns:
        The number of joint steps.
    """
    numbers = first_row + np.arange(len(rows["episode"]))
    span = first_episode, episodes
    checks = _RowChecks(rows, manifest, span, report, file, numbers)
    checks.values()
    checks.ranges()
    inside = checks.places()
    if len(inside) < len(numbers):  # the remaining checks need a unique place
        rows = {name: array[inside] for name, array in rows.items()}
        checks = _RowChecks(rows, manifest, span, report, file, numbers[inside])
    checks.find_rows()
    checks.counts()
    checks.steps()
    checks.ends()
    checks.other_seats()
    checks.players()
    checks.successors()
    return len(checks.joint)


class _RowChecks:
    """The checks of `check_rows`; each method checks all rows at once."""

    def __init__(
        self,
        rows: dict[str, np.ndarray],
        manifest: Manifest,
        span: tuple[int, int],
        report: Report,
        file: str,
        numbers: np.ndarray,
    ) -> None:
        from bestreply.types import ego_order

        self.rows = rows
        self.manifest = manifest
        self.seats = manifest.num_players
        self.first_episode, self.episodes = span
        self.report = report
        self.file = file
        self.numbers = numbers  # [rows], row numbers in the file
        self.e = rows["episode"].astype(np.int64)
        self.t = rows["step"].astype(np.int64)
        self.s = rows["seat"].astype(np.int64)
        self.order = ego_order(self.seats)

    def bad(
        self,
        kind: str,
        flags: np.ndarray,
        what: str,
        *values: np.ndarray,
        mend: str = LOGGER,
    ) -> None:
        """Report the rows where any of `flags` is set; `what` is formatted with the row's `values`."""
        rows = np.flatnonzero(flags.any(tuple(range(1, flags.ndim))))
        for i in rows[:SHOWN]:
            place = f"episode {self.e[i]}, step {self.t[i]}, seat {self.s[i]}"
            where = f"{self.file}, row {self.numbers[i]} ({place})"
            shown = [v[i].tolist() if v.ndim > 1 else v[i] for v in values]
            self.report.add(Problem(kind, where, what.format(*shown), mend))
        self.report.counts[kind] += max(0, len(rows) - SHOWN)

    def values(self) -> None:
        """Check that numbers are finite, probabilities are in (0, 1], and actions are legal."""
        rows = self.rows
        for name in ("obs", "next_obs"):
            what = f"{name} holds NaN or inf: expected finite numbers"
            self.bad("not_finite", ~rows[f"{name}_finite"], what)
        what, reward = "reward={}: expected a finite number", rows["reward"]
        self.bad("not_finite", ~np.isfinite(reward), what, reward)
        prob = rows["prob"]
        self.bad(
            "prob",
            rows["prob_known"] & ~((prob > 0) & (prob <= 1 + PROB_SLACK)),
            "prob={}: expected the probability of the action, above 0 and at most 1",
            prob,
            mend=f"Write null where the probability is not known. {LOGGER}",
        )
        for name in ("legal", "next_legal"):
            what = f"{name} is False for every action: expected a legal action"
            empty = np.asarray(~rows[name].any(1))
            self.bad("empty_mask", empty, what)
        action = rows["action"]
        known = (action >= 0) & (action < self.manifest.num_actions)
        index = np.where(known, action, 0)
        self.bad(
            "illegal_action",
            known & ~rows["legal"][np.arange(len(index)), index],
            "action={} ({}): expected a legal action (column legal)",
            action,
            np.array(self.manifest.actions, object)[index],
        )

    def ranges(self) -> None:
        """Check that actions, players, goals and goal sources are in range."""
        manifest = self.manifest
        actions, goals = manifest.num_actions, len(manifest.goals)
        limits = {
            "action": (0, actions, "an action"),
            "others": (-1, actions, "an action, or -1 for an absent seat"),
            "players": (0, len(manifest.roster), "an index into roster"),
            "goal": (-1, goals, "an index into goals, or -1 for no label"),
        }
        for name, (low, high, meaning) in limits.items():
            values = self.rows[name]
            outside = (values < low) | (values >= high)
            what = f"{name}={{}}: expected {meaning}, {low} to {high - 1}"
            self.bad("range", outside, what, values)
        what = "goal_source is unknown: expected none, event or no_event"
        self.bad("goal_source", self.rows["goal_source"] < 0, what)

    def places(self) -> np.ndarray:
        """Check episode, step and seat of each row, and their order.

        Returns:
            Indices of the rows with a valid and unique place.
        """
        steps, first = self.manifest.max_steps, self.first_episode
        end = first + self.episodes
        late = (self.t < 0) | (self.t >= steps)
        what = f"step={{}}: expected 0 to {steps - 1} (max_steps={steps})"
        self.bad("range", late, what, self.t)
        no_seat = (self.s < 0) | (self.s >= self.seats)
        what = f"seat={{}}: expected 0 to {self.seats - 1}"
        self.bad("range", no_seat, what, self.s)
        stray = (self.e < first) | (self.e >= end)
        what = (
            f"episode={{}}: expected {first} to {end - 1}, as in the manifest"
        )
        self.bad("episode_ids", stray, what, self.e, mend=RESTORE)
        inside = np.flatnonzero(~(late | no_seat | stray))
        key = self.keys()[inside]
        unordered = np.zeros(len(self.e), bool)
        unordered[inside[1:]] = np.diff(key) < 0
        self.bad(
            "order",
            unordered,
            "the row precedes the row above it: expected rows in order",
            mend="Sort the rows by episode, step, seat",
        )
        unique = inside[np.unique(key, return_index=True)[1]]
        twice = np.zeros(len(self.e), bool)
        twice[inside] = True
        twice[unique] = False
        self.bad(
            "duplicate",
            twice,
            "an earlier row has the same episode, step and seat",
            mend="Remove one of them",
        )
        return np.sort(unique)

    def keys(self) -> np.ndarray:
        """Return one number per row for episode, step and seat; one step later is N more."""
        episode = self.e - self.first_episode
        step = episode * (self.manifest.max_steps + 2) + self.t
        return step * self.seats + self.s

    def find_rows(self) -> None:
        """Index the rows by key, joint step and episode."""
        self.key = self.keys()
        order = np.argsort(self.key, kind="stable")
        self.sorting = np.append(order, -1)
        self.sorted = np.append(self.key[order], np.iinfo(np.int64).max)
        self.joint, self.joint_first, self.joint_of = np.unique(
            self.key // self.seats, return_index=True, return_inverse=True
        )
        self.ids, self.id_first, id_of = np.unique(
            self.e, return_index=True, return_inverse=True
        )
        last = np.full(len(self.ids), -1)
        np.maximum.at(last, id_of, self.t)
        self.last = last[id_of]  # [rows], last step of the row's episode
        self.first = self.id_first[id_of]  # [rows], first row of that episode

    def row_of(self, key: np.ndarray) -> np.ndarray:
        """Return the rows with these keys, -1 where there is none."""
        place = np.searchsorted(self.sorted, key)
        return np.where(self.sorted[place] == key, self.sorting[place], -1)

    def counts(self) -> None:
        """Check that every episode has rows."""
        missing = self.episodes - len(self.ids)
        if missing:
            index = self.ids - self.first_episode
            gaps = np.flatnonzero(index != np.arange(len(index)))
            first = self.first_episode + (gaps[0] if len(gaps) else len(index))
            what = f"{missing} of {self.episodes} episodes have no rows, the first of them {first}"
            self.report.add(Problem("episode_ids", self.file, what, RESTORE))

    def steps(self) -> None:
        """Check that steps run from 0 without a gap, and each seat acts until its end."""
        joint, over = self.key // self.seats, self.rows["terminated"]
        cut = self.rows["truncated"]
        later = self.t > 0
        has_previous = np.isin(joint - 1, self.joint)
        gap = np.zeros(len(joint), bool)
        gap[self.joint_first] = (later & ~has_previous)[self.joint_first]
        what = "no seat has a row at step {}, the one before"
        self.bad("step_gap", gap, what, self.t - 1)
        following = self.row_of(self.key + self.seats) >= 0
        what = "terminated, but the seat has a row at the next step"
        self.bad("after_terminated", following & over, what)
        what = "truncated, but the seat has a row at the next step"
        self.bad("truncated", following & cut, what)
        lost = ~following & ~over & ~cut & np.isin(joint + 1, self.joint)
        what = (
            "neither terminated nor truncated, but the seat has no row at the "
            "next step"
        )
        self.bad("missing_seat", lost, what)
        entered = self.row_of(self.key - self.seats) < 0
        what = "no row of the seat at the step before: expected all seats from step 0"
        self.bad("missing_seat", later & has_previous & entered, what)

    def ends(self) -> None:
        """Check that the last step of an episode is terminated or truncated."""
        over, cut = self.rows["terminated"], self.rows["truncated"]
        both = (self.t < self.last) & over & cut
        what = "terminated and truncated, but the episode continues to step {}"
        self.bad("truncated", both, what, self.last)
        unfinished = (self.t == self.last) & ~over & ~cut
        what = "last step of the episode, but neither terminated nor truncated"
        self.bad("unfinished", unfinished, what)

    def other_seats(self) -> None:
        """Check `present` and `others` against the rows of the other seats."""
        present, others = self.rows["present"], self.rows["others"]
        start = self.key - self.s
        for j, seat in enumerate(self.order[self.s].T):
            row = self.row_of(start + seat)
            acted = row >= 0
            what = "present={} for seat {}: expected {}, as it has a row or none at this step"
            logged = present[:, j]
            self.bad("present", logged != acted, what, logged, seat, acted)
            if j:
                action = np.where(acted, self.rows["action"][row], -1)
                logged = others[:, j - 1]
                what = "others={} for seat {}: expected {}, as in its own row (-1: no row)"
                self.bad("others", logged != action, what, logged, seat, action)

    def players(self) -> None:
        """Check that the players keep their seats during an episode."""
        players = self.rows["players"]
        seated = np.zeros_like(players)
        np.put_along_axis(seated, self.order[self.s], players, 1)
        first = seated[self.first]
        what = "players by seat={}: expected {}, as elsewhere in this episode"
        self.bad("players", seated != first, what, seated, first)

    def successors(self) -> None:
        """Check that `next_obs` and `next_legal` equal `obs` and `legal` of the seat's next row."""
        rows, following = self.rows, self.row_of(self.key + self.seats)
        has_next = following >= 0
        pairs = {
            "obs": (rows["next_obs_hash"], rows["obs_hash"]),
            "legal": (rows["next_legal"], rows["legal"]),
        }
        for name, (reached, start) in pairs.items():
            differs = (reached != start[following]).T & has_next
            what = f"next_{name} is not the {name} of the seat's next step"
            self.bad(f"next_{name}", differs.T, what)
