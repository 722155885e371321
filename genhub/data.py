"""Any image dataset as uint8 tensors: decoded once into memory, or streamed.

``digits`` is scikit-learn's set of 1,797 handwritten digits of 8×8 pixels, always at hand. Everything else goes through
``datasets``: a Hub id, a folder of parquet, arrow, json or csv files, or a folder of images (one folder per class).
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import constants
from PIL import Image, ImageMode

from genhub.columns import find_image_column, find_label_column, read_labels
from genhub.decoding import decode, encoded, opened, read_images
from genhub.errors import DataError, as_whole, nearest
from genhub.hub import is_hub_id, one_line, unreachable
from genhub.images import from_pil
from genhub.paths import typed_path

if TYPE_CHECKING:
    import datasets

KNOWN = {"ylecun/mnist": "mnist", "uoft-cs/cifar10": "cifar10", "digits": "digits"}
SHUFFLE_BUFFER = 4096
OFFLINE = threading.RLock()


@dataclasses.dataclass
class ImageSet:
    """A dataset in memory.

    Attributes:
        images: uint8 (n, C, H, W).
        labels: int64 (n,), or None.
        class_names: what the labels mean; empty without labels.
        name: short name, such as ``mnist``.
        source: what the user gave.
        origins: of joined sets, int64 (n,): which of them each image is of; else None.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    class_names: list[str]
    name: str
    source: str
    origins: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.images.shape[1:])

    def subset(self, index: torch.Tensor) -> ImageSet:
        """The images (m, C, H, W) at int64 indices (m,), in that order and as often as they are given."""
        labels, origins = (None if part is None else part[index] for part in (self.labels, self.origins))
        return dataclasses.replace(self, images=self.images[index], labels=labels, origins=origins)

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
        for i, row in enumerate(self.checked(rows)):
            label = row[self.label_column] if self.label_column else 0
            if label is None or label < 0:
                raise DataError(f"{self.source}: row {i} has no label; choose a split whose labels are known")
            yield decode(row[self.image_column], channels, size, f"{self.source}: image {i}"), label

    def checked(self, rows: Any) -> Iterator[dict[str, Any]]:
        """The rows, with what goes wrong while they are fetched as a DataError."""
        try:
            yield from rows
        except Exception as error:
            raise DataError(f"{self.source}: reading broke off: {one_line(error)}") from error


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
        source: ``digits``, a Hub id, a folder of data files, or a folder of images; or several of them joined by
            ``+``, whose classes are then told apart and whose images are all made like the first set's.
        split: name of the split. ``digits`` has train (1,500) and test (297).
        image_column: found by its type where left out.
        label_column: where left out, the one of type ClassLabel, or else one named ``label`` that holds whole numbers,
            whose classes are then called "0", "1", … (not while streaming). A set without labels is fine, and a split
            whose labels are all hidden (-1) counts as one.
        image_size, channels: convert to them; None takes those of the first image. Images whose size differs are
            centre-cropped to a square and resized.
        limit: only the first so many, of each set.
        streaming: return a ``StreamedSet`` that never holds the whole set.

    Raises:
        DataError: the source cannot be reached or read, or lacks the split, the column or any image.
    """
    for name, value in (("limit", limit), ("image_size", image_size)):
        if value is not None and (as_whole(value) or 0) < 1:
            raise DataError(f"{name}: expected a whole number of at least 1, got {value!r}")
    if not isinstance(split, str):
        raise DataError(f"split: expected the name of a split, such as 'train', got {split!r}")
    if channels is not None and as_whole(channels) not in (1, 3):
        raise DataError(f"channels: expected 1 (grey) or 3 (colour), got {channels!r}")
    source = str(source)
    if "+" in source and not typed_path(source, DataError).exists():
        columns = {"image_column": image_column, "label_column": label_column}
        shape = {"image_size": image_size, "channels": channels}
        return joined(source.split("+"), split=split, limit=limit, streaming=streaming, **columns, **shape)
    if source == "digits":
        if streaming:
            raise DataError("digits: is in memory already; leave streaming out")
        return load_digits_set(split, image_size, channels or 1, limit)
    rows = open_rows(source, split, streaming)
    features = dict(rows.features or {})
    image_column = find_image_column(features, image_column, source)
    label_column = find_label_column(features, label_column, streaming, source)
    class_names = list(getattr(features.get(label_column), "names", ()))
    rows = encoded(rows, image_column)
    first = next(iter(rows), None)
    if first is None:
        raise DataError(f"{source}: split {split!r} has no rows")
    picture = opened(first[image_column], f"{source}: image 0")
    channels = channels or (1 if ImageMode.getmode(picture.mode).basemode == "L" else 3)
    size = image_size or min(picture.size)
    if limit:
        rows = rows.take(limit if streaming else min(limit, len(rows)))
    described = {"name": short_name(source), "source": source}
    if streaming:
        shape = (channels, size, size)
        return StreamedSet(rows, image_column, label_column, shape, class_names, **described)
    labels, class_names = read_labels(rows, label_column, class_names, source)
    return ImageSet(read_images(rows, image_column, channels, size, source), labels, class_names, **described)


def joined(sources: list[str], *, streaming: bool, **options: Any) -> ImageSet:
    """Several sets as one, the classes of each after those of the one before. Raises DataError."""
    if streaming:
        raise DataError(f"{'+'.join(sources)}: joined sets are read into memory; leave streaming out")
    sets: list[ImageSet] = []
    for source in sources:
        sets.append(load_images(source, **options))
        channels, size, _ = sets[0].image_shape
        options |= {"channels": channels, "image_size": size}
    names = [name for part in sets for name in part.class_names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{'+'.join(sources)}: classes of the same name: {', '.join(repeated)}; join other sets")
    if any(part.labels is None for part in sets) and names:
        raise DataError(f"{'+'.join(sources)}: some have labels and some have none; join sets of one kind")
    labels, first = [], 0
    for part in sets:
        labels.append(None if part.labels is None else part.labels + first)
        first += len(part.class_names)
    images = torch.cat([part.images for part in sets])
    name, source = ("+".join(getattr(part, key) for part in sets) for key in ("name", "source"))
    origins = torch.arange(len(sets)).repeat_interleave(torch.tensor([len(part) for part in sets]))
    return ImageSet(images, None if labels[0] is None else torch.cat(labels), names, name, source, origins)


def open_rows(source: str, split: str, streaming: bool) -> datasets.Dataset | datasets.IterableDataset:
    """The rows of one split through ``datasets``. Raises DataError."""
    try:
        import datasets
        from datasets.exceptions import DatasetNotFoundError
    except ImportError as error:
        raise DataError(f"{source}: reading it takes more packages: pip install datasets") from error
    path = typed_path(source, DataError)
    cached_only = False
    if path.is_dir():
        if not any(p.is_file() and not p.name.startswith(".") for p in path.rglob("*")):
            raise DataError(f"{source}: the folder is empty; put images or parquet files in it")
    elif path.exists():
        raise DataError(f"{source}: is a file; give the folder that holds it")
    elif not is_hub_id(source):
        raise DataError(f"{source}: no such folder, and not a Hub id 'user/name'; {nearest(source, KNOWN)}")
    else:
        forbidden = "offline mode forbids the network" if constants.is_offline_mode() else None
        problem = forbidden or unreachable(constants.ENDPOINT)
        cached = Path(datasets.config.HF_DATASETS_CACHE) / source.replace("/", "___")
        cached_only = problem is not None
        if problem and (streaming or not cached.is_dir()):
            raise DataError(
                f"{source}: no such folder, and {problem}; give a local folder, or use the embedded set 'digits'"
            )
    try:
        with without_progress_bars(), offline() if cached_only else contextlib.nullcontext():
            return datasets.load_dataset(str(path) if path.is_dir() else source, split=split, streaming=streaming)
    except DatasetNotFoundError as error:
        raise DataError(
            f"{source}: no such folder, and no such dataset on the Hub or no access to it; check the name "
            f"({one_line(error)})"
        ) from error
    except Exception as error:  # datasets raises many types for what is one thing to a user
        reason = error.__cause__ or error  # its DatasetGenerationError says nothing itself
        raise DataError(f"{source}: split {split!r} cannot be read: {one_line(reason)}") from error


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Keeps the Hub's client from trying, and retrying, a network that is known to be away."""
    with OFFLINE:  # one thread at a time, as what was there before is put back
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def load_digits_set(split: str, image_size: int | None, channels: int, limit: int | None) -> ImageSet:
    """scikit-learn's digits (Alpaydin & Kaynak, 1998): values 0…16 stretched to 0…255, 8×8 unless resized."""
    import numpy as np
    from sklearn.datasets import load_digits

    parts = {"train": slice(0, 1500), "test": slice(1500, None)}
    if split not in parts:
        raise DataError(f"digits: has no split {split!r}; {nearest(split, parts)}")
    bunch = load_digits()
    pixels = np.round(bunch.images[parts[split]] * (255 / 16)).astype(np.uint8)[:limit]
    pictures = [from_pil(Image.fromarray(p), channels, image_size) for p in pixels]
    labels = torch.from_numpy(bunch.target[parts[split]][:limit]).long()
    return ImageSet(torch.stack(pictures), labels, [str(i) for i in range(10)], "digits", "digits")


def hub_id(name: str) -> str:
    """``ylecun/mnist`` for ``mnist``; a name of no known set is left as it is."""
    return next((known for known, short in KNOWN.items() if short == name), name)


def short_name(source: str) -> str:
    """``mnist`` for ``ylecun/mnist`` and for a folder of that name."""
    return KNOWN.get(source, Path(source).expanduser().resolve().name.lower())
