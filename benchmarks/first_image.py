"""How long a visitor waits for the first image, in a browser: after a cold start of the Space, and when it is warm."""

from __future__ import annotations

import argparse
import shutil
import time

import measuring
from playwright.sync_api import Page, sync_playwright

ALLOWED = 1.5
IMPORTS = "import gradio, torch"


def shown(page: Page, url: str, image: str) -> float:
    """Seconds from asking for an address to an image that is decoded."""
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(image).first.evaluate("image => image.decode?.()")
    return time.perf_counter() - start


def cold(page: Page) -> float:
    """Seconds from starting ``python app.py`` to the first image."""
    start = time.perf_counter()
    with measuring.space() as (url, _):
        shown(page, url, ".pixels img")
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")  # else the one that Playwright keeps
        page = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"]).new_page()
        sides = {"imports": lambda: measuring.python_seconds(IMPORTS), "cold": lambda: cold(page)}
        for side in sides.values():  # fill the disk cache, and write bytecode
            side()
        medians = measuring.alternate(sides, repeats)
        with measuring.space() as (url, _):
            warm = {
                "page": lambda: shown(page, url, ".pixels img"),
                "icon": lambda: shown(page, f"{url}ui/favicon.svg", "svg"),  # a static file: what any answer costs
            }
            for side in warm.values():
                side()
            medians |= measuring.alternate(warm, 5 * repeats)
    ratio = medians["cold"] / medians["imports"]
    figures = {f"{name}_seconds": value for name, value in medians.items()}
    figures |= {"warm_ratio": medians["page"] / medians["icon"], "repeats": repeats}
    measuring.report("first_image", ratio, f"<= {ALLOWED} of importing gradio and torch", ratio <= ALLOWED, **figures)


if __name__ == "__main__":
    main()
