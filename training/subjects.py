"""What is measured: models by name or folder, and images that something else has made."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import genhub
from genhub import hub
from genhub.data import load_images, short_name
from genhub.errors import DataError, LoadError
from genhub.metrics import MIN_IMAGES
from genhub.paths import typed_path
from training.assessment import SAMPLES, Reference, Samples
from training.batches import stream
from training.config import read_file
from training.selection import relabelled


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a model with the folder that its record goes to, or images by name.

    Attributes:
        record_name: of the file; a model of several datasets has one for each.
        copied: whether the images are the training images, in which no copies need to be looked for.
        reading: how a model's own dataset was read, as its ``training_config.yaml`` has it under ``data``.
    """

    name: str
    model: Any = None
    folder: Path | None = None
    images: Callable[[Reference], Samples] | None = None
    copied: bool = False
    record_name: str = "metrics.json"
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """The record that is there; empty where there is none."""
        return training_record(self.folder, self.record_name)


def subjects(options: argparse.Namespace) -> Iterator[Subject]:
    """What the command names, one by one. Raises LoadError, DataError."""
    for given in [*options.models, *(hub.bundled_names() if options.all_bundled else [])]:
        folder = hub.resolve(of_run(given))
        model = genhub.load(folder)
        ours = given in hub.bundled_names() or Path(given).expanduser().is_dir()
        name, home = subject_name(model, folder), folder if ours else None
        if not hasattr(model, "for_dataset"):
            config = folder / "training_config.yaml"
            reading = read_file(str(config)).get("data") if config.is_file() else None
            yield Subject(name, model, home, reading=reading or {})
            continue
        known = model.metadata.get("dataset", "").split("+")
        for dataset in [short_name(source) for source in options.dataset] or filter(None, known):
            record_name = f"metrics-{dataset}.json"
            yield Subject(f"{name} on {dataset}", model.for_dataset(dataset), home, record_name=record_name)
    if options.images:
        yield Subject(Path(options.images).name, images=lambda reference: read_samples(options.images, reference))
    if options.floor:
        yield Subject(
            "floor: real training images", images=lambda reference: floor(reference, options.samples), copied=True
        )
    if options.ceiling:
        yield Subject("ceiling: noise", images=lambda reference: ceiling(reference, options.samples))


def of_run(given: str) -> str:
    """The final model of a run folder; anything else as it was given."""
    final = typed_path(given, LoadError) / "final"
    return str(final) if any((final / name).is_file() for name in ("config.json", hub.PIPELINE)) else given


def read_samples(folder: str, reference: Reference) -> Samples:
    """A folder of images, brought to the shape of the reference; folders in it named as classes are labels.

    They come in a fixed random order: spreads leave out blocks of neighbours, which a folder sorts by class.
    """
    channels, size, _ = reference.test.image_shape
    names = reference.test.class_names
    found = relabelled(load_images(folder, image_size=size, channels=channels), names)
    if len(found) < MIN_IMAGES:
        raise DataError(f"--images: {folder} holds {len(found)} images, at least {MIN_IMAGES} are needed")
    if others := sorted(set(found.class_names) - set(names)):
        print(
            f"{folder}: measured without labels, as {', '.join(others)} are no classes of {reference.test.source}, "
            f"which has {', '.join(names) or 'none'}",
            file=sys.stderr,
        )
    found = found.subset(torch.randperm(len(found), generator=stream(0, "images")))
    return Samples(found.images, found.labels if found.class_names == names else None)


def floor(reference: Reference, n: int | None) -> Samples:
    """Real training images: what a perfect model would get."""
    if reference.train is None:
        raise DataError(f"--floor: {reference.test.source} has no training images but those measured against")
    chosen = torch.randperm(len(reference.train), generator=stream(0, "floor"))[: n or SAMPLES]
    labels = reference.train.labels
    return Samples(reference.train.images[chosen], None if labels is None else labels[chosen])


def ceiling(reference: Reference, n: int | None) -> Samples:
    """Independent uniform pixels, as many as the floor has: what a model that has learnt nothing would get."""
    most = SAMPLES if reference.train is None else min(SAMPLES, len(reference.train))
    shape = (n or most, *reference.test.image_shape)
    return Samples(torch.randint(0, 256, shape, dtype=torch.uint8, generator=stream(0, "ceiling")), None)


def subject_name(model: Any, folder: Path) -> str:
    return model.metadata.get("name") or folder.name


def training_record(folder: Path | None, name: str) -> dict[str, Any]:
    path = None if folder is None else folder / name
    if path is None or not path.is_file():
        return {}
    return hub.read_json(path, str(folder))
