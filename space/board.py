"""Every evaluated system as a row of figures. Figures of different judges never share a column."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from genhub import ModelInfo
from space.cards import recorded
from space.catalog import FAMILIES, Dataset, Family

STUDY = Path(__file__).parent.parent / "docs" / "study" / "table.json"
BLIND = ("reconstruction_mse", "bits_per_pixel", "sharpness")  # figures that need no judge
Answer = float | Literal["missing", "senseless"]  # a figure, one that nobody measured, one that has no meaning


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a figure is called, in which direction it is good, and how it is written."""

    title: str
    better: Literal["low", "high", ""]
    form: str = "{:.3g}"
    note: str = ""


METRICS = {  # recorded name → metric, in the order of the columns
    "frechet_distance": Metric(
        "Fréchet distance", "low", "{:.2f}", "how far the images are from real ones, as a crowd"
    ),
    "fid": Metric("FID", "low", "{:.2f}", "how far the images are from real ones, as a crowd"),
    "kid": Metric("KID", "low", "{:.4f}", "the same question, with a fairer answer for few images"),
    "precision": Metric("Precision", "high", "{:.2f}", "share of the images that look like real ones"),
    "recall": Metric("Recall", "high", "{:.2f}", "share of real images that the model can make"),
    "class_accuracy": Metric("Class accuracy", "high", "{:.1%}", "share read as the class that was asked for"),
    "largest_class_share": Metric("Largest class", "", "{:.1%}", "share of the class that it draws most; even is 10 %"),
    "reconstruction_mse": Metric(
        "Reconstruction error", "low", "{:.4f}", "mean square between a test image and its copy"
    ),
}
COSTS = {  # a plot's x axes
    "parameters": Metric("Parameters", "low"),
    "images_seen": Metric("Images seen", "low"),
    "train_seconds": Metric("Training time", "low"),
}


@dataclasses.dataclass(frozen=True, order=True)
class Column:
    """A metric together with whose features or opinion it rests on ("" where it needs nobody's)."""

    metric: str
    judge: str

    @property
    def key(self) -> str:
        """For links: a metric alone is not enough where two judges measured it."""
        return f"{self.metric}@{self.judge}" if self.judge else self.metric

    @property
    def about(self) -> Metric:
        return METRICS.get(self.metric) or Metric(self.metric.replace("_", " ").capitalize(), "")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One evaluated system.

    Attributes:
        name: as people type it.
        family: for its colour and name; None for rows that are no model (floor and ceiling).
        origin: "bundled", "study", or "reference" for floor and ceiling.
        dataset: its short name.
        figures: column → value.
        senseless: metrics that have no meaning for it.
        costs: of ``COSTS``, where recorded.
    """

    name: str
    family: Family | None
    origin: Literal["bundled", "study", "reference"]
    dataset: str
    figures: Mapping[Column, float]
    senseless: frozenset[str]
    costs: Mapping[str, float]

    def answer(self, column: Column) -> Answer:
        if column in self.figures:
            return self.figures[column]
        return "senseless" if column.metric in self.senseless else "missing"

    def complete(self, columns: Iterable[Column]) -> bool:
        """Whether nothing that could be measured is missing."""
        return all(self.answer(column) != "missing" for column in columns)


def read_board(catalog: Mapping[str, Dataset], study: Path = STUDY) -> list[Entry]:
    """All rows: the bundled models first, then the study's."""
    bundled = [entry for data in catalog.values() for info in data.models if (entry := bundled_entry(info))]
    return bundled + study_entries(study)


def bundled_entry(info: ModelInfo) -> Entry | None:
    """The row of a bundled model; None if it was never evaluated."""
    numbers, protocol = recorded(info.folder)
    judge = str(protocol.get("features", ""))
    path = info.folder / "training_summary.json"
    summary = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    parameters = summary.get("parameters")
    summary["parameters"] = parameters.get("model") if isinstance(parameters, Mapping) else parameters
    figures = read_figures(numbers, judge)
    if not figures:
        return None
    return Entry(
        name=info.name,
        family=FAMILIES[info.model_class],
        origin="bundled",
        dataset=info.dataset,
        figures=figures,
        senseless=frozenset(senseless(info)),
        costs={cost: value for cost in COSTS if (value := as_number(summary.get(cost))) is not None},
    )


def senseless(info: ModelInfo) -> list[str]:
    """Metrics that have no meaning for a kind of model."""
    copies, samples = info.model_class in ("GenHubAE", "GenHubVAE"), info.model_class != "GenHubAE"
    found = [] if copies else ["reconstruction_mse"]
    if not samples:
        found += [metric for metric in METRICS if metric != "reconstruction_mse"]
    return [*found, "largest_class_share" if info.class_names else "class_accuracy"]


def study_entries(path: Path) -> list[Entry]:
    """The rows of a study's table, as far as they can be read; none where there is no table."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    rows = rows.get("rows", []) if isinstance(rows, Mapping) else rows
    found = [study_entry(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return [entry for entry in found if entry]


def study_entry(row: Mapping[str, Any]) -> Entry | None:
    """One row: ``recipe``, ``dataset``, ``features``, ``metrics``, ``class``, and costs. None without a figure."""
    name, measured = str(row.get("recipe", "")), row.get("metrics")
    figures = read_figures(measured if isinstance(measured, Mapping) else {}, str(row.get("features", "")))
    if not name or not figures:
        return None
    return Entry(
        name=name,
        family=FAMILIES.get(str(row.get("class", ""))),
        origin="reference" if row.get("section") in ("floor", "ceiling", "reference") else "study",
        dataset=str(row.get("dataset", name.partition("/")[0])),
        figures=figures,
        senseless=frozenset(),
        costs={cost: value for cost in COSTS if (value := as_number(row.get(cost))) is not None},
    )


def read_figures(numbers: Mapping[str, Any], judge: str) -> dict[Column, float]:
    """Recorded numbers by column. A number may stand alone or as ``{"value": …}`` beside its spread."""
    found = {}
    for metric, recorded_value in numbers.items():
        value = as_number(recorded_value.get("value") if isinstance(recorded_value, Mapping) else recorded_value)
        if value is not None:
            found[Column(metric, "" if metric in BLIND else judge)] = value
    return found


def as_number(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def columns_of(entries: Iterable[Entry]) -> list[Column]:
    """All columns that some entry fills, in the order of ``METRICS``; others after them."""
    order = list(METRICS)
    columns = {column for entry in entries for column in entry.figures}
    return sorted(columns, key=lambda c: (order.index(c.metric) if c.metric in order else len(order), c))


def ranked(entries: Iterable[Entry], column: Column | None, descending: bool) -> list[Entry]:
    """Sorted by a column's figures, by name without one; rows without a figure come last either way."""
    entries = sorted(entries, key=lambda entry: entry.name, reverse=descending and column is None)
    if column is None:
        return entries
    having = [entry for entry in entries if column in entry.figures]
    having.sort(key=lambda entry: entry.figures[column], reverse=descending)
    return having + [entry for entry in entries if column not in entry.figures]
