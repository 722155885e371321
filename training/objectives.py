"""What each family minimises. An objective makes one update of its networks and returns what is worth logging."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from genhub import images as im
from genhub import losses
from genhub.data import ImageSet
from genhub.models import GenHubModel, GenHubVAE
from training.augment import augment, cutmix, diffaugment
from training.batches import Batches, Noise
from training.networks import Discriminator, load_classifier
from training.optimization import Updater
from training.settings import ConfigError, TrainConfig

Logs = dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Part:
    """What one forward pass takes: a batch, or one of the parts that an accumulated batch is split into."""

    images: torch.Tensor  # signed (n, C, H, W), augmented
    labels: torch.Tensor | None  # int64 (n,)
    condition: torch.Tensor | None  # class weights (n, num_classes), mixed where images are
    noise: Noise


class Objective:
    """Base: holds the networks and their updaters, and prepares batches.

    One call of ``update`` reads ``batches_per_update`` batches, numbered from ``step * batches_per_update``.
    """

    batches_per_update = 1

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        model: GenHubModel,
        discriminator: Discriminator | None,
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.model, self.discriminator = model, discriminator
        optimizers = {"model": config.optimizer, "discriminator": config.discriminator_optimizer}
        self.updaters = {
            name: Updater(accelerator, network, optimizers[name], config.clip_norm)
            for name, network in self.networks.items()
        }
        compiled: Callable = torch.compile if config.compile else (lambda function: function)
        self.run_model, self.run_discriminator = compiled(model), compiled(discriminator) if discriminator else None
        if isinstance(model, GenHubVAE):
            self.posterior, self.decode = compiled(model.posterior), compiled(model.decode)

    @property
    def networks(self) -> dict[str, nn.Module]:
        found = {"model": self.model, "discriminator": self.discriminator}
        return {name: network for name, network in found.items() if network is not None}

    def update(self, batches: Batches, step: int) -> Logs:
        """One optimiser step of the model. Subclasses give ``loss``; adversarial ones replace this."""
        logs: Logs = {}
        for part in self.parts(batches, step):
            with self.accelerator.autocast():
                loss, values = self.loss(part)
            self.updaters["model"].backward(loss / self.config.accumulation)
            add(logs, {"loss": loss, **values}, self.config.accumulation)
        self.updaters["model"].step()
        return logs

    def quality(self, model: nn.Module, probe: ImageSet) -> dict[str, float]:
        """What a checkpoint's averaged weights are judged by, where it is not what ``evaluate.measure`` finds."""
        return {}

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        """Scalar loss, and what of it is worth logging."""
        raise TypeError(f"{type(self).__name__} has no single loss")

    def parts(self, batches: Batches, number: int) -> Iterator[Part]:
        """Batch ``number``, prepared, in ``accumulation`` parts of equal size."""
        pixels, labels = batches.at(number)
        size = batches.size // self.config.accumulation
        for first in range(0, batches.size, size):
            start = batches.rank * batches.size + first  # in the global batch
            key = (self.config.seed, number)
            noise = Noise(key, (start, start + size), batches.global_size, batches.device)
            images = augment(im.to_signed(pixels[first : first + size]), self.config.data, noise)
            part_labels = condition = None
            if labels is not None:
                part_labels = labels[first : first + size]
                condition = F.one_hot(part_labels, len(batches.data.class_names)).float()
            if self.config.data.cutmix:
                images, condition = cutmix(images, condition, self.config.data.cutmix, noise)
            yield Part(images.contiguous(memory_format=torch.channels_last), part_labels, condition, noise)

    def model_condition(self, part: Part) -> torch.Tensor | None:
        return part.condition if self.model.class_names else None

    def autoencode(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """A VAE's images decoded from ``sample_posterior``, and its KL divergence (n,)."""
        latents, kl = self.sample_posterior(part)
        return self.decode(latents, self.model_condition(part)), kl

    def sample_posterior(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """A sample of a VAE's posterior for each image (n, latent_dim), and its KL divergence from the prior (n,)."""
        mean, log_variance = self.posterior(part.images, self.model_condition(part))
        latents = mean + part.noise.normal(self.model.latent_dim) * torch.exp(0.5 * log_variance)
        return latents, losses.kl_divergence(mean.float(), log_variance.float())


class Autoencoder(Objective):
    """Reconstruction error."""

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        decoded = self.run_model(part.images, self.model_condition(part))
        return reconstruction_error(self.config.objective.reconstruction, decoded, part.images).mean(), {}


class VAE(Objective):
    """Negative evidence lower bound with weight β on the KL term (Higgins et al., 2017)."""

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        decoded, kl = self.autoencode(part)
        error = reconstruction_error(self.config.objective.reconstruction, decoded, part.images)
        loss = (error + self.config.objective.beta * kl).mean()
        return loss, {"reconstruction": error.mean(), "kl": kl.mean()}


class Classification(Objective):
    """Cross-entropy with label smoothing."""

    def loss(self, part: Part) -> tuple[torch.Tensor, Logs]:
        logits = self.run_model(part.images).float()
        loss = F.cross_entropy(logits, part.condition, label_smoothing=self.config.objective.label_smoothing)
        return loss, {"accuracy": (logits.argmax(dim=1) == part.labels).float().mean()}


class Adversarial(Objective):
    """Generator against discriminator: ``critic_steps`` discriminator updates, then one of the generator.

    The generator's images of the last discriminator update are judged again after it, so that they are made once.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        objective = self.config.objective
        self.batches_per_update = objective.critic_steps
        if objective.class_weight:
            classifier = load_classifier(objective.classifier, self.model, "objective.classifier")
            if classifier.class_names != self.model.class_names:
                raise ConfigError(
                    f"objective.classifier: {objective.classifier} tells apart {', '.join(classifier.class_names)}; "
                    f"this model is asked for {', '.join(self.model.class_names)}"
                )
            self.classifier = classifier.to(self.accelerator.device)

    def update(self, batches: Batches, step: int) -> Logs:
        model, critic = self.updaters["model"], self.updaters["discriminator"]
        count, logs = self.config.accumulation, {}
        critic.freeze(False)
        for i in range(self.batches_per_update):
            last = i + 1 == self.batches_per_update
            made = []
            for part in self.parts(batches, step * self.batches_per_update + i):
                with self.accelerator.autocast(), torch.set_grad_enabled(last):
                    fake, extra = self.make_fake(part)
                loss, values = self.discriminator_loss(part, fake.detach())
                critic.backward(loss / count)
                if last:
                    made.append((part, fake, extra))
                    add(logs, {"discriminator_loss": loss, **values}, count)
            critic.step()
            self.clip_weights()
        critic.freeze(True)
        for part, fake, extra in made:
            loss, values = self.generator_loss(part, fake, extra)
            model.backward(loss / count)
            add(logs, {"generator_loss": loss, **values}, count)
        model.step()
        return logs

    def make_fake(self, part: Part) -> tuple[torch.Tensor, Logs]:
        """Fake images like the part's, and what the generator's loss needs beside them."""
        return self.run_model(part.noise.normal(self.model.latent_dim), self.model_condition(part)), {}

    def judge(self, images: torch.Tensor, part: Part) -> torch.Tensor:
        """float32 logits of images, augmented if the recipe says so."""
        with self.accelerator.autocast():
            images = diffaugment(images, self.config.objective.diffaugment, part.noise)
            return self.run_discriminator(images, self.critic_condition(part)).float()

    def critic_condition(self, part: Part) -> torch.Tensor | None:
        return part.condition if self.discriminator.class_names else None

    def discriminator_loss(self, part: Part, fake: torch.Tensor) -> tuple[torch.Tensor, Logs]:
        objective = self.config.objective
        real_logits, fake_logits = self.judge(part.images, part), self.judge(fake, part)
        loss = losses.discriminator_loss(objective.loss, real_logits, fake_logits).mean()
        if objective.loss == "wasserstein":  # its scores have no zero: only their difference means anything
            logs = {"wasserstein_distance": (real_logits - fake_logits).mean()}
        elif objective.loss == "relativistic":  # nor have these
            logs = {"accuracy_pairs": (real_logits > fake_logits).float().mean()}
        else:
            logs = {
                "d_real": self.opinion(real_logits).mean(),
                "d_fake_before": self.opinion(fake_logits).mean(),
                "accuracy_real": (self.opinion(real_logits) > 0.5).float().mean(),
                "accuracy_fake": (self.opinion(fake_logits) <= 0.5).float().mean(),
            }

        def critic(images: torch.Tensor) -> torch.Tensor:  # uncompiled: its gradient is differentiated again
            return self.discriminator(images, self.critic_condition(part)).float()

        if objective.gradient_penalty:
            penalty = losses.gradient_penalty(critic, part.images, fake, part.noise.uniform()).mean()
            loss = loss + objective.gradient_penalty * penalty
            logs["gradient_penalty"] = penalty
        for name, weight, images in (("r1", objective.r1, part.images), ("r2", objective.r2, fake)):
            if weight:
                penalty = losses.zero_centred_penalty(critic, images).mean()
                loss = loss + weight * penalty
                logs[name] = penalty
        return loss, logs

    def generator_loss(self, part: Part, fake: torch.Tensor, extra: Logs) -> tuple[torch.Tensor, Logs]:
        kind, logits, real_logits = self.config.objective.loss, self.judge(fake, part), None
        if kind == "relativistic":
            with torch.no_grad():
                real_logits = self.judge(part.images, part)
        loss = losses.generator_loss(kind, logits, real_logits).mean()
        logs = {} if kind in ("wasserstein", "relativistic") else {"d_fake_after": self.opinion(logits).mean()}
        if self.config.objective.class_weight:
            with self.accelerator.autocast():
                classes = self.classifier(fake).float()
            class_loss = F.cross_entropy(classes, part.condition)
            loss = loss + self.config.objective.class_weight * class_loss
            logs["class_loss"] = class_loss
        return loss, logs

    def opinion(self, logits: torch.Tensor) -> torch.Tensor:
        """How real images look: 0 is fake and 1 is real, to least squares the very targets."""
        return logits if self.config.objective.loss == "least_squares" else torch.sigmoid(logits)

    @torch.no_grad()
    def clip_weights(self) -> None:
        if self.config.objective.clip:
            for parameter in self.updaters["discriminator"].parameters:
                parameter.clamp_(-self.config.objective.clip, self.config.objective.clip)


class VAEGAN(Adversarial):
    """VAE whose reconstruction error is measured in a discriminator's features (Larsen et al., 2016).

    Its fake images are reconstructions and, for ``prior_share`` of them, samples of the prior.
    """

    def make_fake(self, part: Part) -> tuple[torch.Tensor, Logs]:
        share, condition = self.config.objective.prior_share, self.model_condition(part)
        latents, kl = self.sample_posterior(part)
        if not share:
            decoded = fake = self.decode(latents, condition)
        else:  # in one pass, so that batch norm treats both alike
            latents = torch.cat([latents, part.noise.normal(self.model.latent_dim)])
            both = self.decode(latents, None if condition is None else condition.repeat(2, 1))
            decoded, sampled = both.chunk(2)
            fake = torch.where(part.noise.uniform(1, 1, 1) < share, sampled, decoded)
        return fake, {"decoded": decoded, "kl": kl}

    def generator_loss(self, part: Part, fake: torch.Tensor, extra: Logs) -> tuple[torch.Tensor, Logs]:
        objective, condition, decoded = self.config.objective, self.critic_condition(part), extra["decoded"]
        with self.accelerator.autocast():
            with torch.no_grad():
                target = self.discriminator.features(part.images, condition).float()
            features = self.discriminator.features(decoded, condition).float()
        similarity = (features - target).square().sum(dim=1)
        adversarial, logs = super().generator_loss(part, fake, extra)
        pixels = reconstruction_error(objective.reconstruction, decoded, part.images)
        loss = (similarity + pixels + objective.beta * extra["kl"]).mean() + objective.adversarial_weight * adversarial
        values = {"reconstruction": pixels.mean(), "similarity": similarity.mean(), "kl": extra["kl"].mean()}
        return loss, {**logs, **values}


def reconstruction_error(kind: str, decoded: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """(n,) error of signed images, measured on pixels in [0, 1] and in float32 whatever the autocast."""
    with torch.autocast(images.device.type, enabled=False):
        decoded, images = im.signed_to_unit(decoded.float()), im.signed_to_unit(images.float())
        if kind == "bce":  # defined for probabilities alone; elsewhere a clamp would hide what an open decoder overdoes
            decoded = decoded.clamp(0, 1)
        return losses.reconstruction_loss(kind, decoded, images)


def add(logs: Logs, values: Logs, parts: int) -> None:
    """Average ``values`` of ``parts`` parts of a batch into ``logs``, without gradients."""
    for name, value in values.items():
        logs[name] = logs.get(name, 0) + value.detach() / parts
