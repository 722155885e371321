"""Checkpoints: whole or absent, never half-written; safetensors and JSON only, nothing is unpickled."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

RECORDED = ("step", "seconds", "best", "meter", "alarm", "images_per_step")
KEPT = 2  # the newest, and the one before in case a full or failing disk damages it
State = tuple[dict[str, torch.Tensor], dict[str, Any]]  # tensors and record


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read; the message says what is left to continue from."""


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Call ``write(path)`` on a temporary folder, flush it to disk, and rename it to ``folder`` in one step.

    A kill at any moment leaves the folder whole or absent. Leftovers begin with a dot and are ignored.
    """
    temporary = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
        for path in (*temporary.rglob("*"), temporary):
            flush(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # what filled a disk must not stay on it
        raise
    retired = folder.parent / f".{folder.name}.retired"
    shutil.rmtree(retired, ignore_errors=True)
    if folder.exists():
        folder.rename(retired)
    temporary.rename(folder)
    flush(folder.parent)
    shutil.rmtree(retired, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file by ``text`` in one step: a kill leaves the old or the new, never a part."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    flush(temporary)
    os.replace(temporary, path)


def flush(path: Path) -> None:
    """Wait until a file, or the entries of a folder, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Checkpoints:
    """The checkpoints of a run, by step. Old ones go once a newer one is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        """Write the checkpoint of ``step``: tensors of any device, and a JSON record. Raises CheckpointError."""

        def write(path: Path) -> None:
            save_file(
                {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
                path / "state.safetensors",
            )
            (path / "state.json").write_text(json.dumps({"step": step, **record}), encoding="utf-8")

        try:
            write_folder(self.path(step), write)
        except (OSError, SafetensorError) as error:
            older = self.steps()
            left = f"the checkpoint of step {older[-1]} is intact" if older else "there is no earlier one"
            raise CheckpointError(
                f"{self.folder}: the checkpoint of step {step} could not be written ({error}); {left}; "
                f"make room, then continue with --resume {self.folder.parent}"
            ) from error
        for old in self.steps()[:-KEPT]:
            shutil.rmtree(self.path(old))

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        numbers = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(number) for number in numbers if number.isdecimal())

    def load_newest(self) -> State | None:
        """The newest checkpoint that is readable, or None where there never was one.

        Raises CheckpointError where all are damaged: to start over must be a decision, not an accident.
        """
        for step in reversed(self.steps()):
            path = self.path(step)
            try:
                state = load_file(path / "state.safetensors"), json.loads((path / "state.json").read_text())
                if lacking := [key for key in RECORDED if key not in state[1]]:
                    raise ValueError(f"state.json lacks {', '.join(lacking)}")
            except (SafetensorError, OSError, ValueError, TypeError) as error:
                print(f"warning: {path}: is damaged ({error}); trying the one before", file=sys.stderr)
            else:
                return state
        if self.steps():
            raise CheckpointError(f"{self.folder}: no checkpoint can be read; delete the folder to start over")
        return None

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints after ``step``, which are damaged if ``step`` was the newest that could be read."""
        for newer in self.steps():
            if newer > step:
                shutil.rmtree(self.path(newer))


def flatten_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """An optimiser's state as named tensors. Learning rates are not in it: the schedule gives them by step."""
    return {
        f"{prefix}.{index}.{name}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, prefix: str, tensors: dict[str, torch.Tensor]) -> None:
    """Undo ``flatten_optimizer``."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in below(tensors, prefix).items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:  # fused kernels walk memory, so moments must be laid out as their weights
            value = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix`` and a dot, without it."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
