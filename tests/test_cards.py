"""The model card says what was recorded, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_double import card_errors
from huggingface_hub import ModelCard
from PIL import Image
from run_folder import DIGITS, MODEL_FILES, make_run, tiny_cgan, write_json

from genhub import GenHubAE, GenHubClassifier, GenHubGAN, GenHubVAE
from genhub.hub import PIPELINE, PRETRAINED, bundled_names
from training import cards, model_records
from training.config import parse_config, read_recipe

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = bundled_names()


@pytest.fixture
def final(tmp_path):
    return make_run(tmp_path / "run") / "final"


def rewrite(folder, name, change):
    path = folder / name
    record = json.loads(path.read_text())
    change(record)
    write_json(path, record)


def test_metadata_is_what_the_hub_accepts(final):
    card = cards.render_card(final)
    assert card_errors(card) == []
    data = ModelCard(card).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "mit",
        "genhub",
        "unconditional-image-generation",
    )
    assert {"genhub", "conditional-gan"} <= set(data.tags)
    measured = {result.metric_type: result.metric_value for result in data.eval_results}
    assert measured == {"frechet_distance": 12.5, "class_accuracy": 0.98125}
    assert {(result.dataset_name, result.dataset_split) for result in data.eval_results} == {("digits", "test")}


def test_card_survives_the_hubs_own_reader_and_writer(final):
    card = cards.render_card(final)
    assert str(ModelCard(card)) == card


def test_facts_and_figures_are_the_recorded_ones(final):
    card = cards.render_card(final)
    for row in (
        "| Steps | 1,500 |",
        "| Images seen | 96,000 |",
        "| Training time | 1 min 2 s |",
        "| Hardware | CPU, 2 threads |",
        "| Mixed precision | bf16 |",
        "| Weights | averaged (EMA) |",
        "| Chosen | step 1,250, the best by frechet_distance |",
        "| Parameters | model 1,344, discriminator 75 |",
        "(`class_accuracy`) | 0.9812 |",
        "| extractor | classifier-digits |",
        "| samples | 10,000 |",
        "| seed | 12345 |",
        "one class per column",
        "slightly kinder",
        "![samples](samples.png)",
    ):
        assert row in card
    rewrite(final, "metrics.json", lambda record: record["metrics"].update(class_accuracy=0.5, other=7))
    changed = cards.render_card(final)
    assert "(`class_accuracy`) | 0.5 |" in changed
    assert "(`other`) | 7 |" in changed
    assert "0.98" not in changed
    assert "77.25" not in changed  # of the run, not of the evaluation
    rewrite(final, "training_summary.json", lambda record: record.update(best=None))
    assert "slightly kinder" not in cards.render_card(final)


def test_no_figure_without_a_record(final):
    for name in ("metrics.json", "training_summary.json", "samples.png"):
        (final / name).unlink()
    card = cards.render_card(final)
    body = card.partition("## Use")[2].partition("## Evaluation")[2]
    assert "No measurement has been recorded." in body
    assert re.findall(r"\d", body.partition("<!--")[0]) == []
    assert "model-index" not in card
    assert "## Training" not in card
    assert "![samples]" not in card


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_stays_out_of_the_model_index(final, value):
    rewrite(final, "metrics.json", lambda record: record["metrics"].update(fid=value))
    card = cards.render_card(final)
    assert card_errors(card) == []
    assert [r.metric_type for r in ModelCard(card).data.eval_results] == [
        "frechet_distance",
        "class_accuracy",
    ]
    assert f"(`fid`) | {value} |" in card


def test_rendering_is_deterministic(final):
    code = "import sys; from training.cards import render_card; sys.stdout.write(render_card(sys.argv[1]))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code, final],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout.decode()
        for seed in ("1", "2")
    }
    assert texts == {cards.render_card(final)}


@pytest.mark.parametrize("name", ["cgan-cifar10", "my-own"])
def test_jpeg_copy_is_named_beside_every_figure(final, name):
    def copy(record):
        record["protocol"]["dataset"] = "cifar10 (JPEG copy)"

    rewrite(final, "metrics.json", copy)
    rewrite(final, "training_summary.json", lambda record: record.update(name=name))
    card = cards.render_card(final)
    assert "Value on CIFAR-10 (JPEG copy)" in card
    assert "must not\nbe compared with published ones" in card.partition("## Evaluation")[2]
    assert ModelCard(card).data.eval_results[0].dataset_name == "CIFAR-10 (JPEG copy)"
    assert ("deer, dog" in card) is (name == "cgan-cifar10")


def test_figures_of_training_images_are_called_so(final):
    assert "the same held-out images" in cards.render_card(final)
    rewrite(final, "metrics.json", lambda record: record["protocol"].update(held_out=False))
    card = cards.render_card(final)
    assert "Fréchet distance to training images in the features" in card
    assert "those that it was trained on: the figures say nothing about other images." in card
    assert "| held out | no |" in card
    assert "held-out" not in card
    assert ModelCard(card).data.eval_results[0].metric_name.startswith("Fréchet distance to training images")


@pytest.mark.parametrize(
    ("name", "dataset", "fits"),
    [
        ("cgan-digits", "digits", True),
        ("cgan-digits", "/data/digits", True),
        ("cgan-digits", "mnist", False),
        ("cgan-mnist", "mnist", True),
        ("cgan-mnist", "ylecun/mnist", True),
        ("cgan-mnist", "fashion_mnist", False),
        ("cgan-cifar10", "cifar10 (JPEG copy)", True),
        ("cgan-cifar10", "cifar10", False),
        ("cgan-cifar10", "uoft-cs/cifar10", False),
        ("template", "digits", False),
        ("../README", "digits", False),
    ],
)
def test_hand_written_part_only_where_it_is_true(final, name, dataset, fits):
    rewrite(final, "metrics.json", lambda record: record["protocol"].update(dataset=dataset))
    rewrite(final, "training_summary.json", lambda record: record.update(name=name))
    assert ("**Limits.**" in cards.render_card(final)) is fits


def test_without_a_hand_written_part_the_recipe_describes_the_model(final):
    rewrite(final, "training_summary.json", lambda record: record.update(name="my-own"))
    assert "A tiny example." in cards.render_card(final)
    rewrite(final, "training_summary.json", lambda record: record.pop("description"))
    assert "Nobody has written down yet" in cards.render_card(final)


@pytest.mark.parametrize("path", ["/home/someone/pictures/cats", "../pictures/cats", "~/cats", "a/b/cats"])
def test_a_local_path_is_not_published(final, path):
    rewrite(final, "metrics.json", lambda record: record["protocol"].update(dataset=path))
    rewrite(final, "training_summary.json", lambda record: record.update(dataset=path, recipe=path))
    card = cards.render_card(final)
    assert path not in card
    assert "cats (local)" in card


def test_a_hub_dataset_is_linked(final):
    rewrite(final, "metrics.json", lambda record: record["protocol"].update(dataset="cats"))
    for source, linked in (("someone/cats", ["someone/cats"]), ("a/x+b/y", ["a/x", "b/y"]), ("cats", None)):
        rewrite(final, "config.json", lambda record, source=source: record["metadata"].update(source=source))
        data = ModelCard(cards.render_card(final)).data
        assert data.datasets == linked
        assert data.eval_results[0].dataset_type == "cats"


def test_values_cannot_break_out_of_the_tables(final):
    rewrite(final, "training_summary.json", lambda record: record.update(hardware="one | two\n\n# three"))
    assert "| Hardware | one \\| two # three |" in cards.render_card(final)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("config.json", None, "no config.json in the folder"),
        ("config.json", "{", "no valid JSON"),
        ("config.json", "[]", "must hold an object"),
        ("config.json", '{"image_size": 8}', 'no "class"'),
        ("metrics.json", '{"metrics": 3}', 'needs "protocol" and "metrics"'),
    ],
)
def test_a_malformed_record_is_named(final, name, content, complaint):
    (final / name).unlink()
    if content is not None:
        (final / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(complaint)) as error:
        cards.render_card(final)
    assert name in str(error.value)


def test_edited_cards_are_told_from_rendered_ones(final):
    card = cards.render_card(final)
    assert cards.is_rendered(card)
    assert not cards.is_rendered(card.replace("1,500", "2,500"))
    assert not cards.is_rendered("# Mine\n")
    assert cards.is_rendered(str(tiny_cgan().generate_model_card()))


def test_the_command_renders_anew_and_spares_edited_cards(final, capsys):
    card = final / "README.md"
    assert cards.main([str(final)]) == 0
    assert card.read_text(encoding="utf-8") == cards.render_card(final)
    rewrite(final, "metrics.json", lambda record: record["metrics"].update(other=7))
    assert cards.main([str(final)]) == 0
    assert "(`other`) | 7 |" in card.read_text(encoding="utf-8")
    card.write_text("# Mine\n", encoding="utf-8")
    assert cards.main([str(final)]) == 0
    assert card.read_text(encoding="utf-8") == "# Mine\n"
    assert "edited by hand" in capsys.readouterr().out
    assert cards.main([str(final / "nothing")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_model_has_a_hand_written_part(name):
    front, text = model_records.hand_written(name)
    assert set(front) <= {"title", "dataset", "hub_datasets"}
    assert front["title"]
    assert "**Intended use.**" in text
    assert "**Limits.**" in text
    if name.endswith("cifar10"):
        assert front["dataset"] == "CIFAR-10 (JPEG copy)"
        assert "JPEG" in text
        assert "compared with published ones" in " ".join(text.split())


def test_no_hand_written_part_is_left_over():
    assert {path.stem for path in model_records.MODEL_CARDS.glob("*.md")} == {*BUNDLED, "template"}


@pytest.mark.parametrize("name", BUNDLED)
def test_the_settings_of_bundled_models_are_recipes(name):
    """As their cards say."""
    config = parse_config(read_recipe(str(PRETRAINED / name / "training_config.yaml")))
    assert config.name == name


def test_bundled_models_hold_what_their_repositories_hold():
    for folder in (PRETRAINED / name for name in BUNDLED):
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        adversarial = {name for name in MODEL_FILES if name.startswith("discriminator/")}
        if PIPELINE in files:
            weights = {"config.json", "model.safetensors", "metrics.json", *adversarial}
            assert files > MODEL_FILES - weights, folder.name
            assert any(name.startswith("metrics-") for name in files), folder.name
        else:
            assert files in (MODEL_FILES, MODEL_FILES - adversarial), folder.name
        assert (folder / "README.md").read_text(encoding="utf-8") == cards.render_card(folder), folder.name
        for path in [*folder.rglob("*.json"), *folder.rglob("*.yaml"), *folder.rglob("*.md")]:
            local = re.findall(r"""(?:^|[\s"'(])((?:/|~/|\.\./)[\w.-]+)""", path.read_text(encoding="utf-8"), re.M)
            assert local == [], f"{path.relative_to(ROOT)} names a place on the machine that trained it"


DENSE = {"op": "dense", "width": 64}
PIXELS = {"op": "reshape", "size": 8, "act": "tanh"}
ENCODER = [{"op": "flatten"}, {"op": "dense", "width": 16, "act": "relu"}]
SIZE = {"image_size": 8, "channels": 1}
FAMILIES = {
    "cgan": tiny_cgan,
    "gan": lambda: GenHubGAN(latent_dim=4, stages=[DENSE, PIXELS], **SIZE),
    "ae": lambda: GenHubAE(latent_dim=4, encoder=ENCODER, decoder=[DENSE, PIXELS], **SIZE),
    "vae": lambda: GenHubVAE(latent_dim=4, encoder=ENCODER, decoder=[DENSE, PIXELS], **SIZE),
    "classifier": lambda: GenHubClassifier(stages=[*ENCODER, {"op": "dense", "width": 10}], class_names=DIGITS, **SIZE),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_usage_example_runs(family, tmp_path, monkeypatch, capsys):
    FAMILIES[family]().save_pretrained(tmp_path / "model")
    code = re.search(r"```python\n(.*?)```", cards.render_card(tmp_path / "model", str(tmp_path / "model")), re.S)[1]
    assert len(code.splitlines()) <= 5
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 30), "red").save("image.png")
    exec(compile(code, "the card's example", "exec"), {})
    made = {path.name for path in tmp_path.glob("*.png")} - {"image.png"}
    assert made or "'0'" in capsys.readouterr().out
