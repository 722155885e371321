"""What one model made for one request."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io

import torch

from genhub.images import signed_to_unit, to_pil, to_signed


@dataclasses.dataclass(frozen=True)
class Job:
    """One model's part of a comparison, and the key of its result. ``label`` None means all classes in turn."""

    dataset: str
    model: str
    label: int | None
    seed: int
    n: int
    truncation: float = 1.0


@dataclasses.dataclass(frozen=True)
class Result:
    """Images with the facts that are shown about them.

    Attributes:
        job: what was asked.
        pixels: uint8 (n, C, H, W).
        labels: the class asked of each image; None where the model (or an autoencoder's source) takes none.
        judged: the class that the judge sees in each image; None without a judge.
        seconds: time per image.
        parameters: of the model.
        source: for reconstructions, the model whose images were reconstructed.
        steps: of denoising per image; None for models that need one pass.
        live: made by this process, as opposed to loaded from a file.
    """

    job: Job
    pixels: torch.Tensor
    labels: tuple[int, ...] | None
    judged: tuple[int, ...] | None
    seconds: float
    parameters: int
    source: str | None = None
    steps: int | None = None
    live: bool = True

    @property
    def accuracy(self) -> float | None:
        """The share of images in which the judge sees the class that was asked for, or None where that has no sense."""
        if self.labels is None or self.judged is None:
            return None
        return sum(a == b for a, b in zip(self.labels, self.judged, strict=True)) / len(self.labels)

    def histogram(self, num_classes: int) -> list[int]:
        """How many images the judge puts into each class."""
        return [(self.judged or ()).count(label) for label in range(num_classes)]

    @functools.cached_property
    def sharpness(self) -> tuple[float, ...]:
        """Of each image: the variance of its Laplacian (Pech-Pacheco et al., 2000) on grey values in [0, 1]."""
        return tuple(laplacian_variance(self.pixels).tolist())

    @functools.cached_property
    def pngs(self) -> tuple[bytes, ...]:
        """Each image as PNG, pixel for pixel."""
        return tuple(png(image) for image in self.pixels)

    @functools.cached_property
    def data_uris(self) -> tuple[str, ...]:
        """Each image as a data URI, so that a page carries its own pixels."""
        return tuple(map(data_uri, self.pngs))


@dataclasses.dataclass(frozen=True)
class Failure:
    """A model that could not answer, with the reason in words."""

    job: Job
    reason: str


def laplacian_variance(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 images (n, C, H, W) to (n,)."""
    grey = signed_to_unit(to_signed(pixels)).mean(dim=1)
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return (around - 4 * middle).flatten(1).var(dim=1)


def data_uri(data: bytes, kind: str = "png") -> str:
    """An image file as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png(image: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
