"""A run that was killed, stopped or damaged continues as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_runs
import torch
import yaml
from tiny_images import write_image_folder
from tiny_runs import assert_same_run, forked, last_checkpoint, read_log, run, start, tiny_recipe, wait, without_clock

import training.checkpoints
import training.finish
import training.objectives
import training.records
import training.run
import training.train
from genhub import convolution
from training.checkpoints import CheckpointError, Checkpoints, write_folder, write_text
from training.command import exit_status
from training.folders import claimed

ROOT = Path(__file__).resolve().parents[1]
KILLS = 20
STEPS = 40
# Two checkpoints in three steps, so that many kills hit one being written; log lines and checkpoints out of phase.
RECIPE = tiny_recipe(
    max_steps=STEPS,
    checkpoint_every=2,
    log_every=3,
    schedule={"name": "cosine", "warmup": 3, "final": 0.1},
    discriminator_optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9},
    objective={"diffaugment": ["translation"], "critic_steps": 2},
    data={"limit": 48, "flip": True},
    batch_size=8,
)


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(training.run, "PROBE", 40)
    monkeypatch.setattr(training.finish, "SAMPLES", 40)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "PROBE", 40)
        patch.setattr(training.finish, "SAMPLES", 40)
        assert leg(folder, first=True) == 0, (folder / "out.txt").read_text()
    return folder / "tiny"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_calls(limit: int | None) -> list[int]:
    """Count the calls that the training code makes, into functions of its own or of C, and die at number ``limit``.

    It starts with the first file that a run writes: before, there is nothing that a kill could spoil.
    """
    counter = [0]
    package = str(ROOT / "training")
    first_write = training.train.write_text

    def profile(frame, event, argument):
        if event in ("call", "c_call") and frame.f_code.co_filename.startswith(package):
            counter[0] += 1
            if counter[0] == limit:
                die()

    def begin(*arguments):
        sys.setprofile(profile)
        first_write(*arguments)

    training.train.write_text = begin
    return counter


def leg(folder: Path, first: bool, limit: int | None = None) -> int:
    """Start or continue the run in a fork; it dies at call number ``limit``. The exit code."""
    arguments = () if first else ("--resume", str(folder / "tiny"))

    def work() -> int:
        counter = count_calls(limit)
        code = run(folder, RECIPE if first else None, *arguments)
        sys.setprofile(None)
        (folder / "calls.txt").write_text(str(counter[0]))
        return code

    return forked(work, folder / "out.txt")


def test_killed_anywhere(tmp_path, undisturbed):
    """Killed at 20 random calls, one after the other; a leg gets on by a step or two."""
    calls = int((undisturbed.parent / "calls.txt").read_text())
    rng, steps, first = random.Random(5), [], True
    for _ in range(KILLS):
        limit = rng.randrange(1, calls // 10)
        code = leg(tmp_path, first, limit)
        assert code == -signal.SIGKILL, (code, limit, (tmp_path / "out.txt").read_text())
        first = not (tmp_path / "tiny" / "config.yaml").is_file()
        if first:
            shutil.rmtree(tmp_path / "tiny", ignore_errors=True)
        steps.append(max(Checkpoints(tmp_path / "tiny" / "checkpoints").steps(), default=0))
    assert steps == sorted(steps), "a kill lost a checkpoint"
    assert 6 < steps[-1] < STEPS, f"the kills must lie inside the run: {steps}"
    assert leg(tmp_path, first) == 0, (tmp_path / "out.txt").read_text()
    assert_same_run(tmp_path / "tiny", undisturbed)


def half_written(path: str | Path) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[: Path(path).stat().st_size // 2])


def die_on(patch: pytest.MonkeyPatch, module: object, name: str, count: int, spoil=None) -> None:
    """Let the ``count``-th call of a function be the last thing that happens; ``spoil`` halves what it wrote."""
    real, calls = getattr(module, name), [0]

    def deadly(*arguments, **options):
        calls[0] += 1
        if calls[0] == count:
            if spoil:
                real(*arguments, **options)
                spoil(*arguments)
            die()
        return real(*arguments, **options)

    patch.setattr(module, name, deadly)


def test_killed_while_writing(tmp_path, undisturbed):
    """Each leg dies at one of the moments that could leave a half-written file or folder behind."""
    moments = [
        (training.checkpoints, "save_file", 1, lambda tensors, path: half_written(path)),  # the first checkpoint
        (training.checkpoints, "save_file", 3, lambda tensors, path: half_written(path)),
        (training.checkpoints, "flush", 2, None),  # config.yaml is safe, the checkpoint's files are not yet
        (Path, "rename", 2, None),  # a whole checkpoint, not yet in its place
        (shutil, "rmtree", 5, None),  # the new one is in place, the old one not yet gone
        (training.train, "write_text", 1, None),  # config.yaml is about to be replaced
        (os, "replace", 1, None),
        (training.finish, "evaluate", 1, None),  # training is over, final/ half made
        (training.finish, "write_text", 1, None),
    ]
    first = True
    for module, name, count, spoil in moments:

        def work(module=module, name=name, count=count, spoil=spoil, first=first) -> int:
            die_on(pytest.MonkeyPatch(), module, name, count, spoil)
            return run(tmp_path, RECIPE if first else None, *(() if first else ("--resume", str(tmp_path / "tiny"))))

        code = forked(work, tmp_path / "out.txt")
        assert code == -signal.SIGKILL, (name, code, (tmp_path / "out.txt").read_text())
        assert not (tmp_path / "tiny" / "final").exists()
        first = False
    assert leg(tmp_path, first=False) == 0, (tmp_path / "out.txt").read_text()
    assert_same_run(tmp_path / "tiny", undisturbed)
    assert not list(tmp_path.rglob(".*.partial")), "leftovers of the killed runs stay for ever"


def test_log_line_cut_in_half(tmp_path, undisturbed):
    write_line = training.records.Log.write

    def cut(log, step, values):
        write_line(log, step, values)
        if step == 9:
            half_written(log.path)  # the line of step 9 and some before it
            die()

    def work() -> int:
        training.records.Log.write = cut
        return run(tmp_path, RECIPE)

    assert forked(work, tmp_path / "out.txt") == -signal.SIGKILL
    kept = (tmp_path / "tiny" / "log.jsonl").read_bytes()
    assert not kept.endswith(b"\n")
    assert leg(tmp_path, first=False) == 0
    steps = [record["step"] for record in read_log(tmp_path / "tiny")]
    assert steps == sorted(steps)
    assert steps[-1] == STEPS
    assert json.loads((tmp_path / "tiny" / "final" / "metrics.json").read_text())["metrics"]
    assert_weights_equal(tmp_path / "tiny", undisturbed)


def assert_weights_equal(a: Path, b: Path) -> None:
    assert (a / "final" / "model.safetensors").read_bytes() == (b / "final" / "model.safetensors").read_bytes()
    tensors, others = last_checkpoint(a)[0], last_checkpoint(b)[0]
    assert all(torch.equal(value, others[key]) for key, value in tensors.items())


# -- stopped by its user ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_continued(tmp_path, undisturbed, number):
    update = training.objectives.Adversarial.update

    def interrupted(objective, batches, step):
        if step == 6:
            os.kill(os.getpid(), number)
        return update(objective, batches, step)

    def work() -> int:
        training.objectives.Adversarial.update = interrupted
        return run(tmp_path, RECIPE)

    assert forked(work, tmp_path / "out.txt") == 130
    assert f"stopped at step 7; continue with: --resume {tmp_path / 'tiny'}" in (tmp_path / "out.txt").read_text()
    assert last_checkpoint(tmp_path / "tiny")[1]["step"] == 7, "step 7 is between two checkpoints"
    assert not (tmp_path / "tiny" / "final").exists()
    assert leg(tmp_path, first=False) == 0, (tmp_path / "out.txt").read_text()
    assert_same_run(tmp_path / "tiny", undisturbed)


def test_stopped_while_the_last_checkpoint_was_judged(tmp_path, undisturbed):
    def interrupted(run):
        assess(run)
        if run.is_over():
            os.kill(os.getpid(), signal.SIGINT)

    def work() -> int:
        training.run.Run.assess = interrupted
        return run(tmp_path, RECIPE)

    assess = training.run.Run.assess
    assert forked(work, tmp_path / "out.txt") == 130
    assert "continue with: --resume" in (tmp_path / "out.txt").read_text()
    assert not (tmp_path / "tiny" / "final").exists()
    assert leg(tmp_path, first=False) == 0, (tmp_path / "out.txt").read_text()
    assert_same_run(tmp_path / "tiny", undisturbed)


def test_second_interrupt_acts_at_once(tmp_path):
    def interrupted(objective, batches, step):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    def work() -> int:
        training.objectives.Adversarial.update = interrupted
        return run(tmp_path, RECIPE)

    assert forked(work, tmp_path / "out.txt") == -signal.SIGTERM


@pytest.mark.parametrize(("place", "begun"), [("Run", False), ("finish", True)])
def test_interrupt_outside_of_the_loop_is_one_line(tmp_path, monkeypatch, capsys, place, begun):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.train, place, interrupt)
        assert exit_status(lambda: run(tmp_path, tiny_recipe())) == 130
    folder, said = tmp_path / "tiny", capsys.readouterr().err.splitlines()[-1]
    assert said == (f"interrupted; continue with: --resume {folder}" if begun else "interrupted")
    assert folder.exists() == begun
    if begun:
        assert run(tmp_path, None, "--resume", str(folder)) == 0


# -- other ways to continue -------------------------------------------------------------------------------------------


def test_newest_run_of_the_recipe_keeps_its_own_config(tmp_path):
    recipe = tiny_recipe(data={"limit": 40, "shift": 0.1})
    assert run(tmp_path, recipe) == 0
    assert run(tmp_path, recipe) == 0
    assert run(tmp_path, recipe, "--name", "tiny-other") == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"tiny", "tiny-2", "tiny-other"}
    changed = tiny_recipe(data={"limit": 64})  # the recipe was edited since; the run goes on with what it had
    assert run(tmp_path, changed, "--resume", "--max-steps", "4") == 0
    log = read_log(tmp_path / "tiny-2")
    assert log[-1]["step"] == 4
    assert read_log(tmp_path / "tiny")[-1]["step"] == 2
    assert "limit: 40" in (tmp_path / "tiny-2" / "config.yaml").read_text()


def test_larger_budget_extends_a_finished_run(tmp_path):
    whole, extended = tmp_path / "whole", tmp_path / "extended"
    whole.mkdir()
    extended.mkdir()
    recipe = tiny_recipe()  # constant rates, so that the budget enters no step
    assert run(whole, recipe, "--max-steps", "6") == 0
    assert run(extended, recipe, "--max-steps", "4") == 0
    assert run(extended, None, "--resume", str(extended / "tiny"), "--max-steps", "6") == 0
    assert_weights_equal(whole / "tiny", extended / "tiny")
    first, second = ([r for r in without_clock(read_log(f / "tiny")) if "alarm" not in r] for f in (whole, extended))
    assert first == second


def test_finished_run_finishes_again(tmp_path):
    assert run(tmp_path, tiny_recipe()) == 0
    before = (tmp_path / "tiny" / "final" / "model.safetensors").read_bytes()
    log = read_log(tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "final")
    assert run(tmp_path, None, "--resume", str(tmp_path / "tiny")) == 0
    assert (tmp_path / "tiny" / "final" / "model.safetensors").read_bytes() == before
    assert read_log(tmp_path / "tiny") == log


def test_batches_may_be_split_otherwise_but_not_grow(tmp_path, capsys):
    assert run(tmp_path, tiny_recipe()) == 0
    folder = str(tmp_path / "tiny")
    assert run(tmp_path, None, "--resume", folder, "--max-steps", "4", "--accumulation", "2") == 0
    capsys.readouterr()
    assert run(tmp_path, None, "--resume", folder, "--max-steps", "6", "--batch-size", "16") == 2
    assert "batch_size: this run made steps of 8 images, now they would have 16" in capsys.readouterr().err
    assert run(tmp_path, None, "--resume", folder, "--max-steps", "6") == 0, "what was refused is forgotten"


def test_a_run_goes_on_with_its_own_data(tmp_path, capsys):
    write_image_folder(tmp_path / "pictures", 8)
    assert run(tmp_path, tiny_recipe("autoencoder", data={"channels": 1})) == 0
    folder = str(tmp_path / "tiny")
    more = ["--resume", folder, "--max-steps", "4"]
    capsys.readouterr()
    assert run(tmp_path, None, *more, "--dataset", str(tmp_path / "pictures")) == 2
    assert (
        f"error: --dataset: {tmp_path / 'pictures'} differs in images from what this run was" in capsys.readouterr().err
    )
    path = max((tmp_path / "tiny" / "checkpoints").glob("step-*")) / "state.json"
    record = json.loads(path.read_text())
    assert record.pop("data") == {"images": 1500, "class_names": [str(i) for i in range(10)]}
    path.write_text(json.dumps(record))
    assert run(tmp_path, None, *more) == 0, "an older checkpoint"


def test_a_run_is_alone_in_its_folder(tmp_path, capsys):
    assert run(tmp_path, tiny_recipe()) == 0
    log = (tmp_path / "tiny" / "log.jsonl").read_bytes()
    with claimed(None, tmp_path / "tiny"):
        capsys.readouterr()
        assert run(tmp_path, None, "--resume", str(tmp_path / "tiny"), "--max-steps", "4") == 2
    assert f"error: --resume: a run is still at work in {tmp_path / 'tiny'}; wait for its" in capsys.readouterr().err
    assert (tmp_path / "tiny" / "log.jsonl").read_bytes() == log
    assert run(tmp_path, None, "--resume", str(tmp_path / "tiny"), "--max-steps", "4") == 0


def test_runs_that_begin_at_once_have_folders_of_their_own(tmp_path):
    recipe = tiny_recipe()

    def work(seed: int) -> int:
        return run(tmp_path, recipe, "--seed", str(seed))

    children = [start(lambda seed=seed: work(seed), tmp_path / f"out-{seed}.txt") for seed in range(3)]
    assert [wait(child) for child in children] == [0, 0, 0]
    folders = [tmp_path / name for name in ("tiny", "tiny-2", "tiny-3")]
    assert {yaml.safe_load((folder / "config.yaml").read_text())["seed"] for folder in folders} == {0, 1, 2}
    for folder in folders:
        seeds = {yaml.safe_load(path.read_text())["seed"] for path in folder.rglob("*config.yaml")}
        assert len(seeds) == 1


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path, capsys):
    assert run(tmp_path, tiny_recipe(dataset="no/such")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
    file = tmp_path / "file"
    file.write_text("")
    capsys.readouterr()
    assert run(tmp_path, tiny_recipe(), "--output-dir", str(file)) == 2
    assert f"error: --output_dir: {file / 'tiny'} cannot be made (Not a directory)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "nowhere"], "--resume: nowhere is no run folder: it has no config.yaml"),
        (["--resume"], "--resume: no run of 'cgan-digits' in runs; leave --resume out to start one"),
        (["--resume", "nowhere", "--recipe", "digits/cgan"], "--recipe: nowhere has its own recipe"),
    ],
)
def test_nothing_to_continue(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, None, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_what_enters_the_weights_cannot_change(tmp_path, capsys):
    assert run(tmp_path, tiny_recipe()) == 0
    assert run(tmp_path, None, "--resume", str(tmp_path / "tiny"), "--seed", "1") == 2
    message = capsys.readouterr().err
    assert "--seed: a resumed run keeps its own (0), got 1; leave the option out, or start a new run" in message


# -- damaged checkpoints ----------------------------------------------------------------------------------------------


def test_what_is_no_checkpoint_and_no_line_is_passed_over(tmp_path, undisturbed, capsys):
    shutil.copytree(undisturbed, tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "final")
    newest = max((tmp_path / "tiny" / "checkpoints").glob("step-*"))
    (newest / "state.json").write_text("{}")
    (newest.parent / "step-old").mkdir()
    with (tmp_path / "tiny" / "log.jsonl").open("a") as log:
        log.write("[1, 2]\n")
    assert run(tmp_path, None, "--resume", str(tmp_path / "tiny")) == 0
    assert "is damaged (state.json lacks step, seconds, " in capsys.readouterr().err
    (newest.parent / "step-old").rmdir()
    assert_same_run(tmp_path / "tiny", undisturbed)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_damaged_newest_checkpoint(tmp_path, undisturbed, capsys, name):
    shutil.copytree(undisturbed, tmp_path / "tiny")
    shutil.rmtree(tmp_path / "tiny" / "final")
    newest = max((tmp_path / "tiny" / "checkpoints").glob("step-*"))
    half_written(newest / name)
    assert leg(tmp_path, first=False) == 0, (tmp_path / "out.txt").read_text()
    assert f"warning: {newest}: is damaged" in (tmp_path / "out.txt").read_text()
    assert_same_run(tmp_path / "tiny", undisturbed)


def test_all_checkpoints_damaged(tmp_path, undisturbed, capsys):
    shutil.copytree(undisturbed, tmp_path / "tiny")
    for state in (tmp_path / "tiny" / "checkpoints").rglob("state.safetensors"):
        half_written(state)
    assert run(tmp_path, None, "--resume", str(tmp_path / "tiny")) == 2
    assert "no checkpoint can be read; delete the folder to start over" in capsys.readouterr().err


def test_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch, capsys):
    save_file = training.checkpoints.save_file

    def full(tensors, path):
        if "step-00000004" in str(path):
            Path(path).write_bytes(bytes(100))
            raise OSError(28, "No space left on device")
        save_file(tensors, path)

    monkeypatch.setattr(training.checkpoints, "save_file", full)
    assert run(tmp_path, tiny_recipe(), "--max-steps", "6") == 2
    message = capsys.readouterr().err
    assert "the checkpoint of step 4 could not be written" in message
    assert "No space left on device" in message
    assert "the checkpoint of step 2 is intact" in message
    assert Checkpoints(tmp_path / "tiny" / "checkpoints").steps() == [2]
    assert [path.name for path in tmp_path.rglob(".*")] == [".lock"]
    monkeypatch.undo()
    assert run(tmp_path, None, "--resume", str(tmp_path / "tiny")) == 0


def test_two_checkpoints_are_kept(undisturbed):
    assert Checkpoints(undisturbed / "checkpoints").steps() == [STEPS - 2, STEPS]


def test_folders_are_replaced_whole(tmp_path):
    def write(text):
        return lambda path: (path / "file").write_text(text)

    def fail(path):
        (path / "file").write_text("half")
        raise OSError("no space")

    write_folder(tmp_path / "folder", write("old"))
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "folder", fail)
    assert (tmp_path / "folder" / "file").read_text() == "old"
    write_folder(tmp_path / "folder", write("new"))
    assert (tmp_path / "folder" / "file").read_text() == "new"
    write_text(tmp_path / "text", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "text"]


def test_never_written_is_not_damaged(tmp_path):
    assert Checkpoints(tmp_path).load_newest() is None
    (tmp_path / "step-00000003").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        Checkpoints(tmp_path).load_newest()


# -- end to end -------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_the_command_killed_from_outside(tmp_path, monkeypatch):
    """The real command in a process of its own, killed at whatever it is doing after its first checkpoint."""
    monkeypatch.undo()  # the command measures as many samples as it always does
    recipe = tiny_recipe(max_steps=100, checkpoint_every=20, log_every=10)
    assert forked(lambda: run(tmp_path, recipe), tmp_path / "out.txt") == 0, (tmp_path / "out.txt").read_text()
    other = tmp_path / "other"
    other.mkdir()
    command = [sys.executable, str(ROOT / "training" / "train.py")]
    command += ["--recipe", str(tmp_path / "tiny.yaml"), "--output-dir", str(other)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, **streams)
    while not Checkpoints(other / "tiny" / "checkpoints").steps():
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (other / "tiny" / "final").exists()
    arguments = ["--resume", str(other / "tiny")]
    assert forked(lambda: run(other, None, *arguments), other / "out.txt") == 0, (other / "out.txt").read_text()
    assert_weights_equal(tmp_path / "tiny", other / "tiny")
    assert without_clock(read_log(tmp_path / "tiny")) == without_clock(read_log(other / "tiny"))


def test_the_fast_convolutions_in_half_precision_continue_exactly(tmp_path, monkeypatch):
    """Batches large enough for products over small maps, an enlarged map, and bf16, as published models are trained."""
    used = set()
    for name in ("Convolve", "Spread", "Correlate"):
        kind = getattr(convolution, name)
        monkeypatch.setattr(kind, "forward", spied(kind.forward, name, used))
    monkeypatch.setattr(convolution.Conv2d, "of_enlarged", spied(convolution.Conv2d.of_enlarged, "of_enlarged", used))
    upsampled = [{"op": "upsample"}, {"op": "conv", "width": 1, "act": "tanh"}]
    changes = {"schedule": {"name": "constant"}, "mixed_precision": "bf16", "batch_size": 16, "checkpoint_every": 2}
    model = {"class": "GenHubCGAN", "latent_dim": 8, "stages": [*tiny_runs.GENERATOR[:-1], *upsampled]}
    recipe = tiny_recipe(model=model, **changes)
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    assert run(tmp_path / "whole", recipe, "--max-steps", "4") == 0
    assert used == {"Convolve", "Spread", "Correlate", "of_enlarged"}
    assert run(tmp_path / "cut", recipe, "--max-steps", "2") == 0
    assert run(tmp_path, None, "--resume", str(tmp_path / "cut" / "tiny"), "--max-steps", "4") == 0
    (cut, _), (whole, _) = (last_checkpoint(tmp_path / name / "tiny") for name in ("cut", "whole"))
    assert cut.keys() == whole.keys()
    for key, value in whole.items():
        assert torch.equal(cut[key], value), key


def spied(function, name, used):
    def spy(*arguments):
        used.add(name)
        return function(*arguments)

    return staticmethod(spy) if name != "of_enlarged" else spy
