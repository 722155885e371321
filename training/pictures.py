"""The pictures of a study. All images in them were made by models; none is a dataset's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageDraw, ImageFont

import genhub
from genhub.images import grid, save_png, to_pil, to_uint8
from training.tables import collect, read_json, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEED = 0
COLUMNS = 10  # images per system
ENLARGED = 2
LABEL_WIDTH, LINE = 150, 16  # pixels
HIGHLIGHTED = 5  # systems whose curve has a colour
PANELS = 5  # loss curves side by side


def draw_study(output: Path, folder: Path) -> list[Path]:
    """Samples of all systems, their losses, and their quality over the run, as PNGs in ``folder``; their paths.

    Raises ConfigError, LoadError.
    """
    rows = [row for row in collect(output) if "runs" in row]
    study = read_json(output / "study.json")
    runs = {row["system"]: output / "seed-0" / study["systems"][row["system"]]["name"] for row in rows}
    prefix = next(iter(runs)).split("/")[0]
    folder.mkdir(parents=True, exist_ok=True)
    finals = {system: run / "final" for system, run in runs.items() if (run / "metrics.json").is_file()}
    logs = {system: read_log(run / "log.jsonl") for system, run in runs.items()}
    logs = {system: lines for system, lines in logs.items() if lines}
    made = [folder / f"{prefix}-{kind}.png" for kind in ("samples", "losses", "quality")]
    draw_samples(finals, made[0])
    draw_losses(logs, made[1])
    draw_quality({system: quality(lines) for system, lines in logs.items()}, made[2], "images seen")
    return made


def made_by(folder: str | Path, n: int, labels: Any = None, seed: int = SEED) -> torch.Tensor | None:
    """n uint8 images of a model, or None of one that makes none; labels None means 0, 1, … of a conditional one."""
    model = genhub.load(folder)
    if not hasattr(model, "generate"):
        return None
    if model.class_names and labels is None:
        labels = torch.arange(n) % len(model.class_names)
    return to_uint8(model.generate(n, labels=labels if model.class_names else None, seed=seed)).cpu()


def draw_samples(finals: dict[str, Path], path: Path) -> None:
    """A row per system: the same seed and, where it takes them, classes 0…9 from left to right."""
    sheets = {}
    for system, folder in finals.items():
        images = made_by(folder, COLUMNS)
        if images is not None:
            sheets[system] = to_pil(grid(images, columns=COLUMNS))
    if not sheets:
        return
    width, height = (ENLARGED * side for side in next(iter(sheets.values())).size)
    picture = Image.new("RGB", (LABEL_WIDTH + width, height * len(sheets)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for i, (system, sheet) in enumerate(sheets.items()):
        sheet = sheet.resize((width, height), Image.Resampling.NEAREST)  # pixels stay crisp
        picture.paste(sheet, (LABEL_WIDTH, i * height))
        pen.text((4, i * height + (height - LINE) // 2), system.split("/")[-1], fill="black", font=font)
    picture.save(path, optimize=True)


def draw_losses(logs: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """The losses of each system over the images seen, a panel each."""
    rows = math.ceil(len(logs) / PANELS)
    figure, axes = panels(rows)
    names = {"discriminator_loss": "discriminator", "generator_loss": "generator", "loss": "loss"}
    for axis, (system, lines) in zip(axes, logs.items(), strict=False):
        for (key, name), colour in zip(names.items(), ("#d62728", "#1f77b4", "#333333"), strict=True):
            points = [(line["images"] / 1000, line[key]) for line in lines if line.get(key) is not None]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, color=colour, linewidth=0.9)
        axis.set_title(system.split("/")[-1], fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in axes[len(logs) :]:
        axis.set_axis_off()
    figure.supxlabel("thousand images seen", fontsize=9)
    figure.legend(*axes_legend(axes), loc="outside upper center", ncols=3, fontsize=9)
    save(figure, path)


def panels(rows: int) -> tuple[Any, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.7 * rows + 0.4), layout="constrained")
    return figure, list(figure.subplots(rows, PANELS, squeeze=False).flat)


def axes_legend(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Each kind of line once."""
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def draw_quality(curves: Mapping[str, Sequence[tuple[float, float]]], path: Path, over: str) -> None:
    """The probe's Fréchet distance ``over`` what the points' first numbers are; the best systems have a colour.

    ``curves`` is ordered, the best first.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    curves = {system: points for system, points in curves.items() if points}
    for place, (system, points) in enumerate(curves.items()):
        leading = place < HIGHLIGHTED
        style = (
            {"label": system.split("/")[-1], "linewidth": 1.8} if leading else {"color": "#bbbbbb", "linewidth": 0.7}
        )
        axes.plot(*zip(*points, strict=True), marker=".", zorder=2 if leading else 1, **style)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks("{x:g}")  # not as powers of ten
    axes.set_xlabel(over)
    axes.set_ylabel("Fréchet distance of 2,000 samples")
    axes.legend(fontsize=9)
    save(figure, path)


def quality(lines: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """(images seen, Fréchet distance) of each assessment."""
    pace = next((line["images"] / line["step"] for line in lines if "images" in line), None)
    found = [(line["step"], line.get("probe_frechet_distance")) for line in lines]
    return [(step * pace, value) for step, value in found if value is not None and pace is not None]


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=75, pil_kwargs={"optimize": True})


def contact_sheets(model: str, folder: Path) -> list[Path]:
    """1,000 images of a model as ten sheets of 10 × 10 and, of a conditional one, a sheet of 100 for each class.

    Returns the paths. Raises LoadError, ValueError for a model that makes no images.
    """
    loaded = genhub.load(model)
    images = made_by(model, 1000)
    if images is None:
        raise genhub.LoadError(f"{model}: a {type(loaded).__name__} makes no images of its own; name another")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for i, part in enumerate(images.split(100)):
        made.append(folder / f"contact-{i:02d}.png")
        save_png(grid(part, columns=10), made[-1])
    for i, name in enumerate(loaded.class_names):
        made.append(folder / f"class-{i:02d}-{name}.png")
        save_png(grid(made_by(model, 100, labels=i, seed=SEED + 1), columns=10), made[-1])
    return made
