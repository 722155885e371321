"""Every recipe trains; a recipe may extend another; what a recipe does to its images."""

from __future__ import annotations

import itertools
import json

import pytest
import tiny
import torch
from accelerate import Accelerator
from PIL import Image
from tiny_runs import reset_accelerate, run, tiny_recipe, write_recipe

from genhub.data import load_images
from genhub.hub import PRETRAINED
from genhub.prompts import PROMPTS
from training.augment import augment, cutmix, sharpen
from training.batches import Noise
from training.config import parse_config, read_recipe, recipe_names
from training.run import Run
from training.selection import find_outliers, select
from training.settings import ConfigError, DataConfig

SHAPES = {"ylecun/mnist": ("L", 28), "uoft-cs/cifar10": ("RGB", 32), "art": ("RGB", 40)}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder of ten classes of noise per dataset, called like it, so that its judge and its captions are found."""
    made = {}
    for dataset, (mode, size) in SHAPES.items():
        made[dataset] = tmp_path_factory.mktemp("data") / dataset.split("/")[-1]
        generator = torch.Generator().manual_seed(0)
        names = PROMPTS["cifar10" if dataset == "uoft-cs/cifar10" else "mnist"].words
        for split, label in itertools.product(("train", "test"), names):
            pixels = torch.randint(0, 256, (size, size, len(mode)), dtype=torch.uint8, generator=generator)
            path = made[dataset] / split / label / "0.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels.squeeze(2).numpy() if mode == "L" else pixels.numpy()).save(path)
    return made


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_trains(name, folders, tmp_path):
    recipe = read_recipe(name)
    dataset = "+".join(str(folders.get(part, part)) for part in recipe["dataset"].split("+"))
    if "autoencoder" in recipe["model"]:  # a second stage, which starts from a run of the first
        recipe["model"]["autoencoder"] = str(PRETRAINED / "stable-diffusion-mini" / "vae")
    config = parse_config(recipe, ["--batch-size", "4", "--data.limit", "10", "--dataset", dataset])
    reset_accelerate()
    trained = Run(config, Accelerator(cpu=True), tmp_path)
    learned = {key: value for key, value in trained.objective.model.named_parameters() if value.requires_grad}
    before = {key: value.detach().clone() for key, value in learned.items()}
    for step in range(2 if config.objective.type == "text_to_image" else 1):  # its head starts at zero, a closed door
        logs = trained.objective.update(trained.batches, step)
    losses = {"discriminator_loss", "generator_loss"} if config.discriminator else {"loss"}
    losses |= {"class_loss"} if config.objective.class_weight else set()
    assert {key for key in logs if key.endswith("loss")} == losses
    assert all(value.isfinite() for value in logs.values())
    moved = [key for key, value in learned.items() if not torch.equal(value, before[key])]
    assert len(moved) > len(before) / 2, "biases in front of a batch norm stay where they are"


# -- base -------------------------------------------------------------------------------------------------------------


def test_base_gives_what_a_recipe_leaves_out(tmp_path):
    base = tiny_recipe(optimizer={"lr": 0.5, "betas": [0.1, 0.2]}, objective={"type": "adversarial", "r1": 3.0})
    path = write_recipe(tmp_path, base, "base")
    child = {"base": path, "name": "child", "description": "c", "optimizer": {"lr": 0.25}, "model": {"latent_dim": 5}}
    found = read_recipe(write_recipe(tmp_path, child, "child"))
    changed = {"name": "child", "description": "c", "optimizer": {"lr": 0.25, "betas": [0.1, 0.2]}}
    assert found == base | changed | {"model": base["model"] | {"latent_dim": 5}}
    assert parse_config(found).objective.r1 == 3.0


def test_base_of_a_base(tmp_path):
    path = write_recipe(tmp_path, tiny_recipe(), "a")
    path = write_recipe(tmp_path, {"base": path, "name": "b", "description": "b", "seed": 1, "max_steps": 7}, "b")
    path = write_recipe(tmp_path, {"base": path, "name": "c", "description": "c", "seed": 2}, "c")
    found = read_recipe(path)
    assert (found["name"], found["seed"], found["max_steps"]) == ("c", 2, 7)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"base": 3}, "base: expected the name of another recipe, got 3"),
        ({"base": "mnist/vea"}, "recipe: no recipe and no YAML file 'mnist/vea'; did you mean 'mnist/vae'?"),
        ({"name": None}, "name: missing; a recipe with a base must give its own"),
        ({"description": None}, "description: missing; a recipe with a base must give its own"),
    ],
)
def test_wrong_base(tmp_path, keys, message):
    child = {"base": "mnist/vae", "name": "child", "description": "c"} | keys
    path = write_recipe(tmp_path, {key: value for key, value in child.items() if value is not None})
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert message in str(caught.value)


def test_circle_of_bases(tmp_path):
    names = {"name": "x", "description": "x"}
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    write_recipe(tmp_path, {"base": str(second), **names}, "first")
    write_recipe(tmp_path, {"base": str(first), **names}, "second")
    with pytest.raises(ConfigError, match=r"second\.yaml: base: expected the name of another recipe, got .*first"):
        read_recipe(str(first))


# -- what is done to the images ---------------------------------------------------------------------------------------


def noise(n: int, seed: int = 0) -> Noise:
    return Noise((seed, 0), (0, n), n, torch.device("cpu"))


def test_sharpening_steepens_an_edge_and_leaves_plains():
    images = torch.full((1, 3, 8, 8), -0.5)
    images[..., 4:] = 0.5
    sharp = sharpen(images, 1.0)
    row = sharp[0, 0, 3]
    assert row[:3].tolist() == [-0.5] * 3
    assert row[5:].tolist() == [0.5] * 3
    assert row[3] == -0.75  # the blur takes a quarter of the step of 1 from either side
    assert row[4] == 0.75
    assert torch.equal(sharpen(images, 0.0), images)
    assert sharpen(images, 100.0).abs().max() == 1, "values stay in the range"


def test_vertical_flip_turns_half_of_the_images_upside_down():
    images = torch.linspace(-1, 1, 8)[None, None, :, None].expand(400, 1, 8, 8)
    flipped = (augment(images, DataConfig(vertical_flip=True), noise(400))[:, 0, 0, 0] == 1).float().mean()
    assert 0.4 < flipped < 0.6


def test_cutmix_mixes_labels_by_the_area_that_it_pastes():
    n = 200
    images = torch.linspace(-1, 1, n)[:, None, None, None].expand(n, 1, 16, 16)  # every image is one grey of its own
    condition = torch.eye(2)[torch.arange(n) % 2]
    mixed, weights = cutmix(images, condition, 0.5, noise(n))
    own = (mixed == images).float().mean(dim=(1, 2, 3))
    neighbour = (mixed == images[torch.arange(n) ^ 1]).float().mean(dim=(1, 2, 3))
    assert torch.allclose(own + neighbour, torch.ones(n))
    assert torch.allclose(weights[torch.arange(n), torch.arange(n) % 2], own)
    assert torch.allclose(weights.sum(dim=1), torch.ones(n))
    assert 0.4 < (own < 1).float().mean() < 0.6
    assert 0.2 < own[own < 1].mean() < 0.8
    rows = (mixed[:, 0] != images[:, 0]).flatten(1)
    assert any(0 < share < 1 for share in rows.float().mean(dim=1).tolist())
    plain, none = cutmix(images, None, 0.5, noise(n))
    assert none is None
    assert torch.equal(plain, mixed)
    assert torch.equal(cutmix(images, condition, 0.0, noise(n))[0], images)


def test_cutmix_does_not_depend_on_how_a_batch_is_split():
    images = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole, _ = cutmix(images, None, 1.0, noise(8))
    parts = [
        cutmix(images[first : first + 4], None, 1.0, Noise((0, 0), (first, first + 4), 8, torch.device("cpu")))[0]
        for first in (0, 4)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_oversampling_draws_with_replacement():
    data = load_images("digits", limit=500)
    config = parse_config(tiny_recipe(data={"oversample": 2.0}))
    larger = select(data, config, [])
    assert len(larger) == 1000
    indices = {image.numpy().tobytes(): i for i, image in enumerate(data.images)}
    found = torch.tensor([indices[image.numpy().tobytes()] for image in larger.images])
    assert torch.equal(data.labels[found], larger.labels)
    assert 0.8 < len(found.unique()) / 500 < 0.92  # 1 − e⁻² of them
    assert torch.equal(select(data, config, []).images, larger.images)


def test_outliers_are_the_images_that_the_autoencoder_reconstructs_worst(folders, tmp_path):
    data = load_images(str(folders["uoft-cs/cifar10"]))
    data.images[:] = 128
    data.images[3] = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    config = DataConfig(outliers=0.1, outlier_model="ae-cifar10")
    assert find_outliers(data, config, tmp_path) == [3]
    kept = select(data, parse_config(tiny_recipe()), [3])
    assert (len(kept), 3 in kept.labels) == (9, False)


def test_a_run_records_its_outliers_and_keeps_to_them_when_resumed(tmp_path, monkeypatch):
    tiny.build("ae-dense").save_pretrained(tmp_path / "judge")
    recipe = tiny_recipe(data={"limit": 40, "outliers": 0.2, "outlier_model": str(tmp_path / "judge")})
    assert run(tmp_path, recipe, "--dry-run") == 0
    record = tmp_path / "tiny" / "outliers.json"
    assert not record.parent.exists(), "a dry run writes nothing"
    assert run(tmp_path, recipe) == 0
    assert len(json.loads(record.read_text())["dropped"]) == 8
    monkeypatch.setattr("training.selection.reconstruction_errors", None)  # nothing is computed a second time
    assert run(tmp_path, None, "--resume", str(record.parent), "--max-steps", "3") == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"outliers": 0.1}, "data.outliers, data.outlier_model: give the share that is left out together"),
        ({"outlier_model": "ae-mnist"}, "data.outliers, data.outlier_model: give the share that is left out together"),
        ({"oversample": 0.5}, "data.oversample: expected at least 1, got 0.5"),
        ({"oversample": 2, "streaming": True}, "data.streaming: a stream has no outliers or classes to leave out"),
        ({"cutmix": 1.5}, "data.cutmix: expected a share from 0 to 1, got 1.5"),
        ({"sharpen": -1}, "data.sharpen: expected at least 0, got -1"),
    ],
)
def test_wrong_choice_of_images(data, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(tiny_recipe(data=data))
    assert str(caught.value).startswith(message)


def test_cutmix_needs_an_even_number_of_images_at_once():
    with pytest.raises(ConfigError, match=r"data.cutmix: mixes pairs of neighbours, got 3 images at once"):
        parse_config(tiny_recipe(data={"cutmix": 0.5}, batch_size=6, accumulation=2))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ae-cifar", "data.outlier_model: ae-cifar: "),
        ("dcgan-cifar10", "data.outlier_model: expected an autoencoder of (3, 32, 32) images, dcgan-cifar10 is a"),
        ("ae-mnist", "data.outlier_model: expected an autoencoder of (3, 32, 32) images, ae-mnist is a GenHubAE"),
    ],
)
def test_wrong_outlier_model(folders, tmp_path, model, message):
    data = load_images(str(folders["uoft-cs/cifar10"]))
    with pytest.raises(ConfigError) as caught:
        find_outliers(data, DataConfig(outliers=0.1, outlier_model=model), tmp_path)
    assert str(caught.value).startswith(message)
