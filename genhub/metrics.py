"""What is measured on images. Everything here takes uint8 and refuses anything else."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F

from genhub.images import require_uint8, to_signed
from genhub.models import GenHubAE, GenHubClassifier
from genhub.models.latent import evaluating


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


@torch.no_grad()
def features(images: torch.Tensor, judge: GenHubClassifier | None, batch_size: int = 256) -> torch.Tensor:
    """Features (n, f) of uint8 images (n, C, H, W): the judge's, or, without one, pixels pooled to 8×8."""
    require_uint8(images, "images")
    if judge is None:
        return F.adaptive_avg_pool2d(to_signed(images), 8).flatten(1)
    with evaluating(judge):
        return torch.cat([judge.features(to_signed(part)) for part in images.to(judge.device).split(batch_size)])


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


def class_accuracy(images: torch.Tensor, labels: torch.Tensor, judge: GenHubClassifier) -> float:
    """Share of uint8 images in which the judge reads the intended label; labels (n,) int64."""
    require_uint8(images, "images")
    if labels is None or labels.shape != (len(images),):
        got = None if labels is None else tuple(labels.shape)
        raise ValueError(f"labels: expected shape ({len(images)},), one per image, got {got}")
    return (judge.predict(images).argmax(dim=1).cpu() == labels.cpu()).double().mean().item()


def class_histogram(images: torch.Tensor, judge: GenHubClassifier) -> list[float]:
    """Share of uint8 images that the judge assigns to each class."""
    require_uint8(images, "images")
    counts = torch.bincount(judge.predict(images).argmax(dim=1).cpu(), minlength=len(judge.class_names))
    return (counts.double() / len(images)).tolist()


def reconstruction_mse(images: torch.Tensor, labels: torch.Tensor | None, model: GenHubAE) -> float:
    """Mean squared error per pixel of uint8 images, on pixels in [0, 1]."""
    require_uint8(images, "images")
    signed = to_signed(images)
    rebuilt = model.reconstruct(signed, labels=labels if model.class_names else None, batch_size=256).cpu()
    return ((rebuilt - signed.cpu()) / 2).square().mean().item()
