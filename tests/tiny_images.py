"""Folders of small made-up pictures, which stand in for datasets that the project may not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_image_folder(folder: Path, size: int, classes: int = 10, each: int = 2) -> None:
    """``folder/SPLIT/CLASS/I.png`` for train and test: noise, a little brighter from class to class."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in range(classes):
            home = folder / split / str(label)
            home.mkdir(parents=True)
            for i in range(each):
                pixels = random.integers(10 * label, 10 * label + 150, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / f"{i}.png")
