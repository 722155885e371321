"""Models that take seconds: diffusion and text-to-image pipelines beside quick ones."""

import dataclasses
import json
import shutil
import threading
import time
from html import unescape

import pytest
import tiny
import tiny_pipelines
from fastapi.testclient import TestClient

import genhub
from genhub import GenHubDiffusion, hub
from space.abilities import abilities
from space.catalog import read_catalog
from space.game import Game
from space.inference import MAX_SLOW, Engine
from space.pages.compare import quick_names
from space.pages.latent import able
from space.server import build
from space.snippet import snippet
from space.view import read_view

DIGITS = [str(i) for i in range(10)]
ALL_DIGITS = {"dataset": "digits", "models": "cgan-digits,quick-digits,diffusion-digits,sd-mini"}


def diffusion(folder, name, steps):
    arguments = {**tiny.DENOISER, "num_inference_steps": steps}
    model = GenHubDiffusion(**arguments, patch=1, guidance_scale=1.0, class_names=DIGITS, **tiny.GREY)
    model.metadata = {"name": name, "dataset": "digits"}
    model.save_pretrained(folder / name)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A conditional GAN of digits beside two diffusion models and a pipeline that knows digits and MNIST."""
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(hub.PRETRAINED / "cgan-digits", folder / "cgan-digits")
    diffusion(folder, "diffusion-digits", 12)
    diffusion(folder, "quick-digits", 2)
    tiny_pipelines.stable_diffusion().save_pretrained(folder / "sd-mini")
    record = {"dataset": "digits+mnist", "num_inference_steps": 5, "guidance_scale": 1.0}
    (folder / "sd-mini" / hub.RECORD).write_text(json.dumps(record))
    patch = pytest.MonkeyPatch()
    patch.setattr(hub, "PRETRAINED", folder)
    yield read_catalog()
    patch.undo()


def test_the_catalog_says_who_is_slow_and_what_each_can_do(bundle):
    digits = bundle["digits"]
    able_to = {info.name: abilities(info) for info in digits.models}
    assert [name for name, what in able_to.items() if what.slow] == ["diffusion-digits", "sd-mini"]
    assert {name: what.steps for name, what in able_to.items()} == {
        **{"cgan-digits": None, "diffusion-digits": 12, "quick-digits": 2, "sd-mini": 5}
    }
    assert all(what.generates for what in able_to.values())
    assert all(what.truncates for what in able_to.values())
    assert [info.name for info in able(digits, "walk")] == ["cgan-digits", "quick-digits"]
    assert [info.name for info in bundle["mnist"].models] == ["sd-mini"]
    assert bundle["mnist"].model("sd-mini").image_shape == (1, 28, 28)


def test_slow_models_answer_after_quick_ones_with_fewer_images(bundle):
    engine = Engine(bundle)
    view, _ = read_view({**ALL_DIGITS, "n": "12", "class": "3", "truncation": "0.5"}, bundle)
    order = [result.job.model for result in engine.each(view, view.models)]
    assert order == ["cgan-digits", "quick-digits", "diffusion-digits", "sd-mini"]
    found = {result.job.model: result for result in engine.compare(view)}
    assert {name: len(result.pixels) for name, result in found.items()} == {
        **{"cgan-digits": 12, "quick-digits": 12, "diffusion-digits": MAX_SLOW, "sd-mini": MAX_SLOW}
    }
    assert {name: result.steps for name, result in found.items()}["diffusion-digits"] == 12
    assert found["sd-mini"].pixels.shape[1:] == (1, 8, 8)
    assert {result.job.truncation for result in found.values()} == {0.5}
    assert found["diffusion-digits"].labels == (3,) * MAX_SLOW
    again = genhub.load("diffusion-digits").generate(MAX_SLOW, labels=3, seed=0, truncation=0.5)
    assert (genhub.images.to_uint8(again).int() - found["diffusion-digits"].pixels.int()).abs().max() <= 1


def test_a_quick_model_does_not_wait_for_a_slow_one(bundle):
    engine = Engine(bundle)
    model = engine.load("digits", "diffusion-digits")
    generate, started, asked = model.generate, threading.Event(), threading.Event()

    def waiting(*args, callback, **options):
        def step(*state):
            started.set()
            asked.wait(60)  # until the quick visitor stands in line
            callback(*state)

        return generate(*args, callback=step, **options)

    model.generate = waiting
    view, _ = read_view({"dataset": "digits", "n": "2"}, bundle)
    finished = []

    def ask(name):
        engine.compare(dataclasses.replace(view, models=(name,)))
        finished.append(name)

    slow = threading.Thread(target=ask, args=("diffusion-digits",))
    slow.start()
    assert started.wait(60)
    quick = threading.Thread(target=ask, args=("cgan-digits",))
    quick.start()
    while len(engine.lane.line) < 2 and quick.is_alive():
        time.sleep(0.01)
    asked.set()
    quick.join(60)
    slow.join(60)
    assert finished == ["cgan-digits", "diffusion-digits"]


def test_the_page_shows_quick_ones_first_and_slow_ones_when_they_are_there(bundle):
    functions = {options["api_name"]: function for function, options in build()._deferred_apis}
    query = "dataset=digits&n=3&class=4"
    [parts, _] = functions["view"](query)
    assert parts["galleries"].count('class="pixels columns-3 waiting"') == 2
    assert parts["galleries"].count("data-slow") == parts["galleries"].count("Being made") == 2
    cards = [part for part in functions["slow"](query) if part]
    assert [part["model"] for part in cards] == ["diffusion-digits", "sd-mini"]
    assert "12 denoising steps" in cards[0]["card"]
    assert all(part["card"].count("<img") == 3 for part in cards)
    [parts, _] = functions["view"](query)
    assert "waiting" not in parts["galleries"]


def test_the_game_keeps_the_images_of_two_datasets_apart(bundle, monkeypatch):
    monkeypatch.setattr("space.game.players", lambda dataset: [dataset.model("sd-mini")])
    game = Game(Engine(bundle))
    assert [game.fake(bundle[name]).view.dataset for name in ("digits", "mnist")] == ["digits", "mnist"]


def test_a_link_to_an_image_that_is_still_to_be_made_leads_to_its_gallery(bundle):
    query = "dataset=digits&class=all&seed=77&n=10&models=sd-mini"
    page = TestClient(build()).get(f"/picture?{query}")
    assert page.status_code == 200
    assert f'<a class="button" href="./?{query}">Make its images</a>' in unescape(page.text)


def test_the_snippet_asks_slow_models_for_what_is_shown(bundle):
    view, _ = read_view({**ALL_DIGITS, "n": "12"}, bundle)
    code = snippet(view, bundle["digits"])
    assert f"model.generate({MAX_SLOW}, labels=labels[:{MAX_SLOW}], seed=0)" in code
    assert 'GenHubStableDiffusion.from_pretrained("sd-mini").for_dataset("digits")' in code
    assert quick_names(Engine(bundle), view) == ("cgan-digits", "quick-digits")
