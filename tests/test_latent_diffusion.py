"""The two stages of a miniature Stable Diffusion, from captions to a pipeline that plain diffusers loads."""

import json
from pathlib import Path

import diffusers
import pytest
import torch
from PIL import Image
from tiny_pipelines import LENGTH, TEXTS, tokenizer
from tiny_runs import last_checkpoint, read_log, run, tiny_recipe, without_clock
from transformers import CLIPTokenizer

import training.run
from genhub import DataError, GenHubStableDiffusion
from genhub.data import ImageSet, load_images
from genhub.images import resized
from genhub.prompts import captions
from training import publish
from training.config import parse_config
from training.pipelines import LatentAutoencoder
from training.selection import select
from training.settings import ConfigError
from training.tokenizer import save_tokenizer

DATA = {"limit": 64, "channels": 3}
AUTOENCODER = {
    "class": "AutoencoderKL",
    "block_out_channels": [4, 8],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 2,
    "mid_block_add_attention": False,
}
TEXT_ENCODER = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
PIPELINE = {
    "class": "StableDiffusionPipeline",
    "text_encoder": {**TEXT_ENCODER, "max_position_embeddings": LENGTH},
    "unet": {
        "block_out_channels": [4, 8],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        "layers_per_block": 1,
        "attention_head_dim": 2,
        "norm_num_groups": 2,
    },
    "noise": {"prediction_type": "v_prediction", "clip_sample": False, "steps_offset": 1},
    "sampler": {"algorithm_type": "dpmsolver++"},
    "num_inference_steps": 2,
    "guidance_scale": 2.0,
}


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(training.run, "PROBE", 40)


def first_stage(**changes) -> dict:
    objective = {"type": "latent_autoencoder", "reconstruction": "l1", "beta": 0.01}
    recipe = tiny_recipe("autoencoder", model=AUTOENCODER, data=DATA, name="first", samples=4)
    return recipe | {"objective": objective} | changes


def second_stage(autoencoder: Path | str, **changes) -> dict:
    model = {**PIPELINE, "autoencoder": str(autoencoder)}
    recipe = tiny_recipe("autoencoder", model=model, data=DATA, name="second", samples=4, max_steps=4)
    return recipe | {"objective": {"type": "text_to_image"}} | changes


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> Path:
    """Runs of both stages: ``first`` and ``second``."""
    folder = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "PROBE", 40)
        assert run(folder, first_stage()) == 0
        assert run(folder, second_stage(folder / "first" / "final")) == 0
    return folder


# -- the stages


def test_the_autoencoder_follows_the_spread_of_its_latents(stages):
    final = stages / "first" / "final"
    model = LatentAutoencoder.from_pretrained(final)
    assert isinstance(diffusers.AutoencoderKL.from_pretrained(final), diffusers.AutoencoderKL)
    trained, _ = last_checkpoint(stages / "first")
    assert model.latent_variance.item() == pytest.approx(trained["best.latent_variance"].item(), rel=1e-3)
    assert model.latent_variance != 1
    images = torch.zeros(2, 3, 8, 8)
    assert model.reconstruct(images).shape == images.shape
    assert "reconstruction_mse" in json.loads((final / "metrics.json").read_text())["metrics"]


def test_the_pipeline_is_plain_diffusers(stages):
    final = stages / "second" / "final"
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(final)
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(["a handwritten digit seven"] * 2, num_inference_steps=2, output_type="np").images
    assert made.shape == (2, 8, 8, 3)
    assert type(pipeline.scheduler) is diffusers.DPMSolverMultistepScheduler
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert {path.name for path in (final / "tokenizer").iterdir()} >= {"vocab.json", "merges.txt"}
    files = {path.name for path in final.iterdir()}
    assert files >= {"README.md", "samples.png", "training_log.jsonl", "training_config.yaml", "metrics.json"}
    assert sum(path.stat().st_size for path in final.rglob("*.safetensors")) < 500_000
    texts = [
        path.read_text(encoding="utf-8") for path in final.rglob("*.*") if path.suffix in (".json", ".yaml", ".md")
    ]
    assert len(texts) > 10
    assert not any(str(stages) in text for text in texts), "no path of the machine that trained it"


