"""Prepare `trials.json` for the page: how close the agent stays to players of its data."""

from typing import Any

from bestreply.report.run_files import number
from bestreply.report.tables import TextTable, entries_of
from bestreply.report.texts import Texts, decimals_of, with_error

PLAYER_ITSELF = 100.0
"""Weight, in standard deviations of the return, from which on scores do not count."""
MAX_TRIED = 100  # on one page


def trials_section(
    document: dict[str, Any] | None, texts: Texts
) -> dict[str, Any] | None:
    """Return a table of the weights that were tried, and what was chosen.

    Args:
        document: content of the file; None without it.
        texts: language of the page.

    Returns:
        Values of the template; None without trials.
    """
    if document is None:
        return None
    entries = entries_of(document, "tried")[:MAX_TRIED]
    entries = [
        e
        for e in entries
        if isinstance(e.get("role"), str)
        and isinstance(e.get("opponents"), str)
    ]
    if not entries:
        return None
    roles = list(dict.fromkeys(entry["role"] for entry in entries))
    decimals = decimals_of(*(number(entry.get("return")) for entry in entries))
    rows = [_row(entry, decimals, texts) for entry in entries]
    names = ("role", "opponents", "value", "weight")
    names = (*names, "action", "return", "chosen")
    head = [texts(f"trials_{name}") for name in names]
    if len(roles) == 1:
        rows, head = [row[1:] for row in rows], head[1:]
    gap = texts("sentence_gap")
    # Of each role the last opponents are those of the data, the mixture.
    last = {entry["role"]: entry["opponents"] for entry in entries}
    chosen = [
        entry
        for entry in entries
        if entry.get("chosen") is True
        and entry["opponents"] == last[entry["role"]]
    ]
    several = len(roles) > 1
    steps = number(document.get("env_steps")) or 0
    return {
        "chosen": gap.join(_sentence(e, several, texts) for e in chosen),
        "table": TextTable(head, rows),
        "note": texts("note_trials", steps=f"{steps:,.0f}")
        if steps
        else texts("note_trials_logged"),
    }


def _row(entry: dict[str, Any], decimals: int, texts: Texts) -> list[str]:
    mean, error = number(entry.get("return")), number(entry.get("stderr"))
    return [
        entry["role"],
        entry["opponents"],
        _value(entry, texts),
        _weight(entry, texts),
        _action(entry, texts),
        with_error(mean, error, decimals),
        texts("trials_yes") if entry.get("chosen") is True else "",
    ]


def _weight(entry: dict[str, Any], texts: Texts) -> str:
    weight = number(entry.get("weight"))
    if weight is not None and weight >= PLAYER_ITSELF:
        return texts("trials_itself")
    return "–" if weight is None else f"{weight:g}"


def _value(entry: dict[str, Any], texts: Texts) -> str:
    if entry.get("joint") is True:
        return texts("trials_joint")
    averaged = entry.get("averaged") is True
    return texts("trials_mean" if averaged else "trials_highest")


def _action(entry: dict[str, Any], texts: Texts) -> str:
    drawn = entry.get("sampled") is True
    return texts("trials_drawn" if drawn else "trials_likeliest")


def _sentence(entry: dict[str, Any], several: bool, texts: Texts) -> str:
    """Return what was chosen in one role."""
    weight = number(entry.get("weight")) or 0.0
    kind = "itself" if weight >= PLAYER_ITSELF else "near"
    kind = kind if weight > 0 else "alone"
    action, shown = _action(entry, texts), _weight(entry, texts)
    if entry.get("joint") is True and kind != "itself":
        kind += "_joint"
    elif kind == "alone" and entry.get("averaged") is True:
        kind = "alone_mean"
    text = texts(f"chosen_{kind}", weight=shown, action=action)
    if not several:
        return text
    return texts("chosen_in_role", role=entry["role"], text=text)
