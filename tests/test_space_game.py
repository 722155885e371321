"""Real or fake, and where its real images come from, without a browser."""

import base64
import io
import threading
import time

import pytest
import torch
from PIL import Image
from tiny_images import write_image_folder

from genhub.data import load_images
from genhub.errors import DataError
from space import game as game_module
from space import originals
from space.catalog import read_catalog
from space.game import Game, NoFakes, label_of, pick, plain_png, players
from space.originals import Missing, Originals, read_split
from space.result import Failure

CATALOG = read_catalog()
DIGITS = CATALOG["digits"]


@pytest.fixture(scope="module")
def real():
    return load_images("digits", split="test")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A stand-in for MNIST, found through the environment variable; CIFAR-10 is nowhere."""
    write_image_folder(tmp_path / "mnist", size=28)
    monkeypatch.setenv(originals.FOLDER, str(tmp_path))
    return tmp_path


def bytes_of(uri):
    return base64.b64decode(uri.removeprefix("data:image/png;base64,"))


def pixels_of(uri):
    return torch.tensor(list(Image.open(io.BytesIO(bytes_of(uri))).convert("L").tobytes()), dtype=torch.uint8)


# -- rounds -----------------------------------------------------------------------------------------------------------


def test_one_side_is_real_and_the_other_made(engine, real):
    game = Game(engine)
    known = {image.numpy().tobytes() for image in real.images}
    sides = []
    for _ in range(60):
        deal = game.deal(DIGITS, real)
        truth = game.close(deal.id)
        other = "right" if truth.real == "left" else "left"
        assert pixels_of(getattr(deal, truth.real)).numpy().tobytes() in known
        assert pixels_of(getattr(deal, other)).numpy().tobytes() not in known
        assert truth.model == "cgan-digits"
        sides.append(truth.real)
    assert 12 < sides.count("left") < 48, "the coin is not fair"


def test_nothing_but_the_pixels_differs(engine, real):
    game = Game(engine)
    for _ in range(8):
        deal = game.deal(DIGITS, real)
        left, right = bytes_of(deal.left), bytes_of(deal.right)
        assert len(left) == len(right)
        pictures = [Image.open(io.BytesIO(data)) for data in (left, right)]
        assert pictures[0].mode == pictures[1].mode
        assert pictures[0].size == pictures[1].size
        assert pictures[0].info == pictures[1].info == {}
    blank, noisy = torch.zeros(3, 32, 32, dtype=torch.uint8), torch.randint(256, (3, 32, 32), dtype=torch.uint8)
    assert len(plain_png(blank)) == len(plain_png(noisy))


def test_the_real_image_has_the_class_of_the_fake(engine, real):
    game = Game(engine)
    for _ in range(10):
        deal = game.deal(DIGITS, real)
        truth = game.close(deal.id)
        shown = pixels_of(getattr(deal, truth.real))
        places = [i for i, image in enumerate(real.images) if torch.equal(image.flatten(), shown)]
        assert truth.label in real.labels[places].tolist()


def test_a_class_that_is_not_there_means_any_image(real):
    assert pick(real, 99).shape == (1, 8, 8)


def test_a_round_can_be_answered_once(engine, real):
    game = Game(engine)
    deal = game.deal(DIGITS, real)
    assert game.close(deal.id) is not None
    assert game.close(deal.id) is None
    assert game.close("") is None


def test_no_fake_is_shown_twice(engine, real):
    game = Game(engine)
    seen = [game.deal(DIGITS, real) for _ in range(game_module.AT_ONCE + 5)]
    fakes = []
    for deal in seen:
        truth = game.close(deal.id)
        fakes.append(deal.right if truth.real == "left" else deal.left)
    assert len(set(fakes)) == len(fakes)


def test_open_rounds_are_bounded(engine, real, monkeypatch):
    monkeypatch.setattr(game_module, "MAX_ROUNDS", 3)
    game = Game(engine)
    deals = [game.deal(DIGITS, real) for _ in range(5)]
    assert [game.close(deal.id) is None for deal in deals] == [True, True, False, False, False]


def test_autoencoders_do_not_play():
    for dataset in CATALOG.values():
        assert players(dataset)
        assert all(info.model_class != "GenHubAE" for info in players(dataset))


def test_models_that_all_fail_are_said(engine, real, monkeypatch):
    game = Game(engine)
    monkeypatch.setattr(engine, "compare", lambda view: [Failure(job, "broken") for job in engine.jobs(view)])
    with pytest.raises(NoFakes, match="try again"):
        game.deal(DIGITS, real)


def test_the_class_is_the_one_asked_for_or_the_judged_one(engine):
    view, _ = game_module.read_view({"dataset": "mnist", "models": "dcgan-mnist", "n": "3"}, CATALOG)
    [result] = engine.compare(view)
    assert [label_of(result, i) for i in range(3)] == list(result.judged)


# -- real images ------------------------------------------------------------------------------------------------------


def wait_for(shelf, dataset, split="test"):
    for _ in range(300):
        found = shelf.ask(dataset, split, wait=0.1)
        if found is not None:
            return found
    raise AssertionError("never read")


def test_a_folder_is_read_at_the_size_of_the_models(folder):
    found = wait_for(Originals(read_split), CATALOG["mnist"])
    assert found.images.shape[1:] == CATALOG["mnist"].models[0].image_shape
    assert found.labels.max() == 9


def test_what_cannot_be_reached_is_said_without_naming_folders(folder, caplog):
    shelf = Originals(read_split)
    found = wait_for(shelf, CATALOG["cifar10"])
    assert isinstance(found, Missing)
    assert "CIFAR-10" in found.reason
    assert str(folder) not in found.reason
    assert shelf.ask(CATALOG["cifar10"], "test") is found


def test_what_was_missing_is_looked_for_again(folder, monkeypatch):
    shelf = Originals(read_split)
    assert isinstance(wait_for(shelf, CATALOG["cifar10"]), Missing)
    write_image_folder(folder / "cifar10", size=32)
    assert isinstance(wait_for(shelf, CATALOG["cifar10"]), Missing)
    monkeypatch.setattr(originals, "RETRY_SECONDS", 0.0)
    assert len(wait_for(shelf, CATALOG["cifar10"])) == 20


def test_another_dataset_in_its_folder_is_refused(folder, caplog):
    write_image_folder(folder / "cifar10", size=32, classes=3)
    assert isinstance(wait_for(Originals(read_split), CATALOG["cifar10"]), Missing)
    assert "3 classes" in caplog.text


def test_visitors_do_not_wait_for_a_reader():
    release, reads = threading.Event(), []

    def slow(dataset, split):
        reads.append(split)
        release.wait(10)
        raise DataError("gone")

    shelf = Originals(slow)
    start = time.monotonic()
    assert [shelf.ask(DIGITS, "test", wait=0.05) for _ in range(3)] == [None] * 3
    assert time.monotonic() - start < 2
    release.set()
    assert isinstance(wait_for(shelf, DIGITS), Missing)
    assert reads == ["test"]


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_has_no_answer_in_it(web):
    html = web.get("/play?dataset=digits").text
    assert "Real or fake?" in html
    assert "cgan-digits" not in html


@pytest.mark.parametrize("query", ["dataset=<script>alert(1)</script>", "dataset=%00", "dataset=" + "x" * 5000, "=&&"])
def test_odd_links_are_answered(web, query):
    answer = web.get(f"/play?{query}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text


def test_odd_guesses_are_answered(web):
    assert web.post("/guess?round=nope&guess=left").json()["problem"].startswith("That round is over")
    for query in ("", "guess=both&round=x", "round=x", "guess=left&round=" + "x" * 5000):
        answer = web.post(f"/guess?{query}")
        assert answer.status_code in (200, 400)
        assert answer.json()["problem"]
    assert web.get("/guess?round=x&guess=left").status_code == 405
