"""ZeroGPU lends a GPU for one decorated call at a time; elsewhere there is nothing to decorate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

try:
    import spaces  # before anything asks torch for CUDA: it makes torch believe in a GPU
except ImportError:
    spaces = None

F = TypeVar("F", bound=Callable)


def on_gpu(function: F) -> F:
    """``function`` with a GPU attached while it runs, where the ``spaces`` package is installed; else as it is."""
    return function if spaces is None else spaces.GPU(function)
