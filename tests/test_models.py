"""One contract for every model: the small ones of each kind, and every bundled one."""

from __future__ import annotations

import copy
import functools
import json
import math
import re

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch import nn

import genhub
from genhub import (
    GenHubAE,
    GenHubCGAN,
    GenHubClassifier,
    GenHubDiffusion,
    GenHubDiscriminator,
    GenHubGAN,
    GenHubModel,
    GenHubProjectedDiscriminator,
)
from genhub.hub import PIPELINE, PRETRAINED
from genhub.images import to_uint8
from genhub.layers import SelfAttention
from genhub.models.base import CLASSES
from genhub.models.latent import LatentModel, PriorModel

BUNDLED = {info.name: getattr(genhub, info.model_class) for info in genhub.list_models()}
BUNDLED = {name: kind for name, kind in BUNDLED.items() if issubclass(kind, GenHubModel)}
TINY = {name: type(make()) for name, make in tiny.MODELS.items()}


def names(*kinds, bundled=True):
    """Names of all models of these classes; a bundled one as pretrained/NAME."""
    found = [name for name, kind in TINY.items() if issubclass(kind, kinds)]
    return found + [f"pretrained/{name}" for name, kind in BUNDLED.items() if bundled and issubclass(kind, kinds)]


@functools.cache
def shared(name: str) -> GenHubModel:
    """A model that no test changes."""
    folder, _, bundled = name.partition("/")
    return genhub.load(bundled) if folder == "pretrained" else tiny.build(name)


@pytest.fixture
def model(request) -> GenHubModel:
    return shared(request.param)


def for_each(*kinds, bundled=True):
    return pytest.mark.parametrize("model", names(*kinds, bundled=bundled), indirect=True)


def labels_for(model: GenHubModel, n: int) -> list[int] | None:
    return [i % len(model.class_names) for i in range(n)] if model.class_names else None


def generate(model: PriorModel, n: int, **options) -> torch.Tensor:
    return model.generate(n, **{"labels": labels_for(model, n), "seed": 7, **options})


