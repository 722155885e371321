"""What is shown, as a zip of PNG files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import torch

from genhub.images import grid
from space.catalog import Dataset
from space.result import Result, png
from space.snippet import snippet
from space.view import View

EPOCH = (1980, 1, 1, 0, 0, 0)  # the same view gives the same bytes


def archive(view: View, dataset: Dataset, results: Sequence[Result]) -> bytes:
    """A zip with each image in its real pixels, a sheet per model and one of all, and the script that makes them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:

        def add(name: str, data: bytes | str) -> None:
            file.writestr(zipfile.ZipInfo(f"{stem(view, dataset)}/{name}", EPOCH), data)

        for result in results:
            name = result.job.model
            for i, image in enumerate(result.pngs):
                label = f"-{dataset.class_names[result.labels[i]]}" if result.labels else ""
                add(f"{name}/{i:02d}{label}.png", image)
            add(f"{name}.png", png(grid(result.pixels)))
        if results:
            rows = torch.cat([result.pixels for result in results])
            add("all.png", png(grid(rows, columns=view.n)))
        add("reproduce.py", snippet(view, dataset))
    return buffer.getvalue()


def stem(view: View, dataset: Dataset) -> str:
    """A file name for a view, such as ``genhub-mnist-7-seed3``."""
    label = "all" if view.label is None else dataset.class_names[view.label]
    safe = "".join(c if c.isalnum() else "-" for c in label)
    return f"genhub-{dataset.name}-{safe}-seed{view.seed}"
