"""What one update does: every objective with every option, and the parts that they are made of."""

import copy
import math
import re

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from elsewhere import pretended
from tiny_runs import DISCRIMINATOR, reset_accelerate, tiny_recipe
from torch import nn

from genhub import GenHubClassifier, losses
from genhub.data import load_images
from training.alarms import Alarms, Diverged, require_finite
from training.batches import Batches
from training.config import parse_config
from training.ema import EMA
from training.networks import build_networks, load_classifier
from training.objectives import reconstruction_error
from training.optimization import schedule_factor
from training.records import spread
from training.run import OBJECTIVES
from training.settings import ConfigError, ScheduleConfig

CPU = torch.device("cpu")
ROOT_HALF = math.sqrt(0.5)
GAN_LOGS = {
    "d_real", "d_fake_before", "d_fake_after", "generator_loss", "discriminator_loss", "accuracy_real", "accuracy_fake",
}  # fmt: skip
CRITIC_LOGS = {"wasserstein_distance", "generator_loss", "discriminator_loss"}
PLAIN_GENERATOR = [  # no batch norm: a batch is then the sum of its images
    {"op": "label"},
    {"op": "dense", "width": 64, "act": "relu"},
    {"op": "reshape", "size": 4},
    {"op": "conv_transpose", "width": 1, "kernel": 4, "stride": 2, "act": "tanh"},
]
PLAIN_DISCRIMINATOR = [{"op": "conv", "width": 4, "kernel": 3, "act": "lrelu"}, {"op": "flatten"}, {"op": "projection"}]
DIGITS = load_images("digits", limit=64)


class Setup:
    """An objective with its batches, ready for updates."""

    def __init__(self, kind: str = "adversarial", device: torch.device = CPU, **changes):
        reset_accelerate()
        self.config = parse_config(tiny_recipe(kind, **changes))
        torch.manual_seed(0)
        model, discriminator = build_networks(self.config, DIGITS)
        for network in filter(None, (model, discriminator)):
            network.to(device, memory_format=torch.channels_last).train()
        accelerator = Accelerator(mixed_precision=self.config.mixed_precision)
        self.objective = OBJECTIVES[kind](self.config, accelerator, model, discriminator)
        self.batches = Batches(DIGITS, self.config.batch_size, 0, 1, 0, device)

    def update(self, steps: int = 2) -> dict[str, float]:
        for step in range(steps):
            logs = self.objective.update(self.batches, step)
        return {name: value.item() for name, value in logs.items()}

    def weights(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": value.detach().clone()
            for name, network in self.objective.networks.items()
            for key, value in network.named_parameters()
        }


# -- every objective --------------------------------------------------------------------------------------------------

CASES = [
    ("autoencoder", {}, {"loss"}),
    ("autoencoder", {"reconstruction": "bce"}, {"loss"}),
    ("vae", {}, {"loss", "reconstruction", "kl"}),
    ("vae", {"reconstruction": "bce", "beta": 0.5}, {"loss", "reconstruction", "kl"}),
    ("diffusion", {}, {"loss", "error"}),
    ("diffusion", {"label_dropout": 0.5, "min_snr": 1.0}, {"loss", "error"}),
    ("classifier", {}, {"loss", "accuracy"}),
    ("classifier", {"label_smoothing": 0.1}, {"loss", "accuracy"}),
    ("adversarial", {"loss": "bce"}, GAN_LOGS),
    ("adversarial", {"loss": "least_squares"}, GAN_LOGS),
    ("adversarial", {"loss": "hinge"}, GAN_LOGS),
    ("adversarial", {"loss": "wasserstein", "clip": 0.01}, CRITIC_LOGS),
    (
        "adversarial",
        {"loss": "wasserstein", "gradient_penalty": 10, "critic_steps": 3},
        CRITIC_LOGS | {"gradient_penalty"},
    ),
    ("adversarial", {"r1": 1.0}, GAN_LOGS | {"r1"}),
    (
        "adversarial",
        {"loss": "relativistic", "r1": 1.0, "r2": 0.5},
        {"accuracy_pairs", "generator_loss", "discriminator_loss", "r1", "r2"},
    ),
    ("adversarial", {"diffaugment": ["color", "translation", "cutout"]}, GAN_LOGS),
    ("vae_gan", {}, GAN_LOGS | {"reconstruction", "similarity", "kl"}),
    ("vae_gan", {"prior_share": 0.5}, GAN_LOGS | {"reconstruction", "similarity", "kl"}),
    ("vae_gan", {"adversarial_weight": 0.1, "loss": "hinge"}, GAN_LOGS | {"reconstruction", "similarity", "kl"}),
]