def pictures(model: GenHubModel, n: int, seed: int = 0) -> torch.Tensor:
    """Signed images of the model's shape."""
    return torch.rand(n, *model.image_shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def encode(model: GenHubAE, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.encode(images, labels_for(model, len(images)))


def rounding(model: GenHubModel) -> float:
    """How far float32 may lead apart.

    A sampler of many steps feeds its rounding back into the network; attention whose scores run to hundreds is the
    exponential of theirs.
    """
    if isinstance(model, GenHubDiffusion):
        return 1e-3
    return 1e-4 if any(isinstance(module, SelfAttention) for module in model.modules()) else 1e-5


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


# -- generate


@for_each(PriorModel)
def test_images_have_the_declared_shape_type_and_range(model):
    images = generate(model, 3)
    assert images.shape == (3, *model.image_shape)
    assert images.dtype == torch.float32
    assert -1 <= images.min() < images.max() <= 1
    assert not images.requires_grad
    assert to_uint8(images).dtype == torch.uint8


@for_each(PriorModel)
def test_one_image_is_the_default(model):
    assert torch.equal(model.generate(seed=7, labels=labels_for(model, 1)), generate(model, 1))


@for_each(PriorModel)
def test_the_first_images_do_not_depend_on_how_many_are_asked_for(model):
    n = 12 if isinstance(model, GenHubDiffusion) else 64  # many steps take their time
    few, many = generate(model, 4), generate(model, n)
    assert distance(few, many[:4]) < rounding(model)
    assert (to_uint8(few).int() - to_uint8(many[:4]).int()).abs().max() <= 1
    assert distance(generate(model, n, batch_size=5), many) < rounding(model)


@for_each(PriorModel)
def test_seeds_and_images_of_one_seed_differ(model):
    images, others = generate(model, 3), generate(model, 3, seed=8)
    assert torch.equal(images, generate(model, 3))
    assert distance(images, others) > 0.01
    options = {"labels": [0, 0]} if model.class_names else {}
    first, second = generate(model, 2, **options)
    assert distance(first, second) > 0.01


@for_each(PriorModel)
def test_without_a_seed_every_call_differs_and_the_global_generator_is_left_alone(model):
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    assert distance(generate(model, 1, seed=None), generate(model, 1, seed=None)) > 1e-3
    assert torch.equal(torch.rand(4), expected)


@for_each(PriorModel)
def test_truncation_scales_the_latents(model):
    assert distance(generate(model, 2, truncation=0.5), generate(model, 2)) > 1e-3
    zeros = torch.zeros(2, model.latent_dim)
    with torch.no_grad():
        centre = model.decode(zeros, labels_for(model, 2))
    assert distance(generate(model, 2, truncation=0), centre) < 1e-5


@for_each(PriorModel, bundled=False)
def test_generating_uses_evaluation_mode_and_changes_nothing(model):
    expected = generate(model, 3)
    training = copy.deepcopy(model).train()
    before = copy.deepcopy(training.state_dict())
    assert distance(generate(training, 3), expected) == 0
    assert all(module.training for module in training.modules())
    assert all(torch.equal(value, before[key]) for key, value in training.state_dict().items())


def test_frozen_layers_stay_frozen():
    """Who fine-tunes with frozen batch norms and looks at samples meanwhile must not wake them."""
    model = copy.deepcopy(shared("gan")).train()
    model.stages.blocks[0].eval()
    before = [module.training for module in model.modules()]
    model.generate(1, seed=0)
    assert [module.training for module in model.modules()] == before
    assert len(set(before)) == 2


def test_what_was_generated_can_be_changed_in_place_and_trained_on():
    images = generate(shared("gan"), 2).add_(1).div_(2)
    layer = nn.Conv2d(3, 1, 3)
    layer(images).sum().backward()
    assert layer.weight.grad is not None


def test_a_model_in_lower_precision_still_gives_float32():
    for name in ("cgan-norms", "vae-labelled"):
        model = copy.deepcopy(shared(name)).to(torch.bfloat16)
        images = generate(model, 2)
        assert images.dtype == torch.float32
        assert distance(images, generate(shared(name), 2)) < 0.3
        assert model.interpolate(1, 2, 3, labels=0).dtype == torch.float32


@for_each(PriorModel, bundled=False)
@pytest.mark.parametrize("n", [0, -1, 100_001, 10**30, True, False, 2.0, math.nan, "2", None, [2], torch.ones(2)])
def test_odd_counts_are_refused(model, n):
    with pytest.raises(ValueError, match=r"^n: expected a whole number from 1 to 100000, got "):
        model.generate(n, labels=0 if model.class_names else None)


@pytest.mark.parametrize("n", [np.int64(2), torch.tensor(2), np.uint8(2)])
def test_whole_numbers_of_other_libraries_are_counts(n):
    assert torch.equal(shared("gan").generate(n, seed=np.int64(7)), generate(shared("gan"), 2))


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30, True, 1.0, "1", [1], torch.tensor(True), np.True_, np.ones(2)])
def test_odd_seeds_are_refused(seed):
    with pytest.raises(ValueError, match=r"^seed: expected a whole number from 0 to 4294967295, got "):
        shared("gan").generate(1, seed=seed)


def test_the_largest_seed_works():
    assert distance(generate(shared("gan"), 1, seed=2**32 - 1), generate(shared("gan"), 1, seed=0)) > 0.01


@pytest.mark.parametrize("truncation", [-0.1, 1.01, math.nan, math.inf, "1", None, True])
def test_odd_truncations_are_refused(truncation):
    with pytest.raises(ValueError, match=r"^truncation: expected a number from 0 to 1, got "):
        shared("gan").generate(1, truncation=truncation)


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", True])
def test_odd_batch_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"^batch_size: expected a whole number"):
        shared("gan").generate(1, batch_size=size)
    with pytest.raises(ValueError, match=r"^batch_size: expected a whole number"):
        shared("ae-conv").reconstruct(pictures(shared("ae-conv"), 1), batch_size=size)


# -- labels


def conditional(bundled=True):
    return [name for name in names(PriorModel, bundled=bundled) if shared(name).class_names]


@pytest.mark.parametrize("name", conditional(bundled=False))
def test_labels_are_indices_names_or_tensors_for_all_or_for_each(name):
    model = shared(name)
    second = model.class_names[1]
    expected = generate(model, 3, labels=[1, 1, 1])
    for labels in (1, second, np.int64(1), torch.tensor(1), [second, 1, second], (1, 1, 1), torch.ones(3).long()):
        assert torch.equal(generate(model, 3, labels=labels), expected), labels
    assert torch.equal(generate(model, 3, labels=np.array([1, 1, 1])), expected)
    assert torch.equal(generate(model, 3, labels=range(3))[1], generate(model, 3, labels=[0, 1, 0])[1])
    weights = nn.functional.one_hot(torch.ones(3).long(), len(model.class_names)).double()
    assert torch.equal(generate(model, 3, labels=weights), expected)


