"""Batches and noise as functions of (seed, step): nothing about them needs to be saved to resume exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch

from genhub.data import ImageSet, StreamedSet
from genhub.errors import DataError


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
        self.reader: Iterator[tuple[torch.Tensor, torch.Tensor]] | None = None
        self.position = 0

    def at(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Batch ``number`` of the run: uint8 images (size, C, H, W) and int64 labels (size,) or None."""
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

    def read_until(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Read a stream up to batch ``number``. After a resume this decodes again what was seen before."""
        if self.reader is None or number < self.position:
            self.reader, self.position = self.read_stream(), 0
        while True:
            batch = next(self.reader)
            self.position += 1
            if self.position > number:
                return batch

    def read_stream(self) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        epoch, images, labels = 0, [], []
        while True:
            seen = 0
            for image, label in self.data.examples(self.seed, epoch):
                images.append(image)
                labels.append(label)
                seen += 1
                if len(images) == self.global_size:
                    part = slice(self.rank * self.size, (self.rank + 1) * self.size)
                    stacked = torch.stack(images[part]).to(self.device)
                    yield (
                        stacked,
                        torch.tensor(labels[part], device=self.device) if self.data.label_column else None,
                    )
                    images, labels = [], []
            if seen == 0:
                raise DataError(f"{self.data.source}: the stream has no images")
            epoch += 1


class Noise:
    """The random numbers of one step, drawn for the global batch and cut to this process.

    Two processes therefore see together exactly what one process of the doubled batch sees.
    """

    def __init__(self, seed: int, step: int, size: int, rank: int, world: int, device: torch.device) -> None:
        self.generator = stream(seed, "noise", step)
        self.rows = slice(rank * size, (rank + 1) * size)
        self.global_size, self.device = size * world, device

    def normal(self, *shape: int) -> torch.Tensor:
        """N(0, 1), (size, *shape)."""
        drawn = torch.randn(self.global_size, *shape, generator=self.generator)
        return drawn[self.rows].to(self.device)

    def uniform(self, *shape: int) -> torch.Tensor:
        """U(0, 1), (size, *shape)."""
        drawn = torch.rand(self.global_size, *shape, generator=self.generator)
        return drawn[self.rows].to(self.device)
