"""Checkpoints: whole or absent, never half-written; safetensors and JSON only, nothing is unpickled."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file


def write_folder(folder: Path, write: Any) -> None:
    """Call ``write(path)`` on a temporary folder, flush it to disk, and rename it to ``folder`` in one step.

    A kill at any moment leaves the folder whole or absent. Leftovers begin with a dot and are ignored.
    """
    temporary = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    for path in (*temporary.rglob("*"), temporary):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    if folder.exists():
        retired = folder.parent / f".{folder.name}.retired"
        shutil.rmtree(retired, ignore_errors=True)
        folder.rename(retired)
        temporary.rename(folder)
        shutil.rmtree(retired)
    else:
        temporary.rename(folder)


class Checkpoints:
    """The checkpoints of a run, by step. The newest is kept; older ones go once it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        """Write the checkpoint of ``step``: tensors of any device, and a JSON record."""

        def write(path: Path) -> None:
            save_file(
                {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
                path / "state.safetensors",
            )
            (path / "state.json").write_text(json.dumps({"step": step, **record}), encoding="utf-8")

        older = self.steps()
        write_folder(self.folder / f"step-{step:08d}", write)
        for old in older:
            if old != step:
                shutil.rmtree(self.folder / f"step-{old:08d}")

    def steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def load_newest(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and record of the newest checkpoint that is readable, or None without any."""
        for step in reversed(self.steps()):
            path = self.folder / f"step-{step:08d}"
            try:
                return load_file(path / "state.safetensors"), json.loads((path / "state.json").read_text())
            except (SafetensorError, OSError, json.JSONDecodeError):
                continue  # damaged by something other than a kill, such as a full disk; the one before may be whole
        return None


def flatten_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """An optimiser's state as named tensors. Learning rates are not in it: the schedule gives them by step."""
    return {
        f"{prefix}.{index}.{name}": value if isinstance(value, torch.Tensor) else torch.tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, prefix: str, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}."):
            index, name = key.removeprefix(f"{prefix}.").split(".", 1)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
