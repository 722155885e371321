"""``train.py`` as its user meets it: what it reads, prints, writes and refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from tiny_runs import NETWORKS, assert_same_run, read_log, run, tiny_recipe, write_recipe

import genhub
import training.evaluate
import training.finish
import training.objectives
import training.process
import training.run
import training.train
from genhub import GenHubCGAN, GenHubDiscriminator
from genhub.data import load_images
from genhub.images import to_uint8
from training.checkpoints import Checkpoints
from training.config import parse_config

ROOT = Path(__file__).resolve().parents[1]
FINAL = {
    "README.md", "config.json", "metrics.json", "model.safetensors", "samples.png",
    "training_config.yaml", "training_log.jsonl", "training_summary.json",
}  # fmt: skip
CRITIC = {"discriminator/config.json", "discriminator/model.safetensors"}


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(training.run, "PROBE", 40)
    monkeypatch.setattr(training.finish, "SAMPLES", 40)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# -- a whole run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adversarial", "autoencoder", "vae", "vae_gan", "classifier", "diffusion"])
def test_run_folder(tmp_path, capsys, kind):
    assert run(tmp_path, tiny_recipe(kind, max_steps=3, checkpoint_every=2)) == 0
    folder = tmp_path / "tiny"
    final = FINAL | (CRITIC if kind in ("adversarial", "vae_gan") else set())
    steps = {f"checkpoints/step-{step:08d}/{name}" for step in (2, 3) for name in ("state.json", "state.safetensors")}
    records = {".lock", "config.yaml", "log.jsonl", "metrics.json", "summary.json", "grids/step-00000003.png"}
    if kind in ("adversarial", "vae", "vae_gan", "diffusion"):
        records.add("closest_pairs.png")  # with images of the dataset, hence not in final/
    assert files(folder) == {f"final/{name}" for name in final} | steps | records
    model = genhub.load(folder / "final")
    assert type(model).__name__ == NETWORKS[kind]["class"]
    assert model.metadata == {"name": "tiny", "dataset": "digits", "source": "digits"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["recipe"] == "tiny"
    assert summary["steps"] == 3
    assert summary["images_seen"] == 24
    assert summary["parameters"]["model"] == model.num_parameters()
    log = read_log(folder)
    best = min((record["quality"], record["step"]) for record in log if "quality" in record)
    assert (summary["best"]["value"], summary["best"]["step"]) == pytest.approx(best, rel=1e-5)
    assert json.loads((folder / "metrics.json").read_text())["protocol"]["split"] == "test"
    out = capsys.readouterr().out
    assert "tiny: 64 images of digits\n" in out
    assert "budget: 3 steps of 8 images on cpu\n" in out
    assert f"done: {folder / 'final'} holds the model" in out


def test_log_of_a_gan(tmp_path):
    assert run(tmp_path, tiny_recipe(max_steps=4, log_every=2, schedule={"name": "linear", "final": 0.0})) == 0
    lines = [record for record in read_log(tmp_path / "tiny") if "d_real" in record]
    assert [line["step"] for line in lines] == [2, 4]
    assert set(lines[0]) == {
        "step", "images", "seconds", "d_real", "d_fake_before", "d_fake_after", "generator_loss", "discriminator_loss",
        "accuracy_real", "accuracy_fake", "lr_model", "lr_discriminator", "images_per_second",
    }  # fmt: skip
    assert [line["images"] for line in lines] == [16, 32]
    assert [line["lr_model"] for line in lines] == pytest.approx([2e-4 * 0.75, 2e-4 * 0.25]), "of the step just made"
    assert all(line["images_per_second"] > 0 for line in lines)


def test_logged_values_are_means_since_the_last_line(tmp_path):
    (tmp_path / "each").mkdir()
    (tmp_path / "pairs").mkdir()
    assert run(tmp_path / "each", tiny_recipe("vae", max_steps=4, log_every=1)) == 0
    assert run(tmp_path / "pairs", tiny_recipe("vae", max_steps=4, log_every=2)) == 0
    each = [record["kl"] for record in read_log(tmp_path / "each" / "tiny") if "kl" in record]
    pairs = [record["kl"] for record in read_log(tmp_path / "pairs" / "tiny") if "kl" in record]
    assert pairs == pytest.approx([sum(each[:2]) / 2, sum(each[2:]) / 2], rel=1e-4)


def test_saved_are_the_best_averaged_weights(tmp_path, monkeypatch):
    """Quality is best at the first of three checkpoints: the final model is the average of that moment."""
    values = iter([1.0, 3.0, 2.0])
    averages = []

    def measure(model, *arguments):
        averages.append({key: value.clone() for key, value in model.state_dict().items()})
        return {"frechet_distance": next(values)}

    monkeypatch.setattr(training.run, "measure", measure)
    assert run(tmp_path, tiny_recipe(max_steps=6, ema=0.9, optimizer={"lr": 0.01})) == 0
    saved = genhub.load(tmp_path / "tiny" / "final").state_dict()
    for key, value in averages[0].items():
        torch.testing.assert_close(saved[key], value, rtol=1e-3, atol=1e-4)
    assert any((saved[key] - value).abs().max() > 1e-3 for key, value in averages[2].items())
    alarms = [record["alarm"] for record in read_log(tmp_path / "tiny") if "alarm" in record]
    assert "divergence: frechet_distance is 3, it has been 1; the best weights are kept" in alarms


def test_same_seed_same_run_other_seed_other_run(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (7, 7, 8), strict=True):
        folder.mkdir()
        assert run(folder, tiny_recipe(), "--seed", str(seed)) == 0
    assert_same_run(folders[0] / "tiny", folders[1] / "tiny")
    a, c = ((folder / "tiny" / "final" / "model.safetensors").read_bytes() for folder in (folders[0], folders[2]))
    assert a != c


def test_grid_has_one_class_per_column(tmp_path):
    assert run(tmp_path, tiny_recipe(samples=30)) == 0
    with Image.open(tmp_path / "tiny" / "grids" / "step-00000002.png") as picture:
        width, height = 10 * (8 + 2) + 2, 3 * (8 + 2) + 2  # ten columns, three rows, eight pixels and a border each
        assert picture.size == (6 * width, 6 * height), "enlarged to be looked at"
        assert picture.mode == "L"


def test_published_records_name_no_local_folder(tmp_path, parquet_folder):
    source = parquet_folder("mnist", 40)
    assert run(tmp_path, tiny_recipe(data={}), "--dataset", str(source)) == 0
    final = tmp_path / "tiny" / "final"
    for name in ("config.json", "training_config.yaml", "training_summary.json", "metrics.json", "README.md"):
        assert str(tmp_path) not in (final / name).read_text(), name
    assert yaml.safe_load((final / "training_config.yaml").read_text())["dataset"] == "ylecun/mnist"
    assert yaml.safe_load((tmp_path / "tiny" / "config.yaml").read_text())["dataset"] == str(source)
    assert run(tmp_path, tiny_recipe(name="next", data={}), "--dataset", str(source), "--init-from", str(final)) == 0
    published = (tmp_path / "next" / "final" / "training_config.yaml").read_text()
    assert str(tmp_path) not in published
    assert yaml.safe_load(published)["init_from"] == "tiny"


# -- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        ({"max_steps": 3}, 3),
        ({"max_steps": None, "max_images": 17}, 3),
        ({"max_steps": 2, "max_images": 800}, 2),
    ],
)
def test_budget(tmp_path, budget, steps):
    assert run(tmp_path, tiny_recipe("autoencoder", **budget)) == 0
    assert read_log(tmp_path / "tiny")[-1]["step"] == steps


def test_time_budget(tmp_path):
    assert run(tmp_path, tiny_recipe("autoencoder", max_steps=None, max_minutes=0.01, checkpoint_every=10**6)) == 0
    last = json.loads((tmp_path / "tiny" / "summary.json").read_text())
    assert last["steps"] > 0
    assert 0.6 <= last["train_seconds"] < 5


# -- modes ------------------------------------------------------------------------------------------------------------


def test_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, None, "--dry-run", "--trackers", "[tensorboard]") == 0
    assert not list(tmp_path.rglob("*"))
    assert "budget: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "nowhere"], "error: nowhere: no such folder, and not a Hub id 'user/name'; "),
        (["--data.label_column", "x", "--data.split", "validation"], "error: digits: has no split 'validation'; "),
        (["--model.latent_dim", "0"], "error: model.latent_dim: expected a whole number above 0, got 0"),
        (["--data.image_size", "9"], "error: model: stages: must end in tanh images of shape (1, 9, 9)"),
        (["--batch-size", "4096"], "error: digits: has 1500 images, fewer than one batch of 4096; lower --batch_size"),
    ],
)
def test_dry_run_checks_data_and_networks(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, None, "--dry-run", *arguments) == 2
    assert capsys.readouterr().err.startswith(message)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision(tmp_path, precision):
    assert run(tmp_path, tiny_recipe(mixed_precision=precision)) == 0
    assert json.loads((tmp_path / "tiny" / "summary.json").read_text())["mixed_precision"] == precision


@pytest.mark.timeout(600)  # the compiler takes most of it
def test_compiled_run_gives_the_same_model(tmp_path):
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    plain.mkdir()
    compiled.mkdir()
    recipe = tiny_recipe("vae", optimizer={"name": "sgd", "lr": 1e-4})
    assert run(plain, recipe) == 0
    assert run(compiled, recipe, "--compile", "true") == 0
    torch._dynamo.reset()
    weights = [genhub.load(folder / "tiny" / "final").state_dict() for folder in (plain, compiled)]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-2, atol=1e-3)


def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run(tmp_path, tiny_recipe(max_steps=3), "--trackers", "[tensorboard]") == 0
    events = EventAccumulator(str(next((tmp_path / "tiny").rglob("events.out.tfevents.*")).parent))
    events.Reload()
    logged = [record["generator_loss"] for record in read_log(tmp_path / "tiny") if "generator_loss" in record]
    assert [event.step for event in events.Scalars("generator_loss")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("generator_loss")] == pytest.approx(logged, rel=1e-4)


def test_trackio_without_network(tmp_path):
    """In a process of its own: the tracker starts threads and reads its folder's name when it is imported."""
    command = [sys.executable, str(ROOT / "training" / "train.py"), "--recipe", write_recipe(tmp_path, tiny_recipe())]
    command += ["--output-dir", str(tmp_path), "--trackers", "[trackio]"]
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    records = b"".join(path.read_bytes() for path in (tmp_path / "trackio").rglob("genhub.db*"))
    assert b"generator_loss" in records


