"""CPU time of 64 conditional images of 32×32, beside matrix products of as many operations."""

from __future__ import annotations

import argparse
import sys

import measuring
import torch
from torch import nn

sys.path.insert(0, str(measuring.ROOT))

from genhub import GenHubCGAN, list_models, load
from training.config import parse_config, read_recipe

IMAGES = 64
ALLOWED_SECONDS = 0.060
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIDE = 1024  # of the square matrices


def recipe_model() -> GenHubCGAN:
    arguments = dict(parse_config(read_recipe("cifar10/cgan-1"), []).model)
    arguments.pop("class")
    return GenHubCGAN(**arguments, image_size=32, channels=3, class_names=CLASSES)


def operations(model: GenHubCGAN) -> int:
    """Multiplications and additions of the weights for one image."""
    counted = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal counted
        # A transposed convolution uses each weight once per input position, the others once per output position.
        positions = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        counted += 2 * layer.weight.numel() * positions[0, 0].numel()

    layers = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    model.generate(1, labels=0, seed=0)
    for hook in hooks:
        hook.remove()
    return counted


def measure(name: str, model: GenHubCGAN, repeats: int) -> None:
    total = operations(model) * IMAGES
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    products = max(1, round(total / (2 * SIDE**3)))

    def generate() -> torch.Tensor:
        return model.generate(IMAGES, labels="frog", seed=1)

    def multiply() -> None:
        for _ in range(products):
            a @ b

    for warm in (generate, multiply) * 3:
        warm()
    scale = total / (products * 2 * SIDE**3)
    sides = {
        "cpu": lambda: measuring.cpu_seconds(generate),
        "matmul_cpu": lambda: measuring.cpu_seconds(multiply) * scale,
        "wall": lambda: measuring.seconds(generate),
        "matmul_wall": lambda: measuring.seconds(multiply) * scale,
    }
    medians = measuring.alternate(sides, repeats)
    print(f"{name}: {IMAGES} images of {total / IMAGES / 1e6:.1f} million operations: ", end="")
    print(f"{medians['cpu'] * 1e3:.0f} ms of CPU time over all threads, {medians['wall'] * 1e3:.0f} ms by the clock")
    measuring.report(
        f"generation/{name}",
        medians["cpu"] / medians["matmul_cpu"],
        f"<= {ALLOWED_SECONDS * 1e3:.0f} ms of CPU time",
        medians["cpu"] <= ALLOWED_SECONDS,
        **{f"{side}_ms": 1e3 * value for side, value in medians.items()},
        operations=total,
        threads=torch.get_num_threads(),
        repeats=repeats,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--threads", type=int, help="torch's own choice by default")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    measure("cgan-1", recipe_model(), options.repeats)
    if any(info.name == "cgan-cifar10" for info in list_models()):
        measure("cgan-cifar10", load("cgan-cifar10"), options.repeats)


if __name__ == "__main__":
    main()
