"""Every evaluated system as a row of figures. Figures of different judges never share a column."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from genhub import ModelInfo
from space.abilities import abilities
from space.catalog import Dataset
from space.families import KINDS, Family, family_of
from space.records import mapping, read_json

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "docs" / "study"
REPORTED = ROOT / "training" / "reported.yaml"
COPIES = ("reconstruction_mse", "anomaly_auc")  # figures of what encodes and decodes
BOUNDS = ("elbo", "bernoulli_elbo", "kl")  # of what has a posterior besides
ASKED, UNASKED = (
    ("class_accuracy", "class_diversity"),
    ("largest_class_share", "class_entropy"),
)  # with and without labels
BLIND = (*COPIES, *BOUNDS, "laplacian_ratio", "high_frequency_ratio")  # figures that need no judge
COUNTED = (  # figures that come out otherwise of fewer samples: comparable among rows of equally many
    *("frechet_distance", "fid", "precision", "recall", "density", "coverage"),
    *("classifier_score", "inception_score", "class_entropy"),
)
BOUNDS_OF_ALL = {"floor": "real images", "ceiling": "noise"}  # measured like samples; what people read
WORDS = (  # how a system's name begins → slug of its family, the first that fits
    *(("vae-gan", "hybrid"), ("vae", "vae"), ("beta-vae", "vae"), ("cvae", "cvae"), ("ae", "ae"), ("cgan", "cgan")),
    *(("diffusion", "diffusion"), ("sd", "sd"), ("", "gan")),
)
Answer = float | Literal["missing", "senseless"]  # a figure, one that nobody measured, one that has no meaning


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a figure is called, in which direction it is good, and how it is written."""

    title: str
    better: Literal["low", "high", ""]
    form: str = "{:.3g}"
    note: str = ""

    def write_spread(self, spread: float) -> str:
        """A share like those of its column, others to one significant digit and without a power of ten."""
        if "%" in self.form:
            return self.form.format(spread)
        return np.format_float_positional(spread, precision=1, fractional=False, trim="-")


METRICS = {  # recorded name → metric, in the order of the columns
    "frechet_distance": Metric(
        "Fréchet distance", "low", "{:.2f}", "how far the images are from real ones, as a crowd"
    ),
    "fid": Metric("FID", "low", "{:.2f}", "how far the images are from real ones, as a crowd"),
    "kernel_distance": Metric("Kernel distance", "low", "{:.4f}", "the same question, without assuming bell curves"),
    "kid": Metric("KID", "low", "{:.4f}", "the same question, without assuming bell curves"),
    "precision": Metric("Precision", "high", "{:.2f}", "share of the images that lie among real ones"),
    "recall": Metric("Recall", "high", "{:.2f}", "share of real images that lie among the model's"),
    "class_accuracy": Metric("Class accuracy", "high", "{:.1%}", "share read as the class that was asked for"),
    "largest_class_share": Metric("Largest class", "", "{:.1%}", "share of the class that it draws most; even is 10 %"),
    "reconstruction_mse": Metric("Reconstruction error", "low", "{:.4f}", "mean square between test images and copies"),
    "classifier_score": Metric(
        "Classifier score", "high", "{:.2f}", "Inception-style score with the judge in its place"
    ),
    "inception_score": Metric("Inception score", "high", "{:.2f}"),
    "density": Metric("Density", "", "{:.2f}", "about 1 for real images"),
    "coverage": Metric("Coverage", "high", "{:.2f}", "share of real images with one of the model's nearby"),
    "class_diversity": Metric("Diversity", "", "{:.2f}", "within a class; 1 is as varied as real images"),
    "class_entropy": Metric("Class entropy", "high", "{:.2f}", "in bits; ten classes of equal share have 3.32"),
    "laplacian_ratio": Metric("Sharpness", "", "{:.2f}", "variance of the Laplacian; 1 is as sharp as real images"),
    "high_frequency_ratio": Metric("High frequencies", "", "{:.2f}", "1 is as fine as real images"),
    "memorized_share": Metric("Copied", "", "{:.1%}", "suspiciously near to a training image; 1 % is expected"),
    "memorization_ratio": Metric("Distance to training", "", "{:.2f}", "far below 1 means copies"),
    "cas_generated": Metric("Teaches", "high", "{:.1%}", "accuracy of a classifier that saw only these images"),
    "cas_both": Metric("Teaches, with real", "high", "{:.1%}", "accuracy of a classifier that saw these and real ones"),
    "cas_real": Metric("Real teaches", "", "{:.1%}", "accuracy of the same classifier on real images alone"),
    "anomaly_auc": Metric("Anomaly AUC", "high", "{:.3f}", "how well the reconstruction error tells odd images"),
    "elbo": Metric("ELBO", "high", "{:.1f}", "bound of the log-likelihood, nats per image"),
    "bernoulli_elbo": Metric("Bernoulli ELBO", "high", "{:.1f}", "bound of the log-likelihood, nats per image"),
    "kl": Metric("KL divergence", "", "{:.1f}", "of the posterior from the prior, nats per image"),
}
COSTS = {  # a plot's x axes
    "parameters": Metric("Parameters", "low"),
    "images_seen": Metric("Images seen", "low"),
    "train_seconds": Metric("Training time", "low"),
    "seconds_per_image": Metric("Time per image", "low"),
}


