"""Networks as data: a list of rows, each one operation with its norm, activation and dropout.

A row is a mapping such as ``{"op": "conv", "width": 64, "kernel": 4, "stride": 2, "norm": "batch", "act":
"lrelu"}``. Within a row the order is operation → norm → activation → dropout; another order takes several
rows, with ``{"op": "identity", …}``. Widths of inputs are inferred, so a row states only what it adds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from genhub.convolution import Conv2d, ConvTranspose2d, plain
from genhub.errors import nearest
from genhub.layers import (
    ConditionalBatchNorm,
    LabelConcat,
    MinibatchDeviation,
    Projection,
    Residual,
    SelfAttention,
)

Shape = tuple[int, ...]  # (features,) or (channels, height, width), without the batch dimension

ACTIVATIONS = {
    "relu": lambda width: nn.ReLU(),
    "lrelu": lambda width: nn.LeakyReLU(0.2),
    "prelu": lambda width: nn.PReLU(width),  # one slope per channel (He et al., 2015)
    "silu": lambda width: nn.SiLU(),
    "gelu": lambda width: nn.GELU(),
    "tanh": lambda width: nn.Tanh(),
    "sigmoid": lambda width: nn.Sigmoid(),
}
NORMS = ("batch", "conditional_batch", "instance", "group")
OPS = {  # operation: the fields it reads beside norm, momentum, act and dropout
    "dense": ("width", "bias", "spectral"),
    "conv": ("width", "kernel", "stride", "padding", "bias", "spectral"),
    "conv_transpose": ("width", "kernel", "stride", "padding", "bias", "spectral"),
    "upsample": ("factor",),
    "avg_pool": ("factor",),
    "global_pool": (),
    "reshape": ("size",),
    "flatten": (),
    "identity": (),
    "label": (),
    "attention": ("spectral",),
    "minibatch_deviation": (),
    "projection": ("spectral",),
    "residual": ("body", "spectral"),
}
SHARED_FIELDS = ("op", "norm", "momentum", "act", "dropout")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of a network.

    Args:
        op: what the row does; ``OPS`` lists the operations and the fields each one reads.
        width: channels or features of the result (dense, conv, conv_transpose).
        kernel, stride: of a convolution. ``padding`` None makes maps of size / stride (conv) or size * stride
            (conv_transpose), the "same" rule; a number is used as it is.
        factor: of upsample (nearest) and avg_pool.
        size: side of the map that ``reshape`` makes out of a feature vector.
        body: rows inside a ``residual`` operation, whose input is added to their result.
        bias, spectral: learn a bias; divide weights by their largest singular value (Miyato et al., 2018).
        norm: one of ``NORMS``; momentum is torch's (the share of the new batch; Keras' 0.8 is 0.2 here).
        act: one of ``ACTIVATIONS``; dropout is the probability of dropping.
    """

    op: str
    width: int | None = None
    kernel: int = 3
    stride: int = 1
    padding: int | None = None
    factor: int = 2
    size: int | None = None
    body: Sequence[Mapping[str, Any]] = ()
    bias: bool = True
    spectral: bool = False
    norm: str | None = None
    momentum: float = 0.1
    act: str | None = None
    dropout: float = 0.0

    @classmethod
    def parse(cls, row: Mapping[str, Any], where: str) -> Stage:
        """Check one row of a config. Raises ValueError naming the row, the key and the nearest valid one."""
        if not isinstance(row, Mapping) or "op" not in row:
            raise ValueError(f"{where}: expected a mapping with an 'op', got {row!r}")
        op = row["op"]
        if not isinstance(op, str) or op not in OPS:
            raise ValueError(f"{where}.op: got {op!r}; {nearest(op, OPS)}")
        allowed = (*SHARED_FIELDS, *OPS[op])
        for key in row:
            if key not in allowed:
                raise ValueError(f"{where}.{key}: not a field of {op!r}; {nearest(key, allowed)}")
        for name in ("width", "size"):
            if name in allowed and name not in row:
                raise ValueError(f"{where}.{name}: missing; {op!r} needs it")
        for key, value in row.items():
            check_field(key, value, f"{where}.{key}")
        return cls(**row)


