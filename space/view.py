"""What a visitor of the comparison looks at: dataset, class, seed, number and models, as a readable query string."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from genhub.errors import nearest
from genhub.latents import MAX_SEED
from space.catalog import Dataset
from space.fields import ALL, Number, check_label, check_names, quoted, read_dataset, read_label

MAX_IMAGES = 40
NONE = "none"
SEED = Number("Seed", 0, 0, MAX_SEED)
N = Number("Number of images", 10, 1, MAX_IMAGES)
TRUNCATION = Number("Truncation", 1.0, 0, 1, whole=False)


@dataclasses.dataclass(frozen=True)
class View:
    """One comparison. ``label`` is a class index, or None for all classes in turn."""

    dataset: str
    label: int | None
    seed: int
    n: int
    models: tuple[str, ...]
    truncation: float = 1.0

    def query(self, catalog: Mapping[str, Dataset]) -> str:
        """The readable query string that ``read_view`` turns into this view again."""
        label = ALL if self.label is None else catalog[self.dataset].class_names[self.label]
        fields = {"dataset": self.dataset, "class": label, "seed": self.seed, "n": self.n}
        if self.truncation != TRUNCATION.default:
            fields["truncation"] = f"{self.truncation:g}"
        return urlencode({**fields, "models": ",".join(self.models) or NONE}, safe=",")


def read_view(params: Mapping[str, str], catalog: Mapping[str, Dataset]) -> tuple[View, list[str]]:
    """A view of whatever a link or a form says, and one sentence for each thing that was not taken as given.

    The rule: numbers outside their range become the nearest bound; what is not understood becomes the default.
    """
    notes: list[str] = []
    dataset = read_dataset(params, catalog, notes)
    index = read_label(params.get("class", ALL), dataset, notes)
    seed, n = SEED.read(params.get("seed"), notes), N.read(params.get("n"), notes)
    truncation = TRUNCATION.read(params.get("truncation"), notes)
    models = read_models(params.get("models", ""), dataset, notes)
    return View(dataset.name, index, seed, n, models, float(truncation)), notes


def check_view(
    catalog: Mapping[str, Dataset],
    dataset: str,
    label: str | int,
    seed: int,
    n: int,
    models: Sequence[str] | None,
    truncation: float = 1.0,
) -> View:
    """A view of arguments that must be right. Raises ValueError saying what was given and what is allowed."""
    if not isinstance(dataset, str) or dataset not in catalog:
        raise ValueError(f"dataset: got {quoted(dataset)}; {nearest(dataset, catalog)}")
    chosen = catalog[dataset]
    index = check_label(label, "label", chosen)
    seed, n, truncation = SEED.check(seed, "seed"), N.check(n, "n"), TRUNCATION.check(truncation, "truncation")
    names = check_names(models, "models", [model.name for model in chosen.compared])
    return View(dataset, index, seed, n, names, truncation)


def read_models(text: str, dataset: Dataset, notes: list[str]) -> tuple[str, ...]:
    known = [model.name for model in dataset.compared]
    if text.strip() == NONE:
        return ()
    asked = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        notes.append(f"{dataset.title} has no model {quoted(unknown[0])}{more}: left out.")
    return tuple(name for name in known if name in asked) or tuple(model.name for model in dataset.leading)
