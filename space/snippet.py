"""Python that makes the images of a view again."""

from __future__ import annotations

from genhub import ModelInfo
from space.abilities import abilities
from space.catalog import Dataset
from space.inference import MAX_SLOW
from space.view import View


def snippet(view: View, dataset: Dataset) -> str:
    """A script that fills ``images`` with the very pixels that the page shows, and saves one PNG sheet per model."""
    lines = made_lines(view, dataset)
    lines += ["", f"for name in {list(view.models)!r}:".replace("'", '"')]
    lines.append('    save_png(grid(images[name]), f"{name}.png", scale=4)')
    return "\n".join(lines) + "\n"


def picture_snippet(view: View, dataset: Dataset, i: int) -> str:
    """A script that makes one image of a view with one model, and saves it."""
    lines = [line.replace("grid, save_png", "save_png") for line in made_lines(view, dataset)]
    return "\n".join([*lines, f'save_png(images["{view.models[0]}"][{i}], "image.png", scale=8)']) + "\n"


def made_lines(view: View, dataset: Dataset) -> list[str]:
    chosen = [dataset.model(name) for name in view.models]
    needed = {info.name: info for info in chosen}
    if any(not abilities(info).generates for info in chosen) and dataset.source:
        needed[dataset.source.name] = dataset.source
    ordered = sorted(needed.values(), key=lambda info: not abilities(info).generates)  # sources come first
    classes = ", ".join(sorted({info.model_class for info in ordered}))
    copies = not all(abilities(info).generates for info in ordered)
    helpers = "grid, save_png, to_signed, to_uint8" if copies else "grid, save_png, to_uint8"
    lines = [f"from genhub import {classes}", f"from genhub.images import {helpers}", "", "images = {}"]
    if any(info.class_names for info in ordered):
        lines.append(f"labels = {labels_code(view, dataset)}")
    return lines + [line for info in ordered for line in model_lines(info, view, dataset)]


def labels_code(view: View, dataset: Dataset) -> str:
    if view.label is not None:
        name = dataset.class_names[view.label]
        return f"[{view.label}] * {view.n}" + (f"  # {name}" if name != str(view.label) else "")
    return f"[i % {len(dataset.class_names)} for i in range({view.n})]"


def model_lines(info: ModelInfo, view: View, dataset: Dataset) -> list[str]:
    able = abilities(info)
    n = min(view.n, MAX_SLOW) if able.slow else view.n
    labels = "" if not info.class_names else ", labels=labels" if n == view.n else f", labels=labels[:{n}]"
    load = f'model = {info.model_class}.from_pretrained("{info.name}")'
    if info.model_class == "GenHubStableDiffusion":
        load += f'.for_dataset("{dataset.name}")'
    if able.generates:
        truncation = f", truncation={view.truncation:g}" if able.truncates and view.truncation != 1 else ""
        made = f"model.generate({n}{labels}, seed={view.seed}{truncation})"
    else:
        made = f'model.reconstruct(to_signed(images["{dataset.source.name}"]){labels})'
    return [load, f'images["{info.name}"] = to_uint8({made})']
