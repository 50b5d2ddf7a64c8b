"""Times of runs: ``7d``, ``24h``, or a date."""

import re
from datetime import UTC, datetime, timedelta

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """Return the time that ``--since`` names.

    Args:
        text: ``7d``, ``24h`` or ``2w`` before `now`, or an ISO 8601 date or time
            (UTC without a zone).
        now: reference time; by default the present.

    Returns:
        The time, with its zone.

    Raises:
        ValueError: the text is neither.
    """
    span = re.fullmatch(r"(\d{1,5})([hdw])", text.strip())
    if span:
        return (now or datetime.now(UTC)) - timedelta(
            **{UNITS[span[2]]: int(span[1])}
        )
    moment = as_moment(text.strip())
    if moment is None:
        raise ValueError(
            f"since={text!r}: expected a span such as 7d, 24h or 2w, or a date such as 2026-11-01"
        )
    return moment


def as_moment(value: object) -> datetime | None:
    """Return an ISO 8601 time with its zone, UTC if it names none.

    Args:
        value: any JSON value.

    Returns:
        None if it is not a time.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
