"""How the Space answers 1, 10 and 50 visitors at once: waiting times, errors, and the server's memory."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import measuring

PAUSE = 2.0  # seconds between two actions of a visitor
PAGES = ("", "latent", "reconstruct", "leaderboard", "?dataset=cifar10")
QUESTIONS = {  # what a visitor asks for, with the data of the call
    "mnist": ("view", lambda seed: [f"dataset=mnist&seed={seed}&n=10"]),
    "cifar10": ("view", lambda seed: [f"dataset=cifar10&seed={seed}&n=10"]),
    "walk": ("latent", lambda seed: [f"do=walk&dataset=mnist&from={seed}"]),
    "rebuild": ("rebuild", lambda seed: [f"dataset=mnist&class=7&seed={seed}", None]),
}
ALLOWED_GROWTH = 1.10


class Visitor(threading.Thread):
    """Opens pages and asks for new images until the time is over."""

    def __init__(self, url: str, seed: int, end: float) -> None:
        super().__init__(daemon=True)
        self.url, self.end, self.random = url, end, random.Random(seed)
        self.pages: list[float] = []
        self.asked: list[float] = []
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        time.sleep(self.random.random() * PAUSE)
        while time.perf_counter() < self.end:
            self.timed(self.pages, lambda: self.open(self.random.choice(PAGES)))
            self.timed(self.asked, self.ask)
            time.sleep(self.random.uniform(0.5, 1.5) * PAUSE)

    def timed(self, times: list[float], act) -> None:
        start = time.perf_counter()
        try:
            outcome = act()
        except urllib.error.HTTPError as error:
            outcome = "told to wait" if error.code == 503 else f"HTTP {error.code}"
        except OSError as error:
            outcome = type(error).__name__
        times.append(time.perf_counter() - start)
        self.outcomes[outcome] += 1

    def open(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=120) as answer:
            return "answered" if b"<h1" in answer.read() else "no page"

    def ask(self, question: str | None = None) -> str:
        name, data = QUESTIONS[question or self.random.choice(list(QUESTIONS))]
        body = json.dumps({"data": data(self.random.randrange(10_000))}).encode()
        request = urllib.request.Request(
            f"{self.url}gradio_api/call/{name}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as joined:
            event = json.load(joined)["event_id"]
        with urllib.request.urlopen(f"{self.url}gradio_api/call/{name}/{event}", timeout=120) as stream:
            text = stream.read().decode()
        if "event: complete" in text:
            return "answered"
        return "told to wait" if "try again" in text else "error"


def memory(process: subprocess.Popen) -> float:
    """Resident MiB of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def visit(url: str, visitors: int, seconds: float) -> dict[str, object]:
    end = time.perf_counter() + seconds
    crowd = [Visitor(url, seed, end) for seed in range(visitors)]
    for visitor in crowd:
        visitor.start()
    for visitor in crowd:
        visitor.join()
    found: dict[str, object] = {"visitors": visitors, "seconds": seconds}
    for kind in ("pages", "asked"):
        times = sorted(value for visitor in crowd for value in getattr(visitor, kind))
        found |= {f"{kind}_p50": round(statistics.median(times), 3), f"{kind}_count": len(times)}
        found[f"{kind}_p95"] = round(times[min(len(times) - 1, int(0.95 * len(times)))], 3)
    outcomes = sum((visitor.outcomes for visitor in crowd), Counter())
    return {**found, "outcomes": dict(outcomes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="for each number of visitors")
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 10, 50])
    options = parser.parse_args()
    with measuring.space() as (url, server):
        first = Visitor(url, seed=len(QUESTIONS), end=0)
        for question in QUESTIONS:  # loads all models that will be asked
            first.ask(question)
        visit(url, 4, 15)  # and the first visitors of a day
        before = memory(server)
        faults = 0
        for visitors in options.visitors:
            found = visit(url, visitors, options.seconds)
            faults += sum(n for what, n in found["outcomes"].items() if what not in ("answered", "told to wait"))
            print(json.dumps({**found, "memory_mib": round(memory(server))}), flush=True)
        time.sleep(10)
        after = memory(server)
    growth = after / before
    figures = {"memory_before_mib": round(before), "memory_after_mib": round(after), "faults": faults}
    held = faults == 0 and growth <= ALLOWED_GROWTH
    measuring.report("load", growth, f"<= {ALLOWED_GROWTH} in memory, no faults", held, **figures)


if __name__ == "__main__":
    main()
