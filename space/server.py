"""The web server: Gradio's API and queue, with our own pages on top."""

from __future__ import annotations

import gradio as gr
from fastapi.staticfiles import StaticFiles

from space import precomputed
from space.catalog import read_catalog
from space.inference import Engine
from space.pages import PAGES
from space.shell import ASSETS, templates

MAX_WAITING = 64


class Space(gr.Server):
    """A Gradio server whose queue is bounded."""

    def configure_app(self, blocks: gr.Blocks) -> None:
        super().configure_app(blocks)
        blocks._queue.max_size = MAX_WAITING  # gr.Server offers no public way to say so


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
    return server
