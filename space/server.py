"""The web server: Gradio's API and queue, with our own pages on top."""

from __future__ import annotations

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from space import api, precomputed
from space.catalog import read_catalog
from space.doors import Doors
from space.inference import Engine
from space.pages import PAGES
from space.shell import ASSETS, Page, respond, templates

MAX_WAITING = 64
MAX_SESSIONS = 100  # Gradio keeps a copy of its configuration for each, ten thousand of them unless told otherwise
LOOK_AGAIN = 0.01  # seconds. Gradio's queue would look a thousand times a second, in the way of who computes
NOWHERE = Page("nowhere", "No such page", "This address leads nowhere.")


class Space(gr.Server):
    """A Gradio server whose queue is bounded, and what it remembers of visitors: our pages keep nothing there."""

    def configure_app(self, blocks: gr.Blocks) -> None:
        blocks.state_session_capacity = MAX_SESSIONS
        super().configure_app(blocks)
        queue = blocks._queue  # gr.Server offers no public way to say so
        queue.max_size = MAX_WAITING
        queue.sleep_when_free = LOOK_AGAIN


def build() -> Space:
    """The server with all pages, ready to launch. Loads no model."""
    catalog = read_catalog()
    engine = Engine(catalog)
    for result in precomputed.read(catalog):
        engine.keep(result.job, result)
    server = Space(title="GenHub", docs_url=None, redoc_url=None)
    server.mount("/ui", StaticFiles(directory=ASSETS), name="ui")
    templates.globals["navigation"] = [page.PAGE for page in PAGES]
    for page in PAGES:
        page.register(server, engine)
    api.register(server, engine)
    server.add_exception_handler(404, nowhere)
    server.add_middleware(GZipMiddleware, minimum_size=1000)
    server.add_middleware(Doors)
    return server


def nowhere(request: Request, error: HTTPException) -> Response:
    """What an unknown address answers: a page to people, JSON to programs."""
    deep = request.url.path.count("/") > 1  # where the relative links of a page would lead nowhere either
    if deep or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": error.detail}, status_code=404)
    return respond(NOWHERE, "nowhere.html", status=404)
