"""Walks, maps, sums and projections of latent spaces, and their page."""

import base64
import io
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from PIL import Image

import genhub
from genhub.images import to_uint8
from space.abilities import abilities
from space.catalog import read_catalog
from space.latent import SIDE, SUM_STEPS, Strip, animation
from space.pages.latent import TASKS, able, answer, check_walk, read_asked, snippet

CATALOG = read_catalog()
POSSIBLE = [(task, dataset) for task in TASKS for dataset in CATALOG if able(CATALOG[dataset], task)]


def asked_of(**params):
    notes = []
    asked = read_asked({key: str(value) for key, value in params.items()}, CATALOG, notes)
    assert notes == []
    return asked


@pytest.mark.parametrize(("task", "dataset"), POSSIBLE)
def test_every_model_does_what_it_is_offered_for(engine, task, dataset):
    for info in able(CATALOG[dataset], task):
        asked = asked_of(do=task, dataset=dataset, model=info.name)
        found = answer(engine, asked)
        if task == "projection":
            labels = [label for _, _, label in found.points]
            assert set(labels) == set(range(10))
            assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _ in found.points)
            assert 0 < found.explained[1] <= found.explained[0] < 1
            continue
        assert found.pixels.shape[1:] == info.image_shape
        assert len(found.pixels) == {"walk": 12, "map": SIDE**2, "sum": len(SUM_STEPS)}[task]
        assert found.pixels.float().std() > 5
        assert not torch.equal(found.pixels[0], found.pixels[-1])
        assert answer(engine, asked) is found, "it is kept"


def test_a_walk_is_what_the_library_makes(engine):
    asked = asked_of(dataset="digits", steps=5, fromclass=3, toclass=3, **{"from": 4, "to": 9})
    model = genhub.load("cgan-digits")
    assert torch.equal(answer(engine, asked).pixels, to_uint8(model.interpolate(4, 9, 5, labels=3)))
    ends = answer(engine, asked_of(dataset="digits", steps=2, fromclass=1, toclass=8, **{"from": 4, "to": 9})).pixels
    for image, label, seed in ((ends[0], 1, 4), (ends[1], 8, 9)):
        assert (image.int() - to_uint8(model.generate(1, labels=label, seed=seed))[0].int()).abs().max() <= 1


@pytest.mark.parametrize("truncation", [1, 0.5])
@pytest.mark.parametrize("name", ["cgan-digits", "vae-mnist"])
def test_the_snippet_makes_the_walk(engine, name, truncation, tmp_path, monkeypatch):
    dataset = genhub.zoo.describe(genhub.hub.PRETRAINED / name).dataset
    asked = asked_of(dataset=dataset, model=name, steps=4, truncation=truncation, method="linear")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(snippet(asked), "snippet", "exec"), names)
    assert (names["images"].int() - answer(engine, asked).pixels.int()).abs().max() <= 1


def test_a_map_moves_by_whole_images(engine):
    here = answer(engine, asked_of(do="map", dataset="digits", gap=0.5)).pixels.reshape(SIDE, SIDE, 1, 8, 8)
    right = answer(engine, asked_of(do="map", dataset="digits", gap=0.5, x=0.5)).pixels.reshape(SIDE, SIDE, 1, 8, 8)
    up = answer(engine, asked_of(do="map", dataset="digits", gap=0.5, y=0.5)).pixels.reshape(SIDE, SIDE, 1, 8, 8)
    assert (here[:, 1:].int() - right[:, :-1].int()).abs().max() <= 1
    assert (here[:-1].int() - up[1:].int()).abs().max() <= 1


