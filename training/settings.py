"""The settings of a training run: typed, and written into the run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import yaml


class ConfigError(ValueError):
    """A recipe or an override is wrong; the message names the key, what it got and what is allowed."""


def make_folder(path: Path, option: str) -> None:
    """Make the folder that an option names, unless it is there. Raises ConfigError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option}: {path} is no folder and cannot be made one ({error.strerror})") from error


@dataclasses.dataclass(kw_only=True)
class DataConfig:
    """How the dataset is read, chosen from and augmented.

    Args:
        split: name of the split that is trained on.
        image_column, label_column: found by their type where left out.
        image_size: images are centre-cropped and resized to this side; None keeps the size of the first image.
        channels: 1 (grey) or 3 (colour); None keeps those of the first image.
        limit: use only the first so many images.
        streaming: read while training instead of decoding everything first; for sets that do not fit in memory.
        repeats: of sets joined by ``+``, how often each one's images come in a pass over all; by default each once.
        exclude_classes: names of classes that are not trained on, so that an autoencoder can be asked whether it finds
            their images anomalous. The labels of the others keep their meaning.
        outliers: share of the training images that is left out: those that ``outlier_model`` reconstructs worst.
        outlier_model: an autoencoder of these images: a bundled name, a folder such as a run's ``final/``, a Hub id.
        oversample: train on so many times the images, drawn from the set with replacement. The budget counts images
            seen, so a larger set makes no longer run: it is seen less often, and some images more often than others.
        sharpen: weight of an unsharp mask on the training images; 0 leaves them.
        flip, vertical_flip: mirror half of the images horizontally, vertically.
        rotate: largest rotation in degrees, either way.
        shift: largest shift as a share of the side, in both directions.
        cutmix: share of the images that get a rectangle of another one, with its share of that one's label (Yun et al.,
            2019).
    """

    split: str = "train"
    image_column: str | None = None
    label_column: str | None = None
    image_size: int | None = None
    channels: Literal[1, 3] | None = None
    limit: int | None = None
    streaming: bool = False
    repeats: list[int] = dataclasses.field(default_factory=list)
    exclude_classes: list[str] = dataclasses.field(default_factory=list)
    outliers: float = 0.0
    outlier_model: str | None = None
    oversample: float = 1.0
    sharpen: float = 0.0
    flip: bool = False
    vertical_flip: bool = False
    rotate: float = 0.0
    shift: float = 0.0
    cutmix: float = 0.0


@dataclasses.dataclass(kw_only=True)
class ObjectiveConfig:
    """What is minimised.

    Args:
        type: ``autoencoder``, ``vae``, ``adversarial``, ``vae_gan``, ``classifier``, ``diffusion``, ``distillation``,
            ``adversarial_distillation``, ``latent_autoencoder`` or ``text_to_image``.
        loss: adversarial: ``bce``, ``least_squares``, ``hinge``, ``wasserstein`` or ``relativistic``.
        reconstruction: autoencoder and VAE: ``mse``, ``l1`` or ``bce`` (of pixels in [0, 1]), summed per image.
        beta: weight of the KL divergence (Higgins et al., 2017).
        adversarial_weight: weight of the adversarial loss in ``vae_gan`` and ``adversarial_distillation``.
        classifier, class_weight: adversarial, for a conditional generator: a frozen classifier, by bundled name, folder
            or Hub id, and the weight of its cross-entropy on the class asked for (Odena et al., 2017, train it along).
        prior_share: share of the discriminator's fake images that are samples of the prior in ``vae_gan``; the others
            are reconstructions. Larsen et al. (2016) show it as many of both.
        label_smoothing: classifier: share of the target spread over all classes.
        critic_steps: discriminator updates per generator update.
        clip: Wasserstein GAN: critic weights are clipped to ±clip after each update; 0 leaves them.
        gradient_penalty: weight of the penalty on the critic's gradient norm between real and fake (WGAN-GP).
        r1, r2: weights of the zero-centred gradient penalty on real and on fake images (Mescheder et al., 2018). With a
            relativistic loss and no other normalisation, both together train stably (Huang et al., 2024).
        diffaugment: any of ``color``, ``translation``, ``cutout`` on real and fake alike (Zhao et al., 2020).
        label_dropout: diffusion, text_to_image: share of images shown without their class or caption, for guidance
            (Ho & Salimans, 2021).
        min_snr: diffusion, distillation, text_to_image: largest weight of a timestep's error in the clean image
            (Hang et al., 2023); 0 weighs all predictions alike.
        teacher: distillation of either kind: a diffusion model of the same shape: bundled name, folder or Hub id.
        substeps: distillation: steps of the teacher that one of the student's stands for.
        guidance_scale: distillation: of the teacher; the student then needs none.
    """

    type: Literal[
        "autoencoder",
        "vae",
        "adversarial",
        "vae_gan",
        "classifier",
        "diffusion",
        "distillation",
        "adversarial_distillation",
        "latent_autoencoder",
        "text_to_image",
    ]
    loss: Literal["bce", "least_squares", "hinge", "wasserstein", "relativistic"] = "bce"
    reconstruction: Literal["mse", "l1", "bce"] = "mse"
    beta: float = 1.0
    adversarial_weight: float = 1.0
    classifier: str = ""
    class_weight: float = 0.0
    prior_share: float = 0.0
    label_smoothing: float = 0.0
    critic_steps: int = 1
    clip: float = 0.0
    gradient_penalty: float = 0.0
    r1: float = 0.0
    r2: float = 0.0
    diffaugment: list[Literal["color", "translation", "cutout"]] = dataclasses.field(default_factory=list)
    label_dropout: float = 0.1
    min_snr: float = 0.0
    teacher: str = ""
    substeps: int = 4
    guidance_scale: float = 1.0


