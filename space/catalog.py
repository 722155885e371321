"""What there is to compare: the bundled models by dataset, with a name and an honest line for each family."""

from __future__ import annotations

import dataclasses
import functools

from genhub import ModelInfo, list_models

JUDGE = "GenHubClassifier"


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
}
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "Digits"}  # in the order in which they are offered
SOURCES = ("GenHubCGAN", "GenHubVAE", "GenHubGAN")  # whose images an autoencoder is given, best first


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The bundled models of one dataset.

    Attributes:
        name, title: for links and for people.
        class_names: what its labels mean; empty if no bundled model says.
        models: those to compare, in the order of their families.
        judge: name of the classifier that judges them, or None.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    models: tuple[ModelInfo, ...]
    judge: str | None

    @functools.cached_property
    def source(self) -> ModelInfo | None:
        """The model whose images an autoencoder reconstructs, or None without any that has a prior."""
        return next((m for kind in SOURCES for m in self.models if m.model_class == kind), None)

    def model(self, name: str) -> ModelInfo:
        return next(model for model in self.models if model.name == name)


def read_catalog() -> dict[str, Dataset]:
    """The datasets that have at least one bundled model to compare, by name. Reads no weights."""
    order = list(FAMILIES)
    found = list_models()
    names = sorted({info.dataset for info in found if info.model_class in FAMILIES}, key=dataset_rank)
    catalog = {}
    for name in names:
        infos = [info for info in found if info.dataset == name]
        models = [info for info in infos if info.model_class in FAMILIES]
        catalog[name] = Dataset(
            name=name,
            title=TITLES.get(name, name),
            class_names=next((info.class_names for info in infos if info.class_names), ()),
            models=tuple(sorted(models, key=lambda info: (order.index(info.model_class), info.name))),
            judge=next((info.name for info in infos if info.model_class == JUDGE), None),
        )
    return catalog


def dataset_rank(name: str) -> tuple[int, str]:
    order = list(TITLES)
    return (order.index(name) if name in order else len(order), name)
