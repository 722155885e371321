"""A result in words and numbers that people read: what a card of the gallery says."""

from __future__ import annotations

import dataclasses
from statistics import mean

from genhub import ModelInfo
from space.abilities import abilities
from space.board import METRICS
from space.catalog import Dataset
from space.families import Family, family_of
from space.inference import Engine
from space.records import read_record, recorded
from space.result import Failure, Result
from space.view import View


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image of a gallery. ``doubt`` says that the judge sees another class than was asked for; ``href`` is the
    page about it."""

    src: str
    alt: str
    doubt: bool
    href: str


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
    slow: bool
    pictures: list[Picture]
    waiting: int
    live: bool
    facts: list[tuple[str, str, str]]
    note: str | None
    bars: list[Bar]
    bars_text: str
    failure: str | None


def make_card(info: ModelInfo, view: View, result: Result | Failure | None, engine: Engine) -> Card:
    """The card of a model whose result is there, failed, or is still to come."""
    dataset = engine.catalog[view.dataset]
    family = family_of(info)
    shown = result if isinstance(result, Result) else None
    bars = histogram(shown, dataset) if shown and shown.judged else []
    return Card(
        name=info.name,
        family=family,
        slow=abilities(info).slow,
        pictures=pictures(info, shown, view, engine) if shown else [],
        waiting=0 if result else engine.job(view, info.name).n,
        live=bool(shown and shown.live),
        facts=facts(shown, dataset) + recorded_fact(info) if shown else [],
        note=note(shown, view, dataset) if shown else None,
        bars=bars,
        bars_text=", ".join(f"{bar.name}: {bar.count}" for bar in bars if bar.count),
        failure=result.reason if isinstance(result, Failure) else None,
    )


def pictures(info: ModelInfo, result: Result, view: View, engine: Engine) -> list[Picture]:
    query = dataclasses.replace(view, models=(info.name,)).query(engine.catalog)
    dataset = engine.catalog[view.dataset]
    found = []
    for i, src in enumerate(result.data_uris):
        seen, asked = dataset.class_name(result.judged, i), dataset.class_name(result.labels, i)
        doubt = None not in (asked, seen) and seen != asked
        found.append(Picture(src, describe(info, result, dataset, i), doubt, f"picture?{query}&i={i}"))
    return found


def describe(info: ModelInfo, result: Result, dataset: Dataset, i: int) -> str:
    """One image in words, for those who do not see it."""
    text = f"{dataset.title} image {i} by {family_of(info).title} {info.name}"
    asked, seen = dataset.class_name(result.labels, i), dataset.class_name(result.judged, i)
    text += f", reconstructed from {result.source}" if result.source else ""
    text += f"; asked for: {asked}" if asked is not None else ""
    text += f"; the judge sees: {seen}" if seen is not None else ""
    return text


def facts(result: Result, dataset: Dataset) -> list[tuple[str, str, str]]:
    """(what, value, remark) of time, size and judgement."""
    where = "on this machine" if result.live else "measured beforehand"
    where = f"{result.steps} denoising step{'' if result.steps == 1 else 's'}, {where}" if result.steps else where
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
    return [*rows, ("Sharpness", f"{mean(result.sharpness):.3f}", "on average")]


def note(result: Result, view: View, dataset: Dataset) -> str:
    """What was asked of the model, in a few words."""
    parts = []
    if result.source:
        parts.append(f"What is left of the images of {result.source} after packing and unpacking.")
    elif result.labels is None:
        parts.append("The chosen class plays no part in these.")
    elif result.job.label is None:
        parts.append(f"Asked for {dataset.class_names[0]}, {dataset.class_names[1]}, … in turn.")
    else:
        parts.append(f"Asked for {dataset.class_names[result.job.label]} every time.")
    if result.job.n < view.n:
        parts.append(f"The first {result.job.n} only, as each takes so long.")
    if result.job.truncation != view.truncation:
        parts.append("Truncation plays no part here.")
    return " ".join(parts)


def histogram(result: Result, dataset: Dataset) -> list[Bar]:
    counts = result.histogram(len(dataset.class_names))
    return [Bar(name, n, n / max(counts)) for name, n in zip(dataset.class_names, counts, strict=True)]


def judge_line(dataset: Dataset) -> str:
    """One sentence on who judges, with the judge's own accuracy where it was recorded."""
    if dataset.judge is None:
        return f"No classifier for {dataset.title} is bundled, so nothing is judged here."
    return f"Class accuracy is the opinion of {dataset.judge}{judge_accuracy(dataset)}, on the images that are shown."


def judge_accuracy(dataset: Dataset) -> str:
    accuracy = read_record(dataset.models[0].folder.parent / dataset.judge / "metrics.json")[0].get("accuracy")
    return "" if accuracy is None else f", itself right on {100 * accuracy:.1f} % of real test images"


def recorded_fact(info: ModelInfo) -> list[tuple[str, str, str]]:
    """The figure of the recorded evaluation that fits the model's family, if it has one, as the leaderboard has it."""
    numbers, protocol = recorded(info)
    if info.model_class == "GenHubAE" and "reconstruction_mse" in numbers:
        figure = METRICS["reconstruction_mse"].form.format(numbers["reconstruction_mse"])
        return [("Rebuilding error", figure, "mean square on real images, recorded")]
    if "frechet_distance" in numbers and "samples" in protocol:
        figure = METRICS["frechet_distance"].form.format(numbers["frechet_distance"])
        return [("Fréchet distance", figure, f"recorded, {protocol['samples']:,} images")]
    return []


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
