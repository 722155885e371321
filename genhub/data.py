"""Any image dataset as uint8 tensors: decoded once into memory, or streamed.

``digits`` is scikit-learn's set of 1,797 handwritten digits of 8×8 pixels, always at hand. Everything else goes through
``datasets``: a Hub id, a folder of parquet, arrow, json or csv files, or a folder of images (one folder per class).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genhub.errors import DataError, LoadError, nearest
from genhub.hub import require_reachable
from genhub.images import from_pil

if TYPE_CHECKING:
    import datasets

KNOWN = {"ylecun/mnist": "mnist", "uoft-cs/cifar10": "cifar10", "digits": "digits"}
SHUFFLE_BUFFER = 4096


@dataclasses.dataclass
class ImageSet:
    """A dataset in memory.

    Attributes:
        images: uint8 (n, C, H, W).
        labels: int64 (n,), or None.
        class_names: what the labels mean; empty without labels.
        name: short name, such as ``mnist``.
        source: what the user gave.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    class_names: list[str]
    name: str
    source: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.images.shape[1:])

    def to(self, device: torch.device) -> ImageSet:
        labels = None if self.labels is None else self.labels.to(device)
        return dataclasses.replace(self, images=self.images.to(device), labels=labels)


@dataclasses.dataclass
class StreamedSet:
    """A dataset that is read while it is used. Same attributes as ``ImageSet`` but for the tensors."""

    rows: Any
    image_column: str
    label_column: str | None
    image_shape: tuple[int, int, int]
    class_names: list[str]
    name: str
    source: str

    def examples(self, seed: int, epoch: int) -> Iterator[tuple[torch.Tensor, int]]:
        """uint8 images (C, H, W) with their labels, in an order that depends on (seed, epoch) alone.

        The order is shuffled through a buffer, so it is less random than that of a set in memory.
        """
        rows = self.rows.shuffle(seed=(seed * 1_000_003 + epoch) % 2**32, buffer_size=SHUFFLE_BUFFER)
        channels, size, _ = self.image_shape
        for i, row in enumerate(rows):
            label = row[self.label_column] if self.label_column else 0
            yield decode(row[self.image_column], channels, size, self.source, i), label