@pytest.mark.parametrize("name", conditional())
def test_each_image_shows_its_own_label(name):
    model = shared(name)
    zeros, ones, mixed = (generate(model, 2, labels=labels) for labels in (0, 1, [0, 1]))
    assert distance(zeros, ones) > 0.01
    assert distance(mixed[0], zeros[0]) < 1e-5
    assert distance(mixed[1], ones[1]) < 1e-5
    one_by_one = generate(model, 2, labels=[0, 1], batch_size=1)
    assert distance(mixed, one_by_one) < 1e-5


@pytest.mark.parametrize("name", conditional())
def test_conditional_models_need_labels(name):
    with pytest.raises(ValueError, match=r"labels: this GenHub\w+ is conditional and needs them, got None"):
        shared(name).generate(2)


@pytest.mark.parametrize("name", [name for name in names(PriorModel) if name not in conditional()])
def test_unconditional_models_refuse_labels(name):
    with pytest.raises(ValueError, match="is unconditional and takes none"):
        shared(name).generate(1, labels=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (3, r"3 is out of range; allowed: 0…2"),
        (-1, r"-1 is out of range; allowed: 0…2"),
        ("frogg", r"unknown class 'frogg'; did you mean 'frog'\? allowed: cat, dog, frog"),
        (["cat", "dgo"], "did you mean 'dog'"),
        ([0, 1, 2], "expected one for all or 2, one per image; got 3"),
        ([], "expected one for all or 2, one per image; got 0"),
        (1.0, "expected an int or a class name, got 1.0"),
        (True, "expected an int or a class name, got True"),
        ([0, None], "expected an int or a class name, got None"),
        (torch.tensor([True, False]), "expected an int or a class name, got True"),
        (np.array([0.0, 1.0]), r"class weights must have shape \(2, 3\), got \(2,\)"),
        (torch.tensor([[0], [1]]), r"expected an int or a class name, got \[0\]"),
        (torch.tensor([0.0, 1.0]), r"class weights must have shape \(2, 3\), got \(2,\)"),
        (torch.full((2, 3), torch.nan), "class weights must be finite"),
        ({"cat": 1}, "expected an int or a class name"),
    ],
)
def test_odd_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=f"^labels: .*{message}"):
        shared("cgan").generate(2, labels=labels)


# -- autoencoders


def test_an_autoencoder_has_no_prior():
    assert not hasattr(shared("ae-dense"), "generate")


@for_each(GenHubAE)
def test_reconstruct_is_decode_of_encode(model):
    images = pictures(model, 5)
    latents = encode(model, images)
    assert latents.shape == (5, model.latent_dim)
    with torch.no_grad():
        expected = model.decode(latents, labels_for(model, 5))
    rebuilt = model.reconstruct(images, labels=labels_for(model, 5), batch_size=2)
    assert rebuilt.shape == images.shape
    assert rebuilt.dtype == torch.float32
    assert -1 <= rebuilt.min() < rebuilt.max() <= 1
    assert not rebuilt.requires_grad
    assert distance(rebuilt, expected) < 1e-5
    assert distance(rebuilt[:1], rebuilt[1:2]) > 1e-4


@for_each(GenHubAE, bundled=False)
def test_reconstructing_uses_evaluation_mode_and_changes_nothing(model):
    images, labels = pictures(model, 4), labels_for(model, 4)
    training = copy.deepcopy(model).train()
    assert distance(training.reconstruct(images, labels=labels), model.reconstruct(images, labels=labels)) == 0
    assert all(module.training for module in training.modules())


@for_each(GenHubAE, bundled=False)
def test_encode_and_decode_carry_gradients(model):
    images = pictures(model, 2).requires_grad_(True)
    model.decode(model.encode(images, labels_for(model, 2)), labels_for(model, 2)).sum().backward()
    assert images.grad.abs().sum() > 0


