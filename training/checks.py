"""What the types of a config allow and training does not: each is one error that names the key."""

from __future__ import annotations

import dataclasses
import inspect
import math
import operator
import re
from typing import Any

from genhub.errors import nearest
from genhub.models.base import CLASSES
from genhub.models.latent import MAX_IMAGES
from training.pipelines import LatentAutoencoder, TextToImage
from training.settings import ConfigError, TrainConfig

ADVERSARIAL = ("loss", "critic_steps", "clip", "gradient_penalty", "r1", "r2", "diffaugment")
# What each objective reads of ObjectiveConfig, and the model it trains.
READS = {
    "autoencoder": ("reconstruction",),
    "vae": ("reconstruction", "beta"),
    "adversarial": (*ADVERSARIAL, "classifier", "class_weight"),
    "classifier": ("label_smoothing",),
    "diffusion": ("label_dropout", "min_snr"),
    "distillation": ("teacher", "substeps", "guidance_scale", "min_snr"),
    "latent_autoencoder": ("reconstruction", "beta"),
    "text_to_image": ("label_dropout", "min_snr"),
}
READS["adversarial_distillation"] = (*READS["distillation"], *ADVERSARIAL, "adversarial_weight")
READS["vae_gan"] = (*READS["vae"], *ADVERSARIAL, "adversarial_weight", "prior_share")
TRAINS = {
    "autoencoder": ("GenHubAE",),
    "vae": ("GenHubVAE",),
    "adversarial": ("GenHubGAN", "GenHubCGAN"),
    "vae_gan": ("GenHubVAE",),
    "classifier": ("GenHubClassifier",),
    "diffusion": ("GenHubDiffusion",),
    "distillation": ("GenHubDiffusion",),
    "adversarial_distillation": ("GenHubDiffusion",),
    "latent_autoencoder": ("AutoencoderKL",),
    "text_to_image": ("StableDiffusionPipeline",),
}
HAVE_CRITIC = ("adversarial", "vae_gan", "adversarial_distillation")
PIPELINES = {"AutoencoderKL": LatentAutoencoder, "StableDiffusionPipeline": TextToImage}
MOMENTA = {"adam": ("betas",), "adamw": ("betas",), "sgd": ("momentum",), "rmsprop": ("momentum",)}
FROM_DATA = ("image_size", "channels", "class_names", "dataset")  # constructor arguments that a recipe does not give


def check_values(config: TrainConfig) -> None:
    """Raise ConfigError for values that the types allow and training does not."""
    if not re.fullmatch(r"\w[\w.-]*", config.name):
        raise ConfigError(f"name: expected letters, digits, '-', '_' and '.', got {config.name!r}; it names a folder")
    check_networks(config)
    check_ranges(config)
    reads = {"type", *READS[config.objective.type]}
    check_unused(config.objective, reads, "objective", f"objective {config.objective.type!r}")
    for name in ("optimizer", "discriminator_optimizer"):
        optimizer = getattr(config, name)
        reads = {"name", "lr", "weight_decay", *MOMENTA[optimizer.name]}
        check_unused(optimizer, reads, name, f"optimizer {optimizer.name!r}")
    if config.objective.type not in HAVE_CRITIC:
        check_unused(
            config.discriminator_optimizer, set(), "discriminator_optimizer", f"objective {config.objective.type!r}"
        )
    if not any((config.max_steps, config.max_images, config.max_minutes)):
        raise ConfigError("max_steps, max_images, max_minutes: give at least one; a run needs an end")
    if config.batch_size % config.accumulation:
        raise ConfigError(f"accumulation: {config.accumulation} does not divide the batch size {config.batch_size}")
    check_data(config)


def check_data(config: TrainConfig) -> None:
    """Raise ConfigError for choices of images that do not go together."""
    data = config.data
    if bool(data.outliers) != (data.outlier_model is not None):
        raise ConfigError(
            "data.outliers, data.outlier_model: give the share that is left out together with the autoencoder that "
            f"finds it, or neither; got {data.outliers} and {data.outlier_model!r}"
        )
    if data.oversample < 1:
        raise ConfigError(f"data.oversample: expected at least 1, got {data.oversample}; use data.limit for fewer")
    if data.streaming and (data.outliers or data.oversample != 1 or data.exclude_classes or data.repeats):
        raise ConfigError(
            "data.streaming: a stream has no outliers or classes to leave out and cannot be oversampled or repeated; "
            "leave it out"
        )
    if data.cutmix and config.batch_size // config.accumulation % 2:
        raise ConfigError(
            f"data.cutmix: mixes pairs of neighbours, got {config.batch_size // config.accumulation} images at once; "
            "make batch_size / accumulation even"
        )


def check_unused(section: Any, reads: set[str], where: str, reader: str) -> None:
    """Raise ConfigError for a value other than the default that nothing would read."""
    for field in dataclasses.fields(section):
        default = field.default if field.default is not dataclasses.MISSING else None
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if field.name not in reads and getattr(section, field.name) != default:
            used = f"it uses {', '.join(sorted(reads))}" if reads else "remove it"
            raise ConfigError(f"{where}.{field.name}: {reader} does not use it; {used}")


