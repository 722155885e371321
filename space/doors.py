"""What may come in: requests of bounded size, and nothing that concerns files of this machine."""

from __future__ import annotations

import re

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 10_000_000  # bytes: an upload of six million in base64 with room to spare
# Of Gradio's many routes, those of its API are open. Others take or give files, fetch from elsewhere or run programs;
# pictures come and go as text here, and our pages are our own.
API = r"call|run|api|queue|cancel|reset|heartbeat|info|openapi\.json|config|startup-events|app_id|login_check|mcp"
CLOSED = re.compile(rf"^/(gradio_api/(?!({API})(/|$))|gradio_api$|static/|svelte/|assets/|monitoring|file[=/])")


class Doors:
    """Middleware that closes all of Gradio but its API and bounds what a request may carry."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if CLOSED.match(scope["path"]):
            await PlainTextResponse("There is no such page.", 404)(scope, receive, send)
        elif not length.isdigit() or int(length) > MAX_BODY:
            await PlainTextResponse("This request is too large.", 413)(scope, receive, send)
        else:
            await self.app(scope, bounded(receive), send)


def bounded(receive: Receive) -> Receive:
    """``receive`` that hangs up once a body without a stated length grows too large."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= MAX_BODY else {"type": "http.disconnect"}

    return counted
