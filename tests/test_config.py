"""Recipes and overrides: what is read, and what is said about what is wrong."""

import dataclasses
from pathlib import Path

import pytest
from tiny_runs import run, tiny_recipe, write_recipe

from genhub.data import load_images
from training.config import parse_config, read_recipe, recipe_names
from training.networks import build_networks
from training.settings import ConfigError, TrainConfig, to_yaml


def with_key(path: str, value: object) -> dict:
    """The tiny recipe with one key set, however deep."""
    recipe = tiny_recipe()
    inner = recipe
    *parents, key = path.split(".")
    for parent in parents:
        inner[parent] = dict(inner.get(parent, {}))
        inner = inner[parent]
    inner[key] = value
    return recipe


# -- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_recipe(name):
    config = parse_config(read_recipe(name))
    assert config.description, "the card needs it"
    assert config.name == f"{Path(name).name}-{Path(name).parent}", "names of runs say recipe and dataset"


def test_recipes_are_found_by_name():
    assert len(recipe_names()) >= 25
    assert {"digits/cgan", "mnist/vae", "cifar10/cgan-1"} <= set(recipe_names())


def test_path_of_a_recipe(tmp_path):
    path = write_recipe(tmp_path, tiny_recipe(name="mine"))
    assert parse_config(read_recipe(path)).name == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar10/cgan1", "recipe: no recipe and no YAML file 'cifar10/cgan1'; did you mean 'cifar10/cgan-1'? allowed"),
        ("digits", "recipe: no recipe and no YAML file 'digits'; "),
        ("nowhere/mine.yaml", "recipe: no recipe and no YAML file 'nowhere/mine.yaml'; "),
    ],
)
def test_unknown_recipe(name, message):
    with pytest.raises(ConfigError) as caught:
        read_recipe(name)
    assert str(caught.value).startswith(message)
    assert "digits/cgan" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"name: [unclosed\nmodel: 3", "is not valid YAML: while parsing a flow sequence"),
        (b"\xff\xfe\x00", "is not valid YAML: "),
        (b"- a\n- b\n", "must hold a mapping, got list"),
        (b"", "must hold a mapping, got NoneType"),
        (b"name: !!python/object/apply:os.getcwd []", "is not valid YAML: could not determine a constructor"),
    ],
)
def test_broken_recipe(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(str(path))
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_resolved_config_reads_back_equal(tmp_path):
    for name in ("digits/cgan", "cifar10/classifier", "mnist/vae"):
        config = parse_config(read_recipe(name), ["--optimizer.lr", "1e-5", "--trackers", "[tensorboard]"])
        path = tmp_path / "config.yaml"
        path.write_text(to_yaml(config), encoding="utf-8")
        assert parse_config(read_recipe(str(path))) == config


# -- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        ("--max-steps 20", "max_steps", 20),
        ("--max_steps=20", "max_steps", 20),
        ("--max-steps=20", "max_steps", 20),
        ("--max-minutes 0.5", "max_minutes", 0.5),
        ("--optimizer.lr 1e-3", "optimizer.lr", 0.001),
        ("--discriminator-optimizer.lr 1e-3", "discriminator_optimizer.lr", 0.001),
        ("--optimizer.betas [0.1,0.2]", "optimizer.betas", [0.1, 0.2]),
        ("--data.flip true", "data.flip", True),
        ("--data.channels 3", "data.channels", 3),
        ("--data.limit null", "data.limit", None),
        ("--objective.loss wasserstein", "objective.loss", "wasserstein"),
        ("--objective.diffaugment [color,cutout]", "objective.diffaugment", ["color", "cutout"]),
        ("--trackers [tensorboard,trackio]", "trackers", ["tensorboard", "trackio"]),
        ("--compile true", "compile", True),
        ("--dataset some/where-else", "dataset", "some/where-else"),
        ("--description a=b", "description", "a=b"),
    ],
)
def test_override(arguments, key, value):
    before = dataclasses.asdict(parse_config(tiny_recipe()))
    after = dataclasses.asdict(parse_config(tiny_recipe(), arguments.split()))
    parent, last = (after, key) if "." not in key else (after[key.split(".")[0]], key.split(".")[1])
    assert parent[last] == value
    assert type(parent[last]) is type(value)
    other = before if "." not in key else before[key.split(".")[0]]
    assert other[last] != value, "a test of nothing"
    parent[last] = other[last]
    assert after == before, "an override changes one key and leaves the recipe's others"


def test_override_inside_the_model():
    config = parse_config(tiny_recipe(), ["--model.latent_dim", "16"])
    assert config.model == {**tiny_recipe()["model"], "latent_dim": 16}


def test_later_override_wins():
    assert parse_config(tiny_recipe(), ["--max-steps", "3", "--max-steps=4"]).max_steps == 4


