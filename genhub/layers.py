"""Layers that torch does not have.

Those that read the class take a condition (n, num_classes) as second argument: class weights, one-hot for one
class, a mixture for a point between classes. Linear maps of it are therefore class embeddings that can be
interpolated.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class LabelConcat(nn.Module):
    """Append the class weights (Mirza & Osindero, 2014): as features, or to maps as constant planes."""

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        condition = condition.to(x.dtype)
        if x.dim() == 4:
            condition = condition[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return torch.cat([x, condition], dim=1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm with scale and shift per class (Dumoulin et al., 2017), for (n, c, h, w) or (n, f)."""

    def __init__(self, width: int, num_classes: int, momentum: float, flat: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm1d if flat else nn.BatchNorm2d
        self.norm = norm(width, momentum=momentum, affine=False)
        self.scale = nn.Linear(num_classes, width, bias=False)
        self.shift = nn.Linear(num_classes, width, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, shift = self.scale(condition), self.shift(condition)  # (n, c) each
        if self.training:
            x = self.norm(x)
        else:  # fixed statistics become part of scale and shift: one pass over the maps
            scale = scale * (self.norm.running_var + self.norm.eps).rsqrt()
            shift = shift - self.norm.running_mean * scale
        if x.dim() == 4:
            scale, shift = scale[:, :, None, None], shift[:, :, None, None]
        return torch.addcmul(shift, x, scale)


class SelfAttention(nn.Module):
    """Self-attention over positions with a learned gate that starts at zero (SAGAN, Zhang et al., 2019).

    Queries and keys have width // 8 channels, values have width, and there is no output projection. ``spectral``
    normalises all three, as the paper does.
    """

    def __init__(self, width: int, spectral: bool = False) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, max(1, width // 8), 1)
        self.key = nn.Conv2d(width, max(1, width // 8), 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gate = nn.Parameter(torch.zeros(()))
        if spectral:
            for layer in (self.query, self.key, self.value):
                nn.utils.parametrizations.spectral_norm(layer)

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.gate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = (self.query, self.key, self.value)
        query, key, value = (layer(x).flatten(2).transpose(1, 2) for layer in layers)  # (n, h·w, c) each
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # (n, h·w, c)
        return x + self.gate * mixed.transpose(1, 2).reshape(x.shape)


class Projection(nn.Module):
    """Final logit of a critic: linear in the features plus their inner product with a class embedding.

    Projection discriminator (Miyato & Koyama, 2018). (n, f) to (n, 1).
    """

    def __init__(self, width: int, num_classes: int, spectral: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        self.embedding = nn.Linear(num_classes, width, bias=False)
        if spectral:
            nn.utils.parametrizations.spectral_norm(self.linear)
            nn.utils.parametrizations.spectral_norm(self.embedding)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + (self.embedding(condition) * x).sum(dim=1, keepdim=True)


class Residual(nn.Module):
    """body(x) + shortcut(x). The shortcut is resized (nearest up, average down) and, where widths differ,
    projected by a 1×1 convolution.
    """

    def __init__(self, body: nn.Module, width_in: int, width_out: int, resize: float, spectral: bool) -> None:
        super().__init__()
        self.body = body
        self.resize = resize
        self.project = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()
        if spectral and width_in != width_out:
            nn.utils.parametrizations.spectral_norm(self.project)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        return self.body(x, condition) + self.shortcut(x)

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        if self.resize > 1:  # a 1×1 convolution commutes with nearest upsampling: project the smaller map
            return F.interpolate(self.project(x), scale_factor=self.resize, mode="nearest")
        if self.resize < 1:
            return self.project(F.avg_pool2d(x, round(1 / self.resize)))
        return self.project(x)


class MinibatchDeviation(nn.Module):
    """Append one plane with the mean standard deviation over groups of samples (Karras et al., 2018).

    Groups are four consecutive samples, or the whole of a batch that fours do not fill.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[0]
        group = 4 if n % 4 == 0 else n
        groups = x.reshape(n // group, group, *x.shape[1:]).float()
        deviation = groups.var(dim=1, unbiased=False).add(1e-8).sqrt()
        deviation = deviation.mean(dim=tuple(range(1, deviation.dim()))).repeat_interleave(group).to(x.dtype)
        plane = deviation.reshape(n, *[1] * (x.dim() - 1)).expand(n, 1, *x.shape[2:])
        return torch.cat([x, plane], dim=1)