# -- data -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def parquet_folder(tmp_path, monkeypatch):
    """Makes folders of parquet files in the Hub's layout out of the digits."""
    import datasets

    # A stream that is left waits so many seconds for threads that nobody is in the way of here.
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)

    def make(
        name: str,
        n: int,
        labelled: bool = True,
        splits: tuple[str, ...] = ("train", "test"),
        test_label: Callable[[int], int] | None = None,
        second: bool = False,
    ) -> Path:
        """With ``test_label`` the labels are bare numbers, those of the test images what it makes of them; with
        ``second`` there is a column ``picture`` of the same images."""
        bunch = load_digits()
        folder = tmp_path / name
        folder.mkdir()
        for split in splits:
            pixels = [Image.fromarray((image * 15).astype(np.uint8)) for image in bunch.images[:n]]
            columns = {"image": pixels}
            features = {"image": datasets.Image()}
            if second:
                columns["picture"], features["picture"] = pixels, datasets.Image()
            if labelled:
                columns["label"] = bunch.target[:n].tolist()
                features["label"] = datasets.ClassLabel(names=[str(i) for i in range(10)])
            if test_label is not None:
                features["label"] = datasets.Value("int64")
                if split == "test":
                    columns["label"] = [test_label(label) for label in columns["label"]]
            rows = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
            rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return folder

    return make


