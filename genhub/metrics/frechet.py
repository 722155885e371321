"""The Fréchet distance of features, where it has to be cheap: during training, and ten times over for its spread."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean (f,) and covariance (f, f) of features in float64."""

    mean: torch.Tensor
    covariance: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Statistics:
        """Of features (n, f). Raises ValueError for fewer than two of them, which have no covariance."""
        if features.dim() != 2 or len(features) < 2:
            raise ValueError(f"features: expected shape (n, f) with n of at least 2, got {tuple(features.shape)}")
        features = features.double()
        return cls(features.mean(dim=0), torch.cov(features.T).reshape(features.shape[1], features.shape[1]))

    @classmethod
    def leaving_out(cls, features: torch.Tensor, blocks: int) -> Iterator[Statistics]:
        """Of features (n, f) without each of ``blocks`` consecutive blocks, whose products are computed once."""
        centre = features.double().mean(dim=0)
        parts = [part.double() - centre for part in features.tensor_split(blocks)]
        products = [part.T @ part for part in parts]
        total = sum(products)
        for part, product in zip(parts, products, strict=True):
            n = len(features) - len(part)
            mean = -part.sum(dim=0) / n  # all parts together sum to zero
            yield cls(mean + centre, (total - product - n * mean.outer(mean)) / (n - 1))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Squared Fréchet distance between two Gaussians (Heusel et al., 2017); 0 for equal statistics."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"statistics: of {len(a.mean)} and of {len(b.mean)} features; both must come from the same extractor"
        )
    # tr (A B)^½ is the sum of the square roots of the eigenvalues of A^½ B A^½, which is symmetric.
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(0.0, distance.item())
