"""Whether samples are copies of training images."""

from __future__ import annotations

import dataclasses
import math

import torch

from genhub.images import at_least_one, require_uint8
from genhub.metrics.extractors import pooled_pixels
from genhub.metrics.figures import Figure, ratio_figure, share_figure

QUERIES = 2000  # images of each set whose nearest training image is looked for
CANDIDATES = 8  # by pooled pixels, among which whole pixels decide
AT_ONCE = 250  # queries


@dataclasses.dataclass(frozen=True, eq=False)
class Memorization:
    """What the search for copies found.

    Attributes:
        figures: ``memorization_ratio``: mean distance of samples to their nearest training images over that of held-out
            real images; far below 1 means copies, but blurred images too are near to many. ``memorized_share``: share
            of samples that equal a training image or are nearer to one than 99 % of held-out images are; 0.01 where
            nothing is memorised.
        pairs: uint8 (2 · m, C, H, W): the samples nearest to a training image, each followed by that image.
    """

    figures: dict[str, Figure]
    pairs: torch.Tensor


@torch.no_grad()
def memorization(
    *, generated: torch.Tensor, held_out: torch.Tensor, train: torch.Tensor, pairs: int = 16
) -> Memorization:
    """Compare uint8 samples and held-out real images by their distance to the nearest training image.

    Distance is the root mean square difference of pixels in [0, 1]. 2,000 images of each set are looked at.
    The eight nearest training images by pixels pooled to 8×8, which are cheap to compare, are compared in full.

    Raises ValueError for sets of different shape and for anything but uint8.
    """
    for name, images in (("generated", generated), ("held_out", held_out), ("train", train)):
        require_uint8(images, name)
        if images.shape[1:] != train.shape[1:] or len(images) < 2:
            raise ValueError(
                f"{name}: expected at least 2 images of {tuple(train.shape[1:])}, got {tuple(images.shape)}"
            )
    pooled = torch.cat([pooled_pixels(part) for part in train.split(10 * AT_ONCE)])
    generated, held_out = at_most(generated, QUERIES), at_most(held_out, QUERIES)
    distance, index = nearest(generated, train, pooled)
    usual, _ = nearest(held_out, train, pooled)
    # Where one in a hundred held-out images is itself in the training set, exact copies are still copies.
    copies = (distance < usual.quantile(0.01)) | (distance == 0)
    closest = distance.argsort()[: at_least_one(pairs, "pairs")]
    shown = torch.stack([generated[closest], train[index[closest]]], dim=1).flatten(0, 1)
    figures = {"memorized_share": share_figure(copies)}
    if usual.sum() > 0:
        figures["memorization_ratio"] = ratio_figure(distance, usual)
    return Memorization(figures, shown)


def at_most(images: torch.Tensor, n: int) -> torch.Tensor:
    """Always the same ``n`` of the images at most, drawn at random: labels may be sorted, or come in turn."""
    if len(images) <= n:
        return images
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:n]]


def nearest(queries: torch.Tensor, train: torch.Tensor, pooled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Distance (n,) of uint8 images to the nearest training image, and which it is (n,)."""
    distances, indices = [], []
    half = pooled.square().sum(dim=1) / 2
    for part in queries.split(AT_ONCE):
        # Half the squared distance less what is the same for the whole row.
        distance = torch.addmm(half, pooled_pixels(part), pooled.T, alpha=-1)
        found = distance.topk(min(CANDIDATES, len(train)), largest=False).indices
        difference = train[found].float().sub_(part[:, None]).flatten(2)  # (n, candidates, C · H · W)
        distance, place = torch.linalg.vector_norm(difference, dim=2).min(dim=1)
        distances.append(distance / (255 * math.sqrt(difference.shape[2])))
        indices.append(found.gather(1, place[:, None])[:, 0])
    return torch.cat(distances), torch.cat(indices)
