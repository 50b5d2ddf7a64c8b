"""What the reader sees: words in one file per language, and how numbers are written."""

import json
from datetime import datetime
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")


class Texts:
    """The words of one language; ``texts("key", name=value)`` fills in the values."""

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise ValueError(
                f"there is no report in language {lang!r}; there is: {', '.join(LANGUAGES)}"
            )
        self.lang = lang
        self.words: dict[str, str] = json.loads(
            (HERE / "strings" / f"{lang}.json").read_text(encoding="utf-8")
        )

    def __call__(self, key: str, **values: object) -> str:
        return self.words[key].format(**values)

    def get(self, key: str, otherwise: str) -> str:
        return self.words.get(key, otherwise)

    def count(self, low: int, high: int) -> str:
        """``1,000`` or, where not all are the same, ``100 to 1,000``."""
        return (
            f"{low:,}"
            if low == high
            else self("range", low=f"{low:,}", high=f"{high:,}")
        )


@cache
def load_texts(lang: str) -> Texts:
    return Texts(lang)


def show(value: float | None, digits: int = 3) -> str:
    """A number to `digits` significant digits, with a true minus sign; a dash for none."""
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


def fixed(value: float | None, decimals: int = 2, sign: bool = False) -> str:
    """A number to `decimals` places, with a true minus sign; a dash for none."""
    if value is None or value != value:
        return "–"
    text = f"{value:{'+' if sign else ''},.{decimals}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def compact(value: float) -> str:
    """A tick label: 1500 -> 1.5k, 2000000 -> 2M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−").replace("e−0", "e−")


def duration(seconds: float | None, texts: Texts) -> str | None:
    """``4 min 12 s``."""
    if seconds is None or seconds < 0:
        return None
    if seconds < 60:
        return texts("seconds", s=f"{seconds:.1f}")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return texts("minutes", m=minutes, s=rest)
    return texts("hours", h=f"{minutes // 60:,}", m=minutes % 60)


def moment(value: object) -> str | None:
    """An ISO 8601 time to the minute; anything else as it is."""
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()


def file_size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
