"""What there is to load."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from genhub import hub
from genhub.errors import nearest
from genhub.models import GenHubModel
from genhub.models.base import CLASSES
from genhub.pipelines import is_pipeline
from genhub.prompts import PROMPTS, captions
from genhub.stable_diffusion import GenHubStableDiffusion


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """A bundled model without its weights.

    Attributes:
        name: what ``genhub.load`` takes.
        model_class: name of its class, such as ``"GenHubCGAN"``.
        dataset: what it was trained on, such as ``"mnist"``; several are joined by ``+``.
        class_names: what its labels mean; empty if it takes none.
        image_shape: (channels, height, width).
        folder: where it lies, laid out as its Hub repository.
        excluded_classes: names of the dataset's classes that it was not trained on.
    """

    name: str
    model_class: str
    dataset: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    folder: Path
    excluded_classes: tuple[str, ...] = ()

    @property
    def datasets(self) -> list[str]:
        """The short names in ``dataset``."""
        return self.dataset.split("+")

    @property
    def metrics_file(self) -> Path:
        """The record of its evaluation, which may be missing; a model of several datasets has one for each."""
        own = self.folder / f"metrics-{self.dataset}.json"
        return own if own.is_file() else self.folder / "metrics.json"

    @property
    def is_judge(self) -> bool:
        """Whether its dataset's figures rest on this classifier. Another one only helps in training."""
        return self.model_class == "GenHubClassifier" and self.name == f"classifier-{self.dataset}"

    def for_dataset(self, name: str) -> ModelInfo:
        """What the model is to one of its datasets: the classes and, as thumbnails, the images of that one."""
        if self.dataset == name:
            return self
        shape = PROMPTS[name].image_shape
        return dataclasses.replace(self, dataset=name, class_names=tuple(captions(name)), image_shape=shape)


def list_models(*, dataset: str | None = None, model_class: str | type | None = None) -> list[ModelInfo]:
    """The bundled models by name, all of them or those of one dataset or class, or of its name. Reads no weights.

    With ``dataset``, a model of several is described as what it is to that one; a dataset that none was trained on has
    no models. ``GenHubModel`` stands for every class but the pipelines. Raises ValueError for what is no class of
    models.
    """
    wanted = getattr(model_class, "__name__", model_class)
    classes = [GenHubModel.__name__, *CLASSES, GenHubStableDiffusion.__name__]
    if wanted is not None and wanted not in classes:
        raise ValueError(f"model_class: got {wanted!r}; {nearest(wanted, classes)}")
    infos = [describe(hub.PRETRAINED / name) for name in hub.bundled_names()]
    if dataset is not None:
        infos = [info.for_dataset(dataset) for info in infos if dataset in info.datasets]
    kinds = {None: classes, GenHubModel.__name__: CLASSES}.get(wanted, [wanted])
    return [info for info in infos if info.model_class in kinds]


def describe(folder: Path) -> ModelInfo:
    config = hub.read_config(folder, folder.name)
    return ModelInfo(
        name=folder.name,
        model_class=config["class"],
        dataset=config["metadata"].get("dataset", ""),
        class_names=tuple(config.get("class_names") or ()),
        image_shape=(config["channels"], config["image_size"], config["image_size"]),
        folder=folder,
        excluded_classes=tuple(config["metadata"].get("excluded_classes", ())),
    )


def load(name: str | Path, **options: Any) -> GenHubModel | GenHubStableDiffusion:
    """Load a model of whatever class it is: a bundled name, a preset of a text-to-image pipeline, a folder or a Hub id.

    Options are those of the class's ``from_pretrained``. A pipeline of the Hub that is no preset is loaded by
    ``GenHubStableDiffusion.from_pretrained``. Raises ``LoadError``.
    """
    if is_pipeline(str(name)):
        return GenHubStableDiffusion.from_pretrained(name, **options)
    return GenHubModel.from_pretrained(name, **options)
