"""Two processes on the CPU do together what one does with the doubled batch."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import (
    DISCRIMINATOR,
    GENERATOR,
    assert_same_run,
    last_checkpoint,
    read_log,
    run,
    start,
    tiny_recipe,
    wait,
    without_clock,
    write_recipe,
)
from torch import nn

import training.finish
import training.objectives
import training.run
from training.distributed import synchronize_batch_norm
from training.launch import missing_processes, start_missing_processes
from training.settings import ConfigError

ROOT = Path(__file__).resolve().parents[1]
NORMED = [{**DISCRIMINATOR[0], "norm": "batch"}, {**DISCRIMINATOR[1], "norm": "batch"}, *DISCRIMINATOR[2:]]


def recipe(batch_size: int, **changes) -> dict:
    """Batch norm in both networks, augmentation, every kind of noise; SGD, which does not blow up rounding."""
    return tiny_recipe(
        **{
            "batch_size": batch_size,
            "max_steps": 6,
            "log_every": 2,
            "checkpoint_every": 3,
            "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.5},
            "discriminator_optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.5},
            "objective": {"loss": "bce", "diffaugment": ["color", "translation"], "critic_steps": 2, "r1": 0.1},
            "model": {"class": "GenHubCGAN", "latent_dim": 8, "stages": GENERATOR},
            "discriminator": {"stages": NORMED},
            "data": {"limit": 48, "flip": True, "shift": 0.1},
            "clip_norm": 1.0,
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    monkeypatch.setattr(training.run, "PROBE", 40)
    monkeypatch.setattr(training.finish, "SAMPLES", 40)


def pair(work: Callable[[int], int], folder: Path) -> list[int]:
    """Do ``work(rank)`` in two forks that form one process group; their exit codes.

    They meet at a store of this process, as torchrun's do: a port that is only looked up here for rank 0 to open may be
    taken by then, and rank 1 would wait for it until its time is out.
    """
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def member(rank: int) -> int:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "ACCELERATE_USE_CPU": "true"}
        os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        return work(rank)

    children = [start(lambda rank=rank: member(rank), folder / f"out-{rank}.txt") for rank in range(2)]
    return [wait(child) for child in children]


def said(folder: Path) -> str:
    return "\n".join((folder / f"out-{rank}.txt").read_text() for rank in range(2))


def assert_close_run(a: Path, b: Path) -> None:
    tensors, others = last_checkpoint(a)[0], last_checkpoint(b)[0]
    assert tensors.keys() == others.keys()
    for key, value in tensors.items():
        torch.testing.assert_close(value, others[key], rtol=1e-3, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")
    for line, other in zip(numbers(a), numbers(b), strict=True):
        assert line == pytest.approx(other, rel=1e-3, abs=1e-4)


def numbers(folder: Path) -> list[dict[str, float]]:
    """The log without its clock and its words."""
    lines = without_clock(read_log(folder))
    return [{key: value for key, value in line.items() if not isinstance(value, str)} for line in lines]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "PROBE", 40)
        patch.setattr(training.finish, "SAMPLES", 40)
        assert pair(lambda rank: run(folder, recipe(8)), folder) == [0, 0], said(folder)
    return folder / "tiny"


def test_two_processes_are_one_of_the_doubled_batch(tmp_path, two_processes):
    assert run(tmp_path, recipe(16)) == 0
    assert_close_run(two_processes, tmp_path / "tiny")
    final, other = (load_file(folder / "final" / "model.safetensors") for folder in (two_processes, tmp_path / "tiny"))
    for key, value in final.items():
        torch.testing.assert_close(value.float(), other[key].float(), rtol=2e-3, atol=1e-4)


def test_without_synchronised_batch_norm_they_are_not(tmp_path, two_processes, monkeypatch):
    """What the comparison above can see."""
    monkeypatch.setattr(training.run, "synchronize_batch_norm", lambda network: None)
    assert pair(lambda rank: run(tmp_path, recipe(8)), tmp_path) == [0, 0], said(tmp_path)
    with pytest.raises(AssertionError):
        assert_close_run(two_processes, tmp_path / "tiny")


def test_one_process_speaks_for_both(two_processes):
    steps = [record["step"] for record in read_log(two_processes) if "images_per_second" in record]
    assert steps == [2, 4, 6]
    assert (two_processes.parent / "out-0.txt").read_text().count("done: ") == 1
    assert (two_processes.parent / "out-1.txt").read_text() == ""


def test_killed_and_resumed(tmp_path, two_processes):
    update = training.objectives.Adversarial.update

    def deadly(objective, batches, step):
        if step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(objective, batches, step)

    def killed(rank: int) -> int:
        training.objectives.Adversarial.update = deadly
        return run(tmp_path, recipe(8))

    assert pair(killed, tmp_path) == [-signal.SIGKILL] * 2
    assert last_checkpoint(tmp_path / "tiny")[1]["step"] == 3
    assert pair(lambda rank: run(tmp_path, None, "--resume", str(tmp_path / "tiny")), tmp_path) == [0, 0]
    assert_same_run(tmp_path / "tiny", two_processes)


def test_one_process_continues_for_two(tmp_path, two_processes):
    assert pair(lambda rank: run(tmp_path, recipe(8), "--max-steps", "3"), tmp_path) == [0, 0], said(tmp_path)
    folder = str(tmp_path / "tiny")
    assert run(tmp_path, None, "--resume", folder, "--max-steps", "6", "--batch-size", "16") == 0
    assert_close_run(two_processes, tmp_path / "tiny")


def test_a_budget_of_time_gives_both_the_same_rates(tmp_path, monkeypatch):
    """Clocks differ between processes; here those of the ranks are an hour apart."""
    shared = training.run.Run.shared

    def late(self, mine):
        return shared(self, mine + 0.5 * self.accelerator.process_index)

    def keep(self):
        path = tmp_path / f"weights-{self.accelerator.process_index}"
        save_file({k: v.contiguous() for k, v in self.objective.networks["model"].state_dict().items()}, path)
        save(self)

    save = training.run.Run.save
    monkeypatch.setattr(training.run.Run, "shared", late)
    monkeypatch.setattr(training.run.Run, "save", keep)
    timed = recipe(8, max_steps=None, max_minutes=0.02, schedule={"name": "cosine"})
    assert pair(lambda rank: run(tmp_path, timed), tmp_path) == [0, 0], said(tmp_path)
    ours, theirs = (load_file(tmp_path / f"weights-{rank}") for rank in range(2))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_stopping_one_stops_both(tmp_path):
    update = training.objectives.Adversarial.update

    def stop(objective, batches, step):
        if step == 1 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return update(objective, batches, step)

    def stopped(rank: int) -> int:
        training.objectives.Adversarial.update = stop
        return run(tmp_path, recipe(8))

    assert pair(stopped, tmp_path) == [130, 130], said(tmp_path)
    assert said(tmp_path).count("stopped at step 2; continue with: --resume") == 1
    assert last_checkpoint(tmp_path / "tiny")[1]["step"] == 2


def test_batch_norm_over_processes(tmp_path):
    """Output, gradients and running statistics as one BatchNorm over all images, far from zero too."""
    torch.manual_seed(0)
    images, target = torch.randn(12, 3, 4, 4) * 2 + 300, torch.randn(12, 3, 4, 4)
    whole = nn.BatchNorm2d(3).double()
    x = images.double().requires_grad_(True)
    ((whole(x) - target.double()) ** 2).mean().backward()

    def member(rank: int) -> int:
        torch.distributed.init_process_group("gloo")
        norm = nn.BatchNorm2d(3)
        synchronize_batch_norm(norm)
        rows = slice(6 * rank, 6 * rank + 6)
        mine = images[rows].clone().requires_grad_(True)
        ((norm(mine) - target[rows]) ** 2).mean().backward()
        torch.distributed.all_reduce(norm.weight.grad)
        # each process differentiates the mean over its own half: half of it belongs to the mean over both
        torch.testing.assert_close(mine.grad.double() / 2, x.grad[rows], rtol=1e-2, atol=1e-7)
        torch.testing.assert_close(norm.weight.grad.double() / 2, whole.weight.grad, rtol=1e-3, atol=1e-5)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            mine, theirs = getattr(norm, name), getattr(whole, name)
            torch.testing.assert_close(mine.double(), theirs.double(), rtol=1e-5, atol=1e-5)
        assert norm.state_dict().keys() == whole.state_dict().keys()
        norm.eval()
        whole.eval()
        torch.testing.assert_close(norm(images).double(), whole(images.double()), rtol=1e-3, atol=1e-3)
        return 0

    assert pair(member, tmp_path) == [0, 0], said(tmp_path)


@pytest.mark.parametrize(
    ("line", "variables", "count"),
    [
        ("accelerate launch --cpu --num_processes 2 t.py", {"MASTER_PORT": "1", "ACCELERATE_USE_CPU": "True"}, 2),
        ("accelerate launch --num-processes=3 --cpu t.py", {"MASTER_PORT": "1", "ACCELERATE_USE_CPU": "True"}, 3),
        ("accelerate launch t.py", {"ACCELERATE_USE_CPU": "False"}, 0),
        ("accelerate launch --cpu t.py", {"ACCELERATE_USE_CPU": "True"}, 0),
        ("torchrun t.py", {"MASTER_PORT": "1", "ACCELERATE_USE_CPU": "True", "WORLD_SIZE": "2"}, 0),
        ("mpirun t.py", {"MASTER_PORT": "1", "ACCELERATE_USE_CPU": "True", "PMI_SIZE": "2"}, 0),
    ],
)
def test_processes_that_accelerate_does_not_start(monkeypatch, line, variables, count):
    for name in ("MASTER_PORT", "WORLD_SIZE", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert missing_processes(line.split) == count


def test_number_of_processes_that_nobody_can_know(monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.raises(ConfigError, match="give --num_processes on the command line, or use: torchrun"):
        missing_processes("accelerate launch t.py".split)


def test_a_parent_outside_of_the_container(monkeypatch):
    """Its number is 0, which no process has."""
    monkeypatch.setattr(os, "getppid", lambda: 0)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    start_missing_processes()
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.raises(ConfigError, match="give --num_processes on the command line"):
        start_missing_processes()


@pytest.mark.timeout(600)
def test_accelerate_launch(tmp_path, two_processes):
    """The command of the documentation, from its own processes."""
    path = write_recipe(tmp_path, recipe(8, max_steps=2, checkpoint_every=2))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    launch += [str(ROOT / "training" / "train.py"), "--recipe", path]
    done = subprocess.run([*launch, "--output-dir", str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "budget: 2 steps of 32 images on cpu" in done.stdout
    first, second = (
        next(record for record in without_clock(read_log(folder)) if "d_real" in record)
        for folder in (two_processes, tmp_path / "tiny")
    )
    assert second == pytest.approx(first, rel=1e-4, abs=1e-5)
