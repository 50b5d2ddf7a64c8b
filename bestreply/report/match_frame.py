"""What all steps of a match have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bestreply.report.checks import expect, index_of, row_of, strings
from bestreply.report.run_files import number
from bestreply.report.texts import Texts, decimals_of


@dataclass(frozen=True)
class Frame:
    """What all steps of a match have in common."""

    players: list[str]
    roles: list[str]  # by seat; empty where all are the same
    actions: list[str]
    sizes: list[int]  # number of actions by seat
    goals: list[str]
    seat: int
    left: list[tuple[int, str] | None]  # by seat: steps played, how it left
    span: tuple[float, float]  # of the bars of the candidates
    decimals: int  # of rewards and values
    length: int
    gamma: float

    @property
    def other_seats(self) -> list[int]:
        return [s for s in range(len(self.players)) if s != self.seat]

    def title(self, seat: int, texts: Texts) -> str:
        """Return number, name and role of a seat."""
        player = self.players[seat]
        if not self.roles:
            return texts("player_at", seat=seat + 1, player=player)
        role = self.roles[seat]
        return texts("role_at", seat=seat + 1, player=player, role=role)


def read_frame(document: dict[str, Any], raw: list[dict[str, Any]]) -> Frame:
    """Return what all steps of a match have in common.

    Args:
        document: the match.
        raw: its steps.

    Raises:
        ValueError: an entry does not fit docs/files.md.
    """
    players, actions = (
        strings(document, "players"),
        strings(document, "actions"),
    )
    roles = strings(document, "roles", empty=True)
    fits = len(roles) in (0, len(players))
    expect(fits, "roles", roles, f"{len(players)} names")
    gamma, length = number(document.get("gamma")), document.get("length")
    return Frame(
        players=players,
        roles=roles,
        actions=actions,
        sizes=_sizes(document.get("seat_actions"), len(players), len(actions)),
        goals=strings(document, "goals", empty=True),
        seat=index_of(document.get("seat"), len(players), "seat"),
        left=_left(document.get("left"), len(players)),
        span=span_of(raw, len(actions)),
        decimals=_decimals(raw),
        length=length if type(length) is int and length > 0 else len(raw),
        gamma=1.0 if gamma is None or not 0 <= gamma <= 1 else gamma,
    )


def _sizes(value: object, players: int, actions: int) -> list[int]:
    if value is None:
        return [actions] * players
    fits = (
        isinstance(value, list)
        and len(value) == players
        and all(type(v) is int and 0 < v <= actions for v in value)
    )
    expect(
        fits, "seat_actions", value, f"{players} integers from 1 to {actions}"
    )
    assert isinstance(value, list)
    return value


def _left(value: object, players: int) -> list[tuple[int, str] | None]:
    if value is None:
        return [None] * players
    fits = isinstance(value, list) and len(value) == players
    expect(fits, "left", value, f"{players} entries")
    assert isinstance(value, list)
    entries: list[tuple[int, str] | None] = []
    for entry in value:
        fits = entry is None or (
            isinstance(entry, list)
            and len(entry) == 2
            and type(entry[0]) is int
            and entry[1] in ("absent", "left", "terminated")
        )
        expect(fits, "left", entry, "null, or a step and how the seat left")
        entries.append(None if entry is None else (entry[0], entry[1]))
    return entries


def span_of(steps: Sequence[dict[str, Any]], size: int) -> tuple[float, float]:
    """Return the least and greatest end of all bars of a match, which share one scale.

    Args:
        steps: the steps.
        size: number of actions.
    """
    low = high = 0.0
    for step in steps:
        rewards = row_of(step, "reward", size)
        values = row_of(step, "value", size)
        for reward, value in zip(rewards, values, strict=True):
            parts = [reward or 0.0, value or 0.0]
            low = min(low, sum(p for p in parts if p < 0))
            high = max(high, sum(p for p in parts if p > 0))
    return (low, high) if high > low else (0.0, 1.0)


def _decimals(steps: Sequence[dict[str, Any]]) -> int:
    """Return the decimals of rewards and values; rows are checked step by step later."""
    rows = [step.get(key) for step in steps for key in ("scores", "exact")]
    values = [number(v) for row in rows if isinstance(row, list) for v in row]
    return decimals_of(*values, *(number(s.get("reward_got")) for s in steps))
