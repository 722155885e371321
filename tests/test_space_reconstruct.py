"""Reconstructions, and the pictures that visitors bring, hostile ones included."""

import base64
import io
import random
import resource
import struct
import zlib

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

import genhub
from genhub.images import to_signed, to_uint8
from space.catalog import read_catalog
from space.pages.reconstruct import answer, card, check_code, make_sample, read_sample
from space.rebuild import Picture, rebuild, references, sample, unpack
from space.server import build
from space.uploads import FORMATS, MAX_BYTES, decode, fit, read_upload

CATALOG = read_catalog()
PACKED = [name for name, dataset in CATALOG.items() if dataset.able("reconstructs")]


def file_of(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def uri(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# -- what visitors bring ----------------------------------------------------------------------------------------------


def colourful(size=(40, 30)):
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
        *(("GIF", mode) for mode in ("L", "P")),
        *(("WEBP", mode) for mode in ("RGB", "RGBA")),
        ("BMP", "RGB"),
    ],
)
def test_pictures_of_any_mode_are_read(kind, mode):
    image = colourful().convert("L").convert("I;16") if mode == "I;16" else colourful().convert(mode)
    for shape in ((1, 28, 28), (3, 32, 32)):
        pixels, _ = fit(read_upload(uri(file_of(image, kind))), shape)
        assert pixels.shape == shape
        assert pixels.dtype == torch.uint8


def test_turned_animated_and_tiny_pictures_are_read():
    exif = Image.Exif()
    exif[0x0112] = 6
    tall, _ = fit(decode(file_of(Image.new("RGB", (64, 64), "red"), "JPEG", exif=exif)), (3, 32, 32))
    assert tall.shape == (3, 32, 32)
    frames = [Image.new("RGB", (16, 16), name) for name in ("white", "red", "blue")]
    first, _ = fit(decode(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])), (3, 32, 32))
    assert first.float().mean() > 250
    for size in ((1, 1), (1, 500), (500, 1)):
        pixels, _ = fit(decode(file_of(Image.new("L", size, 255))), (1, 28, 28))
        assert pixels.shape == (1, 28, 28)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width, height, body=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        png_that_claims(60000, 60000),
        png_that_claims(5000, 5000),
        png_that_claims(0, 5),
        png_that_claims(100, 100, b"short"),
        file_of(colourful(), "TIFF"),
        file_of(colourful())[:300],
        file_of(colourful(), "JPEG")[:200],
        file_of(colourful(), "WEBP")[:60],
    ],
)
def test_hostile_files_are_one_sentence(data):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"^(This|The) [^\n]{10,120}$"):
        read_upload(uri(data))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000, "kilobytes"


@pytest.mark.parametrize(
    "text", [None, 5, [], "", " ", "data:image/png;base64,***", "/etc/passwd", "../../x.png", "a" * 9]
)
def test_what_is_no_picture_is_one_sentence(text):
    with pytest.raises(ValueError, match=r"^(Expected a|This is no) "):
        read_upload(text)


def test_large_files_are_refused_before_they_are_decoded():
    with pytest.raises(ValueError, match="larger than 6 MB"):
        read_upload("A" * (MAX_BYTES * 2))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8))
    assert read_upload(uri(file_of(noise))).size == (200, 200)


def test_damaged_bytes_never_escape():
    source = random.Random(0)
    files = [file_of(colourful(), kind) for kind in FORMATS]
    refused = 0
    for turn in range(400):
        data = bytearray(files[turn % len(files)])
        for _ in range(source.randint(1, 12)):
            data[source.randrange(len(data))] = source.randrange(256)
        try:
            pixels, _ = fit(decode(bytes(data)), (3, 32, 32))
            assert pixels.shape == (3, 32, 32)
        except ValueError:
            refused += 1
    assert 0 < refused < 400


def test_drawings_are_placed_as_the_training_digits():
    paper = Image.new("L", (280, 280), 255)
    paper.paste(0, (20, 30, 60, 130))
    pixels, notes = fit(paper, (1, 28, 28))
    assert [note.split()[1] for note in notes] == ["was", "was"]
    rows, columns = (pixels[0] > 127).any(dim=1).nonzero(), (pixels[0] > 127).any(dim=0).nonzero()
    assert (rows.min().item(), rows.max().item()) == (4, 23)
    assert (columns.min().item(), columns.max().item()) == (10, 17)
    for paper in (Image.new("L", (280, 280)), Image.new("L", (280, 280), 255), Image.new("RGBA", (280, 280))):
        empty, notes = fit(paper, (1, 28, 28))
        assert empty.shape == (1, 28, 28)
        assert empty.max() == 0
        assert notes == ["It is empty."]