def check_networks(config: TrainConfig) -> None:
    """Raise ConfigError unless model and discriminator have the arguments of classes that the objective trains."""
    kind, classes = config.objective.type, TRAINS[config.objective.type]
    if config.model.get("class") not in classes:
        got = config.model.get("class")
        raise ConfigError(f"model.class: objective {kind!r} cannot train {got!r}; {nearest(got, classes)}")
    if kind in HAVE_CRITIC and not config.discriminator:
        raise ConfigError(f"discriminator: objective {kind!r} needs one; give its stages")
    if kind not in HAVE_CRITIC and config.discriminator:
        raise ConfigError(f"discriminator: objective {kind!r} has none; remove it")
    if config.discriminator_init_from and not config.discriminator:
        raise ConfigError(f"discriminator_init_from: objective {kind!r} has no discriminator; remove it")
    check_class_loss(config)
    model_class = {**CLASSES, **PIPELINES}[config.model["class"]]
    signature = inspect.signature(model_class.__init__).parameters
    allowed = ["class", *(name for name in signature if name not in ("self", *FROM_DATA))]
    sections = [("model", config.model, allowed)]
    if config.discriminator:
        guided = config.discriminator.keys() & {"guide", "heads"}
        keys = ["stages", "guide", "heads"] if guided else ["stages"]
        sections.append(("discriminator", config.discriminator, keys))
    for section, values, keys in sections:
        for key in values:
            if key not in keys:
                raise ConfigError(f"{section}.{key}: no such key; {nearest(key, keys)}")
        for key in keys:
            optional = key in signature and signature[key].default is not inspect.Parameter.empty
            if key not in values and not optional:
                raise ConfigError(f"{section}.{key}: missing; the recipe must give it")
    latent_dim = config.model.get("latent_dim", 1)
    if type(latent_dim) is not int or latent_dim < 1:
        raise ConfigError(f"model.latent_dim: expected a whole number above 0, got {latent_dim!r}")


def check_class_loss(config: TrainConfig) -> None:
    """Raise ConfigError unless a generator that a classifier is to lead can be led."""
    objective = config.objective
    if bool(objective.class_weight) != bool(objective.classifier):
        raise ConfigError(
            "objective.classifier, objective.class_weight: give the classifier together with the weight of its loss, "
            f"or neither; got {objective.classifier!r} and {objective.class_weight}"
        )
    if objective.class_weight and config.model["class"] != "GenHubCGAN":
        raise ConfigError(
            f"objective.class_weight: a {config.model['class']} is asked for no class; "
            "leave it out, or train a GenHubCGAN"
        )


ABOVE_ZERO = (
    "batch_size accumulation log_every checkpoint_every max_steps max_images max_minutes threads init_std "
    "objective.substeps objective.critic_steps optimizer.lr discriminator_optimizer.lr data.limit data.image_size "
    "data.repeats"
)
NOT_NEGATIVE = (
    "clip_norm objective.guidance_scale objective.min_snr objective.class_weight "
    "objective.beta objective.adversarial_weight objective.clip objective.gradient_penalty objective.r1 objective.r2 "
    "optimizer.momentum optimizer.weight_decay discriminator_optimizer.momentum discriminator_optimizer.weight_decay "
    "schedule.warmup schedule.final data.rotate data.sharpen data.oversample"
)
SHARES = (
    "ema objective.label_dropout objective.label_smoothing data.shift data.outliers "
    "optimizer.betas discriminator_optimizer.betas"
)


def check_ranges(config: TrainConfig) -> None:
    """Raise ConfigError for a number out of its range; NaN is out of every range."""
    rules = (
        (ABOVE_ZERO, "more than 0", lambda x: 0 < x < math.inf),
        ("samples evaluation_samples", f"1…{MAX_IMAGES}", lambda x: 0 < x <= MAX_IMAGES),
        (NOT_NEGATIVE, "at least 0", lambda x: 0 <= x < math.inf),
        (SHARES, "at least 0 and less than 1", lambda x: 0 <= x < 1),
        ("data.cutmix objective.prior_share", "a share from 0 to 1", lambda x: 0 <= x <= 1),
        ("seed", "0…2³²−1", lambda x: 0 <= x < 2**32),
    )
    for keys, expected, holds in rules:
        for key in keys.split():
            value = operator.attrgetter(key)(config)
            numbers = value if isinstance(value, list) else [] if value is None else [value]
            if not all(map(holds, numbers)):
                raise ConfigError(f"{key}: expected {expected}, got {value}")
    for key in ("optimizer", "discriminator_optimizer"):
        if len(getattr(config, key).betas) != 2:
            raise ConfigError(f"{key}.betas: expected two numbers, got {getattr(config, key).betas}")
    if config.schedule.name == "exponential" and config.schedule.final <= 0:
        raise ConfigError("schedule.final: an exponential decay never reaches 0; give a number above it")
