"""Every figure that applies to a model or to a set of images, with its spread."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from genhub import metrics
from genhub.data import ImageSet
from genhub.errors import DataError
from genhub.images import grid, save_png, to_uint8
from genhub.models import GenHubClassifier, GenHubModel
from training.classification_score import classification_scores
from training.protocol import SPREAD, SUBSETS, dataset_title, hardware, measuring_device, versions
from training.records import rounded
from training.selection import without_classes

SAMPLES = 10_000
SEED = 12_345  # neither the seed of the grids, on which a run may have been watched, nor
PROBE_SEED = 54_321  # that of the samples by which its best checkpoint was chosen
BATCH = 256
TIMED = 16  # images made at once to see how long one takes


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What is measured against.

    Attributes:
        test: images of the dataset's ``split``, held out unless ``held_out`` is False.
        extractor: what they are compared in.
        train: training images, whose copies are looked for; None leaves that out.
        anomalies: images of another kind, for autoencoders to tell from ``test``.
        excluded: class names that were left out of training; their test images are anomalies.
    """

    test: ImageSet
    split: str
    extractor: metrics.Extractor
    train: ImageSet | None = None
    anomalies: ImageSet | None = None
    excluded: Sequence[str] = ()
    held_out: bool = True


@dataclasses.dataclass(eq=False)
class Samples:
    """Images that claim to be like those of a dataset: uint8 (n, C, H, W), the labels (n,) asked for if any."""

    images: torch.Tensor
    labels: torch.Tensor | None


@dataclasses.dataclass
class Assessment:
    """What was found: figures, what they cost, the class histogram where classes were read, remarks on the protocol."""

    figures: dict[str, metrics.Figure] = dataclasses.field(default_factory=dict)
    cost: dict[str, float] = dataclasses.field(default_factory=dict)
    histogram: dict[str, float] = dataclasses.field(default_factory=dict)
    remarks: dict[str, Any] = dataclasses.field(default_factory=dict)
    pairs: torch.Tensor | None = None


def balanced_labels(n: int, num_classes: int) -> torch.Tensor:
    """(n,) labels 0, 1, …, repeated, so that every prefix is as balanced as can be."""
    return torch.arange(n) % num_classes


def draw(model: Any, n: int, class_names: Sequence[str], seed: int = SEED) -> Samples:
    """Samples of anything that has ``generate``; labels are kept where they mean what ``class_names`` say."""
    labels = balanced_labels(n, len(model.class_names)) if model.class_names else None
    images = to_uint8(model.generate(n, labels=labels, seed=seed, batch_size=BATCH)).cpu()
    return Samples(images, labels if metrics.same_classes(model.class_names, class_names) else None)


def seconds_per_image(model: Any) -> float:
    """Of the fastest of three batches, which others on a busy machine have delayed least."""
    labels = balanced_labels(TIMED, len(model.class_names)) if model.class_names else None
    times = []
    for _ in range(3):
        start = time.perf_counter()
        to_uint8(model.generate(TIMED, labels=labels, seed=SEED, batch_size=TIMED)).cpu()
        times.append(time.perf_counter() - start)
    return min(times) / TIMED


def assess(model: Any, reference: Reference, samples: int, cas: bool = False) -> Assessment:
    """Every figure that applies to a model, found by what it can do: classify, reconstruct, generate."""
    found = Assessment()
    if isinstance(model, torch.nn.Module):  # a pipeline has chosen its place
        model.to(measuring_device())
    if hasattr(model, "num_parameters"):
        found.cost["parameters"] = model.num_parameters()
    if isinstance(model, GenHubClassifier):
        if not metrics.same_classes(model.class_names, reference.test.class_names):
            raise DataError(f"{reference.test.source}: has not the classes of this classifier; choose its own dataset")
        read = model.predict(reference.test.images).argmax(dim=1).cpu()
        found.figures["accuracy"] = metrics.share_figure(read == reference.test.labels.cpu())
        return found
    if hasattr(model, "reconstruct"):
        assess_reconstruction(model, reference, found)
    if hasattr(model, "generate"):
        inside = without_classes(reference.test, list(reference.excluded))
        reference = dataclasses.replace(reference, test=inside)
        if reference.excluded:
            found.remarks["test_images"] = len(inside)
        drawn = draw(model, samples, inside.class_names)
        found.cost["seconds_per_image"] = seconds_per_image(model)
        assess_samples(drawn, reference, found, cas)
    return found


