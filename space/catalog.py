"""What there is to look at: the bundled models by dataset."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from genhub import ModelInfo, list_models
from space.abilities import abilities
from space.families import FAMILIES, MODEL_CLASSES, family_of
from space.records import recorded_distance

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
        """Of each kind the one with the best record: what is set side by side until others are asked for.

        Slow models were measured on fewer samples, which makes their distance look larger if anything: none leads by
        that.
        """
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


def read_catalog() -> dict[str, Dataset]:
    """The datasets that have at least one bundled model to compare, by name. Reads no weights."""
    found = list_models()
    offered = {name for info in found if info.model_class in MODEL_CLASSES for name in info.datasets}
    names = sorted(offered, key=dataset_rank)
    catalog = {}
    for name in names:
        infos = [info.for_dataset(name) for info in found if name in info.datasets]
        models = [info for info in infos if info.model_class in MODEL_CLASSES]
        catalog[name] = Dataset(
            name=name,
            title=TITLES.get(name, name),
            class_names=next((info.class_names for info in infos if info.class_names), ()),
            models=tuple(sorted(models, key=rank)),
            judge=next((info.name for info in infos if info.is_judge), None),
        )
    return catalog


def rank(info: ModelInfo) -> tuple[int, str]:
    """Where a model stands among those of its dataset."""
    return FAMILIES.index(family_of(info)), info.name


def dataset_rank(name: str) -> tuple[int, str]:
    order = list(TITLES)
    return (order.index(name) if name in order else len(order), name)
