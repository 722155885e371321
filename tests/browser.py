"""A real browser on a real server: what the browser tests share."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, expect

expect.set_options(timeout=90_000)  # a busy machine is no fault of the page

ROOT = Path(__file__).parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 240  # generous: importing torch and gradio takes as long as the machine is busy


def launch(playwright: Playwright) -> Browser:
    """An installed Chromium or Chrome, else the one that Playwright keeps."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return playwright.chromium.launch(executable_path=found, args=FLAGS)


@contextlib.contextmanager
def serving(log: Path, **settings: str) -> Iterator[str]:
    """``python app.py`` on a free port, with environment variables of its own; yields its address."""
    served = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(free_port()), "PYTHONUNBUFFERED": "1"}
    environment = {**os.environ, **served, **settings}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(timeout=60)
            finally:
                server.kill()  # of no effect on one that has ended


def free_port() -> int:
    """Below those that systems give to connections, one of which could take it before the server is up."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def address(server: subprocess.Popen, log: Path) -> str:
    """What Gradio prints once the server answers."""
    for _ in range(START_SECONDS * 10):
        if server.poll() is not None:
            break
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return f"{found[0]}/"
        time.sleep(0.1)
    raise AssertionError(f"the Space did not answer:\n{log.read_text()}")


class Watch:
    """Collects what must not happen on a page: errors, failed requests, requests that leave the machine."""

    def __init__(self, page: Page) -> None:
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", lambda line: line.type in ("error", "warning") and self.faults.append(line.text))
        page.on("response", lambda answer: answer.status >= 400 and self.faults.append(f"{answer.status} {answer.url}"))
        page.on("request", lambda request: self.see(request.url))

    def see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "data" and parts.hostname != "127.0.0.1":
            self.faults.append(f"left the machine: {url}")


def violations(page: Page) -> list[str]:
    """What axe-core finds on a page that is serious or worse: which rule, and where."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {node.get('failureSummary', '')}"
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