def test_streaming_trains_and_resumes_exactly(tmp_path, parquet_folder):
    source = str(parquet_folder("streamed", 50))
    recipe = tiny_recipe(dataset=source, max_steps=10, checkpoint_every=3, data={"streaming": True})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    assert run(whole, recipe) == 0  # 10 batches of 8: into the second epoch of 50
    assert run(stopped, recipe, "--max-steps", "6") == 0
    assert run(stopped, None, "--resume", str(stopped / "tiny"), "--max-steps", "10") == 0
    tensors, others = (Checkpoints(folder / "tiny" / "checkpoints").load_newest()[0] for folder in (whole, stopped))
    assert all(torch.equal(value, others[key]) for key, value in tensors.items())
    grids = sorted(path.name for path in (whole / "tiny" / "grids").iterdir())
    assert grids == [f"step-{step:08d}.png" for step in (3, 6, 9, 10)], "a stream draws with its checkpoints"


def test_set_without_test_split(tmp_path, parquet_folder, capsys):
    source = parquet_folder("untested", 40, splits=("train",))
    assert run(tmp_path, tiny_recipe(data={}), "--dataset", str(source)) == 0
    assert f"warning: no test images to measure on ({source}: split 'test' cannot be read" in capsys.readouterr().err
    record = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
    assert record["protocol"]["split"] == "train"
    assert record["protocol"]["held_out"] is False
    assert "memorized_share" not in record["metrics"], "all images that it is measured on are training images"