def test_a_variational_autoencoder_encodes_to_the_mean():
    model = shared("vae-labelled")
    mean, log_variance = model.posterior(pictures(model, 3), 1)
    assert torch.equal(model.encode(pictures(model, 3), 1), mean)
    assert mean.shape == log_variance.shape == (3, 4)
    assert distance(mean, log_variance) > 0.01


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "expected floats in .-1, 1., got torch.uint8"),
        (torch.full((2, 3, 8, 8), 200.0), r"expected floats in .-1, 1., got values from 200 to 200"),
        (torch.full((2, 3, 8, 8), math.nan), "expected floats .* got values from nan"),
        (torch.zeros(3, 8, 8), r"expected shape \(n, 3, 8, 8\) with n of at least 1, got \(3, 8, 8\)"),
        (torch.zeros(2, 1, 8, 8), r"expected shape \(n, 3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), r"expected shape .* with n of at least 1, got \(0, 3, 8, 8\)"),
        (np.zeros((2, 3, 8, 8)), "expected a tensor of floats in .-1, 1., got ndarray"),
        (None, "expected a tensor of floats .* got NoneType"),
    ],
)
def test_odd_images_are_refused(images, message):
    with pytest.raises(ValueError, match=f"^images: {message}"):
        shared("ae-conv").reconstruct(images)


def test_labels_of_autoencoders_are_checked():
    model = shared("ae-labelled")
    images = pictures(model, 2)
    assert distance(model.reconstruct(images, labels=0), model.reconstruct(images, labels=1)) > 1e-3
    with pytest.raises(ValueError, match="conditional and needs them"):
        model.reconstruct(images)
    with pytest.raises(ValueError, match="expected one for all or 2"):
        model.reconstruct(images, labels=[0])
    with pytest.raises(ValueError, match="unconditional and takes none"):
        shared("ae-conv").reconstruct(images, labels=0)


# -- interpolate


@for_each(LatentModel)
@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_a_path_starts_and_ends_at_its_ends(model, method):
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, model.latent_dim, generator=generator)
    labels = 0 if model.class_names else None
    images = model.interpolate(start, end, 5, labels=labels, method=method)
    with torch.no_grad():
        first, last = model.decode(torch.stack([start, end]), labels)
    assert images.shape == (5, *model.image_shape)
    assert not images.requires_grad
    assert distance(images[0], first) < 1e-4
    assert distance(images[-1], last) < 1e-4
    assert all(distance(images[i], images[i + 1]) > 1e-4 for i in range(4))


@for_each(LatentModel, bundled=False)
def test_the_two_methods_take_different_paths(model):
    labels = 0 if model.class_names else None
    ends = torch.randn(2, model.latent_dim, generator=torch.Generator().manual_seed(0))
    straight, round_ = (model.interpolate(*ends, 3, labels=labels, method=m) for m in ("linear", "spherical"))
    assert distance(straight[1], round_[1]) > 1e-3
    assert torch.equal(model.interpolate(*ends, 3, labels=labels), round_)
    assert model.interpolate(*ends, labels=labels).shape[0] == 8


@for_each(PriorModel)
def test_seeds_as_ends_are_the_first_images_of_generate(model):
    labels = 0 if model.class_names else None
    images = model.interpolate(7, np.int64(8), 4, labels=labels)
    assert distance(images[0], model.generate(1, seed=7, labels=labels)[0]) < 1e-4
    assert distance(images[-1], model.generate(1, seed=8, labels=labels)[0]) < 1e-4


