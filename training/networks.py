"""From a recipe's rows to networks that fit the data."""

from __future__ import annotations

from typing import Any

from genhub import hub, list_models
from genhub.data import ImageSet, StreamedSet
from genhub.errors import LoadError
from genhub.images import to_signed
from genhub.models import GenHubClassifier, GenHubDiscriminator, GenHubModel, GenHubProjectedDiscriminator
from genhub.models.base import CLASSES, check_state
from training.checks import PIPELINES
from training.pipelines import LatentAutoencoder, TextToImage
from training.settings import ConfigError, TrainConfig

Discriminator = GenHubDiscriminator | GenHubProjectedDiscriminator
FITTED = 10_000  # images that are enough to fit the components of their patches


def build_networks(config: TrainConfig, data: ImageSet | StreamedSet) -> tuple[GenHubModel, Discriminator | None]:
    """The model and, for adversarial objectives, its discriminator, with weights drawn. Raises ConfigError."""
    channels, size, _ = data.image_shape
    arguments = dict(config.model)
    if arguments["class"] in PIPELINES:
        return build_pipeline(config, data), None
    model_class = CLASSES[arguments.pop("class")]
    shared = {"image_size": size, "channels": channels}
    conditional = model_class.__name__ in ("GenHubCGAN", "GenHubClassifier") or reads_label(arguments)
    labelled = conditional or (model_class.__name__ == "GenHubDiffusion" and bool(data.class_names))
    if (conditional or reads_label(config.discriminator)) and not data.class_names:
        raise ConfigError(
            f"dataset: {data.source} has no labels, and this recipe needs them; "
            "name the column with --data.label_column, or choose an unconditional recipe"
        )
    if labelled and config.data.exclude_classes:
        raise ConfigError(
            "data.exclude_classes: this model is told the class and would be asked for one it has never seen; "
            "choose an unconditional recipe"
        )
    try:
        model = model_class(**arguments, **shared, **({"class_names": data.class_names} if labelled else {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
    model.initialize(config.init, config.init_std)
    if getattr(model, "components", None):
        if not isinstance(data, ImageSet):
            raise ConfigError("model.components: fitted to images in memory; leave out data.streaming")
        model.fit_components(to_signed(data.images[:: max(1, len(data) // FITTED)]))
    discriminator = None if config.discriminator is None else build_discriminator(config, data)
    if config.init_from:
        start_from(config.init_from, model)
    if config.discriminator_init_from:
        start_from(config.discriminator_init_from, discriminator, "discriminator")
    return model, discriminator


def start_from(name: str, network: GenHubModel, subfolder: str | None = None) -> None:
    """Give a network the weights of a saved one. Raises ConfigError."""
    try:
        source = type(network).from_pretrained(name, subfolder=subfolder)
        check_state(network.state_dict(), source.state_dict(), name)
    except LoadError as error:
        raise ConfigError(f"{'discriminator_' if subfolder else ''}init_from: {error}") from error
    network.load_state_dict(source.state_dict())


def build_discriminator(config: TrainConfig, data: ImageSet | StreamedSet) -> Discriminator:
    """What the generator is trained against. Raises ConfigError."""
    channels, size, _ = data.image_shape
    names = data.class_names if reads_label(config.discriminator) else None
    arguments = {**config.discriminator, "image_size": size, "channels": channels, "class_names": names}
    guide = load_classifier(arguments["guide"], data, "discriminator.guide") if "guide" in arguments else None
    try:
        if guide is None:
            discriminator = GenHubDiscriminator(**arguments)
        else:
            arguments["guide"] = hub.read_config(hub.resolve(arguments["guide"]), arguments["guide"])["stages"]
            discriminator = GenHubProjectedDiscriminator(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"discriminator: {error}") from error
    discriminator.initialize(config.init, config.init_std)
    if guide is not None:
        weights = guide.stages.state_dict()
        discriminator.guide.load_state_dict({key: weights[key] for key in discriminator.guide.state_dict()})
    return discriminator


def load_classifier(name: str, seen: ImageSet | StreamedSet | GenHubModel, key: str) -> GenHubClassifier:
    """A frozen classifier that training may please. Raises ConfigError, which names the recipe's key."""
    try:
        classifier = GenHubClassifier.from_pretrained(name)
    except (LoadError, TypeError) as error:
        raise ConfigError(f"{key}: {error}") from error
    if classifier.image_shape != seen.image_shape:
        raise ConfigError(
            f"{key}: {name} sees images of shape {classifier.image_shape}, those here are {seen.image_shape}; "
            "choose one that was trained on such images"
        )
    if any(info.is_judge and info.name == name for info in list_models()):
        raise ConfigError(
            f"{key}: {name} judges what is trained, and no judge can measure what was trained to please it; "
            "choose a guide, or train a classifier of your own"
        )
    return classifier.requires_grad_(False)


def build_pipeline(config: TrainConfig, data: ImageSet | StreamedSet) -> LatentAutoencoder | TextToImage:
    """A part of a Stable Diffusion pipeline. Raises ConfigError."""
    channels, size, _ = data.image_shape
    arguments = {**config.model, "image_size": size, "channels": channels}
    model_class = PIPELINES[arguments.pop("class")]
    if model_class is TextToImage:
        arguments["dataset"] = data.name
    try:
        model = model_class(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
    if model.class_names and model.class_names != data.class_names:
        raise ConfigError(
            f"dataset: the captions of {data.name} are of the classes {', '.join(model.class_names)}; "
            f"{data.source} has {', '.join(data.class_names) or 'none'}"
        )
    return model


def reads_label(value: Any) -> bool:
    """Whether any row below, however deep, reads the label."""
    if isinstance(value, dict):
        own = value.get("op") in ("label", "projection") or value.get("norm") == "conditional_batch"
        return own or any(map(reads_label, value.values()))
    return isinstance(value, list) and any(map(reads_label, value))
