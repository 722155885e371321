"""What the Space offers, of which family it is, and what was recorded of it."""

import dataclasses
import json
import shutil

import pytest

import genhub
from space.cards import recorded_fact
from space.catalog import read_catalog
from space.families import family_of, operations
from space.records import read_record, recorded_distance

CATALOG = read_catalog()


def model(name):
    return next(info for dataset in CATALOG.values() for info in dataset.models if info.name == name)


def test_every_bundled_model_is_offered_or_judges_or_guides():
    offered = {model.name for dataset in CATALOG.values() for model in dataset.models}
    judges = {dataset.judge for dataset in CATALOG.values()} - {None}
    guides = {"guide-cifar10", "guide-mnist"}
    assert offered | judges | guides == {info.name for info in genhub.list_models()}
    assert judges == {"classifier-cifar10", "classifier-mnist"}
    assert "cgan-digits" in offered
    assert CATALOG["digits"].judge is None


@pytest.mark.parametrize("dataset", CATALOG.values(), ids=CATALOG)
def test_what_is_shown_first_is_the_best_of_each_kind(dataset):
    kinds = [family_of(info).slug for info in dataset.leading]
    assert len(kinds) == len(set(kinds))
    for info in dataset.compared:
        [shown] = [leader for leader in dataset.leading if family_of(leader).slug == family_of(info).slug]
        assert recorded_distance(shown) <= recorded_distance(info)
    assert list(dataset.leading) == [info for info in dataset.compared if info in dataset.leading]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("cgan-mnist", "Conditional GAN"),
        ("projected-gan-mnist", "Projected GAN"),
        ("projected-acgan-cifar10", "Projected AC-GAN"),
        ("vae-mnist", "Variational autoencoder"),
        ("cvae-mnist", "Conditional VAE"),
        ("vae-gan-mnist", "VAE-GAN"),
        ("projected-vae-gan-mnist", "Projected VAE-GAN"),
        ("dcgan-mnist", "GAN (DCGAN)"),
        ("sagan-mnist", "GAN with attention (SAGAN)"),
        ("wgan-gp-mnist", "Wasserstein GAN (WGAN-GP)"),
        ("diffusion-mnist", "Diffusion"),
        ("diffusion-4step-mnist", "Distilled diffusion"),
    ],
)
def test_families_tell_what_a_model_was_trained_against(name, title):
    assert family_of(model(name)).title == title


def test_a_hybrid_with_a_damaged_critic_is_still_one(tmp_path):
    hybrid = model("projected-vae-gan-mnist")
    folder = shutil.copytree(hybrid.folder, tmp_path / hybrid.name)
    (folder / "discriminator" / "config.json").write_text("{")
    assert family_of(dataclasses.replace(hybrid, folder=folder)).title == "VAE-GAN"


@pytest.mark.parametrize("damaged", [b"objective: [", b"objective:", b"objective: 3", b"", b"\xff"])
def test_without_its_settings_a_model_is_of_the_plainer_family(damaged, tmp_path):
    led = model("projected-acgan-cifar10")
    folder = shutil.copytree(led.folder, tmp_path / led.name)
    (folder / "training_config.yaml").write_bytes(damaged)
    assert family_of(dataclasses.replace(led, folder=folder)).title == "Projected GAN"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stages": 3}', '{"stages": [3, null, {"op": 5}]}'])
def test_a_network_that_makes_no_sense_has_no_operations(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    found = operations(dataclasses.replace(CATALOG["mnist"].models[0], folder=tmp_path))
    assert found <= {"5"}


@pytest.mark.parametrize("text", ["", "{", "[]", '"metrics"', '{"metrics": 3, "protocol": null}'])
def test_a_damaged_record_holds_no_figures(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    assert read_record(tmp_path / "metrics.json") == ({}, {})


@pytest.mark.parametrize(
    ("name", "metrics", "fact"),
    [
        ("dcgan-mnist", {"frechet_distance": 13}, ("Fréchet distance", "13.00", "recorded, 2,000 images")),
        (
            "ae-mnist",
            {"reconstruction_mse": 0.02},
            ("Rebuilding error", "0.0200", "mean square on real images, recorded"),
        ),
    ],
)
def test_a_recorded_figure_is_written_to_the_digits_of_its_column(name, metrics, fact, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": metrics, "protocol": {"samples": 2000}}))
    assert recorded_fact(dataclasses.replace(model(name), folder=tmp_path)) == [fact]
