"""Diffusion: what the network predicts, how samples come of it, and what it is held to while it trains."""

from __future__ import annotations

from types import SimpleNamespace

import diffusers
import pytest
import tiny
import torch
from tiny_runs import tiny_recipe

from genhub import GenHubDiffusion
from genhub.data import load_images
from genhub.images import to_signed
from genhub.latents import sample_latents
from genhub.losses import min_snr_weight
from genhub.models.diffusion import levels
from training.config import parse_config
from training.diffusion import held_out_error, prediction_error, signal_to_noise, to_clean
from training.networks import build_networks
from training.settings import ConfigError

KINDS = ("epsilon", "sample", "v_prediction")
DIGITS = load_images("digits", limit=64)
SIGNED = to_signed(DIGITS.images)


def build(kind: str = "v_prediction", more: dict | None = None, **changes) -> GenHubDiffusion:
    """A colour model; ``more`` is merged into its scheduler, ``changes`` replace arguments."""
    scheduler = {**tiny.DENOISER["scheduler"], "prediction_type": kind, "rescale_betas_zero_snr": kind != "epsilon"}
    arguments = {**tiny.DENOISER, "patch": 2, "guidance_scale": 1.0, **tiny.COLOUR}
    return GenHubDiffusion(**{**arguments, **changes, "scheduler": {**scheduler, **(more or {})}})


