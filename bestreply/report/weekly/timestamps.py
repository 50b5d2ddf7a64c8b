"""The moment from which runs count: ``7d``, ``24h``, or a date."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """``7d``, ``24h``, ``2w`` before `now`, or an ISO 8601 date or time (UTC where it names no zone).

    Raises ValueError for anything else.
    """
    found = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if found:
        return (now or datetime.now(UTC)) - timedelta(
            **{UNITS[found[2]]: int(found[1])}
        )
    moment = as_moment(text.strip())
    if moment is None:
        raise ValueError(
            f"since={text!r}; expected: a span such as 7d, 24h or 2w, or a date such as 2026-11-01"
        )
    return moment


def as_moment(value: object) -> datetime | None:
    """An ISO 8601 time with its zone, UTC where it names none; None where it is no such thing."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
