"""The web server: Gradio's API and queue, with our own pages on top."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import gradio as gr
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from gradio.queueing import Event
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
MAX_UNREAD = 200  # answers, a megabyte or more each, of which Gradio keeps two thousand for those who never fetch them
LOOK_AGAIN = 0.01  # seconds. Gradio's queue would look a thousand times a second, in the way of who computes
NOWHERE = Page("nowhere", "No such page", "This address leads nowhere.")


class Unread(dict):
    """Session → what Gradio has to say to it, bounded. Who is in line or at work is never among the forgotten: a slow
    model's visitor waits while hundreds of quick answers go by."""

    def __init__(self, events: Mapping[str, Event]) -> None:
        super().__init__()
        self.events = events

    def __setitem__(self, session: str, messages: asyncio.Queue) -> None:
        if len(self) >= MAX_UNREAD:
            working = {event.session_hash for event in self.events.values()}
            finished = [old for old in self if old not in working]
            del self[min(finished, key=lambda old: not self[old].empty())]  # one that was read, else the oldest
        super().__setitem__(session, messages)


class Space(gr.Server):
    """A Gradio server whose queue is bounded, and what it remembers of visitors: our pages keep nothing there."""

    def configure_app(self, blocks: gr.Blocks) -> None:
        blocks.state_session_capacity = MAX_SESSIONS
        super().configure_app(blocks)
        queue = blocks._queue  # gr.Server offers no public way to say so
        queue.max_size = MAX_WAITING
        queue.sleep_when_free = LOOK_AGAIN
        queue.pending_messages_per_session = Unread(queue.event_ids_to_events)


def build() -> Space:
    """The server with all pages, ready to launch. Loads no model."""
    catalog = read_catalog()
    engine = Engine(catalog, precomputed.read(catalog))
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
    return respond(NOWHERE, "sorry.html", heading="There is no such page", reason=NOWHERE.line, status=404)