def test_what_is_published_makes_what_was_trained(stages):
    model = GenHubStableDiffusion.from_pretrained(stages / "second" / "final")
    assert (model.num_inference_steps, model.guidance_scale) == (2, 2.0)
    assert model.class_names == [str(i) for i in range(10)]
    assert model.metadata["name"] == "second"
    vae = diffusers.AutoencoderKL.from_pretrained(stages / "first" / "final")
    for key, value in model.pipeline.vae.state_dict().items():
        assert torch.allclose(value, vae.state_dict()[key], atol=1e-2, rtol=1e-2), "the first stage stays as it was"
    assert model.pipeline.vae.config.scaling_factor == vae.config.scaling_factor


def test_the_pipeline_is_published_whole(stages, capsys):
    assert publish.main([str(stages / "second"), "--repo-id", "alice/second", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    final = stages / "second" / "final"
    for path in final.rglob("*"):
        assert path.is_dir() or f"  {path.relative_to(final).as_posix()}\n" in printed
    assert "library_name: diffusers" in printed
    assert 'GenHubStableDiffusion.from_pretrained("alice/second")' in printed


def test_both_parts_of_the_second_stage_learn(stages):
    tensors, record = last_checkpoint(stages / "second")
    moved = [key for key in tensors if key.startswith("optimizer_model.") and tensors[key].abs().sum() > 0]
    assert len(moved) > 50
    assert record["best"]["measure"] == "denoising_error"
    log = read_log(stages / "second")
    assert all(line["error"] > 0 for line in log if "error" in line)


def test_a_resumed_run_ends_where_an_undisturbed_one_does(stages, tmp_path):
    recipe = second_stage(stages / "first" / "final", schedule={"name": "constant"})
    assert run(tmp_path, recipe, "--max-steps", "2") == 0
    assert run(tmp_path, None, "--resume", str(tmp_path / "second"), "--max-steps", "4") == 0
    (whole, record), (parts, other) = last_checkpoint(stages / "second"), last_checkpoint(tmp_path / "second")
    assert record["step"] == other["step"] == 4
    for key, value in whole.items():
        assert torch.equal(value, parts[key]), key
    own = [line for line in without_clock(read_log(tmp_path / "second")) if "loss" in line]
    assert own == [line for line in without_clock(read_log(stages / "second")) if "loss" in line]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {**PIPELINE, "autoencoder": "nowhere"}},
            "model: autoencoder: nowhere holds no AutoencoderKL; train one",
        ),
        ({"data": {"limit": 64, "channels": 1}}, "is made for 3 channels of 8 pixels, the data has 1 of 8"),
        ({"model": {**PIPELINE, "autoencoder": "{final}", "unet": {"depth": 3}}}, "model: "),
        ({"model": {**PIPELINE, "autoencoder": "{final}", "steps": 3}}, "model.steps: no such key; "),
    ],
)
def test_what_does_not_fit_is_refused(stages, tmp_path, capsys, changes, message):
    final = stages / "first" / "final"
    if changes.get("model", {}).get("autoencoder") == "{final}":
        changes = {"model": {**changes["model"], "autoencoder": str(final)}}
    assert run(tmp_path, second_stage(final, **changes)) == 2
    assert message in capsys.readouterr().err


def test_captions_are_needed(stages, tmp_path, capsys):
    for name in ("cats", "dogs"):
        for i in range(8):
            path = tmp_path / "pets" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(path)
    recipe = second_stage(stages / "first" / "final", dataset=str(tmp_path / "pets"))
    assert run(tmp_path, recipe) == 2
    assert "no prompts are known for 'pets'; allowed: cifar10, mnist, digits" in capsys.readouterr().err
    joined = load_images(f"digits+{tmp_path / 'pets'}", channels=3)
    assert joined.class_names == [*map(str, range(10)), "cats", "dogs"]
    assert joined.images.shape == (1516, 3, 8, 8)
    assert joined.labels[1499:].tolist() == [load_images("digits").labels[-1].item(), *[10] * 8, *[11] * 8]
    assert joined.name == "digits+pets"


