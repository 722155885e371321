"""A result in words and numbers that people read: what a card of the gallery says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from genhub import ModelInfo
from space.catalog import FAMILIES, Dataset, Family
from space.result import Failure, Result


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image of a gallery. ``doubt`` says that the judge sees another class than was asked for."""

    src: str
    alt: str
    doubt: bool


@dataclasses.dataclass(frozen=True)
class Bar:
    """One class of a histogram: its name, its count, and its height relative to the tallest (0…1)."""

    name: str
    count: int
    height: float


@dataclasses.dataclass(frozen=True)
class Card:
    """What the page says about one model. ``pictures`` is empty while there is no result."""

    name: str
    family: Family
    pictures: list[Picture]
    waiting: int
    live: bool
    facts: list[tuple[str, str, str]]
    note: str | None
    bars: list[Bar]
    bars_text: str
    failure: str | None


def make_card(info: ModelInfo, n: int, result: Result | Failure | None, dataset: Dataset) -> Card:
    """The card of a model whose result is there, failed, or is still to come."""
    family = FAMILIES[info.model_class]
    shown = result if isinstance(result, Result) else None
    bars = histogram(shown, dataset) if shown and shown.judged else []
    return Card(
        name=info.name,
        family=family,
        pictures=pictures(info, shown, dataset, family) if shown else [],
        waiting=0 if result else n,
        live=bool(shown and shown.live),
        facts=facts(shown, dataset) + recorded_fact(info) if shown else [],
        note=note(shown, dataset) if shown else None,
        bars=bars,
        bars_text=", ".join(f"{bar.name}: {bar.count}" for bar in bars if bar.count),
        failure=result.reason if isinstance(result, Failure) else None,
    )


def pictures(info: ModelInfo, result: Result, dataset: Dataset, family: Family) -> list[Picture]:
    found = []
    names = dataset.class_names
    for i, src in enumerate(result.data_uris):
        asked = names[result.labels[i]] if result.labels else None
        seen = names[result.judged[i]] if result.judged else None
        maker = f"{family.title} {info.name}"
        alt = f"{dataset.title} image {i + 1} of {result.job.n} by {maker}"
        alt += f", reconstructed from {result.source}" if result.source else ""
        alt += f"; asked for: {asked}" if asked is not None else ""
        alt += f"; the judge sees: {seen}" if seen is not None else ""
        found.append(Picture(src, alt, None not in (asked, seen) and seen != asked))
    return found


def facts(result: Result, dataset: Dataset) -> list[tuple[str, str, str]]:
    """(what, value, remark) of time, size and judgement."""
    where = "on this machine" if result.live else "measured beforehand"
    rows = [
        ("Time per image", duration(result.seconds), where),
        ("Parameters", count(result.parameters), f"{result.parameters:,}"),
    ]
    if dataset.judge is None:
        rows.append(("Class accuracy", "not judged", f"no classifier for {dataset.title} is bundled"))
    elif result.accuracy is None:
        rows.append(("Class accuracy", "does not apply", "it cannot be told the class"))
    else:
        right = round(result.accuracy * result.job.n)
        what = "still read as the class" if result.source else "read as the class asked for"
        rows.append(("Class accuracy", f"{100 * result.accuracy:.0f} %", f"{right} of {result.job.n} {what}"))
    return rows


def note(result: Result, dataset: Dataset) -> str:
    """What was asked of the model, in a few words."""
    if result.source:
        return f"What is left of the images of {result.source} after packing and unpacking."
    if result.labels is None:
        return "The chosen class plays no part in these."
    if result.job.label is None:
        return f"Asked for {dataset.class_names[0]}, {dataset.class_names[1]}, … in turn."
    return f"Asked for {dataset.class_names[result.job.label]} every time."


def histogram(result: Result, dataset: Dataset) -> list[Bar]:
    counts = result.histogram(len(dataset.class_names))
    return [Bar(name, n, n / max(counts)) for name, n in zip(dataset.class_names, counts, strict=True)]


def judge_line(dataset: Dataset) -> str:
    """One sentence on who judges, with the judge's own accuracy where it was recorded."""
    if dataset.judge is None:
        return f"No classifier for {dataset.title} is bundled, so nothing is judged here."
    return f"Class accuracy is the opinion of {dataset.judge}{judge_accuracy(dataset)}, on the images that are shown."


def judge_accuracy(dataset: Dataset) -> str:
    accuracy = recorded(dataset.models[0].folder.parent / dataset.judge)[0].get("accuracy")
    return "" if accuracy is None else f", itself right on {100 * accuracy:.1f} % of real test images"


def recorded_fact(info: ModelInfo) -> list[tuple[str, str, str]]:
    """The figure of the model's recorded evaluation that fits its family, if there is one."""
    numbers, protocol = recorded(info.folder)
    if info.model_class == "GenHubAE" and "reconstruction_mse" in numbers:
        return [
            ("Rebuilding error", f"{numbers['reconstruction_mse']:.4f}", "recorded: mean square on real test images")
        ]
    if "frechet_distance" in numbers and "samples" in protocol:
        remark = f"recorded over {protocol['samples']:,} images; lower is closer to real ones"
        return [("Fréchet distance", f"{numbers['frechet_distance']:.3g}", remark)]
    return []


def recorded(folder: Path) -> tuple[dict, dict]:
    """The numbers and the protocol of a model's ``metrics.json``; both empty where there is none."""
    path = folder / "metrics.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record.get("metrics", {}), record.get("protocol", {})


def duration(seconds: float) -> str:
    """A time in the unit that people would choose."""
    milliseconds = 1000 * seconds
    if milliseconds < 1000:
        return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    return f"{seconds:.1f} s"


def count(number: int) -> str:
    """A number of parameters with two significant digits: 3.1 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}" if number < 10 * size else f"{number / size:.0f} {unit}"
    return str(number)