@pytest.mark.parametrize(
    ("kind", "options", "logged"), CASES, ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:60]
)
def test_every_objective_trains(kind, options, logged):
    setup = Setup(kind, objective=options)
    before = setup.weights()
    logs = setup.update()
    assert logs.keys() == logged
    assert all(map(math.isfinite, logs.values())), logs
    unchanged = [name for name, value in setup.weights().items() if torch.equal(value, before[name])]
    if options.get("loss") in ("hinge", "wasserstein", "relativistic"):  # where a constant added to all logits cancels
        unchanged = [name for name in unchanged if not name.endswith("op.linear.bias")]
    assert not unchanged, "weights that no update reaches"
    shares = {"accuracy_real", "accuracy_fake", "accuracy_pairs", "accuracy"}
    if options.get("loss") != "least_squares":  # its outputs are drawn to 0 and 1, not kept between
        shares |= {"d_real", "d_fake_before", "d_fake_after"}
    for name in logged & shares:
        assert 0 <= logs[name] <= 1, name


@pytest.mark.parametrize(("kind", "options"), [case[:2] for case in CASES], ids=lambda value: str(value)[:60])
def test_every_objective_trains_on_another_device(kind, options, monkeypatch):
    """Nothing is left behind on the CPU, and numbers that are drawn do not depend on the device."""
    here = Setup(kind, objective=options).update()
    with pretended() as device:
        monkeypatch.setattr(Accelerator, "device", device)
        assert Setup(kind, device, objective=options).update() == pytest.approx(here, rel=1e-3)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer(name):
    options = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {"betas": [0.0, 0.9]}
    setup = Setup(discriminator_optimizer={"name": name, "lr": 0.01, **options})
    before = setup.weights()
    setup.update()
    assert type(setup.objective.updaters["discriminator"].optimizer.optimizer).__name__.lower() == name
    assert type(setup.objective.updaters["model"].optimizer.optimizer).__name__ == "Adam"
    assert not any(torch.equal(value, before[key]) for key, value in setup.weights().items())


@pytest.mark.parametrize("kind", ["autoencoder", "vae", "classifier", "vae_gan"])
def test_objective_gets_better(kind):
    setup = Setup(kind, optimizer={"lr": 0.01, "betas": [0.9, 0.99]}, batch_size=32)
    name = "reconstruction" if kind == "vae_gan" else "loss"
    first = setup.update(1)[name]
    assert setup.update(16)[name] < 0.9 * first


def test_labels_reach_a_conditional_vae():
    rows = [{"op": "label"}, {"op": "dense", "width": 64}, {"op": "reshape", "size": 8, "act": "sigmoid"}]
    model = {"class": "GenHubVAE", "latent_dim": 4, "encoder": [{"op": "flatten"}], "decoder": rows}
    setup = Setup("vae", model=model)
    before = setup.weights()["model.decoder.blocks.1.op.weight"]
    setup.update(1)
    moved = setup.weights()["model.decoder.blocks.1.op.weight"] != before
    seen = setup.batches.at(0)[1].unique()
    assert moved[:, 4:].any(dim=0).nonzero().flatten().tolist() == seen.tolist(), "the columns of the labels seen"


def test_mean_loss_is_the_evidence_lower_bound():
    """β weighs the KL term, and losses are sums over pixels, means over images."""
    for beta in (0.0, 2.0):
        logs = Setup("vae", objective={"beta": beta}).update(1)
        assert logs["loss"] == pytest.approx(logs["reconstruction"] + beta * logs["kl"], rel=1e-5)