def assess_samples(samples: Samples, reference: Reference, found: Assessment, cas: bool = False) -> None:
    """Every figure that applies to images."""
    test, extractor = reference.test, reference.extractor
    fewest = min(len(samples.images), len(test))
    if fewest < metrics.MIN_IMAGES:
        found.remarks["left_out"] = f"everything about samples: {fewest} images are fewer than {metrics.MIN_IMAGES}"
        return
    seen, real = (metrics.extract(images, extractor, measuring_device()) for images in (samples.images, test.images))
    if fewest <= seen.values.shape[1]:
        found.remarks["caution"] = (
            f"{fewest} images for {seen.values.shape[1]} features: the distance comes out too high"
        )
    found.figures |= metrics.fidelity(generated=seen, real=real)
    judged = metrics.same_classes(extractor.class_names, test.class_names)
    if judged:
        assess_classes(seen.logits.argmax(dim=1), samples.labels, test.class_names, found)
    by_label = samples.labels is not None and test.labels is not None
    if by_label or judged:
        classes = samples.labels if by_label else seen.logits.argmax(dim=1)
        real_classes = test.labels.cpu() if by_label else real.logits.argmax(dim=1)
        if real_classes.bincount().max() > 1:  # one image of a class has no variety
            found.figures["class_diversity"] = metrics.diversity(
                generated=seen.values, classes=classes, real=real.values, real_classes=real_classes
            )
    found.figures |= metrics.sharpness(generated=samples.images, real=test.images.cpu())
    if reference.train is not None:
        train = reference.train.images.cpu()
        copies = metrics.memorization(generated=samples.images, held_out=test.images.cpu(), train=train)
        found.figures |= copies.figures
        found.pairs = copies.pairs
        found.remarks["training_images"] = len(train)
    if cas:
        scores, facts = classification_scores(samples.images, samples.labels, reference.train, test)
        found.figures |= scores
        found.remarks["classification_score"] = facts


def assess_classes(
    read: torch.Tensor, asked: torch.Tensor | None, class_names: Sequence[str], found: Assessment
) -> None:
    """The class asked for; where none was, how evenly the classes come."""
    if asked is not None:
        found.figures["class_accuracy"] = metrics.share_figure(read == asked)
    else:
        found.figures["largest_class_share"] = metrics.largest_share_figure(read, len(class_names))
        found.figures["class_entropy"] = metrics.entropy_figure(read, len(class_names))
    found.histogram = dict(zip(class_names, metrics.shares(read, len(class_names)).tolist(), strict=True))


def assess_reconstruction(model: Any, reference: Reference, found: Assessment) -> None:
    """Every figure that applies to what encodes and decodes."""
    test, anomalies = reference.test, reference.anomalies
    outside = torch.zeros(len(test), dtype=torch.bool)
    for name in reference.excluded:
        outside |= test.labels.cpu() == test.class_names.index(name)
    errors = metrics.reconstruction_errors(test.images, test.labels, model)
    normal, anomalous = errors[~outside], errors[outside]
    found.figures["reconstruction_mse"] = metrics.mean_figure(normal)
    if reference.excluded:
        found.remarks["anomalies"] = (
            f"{len(anomalous):,} test images of {', '.join(reference.excluded)}, left out of training; the error is "
            f"that of the other {len(normal):,}"
        )
    elif anomalies is not None and not model.class_names:
        anomalous = metrics.reconstruction_errors(anomalies.images, None, model)
        found.remarks["anomalies"] = f"{len(anomalies):,} images of {dataset_title(anomalies)}, in the shape of these"
    if len(anomalous):
        found.figures["anomaly_auc"] = metrics.anomaly_auc(normal=normal, anomalous=anomalous)
    if hasattr(model, "posterior"):
        inside = test.images[~outside], None if test.labels is None else test.labels[~outside]
        bound = metrics.bound(*inside, model, SEED)
        found.figures |= {key: figure for key, figure in vars(bound).items() if figure is not None}
    if hasattr(model, "latent_dim"):
        found.cost["latent_size"] = model.latent_dim
        found.cost["compression_ratio"] = math.prod(model.image_shape) / model.latent_dim


def record(
    found: Assessment, subject: str, reference: Reference, weights: str, samples: int, model: GenHubModel | None
) -> dict[str, Any]:
    """What ``metrics.json`` holds: protocol, metrics, spread, cost, and the class histogram where classes were read."""
    classifier = isinstance(model, GenHubClassifier)
    made = model is None or hasattr(model, "generate")
    protocol = {
        "subject": subject,
        "dataset": dataset_title(reference.test),
        "split": reference.split,
        **({} if reference.held_out else {"held_out": False}),
        "test_images": len(reference.test),
        "samples": samples if made else 0,
        "seed": SEED,
        "extractor": "none" if classifier else reference.extractor.name,
        "extractor_sha256": None if classifier else reference.extractor.sha256,
        "resize": f"all images are {'×'.join(map(str, reference.test.image_shape[1:]))}; others are centre-cropped and "
        "resized (antialiased bicubic)",
        "weights": weights,
        **({"subsets": SUBSETS} if made else {}),
        "spread": SPREAD,
        **found.remarks,
        "versions": versions(),
        "hardware": hardware(measuring_device()),
    }
    entry: dict[str, Any] = {
        "protocol": protocol,
        "metrics": {name: rounded(figure.value) for name, figure in found.figures.items()},
        "spread": {name: rounded(figure.spread) for name, figure in found.figures.items()},
        "cost": {name: rounded(value) for name, value in found.cost.items()},
    }
    if found.histogram:
        entry["class_histogram"] = {name: rounded(value) for name, value in found.histogram.items()}
    return entry


def save_pairs(found: Assessment, path: Path) -> None:
    """The samples nearest to a training image, each beside it, four pairs a row. It shows images of the dataset."""
    picture = grid(found.pairs, columns=8)
    save_png(picture, path, scale=max(1, round(640 / picture.shape[2])))
