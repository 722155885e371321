"""What neighbours say: precision and recall, and density and coverage, which a few odd images cannot spoil."""

from __future__ import annotations

import torch

from genhub.metrics.figures import Figure, mean_figure, share_figure

NEIGHBOURHOOD = 3  # of precision and recall, their authors' choice
DENSITY_NEIGHBOURHOOD = 5  # of density and coverage, likewise


@torch.no_grad()
def neighbour_figures(
    *,
    generated: torch.Tensor,
    real: torch.Tensor,
    neighbourhood: int = NEIGHBOURHOOD,
    density_neighbourhood: int = DENSITY_NEIGHBOURHOOD,
) -> dict[str, Figure]:
    """Precision, recall, density and coverage of features (n, f) and (m, f), from one set of distances.

    Around each image lies a ball that reaches to its ``neighbourhood``-th nearest neighbour of the same set. Precision
    is the share of generated images in a real image's ball, recall the share of real images in a generated one's
    (Kynkäänniemi et al., 2019; the figures of torch-fidelity). With ``density_neighbourhood``, density is the number of
    real balls that a generated image lies in, over that number: about 1 for real images, more where samples keep to the
    crowded places. Coverage is the share of the real balls that a generated image lies in (Naeem et al., 2020).
    """
    # Of a set's own distances the smallest is that of an image to itself.
    most = max(neighbourhood, density_neighbourhood)
    for name, images, needed in (("generated", generated, neighbourhood), ("real", real, most)):
        if len(images) <= needed:
            raise ValueError(f"{name}: {len(images)} images are too few for {needed} neighbours of each")
    reach = torch.cdist(real, real).topk(most + 1, largest=False).values
    generated_reach = torch.cdist(generated, generated).topk(neighbourhood + 1, largest=False).values[:, -1:]
    distance = torch.cdist(generated, real)
    inside = distance < reach[:, density_neighbourhood]
    figures = {
        "precision": (distance <= reach[:, neighbourhood]).any(dim=1),
        "recall": (distance <= generated_reach).any(dim=0),
        "density": inside.sum(dim=1) / density_neighbourhood,
        "coverage": inside.any(dim=0),
    }
    return {
        name: share_figure(values) if values.dtype == torch.bool else mean_figure(values)
        for name, values in figures.items()
    }
