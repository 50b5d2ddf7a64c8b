"""Texts of one language, and how numbers are written."""

import json
import math
from datetime import datetime
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh")
ALONE = "none"
"""Name of the opponent set of one player."""


class Texts:
    """Texts of one language; ``texts("key", name=value)`` fills in the placeholders."""

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise ValueError(
                f"lang={lang!r}: expected one of {', '.join(LANGUAGES)}"
            )
        self.lang = lang
        self.texts: dict[str, str] = json.loads(
            (FOLDER / "strings" / f"{lang}.json").read_text(encoding="utf-8")
        )

    def __call__(self, key: str, **values: object) -> str:
        return self.texts[key].format(**values)

    def get(self, key: str, default: str) -> str:
        """Return the text of a key, or a default.

        Args:
            key: key of the text.
            default: returned if there is no such key.

        Returns:
            The text, with its placeholders.
        """
        return self.texts.get(key, default)

    def count(self, low: int, high: int) -> str:
        """Write ``1,000``, or ``100 to 1,000`` where the numbers differ.

        Args:
            low: least number.
            high: greatest number.

        Returns:
            The range.
        """
        return (
            f"{low:,}"
            if low == high
            else self("range", low=f"{low:,}", high=f"{high:,}")
        )


@cache
def load_texts(lang: str) -> Texts:
    """Return the texts of a language; they are read once.

    Args:
        lang: "en" or "zh".

    Returns:
        The texts.

    Raises:
        ValueError: the language is unknown.
    """
    return Texts(lang)


def facing(opponents: object, texts: Texts) -> str:
    """Write ``against 3 lazy``; one player is alone.

    Args:
        opponents: name of the opponent set.
        texts: language.
    """
    if opponents == ALONE:
        return texts("alone")
    return texts("against", opponents=opponents)


def show(value: float | None, digits: int = 3) -> str:
    """Write a number with a true minus sign.

    Args:
        value: the number; None and NaN give a dash.
        digits: significant digits.

    Returns:
        Plain notation from 0.001 to a million, otherwise scientific.
    """
    if value is None or value != value:
        return "–"
    size = abs(value)
    if value == 0:
        text = "0"
    elif 1e-3 <= size < 1e6:
        text = f"{value:,.{digits}g}" if size < 10**digits else f"{value:,.0f}"
    else:
        text = f"{value:.{digits - 1}e}".replace("e-0", "e-").replace(
            "e+0", "e"
        )
    return text.replace("-", "−")


def decimals_of(*values: float | None) -> int:
    """Return the decimals with which values of one unit are written side by side.

    Args:
        values: the values; None and NaN are skipped.

    Returns:
        2 where the largest size is from 0.1 to 10,000, so many that it has three digits
        where it is smaller, 0 up to a million, and fewer than 0 beyond.
    """
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v)]
    largest = max(sizes, default=0.0)
    if largest == 0 or 0.095 <= largest < 1e4:
        return 2
    return 0 if 1e4 <= largest < 1e6 else 2 - math.floor(math.log10(largest))


def fixed(value: float | None, decimals: int = 2, sign: bool = False) -> str:
    """Write a number with fixed decimals and a true minus sign.

    Args:
        value: the number; None and NaN give a dash.
        decimals: decimal places, of `decimals_of`. With fewer than 0, or more than 6,
            the notation is scientific, to the same place.
        sign: write + before positive numbers.

    Returns:
        Zero is written without a sign.
    """
    if value is None or value != value:
        return "–"
    if not 0 <= decimals <= 6:
        return _scientific(value, decimals, "+" if sign else "")
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def _scientific(value: float, decimals: int, sign: str) -> str:
    """Write ``2.71e−7`` down to the place 10 ** -decimals; less is 0."""
    digits = math.floor(math.log10(abs(value))) + decimals if value else -1
    if digits < 0:
        return "0"
    text = f"{value:{sign}.{digits}e}"
    mantissa, _, power = text.partition("e")
    return f"{mantissa}e{int(power)}".replace("-", "−")


def ties(one: float | None, two: float | None, decimals: int = 2) -> bool:
    """Return whether two numbers are equal as written.

    Args:
        one: a number.
        two: another one.
        decimals: decimal places.
    """
    return fixed(one, decimals) == fixed(two, decimals)


def with_error(
    value: float | None,
    error: float | None,
    decimals: int = 2,
    sign: bool = False,
) -> str:
    """Write a number with its error: ``2.71 ± 0.03``.

    Args:
        value: the number; None and NaN give a dash.
        error: standard error; None leaves it out.
        decimals: decimal places.
        sign: write + before positive numbers.

    Returns:
        The text.
    """
    text = fixed(value, decimals, sign)
    return text if error is None else f"{text} ± {fixed(error, decimals)}"


def compact(value: float) -> str:
    """Write a tick label: 1500 -> 1.5k, 2000000 -> 2M.

    Args:
        value: the number.

    Returns:
        At most four significant digits and a unit.
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−").replace("e−0", "e−")


def duration(seconds: float | None, texts: Texts) -> str | None:
    """Write a duration such as ``4 min 12 s``.

    Args:
        seconds: duration, s.
        texts: language.

    Returns:
        None for None or a negative number.
    """
    if seconds is None or seconds < 0:
        return None
    if seconds < 60:
        return texts("seconds", s=f"{seconds:.1f}")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return texts("minutes", m=minutes, s=rest)
    return texts("hours", h=f"{minutes // 60:,}", m=minutes % 60)


def moment(value: object) -> str | None:
    """Write an ISO 8601 time to the minute.

    Args:
        value: the time; text of any other form is returned unchanged.

    Returns:
        None for None.
    """
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def file_size(size: float) -> str:
    """Write a size such as ``1.5 MB``.

    Args:
        size: bytes.

    Returns:
        Three significant digits and a unit.
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
