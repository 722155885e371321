"""Generators and their critics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from genhub.models.base import GenHubModel, Labels
from genhub.models.latent import MAX_LATENT_DIM, PriorModel, check_whole
from genhub.stages import Shape, Stack

Rows = Sequence[Mapping[str, Any]]


class GenHubGAN(PriorModel):
    """Generator of an unconditional GAN (Goodfellow et al., 2014; DCGAN: Radford et al., 2016).

    Args:
        latent_dim: length of the noise vector.
        stages: rows from noise to image (see ``genhub.stages.Stage``); the last activation must be tanh.
        image_size, channels: of the square images.
    """

    def __init__(self, *, latent_dim: int, stages: Rows, image_size: int, channels: int) -> None:
        super().__init__(image_size=image_size, channels=channels)
        self.build(latent_dim, stages)

    def build(self, latent_dim: int, stages: Rows) -> None:
        self.latent_dim = check_whole(latent_dim, "latent_dim", 1, MAX_LATENT_DIM)
        self.stages = Stack(stages, (latent_dim,), self.num_classes)
        if self.stages.shape != self.image_shape or stages[-1].get("act") != "tanh":
            raise ValueError(
                f"stages: must end in tanh images of shape {self.image_shape}, end in {self.stages.shape} "
                f"with activation {stages[-1].get('act')!r}"
            )

    def forward(self, latents: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """(n, latent_dim) and, if conditional, class weights (n, num_classes) to images (n, C, H, W) in [-1, 1]."""
        return self.stages(latents, condition)

    def decode(self, latents: torch.Tensor, labels: Labels = None) -> torch.Tensor:
        self.check_latents(latents)
        return self(latents, self.condition(labels, len(latents)))


class GenHubCGAN(GenHubGAN):
    """Generator of a class-conditional GAN (Mirza & Osindero, 2014).

    Args:
        latent_dim, stages, image_size, channels: as for ``GenHubGAN``; at least one row must read the label.
        class_names: what the labels 0, 1, … mean.
    """

    def __init__(
        self, *, latent_dim: int, stages: Rows, image_size: int, channels: int, class_names: Sequence[str]
    ) -> None:
        GenHubModel.__init__(self, image_size=image_size, channels=channels, class_names=class_names)
        self.build(latent_dim, stages)
        if not self.stages.conditional:
            raise ValueError("stages: no row reads the label; add {'op': 'label'} or a conditional norm")


class GenHubDiscriminator(GenHubModel):
    """Discriminator or critic: images, and labels where it is conditional, to one logit each.

    Args:
        stages: rows from image to one feature; no sigmoid, the loss has it.
        image_size, channels: of the square images.
        class_names: given for a conditional discriminator.
    """

    def __init__(
        self, *, stages: Rows, image_size: int, channels: int, class_names: Sequence[str] | None = None
    ) -> None:
        super().__init__(image_size=image_size, channels=channels, class_names=class_names)
        self.stages = critic(stages, self.image_shape, self.num_classes)
        if self.class_names and not self.stages.conditional:
            raise ValueError("class_names: no row of stages reads the label; leave them out")

    def forward(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] to logits (n,): large for what looks real."""
        return self.stages(images, condition).squeeze(1)

    def features(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """What the last row reads, (n, f): the representation that a VAE-GAN compares images in."""
        return self.stages.features(images, condition)


def critic(rows: Rows, shape: Shape, num_classes: int | None, where: str = "stages") -> Stack:
    """A stack that ends in one logit. Raises ValueError for another one."""
    stack = Stack(rows, shape, num_classes, where)
    if stack.shape != (1,):
        raise ValueError(f"{where}: must end in one logit, shape (1,); end in {stack.shape}")
    return stack
