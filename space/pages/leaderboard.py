"""Leaderboard: every evaluated system, sorted, filtered, plotted against its cost, with its training curves."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from fastapi import Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from genhub import ModelInfo
from space import charts
from space.board import (
    BOUNDS_OF_ALL,
    COSTS,
    COUNTED,
    Column,
    Entry,
    columns_of,
    ranked,
    read_board,
    read_reported,
    usual_samples,
)
from space.cards import count, duration, judge_accuracy
from space.catalog import Dataset
from space.families import KINDS
from space.fields import quoted
from space.findings import findings
from space.inference import Engine
from space.progress import frames_of
from space.sheets import path_of, sheets_of
from space.shell import Page, respond

PAGE = Page("leaderboard", "Leaderboard", "Every evaluated system, its figures, its cost and how it learned.")
ANY = "any"
MAIN = ("frechet_distance", "fid", "precision", "recall", "class_accuracy", "largest_class_share", "reconstruction_mse")
SPAN = 30  # best to worst, from which on a linear axis would show only the worst
FIELDS = ("dataset", "family", "sort", "order", "columns", "complete", "cost", "curve")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a link asks of the table. ``sort`` None sorts by name; ``cost`` is the plot's x axis."""

    dataset: str
    family: str
    sort: Column | None
    descending: bool
    everything: bool
    complete: bool
    cost: str
    curve: str

    def link(self, **changes: Any) -> str:
        """The address of the same page with something else chosen."""
        choice = dataclasses.replace(self, **changes)
        fields = {
            "dataset": choice.dataset,
            "family": choice.family,
            "sort": choice.sort.key if choice.sort else "name",
            "order": "down" if choice.descending else "up",
            "columns": "all" if choice.everything else "main",
            "complete": "yes" if choice.complete else "no",
            "cost": choice.cost,
            "curve": choice.curve,
        }
        return f"leaderboard?{urlencode(fields, safe='@')}"


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page and its table as CSV."""
    entries = read_board(engine.catalog)

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not entries:
            return respond(PAGE, "empty.html", heading="Nothing evaluated yet", reason="No bundled model was measured.")
        choice, notes = read_choice(request.query_params, entries, engine.catalog)
        return respond(PAGE, "leaderboard.html", notes=notes, **page_values(choice, entries, engine.catalog))

    @server.get("/class-sheet", include_in_schema=False)
    def class_sheet(request: Request) -> Response:
        """A sheet of the comparison, by dataset and class: no path leads anywhere else."""
        dataset = engine.catalog.get(request.query_params.get("dataset", ""))
        name = request.query_params.get("class", "")
        found = sheets_of(dataset) if dataset else None
        if found is None or name not in found.classes:
            return Response("There is no such sheet.", status_code=404, media_type="text/plain")
        return FileResponse(path_of(dataset, name), headers={"Cache-Control": "max-age=3600"})

    @server.get("/leaderboard.csv", include_in_schema=False)
    def table(request: Request) -> Response:
        if not entries:
            return Response("There is nothing to download.", status_code=404, media_type="text/plain")
        choice, _ = read_choice(request.query_params, entries, engine.catalog)
        _, columns, rows = chosen(choice, entries)
        name = f'attachment; filename="genhub-{choice.dataset}.csv"'
        return Response(as_csv(rows, columns), 200, {"Content-Disposition": name}, "text/csv")


def read_choice(
    params: Mapping[str, str], entries: Sequence[Entry], catalog: Mapping[str, Dataset]
) -> tuple[Choice, list[str]]:
    """A choice of whatever a link says, and a sentence for each thing that is not there."""
    notes: list[str] = []

    def one_of(field: str, allowed: Sequence[str], default: str) -> str:
        given = params.get(field, "").strip()
        if given and given not in allowed:
            notes.append(f"There is no {field} {quoted(given)}: showing {default}.")
        return given if given in allowed else default

    datasets = datasets_of(entries, catalog)
    dataset = one_of("dataset", datasets, datasets[0])
    here = [entry for entry in entries if entry.dataset == dataset]
    columns = {column.key: column for column in columns_of(here)}
    first = next((key for key, column in columns.items() if column.about.better == "low"), "name")
    sort = columns.get(one_of("sort", [*columns, "name"], first))
    upwards = "down" if sort and sort.about.better == "high" else "up"
    families = [slug for slug, _ in families_of(here)]
    models = learners(dataset, catalog)
    curves = [info.name for info in models]
    filmed = next((info.name for info in reversed(models) if frames_of(info)), curves[-1] if curves else "")
    choice = Choice(
        dataset=dataset,
        family=one_of("family", [ANY, *families], ANY),
        sort=sort,
        descending=one_of("order", ["up", "down"], upwards) == "down",
        everything=one_of("columns", ["main", "all"], "main") == "all",
        complete=one_of("complete", ["yes", "no"], "no") == "yes",
        cost=one_of("cost", list(COSTS), "parameters"),
        curve=one_of("curve", curves, filmed),
    )
    return choice, notes


def datasets_of(entries: Sequence[Entry], catalog: Mapping[str, Dataset]) -> list[str]:
    found = {entry.dataset for entry in entries}
    return [name for name in catalog if name in found] + sorted(found - set(catalog))


def families_of(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """(slug, title) of the families that have a row; guided ones stand with their kind."""
    return [(slug, KINDS[slug].kind) for slug in dict.fromkeys(entry.family.slug for entry in entries if entry.family)]


def learners(dataset: str, catalog: Mapping[str, Dataset]) -> list[ModelInfo]:
    """The bundled models of a dataset whose training was logged."""
    models = catalog[dataset].models if dataset in catalog else ()
    return [info for info in models if (info.folder / "training_log.jsonl").is_file()]


def chosen(choice: Choice, entries: Sequence[Entry]) -> tuple[list[Entry], list[Column], list[Entry]]:
    """(rows of the dataset, columns shown, rows shown)."""
    here = [entry for entry in entries if entry.dataset == choice.dataset]
    family = [entry for entry in here if choice.family in (ANY, entry.family.slug if entry.family else ANY)]
    columns = columns_of(family)
    if not choice.everything:
        columns = [c for c in columns if c.metric in MAIN] or columns
    rows = [entry for entry in family if not choice.complete or entry.complete(columns)]
    return here, columns, ranked(rows, choice.sort, choice.descending)


def page_values(choice: Choice, entries: Sequence[Entry], catalog: Mapping[str, Dataset]) -> dict[str, Any]:
    here, columns, rows = chosen(choice, entries)
    usual = usual_samples(here)
    best = {column: best_of(column, rows, usual) for column in columns}
    quality = (
        choice.sort if choice.sort and choice.sort.about.better else next((c for c in columns if c.about.better), None)
    )
    real = next((row for row in here if row.name == BOUNDS_OF_ALL["floor"]), None)
    models = learners(choice.dataset, catalog)
    learner = next((info for info in models if info.name == choice.curve), None)
    return {
        "choice": choice,
        "datasets": [
            (name, catalog[name].title if name in catalog else name) for name in datasets_of(entries, catalog)
        ],
        "families": families_of(here),
        "columns": columns,
        "more": len(columns_of(here)) > len(columns),
        "rows": rows,
        "usual": usual,
        "fewer": sorted({row.samples for row in rows if row.samples} - {usual}),
        "is_best": lambda row, column: row.figures.get(column) == best[column] and may_win(row, column, usual),
        "costs": COSTS,
        "costs_shown": [cost for cost in COSTS if any(cost in entry.costs for entry in here)],
        "written": write_cost,
        "any": ANY,
        "bounds": any(row.origin == "reference" for row in rows),
        "judge": judge_line(catalog.get(choice.dataset)),
        "quality": quality,
        "plot": quality and plot(rows, quality, choice.cost, real.figures.get(quality) if real else None),
        "curves": curves_of(learner) if learner else [],
        "frames": frames_of(learner) if learner else [],
        "models": models,
        "findings": findings(catalog[choice.dataset].title) if choice.dataset in catalog else "",
        "sheets": sheets_of(catalog[choice.dataset]) if choice.dataset in catalog else None,
        "reported": read_reported(choice.dataset),
        "csv": choice.link().replace("leaderboard?", "leaderboard.csv?", 1),
    }


def judge_line(dataset: Dataset | None) -> str:
    """Who measured, in one sentence."""
    if dataset is None or dataset.judge is None:
        return "No classifier judges these: the distance is one between small pictures, not between what they show."
    return f"The judge is {dataset.judge}{judge_accuracy(dataset)}."


def may_win(row: Entry, column: Column, usual: int) -> bool:
    """Whether a row can be the best of a column: a model, on as many samples as the others where that matters."""
    return row.origin != "reference" and (column.metric not in COUNTED or row.samples == usual)


def best_of(column: Column, rows: Sequence[Entry], usual: int) -> float | None:
    """The best figure of a column among the rows that can win it; None where none is better or only one has it."""
    values = [row.figures[column] for row in rows if column in row.figures and may_win(row, column, usual)]
    if len(values) < 2 or not column.about.better:
        return None
    return min(values) if column.about.better == "low" else max(values)


def plot(rows: Sequence[Entry], quality: Column, cost: str, real: float | None = None) -> charts.Plot | None:
    """Quality against cost of the rows that have both, beside the quality of real images."""
    dots = [
        charts.Dot(row.costs[cost], row.figures[quality], row.name, row.family.slug)
        for row in rows
        if cost in row.costs and quality in row.figures and row.family
    ]
    values = [dot.y for dot in dots]
    wide = bool(values) and 0 < SPAN * min(values) < max(values)
    title = f"{quality.about.title} ({quality.about.better}er is better{', logarithmic' if wide else ''})"
    return charts.scatter(dots, COSTS[cost].title, title, lambda value: write_cost(cost, value), wide, real)


def write_cost(cost: str, value: float) -> str:
    """A cost with its unit, briefly."""
    if cost == "seconds_per_image":
        return duration(value)
    if cost != "train_seconds":
        return count(round(value))
    minutes = value / 60
    return f"{value:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


@dataclasses.dataclass(frozen=True)
class Curve:
    """A chart of one model's training: its title, the names of its lines by class, and the plot."""

    title: str
    legend: list[tuple[str, str]]
    plot: charts.Plot
    text: str


