"""The nearest training image."""

import pytest
import torch

from genhub.data import load_images
from genhub.images import to_signed
from space.catalog import read_catalog
from space.neighbours import PROBES, find, nearest
from space.originals import Missing

CATALOG = read_catalog()


def test_a_copy_is_found_and_is_nearer_than_any_real_image(engine):
    train = load_images("digits")
    found = find(engine, CATALOG["digits"], train.images[700])
    assert found.distance == pytest.approx(0, abs=1e-3)
    assert found.nearer == 0
    assert found.label == train.class_names[train.labels[700]]
    assert 0 < found.normal[0] < found.normal[1] < found.normal[2] < 1


def test_noise_is_farther_than_real_images(engine):
    noise = torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = find(engine, CATALOG["digits"], noise)
    assert found.nearer > 0.95
    assert found.distance > found.normal[2]


def test_distances_are_those_of_every_pair():
    train, test = load_images("digits").images, load_images("digits", split="test").images[:9]
    pairs = (to_signed(test)[:, None] - to_signed(train)[None]) / 2
    expected, places = pairs.square().flatten(2).mean(dim=2).sqrt().min(dim=1)
    found_places, found = nearest(test, train)
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.equal(found_places, places)
    assert len(test) < PROBES


def test_a_dataset_out_of_reach_is_said(engine, monkeypatch):
    missing = Missing("It cannot be reached.", 0.0)
    monkeypatch.setattr(engine.originals, "ask", lambda *args: missing)
    assert find(engine, CATALOG["digits"], torch.zeros(1, 8, 8, dtype=torch.uint8)) is missing
