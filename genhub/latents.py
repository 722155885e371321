"""Latent vectors: drawn from counters, and the paths between them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

MAX_SEED = 2**32 - 1


def sample_latents(n: int, latent_dim: int, seed: int) -> torch.Tensor:
    """n standard normal latents, float32 (n, latent_dim) on the CPU.

    Row i comes from its own Philox counter keyed by (seed, i) (Salmon et al., 2011), so it does not depend on n, on the
    batch it is decoded in, or on the device. NumPy may one day change what it makes of such numbers (NEP 19); a test
    would say so.
    """
    rows = np.empty((n, latent_dim), dtype=np.float32)
    for i in range(n):
        key = np.array([seed, i], dtype=np.uint64)
        rows[i] = np.random.Generator(np.random.Philox(key=key)).standard_normal(latent_dim, dtype=np.float32)
    return torch.from_numpy(rows)


def path(
    start: torch.Tensor, end: torch.Tensor, steps: int, method: Literal["linear", "spherical"] = "spherical"
) -> torch.Tensor:
    """``steps`` points from ``start`` to ``end``, both included: two vectors (d,) to (steps, d).

    ``spherical`` turns the direction at constant speed and blends the length linearly, which keeps Gaussian latents at
    the length that a decoder has seen (White, 2016). Vectors with nearly the same direction fall back to a line.
    """
    dtype = start.dtype
    exact = torch.promote_types(dtype, torch.float32)  # in half precision small lengths would be zero
    start, end = start.to(exact), end.to(exact)
    t = torch.linspace(0, 1, steps, dtype=exact, device=start.device)[:, None]
    line = torch.lerp(start[None], end[None], t)
    if method == "linear":
        return line.to(dtype)
    lengths = torch.lerp(start.norm().expand(steps), end.norm().expand(steps), t[:, 0])
    a, b = start / start.norm().clamp_min(1e-12), end / end.norm().clamp_min(1e-12)
    angle = torch.arccos((a @ b).clamp(-1, 1))
    if torch.sin(angle).abs() < 1e-4:
        return line.to(dtype)
    arc = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return (arc * lengths[:, None]).to(dtype)
