"""Batch norm whose statistics span all processes, on the CPU too."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn
import torch.nn.functional as F
from torch import nn


def synchronize_batch_norm(network: nn.Module) -> None:
    """Make every BatchNorm of a network use the statistics of the global batch; state-dict keys stay as they are.

    torch's own SyncBatchNorm runs on GPUs only, and replacing modules would rename nothing but break compiled graphs.
    """
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.forward = global_batch_norm.__get__(module)


def global_batch_norm(self: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    """Forward of a BatchNorm over all processes, with gradients through the shared statistics."""
    if not self.training:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
    others = [d for d in range(x.dim()) if d != 1]
    count = x.numel() // x.shape[1] * dist.get_world_size()
    wide = x.float()
    sums = torch.distributed.nn.all_reduce(torch.stack([wide.sum(others), wide.square().sum(others)]))
    mean = sums[0] / count
    variance = sums[1] / count - mean.square()
    with torch.no_grad():
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
    shape = [1, -1, *[1] * (x.dim() - 2)]
    normal = (wide - mean.view(shape)) * torch.rsqrt(variance.clamp_min(0) + self.eps).view(shape)
    if self.affine:
        normal = normal * self.weight.view(shape) + self.bias.view(shape)
    return normal.to(x.dtype)
