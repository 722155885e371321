"""Features that were extracted before, by the content of what they were extracted from."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

LIMIT = 2**30  # bytes; the files used longest ago go first


def folder() -> Path:
    """Where features are kept: ``$GENHUB_CACHE``, or ``genhub`` in the user's cache folder."""
    given = os.environ.get("GENHUB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(given) if given else Path(base) / "genhub") / "features"


def content_key(images: torch.Tensor, extractor: str) -> str:
    """A hash of uint8 images, their shape and the extractor's identity."""
    digest = hashlib.sha256(f"{extractor} {tuple(images.shape)} ".encode())
    digest.update(images.cpu().contiguous().numpy())
    return digest.hexdigest()


def load_features(name: str) -> dict[str, torch.Tensor] | None:
    """What was kept under a key; None if there is nothing, or nothing whole."""
    path = folder() / f"{name}.safetensors"
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    with contextlib.suppress(OSError):  # who may read it need not be who may write there
        os.utime(path)
    return tensors


def save_features(name: str, tensors: dict[str, torch.Tensor]) -> None:
    """Keep tensors under a key. A cache that cannot be written costs time, never a measurement."""
    path = folder() / f"{name}.safetensors"
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    with contextlib.suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary)
        temporary.replace(path)
        prune(path.parent)


def prune(where: Path) -> None:
    files = sorted(where.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > LIMIT:
            path.unlink()