def test_clipped_weights():
    setup = Setup(objective={"loss": "wasserstein", "clip": 0.01})
    setup.update(1)
    largest = max(parameter.abs().max().item() for parameter in setup.objective.discriminator.parameters())
    assert largest == pytest.approx(0.01)
    assert max(parameter.abs().max().item() for parameter in setup.objective.model.parameters()) > 0.01


def test_a_critic_tells_a_distance():
    logs = Setup(objective={"loss": "wasserstein", "clip": 0.01}).update(3)
    assert logs["wasserstein_distance"] == pytest.approx(-logs["discriminator_loss"], rel=1e-5)
    penalized = Setup(objective={"loss": "wasserstein", "gradient_penalty": 10}).update(3)
    bound = 10 * penalized["gradient_penalty"] - penalized["wasserstein_distance"]
    assert penalized["discriminator_loss"] == pytest.approx(bound, rel=1e-4)


def test_each_penalty_is_taken_where_it_says():
    setup = Setup(
        discriminator={"stages": PLAIN_DISCRIMINATOR}, objective={"loss": "relativistic", "r1": 2.0, "r2": 3.0}
    )
    (part,) = setup.objective.parts(setup.batches, 0)
    fake = torch.zeros_like(part.images)
    loss, logs = setup.objective.discriminator_loss(part, fake)

    def critic(images):
        return setup.objective.discriminator(images, part.condition)

    for name, images in (("r1", part.images), ("r2", fake)):
        assert logs[name].item() == pytest.approx(losses.zero_centred_penalty(critic, images).mean().item(), rel=1e-5)
    assert logs["r1"].item() != pytest.approx(logs["r2"].item(), rel=1e-3)
    pairs = F.softplus(critic(fake) - critic(part.images)).mean().item()
    assert loss.item() == pytest.approx(pairs + 2 * logs["r1"].item() + 3 * logs["r2"].item(), rel=1e-5)


def test_a_relativistic_generator_is_compared_with_the_real_images_of_its_batch():
    setup = Setup(discriminator={"stages": PLAIN_DISCRIMINATOR}, objective={"loss": "relativistic"})
    (part,) = setup.objective.parts(setup.batches, 0)
    fake, extra = setup.objective.make_fake(part)
    loss, _ = setup.objective.generator_loss(part, fake, extra)
    real_logits, logits = (setup.objective.discriminator(images, part.condition) for images in (part.images, fake))
    assert loss.item() == pytest.approx(F.softplus(real_logits - logits).mean().item(), rel=1e-5)


def test_least_squares_tells_its_outputs_against_their_targets():
    setup = Setup("adversarial", objective={"loss": "least_squares"}, discriminator_optimizer={"lr": 0.003})
    logs = [setup.update() for _ in range(30)][-1]
    assert logs["d_fake_before"] < 0.4 < 0.6 < logs["d_real"], "a sigmoid of them would stay between 0.5 and 0.74"


def save_classifier(folder, class_names="0123456789"):
    """A small classifier with weights drawn; the folder."""
    rows = [{"op": "conv", "width": 4, "stride": 2, "kernel": 4, "norm": "batch", "act": "relu"}]
    rows += [{"op": "flatten"}, {"op": "dense", "width": 10}]
    torch.manual_seed(1)
    GenHubClassifier(stages=rows, image_size=8, channels=1, class_names=list(class_names)).save_pretrained(folder)
    return str(folder)


def guided(tmp_path, **changes):
    """A recipe's discriminator with a head on a small classifier."""
    heads = [{"after": 1, "stages": [{"op": "flatten"}, {"op": "projection", "spectral": True}]}]
    return {"stages": DISCRIMINATOR, "guide": save_classifier(tmp_path / "guide"), "heads": heads, **changes}


