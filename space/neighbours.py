"""The nearest training image of a generated one, against how near real test images come. Knows nothing of Gradio."""

from __future__ import annotations

import dataclasses
import math

import torch

from genhub.data import ImageSet
from space.catalog import Dataset
from space.inference import Engine
from space.originals import Missing
from space.rebuild import Picture
from space.result import data_uri, png

PROBES = 128  # real test images that say what distance is normal
CHUNK = 4096  # training images compared at once
WAIT = 8.0  # seconds for reading a dataset before the visitor is told to come again


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """The training image that is nearest pixel by pixel.

    Attributes:
        src: it, as data URI.
        label: its class in words, or None.
        distance: root mean square difference of pixels in [0, 1].
        normal: the 5th, 50th and 95th percentile of that distance for real test images.
        nearer: share of real test images that lie nearer to theirs.
    """

    src: str
    label: str | None
    distance: float
    normal: tuple[float, float, float]
    nearer: float


def find(engine: Engine, dataset: Dataset, image: torch.Tensor) -> Neighbour | Missing | None:
    """The nearest training image of uint8 (C, H, W); None while the images are being read. Raises Busy."""
    sets = [engine.originals.ask(dataset, split, WAIT) for split in ("train", "test")]
    for found in sets:
        if not isinstance(found, ImageSet):
            return found
    normal: list[float] = engine.run(normal_distances, dataset.name, dataset=dataset.name)
    place, distance = engine.run(search, dataset.name, Picture.of(image), dataset=dataset.name)
    train: ImageSet = sets[0]
    return Neighbour(
        src=data_uri(png(train.images[place])),
        label=None if train.labels is None else train.class_names[train.labels[place]],
        distance=distance,
        normal=tuple(normal[round(share * (len(normal) - 1))] for share in (0.05, 0.5, 0.95)),
        nearer=sum(value < distance for value in normal) / len(normal),
    )


def normal_distances(engine: Engine, dataset_name: str) -> list[float]:
    """Of real test images to their nearest training images, sorted. In the lane only."""
    dataset = engine.catalog[dataset_name]
    train, test = (engine.originals.ask(dataset, split, WAIT) for split in ("train", "test"))
    return sorted(nearest(test.images[:PROBES], train.images)[1].tolist())


def search(engine: Engine, dataset_name: str, picture: Picture) -> tuple[int, float]:
    """Place and distance of the nearest training image. In the lane only."""
    train = engine.originals.ask(engine.catalog[dataset_name], "train", WAIT)
    places, distances = nearest(picture.pixels[None], train.images)
    return places[0].item(), distances[0].item()


def nearest(images: torch.Tensor, among: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Places (n,) and distances (n,) of the nearest of ``among`` (m, C, H, W) to each of ``images``; all uint8."""
    asked = images.flatten(1).float()
    best = torch.full((len(images),), math.inf)
    places = torch.zeros(len(images), dtype=torch.int64)
    for first in range(0, len(among), CHUNK):
        chunk = among[first : first + CHUNK].flatten(1).float()
        # |a - c|² without |a|², which is the same for all: one matrix product instead of a difference for every pair
        values, found = torch.addmm(chunk.square().sum(dim=1), asked, chunk.T, alpha=-2).min(dim=1)
        closer = values < best
        best = torch.where(closer, values, best)
        places = torch.where(closer, found + first, places)
    return places, (asked - among[places].flatten(1)).square().mean(dim=1).sqrt() / 255