@for_each(GenHubAE)
def test_images_as_ends_are_their_reconstructions(model):
    ends = pictures(model, 2)
    labels = [0, 0, 1, 1] if model.class_names else None
    images = model.interpolate(ends[0], ends[1], 4, labels=labels)
    rebuilt = model.reconstruct(ends, labels=[0, 1] if model.class_names else None)
    assert distance(images[0], rebuilt[0]) < 1e-4
    assert distance(images[-1], rebuilt[1]) < 1e-4


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "gan",
            (0, torch.zeros(4), 3),
            r"end: expected a seed, or a latent of shape \(5,\), got a tensor of shape \(4,\)",
        ),
        ("gan", (-1, 0, 3), "start: expected a whole number from 0 to"),
        ("gan", (1.5, 0, 3), "start: expected a seed, or a latent"),
        ("gan", (True, 0, 3), "start: expected a seed, or a latent"),
        ("gan", (0, None, 3), "end: expected a seed, or a latent"),
        ("gan", (0, torch.zeros(3, 8, 8), 3), "end: expected a seed, or a latent"),
        ("gan", (0, 1, 1), "steps: expected a whole number from 2 to 1024, got 1"),
        ("gan", (0, 1, 2000), "steps: expected a whole number from 2 to 1024, got 2000"),
        ("gan", (0, 1, 3.0), "steps: expected a whole number"),
        ("ae-conv", (0, torch.zeros(4), 3), r"start: expected a latent of shape \(4,\), or an image of shape"),
        ("ae-conv", (torch.zeros(4), torch.zeros(3, 9, 9), 3), r"end: expected .*, got a tensor of shape \(3, 9, 9\)"),
        ("ae-conv", (torch.zeros(3, 8, 8).byte(), torch.zeros(4), 3), "start: expected floats in"),
        (
            "ae-conv",
            (torch.zeros(4), torch.full((3, 8, 8), 9.0), 3),
            "end: expected floats in .-1, 1., got values from 9",
        ),
        ("vae-conv", (0, torch.zeros(5), 3), "end: expected a seed, or a latent .* or an image"),
    ],
)
def test_odd_ends_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        shared(name).interpolate(*arguments)


def test_odd_methods_and_labels_of_a_path_are_refused():
    with pytest.raises(ValueError, match=r"^method: expected 'linear' or 'spherical', got 'cubic'"):
        shared("gan").interpolate(0, 1, method="cubic")
    with pytest.raises(ValueError, match=r"^labels: .* conditional and needs them"):
        shared("cgan").interpolate(0, 1)


# -- saving and loading


def kinds_of_json(value):
    if isinstance(value, dict):
        return all(isinstance(key, str) and kinds_of_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(kinds_of_json, value))
    return value is None or isinstance(value, (str, int, float, bool))


@for_each(GenHubModel, bundled=False)
def test_a_saved_model_comes_back(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"README.md", "config.json", "model.safetensors"}
    loaded = type(model).from_pretrained(tmp_path)
    assert type(loaded) is type(model)
    assert type(genhub.load(tmp_path)) is type(model)
    assert not any(module.training for module in loaded.modules())
    assert loaded.class_names == model.class_names
    assert loaded.image_shape == model.image_shape
    assert loaded.metadata == model.metadata
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value.half().float() if value.is_floating_point() else value), key
    if isinstance(model, PriorModel):
        assert distance(generate(loaded, 3), generate(model, 3)) < 0.02


