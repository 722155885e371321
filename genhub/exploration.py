"""What a dataset looks like: its images, the levels of its pixels, its classes and their means.

Everything takes uint8 images and returns tensors on the CPU: images uint8 (n, C, H, W) as they are shown, counts int64,
means and deviations float64 in levels 0…255.

>>> data = load_images("digits")
>>> found = explore(data)
>>> found.mean, found.class_counts.tolist()[:3], found.class_means.shape
"""

from __future__ import annotations

import dataclasses

import torch

from genhub.data import ImageSet
from genhub.images import at_least_one, require_uint8

LEVELS = 256
FIRST = 35  # the images that a first look shows, 5 rows of 7


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What there is to say of a whole set.

    Attributes:
        count: number of images. image_shape: (C, H, W) of one.
        histogram: int64 (C, 256), how many pixels of each channel have which level.
        mean, deviation: float64 (C,), of all pixels of a channel.
        mean_image: uint8 (C, H, W).
        class_names: what the labels mean; empty without labels, as are the two below.
        class_counts: int64 (k,), images per class.
        class_means: uint8 (k, C, H, W), the mean image of each class; black for a class without images.
    """

    count: int
    image_shape: tuple[int, int, int]
    histogram: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    mean_image: torch.Tensor
    class_names: list[str]
    class_counts: torch.Tensor
    class_means: torch.Tensor


def explore(data: ImageSet) -> Exploration:
    """Look at every image of a set once. CIFAR-10's 50,000 take a second or two."""
    counts = pixel_histogram(data.images)
    mean, deviation = moments(counts)
    classes = len(data.class_names) if data.labels is not None else 0
    members = [data.images[data.labels == label] for label in range(classes)]
    means = [mean_image(images) if len(images) else torch.zeros_like(data.images[0]) for images in members]
    return Exploration(
        count=len(data),
        image_shape=data.image_shape,
        histogram=counts,
        mean=mean,
        deviation=deviation,
        mean_image=mean_image(data.images),
        class_names=list(data.class_names) if classes else [],
        class_counts=torch.tensor([len(images) for images in members], dtype=torch.int64),
        class_means=torch.stack(means) if classes else data.images[:0],
    )


def first_images(data: ImageSet, n: int = FIRST) -> ImageSet:
    """The first n images with their labels, or all where there are fewer."""
    return data.subset(torch.arange(min(n, len(data))))


def random_images(data: ImageSet, n: int, seed: int = 0) -> ImageSet:
    """n different images with their labels, or all where there are fewer; which ones depends on the seed alone."""
    n = at_least_one(n, "n")
    return data.subset(torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:n])


def pixel_histogram(images: torch.Tensor) -> torch.Tensor:
    """int64 (C, 256): how many pixels of each channel have which level, of one image (C, H, W) or many (n, C, H, W).

    Raises ValueError for anything that is not uint8.
    """
    require_uint8(images, "images")
    channels = images.flatten(1) if images.dim() == 3 else images.transpose(0, 1).flatten(1)
    return torch.stack([torch.bincount(channel, minlength=LEVELS) for channel in channels.cpu()])


def moments(histogram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (C,) of the levels that a histogram (C, 256) counts, in float64."""
    shares = histogram.double() / histogram.sum(dim=1, keepdim=True)
    levels = torch.arange(histogram.shape[1], dtype=torch.float64)
    mean = (shares * levels).sum(dim=1)
    return mean, (shares * (levels - mean[:, None]).square()).sum(dim=1).sqrt()


def mean_image(images: torch.Tensor) -> torch.Tensor:
    """uint8 (C, H, W): the mean of uint8 images (n, C, H, W), rounded. Raises ValueError for other types."""
    require_uint8(images, "images")
    return (images.sum(dim=0, dtype=torch.int64).double() / len(images)).round().to(torch.uint8).cpu()
