"""What diffusion models minimise: the error of a denoiser, and the distillation of many steps into few."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from genhub import losses
from genhub.data import ImageSet
from genhub.errors import LoadError
from genhub.images import to_signed
from genhub.models import GenHubDiffusion
from genhub.models.base import check_state
from genhub.models.latent import batches
from training.batches import stream
from training.objectives import Logs, Objective, Part
from training.settings import ConfigError


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


class Distillation(Objective):
    """One step of a student for several guided steps of its teacher (Salimans & Ho, 2022; Meng et al., 2023).

    Both have the same scheduler. The error is that of the clean image which would lead where the teacher went.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from diffusers import DDIMParallelScheduler

        self.teacher = load_teacher(self.config.objective.teacher, self.model).to(self.accelerator.device)
        self.scheduler = DDIMParallelScheduler.from_config(self.teacher.scheduler.config)
        total = self.scheduler.config.num_train_timesteps
        self.stride = total // self.model.num_inference_steps
        self.substeps = self.config.objective.substeps
        if total % (self.model.num_inference_steps * self.substeps):
            raise ConfigError(
                f"objective.substeps: {self.substeps} for each of the student's {self.model.num_inference_steps} steps "
                f"do not divide the schedule's {total} timesteps evenly"
            )
        self.scheduler.set_timesteps(self.model.num_inference_steps * self.substeps)

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        steps, condition = self.model.num_inference_steps, self.model_condition(part)
        place = (part.noise.uniform() * steps).long().clamp_max(steps - 1)  # which step of the student's
        start = self.scheduler.config.num_train_timesteps - 1 - place * self.stride
        samples, noise = self.model.pack(part.images), part.noise.normal(*self.model.sample_shape)
        x = self.scheduler.add_noise(samples, noise, start)
        target = self.clean_image(x, self.teach(x, start, condition), start)
        predicted = self.run_model(x, start, condition).float()
        made = to_clean(self.scheduler, predicted, x, start)
        error = (made - target).square().flatten(1).mean(dim=1)
        # Truncated: the first step sees no image at all, where the ratio is zero, and must count too.
        weight = signal_to_noise(self.scheduler, start).clamp(min=1, max=self.config.objective.min_snr or None)
        return (weight * error).mean(), {"error": error.mean()}

    @torch.no_grad()
    def teach(self, x: torch.Tensor, start: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """Where the teacher's ``substeps`` guided steps lead from noisy images x at timesteps ``start``."""
        for i in range(self.substeps):
            timesteps = start - i * (self.stride // self.substeps)
            predicted = self.teacher.guided(x, timesteps, condition, self.config.objective.guidance_scale)
            x = self.scheduler.batch_step_no_noise(predicted.float(), timesteps, x, use_clipped_model_output=True)
        return x

    def clean_image(self, x: torch.Tensor, end: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """The clean image for which one DDIM step of a whole stride leads from x to ``end``."""
        alpha, sigma = levels(self.scheduler, start)
        next_alpha, next_sigma = levels(self.scheduler, start - self.stride)
        ratio = next_sigma / sigma
        return (end - ratio * x) / (next_alpha - ratio * alpha)


def load_teacher(name: str, student: GenHubDiffusion) -> GenHubDiffusion:
    """Raises ConfigError unless it is a diffusion model of the student's kind."""
    try:
        teacher = GenHubDiffusion.from_pretrained(name)
        check_state(student.state_dict(), teacher.state_dict(), name)
    except LoadError as error:
        raise ConfigError(f"objective.teacher: {error}") from error
    for key, value in teacher.scheduler.config.items():
        own = student.scheduler.config[key]
        if own != value:
            raise ConfigError(f"model.scheduler.{key}: {own!r} where the teacher {name} has {value!r}; use the same")
    return teacher.requires_grad_(False)


def levels(scheduler: Any, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of signal and of noise at timesteps (n,), (n, 1, 1, 1) each; before the first timestep all is signal."""
    alphas = scheduler.alphas_cumprod.to(timesteps.device)
    squared = torch.where(timesteps < 0, torch.ones_like(alphas[:1]), alphas[timesteps.clamp_min(0)])
    return squared.sqrt().reshape(-1, 1, 1, 1), (1 - squared).sqrt().reshape(-1, 1, 1, 1)


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