@for_each(GenHubModel, bundled=False)
def test_the_config_holds_the_class_and_its_arguments_as_json(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert kinds_of_json(config)
    assert config.pop("class") == type(model).__name__
    assert config.pop("metadata") == model.metadata
    rebuilt = type(model)(**config)
    assert {key: value.shape for key, value in rebuilt.state_dict().items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }


def test_weights_are_stored_in_half_precision_and_saving_again_changes_nothing(tmp_path):
    shared("cgan-norms").save_pretrained(tmp_path / "once")
    genhub.load(tmp_path / "once").save_pretrained(tmp_path / "twice")
    state = load_file(tmp_path / "once" / "model.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_values_that_half_precision_cannot_hold_survive(tmp_path):
    model = copy.deepcopy(shared("gan"))
    key = next(key for key in model.state_dict() if key.endswith("running_var"))
    model.state_dict()[key].fill_(1e6)
    model.save_pretrained(tmp_path)
    assert torch.equal(genhub.load(tmp_path).state_dict()[key], model.state_dict()[key])


def test_a_save_that_fails_leaves_the_one_before(tmp_path):
    model = copy.deepcopy(shared("gan"))
    model.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model.metadata["trained in"] = tmp_path
    with pytest.raises(TypeError, match="not JSON serializable"):
        model.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_model_is_saved_where_it_was_loaded(tmp_path):
    shared("gan").save_pretrained(tmp_path)
    (tmp_path / "samples.png").write_bytes(b"picture")
    model = genhub.load(tmp_path)
    (tmp_path / "README.md").unlink()
    model.save_pretrained(tmp_path)
    assert (tmp_path / "samples.png").read_bytes() == b"picture"
    assert genhub.load(tmp_path)._card == model._card


def test_a_model_that_has_learned_more_leaves_its_card_behind(tmp_path):
    (tmp_path / "README.md").write_text("# Figures of what it was\n")
    shared("gan").save_pretrained(tmp_path)
    model = genhub.load(tmp_path)
    model.half().save_pretrained(tmp_path / "same")
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    model.save_pretrained(tmp_path / "other")
    cards = [(tmp_path / name / "README.md").read_text() for name in ("same", "other")]
    assert ["Figures" in card for card in cards] == [True, False]


@pytest.mark.parametrize(
    "changed", [{"class_names": ["x", "y", "z"]}, {"num_inference_steps": 2}, {"guidance_scale": 4.5}]
)
def test_settings_are_kept_as_they_are_when_saved(tmp_path, changed):
    model = tiny.build("diffusion-labelled")
    for name, value in changed.items():
        setattr(model, name, value)
    model.save_pretrained(tmp_path)
    loaded = genhub.load(tmp_path)
    assert {name: getattr(loaded, name) for name in changed} == changed


def test_a_card_that_is_there_stays(tmp_path):
    (tmp_path / "README.md").write_text("# Mine\n")
    shared("gan").save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
    genhub.load(tmp_path).save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text() == "# Mine\n"


GAN = {"latent_dim": 5, "stages": tiny.CONV_DECODER, **tiny.COLOUR}


@pytest.mark.parametrize("value", [torch.tensor(5), np.int64(5), {5}, object()])
def test_arguments_that_json_cannot_hold_are_refused(value):
    with pytest.raises(TypeError, match="GenHubGAN: arguments must be JSON values"):
        GenHubGAN(**{**GAN, "latent_dim": value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_dim": 0}, "^latent_dim: expected a whole number from 1 to"),
        ({"latent_dim": -3}, "^latent_dim: expected a whole number from 1 to"),
        ({"latent_dim": "5"}, "^latent_dim: expected a whole number from 1 to"),
        ({"latent_dim": True}, "^latent_dim: expected a whole number from 1 to"),
        ({"image_size": 0}, "^image_size: expected a whole number of at least 1, got 0"),
        ({"channels": 3.0}, "^channels: expected a whole number of at least 1, got 3.0"),
        ({"image_size": 16}, r"^stages: must end in tanh images of shape \(3, 16, 16\), end in \(3, 8, 8\)"),
        ({"stages": tiny.UP}, "^stages: must end in tanh images"),
        (
            {"stages": tiny.LABELLED_DECODER},
            r"^stages\[0\]: this row reads the label, but the model has no class_names",
        ),
        ({"stages": []}, "^stages: expected a list of at least one row"),
    ],
)
def test_generators_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GenHubGAN(**{**GAN, **change})


@pytest.mark.parametrize(
    ("class_names", "message"),
    [
        ("cat", "class_names: expected a list of strings, got 'cat'"),
        ([0, 1], "class_names: expected a list of strings"),
        (["cat", "cat"], "class_names: each name must be there once"),
        ([], "this row reads the label, but the model has no class_names"),
    ],
)
def test_class_names_are_checked(class_names, message):
    with pytest.raises(ValueError, match=message):
        GenHubCGAN(**{**GAN, "stages": tiny.LABELLED_DECODER}, class_names=class_names)


def test_networks_that_do_not_fit_their_class_are_refused():
    with pytest.raises(ValueError, match="no row reads the label"):
        GenHubCGAN(**GAN, class_names=tiny.CLASSES)
    with pytest.raises(ValueError, match="class_names: no row of encoder or decoder reads the label"):
        GenHubAE(
            latent_dim=5, encoder=tiny.CONV_ENCODER, decoder=tiny.CONV_DECODER, class_names=tiny.CLASSES, **tiny.COLOUR
        )
    with pytest.raises(ValueError, match="class_names: no row of stages reads the label"):
        GenHubDiscriminator(stages=HEAD, class_names=tiny.CLASSES, **tiny.COLOUR)
    parts = {"stages": HEAD, "guide": tiny.CONV_ENCODER, "heads": [{"after": 1, "stages": HEAD}]}
    with pytest.raises(ValueError, match="class_names: no row of stages or heads reads the label"):
        GenHubProjectedDiscriminator(**parts, class_names=tiny.CLASSES, **tiny.COLOUR)
    with pytest.raises(ValueError, match=r"stages: must end in 3 logits, one per class; end in \(2,\)"):
        GenHubClassifier(stages=[{"op": "flatten"}, {"op": "dense", "width": 2}], class_names=tiny.CLASSES, **tiny.GREY)
    with pytest.raises(ValueError, match=r"stages: must end in one logit, shape \(1,\); end in \(192,\)"):
        GenHubDiscriminator(stages=[{"op": "flatten"}], **tiny.COLOUR)
    with pytest.raises(ValueError, match="encoder: must end in features"):
        GenHubAE(latent_dim=4, encoder=tiny.CONV_ENCODER[:1], decoder=tiny.CONV_DECODER, **tiny.COLOUR)
    with pytest.raises(ValueError, match="decoder: must end in sigmoid or tanh images"):
        GenHubAE(latent_dim=4, encoder=tiny.CONV_ENCODER, decoder=tiny.CONV_DECODER[:-1], **tiny.COLOUR)


# -- initialisation


def weights_of(model):
    """Weights and biases of linear maps and convolutions, apart from layers that set their own."""
    own = [m for m in model.modules() if type(m).__module__ == "genhub.layers" and hasattr(m, "reset_parameters")]
    special = {id(child) for parent in own for child in (getattr(parent, "scale", 0), getattr(parent, "shift", 0))}
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)) and id(module) not in special:
            parametrized = hasattr(module, "parametrizations")
            yield module.parametrizations.weight.original if parametrized else module.weight, module.bias


