"""What each family minimises. An objective makes one update of its networks and returns what is worth logging."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from genhub import images as im
from genhub import losses
from genhub.models import GenHubDiscriminator, GenHubModel
from training.augment import augment, diffaugment
from training.batches import Batches, Noise
from training.config import TrainConfig
from training.optimization import Updater

Logs = dict[str, torch.Tensor]


class Objective:
    """Base: holds the networks and their updaters, and prepares batches.

    One call of ``update`` reads ``batches_per_update`` batches, numbered from ``step * batches_per_update``.
    """

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        model: GenHubModel,
        discriminator: GenHubDiscriminator | None,
    ) -> None:
        self.config, self.accelerator, self.model, self.discriminator = (
            config,
            accelerator,
            model,
            discriminator,
        )
        self.updaters = {"model": Updater(accelerator, model, config.optimizer, config.clip_norm)}
        if discriminator is not None:
            self.updaters["discriminator"] = Updater(
                accelerator, discriminator, config.discriminator_optimizer, config.clip_norm
            )
        compiled = torch.compile if config.compile else (lambda network: network)
        self.run_model: Callable = compiled(model)
        self.run_discriminator: Callable | None = compiled(discriminator) if discriminator else None
        self.batches_per_update = config.accumulation

    @property
    def networks(self) -> dict[str, nn.Module]:
        found = {"model": self.model, "discriminator": self.discriminator}
        return {name: network for name, network in found.items() if network is not None}

    def update(self, batches: Batches, step: int, noise: Noise) -> Logs:
        """One optimiser step of the model. Subclasses give ``loss``; adversarial ones replace this."""
        logs: Logs = {}
        for number in range(step * self.batches_per_update, (step + 1) * self.batches_per_update):
            images, labels, condition = self.prepare(batches, number, noise)
            with self.accelerator.autocast():
                loss, parts = self.loss(images, labels, condition, noise)
            self.updaters["model"].backward(loss / self.config.accumulation)
            add(logs, {"loss": loss, **parts}, self.config.accumulation)
        self.updaters["model"].step()
        return logs

    def loss(
        self, images: torch.Tensor, labels: torch.Tensor | None, condition: torch.Tensor | None, noise: Noise
    ) -> tuple[torch.Tensor, Logs]:
        """Scalar loss of signed images, and its parts."""
        raise TypeError(f"{type(self).__name__} has no single loss")

    def prepare(
        self, batches: Batches, number: int, noise: Noise
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Batch ``number``: augmented signed images, int labels, and class weights for a model that takes them."""
        pixels, labels = batches.at(number)
        images = augment(im.to_signed(pixels), self.config.data, noise)
        images = images.contiguous(memory_format=torch.channels_last)
        condition = None
        if labels is not None:
            condition = F.one_hot(labels, len(batches.data.class_names)).float()
        return images, labels, condition

    def model_condition(self, condition: torch.Tensor | None) -> torch.Tensor | None:
        return condition if self.model.class_names else None


class Reconstruction(Objective):
    """Autoencoder, and VAE by the negative evidence lower bound with weight β on the KL term."""

    def loss(self, images, labels, condition, noise):
        decoded, kl, parts = self.reconstruct(images, self.model_condition(condition), noise)
        error = reconstruction_error(self.config.objective.reconstruction, decoded, images)
        return (error + self.config.objective.beta * kl).mean(), {"reconstruction": error.mean(), **parts}

    def reconstruct(
        self, images: torch.Tensor, condition: torch.Tensor | None, noise: Noise
    ) -> tuple[torch.Tensor, torch.Tensor, Logs]:
        if self.config.objective.type == "autoencoder":
            return self.run_model(images, condition), images.new_zeros(len(images)), {}
        mean, log_variance = self.model.posterior(images, condition)
        latents = mean + noise.normal(self.model.latent_dim) * torch.exp(0.5 * log_variance)
        kl = losses.kl_divergence(mean.float(), log_variance.float())
        return self.model.decode(latents, condition), kl, {"kl": kl.mean()}


class Classification(Objective):
    """Cross-entropy with label smoothing."""

    def loss(self, images, labels, condition, noise):
        logits = self.run_model(images).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=self.config.objective.label_smoothing)
        return loss, {"accuracy": (logits.argmax(dim=1) == labels).float().mean()}