def check_field(key: str, value: Any, where: str) -> None:
    """Raise ValueError unless the value of a known field has its type and range."""
    whole, number = type(value) is int, type(value) in (int, float)  # not isinstance: True is an int
    match key:
        case "norm" | "act":
            options = NORMS if key == "norm" else ACTIVATIONS
            if value is not None and (not isinstance(value, str) or value not in options):
                raise ValueError(f"{where}: got {value!r}; {nearest(value, options)}")
        case "width" | "kernel" | "stride" | "factor" | "size":
            if not whole or value < 1:
                raise ValueError(f"{where}: expected a whole number of at least 1, got {value!r}")
        case "padding":
            if value is not None and (not whole or value < 0):
                raise ValueError(f"{where}: expected a whole number of at least 0 or null, got {value!r}")
        case "bias" | "spectral":
            if not isinstance(value, bool):
                raise ValueError(f"{where}: expected true or false, got {value!r}")
        case "dropout":
            if not number or not 0 <= value < 1:
                raise ValueError(f"{where}: expected a probability in [0, 1), got {value!r}")
        case "momentum":
            if not number or not 0 < value <= 1:
                raise ValueError(f"{where}: expected a share in (0, 1], got {value!r}")


class StageBlock(nn.Module):
    """The modules of one row: operation → norm → activation → dropout."""

    def __init__(self, stage: Stage, shape: Shape, num_classes: int | None, where: str) -> None:
        super().__init__()
        self.op, self.shape = build_op(stage, shape, num_classes, where)
        width, flat = self.shape[0], len(self.shape) == 1
        self.norm = build_norm(stage, width, flat, num_classes, where)
        self.act = ACTIVATIONS[stage.act](width) if stage.act else nn.Identity()
        self.dropout = nn.Dropout(stage.dropout) if stage.dropout else nn.Identity()

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None, factor: int = 1) -> torch.Tensor:
        """The row's result for ``x``; with a ``factor`` for ``x`` enlarged so much, where ``reads_enlarged``."""
        if factor > 1:
            x = self.op.of_enlarged(x, factor)
        else:
            x = self.op(x, condition) if takes_condition(self.op) else self.op(x)
        x = self.norm(x, condition) if takes_condition(self.norm) else self.norm(x)
        return self.dropout(self.act(x))

    @property
    def enlarges(self) -> int:
        """The factor of a row that does nothing but repeat pixels, else 1."""
        alone = all(isinstance(module, nn.Identity) for module in (self.norm, self.act, self.dropout))
        if not alone or not isinstance(self.op, nn.Upsample) or hooked(self, self.op):
            return 1
        return int(self.op.scale_factor)

    @property
    def reads_enlarged(self) -> bool:
        """Whether the row is a convolution that ``Conv2d.of_enlarged`` can do."""
        op = self.op
        return isinstance(op, Conv2d) and op.stride == (1, 1) and op.padding[0] < op.kernel_size[0] and not hooked(op)


def hooked(*modules: nn.Module) -> bool:
    """Whether calling one of the modules does more than its ``forward``."""
    kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return any(getattr(module, kind) for module in modules for kind in kinds)


