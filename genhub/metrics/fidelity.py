"""How close two sets are: FID, KID and inception score by torch-fidelity, and all that neighbours say."""

from __future__ import annotations

import math

import numpy as np
import torch

from genhub.metrics.extractors import INCEPTION, Features
from genhub.metrics.figures import BLOCKS, Figure, jackknife_error
from genhub.metrics.frechet import Statistics, frechet_distance
from genhub.metrics.neighbours import neighbour_figures

MIN_IMAGES = 10  # of each set; the inception score makes ten parts of one
KID_SUBSET = 1000  # torch-fidelity's own
NEIGHBOURS = 5000  # images of each set among which neighbours are looked for: the cost grows with the square


def names(extractor: str) -> tuple[str, str, str]:
    """What the distance of Gaussians, the kernel distance and the score are called in an extractor's features.

    Only in those of the Inception network are they the FID, the KID and the inception score of the literature.
    """
    if extractor.startswith(INCEPTION):
        return "fid", "kid", "inception_score"
    return "frechet_distance", "kernel_distance", "classifier_score"


def at_most(features: Features, n: int) -> Features:
    """Always the same ``n`` of the images at most, out of the whole set: many sets are sorted by class."""
    if len(features) <= n:
        return features
    return features.at(torch.randperm(len(features), generator=torch.Generator().manual_seed(0))[:n])


def kid_subset_size(generated: int, real: int) -> int:
    """1,000, or half of the smaller set, where both hold little more: subsets that are nearly the whole of both sets
    would hide how much subsets differ."""
    smaller, larger = sorted((generated, real))
    return KID_SUBSET if smaller >= KID_SUBSET and larger >= 2 * KID_SUBSET else min(KID_SUBSET, smaller // 2)


def fidelity(*, generated: Features, real: Features) -> dict[str, Figure]:
    """How close two sets are in the features of one extractor.

    * Fréchet distance (Heusel et al., 2017), ``fid`` for Inception: of all images.
    * Kernel distance (Bińkowski et al., 2018), ``kid`` for Inception: mean over 100 subsets of 1,000 images, of half of
      the smaller set where that has fewer than 1,000 or both have fewer than 2,000.
    * Score (Salimans et al., 2016), ``inception_score`` for Inception: mean over ten parts of the generated images;
      left out where the extractor has no classes.
    * Precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020): among equally many
      images of both sets, 5,000 at most. Precision and density are about the generated images (do they look real),
      recall and coverage about the real ones (are they all made).

    Raises:
        ValueError: features of different extractors, or fewer than ten images in a set.
    """
    check(generated=generated, real=real)
    frechet, kernel, score = names(generated.extractor)
    figures = {frechet: frechet_figure(generated, real), kernel: kernel_figure(generated, real)}
    if generated.logits is not None:
        figures[score] = score_figure(generated.logits)
    n = min(len(generated), len(real), NEIGHBOURS)
    near, near_real = at_most(generated, n).values, at_most(real, n).values
    return figures | neighbour_figures(generated=near, real=near_real)


def check(*, generated: Features, real: Features) -> None:
    if generated.extractor != real.extractor:
        raise ValueError(
            f"generated, real: features of {generated.extractor} and of {real.extractor}; figures of different "
            "extractors cannot be compared, extract both with the same one"
        )
    for name, features in (("generated", generated), ("real", real)):
        if len(features) < MIN_IMAGES:
            raise ValueError(f"{name}: {len(features)} images are too few, at least {MIN_IMAGES} are needed")


def frechet_figure(generated: Features, real: Features) -> Figure:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    sides = [fid_features_to_statistics(features.values) for features in (generated, real)]
    value = fid_statistics_to_metric(*sides, verbose=False)[KEY_METRIC_FID]
    reference = Statistics.of(real.values)
    others = [frechet_distance(kept, reference) for kept in Statistics.leaving_out(generated.values, BLOCKS)]
    return Figure(value, jackknife_error(others))


class Cube:
    """The degree of the kernel, 3, as two multiplications: NumPy's power takes ten times as long."""

    __array_ufunc__ = None  # arrays leave the operation to this class

    def __rpow__(self, x: np.ndarray) -> np.ndarray:
        return x * x * x


def kernel_figure(generated: Features, real: Features) -> Figure:
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    size = kid_subset_size(len(generated), len(real))
    options = {"kid_subset_size": size, "kid_kernel_poly_degree": Cube(), "verbose": False}
    found = kid_features_to_metric(generated.values, real.values, **options)
    disjoint = min(len(generated), len(real)) / size
    return Figure(found[KEY_METRIC_KID_MEAN], found[KEY_METRIC_KID_STD] / math.sqrt(disjoint))


def score_figure(logits: torch.Tensor) -> Figure:
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

    parts = 10
    found = isc_features_to_metric(logits, splits=parts)
    return Figure(found[KEY_METRIC_ISC_MEAN], found[KEY_METRIC_ISC_STD] / math.sqrt(parts))
