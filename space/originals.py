"""Real images of the datasets, which the project does not hold: read while it runs, once, in the background."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from genhub.data import KNOWN, ImageSet, load_images
from genhub.errors import DataError
from space.catalog import Dataset

FOLDER = "GENHUB_DATA"  # environment variable: a folder with one subfolder per dataset, such as mnist/
ALWAYS_HERE = "digits"  # the dataset that needs no folder and no network
RETRY_SECONDS = 60.0
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Missing:
    """A dataset that cannot be read here, in words for a visitor."""

    reason: str
    since: float


class Originals(Generic[T]):
    """Keeps what ``load`` makes of a split of a dataset: in the background, when first asked for, one at a time."""

    def __init__(self, load: Callable[[Dataset, str], T]) -> None:
        self.load = load
        self.found: dict[tuple[str, str], T | Missing] = {}
        self.readers: dict[tuple[str, str], threading.Thread] = {}
        self.free = threading.Lock()  # the one reader's
        self.touched = threading.Lock()  # held while touching the two dicts

    def ask(self, dataset: Dataset, split: str, wait: float | None = 0.0) -> T | Missing | None:
        """What there is, or why there are none, or None while they are being read. Waits at most ``wait`` seconds.

        What was missing is looked for again after a minute. With ``wait`` None there is an answer.
        """
        key = (dataset.name, split)
        with self.touched:
            answer = self.found.get(key)
            if isinstance(answer, Missing) and time.monotonic() - answer.since > RETRY_SECONDS:
                answer = None
            if answer is not None:
                return answer
            if key not in self.readers:
                self.readers[key] = threading.Thread(target=self.read, args=(dataset, split), daemon=True)
                self.readers[key].start()
            reader = self.readers[key]
        reader.join(wait)
        with self.touched:
            return None if key in self.readers else self.found[key]

    def read(self, dataset: Dataset, split: str) -> None:
        key = (dataset.name, split)
        try:
            with self.free:
                answer = self.load(dataset, split)
        except Exception as error:  # a reader that dies would leave its visitors waiting for ever
            log.warning("%s: %s", dataset.name, error)  # the reason may name folders, which visitors need not see
            answer = Missing(f"The real images of {dataset.title} cannot be reached from here.", time.monotonic())
        with self.touched:
            self.found[key] = answer
            del self.readers[key]


def read_split(dataset: Dataset, split: str) -> ImageSet:
    """The images of a split at the size that the dataset's models make. Raises DataError."""
    channels, size, _ = dataset.models[0].image_shape
    images = load_images(source_of(dataset.name), split=split, image_size=size, channels=channels)
    if images.labels is not None and len(images.class_names) != len(dataset.class_names or images.class_names):
        raise DataError(f"{images.source}: has {len(images.class_names)} classes, not those of {dataset.title}")
    return images


def source_of(name: str) -> str:
    """Where a dataset is read from: its folder under ``GENHUB_DATA``, else the Hub (through the local cache)."""
    folder = Path(os.environ[FOLDER]) / name if os.environ.get(FOLDER) else None
    if folder and folder.is_dir():
        return str(folder)
    return next((hub_id for hub_id, short in KNOWN.items() if short == name), name)
