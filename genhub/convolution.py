"""Convolutions that are fast on CPUs: torch's own layers, with a second way of computing them in two places.

*Small maps.* Kernels made for large maps run at a fraction of a CPU's speed in the innermost layers of generators and
discriminators, most of all for the gradient of the weights. There each position of the smaller map, with each row of
the kernel, is one matrix product over the batch instead. Its operands are views of channels-last memory, so that
nothing is copied, and what the kernel would read from the padding is left out.

Measured with 4×4 kernels of stride 2 that make maps of 2×2, batch 128, two cores with AVX2: forward and backward take
half the time. Maps of 4×4 gain nothing.

*Enlarged maps.* A convolution of a map whose pixels are repeated multiplies most weights with the same pixel as their
neighbour. Adding these weights first makes of both rows one transposed convolution of the small map: after a doubling,
a kernel of 3×3 is used 36 times per pixel of the small map, and that of 4×4 which replaces both 16 times.

Measured with these kernels, batch 128, one thread: forward and backward take half the time from 128 channels to 128,
and a fifth from 128 to 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import nn

# With more positions of the smaller map, or fewer images for each, products get too many and too thin.
MAX_POSITIONS = 4
IMAGES_PER_POSITION = 4

DTYPES = (torch.float32, torch.bfloat16)

Pair = tuple[int, int]

AS_WRITTEN = ContextVar("as_written", default=False)


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` without groups and dilation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight  # read once: spectral norm computes it anew, and in training steps, at each reading
        small = convolved(x.shape[2:], self.kernel_size, self.stride, self.padding)
        if not pays(x, weight, small):
            return self._conv_forward(x, weight, self.bias)
        x, weight, bias = as_computed(x, weight, self.bias)
        y = Convolve.apply(x, weight, self.stride, self.padding)
        return y if bias is None else y + bias[:, None, None]

    def of_enlarged(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        """What ``forward`` gives for ``x`` with each pixel repeated ``factor`` times both ways, without making that.

        For strides of 1 and paddings smaller than the kernel.
        """
        padded = F.pad(self.weight.float(), [factor - 1] * 4)
        added = F.avg_pool2d(padded, factor, stride=1, divisor_override=1).to(self.weight.dtype)
        crop = [length - 1 - pad for length, pad in zip(self.kernel_size, self.padding, strict=True)]
        return F.conv_transpose2d(x, added.flip(2, 3).transpose(0, 1), self.bias, stride=factor, padding=crop)


class ConvTranspose2d(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` without groups and dilation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight
        if not pays(x, weight, x.shape[2:]):
            return F.conv_transpose2d(x, weight, self.bias, self.stride, self.padding, self.output_padding)
        sides = zip(x.shape[2:], self.kernel_size, self.stride, self.padding, self.output_padding, strict=True)
        large = [(side - 1) * stride - 2 * pad + kernel + extra for side, kernel, stride, pad, extra in sides]
        x, weight, bias = as_computed(x, weight, self.bias)
        y = Spread.apply(x, weight, self.stride, self.padding, large)
        return y if bias is None else y + bias[:, None, None]


@contextmanager
def as_written() -> Iterator[None]:
    """Compute each row of a network as torch does by itself, so that its operations can be counted."""
    token = AS_WRITTEN.set(True)
    try:
        yield
    finally:
        AS_WRITTEN.reset(token)


def plain(x: torch.Tensor) -> bool:
    """Whether a second way was measured for such a map, and is wanted. Compilers work with torch's own kernels only."""
    if torch.compiler.is_compiling() or AS_WRITTEN.get():
        return False
    return x.device.type == "cpu" and precision(x) in DTYPES


def precision(x: torch.Tensor) -> torch.dtype:
    """What torch's own layers would compute in; autocast leaves double precision alone."""
    cast = torch.is_autocast_enabled("cpu") and x.is_floating_point() and x.dtype != torch.float64
    return torch.get_autocast_dtype("cpu") if cast else x.dtype


def as_computed(*tensors: torch.Tensor | None) -> list[torch.Tensor | None]:
    """The tensors as torch's own layers would take them. Autocast knows nothing of the functions below."""
    return [None if tensor is None else tensor.to(precision(tensor)) for tensor in tensors]


