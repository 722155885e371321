"""What all pages share: the frame around them, their styles and scripts, and what they may load."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
POLICY = (  # the browser itself refuses whatever is not ours
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'"
)
templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: object) -> str:
    """A template with its values, which are escaped."""
    return templates.get_template(template).render(**values)


def respond(template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A whole page in the shared frame."""
    html = render(template, version=version(), **values)
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return HTMLResponse(html, status_code=status, headers=headers)


def version() -> str:
    """Changes with the styles and scripts, so that a browser never keeps old ones."""
    parts = [path.read_bytes() for path in (ASSETS / "genhub.css", ASSETS / "genhub.js")]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:10]