class Adversarial(Objective):
    """Generator against discriminator: ``critic_steps`` discriminator updates, then one of the generator.

    The generator's images of the last discriminator update are judged again after it, so that they are made once.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.batches_per_update = self.config.accumulation * self.config.objective.critic_steps

    def update(self, batches: Batches, step: int, noise: Noise) -> Logs:
        parts, logs = self.config.accumulation, {}
        numbers = range(step * self.batches_per_update, (step + 1) * self.batches_per_update)
        self.updaters["discriminator"].freeze(False)
        for first in range(0, len(numbers), parts):
            last = first + parts == len(numbers)
            made = []
            for number in numbers[first : first + parts]:
                images, _, condition = self.prepare(batches, number, noise)
                with self.accelerator.autocast(), torch.set_grad_enabled(last):
                    fake, extra = self.make_fake(images, condition, noise)
                made.append((images, fake, condition, extra))
                loss, judged = self.discriminator_loss(images, fake.detach(), condition, noise)
                self.updaters["discriminator"].backward(loss / parts)
                if last:
                    add(logs, {"discriminator_loss": loss, **judged}, parts)
            self.updaters["discriminator"].step()
            self.clip_weights()
        self.updaters["discriminator"].freeze(True)
        for images, fake, condition, extra in made:
            loss, judged = self.generator_loss(images, fake, condition, extra, noise)
            self.updaters["model"].backward(loss / parts)
            add(logs, {"generator_loss": loss, **judged}, parts)
        self.updaters["model"].step()
        return logs

    def make_fake(
        self, images: torch.Tensor, condition: torch.Tensor | None, noise: Noise
    ) -> tuple[torch.Tensor, Logs]:
        """Fake images like the batch, and what the generator's loss needs beside them."""
        return self.run_model(noise.normal(self.model.latent_dim), self.model_condition(condition)), {}

    def judge(self, images: torch.Tensor, condition: torch.Tensor | None, noise: Noise) -> torch.Tensor:
        """float32 logits of augmented images."""
        with self.accelerator.autocast():
            images = diffaugment(images, self.config.objective.diffaugment, noise)
            return self.run_discriminator(images, self.seen(condition)).float()

    def seen(self, condition: torch.Tensor | None) -> torch.Tensor | None:
        return condition if self.discriminator.class_names else None

    def discriminator_loss(
        self, real: torch.Tensor, fake: torch.Tensor, condition: torch.Tensor | None, noise: Noise
    ) -> tuple[torch.Tensor, Logs]:
        objective = self.config.objective
        real_logits, fake_logits = self.judge(real, condition, noise), self.judge(fake, condition, noise)
        loss = losses.discriminator_loss(objective.loss, real_logits, fake_logits).mean()
        logs = {
            "d_real": torch.sigmoid(real_logits).mean(),
            "d_fake_before": torch.sigmoid(fake_logits).mean(),
            "accuracy_real": (real_logits > self.boundary).float().mean(),
            "accuracy_fake": (fake_logits <= self.boundary).float().mean(),
        }

        def critic(images: torch.Tensor) -> torch.Tensor:  # uncompiled: its gradient is differentiated again
            return self.discriminator(images, self.seen(condition)).float()

        if objective.gradient_penalty:
            penalty = losses.gradient_penalty(critic, real, fake, noise.uniform()).mean()
            loss = loss + objective.gradient_penalty * penalty
            logs["gradient_penalty"] = penalty
        if objective.r1:
            penalty = losses.r1_penalty(critic, real).mean()
            loss = loss + objective.r1 * penalty
            logs["r1"] = penalty
        return loss, logs

    def generator_loss(
        self,
        images: torch.Tensor,
        fake: torch.Tensor,
        condition: torch.Tensor | None,
        extra: Logs,
        noise: Noise,
    ) -> tuple[torch.Tensor, Logs]:
        logits = self.judge(fake, condition, noise)
        loss = losses.generator_loss(self.config.objective.loss, logits).mean()
        return loss, {"d_fake_after": torch.sigmoid(logits).mean()}

    @property
    def boundary(self) -> float:
        """The logit between "fake" and "real": targets 0 and 1 for least squares, else the sign."""
        return 0.5 if self.config.objective.loss == "least_squares" else 0.0

    @torch.no_grad()
    def clip_weights(self) -> None:
        if self.config.objective.clip:
            for parameter in self.discriminator.parameters():
                parameter.clamp_(-self.config.objective.clip, self.config.objective.clip)


class VAEGAN(Adversarial):
    """VAE whose reconstruction error is measured in a discriminator's features (Larsen et al., 2016)."""

    def make_fake(self, images, condition, noise):
        condition = self.model_condition(condition)
        mean, log_variance = self.model.posterior(images, condition)
        latents = mean + noise.normal(self.model.latent_dim) * torch.exp(0.5 * log_variance)
        kl = losses.kl_divergence(mean.float(), log_variance.float())
        return self.model.decode(latents, condition), {"kl": kl}

    def generator_loss(self, images, fake, condition, extra, noise):
        objective = self.config.objective
        with self.accelerator.autocast():
            with torch.no_grad():
                target = self.discriminator.features(images, self.seen(condition)).float()
            features = self.discriminator.features(fake, self.seen(condition)).float()
        similarity = (features - target).square().sum(dim=1)
        adversarial, logs = super().generator_loss(images, fake, condition, extra, noise)
        pixels = reconstruction_error(objective.reconstruction, fake, images)
        loss = (similarity + pixels + objective.beta * extra["kl"]).mean() + objective.adversarial_weight * adversarial
        parts = {"reconstruction": pixels.mean(), "similarity": similarity.mean(), "kl": extra["kl"].mean()}
        return loss, {**logs, **parts}


OBJECTIVES = {
    "autoencoder": Reconstruction,
    "vae": Reconstruction,
    "adversarial": Adversarial,
    "vae_gan": VAEGAN,
    "classifier": Classification,
}


def reconstruction_error(kind: str, decoded: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """(n,) error of signed images, measured on pixels in [0, 1] and in float32 whatever the autocast."""
    with torch.autocast(images.device.type, enabled=False):
        decoded, images = im.signed_to_unit(decoded.float()).clamp(0, 1), im.signed_to_unit(images.float())
        return losses.reconstruction_loss(kind, decoded, images)


def add(logs: Logs, values: Logs, parts: int) -> None:
    """Average ``values`` of ``parts`` parts of a batch into ``logs``, without gradients."""
    for name, value in values.items():
        logs[name] = logs.get(name, 0) + value.detach() / parts
