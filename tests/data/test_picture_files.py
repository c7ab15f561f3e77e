"""From a picture file to pixels: every kind that is met, and what is refused, each in one line that names where it stands."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gyebo.config.run import DataOptions
from gyebo.data import picture_files
from gyebo.data.picture_files import Fit, in_colour, opened, seen
from gyebo.data.records import Record, Region, Text

WHERE = "pics/captions.jsonl: row 7"


def saved(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pixels(raw):
    return np.asarray(opened(raw, WHERE)).astype(int)


def noise(width=12, height=8, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    return rng.integers(0, 256, shape, dtype=np.uint8)


# ---- what becomes RGB


def test_colour_and_grey():
    colour, grey = noise(), noise(channels=1)
    assert np.array_equal(pixels(saved(Image.fromarray(colour))), colour)
    assert np.array_equal(pixels(saved(Image.fromarray(grey))), np.repeat(grey[..., None], 3, -1))
    black_and_white = grey > 127
    assert np.array_equal(pixels(saved(Image.fromarray(black_and_white))), np.repeat(255 * black_and_white[..., None], 3, -1))


def test_a_palette_is_looked_up():
    indexed = Image.fromarray(noise(channels=1) % 3, "P")
    colours = [[200, 10, 10], [10, 200, 10], [10, 10, 200]]
    indexed.putpalette([v for colour in colours for v in colour])
    expected = np.array(colours)[noise(channels=1) % 3]
    assert np.array_equal(pixels(saved(indexed)), expected)
    clear = saved(indexed, transparency=1)
    expected[noise(channels=1) % 3 == 1] = 255
    assert np.array_equal(pixels(clear), expected)


def test_transparency_lies_on_white():
    rgba = noise(channels=4)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(pixels(saved(Image.fromarray(rgba))) - expected).max() <= 1
    grey_alpha = Image.fromarray(rgba).convert("LA")
    grey, a = np.asarray(grey_alpha)[..., :1].astype(int), np.asarray(grey_alpha)[..., 1:] / 255
    assert np.abs(pixels(saved(grey_alpha)) - (grey * a + 255 * (1 - a))).max() <= 1


def test_one_colour_that_means_transparent():
    image = Image.fromarray(np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8))
    assert pixels(saved(image, transparency=(10, 20, 30))).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def png(width, height, depth, colour_type, rows):
    """A PNG file by hand, from the specification."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bits_are_scaled_not_cut_off():
    values = [0, 257, 128 * 257, 65535]
    grey = png(4, 1, 16, 0, b"\0" + struct.pack(">4H", *values))
    assert pixels(grey)[0, :, 0].tolist() == [0, 1, 128, 255]
    colour = png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 65535, 128 * 257, 0))
    assert pixels(colour).tolist() == [[[255, 128, 0]]]
    with_alpha = png(2, 1, 16, 4, b"\0" + struct.pack(">4H", 0, 65535, 0, 0))
    assert pixels(with_alpha)[0, :, 0].tolist() == [0, 255]


