"""How long the Space takes from its start to its first page, beside importing gradio and torch."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import measuring

ALLOWED = 1.5
PATIENCE = 300  # seconds
IMPORTS = "import gradio, torch"


def first_response() -> float:
    """Seconds from starting ``python app.py`` to a complete first page."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {**measuring.environment(), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    start = time.perf_counter()
    server = subprocess.Popen([sys.executable, "app.py"], cwd=measuring.ROOT, env=settings, stdout=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < PATIENCE:
            if server.poll() is not None:
                raise RuntimeError(f"app.py ended with status {server.returncode} before it answered")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as response:
                    response.read()
                return time.perf_counter() - start
            except urllib.error.URLError:
                time.sleep(0.02)
        raise TimeoutError(f"app.py did not answer within {PATIENCE} seconds")
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    sides = {"imports": lambda: measuring.python_seconds(IMPORTS), "space": first_response}
    for side in sides.values():  # fill the disk cache, and write bytecode
        side()
    medians = measuring.alternate(sides, repeats)
    ratio = medians["space"] / medians["imports"]
    figures = {"imports_seconds": medians["imports"], "space_seconds": medians["space"], "repeats": repeats}
    measuring.report("space_start", ratio, f"<= {ALLOWED}", ratio <= ALLOWED, **figures)


if __name__ == "__main__":
    main()
