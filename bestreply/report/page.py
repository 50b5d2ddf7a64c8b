"""Assemble the page of a run and write it."""

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

from bestreply.report import sections
from bestreply.report.belief import belief_section
from bestreply.report.changes import changes_section
from bestreply.report.codes import codes_section
from bestreply.report.curves import curves_section
from bestreply.report.diagnostics import diagnostics_section
from bestreply.report.matches import costliest, read_matches
from bestreply.report.off_policy import off_policy_section
from bestreply.report.regret import regret_section
from bestreply.report.run_files import FileProblem, RunFiles, clean, read_run
from bestreply.report.tables import flat
from bestreply.report.texts import FOLDER, Texts, file_size, load_texts
from bestreply.report.trials import trials_section
from bestreply.utils.files import write_text

PAGE = "report.html"
REQUIRED = (
    "config",
    "provenance",
    "metrics",
    "diagnostics",
    "scores",
    "matches",
)
MODEL_METHODS = ("agent", "hop")
"""Methods that learn models; other methods learn a policy alone."""
OPTIONAL = ("references", "regret", "changes", "off_policy", "trials")
"""Files that a run may lack: the page names them only if they cannot be used."""


def write_page(run_dir: Path, lang: str) -> Path:
    """Write a run's page into its directory.

    Args:
        run_dir: run directory.
        lang: "en" or "zh".

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: `run_dir` is not a directory.
        ValueError: the language is unknown.
    """
    page = run_dir / PAGE
    write_text(page, render(read_run(run_dir), lang))
    return page


def render(run: RunFiles, lang: str) -> str:
    """Write the page as HTML; the template escapes every value except `Markup` of this package.

    Args:
        run: files of the run.
        lang: "en" or "zh".

    Returns:
        HTML.

    Raises:
        ValueError: the language is unknown.
    """
    texts = load_texts(lang)
    files = {name: getattr(run, name) for name in (*REQUIRED, *OPTIONAL)}
    valid, problems = {}, {}
    for name, content in files.items():
        if not isinstance(content, FileProblem):
            valid[name] = content or None
        elif content.reason or name in _required(run):
            problems[name] = content
    scores = valid.get("scores")
    return self_contained(
        "report.html",
        lang,
        name=clean(run.path.resolve().name),
        problems=problems,
        facts=sections.facts(run, scores, texts),
        scores=scores and sections.scores_section(run, scores, texts),
        config=flat(run.config),
        provenance=flat(run.provenance),
        files=_files(run.path, texts),
        policy=_config(run).get("method", "agent") not in MODEL_METHODS,
        **_json_sections(valid, _has_goals(run), texts),
    )


def _json_sections(
    valid: dict[str, Any], has_goals: bool, texts: Texts
) -> dict[str, Any]:
    """Return the values of the template about metrics and JSON files; None without the file."""
    metrics, regret = valid.get("metrics"), valid.get("regret")
    changes = valid.get("changes")
    matches, left_out = read_matches(valid.get("matches") or [], texts)
    num_actions = len(matches[0].steps[0].candidates) if matches else None
    models: dict[str, Any] = dict.fromkeys(("diagnostics", "belief", "codes"))
    if diagnostics := valid.get("diagnostics"):
        belief = diagnostics.get("belief")
        models = {
            "belief": belief_section(belief, texts, has_goals),
            "codes": codes_section(diagnostics.get("codes"), texts),
            "diagnostics": diagnostics_section(diagnostics, num_actions, texts),
        }
    return models | {
        "curves": metrics and curves_section(metrics, texts),
        "losses": regret and regret_section(regret, texts),
        "changes": changes and changes_section(changes, texts),
        "off_policy": off_policy_section(valid.get("off_policy"), texts),
        "trials": trials_section(valid.get("trials"), texts),
        "matches": matches,
        "matches_left_out": left_out,
        "jumps": costliest(matches, texts),
    }


def _required(run: RunFiles) -> tuple[str, ...]:
    """Return the files that the page asks for; a game without rules has no scores."""
    facts = run.provenance if isinstance(run.provenance, dict) else {}
    game = facts.get("game")
    if isinstance(game, dict) and game.get("name") == "recorded":
        rest = (name for name in REQUIRED if name not in ("scores", "matches"))
        return (*rest, "off_policy")
    return REQUIRED


def _config(run: RunFiles) -> dict[str, Any]:
    return run.config if isinstance(run.config, dict) else {}


def _has_goals(run: RunFiles) -> bool:
    """Return whether the types are goals that the game declares."""
    model = _config(run).get("model")
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
    """Write a page with its styles and script inside, and their hashes in its content
    security policy.

    Args:
        template: file of the template.
        lang: "en" or "zh".
        templates: folders to search before the report's own.
        styles: files of the style sheets.
        script: file of the script; None forbids all scripts.
        connects: the script may send requests to the page's own server.
        values: values of the template.

    Returns:
        HTML.

    Raises:
        ValueError: the language is unknown.
    """
    environment = _environment((*templates, FOLDER / "templates"))
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
    """Return the hash of an inline style or script for the content security policy.

    Args:
        text: the style or script.

    Returns:
        ``sha256-`` and the base64 digest.
    """
    return (
        "sha256-"
        + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    )


def _files(run_dir: Path, texts: Texts) -> list[tuple[str, str, str]]:
    """Return (name, relative address, size) of the entries of the run directory."""
    rows = []
    for path in sorted(run_dir.iterdir()):
        if path.name == PAGE or path.name.startswith("."):
            continue
        slash, size = "", "–"
        if path.is_dir():
            slash, size = "/", texts("folder")
        elif path.exists():
            size = file_size(path.stat().st_size)
        address = f"./{quote(os.fsencode(path.name))}{slash}"
        rows.append((clean(path.name) + slash, address, size))
    return rows
