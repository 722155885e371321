"""What a classifier reads in samples: the class that was asked for, all classes, and variety within each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from genhub.images import require_uint8
from genhub.metrics.figures import Figure, jackknife, share_figure
from genhub.models import GenHubClassifier


def class_accuracy(images: torch.Tensor, labels: torch.Tensor, judge: GenHubClassifier) -> float:
    """Share of uint8 images in which the judge reads the intended label; labels (n,) int64."""
    require_uint8(images, "images")
    if not isinstance(labels, torch.Tensor) or labels.shape != (len(images),):
        got = tuple(labels.shape) if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise ValueError(f"labels: expected a tensor of shape ({len(images)},), one per image, got {got}")
    return (judge.predict(images).argmax(dim=1).cpu() == labels.cpu()).double().mean().item()


def class_histogram(images: torch.Tensor, judge: GenHubClassifier) -> list[float]:
    """Share of uint8 images that the judge assigns to each class."""
    require_uint8(images, "images")
    return shares(judge.predict(images).argmax(dim=1).cpu(), len(judge.class_names)).tolist()


def shares(read: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Share of each class (num_classes,) among the classes (n,) that were read."""
    return torch.bincount(read, minlength=num_classes).double() / len(read)


def entropy_figure(read: torch.Tensor, num_classes: int) -> Figure:
    """Entropy of the class histogram in bits: log₂ of the number of classes if all are equally frequent, 0 for one."""

    def entropy(kept: torch.Tensor) -> float:
        p = shares(read[kept], num_classes)
        return -torch.special.xlogy(p, p).sum().item() / math.log(2)

    return Figure(entropy(torch.ones_like(read, dtype=torch.bool)), jackknife(entropy, len(read)))


def largest_share_figure(read: torch.Tensor, num_classes: int) -> Figure:
    """Share of the class that is read most."""
    return share_figure(read == shares(read, num_classes).argmax())


def diversity(
    *, generated: torch.Tensor, classes: torch.Tensor, real: torch.Tensor, real_classes: torch.Tensor
) -> Figure:
    """Variety within a class relative to that of real images: 1 is as varied, 0 is one image per class.

    For each class the variance of the features, summed over them, which is half the mean squared distance of two images
    of the class; of the generated over that of the real images; then the mean over the classes that have two real
    images. A class with fewer than two samples counts 0.

    Args:
        generated, real: features (n, f) and (m, f).
        classes, real_classes: (n,) and (m,), found in the same way for both.
    """
    within = {c: variance(real[real_classes == c]) for c in real_classes.unique().tolist()}
    within = {c: value for c, value in within.items() if value > 0}
    if not within:
        raise ValueError("real: no class has two images that differ")

    def value(kept: torch.Tensor) -> float:
        rows, labels = generated[kept], classes[kept]
        return sum(variance(rows[labels == c]) / real_value for c, real_value in within.items()) / len(within)

    return Figure(value(torch.ones_like(classes, dtype=torch.bool)), jackknife(value, len(classes)))


def variance(rows: torch.Tensor) -> float:
    return rows.double().var(dim=0).sum().item() if len(rows) > 1 else 0.0


def same_classes(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether labels of two sources mean the same."""
    return len(names) > 0 and list(names) == list(others)
