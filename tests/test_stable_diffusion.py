"""Text-to-image pipelines behind the verbs of GenHub's models, on small real ones of the same classes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
import tiny_pipelines
import torch
from huggingface_hub import constants

import genhub
from genhub import GenHubModel, GenHubStableDiffusion, LoadError, hub, pipelines
from genhub.images import to_uint8
from genhub.pipelines import PRESETS, SCHEDULERS, plan_memory
from genhub.prompts import captions

GIB = 2**30


def adapter(kind: str, **options) -> GenHubStableDiffusion:
    options = {
        "num_inference_steps": 1 if kind == "turbo" else 3,
        "guidance_scale": 0.0 if kind == "turbo" else 5.0,
    } | options
    prompts = {name: sentences[0] for name, sentences in captions("cifar10").items()}
    return GenHubStableDiffusion(tiny_pipelines.KINDS[kind](), prompts, **options)


@pytest.fixture(scope="module", params=tiny_pipelines.KINDS)
def model(request) -> GenHubStableDiffusion:
    return adapter(request.param)


@pytest.fixture(scope="module")
def plain() -> GenHubStableDiffusion:
    return adapter("sd")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pipelines") / "tiny-sd"
    tiny_pipelines.stable_diffusion(checked=True).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of ``saved`` to damage."""
    return Path(shutil.copytree(saved, tmp_path / "tiny-sd"))


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-4)


def refused(given, **options) -> str:
    with pytest.raises(LoadError) as caught:
        GenHubStableDiffusion.from_pretrained(given, **options)
    return str(caught.value)


# -- images


def test_images_have_the_contract_of_every_model(model):
    images = model.generate(2, labels="frog", seed=1)
    assert images.shape == (2, *model.image_shape) == (2, 3, 8, 8)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.std() > 0.01
    assert not images.requires_grad
    assert model.num_parameters() > 10_000


def test_an_image_does_not_depend_on_its_batch(model):
    labels = ["frog", "ship", "frog"]
    images = model.generate(3, labels=labels, seed=7, batch_size=3)
    assert close(model.generate(3, labels=labels, seed=7, batch_size=2), images)
    assert close(model.generate(1, labels="frog", seed=7), images[:1])
    assert not close(images[0], images[2])
    assert not close(model.generate(1, labels="frog", seed=8), images[:1])


def test_an_image_does_not_depend_on_its_batch_where_steps_add_noise():
    model = adapter("turbo", num_inference_steps=3)
    images = model.generate(3, prompt="a frog", seed=7)
    assert close(model.generate(2, prompt="a frog", seed=7, batch_size=1), images[:2])
    noiseless = adapter("sd", num_inference_steps=3, guidance_scale=0.0).generate(1, prompt="a frog", seed=7)
    assert not close(noiseless, images[:1])


def test_images_made_in_the_midst_of_others_change_nothing(model):
    """Schedulers keep the state of a sampling in themselves: the Space lets others go first between two steps."""
    expected, others = model.generate(1, prompt="a frog", seed=7), model.generate(2, prompt="a ship", seed=8)
    between = []
    images = model.generate(
        1, prompt="a frog", seed=7, callback=lambda *_: between.append(model.generate(2, prompt="a ship", seed=8))
    )
    assert close(images, expected)
    assert between
    assert all(close(made, others) for made in between)


def test_labels_are_asked_for_by_their_sentences(plain):
    named = plain.generate(2, labels=["frog", "ship"], seed=3)
    assert close(plain.generate(2, labels=[6, 8], seed=3), named)
    assert close(plain.generate(2, labels=torch.tensor([6, 8]), seed=3), named)
    assert close(plain.generate(2, prompt=["a photo of a frog", "a photo of a ship"], seed=3), named)
    assert not close(plain.generate(2, labels="ship", seed=3)[0], named[0])
    assert plain.prompts["airplane"] == "a photo of an airplane"


def test_sentences_can_be_replaced(saved):
    replaced = GenHubStableDiffusion.from_pretrained(saved, prompts={"frog": "the digit 7"})
    assert replaced.class_names == ["frog"]
    frog = replaced.generate(1, labels="frog", seed=3, num_inference_steps=2)
    assert close(frog, replaced.generate(1, prompt="the digit 7", seed=3, num_inference_steps=2))


def test_guidance_and_negative_prompts_lead_elsewhere(plain):
    frog = plain.generate(1, prompt="frog", seed=3)
    assert not close(plain.generate(1, prompt="frog", seed=3, guidance_scale=1.0), frog)
    assert not close(plain.generate(1, prompt="frog", seed=3, negative_prompt="ship"), frog)
    assert not close(plain.generate(1, prompt="frog", seed=3, num_inference_steps=2), frog)
    assert not close(plain.generate(1, prompt="frog", seed=3, truncation=0.5), frog)


