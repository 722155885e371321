"""What one model made for one request."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io

import torch

from genhub.images import to_pil


@dataclasses.dataclass(frozen=True)
class Job:
    """One model's part of a comparison, and the key of its result. ``label`` None means all classes in turn."""

    model: str
    label: int | None
    seed: int
    n: int


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
        live: made by this process, as opposed to loaded from a file.
    """

    job: Job
    pixels: torch.Tensor
    labels: tuple[int, ...] | None
    judged: tuple[int, ...] | None
    seconds: float
    parameters: int
    source: str | None = None
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
    def pngs(self) -> tuple[bytes, ...]:
        """Each image as PNG, pixel for pixel."""
        return tuple(png(image) for image in self.pixels)

    @functools.cached_property
    def data_uris(self) -> tuple[str, ...]:
        """Each image as a data URI, so that a page carries its own pixels."""
        return tuple("data:image/png;base64," + base64.b64encode(image).decode() for image in self.pngs)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A model that could not answer, with the reason in words."""

    job: Job
    reason: str


def png(image: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
