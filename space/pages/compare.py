"""Compare: what each model makes of the same dataset, class and seed, side by side."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from space.abilities import abilities
from space.cards import judge_line, make_card
from space.catalog import Dataset
from space.closer import Closer, look
from space.download import archive, stem
from space.fields import Number
from space.inference import Busy, Engine
from space.neighbours import Neighbour, find
from space.originals import Missing
from space.result import Failure, Result
from space.shell import BUSY, PATIENT, QUICK, Page, in_words, read_query, render, respond
from space.snippet import picture_snippet, snippet
from space.view import MAX_IMAGES, MAX_SEED, View, check_view, read_view

NO_MODEL = "No model is bundled with this copy of GenHub."
SLOW = "This model takes a while. Have its images made, then open this one there."
LAST: dict[str, Any] = {}  # Gradio sends what comes last a second time to say that it was the last: something small
TOGETHER_SECONDS = 0.3  # what is ready so soon is shown at once, what is not, one by one
PAGE = Page(
    "compare", "Compare", "Generative image models side by side: same dataset, same class, same seed, live.", path="/"
)
PICTURE = Page("picture", "One image", "One generated image, looked at closely.")


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page, its download, the page of one image, and their API."""

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not engine.catalog:
            return respond(PAGE, "empty.html", heading="Nothing to compare yet", reason=NO_MODEL)
        models = ",".join(request.query_params.getlist("models"))  # which a form without scripts says one by one
        view, notes = read_view({**request.query_params, "models": models}, engine.catalog)
        kept = dict(zip(view.models, engine.kept_results(view), strict=True))
        return respond(PAGE, "compare.html", **page_values(engine, view, notes, kept))

    @server.get("/download", include_in_schema=False)
    def download(request: Request) -> Response:
        if not engine.catalog:
            return Response("There is nothing to download.", status_code=404, media_type="text/plain")
        view, _ = read_view(request.query_params, engine.catalog)
        kept = dict(zip(view.models, engine.kept_results(view), strict=True))
        shown = tuple(name for name in view.models if name in quick_names(engine, view) or kept[name])
        view = dataclasses.replace(view, models=shown)  # nobody waits a minute for a file: slow models' if on the page
        try:
            results = [result for result in engine.compare(view) if isinstance(result, Result)]
        except Busy as busy:
            return Response(str(busy), status_code=503, headers=BUSY, media_type="text/plain")
        dataset = engine.catalog[view.dataset]
        name = f'attachment; filename="{stem(view, dataset)}.zip"'
        return Response(archive(view, dataset, results), 200, {"Content-Disposition": name}, "application/zip")

    @PICTURE.route(server)
    def picture(request: Request) -> HTMLResponse:
        if not engine.catalog:
            return respond(PAGE, "empty.html", heading="Nothing to look at yet", reason=NO_MODEL)
        try:
            values = picture_values(engine, request.query_params)
            if values["found"] and "nearest" in request.query_params:
                values["neighbour"] = neighbour(engine, values)
            return respond(PICTURE, "picture.html", **values)
        except Busy as busy:
            return respond(PICTURE, "sorry.html", heading="One moment", reason=str(busy), status=503)
        except ValueError as error:
            return respond(PICTURE, "sorry.html", heading="Nothing to look at", reason=str(error), status=400)

    @server.api(name="closer", api_visibility="private", **QUICK)
    def closer(query: str) -> str:
        """One image looked at closely, as the part of a page, for the query string of its link."""
        with in_words():
            return render("closer.html", **picture_values(engine, read_query(query)))

    @server.api(name="nearest", api_visibility="private", **PATIENT)
    def nearest(query: str) -> str:
        """The nearest training image of one image, as the part of a page, for the query string of its link."""
        with in_words():
            values = picture_values(engine, read_query(query))
            if values["found"] is None:
                raise ValueError(values["reason"])
            return render("neighbour.html", **values, neighbour=neighbour(engine, values))

    @server.api(name="view", api_visibility="private", **QUICK)
    def show(query: str) -> Iterator[dict[str, Any]]:
        """The parts of the page that change, for the query string of its form; then late cards one by one."""
        with in_words():
            view, notes = read_view(read_query(query), engine.catalog)
            names = quick_names(engine, view)
            found = dict(zip(view.models, engine.kept_results(view), strict=True))
            start, whole = time.monotonic(), False
            for result in engine.each(view, names):
                found[result.job.model] = result
                if whole:
                    yield card(engine, view, result)
                elif time.monotonic() - start > TOGETHER_SECONDS:
                    yield parts(engine, view, notes, found)
                    whole = True
            if not whole:
                yield parts(engine, view, notes, found)
            yield LAST

    @server.api(name="slow", api_visibility="private", **PATIENT)
    def slow(query: str) -> Iterator[dict[str, Any]]:
        """The cards of the view's slow models, one by one as they are ready."""
        with in_words():
            view, _ = read_view(read_query(query), engine.catalog)
            names = tuple(name for name in view.models if name not in quick_names(engine, view))
            for result in engine.each(view, names):
                yield card(engine, view, result)
            yield LAST

    @server.api(name="compare", **PATIENT)
    def compare(
        dataset: str = "mnist",
        label: str = "all",
        seed: int = 0,
        n: int = 10,
        models: list[str] | None = None,
        truncation: float = 1.0,
    ) -> dict[str, Any]:
        """Images that several models make of the same dataset, class and seed.

        Args:
            dataset: a dataset with bundled models, such as "mnist" or "cifar10".
            label: a class name or index, or "all" for all classes in turn.
            seed: 0…4294967295.
            n: number of images per model, 1…40; models that take seconds for an image make 10 at most.
            models: names of bundled models of that dataset; all of them if left out.
            truncation: 0…1 in hundredths, multiplies the latents: less than 1 trades variety for typicality.

        Returns:
            "query", the link's query string, and "results": for each model its name, family, images as PNG data URIs,
            labels, judged classes, class accuracy, sharpness, seconds per image, number of parameters, denoising steps,
            and source of what it reconstructed.
        """
        with in_words():
            view = check_view(engine.catalog, dataset, label, seed, n, models, truncation)
            found = engine.compare(view)
        chosen = engine.catalog[view.dataset]
        return {"query": view.query(engine.catalog), "results": [as_json(result, chosen) for result in found]}


