"""Set the models that can be told a class side by side, class by class, with what their images are worth and cost.

    python training/compare.py cifar10 --dataset FOLDER --output docs/comparison

By default these are all bundled conditional models of the dataset: VAEs, GANs, diffusion models and Stable Diffusion.
``--models`` names others: folders, Hub ids, or a preset such as sd-turbo where a machine can run it. All are measured
anew, in the same way and on equally many images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
# Read when torch is imported: threads that spin for milliseconds while they wait crawl where others share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch

import genhub
from genhub import metrics
from genhub.data import hub_id, load_images
from genhub.errors import DataError, LoadError
from genhub.images import grid, save_png, to_uint8
from training.assessment import Reference, assess, record
from training.checkpoints import write_text
from training.command import exit_status
from training.protocol import default_extractor, require_comparable
from training.settings import make_folder
from training.subjects import of_run
from training.wording import file_name, measurement

SEED = 0
FIGURES = {  # key of a record → column
    "class_accuracy": "class accuracy ↑",
    "frechet_distance": "Fréchet distance ↓",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "laplacian_ratio": "sharpness (real = 1)",
}
CAVEAT = (
    "Class accuracy is the opinion of a classifier, and the other figures but sharpness are taken in its features. "
    "Distances in features of classifiers, Inception's above all, are known to be unkind to diffusion models: people "
    "prefer their images more often than such distances say (Stein et al., 2023)."
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of the comparison."""

    name: str
    model: Any
    steps: int  # passes through its network, guidance not counted

    @classmethod
    def load(cls, given: str, dataset: str) -> Entry:
        """Raises LoadError, also for a model that cannot be told a class."""
        model = genhub.load(of_run(given))
        if hasattr(model, "for_dataset"):
            model = model.for_dataset(dataset)
        if not hasattr(model, "generate") or not model.class_names:
            raise LoadError(f"{given}: cannot be asked for a class; compare conditional models")
        path = Path(given)
        name = path.parent.name if path.name == "final" else path.name
        return cls(name, model, getattr(model, "num_inference_steps", 1))


def bundled(dataset: str) -> list[str]:
    """Names of the bundled models that make images of a class of this dataset."""
    makers = ("GenHubVAE", "GenHubCGAN", "GenHubDiffusion", "GenHubStableDiffusion")
    found = [info for info in genhub.list_models(dataset=dataset) if info.model_class in makers and info.class_names]
    return [info.name for info in sorted(found, key=lambda info: (makers.index(info.model_class), info.name))]


def measured(entry: Entry, reference: Reference, samples: int) -> dict[str, Any]:
    """The record of one model, as ``metrics.json`` has it."""
    found = assess(entry.model, reference, samples)
    return {**record(found, entry.name, reference, "as saved", samples, None), "steps": entry.steps}


def sheet(entries: Sequence[Entry], label: int, columns: int) -> torch.Tensor:
    """uint8 (C, H, W): a row per model, the same seed in each, all of one class."""
    rows = [to_uint8(entry.model.generate(columns, labels=label, seed=SEED)).cpu() for entry in entries]
    return grid(torch.cat(rows), columns=columns)


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row per model; the figures with their spread, then what an image costs."""
    columns = [*FIGURES.values(), "time per image", "parameters", "steps"]
    lines = [f"| model | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, entry in records.items():
        cells = []
        for key in FIGURES:
            value = entry["metrics"].get(key)
            cells.append("–" if value is None else measurement(value, entry["spread"].get(key)))
        cost = entry["cost"]
        cells += [f"{1000 * cost['seconds_per_image']:.3g} ms", f"{cost['parameters']:,}", str(entry["steps"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(dataset: str, records: Mapping[str, Mapping[str, Any]], class_names: Sequence[str]) -> str:
    """The comparison as Markdown, with a sheet per class."""
    protocol = next(iter(records.values()))["protocol"]
    rows = ", ".join(records)
    facts = (
        f"{protocol['samples']:,} images of each, all classes in turn, against {protocol['test_images']:,} test images "
        f"of {protocol['dataset']}, in the features of {protocol['extractor']}; times on {protocol['hardware']}."
    )
    parts = [f"# Conditional models on {protocol['dataset']}", table(records), facts, CAVEAT]
    parts.append(f"Rows of each sheet, from above: {rows}. Seed {SEED} in every row; nothing was picked.")
    for name in class_names:
        parts += [f"## {name}", f"![{name}, as made by {rows}]({dataset}/{file_name(name)}.png)"]
    return "\n\n".join(parts) + "\n"


def compare(options: argparse.Namespace) -> Path:
    """Write page, records and sheets; return the page. Raises LoadError, DataError, ValueError."""
    names = options.models or bundled(options.name)
    if not names:
        known = sorted({name for info in genhub.list_models() for name in info.dataset.split("+")})
        raise LoadError(
            f"{options.name}: no bundled model is told its classes; datasets with models: {', '.join(known)}"
        )
    entries = [Entry.load(name, options.name) for name in names]
    called = [entry.name for entry in entries]
    if twice := [name for name in called if called.count(name) > 1]:
        raise LoadError(f"--models: two are called {twice[0]}; rename the folder of one")
    channels, size, _ = entries[0].model.image_shape
    test = load_images(options.dataset or hub_id(options.name), split="test", image_size=size, channels=channels)
    reference = Reference(test, "test", default_extractor(test))
    for entry in entries:
        if not metrics.same_classes(entry.model.class_names, test.class_names):
            raise DataError(
                f"{entry.name}: makes {', '.join(entry.model.class_names)}, not the classes of {test.source}"
            )
    records = {}
    for entry in entries:
        records[entry.name] = measured(entry, reference, options.samples)
        print(json.dumps({entry.name: records[entry.name]["metrics"]}), flush=True)
    require_comparable(records)
    folder = options.output / options.name
    make_folder(folder, "--output")
    write_text(folder / "records.json", json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    for label, name in enumerate(test.class_names):
        save_png(sheet(entries, label, options.columns), folder / f"{file_name(name)}.png", scale=2)
    path = options.output / f"{options.name}.md"
    write_text(path, page(options.name, records, test.class_names))
    return path


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the dataset, such as cifar10")
    parser.add_argument("--dataset", help="where its images are: a folder or a Hub id; by default its own on the Hub")
    parser.add_argument("--models", nargs="+", help="instead of all bundled ones")
    parser.add_argument("--samples", type=int, default=2000, help="images measured per model")
    parser.add_argument("--columns", type=int, default=8, help="images per model and class on a sheet")
    parser.add_argument("--output", type=Path, default=Path("docs/comparison"))
    options = parser.parse_args(argv)
    if options.samples < metrics.MIN_IMAGES or options.columns < 1:
        parser.error(f"--samples, --columns: at least {metrics.MIN_IMAGES} and 1")
    try:
        path = compare(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"done: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
