"""CPU time of the whole evaluation of 10,000 samples, beside that of the one feature pass that all its metrics share.

The pass is over the samples and the reference, 10,000 images each, with nothing remembered from earlier. The evaluation
is that pass and every metric of samples with its spread, the search for copies among 50,000 training images included.
Pixels are random, which changes no cost.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile

import measuring
import torch

sys.path.insert(0, str(measuring.ROOT))

from genhub import load, metrics
from genhub.data import ImageSet
from training.assessment import Assessment, Reference, Samples, assess_samples
from training.protocol import judge_extractor

ALLOWED = 1.3
COUNTS = {"samples": 10_000, "test": 10_000, "train": 50_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", default="classifier-cifar10", help="the classifier whose features are compared")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    judge, extractor = load(options.judge), judge_extractor(options.judge)
    names, generator = judge.class_names, torch.Generator().manual_seed(0)
    images = {
        name: torch.randint(0, 256, (n, *judge.image_shape), dtype=torch.uint8, generator=generator)
        for name, n in COUNTS.items()
    }
    sets = {
        name: ImageSet(pixels, torch.arange(len(pixels)) % len(names), names, name, name)
        for name, pixels in images.items()
    }
    reference = Reference(sets["test"], "test", extractor, train=sets["train"])

    def one_pass() -> None:
        metrics.extract(images["samples"], extractor)
        metrics.extract(images["test"], extractor)

    def evaluation() -> None:
        assess_samples(Samples(images["samples"], sets["samples"].labels), reference, Assessment())

    def without_memory(work):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["GENHUB_CACHE"] = folder
            return measuring.cpu_seconds(work)

    metrics.extract(images["samples"][:500], extractor)  # imports, and the first use of every kernel
    sides = {"pass": lambda: without_memory(one_pass), "evaluation": lambda: without_memory(evaluation)}
    medians = measuring.alternate(sides, options.repeats)
    ratio = medians["evaluation"] / medians["pass"]
    measuring.report(
        "evaluation",
        ratio,
        f"<= {ALLOWED}",
        ratio <= ALLOWED,
        pass_seconds=medians["pass"],
        evaluation_seconds=medians["evaluation"],
        judge=options.judge,
        repeats=options.repeats,
    )


if __name__ == "__main__":
    main()
