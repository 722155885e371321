"""The columns of a dataset's rows: which holds images, which holds labels, and what the labels mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from genhub.errors import DataError, nearest

if TYPE_CHECKING:
    import datasets

MAX_CLASSES = 10_000  # more different whole numbers than that are no classes


def find_image_column(features: dict[str, Any], given: str | None, source: str) -> str:
    """The column that holds images, or the one given. Raises DataError."""
    found = [name for name, feature in features.items() if is_image(feature)]
    if given is not None:
        require_column(features, given, "image_column", source)
        if given not in found:
            raise DataError(
                f"{source}: data.image_column {given!r} holds {type_name(features[given])}, not images; "
                f"columns with images: {', '.join(found) or 'none'}"
            )
        return given
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(f"{source}: several columns hold images: {', '.join(found)}; choose with data.image_column")
    kinds = ", ".join(f"{name} ({type_name(feature)})" for name, feature in features.items())
    raise DataError(f"{source}: no column holds images; found {kinds or 'no columns'}")


def find_label_column(features: dict[str, Any], given: str | None, streaming: bool, source: str) -> str | None:
    """The column that holds labels, or the one given, or None. Raises DataError."""
    found = [name for name, feature in features.items() if hasattr(feature, "names")]
    numbers = [name for name, feature in features.items() if "int" in str(getattr(feature, "dtype", ""))]
    if given is None:
        if len(found) > 1:
            raise DataError(f"{source}: several columns hold labels: {', '.join(found)}; choose with data.label_column")
        return found[0] if found else "label" if "label" in numbers and not streaming else None
    require_column(features, given, "label_column", source)
    if given in found or (given in numbers and not streaming):
        return given
    if given in numbers:
        raise DataError(
            f"{source}: streaming cannot tell how many classes the numbers of {given!r} mean; "
            "make it a ClassLabel, or leave streaming out"
        )
    raise DataError(
        f"{source}: data.label_column {given!r} holds {type_name(features[given])}; "
        "labels must be a ClassLabel or whole numbers from 0"
    )


def require_column(features: dict[str, Any], given: str, option: str, source: str) -> None:
    if given not in features:
        raise DataError(f"{source}: data.{option} {given!r} does not exist; {nearest(given, features)}")


def is_image(feature: Any) -> bool:
    """Images as ``datasets`` marks them, or stored the same way by another program, without the mark."""
    return type(feature).__name__ == "Image" or (isinstance(feature, dict) and {"bytes", "path"} <= set(feature))


def type_name(feature: Any) -> str:
    return str(getattr(feature, "dtype", type(feature).__name__))


def read_labels(
    rows: datasets.Dataset, column: str | None, class_names: list[str], source: str
) -> tuple[torch.Tensor | None, list[str]]:
    """Labels (n,) int64 and what they mean; neither where there are none or all are hidden. Raises DataError."""
    if column is None:
        return None, []
    labels = torch.tensor([-1 if label is None else label for label in rows[column]], dtype=torch.int64)
    low, high = labels.min().item(), labels.max().item()
    if low == high == -1:
        return None, []
    most = len(class_names) or MAX_CLASSES
    if low < 0 or high >= most:
        raise DataError(
            f"{source}: data.label_column {column!r} has values from {low} to {high}, classes are 0…{most - 1} "
            "(-1 marks a hidden label); choose another split or column"
        )
    return labels, class_names or [str(i) for i in range(high + 1)]
