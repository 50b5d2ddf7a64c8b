"""Errors of a dataset, and the report that collects them."""

from collections import Counter
from dataclasses import dataclass

SHOWN = 5
"""Problems of one kind that are listed; the rest are counted."""

RESTORE = "Restore the file from a copy, or collect the data again"
LOGGER = "Fix the program that logged it and collect the data again"


@dataclass(frozen=True)
class Problem:
    """One error of a dataset."""

    kind: str  # short name of the error, such as "illegal_action"
    where: str  # file, row, episode, step and seat, as far as they are known
    what: str  # value and expected value
    mend: str  # how to fix it

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}. {self.mend}"
        return " ".join(text.splitlines())  # a name can hold line ends


class Report:
    """A collection of problems that keeps the first few of each kind."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()

    def add(self, *problems: Problem) -> None:
        """Add problems.

        Args:
            problems: the first `SHOWN` of each kind are kept, the rest counted.
        """
        for problem in problems:
            if self.counts[problem.kind] < SHOWN:
                self.problems.append(problem)
            self.counts[problem.kind] += 1

    def result(self) -> list[Problem]:
        """Return the problems kept, and one entry that counts the rest of each kind.

        Returns:
            The problems in the order in which they were added.
        """
        more = self.counts - Counter(p.kind for p in self.problems)
        return self.problems + [
            Problem(
                kind,
                "all files",
                f"{count} more problems of the kind {kind!r}",
                "Fix the listed ones first",
            )
            for kind, count in more.items()
        ]