def test_a_map_comes_round_again(engine):
    start, half, whole = (
        answer(engine, asked_of(do="map", dataset="digits", x=x)).pixels[SIDE**2 // 2].int() for x in (0, 3.14, 6.28)
    )
    assert (whole - start).abs().max() <= 4
    assert (half - start).abs().max() > 50
    model = genhub.load("cgan-digits")
    assert (start - to_uint8(model.generate(1, labels=3, seed=0))[0].int()).abs().max() <= 1, "it starts at the seed"


def test_arithmetic_ends_in_the_class_that_was_added(engine):
    judge = genhub.load("classifier-mnist")
    pairs = [(start, plus) for start in range(10) for plus in range(10) if start != plus]
    hits = 0
    for start, plus in pairs:
        asked = asked_of(
            do="sum", dataset="mnist", model="vae-mnist", seed=1, minus=start, plus=plus, **{"class": start}
        )
        hits += plus in judge.predict(answer(engine, asked).pixels[3:]).argmax(dim=1).tolist()
    assert hits > 0.7 * len(pairs)


@pytest.mark.parametrize("task", TASKS)
def test_a_link_restores_what_is_asked(task):
    for dataset in CATALOG:
        asked = asked_of(do=task, dataset=dataset)
        assert read_asked(dict(parse_qsl(asked.query)), CATALOG, []) == asked


def test_no_link_is_too_odd(web):
    random = np.random.default_rng(1)
    pieces = ["walk", "map", "sum", "mnist", "7", "-1", "1e999", "nan", "<b>", "\0", "é", "vae-mnist", "9" * 30, ""]
    for _ in range(1500):
        keys = ("do", "dataset", "model", "from", "to", "fromclass", "steps", "x", "gap", "seed", "minus", "truncation")
        params = {key: "".join(random.choice(pieces, random.integers(0, 3))) for key in keys}
        asked = read_asked(params, CATALOG, notes := [])
        assert all(len(note) < 200 for note in notes)
        assert read_asked(dict(parse_qsl(asked.query)), CATALOG, again := []) == asked
        assert again == []
    page = web.get("/latent", params={"do": "<script>alert(1)</script>", "from": '"><img src=x>'})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text


@pytest.mark.parametrize("kind", ["gif", "png"])
@pytest.mark.parametrize("channels", [1, 3])
def test_animations_go_there_and_back(kind, channels):
    strip = Strip(torch.arange(4 * channels * 16, dtype=torch.uint8).reshape(4, channels, 4, 4))
    with Image.open(io.BytesIO(animation(strip, kind))) as image:
        assert (image.n_frames, image.size) == (6, (32, 32))
        for i, j in enumerate((0, 1, 2, 3, 2, 1)):
            image.seek(i)
            frame = np.asarray(image.convert("RGB"))[::8, ::8].astype(int)
            expected = strip.pixels[j].expand(3, 4, 4).permute(1, 2, 0).numpy().astype(int)
            assert np.abs(frame - expected).max() <= (0 if kind == "png" or channels == 1 else 12)


def test_files_and_pages_answer(web):
    assert web.get("/walk.gif?dataset=digits&steps=3").content.startswith(b"GIF89a")
    assert web.get("/walk.png?dataset=digits&steps=3").content.startswith(b"\x89PNG")
    assert web.get("/walk.exe").status_code == 404
    page = web.get("/latent?dataset=digits&steps=3&go=1").text
    images = [part.split('"')[0] for part in page.split('src="data:image/png;base64,')[1:]]
    assert len(images) == 4
    assert Image.open(io.BytesIO(base64.b64decode(images[1]))).size == (8, 8)
    assert "No model of Digits packs images" in web.get("/latent?do=sum&dataset=digits").text


def test_arguments_are_checked_not_corrected():
    good = {"model": "cgan-digits", "seeds": (1, 2), "steps": 4, "labels": ("3", 5), "method": "linear"}
    assert check_walk(CATALOG, **good, truncation=1.0).details.labels == (3, 5)
    bad = [
        ("model", "gpt", "model"),
        ("model", None, "model"),
        ("seeds", (-1, 2), "start"),
        ("seeds", (1, 2**32), "end"),
        ("steps", 1, "steps"),
        ("steps", "4", "steps"),
        ("labels", (None, None), "start_label"),
        ("labels", ("3", "cow"), "end_label"),
        ("method", "cubic", "method"),
    ]
    for field, value, named in bad:
        with pytest.raises(ValueError, match=f"^{named}: "):
            check_walk(CATALOG, **{**good, field: value}, truncation=1.0)
    with pytest.raises(ValueError, match="cannot be told a class"):
        check_walk(CATALOG, **{**good, "model": "vae-mnist"}, truncation=1.0)


def test_slow_models_are_not_walked():
    for dataset in CATALOG.values():
        assert not any(abilities(info).slow for info in able(dataset, "walk"))
