"""Puts the page together and writes it."""

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bestreply.config import POLICIES
from bestreply.report import sections
from bestreply.report.belief import belief_section
from bestreply.report.changes import changes_section
from bestreply.report.codes import codes_section
from bestreply.report.matches import costliest, read_matches
from bestreply.report.regret import losses_section
from bestreply.report.run_files import FileProblem, RunFiles, clean, read_run
from bestreply.report.texts import HERE, file_size, load_texts
from bestreply.utils.files import write_text

PAGE = "report.html"
OPTIONAL = ("references", "regret", "changes")
"""Files that a run can do without: they are named on the page only where they are broken."""


def write_page(run_dir: Path, lang: str) -> Path:
    page = run_dir / PAGE
    write_text(page, render(read_run(run_dir), lang))
    return page


def render(run: RunFiles, lang: str) -> str:
    """The page as HTML. The template escapes every value but `Markup`, which is what we wrote ourselves."""
    texts = load_texts(lang)
    found = {
        key: getattr(run, key)
        for key in (
            "config",
            "provenance",
            "metrics",
            "diagnostics",
            "scores",
            "matches",
            *OPTIONAL,
        )
    }
    problems = {
        key: value
        for key, value in found.items()
        if isinstance(value, FileProblem)
        and (value.reason or key not in OPTIONAL)
    }
    there = {
        key: value
        for key, value in found.items()
        if value and not isinstance(value, FileProblem)
    }
    page: dict[str, Any] = {
        "diagnostics": None,
        "belief": None,
        "codes": None,
        "scores": None,
        "curves": None,
        "matches": [],
        "matches_left_out": [],
        "jumps": [],
        "losses": None,
        "changes": None,
    }
    if "scores" in there:
        page["scores"] = sections.scores_section(run, there["scores"], texts)
    if "metrics" in there:
        page["curves"] = sections.curves_section(there["metrics"], texts)
    if "matches" in there:
        page["matches"], page["matches_left_out"] = read_matches(
            there["matches"], texts
        )
        page["jumps"] = costliest(page["matches"], texts)
    if "regret" in there:
        page["losses"] = losses_section(there["regret"], texts)
    if "changes" in there:
        page["changes"] = changes_section(there["changes"], texts)
    if "diagnostics" in there:
        first = (
            page["matches"][0].steps[0].candidates if page["matches"] else []
        )
        page["belief"] = belief_section(
            there["diagnostics"].get("belief"), texts, _goals(run)
        )
        page["codes"] = codes_section(there["diagnostics"].get("codes"), texts)
        page["diagnostics"] = sections.diagnostics_section(
            there["diagnostics"], len(first) or None, texts
        )
    return self_contained(
        "report.html",
        lang,
        name=clean(run.path.resolve().name),
        problems=problems,
        facts=sections.facts(run, there.get("scores"), texts),
        config=sections.flat(run.config),
        provenance=sections.flat(run.provenance),
        files=_files(run.path, texts),
        policy=isinstance(run.config, dict)
        and run.config.get("method") in POLICIES,
        **page,
    )


def _goals(run: RunFiles) -> bool:
    """Whether what the beliefs are about is the game's own goals, by the run's configuration."""
    model = run.config.get("model") if isinstance(run.config, dict) else None
    return isinstance(model, dict) and model.get("opponent_types") == "goal"


def self_contained(
    template: str,
    lang: str,
    *,
    templates: Sequence[Path] = (),
    styles: Sequence[str] = ("style.css",),
    script: str | None = "viewer.js",
    connects: bool = False,
    **values: Any,
) -> str:
    """A page of our own with its styles and script inside, and their hashes for its content security policy.

    Args:
        templates: folders to look into before the report's own.
        script: its file; None: the page has no script, and none may run.
        connects: the script may ask the server that the page came from.
    """
    environment = _environment((*templates, HERE / "templates"))
    loader = environment.loader
    assert loader is not None
    style = "".join(loader.get_source(environment, name)[0] for name in styles)
    code = loader.get_source(environment, script)[0] if script else ""
    return environment.get_template(template).render(
        t=load_texts(lang),
        lang=lang,
        style=Markup(style),
        script=Markup(code),
        style_hash=hash_of(style),
        script_hash=hash_of(code) if script else "",
        connects=connects,
        **values,
    )


@cache
def _environment(folders: tuple[Path, ...]) -> Environment:
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def hash_of(text: str) -> str:
    """What a content security policy calls an inline style or script: no other of its kind may run."""
    return (
        "sha256-"
        + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    )


def _files(run_dir: Path, texts: Any) -> list[tuple[str, str, str]]:
    """(name, relative address, size) of what lies in the run directory."""
    rows = []
    for path in sorted(run_dir.iterdir()):
        if path.name == PAGE or path.name.startswith("."):
            continue
        folder = path.is_dir()
        size = (
            texts("folder")
            if folder
            else file_size(path.stat().st_size)
            if path.exists()
            else "–"
        )
        rows.append(
            (
                clean(path.name) + "/" * folder,
                "./" + quote(os.fsencode(path.name)) + "/" * folder,
                size,
            )
        )
    return rows
