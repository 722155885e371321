"""Losses as pure functions, unreduced: one value per image. The caller takes the mean.

Logits are large for what looks real. ``real`` and ``fake`` are logits (n,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

Critic = Callable[[torch.Tensor], torch.Tensor]
ADVERSARIAL = "bce, least_squares, hinge, wasserstein or relativistic"


def discriminator_loss(kind: str, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """(n,) loss of the discriminator.

    ``bce``: Goodfellow et al., 2014. ``least_squares``: Mao et al., 2017, targets 1 and 0. ``hinge``: Lim & Ye, 2017.
    ``wasserstein``: Arjovsky et al., 2017, the critic's negated estimate. ``relativistic``: Jolicoeur-Martineau, 2019,
    of pairs: a real image must look more real than the fake one beside it.
    """
    match kind:
        case "bce":
            return F.softplus(-real) + F.softplus(fake)
        case "least_squares":
            return 0.5 * ((real - 1).square() + fake.square())
        case "hinge":
            return F.relu(1 - real) + F.relu(1 + fake)
        case "wasserstein":
            return fake - real
        case "relativistic":
            return F.softplus(fake - real)
    raise ValueError(f"loss: expected {ADVERSARIAL}, got {kind!r}")


def generator_loss(kind: str, fake: torch.Tensor, real: torch.Tensor | None = None) -> torch.Tensor:
    """(n,) loss of the generator; for ``bce`` the non-saturating one. ``relativistic`` alone needs ``real``."""
    match kind:
        case "bce":
            return F.softplus(-fake)
        case "least_squares":
            return 0.5 * (fake - 1).square()
        case "hinge" | "wasserstein":
            return -fake
        case "relativistic":
            if real is None:
                raise ValueError("real: a relativistic loss compares pairs; give the logits of real images, too")
            return F.softplus(real - fake)
    raise ValueError(f"loss: expected {ADVERSARIAL}, got {kind!r}")


def gradient_norm(critic: Critic, images: torch.Tensor) -> torch.Tensor:
    """(n,) norm of the critic's gradient at each image, differentiable with respect to the critic, in float32."""
    images = images.detach().float().requires_grad_(True)
    with torch.autocast(images.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(dim=1).add(1e-12).sqrt()


def gradient_penalty(critic: Critic, real: torch.Tensor, fake: torch.Tensor, mix: torch.Tensor) -> torch.Tensor:
    """(n,) WGAN-GP penalty (Gulrajani et al., 2017): (‖∇‖ − 1)² between real and fake; ``mix`` (n,) in [0, 1]."""
    points = torch.lerp(fake.float(), real.float(), mix.reshape(-1, 1, 1, 1))
    return (gradient_norm(critic, points) - 1).square()


def zero_centred_penalty(critic: Critic, images: torch.Tensor) -> torch.Tensor:
    """(n,) penalty ½‖∇‖² at images (Mescheder et al., 2018): R1 at real ones, R2 at fake ones."""
    return 0.5 * gradient_norm(critic, images).square()


def reconstruction_loss(kind: str, decoded: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """(n,) error summed over pixels, of pixels in [0, 1] (both arguments). ``mse`` is squared error, ``l1`` absolute
    error, ``bce`` Bernoulli.

    Divide by the number of pixels for the mean squared error that reports quote.
    """
    match kind:
        case "mse":
            return (decoded - images).square().flatten(1).sum(dim=1)
        case "l1":
            return (decoded - images).abs().flatten(1).sum(dim=1)
        case "bce":
            return F.binary_cross_entropy(decoded, images, reduction="none").flatten(1).sum(dim=1)
    raise ValueError(f"reconstruction: expected mse, l1 or bce, got {kind!r}")


def kl_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """(n,) KL(N(mean, variance) ‖ N(0, I)) in nats, summed over dimensions (Kingma & Welling, 2014)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def min_snr_weight(prediction: str, ratio: torch.Tensor, gamma: float) -> torch.Tensor:
    """(n,) weight of a denoiser's squared error that caps the signal-to-noise ratio at γ (Hang et al., 2023).

    ``ratio`` (n,) is the squared signal over the squared noise; ``prediction`` what the error is measured on:
    ``epsilon``, ``sample`` or ``v_prediction``.
    """
    capped = ratio.clamp_max(gamma)
    match prediction:
        case "epsilon":
            return capped / ratio
        case "sample":
            return capped
        case "v_prediction":
            return capped / (ratio + 1)
    raise ValueError(f"prediction: expected epsilon, sample or v_prediction, got {prediction!r}")
