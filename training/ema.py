"""Exponential moving average of a model."""

from __future__ import annotations

import copy

import torch
from torch import nn

SINGULAR_VECTORS = ("._u", "._v")  # how torch calls them


class EMA:
    """A copy of a model that follows it: float parameters and buffers are averaged, integer ones are copied.

    BatchNorm's running statistics are averaged too, for they must fit the averaged weights. The singular vectors of
    spectral norm are copied: a mean of unit vectors is shorter, and the weights would come out too large.

    Args:
        model: what is followed.
        decay: share of the old average kept per update. Early on it is (1 + t) / (10 + t), so that the random
            initial weights are soon forgotten. 0 follows at once.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards ``model`` after update number ``step``, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, fresh = [], []
        source = model.state_dict()
        for key, value in self.model.state_dict().items():
            if value.is_floating_point() and not key.endswith(SINGULAR_VECTORS):
                averaged.append(value)
                fresh.append(source[key])
            else:
                value.copy_(source[key])
        torch._foreach_lerp_(averaged, fresh, 1 - decay)
