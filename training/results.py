"""What a finished run of a study leaves for good: its figures, its curves and ten images.

A run folder is large and stays where it was trained. Its result is three small files, ``NAME.json``, ``NAME.csv`` and,
of what makes images, ``NAME.png``. Tables and pictures are made from results alone, so that a study whose results were
kept goes on in any place, and its rows outlive the weights.
"""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import genhub
from genhub.images import grid, save_png, to_uint8
from training.checkpoints import write_text
from training.model_records import read_json

FACTS = ("parameters", "images_seen", "images_per_second", "hardware", "best", "versions", "date")  # of a run's summary
LOSSES = ("discriminator_loss", "generator_loss", "loss", "kl")
LAST = 0.1  # share of a log over which losses are averaged
ALARMS = {"divergence": "divergence", "mode collapse": "collapse", "the discriminator tells": "discriminator won"}
DISTANCE = "probe_frechet_distance"  # of a checkpoint, 2,000 samples
SEED = 0
COLUMNS = 10  # images per system

Curves = Mapping[str, Sequence[tuple[float, float]]]  # name → (images seen, value)


def write_result(run: Path, path: Path) -> None:
    """Write the result of a finished run folder as ``path``, which ends in .json, and beside it; the JSON last."""
    lines = read_log(run / "log.jsonl")
    summary = read_json(run / "summary.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    images = made_by(run / "final", COLUMNS)
    if images is not None:
        save_png(grid(images, columns=COLUMNS), path.with_suffix(".png"))
    write_curves(curves_of(lines), path.with_suffix(".csv"))
    facts = {key: summary[key] for key in FACTS if key in summary}
    told = {"facts": facts, "losses": mean_losses(lines), "alarms": count_alarms(lines)}
    write_text(path, json.dumps({**told, "record": read_json(run / "final" / "metrics.json")}, indent=2) + "\n")


def made_by(folder: str | Path, n: int, labels: Any = None, seed: int = SEED) -> torch.Tensor | None:
    """n uint8 images of a model, or None of one that makes none; labels None means 0, 1, … of a conditional one."""
    model = genhub.load(folder)
    if not hasattr(model, "generate"):
        return None
    if model.class_names and labels is None:
        labels = torch.arange(n) % len(model.class_names)
    return to_uint8(model.generate(n, labels=labels if model.class_names else None, seed=seed)).cpu()


# -- the log


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, none where there is no file; a half-written last one is left out.

    Raises ValueError naming another damaged line.
    """
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    read = []
    for number, line in enumerate(lines, 1):
        try:
            read.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: line {number} is no JSON object; remove it") from error
    return read


def mean_losses(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of each loss over the last tenth of the log lines that have it."""
    found = {}
    for name in LOSSES:
        values = [line[name] for line in lines if line.get(name) is not None]
        if values:
            found[name] = statistics.fmean(values[-max(1, round(LAST * len(values))) :])
    return found


def count_alarms(lines: Iterable[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        for start, name in ALARMS.items():
            if line.get("alarm", "").startswith(start):
                found[name] = found.get(name, 0) + 1
    return found


def curves_of(lines: Sequence[dict[str, Any]]) -> Curves:
    """Every loss, and the Fréchet distance of the checkpoints, over the images seen."""
    pace = next((line["images"] / line["step"] for line in lines if "images" in line), None)
    names = {**{name: name for name in LOSSES}, DISTANCE: "frechet_distance"}
    found = {
        name: [(round(line["step"] * pace), line[key]) for line in lines if line.get(key) is not None]
        for key, name in names.items()
        if pace is not None
    }
    return {name: points for name, points in found.items() if points}


# -- curves as a file: a line for every moment, an empty cell where a curve has no point


def write_curves(curves: Curves, path: Path) -> None:
    values = {name: dict(points) for name, points in curves.items()}
    moments = sorted({images for points in values.values() for images in points})
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["images", *values])
    writer.writerows([images, *(points.get(images, "") for points in values.values())] for images in moments)
    write_text(path, file.getvalue())


def read_curves(path: Path) -> Curves:
    """The curves of a result; none where there is no file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    columns = {name: [(float(row[0]), float(row[i])) for row in rows if row[i]] for i, name in enumerate(names)}
    return {name: points for name, points in columns.items() if name != "images"}
