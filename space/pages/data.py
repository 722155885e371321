"""Data: what the models learn from. A dataset's images, means, brightness and classes."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any
from urllib.parse import urlencode

import gradio as gr
import torch
from fastapi import Request
from fastapi.responses import HTMLResponse

from genhub.data import ImageSet
from genhub.errors import DataError
from genhub.exploration import Exploration, explore, first_images, pixel_histogram, random_images
from genhub.images import grid
from space import charts
from space.catalog import Dataset
from space.fields import ALL, read_dataset, read_label
from space.inference import Engine
from space.originals import ALWAYS_HERE, Missing, Originals
from space.result import data_uri, png
from space.shell import Page, respond
from space.view import SEED

PAGE = Page("data", "Data", "What the models learn from: images, means, brightness and classes of a dataset.")
SPLIT = "train"
SHOWN, COLUMNS = 35, 7
BINS = 64  # of a histogram, which has 256 levels: fewer are easier to read
LEAST = 1e-4  # share of pixels that a chart tells from none
LOOK_AGAIN = 3  # seconds after which a browser asks again while the images are being read
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


@dataclasses.dataclass(frozen=True)
class Known:
    """A split with what was found out about the whole of it."""

    images: ImageSet
    found: Exploration


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page. Datasets are read in the background, when first asked for."""

    def look(dataset: Dataset, split: str) -> Known:
        images = engine.originals.ask(dataset, split, wait=None)
        if isinstance(images, Missing):
            raise DataError(images.reason)
        return Known(images, explore(images))

    shelf = Originals(look)

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not engine.catalog:
            return respond(
                PAGE, "empty.html", heading="No dataset yet", reason="No model is bundled, so nothing says which."
            )
        notes: list[str] = []
        params = request.query_params
        dataset = read_dataset(params, engine.catalog, notes)
        known = shelf.ask(dataset, SPLIT, wait=0.3)
        shared = {
            "dataset": dataset,
            "datasets": list(engine.catalog.values()),
            "notes": notes,
            "fallback": engine.catalog.get(ALWAYS_HERE),
        }
        if isinstance(known, Missing):
            return respond(PAGE, "data.html", **shared, state="missing", reason=known.reason)
        if known is None:
            answer = respond(PAGE, "data.html", **shared, state="reading")
            answer.headers["Refresh"] = str(LOOK_AGAIN)
            return answer
        label = read_label(params.get("class", ALL), dataset, notes)
        seed = int(SEED.read(params.get("seed"), notes))
        return respond(PAGE, "data.html", **shared, state="here", **shown(dataset, known, label, seed))


def shown(dataset: Dataset, known: Known, label: int | None, seed: int) -> dict[str, Any]:
    """Everything that the page says about a dataset that is here."""
    found, images = known.found, known.images
    if label is not None and images.labels is not None:
        images = images.subset(torch.nonzero(images.labels == label).flatten())
    random = random_images(images, SHOWN, seed)
    first = first_images(known.images, SHOWN)
    sample = random.images[0] if len(random) else first.images[0]
    channels, size, _ = found.image_shape
    levels = ", ".join(f"{value:.0f}" for value in found.mean), ", ".join(f"{value:.0f}" for value in found.deviation)
    names, most = found.class_names, max(found.class_counts.tolist(), default=1)
    return {
        "facts": [
            ("Images", f"{found.count:,}", "to learn from"),
            ("Size", f"{size}×{size}", "pixels, in colour" if channels == 3 else "pixels, in grey"),
            ("Classes", str(len(names)), ", ".join(names[:10])),
            ("Mean brightness", levels[0], "of 255" if channels == 1 else "of 255, for red, green and blue"),
            ("Deviation", levels[1], "of the same pixels"),
        ],
        "label": label,
        "random": sheet(random),
        "random_alt": describe(random),
        "first": sheet(first),
        "first_alt": describe(first),
        "another": link(dataset, label, secrets.randbelow(10_000)),
        "all_classes": link(dataset, None, seed),
        "classes": [
            {
                "name": name,
                "href": link(dataset, i, seed),
                "mean": data_uri(png(found.class_means[i])),
                "count": int(found.class_counts[i]),
                "share": int(found.class_counts[i]) / most,
            }
            for i, name in enumerate(names)
        ],
        "mean_image": data_uri(png(found.mean_image)),
        "size": size,
        "histogram": chart(found.histogram),
        "histogram_text": said(found.histogram, "all images"),
        "one": data_uri(png(sample)),
        "one_histogram": chart(pixel_histogram(sample)),
        "one_text": said(pixel_histogram(sample), "this image"),
        "channels": CHANNELS[channels],
    }


def link(dataset: Dataset, label: int | None, seed: int) -> str:
    name = ALL if label is None else dataset.class_names[label]
    return f"data?{urlencode({'dataset': dataset.name, 'class': name, 'seed': seed})}"


def sheet(images: ImageSet) -> dict[str, Any] | None:
    """One picture of some images, with its size; None where there are none."""
    if not len(images):
        return None
    picture = grid(images.images, columns=COLUMNS, padding=1, background=20)
    return {"src": data_uri(png(picture)), "width": picture.shape[2], "height": picture.shape[1]}


def describe(images: ImageSet) -> str:
    """The images of a sheet in words."""
    if images.labels is None:
        return f"{len(images)} images without labels"
    return (
        f"{len(images)} images, row by row: {', '.join(images.class_names[label] for label in images.labels.tolist())}"
    )


def chart(histogram: torch.Tensor) -> charts.Plot | None:
    """Shares of brightness out of counts of levels (C, 256), one line for each channel."""
    series = [
        (f"line-{name}", [((i + 0.5) * 256 / BINS, max(share, LEAST)) for i, share in enumerate(row.tolist())])
        for name, row in zip(CHANNELS[len(histogram)], shares(histogram), strict=True)
    ]
    return charts.lines(series, "Brightness", "Share of pixels", charts.short, log_y=True)


def shares(histogram: torch.Tensor) -> torch.Tensor:
    """Counts of levels (C, 256) to shares of equal ranges of them (C, BINS)."""
    return histogram.reshape(len(histogram), BINS, -1).sum(dim=2) / histogram.sum(dim=1, keepdim=True)


def said(histogram: torch.Tensor, what: str) -> str:
    """A histogram in one sentence."""
    whole = shares(histogram).mean(dim=0)
    dark, bright = whole[: BINS // 4].sum().item(), whole[-BINS // 4 :].sum().item()
    return f"Brightness of {what}: {dark:.0%} of the pixels in the darkest quarter, {bright:.0%} in the brightest."
