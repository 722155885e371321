"""The table of a study: what each system reached, what it cost, and what its report says of it."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from training.agreement import agreement
from training.alarms import SAME
from training.checkpoints import write_text
from training.model_records import read_json
from training.protocol import require_comparable
from training.results import ALARMS, count_alarms, mean_losses, read_log
from training.settings import ConfigError
from training.wording import measurement

REPORTED = Path(__file__).parent / "reported.yaml"
BOUNDS = ("floor", "ceiling")  # real training images and noise, measured like samples, in folders of these names
COLUMNS = {  # of the Markdown table: what is in a column, in the words of its head
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "class_accuracy": "class accuracy",
    "largest_class_share": "largest class",
    "laplacian_ratio": "sharpness (real = 1)",
    "reconstruction_mse": "reconstruction error",
}


def read_study(output: Path) -> dict[str, Any]:
    """The terms of a study and its systems. Raises ConfigError for a damaged record."""
    study = read_json(output / "study.json")
    if not isinstance(study.get("images"), int) or not isinstance(study.get("systems"), dict):
        raise ConfigError(f"{output / 'study.json'}: is no record of a study; restore it, or delete it to begin anew")
    return study


def collect(output: Path, runs: Path) -> list[dict[str, Any]]:
    """A row for every system of a study and for floor and ceiling where they were measured, the best first.

    Args:
        output: the study's folder, which holds the results of finished runs.
        runs: holds the run folders, which say how far the others are.

    Raises ConfigError where figures were measured by different protocols and so cannot share a table.
    """
    study = read_study(output)
    reported = yaml.safe_load(REPORTED.read_text(encoding="utf-8"))
    rows, records = [], {}
    seeds = sorted({folder.name for place in (output, runs) for folder in place.glob("seed-*")})
    for recipe, facts in study["systems"].items():
        read = [read_run(output / seed, runs / seed, facts["name"], study["images"]) for seed in seeds]
        begun = [run for run in read if run is not None]
        records |= {f"{recipe}, {run['run']}": run["record"] for run in begun if run["record"]}
        theirs = reported["systems"].get(recipe, {})
        theirs = {"extractor": reported["extractor"], **theirs} if theirs else {}
        rows.append({"system": recipe, "gflop_per_image": facts["flops"] / 1e9, **summarized(begun), "theirs": theirs})
    for name in BOUNDS:
        if (output / name / "metrics.json").is_file():
            records[name] = read_json(output / name / "metrics.json")
            figures = {key: records[name].get(key, {}) for key in ("metrics", "spread")}
            rows.append({"system": name, "status": "measured", **figures, "theirs": {}})
    try:
        require_comparable(records)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    worst = float("inf")
    return sorted(rows, key=lambda row: (row["metrics"].get("frechet_distance", worst), row["system"]))


def read_run(results: Path, runs: Path, name: str, budget: int) -> dict[str, Any] | None:
    """What is known of a system with one seed: the result of a finished run, or how far it is; None if it never was."""
    if (results / f"{name}.json").is_file():
        return {"run": results.name, "status": "done", **read_json(results / f"{name}.json")}
    if not (runs / f"{name}.log").is_file():
        return None
    lines = read_log(runs / name / "log.jsonl")
    failure = runs / f"{name}.failed"
    if failure.is_file():
        status = f"failed: {failure.read_text(encoding='utf-8').strip()}"
    else:
        seen = max((line.get("images", 0) for line in lines), default=0)
        status = f"unfinished: {seen / budget:.0%} of the budget"
    known = {"losses": mean_losses(lines), "alarms": count_alarms(lines)}
    return {"run": runs.name, "status": status, "record": {}, "facts": {}, **known}


def summarized(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The runs of one system as one row: means over the seeds that are done, and their standard deviation.

    With one seed the spread is the one of its measurement.
    """
    done = [run for run in runs if run["status"] == "done"]
    others = [run["status"] for run in runs if run["status"] != "done"]
    row: dict[str, Any] = {"status": "; ".join((["done"] if done else []) + others) or "waiting", "seeds": len(done)}
    row["metrics"], row["spread"] = over_seeds([run["record"]["metrics"] for run in done])
    if len(done) == 1:
        row["spread"] = done[0]["record"].get("spread", {})
    row["losses"], _ = over_seeds([run["losses"] for run in done or runs])
    alarms = [alarms_of(run) for run in runs]
    row["alarms"] = {name: sum(counts.get(name, 0) for counts in alarms) for name in ALARMS.values()}
    if done:
        facts = done[0]["facts"]
        row |= {"parameters": facts["parameters"], "images_seen": facts["images_seen"], "hardware": facts["hardware"]}
        row["images_per_second"] = statistics.fmean(run["facts"]["images_per_second"] for run in done)
        row["best_step"] = [run["facts"]["best"]["step"] for run in done]
    row["runs"] = {run["run"]: {"status": run["status"], **run["record"]} for run in runs}
    return row


