"""The conditional models side by side, class by class: what ``training/compare.py`` wrote for people to read."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from space.board import ROOT
from space.catalog import Dataset
from space.manuals import to_html

FOLDER = ROOT / "docs" / "comparison"


@dataclasses.dataclass(frozen=True)
class Sheets:
    """The table with its protocol and caveat as HTML, the classes of which there is a sheet, and the sheets' size."""

    text: Markup
    classes: tuple[str, ...]
    size: tuple[int, int]


@functools.cache
def sheets_of(dataset: Dataset) -> Sheets | None:
    """What was written of a dataset's models; None where nothing was."""
    document = FOLDER / f"{dataset.name}.md"
    if not document.is_file():
        return None
    _, _, body = document.read_text(encoding="utf-8").partition("\n")  # without its title
    classes = tuple(name for name in dataset.class_names if path_of(dataset, name).is_file())
    size = (0, 0)
    if classes:
        with Image.open(path_of(dataset, classes[0])) as picture:
            size = picture.size
    return Sheets(to_html(body.partition("\n## ")[0]), classes, size)


def path_of(dataset: Dataset, class_name: str) -> Path:
    """Where the sheet of a class lies, whether it is there or not."""
    return FOLDER / dataset.name / f"{class_name}.png"
