"""How well autoencoders rebuild images they have not seen, and what that tells about the images."""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F

from genhub.images import require_uint8, signed_to_unit, to_signed
from genhub.latents import sample_latents
from genhub.losses import kl_divergence
from genhub.metrics.figures import Figure, mean_figure
from genhub.models import GenHubAE, GenHubVAE
from genhub.models.latent import check_seed, evaluating

AT_ONCE = 256  # images


@torch.no_grad()
def reconstruction_errors(images: torch.Tensor, labels: torch.Tensor | None, model: GenHubAE) -> torch.Tensor:
    """Mean squared error (n,) of each uint8 image, over pixels in [0, 1]. Labels (n,) where the model reads them."""
    require_uint8(images, "images")
    errors = []
    for i, part in enumerate(images.split(AT_ONCE)):
        signed = to_signed(part)
        known = labels[AT_ONCE * i :][: len(part)] if model.class_names and labels is not None else None
        rebuilt = model.reconstruct(signed, labels=known, batch_size=AT_ONCE).cpu()
        errors.append(((rebuilt - signed.cpu()) / 2).square().mean(dim=(1, 2, 3)))
    return torch.cat(errors)


def reconstruction_mse(images: torch.Tensor, labels: torch.Tensor | None, model: GenHubAE) -> float:
    """Mean squared error per pixel of uint8 images, on pixels in [0, 1]."""
    return reconstruction_errors(images, labels, model).mean().item()


@dataclasses.dataclass(frozen=True)
class Bound:
    """Nats per image under a VAE.

    Attributes:
        kl: divergence of the posterior from the prior.
        elbo: lower bound of log p(image) for Gaussian pixels in [0, 1] whose one variance is that which fits the images
            best, so that models trained with different weights of the two terms can be compared.
        bernoulli_elbo: the same for pixels as probabilities (Kingma & Welling, 2014), the negative of the loss that
            VAEs of black-and-white images report; None for a decoder that does not end in sigmoid.
    """

    kl: Figure
    elbo: Figure
    bernoulli_elbo: Figure | None


@torch.no_grad()
def bound(images: torch.Tensor, labels: torch.Tensor | None, model: GenHubVAE, seed: int) -> Bound:
    """The evidence lower bound of uint8 images, with one latent per image drawn from the seed."""
    require_uint8(images, "images")
    model.check_shape(images)
    noise = sample_latents(len(images), model.latent_dim, check_seed(seed))
    divergences, squares, crosses = [], [], []
    with evaluating(model):
        for first in range(0, len(images), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            signed = to_signed(images[part]).to(model.device, model.dtype)
            known = labels[part] if model.class_names and labels is not None else None
            condition = model.condition(known, len(signed))
            mean, log_variance = model.posterior(signed, condition)
            latents = mean + noise[part].to(mean) * (0.5 * log_variance).exp()
            rebuilt = signed_to_unit(model.decode(latents, condition)).float().clamp(0, 1)
            pixels = signed_to_unit(signed).float().clamp(0, 1)
            divergences.append(kl_divergence(mean, log_variance).double().cpu())
            squares.append((rebuilt - pixels).square().double().sum(dim=(1, 2, 3)).cpu())
            crosses.append(F.binary_cross_entropy(rebuilt, pixels, reduction="none").double().sum(dim=(1, 2, 3)).cpu())
    kl, square, cross = torch.cat(divergences), torch.cat(squares), torch.cat(crosses)
    pixels = images[0].numel()
    variance = (square.mean() / pixels).clamp_min(1e-12)
    gaussian = -0.5 * pixels * (2 * math.pi * variance).log() - square / (2 * variance)
    bernoulli = mean_figure(-cross - kl) if model.unit_pixels else None
    return Bound(mean_figure(kl), mean_figure(gaussian - kl), bernoulli)


def anomaly_auc(*, normal: torch.Tensor, anomalous: torch.Tensor) -> Figure:
    """Area under the ROC curve when what is rebuilt badly is called anomalous: 1 finds all, 0.5 is chance.

    Args:
        normal, anomalous: reconstruction errors (n,) and (m,) of images of each kind.

    The spread is that of Hanley & McNeil (1982).
    """
    from sklearn.metrics import roc_auc_score

    n, m = len(normal), len(anomalous)
    if min(n, m) < 2:
        raise ValueError(f"normal, anomalous: at least 2 images of each are needed, got {n} and {m}")
    truth = torch.cat([torch.zeros(n), torch.ones(m)])
    auc = float(roc_auc_score(truth.numpy(), torch.cat([normal, anomalous]).numpy()))
    both, other = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (m - 1) * (both - auc**2) + (n - 1) * (other - auc**2)
    return Figure(auc, math.sqrt(max(0.0, variance) / (n * m)))
