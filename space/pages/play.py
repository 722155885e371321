"""Real or fake: a blind game with one real and one generated image."""

from __future__ import annotations

from typing import Any

import gradio as gr
from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse

from space.catalog import Dataset
from space.families import family_of
from space.fields import quoted
from space.game import GUESSES, Game, Round
from space.inference import Engine
from space.originals import ALWAYS_HERE, Missing
from space.shell import QUICK, Page, in_words, respond

PAGE = Page("play", "Real or fake?", "A blind game: which image is real, and which was made by a model?")
SPLIT = "test"  # images that no model was trained on
OVER = "That round is over. Here comes another one."


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page, its rounds and its answers."""
    game, originals = Game(engine), engine.originals

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not engine.catalog:
            return respond(PAGE, "empty.html", heading="Nobody to play against yet", reason="No model is bundled.")
        name = request.query_params.get("dataset", "").strip()
        dataset, note = engine.catalog.get(name), None
        found = originals.ask(dataset or first(), SPLIT)
        if dataset is None:
            dataset = first()
            if name:
                note = f"There is no dataset {quoted(name)}: playing with {dataset.title}."
            elif isinstance(found, Missing) and ALWAYS_HERE in engine.catalog:
                dataset, found = engine.catalog[ALWAYS_HERE], None
                note = f"The real images of {first().title} cannot be reached from here: playing with {dataset.title}."
        return respond(
            PAGE,
            "play.html",
            dataset=dataset,
            datasets=list(engine.catalog.values()),
            note=note,
            missing=found.reason if isinstance(found, Missing) else None,
            fallback=engine.catalog.get(ALWAYS_HERE),
            size=dataset.models[0].image_shape[1],
        )

    def first() -> Dataset:
        return next(iter(engine.catalog.values()))

    @server.api(name="deal", api_visibility="private", **QUICK)
    def deal(dataset: str) -> dict[str, Any]:
        """A new round, or that the images are still being read, or why there are none."""
        chosen = engine.catalog.get(dataset) if isinstance(dataset, str) else None
        if chosen is None:
            raise gr.Error("There is no such dataset.", print_exception=False)
        found = originals.ask(chosen, SPLIT, wait=0.5)
        if found is None:
            return {"state": "reading"}
        if isinstance(found, Missing):
            return {"state": "missing", "reason": found.reason}
        with in_words():
            dealt = game.deal(chosen, found)
        return {"state": "dealt", "round": dealt.id, "left": dealt.left, "right": dealt.right}

    @server.post("/guess", include_in_schema=False)
    def answer(request: Request) -> JSONResponse:
        """The truth about a round, against a guess. Without Gradio's queue: it costs nothing."""
        guess = request.query_params.get("guess")
        if guess not in GUESSES:
            return JSONResponse({"problem": "A guess is left, right or tie."}, 400)
        closed = game.close(request.query_params.get("round", "")[:40])
        if closed is None:
            return JSONResponse({"problem": OVER})
        return JSONResponse(verdict(closed, guess, engine))


def verdict(closed: Round, guess: str, engine: Engine) -> dict[str, Any]:
    """What the visitor is told after the guess."""
    dataset = engine.catalog[closed.dataset]
    family = family_of(dataset.model(closed.model))
    return {
        "outcome": "tie" if guess == "tie" else "right" if guess == closed.real else "wrong",
        "real": closed.real,
        "family": family.title,
        "slug": family.slug,
        "model": closed.model,
        "label": dataset.class_names[closed.label] if closed.label is not None else None,
        "compare": f"./?{closed.view.query(engine.catalog)}",
    }
