"""Optimisers, their schedule, and the update of one network."""

from __future__ import annotations

import math

import torch
from accelerate import Accelerator
from torch import nn

from training.settings import OptimizerConfig, ScheduleConfig


def build_optimizer(config: OptimizerConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    common = {"lr": config.lr, "weight_decay": config.weight_decay}
    match config.name:
        case "adam":
            return torch.optim.Adam(parameters, betas=tuple(config.betas), fused=True, **common)
        case "adamw":
            return torch.optim.AdamW(parameters, betas=tuple(config.betas), fused=True, **common)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=config.momentum, fused=True, **common)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, momentum=config.momentum, **common)


def schedule_factor(config: ScheduleConfig, step: int, progress: float) -> float:
    """What the learning rate is multiplied by at ``step``; ``progress`` is the share of the budget used, 0…1."""
    warmup = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    progress = min(1.0, progress)
    match config.name:
        case "constant":
            return warmup
        case "linear":
            return warmup * (1 + (config.final - 1) * progress)
        case "cosine":
            return warmup * (config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * progress)))
        case "exponential":
            return warmup * config.final**progress


class Updater:
    """The optimiser step of one network: average gradients over processes, clip, step, forget.

    Gradients are averaged here and not by a wrapper around the network, because a GAN's networks are called several
    times, some of them frozen, before one step.
    """

    def __init__(self, accelerator: Accelerator, network: nn.Module, config: OptimizerConfig, clip_norm: float) -> None:
        self.accelerator, self.lr, self.clip_norm = accelerator, config.lr, clip_norm
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = accelerator.prepare_optimizer(build_optimizer(config, self.parameters))

    def set_factor(self, factor: float) -> float:
        """Set the learning rate to ``factor`` of its base and return it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * factor
        return self.lr * factor

    def freeze(self, frozen: bool) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)

    def backward(self, loss: torch.Tensor) -> None:
        self.accelerator.backward(loss)

    def step(self) -> None:
        if self.accelerator.num_processes > 1:
            gradients = [p.grad for p in self.parameters if p.grad is not None]
            flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        if self.clip_norm:
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.unscale_(self.optimizer.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
