"""How long the Space takes from its start to its first page, beside importing gradio and torch."""

from __future__ import annotations

import argparse
import time

import measuring

ALLOWED = 1.5
IMPORTS = "import gradio, torch"


def first_response() -> float:
    """Seconds from starting ``python app.py`` to the first page."""
    start = time.perf_counter()
    with measuring.space():
        return time.perf_counter() - start


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