def test_cmyk_becomes_the_colour_that_it_prints():
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    red = pixels(saved(flat, "JPEG", quality=95))
    assert red.shape == (16, 16, 3) and np.abs(red - [255, 0, 0]).max() < 12
    assert np.abs(pixels(saved(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG", quality=95))).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_s_rotation_is_applied(orientation):
    """The eight orientations of EXIF: the same upright picture, stored in eight ways."""
    upright = np.zeros((24, 16, 3), np.uint8)
    upright[:8, :8] = (255, 0, 0)  # the top left corner
    upright[:8, 8:] = (0, 0, 255)  # the top right one
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert np.array_equal(pixels(raw), upright)


def test_the_first_of_several_frames():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    raw = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(raw)[0, 0].tolist() == [255, 0, 0]


def test_the_stored_kinds_say_what_they_are():
    assert in_colour(Image.new("L", (2, 2), 7)).mode == "RGB"


# ---- what is refused


def refused(raw, *words):
    with pytest.raises(ValueError) as caught:
        opened(raw, WHERE)
    message = str(caught.value)
    assert message.startswith(WHERE) and "\n" not in message
    for word in words:
        assert word in message


def test_a_bomb_is_refused_by_what_it_declares(monkeypatch):
    """60,000 x 60,000 pixels in a hundred bytes: nothing is unpacked."""
    header = saved(Image.new("RGB", (16, 16)), "JPEG")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("unpacked"))
    bomb = png(60_000, 60_000, 8, 2, b"\0" * 100)
    assert len(bomb) < 200
    refused(bomb, "50,000,000")
    refused(png(8_000, 8_000, 8, 2, b""), "8000 x 8000 pixels", "50,000,000")
    at = header.index(b"\xff\xc0") + 5  # height and width of the frame
    refused(header[:at] + struct.pack(">HH", 50_000, 50_000) + header[at + 4 :], "50,000,000")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_cut_short_anywhere(form):
    raw = saved(Image.fromarray(noise(40, 40)), form)
    for share in (0.0, 0.1, 0.5, 0.9):
        refused(raw[: int(len(raw) * share)])


def test_changed_bytes_never_crash():
    """A changed byte gives other pixels or one clear line; no other error leaves."""
    rng = np.random.default_rng(0)
    for form in ("PNG", "JPEG", "GIF", "BMP", "WEBP"):
        raw = saved(Image.fromarray(noise(20, 20)), form)
        for _ in range(150):
            changed = bytearray(raw)
            for place in rng.integers(0, len(raw), 3):
                changed[place] = rng.integers(256)
            try:
                opened(bytes(changed), WHERE)
            except ValueError as error:
                assert str(error).startswith(WHERE)


def test_what_is_no_picture():
    refused(b"hello", "no picture of a known kind")
    refused(b"", "no picture of a known kind")
    tiff = saved(Image.new("RGB", (4, 4)), "TIFF")
    refused(tiff, "TIFF", "PNG")


# ---- fitting and regions


def test_fits_by_hand():
    crop = Fit.of(400, 100, 50, "crop")
    assert crop.source == (150, 0, 250, 100) and crop.target == (0, 0, 50, 50)
    assert crop.shares((150, 0, 200, 50)) == (0, 0, 0.5, 0.5)
    assert crop.shares((100, 25, 175, 75)) == (0, 0.25, 0.25, 0.75)  # cut at the left
    assert crop.shares((0, 0, 150, 100)) is None
    pad = Fit.of(400, 100, 40, "pad")
    assert pad.source == (0, 0, 400, 100) and pad.target == (0, 15, 40, 25)
    assert pad.shares((100, 50, 200, 100)) == (0.25, 0.5, 0.5, 0.625)
    stretch = Fit.of(400, 100, 40, "stretch")
    assert stretch.shares((100, 50, 200, 100)) == (0.25, 0.5, 0.5, 1.0)
    assert Fit.of(1, 5000, 16, "pad").target == (7, 0, 8, 16)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_box_shows_the_same_before_and_after(fit):
    """A red square on grey: after fitting, what lies in its box is red, and outside it is not."""
    image = Image.new("RGB", (120, 60), (128, 128, 128))
    image.paste((255, 0, 0), (50, 20, 70, 40))
    record = Record(WHERE, saved(image), (Text("빨간 네모"),), (Region((50, 20, 70, 40), "square", {"colour": "red"}),))
    found = seen(record, DataOptions(corpus=["x"], picture_size=60, picture_fit=fit, crop_size=8))
    x0, y0, x1, y1 = (round(60 * v) for v in found.boxes[0])
    red = np.abs(found.pixels.astype(int) - [255, 0, 0]).max(-1) < 60
    inside = np.zeros((60, 60), bool)
    inside[y0:y1, x0:x1] = True
    assert (red != inside).mean() < 0.01
    assert np.array_equal(found.crops, np.broadcast_to([255, 0, 0], (1, 8, 8, 3)))


def test_a_picture_of_the_right_size_stays_as_it_is():
    raw = noise(16, 16)
    found = seen(Record(WHERE, saved(Image.fromarray(raw)), (Text("x"),)), DataOptions(corpus=["x"], picture_size=16))
    assert np.array_equal(found.pixels, raw)
    assert found.boxes.shape == (0, 4) and found.crops.shape == (0, 16, 16, 3)


def test_very_long_pictures_cost_no_more_than_others():
    raw = saved(Image.new("RGB", (40_000, 1), (1, 2, 3)))
    for fit in ("crop", "pad", "stretch"):
        found = seen(Record(WHERE, raw, (Text("x"),)), DataOptions(corpus=["x"], picture_size=16, picture_fit=fit))
        assert found.pixels.shape == (16, 16, 3)


@pytest.mark.parametrize(
    "box", [(-1, 0, 4, 4), (0, 0, 13, 4), (0, 0, 4, 9), (4, 0, 4, 4), (5, 0, 4, 4), (0, 0, float("nan"), 4)]
)
def test_a_box_outside_the_picture_is_named(box):
    record = Record(WHERE, saved(Image.fromarray(noise())), (Text("x"),), (Region(box, "ball"),))
    with pytest.raises(ValueError, match=r"row 7: box 0 \(.*\) is (not inside the picture of 12 x 8|empty)"):
        seen(record, DataOptions(corpus=["x"], picture_size=16))


def test_the_limit_is_below_what_a_worker_can_hold():
    assert picture_files.MOST_PIXELS * 3 < 200 << 20
