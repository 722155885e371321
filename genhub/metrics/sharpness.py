"""Blur against sharpness, without any network."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from genhub.images import require_uint8, signed_to_unit, to_signed
from genhub.metrics.figures import Figure, ratio_figure

AT_ONCE = 1000  # images


def sharpness(*, generated: torch.Tensor, real: torch.Tensor) -> dict[str, Figure]:
    """How sharp uint8 images are relative to real ones: 1 is as sharp, less is blurred, more is noisy.

    Both are means over the generated images over means over the real ones, on grey values:

    * ``laplacian_ratio``: variance of the discrete Laplacian inside an image (Pech-Pacheco et al., 2000);
    * ``high_frequency_ratio``: share of an image's power, its mean apart, above half of the highest frequency.

    Raises ValueError for sets of different shape and for anything but uint8.
    """
    for name, images in (("generated", generated), ("real", real)):
        require_uint8(images, name)
    if generated.shape[1:] != real.shape[1:]:
        raise ValueError(
            f"generated, real: images of {tuple(generated.shape[1:])} and of {tuple(real.shape[1:])}; "
            "bring them to one shape first"
        )
    sides = [[torch.cat(parts) for parts in zip(*map(edges, images.split(AT_ONCE)), strict=True)]
             for images in (generated, real)]  # fmt: skip
    names = ("laplacian_ratio", "high_frequency_ratio")
    return {name: ratio_figure(a, b) for name, a, b in zip(names, *sides, strict=True) if b.sum() > 0}


def edges(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance of the Laplacian (n,) and share of high frequencies (n,) of uint8 images."""
    grey = signed_to_unit(to_signed(images)).mean(dim=1, keepdim=True)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    variance = F.conv2d(grey, kernel).var(dim=(1, 2, 3), unbiased=False)
    height, width = grey.shape[2:]
    centred = grey - grey.mean(dim=(2, 3), keepdim=True)  # before, as rounding a large mean makes high frequencies
    power = torch.fft.rfft2(centred[:, 0]).abs().square()
    power[:, 0, 0] = 0
    power[:, :, 1 : (width + 1) // 2] *= 2  # rfft2 leaves out the mirror images of these columns
    frequency = torch.fft.fftfreq(height)[:, None].square() + torch.fft.rfftfreq(width).square()
    high = power[:, frequency > 0.25**2].sum(dim=1)
    total = power.sum(dim=(1, 2))
    return variance, torch.where(
        total > 1e-6, high / total, 0
    )  # one pixel that differs by one level makes 1,000 times that