HIDDEN, OTHER = "they have no labels", "they have other classes than the training images"


@pytest.mark.parametrize(
    ("kind", "test_label", "warned"),
    [
        ("classifier", lambda label: label % 5, ""),
        ("diffusion", lambda label: label % 5, ""),
        ("vae", lambda label: label % 5, ""),
        ("classifier", lambda label: -1, HIDDEN),
        ("diffusion", lambda label: -1, HIDDEN),
        ("adversarial", lambda label: label + 1, OTHER),
    ],
)
def test_test_images_of_other_labels(tmp_path, parquet_folder, capsys, kind, test_label, warned):
    """Fewer classes are read as those trained on; with hidden or other ones there is nothing to measure on."""
    recipe = tiny_recipe(kind, data={})
    if kind == "vae":
        recipe["model"] = {**recipe["model"], "decoder": [{"op": "label"}, *recipe["model"]["decoder"]]}
    source = parquet_folder("numbered", 60, test_label=test_label)
    assert run(tmp_path, recipe, "--dataset", str(source)) == 0
    record = json.loads((tmp_path / "tiny" / "metrics.json").read_text())
    assert record["protocol"]["split"] == ("train" if warned else "test")
    message = capsys.readouterr().err
    assert (f"warning: no test images to measure on ({source}: {warned}); quality is" in message) == bool(warned)
    if not warned:
        command = [str(tmp_path / "tiny"), "--dataset", str(source), "--check"]
        assert training.evaluate.main(command) == 0, "as measured by the command"


def test_test_images_without_labels_serve_a_model_without_labels(tmp_path, parquet_folder):
    source = parquet_folder("hidden", 40, test_label=lambda label: -1)
    assert run(tmp_path, tiny_recipe("vae", data={}), "--dataset", str(source)) == 0
    assert json.loads((tmp_path / "tiny" / "metrics.json").read_text())["protocol"]["split"] == "test"


def test_the_command_measures_with_the_columns_and_splits_of_the_run(tmp_path, parquet_folder, capsys):
    source = parquet_folder("columns", 40, second=True)
    columns = {"image_column": "picture", "label_column": "label"}
    assert run(tmp_path, tiny_recipe(data=columns), "--dataset", str(source)) == 0
    command = [str(tmp_path / "tiny"), "--dataset", str(source)]
    assert training.evaluate.main([*command, "--check"]) == 0
    path = tmp_path / "tiny" / "final" / "training_config.yaml"
    path.write_text(path.read_text().replace("split: train", "split: test"))
    capsys.readouterr()
    assert training.evaluate.main(command) == 0
    assert "split 'test' is what is measured against" in capsys.readouterr().err


def test_who_trains_on_the_test_images_is_measured_on_the_others(tmp_path):
    assert run(tmp_path, tiny_recipe(data={"split": "test"})) == 0
    protocol = json.loads((tmp_path / "tiny" / "metrics.json").read_text())["protocol"]
    assert (protocol["split"], protocol["test_images"], protocol["training_images"]) == ("train", 1500, 297)


@pytest.mark.parametrize(
    ("split", "measured", "held_out"),
    [
        ("train[:80%]", "test", True),
        ("test[:50%]", "train", True),
        ("train + test", "train + test", False),
        ("tests", "test", True),
    ],
)
def test_no_split_is_measured_on_that_is_trained_on(monkeypatch, split, measured, held_out):
    digits = load_images("digits")
    monkeypatch.setattr(training.finish, "load_images", lambda *arguments, **options: digits)
    config = parse_config(tiny_recipe(data={"split": split}))
    _, found, warning = training.finish.held_out(config, digits, True)
    assert found == measured
    assert ("no test images to measure on (digits: they are trained on)" in warning) != held_out


@pytest.mark.parametrize("streaming", ["true", "false"])
def test_conditional_recipe_needs_labels(tmp_path, parquet_folder, capsys, streaming):
    source = parquet_folder("bare", 40, labelled=False)
    arguments = ["--dataset", str(source), "--data.streaming", streaming]
    assert run(tmp_path, tiny_recipe(data={}), *arguments) == 2
    message = capsys.readouterr().err
    assert f"error: dataset: {source} has no labels, and this recipe needs them; name the column with" in message
    assert not (tmp_path / "tiny").exists()
    assert run(tmp_path, tiny_recipe("vae", data={}), *arguments) == 0, "an unconditional one does not"


def test_set_smaller_than_a_batch(tmp_path, capsys):
    assert run(tmp_path, tiny_recipe(data={"limit": 7})) == 2
    assert capsys.readouterr().err == "error: digits: has 7 images, fewer than one batch of 8; lower --batch_size\n"


