"""The page Data without a browser: what is said about a dataset, and what where there is none."""

import re
import time

import pytest
import torch
from fastapi.testclient import TestClient
from tiny_images import write_image_folder

from genhub.data import load_images
from genhub.exploration import explore, pixel_histogram
from space import originals
from space.pages import data
from space.server import build


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    """A visitor of a Space that reaches a stand-in for MNIST, but not CIFAR-10."""
    write_image_folder(tmp_path / "mnist", size=28, each=5)
    monkeypatch.setenv(originals.FOLDER, str(tmp_path))
    return TestClient(build())


def look(visitor, query):
    """The page once its dataset has been read."""
    for _ in range(200):
        answer = visitor.get(f"/data?{query}")
        assert answer.status_code == 200
        if "Refresh" not in answer.headers:
            return answer.text
        assert "Reading" in answer.text
        time.sleep(0.1)
    raise AssertionError("never read")


def test_what_is_said_about_a_dataset_is_so(visitor):
    html = look(visitor, "dataset=digits")
    digits = load_images("digits")
    counts = torch.bincount(digits.labels).tolist()
    assert [int(text) for text in re.findall(r'class="count">([\d,]+)<', html)] == counts
    assert f"<strong>{len(digits):,}</strong>" in html
    first = ", ".join(str(label) for label in digits.labels[:35].tolist())
    assert f'alt="35 images, row by row: {first}"' in html


def test_a_class_shows_that_class_alone(visitor):
    html = look(visitor, "dataset=mnist&class=7")
    assert 'alt="5 images, row by row: 7, 7, 7, 7, 7"' in html
    assert html.count("Mean image of the class") == 10


def test_another_draw_shows_other_images(visitor):
    def drawn(seed):
        return re.search(r'<img class="sheet" src="([^"]+)"', look(visitor, f"dataset=digits&seed={seed}"))[1]

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_dataset_out_of_reach_is_a_designed_state(visitor):
    html = look(visitor, "dataset=cifar10")
    assert "The images are not here" in html
    assert 'href="data?dataset=digits"' in html
    assert "<img" not in html


@pytest.mark.parametrize("query", ["dataset=<b>", "class=<b>", "seed=1e99", "seed=abc", "class=99&seed=-4", "%00=%ff"])
def test_odd_links_are_answered_in_words(visitor, query):
    html = look(visitor, f"dataset=digits&{query}" if not query.startswith("dataset") else query)
    assert "<b>" not in html


def test_histograms_add_up():
    digits = load_images("digits")
    found = explore(digits)
    for histogram in (found.histogram, pixel_histogram(digits.images[0])):
        assert data.shares(histogram).sum().item() == pytest.approx(1.0)
    assert "darkest quarter" in data.said(found.histogram, "all images")