@pytest.mark.parametrize("ink", ["black", "white"])
def test_ink_on_nothing_is_seen(ink):
    sheet = Image.new("RGBA", (280, 280))
    sheet.paste(ink, (20, 30, 60, 130))
    pixels, _ = fit(sheet, (1, 28, 28))
    assert (pixels[0] > 127).sum() == 20 * 8


def test_an_empty_picture_is_not_judged(engine):
    dataset = CATALOG["mnist"]
    found = answer(engine, dataset, Picture.of(torch.zeros(1, 28, 28, dtype=torch.uint8)), [])
    for info in dataset.able("reconstructs"):
        made = card(info, found)
        assert made["verdict"] == ("", "An empty picture is not judged.")
        assert made["bands"] == []


# -- reconstructions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", PACKED)
def test_what_is_shown_is_what_the_library_reconstructs(engine, dataset):
    asked = read_sample({"dataset": dataset, "seed": "5"}, {dataset: CATALOG[dataset]}, [])
    picture = make_sample(engine, asked)
    found = answer(engine, CATALOG[dataset], picture, [])
    assert [one.model for one in found["rebuilt"]] == [info.name for info in CATALOG[dataset].able("reconstructs")]
    for one in found["rebuilt"]:
        model = genhub.load(one.model)
        signed = to_signed(picture.pixels[None])
        assert (one.label is None) == (not model.class_names)
        again = model.reconstruct(signed, labels=None if one.label is None else [one.label])
        assert torch.equal(one.image, to_uint8(again)[0])
        assert one.mse == pytest.approx(((again - signed) / 2).square().mean().item(), rel=1e-4)
        assert one.error_map.max() == 255 or one.mse < 1e-6
        assert len(one.code) == model.latent_dim
        assert 0 <= one.normal.below(one.mse) < 1
        assert one.normal.title.startswith(CATALOG[dataset].title)
        if one.label is None:  # what is told the class cannot be told those of another dataset
            assert one.odd.title != CATALOG[dataset].title
        else:
            assert one.odd is None
        assert len(one.largest) == 6
        assert unpack(engine, dataset, one.model, one.code, one.label) == one.src


def test_noise_is_more_unusual_than_a_sample(engine):
    dataset = CATALOG["mnist"]
    asked = read_sample({"dataset": "mnist"}, {"mnist": dataset}, [])
    usual = answer(engine, dataset, make_sample(engine, asked), [])["rebuilt"]
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 28, 28), dtype=np.uint8))
    for calm, wild in zip(usual, answer(engine, dataset, Picture.of(noise), [])["rebuilt"], strict=True):
        assert wild.mse > 5 * calm.mse
        assert wild.normal.below(wild.mse) == 1
        if calm.odd is not None:
            assert calm.odd.below(calm.mse) < 0.05, "digits are told from photographs"


@pytest.mark.parametrize("code", [None, [], "abc", [1, "2"], [True], [float("nan")], [1e9], [0.0] * 5000, [[1.0]]])
def test_odd_codes_are_refused(code):
    with pytest.raises(ValueError, match=r"^code: "):
        check_code(code)


def test_the_page_answers_without_scripts():
    web = TestClient(build())
    page = web.get("/reconstruct?dataset=mnist&class=7&seed=3&go=1")
    assert page.status_code == 200
    assert page.text.count('src="data:image/png;base64,') == 3 * len(CATALOG["mnist"].able("reconstructs"))
    odd = web.get("/reconstruct", params={"dataset": "<script>alert(1)</script>", "seed": "-5"})
    assert odd.status_code == 200
    assert "<script>alert" not in odd.text


# -- a class that a model never saw ------------------------------------------------------------------------------------


def test_a_model_is_held_against_the_class_that_it_never_saw(engine):
    dataset = engine.catalog["mnist"]
    info = dataset.model("ae-without-2-mnist")
    assert info.excluded_classes == ("2",)
    normal, odd = references(engine, dataset, info)
    assert (normal.title, odd.title) == ("MNIST without class 2", "class 2 of MNIST")
    assert normal.classes == ("0", "1", "3", "4", "5", "6", "7", "8", "9")
    two = rebuild(engine, "mnist", (info.name,), sample(engine, "mnist", 2, 0))[0]
    assert two.odd.at(0.5) > 2 * two.normal.at(0.5), "the drawings of a 2 are rebuilt much worse"
    assert [errors.title for errors in (two.normal, two.odd)] == [normal.title, odd.title]
    whole = references(engine, dataset, dataset.model("ae-mnist"))
    assert [reference.title for reference in whole] == ["MNIST", "CIFAR-10"]
