"""Augmentation of whole batches on the device. All randomness is handed in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from training.batches import Noise
from training.settings import DataConfig


def augment(images: torch.Tensor, config: DataConfig, noise: Noise) -> torch.Tensor:
    """Sharpen, flip, rotate and shift signed images (n, C, H, W), each image by its own draw; borders are mirrored."""
    n = len(images)
    if config.sharpen:
        images = sharpen(images, config.sharpen)
    if config.flip:
        images = torch.where(noise.uniform(1, 1, 1) < 0.5, images.flip(3), images)
    if config.vertical_flip:
        images = torch.where(noise.uniform(1, 1, 1) < 0.5, images.flip(2), images)
    if config.rotate or config.shift:
        angle = (noise.uniform() * 2 - 1) * math.radians(config.rotate)
        offset = (noise.uniform(2) * 2 - 1) * 2 * config.shift  # the grid spans 2
        matrix = images.new_zeros(n, 2, 3)
        matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
        matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
        matrix[:, :, 2] = offset
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return images


def sharpen(images: torch.Tensor, amount: float) -> torch.Tensor:
    """Unsharp mask: signed images plus ``amount`` times what a 3×3 binomial blur removes, cut off at [-1, 1]."""
    line = images.new_tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(images.shape[1], 1, 3, 3)
    blurred = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=images.shape[1])
    return (images + amount * (images - blurred)).clamp(-1, 1)


def cutmix(
    images: torch.Tensor, condition: torch.Tensor | None, share: float, noise: Noise
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Paste a rectangle of the neighbour into a share of the images, and mix class weights by area (Yun et al., 2019).

    Images 2i and 2i + 1 of a batch are neighbours, so that how a batch is split does not matter. The area that stays is
    uniform in [0, 1] before the rectangle is cut off at the border.

    Args:
        images: signed (n, C, H, W), n even. condition: class weights (n, num_classes) or None.
    """
    height, width = images.shape[2:]
    side = (1 - noise.uniform()).sqrt() * (noise.uniform() < share)  # (n,), 0 where nothing is pasted
    centre = noise.uniform(2)

    def inside(length: int, middle: torch.Tensor) -> torch.Tensor:  # (n, length)
        pixels = torch.arange(length, device=images.device) + 0.5
        return (pixels - middle[:, None] * length).abs() < side[:, None] * length / 2

    pasted = inside(height, centre[:, 0])[:, :, None] & inside(width, centre[:, 1])[:, None, :]  # (n, H, W)
    neighbour = torch.arange(len(images), device=images.device) ^ 1
    mixed = torch.where(pasted[:, None], images[neighbour], images)
    if condition is None:
        return mixed, None
    taken = pasted.float().mean(dim=(1, 2))[:, None]
    return mixed, (1 - taken) * condition + taken * condition[neighbour]


def diffaugment(images: torch.Tensor, policies: Sequence[str], noise: Noise) -> torch.Tensor:
    """Differentiable augmentation of signed images (n, C, H, W), real and fake alike (Zhao et al., 2020).

    ``color`` shifts brightness, saturation and contrast; ``translation`` moves by up to 1/8 of the side; ``cutout``
    blanks a square of half the side.
    """
    size = images.shape[-1]
    if "color" in policies:
        images = images + (noise.uniform(1, 1, 1) - 0.5)
        grey = images.mean(dim=1, keepdim=True)
        images = (images - grey) * (noise.uniform(1, 1, 1) * 2) + grey
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - mean) * (noise.uniform(1, 1, 1) + 0.5) + mean
    if "translation" in policies:
        reach = max(1, round(size / 8))
        move = (noise.uniform(2) * (2 * reach + 1)).floor().long() - reach  # (n, 2) in -reach…reach
        here = torch.arange(size, device=images.device)
        rows = (here[None] + move[:, :1] + 1).clamp(0, size + 1)  # index into the image with a border of 1
        columns = (here[None] + move[:, 1:] + 1).clamp(0, size + 1)
        which = torch.arange(len(images), device=images.device)[:, None, None]
        padded = F.pad(images, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        images = padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if "cutout" in policies:
        first = (noise.uniform(2) * size).floor() - size // 4  # (n, 2)
        here = torch.arange(size, device=images.device)
        rows, columns = ((here >= f) & (here < f + size // 2) for f in first.unsqueeze(2).unbind(1))
        hole = rows[:, None, :, None] & columns[:, None, None, :]
        images = images.masked_fill(hole, 0.0)
    return images
