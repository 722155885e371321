"""Reconstruct: what an autoencoder and its relatives keep of a drawing, an upload or a generated sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from fastapi import Request
from fastapi.responses import HTMLResponse

from genhub import ModelInfo
from space.cards import recorded
from space.catalog import Dataset
from space.families import family_of
from space.fields import check_choice, check_names, quoted, read_choice
from space.inference import Busy, Engine
from space.rebuild import Picture, Rebuilt, rebuild, sample, unpack
from space.result import data_uri, png
from space.shell import QUICK, Page, in_words, read_query, render, respond
from space.uploads import FORMATS, fit, read_upload
from space.view import SEED

PAGE = Page("reconstruct", "Reconstruct", "Draw a digit or upload a picture, and see what autoencoders keep of it.")
START = 7  # class of the sample that the page opens with


def register(server: gr.Server, engine: Engine) -> None:
    """Add the page and its API."""
    homes = {name: dataset for name, dataset in engine.catalog.items() if dataset.able("reconstructs")}

    @PAGE.route(server)
    def page(request: Request) -> HTMLResponse:
        if not homes:
            reason = "No autoencoder is bundled with this copy of GenHub."
            return respond(PAGE, "empty.html", heading="Nothing to reconstruct with yet", reason=reason)
        notes: list[str] = []
        asked = read_sample(request.query_params, homes, notes)
        found = None
        if "go" in request.query_params:  # a browser without scripts, which cannot ask later
            try:
                found = answer(engine, asked["dataset"], make_sample(engine, asked), [])
            except (ValueError, Busy) as error:
                notes.append(str(error))
        return respond(PAGE, "reconstruct.html", **page_values(homes, asked, notes, found))

    @server.api(name="rebuild", api_visibility="private", **QUICK)
    def show(query: str, picture: str | None = None) -> dict[str, Any]:
        """The result for a picture, or for the generated sample that the query names."""
        notes: list[str] = []
        with in_words():
            if not homes:
                raise ValueError("No autoencoder is bundled with this copy of GenHub.")
            asked = read_sample(read_query(query), homes, notes)
            dataset = asked["dataset"]
            if picture:
                pixels, done = fit(read_upload(picture), dataset.models[0].image_shape)
                found = answer(engine, dataset, Picture.of(pixels), notes + done)
                fields = {}  # no link holds a picture
            else:
                found = answer(engine, dataset, make_sample(engine, asked), notes)
                fields = {"class": dataset.class_names[asked["label"]], "seed": asked["seed"]}
        values = page_values(homes, asked, found["notes"], found)
        html = {name: render(f"reconstruct_{name}.html", **values) for name in ("form", "result")}
        codes = {rebuilt.model: {"code": list(rebuilt.code), "label": rebuilt.label} for rebuilt in found["rebuilt"]}
        query = urlencode({"dataset": dataset.name, **fields})
        return {"query": query, "status": values["summary"], "key": dataset.name, "codes": codes, **html}

    @server.api(name="unpack", api_visibility="private", **QUICK)
    def change(dataset: str, model: str, code: list[float], label: int | None = None) -> str:
        """The image of a changed code, as data URI."""
        with in_words():
            chosen = homes[check_choice(dataset, "dataset", list(homes))]
            check_choice(model, "model", [info.name for info in chosen.able("reconstructs")])
            values = check_code(code)
            if label is not None and (type(label) is not int or not 0 <= label < len(chosen.class_names)):
                raise ValueError(f"label: expected an index below {len(chosen.class_names)}, got {quoted(label)}")
            try:
                return engine.run(unpack, dataset, model, values, label, dataset=dataset, models=(model,))
            except RuntimeError as error:
                if isinstance(error, Busy):
                    raise
                raise ValueError(f"code: {model} does not unpack {len(values)} numbers") from error

    @server.api(name="reconstruct", **QUICK)
    def reconstruct(image: str, dataset: str = "mnist", models: list[str] | None = None) -> dict[str, Any]:
        """What autoencoders keep of a picture: reconstruction, error map, latent code, and how unusual the error is.

        Args:
            image: a PNG, JPEG, GIF, WebP or BMP file as data URI or base64 text, at most 6 MB and 24 million pixels. It
                is cropped to a square; for grey datasets it is inverted if it is dark on light, scaled and centred.
            dataset: a dataset with a bundled autoencoder, "mnist" or "cifar10".
            models: names of bundled models that reconstruct (see /models); all of that dataset if left out.

        Returns:
            "input", the picture as the models see it, "notes", what was done to it, and "results": for each model its
            name, reconstruction and error map (PNG data URIs), mean squared error on pixels in [0, 1], PSNR in dB,
            "unusual" and "odd", the shares of generated images of its dataset and of another one that it rebuilds
            better, "normal_mse", its mean error on real test images, and the latent code.
        """
        with in_words():
            chosen = homes[check_choice(dataset, "dataset", list(homes))]
            names = check_names(models, "models", [info.name for info in chosen.able("reconstructs")])
            try:
                picture = read_upload(image)
            except ValueError as error:
                raise ValueError(f"image: {error}") from error
            pixels, notes = fit(picture, chosen.models[0].image_shape)
            found = answer(engine, chosen, Picture.of(pixels), notes)
        results = [as_json(one) for one in found["rebuilt"] if one.model in names]
        return {"input": found["src"], "notes": notes, "results": results}


def read_sample(params: Mapping[str, str], homes: Mapping[str, Dataset], notes: list[str]) -> dict[str, Any]:
    """The dataset, class and seed of a link or a form."""
    dataset = homes[read_choice(params.get("dataset"), "dataset with an autoencoder", list(homes), notes)]
    names = list(dataset.class_names)
    name = read_choice(params.get("class"), "class", [names[min(START, len(names) - 1)], *names], notes)
    return {"dataset": dataset, "label": names.index(name), "seed": int(SEED.read(params.get("seed"), notes))}


def make_sample(engine: Engine, asked: Mapping[str, Any]) -> Picture:
    """The generated image that a link names. Raises Busy and LoadError."""
    dataset = asked["dataset"]
    if dataset.source is None:
        raise ValueError(f"No model of {dataset.title} draws samples; draw or upload a picture.")
    names = (dataset.source.name,)
    return engine.run(sample, dataset.name, asked["label"], asked["seed"], dataset=dataset.name, models=names)


def answer(engine: Engine, dataset: Dataset, picture: Picture, notes: list[str]) -> dict[str, Any]:
    """What all models of a dataset make of a picture. Raises Busy and LoadError."""
    models = tuple(info.name for info in dataset.able("reconstructs"))
    others = tuple(info.name for info in (dataset.source,) if info) + ((dataset.judge,) if dataset.judge else ())
    rebuilt = engine.run(rebuild, dataset.name, models, picture, dataset=dataset.name, models=models + others)
    file = png(picture.pixels)
    return {"src": data_uri(file), "rebuilt": rebuilt, "notes": notes, "png": len(file), "empty": not any(picture.data)}


def check_code(code: object) -> tuple[float, ...]:
    """A latent vector that somebody sent. Raises ValueError."""
    if not isinstance(code, list) or not 1 <= len(code) <= 4096:
        raise ValueError("code: expected a list of 1 to 4096 numbers")
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in code):
        raise ValueError("code: expected numbers only")
    if not all(math.isfinite(value) and abs(value) <= 1000 for value in code):
        raise ValueError("code: expected numbers from -1000 to 1000")
    return tuple(float(value) for value in code)


def page_values(
    homes: Mapping[str, Dataset], asked: Mapping[str, Any], notes: list[str], found: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the templates of this page need; without ``found`` the result is still to come."""
    dataset = asked["dataset"]
    models = dataset.able("reconstructs")
    return {
        **asked,
        "datasets": list(homes.values()),
        "colour": dataset.models[0].image_shape[0] == 3,
        "cards": [card(info, found) for info in models],
        "found": found,
        "pixels": math.prod(dataset.models[0].image_shape),
        "notes": notes,
        "summary": f"{dataset.title}: {', '.join(info.name for info in models)}.",
        "accept": ",".join(f"image/{name.lower()}" for name in FORMATS),
        "max_seed": SEED.high,
    }