@pytest.mark.parametrize("options", [{}, {"loss": "wasserstein", "clip": 0.01}, {"loss": "hinge", "r1": 1.0}])
def test_heads_on_a_guide_learn_and_the_guide_does_not(tmp_path, options):
    setup = Setup(discriminator=guided(tmp_path), objective=options)
    saved = GenHubClassifier.from_pretrained(tmp_path / "guide").stages.blocks[0].state_dict()
    before = setup.weights()
    setup.update()
    critic = setup.objective.discriminator
    assert {key: value.tolist() for key, value in critic.guide.blocks[0].state_dict().items()} == {
        key: value.tolist() for key, value in saved.items()
    }
    moved = {name for name, value in setup.weights().items() if not torch.equal(value, before[name])}
    for part in ("model.", "discriminator.stages.", "discriminator.heads.0."):
        assert any(name.startswith(part) for name in moved), part


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guide": "nothere"}, "discriminator.guide: nothere: no bundled model"),
        ({"guide": "cgan-digits"}, "discriminator.guide: cgan-digits: holds a GenHubCGAN"),
        ({"guide": "classifier-mnist"}, "discriminator.guide: classifier-mnist sees images of shape (1, 28, 28)"),
        ({"heads": 3}, "discriminator: heads: expected a list"),
    ],
)
def test_odd_guides_are_refused(tmp_path, change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Setup(discriminator=guided(tmp_path, **change))


def test_a_generator_learns_to_please_a_classifier_that_stays_as_it_is(tmp_path):
    classifier = save_classifier(tmp_path / "classifier")
    setup = Setup(objective={"classifier": classifier, "class_weight": 10.0}, optimizer={"lr": 0.01}, batch_size=32)
    saved = {key: value.clone() for key, value in setup.objective.classifier.state_dict().items()}
    first = setup.update(1)["class_loss"]
    assert setup.update(40)["class_loss"] < 0.8 * first
    assert all(torch.equal(value, saved[key]) for key, value in setup.objective.classifier.state_dict().items())
    assert "classifier" not in setup.objective.networks, "it is neither trained nor saved"


def test_the_class_loss_is_a_term_of_the_generator_alone(tmp_path):
    classifier = save_classifier(tmp_path / "classifier")
    plain, led = Setup(), Setup(objective={"classifier": classifier, "class_weight": 2.0})
    before, after = plain.update(1), led.update(1)
    assert after["generator_loss"] == pytest.approx(before["generator_loss"] + 2.0 * after["class_loss"], rel=1e-4)
    assert after["discriminator_loss"] == before["discriminator_loss"]


def test_a_classifier_of_other_classes_is_refused(tmp_path):
    classifier = save_classifier(tmp_path / "classifier", "abcdefghij")
    with pytest.raises(ConfigError, match=re.escape("objective.classifier: ") + ".* tells apart a, b, c"):
        Setup(objective={"classifier": classifier, "class_weight": 1.0})


def test_the_judge_is_refused():
    digits = load_images("digits", limit=8, image_size=28)
    with pytest.raises(ConfigError, match=r"objective\.classifier: classifier-mnist judges what is trained"):
        load_classifier("classifier-mnist", digits, "objective.classifier")
    assert not any(weight.requires_grad for weight in load_classifier("guide-mnist", digits, "x").parameters())


def test_a_discriminator_starts_where_a_saved_one_ended(tmp_path):
    old = Setup(discriminator_optimizer={"lr": 0.01})
    old.update()
    old.objective.discriminator.save_pretrained(tmp_path / "discriminator")
    new = Setup(discriminator_init_from=str(tmp_path)).objective.discriminator.state_dict()
    for key, value in old.objective.discriminator.state_dict().items():
        torch.testing.assert_close(new[key], value, rtol=1e-3, atol=1e-4)


def test_a_discriminator_of_another_shape_is_refused(tmp_path):
    Setup(discriminator={"stages": PLAIN_DISCRIMINATOR}).objective.discriminator.save_pretrained(
        tmp_path / "discriminator"
    )
    with pytest.raises(ConfigError, match=r"discriminator_init_from: .*missing"):
        Setup(discriminator_init_from=str(tmp_path))


def test_critic_steps_are_updates_of_their_own_batches():
    setup = Setup(objective={"critic_steps": 3})
    read = []
    at = setup.batches.at
    setup.batches.at = lambda number: read.append(number) or at(number)
    setup.update(2)
    assert read == [0, 1, 2, 3, 4, 5]
    states = [updater.optimizer.optimizer.state for updater in setup.objective.updaters.values()]
    assert [int(next(iter(state.values()))["step"]) for state in states] == [2, 6]


def test_each_network_learns_from_its_own_loss(monkeypatch):
    """The discriminator's step leaves no gradients on the generator, nor the generator's on the discriminator."""
    setup = Setup()
    objective = setup.objective
    seen = {}
    for name, other in (("model", "discriminator"), ("discriminator", "model")):
        step = objective.updaters[name].step

        def spy(name=name, other=other, step=step):
            gradients = {key: [p.grad for p in network.parameters()] for key, network in objective.networks.items()}
            assert all(gradient is not None for gradient in gradients[name])
            seen[name] = all(gradient is None for gradient in gradients[other])
            step()

        monkeypatch.setattr(objective.updaters[name], "step", spy)
    setup.update(1)
    assert seen == {"model": True, "discriminator": True}


def test_bf16_runs_on_the_cpu():
    plain, half = Setup().update(2), Setup(mixed_precision="bf16").update(2)
    assert half != plain
    assert half == pytest.approx(plain, abs=0.1)


# -- parts of an update -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("vae", {}),
        ("classifier", {}),
        (
            "adversarial",
            {
                "model": {"class": "GenHubCGAN", "latent_dim": 8, "stages": PLAIN_GENERATOR},
                "discriminator": {"stages": PLAIN_DISCRIMINATOR},
                "discriminator_optimizer": {"name": "sgd", "lr": 0.01},
                "objective": {"gradient_penalty": 1, "diffaugment": ["translation", "color"], "critic_steps": 2},
            },
        ),
    ],
)
def test_accumulated_batch_gives_the_same_update(kind, changes):
    """Split four ways or not: the same noise, the same augmentation, the same weights up to rounding."""
    changes = {
        "data": {"limit": 64, "flip": True, "shift": 0.1},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "clip_norm": 0.5,
        **changes,
    }
    whole, split = Setup(kind, **copy.deepcopy(changes)), Setup(kind, accumulation=4, **copy.deepcopy(changes))
    start = whole.weights()
    logs, split_logs = whole.update(2), split.update(2)
    assert split_logs == pytest.approx(logs, rel=1e-4, abs=1e-6)
    for (name, a), b in zip(whole.weights().items(), split.weights().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)
        assert not torch.equal(a, start[name])


