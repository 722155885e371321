"""What a visitor looks at: dataset, class, seed, number and models, as a readable query string."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from genhub.errors import nearest
from genhub.latents import MAX_SEED
from genhub.models.latent import check_whole
from space.catalog import Dataset

MAX_IMAGES = 40
ALL = "all"
NONE = "none"
DEFAULTS = {"seed": 0, "n": 10}
RANGES = {"seed": (0, MAX_SEED), "n": (1, MAX_IMAGES)}
WORDS = {"seed": "Seed", "n": "Number of images"}


@dataclasses.dataclass(frozen=True)
class View:
    """One comparison. ``label`` is a class index, or None for all classes in turn."""

    dataset: str
    label: int | None
    seed: int
    n: int
    models: tuple[str, ...]

    def query(self, catalog: Mapping[str, Dataset]) -> str:
        """The readable query string that ``read_view`` turns into this view again."""
        label = ALL if self.label is None else catalog[self.dataset].class_names[self.label]
        fields = {"dataset": self.dataset, "class": label, "seed": self.seed, "n": self.n}
        return urlencode({**fields, "models": ",".join(self.models) or NONE}, safe=",")


def read_view(params: Mapping[str, str], catalog: Mapping[str, Dataset]) -> tuple[View, list[str]]:
    """A view of whatever a link or a form says, and one sentence for each thing that was not taken as given.

    The rule: numbers outside their range become the nearest bound; what is not understood becomes the default.
    """
    notes: list[str] = []
    name = params.get("dataset", "").strip()
    dataset = catalog.get(name) or next(iter(catalog.values()))
    if name and name not in catalog:
        notes.append(f"There is no dataset {quoted(name)}: showing {dataset.title}.")
    label = params.get("class", ALL).strip()
    index = label_index(label, dataset)
    if index is None and label not in ("", ALL):
        notes.append(f"{dataset.title} has no class {quoted(label)}: showing all classes.")
    seed, n = (read_number(params.get(field), field, notes) for field in ("seed", "n"))
    return View(dataset.name, index, seed, n, read_models(params.get("models", ""), dataset, notes)), notes


def check_view(
    catalog: Mapping[str, Dataset], dataset: str, label: str | int, seed: int, n: int, models: Sequence[str] | None
) -> View:
    """A view of arguments that must be right. Raises ValueError saying what was given and what is allowed."""
    if not isinstance(dataset, str) or dataset not in catalog:
        raise ValueError(f"dataset: got {quoted(dataset)}; {nearest(dataset, catalog)}")
    chosen = catalog[dataset]
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f"label: expected a class name, an index or 'all', got {quoted(label)}")
    index = label_index(str(label), chosen)
    if index is None and label != ALL:
        raise ValueError(f"label: got {quoted(label)}; {nearest(label, (ALL, *chosen.class_names))}")
    seed, n = (check_whole(value, field, *RANGES[field]) for field, value in (("seed", seed), ("n", n)))
    names = [model.name for model in chosen.models]
    if models is None:
        return View(dataset, index, seed, n, tuple(names))
    if isinstance(models, str) or not isinstance(models, Sequence) or not models:
        raise ValueError(f"models: expected a list of names, got {quoted(models)}; allowed: {', '.join(names)}")
    for model in models:
        if model not in names:
            raise ValueError(f"models: got {quoted(model)}; {nearest(model, names)}")
    return View(dataset, index, seed, n, tuple(name for name in names if name in models))


def read_models(text: str, dataset: Dataset, notes: list[str]) -> tuple[str, ...]:
    known = [model.name for model in dataset.models]
    if text.strip() == NONE:
        return ()
    asked = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        notes.append(f"{dataset.title} has no model {quoted(unknown[0])}{more}: left out.")
    return tuple(name for name in known if name in asked) or tuple(known)


def read_number(text: str | None, field: str, notes: list[str]) -> int:
    """A whole number inside its range; adds a sentence to ``notes`` where that is not what was given."""
    default, (low, high), word = DEFAULTS[field], RANGES[field], WORDS[field]
    if text is None or not text.strip():
        return default
    try:
        number = float(text) if len(text) <= 400 else float("nan")
    except ValueError:
        number = float("nan")
    if number != number or (abs(number) < 1e15 and number != int(number)):
        notes.append(f"{word} {quoted(text)} is not a whole number: using {default}.")
        return default
    if number < low or number > high:
        bound = low if number < low else high
        notes.append(f"{word} {quoted(text)} is {'below' if number < low else 'above'} {bound}: using {bound}.")
        return bound
    return int(number)


def label_index(label: str, dataset: Dataset) -> int | None:
    """The index of a class given by name or number, or None."""
    if label in dataset.class_names:
        return dataset.class_names.index(label)
    if label.isascii() and label.isdecimal() and len(label) < 9 and int(label) < len(dataset.class_names):
        return int(label)
    return None


def quoted(value: object) -> str:
    """What somebody typed, short enough to be repeated to them."""
    text = str(value)
    return f"“{text[:40]}…”" if len(text) > 41 else f"“{text}”"