def test_joined_sets_come_as_often_as_they_are_repeated(tmp_path, capsys):
    data = ImageSet(
        torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1), torch.arange(5), list("abcde"), "x+y", "x+y"
    )
    data.origins = torch.tensor([0, 0, 1, 1, 1])
    config = parse_config(tiny_recipe(), ["--data.repeats", "[1, 3]"])
    chosen = select(data, config, [3])
    assert chosen.images.flatten().tolist() == chosen.labels.tolist() == [0, 1, 2, 2, 2, 4, 4, 4]
    assert len(data) == 5, "what is measured against stays as it is"
    for repeats, got in (("[3]", "for \\['x', 'y'\\]"), ("[1, 0]", "more than 0")):
        with pytest.raises(ConfigError, match=f"data.repeats: .*{got}"):
            select(data, parse_config(tiny_recipe(), ["--data.repeats", repeats]), [])
    assert run(tmp_path, tiny_recipe(), "--data.repeats", "[2]") == 2
    assert "data.repeats: one number for each of several sets joined by '+'" in capsys.readouterr().err


def test_joined_sets_must_be_told_apart():
    with pytest.raises(DataError, match="classes of the same name: 0, 1, 2"):
        load_images("digits+digits")
    with pytest.raises(DataError, match="joined sets are read into memory; leave streaming out"):
        load_images("digits+digits", streaming=True)


# -- words


def test_each_word_of_the_captions_is_one_token():
    words = tokenizer()
    for text in TEXTS:
        assert len(words.tokenize(text)) == len(text.split()), text
    assert words.tokenize("a zebra")[0] == "a</w>"
    assert "".join(words.tokenize("zebra")) == "zebra</w>", "other words fall apart into pieces, none of them unknown"
    assert words.unk_token_id not in words("Zürich, 12 µm!").input_ids[1:-1]


def test_the_tokenizer_is_a_genuine_one(tmp_path):
    words = tokenizer()
    save_tokenizer(words, tmp_path)
    options = {"padding": "max_length", "truncation": True}
    expected = words(TEXTS, **options).input_ids
    assert all(len(tokens) == LENGTH for tokens in expected)
    assert CLIPTokenizer.from_pretrained(tmp_path)(TEXTS, **options).input_ids == expected
    (tmp_path / "tokenizer.json").unlink()  # as older versions do without
    assert CLIPTokenizer.from_pretrained(tmp_path)(TEXTS, **options).input_ids == expected


def test_captions_name_their_class():
    found = captions("cifar10+mnist")
    assert list(found)[:2] == ["airplane", "automobile"]
    assert found["airplane"][0] == "a photo of an airplane"
    assert "a picture of a car" in found["automobile"]
    assert found["7"][:2] == ["a handwritten digit seven", "a handwritten digit 7"]
    assert len({text for texts in found.values() for text in texts}) == sum(map(len, found.values())), "none is shared"


# -- thumbnails


def test_thumbnails_are_antialiased():
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1
    small = resized(board.expand(1, 3, 32, 32), (3, 8, 8))
    assert small.shape == (1, 3, 8, 8)
    assert small.abs().max() < 0.1, "a chessboard of pixels is grey from afar"
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(2, 3, 4, 4)
    assert resized(red, (1, 4, 4)).unique().tolist() == pytest.approx([2 * 0.299 - 1])
    assert torch.equal(resized(red, (3, 4, 4)), red)
    assert torch.equal(resized(red[:, :1], (3, 4, 4)), torch.ones(2, 3, 4, 4))
