"""Learn and use: what each family is, a generator from the inside, model cards, code, licences and limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from fastapi import Request
from fastapi.responses import FileResponse, HTMLResponse, Response

import genhub
from genhub import ModelInfo
from genhub.hub import read_config
from space.catalog import Dataset
from space.examples import ADDRESS, EXAMPLES
from space.families import KINDS, Family, family_of
from space.fields import quoted, read_choice, read_label
from space.inference import Engine
from space.inside import look_inside
from space.lessons import LESSONS, cited
from space.manuals import SHEET, card_html
from space.shell import QUICK, Page, in_words, read_query, render, respond
from space.view import SEED

PAGE = Page("learn", "Learn & use", "What each family of generative models is, from the inside, and how to use them.")
GROWING = {"conv_transpose", "upsample"}  # operations of a generator whose maps grow: it is worth a look inside


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page, its look inside a generator, and the sheets of the cards."""
    cards = {info.name: info for info in genhub.list_models()}
    open_ones = [info for data in engine.catalog.values() for info in data.models if shows_inside(info)]

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        notes: list[str] = []
        asked = request.query_params.get("card", "").strip()
        card = asked if asked in cards else ""
        if asked and not card:
            notes.append(f"There is no model {quoted(asked)}.")
        return respond(
            PAGE,
            "learn.html",
            notes=notes,
            families=[(family, LESSONS[family.slug], names) for family, names in families_of(engine)],
            inside=inside_values(engine, open_ones, {}) if open_ones else None,
            cards=grouped(list(cards.values()), engine.catalog),
            card=card,
            card_html=card_html(cards[card]) if card else "",
            cited=cited,
            space=os.environ.get("SPACE_ID", ""),
            examples=[(example, example.code.replace(ADDRESS, address(request))) for example in EXAMPLES],
        )

    @server.api(name="inside", api_visibility="private", **QUICK)
    def inside(query: str) -> dict[str, str]:
        """The steps of one generator, as the part of a page, for the query string of its form."""
        with in_words():
            if not open_ones:
                raise ValueError("No bundled model can be looked into.")
            values = inside_values(engine, open_ones, read_query(query))
            dataset, info = values["dataset"], values["model"]
            label = values["label"] if info.class_names else None
            asked = (dataset.name, info.name, label, values["seed"])
            steps = engine.run(look_inside, *asked, dataset=dataset.name, models=(info.name,))
        choices = render("inside_choices.html", inside=values)
        return {
            "choices": choices,
            "steps": render("inside.html", inside=values, steps=steps),
            "query": values["query"],
        }

    @server.get("/sheet", include_in_schema=False)
    def sheet(request: Request) -> Response:
        """The sample sheet of a bundled model, by its name alone: no path leads anywhere else."""
        info = cards.get(request.query_params.get("model", ""))
        if info is None or not (info.folder / SHEET).is_file():
            return Response("There is no such sheet.", status_code=404, media_type="text/plain")
        return FileResponse(info.folder / SHEET, headers={"Cache-Control": "max-age=3600"})


def address(request: Request) -> str:
    """What a client calls this Space by: its name on the Hub, or where this request found it."""
    return os.environ.get("SPACE_ID") or str(request.base_url).rstrip("/")


def inside_values(engine: Engine, models: list[ModelInfo], params: dict[str, str]) -> dict[str, Any]:
    """What the form of the look inside shows: the model, its class and the seed, whatever was asked."""
    notes: list[str] = []
    default = next((info.name for info in models if info.model_class == "GenHubCGAN"), models[0].name)
    name = read_choice(params.get("model") or default, "model", [info.name for info in models], notes)
    info = next(info for info in models if info.name == name)
    dataset = engine.catalog[info.dataset]
    label = (read_label(params.get("class", ""), dataset, notes) or 0) if info.class_names else None
    seed = SEED.read(params.get("seed"), notes)
    fields = {"model": name, "seed": seed}
    if label is not None:
        fields["class"] = info.class_names[label]
    return {
        "models": models,
        "model": info,
        "dataset": dataset,
        "label": label,
        "seed": seed,
        "max_seed": SEED.high,
        "notes": notes,
        "query": urlencode(fields),
    }


def families_of(engine: Engine) -> list[tuple[Family, list[str]]]:
    """The families that are bundled, each with the names of its models; guided ones stand with their kind."""
    found: dict[Family, list[str]] = {}
    for dataset in engine.catalog.values():
        for info in dataset.models:
            names = found.setdefault(KINDS[family_of(info).slug], [])
            if info.name not in names:  # one of several datasets
                names.append(info.name)
    order = list(LESSONS)
    return sorted(found.items(), key=lambda item: order.index(item[0].slug))


def grouped(infos: list[ModelInfo], catalog: Mapping[str, Dataset]) -> list[tuple[str, list[ModelInfo]]]:
    """Models under the titles of their datasets, in the order of the catalog; those of no dataset of it last."""
    order = list(catalog)
    groups: dict[str, list[ModelInfo]] = {}
    for info in sorted(infos, key=lambda info: order.index(info.dataset) if info.dataset in order else len(order)):
        title = catalog[info.dataset].title if info.dataset in catalog else "Several datasets"
        groups.setdefault(title, []).append(info)
    return list(groups.items())


def shows_inside(info: ModelInfo) -> bool:
    """Whether there is something to see: a model that denoises, or makes its image in maps that grow."""
    if info.model_class == "GenHubDiffusion":
        return True
    config = read_config(info.folder, info.name)
    rows = config.get("stages") or config.get("decoder") or []
    return info.model_class != "GenHubAE" and any(row.get("op") in GROWING for row in rows if isinstance(row, dict))
