"""From rows with the bytes of image files to uint8 tensors."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from genhub.errors import DataError
from genhub.hub import one_line
from genhub.images import from_pil

if TYPE_CHECKING:
    import datasets

READ_AT_ONCE = 256  # rows


def encoded(rows: Any, image_column: str) -> Any:
    """The rows with images as the bytes of their files: decoding them here takes less than half the time."""
    import datasets

    return rows.cast_column(image_column, datasets.Image(decode=False))


def opened(item: dict[str, Any] | None, where: str) -> Image.Image:
    """The picture of an encoded image. Raises DataError."""
    import datasets

    if item is None or (item["bytes"] is None and item["path"] is None):
        raise DataError(f"{where} is missing; remove the row")
    try:
        if item["bytes"] is not None:
            return Image.open(io.BytesIO(item["bytes"]))
        return datasets.Image().decode_example(item)  # from a file or an address
    except Exception as error:
        raise unreadable(item, where, error) from error


def decode(item: dict[str, Any] | None, channels: int, size: int, where: str) -> torch.Tensor:
    """One encoded image to uint8 (channels, size, size). Raises DataError."""
    picture = opened(item, where)
    try:
        return from_pil(picture, channels, size)
    except Exception as error:  # a damaged file makes PIL raise nearly anything
        raise unreadable(item, where, error) from error


def unreadable(item: dict[str, Any], where: str, error: Exception) -> DataError:
    file = f" ({item['path']})" if item["path"] else ""
    return DataError(f"{where}{file} cannot be read: {one_line(error)}; remove or replace the file")


def read_images(rows: datasets.Dataset, column: str, channels: int, size: int, source: str) -> torch.Tensor:
    """All images of encoded rows, uint8 (n, channels, size, size). Raises DataError."""
    needed, present = len(rows) * channels * size * size, memory()
    if needed > present:
        raise DataError(
            f"{source}: {len(rows):,} images of {size}×{size} take {needed / 2**30:.1f} GiB of {present / 2**30:.1f}; "
            "set data.streaming, data.limit or a smaller data.image_size"
        )
    images = torch.empty((len(rows), channels, size, size), dtype=torch.uint8)
    items = (item for batch in rows.select_columns([column]).iter(READ_AT_ONCE) for item in batch[column])
    for i, item in enumerate(items):
        images[i] = decode(item, channels, size, f"{source}: image {i}")
    return images


def memory() -> float:
    """Bytes of memory that this machine has; infinite where it does not say."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else float("inf")
