"""Batch norm whose statistics span all processes, on the CPU too."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Sum(torch.autograd.Function):
    """Sum over processes. Every process's result depends on every process's input, so gradients are summed too."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return Sum.apply(gradient.contiguous())


def synchronize_batch_norm(network: nn.Module) -> None:
    """Make every BatchNorm of a network use the statistics of the global batch; state-dict keys stay as they are.

    torch's own SyncBatchNorm runs on GPUs only.
    """
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.forward = global_batch_norm.__get__(module)


def global_batch_norm(self: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """Forward of a BatchNorm over all processes, with gradients through the shared statistics."""
    if not self.training:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
    others = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    count = x.numel() // x.shape[1] * dist.get_world_size()
    wide = x.float()
    mean = Sum.apply(wide.sum(others)) / count
    centred = wide - mean.view(shape)  # two passes: E[x²] − E[x]² cancels where the mean is large
    variance = Sum.apply(centred.square().sum(others)) / count
    with torch.no_grad():
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
    normal = centred * torch.rsqrt(variance + self.eps).view(shape)
    if self.affine:
        normal = normal * self.weight.view(shape) + self.bias.view(shape)
    return normal.to(x.dtype)
