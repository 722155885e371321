"""What was measured of a model and how it was made, read from its files; damaged ones hold nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genhub import ModelInfo


def recorded(info: ModelInfo) -> tuple[Mapping, Mapping]:
    """The numbers and the protocol of a model's evaluation on its dataset; both empty where there is none."""
    return read_record(info.metrics_file)


def recorded_distance(info: ModelInfo) -> float:
    """Its Fréchet distance; infinite where none was recorded."""
    return recorded(info)[0].get("frechet_distance", math.inf)


def read_record(path: Path) -> tuple[Mapping, Mapping]:
    record = read_json(path)
    return mapping(record, "metrics"), mapping(record, "protocol")


def mapping(record: Any, key: str) -> Mapping[str, Any]:
    """``record[key]`` if both are mappings, else an empty one."""
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object that a file holds; an empty one where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}