def curves_of(info: ModelInfo) -> list[Curve]:
    """The losses and the measured quality of a model over the images it has seen."""
    rows = read_log(info)
    losses = sorted({key for row in rows for key in row if key.endswith("loss") or key in ("reconstruction", "kl")})
    probes = sorted({key for row in rows for key in row if key.startswith("probe_")})
    groups = [("Losses", [key for key in losses if len(losses) == 1 or key != "loss"])]
    groups += [(title_of(key), [key]) for key in probes]
    return [curve for title, keys in groups if (curve := curve_of(title, keys, rows))]


def curve_of(title: str, keys: Sequence[str], rows: Sequence[Mapping[str, float]]) -> Curve | None:
    series = [(f"line-{i}", [(row["images"], row[key]) for row in rows if key in row]) for i, key in enumerate(keys)]
    drawn = charts.lines(series, "Images seen", title, lambda value: charts.short(value))
    if drawn is None:
        return None
    legend = [(kind, title_of(key)) for key, (kind, points) in zip(keys, series, strict=True) if len(points) > 1]
    ends = [
        f"{title_of(key)} goes from {points[0][1]:.3g} to {points[-1][1]:.3g}"
        for key, (_, points) in zip(keys, series, strict=True)
        if len(points) > 1
    ]
    return Curve(title, legend, drawn, f"{title} over images seen: {'; '.join(ends)}.")


def title_of(key: str) -> str:
    """A logged quantity in words."""
    return Column(key.removeprefix("probe_"), "").about.title


def read_log(info: ModelInfo) -> list[dict[str, float]]:
    """The log's rows with the images seen at each; a row that tells only its step gets them from its neighbours."""
    lines = (info.folder / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    batch = next((row["images"] / row["step"] for row in rows if row.get("step") and "images" in row), 1.0)
    return [{**row, "images": row.get("images", row["step"] * batch)} for row in rows if row.get("step")]


def as_csv(rows: Sequence[Entry], columns: Sequence[Column]) -> str:
    """The table in full precision: name, family, origin, samples measured, figures, costs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "family", "origin", "dataset", "samples", *(column.key for column in columns), *COSTS])
    for row in rows:
        figures = [row.figures.get(column, "") for column in columns]
        costs = [row.costs.get(cost, "") for cost in COSTS]
        writer.writerow([row.name, row.kind, row.origin, row.dataset, row.samples, *figures, *costs])
    return text.getvalue()
