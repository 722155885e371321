"""Distillation: how few steps of a student are taught to do for many of its teacher, alone and with critics."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from accelerate import Accelerator
from tiny_runs import read_log, reset_accelerate, run, tiny_recipe

import genhub
import training.finish
import training.run
from genhub import GenHubDiffusion
from genhub.data import load_images
from genhub.models.diffusion import levels
from training.batches import Batches
from training.config import parse_config
from training.distillation import AdversarialDistillation, Distillation
from training.networks import build_networks
from training.settings import ConfigError

DIGITS = load_images("digits", limit=64)
CALM = {"clip_sample": False}


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(training.run, "PROBE", 40)
    monkeypatch.setattr(training.finish, "SAMPLES", 40)


def teacher(**scheduler) -> GenHubDiffusion:
    torch.manual_seed(0)
    arguments = {**tiny.DENOISER, "scheduler": {**tiny.DENOISER["scheduler"], **scheduler}}
    return GenHubDiffusion(
        **arguments, patch=2, guidance_scale=1.0, image_size=8, channels=1, class_names=DIGITS.class_names
    ).eval()


def student_recipe(folder: Path, model: GenHubDiffusion, kind: str, changes: dict | None = None, **objective) -> dict:
    """Of a student that is to learn from ``model``, which is saved in ``folder``; ``changes`` are to its arguments."""
    model.metadata = {"name": "teacher"}
    model.save_pretrained(folder)
    arguments = {"class": "GenHubDiffusion", **tiny.DENOISER, "patch": 2, "guidance_scale": 1.0, **(changes or {})}
    options = {"teacher": str(folder), "substeps": 5, "guidance_scale": 2.0, **objective}
    return tiny_recipe(kind, model=arguments, init_from=str(folder), objective=options)


def distillation(folder: Path, model: GenHubDiffusion, changes: dict | None = None, **objective) -> Distillation:
    """A student that learns from its teacher alone."""
    reset_accelerate()
    config = parse_config(student_recipe(folder, model, "distillation", changes, **objective))
    return Distillation(config, Accelerator(), *build_networks(config, DIGITS))


def adversarial(folder: Path, **objective) -> AdversarialDistillation:
    """A student with critics beside its teacher."""
    reset_accelerate()
    config = parse_config(student_recipe(folder, teacher(), "adversarial_distillation", **objective))
    torch.manual_seed(1)
    return AdversarialDistillation(config, Accelerator(), *build_networks(config, DIGITS))


def digits(size: int = 8) -> Batches:
    return Batches(DIGITS, size, 0, 1, 0, torch.device("cpu"))


# -- by a teacher alone


def test_a_step_of_a_student_for_one_of_its_teacher_is_already_right(tmp_path):
    changes = {"scheduler": {**tiny.DENOISER["scheduler"], **CALM}}
    setup = distillation(tmp_path, teacher(**CALM), changes, substeps=1, guidance_scale=1.0)
    assert setup.loss(next(setup.parts(digits(), 0)))[0] < 1e-5
    other = distillation(tmp_path, teacher(**CALM), changes, substeps=5, guidance_scale=3.0)
    assert other.loss(next(other.parts(digits(), 0)))[0] > 1e-4


def test_the_target_leads_where_the_teacher_went(tmp_path):
    setup = distillation(tmp_path, teacher(**CALM), {"scheduler": {**tiny.DENOISER["scheduler"], **CALM}})
    start = 999 - 250 * torch.arange(4)
    x, end = torch.randn(2, 4, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    target = setup.clean_image(x, end, start)
    alpha, sigma = levels(setup.scheduler, start)
    velocity = alpha * (x - alpha * target) / sigma - sigma * target
    setup.scheduler.set_timesteps(4)
    assert (setup.scheduler.batch_step_no_noise(velocity, start, x) - end).abs().max() < 1e-2


def test_a_student_learns(tmp_path):
    setup = distillation(tmp_path, teacher())
    losses = [setup.update(digits(32), 0)["loss"].item() for _ in range(30)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    ("student", "objective", "message"),
    [
        ({}, {"teacher": "nowhere/at-all"}, "objective.teacher: nowhere/at-all"),
        ({}, {"teacher": "vae-mnist"}, "objective.teacher: vae-mnist: holds a GenHubVAE"),
        ({}, {"substeps": 3}, "objective.substeps: 3 for each of the student's 4 steps do not divide"),
        ({"solver_order": 2}, {}, "model.solver_order: expected 1, got 2; a step of DDIM"),
        ({"scheduler": {"prediction_type": "sample"}}, {}, "model.scheduler.beta_schedule: 'linear' where the teacher"),
        ({"unet": {**tiny.DENOISER["unet"], "block_out_channels": [8, 12]}}, {}, "init_from: .*of another shape"),
    ],
)
def test_students_that_cannot_learn(tmp_path, student, objective, message):
    with pytest.raises(ConfigError, match=message):
        distillation(tmp_path, teacher(), student, **objective)


def test_steps_are_counted_from_the_last_timestep(tmp_path):
    spaced = {"timestep_spacing": "leading"}
    student = {"scheduler": {**tiny.DENOISER["scheduler"], **spaced}}
    with pytest.raises(ConfigError, match="timestep_spacing: expected 'trailing', got 'leading'"):
        distillation(tmp_path, teacher(**spaced), student)


# -- with critics


def test_a_student_starts_each_step_where_its_own_sampling_gets_to(tmp_path):
    setup = adversarial(tmp_path)
    part = next(setup.parts(digits(4), 0))
    noise, steps = next(setup.parts(digits(4), 0)).noise.normal(*setup.model.sample_shape), []
    setup.model.denoise(noise, part.condition, 4, 1.0, lambda i, x, clean: steps.append(x))
    reached = torch.stack([noise, *steps[:3]])
    place = torch.tensor([0, 3, 1, 2])
    begun = setup.begin(part, place, part.condition)
    torch.testing.assert_close(begun, reached[place, torch.arange(4)], atol=1e-5, rtol=1e-4)
    assert not begun.requires_grad


def test_critics_see_clean_images_in_every_step(tmp_path):
    """Of a student that is right: the real images themselves, whatever their noise."""
    setup = adversarial(tmp_path)
    setup.imitate = lambda part: (setup.model.pack(part.images), torch.zeros(()), torch.zeros(()))
    part = next(setup.parts(digits(), 0))
    fake, _ = setup.make_fake(part)
    torch.testing.assert_close(fake, part.images)


def test_a_student_learns_to_please_its_critics(tmp_path):
    """Critics that hardly learn are pleased more and more, and the more so, the more they weigh."""
    pleased = []
    for weight in (0.0, 10.0):
        setup = adversarial(tmp_path, adversarial_weight=weight, loss="hinge")
        for group in setup.updaters["discriminator"].optimizer.param_groups:
            group["lr"] = 1e-8
        pleased.append([setup.update(digits(16), 0)["d_fake_after"].item() for _ in range(20)])
    assert pleased[1][-1] > pleased[1][0] + 0.01
    assert pleased[1][-1] > pleased[0][-1] + 0.01


def test_a_run_with_critics(tmp_path):
    recipe = student_recipe(tmp_path / "teacher", teacher(), "adversarial_distillation")
    assert run(tmp_path, recipe) == 0
    model = genhub.load(tmp_path / "tiny" / "final")
    assert isinstance(model, GenHubDiffusion)
    assert model.num_inference_steps == 4
    assert (tmp_path / "tiny" / "final" / "discriminator" / "model.safetensors").is_file()
    log = read_log(tmp_path / "tiny")
    assert {"error", "d_real", "d_fake_after", "generator_loss", "lr_discriminator"} <= log[0].keys()
    assert "probe_frechet_distance" in log[-1]


def test_critics_must_be_given(tmp_path):
    recipe = student_recipe(tmp_path, teacher(), "adversarial_distillation")
    del recipe["discriminator"]
    with pytest.raises(ConfigError, match="discriminator: objective 'adversarial_distillation' needs one"):
        parse_config(recipe)