def quick_names(engine: Engine, view: View) -> tuple[str, ...]:
    dataset = engine.catalog[view.dataset]
    return tuple(name for name in view.models if not abilities(dataset.model(name)).slow)


def card(engine: Engine, view: View, result: Result | Failure) -> dict[str, Any]:
    """One card that arrives after its page."""
    info = engine.catalog[view.dataset].model(result.job.model)
    values = {"card": make_card(info, view, result, engine), "columns": columns(view.n)}
    return {"model": info.name, "card": render("card.html", **values)}


def parts(engine: Engine, view: View, notes: list[str], found: dict[str, Result | Failure | None]) -> dict[str, Any]:
    """The parts of the page that depend on the view."""
    values = page_values(engine, view, notes, found)
    html = {name: render(f"{name}.html", **values) for name in ("choices", "galleries", "reproduce")}
    numbers = {"seed": view.seed, "n": view.n, "truncation": view.truncation}
    return {"query": values["query"], "status": values["summary"], **numbers, **html}


def page_values(
    engine: Engine, view: View, notes: list[str], found: dict[str, Result | Failure | None]
) -> dict[str, Any]:
    """What the templates of this page need. A model that is not among ``found`` is still to come."""
    dataset = engine.catalog[view.dataset]
    cards = [make_card(dataset.model(name), view, found.get(name), engine) for name in view.models]
    return {
        "view": view,
        "dataset": dataset,
        "datasets": list(engine.catalog.values()),
        "selections": selections(view, engine.catalog),
        "cards": cards,
        "columns": columns(view.n),
        "notes": notes,
        "judge": judge_line(dataset),
        "query": view.query(engine.catalog),
        "snippet": snippet(view, dataset) if view.models else "",
        "summary": summary(len(cards), view, dataset),
        "stale": not all(card.live or (card.slow and card.pictures) for card in cards),
        "max_images": MAX_IMAGES,
        "max_seed": MAX_SEED,
    }


def selections(view: View, catalog: Mapping[str, Dataset]) -> list[tuple[str, tuple[str, ...], str]]:
    """(title, names of the models, query of the view with these) of what can be ticked at once."""
    dataset = catalog[view.dataset]
    leading, every = (tuple(info.name for info in infos) for infos in (dataset.leading, dataset.compared))
    named = {"best of each kind": leading, f"all {len(every)}": every} if leading != every else {}
    return [(title, names, dataclasses.replace(view, models=names).query(catalog)) for title, names in named.items()]


def picture_values(engine: Engine, params: Any) -> dict[str, Any]:
    """What the templates of one image need. Raises Busy, and ValueError where its model fails."""
    view, notes = read_view(params, engine.catalog)
    if not view.models:
        raise ValueError("No model is chosen.")
    view = dataclasses.replace(view, models=view.models[:1])
    i = Number("Image", 0, 0, view.n - 1).read(params.get("i"), notes)
    found = look(engine, view, i)
    dataset = engine.catalog[view.dataset]
    query = view.query(engine.catalog)
    values = {"view": view, "dataset": dataset, "notes": notes, "query": query, "name": view.models[0], "i": i}
    if not isinstance(found, Closer):
        reason = found.reason if found else SLOW
        return {**values, "found": None, "reason": reason, "to_make": found is None, "snippet": "", "file": ""}
    code = picture_snippet(view, dataset, found.i)
    return {**values, "found": found, "i": found.i, "snippet": code, "file": f"{stem(view, dataset)}-{found.i:02d}.png"}


def neighbour(engine: Engine, values: dict[str, Any]) -> Neighbour | Missing | None:
    """The nearest training image of the image that ``picture_values`` found. Raises Busy."""
    found: Closer = values["found"]
    return find(engine, values["dataset"], found.result.pixels[found.i])


def summary(models: int, view: View, dataset: Dataset) -> str:
    """The view in one sentence, which a screen reader says after each change."""
    label = "all classes" if view.label is None else f"class {dataset.class_names[view.label]}"
    counted = f"{models} model{'' if models == 1 else 's'}, {view.n} image{'' if view.n == 1 else 's'} each"
    truncated = "" if view.truncation == 1 else f", truncation {view.truncation:g}"
    return f"{dataset.title}, {label}, seed {view.seed}{truncated}: {counted}."


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
        "sharpness": list(result.sharpness),
        "seconds_per_image": result.seconds,
        "parameters": result.parameters,
        "steps": result.steps,
        "reconstructed_from": result.source,
        "live": result.live,
    }
