"""Compare: what each model makes of the same dataset, class and seed, side by side."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from space.cards import judge_line, make_card
from space.catalog import Dataset
from space.download import archive, stem
from space.inference import Busy, Engine
from space.result import Failure, Result
from space.shell import QUICK, Page, in_words, render, respond
from space.snippet import snippet
from space.view import MAX_IMAGES, MAX_SEED, View, check_view, read_view

NO_MODEL = "No model is bundled with this copy of GenHub."
MAX_QUERY = 4000  # characters; longer than any link that this page makes
PAGE = Page(
    "compare", "Compare", "Generative image models side by side: same dataset, same class, same seed, live.", path="/"
)


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page, its download and its API."""

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not engine.catalog:
            return respond(PAGE, "empty.html", heading="Nothing to compare yet", reason=NO_MODEL)
        view, notes = read_view(request.query_params, engine.catalog)
        return respond(PAGE, "compare.html", **page_values(engine, view, notes, engine.kept_results(view)))

    @server.get("/download", include_in_schema=False)
    def download(request: Request) -> Response:
        if not engine.catalog:
            return Response("There is nothing to download.", status_code=404, media_type="text/plain")
        view, _ = read_view(request.query_params, engine.catalog)
        try:
            results = [result for result in engine.compare(view) if isinstance(result, Result)]
        except Busy as busy:
            return Response(str(busy), status_code=503, media_type="text/plain")
        dataset = engine.catalog[view.dataset]
        name = f'attachment; filename="{stem(view, dataset)}.zip"'
        return Response(archive(view, dataset, results), 200, {"Content-Disposition": name}, "application/zip")

    @server.api(name="view", api_visibility="private", **QUICK)
    def show(query: str) -> dict[str, Any]:
        """The parts of the page that change, for the query string of its form."""
        view, notes = read_view(dict(parse_qsl(str(query)[:MAX_QUERY])), engine.catalog)
        with in_words():
            values = page_values(engine, view, notes, engine.compare(view))
        parts = {name: render(f"{name}.html", **values) for name in ("choices", "galleries", "reproduce")}
        return {"query": values["query"], "status": values["summary"], "seed": view.seed, "n": view.n, **parts}

    @server.api(name="compare", **QUICK)
    def compare(
        dataset: str = "mnist", label: str = "all", seed: int = 0, n: int = 10, models: list[str] | None = None
    ) -> dict[str, Any]:
        """Images that several models make of the same dataset, class and seed.

        Args:
            dataset: a dataset with bundled models, such as "mnist" or "cifar10".
            label: a class name or index, or "all" for all classes in turn.
            seed: 0…4294967295.
            n: number of images per model, 1…40.
            models: names of bundled models of that dataset; all of them if left out.

        Returns:
            "query", the link's query string, and "results": for each model its name, family, images as PNG data URIs,
            labels, judged classes, class accuracy, seconds per image, number of parameters, and source of what it
            reconstructed.
        """
        with in_words():
            view = check_view(engine.catalog, dataset, label, seed, n, models)
            found = engine.compare(view)
        chosen = engine.catalog[view.dataset]
        return {"query": view.query(engine.catalog), "results": [as_json(result, chosen) for result in found]}


def page_values(engine: Engine, view: View, notes: list[str], results: list[Result | Failure | None]) -> dict[str, Any]:
    """What the templates of this page need."""
    dataset = engine.catalog[view.dataset]
    cards = [
        make_card(dataset.model(name), view.n, result, dataset)
        for name, result in zip(view.models, results, strict=True)
    ]
    return {
        "view": view,
        "dataset": dataset,
        "datasets": list(engine.catalog.values()),
        "cards": cards,
        "columns": columns(view.n),
        "notes": notes,
        "judge": judge_line(dataset),
        "query": view.query(engine.catalog),
        "snippet": snippet(view, dataset) if view.models else "",
        "summary": summary(len(cards), view, dataset),
        "stale": not all(card.live for card in cards),
        "max_images": MAX_IMAGES,
        "max_seed": MAX_SEED,
    }


def summary(models: int, view: View, dataset: Dataset) -> str:
    """The view in one sentence, which a screen reader says after each change."""
    label = "all classes" if view.label is None else f"class {dataset.class_names[view.label]}"
    counted = f"{models} model{'' if models == 1 else 's'}, {view.n} image{'' if view.n == 1 else 's'} each"
    return f"{dataset.title}, {label}, seed {view.seed}: {counted}."


def columns(n: int) -> int:
    """Images in a row of a gallery: classes in turn fall into rows of five."""
    return n if n < 5 else 5 if n <= 20 else 8


def as_json(result: Result | Failure, dataset: Dataset) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"model": result.job.model, "error": result.reason}
    names = dataset.class_names
    return {
        "model": result.job.model,
        "family": dataset.model(result.job.model).model_class,
        "images": list(result.data_uris),
        "labels": None if result.labels is None else [names[label] for label in result.labels],
        "judged": None if result.judged is None else [names[label] for label in result.judged],
        "class_accuracy": result.accuracy,
        "seconds_per_image": result.seconds,
        "parameters": result.parameters,
        "reconstructed_from": result.source,
    }
