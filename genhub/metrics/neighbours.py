"""Density and coverage: precision and recall that a few odd images cannot spoil."""

from __future__ import annotations

import torch

from genhub.metrics.figures import Figure, mean_figure

NEIGHBOURHOOD = 5  # the authors' choice
ROWS = 2500  # distances at a time


@torch.no_grad()
def density_and_coverage(
    *, generated: torch.Tensor, real: torch.Tensor, neighbourhood: int = NEIGHBOURHOOD
) -> dict[str, Figure]:
    """Density and coverage of features (n, f) and (m, f) (Naeem et al., 2020).

    Around each real image lies a ball that reaches to its ``neighbourhood``-th nearest real neighbour. Density is the
    number of balls that a generated image lies in, over ``neighbourhood``: about 1 for real images, more where samples
    keep to the crowded places. Coverage is the share of the balls that a generated image lies in.
    """
    if len(real) <= neighbourhood:
        raise ValueError(f"real: {len(real)} images are too few for {neighbourhood} neighbours of each")
    # The nearest of all is the image itself.
    radii = torch.cat(
        [torch.cdist(part, real).topk(neighbourhood + 1, largest=False).values[:, -1] for part in real.split(ROWS)]
    )
    balls = torch.zeros(len(generated))
    covered = torch.zeros(len(real))
    for first in range(0, len(generated), ROWS):
        inside = torch.cdist(generated[first : first + ROWS], real) < radii
        balls[first : first + ROWS] = inside.sum(dim=1).float()
        covered = covered.maximum(inside.any(dim=0).float())
    return {"density": mean_figure(balls / neighbourhood), "coverage": mean_figure(covered)}
