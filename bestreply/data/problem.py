"""How faults of a dataset are told."""

from collections import Counter
from dataclasses import dataclass

SHOWN = 5
"""Problems of one kind that are listed; the rest are counted."""

RESTORE = "Restore the file from a copy, or collect the data again"
LOGGER = "Mend what logged it and collect the data again"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a dataset."""

    kind: str  # a short name of the fault, e.g. "illegal_action"
    where: str  # file, row, episode, step, seat: as far as they are known
    what: str  # what was found, and what is wanted
    mend: str  # what can be done about it

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.mend}"


class Report:
    """Gathers problems, a few of each kind."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()

    def add(self, problem: Problem, count: int = 1) -> None:
        """Adds `problem`, which stands for `count` of its kind."""
        if self.counts[problem.kind] < SHOWN:
            self.problems.append(problem)
            self.counts[problem.kind] += 1
            count -= 1
        self.counts[problem.kind] += count

    def result(self) -> list[Problem]:
        shown = Counter(problem.kind for problem in self.problems)
        more = [
            Problem(
                kind,
                "all files",
                f"{count - shown[kind]} more problems of the kind {kind!r}",
                "Mend the ones above first",
            )
            for kind, count in self.counts.items()
            if count > shown[kind]
        ]
        return self.problems + more
