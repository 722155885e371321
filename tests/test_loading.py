"""Loading: every way in which it can fail is one clear error that says what to type instead."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import pytest
import tiny
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import genhub
from genhub import GenHubAE, GenHubCGAN, GenHubDiscriminator, GenHubGAN, GenHubModel, GenHubVAE, LoadError, hub
from genhub.data import DataError, load_images
from genhub.models import base


@pytest.fixture
def folder(tmp_path) -> Path:
    """A saved conditional GAN with its discriminator."""
    tiny.build("cgan").save_pretrained(tmp_path / "model")
    tiny.build("discriminator-conditional").save_pretrained(tmp_path / "model" / "discriminator")
    return tmp_path / "model"


def change_config(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))


def change_weights(folder: Path, change) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


def refused(folder, kind=GenHubCGAN, **options) -> str:
    """The message of the LoadError; one line that starts with what was given."""
    with pytest.raises(LoadError) as caught:
        kind.from_pretrained(folder, **options)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ")
    assert "\n" not in message
    return message


# -- the folder


@pytest.mark.parametrize(
    "given",
    [
        "./nothing/here",
        "/no/such/folder",
        "~/no-such-folder-at-all",
        "nothing",
        "a/b/c",
        "a b/c",
        "a--b/c",
        "a/b.git",
        "ä/b",
    ],
)
def test_a_folder_that_does_not_exist(given):
    assert "no bundled model, no folder and no Hub id 'user/name' by that name" in refused(given)


def test_a_folder_without_a_config_lists_what_is_there(tmp_path):
    assert refused(tmp_path).endswith("no config.json in the folder; found: nothing")
    (tmp_path / "notes.txt").write_text("x")
    assert refused(tmp_path).endswith("no config.json in the folder; found: notes.txt")


def test_a_file_instead_of_its_folder(folder):
    assert "is a file; give the folder that holds config.json and model.safetensors" in refused(
        folder / "model.safetensors"
    )


def test_a_subfolder_that_does_not_exist_lists_what_is_there(folder):
    message = refused(folder, GenHubDiscriminator, subfolder="critic")
    assert "has no folder 'critic'; found: README.md, config.json, discriminator, model.safetensors" in message


def test_the_discriminator_is_kept_below_its_generator(folder):
    critic = GenHubDiscriminator.from_pretrained(folder, subfolder="discriminator")
    images = torch.zeros(2, 3, 8, 8)
    expected = tiny.build("discriminator-conditional")
    with torch.no_grad():
        assert torch.allclose(
            critic(images, critic.condition(0, 2)), expected(images, expected.condition(0, 2)), atol=0.05
        )


def test_paths_are_strings_or_paths(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for given in (folder, str(folder), "model", "./model", f"{folder}/"):
        assert isinstance(genhub.load(given), GenHubCGAN)


@pytest.mark.parametrize("given", ["a" * 300, "~no-such-user-of-this-machine/model"])
def test_what_no_folder_can_be_called(given):
    with pytest.raises(LoadError, match="no path can be that"):
        genhub.load(given)
    with pytest.raises(DataError, match="no path can be that"):
        load_images(given)


# -- the config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "config.json is no valid JSON"),
        (b'{"class": "GenHubCGAN",', "config.json is no valid JSON"),
        (b"\xff\xfe", "config.json is no valid JSON"),
        (b'{"latent_dim": ' + b"9" * 5000 + b"}", "config.json is no valid JSON"),
        (b"[1, 2]", "config.json must hold an object, got list"),
        (b"[" * 100_000, "config.json is no valid JSON"),
        (b"{}", "config.json names the class None; allowed: GenHub"),
        (b'{"class": ["GenHubCGAN"]}', r"config.json names the class ['GenHubCGAN']; did you mean 'GenHubCGAN'?"),
        (b'{"class": "GenHubCGan"}', "config.json names the class 'GenHubCGan'; did you mean 'GenHubCGAN'?"),
        (b'{"class": "LatentModel"}', "config.json names the class 'LatentModel'; "),
        (b'{"class": "GenHubCGAN"}', "config.json does not describe a GenHubCGAN: "),
    ],
)
def test_a_broken_config(folder, content, message):
    (folder / "config.json").write_bytes(content)
    assert message in refused(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dims": 5}, "config.json has 'latent_dims'; did you mean 'latent_dim'?"),
        ({"stages": ...}, "does not describe a GenHubCGAN: "),
        ({"stages": None}, "does not describe a GenHubCGAN: stages: expected a list of at least one row, got None"),
        ({"stages": [{"op": "cnv"}]}, r"stages[0].op: got 'cnv'; did you mean 'conv'?"),
        ({"latent_dim": "5"}, "latent_dim: expected a whole number from 1 to"),
        ({"image_size": 16}, "stages: must end in tanh images of shape (3, 16, 16)"),
        ({"class_names": None}, "this row reads the label, but the model has no class_names"),
        ({"stages": [{"op": "dense", "width": 10**15}]}, "does not describe a GenHubCGAN: "),
        ({"metadata": 3}, "metadata in config.json must be an object, got 3"),
    ],
)
def test_a_config_that_describes_no_model(folder, changes, message):
    change_config(folder, **changes)
    assert message in refused(folder)


@pytest.mark.parametrize(
    "unet", [{"block_out_channels": []}, {"norm_num_groups": 0}, {"down_block_types": [3]}, {"attention_head_dim": 0}]
)
def test_a_config_that_describes_no_unet(unet, tmp_path):
    tiny.build("diffusion").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    change_config(tmp_path, unet=config["unet"] | unet)
    assert "does not describe a GenHubDiffusion: unet: " in refused(tmp_path, GenHubModel)


# -- the class


@pytest.mark.parametrize("kind", [GenHubGAN, GenHubVAE, GenHubAE])
def test_another_class_says_which_one_to_use(folder, kind):
    hint = f"GenHubCGAN.from_pretrained({str(folder)!r})"
    message = refused(folder, kind)
    assert f"holds a GenHubCGAN, not a {kind.__name__}; use {hint} or genhub.load({str(folder)!r})" in message
    assert isinstance(eval(hint), GenHubCGAN)


def test_the_discriminator_class_finds_the_way_to_its_folder(folder):
    hint = f'GenHubDiscriminator.from_pretrained({str(folder)!r}, subfolder="discriminator")'
    assert refused(folder, GenHubDiscriminator).endswith(f"use {hint}")
    assert isinstance(eval(hint), GenHubDiscriminator)


def test_the_hint_keeps_the_subfolder(folder):
    hint = f"GenHubDiscriminator.from_pretrained({str(folder)!r}, subfolder='discriminator')"
    assert f"use {hint} or " in refused(folder, GenHubCGAN, subfolder="discriminator")
    assert isinstance(eval(hint), GenHubDiscriminator)


def test_a_parent_class_does_not_load_its_children(tmp_path):
    tiny.build("vae-dense").save_pretrained(tmp_path)
    assert "holds a GenHubVAE, not a GenHubAE" in refused(tmp_path, GenHubAE)
    assert type(GenHubModel.from_pretrained(tmp_path)) is GenHubVAE


# -- the weights


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert "no model.safetensors in the folder; save the model with save_pretrained first" in refused(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.99])
def test_truncated_weights(folder, keep):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: keep if isinstance(keep, int) else int(len(content) * keep)])
    assert "model.safetensors is truncated or damaged" in refused(folder)


@pytest.mark.parametrize(
    "content", [b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", b"<html>", b"\0" * 64]
)
def test_weights_that_are_something_else(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors is truncated or damaged" in refused(folder)


WEIGHT = "stages.blocks.1.op.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop(WEIGHT), f"1 missing ({WEIGHT})"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 unexpected (extra)"),
        (lambda state: state.update({WEIGHT: torch.zeros(2, 3)}), f"1 of another shape ({WEIGHT} is (2, 3), expected"),
        (lambda state: state.clear() or state.update(a=torch.zeros(1)), "missing (stages.blocks."),
        (lambda state: state.update({f"module.{key}": state.pop(key) for key in list(state)}), "unexpected (module."),
    ],
)
def test_weights_of_another_network(folder, change, message):
    change_weights(folder, change)
    found = refused(folder)
    assert "the weights do not fit config.json: " in found
    assert message in found
    assert "use the config.json and model.safetensors of one save" in found
    assert len(found) < 600


def test_weights_beside_the_config_of_another_model(folder, tmp_path):
    tiny.build("gan").save_pretrained(tmp_path / "other")
    (folder / "config.json").write_bytes((tmp_path / "other" / "config.json").read_bytes())
    assert "of another shape" in refused(folder, GenHubGAN)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "sprung")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors", "config.json"])
def test_nothing_is_ever_unpickled(folder, tmp_path, name):
    sprung = tmp_path / "sprung"
    content = pickle.dumps(Trap(sprung))
    pickle.loads(content)
    assert sprung.is_file(), "the trap must work, or the test says nothing"
    sprung.unlink()
    if name in ("pytorch_model.bin", "model.pt"):
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    assert "model.safetensors" in refused(folder) or "config.json" in refused(folder)
    assert not sprung.exists()


@pytest.mark.parametrize("fails", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_the_model_before(folder, monkeypatch, fails):
    def save_file(state, path, **options):
        path.write_bytes(b"half of it")
        raise fails

    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    monkeypatch.setattr("genhub.models.base.save_file", save_file)
    with pytest.raises(type(fails)):
        tiny.build("cgan").save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    genhub.load(folder)


def test_rows_that_change_after_building_change_no_saved_model(tmp_path):
    rows = [{"op": "dense", "width": 4}, {"op": "reshape", "size": 2}, {"op": "conv", "width": 1, "act": "tanh"}]
    model = GenHubGAN(latent_dim=3, stages=rows, image_size=2, channels=1)
    rows[0]["act"] = "relu"
    model.save_pretrained(tmp_path)
    back = GenHubGAN.from_pretrained(tmp_path)
    assert (back.generate(4, seed=0) - model.generate(4, seed=0)).abs().max() < 0.01


def test_a_subclass_of_a_user_is_saved_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "CLASSES", dict(base.CLASSES))

    class Special(GenHubGAN):
        pass

    class Warmer(GenHubGAN):
        def __init__(self, *, warmth: float = 1.0, **arguments):
            super().__init__(**arguments)
            self.warmth = warmth

    class Settled(GenHubGAN):
        def __init__(self):
            super().__init__(**given)

    rows = [{"op": "dense", "width": 4}, {"op": "reshape", "size": 2}, {"op": "conv", "width": 1, "act": "tanh"}]
    given = {"latent_dim": 3, "stages": rows, "image_size": 2, "channels": 1}
    for i, model in enumerate((Special(**given), Warmer(warmth=2.0, **given), Settled())):
        model.save_pretrained(tmp_path / str(i))
        loaded = genhub.load(tmp_path / str(i))
        assert type(loaded) is type(model)
        assert getattr(loaded, "warmth", None) == getattr(model, "warmth", None)
        assert torch.allclose(loaded.generate(1, seed=0), model.generate(1, seed=0), atol=1e-2)


def test_small_weights_keep_their_digits(tmp_path):
    model = tiny.build("gan")
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1e-5)
    model.save_pretrained(tmp_path)
    for before, after in zip(model.parameters(), genhub.load(tmp_path).parameters(), strict=True):
        assert torch.allclose(before, after, rtol=1e-3, atol=0)


def test_loading_leaves_random_numbers_and_defaults_alone(folder):
    before = torch.get_rng_state()
    with torch.device("meta"):
        model = genhub.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.device.type == "cpu"
    torch.set_default_dtype(torch.float64)
    try:
        assert genhub.load(folder).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_card_in_a_strange_encoding_does_not_stop_a_model(folder):
    (folder / "README.md").write_bytes(b"caf\xe9")
    assert isinstance(genhub.load(folder), GenHubCGAN)


# -- names


@pytest.fixture
def bundled(tmp_path, monkeypatch) -> Path:
    """A stand-in for the folder of bundled models."""
    for name, dataset in (("cgan", "digits"), ("vae-dense", "digits"), ("ae-conv", "toys")):
        model = tiny.build(name)
        model.metadata = {"name": f"{name}-{dataset}", "dataset": dataset}
        model.save_pretrained(tmp_path / "pretrained" / f"{name}-{dataset}")
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_bundled_models_are_listed_and_filtered(bundled):
    assert [info.name for info in genhub.list_models()] == ["ae-conv-toys", "cgan-digits", "vae-dense-digits"]
    assert [info.name for info in genhub.list_models(dataset="digits")] == ["cgan-digits", "vae-dense-digits"]
    assert [info.name for info in genhub.list_models(model_class="GenHubAE")] == ["ae-conv-toys"]
    assert [info.name for info in genhub.list_models(model_class=genhub.GenHubAE)] == ["ae-conv-toys"]
    assert genhub.list_models(model_class=genhub.GenHubModel) == genhub.list_models()
    assert genhub.list_models(dataset="toys", model_class="GenHubCGAN") == []
    with pytest.raises(ValueError, match=r"^model_class: got 'GenHubCGANN'; did you mean 'GenHubCGAN'\? allowed: "):
        genhub.list_models(model_class="GenHubCGANN")
    info = genhub.list_models(model_class="GenHubCGAN")[0]
    assert info == genhub.ModelInfo(
        name="cgan-digits",
        model_class="GenHubCGAN",
        dataset="digits",
        class_names=("cat", "dog", "frog"),
        image_shape=(3, 8, 8),
        folder=bundled / "cgan-digits",
    )


def test_listing_reads_no_weights(bundled):
    for file in bundled.rglob("*.safetensors"):
        file.unlink()
    assert len(genhub.list_models()) == 3


def test_bundled_names_load(bundled):
    assert isinstance(genhub.load("cgan-digits"), GenHubCGAN)
    assert isinstance(GenHubVAE.from_pretrained("vae-dense-digits"), GenHubVAE)


def test_an_unknown_name_suggests_the_nearest(bundled):
    message = refused("cgan-digit")
    assert message.endswith("did you mean 'cgan-digits'? allowed: ae-conv-toys, cgan-digits, vae-dense-digits")


def test_a_bundled_name_wins_over_a_folder_of_that_name(bundled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cgan-digits").mkdir()
    assert isinstance(genhub.load("cgan-digits"), GenHubCGAN)
    assert "no config.json" in refused("./cgan-digits")


# -- offline


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("HF_HUB_OFFLINE", True, "not in the local cache, and offline mode forbids the network"),
        ("ENDPOINT", "http://127.0.0.1:9", "and the Hub at 127.0.0.1 cannot be reached ("),
    ],
)
def test_without_a_network_an_uncached_id_fails_at_once(name, value, message, monkeypatch):
    monkeypatch.setattr(constants, name, value)
    started = time.monotonic()
    assert message in refused("nobody/never-cached")
    assert time.monotonic() - started < 10


def test_a_local_folder_never_waits_for_a_network(folder, monkeypatch):
    def unreachable(*arguments):
        raise AssertionError("asked for the network")

    monkeypatch.setattr(hub, "unreachable", unreachable)
    monkeypatch.setattr(hub, "hf_hub_download", unreachable)
    genhub.load(folder)
