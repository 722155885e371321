"""Ways through latent spaces: paths, maps, sums and projections. Knows nothing of Gradio."""

from __future__ import annotations

import dataclasses
import io
from typing import Any, Literal

import torch
from PIL import Image

from genhub.data import load_images
from genhub.images import signed_to_unit, to_pil, to_signed, to_uint8
from genhub.latents import path, sample_latents
from genhub.models.latent import PriorModel
from space.catalog import Dataset
from space.inference import Engine
from space.originals import ALWAYS_HERE
from space.result import data_uri, png

SIDE = 5  # of a map, in images
PER_CLASS = 24  # generated images that stand for a class
SUM_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # how much of the difference is added
FRAME_MS = 90
ENLARGED = 8  # animations have so many pixels for one


@dataclasses.dataclass(frozen=True)
class Walk:
    """A path between two seeds, each with a class where the model (or an autoencoder's source) is told one."""

    dataset: str
    model: str
    seeds: tuple[int, int]
    labels: tuple[int, int] | None
    steps: int
    method: Literal["spherical", "linear"]
    truncation: float


@dataclasses.dataclass(frozen=True)
class Map:
    """A window on a sphere of latents: ``SIDE`` × ``SIDE`` images around (x, y), ``gap`` apart. The place of an image
    is the way to it from the seed's: how far to the right and up, as angles in radians."""

    dataset: str
    model: str
    seed: int
    label: int | None
    x: float
    y: float
    gap: float
    truncation: float


@dataclasses.dataclass(frozen=True)
class Sum:
    """An image of class ``start``, minus what makes class ``minus``, plus what makes class ``plus``."""

    dataset: str
    model: str
    seed: int
    start: int
    minus: int
    plus: int


@dataclasses.dataclass(frozen=True)
class Strip:
    """Images in a row or a grid, uint8 (n, C, H, W)."""

    pixels: torch.Tensor

    @property
    def data_uris(self) -> list[str]:
        return [data_uri(png(image)) for image in self.pixels]


@dataclasses.dataclass(frozen=True)
class Projection:
    """Encodings in the plane in which they differ most.

    Attributes:
        points: (x, y, label) with x and y in [0, 1].
        explained: share of their variance that each axis holds.
        of: what was encoded, in words.
    """

    points: list[tuple[float, float, int]]
    explained: tuple[float, float]
    of: str


@torch.no_grad()
def walk(engine: Engine, asked: Walk) -> Strip:
    """The images along a path. In the lane only."""
    model = engine.load(asked.dataset, asked.model)
    dataset = engine.catalog[asked.dataset]
    ends = [
        end_latent(engine, model, dataset, seed, None if asked.labels is None else asked.labels[i])
        for i, seed in enumerate(asked.seeds)
    ]
    latents = path(ends[0], ends[1], asked.steps, asked.method) * asked.truncation
    weights = None
    if model.class_names:
        one_hot = torch.eye(len(model.class_names), device=latents.device)
        start, end = (one_hot[label] for label in asked.labels)
        weights = path(start, end, asked.steps, "linear")
    return Strip(to_uint8(model.decode(latents, weights).float().cpu()))


def end_latent(engine: Engine, model: Any, dataset: Dataset, seed: int, label: int | None) -> torch.Tensor:
    """The latent of a seed, or, for a model without a prior, of the source's image of that seed and class."""
    if isinstance(model, PriorModel):
        return sample_latents(1, model.latent_dim, seed)[0].to(model.device)
    labels = None if label is None else [label]
    return model.encode(to_signed(source_images(engine, dataset, labels, seed, 1)).to(model.device))[0]


def source_images(engine: Engine, dataset: Dataset, labels: list[int] | None, seed: int, n: int) -> torch.Tensor:
    """uint8 images of the dataset's best generator, which stand for data that does not come with the Space."""
    source = engine.load(dataset.name, dataset.source.name)
    return to_uint8(source.generate(n, labels=labels if source.class_names else None, seed=seed).cpu())