def test_gradients_are_clipped():
    setup = Setup("classifier", clip_norm=0.01, optimizer={"name": "sgd", "lr": 1.0})
    before = setup.weights()
    setup.update(1)
    moved = torch.stack([(value - before[name]).norm() for name, value in setup.weights().items()]).norm()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)


def test_moving_average():
    """Parameters and float buffers follow m ← d·m + (1 − d)·w with d = min(decay, (1 + t) / (10 + t))."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = EMA(model, 0.3)
    expected = {key: value.clone() for key, value in model.state_dict().items()}
    for t in range(1, 6):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        model(torch.randn(8, 3))
        ema.update(model, t)
        decay = min(0.3, (1 + t) / (10 + t))
        for key, value in model.state_dict().items():
            float_ = value.is_floating_point()
            expected[key] = decay * expected[key] + (1 - decay) * value if float_ else value.clone()
        for key, value in ema.model.state_dict().items():
            torch.testing.assert_close(value, expected[key], msg=key)
    assert ema.model.state_dict()["1.running_mean"].abs().min() > 0
    assert not ema.model.training
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())


def test_averaged_spectral_norm_is_still_the_largest_singular_value():
    torch.manual_seed(0)
    model = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16, bias=False))
    ema = EMA(model, 0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for t in range(1, 200):
        model(torch.randn(8, 16)).square().sum().backward()
        optimizer.step()
        ema.update(model, t)
    assert torch.linalg.matrix_norm(ema.model.weight, 2).item() == pytest.approx(1, abs=0.01)


def test_no_moving_average():
    model = nn.Linear(3, 4)
    ema = EMA(model, 0.0)
    with torch.no_grad():
        model.weight.normal_()
    ema.update(model, 1)
    assert torch.equal(ema.model.weight, model.weight)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ({"name": "constant"}, [1, 1, 1, 1, 1]),
        ({"name": "linear", "final": 0.2}, [1, 0.8, 0.6, 0.4, 0.2]),
        ({"name": "cosine", "final": 0.2}, [1, 0.6 + 0.4 * ROOT_HALF, 0.6, 0.6 - 0.4 * ROOT_HALF, 0.2]),
        ({"name": "exponential", "final": 0.0001}, [1, 0.1, 0.01, 0.001, 0.0001]),
        ({"name": "constant", "warmup": 4}, [0.25, 0.5, 0.75, 1, 1]),
        ({"name": "linear", "final": 0.2, "warmup": 2}, [0.5, 0.8, 0.6, 0.4, 0.2]),
    ],
)  # fmt: skip
def test_schedule(schedule, values):
    """At the start, at each quarter and at the end of a budget of four steps."""
    config = ScheduleConfig(**schedule)
    assert [schedule_factor(config, step, step / 4) for step in range(5)] == pytest.approx(values)
    assert schedule_factor(config, 9, 1.7) == pytest.approx(values[-1]), "beyond the budget the rate stays"


def test_reconstruction_error_pulls_back_what_is_out_of_range():
    decoded, images = torch.full((1, 1, 2, 2), 1.5, requires_grad=True), torch.full((1, 1, 2, 2), 0.5)
    for kind, pull in (("mse", 1), ("l1", 1), ("bce", 0)):
        error = reconstruction_error(kind, decoded, images)
        (gradient,) = torch.autograd.grad(error.sum(), decoded)
        assert error.isfinite()
        assert (gradient.sign() == pull).all(), kind


# -- alarms -----------------------------------------------------------------------------------------------------------


def test_loss_that_is_no_number():
    with pytest.raises(Diverged, match=r"step 7: generator_loss is nan; start a new run with a lower learning"):
        Alarms(1.0).check_losses(7, {"discriminator_loss": 1.0, "generator_loss": math.nan})


def test_weight_that_is_no_number():
    network = nn.BatchNorm1d(3)
    require_finite(1, {"model": network})
    network.running_var[1] = math.inf
    with pytest.raises(Diverged, match="step 5: running_var of the model is no finite number"):
        require_finite(5, {"model": network})


@pytest.mark.parametrize(
    ("won", "even"),
    [
        ({"accuracy_real": 1.0, "accuracy_fake": 0.995}, {"accuracy_real": 1.0, "accuracy_fake": 0.9}),
        ({"accuracy_pairs": 0.995}, {"accuracy_pairs": 0.9}),
    ],
)
def test_discriminator_has_won_after_ten_lines_in_a_row(won, even):
    alarms = Alarms(1.0)
    found = [alarms.check_losses(step, even if step == 9 else won) for step in range(30)]
    assert [step for step, messages in enumerate(found) if messages] == [19], "said once, after ten lines in a row"
    assert "the discriminator tells nearly all images apart" in found[19][0]


def test_collapse():
    alarms = Alarms(0.8)
    assert alarms.check_samples(0.05) == []
    assert alarms.check_samples(0.03) == ["mode collapse: images differ by 0.030, training images by 0.800"]


def test_most_samples_of_one_class():
    alarms = Alarms(0.8)
    assert alarms.check_classes(0.6) == []
    assert alarms.check_classes(0.852) == ["mode collapse: 85% of the samples are read as one class"]


def test_spread_is_that_within_a_class():
    one_each = torch.arange(4).repeat(5)[:, None, None, None].mul(60).byte().expand(-1, 1, 2, 2)
    assert spread(one_each) > 0.5
    assert spread(one_each, columns=4) == 0, "one image per class, however much classes differ"
    assert spread(one_each[:3], columns=4) == spread(one_each[:3]), "no class has two"


def test_divergence_of_quality():
    alarms = Alarms(1.0)
    assert alarms.check_quality("frechet_distance", 19, 10) == []
    assert alarms.check_quality("frechet_distance", 21, 10) == [
        "divergence: frechet_distance is 21, it has been 10; the best weights are kept"
    ]