@dataclasses.dataclass(kw_only=True)
class OptimizerConfig:
    """One network's optimiser. Adam and AdamW read ``betas``, SGD and RMSprop ``momentum``."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    lr: float = 2e-4
    betas: list[float] = dataclasses.field(default_factory=lambda: [0.5, 0.999])
    momentum: float = 0.0
    weight_decay: float = 0.0


@dataclasses.dataclass(kw_only=True)
class ScheduleConfig:
    """Learning rate over the run, as a factor: from 1 (after ``warmup`` steps) to ``final`` at the end of the budget.

    ``exponential`` falls by a constant ratio per step and so needs ``final`` above 0.
    """

    name: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    warmup: int = 0
    final: float = 0.01


@dataclasses.dataclass(kw_only=True)
class TrainConfig:
    """A training run.

    Args:
        name: of the model; also of its run folder.
        recipe: the name of the recipe that the run was started from; the command fills it in.
        description: one or two sentences: what this is, after whom, and where it departs from them.
        dataset: ``digits``, a Hub id, a folder of parquet files or a folder of images.
        model: ``class`` and its constructor arguments; image_size, channels and, where a row reads the label,
            class_names come from the data.
        discriminator: ``stages`` of a GenHubDiscriminator, for the adversarial objectives; for a
            GenHubProjectedDiscriminator also ``guide``, a classifier by bundled name, folder or Hub id, and ``heads``.
        objective, data, schedule: see their own classes. optimizer, discriminator_optimizer: one per network.
        init, init_std: how weights are drawn, see ``GenHubModel.initialize``.
        init_from, discriminator_init_from: a model whose weights, and one whose discriminator's, the run starts from
            instead: bundled name, folder or Hub id.
        max_steps, max_images, max_minutes: the budget; whichever is reached first ends the run. Schedules are laid
            over the first of max_steps and max_images that is given, else over max_minutes.
        batch_size: images per process and update. ``accumulation`` splits it into that many parts, to save memory: all
            that a step takes, but of an adversarial objective only what its critic takes.
        clip_norm: largest gradient norm; 0 does not clip.
        ema: decay of the averaged weights, which are what is saved; 0 keeps none.
        mixed_precision: ``no``, ``bf16`` or ``fp16``, by Accelerate. CPUs that have bf16 instructions gain by it, too.
        compile: use torch.compile.
        threads: CPU threads per process; None shares the cores that this machine grants among its processes.
        seed: of everything: initial weights, order, noise, augmentation.
        log_every, checkpoint_every: in steps.
        samples: images in the grid of fixed latents, drawn once per epoch and at the end.
        evaluation_samples: images generated to measure the finished model.
        output_dir: where run folders are made.
        trackers: any of trackio, tensorboard; log.jsonl is always written.
    """

    name: str
    dataset: str
    objective: ObjectiveConfig
    model: dict[str, Any]
    recipe: str = ""
    description: str = ""
    discriminator: dict[str, Any] | None = None
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    discriminator_optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    init: Literal["default", "normal", "xavier", "orthogonal"] = "normal"
    init_std: float = 0.02
    init_from: str | None = None
    discriminator_init_from: str | None = None
    max_steps: int | None = None
    max_images: int | None = None
    max_minutes: float | None = None
    batch_size: int = 128
    accumulation: int = 1
    clip_norm: float = 0.0
    ema: float = 0.999
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    compile: bool = False
    threads: int | None = None
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 500
    samples: int = 100
    evaluation_samples: int = 10_000
    output_dir: str = "runs"
    trackers: list[Literal["trackio", "tensorboard"]] = dataclasses.field(default_factory=list)


def to_yaml(config: TrainConfig) -> str:
    """The resolved config as a recipe that ``parse_config`` reads back equal."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)
