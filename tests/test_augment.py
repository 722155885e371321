"""Augmentation, the noise that it draws on, and the order of the images."""

import pytest
import torch

from genhub.data import load_images
from training.augment import augment, diffaugment
from training.batches import Batches, Noise
from training.settings import DataConfig

CPU = torch.device("cpu")
DIGITS = load_images("digits", limit=64)
IMAGES = torch.linspace(-0.9, 0.9, 16 * 3 * 8 * 8).reshape(16, 3, 8, 8)[torch.randperm(16)]


def noise(number: int = 0, n: int = 16) -> Noise:
    return Noise((0, number), (0, n), n, CPU)


@pytest.mark.parametrize("config", [{}, {"rotate": 0.0, "shift": 0.0}, {"rotate": 1e-9}])
def test_no_augmentation_is_the_identity(config):
    torch.testing.assert_close(augment(IMAGES, DataConfig(**config), noise()), IMAGES, atol=1e-5, rtol=0)


def test_flip_mirrors_half_of_the_images():
    flipped = augment(IMAGES.repeat(20, 1, 1, 1), DataConfig(flip=True), noise(n=320))
    original = IMAGES.repeat(20, 1, 1, 1)
    same = (flipped == original).flatten(1).all(dim=1)
    mirrored = (flipped == original.flip(3)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 120 < mirrored.sum() < 200


def test_rotation_turns_and_keeps_the_centre():
    image = torch.zeros(200, 1, 9, 9)
    image[:, :, 4, 4] = 1.0  # the centre of 9 by 9
    image[:, :, 4, 8] = 1.0  # to its right
    turned = augment(image, DataConfig(rotate=90.0), noise(n=200))
    assert turned[:, 0, 4, 4].min() > 0.99
    assert turned[:, 0, :4, :].flatten(1).max(dim=1).values.gt(0.5).float().mean() > 0.3, "some turn up"
    assert turned[:, 0, 5:, :].flatten(1).max(dim=1).values.gt(0.5).float().mean() > 0.3, "some turn down"
    assert turned[:, 0, 3:6, :2].max() < 0.2, "none turns by more than 90 degrees"


def test_shift_moves_up_to_its_share():
    image = torch.zeros(200, 1, 17, 17)
    image[:, :, 8, 8] = 1.0
    moved = augment(image, DataConfig(shift=0.25), noise(n=200))
    rows, columns = moved.sum(3), moved.sum(2)
    place = torch.arange(17.0)
    for sums in (rows, columns):
        centre = (sums.squeeze(1) * place).sum(1) / sums.squeeze(1).sum(1) - 8
        assert centre.abs().max() < 0.25 * 17 + 0.6
        assert centre.min() < -2
        assert centre.max() > 2


@pytest.mark.parametrize("config", [{"flip": True}, {"rotate": 30.0}, {"shift": 0.2}])
def test_each_image_has_its_own_draw(config):
    same = IMAGES[:1].repeat(16, 1, 1, 1)
    changed = augment(same, DataConfig(**config), noise())
    assert len(changed.flatten(1).unique(dim=0)) == (2 if "flip" in config else 16)
    assert changed.abs().max() <= IMAGES.abs().max() + 1e-5, "nothing leaves the range"
    assert torch.equal(changed, augment(same, DataConfig(**config), noise()))
    assert not torch.equal(changed, augment(same, DataConfig(**config), noise(1)))


@pytest.mark.parametrize("policy", ["color", "translation", "cutout"])
def test_diffaugment(policy):
    same = IMAGES[:1].repeat(16, 1, 1, 1).requires_grad_(True)
    changed = diffaugment(same, [policy], noise())
    assert changed.shape == same.shape
    assert len(changed.detach().flatten(1).unique(dim=0)) > 4, "each image by its own draw"
    changed.square().sum().backward()
    assert (same.grad.flatten(1).abs().sum(dim=1) > 0).all(), "gradients reach every image"


def test_diffaugment_without_policies_is_the_identity():
    assert diffaugment(IMAGES, [], noise()) is IMAGES


def test_translation_moves_whole_pixels_by_an_eighth():
    image = torch.zeros(400, 1, 16, 16)
    image[:, :, 8, 8] = 1.0
    moved = diffaugment(image, ["translation"], noise(n=400))
    places = moved[:, 0].nonzero()[:, 1:] - 8
    assert len(places) == 400
    assert places.unique().tolist() == [-2, -1, 0, 1, 2]


def test_cutout_blanks_half_of_the_side_but_for_the_border():
    cut = diffaugment(torch.ones(400, 3, 16, 16), ["cutout"], noise(n=400))
    blank = (cut == 0).all(dim=1)
    assert blank.any(dim=(1, 2)).all()
    for side in (1, 2):
        lengths = blank.any(dim=side).sum(dim=1)
        assert lengths.max() == lengths.mode().values == 8
        assert lengths.min() >= 4
    assert ((cut == 0) | (cut == 1)).all()


def test_noise_is_cut_from_one_draw():
    """Two processes, or two parts of a batch, see together what one sees."""
    whole, first, second = Noise((3, 1), (0, 8), 8, CPU), Noise((3, 1), (0, 3), 8, CPU), Noise((3, 1), (3, 8), 8, CPU)
    for draw in ("normal", "uniform", "normal"):
        values = getattr(whole, draw)(2)
        assert torch.equal(values, torch.cat([getattr(first, draw)(2), getattr(second, draw)(2)]))
    assert not torch.equal(whole.normal(2), whole.normal(2))
    assert not torch.equal(Noise((3, 2), (0, 8), 8, CPU).normal(2), Noise((3, 1), (0, 8), 8, CPU).normal(2))


def test_batches_cover_each_epoch_once():
    batches = Batches(DIGITS, 8, 0, 1, 0, CPU)
    assert batches.per_epoch == 8
    keys = {image.numpy().tobytes() for image in DIGITS.images}
    epochs = [[image.numpy().tobytes() for i in range(8) for image in batches.at(8 * e + i)[0]] for e in range(2)]
    for epoch in epochs:
        assert set(epoch) == keys
    assert epochs[0] != epochs[1]
    halves = [Batches(DIGITS, 4, rank, 2, 0, CPU).at(5) for rank in range(2)]
    assert torch.equal(torch.cat([half[0] for half in halves]), batches.at(5)[0])
    assert torch.equal(torch.cat([half[1] for half in halves]), batches.at(5)[1])
