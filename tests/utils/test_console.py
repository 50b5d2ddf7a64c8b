"""Foreign names cannot steer the terminal; two processes never choose the same new folder."""

import logging
from concurrent.futures import ThreadPoolExecutor

from bestreply.utils.console import (
    free_path,
    fresh_path,
    log,
    meter,
    printable,
    warn,
)


def test_control_characters_are_replaced():
    assert printable("a\x1b[31mb\x07\u202ec\n\td") == "a�[31mb��c\n\td"


def test_markup_in_a_warning_is_shown_as_it_is(capsys):
    warn("[/] [bold]name[/bold] \x1b]0;title\x07")
    shown = capsys.readouterr().err
    assert "[/] [bold]name[/bold]" in shown and "\x1b]" not in shown


def test_progress_is_logged_and_can_be_switched_off(capsys):
    def play():
        with meter("play", 2, "steps") as progress:
            progress.advance(2)

    play()
    assert "play: 2 steps" in capsys.readouterr().err
    log.setLevel(logging.WARNING)
    try:
        play()
        warn("shown")
    finally:
        log.setLevel(logging.INFO)
    assert capsys.readouterr().err == "warning: shown\n"


def test_new_folders_are_made_when_they_are_chosen(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fresh_path(tmp_path, "run"), range(20)))
    assert len(set(paths)) == 20 and all(path.is_dir() for path in paths)
    assert min(paths).name == "run-0001"


def test_a_folder_is_recorded_before_it_is_made(tmp_path):
    (tmp_path / "a").mkdir()
    seen = []
    path = free_path(tmp_path, "a", lambda p: seen.append((p, p.exists())))
    assert (
        path == tmp_path / "a-2" and path.is_dir() and seen == [(path, False)]
    )
