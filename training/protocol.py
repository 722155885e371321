"""How figures were measured: what is written beside them, and which of them may stand in one table."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import genhub
from genhub import metrics
from genhub.data import ImageSet
from genhub.errors import LoadError
from genhub.metrics.fidelity import KID_SUBSET, NEIGHBOURS
from genhub.metrics.memorization import QUERIES
from genhub.models import GenHubClassifier

# Figures that differ in one of these answer different questions, whatever they are called.
COMPARED = ("dataset", "split", "test_images", "extractor", "extractor_sha256")
SPREAD = (
    "standard error; means and shares: over the images; Fréchet distance, entropy and diversity: jackknife over ten "
    "blocks of samples, the reference fixed; kernel distance and score: deviation between subsets over the root of how "
    "many disjoint ones there are; ratios: of both means, to first order; AUC: Hanley & McNeil"
)

SUBSETS = (
    f"kernel distance: 100 subsets of {KID_SUBSET:,}; precision, recall, density, coverage: {NEIGHBOURS:,} images of "
    f"each set; copies: {QUERIES:,} of each; drawn at random, fewer where a set is smaller"
)


def find_judge(dataset: str, image_shape: tuple[int, int, int]) -> GenHubClassifier | None:
    """The bundled classifier for a dataset of this image shape, or None."""
    for info in genhub.list_models(dataset=dataset):
        if info.is_judge and info.image_shape == tuple(image_shape):
            return GenHubClassifier.from_pretrained(info.name).to(measuring_device())
    return None


def default_extractor(data: ImageSet) -> metrics.Extractor:
    """The bundled classifier of the data, or pooled pixels where there is none."""
    judge = find_judge(data.name, data.image_shape)
    return metrics.pixel_extractor() if judge is None else judge_extractor(judge.metadata["name"])


def judge_extractor(given: str) -> metrics.Extractor:
    """A classifier by bundled name, folder or Hub id. Raises LoadError."""
    folder = genhub.hub.resolve(given)
    try:
        judge = GenHubClassifier.from_pretrained(folder).to(measuring_device())
    except LoadError as error:
        raise LoadError(f"extractor: {error}") from error
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return metrics.judge_extractor(judge, judge.metadata.get("name", folder.name), digest)


def dataset_title(data: ImageSet) -> str:
    """The dataset's name with what a reader must know about this copy of it."""
    cards = [Path(source) / "README.md" for source in data.source.split("+")]
    jpeg = any(card.is_file() and "JPEG" in card.read_text(encoding="utf-8") for card in cards)
    return f"{data.name} (JPEG copy)" if jpeg else data.name


def versions() -> dict[str, str]:
    return {"genhub": genhub.__version__, "torch": torch.__version__, "python": platform.python_version()}


def measuring_device() -> torch.device:
    """Where models are measured: a GPU where there is one, of those that have the double precision of figures."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def hardware(device: torch.device) -> str:
    """What a device is, for the records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"


def require_comparable(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError unless records of ``metrics.json``, by name, may stand in one table.

    They must have been measured against the same images in the features of the same extractor: the same weights, not
    only the same name. A classifier's own record compares with none of them.
    """
    keys = {name: comparison_key(record) for name, record in records.items()}
    if len(set(keys.values())) > 1:
        first, other = next((a, b) for a in keys for b in keys if keys[a] != keys[b])
        differing = [
            f"{what} {a} and {b}" for what, a, b in zip(COMPARED, keys[first], keys[other], strict=True) if a != b
        ]
        raise ValueError(
            f"{first}, {other}: measured with different protocols ({'; '.join(differing)}); "
            "their figures cannot share a table, measure both anew with training/evaluate.py"
        )


def comparison_key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(record["protocol"].get(key) for key in COMPARED)
