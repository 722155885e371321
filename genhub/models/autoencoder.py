"""Autoencoder and variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from genhub import images as im
from genhub.models.base import Labels
from genhub.models.gan import Rows
from genhub.models.latent import (
    BATCH,
    MAX_IMAGES,
    MAX_LATENT_DIM,
    LatentModel,
    PriorModel,
    batches,
    check_whole,
    described,
    evaluating,
)
from genhub.stages import Stack


class GenHubAE(LatentModel):
    """Autoencoder (Hinton & Salakhutdinov, 2006), dense or convolutional as its rows say.

    Args:
        latent_dim: numbers per image in the middle.
        encoder: rows from image to features; a linear layer to the latents follows them.
        decoder: rows from latents to image. Ending in sigmoid, the network sees and makes pixels in [0, 1]; ending in
            tanh, in [-1, 1]. Callers always deal in [-1, 1].
        image_size, channels: of the square images.
        class_names: given where rows read the label.
    """

    heads = ("to_latent_code",)

    def __init__(
        self,
        *,
        latent_dim: int,
        encoder: Rows,
        decoder: Rows,
        image_size: int,
        channels: int,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(image_size=image_size, channels=channels, class_names=class_names)
        self.latent_dim = check_whole(latent_dim, "latent_dim", 1, MAX_LATENT_DIM)
        self.encoder = Stack(encoder, self.image_shape, self.num_classes, "encoder")
        self.decoder = Stack(decoder, (latent_dim,), self.num_classes, "decoder")
        if len(self.encoder.shape) != 1:
            raise ValueError(f"encoder: must end in features, ends in a map {self.encoder.shape}; add a 'flatten'")
        if self.class_names and not (self.encoder.conditional or self.decoder.conditional):
            raise ValueError("class_names: no row of encoder or decoder reads the label; leave them out")
        self.unit_pixels = decoder[-1].get("act") == "sigmoid"
        if self.decoder.shape != self.image_shape or decoder[-1].get("act") not in ("sigmoid", "tanh"):
            raise ValueError(
                f"decoder: must end in sigmoid or tanh images of shape {self.image_shape}, ends in "
                f"{self.decoder.shape} with activation {decoder[-1].get('act')!r}"
            )
        for head in self.heads:
            setattr(self, head, nn.Linear(self.encoder.shape[0], latent_dim))

    def forward(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] to their reconstructions."""
        return self.decode(self.encode(images, condition), condition)

    def encode(self, images: torch.Tensor, labels: Labels = None) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] to latents (n, latent_dim), in the current mode, with gradients."""
        return self.to_latent_code(self.encoded_features(images, self.condition(labels, len(images))))

    def encoded_features(self, images: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        self.check_shape(images)
        if not images.is_floating_point():
            raise ValueError(
                f"images: expected floats in [-1, 1], got {images.dtype}; convert with genhub.images.to_signed"
            )
        return self.encoder(im.signed_to_unit(images) if self.unit_pixels else images, condition)

    def decode(self, latents: torch.Tensor, labels: Labels = None) -> torch.Tensor:
        self.check_latents(latents)
        decoded = self.decoder(latents, self.condition(labels, len(latents)))
        return im.unit_to_signed(decoded) if self.unit_pixels else decoded

    @torch.no_grad()
    def reconstruct(self, images: torch.Tensor, *, labels: Labels = None, batch_size: int = BATCH) -> torch.Tensor:
        """Encode and decode: float images (n, C, H, W) in [-1, 1] to the same shape, in evaluation mode.

        Raises ValueError for another shape, for values out of range, and for labels as ``generate`` does.
        """
        im.require_signed(images, "images")
        self.check_shape(images)
        check_whole(batch_size, "batch_size", 1, MAX_IMAGES)
        condition = self.condition(labels, len(images))
        with evaluating(self):
            parts = [self(*part) for part in batches(images.to(self.device, self.dtype), condition, batch_size)]
        return torch.cat(parts).float()

    def to_latent(self, value: int | torch.Tensor, name: str, condition: torch.Tensor | None) -> torch.Tensor:
        if isinstance(value, torch.Tensor) and value.shape == self.image_shape:
            im.require_signed(value, name)
            return self.encode(value[None].to(self.device, self.dtype), condition)[0]
        if isinstance(value, torch.Tensor) and value.dim() != 1:
            raise ValueError(f"{name}: expected {self.ends()}, got {described(value)}")
        return super().to_latent(value, name, condition)

    def ends(self) -> str:
        return f"{super().ends()}, or an image of shape {self.image_shape}"


class GenHubVAE(GenHubAE, PriorModel):
    """Variational autoencoder (Kingma & Welling, 2014). β and the reconstruction loss belong to its training.

    Args: as for ``GenHubAE``. Two linear heads give mean and log-variance; ``encode`` returns the mean.
    """

    heads = ("to_mean", "to_log_variance")

    def posterior(self, images: torch.Tensor, labels: Labels = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of q(z | x), (n, latent_dim) each."""
        features = self.encoded_features(images, self.condition(labels, len(images)))
        return self.to_mean(features), self.to_log_variance(features)

    def encode(self, images: torch.Tensor, labels: Labels = None) -> torch.Tensor:
        return self.posterior(images, labels)[0]