def load_images(
    source: str,
    *,
    split: str = "train",
    image_column: str | None = None,
    label_column: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    limit: int | None = None,
    streaming: bool = False,
) -> ImageSet | StreamedSet:
    """Read a dataset.

    Args:
        source: ``digits``, a Hub id, a folder of data files, or a folder of images.
        split: name of the split. ``digits`` has train (1,500) and test (297).
        image_column, label_column: found by their feature type where left out; a set without labels is fine.
        image_size, channels: convert to them; None takes those of the first image. Images whose size differs are
            centre-cropped to a square and resized.
        limit: only the first so many.
        streaming: return a ``StreamedSet`` that never holds the whole set.

    Raises:
        DataError: the source cannot be reached or read, or lacks the split, the column or any image.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit: expected at least 1, got {limit}")
    if source == "digits":
        if streaming:
            raise DataError("digits: is in memory already; leave streaming out")
        return load_digits_set(split, image_size, channels or 1, limit)
    rows = open_rows(source, split, streaming)
    columns = {name: type(feature).__name__ for name, feature in (rows.features or {}).items()}
    image_column = find_column(columns, image_column, "Image", "image_column", source)
    if image_column is None:
        raise DataError(f"{source}: no column holds images; found {columns}; name it with data.image_column")
    label_column = find_column(columns, label_column, "ClassLabel", "label_column", source)
    class_names = names_of(rows.features[label_column]) if label_column else []
    first = next(iter(rows), None)
    if first is None:
        raise DataError(f"{source}: split {split!r} has no rows")
    picture = first[image_column]
    channels = channels or (1 if picture.mode in ("1", "L", "I;16") else 3)
    size = image_size or min(picture.size)
    described = {"class_names": class_names, "name": short_name(source), "source": source}
    if streaming:
        rows = rows.take(limit) if limit else rows
        return StreamedSet(rows, image_column, label_column, (channels, size, size), **described)
    rows = rows.select(range(min(limit, len(rows)))) if limit else rows
    images = torch.empty((len(rows), channels, size, size), dtype=torch.uint8)
    for i, picture in enumerate(read_column(rows, image_column, source)):
        images[i] = decode(picture, channels, size, source, i)
    labels = torch.tensor(rows[label_column][:], dtype=torch.int64) if label_column else None
    if labels is not None and (labels.min() < 0 or labels.max() >= len(class_names)):
        raise DataError(f"{source}: {label_column} has values outside 0…{len(class_names) - 1}; -1 marks hidden labels")
    return ImageSet(images, labels, **described)


def open_rows(source: str, split: str, streaming: bool) -> datasets.Dataset | datasets.IterableDataset:
    """The rows of one split through ``datasets``. Raises DataError."""
    import datasets
    from datasets.exceptions import DatasetNotFoundError

    path = Path(source).expanduser()
    if path.is_dir():
        if not any(p.is_file() and not p.name.startswith(".") for p in path.rglob("*")):
            raise DataError(f"{source}: the folder is empty; put images or parquet files in it")
    elif path.exists():
        raise DataError(f"{source}: is a file; give the folder that holds it")
    elif source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise DataError(f"{source}: no such folder, and not a Hub id 'user/name'; {nearest(source, KNOWN)}")
    elif not datasets.config.HF_HUB_OFFLINE:
        try:
            require_reachable(source)
        except LoadError as error:
            if streaming or not any(Path(datasets.config.HF_DATASETS_CACHE).glob(source.replace("/", "___"))):
                reason = str(error.__cause__)
                raise DataError(
                    f"{source}: the Hub cannot be reached ({reason}); "
                    "give a local folder, or use the embedded set: --dataset digits"
                ) from error
    try:
        datasets.disable_progress_bars()
        return datasets.load_dataset(str(path) if path.is_dir() else source, split=split, streaming=streaming)
    except DatasetNotFoundError as error:
        raise DataError(f"{source}: no such dataset on the Hub, or no access; check the name ({error})") from error
    except Exception as error:  # datasets raises many types for what is one thing to a user
        raise DataError(f"{source}: split {split!r} cannot be read: {type(error).__name__}: {error}") from error


def find_column(columns: dict[str, str], given: str | None, kind: str, option: str, source: str) -> str | None:
    """The column of a feature type, or the one given. Raises DataError where it does not exist or is ambiguous."""
    if given is not None:
        if given not in columns:
            raise DataError(f"{source}: data.{option} {given!r} does not exist; {nearest(given, columns)}")
        return given
    found = [name for name, feature in columns.items() if feature == kind]
    if len(found) > 1:
        raise DataError(f"{source}: several columns could be it: {', '.join(found)}; choose with data.{option}")
    return found[0] if found else None


def names_of(feature: Any) -> list[str]:
    if getattr(feature, "names", None):
        return [str(name) for name in feature.names]
    raise DataError("label_column: must be of type ClassLabel, so that its classes have names")


def read_column(rows: Any, column: str, source: str) -> Iterator[Any]:
    """The pictures of a column in order, decoded one at a time. Raises DataError naming a row that cannot be read."""
    pictures = iter(rows.select_columns([column]))
    for i in itertools.count():
        try:
            yield next(pictures)[column]
        except StopIteration:
            return
        except Exception as error:
            raise DataError(f"{source}: image {i} cannot be read ({error}); remove or replace the file") from error


def decode(picture: Any, channels: int, size: int, source: str, index: int) -> torch.Tensor:
    """One PIL image to uint8 (channels, size, size). Raises DataError."""
    if picture is None:
        raise DataError(f"{source}: row {index} has no image")
    try:
        return from_pil(picture, channels, size)
    except OSError as error:
        raise DataError(f"{source}: image {index} cannot be read ({error}); remove or replace the file") from error


def load_digits_set(split: str, image_size: int | None, channels: int, limit: int | None) -> ImageSet:
    """scikit-learn's digits (Alpaydin & Kaynak, 1998): values 0…16 stretched to 0…255, 8×8 unless resized."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    parts = {"train": slice(0, 1500), "test": slice(1500, None)}
    if split not in parts:
        raise DataError(f"digits: has no split {split!r}; {nearest(split, parts)}")
    bunch = load_digits()
    pixels = np.round(bunch.images[parts[split]] * (255 / 16)).astype(np.uint8)[:limit]
    pictures = [from_pil(Image.fromarray(p), channels, image_size) for p in pixels]
    labels = torch.from_numpy(bunch.target[parts[split]][:limit]).long()
    return ImageSet(torch.stack(pictures), labels, [str(i) for i in range(10)], "digits", "digits")


def short_name(source: str) -> str:
    """``mnist`` for ``ylecun/mnist`` and for a folder of that name."""
    return KNOWN.get(source, Path(source).expanduser().resolve().name.lower())
