"""Recorded values as a reader sees them: one line each, no path of a machine, no digit too many."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any


def words(value: Any) -> str | None:
    """A recorded value as one line: `generator 1,234, discriminator 567` for a mapping."""
    if isinstance(value, str) and (value.startswith(("/", ".", "~")) or value.count("/") > 1):
        return f"{Path(value).name} (local)"  # paths of a machine are not published
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(words(item)) for item in value)
    return whole(value) if isinstance(value, int) else number(value)


def whole(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int) else None if value is None else str(value)


def number(value: Any) -> str | None:
    """Four significant digits, which is more than any of the figures deserves."""
    return f"{value:.4g}" if isinstance(value, float) else None if value is None else str(value)


def duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def file_name(text: str) -> str:
    """Text as a part of a file's name: letters of any script stay, what no file can be called goes."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def table_cell(text: str) -> str:
    """A value that cannot break out of its cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def measurement(value: float, spread: float | None = None) -> str:
    """A figure to the first digit of its spread, beyond which nothing of it is known: ``0.00620 ± 0.00003``."""
    if not spread:
        return f"{number(value)}{'' if spread is None else ' ± 0'}"
    digits = max(0, -math.floor(math.log10(float(f"{spread:.1g}"))))  # rounded first: 0.096 is 0.1
    return f"{round(value, digits) + 0.0:,.{digits}f} ± {spread:,.{digits}f}"  # 0.0: no negative zero
