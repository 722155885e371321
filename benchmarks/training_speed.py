"""Images per second of training CGAN 1 on CIFAR-10, beside a plain PyTorch loop of the same networks.

The plain loop is what a tutorial would write: a Dataset that decodes and transforms one image at a time, a DataLoader
with two workers, float32, one step of the discriminator on real and on fake images, one of the generator. The other
side is the training of this project, with everything that a run does in each step. A third side multiplies square
matrices, as many operations as our step has in its layers: how far it is ahead of the plain loop is about what this
machine allows at that precision, whatever the code.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import measuring
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

sys.path.insert(0, str(measuring.ROOT))

from training.config import parse_config, read_recipe
from training.costs import step_flops
from training.run import Run

ALLOWED = 2.0
RECIPE = "cifar10/cgan-1"
LATENTS, CLASSES, BATCH = 128, 10, 128
SIDE = 1024  # of the square matrices


# -- the plain loop


class Pictures(Dataset):
    """Encoded images in memory, each decoded and transformed when it is asked for."""

    def __init__(self, files: list[bytes], labels: list[int]) -> None:
        self.files, self.labels = files, labels
        half = (0.5, 0.5, 0.5)
        self.transform = transforms.Compose(
            [transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor(), transforms.Normalize(half, half)]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.files[index])).convert("RGB")
        return self.transform(image), self.labels[index]


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            nn.Linear(LATENTS + CLASSES, 2048), nn.ReLU(), nn.BatchNorm1d(2048, momentum=0.2), nn.PReLU(2048)
        )
        self.maps = nn.Sequential(
            nn.ConvTranspose2d(512, 256, 4, 2, 1), nn.BatchNorm2d(256), nn.PReLU(256),
            nn.ConvTranspose2d(256, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.PReLU(128),
            nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.PReLU(64),
            nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, noise: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return self.maps(self.dense(torch.cat([noise, classes], 1)).view(-1, 512, 2, 2))


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(3, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
            nn.Conv2d(128, 256, 4, 2, 1), nn.BatchNorm2d(256), nn.LeakyReLU(0.2),
            nn.Conv2d(256, 512, 4, 2, 1), nn.BatchNorm2d(512), nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.dense = nn.Sequential(nn.Linear(512 + CLASSES, 512), nn.ReLU(), nn.Linear(512, 1))

    def forward(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return self.dense(torch.cat([self.maps(images), classes], 1)).squeeze(1)


class PlainLoop:
    """The tutorial's loop, advanced a few steps at a time."""

    def __init__(self, pictures: Pictures) -> None:
        self.loader = DataLoader(pictures, batch_size=BATCH, shuffle=True, num_workers=2, drop_last=True)
        self.batches = self.endless()
        self.generator, self.discriminator = Generator(), Discriminator()
        for module in (*self.generator.modules(), *self.discriminator.modules()):
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        settings = {"lr": 0.0002, "betas": (0.5, 0.999)}
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), **settings)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), **settings)
        self.criterion = nn.BCEWithLogitsLoss()

    def endless(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from self.loader

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            images, labels = next(self.batches)
            classes = F.one_hot(labels, CLASSES).float()
            real, fake = torch.ones(len(images)), torch.zeros(len(images))

            self.discriminator.zero_grad()
            real_loss = self.criterion(self.discriminator(images, classes), real)
            real_loss.backward()
            made = self.generator(torch.randn(len(images), LATENTS), classes)
            fake_loss = self.criterion(self.discriminator(made.detach(), classes), fake)
            fake_loss.backward()
            self.discriminator_optimizer.step()

            self.generator.zero_grad()
            loss = self.criterion(self.discriminator(made, classes), real)
            loss.backward()
            self.generator_optimizer.step()
            self.logged = (real_loss + fake_loss).item(), loss.item()


# -- this project's loop


class OurRun:
    """``training.run.Run`` without what happens between steps: grids, evaluations, checkpoints."""

    def __init__(self, source: str, folder: Path, precision: str) -> None:
        config = parse_config(read_recipe(RECIPE), ["--dataset", source])
        self.run = Run(config, Accelerator(cpu=True, mixed_precision=precision), folder)

    def advance(self, steps: int) -> None:
        run = self.run
        for _ in range(steps):
            run.set_rates()
            torch.manual_seed(run.dropout_seed())
            run.meter.add(run.objective.update(run.batches, run.step))
            run.step += 1
            run.ema.update(run.objective.model, run.step)


class Products:
    """Products of square matrices in place of the training steps of a run."""

    def __init__(self, run: Run, precision: str) -> None:
        operations = step_flops(run.config, run.data) * BATCH
        self.count = round(operations / (2 * SIDE**3))
        self.matrices = torch.randn(2, SIDE, SIDE, dtype=torch.bfloat16 if precision == "bf16" else None)

    def advance(self, steps: int) -> None:
        for _ in range(steps * self.count):
            torch.mm(*self.matrices)


# -- data


def generated(folder: Path, count: int) -> str:
    """A dataset of smooth random images in CIFAR-10's columns, for machines without CIFAR-10."""
    import datasets

    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(num_classes=CLASSES)})
    noise = torch.Generator().manual_seed(0)
    for split, size in (("train", count), ("test", 2000)):
        coarse = torch.rand(size, 3, 8, 8, generator=noise) * 255
        files = [png(image) for image in F.interpolate(coarse, 32, mode="bilinear").to(torch.uint8)]
        rows = {"img": [{"bytes": file, "path": None} for file in files], "label": [i % CLASSES for i in range(size)]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return str(folder)


def png(image: torch.Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, format="PNG")
    return file.getvalue()


def read_pictures(source: str) -> Pictures:
    import datasets

    rows = datasets.load_dataset(source, split="train")
    rows = rows.cast_column("img", datasets.Image(decode=False))
    return Pictures([image["bytes"] for image in rows["img"]], list(rows["label"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="a folder with CIFAR-10's parquet files; generated images without")
    parser.add_argument("--images", type=int, default=50_000, help="how many to generate")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="of each side per repeat")
    parser.add_argument("--threads", type=int, help="torch's own choice by default")
    parser.add_argument("--mixed-precision", choices=measuring.PRECISIONS, default="no", help="of our run")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        source = options.dataset or generated(Path(temporary), options.images)
        precision = options.mixed_precision
        plain, ours = PlainLoop(read_pictures(source)), OurRun(source, Path(temporary) / "run", precision)
        products = Products(ours.run, precision)
        cpu: dict[str, list[float]] = {"plain": [], "ours": [], "products": []}

        def step_seconds(name: str, advance: Callable[[int], None]) -> float:
            time.sleep(1)  # the plain loop's workers fill their queue, which would slow the other side
            start = time.process_time()
            elapsed = measuring.seconds(lambda: advance(options.steps)) / options.steps
            cpu[name].append((time.process_time() - start) / options.steps)
            return elapsed

        sides = {
            "plain": lambda: step_seconds("plain", plain.advance),
            "ours": lambda: step_seconds("ours", ours.advance),
            "products": lambda: step_seconds("products", products.advance),
        }
        for side in sides.values():
            side()
        medians = measuring.alternate(sides, options.repeats)
    rates = {name: BATCH / value for name, value in medians.items()}
    cpu_ratio = statistics.median(cpu["plain"]) / statistics.median(cpu["ours"])
    print(f"plain loop: {rates['plain']:.0f} images/s, this project: {rates['ours']:.0f} images/s")
    print(f"CPU time per image without that of the plain loop's workers: ratio {cpu_ratio:.2f}")
    ratio, limit = rates["ours"] / rates["plain"], rates["products"] / rates["plain"]
    print(f"matrix products of as many operations: {rates['products']:.0f} images/s, ratio {limit:.2f}")
    measuring.report(
        "training_speed",
        ratio,
        f">= {ALLOWED}",
        ratio >= ALLOWED,
        plain_images_per_second=rates["plain"],
        ours_images_per_second=rates["ours"],
        products_ratio=limit,
        cpu_ratio=cpu_ratio,
        ours_cpu_seconds_per_step=statistics.median(cpu["ours"]),
        dataset="given" if options.dataset else "generated",
        mixed_precision=precision,
        threads=torch.get_num_threads(),
        repeats=options.repeats,
    )


if __name__ == "__main__":
    main()
