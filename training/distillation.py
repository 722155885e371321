"""Many steps of a diffusion model in few: distillation of a teacher, alone or with critics beside it."""

from __future__ import annotations

from typing import Any

import torch

from genhub.errors import LoadError
from genhub.models import GenHubDiffusion
from genhub.models.base import check_state
from genhub.models.diffusion import levels
from training.diffusion import signal_to_noise, to_clean
from training.objectives import Adversarial, Logs, Objective, Part
from training.settings import ConfigError


class Distillation(Objective):
    """One step of a student for several guided steps of its teacher (Salimans & Ho, 2022; Meng et al., 2023).

    Both have the same scheduler. The error is that of the clean image which would lead where the teacher went.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from diffusers import DDIMParallelScheduler

        self.teacher = load_teacher(self.config.objective.teacher, self.model).to(self.accelerator.device)
        self.scheduler = DDIMParallelScheduler.from_config(self.teacher.scheduler.config)
        total, spacing = self.scheduler.config.num_train_timesteps, self.scheduler.config.timestep_spacing
        if spacing != "trailing":
            raise ConfigError(
                f"model.scheduler.timestep_spacing: expected 'trailing', got {spacing!r}; distillation counts steps "
                "from the last timestep; choose a teacher that does"
            )
        if self.model.solver_order != 1:
            raise ConfigError(
                f"model.solver_order: expected 1, got {self.model.solver_order}; a step of DDIM is what distillation "
                "teaches, so the student must sample by it; its teacher may sample as it likes"
            )
        self.stride = total // self.model.num_inference_steps
        self.substeps = self.config.objective.substeps
        if total % (self.model.num_inference_steps * self.substeps):
            raise ConfigError(
                f"objective.substeps: {self.substeps} for each of the student's {self.model.num_inference_steps} steps "
                f"do not divide the schedule's {total} timesteps evenly"
            )
        self.scheduler.set_timesteps(self.model.num_inference_steps * self.substeps)

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        _, weighted, error = self.imitate(part)
        return weighted, {"error": error}

    def imitate(self, part: Part) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The student's clean samples (n, *sample_shape), of a random step each, and their error beside the teacher's.

        The error is the mean square, first with the steps' weights and then without.
        """
        steps, condition = self.model.num_inference_steps, self.model_condition(part)
        place = (part.noise.uniform() * steps).long().clamp_max(steps - 1)  # which step of the student's
        start, x = self.timesteps(place), self.begin(part, place, condition)
        target = self.clean_image(x, self.teach(x, start, condition), start)
        predicted = self.run_model(x, start, condition).float()
        made = to_clean(self.scheduler, predicted, x, start)
        error = (made - target).square().flatten(1).mean(dim=1)
        # Truncated: the first step sees no image at all, where the ratio is zero, and must count too.
        weight = signal_to_noise(self.scheduler, start).clamp(min=1, max=self.config.objective.min_snr or None)
        return made, (weight * error).mean(), error.mean()

    def begin(self, part: Part, place: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """Noisy samples (n, *sample_shape) that the student's steps ``place`` (n,) start from: noised real images."""
        samples, noise = self.model.pack(part.images), part.noise.normal(*self.model.sample_shape)
        return self.scheduler.add_noise(samples, noise, self.timesteps(place))

    def timesteps(self, place: torch.Tensor) -> torch.Tensor:
        """At which the student's steps ``place`` start."""
        return self.scheduler.config.num_train_timesteps - 1 - place * self.stride

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


class AdversarialDistillation(Distillation, Adversarial):
    """Distillation whose clean images must also pass for real ones (Sauer et al., 2024).

    A step that cannot know which image will come of its noise is taught by its teacher alone to blur them together. The
    critics compare the clean image that any step says with real ones.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.strides = type(self.scheduler).from_config(self.scheduler.config)
        self.strides.set_timesteps(self.model.num_inference_steps)

    @torch.no_grad()
    def begin(self, part: Part, place: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """Noisy samples to which the student's own first ``place`` steps lead from noise.

        This is what it sees when it samples, its mistakes included (backward simulation, Yin et al., 2024).
        """
        x = part.noise.normal(*self.model.sample_shape)
        for i in range(self.model.num_inference_steps - 1):
            rows = (place > i).nonzero().flatten()
            if len(rows):
                timesteps = self.timesteps(torch.full_like(rows, i))
                predicted = self.run_model(x[rows], timesteps, None if condition is None else condition[rows])
                x[rows] = self.strides.batch_step_no_noise(
                    predicted.float(), timesteps, x[rows], use_clipped_model_output=True
                )
        return x

    def make_fake(self, part: Part) -> tuple[torch.Tensor, Logs]:
        made, weighted, error = self.imitate(part)
        return self.model.unpack(made), {"weighted": weighted, "error": error}

    def generator_loss(self, part: Part, fake: torch.Tensor, extra: Logs) -> tuple[torch.Tensor, Logs]:
        adversarial, logs = super().generator_loss(part, fake, extra)
        loss = extra["weighted"] + self.config.objective.adversarial_weight * adversarial
        return loss, {**logs, "error": extra["error"]}


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
