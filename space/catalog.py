"""What there is to look at: the bundled models by dataset, what each can do, and an honest line for each family."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import genhub
from genhub import ModelInfo, hub, list_models
from genhub.models.latent import LatentModel


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of model: its slug for styles, its title, and one line on what to expect of it."""

    slug: str
    title: str
    line: str


FAMILIES = {  # model class → family, in the order in which they are shown
    "GenHubAE": Family(
        "ae",
        "Autoencoder",
        "Packs an image into a few numbers and unpacks it. It has no prior, so there is nothing to sample.",
    ),
    "GenHubVAE": Family(
        "vae",
        "Variational autoencoder",
        "Decodes a random point of a smooth latent space. Rarely absurd, often soft: it averages what it doubts.",
    ),
    "GenHubGAN": Family(
        "gan",
        "GAN (DCGAN)",
        "Trained to fool a critic, so it is sharp. It cannot be told the class and may favour some of them.",
    ),
    "GenHubCGAN": Family(
        "cgan",
        "Conditional GAN",
        "The same contest with the class given to both sides: it draws what it is asked for, or fails visibly.",
    ),
    "GenHubDiffusion": Family(
        "diffusion",
        "Diffusion",
        "Starts from pure noise and removes a little of it at every step. Careful work, and the slowest here.",
    ),
    "GenHubStableDiffusion": Family(
        "sd",
        "Stable Diffusion",
        "Denoises in a small latent space, led by a sentence. The real ones are over a hundred times larger.",
    ),
}
CONDITIONAL_VAE = Family(
    "cvae",
    "Conditional VAE",
    "A variational autoencoder that is told the class: its code is left with how the thing looks, not with what it is.",
)
HYBRID = Family(
    "hybrid",
    "VAE-GAN",
    "A variational autoencoder whose pictures a critic judges: it packs like one and is sharp like the other.",
)
KINDS = {family.slug: family for family in (*FAMILIES.values(), CONDITIONAL_VAE, HYBRID)}
GUIDED = {  # slug → a model of that kind with critics that also look through a frozen classifier
    "cgan": Family(
        "cgan",
        "Projected GAN",
        "A conditional GAN whose critics also look through a trained classifier, which notices a wrong class early.",
    ),
    "hybrid": Family(
        "hybrid",
        "Projected VAE-GAN",
        "A VAE-GAN whose critics also look through a trained classifier, and see what random codes become.",
    ),
}
AUXILIARY = Family(
    "cgan",
    "Projected AC-GAN",
    "A projected GAN whose generator is also told what a trained classifier takes its images for. Clear classes.",
)
DISTILLED = Family(
    "diffusion",
    "Distilled diffusion",
    "Learned from a finished diffusion model to take one large step for many small ones. A tenth of the time.",
)
ATTENTIVE = Family(
    "gan",
    "GAN with attention (SAGAN)",
    "A GAN in which places that lie far apart look at each other, so that the two ends of a stroke may agree.",
)
WASSERSTEIN = Family(
    "gan",
    "Wasserstein GAN (WGAN-GP)",
    "A GAN whose critic tells how far off an image is, not whether it is real. A penalty keeps its answers smooth.",
)
VARIANTS = (*GUIDED.values(), AUXILIARY, DISTILLED, ATTENTIVE, WASSERSTEIN)
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time, on every start
FEW_STEPS = 4  # up to so many denoising steps a model answers as quickly as the others
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "Digits"}  # in the order in which they are offered
SOURCES = ("GenHubCGAN", "GenHubVAE", "GenHubGAN")  # whose images an autoencoder is given, best kind first


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The bundled models of one dataset.

    Attributes:
        name, title: for links and for people.
        class_names: what its labels mean; empty if no bundled model says.
        models: those to show, in the order of their families.
        judge: name of the classifier that judges them, or None.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    models: tuple[ModelInfo, ...]
    judge: str | None

    @property
    def compared(self) -> tuple[ModelInfo, ...]:
        """Those that are set side by side: what never saw some classes is there to be tried out, not compared."""
        return tuple(info for info in self.models if not info.excluded_classes)

    @functools.cached_property
    def leading(self) -> tuple[ModelInfo, ...]:
        """Of each kind the one with the best record: what is set side by side until others are asked for."""
        best: dict[str, ModelInfo] = {}
        for info in self.compared:
            slug = family_of(info).slug
            if slug not in best or recorded_distance(info) < recorded_distance(best[slug]):
                best[slug] = info
        return tuple(info for info in self.compared if info in best.values())

    @functools.cached_property
    def source(self) -> ModelInfo | None:
        """The model whose images an autoencoder reconstructs, or None without any that has a prior."""
        able = [info for info in self.models if info.model_class in SOURCES]
        return min(able, key=lambda info: (SOURCES.index(info.model_class), recorded_distance(info)), default=None)

    def model(self, name: str) -> ModelInfo:
        return next(model for model in self.models if model.name == name)

    def class_name(self, labels: Sequence[int] | None, i: int) -> str | None:
        """The name of label ``i``; None where there are no labels."""
        return None if labels is None else self.class_names[labels[i]]

    def able(self, ability: str) -> list[ModelInfo]:
        """The models with an ability, which is a field of ``Abilities``."""
        return [info for info in self.models if getattr(abilities(info), ability)]


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What a model can be asked for, read off its class and its ``config.json`` without loading it.

    Attributes:
        generates: images from a seed.
        truncates: with the latents multiplied by less than 1.
        walks: images from given latents, quickly.
        reconstructs: images from images.
        steps: of denoising for one image; None for a model that needs one pass.
        slow: takes seconds rather than milliseconds.
    """

    generates: bool
    truncates: bool
    walks: bool
    reconstructs: bool
    steps: int | None
    slow: bool


@functools.cache
def abilities(info: ModelInfo) -> Abilities:
    kind = getattr(genhub, info.model_class)
    asked = inspect.signature(kind.generate).parameters if hasattr(kind, "generate") else {}
    steps = steps_of(info) if "num_inference_steps" in asked else None
    slow = "num_inference_steps" in asked and not (steps and steps <= FEW_STEPS)
    return Abilities(
        generates=bool(asked),
        truncates="truncation" in asked,
        walks=issubclass(kind, LatentModel) and not slow,
        reconstructs=hasattr(kind, "reconstruct"),
        steps=steps,
        slow=slow,
    )


def steps_of(info: ModelInfo) -> int | None:
    """Denoising steps as a model's folder records them; None where it does not say."""
    files = [info.folder / name for name in (hub.RECORD, "config.json") if (info.folder / name).is_file()]
    return json.loads(files[0].read_text(encoding="utf-8")).get("num_inference_steps") if files else None


