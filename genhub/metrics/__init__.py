"""What is measured on images.

Images are uint8 (n, C, H, W) and nothing else is accepted. Distances between two sets take the arguments ``generated``
and ``real`` by name, because most of them are not symmetric. What a network sees in a set is extracted once
(``extract``), remembered by its content, and shared by everything that compares sets.
"""

from genhub.metrics.classes import (
    class_accuracy,
    class_histogram,
    diversity,
    entropy_figure,
    largest_share_figure,
    same_classes,
    shares,
)
from genhub.metrics.extractors import (
    Extractor,
    Features,
    extract,
    features,
    inception_extractor,
    judge_extractor,
    pixel_extractor,
)
from genhub.metrics.fidelity import MIN_IMAGES, fidelity
from genhub.metrics.figures import Figure, jackknife, mean_figure, share_figure
from genhub.metrics.frechet import Statistics, frechet_distance
from genhub.metrics.memorization import Memorization, memorization
from genhub.metrics.neighbours import neighbour_figures
from genhub.metrics.reconstruction import Bound, anomaly_auc, bound, reconstruction_errors, reconstruction_mse
from genhub.metrics.sharpness import sharpness

__all__ = [
    "MIN_IMAGES",
    "Bound",
    "Extractor",
    "Features",
    "Figure",
    "Memorization",
    "Statistics",
    "anomaly_auc",
    "bound",
    "class_accuracy",
    "class_histogram",
    "diversity",
    "entropy_figure",
    "extract",
    "features",
    "fidelity",
    "frechet_distance",
    "inception_extractor",
    "jackknife",
    "judge_extractor",
    "largest_share_figure",
    "mean_figure",
    "memorization",
    "neighbour_figures",
    "pixel_extractor",
    "reconstruction_errors",
    "reconstruction_mse",
    "same_classes",
    "share_figure",
    "shares",
    "sharpness",
]
