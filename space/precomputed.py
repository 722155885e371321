"""The comparison of the first screen, made beforehand so that the first response has images and loads no model.

``python -m space.precomputed`` writes it anew; a test fails where it does not show what the bundled models make.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image

from genhub.images import from_pil
from space.catalog import Dataset, read_catalog
from space.inference import Engine
from space.result import Failure, Job, Result
from space.view import read_view

FILE = Path(__file__).parent / "assets" / "first_screen.json"


def write(path: Path = FILE) -> None:
    """Compute what the default view of every dataset shows with all models, and write it."""
    catalog = read_catalog()
    engine = Engine(catalog)
    rows = []
    for dataset in catalog.values():
        every = ",".join(info.name for info in dataset.compared)
        view, _ = read_view({"dataset": dataset.name, "models": every}, catalog)
        for result in engine.compare(view):
            if isinstance(result, Failure):
                raise SystemExit(result.reason)
            rows.append(row_of(result, dataset))
    path.write_text(json.dumps(rows, separators=(",", ":")).replace("},{", "},\n{") + "\n", encoding="utf-8")


def row_of(result: Result, dataset: Dataset) -> dict:
    job = result.job
    return {
        "dataset": job.dataset,
        "model": job.model,
        "label": job.label,
        "seed": job.seed,
        "n": job.n,
        "labels": result.labels,
        "judged": result.judged,
        "seconds": float(f"{result.seconds:.3g}"),
        "parameters": result.parameters,
        "source": result.source,
        "steps": result.steps,
        "made_by": fingerprints(result.job.model, result.source, dataset),
        "images": [base64.b64encode(image).decode() for image in result.pngs],
    }


def read(catalog: Mapping[str, Dataset], path: Path = FILE) -> list[Result]:
    """The stored results that the bundled models would make today; those of other weights are left out."""
    if not path.is_file():
        return []
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [result_of(row) for row in rows if is_current(row, catalog.get(row["dataset"]))]


def is_current(row: Mapping, dataset: Dataset | None) -> bool:
    if dataset is None or row["model"] not in [model.name for model in dataset.models]:
        return False
    return row["made_by"] == fingerprints(row["model"], row["source"], dataset)


def result_of(row: Mapping) -> Result:
    decoded = [Image.open(io.BytesIO(base64.b64decode(image))) for image in row["images"]]
    pixels = [from_pil(image, 1 if image.mode == "L" else 3) for image in decoded]
    return Result(
        job=Job(row["dataset"], row["model"], row["label"], row["seed"], row["n"]),
        pixels=torch.stack(pixels),
        labels=None if row["labels"] is None else tuple(row["labels"]),
        judged=None if row["judged"] is None else tuple(row["judged"]),
        seconds=row["seconds"],
        parameters=row["parameters"],
        source=row["source"],
        steps=row["steps"],
        live=False,
    )


def fingerprints(model: str, source: str | None, dataset: Dataset) -> dict[str, str]:
    """A short hash of the weights of each model that took part."""
    folder = dataset.model(model).folder.parent
    names = [name for name in (model, source, dataset.judge) if name is not None]
    return {name: fingerprint(folder / name) for name in names}


def fingerprint(folder: Path) -> str:
    """A short hash of all weights in a model's folder but its critic's."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        if path.parent.name != "discriminator":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    write()
