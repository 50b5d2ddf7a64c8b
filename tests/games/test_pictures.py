"""Pictures of observations by shape and type; pixels inside them; what pages accept."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from bestreply.games.pictures import (
    MAX_SIDE,
    image_picture,
    observation_picture,
    text_picture,
)
from bestreply.report.safe_svg import UnsafePicture, safe_svg
from tests.role_game import Hide

RNG = np.random.default_rng(0)


def images_in(svg):
    """Return the embedded images of a picture."""
    texts = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in texts]


def pixels_in(svg):
    (image,) = images_in(svg)
    return np.asarray(image.convert("RGB"))


def test_an_image_is_drawn_as_it_is():
    obs = np.zeros((6, 4, 3), np.uint8)
    obs[2, 1], obs[5, 3] = (255, 0, 0), (0, 0, 9)
    assert (pixels_in(observation_picture(obs)) == obs).all()
    grey = pixels_in(observation_picture(obs[..., :1]))
    assert (grey == obs[..., :1]).all()


def test_marks_of_the_seat_are_left_out():
    obs = RNG.integers(0, 9, (5, 5, 3)).astype(np.uint8)
    marks = np.broadcast_to(np.array([0, 1], np.uint8), (5, 5, 2))
    marked = np.concatenate([obs, marks], -1)
    assert observation_picture(marked, (), 2) == observation_picture(obs)
    vector = np.array([0.5, 2, 0, 1, 0], np.float32)
    assert observation_picture(vector, (), 3) == observation_picture(vector[:2])
    unmarked = np.array([0.5, 2, 0.25, 1, 0], np.float32)
    assert observation_picture(unmarked, (), 3) == observation_picture(unmarked)


def test_planes_are_tiles_with_names():
    obs = (RNG.random((3, 4, 5)) < 0.5).astype(np.float32)
    svg = observation_picture(obs, ("self", "other <1>", "a b"))
    tiles = [np.asarray(image.convert("L")) for image in images_in(svg)]
    assert len(tiles) == 5
    for tile, plane in zip(tiles, obs.transpose(2, 0, 1), strict=True):
        assert (tile == 255 * (1 - plane)).all()
    assert re.findall(r">([^<>]+)</text>", svg) == [
        "self",
        "other &lt;1&gt;",
        "a b",
        "3",
        "4",
    ]
    many = observation_picture(np.zeros((2, 2, 50)))
    assert len(images_in(many)) == 36 and ">+ 14</text>" in many


def test_a_vector_is_bars_with_its_numbers():
    svg = observation_picture(np.array([1e-6, -2e-6, 0.0]))
    assert re.findall(r">([^<>]+)</text>", svg) == [
        "0", "1e-06", "1", "-2e-06", "2", "0",
    ]  # fmt: skip
    widths = re.findall(r'<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"', svg)
    assert float(widths[1]) == pytest.approx(2 * float(widths[0]), abs=0.2)
    assert observation_picture(np.full(100, 5.0)).count("<rect") == 100
    assert len(images_in(observation_picture(RNG.random(1000)))) == 1


@pytest.mark.parametrize(
    "obs",
    [
        np.array([np.nan, np.inf, -np.inf]),
        np.array([1e308, -1e308]),
        np.zeros(0),
        np.zeros((3, 0, 2)),
        np.array(3),
        np.full((2, 2, 2), np.nan),
        np.full((2, 2, 2, 2), True),
        np.full((4, 7), 200, np.uint8),
        RNG.integers(-5, 5, (3, 3, 4)),
    ],
)
def test_every_observation_has_a_picture_that_pages_show(obs):
    assert safe_svg(observation_picture(obs)).startswith("<svg")


def test_large_pictures_are_reduced():
    noise = RNG.integers(0, 255, (700, 500, 3)).astype(np.uint8)
    svg = image_picture(noise)
    assert max(pixels_in(svg).shape) == MAX_SIDE
    assert len(svg) < 60_000
    assert max(pixels_in(image_picture(noise, 50)).shape) == 50


def test_only_pixels_inside_a_picture_are_shown():
    svg = image_picture(np.zeros((2, 2, 3), np.uint8))
    shown = safe_svg(svg)
    assert (pixels_in(shown) == 0).all()
    (address,) = re.findall('href="([^"]+)"', svg)
    bomb = base64.b64decode(address.partition(",")[2])
    bomb = bomb[:16] + (50_000).to_bytes(4, "big") * 2 + bomb[24:]
    for other in (
        "x.png",
        "https://example.org/x.png",
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:image/png;base64,PHN2Zy8+",
        "data:image/png;base64,not base64",
        "data:text/html;base64," + address.partition(",")[2],
        "data:image/png;base64," + base64.b64encode(bomb).decode(),
        "data:image/png;base64," + base64.b64encode(bomb[:20]).decode(),
    ):
        with pytest.raises(UnsafePicture):
            safe_svg(svg.replace(address, other))
    with pytest.raises(UnsafePicture):
        safe_svg(svg.replace("image ", "rect ").replace("image>", "rect>"))


def test_a_game_with_a_text_of_its_own_is_drawn_as_text():
    game, obs = Hide(), np.zeros(8, np.float32)
    assert game.picture(obs) == text_picture("last 0")
    plain = super(Hide, game)
    assert plain.text(obs) == "[0. 0. 0. 0. 0. 0. 0. 0.]"
    image = np.zeros((30, 30, 3), np.uint8)
    assert plain.text(image) == "uint8 30 x 30 x 3, 0 to 0"
