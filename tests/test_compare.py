"""The comparison of conditional models: one measure for all, one sheet per class."""

import json
import shutil

import pytest
import tiny
from PIL import Image

from genhub import GenHubCGAN, GenHubDiffusion, GenHubGAN
from genhub.data import load_images
from training.compare import main
from training.wording import file_name, measurement

DIGITS = load_images("digits", limit=64)
GREY = {"image_size": 8, "channels": 1, "class_names": DIGITS.class_names}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Folders of small models of the digits."""
    root = tmp_path_factory.mktemp("models")
    rows = [{"op": "label"}, {"op": "dense", "width": 64}, {"op": "reshape", "size": 8, "act": "tanh"}]
    made = {
        "gan": GenHubCGAN(latent_dim=4, stages=rows, **GREY),
        "noise": GenHubDiffusion(**tiny.DENOISER, patch=2, guidance_scale=2.0, **GREY),
        "blind": GenHubGAN(latent_dim=4, stages=rows[1:], image_size=8, channels=1),
        "animals": GenHubCGAN(latent_dim=4, stages=rows, image_size=8, channels=1, class_names=tiny.CLASSES),
    }
    for name, model in made.items():
        model.save_pretrained(root / name)
    return {name: str(root / name) for name in made}


def test_page_records_and_sheets(models, tmp_path, capsys):
    arguments = ["--models", models["gan"], models["noise"], "--samples", "40", "--columns", "3"]
    assert main(["digits", *arguments, "--output", str(tmp_path)]) == 0
    assert f"done: {tmp_path / 'digits.md'}" in capsys.readouterr().out
    records = json.loads((tmp_path / "digits" / "records.json").read_text())
    assert list(records) == ["gan", "noise"]
    assert [entry["steps"] for entry in records.values()] == [1, 4]
    text = (tmp_path / "digits.md").read_text()
    for name, entry in records.items():
        assert f"| {name} | " in text
        assert measurement(entry["metrics"]["frechet_distance"], entry["spread"]["frechet_distance"]) in text
        assert f"{entry['cost']['parameters']:,}" in text
    for label in DIGITS.class_names:
        assert f"({'digits'}/{label}.png)" in text
        with Image.open(tmp_path / "digits" / f"{label}.png") as image:
            assert image.size == (2 * (2 + 3 * 10), 2 * (2 + 2 * 10)), "three columns, a row per model"


def test_class_names_that_no_file_can_have():
    assert file_name("T-shirt / top") == "T-shirt-top"
    assert file_name("../猫") == "猫"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "{blind}"], "cannot be asked for a class"),
        (["--models", "{animals}"], "makes cat, dog, frog, not the classes of digits"),
        (["--models", "nowhere"], "nowhere"),
        (["--models", "{gan}", "{gan}"], "--models: two are called gan"),
        (["--dataset", "no/such-folder-here/x"], "no/such-folder-here/x"),
    ],
)
def test_what_cannot_be_compared(models, tmp_path, capsys, arguments, message):
    filled = [argument.format(**models) for argument in arguments]
    assert main(["digits", *filled, "--samples", "20", "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_models_of_runs_are_called_as_their_runs(models, tmp_path):
    for name in ("once", "again"):
        shutil.copytree(models["gan"], tmp_path / name / "final")
    arguments = ["--models", str(tmp_path / "once"), str(tmp_path / "again" / "final"), "--samples", "20"]
    assert main(["digits", *arguments, "--columns", "1", "--output", str(tmp_path / "out")]) == 0
    assert list(json.loads((tmp_path / "out" / "digits" / "records.json").read_text())) == ["once", "again"]


def test_a_known_dataset_is_looked_for_on_the_hub(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("genhub.data.unreachable", lambda endpoint: "there is no network here")
    assert main(["cifar10", "--output", str(tmp_path)]) == 2
    assert "error: uoft-cs/cifar10: no such folder, and there is no network here" in capsys.readouterr().err


def test_a_dataset_without_models_is_named(tmp_path, capsys):
    assert main(["imagenet", "--output", str(tmp_path)]) == 2
    assert "datasets with models: cifar10, digits, mnist" in capsys.readouterr().err
