"""Pixels: no range is guessed, no mistake of range passes, and every kind of picture comes in as it looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genhub import images as im

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)


# -- scaling


def test_all_256_levels_survive_the_way_there_and_back():
    signed = im.to_signed(LEVELS)
    assert signed.dtype == torch.float32
    assert signed.min() == -1
    assert signed.max() == 1
    assert torch.equal(im.to_uint8(signed), LEVELS)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        error = im.to_uint8(signed.to(dtype)).int() - LEVELS.int()
        assert error.abs().max() <= (1 if dtype == torch.bfloat16 else 0)


def test_values_round_to_the_nearest_level():
    step = 2 / 255
    assert im.to_uint8(torch.tensor([-1 + 0.4 * step, -1 + 0.6 * step, 1 - 0.4 * step])).tolist() == [0, 1, 255]


def test_round_off_just_outside_the_range_is_clipped():
    assert im.to_uint8(torch.tensor([-1.0005, 1.0005])).tolist() == [0, 255]


def test_signed_and_unit_are_each_others_inverse_and_differentiable():
    signed = torch.linspace(-1, 1, 9, requires_grad=True)
    unit = im.signed_to_unit(signed)
    assert unit.min() == 0
    assert unit.max() == 1
    assert torch.allclose(im.unit_to_signed(unit), signed)
    im.unit_to_signed(unit).sum().backward()
    assert torch.equal(signed.grad, torch.ones(9))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (LEVELS, "got torch.uint8"),
        (LEVELS.long(), "got torch.int64"),
        (LEVELS > 3, "got torch.bool"),
        (LEVELS.float(), r"got values from 0 to 255"),
        (torch.tensor([0.0, float("nan")]), "got values from nan"),
        (torch.tensor([0.0, float("inf")]), "got values from 0 to inf"),
        (torch.tensor([0.0, 1.01]), "got values from 0 to 1.01"),
        (torch.tensor([-1.01, 0.0]), "got values from -1.01 to 0"),
        (np.zeros(3), "got ndarray"),
        ([0.5], "got list"),
    ],
)
def test_only_floats_in_range_become_bytes(images, message):
    with pytest.raises(ValueError, match=rf"^images: expected .*floats in \[-1, 1\], {message}"):
        im.to_uint8(images)


@pytest.mark.parametrize("images", [LEVELS.float(), LEVELS.int(), LEVELS > 3, LEVELS.numpy(), [1]])
def test_only_bytes_are_scaled_shown_and_tiled(images):
    for function in (im.to_signed, im.to_pil, im.grid):
        with pytest.raises(ValueError, match=r"expected .*uint8 values 0…255, got "):
            function(images)


def test_no_images_have_no_range():
    assert im.to_uint8(torch.empty(0, 3, 8, 8)).shape == (0, 3, 8, 8)


# -- from and to PIL


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_survive_the_way_there_and_back(channels):
    image = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = im.to_pil(image)
    assert picture.mode == {1: "L", 3: "RGB"}[channels]
    assert picture.size == (7, 5)
    assert torch.equal(im.from_pil(picture, channels), image)


@pytest.mark.parametrize("shape", [(8, 8), (2, 8, 8), (1, 1, 8, 8)])
def test_only_one_grey_or_colour_image_becomes_a_picture(shape):
    with pytest.raises(ValueError, match=r"image: expected shape \(1 or 3, H, W\), got"):
        im.to_pil(torch.zeros(shape, dtype=torch.uint8))


def two_pixels(mode: str) -> Image.Image:
    """A picture, 2 wide and 1 high, of a black and a white pixel."""
    picture = Image.new("L", (2, 1))
    picture.putpixel((1, 0), 255)
    return picture.convert("RGB").convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LA", "PA", "LAB"])
def test_black_and_white_look_the_same_in_every_mode(mode, channels):
    if mode == "LAB":  # which PIL cannot make out of another mode
        picture = Image.new("LAB", (2, 1), (0, 128, 128))
        picture.putpixel((1, 0), (255, 128, 128))
    elif mode == "PA":
        picture = two_pixels("P").convert("PA")
    else:
        picture = two_pixels(mode)
    assert picture.mode == mode
    pixels = im.from_pil(picture, channels)
    assert pixels.shape == (channels, 1, 2)
    assert pixels[:, 0, 0].max() <= 1
    assert pixels[:, 0, 1].min() >= 254


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    array = np.array([[0, 128, 129, 257, 1000, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(array).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as picture:
        assert picture.mode == "I;16"
        assert im.from_pil(picture, 1)[0, 0].tolist() == [0, 0, 1, 1, 4, 128, 255]
        assert im.from_pil(picture, 3).shape == (3, 1, 7)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_are_refused_because_nothing_tells_their_range(mode):
    with pytest.raises(ValueError, match=f"expected 8 or 16 bits per channel, got 32-bit mode '{mode}'"):
        im.from_pil(Image.new(mode, (2, 2)), 1)


def test_colour_becomes_grey_by_luma_and_grey_becomes_equal_channels():
    red = Image.new("RGB", (1, 1), (255, 0, 0))
    assert im.from_pil(red, 1).item() == 76  # 0.299 · 255
    assert im.from_pil(red, 3).flatten().tolist() == [255, 0, 0]
    assert im.from_pil(Image.new("L", (1, 1), 99), 3).flatten().tolist() == [99, 99, 99]


def test_what_is_transparent_is_black_whatever_its_colour(tmp_path):
    white = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    white.putpixel((0, 0), (255, 255, 255, 0))
    palette = white.convert("RGB").quantize(2)
    palette.putpixel((0, 0), 1)
    palette.putpixel((1, 0), 0)
    palette.info["transparency"] = 1
    keyed = Image.new("L", (2, 1), 255)
    keyed.putpixel((0, 0), 200)
    keyed.save(tmp_path / "keyed.png", transparency=200)
    for picture in (white, white.convert("LA"), palette, Image.open(tmp_path / "keyed.png")):
        for channels in (1, 3):
            pixels = im.from_pil(picture, channels)
            assert pixels[:, 0, 0].max() == 0, picture.mode
            assert pixels[:, 0, 1].min() == 255, picture.mode


def test_half_transparent_is_half_as_bright():
    assert im.from_pil(Image.new("RGBA", (1, 1), (200, 100, 0, 128)), 3).flatten().tolist() == [100, 50, 0]


def test_photos_are_turned_as_the_camera_says(tmp_path):
    picture = Image.new("L", (2, 1))
    picture.putpixel((1, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90° clockwise
    picture.save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as photo:
        assert im.from_pil(photo, 1)[0].tolist() == [[0], [255]]


def test_remarks_that_cannot_be_read_do_not_spoil_a_picture(tmp_path):
    remarks = PngInfo()
    remarks.add_text("Raw profile type exif", "\nexif\n 4\nzzzz\n")
    Image.new("L", (2, 1), 200).save(tmp_path / "photo.png", pnginfo=remarks)
    with Image.open(tmp_path / "photo.png") as photo:
        assert im.from_pil(photo, 1)[0].tolist() == [[200, 200]]


def test_sizes_and_columns_are_whole_numbers_of_any_library():
    picture = Image.new("L", (4, 4), 7)
    assert im.from_pil(picture, 1, size=np.int64(2)).shape == (1, 2, 2)
    assert im.grid(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), columns=np.int64(4), padding=0).shape == (1, 2, 8)
    for odd in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="size: expected a whole number of at least 1"):
            im.from_pil(picture, 1, size=odd)


def test_resizing_crops_the_centre_square():
    wide = torch.zeros(1, 4, 8, dtype=torch.uint8)
    wide[:, :, 2:6] = 200  # the centre square; its surroundings must not leak in
    assert torch.equal(im.from_pil(im.to_pil(wide), 1, 2), torch.full((1, 2, 2), 200, dtype=torch.uint8))
    assert torch.equal(im.from_pil(im.to_pil(wide.mT), 1, 2), torch.full((1, 2, 2), 200, dtype=torch.uint8))
    assert im.from_pil(im.to_pil(wide), 1).shape == (1, 4, 8)
    assert im.from_pil(im.to_pil(wide), 3, 32).shape == (3, 32, 32)


def test_resizing_is_antialiased():
    stripes = torch.zeros(1, 32, 32, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    small = im.from_pil(im.to_pil(stripes), 1, 8).int()
    assert (small - 127).abs().max() < 20


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_odd_sizes_and_channels_are_refused(size):
    with pytest.raises(ValueError, match=r"^size: expected a whole number of at least 1"):
        im.from_pil(Image.new("L", (4, 4)), 1, size)
    with pytest.raises(ValueError, match=r"^channels: expected 1 \(grey\) or 3 \(colour\)"):
        im.from_pil(Image.new("L", (4, 4)), size)


# -- sheets


def test_a_grid_tiles_row_by_row():
    images = torch.arange(1, 6, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 2, 4)
    sheet = im.grid(images, columns=3, padding=1, background=9)
    assert sheet.shape == (3, 2 * 3 + 1, 3 * 5 + 1)
    assert [sheet[0, 1 + 3 * row, 1 + 5 * column].item() for row in (0, 1) for column in (0, 1, 2)] == [
        1,
        2,
        3,
        4,
        5,
        9,
    ]
    assert torch.equal(sheet[:, 1:3, 6:10], images[1])
    assert (sheet[:, 0] == 9).all()
    assert (sheet[:, :, -1] == 9).all()


def test_a_grid_is_nearly_square_and_no_wider_than_its_images():
    images = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    assert im.grid(images, padding=0).shape == (1, 6, 8)
    assert im.grid(images[:2], columns=8, padding=0).shape == (1, 2, 4)


def test_odd_grids_are_refused():
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    for odd in (images[:0], images[0], images[:, :, 0]):
        with pytest.raises(ValueError, match=r"images: expected shape \(n, C, H, W\)"):
            im.grid(odd)
    for columns in (0, -1, 1.5):
        with pytest.raises(ValueError, match="columns: expected a whole number of at least 1"):
            im.grid(images, columns=columns)
    for options in ({"padding": -3}, {"padding": 1.5}, {"background": 256}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected a whole number from 0 to 255, got"):
            im.grid(images, **options)


def test_a_saved_png_has_the_very_pixels_enlarged(tmp_path):
    image = torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    im.save_png(image, tmp_path / "one.png")
    im.save_png(image, tmp_path / "three.png", scale=3)
    with pytest.raises(ValueError, match="scale: expected a whole number of at least 1, got 0"):
        im.save_png(image, tmp_path / "none.png", scale=0)
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "three.png") as three:
        assert one.format == "PNG"
        assert torch.equal(im.from_pil(one, 3), image)
        assert torch.equal(im.from_pil(three, 3), image.repeat_interleave(3, dim=1).repeat_interleave(3, dim=2))
