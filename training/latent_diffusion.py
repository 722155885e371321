"""The two stages of latent diffusion (Rombach et al., 2022): an autoencoder, then a denoiser of its latents."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from genhub import losses
from genhub.data import ImageSet
from genhub.images import to_signed
from training.batches import Batches, Noise, stream
from training.diffusion import Diffusion, prediction_error
from training.objectives import VAE, Logs, Part
from training.pipelines import TextToImage
from training.settings import ConfigError

AT_ONCE = 250  # images encoded, or checked


class LatentAutoencoding(VAE):
    """Reconstruction error and a little of the KL divergence, over maps of latents."""

    def autoencode(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_variance = self.model.encode(part.images)
        latents = mean + part.noise.normal(*mean.shape[1:]) * torch.exp(0.5 * log_variance)
        self.model.follow(latents)
        return self.model.decode(latents), losses.kl_divergence(
            mean.flatten(1).float(), log_variance.flatten(1).float()
        )


class TextToImageDenoising(Diffusion):
    """Error of the denoiser's prediction of latents.

    The latents of all images are computed once. The caption of an image is drawn anew each time, out of those of its
    class, and left out for some, so that guidance has its unconditional prediction (Ho & Salimans, 2021).
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.encoded: Batches | None = None
        of_class = list(self.model.captions.values())
        self.tokens = self.model.tokens([text for texts in of_class for text in texts] + [""])
        self.counts = torch.tensor([len(texts) for texts in of_class])
        self.first = self.counts.cumsum(0) - self.counts

    def update(self, batches: Batches, step: int) -> Logs:
        if self.encoded is None:
            self.encoded = self.encode(batches)
        return super().update(self.encoded, step)

    def encode(self, batches: Batches) -> Batches:
        """The same batches, of latents: means, and behind them as many standard deviations."""
        if not isinstance(batches.data, ImageSet):
            raise ConfigError("data.streaming: a denoiser keeps the latents of the whole set in memory; leave it out")
        parts = batches.data.images.split(AT_ONCE)
        latents = torch.cat([torch.cat(self.model.encode(to_signed(part)), dim=1) for part in parts])
        encoded = copy.copy(batches)
        encoded.data = dataclasses.replace(batches.data, images=latents)
        return encoded

    def parts(self, batches: Batches, number: int) -> Iterator[Part]:
        """Batch ``number`` as latents, each drawn from its posterior, in ``accumulation`` parts of equal size."""
        encoded, labels = batches.at(number)
        size = batches.size // self.config.accumulation
        for first in range(0, batches.size, size):
            start = batches.rank * batches.size + first  # in the global batch
            noise = Noise((self.config.seed, number), (start, start + size), batches.global_size, batches.device)
            mean, deviation = encoded[first : first + size].chunk(2, dim=1)
            latents = mean + deviation * noise.normal(*mean.shape[1:])
            yield Part(latents, labels[first : first + size], None, noise)

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        scheduler, total = self.model.scheduler, self.model.scheduler.config.num_train_timesteps
        timesteps = (part.noise.uniform() * total).long().clamp_max(total - 1)
        noise = part.noise.normal(*part.images.shape[1:])
        tokens = self.captions(part.labels, part.noise).to(part.images.device)
        predicted = self.run_model(scheduler.add_noise(part.images, noise, timesteps), timesteps, tokens)
        error = prediction_error(self.model, predicted, part.images, noise, timesteps)
        return (self.weight(timesteps) * error).mean(), {"error": error.mean()}

    def captions(self, labels: torch.Tensor, noise: Noise) -> torch.Tensor:
        """A caption of each label's class as tokens (n, length), left out for some."""
        labels, choice, left_out = labels.cpu(), noise.uniform().cpu(), noise.uniform().cpu()
        rows = self.first[labels] + (choice * self.counts[labels]).long()
        return self.tokens[rows.masked_fill(left_out < self.config.objective.label_dropout, len(self.tokens) - 1)]

    @torch.no_grad()
    def quality(self, model: TextToImage, probe: ImageSet) -> dict[str, float]:
        """The prediction error on held-out images at evenly spread timesteps and fixed noise, as for ``Diffusion``."""
        total, device = model.scheduler.config.num_train_timesteps, self.accelerator.device
        errors = []
        for part in torch.arange(len(probe)).split(AT_ONCE):
            latents = model.encode(to_signed(probe.images[part]).to(device))[0]
            noise = torch.randn(latents.shape, generator=stream(0, "held out", int(part[0]))).to(device)
            timesteps = (part * total // len(probe)).to(device)
            tokens = self.tokens[self.first[probe.labels[part].cpu()]].to(device)
            predicted = model(model.scheduler.add_noise(latents, noise, timesteps), timesteps, tokens)
            errors.append(prediction_error(model, predicted, latents, noise, timesteps))
        return {"denoising_error": torch.cat(errors).mean().item()}