@for_each(GenHubModel, bundled=False)
@pytest.mark.parametrize("scheme", ["default", "normal", "xavier", "orthogonal"])
def test_initialize_draws_every_weight_anew(model, scheme):
    model, again = copy.deepcopy(model), copy.deepcopy(model)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    torch.manual_seed(0)
    model.initialize(scheme)
    torch.manual_seed(0)
    again.initialize(scheme)
    for key, value in model.named_parameters():
        assert not torch.equal(value, before[key]), key
        assert torch.equal(value, dict(again.named_parameters())[key]), key
    for weight, bias in weights_of(model):
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
        if scheme == "orthogonal":
            rows = weight.detach().flatten(1)
            rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
            assert distance(rows @ rows.T, torch.eye(len(rows))) < 1e-5
        else:
            bound = {"default": fan_in**-0.5, "xavier": (6 / (fan_in + fan_out)) ** 0.5, "normal": 0.02 * 5}[scheme]
            assert bound / 20 < weight.abs().max() <= bound
        if bias is not None:
            assert (bias.abs().max() > 0) == (scheme == "default")
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine:
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert module.bias.abs().max() == 0
            assert torch.equal(module.running_var, torch.ones_like(module.running_var))


def test_initialize_normal_has_the_given_spread_and_odd_schemes_are_refused():
    model = GenHubGAN(latent_dim=64, stages=[{"op": "dense", "width": 64}, *tiny.DENSE_GENERATOR], **tiny.GREY)
    model.initialize("normal", std=0.5)
    assert model.stages.blocks[0].op.weight.std().item() == pytest.approx(0.5, rel=0.1)
    with pytest.raises(ValueError, match="scheme: got 'xaver'; did you mean 'xavier'"):
        model.initialize("xaver")


# -- the rest


def test_parameters_are_counted_without_buffers():
    # 5·32 latents to features; batch norm 2·8; 8·6·4² + 6 up; batch norm 2·6; 6·3·4² + 3 up.
    assert shared("gan").num_parameters() == 160 + 16 + 774 + 12 + 291
    assert sum(value.numel() for value in shared("gan").state_dict().values()) > 1253


@for_each(GenHubClassifier)
def test_a_classifier_reads_bytes_and_refuses_everything_else(model):
    images = to_uint8(pictures(model, 5))
    odds = model.predict(images, batch_size=2)
    assert odds.shape == (5, len(model.class_names))
    assert distance(odds.sum(dim=1), torch.ones(5)) < 1e-5
    assert distance(odds, model.predict(images)) < 1e-5
    assert model.features(pictures(model, 2)).shape[0] == 2
    for odd in (pictures(model, 2), images.int(), images.float() / 255, None):
        with pytest.raises(ValueError, match=r"images: expected .*uint8"):
            model.predict(odd)
    for odd in (images[0], images[:0], images[:, :, :4]):
        with pytest.raises(ValueError, match="images: expected shape"):
            model.predict(odd)


def test_predicting_uses_evaluation_mode():
    model = copy.deepcopy(shared("classifier")).train()
    images = to_uint8(pictures(model, 5))
    assert torch.equal(model.predict(images), shared("classifier").predict(images))
    assert model.training


