"""A measured value and how far another draw of the same kind would have moved it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch

BLOCKS = 10


@dataclasses.dataclass(frozen=True)
class Figure:
    """A measured value with its spread, a standard error in the same unit."""

    value: float
    spread: float


def mean_figure(values: torch.Tensor) -> Figure:
    """Mean of one value per image (n,), with s / √n. Raises ValueError for fewer than two."""
    if values.dim() != 1 or len(values) < 2:
        raise ValueError(f"values: expected shape (n,) with n of at least 2, got {tuple(values.shape)}")
    values = values.double()
    return Figure(values.mean().item(), values.std().item() / math.sqrt(len(values)))


def share_figure(having: torch.Tensor) -> Figure:
    """Share of images that have something, bool (n,), with its standard error; where none or all do, one image: 1 / n.

    Raises ValueError for fewer than two.
    """
    figure = mean_figure(having)
    return figure if 0 < figure.value < 1 else Figure(figure.value, 1 / len(having))


def ratio_figure(above: torch.Tensor, below: torch.Tensor) -> Figure:
    """Ratio of two means of independent values (n,) and (m,), with its standard error to first order."""
    a, b = mean_figure(above), mean_figure(below)
    if b.value == 0:
        raise ValueError("below: the mean is 0, so there is no ratio to it")
    return Figure(a.value / b.value, math.hypot(a.spread, a.value / b.value * b.spread) / abs(b.value))


def jackknife(value: Callable[[torch.Tensor], float], n: int) -> float:
    """Standard error of ``value`` by leaving out one of ten blocks of the images at a time (Efron & Tibshirani, 1993).

    Args:
        value: takes which of the n images are kept, bool (n,).
        n: images, at least ten; blocks are consecutive, so that samples with labels 0, 1, … repeated stay balanced.
    """
    if n < BLOCKS:
        raise ValueError(f"n: {n} images are too few, at least {BLOCKS} are needed")
    block = torch.arange(n) * BLOCKS // n
    return jackknife_error([value(block != i) for i in range(BLOCKS)])


def jackknife_error(values: Sequence[float]) -> float:
    """The same from values that each leave out one of equal blocks."""
    found = torch.tensor(values, dtype=torch.float64)
    return math.sqrt((len(values) - 1) * found.var(unbiased=False).item())
