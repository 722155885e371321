"""training/evaluate.py: every kind of figure, the record, the command, and what it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import sys
import time

import pytest
import tiny
import torch
from tiny_runs import read_log, run, tiny_recipe

import training.classification_score
import training.evaluate
from genhub import metrics
from genhub.data import ImageSet, load_images
from genhub.errors import DataError
from genhub.images import save_png, to_signed
from genhub.zoo import describe
from training.assessment import Reference, assess
from training.classification_score import classification_scores
from training.config import parse_config
from training.evaluate import compare, evaluate, main, tables
from training.protocol import require_comparable
from training.selection import without_classes
from training.settings import ConfigError
from training.subjects import read_samples


def images(n: int, seed: int = 0, shape=(3, 8, 8)) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def toys(n: int = 30, seed: int = 0) -> ImageSet:
    """Images of the shape and classes of the tiny models."""
    names = tiny.build("classifier").class_names
    return ImageSet(images(n, seed), torch.arange(n) % len(names), names, "toys", "toys")


# -- classes, sharpness, copies


def test_entropy_and_largest_share_see_a_collapse():
    even, collapsed = torch.arange(400) % 4, torch.zeros(400, dtype=torch.int64)
    assert metrics.entropy_figure(even, 4).value == pytest.approx(2)
    assert metrics.entropy_figure(collapsed, 4) == metrics.Figure(0, 0)
    assert metrics.largest_share_figure(even, 4).value == 0.25
    assert metrics.largest_share_figure(collapsed, 4).value == 1
    assert metrics.shares(torch.tensor([0, 2, 2, 2]), 4).tolist() == [0.25, 0, 0.75, 0]


def test_diversity_is_relative_to_real_images_of_the_class():
    real = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(300) % 3
    shifted = real + 100 * classes[:, None]  # how far classes are from each other does not matter

    def diversity(generated, made=classes):
        return metrics.diversity(generated=generated, classes=made, real=shifted, real_classes=classes).value

    assert diversity(shifted) == pytest.approx(1)
    assert diversity(real * 0.5) == pytest.approx(0.25)
    assert diversity(torch.zeros(300, 5)) == 0
    assert diversity(shifted, torch.zeros(300, dtype=torch.int64)) > 1, "one class in the place of all"
    only_first = torch.where(classes == 0, 0, 7)
    assert diversity(shifted, only_first) == pytest.approx(1 / 3, rel=0.01), "classes without samples count 0"


def test_blur_and_noise_are_seen():
    smooth = torch.nn.functional.interpolate(images(40, shape=(1, 4, 4)).float(), 16, mode="bilinear").byte()
    noisy = images(40, 1, (1, 16, 16))
    same = metrics.sharpness(generated=smooth, real=smooth)
    assert {name: figure.value for name, figure in same.items()} == {"laplacian_ratio": 1, "high_frequency_ratio": 1}
    assert all(figure.value > 5 for figure in metrics.sharpness(generated=noisy, real=smooth).values())
    assert all(figure.value < 0.2 for figure in metrics.sharpness(generated=smooth, real=noisy).values())
    noisy = images(40, 1, (1, 28, 28))  # a size at which a Fourier transform rounds
    flat = noisy[:, :, :1, :1].expand_as(noisy)
    assert all(figure.value < 1e-6 for figure in metrics.sharpness(generated=flat, real=noisy).values())
    assert metrics.sharpness(generated=noisy, real=flat) == {}, "nothing to compare with"


def test_high_frequencies_are_those_above_half_of_the_highest():
    wave = torch.arange(16)
    slow = (100 + 50 * torch.cos(2 * math.pi * wave * 2 / 16)).byte().expand(4, 1, 16, 16)
    fast = (100 + 50 * torch.cos(2 * math.pi * wave * 7 / 16)).byte().expand(4, 1, 16, 16)
    ratio = metrics.sharpness(generated=slow, real=fast)["high_frequency_ratio"].value
    assert ratio < 0.02
    assert metrics.sharpness(generated=fast.mT, real=fast)["high_frequency_ratio"].value == pytest.approx(1, abs=1e-4)


def test_copies_are_found_where_test_and_training_set_share_images():
    train, shared = images(300), torch.cat([images(300)[:3], images(60, 1)])
    found = metrics.memorization(generated=train[:60], held_out=shared, train=train)
    assert found.figures["memorized_share"].value == 1


def test_copies_are_found():
    train, held_out = images(300), images(60, 1)
    honest = metrics.memorization(generated=images(60, 2), held_out=held_out, train=train)
    assert honest.figures["memorization_ratio"].value == pytest.approx(1, abs=0.05)
    assert honest.figures["memorized_share"].value < 0.1
    copies = train[torch.arange(59, -1, -1)].clone()
    copies[:, :, 0, 0] += 1
    found = metrics.memorization(generated=copies, held_out=held_out, train=train, pairs=60)
    assert found.figures["memorization_ratio"].value < 0.1
    assert found.figures["memorized_share"].value == 1
    assert found.pairs.shape == (120, 3, 8, 8)
    made, nearest = found.pairs[::2].int(), found.pairs[1::2].int()
    assert (made - nearest).abs().flatten(1).sum(1).le(3 * 255).all()
    assert torch.equal(made[:, :, 1:], nearest[:, :, 1:])


def test_the_search_for_copies_looks_at_all_classes(monkeypatch):
    """Labels of samples come in turn: every fifth image has one of two classes out of ten."""
    monkeypatch.setattr(sys.modules["genhub.metrics.memorization"], "QUERIES", 20)
    brightness = (torch.arange(100) % 10 * 20).to(torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8).contiguous()
    found = metrics.memorization(generated=brightness, held_out=images(30), train=images(30, 1), pairs=20)
    assert len(found.pairs[::2, 0, 0, 0].unique()) > 6


# -- autoencoders


def test_the_bound_follows_its_definition():
    model, shown = tiny.build("vae-dense"), images(20, shape=tiny.build("vae-dense").image_shape)
    found = metrics.bound(shown, None, model, seed=0)
    with torch.no_grad():
        mean, log_variance = model.posterior(to_signed(shown))
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(posterior, prior).sum(1)
    assert found.kl.value == pytest.approx(kl.mean().item(), rel=1e-5)
    assert found.kl.spread == pytest.approx(kl.std().item() / math.sqrt(20), rel=1e-4)
    assert found.elbo.value == metrics.bound(shown, None, model, seed=0).elbo.value
    # With its own variance a Gaussian gives -d/2 (log 2πσ² + 1) on average, more than with any other variance.
    pixels = shown[0].numel()
    variance = math.exp(-2 * (found.elbo.value + found.kl.value) / pixels - 1) / (2 * math.pi)
    assert 0 < variance < 1
    assert (found.bernoulli_elbo is not None) == model.unit_pixels
    if model.unit_pixels:
        assert found.bernoulli_elbo.value < -found.kl.value


def test_anomalies_are_ranked_by_error():
    low, high = torch.linspace(0, 1, 50), torch.linspace(2, 3, 40)
    assert metrics.anomaly_auc(normal=low, anomalous=high) == metrics.Figure(1, 0)
    assert metrics.anomaly_auc(normal=high, anomalous=low).value == 0
    chance = metrics.anomaly_auc(normal=low, anomalous=low)
    assert chance.value == 0.5
    assert 0.03 < chance.spread < 0.1
    with pytest.raises(ValueError, match="at least 2 images of each"):
        metrics.anomaly_auc(normal=low, anomalous=high[:1])


# -- a whole model


@pytest.fixture
def reference():
    judge = tiny.build("classifier")
    extractor = metrics.judge_extractor(judge, "toy judge", hashlib.sha256(b"toy judge").hexdigest())
    return Reference(toys(), "test", extractor, train=toys(50, 1))


@pytest.mark.parametrize(
    ("name", "expected", "absent"),
    [
        ("cgan-concatenated", {"class_accuracy", "class_diversity", "classifier_score"}, {"class_entropy", "elbo"}),
        ("gan", {"class_entropy", "largest_class_share", "memorization_ratio"}, {"class_accuracy"}),
        ("vae-conv", {"elbo", "kl", "reconstruction_mse", "recall"}, {"class_accuracy"}),
        ("ae-conv", {"reconstruction_mse"}, {"elbo", "frechet_distance"}),
        ("classifier", {"accuracy"}, {"frechet_distance"}),
    ],
)
def test_a_model_is_measured_by_what_it_can_do(reference, name, expected, absent):
    if name not in tiny.MODELS:
        name = next(known for known in tiny.MODELS if known.startswith("cgan"))
    found = assess(tiny.build(name), reference, samples=24)
    assert expected <= found.figures.keys()
    assert not absent & found.figures.keys()
    assert all(math.isfinite(f.value) and math.isfinite(f.spread) and f.spread >= 0 for f in found.figures.values())
    assert found.cost["parameters"] > 0
    if name.startswith("gan"):
        assert sum(found.histogram.values()) == pytest.approx(1)
    if name.startswith("ae"):
        assert found.cost["compression_ratio"] == 3 * 8 * 8 / 4


def test_anything_that_generates_is_measured(reference):
    class Grey:
        class_names = ()

        def generate(self, n, *, labels=None, seed=None, batch_size=1):
            time.sleep(0.001 * n)
            return torch.zeros(n, 3, 8, 8) + torch.linspace(-1, 1, n)[:, None, None, None]

    found = assess(Grey(), reference, samples=20)
    assert found.figures["laplacian_ratio"].value < 1e-6
    assert list(found.cost) == ["seconds_per_image"]
    assert found.cost["seconds_per_image"] >= 0.001


@pytest.mark.parametrize("made", [torch.full((20, 3, 8, 8), torch.nan), torch.full((20, 3, 8, 8), 200.0)])
def test_a_model_that_makes_no_images_is_an_error(reference, made):
    class Broken:
        class_names = ()

        def generate(self, n, **options):
            return made

    with pytest.raises(ValueError, match=r"expected floats in \[-1, 1\]"):
        assess(Broken(), reference, samples=20)


def test_few_test_images_leave_samples_unmeasured_and_say_so(reference):
    few = dataclasses.replace(reference, test=toys(5))
    found = assess(tiny.build("gan"), few, samples=24)
    assert "frechet_distance" not in found.figures
    assert found.remarks["left_out"] == "everything about samples: 5 images are fewer than 10"


def test_classes_left_out_of_training_are_the_anomalies(reference):
    model = tiny.build("ae-conv")
    left_out = dataclasses.replace(reference, excluded=[reference.test.class_names[1]])
    found = assess(model, left_out, samples=0)
    errors = metrics.reconstruction_errors(reference.test.images, None, model)
    excluded = reference.test.labels == 1
    assert found.figures["reconstruction_mse"].value == pytest.approx(errors[~excluded].mean().item())
    expected = metrics.anomaly_auc(normal=errors[~excluded], anomalous=errors[excluded])
    assert found.figures["anomaly_auc"] == expected
    made = assess(tiny.build("gan"), left_out, samples=24)
    assert made.remarks["test_images"] == (~excluded).sum(), "which is what samples are compared with"
    other = dataclasses.replace(reference, anomalies=toys(20, 5))
    assert "20 images of toys" in assess(model, other, samples=0).remarks["anomalies"]


def test_a_run_can_leave_a_class_out(tmp_path):
    data = {"limit": 200, "exclude_classes": ["3", "8"]}
    assert run(tmp_path, tiny_recipe("autoencoder", data=data)) == 0
    entry = json.loads((tmp_path / "tiny" / "final" / "metrics.json").read_text())
    assert 0 < entry["metrics"]["anomaly_auc"] < 1
    told = "58 test images of 3, 8, left out of training; the error is that of the other 239"
    assert entry["protocol"]["anomalies"] == told
    assert describe(tmp_path / "tiny" / "final").excluded_classes == ("3", "8")
    assert read_log(tmp_path / "tiny")
    for names, message in ((["three"], "no class 'three'"), ([str(i) for i in range(10)], "no image is left")):
        config = parse_config(tiny_recipe("autoencoder", data={"exclude_classes": names}))
        with pytest.raises(ConfigError, match=message):
            without_classes(load_images("digits"), config.data.exclude_classes)
    assert run(tmp_path, tiny_recipe(data=data)) == 2, "a conditional model"


# -- training on samples


def test_classification_score_tells_labels_that_fit_from_those_that_do_not(monkeypatch):
    monkeypatch.setattr(training.classification_score, "STEPS", 50)
    train, test = load_images("digits"), load_images("digits", split="test")
    shuffled = train.labels[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
    figures, facts = classification_scores(train.images, shuffled, train, test)
    assert figures["cas_real"].value > 0.7
    assert figures["cas_generated"].value < 0.3
    assert figures["cas_both"].value > figures["cas_generated"].value
    assert facts["real_images"] == len(train)
    with pytest.raises(DataError, match="needs a conditional model"):
        classification_scores(train.images, None, train, test)


# -- the command


@pytest.fixture
def model_folder(tmp_path):
    """A bundled model in a folder of its own."""
    from genhub.hub import PRETRAINED

    folder = tmp_path / "cgan"
    shutil.copytree(PRETRAINED / "cgan-digits", folder)
    return folder


def test_a_model_is_measured_again_within_its_spread(model_folder, capsys):
    folder = str(model_folder)
    assert main([folder, "--samples", "300", "--dataset", "digits", "--output", folder]) == 0
    command = [str(model_folder), "--dataset", "digits"]  # as many samples as the record has
    entry = json.loads((model_folder / "metrics.json").read_text())
    assert entry["metrics"].keys() == entry["spread"].keys()
    assert entry["protocol"]["samples"] == 300
    assert entry["protocol"]["weights"] == "ema"
    assert entry["protocol"]["training_images"] == 1500
    assert entry["cost"]["training_seconds"] > 0
    before = (model_folder / "metrics.json").read_text()
    capsys.readouterr()
    assert main([*command, "--check"]) == 0
    assert f"all {len(entry['metrics'])} figures are within their spread" in capsys.readouterr().out
    assert (model_folder / "metrics.json").read_text() == before, "a check writes nothing"
    assert main([*command, "--check", "--samples", "200"]) == 2
    assert "--samples: the record of cgan-digits is of 300, with which no other number compares, got 200" in (
        capsys.readouterr().err
    )
    small = {"metrics": {**entry["metrics"], "kernel_distance": 1e-05}, "spread": entry["spread"]}
    (model_folder / "metrics.json").write_text(json.dumps({**entry, **small}))
    assert main([*command, "--check"]) == 1, "numbers of any form are read"
    entry["metrics"]["precision"] += 2 * entry["spread"]["precision"]
    (model_folder / "metrics.json").write_text(json.dumps(entry))
    capsys.readouterr()
    assert main([*command, "--check"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("OUTSIDE") == 1
    assert "not found again within their spread, see above: cgan-digits" in captured.err


def test_a_record_measured_otherwise_is_not_replaced_in_passing(model_folder, capsys):
    path = model_folder / "metrics.json"
    before = path.read_text()
    command = [str(model_folder), "--dataset", "digits"]
    for more in (["--samples", "200"], ["--split", "train"]):
        assert main([*command, *more]) == 0
        captured = capsys.readouterr()
        assert f"metrics.json: was measured otherwise and stays; to replace it: --output {model_folder}" in captured.err
        assert "frechet_distance" in captured.out
        assert ("memorized_share" in captured.out) == ("--split" not in more), "no copies of themselves"
        assert path.read_text() == before
    entry = json.loads(before)
    entry["metrics"]["anomaly_auc"], entry["spread"]["anomaly_auc"] = 0.9, 0.01
    path.write_text(json.dumps(entry))
    assert main(command) == 0
    assert "metrics.json: has anomaly_auc too and stays" in capsys.readouterr().err
    assert main([*command, "--output", str(model_folder)]) == 0
    assert "anomaly_auc" not in path.read_text()


def test_a_run_and_its_final_model_keep_one_record(model_folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(model_folder, run / "final")
    entry = json.loads((run / "final" / "metrics.json").read_text())
    entry["metrics"]["precision"] = 0.0
    for path in (run / "metrics.json", run / "final" / "metrics.json"):
        path.write_text(json.dumps(entry))
    assert main([str(run), "--dataset", "digits"]) == 0
    assert json.loads((run / "metrics.json").read_text())["metrics"]["precision"] > 0
    assert (run / "metrics.json").read_bytes() == (run / "final" / "metrics.json").read_bytes()


def test_runs_of_one_name_have_a_column_each(model_folder, tmp_path, capsys):
    other = shutil.copytree(model_folder, tmp_path / "again")
    assert main([str(model_folder), str(other), "--dataset", "digits", "--samples", "100"]) == 0
    assert f"| | cgan-digits | cgan-digits ({other}) |" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--output", "--pairs"])
def test_a_file_in_the_way_is_said_before_anything_is_measured(model_folder, tmp_path, capsys, option):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" if option == "--output" else tmp_path / "file" / "pairs.png"
    assert main([str(model_folder), "--dataset", "digits", option, str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert str(tmp_path / "file") in captured.err
    assert not captured.out


def test_floor_and_ceiling_enclose_a_model(model_folder, capsys):
    arguments = ["--floor", "--ceiling", str(model_folder), "--dataset", "digits", "--samples", "200"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    table = out[out.index("digits, test, features of") :]
    row = next(line for line in table.splitlines() if line.startswith("| frechet_distance"))
    model, floor, ceiling = (float(cell.split(" ± ")[0]) for cell in row.strip("| ").split(" | ")[1:])
    assert floor <= model < ceiling / 10  # of so few digits the model's are no further than real ones


def test_a_folder_of_images(tmp_path, capsys):
    test = load_images("digits", split="test", limit=40)
    for i, (image, label) in enumerate(zip(test.images, test.labels.tolist(), strict=True)):
        (tmp_path / "made" / str(label)).mkdir(parents=True, exist_ok=True)
        larger = image.repeat_interleave(1 + i % 2, 1).repeat_interleave(1 + i % 2, 2)  # of two sizes
        save_png(larger, tmp_path / "made" / str(label) / f"{i}.png")
    pairs, output = tmp_path / "pairs.png", tmp_path / "out"
    arguments = ["--images", str(tmp_path / "made"), "--dataset", "digits", "--output", str(output)]
    assert main([*arguments, "--pairs", str(pairs)]) == 0
    entry = json.loads((output / "metrics.json").read_text())
    assert entry["protocol"]["samples"] == 40
    assert entry["metrics"]["precision"] == 1
    assert entry["protocol"]["caution"] == "40 images for 64 features: the distance comes out too high"
    assert pairs.is_file()
    (tmp_path / "empty").mkdir()
    assert main(["--images", str(tmp_path / "empty"), "--dataset", "digits"]) == 2
    assert "the folder is empty" in capsys.readouterr().err


def test_a_sorted_folder_has_no_larger_spread(tmp_path):
    """Blocks of one class each would differ far more than blocks of all classes."""
    test, spreads = load_images("digits", split="test"), []
    for name in ("sorted", "mixed"):
        for i, (image, label) in enumerate(zip(test.images, test.labels.tolist(), strict=True)):
            (folder := tmp_path / name / str(label if name == "sorted" else 0)).mkdir(parents=True, exist_ok=True)
            save_png(image, folder / f"{i:03d}.png")
        made = read_samples(str(tmp_path / name), Reference(test, "test", metrics.pixel_extractor()))
        features = metrics.extract(made.images, metrics.pixel_extractor())
        found = metrics.fidelity(generated=features, real=metrics.extract(test.images[::2], metrics.pixel_extractor()))
        spreads.append(found["frechet_distance"].spread)
    assert 0.5 < spreads[0] / spreads[1] < 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to measure"),
        (["cgan-digits", "--samples", "9"], "--samples: 9 are too few"),
        (["a", "b", "--output", "out"], "write for one subject"),
        (["--floor", "--dataset", "digits", "--check"], "compares models with their metrics.json"),
    ],
)
def test_commands_that_make_no_sense(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cgan-digit"], "did you mean 'cgan-digits'"),
        (["--floor"], "--dataset: say what the images are compared with"),
        (["--floor", "--dataset", "mnsit"], "no such folder, and not a Hub id"),
        (["cgan-digits", "--extractor", "inception"], "needs --weights PATH"),
        (["cgan-digits", "--extractor", "classifier-minst"], "did you mean 'classifier-mnist'"),
        (["cgan-digits", "--extractor", "classifier-mnist"], r"expected shape \(n, 1, 28, 28\)"),
    ],
)
def test_mistakes_are_one_line(arguments, message, capsys):
    assert main([*arguments, "--samples", "10"]) == 2
    import re

    assert re.search(message, capsys.readouterr().err)


def test_the_picture_of_pairs_is_never_bundled(capsys):
    from genhub.hub import PRETRAINED

    with pytest.raises(SystemExit):
        main(["cgan-digits", "--pairs", str(PRETRAINED / "cgan-digits" / "pairs.png")])
    assert "which are not published" in capsys.readouterr().err


# -- tables


def entry(extractor="judge", digest="aa", samples=20, **figures) -> dict:
    protocol = {
        "samples": samples,
        "dataset": "toys",
        "split": "test",
        "test_images": 9,
        "extractor": extractor,
        "extractor_sha256": digest,
    }
    return {"protocol": protocol, "metrics": figures, "spread": dict.fromkeys(figures, 0.1), "cost": {}}


def test_figures_of_different_extractors_share_no_table():
    require_comparable({"a": entry(), "b": entry()})
    for other in (entry(extractor="inception-v3-compat"), entry(digest="bb")):
        with pytest.raises(ValueError, match="a, b: measured with different protocols"):
            require_comparable({"a": entry(), "b": other})
    text = tables({"a": entry(x=1.0), "b": entry(digest="bb", x=2.0), "c": entry(x=3.0, y=4.0)})
    assert "| x | 1.0 ± 0.1 | 3.0 ± 0.1 |" in text
    assert "| y | – | 4.0 ± 0.1 |" in text
    assert "| x | 2.0 ± 0.1 |" in text
    lines, fine = compare(entry(x=1.0), entry(digest="bb", x=1.0))
    assert not fine
    assert "another extractor" in lines[0]


def test_figures_of_different_sample_counts_share_no_table():
    few, many, none = entry(samples=20, x=1.0), entry(samples=1000, x=2.0), entry(samples=0, x=3.0)
    parts = tables({"autoencoder": none, "few": few, "many": many}).split("\ntoys, test, features of judge, ")
    assert parts[1] == "20 samples\n\n| | few | autoencoder |\n|---|---|---|\n| x | 1.0 ± 0.1 | 3.0 ± 0.1 |\n"
    assert parts[2] == "1,000 samples\n\n| | many |\n|---|---|\n| x | 2.0 ± 0.1 |"


def test_a_figure_that_is_not_measured_again_is_no_pass():
    lines, fine = compare(entry(x=1.0, y=2.0), entry(x=1.0))
    assert not fine
    assert "y: 2.0 — NOT MEASURED AGAIN" in lines[1]


def test_evaluate_writes_what_it_returns(tmp_path):
    record = evaluate(tmp_path, tiny.build("gan"), toys(), 20, "raw", train=toys(), pairs=tmp_path / "pairs.png")
    assert json.loads((tmp_path / "metrics.json").read_text()) == record
    assert record["protocol"]["extractor"] == "pixels pooled to 8×8"
    assert (tmp_path / "pairs.png").is_file()
