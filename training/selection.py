"""Which images of a set are trained on: classes and outliers left out, the rest repeated or drawn with replacement."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch

import genhub
from genhub import metrics
from genhub.data import ImageSet, StreamedSet
from genhub.errors import LoadError, nearest
from genhub.models import GenHubAE
from training.batches import stream
from training.checkpoints import write_text
from training.settings import ConfigError, DataConfig, TrainConfig

RECORD = "outliers.json"  # in the run folder


def without_classes(data: ImageSet | StreamedSet, names: list[str]) -> ImageSet | StreamedSet:
    """The images of all other classes. Raises ConfigError for a class that the data does not have."""
    if not names:
        return data
    for name in names:
        if name not in data.class_names:
            raise ConfigError(f"data.exclude_classes: no class {name!r}; {nearest(name, data.class_names)}")
    excluded = torch.tensor([data.class_names.index(name) for name in names])
    kept = ~torch.isin(data.labels, excluded)
    if not kept.any():
        raise ConfigError("data.exclude_classes: no image is left; exclude fewer classes")
    return data.subset(kept.nonzero().squeeze(1))


def relabelled(data: ImageSet, class_names: Sequence[str]) -> ImageSet:
    """The set with labels that mean ``class_names``, where its classes are some of them; else as it is."""
    if not data.class_names or not set(data.class_names) <= set(class_names):
        return data
    index = torch.tensor([class_names.index(name) for name in data.class_names])
    return dataclasses.replace(data, labels=index[data.labels], class_names=list(class_names))


def split_names(split: str) -> set[str]:
    """The splits that an expression such as ``train[:80%]+test`` takes images from."""
    return {name for name in re.split(r"\[[^]]*\]|[+\s]", split) if name}


def find_outliers(data: ImageSet | StreamedSet, config: DataConfig, folder: Path) -> list[int]:
    """Indices of the images that ``config`` leaves out, sorted; those recorded in the run folder if it has a record.

    Sums of floats differ between machines, and with them the images at the border: hence the record.
    Raises ConfigError.
    """
    if not config.outliers:
        return []
    if (folder / RECORD).is_file():
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))["dropped"]
    worst = reconstruction_errors(data, config.outlier_model).topk(int(config.outliers * len(data)))
    return sorted(worst.indices.tolist())


def record_outliers(dropped: list[int], config: DataConfig, folder: Path) -> None:
    record = {"model": config.outlier_model, "share": config.outliers, "dropped": dropped}
    write_text(folder / RECORD, json.dumps(record) + "\n")


def select(data: ImageSet | StreamedSet, config: TrainConfig, dropped: list[int]) -> ImageSet | StreamedSet:
    """The images that are trained on: without ``dropped``, repeated and oversampled as ``config.data`` says.

    Raises ConfigError.
    """
    if dropped:
        kept = torch.ones(len(data), dtype=torch.bool)
        kept[dropped] = False
        data = data.subset(kept.nonzero().squeeze(1))
    if repeats := config.data.repeats:
        sets = data.source.split("+") if data.origins is not None else [data.source]
        if len(repeats) != len(sets) or len(sets) == 1:
            raise ConfigError(
                f"data.repeats: one number for each of several sets joined by '+'; got {repeats} for {sets}"
            )
        data = data.subset(torch.arange(len(data)).repeat_interleave(torch.tensor(repeats)[data.origins]))
    if config.data.oversample > 1:
        count = round(config.data.oversample * len(data))
        data = data.subset(torch.randint(len(data), (count,), generator=stream(config.seed, "oversample")))
    return data


def reconstruction_errors(data: ImageSet, name: str) -> torch.Tensor:
    """Mean squared error (n,) of each image under an autoencoder. Raises ConfigError."""
    try:
        model = genhub.load(name)
    except LoadError as error:
        raise ConfigError(f"data.outlier_model: {error}") from error
    if not isinstance(model, GenHubAE) or model.image_shape != data.image_shape:
        raise ConfigError(
            f"data.outlier_model: expected an autoencoder of {data.image_shape} images, {name} is a "
            f"{type(model).__name__} of {model.image_shape}; train one with the dataset's recipe 'ae'"
        )
    return metrics.reconstruction_errors(data.images, data.labels, model)