@dataclasses.dataclass(frozen=True, order=True)
class Column:
    """A metric together with whose features or opinion it rests on ("" where it needs nobody's).

    ``digest`` starts the hash of the judge's weights: after another training it is another judge.
    """

    metric: str
    judge: str
    digest: str = ""

    @property
    def key(self) -> str:
        """For links: a metric alone is not enough where two judges measured it."""
        judge = f"{self.judge}:{self.digest}" if self.digest else self.judge
        return f"{self.metric}@{judge}" if judge else self.metric

    @property
    def about(self) -> Metric:
        return METRICS.get(self.metric) or Metric(self.metric.replace("_", " ").capitalize(), "")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One evaluated system.

    Attributes:
        name: as people type it, or what is no model in words.
        family: for its colour and name; None for rows that are no model (real images and noise).
        origin: "bundled", "study", or "reference" for what is no model.
        dataset: its short name.
        figures: column → value.
        spreads: column → standard error where recorded, or the deviation between seeds.
        senseless: metrics that have no meaning for it.
        costs: of ``COSTS``, where recorded.
        seeds: how many trainings its figures are means of.
        samples: how many of its images were measured; 0 for what makes none.
    """

    name: str
    family: Family | None
    origin: Literal["bundled", "study", "reference"]
    dataset: str
    figures: Mapping[Column, float]
    spreads: Mapping[Column, float]
    senseless: frozenset[str]
    costs: Mapping[str, float]
    seeds: int = 1
    samples: int = 0

    @property
    def kind(self) -> str:
        """What kind of model it is, in words; empty for none. The name of a row of the study tells its variant."""
        if self.family is None:
            return ""
        return self.family.kind if self.origin == "study" else self.family.title

    def answer(self, column: Column) -> Answer:
        if column in self.figures:
            return self.figures[column]
        return "senseless" if column.metric in self.senseless else "missing"

    def complete(self, columns: Iterable[Column]) -> bool:
        """Whether nothing that could be measured is missing."""
        return all(self.answer(column) != "missing" for column in columns)


def read_board(catalog: Mapping[str, Dataset], study: Path = STUDY) -> list[Entry]:
    """All rows: the bundled models first, then those of the studies."""
    bundled = [entry for data in catalog.values() for info in data.models if (entry := bundled_entry(info))]
    return bundled + [entry for table in sorted(study.glob("*/table.json")) for entry in study_entries(table)]


def bundled_entry(info: ModelInfo) -> Entry | None:
    """The row of a bundled model; None if it was never evaluated."""
    record, summary = read_json(info.metrics_file), read_json(info.folder / "training_summary.json")
    figures, spreads = read_figures(record, mapping(record, "protocol"))
    if not figures:
        return None
    able, cost = abilities(info), mapping(record, "cost")
    return Entry(
        name=info.name,
        family=family_of(info),
        origin="bundled",
        dataset=info.dataset,
        figures=figures,
        spreads=spreads,
        senseless=senseless(able.reconstructs, able.generates, bool(info.class_names)),
        costs=read_costs({"parameters": mapping(summary, "parameters").get("model"), **cost}, summary),
        samples=as_count(mapping(record, "protocol").get("samples")),
    )


def senseless(copies: bool, generates: bool, labelled: bool) -> frozenset[str]:
    """Metrics that have no meaning for a kind of model."""
    found = set(UNASKED if labelled else ASKED)
    if not copies:
        found |= {*COPIES, *BOUNDS}
    elif not generates:
        found |= set(METRICS) - set(COPIES)
    return frozenset(found)


def study_entries(path: Path) -> list[Entry]:
    """The rows of a study's table, as far as they can be read; none where there is no table.

    All rows of a table were measured by the same judge on the same images, but not all on equally many samples. Their
    protocols stand with their runs; floor and ceiling have none, but records of their own beside the table.
    """
    rows = read_json(path).get("rows")
    rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    protocols = [next((mapping(run, "protocol") for run in mapping(row, "runs").values()), {}) for row in rows]
    shared = next(filter(None, protocols), {})
    for i, row in enumerate(rows):
        if row.get("system") in BOUNDS_OF_ALL:
            protocols[i] = mapping(read_json(path.parent / row["system"] / "metrics.json"), "protocol")
    pairs = zip(rows, protocols, strict=True)
    return [entry for row, protocol in pairs if (entry := study_entry(row, {**shared, **protocol}))]


def study_entry(row: Mapping[str, Any], protocol: Mapping[str, Any]) -> Entry | None:
    """One row; None without a name or a figure. The name of a system says its dataset and its family."""
    name, dataset = str(row.get("system", "")), str(protocol.get("dataset", "")).partition(" (")[0]
    figures, spreads = read_figures(row, protocol)
    if not name or not figures:
        return None
    slug = (
        "" if name in BOUNDS_OF_ALL else next(slug for word, slug in WORDS if name.partition("/")[2].startswith(word))
    )
    copies, labelled = slug in ("ae", "vae", "cvae", "hybrid"), slug in ("cgan", "cvae")
    return Entry(
        name=BOUNDS_OF_ALL.get(name, name),
        family=KINDS.get(slug),
        origin="study" if slug else "reference",
        dataset=dataset,
        figures=figures,
        spreads=spreads,
        senseless=senseless(copies, slug != "ae", labelled),
        costs=read_costs({"parameters": mapping(row, "parameters").get("model")}, row),
        seeds=max(1, as_count(row.get("seeds"))),
        samples=as_count(protocol.get("samples")),
    )


def read_figures(
    record: Mapping[str, Any], protocol: Mapping[str, Any]
) -> tuple[dict[Column, float], dict[Column, float]]:
    """(values, standard errors) of a record's ``metrics`` by column; what is no number is left out."""
    spread = mapping(record, "spread")
    values, errors = {}, {}
    for metric, given in mapping(record, "metrics").items():
        value, error, column = as_number(given), as_number(spread.get(metric)), column_of(metric, protocol)
        if value is not None:
            values[column] = value
            if error is not None:
                errors[column] = error
    return values, errors


