"""What every model with a latent space can do."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from numbers import Real
from typing import Literal

import torch

from genhub.errors import as_whole
from genhub.latents import MAX_SEED, path, sample_latents
from genhub.models.base import GenHubModel, Labels

MAX_IMAGES = 100_000
BATCH = 64  # images decoded at once where nobody says how many
MAX_LATENT_DIM = 65_536
MAX_GUIDANCE = 30.0


def check_seed(seed: int | None, name: str = "seed") -> int:
    """A valid seed; None draws one. Raises ValueError outside 0…2³²−1."""
    if seed is None:
        return secrets.randbelow(MAX_SEED + 1)
    return check_whole(seed, name, 0, MAX_SEED)


def check_whole(value: int, name: str, low: int, high: int) -> int:
    """``value`` as int. Raises ValueError for other types and values outside low…high."""
    whole = as_whole(value)
    if whole is None or not low <= whole <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {described(value)}")
    return whole


def check_number(value: float, name: str, low: float, high: float) -> float:
    """``value`` as float. Raises ValueError for other types and values outside low…high."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not low <= number <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {described(value)}")
    return number


def check_guidance(scale: float) -> float:
    """A valid scale of classifier-free guidance. Raises ValueError outside 0…30."""
    return check_number(scale, "guidance_scale", 0, MAX_GUIDANCE)


class LatentModel(GenHubModel):
    """A model that decodes latents (n, latent_dim) to images (n, C, H, W) in [-1, 1]."""

    latent_dim: int

    def decode(self, latents: torch.Tensor, labels: Labels = None) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] of latents (n, latent_dim), in the current mode, with gradients."""
        raise TypeError(f"{type(self).__name__} does not decode latents")

    @torch.no_grad()
    def interpolate(
        self,
        start: int | torch.Tensor,
        end: int | torch.Tensor,
        steps: int = 8,
        *,
        labels: Labels = None,
        method: Literal["linear", "spherical"] = "spherical",
    ) -> torch.Tensor:
        """Images along a path between two latents, both ends included: (steps, C, H, W) in [-1, 1].

        Args:
            start, end: a latent (latent_dim,), an image (C, H, W) in [-1, 1] where the model encodes, or a seed where
                it has a prior (the latent of the first image that ``generate`` makes of it).
            steps: number of images, 2…1,024.
            labels: as in ``generate``.
            method: ``spherical`` keeps the length that Gaussian latents have; ``linear`` is the straight line.
        """
        check_whole(steps, "steps", 2, 1024)
        if method not in ("linear", "spherical"):
            raise ValueError(f"method: expected 'linear' or 'spherical', got {method!r}")
        condition = self.condition(labels, steps)
        with evaluating(self):
            first, last = (None, None) if condition is None else (condition[:1], condition[-1:])
            ends = self.to_latent(start, "start", first), self.to_latent(end, "end", last)
            parts = batches(path(*ends, steps, method), condition, BATCH)
            return torch.cat([self.decode(*part) for part in parts]).float()

    def check_latents(self, latents: torch.Tensor) -> None:
        """Raise ValueError unless they are latents (n, latent_dim)."""
        if not isinstance(latents, torch.Tensor) or latents.dim() != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(f"latents: expected shape (n, {self.latent_dim}), got {described(latents)}")

    def to_latent(self, value: int | torch.Tensor, name: str, condition: torch.Tensor | None) -> torch.Tensor:
        """One latent (latent_dim,) of what ``interpolate`` accepts as an end; condition (1, num_classes) or None."""
        if isinstance(value, torch.Tensor) and value.shape == (self.latent_dim,):
            return value.to(self.device, self.dtype)
        raise ValueError(f"{name}: expected {self.ends()}, got {described(value)}")

    def ends(self) -> str:
        return f"a latent of shape ({self.latent_dim},)"


class PriorModel(LatentModel):
    """A latent model whose latents follow N(0, I), so that it can make images out of nothing."""

    @torch.no_grad()  # not inference_mode, whose tensors can neither be changed in place nor trained on
    def generate(
        self,
        n: int = 1,
        *,
        labels: Labels = None,
        seed: int | None = None,
        truncation: float = 1.0,
        batch_size: int = BATCH,
    ) -> torch.Tensor:
        """Make n images (n, C, H, W), float32 in [-1, 1], on the model's device, in evaluation mode.

        Image i depends only on the weights, its label, the seed and i: asking for 4 or for 64 gives the same first 4.

        Args:
            n: how many, 1…100,000.
            labels: for a conditional model one label for all or one per image, as int or class name.
            seed: 0…2³²−1; None draws one at random.
            truncation: in [0, 1], multiplies the latents: less than 1 trades variety for typicality.
            batch_size: images decoded at once; bounds memory, does not change the result.

        Raises:
            ValueError: an argument out of range, missing or superfluous labels.
        """
        parts = self.draw(n, labels, seed, truncation, batch_size)
        with evaluating(self):
            return torch.cat([self.decode(*part) for part in parts]).float()

    def draw(
        self, n: int, labels: Labels, seed: int | None, truncation: float, batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """Latents with their class weights, in batches, of the arguments of ``generate``. Raises ValueError."""
        check_whole(n, "n", 1, MAX_IMAGES)
        check_whole(batch_size, "batch_size", 1, MAX_IMAGES)
        truncation = check_number(truncation, "truncation", 0, 1)
        condition = self.condition(labels, n)
        latents = sample_latents(n, self.latent_dim, check_seed(seed)).mul_(truncation)
        return batches(latents.to(self.device, self.dtype), condition, batch_size)

    def to_latent(self, value: int | torch.Tensor, name: str, condition: torch.Tensor | None) -> torch.Tensor:
        if as_whole(value) is not None:
            return sample_latents(1, self.latent_dim, check_seed(value, name))[0].to(self.device, self.dtype)
        return super().to_latent(value, name, condition)

    def ends(self) -> str:
        return f"a seed, or {super().ends()}"


class evaluating:
    """Evaluation mode for the length of a ``with`` block; then each layer is as it was, frozen ones too."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.training = [module for module in self.model.modules() if module.training]
        self.model.eval()

    def __exit__(self, *exception: object) -> None:
        for module in self.training:
            module.training = True


def batches(
    rows: torch.Tensor, condition: torch.Tensor | None, size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Latents or images, and their class weights if any, in parts of ``size``."""
    for first in range(0, len(rows), size):
        part = slice(first, first + size)
        yield rows[part], None if condition is None else condition[part]


def described(value: object) -> str:
    if isinstance(value, torch.Tensor) and value.dim():
        return f"a tensor of shape {tuple(value.shape)}"
    return repr(value) if len(repr(value)) < 80 else f"{repr(value)[:80]}…"