def convolved(large: Sequence[int], kernel: Sequence[int], stride: Pair, padding: Pair) -> list[int]:
    """Height and width of the map that a convolution makes of a larger one."""
    sides = zip(large, kernel, stride, padding, strict=True)
    return [(side + 2 * pad - length) // step + 1 for side, length, step, pad in sides]


def pays(x: torch.Tensor, weight: torch.Tensor, small: Sequence[int]) -> bool:
    """Whether matrix products are possible and pay.

    In bfloat16 only where gradients are computed: the way depends on the size of the batch, and what a model makes must
    not, whose images would differ by more than the rounding of pixels hides.
    """
    positions = small[0] * small[1]
    possible = plain(x) and precision(weight) == precision(x) and x.dim() == 4
    possible &= torch.is_grad_enabled() or precision(x) != torch.bfloat16
    return possible and positions <= MAX_POSITIONS and len(x) >= IMAGES_PER_POSITION * positions


# A convolution is linear in each of large map, weight and small map, and the gradient of one is made of the other two.
# So three functions are each other's derivatives, to any order. Shapes: large (n, c, H, W), small (n, d, h, w),
# weight (d, c, kh, kw).


class Bilinear(torch.autograd.Function):
    """Remembers its two factors and the geometry, apart from computing, as ``torch.func`` asks."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.geometry = inputs[2:4]


class Convolve(Bilinear):
    """Large map and weight to the small map."""

    @staticmethod
    def forward(large, weight, stride, padding):
        size = convolved(large.shape[2:], weight.shape[2:], stride, padding)
        x, w = channels_last(large), channels_last(weight)
        y = x.new_zeros(len(x), *size, len(w))
        for a, b, c in products(x, w, y, stride, padding):
            c.addmm_(a, b.T)
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):
        large, weight = ctx.saved_tensors
        need_large, need_weight = ctx.needs_input_grad[:2]
        return (
            Spread.apply(gradient, weight, *ctx.geometry, large.shape[2:]) if need_large else None,
            Correlate.apply(large, gradient, *ctx.geometry, weight.shape[2:]) if need_weight else None,
            None,
            None,
        )


class Spread(Bilinear):
    """Small map and weight to the large map of the given size: the transposed convolution."""

    @staticmethod
    def forward(small, weight, stride, padding, size):
        y, w = channels_last(small), channels_last(weight)
        x = y.new_zeros(len(y), *size, w.shape[3])
        for a, b, c in products(x, w, y, stride, padding):
            a.addmm_(c, b)
        return x.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):
        small, weight = ctx.saved_tensors
        need_small, need_weight = ctx.needs_input_grad[:2]
        return (
            Convolve.apply(gradient, weight, *ctx.geometry) if need_small else None,
            Correlate.apply(gradient, small, *ctx.geometry, weight.shape[2:]) if need_weight else None,
            None,
            None,
            None,
        )


class Correlate(Bilinear):
    """Large and small map to the weight of the given kernel size: the gradient of both functions above."""

    @staticmethod
    def forward(large, small, stride, padding, kernel):
        x, y = channels_last(large), channels_last(small)
        w = x.new_zeros(y.shape[3], *kernel, x.shape[3])
        for a, b, c in products(x, w, y, stride, padding):
            b.addmm_(c.T, a)
        return w.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient):
        large, small = ctx.saved_tensors
        need_large, need_small = ctx.needs_input_grad[:2]
        return (
            Spread.apply(small, gradient, *ctx.geometry, large.shape[2:]) if need_large else None,
            Convolve.apply(large, gradient, *ctx.geometry) if need_small else None,
            None,
            None,
            None,
        )


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) of any layout to contiguous (n, h, w, c); a view where the memory already is."""
    return x.permute(0, 2, 3, 1).contiguous()


def products(
    x: torch.Tensor, w: torch.Tensor, y: torch.Tensor, stride: Pair, padding: Pair
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Matching parts a (n, k), b (d, k), c (n, d) of x (n, H, W, c), w (d, kh, kw, c), y (n, h, w, d): c = Σ a bᵀ."""
    for row, top, first, last in windows(x.shape[1], w.shape[1], y.shape[1], stride[0], padding[0]):
        for column, left, start, stop in windows(x.shape[2], w.shape[2], y.shape[2], stride[1], padding[1]):
            for i in range(first, last):
                across = x[:, top + i, left + start : left + stop].flatten(1)
                yield across, w[:, i, start:stop].flatten(1), y[:, row, column]


def windows(large: int, kernel: int, small: int, stride: int, padding: int) -> Iterator[tuple[int, int, int, int]]:
    """For each position of the small side: itself, where its kernel begins, and the part of the kernel on the map."""
    for position in range(small):
        begin = position * stride - padding
        first, last = max(0, -begin), min(kernel, large - begin)
        if first < last:
            yield position, begin, first, last
