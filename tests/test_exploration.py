"""What is said of a dataset, against sets whose answers are known."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import training.explore
from genhub.data import ImageSet, load_images
from genhub.exploration import explore, first_images, mean_image, moments, pixel_histogram, random_images


def known() -> ImageSet:
    """Four images of 2×2 in three colours; classes a, b and c have 3, 0 and 1 of them."""
    levels = torch.tensor([[0, 10, 20], [30, 10, 20], [3, 10, 22], [255, 11, 20]], dtype=torch.uint8)
    images = levels[:, :, None, None].repeat(1, 1, 2, 2)
    return ImageSet(images, torch.tensor([0, 0, 0, 2]), ["a", "b", "c"], "known", "known")


def test_everything_that_is_known_of_a_set():
    found = explore(known())
    assert (found.count, found.image_shape, found.class_names) == (4, (3, 2, 2), ["a", "b", "c"])
    assert found.histogram.shape == (3, 256)
    assert found.histogram[0].nonzero().squeeze().tolist() == [0, 3, 30, 255]
    assert found.histogram[1, [10, 11]].tolist() == [12, 4]
    assert found.histogram.sum(dim=1).tolist() == [16, 16, 16]
    assert found.mean.tolist() == [72.0, 10.25, 20.5]
    exact = known().images.double().transpose(0, 1).flatten(1).std(dim=1, correction=0)
    assert torch.allclose(found.deviation, exact)
    assert found.mean_image[:, 0, 0].tolist() == [72, 10, 20]  # 20.5 is rounded to even
    assert found.class_counts.tolist() == [3, 0, 1]
    assert found.class_means[:, :, 1, 1].tolist() == [[11, 10, 21], [0, 0, 0], [255, 11, 20]]


def test_a_set_without_labels_has_no_classes():
    images = known().images
    found = explore(ImageSet(images, None, [], "known", "known"))
    assert (found.class_names, found.class_counts.tolist(), len(found.class_means)) == ([], [], 0)
    assert found.mean.tolist() == [72.0, 10.25, 20.5]


def test_moments_of_a_real_set_are_those_of_its_pixels():
    images = load_images("digits").images
    mean, deviation = moments(pixel_histogram(images))
    assert torch.allclose(mean, images.double().mean())
    assert torch.allclose(deviation, images.double().std(correction=0))


def test_histogram_of_one_image_is_that_of_a_set_of_one():
    image = known().images[0]
    assert torch.equal(pixel_histogram(image), pixel_histogram(image[None]))


def test_first_and_random_images():
    data = load_images("digits")
    assert torch.equal(first_images(data).images, data.images[:35])
    chosen, again, other = random_images(data, 20), random_images(data, 20), random_images(data, 20, seed=1)
    assert torch.equal(chosen.images, again.images)
    assert not torch.equal(chosen.images, other.images)
    places = [(data.images == image).flatten(1).all(dim=1).nonzero()[0, 0] for image in chosen.images]
    assert len({int(place) for place in places}) == 20
    assert torch.equal(data.labels[torch.stack(places)], chosen.labels)
    assert len(first_images(known())) == len(random_images(known(), 20)) == 4
    with pytest.raises(ValueError, match="n: expected a whole number of at least 1, got -1"):
        random_images(data, -1)


@pytest.mark.parametrize("function", [mean_image, pixel_histogram])
def test_floats_are_refused(function):
    with pytest.raises(ValueError, match="images: expected uint8 values 0…255"):
        function(torch.rand(2, 3, 4, 4))


def test_the_command_draws_one_picture(tmp_path):
    path = tmp_path / "new" / "digits.png"
    assert training.explore.main(["digits", "--output", str(path), "--split", "test"]) == 0
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert training.explore.main([str(tmp_path / "nowhere"), "--output", str(tmp_path / "x.png")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
