"""Paths that a user typed."""

from __future__ import annotations

from pathlib import Path


def typed_path(given: str | Path, error: type[ValueError]) -> Path:
    """The path, with ``~`` in full. Raises ``error`` for what no file or folder can be called or nobody may look at."""
    try:
        path = Path(given).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as problem:
        raise error(f"{str(given)[:80]}: no path can be that: {problem}; give another one") from problem
    return path
