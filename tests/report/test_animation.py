"""A match as an animated GIF: frames, content and refused matches."""

import pytest
from PIL import Image, ImageChops
from run_files import make_match

from bestreply.report import animation, pen
from bestreply.report.animation import (
    BOARD_WIDTH,
    MARGIN,
    MAX_STEPS,
    WIDTH,
    draw_match,
    write_gif,
)

BOARD = (MARGIN, 80, MARGIN + BOARD_WIDTH, 80 + BOARD_WIDTH)


def frames(match):
    return list(draw_match(match))


def colours(image, box=None):
    part = image.crop(box) if box else image
    return {colour for _, colour in part.getcolors(part.width * part.height)}


def bytes_of(colour):
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def test_every_step_has_a_frame_and_the_last_is_shown_longer(tmp_path):
    match = make_match(steps=3)
    path = write_gif(match, tmp_path / "a.gif")
    with Image.open(path) as image:
        assert (image.format, image.n_frames, image.width) == ("GIF", 3, WIDTH)
        assert image.info["loop"] == 0
        durations = []
        for t in range(3):
            image.seek(t)
            durations.append(image.info["duration"])
    assert durations[-1] > durations[0] == durations[1]
    assert path.stat().st_size < 300_000
    assert (
        write_gif(match, tmp_path / "b.gif").read_bytes() == path.read_bytes()
    ), "the same match, the same file"


def test_the_number_of_frames_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "MAX_STEPS", 5)
    path = write_gif(make_match(steps=8), tmp_path / "long.gif")
    with Image.open(path) as image:
        assert image.n_frames == 5
    assert path.stat().st_size * MAX_STEPS / 5 < 1_500_000


def test_the_board_is_drawn_in_the_colours_of_the_report():
    """Cells, stags, hares and the four players."""
    seen = colours(frames(make_match(steps=4))[0], BOARD)
    expected = ("#f6f4ee", "#3b6fd4", "#c2542d", "#2f8f5b", "#8a4fbf")
    assert {bytes_of(colour) for colour in expected} <= seen


def test_flat_colours_survive_the_palette(tmp_path):
    path = write_gif(make_match(steps=4), tmp_path / "a.gif")
    with Image.open(path) as image:
        seen = colours(image.convert("RGB"))
    assert {
        bytes_of(c)
        for c in ("#ffffff", "#f6f4ee", "#c2542d", animation.TYPE_COLOURS[0])
    } <= seen


def test_beliefs_and_scores_are_drawn_in_their_places():
    match, other = make_match(steps=1), make_match(steps=1)
    other["steps"][0]["belief"][0] = [0.0, 0.0, 1.0]
    box = ImageChops.difference(frames(match)[0], frames(other)[0]).getbbox()
    assert box is not None and box[0] > BOARD[2]
    beliefs = box[1]
    other = make_match(steps=1)
    other["steps"][0]["scores"][0] = -3.0
    box = ImageChops.difference(frames(match)[0], frames(other)[0]).getbbox()
    assert box is not None and box[0] > BOARD[2] and box[3] < beliefs


@pytest.mark.parametrize(
    "picture",
    [
        "",
        None,
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0L9 9" fill="#f00"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect fill="#f00" width="9" height="9" transform="scale(2)"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect fill="nocolour" width="9" height="9"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect fill="#f00" width="100%" height="9"/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>alert(1)</script></svg>',
    ],
)
def test_the_text_replaces_a_picture_that_cannot_be_drawn(picture):
    match = make_match(steps=1)
    match["steps"][0]["picture"] = picture
    frame = frames(match)[0]
    ink, board = bytes_of(pen.INK), colours(frame, BOARD)
    assert ink in board and (255, 0, 0) not in board
    match["steps"][0]["text"] = ""
    assert colours(frames(match)[0], BOARD) == {(255, 255, 255)}


def test_lines_squares_and_labels_of_a_picture_are_drawn():
    match = make_match(steps=1)
    match["steps"][0]["picture"] = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 5"><rect width="10" height="5" fill="#00f" stroke="none"/>'
        '<line x1="0" y1="0" x2="10" y2="5" stroke="#0f0" stroke-width="0.3"/><text x="1" y="4" font-size="2" fill="#f00">a</text></svg>'
    )
    frame = frames(match)[0]
    assert {(0, 0, 255), (0, 255, 0), (255, 0, 0)} <= colours(frame, BOARD)
    assert colours(
        frame, (MARGIN, 80 + BOARD_WIDTH // 2 + 12, BOARD[2], BOARD[3])
    ) == {(255, 255, 255)}, "as wide as high"


def test_games_with_many_actions_players_and_types_fit_the_picture():
    match = make_match(steps=2)
    match["actions"] = [f"ACTION_{'LONG_' * 9}{k}" for k in range(60)]
    match["goals"] = [f"type_{k}" for k in range(20)]
    match["players"] = [f"player_{'long_' * 9}{k}" for k in range(10)]
    for step in match["steps"]:
        step |= {
            "scores": [float(k) for k in range(60)],
            "legal": [True] * 60,
            "action": 3,
            "picture": "",
        }
        step |= {"reward": [0.0] * 60, "value": [float(k) for k in range(60)]}
        step |= {
            "predicted": [[1 / 60] * 60] * 9,
            "belief": [[0.05] * 20] * 9,
            "actual": [0] * 9,
        }
    drawn = frames(match)
    assert {frame.size for frame in drawn} == {drawn[0].size} and drawn[
        0
    ].height < 900
    assert colours(drawn[0], (WIDTH - MARGIN + 4, 0, *drawn[0].size)) == {
        (255, 255, 255)
    }, "a margin"


def test_a_player_without_scores_and_beliefs():
    match = make_match(steps=3)
    for step in match["steps"]:
        for key in ("scores", "reward", "value", "predicted", "belief"):
            del step[key]
    assert len(frames(match)) == 3


def test_an_invalid_match_is_refused(tmp_path):
    match = make_match(steps=2)
    match["steps"][1]["action"] = 99
    with pytest.raises(ValueError, match="action=99: expected an integer"):
        write_gif(match, tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


def test_chinese_texts_need_a_font(monkeypatch):
    match = make_match(steps=1)
    monkeypatch.setattr(pen, "CHINESE", ("no such font.ttf",))
    with pytest.raises(
        ValueError, match="lang=zh: expected a font with Chinese characters"
    ):
        next(draw_match(match, "zh"))


def test_chinese_texts_are_drawn_with_a_font():
    try:
        pen._font(pen.CHINESE, 20)
    except ValueError:
        pytest.skip(
            "no Chinese font on this machine: apt-get install fonts-noto-cjk"
        )
    match = make_match(steps=1)
    box = ImageChops.difference(
        next(draw_match(match, "zh")), next(draw_match(match, "en"))
    ).getbbox()
    assert box is not None
