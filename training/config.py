"""What a training run is made of: typed, validated once, written into the run folder.

A recipe may extend another one: ``base: cifar10/dcgan-3`` takes that recipe's keys and replaces those that it gives
itself, however deep; lists are replaced whole.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import operator
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml

from genhub.errors import nearest
from genhub.models.base import CLASSES
from training.pipelines import LatentAutoencoder, TextToImage

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "digits/cgan"


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
            ``latent_autoencoder`` or ``text_to_image``.
        loss: adversarial: ``bce``, ``least_squares``, ``hinge`` or ``wasserstein``.
        reconstruction: autoencoder and VAE: ``mse``, ``l1`` or ``bce`` (of pixels in [0, 1]), summed per image.
        beta: weight of the KL divergence (Higgins et al., 2017).
        adversarial_weight: weight of the generator's adversarial loss in ``vae_gan``.
        label_smoothing: classifier: share of the target spread over all classes.
        critic_steps: discriminator updates per generator update.
        clip: Wasserstein GAN: critic weights are clipped to ±clip after each update; 0 leaves them.
        gradient_penalty: weight of the penalty on the critic's gradient norm between real and fake (WGAN-GP).
        r1: weight of the zero-centred gradient penalty on real images (Mescheder et al., 2018).
        diffaugment: any of ``color``, ``translation``, ``cutout`` on real and fake alike (Zhao et al., 2020).
        label_dropout: diffusion, text_to_image: share of images shown without their class or caption, for guidance
            (Ho & Salimans, 2021).
        min_snr: diffusion, distillation, text_to_image: largest weight of a timestep's error in the clean image
            (Hang et al., 2023); 0 weighs all predictions alike.
        teacher: distillation: a diffusion model of the same shape: bundled name, folder or Hub id.
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
        "latent_autoencoder",
        "text_to_image",
    ]
    loss: Literal["bce", "least_squares", "hinge", "wasserstein"] = "bce"
    reconstruction: Literal["mse", "l1", "bce"] = "mse"
    beta: float = 1.0
    adversarial_weight: float = 1.0
    label_smoothing: float = 0.0
    critic_steps: int = 1
    clip: float = 0.0
    gradient_penalty: float = 0.0
    r1: float = 0.0
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
        description: one or two sentences: what this is, after whom, and where it departs from them.
        dataset: ``digits``, a Hub id, a folder of parquet files or a folder of images.
        model: ``class`` and its constructor arguments; image_size, channels and, where a row reads the label,
            class_names come from the data.
        discriminator: constructor arguments of a GenHubDiscriminator, for the adversarial objectives.
        objective, data, schedule: see their own classes. optimizer, discriminator_optimizer: one per network.
        init, init_std: how weights are drawn, see ``GenHubModel.initialize``.
        init_from: a model whose weights the run starts from instead: bundled name, folder or Hub id.
        max_steps, max_images, max_minutes: the budget; whichever is reached first ends the run. Schedules are laid
            over the first of max_steps and max_images that is given, else over max_minutes.
        batch_size: images per process and update. ``accumulation`` splits it into that many parts, to save memory.
        clip_norm: largest gradient norm; 0 does not clip.
        ema: decay of the averaged weights, which are what is saved; 0 keeps none.
        mixed_precision: ``no``, ``bf16`` or ``fp16``, by Accelerate.
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
    description: str = ""
    discriminator: dict[str, Any] | None = None
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    discriminator_optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    init: Literal["default", "normal", "xavier", "orthogonal"] = "normal"
    init_std: float = 0.02
    init_from: str | None = None
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


# What each objective reads of ObjectiveConfig, and the model it trains.
READS = {
    "autoencoder": ("reconstruction",),
    "vae": ("reconstruction", "beta"),
    "adversarial": ("loss", "critic_steps", "clip", "gradient_penalty", "r1", "diffaugment"),
    "classifier": ("label_smoothing",),
    "diffusion": ("label_dropout", "min_snr"),
    "distillation": ("teacher", "substeps", "guidance_scale", "min_snr"),
    "latent_autoencoder": ("reconstruction", "beta"),
    "text_to_image": ("label_dropout", "min_snr"),
}
READS["vae_gan"] = (*READS["vae"], *READS["adversarial"], "adversarial_weight")
TRAINS = {
    "autoencoder": ("GenHubAE",),
    "vae": ("GenHubVAE",),
    "adversarial": ("GenHubGAN", "GenHubCGAN"),
    "vae_gan": ("GenHubVAE",),
    "classifier": ("GenHubClassifier",),
    "diffusion": ("GenHubDiffusion",),
    "distillation": ("GenHubDiffusion",),
    "latent_autoencoder": ("AutoencoderKL",),
    "text_to_image": ("StableDiffusionPipeline",),
}
PIPELINES = {"AutoencoderKL": LatentAutoencoder, "StableDiffusionPipeline": TextToImage}
MOMENTA = {"adam": ("betas",), "adamw": ("betas",), "sgd": ("momentum",), "rmsprop": ("momentum",)}
FROM_DATA = ("image_size", "channels", "class_names", "dataset")  # constructor arguments that a recipe does not give


class ConfigError(ValueError):
    """A recipe or an override is wrong; the message names the key, what it got and what is allowed."""


def recipe_names() -> list[str]:
    return sorted(str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe by its name in training/recipes, or by the path of a YAML file, with its bases resolved.

    Raises ConfigError.
    """
    recipe, seen = read_file(name), [name]
    while "base" in recipe:
        base = recipe.pop("base")
        if not isinstance(base, str) or base in seen:
            raise ConfigError(f"{seen[-1]}: base: expected the name of another recipe, got {base!r}")
        for key in ("name", "description"):
            if key not in recipe:
                raise ConfigError(f"{seen[-1]}: {key}: missing; a recipe with a base must give its own")
        seen.append(base)
        recipe = merged(read_file(base), recipe)
    return recipe


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``changes``; mappings are merged key by key, everything else is replaced."""
    result = {**base, **changes}
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            result[key] = merged(base[key], value)
    return result


def read_file(name: str) -> dict[str, Any]:
    """A recipe as it is written, by name or path. Raises ConfigError."""
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        path = Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise ConfigError(f"recipe: no recipe and no YAML file {name!r}; {nearest(name, recipe_names())}")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise ConfigError(f"{path}: must hold a mapping, got {type(recipe).__name__}")
    return recipe


def parse_config(recipe: Mapping[str, Any], overrides: Sequence[str] = ()) -> TrainConfig:
    """A recipe with command-line overrides such as ``--max-steps 20`` or ``--optimizer.lr=1e-3`` on top.

    Raises ConfigError naming the key and the nearest valid one.
    """
    check_keys(recipe, TrainConfig, "")
    flags = [normalized(argument) for argument in overrides]
    for flag in flags:
        if flag.startswith("--"):
            hint_of(flag[2:].split("=", 1)[0], "--")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TrainConfig, as_group=False)
    try:
        parsed = parser.instantiate(parser.parse_args(flags, namespace=parser.parse_object(dict(recipe))))
        config = TrainConfig(**{field.name: parsed[field.name] for field in dataclasses.fields(TrainConfig)})
    except jsonargparse.ArgumentError as error:
        raise ConfigError(one_line(str(error))) from error
    check_values(config)
    return config


def to_yaml(config: TrainConfig) -> str:
    """The resolved config as a recipe that ``parse_config`` reads back equal."""
    return yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)


def normalized(argument: str) -> str:
    """``--max-steps=20`` as ``--max_steps=20``; values are left alone."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def hint_of(name: str, prefix: str = "") -> Any:
    """The type of a key such as ``optimizer.lr``. Raises ConfigError for a key that does not exist."""
    kind: Any = TrainConfig
    for part in name.split("."):
        if not dataclasses.is_dataclass(kind):
            return kind  # inside a free mapping such as model
        hints = typing.get_type_hints(kind)
        if part not in hints:
            raise ConfigError(f"{prefix}{name}: no such option; {nearest(part, hints)}")
        kind = hints[part]
    return kind


