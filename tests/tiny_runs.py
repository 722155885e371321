"""Training runs of a second or two: tiny recipes on the digits, started in this process or in a fork of it."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
import torch
import torch._dynamo  # torch.optim imports it late: here, so that forks need not
import yaml
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file

import training.finish
import training.train
from training.checks import HAVE_CRITIC

CLOCK = {"seconds", "images_per_second", "train_seconds"}  # what no two runs have in common

GENERATOR = [
    {"op": "label"},
    {"op": "dense", "width": 32, "norm": "batch", "act": "relu"},
    {"op": "reshape", "size": 2},
    {"op": "conv_transpose", "width": 6, "kernel": 4, "stride": 2, "norm": "conditional_batch", "act": "relu"},
    {"op": "conv_transpose", "width": 1, "kernel": 4, "stride": 2, "act": "tanh"},
]
DISCRIMINATOR = [
    {"op": "conv", "width": 5, "kernel": 4, "stride": 2, "spectral": True, "act": "lrelu"},
    {"op": "conv", "width": 7, "kernel": 3, "stride": 2, "act": "lrelu"},
    {"op": "flatten"},
    {"op": "projection", "spectral": True},
]
ENCODER = [{"op": "conv", "width": 4, "kernel": 4, "stride": 2, "act": "relu"}, {"op": "flatten"}]
DECODER = [
    {"op": "dense", "width": 64, "act": "relu"},
    {"op": "reshape", "size": 4},
    {"op": "conv_transpose", "width": 1, "kernel": 4, "stride": 2, "act": "sigmoid"},
]
CLASSIFIER = [{"op": "conv", "width": 4, "kernel": 3, "act": "relu"}, {"op": "flatten"}, {"op": "dense", "width": 10}]

NETWORKS = {
    "adversarial": {"class": "GenHubCGAN", "latent_dim": 8, "stages": GENERATOR},
    "autoencoder": {"class": "GenHubAE", "latent_dim": 4, "encoder": ENCODER, "decoder": DECODER},
    "vae": {"class": "GenHubVAE", "latent_dim": 4, "encoder": ENCODER, "decoder": DECODER},
    "vae_gan": {"class": "GenHubVAE", "latent_dim": 4, "encoder": ENCODER, "decoder": DECODER},
    "classifier": {"class": "GenHubClassifier", "stages": CLASSIFIER},
}

DENOISER = {"class": "GenHubDiffusion", **tiny.DENOISER, "patch": 2, "guidance_scale": 1.0}
NETWORKS |= dict.fromkeys(("diffusion", "distillation", "adversarial_distillation"), DENOISER)


def tiny_recipe(kind: str = "adversarial", **changes: Any) -> dict[str, Any]:
    """A recipe of two steps; ``objective`` in changes is merged into the objective, the rest replaces."""
    recipe: dict[str, Any] = {
        "name": "tiny",
        "dataset": "digits",
        "objective": {"type": kind, **changes.pop("objective", {})},
        "model": NETWORKS[kind],
        "max_steps": 2,
        "batch_size": 8,
        "log_every": 1,
        "checkpoint_every": 2,
        "samples": 10,
        "evaluation_samples": 40,
        "threads": 1,
        "data": {"limit": 64},
    }
    if kind == "diffusion":
        recipe["evaluation_samples"] = 64
    if kind in HAVE_CRITIC:
        recipe["discriminator"] = {"stages": DISCRIMINATOR}
    return recipe | changes


def write_recipe(folder: Path, recipe: dict[str, Any], name: str = "tiny") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return str(path)


def run(folder: Path, recipe: dict[str, Any] | None, *arguments: str) -> int:
    """``train.py`` in this process with run folders in ``folder``; the exit code."""
    reset_accelerate()
    threads = torch.get_num_threads()
    chosen = ["--recipe", write_recipe(folder, recipe), "--output-dir", str(folder)] if recipe else []
    try:
        return training.train.main([*chosen, *arguments])
    finally:
        torch.set_num_threads(threads)


def reset_accelerate() -> None:
    """Accelerate keeps the precision of the first Accelerator of a process for all later ones."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def forked(work: Callable[[], int], output: Path) -> int:
    """Do ``work`` in a fork of this process, which has everything imported; its exit code, negative for a signal.

    What it prints goes to the file ``output``. A fork must not use the threads that its parent had, so ``work`` has to
    train with one.
    """
    return wait(start(work, output))


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(work: Callable[[], int], output: Path) -> int:
    """``forked`` without waiting; the process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with output.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            torch.set_num_threads(1)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # no cleanup of the parent's: pytest's above all
    return child


def read_log(run_folder: Path) -> list[dict[str, Any]]:
    lines = (run_folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def measured(run_folder: Path) -> dict[str, Any]:
    """``metrics.json`` but for what was timed."""
    record = json.loads((run_folder / "final" / "metrics.json").read_text())
    return {key: value for key, value in record.items() if key != "cost"}


def without_clock(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in CLOCK} for record in records]


def last_checkpoint(run_folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    newest = max((run_folder / "checkpoints").glob("step-*"))
    return load_file(newest / "state.safetensors"), json.loads((newest / "state.json").read_text())


def assert_same_run(a: Path, b: Path) -> None:
    """Two runs agree bit for bit in everything but the clock."""
    for name in ("model.safetensors", "config.json", "samples.png"):
        assert (a / "final" / name).read_bytes() == (b / "final" / name).read_bytes(), name
    assert measured(a) == measured(b)
    (tensors, record), (others, other) = last_checkpoint(a), last_checkpoint(b)
    assert tensors.keys() == others.keys()
    for key, value in tensors.items():
        assert torch.equal(value, others[key]), key
    assert without_clock([record]) == without_clock([other])
    assert without_clock(read_log(a)) == without_clock(read_log(b))