# -- unknown keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("max_stpes", "max_stpes: no such key; did you mean 'max_steps'? allowed: name, dataset, "),
        ("optimizer.beta", "optimizer.beta: no such key; did you mean 'betas'? allowed: name, lr, "),
        ("data.flp", "data.flp: no such key; did you mean 'flip'? allowed: split, "),
        ("objective.gradient_penality", "objective.gradient_penality: no such key; did you mean 'gradient_penalty'?"),
        ("schedule.warm", "schedule.warm: no such key; did you mean 'warmup'? allowed: name, warmup, final"),
        ("model.latentdim", "model.latentdim: no such key; did you mean 'latent_dim'? allowed: class, latent_dim, "),
        ("model.image_size", "model.image_size: no such key; "),
        ("discriminator.stage", "discriminator.stage: no such key; did you mean 'stages'? allowed: stages"),
    ],
)
def test_unknown_key(path, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(with_key(path, 1))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--max-stpes 20", "--max_stpes: no such option; did you mean 'max_steps'? allowed: "),
        ("--optimizer.beta 1", "--optimizer.beta: no such option; did you mean 'betas'? allowed: name, lr, "),
        ("--max 20", "--max: no such option; "),
        ("--model.latentdim 16", "model.latentdim: no such key; did you mean 'latent_dim'?"),
        ("--max-steps 20 30", "30: belongs to no option; write --key value, and a list as --key '[a, b]'"),
        ("runs/old", "runs/old: belongs to no option; "),
        ("mnist/cgan", "mnist/cgan: is a recipe; write --recipe mnist/cgan"),
        ("-x", "-x: belongs to no option; "),
        ("--optimizer.lr", "--optimizer.lr: expected a number, got nothing"),
    ],
)
def test_unknown_option(arguments, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(tiny_recipe(), arguments.split())
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"op": "dens", "width": 3}, "model: stages[1].op: got 'dens'; did you mean 'dense'? allowed: "),
        ({"op": "dense", "widht": 3}, "model: stages[1].widht: not a field of 'dense'; did you mean 'width'? allowed"),
        ({"op": "dense", "width": "x"}, "model: stages[1].width: expected a whole number of at least 1, got 'x'"),
    ],
)
def test_wrong_row(row, message):
    stages = [{"op": "label"}, row, {"op": "reshape", "size": 8, "act": "tanh"}]
    config = parse_config(with_key("model.stages", stages))
    with pytest.raises(ConfigError) as caught:
        build_networks(config, load_images("digits", limit=1))
    assert str(caught.value).startswith(message)


# -- wrong values -----------------------------------------------------------------------------------------------------

RATE = "expected more than 0, got"


