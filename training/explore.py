"""Draw what a dataset looks like: ``python training/explore.py DATASET --output FILE.png``.

One picture: the first 35 images and random ones, histograms of single images and of the whole set with mean and
deviation, the mean image of the set and of each class, and how many images each class has. It shows the dataset's own
images, so whether it may be passed on is a matter of their licence.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from genhub.data import ImageSet, load_images
from genhub.exploration import Exploration, explore, first_images, pixel_histogram, random_images
from genhub.images import grid
from genhub.models.latent import check_seed
from training.command import exit_status
from training.pictures import PICTURES
from training.settings import make_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {1: ["#333333"], 3: ["#d62728", "#2ca02c", "#1f77b4"]}  # a line per channel


def draw(data: ImageSet, seed: int, path: Path) -> None:
    """Draw everything of a set into one picture; ``seed`` chooses the random images."""
    from matplotlib.figure import Figure

    found, chosen = explore(data), random_images(data, 35, seed)
    figure = Figure(figsize=(14, 14), layout="constrained")
    rows = [["first"] * 6, ["random"] * 6, list("aAbBcC"), ["set"] * 2 + ["mean"] * 2 + ["counts"] * 2, ["means"] * 6]
    axes = figure.subplot_mosaic(rows, height_ratios=[1.1, 1.1, 1.6, 2, 1])
    size = found.image_shape[1]
    figure.suptitle(f"{data.name}: {found.count:,} images of {size}×{size}, {len(found.class_names)} classes", size=18)
    show(axes["first"], grid(first_images(data).images, columns=18), "the first 35")
    show(axes["random"], grid(chosen.images, columns=18), f"35 at random (seed {seed})")
    for letter, image in zip("abc", chosen.images, strict=False):
        show(axes[letter], image, "one image")
        plot_histogram(axes[letter.upper()], pixel_histogram(image), "its levels")
    words = ", ".join(f"{m:.1f} ± {d:.1f}" for m, d in zip(found.mean, found.deviation, strict=True))
    plot_histogram(axes["set"], found.histogram, f"levels of all images\n{words}")
    show(axes["mean"], found.mean_image, "mean image")
    plot_counts(axes["counts"], found)
    if found.class_names:
        names = ", ".join(found.class_names[:20]) + (", …" if len(found.class_names) > 20 else "")
        show(axes["means"], grid(found.class_means, columns=20), f"mean image of each class: {names}")
    else:
        axes["means"].set_axis_off()
    make_folder(path.parent, "--output")
    figure.savefig(path, dpi=80)


def show(axes: Axes, image: torch.Tensor, title: str) -> None:
    """A uint8 image (C, H, W) without axes."""
    axes.imshow(image.permute(1, 2, 0).squeeze(2).numpy(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(title)
    axes.set_axis_off()


def plot_histogram(axes: Axes, histogram: torch.Tensor, title: str) -> None:
    """Share of the pixels at each level, a line per channel; counts (C, 256)."""
    for counts, colour in zip(histogram, COLOURS[len(histogram)], strict=True):
        axes.plot((counts.double() / counts.sum()).numpy(), color=colour, linewidth=1)
    axes.set_yscale("log")
    axes.set_title(title)
    axes.set_xlabel("level")
    axes.set_ylabel("share of pixels")


def plot_counts(axes: Axes, found: Exploration) -> None:
    axes.barh(found.class_names, found.class_counts.numpy(), color="#4c78a8")
    axes.invert_yaxis()
    axes.set_title("images per class" if found.class_names else "no labels")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="digits, a Hub id, or a folder of data files or images")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write, such as cifar10.png")
    parser.add_argument("--split", default="train", help="which split of it")
    parser.add_argument("--seed", type=int, default=0, help="chooses the random images")
    options = parser.parse_args(argv)
    if options.output.suffix.lower() not in PICTURES:
        parser.error(f"--output: expected a name that ends in {', '.join(PICTURES)}, got {options.output.name}")
    try:
        check_seed(options.seed, "--seed")
        draw(load_images(options.dataset, split=options.split), options.seed, options.output)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
