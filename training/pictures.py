"""The pictures of a study. All images in them were made by models; none is a dataset's own."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

import genhub
from genhub.images import grid, save_png
from training.agreement import agreement
from training.results import SEED, Curves, made_by, read_curves
from training.settings import make_folder
from training.subjects import of_run
from training.tables import collect, read_study
from training.wording import file_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = (".png", ".jpg", ".webp", ".pdf", ".svg")  # that matplotlib writes
ENLARGED = 2
LABEL_WIDTH, LINE = 150, 16  # pixels
HIGHLIGHTED = 5  # systems whose curve has a colour
PANELS = 5  # loss curves side by side
DRAWN = {  # losses: what they are called here, and their colour
    "discriminator_loss": ("discriminator", "#d62728"),
    "generator_loss": ("generator", "#1f77b4"),
    "loss": ("loss", "#333333"),
}
QUALITY = "frechet_distance"


def draw_study(output: Path, runs: Path) -> list[Path]:
    """``samples.png``, ``losses.png``, ``quality.png`` and ``order.png`` of the systems with a result; their paths.

    The best stand first. A system stands there with its first seed that has what is drawn, in ``quality.png`` with all
    of them, and is left out where none has; a picture of nothing is not made. Raises ConfigError.
    """
    systems = read_study(output)["systems"]
    samples, losses, quality = {}, {}, {}
    rows = collect(output, runs)
    for system in (row["system"] for row in rows if row["system"] in systems):
        for seed in sorted(output.glob("seed-*"), reverse=True):  # so that the first that has something stays
            result = seed / f"{systems[system]['name']}.json"
            curves = read_curves(result.with_suffix(".csv"))
            if result.with_suffix(".png").is_file():
                samples[system] = result.with_suffix(".png")
            if set(curves) & set(DRAWN):
                losses[system] = curves
            if curves.get(QUALITY):
                quality.setdefault(system, []).append(curves[QUALITY])
    made = []
    for kind, draw, drawn in (
        ("samples", draw_samples, samples),
        ("losses", draw_losses, losses),
        ("quality", functools.partial(draw_quality, over="images seen"), quality),
        ("order", draw_order, agreed.systems if (agreed := agreement(rows)) else {}),
    ):
        if drawn:
            made.append(output / f"{kind}.png")
            draw(drawn, made[-1])
    return made


def draw_samples(strips: Mapping[str, Path], path: Path) -> None:
    """A row per system: the same seed and, where it takes them, classes 0…9 from left to right."""
    sheets = {system: Image.open(strip).convert("RGB") for system, strip in strips.items()}
    width, height = (ENLARGED * side for side in next(iter(sheets.values())).size)
    picture = Image.new("RGB", (LABEL_WIDTH + width, height * len(sheets)), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for i, (system, sheet) in enumerate(sheets.items()):
        sheet = sheet.resize((width, height), Image.Resampling.NEAREST)  # pixels stay crisp
        picture.paste(sheet, (LABEL_WIDTH, i * height))
        pen.text((4, i * height + (height - LINE) // 2), system.split("/")[-1], fill="black", font=font)
    picture.save(path, optimize=True)


def draw_losses(systems: Mapping[str, Curves], path: Path) -> None:
    """The losses of each system over the images seen, a panel each."""
    figure, axes = panels(math.ceil(len(systems) / PANELS))
    for axis, (system, curves) in zip(axes, systems.items(), strict=False):
        for key, (name, colour) in DRAWN.items():
            points = [(images / 1000, value) for images, value in curves.get(key, [])]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, color=colour, linewidth=0.9)
        axis.set_title(system.split("/")[-1], fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in axes[len(systems) :]:
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


def draw_quality(curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]], path: Path, over: str) -> None:
    """The probe's Fréchet distance ``over`` what the points' first numbers are; the best systems have a colour.

    ``curves`` is ordered, the best first, and has a curve for each of a system's seeds.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    labels = short_names(curves)
    for place, (system, seeds) in enumerate(curves.items()):
        leading = place < HIGHLIGHTED
        style = {"color": f"C{place}", "linewidth": 1.4} if leading else {"color": "#bbbbbb", "linewidth": 0.7}
        for points in seeds:
            (line,) = axes.plot(*zip(*points, strict=True), marker=".", zorder=2 if leading else 1, **style)
        if leading:
            line.set_label(labels[system])
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7)))
    axes.grid(axis="y", which="both", color="#eeeeee")  # of few ticks it shows that they are unevenly far apart
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks("{x:g}")  # not as powers of ten
    axes.set_xlabel(over)
    axes.set_ylabel("Fréchet distance of 2,000 samples")
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
    save(figure, path)


def short_names(systems: Iterable[str]) -> dict[str, str]:
    """The last part of each recipe's or folder's name; the whole of it where two end alike."""
    last = {system: Path(system).name for system in systems}
    return {system: name if list(last.values()).count(name) == 1 else system for system, name in last.items()}


def draw_order(systems: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Their FID and our Fréchet distance of each system, ranked left and right, a line between its two places."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.24 * len(systems) + 0.8), layout="constrained")
    axes = figure.subplots()
    ranks = [sorted(systems, key=lambda system: systems[system][side]) for side in (0, 1)]
    names = sorted({family(system) for system in systems})
    for system, figures in systems.items():
        places = [order.index(system) for order in ranks]
        colour = f"C{names.index(family(system))}"
        axes.plot((0, 1), places, color=colour, linewidth=1.4, marker=".")
        for side, (align, shift) in enumerate((("right", -0.03), ("left", 0.03))):
            value, name = f"{figures[side]:.1f}", Path(system).name
            text = f"{value}  {name}" if side else f"{name}  {value}"
            axes.text(side + shift, places[side], text, ha=align, va="center", fontsize=9, color=colour)
    axes.set_xlim(-0.9, 1.9)
    axes.set_ylim(len(systems) - 0.5, -1.8)
    axes.text(-0.03, -1.2, "their FID", ha="right", va="center", fontsize=9, weight="bold")
    axes.text(1.03, -1.2, "our Fréchet distance", ha="left", va="center", fontsize=9, weight="bold")
    axes.set_axis_off()
    save(figure, path)


def family(system: str) -> str:
    """``cgan`` for ``cifar10/cgan-1-cosine``."""
    return Path(system).name.partition("-")[0]


def save(figure: Any, path: Path) -> None:
    drawn = path.suffix.lower() in (".pdf", ".svg")  # lines, not pixels: Pillow has no part in them
    figure.savefig(path, dpi=75, **({} if drawn else {"pil_kwargs": {"optimize": True}}))


def contact_sheets(model: str, folder: Path) -> list[Path]:
    """1,000 images of a model as ten sheets of 10 × 10 and, of a conditional one, a sheet of 100 for each class.

    Returns the paths. Raises LoadError, ValueError for a model that makes no images.
    """
    loaded = genhub.load(of_run(model))
    images = made_by(of_run(model), 1000)
    if images is None:
        raise genhub.LoadError(f"{model}: a {type(loaded).__name__} makes no images of its own; name another")
    make_folder(folder, "--output")
    made = []
    for i, part in enumerate(images.split(100)):
        made.append(folder / f"contact-{i:02d}.png")
        save_png(grid(part, columns=10), made[-1])
    for i, name in enumerate(loaded.class_names):
        made.append(folder / f"class-{i:02d}-{file_name(name)}.png")
        save_png(grid(made_by(of_run(model), 100, labels=i, seed=SEED + 1), columns=10), made[-1])
    return made