def recorded(info: ModelInfo) -> tuple[Mapping, Mapping]:
    """The numbers and the protocol of a model's evaluation on its dataset; both empty where there is none."""
    return read_record(info.metrics_file)


def read_record(path: Path) -> tuple[Mapping, Mapping]:
    record = read_json(path)
    return mapping(record, "metrics"), mapping(record, "protocol")


def mapping(record: Any, key: str) -> Mapping[str, Any]:
    """``record[key]`` if both are mappings, else an empty one."""
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def read_json(path: Path) -> Any:
    """What a file holds; {} where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def recorded_distance(info: ModelInfo) -> float:
    """Its Fréchet distance; infinite where none was recorded."""
    return recorded(info)[0].get("frechet_distance", math.inf)


def family_of(info: ModelInfo) -> Family:
    """The family of a model that is offered. A VAE that is kept with a critic is a hybrid."""
    family, critic = FAMILIES[info.model_class], critic_class(info)
    if info.model_class == "GenHubVAE" and critic:
        family = HYBRID
    elif info.model_class == "GenHubVAE" and info.class_names:
        family = CONDITIONAL_VAE
    elif info.model_class == "GenHubDiffusion" and objective(info).get("teacher"):
        family = DISTILLED
    elif info.model_class == "GenHubGAN" and objective(info).get("gradient_penalty"):
        family = WASSERSTEIN
    elif info.model_class == "GenHubGAN" and "attention" in operations(info):
        family = ATTENTIVE
    if critic == "GenHubProjectedDiscriminator":
        return AUXILIARY if objective(info).get("class_weight") else GUIDED.get(family.slug, family)
    return family


@functools.cache
def objective(info: ModelInfo) -> dict[str, Any]:
    """What a model was trained for, by the settings that are kept with it; empty where they are missing or damaged."""
    path = info.folder / "training_config.yaml"
    try:
        return dict(yaml.load(path.read_text(encoding="utf-8"), YAML)["objective"])
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return {}


@functools.cache
def operations(info: ModelInfo) -> frozenset[str]:
    """The operations that a network of stages consists of; none where its folder does not say."""
    config = read_json(info.folder / "config.json")
    stages = config.get("stages") if isinstance(config, Mapping) else None
    rows = [row for row in stages if isinstance(row, Mapping)] if isinstance(stages, list) else []
    return frozenset(str(row.get("op")) for row in rows)


@functools.cache
def critic_class(info: ModelInfo) -> str | None:
    """The class of the critic that is kept with a model, "unknown" for a damaged one; None where there is none."""
    folder = info.folder / "discriminator"
    if not folder.is_dir():
        return None
    try:
        return str(hub.read_config(folder, info.name).get("class"))
    except genhub.LoadError:
        return "unknown"


def read_catalog() -> dict[str, Dataset]:
    """The datasets that have at least one bundled model to compare, by name. Reads no weights."""
    found = list_models()
    offered = {name for info in found if info.model_class in FAMILIES for name in info.datasets}
    names = sorted(offered, key=dataset_rank)
    catalog = {}
    for name in names:
        infos = [info.for_dataset(name) for info in found if name in info.datasets]
        models = [info for info in infos if info.model_class in FAMILIES]
        catalog[name] = Dataset(
            name=name,
            title=TITLES.get(name, name),
            class_names=next((info.class_names for info in infos if info.class_names), ()),
            models=tuple(sorted(models, key=rank)),
            judge=next((info.name for info in infos if info.is_judge), None),
        )
    return catalog


def rank(info: ModelInfo) -> tuple[int, int, int, str]:
    """Where a model stands among those of its dataset: by class, then by kind, and a kind before what builds on it."""
    family = family_of(info)
    built = [*KINDS.values(), *VARIANTS].index(family)
    return list(FAMILIES).index(info.model_class), list(KINDS).index(family.slug), built, info.name


def dataset_rank(name: str) -> tuple[int, str]:
    order = list(TITLES)
    return (order.index(name) if name in order else len(order), name)
