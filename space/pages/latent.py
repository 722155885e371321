"""Latent space: walk between two images, wander over a map of them, add and subtract classes, see how they lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from genhub import ModelInfo
from genhub.errors import nearest
from space.abilities import abilities
from space.catalog import Dataset
from space.families import family_of
from space.fields import Number, check_choice, check_label, quoted, read_choice, read_dataset
from space.inference import Busy, Engine
from space.latent import SUM_STEPS, Map, Projection, Strip, Sum, Walk, add_up, animation, draw_map, project, walk
from space.originals import ALWAYS_HERE
from space.shell import BUSY, QUICK, Page, in_words, read_query, render, respond
from space.view import SEED, TRUNCATION

PAGE = Page("latent", "Latent space", "Walk between two generated images, wander over a map of them, add and subtract.")
TASKS = {"walk": "Walk", "map": "Map", "sum": "Arithmetic", "projection": "Projection"}
METHODS = ("spherical", "linear")
STEPS = Number("Steps", 12, 2, 32)
PLACE = Number("Position", 0.0, -20, 20, whole=False)
GAP = Number("Distance", 0.35, 0.05, 1.5, whole=False)
ANIMATIONS = {"gif": "image/gif", "png": "image/png"}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a link asks for: a task, its dataset and model (None where no model can do it), and the task's details."""

    task: str
    dataset: Dataset
    model: ModelInfo | None
    details: Walk | Map | Sum | None
    fields: dict[str, Any]

    @property
    def query(self) -> str:
        model = {} if self.model is None else {"model": self.model.name}
        return urlencode({"do": self.task, "dataset": self.dataset.name, **model, **self.fields})


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page, its animations and its API."""

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not engine.catalog:
            reason = "No model is bundled with this copy of GenHub."
            return respond(PAGE, "empty.html", heading="Nowhere to walk yet", reason=reason)
        notes: list[str] = []
        asked = read_asked(request.query_params, engine.catalog, notes)
        found = None
        if "go" in request.query_params:  # a browser without scripts, which cannot ask later
            try:
                found = answer(engine, asked)
            except (ValueError, Busy) as error:
                notes.append(str(error))
        return respond(PAGE, "latent.html", **page_values(engine, asked, notes, found))

    @server.get("/walk.{kind}", include_in_schema=False)
    def file(request: Request, kind: str) -> Response:
        if kind not in ANIMATIONS or not engine.catalog:
            return Response("There is no such file.", status_code=404, media_type="text/plain")
        asked = read_asked({**request.query_params, "do": "walk"}, engine.catalog, [])
        try:
            strip = answer(engine, asked)
        except (ValueError, Busy) as error:
            return Response(str(error), status_code=503, headers=BUSY, media_type="text/plain")
        name = f'attachment; filename="genhub-walk-{asked.model.name}.{kind}"'
        return Response(animation(strip, kind), 200, {"Content-Disposition": name}, ANIMATIONS[kind])

    @server.api(name="latent", api_visibility="private", **QUICK)
    def show(query: str) -> dict[str, Any]:
        """The parts of the page that change, for the query string of its form."""
        notes: list[str] = []
        with in_words():
            asked = read_asked(read_query(query), engine.catalog, notes)
            values = page_values(engine, asked, notes, answer(engine, asked))
        html = {name: render(f"latent_{name}.html", **values) for name in ("form", "result")}
        return {"query": asked.query, "status": values["summary"], "key": values["key"], **html}

    @server.api(name="interpolate", **QUICK)
    def interpolate(
        model: str = "vae-mnist",
        start: int = 1,
        end: int = 2,
        steps: int = 8,
        start_label: str | None = None,
        end_label: str | None = None,
        method: str = "spherical",
        truncation: float = 1.0,
    ) -> dict[str, Any]:
        """Images along a path through a model's latent space, both ends included.

        Args:
            model: a bundled model with a latent space, such as "vae-mnist" or "cgan-cifar10" (see /models: "walks").
            start: seed of the first image, 0…4294967295.
            end: seed of the last image.
            steps: number of images, 2…32.
            start_label: class of the first image, by name or index; for models that are told a class only.
            end_label: class of the last image.
            method: "spherical", which keeps the length of Gaussian latents, or "linear".
            truncation: 0…1 in hundredths, multiplies the latents.

        Returns:
            "images", PNG data URIs, and "model", "dataset", "labels", "seeds", "method".
        """
        with in_words():
            asked = check_walk(engine.catalog, model, (start, end), steps, (start_label, end_label), method, truncation)
            strip = answer(engine, asked)
        details: Walk = asked.details
        names = asked.dataset.class_names
        labels = None if details.labels is None else [names[label] for label in details.labels]
        return {
            "images": strip.data_uris,
            **{"model": model, "dataset": asked.dataset.name, "labels": labels},
            **{"seeds": list(details.seeds), "method": method},
        }


def able(dataset: Dataset, task: str) -> list[ModelInfo]:
    """The models of a dataset that a task can be done with."""
    if task in ("sum", "projection"):
        labelled = dataset.source is not None and bool(dataset.source.class_names)
        # What is told the class does not keep it in its codes: nothing to add up, no classes to tell apart.
        return [info for info in dataset.able("reconstructs") if labelled and not info.class_names]
    walkers = [info for info in dataset.able("walks") if abilities(info).generates or dataset.source is not None]
    if task == "map":
        return [info for info in walkers if abilities(info).generates]
    return sorted(walkers, key=lambda i: (i != dataset.source, not i.class_names, not abilities(i).generates))


def is_told(info: ModelInfo, dataset: Dataset) -> bool:
    """Whether an image of this model has a class that one chooses: its own, or that of the image it encodes."""
    asked = info if abilities(info).generates else dataset.source
    return bool(asked is not None and asked.class_names)


def read_asked(params: Mapping[str, str], catalog: Mapping[str, Dataset], notes: list[str]) -> Asked:
    """What a link or a form asks for, with a sentence in ``notes`` for each thing that was not taken as given."""
    task = read_choice(params.get("do"), "task", list(TASKS), notes)
    dataset = read_dataset(params, catalog, notes)
    models = able(dataset, task)
    if not models:
        return Asked(task, dataset, None, None, {})
    name = read_choice(params.get("model"), "model for this", [info.name for info in models], notes)
    info = dataset.model(name)
    told = is_told(info, dataset)

    def number(field: str, kind: Number, default: float | None = None) -> float:
        kind = kind if default is None else dataclasses.replace(kind, default=default)
        return kind.read(params.get(field), notes)

    def label(field: str, default: int) -> int:
        names = list(dataset.class_names)
        first = names[min(default, len(names) - 1)]
        return names.index(read_choice(params.get(field), "class", [first, *names], notes))

    if task == "walk":
        seeds = int(number("from", SEED, 1)), int(number("to", SEED, 2))
        labels = (label("fromclass", 3), label("toclass", 5)) if told else None
        method = read_choice(params.get("method"), "method", METHODS, notes)
        details = Walk(
            dataset.name, name, seeds, labels, int(number("steps", STEPS)), method, number("truncation", TRUNCATION)
        )
        fields = {"from": seeds[0], "to": seeds[1], "steps": details.steps, "method": method}
        if labels:
            fields |= {"fromclass": dataset.class_names[labels[0]], "toclass": dataset.class_names[labels[1]]}
        fields["truncation"] = f"{details.truncation:g}"
    elif task == "map":
        chosen = label("class", 3) if told else None
        place = {"x": number("x", PLACE), "y": number("y", PLACE), "gap": number("gap", GAP)}
        seed, truncation = int(number("seed", SEED)), number("truncation", TRUNCATION)
        details = Map(dataset.name, name, seed, chosen, **place, truncation=truncation)
        fields = {"seed": seed, **({"class": dataset.class_names[chosen]} if told else {})}
        fields |= {key: f"{value:g}" for key, value in place.items()} | {"truncation": f"{truncation:g}"}
    elif task == "sum":
        seed = int(number("seed", SEED, 1))
        chosen = {"start": label("class", 4), "minus": label("minus", 4), "plus": label("plus", 9)}
        details = Sum(dataset.name, name, seed, **chosen)
        names = dataset.class_names
        fields = {"seed": seed, "class": names[chosen["start"]]}
        fields |= {key: names[chosen[key]] for key in ("minus", "plus")}
    else:
        details, fields = None, {}
    return Asked(task, dataset, info, details, fields)


def check_walk(
    catalog: Mapping[str, Dataset],
    model: str,
    seeds: tuple[int, int],
    steps: int,
    labels: tuple[str | None, str | None],
    method: str,
    truncation: float,
) -> Asked:
    """A walk of arguments that must be right. Raises ValueError saying what was given and what is allowed."""
    homes = {info.name: (dataset, info) for dataset in catalog.values() for info in able(dataset, "walk")}
    if not isinstance(model, str) or model not in homes:
        raise ValueError(f"model: got {quoted(model)}; {nearest(model, homes)}")
    dataset, info = homes[model]
    seeds = SEED.check(seeds[0], "start"), SEED.check(seeds[1], "end")
    steps, truncation = STEPS.check(steps, "steps"), TRUNCATION.check(truncation, "truncation")
    check_choice(method, "method", METHODS)
    chosen = None
    if is_told(info, dataset):
        found = [
            check_label(label, field, dataset) if label not in (None, "all") else None
            for label, field in zip(labels, ("start_label", "end_label"), strict=True)
        ]
        if None in found:
            field = ("start_label", "end_label")[found.index(None)]
            raise ValueError(f"{field}: {model} is told a class; allowed: {', '.join(dataset.class_names)}")
        chosen = (found[0], found[1])
    elif labels != (None, None):
        raise ValueError(f"start_label, end_label: {model} cannot be told a class; leave them out")
    return Asked("walk", dataset, info, Walk(dataset.name, model, seeds, chosen, steps, method, truncation), {})


def answer(engine: Engine, asked: Asked) -> Strip | Projection | None:
    """What the models make of what is asked; None where none of them can. Raises Busy and LoadError."""
    dataset = asked.dataset
    works = {"walk": walk, "map": draw_map, "sum": add_up}
    if asked.task == "projection" and (asked.model or dataset.name == ALWAYS_HERE):
        name = asked.model.name if asked.model else ""
        return engine.run(project, dataset.name, name, dataset=dataset.name, models=needed(asked))
    if asked.model is None:
        return None
    return engine.run(works[asked.task], asked.details, dataset=dataset.name, models=needed(asked))


def needed(asked: Asked) -> tuple[str, ...]:
    if asked.model is None:
        return ()
    encodes = asked.task in ("sum", "projection") or not abilities(asked.model).generates
    return (asked.model.name, *([asked.dataset.source.name] if encodes else []))


def page_values(engine: Engine, asked: Asked, notes: list[str], found: Strip | Projection | None) -> dict[str, Any]:
    """What the templates of this page need; without ``found`` the images are still to come."""
    dataset, info = asked.dataset, asked.model
    return {
        "asked": asked,
        "details": asked.details,
        "tasks": TASKS,
        "datasets": list(engine.catalog.values()),
        "dataset": dataset,
        "models": able(dataset, asked.task),
        "info": info,
        "family": family_of(info) if info else None,
        "told": bool(info and is_told(info, dataset)),
        "found": found,
        "possible": info is not None or (asked.task == "projection" and dataset.name == ALWAYS_HERE),
        "notes": notes,
        "query": asked.query,
        "summary": summary(asked),
        "key": f"{asked.task} {dataset.name} {info.name if info else ''}",
        "shares": SUM_STEPS,
        "short": all(len(name) <= 2 for name in dataset.class_names),
        "snippet": snippet(asked) if asked.task == "walk" and info else "",
        "max_seed": SEED.high,
        "limit": PLACE.high,
    }


def summary(asked: Asked) -> str:
    """What is shown in one sentence, which a screen reader says after each change."""
    name, names, details = asked.model.name if asked.model else "", asked.dataset.class_names, asked.details
    if isinstance(details, Walk):
        labels = details.labels and [f" ({names[label]})" for label in details.labels]
        ends = [f"seed {seed}{labels[i] if labels else ''}" for i, seed in enumerate(details.seeds)]
        return f"{name}: {details.steps} images from {ends[0]} to {ends[1]}, {details.method}."
    if isinstance(details, Map):
        return f"{name}: around {details.x:g}, {details.y:g}, steps of {details.gap:g}."
    if isinstance(details, Sum):
        return f"{name}: a {names[details.start]}, minus {names[details.minus]}, plus {names[details.plus]}."
    return f"{name or asked.dataset.title}: a projection on two dimensions."


def snippet(asked: Asked) -> str:
    """Python that makes the images of a walk again."""
    details, info = asked.details, asked.model
    head = [f"from genhub import {info.model_class}", "from genhub.images import grid, save_png, to_uint8", ""]
    load = f'model = {info.model_class}.from_pretrained("{info.name}")'
    if not abilities(info).generates:
        return ""
    lines, labels = [load], ""
    if details.labels:
        first, last = details.labels
        lines = [
            "import torch",
            *head,
            load,
            "t = torch.linspace(0, 1, " + f"{details.steps})[:, None]",
            f"one_hot = torch.eye({len(info.class_names)})",
            f"labels = torch.lerp(one_hot[[{first}]], one_hot[[{last}]], t)",
        ]
        labels = ", labels=labels"
    else:
        lines = [*head, load]
    ends = f"{details.seeds[0]}, {details.seeds[1]}"
    if details.truncation != 1:
        lines += [
            "from genhub.latents import sample_latents",
            f"start, end = ({details.truncation:g} * sample_latents(1, model.latent_dim, s)[0] for s in ({ends}))",
        ]
        ends = "start, end"
    lines.append(f'images = to_uint8(model.interpolate({ends}, {details.steps}{labels}, method="{details.method}"))')
    return "\n".join([*lines, f'save_png(grid(images, columns={details.steps}), "walk.png", scale=4)']) + "\n"
