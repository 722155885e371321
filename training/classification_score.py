"""What generated images teach: the accuracy on real images of a classifier that was trained on generated ones."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from genhub import metrics
from genhub.data import ImageSet
from genhub.errors import DataError
from genhub.images import to_signed
from genhub.models import GenHubClassifier
from training.batches import stream

STEPS, BATCH, LEARNING_RATE = 800, 128, 1e-3
STAGES = [
    {"op": "conv", "width": 32, "kernel": 4, "stride": 2, "norm": "batch", "act": "relu"},
    {"op": "conv", "width": 64, "kernel": 4, "stride": 2, "norm": "batch", "act": "relu"},
    {"op": "conv", "width": 128, "kernel": 3, "stride": 2, "norm": "batch", "act": "relu"},
    {"op": "flatten", "dropout": 0.2},
]


def classification_scores(
    images: torch.Tensor, labels: torch.Tensor | None, train: ImageSet | None, test: ImageSet
) -> tuple[dict[str, metrics.Figure], dict[str, Any]]:
    """Accuracy on the test images of one small network trained on three sets (Ravuri & Vinyals, 2019).

    ``cas_generated``: the generated images (n, C, H, W) with the labels (n,) asked for; ``cas_real``: as many real
    training images; ``cas_both``: both together, which is data augmentation. The same network, steps and seed each
    time. Also returns the facts of the training for the protocol. Raises DataError without labels.
    """
    if labels is None or train is None or train.labels is None or test.labels is None:
        raise DataError("--cas: trains a classifier, so it needs a conditional model and labelled training images")
    chosen = torch.randperm(len(train), generator=stream(0, "cas"))[: len(images)]
    real, real_labels = train.images[chosen].cpu(), train.labels[chosen].cpu()
    sets = {
        "cas_generated": (images, labels),
        "cas_real": (real, real_labels),
        "cas_both": (torch.cat([images, real]), torch.cat([labels, real_labels])),
    }
    figures = {}
    for name, (pixels, classes) in sets.items():
        model = trained(pixels, classes, test.class_names)
        read = model.predict(test.images.cpu()).argmax(dim=1)
        figures[name] = metrics.share_figure(read == test.labels.cpu())
    return figures, {"real_images": len(real), "steps": STEPS, "batch": BATCH}


def trained(images: torch.Tensor, labels: torch.Tensor, class_names: list[str]) -> GenHubClassifier:
    """The small network after ``STEPS`` updates with Adam. Leaves the global generator as it was."""
    stages = [*STAGES, {"op": "dense", "width": len(class_names)}]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GenHubClassifier(
            stages=stages, image_size=images.shape[2], channels=images.shape[1], class_names=class_names
        ).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        generator = stream(0, "cas batches")
        for _ in range(STEPS):
            index = torch.randint(len(images), (BATCH,), generator=generator)
            loss = F.cross_entropy(model(to_signed(images[index])), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()