def alarms_of(run: dict[str, Any]) -> dict[str, int]:
    """Alarms of a run by kind; one at least where its final samples are mostly of one class: not all runs watched."""
    share = run["record"].get("metrics", {}).get("largest_class_share", 0)
    return ({"collapse": 1} if share > SAME else {}) | run["alarms"]


def over_seeds(records: Sequence[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of each figure that all records have, and its standard deviation where there are several."""
    shared = [name for name in (records[0] if records else {}) if all(name in record for record in records)]
    means = {name: statistics.fmean(record[name] for record in records) for name in shared}
    if len(records) < 2:
        return means, {}
    return means, {name: statistics.stdev(record[name] for record in records) for name in shared}


# -- files


def write_tables(output: Path, runs: Path) -> Path:
    """``table.json``, ``table.csv`` and ``table.md`` of a study; the path of the last. Raises ConfigError."""
    rows = collect(output, runs)
    images = read_json(output / "study.json")["images"]
    write_text(output / "table.json", json.dumps({"images": images, "rows": rows}, indent=2) + "\n")
    write_text(output / "table.csv", to_csv(rows))
    write_text(output / "table.md", to_markdown(rows, images))
    return output / "table.md"


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Every number of every row, in columns such as ``metrics.recall`` and ``theirs.fid``."""
    flat = [flattened({key: value for key, value in row.items() if key != "runs"}) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


def flattened(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def to_markdown(rows: Sequence[dict[str, Any]], images: int) -> str:
    """The table to read: our figures with their spread, then theirs, apart."""
    protocols = [run["protocol"] for row in rows for run in row.get("runs", {}).values() if "protocol" in run]
    extractor = protocols[0].get("extractor") if protocols else "our classifier"
    shown = {key: head for key, head in COLUMNS.items() if any(key in row["metrics"] for row in rows)}
    heads = ["system", "seeds", *shown.values(), "d / g loss", "alarms", "parameters", "GFLOP/image", "images/s"]
    theirs = ["their FID", "their KID", "their d / g loss", "their note"]
    lines = [
        f"{images:,} images seen by each system. Our figures are measured in the features of {extractor} and followed "
        "by their spread: the deviation between seeds or, with one seed, the standard error of the measurement. Losses "
        "are means over the last tenth of a run. Columns marked as theirs repeat what the systems' reports say, "
        f"measured with {rows_extractor(rows)} in their own protocols; they do not compare with ours.",
        *(["", compared] if (compared := order_compared(rows)) else []),
        "",
        "| " + " | ".join(heads + theirs) + " |",
        "|" + "---|" * len(heads + theirs),
    ]
    for row in rows:
        figures = [figure(row, key) for key in shown]
        alarms = ", ".join(f"{name} ×{count}" for name, count in row.get("alarms", {}).items() if count)
        done = row["status"] in ("done", "measured")
        name = row["system"] if done else f"{row['system']} ({row['status']})"
        cost = [thousands(sum(row.get("parameters", {}).values())), number(row.get("gflop_per_image"))]
        reported = row["theirs"]
        notes = [f"{key} {value}" for key, value in reported.items() if key not in (*OWN_COLUMNS, "note")]
        notes += [reported["note"]] if "note" in reported else []
        cells = [name, number(row.get("seeds")), *figures, losses(row.get("losses", {})), alarms, *cost]
        cells += [number(row.get("images_per_second")), number(reported.get("fid")), number(reported.get("kid"))]
        cells += [losses(reported), ", ".join(notes)]
        lines.append("| " + " | ".join(cell.replace("|", "/") or "–" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def order_compared(rows: Sequence[dict[str, Any]]) -> str | None:
    found = agreement(rows)
    return found and (
        f"Their order does: over the {len(found.systems)} systems with an FID of theirs, its rank correlation with our "
        f"distance is {found.correlation:.2f} (Spearman; p = {found.p:.2f}), where 1 is the same order, 0 none, and −1 "
        "the reverse."
    )


OWN_COLUMNS = ("extractor", "fid", "kid", "discriminator_loss", "generator_loss")


def rows_extractor(rows: Sequence[dict[str, Any]]) -> str:
    return next((row["theirs"]["extractor"] for row in rows if row["theirs"]), "extractors of their own")


def figure(row: dict[str, Any], key: str) -> str:
    value = row["metrics"].get(key)
    return "" if value is None else measurement(value, row["spread"].get(key))


def losses(values: dict[str, float]) -> str:
    if "discriminator_loss" in values:
        return f"{number(values['discriminator_loss'])} / {number(values['generator_loss'])}"
    return number(values.get("loss"))


def number(value: float | None) -> str:
    """Four digits, never in powers of ten."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def thousands(value: float) -> str:
    return f"{value:,.0f}" if value else ""