def exact(scheduler, images: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """What a network without error predicts."""
    if scheduler.config.prediction_type == "v_prediction":
        return scheduler.get_velocity(images, noise, timesteps)
    return noise if scheduler.config.prediction_type == "epsilon" else images


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images in [-1, 1], noise, and timesteps neither the first nor the last."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 8, 8, generator=generator) * 2 - 1
    return images, torch.randn(6, 3, 8, 8, generator=generator), torch.tensor([1, 50, 200, 500, 800, 950])


# -- predictions


@pytest.mark.parametrize("kind", KINDS)
def test_an_exact_prediction_has_no_error_and_says_the_image(kind, drawn):
    images, noise, timesteps = drawn
    model = build(kind)
    noisy = model.scheduler.add_noise(images, noise, timesteps)
    predicted = exact(model.scheduler, images, noise, timesteps)
    assert prediction_error(model, predicted, images, noise, timesteps).max() < 1e-10
    assert prediction_error(model, predicted + 1, images, noise, timesteps) == pytest.approx(torch.ones(6))
    assert (to_clean(model.scheduler, predicted, noisy, timesteps) - images).abs().max() < 1e-3


def test_the_weight_makes_all_kinds_of_prediction_count_alike(drawn):
    """The same wrong idea of the image costs the same, whatever the network is asked for."""
    images, noise, timesteps = drawn
    wrong = images + 0.1
    costs = []
    for kind in KINDS:
        model = build(kind, more={"rescale_betas_zero_snr": False})
        alpha, sigma = levels(model.scheduler, timesteps)
        noisy = alpha * images + sigma * noise
        implied = (noisy - alpha * wrong) / sigma  # the noise that belongs to the wrong image
        predicted = exact(model.scheduler, wrong, implied, timesteps)
        ratio = signal_to_noise(model.scheduler, timesteps)
        costs.append(min_snr_weight(kind, ratio, 5.0) * prediction_error(model, predicted, images, noise, timesteps))
    assert torch.allclose(costs[0], costs[1], rtol=1e-2)
    assert torch.allclose(costs[0], costs[2], rtol=1e-2)
    assert torch.allclose(costs[1], 0.01 * signal_to_noise(model.scheduler, timesteps).clamp_max(5), rtol=1e-2)
    with pytest.raises(ValueError, match="prediction: expected epsilon, sample or v_prediction, got 'x'"):
        min_snr_weight("x", timesteps, 5.0)


# -- principal components of patches


def test_components_hold_what_patches_share():
    """Images whose patches lie in two directions are rebuilt from two components, and noise in them stays white."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(12, 2, generator=generator)).Q
    amounts = torch.randn(50, 4, 4, 2, generator=generator) * torch.tensor([0.1, 0.04])
    patches = (amounts @ directions.T).movedim(-1, 1) + 0.1
    images = torch.nn.functional.pixel_shuffle(patches, 2)
    model = build(components=2)
    with pytest.raises(ValueError, match=r"images: expected floats in \[-1, 1\], got torch.uint8"):
        model.fit_components(images.byte())
    model.fit_components(images)
    packed = model.pack(images)
    assert packed.shape == (50, 2, 4, 4) == (50, *model.sample_shape)
    assert model.latent_dim == 32
    assert (model.unpack(packed) - images).abs().max() < 1e-5
    assert packed[:, 0].std() > 2 * packed[:, 1].std(), "the largest first"
    assert torch.allclose(model.patch_basis @ model.patch_basis.T, torch.eye(2), atol=1e-5)
    whole = build(components=12)
    whole.fit_components(torch.rand(20, 3, 8, 8, generator=generator) - 0.5)
    assert (whole.unpack(whole.pack(images)) - images).abs().max() < 1e-5, "all components lose nothing"


def test_a_model_of_components_samples_images_and_is_kept(tmp_path):
    model, seen = build(components=3).eval(), []
    model.fit_components(torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    images = model.generate(3, seed=1, callback=lambda *step: seen.append(step))
    assert images.shape == seen[0][1].shape == seen[0][2].shape == (3, 3, 8, 8)
    assert images.abs().max() <= 1
    model.save_pretrained(tmp_path)
    again = GenHubDiffusion.from_pretrained(tmp_path)
    assert (again.generate(3, seed=1) - images).abs().mean() < 0.02, "half precision"
    with pytest.raises(ValueError, match="components: expected a whole number from 1 to 12, got 13"):
        build(components=13)


def test_components_are_fitted_to_the_data():
    recipe = tiny_recipe("diffusion")
    recipe["model"] |= {"patch": 2, "components": 3}
    model, _ = build_networks(parse_config(recipe), DIGITS)
    error = (model.unpack(model.pack(SIGNED)) - SIGNED).square().mean()
    assert error < 0.5 * SIGNED.var(), "three of four components"
    streamed = SimpleNamespace(image_shape=DIGITS.image_shape, class_names=DIGITS.class_names, source="a stream")
    with pytest.raises(ConfigError, match="components: fitted to images in memory"):
        build_networks(parse_config(recipe), streamed)


# -- sampling


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 4, 7, 61])  # 1,000 timesteps cannot be divided by the last two
@pytest.mark.parametrize("order", [1, 2])
def test_a_perfect_denoiser_samples_the_image_that_it_knows(kind, steps, order, monkeypatch):
    model = build(kind, solver_order=order).eval()
    known = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9
    left = []

    def forward(noisy, timesteps, condition):
        alpha, sigma = levels(model.scheduler, timesteps)
        left.append((noisy - alpha * known) / sigma)
        return exact(model.scheduler, known.expand_as(noisy), left[-1], timesteps)

    monkeypatch.setattr(model, "forward", forward)
    assert (model.generate(2, seed=0, num_inference_steps=steps) - known).abs().max() < 1e-2
    assert len(left) == steps
    for noise in left:  # at the level that the network is told, what is not the image is what the sample began as
        assert (noise - left[0]).abs().max() < 1e-2 * left[0].abs().max()


def test_the_solvers_are_those_of_diffusers():
    ends = []
    for order in (1, 2):
        more = {"clip_sample": False, "rescale_betas_zero_snr": False, "timestep_spacing": "trailing"}
        torch.manual_seed(0)
        model, seen = build(more=more, solver_order=order).eval(), []
        model.generate(2, seed=3, num_inference_steps=8, callback=lambda i, x, clean, seen=seen: seen.append(x))
        solver = diffusers.DPMSolverMultistepScheduler.from_config(model.scheduler.config, solver_order=order)
        solver.set_timesteps(8)
        x = sample_latents(2, model.latent_dim, 3).reshape(2, 3, 8, 8)
        with torch.no_grad():
            for timestep, ours in zip(solver.timesteps, seen, strict=True):
                x = solver.step(model(x, timestep.expand(2), None), timestep, x).prev_sample
                assert torch.allclose(ours, x, atol=1e-3)
        ends.append(x)
    assert (ends[0] - ends[1]).abs().max() > 0.1


def test_the_second_order_comes_nearer_to_what_many_steps_lead_to(monkeypatch):
    """For images that are normal numbers of variance 0.1, the best denoiser and the end of its path are known."""
    errors, latents = [], sample_latents(2, 192, 0).reshape(2, 3, 8, 8)
    for order in (1, 2):
        model = build("sample", more={"clip_sample": False, "timestep_spacing": "trailing"}, solver_order=order)

        def forward(noisy, timesteps, condition, scheduler=model.scheduler):
            alpha, sigma = levels(scheduler, timesteps)
            return 0.1 * alpha / (0.1 * alpha**2 + sigma**2) * noisy

        monkeypatch.setattr(model, "forward", forward)
        images = model.generate(2, seed=0, num_inference_steps=20)
        errors.append((images - (0.1**0.5 * latents).clamp(-1, 1)).abs().mean())
    assert errors[1] < 0.5 * errors[0], errors


def test_guidance_goes_from_the_prediction_without_class_through_the_one_with_it(drawn):
    model = tiny.build("diffusion-labelled")
    images, _, timesteps = drawn
    condition = model.condition([0, 1, 2, 0, 1, 2], 6)
    with torch.no_grad():
        plain, without = model(images, timesteps, condition), model(images, timesteps, torch.zeros(6, 3))
        assert (plain - without).abs().max() > 1e-3
        for scale in (0.0, 1.0, 3.0):
            expected = without + scale * (plain - without)
            assert (model.guided(images, timesteps, condition, scale) - expected).abs().max() < 1e-4
    assert (model.generate(2, labels=1, seed=0, guidance_scale=1) - model.generate(2, labels=1, seed=0)).abs().max() > 0


def test_the_callback_sees_every_step():
    model, seen = tiny.build("diffusion"), []
    images = model.generate(3, seed=5, batch_size=2, callback=lambda *step: seen.append(step))
    assert [i for i, _, _ in seen] == [0, 1, 2, 3] * 2
    assert [len(x) for _, x, _ in seen] == [2] * 4 + [1] * 4
    assert torch.equal(seen[3][1].clamp(-1, 1), images[:2])
    assert all(x.shape == clean.shape and clean.abs().max() <= 1 for _, x, clean in seen)
    assert seen[0][1].std() > seen[3][1].std()


def test_what_is_clipped_out_of_an_image_stays_in_its_noise():
    """Strong guidance leads out of range; a step keeps x the mixture of the clipped image and what remains."""
    model, seen = tiny.build("diffusion-labelled"), []
    latents = sample_latents(2, model.latent_dim, 4).reshape(2, 3, 8, 8)
    model.generate(2, labels=[0, 1], seed=4, guidance_scale=9.0, callback=lambda *step: seen.append(step))
    before = latents
    for i, after, clean in seen:
        assert (clean.abs() == 1).any(), "something was clipped"
        (alpha, sigma), (next_alpha, next_sigma) = (
            levels(model.scheduler, torch.tensor([999 - 250 * place])) for place in (i, i + 1)
        )
        assert torch.allclose(after, next_alpha * clean + next_sigma * (before - alpha * clean) / sigma, atol=1e-3)
        before = after


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps: expected a whole number from 1 to 1000, got 0"),
        ({"num_inference_steps": 1001}, "num_inference_steps: expected a whole number from 1 to 1000"),
        ({"guidance_scale": float("nan")}, "guidance_scale: expected a number from 0 to 30, got nan"),
        ({"guidance_scale": True}, "guidance_scale: expected a number from 0 to 30, got True"),
        ({"truncation": 2}, "truncation: expected a number from 0 to 1, got 2"),
        ({"n": 0}, "n: expected a whole number from 1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        tiny.build("diffusion").generate(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 3}, "patch: images of 8 pixels cannot be cut into patches of 3"),
        ({"solver_order": 3}, "solver_order: expected a whole number from 1 to 2, got 3"),
        ({"patch": 8}, "and then halved 1 times"),
        ({"unet": {"block_out_chanels": [8]}}, "unet.block_out_chanels: .*block_out_channels"),
        ({"unet": {"in_channels": 3}}, "unet.in_channels: UNet2DModel is not given it here"),
        ({"more": {"beta_shedule": "linear"}}, "scheduler.beta_shedule: .*beta_schedule"),
        ({"more": {"beta_schedule": "steep"}}, "scheduler: steep"),
        ({"kind": "epsilon", "more": {"rescale_betas_zero_snr": True}}, "prediction_type: with rescale_betas_zero_snr"),
    ],
)
def test_arguments_that_make_no_model(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


# -- held-out error


def test_the_held_out_error_is_the_same_each_time_and_tells_better_from_worse():
    good, bad = (build(channels=1, class_names=DIGITS.class_names) for _ in range(2))
    bad.load_state_dict(good.state_dict())
    with torch.no_grad():
        bad.unet.conv_out.weight.mul_(10)
    assert held_out_error(good, DIGITS) == held_out_error(good, DIGITS, batch_size=64)
    assert held_out_error(good, DIGITS) < held_out_error(bad, DIGITS)
