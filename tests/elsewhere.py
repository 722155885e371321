"""A device that this machine lacks: tensors that say they are on it, compute on the CPU, and refuse to be mixed.

What runs under ``pretended()`` does not stop on a GPU because a tensor or a generator was left behind. Kernels, speed
and memory of a GPU are not tested by this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")  # the one name that PyTorch asks no driver for
INDEXING = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten._index_put_impl_.default}
COPYING = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class Elsewhere(torch.Tensor):
    """A tensor of the CPU in the disguise of one on ``DEVICE``."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Elsewhere:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @property
    def is_meta(self) -> bool:
        """Unlike what has no numbers, this is loaded from a state dict."""
        return False

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(op, args, kwargs or {})


class Pretence(TorchDispatchMode):
    """Sees to what is made on the device, or moved to it, where no tensor is there yet."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(op, args, kwargs or {})


class FromNumbers(TorchFunctionMode):
    """``torch.tensor`` copies numbers to the device where no ``Pretence`` sees it; this lets it be seen."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function not in (torch.tensor, torch.as_tensor) or kwargs.get("device") is None:
            return function(*args, **kwargs)
        device = kwargs.pop("device")
        return function(*args, **kwargs).to(device)


def dispatched(op: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The result of an operation, on the device where it would be. Raises RuntimeError for tensors of two devices."""
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    there = [value for value in tensors if isinstance(value, Elsewhere)]
    left = [value for value in tensors if not isinstance(value, Elsewhere) and value.dim() > 0]
    wanted = kwargs.get("device")
    outside = bool(there) if wanted is None else torch.device(wanted) == DEVICE
    if op in INDEXING:  # a GPU takes indices from the CPU
        left = [value for value in left if value is args[0] or (len(args) > 2 and value is args[2])]
    if there and left and op not in COPYING:
        raise RuntimeError(f"{op}: tensors on two devices, on the CPU those of {[tuple(x.shape) for x in left]}")
    generator = kwargs.get("generator")
    if generator is not None and outside:
        raise RuntimeError(f"{op}: a generator of the CPU for a tensor on another device")
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    bare, named = tree_map(lambda value: value.inner if isinstance(value, Elsewhere) else value, (args, kwargs))
    found = op(*bare, **named)
    known = {id(value.inner): value for value in there}  # what is changed in place stays the tensor that it is
    if op is torch.ops.aten.copy_.default:
        return args[0]
    if not outside:
        return found
    return tree_map(
        lambda value: known.get(id(value), Elsewhere(value)) if isinstance(value, torch.Tensor) else value, found
    )


@contextlib.contextmanager
def pretended() -> Iterator[torch.device]:
    """The device, for as long as tensors can be put on it."""
    autocast = mock.patch("torch.autocast", return_value=contextlib.nullcontext())
    fused = mock.patch("torch.optim.optimizer._get_fused_kernels_supported_devices", return_value=[DEVICE.type])
    with autocast, fused, Pretence(), FromNumbers():
        yield DEVICE
