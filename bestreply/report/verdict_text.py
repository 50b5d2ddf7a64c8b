"""Verdicts of comparisons as sentences and as a table."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.table import Table

from bestreply.report.texts import Texts, decimals_of, fixed, load_texts
from bestreply.scores.statistics import Verdict


def sentence(verdict: Verdict, lang: str = "en") -> str:
    """Write a verdict as one sentence.

    Args:
        verdict: the comparison.
        lang: "en" or "zh".

    Returns:
        The sentence.

    Raises:
        ValueError: the language is unknown.
    """
    texts, v, decimals = load_texts(lang), verdict, decimals_in([verdict])
    is_worse = v.verdict == "worse"
    values: dict[str, Any] = {
        "a": v.a,
        "b": v.b,
        "opponents": v.opponents,
        "difference": fixed(abs(v.difference), decimals),
        "low": fixed(-v.high if is_worse else v.low, decimals),
        "high": fixed(-v.low if is_worse else v.high, decimals),
        "p": p_text(v.p_holm, texts),
        "bound": fixed(v.bound, decimals),
        "target": fixed(v.target_difference, decimals),
        "seeds": v.seeds,
    }
    if v.verdict != "not_enough":
        return texts(f"verdict_{v.verdict}", **values)
    if v.seeds_required is None:
        key = "verdict_never" if v.seeds > 1 else "verdict_one_seed"
        return texts(key, **values)
    more = max(v.seeds_required - v.seeds, 1)
    return texts("verdict_not_enough", more=f"{more:,}", **values)


def decimals_in(verdicts: Sequence[Verdict]) -> int:
    """Return the decimals with which the returns of verdicts are written.

    Args:
        verdicts: the comparisons.
    """
    return decimals_of(*(x for v in verdicts for x in (v.mean_a, v.mean_b)))


def p_text(p: float, texts: Texts) -> str:
    """Write a p-value as ``p = 0.020`` or ``p < 0.001``.

    Args:
        p: p-value.
        texts: language.

    Returns:
        The text.
    """
    if p < 0.001:
        return texts("p_less", p="0.001")
    return texts("p_is", p=f"{p:.3f}")


def verdict_table(verdicts: Sequence[Verdict], lang: str = "en") -> Table:
    """Lay out the numbers of comparisons for a terminal, two in each cell.

    Args:
        verdicts: at least one, all of the same first method.
        lang: "en" or "zh".

    Returns:
        The table.

    Raises:
        ValueError: the language is unknown.
    """
    texts = load_texts(lang)
    others = dict.fromkeys(v.b for v in verdicts)
    title = texts(
        "verdicts_title",
        a=verdicts[0].a,
        others=", ".join(others),
        seeds=verdicts[0].seeds,
    )
    table = Table(title=title, caption=texts("verdicts_note"))
    for name in (
        "against",
        "means",
        "difference",
        "p",
        "improvement",
        "needed",
    ):
        left = name == "against"
        table.add_column(
            texts(f"verdicts_{name}"),
            justify="left" if left else "right",
            overflow="fold",
            no_wrap=not left,
        )
    write = partial(fixed, decimals=decimals_in(verdicts))
    for v in verdicts:
        table.add_row(
            v.opponents + (f"\n({v.b})" if len(others) > 1 else ""),
            f"{write(v.mean_a)} / {write(v.mean_b)}\n{write(v.iqm_a)} / {write(v.iqm_b)}",
            f"{write(v.difference, sign=True)}\n[{write(v.low)}, {write(v.high)}]",
            f"{v.p:.3f}\n{v.p_holm:.3f}",
            f"{fixed(v.improvement)}\n{fixed(v.hedges_g)}",
            "–" if v.seeds_required is None else f"{v.seeds_required:,}",
        )
    return table
