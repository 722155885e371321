"""What all pages share: the frame around them with its navigation, their styles and scripts, and what they may load."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl

import gradio as gr
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from space.inference import Busy

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
POLICY = (  # the browser itself refuses whatever is not ours
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
BUSY = {"Retry-After": "10"}  # seconds, with status 503
QUICK = {"concurrency_id": "quick", "concurrency_limit": 1}  # Gradio's line for what takes a second at most
PATIENT = {"concurrency_id": "patient", "concurrency_limit": 1}  # and for what may take a minute
MAX_QUERY = 4000  # characters; longer than any link that a page makes
templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclasses.dataclass(frozen=True)
class Page:
    """One page of the Space.

    Attributes:
        name: of its files: ``assets/NAME.css`` and ``assets/NAME.js`` are loaded where they exist.
        title: its word in the navigation and in the browser's tab.
        line: what it is for, in one sentence, for search engines and previews.
        path: its address, one segment deep because all links are relative; ``/NAME`` where left out.
    """

    name: str
    title: str
    line: str
    path: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path or f"/{self.name}")

    @property
    def href(self) -> str:
        """Its relative address, which holds behind any proxy."""
        return f".{self.path}" if self.path == "/" else self.path[1:]

    def route(self, server: gr.Server) -> Callable:
        """Decorator that serves the page at its address, to GET and HEAD."""
        methods = ["GET", "HEAD"]
        return server.api_route(self.path, methods=methods, response_class=HTMLResponse, include_in_schema=False)


def render(template: str, **values: object) -> str:
    """A template with its values, which are escaped."""
    return templates.get_template(template).render(**values)


def respond(page: Page, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A whole page in the shared frame. The template extends ``layout.html``."""
    files = [file for stem in ("genhub", page.name) for file in (f"{stem}.css", f"{stem}.js")]
    present = [file for file in files if (ASSETS / file).is_file()]
    html = render(template, page=page, files=present, version=version(), **values)
    return HTMLResponse(html, status_code=status, headers=HEADERS | (BUSY if status == 503 else {}))


@functools.cache
def version() -> str:
    """Changes with the styles and scripts, so that a browser never keeps old ones."""
    parts = [path.read_bytes() for path in sorted(ASSETS.glob("*.*s"))]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:10]


def read_query(query: object) -> dict[str, str]:
    """The fields of a query string that a page's script sends."""
    return dict(parse_qsl(str(query)[:MAX_QUERY]))


@contextmanager
def in_words() -> Iterator[None]:
    """Inside an API function: what was asked wrongly, or cannot be done now, reaches the caller as its sentence."""
    try:
        yield
    except (ValueError, Busy) as error:  # DataError and LoadError are ValueErrors
        raise gr.Error(str(error), print_exception=False) from error
