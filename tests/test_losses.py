"""Each loss against a formula written down independently, and its gradient against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from genhub import losses

REAL = torch.tensor([-3.0, -0.4, 0.0, 0.7, 2.5, 30.0], dtype=torch.float64)
FAKE = torch.tensor([1.5, -0.2, 0.0, -4.0, 0.9, -30.0], dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


DISCRIMINATOR = {
    "bce": lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
    "least_squares": lambda r, f: ((r - 1) ** 2 + f**2) / 2,
    "hinge": lambda r, f: max(0, 1 - r) + max(0, 1 + f),
    "wasserstein": lambda r, f: f - r,
    "relativistic": lambda r, f: -math.log(sigmoid(r - f)),
}
GENERATOR = {
    "bce": lambda r, f: -math.log(sigmoid(f)),
    "least_squares": lambda r, f: (f - 1) ** 2 / 2,
    "hinge": lambda r, f: -f,
    "wasserstein": lambda r, f: -f,
    "relativistic": lambda r, f: -math.log(sigmoid(f - r)),
}


@pytest.mark.parametrize("kind", DISCRIMINATOR)
def test_adversarial_losses_follow_their_papers(kind):
    pairs = list(zip(REAL.tolist(), FAKE.tolist(), strict=True))
    expected = torch.tensor([DISCRIMINATOR[kind](*pair) for pair in pairs], dtype=torch.float64)
    assert torch.allclose(losses.discriminator_loss(kind, REAL, FAKE), expected)
    expected = torch.tensor([GENERATOR[kind](*pair) for pair in pairs], dtype=torch.float64)
    assert torch.allclose(losses.generator_loss(kind, FAKE, REAL), expected)


@pytest.mark.parametrize("kind", DISCRIMINATOR)
def test_each_side_pulls_the_logits_its_own_way(kind):
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    losses.discriminator_loss(kind, real, fake).sum().backward()
    assert (real.grad < 0).all()  # a step against the gradient raises what is real
    assert (fake.grad >= 0).all()
    if kind != "least_squares":  # whose target for fakes, 0, is already met
        assert (fake.grad > 0).all()
    fake = torch.zeros(3, requires_grad=True)
    losses.generator_loss(kind, fake, torch.zeros(3)).sum().backward()
    assert (fake.grad < 0).all()


def test_bce_stays_finite_where_a_sigmoid_would_saturate():
    extreme = torch.tensor([-200.0, 200.0], requires_grad=True)
    loss = losses.discriminator_loss("bce", extreme, extreme.flip(0)) + losses.generator_loss("bce", extreme)
    assert loss.tolist() == pytest.approx([600, 0])
    loss.sum().backward()
    assert torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize("kind", DISCRIMINATOR)
def test_a_balanced_game_has_its_known_value(kind):
    zero = torch.zeros(1)
    known = {"bce": 2 * math.log(2), "least_squares": 0.5, "hinge": 2, "wasserstein": 0, "relativistic": math.log(2)}
    expected = known[kind]
    assert losses.discriminator_loss(kind, zero, zero).item() == pytest.approx(expected)


def test_unknown_kinds_are_refused():
    for function in (
        lambda: losses.discriminator_loss("lsgan", REAL, FAKE),
        lambda: losses.generator_loss("lsgan", FAKE),
        lambda: losses.reconstruction_loss("huber", REAL[:, None], FAKE[:, None]),
    ):
        with pytest.raises(ValueError, match=r"expected .*, got '(lsgan|huber)'"):
            function()


def test_a_relativistic_loss_takes_pairs():
    with pytest.raises(ValueError, match="real: a relativistic loss compares pairs"):
        losses.generator_loss("relativistic", FAKE)


# -- penalties


@pytest.fixture
def critic():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)).double()
    network.requires_grad_(True)
    return lambda images: network(images.double()).squeeze(1), list(network.parameters())


def finite_gradient_norm(critic, images, step=1e-4):
    """The norm by central differences, one pixel at a time."""
    total = torch.zeros(len(images), dtype=torch.float64)
    with torch.no_grad():
        for index in range(images[0].numel()):
            nudge = torch.zeros(images[0].numel(), dtype=torch.float64)
            nudge[index] = step
            nudge = nudge.reshape(images.shape[1:])
            total += ((critic(images + nudge) - critic(images - nudge)) / (2 * step)) ** 2
    return total.sqrt()


def batches():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, 2, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1


def test_gradient_norm_is_that_of_finite_differences(critic):
    images = batches()[0]
    assert torch.allclose(
        losses.gradient_norm(critic[0], images).double(), finite_gradient_norm(critic[0], images), atol=1e-4
    )


def test_penalties_follow_their_papers(critic):
    real, fake = batches()
    mix = torch.tensor([0.0, 0.25, 1.0])
    weight = mix.double()[:, None, None, None]
    between = weight * real + (1 - weight) * fake
    expected = (finite_gradient_norm(critic[0], between) - 1) ** 2
    assert torch.allclose(losses.gradient_penalty(critic[0], real, fake, mix).double(), expected, atol=1e-4)
    expected = finite_gradient_norm(critic[0], real) ** 2 / 2
    assert torch.allclose(losses.zero_centred_penalty(critic[0], real).double(), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["gradient_penalty", "zero_centred_penalty"])
def test_penalties_reach_the_critics_weights(critic, kind):
    function, parameters = critic
    real, fake = batches()
    mix = torch.tensor([0.1, 0.5, 0.9])

    def penalty():
        if kind == "zero_centred_penalty":
            return losses.zero_centred_penalty(function, real).double().sum()
        return losses.gradient_penalty(function, real, fake, mix).double().sum()

    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    weight, gradient, step = parameters[0], gradients[0], 1e-3
    with torch.no_grad():
        weight[0, 0, 0, 0] += step
    above = penalty().item()
    with torch.no_grad():
        weight[0, 0, 0, 0] -= 2 * step
    below = penalty().item()
    assert gradient[0, 0, 0, 0].item() == pytest.approx((above - below) / (2 * step), rel=0.02, abs=1e-4)


def test_penalties_are_finite_where_the_gradient_vanishes():
    weight = torch.zeros(1, requires_grad=True)
    penalty = losses.gradient_penalty(
        lambda x: (x * weight).sum((1, 2, 3)), *torch.zeros(2, 3, 1, 2, 2), mix=torch.rand(3)
    )
    assert torch.allclose(penalty, torch.ones(3), atol=1e-4)
    penalty.sum().backward()
    assert torch.isfinite(weight.grad).all()


def test_penalties_leave_the_images_alone(critic):
    real, fake = batches()
    fake.requires_grad_(True)
    losses.gradient_penalty(critic[0], real, fake, torch.rand(3)).sum().backward()
    assert fake.grad is None
    assert not real.requires_grad


# -- autoencoders


def test_reconstruction_losses_sum_over_the_pixels_of_each_image():
    generator = torch.Generator().manual_seed(0)
    decoded, images = torch.rand(2, 3, 1, 2, 2, generator=generator)
    for kind, pixel in (
        ("mse", lambda d, x: (d - x) ** 2),
        ("l1", lambda d, x: abs(d - x)),
        ("bce", lambda d, x: -x * math.log(d) - (1 - x) * math.log(1 - d)),
    ):
        expected = [
            sum(pixel(d, x) for d, x in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True))
            for a, b in zip(decoded, images, strict=True)
        ]
        loss = losses.reconstruction_loss(kind, decoded, images)
        assert loss.shape == (3,)
        assert loss.tolist() == pytest.approx(expected, rel=1e-5)


def test_kl_divergence_is_that_of_gaussians():
    mean, log_variance = torch.tensor([[0.0, 0.0], [1.0, -2.0]]), torch.tensor([[0.0, 0.0], [0.5, -1.0]])
    standard = torch.distributions.Normal(0, 1)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), standard
    ).sum(dim=1)
    assert torch.allclose(losses.kl_divergence(mean, log_variance), expected)
    assert losses.kl_divergence(mean, log_variance)[0] == 0