class Stack(nn.Module):
    """Rows applied in order.

    Args:
        rows: the network, see ``Stage``.
        shape: shape of one input without the batch dimension.
        num_classes: width of the condition, or None for an unconditional network.
        where: the argument's name, for error messages.

    Attribute ``shape`` is the shape of one output; ``conditional`` says whether any row reads the condition.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        shape: Shape,
        num_classes: int | None = None,
        where: str = "stages",
    ) -> None:
        super().__init__()
        if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
            raise ValueError(f"{where}: expected a list of at least one row, got {rows!r}")
        blocks = []
        for i, row in enumerate(rows):
            row_name = f"{where}[{i}]"
            blocks.append(StageBlock(Stage.parse(row, row_name), shape, num_classes, row_name))
            shape = blocks[-1].shape
        self.blocks = nn.ModuleList(blocks).to(memory_format=torch.channels_last)  # convolutions are faster so
        self.shape = shape
        self.conditional = any(isinstance(m, (LabelConcat, ConditionalBatchNorm, Projection)) for m in self.modules())

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.run(x, condition, 0, len(self.blocks))

    def run(self, x: torch.Tensor, condition: torch.Tensor | None, first: int, last: int) -> torch.Tensor:
        """Rows from ``first`` up to ``last``; an enlargement and the convolution of it in one, where that is faster."""
        factor = 1
        for i in range(first, last):
            following = self.blocks[i + 1] if i + 1 < last and plain(x) else None
            if factor == 1 and following is not None and following.reads_enlarged and self.blocks[i].enlarges > 1:
                factor = self.blocks[i].enlarges
            else:
                x, factor = self.blocks[i](x, condition, factor), 1
        return x

    def features(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """What enters the last row that has weights: the representation that the head reads, (n, f)."""
        return self.before_head(x, condition).flatten(1)

    def features_and_output(
        self, x: torch.Tensor, condition: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``features`` and what ``forward`` gives, in one pass."""
        x = self.before_head(x, condition)
        return x.flatten(1), self.run(x, condition, self.head, len(self.blocks))

    def before_head(self, x: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        return self.run(x, condition, 0, self.head)

    @property
    def head(self) -> int:
        """Index of the last row that has weights."""
        return max(i for i, block in enumerate(self.blocks) if any(True for _ in block.parameters()))


def takes_condition(module: nn.Module) -> bool:
    return isinstance(module, (LabelConcat, ConditionalBatchNorm, Projection, Residual))


def build_norm(stage: Stage, width: int, flat: bool, num_classes: int | None, where: str) -> nn.Module:
    match stage.norm:
        case None:
            return nn.Identity()
        case "batch":
            return (nn.BatchNorm1d if flat else nn.BatchNorm2d)(width, momentum=stage.momentum)
        case "conditional_batch":
            return ConditionalBatchNorm(width, need_classes(num_classes, where), stage.momentum, flat)
        case "instance":
            if flat:
                raise ValueError(f"{where}.norm: instance norm needs a map; this row yields {width} features")
            return nn.InstanceNorm2d(width, affine=True)
        case "group":
            # Fewer groups than channels: one feature normalised alone is always zero.
            groups = next((g for g in (32, 16, 8, 4, 2) if width % g == 0 and width > g), 1)
            return nn.GroupNorm(groups, width)


def build_op(stage: Stage, shape: Shape, num_classes: int | None, where: str) -> tuple[nn.Module, Shape]:
    """The module of a row's operation and the shape of its result."""
    op, flat = stage.op, len(shape) == 1
    if op in ("dense", "reshape", "projection") and not flat:
        hint = "put a 'flatten' or 'global_pool' before"
        raise ValueError(f"{where}: {op!r} needs features, got a map {shape}; {hint}")
    maps_only = ("conv", "conv_transpose", "upsample", "avg_pool", "global_pool", "attention", "residual")
    if op in maps_only and flat:
        raise ValueError(f"{where}: {op!r} needs a map, got {shape[0]} features; put a 'reshape' before")
    wrap = spectral_norm if stage.spectral else (lambda module: module)
    match op:
        case "dense":
            return wrap(nn.Linear(shape[0], stage.width, bias=stage.bias)), (stage.width,)
        case "conv":
            conv, shape = build_conv(stage, shape, where)
            return wrap(conv), shape
        case "conv_transpose":
            conv, shape = build_conv_transpose(stage, shape, where)
            return wrap(conv), shape
        case "upsample":
            scaled = (shape[0], shape[1] * stage.factor, shape[2] * stage.factor)
            return nn.Upsample(scale_factor=stage.factor, mode="nearest"), scaled
        case "avg_pool":
            if stage.factor > min(shape[1:]):
                raise ValueError(f"{where}: factor {stage.factor} does not fit a map {shape}")
            return nn.AvgPool2d(stage.factor), (shape[0], *(side // stage.factor for side in shape[1:]))
        case "global_pool":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (shape[0],)
        case "reshape":
            side = stage.size
            if shape[0] % side**2:
                raise ValueError(f"{where}.size: {shape[0]} features do not fill maps of {side} by {side}")
            shape = (shape[0] // side**2, side, side)
            return nn.Unflatten(1, shape), shape
        case "flatten":
            return nn.Flatten(), (torch.Size(shape).numel(),)
        case "identity":
            return nn.Identity(), shape
        case "label":
            return LabelConcat(), (shape[0] + need_classes(num_classes, where), *shape[1:])
        case "attention":
            return SelfAttention(shape[0], stage.spectral), shape
        case "minibatch_deviation":
            return MinibatchDeviation(), (shape[0] + 1, *shape[1:])
        case "projection":
            return Projection(shape[0], need_classes(num_classes, where), stage.spectral), (1,)
        case "residual":
            body = Stack(stage.body, shape, num_classes, f"{where}.body")
            if len(body.shape) != 3:
                raise ValueError(f"{where}.body: must end in a map like its input, ends in {body.shape}")
            resize = Fraction(body.shape[1], shape[1])
            if resize != Fraction(body.shape[2], shape[2]) or 1 not in resize.as_integer_ratio():
                hint = "one size must be a multiple of the other"
                raise ValueError(f"{where}.body: cannot add {body.shape} to its input {shape}; {hint}")
            return Residual(body, shape[0], body.shape[0], float(resize), stage.spectral), body.shape
    raise AssertionError(op)  # Stage.parse admits no other


def build_conv(stage: Stage, shape: Shape, where: str) -> tuple[nn.Conv2d, Shape]:
    kernel, stride, same = stage.kernel, stage.stride, stage.padding is None
    padding = (kernel - 1) // 2 if same else stage.padding
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in shape[1:])
    if height < 1 or width < 1:
        raise ValueError(f"{where}: kernel {kernel} with padding {padding} does not fit a map {shape}")
    for before, after in ((shape[1], height), (shape[2], width)):
        if same and after not in (before // stride, -(-before // stride)):  # rounding either way is "same"
            raise ValueError(f"{where}: no padding divides the size by {stride} with kernel {kernel}; set it")
    conv = Conv2d(shape[0], stage.width, kernel, stride, padding, bias=stage.bias)
    return conv, (stage.width, height, width)


def build_conv_transpose(stage: Stage, shape: Shape, where: str) -> tuple[nn.ConvTranspose2d, Shape]:
    kernel, stride, same = stage.kernel, stage.stride, stage.padding is None
    padding = max(0, (kernel - stride + 1) // 2) if same else stage.padding
    extra = stride - kernel + 2 * padding if same else 0
    if not 0 <= extra < stride:
        raise ValueError(f"{where}: no padding multiplies the size by {stride} with kernel {kernel}; set it")
    height, width = ((side - 1) * stride - 2 * padding + kernel + extra for side in shape[1:])
    if height < 1 or width < 1:
        raise ValueError(f"{where}: kernel {kernel} with padding {padding} leaves nothing of a map {shape}")
    conv = ConvTranspose2d(shape[0], stage.width, kernel, stride, padding, extra, bias=stage.bias)
    return conv, (stage.width, height, width)


def need_classes(num_classes: int | None, where: str) -> int:
    if num_classes is None:
        raise ValueError(f"{where}: this row reads the label, but the model has no class_names")
    return num_classes
