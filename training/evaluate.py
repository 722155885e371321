"""Measure a model and record how: ``python training/evaluate.py FOLDER [--dataset SOURCE] [--samples N]``.

Writes ``metrics.json`` into the model's folder: the numbers together with the protocol that gave them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: import from the root; this folder's names would hide other packages
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(path for path in sys.path if Path(path).resolve() != here)]

import torch

import genhub
from genhub import metrics
from genhub.data import ImageSet, load_images
from genhub.errors import DataError, LoadError
from genhub.images import to_uint8
from genhub.models import GenHubAE, GenHubClassifier, GenHubModel
from genhub.models.latent import PriorModel

SAMPLES = 10_000
SEED = 12_345  # not the seed of the grids, on which a run may have been watched


def find_judge(dataset: str, image_shape: tuple[int, int, int]) -> GenHubClassifier | None:
    """The bundled classifier for a dataset of this image shape, or None."""
    for info in genhub.list_models(dataset=dataset, model_class="GenHubClassifier"):
        if info.image_shape == tuple(image_shape):
            return GenHubClassifier.from_pretrained(info.name)
    return None


def balanced_labels(n: int, num_classes: int) -> torch.Tensor:
    """(n,) labels 0, 1, …, repeated, so that every prefix is as balanced as can be."""
    return torch.arange(n) % num_classes


def measure(
    model: GenHubModel,
    test: ImageSet,
    judge: GenHubClassifier | None,
    samples: int = SAMPLES,
    reference: metrics.Statistics | None = None,
) -> dict[str, float]:
    """All numbers that apply to a model.

    Args:
        model: what is measured.
        test: held-out images.
        judge: reads classes and gives the features of the Fréchet distance; None measures on pooled pixels.
        samples: images generated.
        reference: feature statistics of the images that samples are compared with; those of ``test`` where left out.
    """
    if isinstance(model, GenHubClassifier):
        return {"accuracy": metrics.class_accuracy(test.images, test.labels, model)}
    found: dict[str, float] = {}
    if isinstance(model, GenHubAE):
        found["reconstruction_mse"] = metrics.reconstruction_mse(test.images, test.labels, model)
    if isinstance(model, PriorModel):
        labels = balanced_labels(samples, len(model.class_names)) if model.class_names else None
        images = to_uint8(model.generate(samples, labels=labels, seed=SEED, batch_size=256)).cpu()
        reference = reference or metrics.Statistics.of(metrics.features(test.images, judge))
        found["frechet_distance"] = metrics.frechet_distance(
            metrics.Statistics.of(metrics.features(images, judge)), reference
        )
        if judge is not None and labels is not None:
            found["class_accuracy"] = metrics.class_accuracy(images, labels, judge)
        elif judge is not None:
            found["largest_class_share"] = max(metrics.class_histogram(images, judge))
    return found


def evaluate(
    folder: Path, model: GenHubModel, test: ImageSet, samples: int, weights: str, split: str = "test"
) -> dict[str, Any]:
    """Measure, and write ``metrics.json`` with the protocol. Returns what was written.

    ``split`` says which split of its dataset ``test`` is.
    """
    judge = None if isinstance(model, GenHubClassifier) else find_judge(test.name, test.image_shape)
    protocol = {
        "dataset": dataset_title(test),
        "split": split,
        "test_images": len(test),
        "samples": samples if isinstance(model, PriorModel) else 0,
        "seed": SEED,
        "features": "none" if isinstance(model, GenHubClassifier) else judge_name(judge),
        "judge_sha256": judge_hash(judge),
        "weights": weights,
        "versions": versions(),
        "hardware": hardware(),
    }
    numbers = {name: round(value, 6) for name, value in measure(model, test, judge, samples).items()}
    record = {"protocol": protocol, "metrics": numbers}
    (folder / "metrics.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def judge_name(judge: GenHubClassifier | None) -> str:
    return judge.metadata["name"] if judge else "pixels pooled to 8×8"


def judge_hash(judge: GenHubClassifier | None) -> str | None:
    if judge is None:
        return None
    weights = genhub.hub.PRETRAINED / judge.metadata["name"] / "model.safetensors"
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def dataset_title(data: ImageSet) -> str:
    """The dataset's name with what a reader must know about this copy of it."""
    card = Path(data.source) / "README.md"
    jpeg = card.is_file() and "JPEG" in card.read_text(encoding="utf-8")
    return f"{data.name} (JPEG copy)" if jpeg else data.name


def versions() -> dict[str, str]:
    return {"genhub": genhub.__version__, "torch": torch.__version__, "python": platform.python_version()}


def hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a model folder: final/ of a run, or genhub/pretrained/NAME")
    parser.add_argument("--dataset", help="what it is measured against; by default what it was trained on")
    parser.add_argument("--split", default="test", help="which split of it")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="images generated")
    options = parser.parse_args(argv)
    try:
        model = genhub.load(options.folder)
        source = options.dataset or model.metadata.get("source", "digits")
        channels, size, _ = model.image_shape
        test = load_images(source, split=options.split, image_size=size, channels=channels)
        record = evaluate(options.folder, model, test, options.samples, "as saved", options.split)
    except (LoadError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(record["metrics"], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