@torch.no_grad()
def draw_map(engine: Engine, asked: Map) -> Strip:
    """The images of a map, row by row from its top. In the lane only."""
    model = engine.load(asked.dataset, asked.model)
    corners = sample_latents(3, model.latent_dim, asked.seed)
    axes, upper = torch.linalg.qr(corners.T)
    origin, right, up = (axes * upper.diagonal().sign()).T  # of length 1 and at right angles, near where they come from
    offsets = (torch.arange(SIDE) - SIDE // 2) * asked.gap
    places = torch.tensor([(asked.x + dx, asked.y - dy) for dy in offsets for dx in offsets])
    angles = places.norm(dim=1, keepdim=True)
    headings = places / angles.clamp_min(1e-9) @ torch.stack([right, up])
    latents = angles.cos() * origin + angles.sin() * headings  # the exponential map of the sphere
    latents = latents * corners[0].norm() * asked.truncation
    labels = None if asked.label is None else [asked.label] * len(latents)
    return Strip(to_uint8(model.decode(latents.to(model.device), labels).float().cpu()))


@torch.no_grad()
def add_up(engine: Engine, asked: Sum) -> Strip:
    """The start, with more and more of the difference between two classes. In the lane only."""
    model, dataset = engine.load(asked.dataset, asked.model), engine.catalog[asked.dataset]
    start = model.encode(to_signed(source_images(engine, dataset, [asked.start], asked.seed, 1)).to(model.device))
    means = class_means(engine, dataset, asked.model)
    shares = torch.tensor(SUM_STEPS, device=start.device)[:, None]
    return Strip(to_uint8(model.decode(start + shares * (means[asked.plus] - means[asked.minus])).float().cpu()))


def class_means(engine: Engine, dataset: Dataset, name: str) -> torch.Tensor:
    """The mean encoding of each class, (num_classes, latent_dim). In the lane only."""
    key = ("class_means", dataset.name, name)
    if (kept := engine.recall(key)) is None:
        model = engine.load(dataset.name, name)
        kept = encodings(engine, model, dataset)[0].unflatten(0, (-1, PER_CLASS)).mean(dim=1)
        engine.keep(key, kept)
    return kept


def encodings(engine: Engine, model: Any, dataset: Dataset) -> tuple[torch.Tensor, list[int]]:
    """Latents of ``PER_CLASS`` generated images of each class, class by class, with their labels."""
    labels = [label for label in range(len(dataset.class_names)) for _ in range(PER_CLASS)]
    images = source_images(engine, dataset, labels, 0, len(labels))
    return model.encode(to_signed(images).to(model.device)), labels


@torch.no_grad()
def project(engine: Engine, dataset_name: str, name: str) -> Projection:
    """Principal components of encodings; without a model, of the embedded digits' pixels. In the lane only."""
    dataset = engine.catalog[dataset_name]
    if name:
        points, labels = encodings(engine, engine.load(dataset_name, name), dataset)
        of = f"{len(labels)} images that {dataset.source.name} draws, encoded by {name}"
    else:
        digits = load_images(ALWAYS_HERE, limit=PER_CLASS * 10)
        points, labels = signed_to_unit(to_signed(digits.images)).flatten(1), digits.labels.tolist()
        of = f"the pixels of {len(labels)} real digits of scikit-learn"
    centred = points.float().cpu() - points.float().cpu().mean(dim=0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T
    low, high = flat.amin(dim=0), flat.amax(dim=0)
    flat = ((flat - low) / (high - low).clamp_min(1e-9)).tolist()
    shares = (sizes[:2].square() / sizes.square().sum()).tolist()
    return Projection([(x, y, label) for (x, y), label in zip(flat, labels, strict=True)], tuple(shares), of)


def animation(strip: Strip, kind: Literal["gif", "png"]) -> bytes:
    """There and back again, with crisp pixels: an animated GIF, or PNG, which keeps every colour."""
    frames = [to_pil(image) for image in (*strip.pixels, *strip.pixels.flip(0)[1:-1])]
    size = (frames[0].width * ENLARGED, frames[0].height * ENLARGED)
    frames = [frame.resize(size, Image.Resampling.NEAREST) for frame in frames]
    if kind == "gif" and frames[0].mode == "RGB":
        frames = [frame.quantize(256, dither=Image.Dither.NONE) for frame in frames]
    buffer = io.BytesIO()
    options = {"optimize": False} if kind == "gif" else {}  # the other way, Pillow loses grey levels of later frames
    frames[0].save(buffer, kind.upper(), save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, **options)
    return buffer.getvalue()
