"""The run folder: the log, the running means behind it, and the pictures."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from genhub.data import ImageSet
from genhub.images import grid, save_png, to_signed, to_uint8
from genhub.models import GenHubClassifier, GenHubModel
from training.checkpoints import write_text

SHEET_WIDTH = 640  # pixels, about: small images are looked at enlarged


class Log:
    """``log.jsonl``: one JSON object per line, each with its step. Beside it, the trackers of Accelerate."""

    def __init__(self, path: Path, accelerator: Accelerator) -> None:
        self.path, self.accelerator = path, accelerator

    def truncate(self, step: int) -> None:
        """Drop the lines after ``step``, which a resumed run writes anew, and damaged ones, as a kill leaves them."""
        if not self.path.is_file():
            return
        kept = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):  # whatever is no line of a log
                continue
        write_text(self.path, "".join(kept))

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        if not self.accelerator.is_main_process:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **{k: rounded(v) for k, v in values.items()}}) + "\n")
        numbers = {k: v for k, v in values.items() if isinstance(v, (int, float))}
        if numbers:
            self.accelerator.log(numbers, step=step)


def rounded(value: Any) -> Any:
    """Six digits of a float; None for one that is not finite, which JSON cannot hold."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


class Meter:
    """Means of logged values since the last line, over all processes. Holds tensors, so that no step waits for them."""

    def __init__(self, sums: Mapping[str, float] | None = None, count: int = 0) -> None:
        self.sums = {name: torch.tensor(value) for name, value in (sums or {}).items()}
        self.count = count

    def add(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        self.count += 1

    def reduce(self, accelerator: Accelerator) -> dict[str, Any]:
        """Replace the sums by their mean over the processes, and return what rebuilds the meter in each of them."""
        if self.count:
            sums = torch.stack(list(self.sums.values())).to(accelerator.device)
            self.sums = dict(zip(self.sums, accelerator.reduce(sums, reduction="mean"), strict=True))
        return {"sums": {name: value.item() for name, value in self.sums.items()}, "count": self.count}

    def flush(self, accelerator: Accelerator) -> dict[str, float]:
        """The means, then start over."""
        found, self.sums, self.count = self.reduce(accelerator), {}, 0
        return {name: value / found["count"] for name, value in found["sums"].items()}


def spread(images: torch.Tensor, columns: int = 1) -> float:
    """Mean over pixels of the standard deviation between uint8 images, in units of [-1, 1].

    With ``columns`` between those of a column of the sheet, which are of one class, as far as it has several.
    """
    groups = [group for column in range(columns) if len(group := images[column::columns]) > 1]
    return statistics.fmean(to_signed(group).std(dim=0).mean().item() for group in groups or [images])


def samples(model: GenHubModel, probe: ImageSet, n: int, seed: int) -> torch.Tensor:
    """uint8 images that show what a model does. They go into its repository, so none of them is the dataset's own.

    A generator: n samples of fixed latents, one class per column if conditional. An autoencoder: its reconstructions of
    n held-out images. A classifier: its confusion matrix, one patch per cell, as bright as the share of a class (row)
    that it reads as another (column).
    """
    if hasattr(model, "generate"):
        labels = torch.arange(n) % len(model.class_names) if model.class_names else None
        return to_uint8(model.generate(n, labels=labels, seed=seed)).cpu()
    if hasattr(model, "reconstruct"):
        labels = probe.labels[:n].tolist() if model.class_names else None
        return to_uint8(model.reconstruct(to_signed(probe.images[:n]), labels=labels)).cpu()
    if isinstance(model, GenHubClassifier):
        classes = len(model.class_names)
        read = model.predict(probe.images).argmax(dim=1).cpu()
        counts = torch.bincount(probe.labels.cpu() * classes + read, minlength=classes**2).reshape(classes, classes)
        shares = counts / counts.sum(dim=1, keepdim=True).clamp_min(1)
        return (shares.flatten() * 255).round().to(torch.uint8)[:, None, None, None].repeat(1, *model.image_shape)
    raise TypeError(f"no sheet is known for {type(model).__name__}")


def save_sheet(images: torch.Tensor, model: GenHubModel, path: Path) -> None:
    """Write ``samples`` as one picture, enlarged by a whole number to about ``SHEET_WIDTH``."""
    columns = len(model.class_names) if model.class_names and len(model.class_names) <= 20 else 10
    picture = grid(images, columns=columns)
    save_png(picture, path, scale=max(1, round(SHEET_WIDTH / picture.shape[2])))