def column_of(metric: str, protocol: Mapping[str, Any]) -> Column:
    """Where a figure stands: beside those that were measured by the same judge, or on the same anomalies."""
    if metric == "anomaly_auc":
        return Column(metric, str(protocol.get("anomalies", "")))
    if metric in BLIND:
        return Column(metric, "")
    judge = str(protocol.get("extractor") or protocol.get("features") or "")
    return Column(metric, judge, str(protocol.get("extractor_sha256") or protocol.get("judge_sha256") or "")[:6])


def read_costs(*places: Mapping[str, Any]) -> dict[str, float]:
    """The costs that some place tells, the first place first."""
    told = ((cost, as_number(place.get(cost))) for place in reversed(places) for cost in COSTS)
    return {cost: value for cost, value in told if value is not None}


def as_number(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else None


def as_count(value: Any) -> int:
    """A whole number of things; 0 for what is none."""
    return max(0, round(as_number(value) or 0))


def usual_samples(entries: Iterable[Entry]) -> int:
    """On how many samples most rows were measured; 0 where none has any."""
    counts = [entry.samples for entry in entries if entry.samples]
    return statistics.mode(counts) if counts else 0


@dataclasses.dataclass(frozen=True)
class Reported:
    """What a reference report says of its own system: never to be compared with our figures."""

    name: str
    fid: float | None
    kid: float | None
    note: str


def read_reported(dataset: str, path: Path = REPORTED) -> tuple[str, list[Reported]]:
    """(the reports' extractor, their figures for a dataset); none where nobody wrote them down."""
    if not path.is_file():
        return "", []
    record = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = [
        Reported(name, as_number(row.get("fid")), as_number(row.get("kid")), str(row.get("note", "")))
        for name, row in mapping(record, "systems").items()
        if name.startswith(f"{dataset}/") and isinstance(row, Mapping)
    ]
    return str(record.get("extractor", "")), [row for row in rows if row.fid is not None or row.kid is not None]


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
