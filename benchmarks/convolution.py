"""CPU time of a training step with the second ways of ``genhub/convolution.py`` and without, recipe by recipe."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import measuring
import torch
from accelerate import Accelerator
from training_speed import generated

sys.path.insert(0, str(measuring.ROOT))

from genhub.convolution import as_written
from training.config import parse_config, read_recipe
from training.run import Run

RECIPES = ("cifar10/cgan-1", "cifar10/dcgan-3", "cifar10/dcgan-1", "cifar10/cgan-0")
IMAGES = 2000
ALLOWED = 1.0


def compare(recipe: str, source: str, folder: Path, repeats: int, precision: str) -> dict[str, float]:
    """Median seconds of one step, computed as its rows are written and as they are computed."""
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    run = Run(parse_config(read_recipe(recipe), ["--dataset", source]), accelerator, folder)

    def step() -> float:
        run.step += 1
        return measuring.cpu_seconds(lambda: run.objective.update(run.batches, run.step))

    def plain_step() -> float:
        with as_written():
            return step()

    sides = {"written": plain_step, "ours": step}
    for side in sides.values():
        side()
    return measuring.alternate(sides, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", help="a folder with CIFAR-10's parquet files; generated images without")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mixed-precision", choices=measuring.PRECISIONS, default="no")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ratios = {}
    with tempfile.TemporaryDirectory() as temporary:
        source = options.dataset or generated(Path(temporary), IMAGES)
        for recipe in options.recipes:
            medians = compare(recipe, source, Path(temporary) / "run", options.repeats, options.mixed_precision)
            ratios[recipe] = medians["written"] / medians["ours"]
            print(
                f"{recipe}: {medians['written']:.3f} s as written, {medians['ours']:.3f} s: {ratios[recipe]:.2f} times"
            )
    least = min(ratios.values())
    settings = {"threads": options.threads, "mixed_precision": options.mixed_precision}
    measuring.report("convolution", least, f">= {ALLOWED}", least >= ALLOWED, **settings, **ratios)


if __name__ == "__main__":
    main()
