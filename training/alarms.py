"""Words of warning when a run goes wrong. They are printed and logged; only numbers that are not finite end a run."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn

PATIENCE = 10  # log lines in a row before the discriminator counts as having won
COLLAPSE = 0.05  # share of the data's own spread below which samples count as all alike
DIVERGENCE = 2.0  # times the best quality so far
SAME = 0.6  # share of samples that are read as one class above which the others count as lost; judges know ten
ADVICE = "start a new run with a lower learning rate, clipped gradients (--clip-norm 1) or another seed"


class Diverged(RuntimeError):
    """A loss or a weight is not a finite number any more."""


def require_finite(step: int, networks: Mapping[str, nn.Module]) -> None:
    """Raise Diverged if a weight or a running statistic is NaN or infinite."""
    for name, network in networks.items():
        for key, value in network.state_dict().items():
            if value.is_floating_point() and not value.isfinite().all():
                raise Diverged(f"step {step}: {key} of the {name} is no finite number; {ADVICE}")


class Alarms:
    """Watches the log of one run.

    Args:
        data_spread: mean over pixels of the standard deviation between training images.
    """

    def __init__(self, data_spread: float) -> None:
        self.data_spread = data_spread
        self.won = 0

    def check_losses(self, step: int, values: Mapping[str, float]) -> list[str]:
        """Warnings about one log line. Raises Diverged where a value is NaN or infinite."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(f"step {step}: {name} is {value}; {ADVICE}")
        accuracy = min(values.get("accuracy_real", 0), values.get("accuracy_fake", 0))
        self.won = self.won + 1 if values.get("accuracy_pairs", accuracy) > 0.99 else 0
        if self.won == PATIENCE:
            return ["the discriminator tells nearly all images apart: the generator learns little from it"]
        return []

    def check_samples(self, spread: float) -> list[str]:
        """Warnings about the spread between generated images, of one class where there are classes."""
        if spread < COLLAPSE * self.data_spread:
            return [f"mode collapse: images differ by {spread:.3f}, training images by {self.data_spread:.3f}"]
        return []

    def check_classes(self, largest: float) -> list[str]:
        """Warnings about the share of samples in which the most frequent class is read."""
        return [f"mode collapse: {largest:.0%} of the samples are read as one class"] if largest > SAME else []

    def check_quality(self, name: str, value: float, best: float) -> list[str]:
        """Warnings about a quality measure, smaller being better."""
        if value > DIVERGENCE * best:
            return [f"divergence: {name} is {value:.4g}, it has been {best:.4g}; the best weights are kept"]
        return []
