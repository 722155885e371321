"""Batches and noise as functions of (seed, number): nothing about them needs to be saved to resume exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch

from genhub.data import ImageSet, StreamedSet
from genhub.errors import DataError

Batch = tuple[torch.Tensor, torch.Tensor | None]  # uint8 images (size, C, H, W) and int64 labels (size,) or None


def stream(*key: int | str) -> torch.Generator:
    """A CPU generator that depends on its key alone, such as (seed, "order", epoch)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


class Batches:
    """The batches of a run, by number.

    Args:
        data: where images come from. A set in memory is moved to ``device`` whole.
        size: images per batch and process.
        rank, world: which of how many processes. Process r gets the r-th part of each global batch of size * world.
        seed: of the order, which is a new permutation each epoch; the remainder that fills no batch is left out.
    """

    def __init__(
        self, data: ImageSet | StreamedSet, size: int, rank: int, world: int, seed: int, device: torch.device
    ) -> None:
        self.data = data.to(device) if isinstance(data, ImageSet) else data
        self.size, self.rank, self.seed, self.device = size, rank, seed, device
        self.global_size = size * world
        self.per_epoch = len(data) // self.global_size if isinstance(data, ImageSet) else None
        if self.per_epoch == 0:
            raise DataError(
                f"{data.source}: has {len(data)} images, fewer than one batch of {self.global_size}; lower --batch_size"
            )
        self.order: tuple[int, torch.Tensor] | None = None
        self.reader: Iterator[Batch] | None = None
        self.position = 0

    def at(self, number: int) -> Batch:
        """Batch ``number`` of the run."""
        if isinstance(self.data, StreamedSet):
            return self.read_until(number)
        epoch, place = divmod(number, self.per_epoch)
        if self.order is None or self.order[0] != epoch:
            permutation = torch.randperm(len(self.data), generator=stream(self.seed, "order", epoch))
            self.order = (epoch, permutation.to(self.device))
        first = place * self.global_size + self.rank * self.size
        index = self.order[1][first : first + self.size]
        labels = self.data.labels
        return self.data.images[index], None if labels is None else labels[index]

    def read_until(self, number: int) -> Batch:
        """Read a stream up to batch ``number``. After a resume this decodes again what was seen before."""
        if self.reader is None or number < self.position:
            self.reader, self.position = self.read_stream(), 0
        while True:
            batch = next(self.reader)
            self.position += 1
            if self.position > number:
                return batch

    def read_stream(self) -> Iterator[Batch]:
        epoch, images, labels = 0, [], []
        part = slice(self.rank * self.size, (self.rank + 1) * self.size)
        labelled = self.data.label_column is not None
        while True:
            seen = 0
            for image, label in self.data.examples(self.seed, epoch):
                if labelled and (label is None or not 0 <= label < len(self.data.class_names)):
                    raise DataError(f"{self.data.source}: image {seen} of the stream has the label {label}")
                images.append(image)
                labels.append(label)
                seen += 1
                if len(images) == self.global_size:
                    pixels = torch.stack(images[part]).to(self.device)
                    yield pixels, torch.tensor(labels[part], device=self.device) if labelled else None
                    images, labels = [], []
            if seen == 0:
                raise DataError(f"{self.data.source}: the stream has no images")
            epoch += 1


class Noise:
    """The random numbers behind some rows of one global batch.

    Each draw is made for the whole batch and then cut, so that several processes, or the parts of an accumulated
    batch, see together exactly what one process sees that takes the batch at once.

    Args:
        key: of the batch, such as (seed, number). The i-th draw depends on it and on i.
        rows: first and last row, exclusive, out of ``total``.
    """

    def __init__(self, key: tuple[int, ...], rows: tuple[int, int], total: int, device: torch.device) -> None:
        self.key, self.rows, self.total, self.device = key, slice(*rows), total, device
        self.drawn = 0

    def generator(self) -> torch.Generator:
        self.drawn += 1
        return stream(*self.key, "noise", self.drawn)

    def normal(self, *shape: int) -> torch.Tensor:
        """N(0, 1), (rows, *shape)."""
        return torch.randn(self.total, *shape, generator=self.generator())[self.rows].to(self.device)

    def uniform(self, *shape: int) -> torch.Tensor:
        """U(0, 1), (rows, *shape)."""
        return torch.rand(self.total, *shape, generator=self.generator())[self.rows].to(self.device)
