"""Python that makes the images of a view again."""

from __future__ import annotations

from genhub import ModelInfo
from space.catalog import Dataset
from space.view import View


def snippet(view: View, dataset: Dataset) -> str:
    """A script that fills ``images`` with the very pixels that the page shows, and saves one PNG sheet per model."""
    chosen = [dataset.model(name) for name in view.models]
    needed = {info.name: info for info in chosen}
    if any(info.model_class == "GenHubAE" for info in chosen) and dataset.source:
        needed[dataset.source.name] = dataset.source
    ordered = sorted(needed.values(), key=lambda info: info.model_class == "GenHubAE")  # sources come first
    classes = ", ".join(sorted({info.model_class for info in ordered}))
    helpers = (
        "grid, save_png, to_signed, to_uint8" if len(ordered) > len(priors(ordered)) else "grid, save_png, to_uint8"
    )
    lines = [f"from genhub import {classes}", f"from genhub.images import {helpers}", "", "images = {}"]
    if any(info.class_names for info in ordered):
        lines.append(f"labels = {labels_code(view, dataset)}")
    lines += [line for info in ordered for line in model_lines(info, view, dataset)]
    lines += ["", f"for name in {list(view.models)!r}:".replace("'", '"')]
    lines.append('    save_png(grid(images[name]), f"{name}.png", scale=4)')
    return "\n".join(lines) + "\n"


def priors(models: list[ModelInfo]) -> list[ModelInfo]:
    return [info for info in models if info.model_class != "GenHubAE"]


def labels_code(view: View, dataset: Dataset) -> str:
    if view.label is not None:
        name = dataset.class_names[view.label]
        return f"[{view.label}] * {view.n}" + (f"  # {name}" if name != str(view.label) else "")
    return f"[i % {len(dataset.class_names)} for i in range({view.n})]"


def model_lines(info: ModelInfo, view: View, dataset: Dataset) -> list[str]:
    labels = ", labels=labels" if info.class_names else ""
    load = f'model = {info.model_class}.from_pretrained("{info.name}")'
    if info.model_class == "GenHubAE":
        made = f'model.reconstruct(to_signed(images["{dataset.source.name}"]){labels})'
    else:
        made = f"model.generate({view.n}{labels}, seed={view.seed})"
    return [load, f'images["{info.name}"] = to_uint8({made})']