@for_each(GenHubDiscriminator)
def test_a_discriminator_gives_one_logit_per_image(model):
    images, condition = pictures(model, 3), model.condition(1 if model.class_names else None, 3)
    logits = model(images, condition)
    assert logits.shape == (3,)
    assert logits.std() > 0
    assert model.features(images, condition).dim() == 2


def test_a_projected_discriminator_gives_one_logit_per_critic():
    model = shared("discriminator-projected")
    images, condition = pictures(model, 3), model.condition(1, 3)
    logits = model(images, condition)
    assert logits.shape == (3, 3)
    seen = model.guide.blocks[0](images, None)
    expected = [model.stages(images, condition), model.heads[0](seen)]
    expected.append(model.heads[1](model.guide.blocks[1](seen, None), condition))
    assert torch.equal(logits, torch.cat(expected, dim=1))
    assert torch.equal(model.features(images), torch.cat([part.flatten(1) for part in model.look(images)[1:]], dim=1))


def test_the_guide_is_frozen_and_no_deeper_than_its_heads():
    model = copy.deepcopy(shared("discriminator-projected")).train()
    assert len(model.guide.blocks) == 2, "the row after the deepest head does nothing"
    assert not any(parameter.requires_grad for parameter in model.guide.parameters())
    before = {key: value.clone() for key, value in model.guide.state_dict().items()}
    model(pictures(model, 3), model.condition(1, 3)).sum().backward()
    assert all(torch.equal(value, before[key]) for key, value in model.guide.state_dict().items()), "statistics moved"


HEAD = [{"op": "flatten"}, {"op": "dense", "width": 1}]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([], "heads: expected a list of at least one head, got []"),
        ([{"after": 1}], "heads[0]: expected a mapping of 'after' and 'stages'"),
        ([{"after": 0, "stages": HEAD}], "heads[0].after: expected a whole number from 1 to 3, got 0"),
        ([{"after": 4, "stages": HEAD}], "heads[0].after: expected a whole number from 1 to 3, got 4"),
        ([{"after": 1, "stages": HEAD}, {"after": 1, "stages": HEAD[:1]}], "heads[1].stages: must end in one logit"),
        ([{"after": 1, "stages": [{"op": "dens"}]}], "heads[0].stages[0].op: got 'dens'"),
    ],
)
def test_odd_heads_are_refused(heads, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GenHubProjectedDiscriminator(stages=HEAD, guide=tiny.CONV_ENCODER, heads=heads, **tiny.COLOUR)


def test_every_class_is_covered():
    assert {kind.__name__ for kind in TINY.values()} == set(CLASSES)


# -- what is bundled


def test_bundled_folders_are_complete_repositories():
    for folder in sorted(path for path in PRETRAINED.glob("*") if not (path / PIPELINE).is_file()):
        assert folder.name in BUNDLED
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert files >= {"README.md", "config.json", "model.safetensors"}, folder
        assert {path.rpartition(".")[2] for path in files} <= {"md", "json", "safetensors", "png", "jsonl", "yaml"}
        model = shared(f"pretrained/{folder.name}")
        assert model.metadata["name"] == folder.name
        assert all(torch.isfinite(value).all() for value in model.state_dict().values()), folder
        if (folder / "discriminator").is_dir():
            critic = GenHubModel.from_pretrained(folder.name, subfolder="discriminator")
            assert critic.image_shape == model.image_shape


def test_drawing_weights_leaves_the_mode_as_it_was():
    rows = [{"op": "flatten"}, {"op": "dense", "width": 8, "spectral": True}, {"op": "dense", "width": 1}]
    model = GenHubDiscriminator(stages=rows, **tiny.COLOUR).eval()
    model.initialize("normal")
    assert not any(module.training for module in model.modules())


def test_spectral_norm_fits_freshly_drawn_weights():
    rows = [{"op": "dense", "width": 8, "spectral": True}, {"op": "dense", "width": 1}]
    critic = GenHubDiscriminator(image_size=2, channels=1, stages=[{"op": "flatten"}, *rows])
    critic.initialize("normal", std=5.0)
    largest = torch.linalg.matrix_norm(critic.eval().stages.blocks[1].op.weight, ord=2)
    assert 0.9 < largest.item() < 1.1