def card(info: ModelInfo, found: Mapping[str, Any] | None) -> dict[str, Any]:
    """One model's part of the page."""
    rebuilt = next((one for one in found["rebuilt"] if one.model == info.name), None) if found else None
    family = family_of(info)
    left_out = ", ".join(info.excluded_classes)
    line = UNTAUGHT.format(left_out) if left_out else LINES.get(family.slug, family.line)
    values = {"name": info.name, "family": family, "line": line, "rebuilt": rebuilt}
    if rebuilt is None:
        return values
    peak = max(abs(value) for value in rebuilt.code) or 1.0
    reach = math.ceil(max(3.0, *(1.5 * abs(rebuilt.code[i]) for i in rebuilt.largest)))
    bars = [(i, value / peak) for i, value in enumerate(rebuilt.code)]
    about = {"verdict": verdict(rebuilt), "bands": bands(rebuilt)}
    if found["empty"]:
        about = {"verdict": ("", "An empty picture is not judged."), "bands": []}
    return {**values, **about, "detection": detection(info), "bars": bars, "peak": peak, "reach": reach}


LINES = {  # slug of a kind → what it makes of a picture
    "ae": "Trained for nothing but to give back what it was given.",
    "vae": "Gives back the likeliest image of its code, which it keeps smooth: soft, but orderly.",
    "cvae": "As the plain one, but told the class that the judge sees: a wrong class bends the copy.",
}
UNTAUGHT = "It was never shown the class {}: what such a picture loses here, and not elsewhere, gives it away."


