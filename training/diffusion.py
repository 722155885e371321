"""What diffusion models minimise: the error of a denoiser."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from genhub import losses
from genhub.data import ImageSet
from genhub.images import to_signed
from genhub.models import GenHubDiffusion
from genhub.models.diffusion import levels
from genhub.models.latent import batches
from training.batches import stream
from training.objectives import Logs, Objective, Part


class Diffusion(Objective):
    """Error of the prediction at random timesteps, plain or weighted by min-SNR-γ (Hang et al., 2023).

    For guidance, some images are shown without their class (Ho & Salimans, 2021).
    """

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        scheduler, total = self.model.scheduler, self.model.scheduler.config.num_train_timesteps
        timesteps = (part.noise.uniform() * total).long().clamp_max(total - 1)
        samples, noise = self.model.pack(part.images), part.noise.normal(*self.model.sample_shape)
        condition = self.model_condition(part)
        if condition is not None:
            condition = condition * (part.noise.uniform(1) >= self.config.objective.label_dropout)
        predicted = self.run_model(scheduler.add_noise(samples, noise, timesteps), timesteps, condition)
        error = prediction_error(self.model, predicted, samples, noise, timesteps)
        return (self.weight(timesteps) * error).mean(), {"error": error.mean()}

    def weight(self, timesteps: torch.Tensor) -> torch.Tensor:
        """(n,) how much each error counts."""
        gamma = self.config.objective.min_snr
        if not gamma:
            return torch.ones_like(timesteps, dtype=torch.float32)
        ratio = signal_to_noise(self.model.scheduler, timesteps)
        return losses.min_snr_weight(self.model.scheduler.config.prediction_type, ratio, gamma)

    def quality(self, model: GenHubDiffusion, probe: ImageSet) -> dict[str, float]:
        """Samples of many steps would cost more than the training between two checkpoints."""
        return {"denoising_error": held_out_error(model, probe)}


def signal_to_noise(scheduler: Any, timesteps: torch.Tensor) -> torch.Tensor:
    """(n,) ratio of their squares."""
    alpha, sigma = levels(scheduler, timesteps)
    return (alpha / sigma).square().flatten()


def to_clean(scheduler: Any, predicted: torch.Tensor, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """The clean image that a prediction for noisy images x (n, C, H, W) says, by the scheduler's prediction type."""
    alpha, sigma = levels(scheduler, timesteps)
    match scheduler.config.prediction_type:
        case "v_prediction":
            return alpha * x - sigma * predicted
        case "epsilon":
            return (x - sigma * predicted) / alpha
        case _:
            return predicted


def prediction_error(
    model: GenHubDiffusion, predicted: torch.Tensor, samples: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """(n,) mean squared error of what the network was to predict."""
    match model.scheduler.config.prediction_type:
        case "v_prediction":
            target = model.scheduler.get_velocity(samples, noise, timesteps)
        case "epsilon":
            target = noise
        case _:
            target = samples
    return (predicted.float() - target).square().flatten(1).mean(dim=1)


@torch.no_grad()
def held_out_error(model: GenHubDiffusion, probe: ImageSet, batch_size: int = 128) -> float:
    """Mean prediction error on held-out images at evenly spread timesteps and fixed noise: the same at every call."""
    total = model.scheduler.config.num_train_timesteps
    noise = torch.randn(len(probe), *model.sample_shape, generator=stream(0, "held out"))
    timesteps = torch.arange(len(probe)) * total // len(probe)
    condition = F.one_hot(probe.labels, model.num_classes).float() if model.class_names else None
    errors = []
    for rows, classes in batches(torch.arange(len(probe)), condition, batch_size):
        samples, parts = model.pack(to_signed(probe.images[rows]).to(model.device)), (noise[rows], timesteps[rows])
        noise_part, at = (part.to(model.device) for part in parts)
        classes = None if classes is None else classes.to(model.device)
        predicted = model(model.scheduler.add_noise(samples, noise_part, at), at, classes)
        errors.append(prediction_error(model, predicted, samples, noise_part, at))
    return torch.cat(errors).mean().item()