# -- alarms -----------------------------------------------------------------------------------------------------------


def test_divergence_ends_the_run_and_leaves_the_checkpoint(tmp_path, monkeypatch, capsys):
    update = training.objectives.Adversarial.update

    def spoil(objective, batches, step):
        logs = update(objective, batches, step)
        if step == 3:  # the losses of this step are still finite; a checkpoint is due right after it
            next(objective.model.parameters()).data[0] = float("nan")
        return logs

    monkeypatch.setattr(training.objectives.Adversarial, "update", spoil)
    assert run(tmp_path, tiny_recipe(max_steps=8, log_every=100)) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: step 4: stages.blocks.1.op.weight of the model is no finite number; ")
    assert "start a new run with a lower learning rate, clipped gradients (--clip-norm 1) or another seed" in message
    checkpoints = Checkpoints(tmp_path / "tiny" / "checkpoints")
    assert checkpoints.steps() == [2]
    assert all(tensor.isfinite().all() for tensor in checkpoints.load_newest()[0].values())


def test_loss_that_is_no_number_is_logged_as_null(tmp_path, monkeypatch, capsys):
    def loss(objective, part):
        return part.images.new_tensor(float("nan"), requires_grad=True), {}

    monkeypatch.setattr(training.objectives.Autoencoder, "loss", loss)
    monkeypatch.setattr(training.objectives.Updater, "step", lambda updater: None)
    assert run(tmp_path, tiny_recipe("autoencoder")) == 2
    assert "error: step 1: loss is nan; start a new run with a lower learning" in capsys.readouterr().err
    assert read_log(tmp_path / "tiny")[-1]["loss"] is None


def test_collapse_is_said_and_logged(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training.run, "samples", lambda *arguments: torch.full((10, 1, 8, 8), 9, dtype=torch.uint8))
    assert run(tmp_path, tiny_recipe()) == 0
    assert "warning: step 2: mode collapse: images differ by 0.000" in capsys.readouterr().err
    assert any("mode collapse" in record.get("alarm", "") for record in read_log(tmp_path / "tiny"))


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_default_command_trains_readable_digits(tmp_path):
    """``accelerate launch training/train.py`` with few steps and samples, read by a classifier of real digits."""
    command = [sys.executable, "-m", "accelerate.commands.launch", str(ROOT / "training" / "train.py")]
    command += ["--max-steps", "300", "--evaluation-samples", "500"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "cgan-digits: 1500 images of digits"
    assert "Traceback" not in done.stderr
    ours = [line for line in done.stderr.splitlines() if "arning" in line and "accelerate" not in line]
    assert not ours, ours
    final = tmp_path / "runs" / "cgan-digits" / "final"
    model = GenHubCGAN.from_pretrained(final)
    assert GenHubDiscriminator.from_pretrained(final, subfolder="discriminator").class_names == model.class_names
    assert model.generate(10, labels=list(range(10)), seed=0).shape == (10, 1, 8, 8)
    assert readability(model) >= 0.8


def readability(model: GenHubCGAN, n: int = 500) -> float:
    """Share of samples that a support vector machine, trained on real digits, reads as what was asked for."""
    bunch = load_digits()
    reader = SVC(gamma=0.001, C=10).fit(bunch.data, bunch.target)
    labels = [i % 10 for i in range(n)]
    pixels = to_uint8(model.generate(n, labels=labels, seed=1)).flatten(1).numpy() * (16 / 255)
    return float((reader.predict(pixels) == labels).mean())


@pytest.mark.parametrize(
    ("asked", "openmp", "processes", "used"),
    [(None, "", 1, 6), (None, "1", 1, 6), (None, "1", 4, 1), (None, "1", 8, 1), (None, "3", 1, 0), (5, "3", 1, 5)],
)
def test_a_run_uses_the_cores_that_it_is_granted(asked, openmp, processes, used, monkeypatch):
    """The share of its process, unless its config or OpenMP's variable says otherwise. 0 stands for no change."""
    chosen = [0]
    monkeypatch.setattr(training.process, "cpu_count", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if openmp:
        monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    training.process.set_threads(parse_config(tiny_recipe(threads=asked)))
    assert chosen[-1] == used


def test_help_names_recipes_and_keys(capsys):
    with pytest.raises(SystemExit):
        training.train.main(["--help"])
    out = capsys.readouterr().out
    assert "digits/cgan" in out
    assert "checkpoint_every" in out