def verdict(rebuilt: Rebuilt) -> tuple[str, str]:
    """How unusual the picture is to the model, in a word and a remark."""
    if rebuilt.normal_mse is None:
        return "", "Nothing is recorded of its errors on real images."
    times = rebuilt.mse / rebuilt.normal_mse
    word = "Unusual" if times > 3 else "A little unusual" if times > 1.5 else "As usual"
    return word, f"{times:.1f} × the mean error on real test images"


def bands(rebuilt: Rebuilt) -> list[dict[str, Any]]:
    """The picture's error beside those on normal and on odd images, on one logarithmic scale from 0 to 100."""
    kinds = [errors for errors in (rebuilt.normal, rebuilt.odd) if errors]
    ends = [math.log(max(errors.at(share), 1e-9)) for errors in kinds for share in (0.05, 0.95)]
    mark = math.log(max(rebuilt.mse, 1e-9))
    low, high = min([mark, *ends]) - 0.2, max([mark, *ends]) + 0.2

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 1)

    return [
        {
            "of": f"{errors.title}, drawn by {errors.source}",
            "share": f"{100 * errors.below(rebuilt.mse):.0f} %",
            "start": place(ends[2 * i]),
            "width": round(place(ends[2 * i + 1]) - place(ends[2 * i]), 1),
            "mark": place(mark),
        }
        for i, errors in enumerate(kinds)
    ]


def detection(info: ModelInfo) -> tuple[str, str] | None:
    """How well its error finds odd images, from its records: the area under the ROC curve, and against what."""
    numbers, protocol = recorded(info)
    if "anomaly_auc" not in numbers:
        return None
    auc = numbers["anomaly_auc"]
    return "> 0.999" if auc > 0.999 else f"{auc:.3f}", protocol["anomalies"]


def as_json(rebuilt: Rebuilt) -> dict[str, Any]:
    return {
        "model": rebuilt.model,
        "reconstruction": rebuilt.src,
        "error_map": rebuilt.error_src,
        "mse": rebuilt.mse,
        "psnr": rebuilt.psnr,
        "unusual": rebuilt.normal and rebuilt.normal.below(rebuilt.mse),
        "odd": rebuilt.odd and rebuilt.odd.below(rebuilt.mse),
        "normal_mse": rebuilt.normal_mse,
        "code": list(rebuilt.code),
    }
