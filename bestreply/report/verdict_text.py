"""Verdicts of a comparison as sentences and tables."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from bestreply.report.texts import Texts, fixed, load_texts
from bestreply.scores.statistics import Verdict


def sentence(verdict: Verdict, lang: str = "en") -> str:
    """Write one sentence about a comparison.

    Args:
        verdict: the comparison.
        lang: "en" or "zh".
    """
    texts, v = load_texts(lang), verdict
    values: dict[str, Any] = {
        "a": v.a,
        "b": v.b,
        "opponents": v.opponents,
        "difference": fixed(abs(v.difference)),
        "low": fixed(v.low if v.verdict != "worse" else -v.high),
        "high": fixed(v.high if v.verdict != "worse" else -v.low),
        "p": _p_text(v.p_holm, texts),
        "bound": fixed(v.bound),
        "target": fixed(v.target_difference),
        "seeds": v.seeds,
    }
    if v.verdict != "not_enough":
        return texts(f"verdict_{v.verdict}", **values)
    if v.seeds_required is None:
        return texts(
            "verdict_never" if v.seeds > 1 else "verdict_one_seed", **values
        )
    more = max(v.seeds_required - v.seeds, 1)
    return texts("verdict_not_enough", more=f"{more:,}", **values)


def _p_text(p: float, texts: Texts) -> str:
    return (
        texts("p_less", p="0.001") if p < 0.001 else texts("p_is", p=f"{p:.3f}")
    )


def verdict_table(verdicts: Sequence[Verdict], lang: str = "en") -> Table:
    """Lay out the numbers of comparisons for a terminal, two a cell to keep it narrow.

    Args:
        verdicts: of one first method, at least one.
        lang: "en" or "zh".
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
    for v in verdicts:
        table.add_row(
            v.opponents + (f"\n({v.b})" if len(others) > 1 else ""),
            f"{fixed(v.mean_a)} / {fixed(v.mean_b)}\n{fixed(v.iqm_a)} / {fixed(v.iqm_b)}",
            f"{fixed(v.difference, sign=True)}\n[{fixed(v.low)}, {fixed(v.high)}]",
            f"{v.p:.3f}\n{v.p_holm:.3f}",
            f"{fixed(v.improvement)}\n{fixed(v.hedges_g)}",
            "–" if v.seeds_required is None else f"{v.seeds_required:,}",
        )
    return table