def described(hint: Any) -> str:
    """A type in the words of a user."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return "one of " + ", ".join(map(str, arguments))
        case types.UnionType | typing.Union:
            return " or ".join(map(described, arguments))
        case builtin if builtin is list:
            return f"a list such as [a, b], each {described(arguments[0])}"
    return words.get(hint, "a mapping")


def one_line(message: str) -> str:
    """jsonargparse's report, which goes over several lines, in the words of all other messages."""
    if found := re.match(r'Parser key "([\w.]+)"', message):
        got = re.search(r"(?:Got value:|Given value:|Unable to load config) (.*)", message)
        return f"{found[1]}: expected {described(hint_of(found[1]))}, got {got[1] if got else 'something else'}"
    if found := re.match(r"argument --([\w.]+): expected one argument", message):
        return f"--{found[1]}: expected {described(hint_of(found[1]))}, got nothing"
    if found := re.match(r"unrecognized arguments: (.*)", message):
        return f"{found[1]}: belongs to no option; write --key value, and a list as --key '[a, b]'"
    if found := re.match(r"the following arguments are required: (.*)", message):
        return f"{found[1]}: missing; the recipe must give it"
    return " ".join(message.split())


def check_keys(values: Mapping[str, Any], kind: type, where: str) -> None:
    """Raise ConfigError for a key that a dataclass does not have, however deep."""
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"{where}{key}: no such key; {nearest(key, hints)}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}{key}: expected a mapping, got {value!r}")
            check_keys(value, hints[key], f"{where}{key}.")


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
    if data.streaming and (data.outliers or data.oversample != 1 or data.exclude_classes):
        raise ConfigError(
            "data.streaming: a stream has no outliers or classes to leave out and cannot be oversampled; leave it out"
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
            raise ConfigError(f"{where}.{field.name}: {reader} does not use it; it uses {', '.join(sorted(reads))}")


def check_networks(config: TrainConfig) -> None:
    """Raise ConfigError unless model and discriminator have the arguments of classes that the objective trains."""
    kind, classes = config.objective.type, TRAINS[config.objective.type]
    if config.model.get("class") not in classes:
        got = config.model.get("class")
        raise ConfigError(f"model.class: objective {kind!r} cannot train {got!r}; {nearest(got, classes)}")
    if kind in ("adversarial", "vae_gan") and not config.discriminator:
        raise ConfigError(f"discriminator: objective {kind!r} needs one; give its stages")
    if kind not in ("adversarial", "vae_gan") and config.discriminator:
        raise ConfigError(f"discriminator: objective {kind!r} has none; remove it")
    model_class = {**CLASSES, **PIPELINES}[config.model["class"]]
    signature = inspect.signature(model_class.__init__).parameters
    allowed = ["class", *(name for name in signature if name not in ("self", *FROM_DATA))]
    sections = [("model", config.model, allowed)]
    if config.discriminator:
        sections.append(("discriminator", config.discriminator, ["stages"]))
    for section, values, keys in sections:
        for key in values:
            if key not in keys:
                raise ConfigError(f"{section}.{key}: no such key; {nearest(key, keys)}")
        for key in keys:
            if key not in values:
                raise ConfigError(f"{section}.{key}: missing; the recipe must give it")
    latent_dim = config.model.get("latent_dim", 1)
    if type(latent_dim) is not int or latent_dim < 1:
        raise ConfigError(f"model.latent_dim: expected a whole number above 0, got {latent_dim!r}")


ABOVE_ZERO = (
    "batch_size accumulation log_every checkpoint_every samples max_steps max_images max_minutes threads init_std "
    "evaluation_samples objective.substeps "
    "objective.critic_steps optimizer.lr discriminator_optimizer.lr data.limit data.image_size"
)
NOT_NEGATIVE = (
    "clip_norm objective.guidance_scale objective.min_snr "
    "objective.beta objective.adversarial_weight objective.clip objective.gradient_penalty objective.r1 "
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
        (NOT_NEGATIVE, "at least 0", lambda x: 0 <= x < math.inf),
        (SHARES, "at least 0 and less than 1", lambda x: 0 <= x < 1),
        ("data.cutmix", "a share from 0 to 1", lambda x: 0 <= x <= 1),
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
