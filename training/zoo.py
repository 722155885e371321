"""Write docs/zoo.md: every bundled model with what it reached, what it cost, and a sheet of its images.

    python training/zoo.py

Reads the records in genhub/pretrained and, for floor, ceiling and the reports' systems, the tables in docs/study.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import genhub
from training.checkpoints import write_text
from training.config import parse_config, read_recipe
from training.model_records import SHORT_NAMES, built_on, read_json
from training.protocol import require_comparable
from training.tables import BOUNDS
from training.wording import duration, measurement

ROOT = Path(__file__).resolve().parents[1]
BASELINES = {"cifar10": "cifar10/cgan-1-exponential"}  # the reports' final choice
FIGURES = {  # recorded name → (head of its column, how it is written)
    "frechet_distance": ("Fréchet distance ↓", ""),  # with its spread
    "class_accuracy": ("class accuracy ↑", "{:.1%}"),
    "precision": ("precision ↑", "{:.2f}"),
    "recall": ("recall ↑", "{:.2f}"),
    "laplacian_ratio": ("sharpness (real = 1)", "{:.2f}"),
    "memorized_share": ("suspiciously near a training image (1 % is expected)", "{:.1%}"),
    "reconstruction_mse": ("reconstruction error ↓", "{:.4f}"),
}
INTRODUCTION = """\
# The zoo

Every bundled model: what it reached, what it cost, and images that it made. Distances and shares are measured on the
test images in the features of the dataset's judge, so that rows compare within a table and with nothing elsewhere.
After the distance stands its standard error. The images seen are those of the weights shown, and of the whole run
where it went on without becoming better; training time is that of the run. It is the run's own: what a model is built
on, a network that it started from or one that it learned from, took its time before (one of the same name: an earlier
version of the model). A row says where it rests on fewer samples than most. Its distance, precision and recall must not
be compared with those of other rows: with fewer samples, the same model has a larger distance. The floor is real
training images, the ceiling noise, both measured like samples. A sample is suspiciously near if it is nearer to a
training image than 99 % of the test images are. How the models were found is in [experiments](experiments.md); the
reports' own systems at one budget are in [the study](study.md)."""


def page() -> str:
    """The whole page as Markdown. Raises ValueError where rows of one table were measured differently."""
    infos = genhub.list_models()
    datasets = sorted({name for info in infos for name in info.datasets}, key=lambda name: (name == "digits", name))
    size = sum(path.stat().st_size for info in infos for path in info.folder.rglob("*.safetensors"))
    parts = [INTRODUCTION, f"{len(infos)} models, {size / 1e6:.0f} MB of weights in half precision."]
    for name in datasets:
        parts += section(name, genhub.list_models(dataset=name))
    return "\n\n".join(parts) + "\n"


def section(dataset: str, infos: Sequence[genhub.ModelInfo]) -> list[str]:
    """Heading, table, protocol and sheets of one dataset."""
    records = {info.name: read_json(info.metrics_file, default={}) for info in infos}
    classifiers = [info for info in infos if info.model_class == "GenHubClassifier"]
    makers = [info for info in infos if info not in classifiers and records[info.name]]
    rows = {info.name: row(info, records[info.name]) for info in makers} | studied(dataset)
    require_comparable({name: found for name, found in rows.items() if found["protocol"]})
    ranked = sorted(rows, key=lambda name: (rows[name]["metrics"].get("frechet_distance", float("inf")), name))
    counts = [count for found in rows.values() if (count := found["protocol"].get("samples"))]
    usual = statistics.mode(counts)
    parts = [f"## {SHORT_NAMES.get(dataset, dataset)}", table({name: rows[name] for name in ranked}, usual)]
    parts.append(f"{usual:,} samples of each, or as many as its row says.")
    for info in classifiers:
        who = "The judge" if info.is_judge else "The guide of projected GANs, which judges nothing"
        accuracy = 100 * records[info.name]["metrics"]["accuracy"]
        parts.append(f"{who}, {linked(info.name)}, reads {accuracy:.1f} % of the real test images rightly.")
    shown = [name for name in ranked if rows[name]["card"]]
    return parts + [f"{linked(name)}\n\n![sheet of {name}](../genhub/pretrained/{name}/samples.png)" for name in shown]


def row(info: genhub.ModelInfo, record: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of a bundled model."""
    summary = read_json(info.folder / "training_summary.json", default={})
    facts = {"images_seen": summary.get("images_seen"), "summary": summary, "built_on": built_on(info.folder)}
    return {**record, "card": True, **facts}


def studied(dataset: str) -> dict[str, dict[str, Any]]:
    """Rows of a dataset's study that the zoo is held against: floor, ceiling and the reports' final choice, if done."""
    study = read_json(ROOT / "docs" / "study" / dataset / "table.json", default={"rows": []})
    found = {}
    for entry in study["rows"]:
        if entry["system"] in (*BOUNDS, BASELINES.get(dataset)) and entry["metrics"]:
            protocol = next((run["protocol"] for run in entry.get("runs", {}).values() if "protocol" in run), {})
            summary, cost, seen = {}, {}, entry.get("images_seen")
            if seen:
                config = parse_config(read_recipe(entry["system"]))
                summary["steps"] = round(seen / (config.batch_size * config.objective.critic_steps))
                summary["best"] = {"step": entry["best_step"][0]}
                summary["hardware"], summary["train_seconds"] = entry["hardware"], seen / entry["images_per_second"]
                cost["parameters"] = entry["parameters"]["model"]  # as of bundled models, which come without a critic
            facts = {"card": False, "protocol": protocol, "summary": summary, "images_seen": seen, "built_on": []}
            found[entry["system"]] = {"metrics": entry["metrics"], "spread": entry["spread"], "cost": cost, **facts}
    return found


def table(rows: Mapping[str, Mapping[str, Any]], usual: int) -> str:
    """Markdown: a row per system, which says where it rests on fewer samples than most; figures, then what it cost."""
    figures = {key: about for key, about in FIGURES.items() if any(key in found["metrics"] for found in rows.values())}
    heads = ["", *(head for head, _ in figures.values()), "images seen", "training", "built on", "parameters"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, found in rows.items():
        samples = found["protocol"].get("samples") or usual
        fewer = "" if samples == usual else f" ({samples:,} samples)"
        cells = [f"{linked(name) if found['card'] else name}{fewer}"]
        for key, (_, form) in figures.items():
            value = found["metrics"].get(key)
            if value is None:
                cells.append("–")
            elif form:
                cells.append(form.format(value).replace("%", " %"))
            else:
                cells.append(measurement(value, found["spread"].get(key)))
        summary, cost = found["summary"], found["cost"]
        took = duration(summary.get("train_seconds"))
        cells.append(images_seen(found["images_seen"], summary))
        cells.append(f"{took}, {summary['hardware'].removesuffix(', x86_64')}" if took else "–")
        cells.append(", ".join(found["built_on"]) or "–")
        cells.append(f"{cost['parameters']:,}" if "parameters" in cost else "–")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def images_seen(count: int | None, summary: Mapping[str, Any]) -> str:
    """How many images a run saw, and after how many its best weights, which are the ones shown, were kept."""
    if not count:
        return "–"
    best, steps = (summary.get("best") or {}).get("step"), summary.get("steps")
    return f"{count:,}" if best in (None, steps) else f"{round(count * best / steps):,} of {count:,}"


def linked(name: str) -> str:
    """A bundled model's name as a link to its card."""
    return f"[{name}](../genhub/pretrained/{name}/README.md)"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    path = ROOT / "docs" / "zoo.md"
    try:
        write_text(path, page())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