def test_a_page_can_show_the_picture_forming(model):
    seen = []
    images = model.generate(3, labels=0, seed=5, batch_size=2, callback=lambda *step: seen.append(step))
    steps = model.num_inference_steps
    assert [index for index, _, _ in seen] == [*range(steps), *range(steps)]
    assert [latents.shape for _, latents, _ in seen] == [(2, 4, 4, 4)] * steps + [(1, 4, 4, 4)] * steps
    assert close(seen[-1][2](), images[2:])
    assert close(model.generate(3, labels=0, seed=5, batch_size=2), images)


def test_thumbnails_have_the_shape_of_the_dataset(plain):
    digits = plain.for_dataset("mnist")
    assert digits.class_names == [str(i) for i in range(10)]
    assert (digits.image_shape, digits.native_shape) == ((1, 28, 28), (3, 8, 8))
    images = digits.generate(2, labels=[7, "3"], seed=1)
    assert images.shape == (2, 1, 28, 28)
    assert images.abs().max() <= 1
    native = plain.generate(2, prompt=["a handwritten digit seven", "a handwritten digit three"], seed=1)
    assert images.mean().item() == pytest.approx(native.mean().item(), abs=0.1)
    with pytest.raises(ValueError, match="no prompts are known for 'mnits'; did you mean 'mnist'"):
        plain.for_dataset("mnits")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "labels, prompt: give one of them, got neither; labels are out of airplane, automobile"),
        ({"labels": 1, "prompt": "a frog"}, "labels, prompt: give one of them, got both"),
        ({"labels": "frig"}, "labels: unknown class 'frig'; did you mean 'frog'?"),
        ({"labels": 10}, "labels: expected a class name or 0…9, got 10"),
        ({"labels": [1, 2, 3]}, "labels: expected one for all or 2, one per image; got 3"),
        ({"prompt": ["a frog"]}, "prompt: expected one for all or 2, one per image; got 1"),
        ({"prompt": [1, 2]}, "prompt: expected a sentence, or one per image, got [1, 2]"),
        ({"labels": 1, "seed": -1}, "seed: expected a whole number from 0 to 4294967295, got -1"),
        ({"labels": 1, "truncation": 1.5}, "truncation: expected a number from 0 to 1, got 1.5"),
        ({"labels": 1, "num_inference_steps": 0}, "num_inference_steps: expected a whole number from 1 to 500, got 0"),
        ({"labels": 1, "guidance_scale": 99}, "guidance_scale: expected a number from 0 to 30, got 99"),
        ({"labels": 1, "negative_prompt": ["blue", "red"]}, "negative_prompt: expected one sentence for all images"),
        ({"prompt": 5}, "prompt: expected a sentence, or one per image, got 5"),
        ({"labels": 1, "batch_size": 0}, "batch_size: expected a whole number from 1 to 100000, got 0"),
    ],
)
def test_wrong_arguments_are_refused(plain, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        plain.generate(2, **options)


# -- loading


def test_a_folder_is_loaded_with_all_that_it_holds(saved):
    model = genhub.load(saved, dataset="cifar10")
    assert isinstance(model, GenHubStableDiffusion)
    assert model.pipeline.safety_checker is not None, "left as the repository ships it"
    assert (model.device.type, model.dtype) == ("cuda" if torch.cuda.is_available() else "cpu", torch.float32)
    assert model.class_names[6] == "frog"
    assert model.generate(1, labels="frog", seed=0, num_inference_steps=1).shape == (1, 3, 8, 8)
    assert model.to("cpu") is model


def test_loading_draws_no_bars_and_leaves_those_of_others_on(saved, capfd):
    GenHubStableDiffusion.from_pretrained(saved)
    assert capfd.readouterr().err == ""
    assert diffusers.utils.logging.is_progress_bar_enabled()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_can_be_chosen(saved, name):
    model = GenHubStableDiffusion.from_pretrained(saved, scheduler=name)
    assert type(model.pipeline.scheduler) is getattr(diffusers, SCHEDULERS[name])
    if name in ("dpm++", "lcm"):
        assert model.generate(1, prompt="a frog", seed=0, num_inference_steps=2).shape == (1, 3, 8, 8)


def test_presets_say_how_they_are_sampled(saved, monkeypatch):
    asked = []

    def find(given, variant, **options):
        asked.append((given, variant))
        return saved

    monkeypatch.setattr("genhub.stable_diffusion.find_pipeline", find)
    for name, preset in PRESETS.items():
        model = genhub.load(name)
        assert asked.pop() == (preset.repo_id, "fp16")
        assert (model.num_inference_steps, model.guidance_scale) == (preset.num_inference_steps, preset.guidance_scale)
        assert model.metadata["name"] == name


def test_half_precision_is_kept_where_it_is_asked_for(saved):
    assert GenHubStableDiffusion.from_pretrained(saved, dtype=torch.float16).dtype == torch.float16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "dpm"}, "scheduler: got 'dpm'; did you mean"),
        ({"dtype": "float16"}, "dtype: expected one of torch's such as torch.float16, got 'float16'"),
        ({"dtype": torch.int8}, "dtype: expected one of torch's such as torch.float16, got torch.int8"),
        ({"device": "gpu"}, "device: got 'gpu'; use one of torch's such as 'cpu' or 'cuda'"),
        ({"device": "cuda:0"}, "device: got 'cuda:0', which this machine lacks; use 'cpu'"),
        ({"dataset": "cifra10"}, "dataset: no prompts are known for 'cifra10'; did you mean 'cifar10'?"),
        ({"prompts": ["a", "b"]}, "prompts: expected a sentence for each class name, such as {'cat': 'a cat'}, got"),
    ],
)
def test_odd_options_are_refused_before_anything_is_fetched(options, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delattr("genhub.stable_diffusion.find_pipeline")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        GenHubStableDiffusion.from_pretrained("sd-turbo", **options)


def test_a_pipeline_without_classes_asks_for_words(saved):
    model = GenHubStableDiffusion(GenHubStableDiffusion.from_pretrained(saved).pipeline)
    with pytest.raises(ValueError, match="labels: this pipeline has no classes, got 3; give prompt, or load it with"):
        model.generate(1, labels=3)


def test_a_folder_that_is_no_pipeline(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    assert refused(tmp_path) == f"{tmp_path}: no model_index.json, so no pipeline of diffusers; found: notes.txt"
    assert "is a file; give the folder that holds model_index.json" in refused(tmp_path / "notes.txt")


def test_an_unknown_name_suggests_the_nearest():
    assert "did you mean 'sd-turbo'? allowed: stable-diffusion-1.5, sd-turbo, sdxl-turbo" in refused("sd-turb")


def test_missing_weights(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert refused(folder).endswith("the pipeline lacks the weights of unet; fetch or save it again")
    shutil.rmtree(folder / "tokenizer")
    assert "lacks the weights of tokenizer, unet" in refused(folder)


def test_pickled_weights_do_not_count(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert "lacks the weights of unet" in refused(folder)


def test_truncated_weights(folder):
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "vae/diffusion_pytorch_model.safetensors is truncated or damaged (" in refused(folder)


def test_weights_of_another_shape(folder):
    config = folder / "unet" / "config.json"
    config.write_text(config.read_text().replace('"sample_size": 4', '"sample_size": 4, "in_channels_": 1'))
    config.write_text(json.dumps(json.loads(config.read_text()) | {"block_out_channels": [4, 16]}))
    assert "the pipeline cannot be loaded: " in refused(folder)


def test_a_damaged_index(folder):
    (folder / "model_index.json").write_text("{")
    assert "model_index.json is no valid JSON" in refused(folder)


def test_pipelines_of_another_kind(folder):
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"]}')
    assert "is a FluxPipeline; only text-to-image pipelines with a U-Net and an autoencoder can be used" in refused(
        folder
    )


def test_a_model_of_our_own_refuses_a_pipeline(saved):
    with pytest.raises(LoadError, match=r"is a pipeline of diffusers; use genhub\.load"):
        GenHubModel.from_pretrained(saved)


# -- memory


def test_too_little_memory(saved, monkeypatch):
    monkeypatch.setattr(pipelines, "free_memory", lambda device: 1000)
    message = refused(saved)
    assert "of memory, 0.0 GiB are free; use a machine with more, or the bundled 'stable-diffusion-mini'" in message


def test_attention_is_sliced_where_memory_is_short(saved, monkeypatch):
    whole = sum(pipelines.part_sizes(saved, None, torch.float32, "x").values())
    monkeypatch.setattr(pipelines, "free_memory", lambda device: 1.5 * whole)
    sliced = GenHubStableDiffusion.from_pretrained(saved, device="cpu")
    kinds = {type(processor).__name__ for processor in sliced.pipeline.unet.attn_processors.values()}
    assert kinds == {"SlicedAttnProcessor"}


@pytest.mark.parametrize(
    ("device", "host", "free", "plan"),
    [
        ("cpu", 20, 20, "whole"),
        ("cpu", 6, 6, "sliced"),
        ("mps", 20, float("inf"), "whole"),
        ("cuda", 20, 16, "whole"),
        ("cuda", 20, 6, "sliced"),
        ("cuda", 20, 4, "offloaded"),
        ("cuda", 20, 2, "streamed"),
    ],
)
def test_where_a_pipeline_of_four_gib_goes(device, host, free, plan):
    sizes = {"unet": 2 * GIB, "text_encoder": 1 * GIB, "vae": 1 * GIB}
    assert plan_memory(sizes, host * GIB, free * GIB, device, "x") == plan


def test_copies_of_files_are_no_used_memory(tmp_path):
    assert pipelines.container_memory(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("max\n")
    assert pipelines.container_memory(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("16000\n")
    (tmp_path / "memory.current").write_text("15900\n")
    (tmp_path / "memory.stat").write_text("anon 3000\nactive_file 900\ninactive_file 12000\n")
    assert pipelines.container_memory(tmp_path) == 12100


def test_sizes_are_those_of_the_precision(saved):
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(saved)
    sizes = pipelines.part_sizes(saved, None, torch.float16, "x")
    counted = sum(2 * value.numel() for value in pipeline.unet.state_dict().values())
    assert sizes["unet"] == counted
    assert pipelines.free_memory(torch.device("cpu")) > 0


# -- offline


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HF_HUB_OFFLINE", True, "not in the local cache, and offline mode forbids the network; go online once"),
        ("ENDPOINT", "http://127.0.0.1:9", "and the Hub at 127.0.0.1 cannot be reached ("),
    ],
)
@pytest.mark.parametrize("given", ["nobody/never-cached", "sd-turbo"])
def test_without_a_network_one_clear_error(name, value, message, given, monkeypatch):
    monkeypatch.setattr(constants, name, value)
    assert message in refused(given)


def test_a_local_folder_never_asks_for_the_network(saved, monkeypatch):
    def unreachable(*arguments):
        raise AssertionError("asked for the network")

    monkeypatch.setattr(hub, "unreachable", unreachable)
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", unreachable)
    genhub.load(saved)


# -- what is bundled

MINI = hub.PRETRAINED / "stable-diffusion-mini"


def test_the_bundled_one_needs_nothing_of_ours(tmp_path):
    code = f"""
import sys
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_pretrained({str(MINI)!r})
pipeline.set_progress_bar_config(disable=True)
prompts = ["a photo of a frog", "a handwritten digit seven"]
images = pipeline(prompts, num_inference_steps=15, guidance_scale=2.0, output_type="np").images
assert images.shape == (2, 32, 32, 3), images.shape
frog, seven = images.std(axis=-1).mean(axis=(1, 2))
assert frog > 2 * seven, "a photo has colours, a digit has none"
assert not any(name.startswith("genhub") for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sum(path.stat().st_size for path in MINI.rglob("*")) < 12_000_000


def test_the_bundled_one_writes_the_digits_it_is_asked_for():
    model = genhub.load("stable-diffusion-mini")
    judge = genhub.load("classifier-mnist")
    labels = torch.arange(20) % 10
    digits = to_uint8(model.for_dataset("mnist").generate(20, labels=labels, seed=5, batch_size=20))
    assert (judge.predict(digits).argmax(dim=1) == labels).sum() >= 14
    assert model.generate(1, labels="frog", seed=3).shape == (1, 3, 32, 32)


@pytest.fixture
def bundled(saved, tmp_path, monkeypatch) -> Path:
    """A stand-in for the folder of bundled models."""
    folder = Path(shutil.copytree(saved, tmp_path / "pretrained" / "tiny-sd"))
    record = {
        "dataset": "cifar10+mnist",
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "metadata": {"name": "tiny-sd"},
    }
    (folder / "genhub.json").write_text(json.dumps(record))
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "pretrained")
    return folder


def test_a_bundled_pipeline_is_listed_under_each_of_its_datasets(bundled):
    (info,) = genhub.list_models(model_class="GenHubStableDiffusion")
    assert (info.name, info.image_shape, len(info.class_names)) == ("tiny-sd", (3, 8, 8), 20)
    assert info.datasets == ["cifar10", "mnist"]
    (digits,) = genhub.list_models(dataset="mnist")
    assert (digits.name, digits.dataset, digits.image_shape) == ("tiny-sd", "mnist", (1, 28, 28))
    assert digits.class_names == tuple(str(i) for i in range(10))
    assert digits.metrics_file == bundled / "metrics.json"
    (bundled / "metrics-mnist.json").write_text("{}")
    assert digits.metrics_file == bundled / "metrics-mnist.json"
    assert info.metrics_file == bundled / "metrics.json"
    assert genhub.list_models(dataset="digits") == []


def test_a_bundled_pipeline_is_loaded_as_it_is_meant_to_be_sampled(bundled):
    model = genhub.load("tiny-sd")
    assert (model.num_inference_steps, model.guidance_scale) == (2, 3.0)
    assert model.class_names == list(captions("cifar10+mnist"))
    seven = model.generate(1, labels="7", seed=0)
    assert close(model.for_dataset("mnist").generate(1, labels=7, seed=0), genhub.images.resized(seven, (1, 28, 28)))