@pytest.mark.parametrize(
    "key", ["batch_size", "log_every", "ema", "data.oversample", "optimizer.betas", "optimizer.name", "objective.beta"]
)
def test_a_key_without_a_value(key):
    with pytest.raises(ConfigError, match=f"^{key}: expected .*, got nothing$"):
        parse_config(with_key(key, None))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("max_steps", "many", "max_steps: expected a whole number or null, got many"),
        ("max_steps", 1.5, "max_steps: expected a whole number or null, got 1.5"),
        ("max_steps", 0, f"max_steps: {RATE} 0"),
        ("max_minutes", -1, f"max_minutes: {RATE} -1"),
        ("batch_size", 0, f"batch_size: {RATE} 0"),
        ("threads", 0, f"threads: {RATE} 0"),
        ("optimizer.lr", "fast", "optimizer.lr: expected a number, got fast"),
        ("optimizer.lr", 0, f"optimizer.lr: {RATE} 0"),
        ("optimizer.lr", float("nan"), f"optimizer.lr: {RATE} nan"),
        ("optimizer.lr", float("inf"), f"optimizer.lr: {RATE} inf"),
        ("optimizer.betas", [0.5], "optimizer.betas: expected two numbers, got [0.5]"),
        ("optimizer.betas", [0.5, 1], "optimizer.betas: expected at least 0 and less than 1, got [0.5, 1"),
        ("optimizer.betas", 0.5, "optimizer.betas: expected a list such as [a, b], each a number, got 0.5"),
        ("optimizer.name", "adm", "optimizer.name: expected one of adam, adamw, sgd, rmsprop, got adm"),
        ("optimizer", 3, "optimizer: expected a mapping, got 3"),
        ("objective.type", "gan", "objective.type: expected one of autoencoder, vae, adversarial, vae_gan, classifier"),
        ("objective.critic_steps", 0, f"objective.critic_steps: {RATE} 0"),
        ("objective.r1", -1, "objective.r1: expected at least 0, got -1"),
        ("objective.r2", -1, "objective.r2: expected at least 0, got -1"),
        ("objective.diffaugment", ["blur"], "objective.diffaugment: expected a list such as [a, b], each one of color"),
        ("data.channels", 2, "data.channels: expected one of 1, 3 or null, got 2"),
        ("data.flip", "maybe", "data.flip: expected true or false, got maybe"),
        ("data.shift", 1.5, "data.shift: expected at least 0 and less than 1, got 1.5"),
        ("data.limit", 0, f"data.limit: {RATE} 0"),
        ("trackers", "wandb", "trackers: expected a list such as [a, b], each one of trackio, tensorboard, got wandb"),
        ("mixed_precision", "fp8", "mixed_precision: expected one of no, bf16, fp16, got fp8"),
        ("ema", 1, "ema: expected at least 0 and less than 1, got 1"),
        ("evaluation_samples", 100_001, "evaluation_samples: expected 1…100000, got 100001"),
        ("samples", 0, "samples: expected 1…100000, got 0"),
        ("seed", -1, "seed: expected 0…2³²−1, got -1"),
        ("seed", 2**32, "seed: expected 0…2³²−1, got 4294967296"),
        ("name", "../up", "name: expected letters, digits, '-', '_' and '.', got '../up'; it names a folder"),
        ("accumulation", 3, "accumulation: 3 does not divide the batch size 8"),
        ("schedule", {"name": "exponential", "final": 0}, "schedule.final: an exponential decay never reaches 0"),
        ("model", 3, "model: expected a mapping, got 3"),
        ("model.latent_dim", "x", "model.latent_dim: expected a whole number above 0, got 'x'"),
        ("model.class", "GenHubVAE", "model.class: objective 'adversarial' cannot train 'GenHubVAE'; "),
        ("model.class", "GenHubCGan", "model.class: objective 'adversarial' cannot train 'GenHubCGan'; did you mean"),
        ("model", {"class": "GenHubCGAN", "stages": []}, "model.latent_dim: missing; the recipe must give it"),
        ("discriminator", None, "discriminator: objective 'adversarial' needs one; give its stages"),
        ("discriminator", {"guide": "x"}, "discriminator.stages: missing; the recipe must give it"),
        ("discriminator.guide", "x", "discriminator.heads: missing; the recipe must give it"),
        (
            "objective.class_weight",
            1,
            "objective.classifier, objective.class_weight: give the classifier together with",
        ),
        (
            "objective",
            {"type": "adversarial", "classifier": "guide-mnist", "class_weight": -1},
            "objective.class_weight: expected at least 0, got -1",
        ),
        (
            "objective.beta",
            2,
            "objective.beta: objective 'adversarial' does not use it; it uses class_weight, classifier",
        ),
        ("optimizer.momentum", 0.9, "optimizer.momentum: optimizer 'adam' does not use it; it uses betas, lr, name"),
    ],
)
def test_wrong_value(path, value, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(with_key(path, value))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_critics_optimizer_without_a_critic():
    with pytest.raises(ConfigError, match=r"discriminator_optimizer\.lr: objective 'vae' does not use it; remove it"):
        parse_config(tiny_recipe("vae", discriminator_optimizer={"lr": 1e-3}))


def test_discriminator_without_use():
    recipe = tiny_recipe("vae") | {"discriminator": tiny_recipe()["discriminator"]}
    with pytest.raises(ConfigError, match="discriminator: objective 'vae' has none; remove it"):
        parse_config(recipe)


def test_weights_for_a_discriminator_without_use():
    with pytest.raises(ConfigError, match="discriminator_init_from: objective 'vae' has no discriminator; remove it"):
        parse_config(tiny_recipe("vae") | {"discriminator_init_from": "cgan-digits"})


def test_a_class_loss_for_a_model_without_classes():
    stages = [row for row in tiny_recipe()["model"]["stages"] if row["op"] != "label"]
    recipe = tiny_recipe(objective={"classifier": "guide-mnist", "class_weight": 1.0})
    recipe["model"] = {"class": "GenHubGAN", "latent_dim": 8, "stages": stages}
    with pytest.raises(ConfigError, match=r"objective\.class_weight: a GenHubGAN is asked for no class"):
        parse_config(recipe)


@pytest.mark.parametrize("key", ["name", "dataset", "objective", "model"])
def test_missing_key(key):
    recipe = tiny_recipe()
    del recipe[key]
    with pytest.raises(ConfigError, match=f"{key}.*: missing; the recipe must give it"):
        parse_config(recipe)


def test_run_without_end():
    with pytest.raises(ConfigError, match="max_steps, max_images, max_minutes: give at least one"):
        parse_config(tiny_recipe(), ["--max-steps", "null"])


def test_error_is_one_line_and_exit_code_two(tmp_path, capsys):
    assert run(tmp_path, tiny_recipe(), "--max-steps", "many") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: max_steps: expected a whole number or null, got many\n"
    assert not (tmp_path / "tiny").exists()


def test_every_key_is_documented():
    for kind in (TrainConfig, *(f.default_factory for f in dataclasses.fields(TrainConfig) if f.name == "data")):
        for field in dataclasses.fields(kind):
            assert field.name in kind.__doc__, f"{kind.__name__}.{field.name}"
