"""What autoencoders leave of a picture: reconstruction, error, code. Knows nothing of Gradio."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import torch

from genhub import ModelInfo
from genhub.images import resized, signed_to_unit, to_signed, to_uint8, unit_to_signed
from space.cards import recorded
from space.catalog import Dataset
from space.inference import Engine
from space.latent import source_images
from space.result import data_uri, png

REFERENCES = 200  # generated images that say what error is normal
SLIDERS = 6  # latent dimensions that can be changed
HEAT = (1.0, 0.45, 0.15)  # the colour of an error


class Reference(NamedTuple):
    """Images to hold a picture against: those that the best generator of ``drawn`` makes of ``classes``."""

    drawn: Dataset
    classes: tuple[str, ...]
    title: str


@dataclasses.dataclass(frozen=True)
class Errors:
    """A model's errors on images of one kind, sorted: what the error of a picture is held against.

    Attributes:
        source, title: the model that drew the images, and what they show.
        values: mean squared errors.
    """

    source: str
    title: str
    values: tuple[float, ...]

    def below(self, error: float) -> float:
        """The share of the images that are rebuilt better."""
        return sum(value < error for value in self.values) / len(self.values)

    def at(self, share: float) -> float:
        """A quantile."""
        return self.values[round(share * (len(self.values) - 1))]


@dataclasses.dataclass(frozen=True)
class Rebuilt:
    """One model's answer to a picture.

    Attributes:
        model: its name.
        image, error_map: uint8 (C, H, W) and (3, H, W); the map is brightest at the largest error.
        code: the latent vector.
        mse: mean squared error on pixels in [0, 1].
        normal, odd: errors on generated images of what it was trained on, and of what it was not: the classes that were
            left out of its training, else another dataset. None where nothing draws them, or where the model is told
            a class, which another dataset has not.
        normal_mse: mean error on real test images from the model's records, or None.
        label: the class that the model was told, None for a model that is told none.
    """

    model: str
    image: torch.Tensor
    error_map: torch.Tensor
    code: tuple[float, ...]
    mse: float
    normal: Errors | None
    odd: Errors | None
    normal_mse: float | None
    label: int | None

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio in decibels."""
        return -10 * math.log10(max(self.mse, 1e-10))

    @property
    def src(self) -> str:
        return data_uri(png(self.image))

    @property
    def error_src(self) -> str:
        return data_uri(png(self.error_map))

    @property
    def ratio(self) -> float:
        """How many pixel values stand for one number of the code."""
        return self.image.numel() / len(self.code)

    @property
    def largest(self) -> list[int]:
        """The latent dimensions with the largest values, largest first."""
        return sorted(range(len(self.code)), key=lambda i: -abs(self.code[i]))[:SLIDERS]


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image as bytes, so that it can be a key: uint8 values of ``shape``."""

    data: bytes
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, image: torch.Tensor) -> Picture:
        return cls(image.contiguous().numpy().tobytes(), tuple(image.shape))

    @property
    def pixels(self) -> torch.Tensor:
        return torch.frombuffer(bytearray(self.data), dtype=torch.uint8).reshape(self.shape)


def sample(engine: Engine, dataset_name: str, label: int, seed: int) -> Picture:
    """An image of the dataset's best generator. In the lane only."""
    return Picture.of(source_images(engine, engine.catalog[dataset_name], [label], seed, 1)[0])


@torch.no_grad()
def rebuild(engine: Engine, dataset_name: str, models: tuple[str, ...], picture: Picture) -> list[Rebuilt]:
    """What each model makes of a picture. In the lane only."""
    dataset = engine.catalog[dataset_name]
    pixels = picture.pixels[None]
    return [one(engine, dataset, name, pixels) for name in models]


def one(engine: Engine, dataset: Dataset, name: str, pixels: torch.Tensor) -> Rebuilt:
    info, model = dataset.model(name), engine.load(dataset.name, name)
    label = None
    if model.class_names:  # it is told what the judge sees
        label = engine.load(dataset.name, dataset.judge).predict(pixels).argmax().item() if dataset.judge else 0
    labels = None if label is None else [label]
    signed = to_signed(pixels).to(model.device)
    code = model.encode(signed, labels)
    image = model.decode(code, labels).float().clamp(-1, 1)
    difference = (signed_to_unit(image) - signed_to_unit(signed)).cpu()[0]
    mse = difference.square().mean().item()
    normal, odd = references(engine, dataset, info)
    heat = difference.abs().mean(dim=0)
    heat /= heat.max().clamp_min(1e-6)
    return Rebuilt(
        model=name,
        image=to_uint8(image.cpu())[0],
        error_map=to_uint8(unit_to_signed(torch.stack([heat * share for share in HEAT]))),
        code=tuple(code[0].tolist()),
        mse=mse,
        normal=errors_on(engine, dataset, normal, name, model),
        odd=errors_on(engine, dataset, odd, name, model),
        normal_mse=recorded(info)[0].get("reconstruction_mse"),
        label=label,
    )


def references(engine: Engine, dataset: Dataset, info: ModelInfo) -> tuple[Reference | None, Reference | None]:
    """Images of what a model was trained on, and of what it was not: both as far as something draws them."""
    drawn, left_out = dataset.source is not None, info.excluded_classes
    if left_out and drawn and dataset.source.class_names:
        names, inside = ", ".join(left_out), tuple(name for name in dataset.class_names if name not in left_out)
        normal = Reference(dataset, inside, f"{dataset.title} without class {names}")
        return normal, Reference(dataset, left_out, f"class {names} of {dataset.title}")
    others = (other for other in engine.catalog.values() if other is not dataset and other.source)
    odd = next((Reference(other, other.class_names, other.title) for other in others if not info.class_names), None)
    return (Reference(dataset, dataset.class_names, dataset.title) if drawn else None), odd


def errors_on(engine: Engine, dataset: Dataset, images: Reference | None, name: str, model: Any) -> Errors | None:
    """A model's errors on generated images, in the shape of its own. In the lane only."""
    if images is None:
        return None
    key = ("errors", dataset.name, name, images.title)
    if (kept := engine.recall(key)) is None:
        source, indices = images.drawn.source, [images.drawn.class_names.index(kind) for kind in images.classes]
        labels = [indices[i % len(indices)] for i in range(REFERENCES)] if source.class_names else None
        pixels = to_signed(source_images(engine, images.drawn, labels, 0, REFERENCES))
        signed = resized(pixels, dataset.models[0].image_shape).to(model.device)
        again = model.reconstruct(signed, labels=labels if model.class_names else None)
        errors = (signed_to_unit(again) - signed_to_unit(signed)).square().flatten(1).mean(dim=1)
        kept = Errors(source.name, images.title, tuple(sorted(errors.tolist())))
        engine.keep(key, kept)
    return kept


@torch.no_grad()
def unpack(engine: Engine, dataset_name: str, name: str, code: tuple[float, ...], label: int | None) -> str:
    """The image of a code as data URI. In the lane only."""
    model = engine.load(dataset_name, name)
    labels = None if label is None or not model.class_names else [label]
    image = model.decode(torch.tensor([code], device=model.device), labels).float().clamp(-1, 1)
    return data_uri(png(to_uint8(image.cpu())[0]))
