"""What the benchmarks share: runs that alternate, medians, and one line of JSON at the end."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300  # seconds for the Space to start
PRECISIONS = ("no", "bf16")  # of training on CPUs, by Accelerate's names
# As training and the Space have it. Read when torch is imported, so that this module must be imported before.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def alternate(sides: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median of what each side returns, called in turn so that a busy machine slows all of them alike."""
    values: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(repeats):
        for name in list(sides) if i % 2 == 0 else reversed(list(sides)):
            values[name].append(sides[name]())
    return {name: statistics.median(measured) for name, measured in values.items()}


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of this process, over all its threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def python_seconds(code: str) -> float:
    """Time of a fresh interpreter, from start to exit."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment()))


@contextmanager
def space() -> Iterator[tuple[str, subprocess.Popen]]:
    """``python app.py`` on a free port: its address and its process, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {**environment(), "GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=settings, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    end = time.perf_counter() + PATIENCE
    try:
        while server.poll() is None and time.perf_counter() < end:
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                    answer.read()
                break
            except urllib.error.URLError:
                time.sleep(0.02)
        else:
            raise RuntimeError(f"app.py did not answer; its status is {server.poll()}")
        yield url, server
    finally:
        server.terminate()
        server.wait()


def environment() -> dict[str, str]:
    """This environment with the project importable and all network clients told to stay offline."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"}


def report(name: str, ratio: float, allowed: str, met: bool, **figures: float | int | str) -> None:
    """Print the result for people, then the same as one line of JSON."""
    print(f"{name}: ratio {ratio:.2f} (asked for: {allowed}) {'met' if met else 'MISSED'}")
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, "ratio": round(ratio, 3), "allowed": allowed, "met": met, **rounded}))
