"""Hold runs against each other by time: ``python training/curves.py runs/my-run projected-gan-cifar10``.

A run folder, or a bundled model or model folder with its training log. Prints what each had reached after as many
minutes, and draws it with ``--output curves.png``. The figures are those of the checkpoints: 2,000 samples against
2,000 held-out images in the features of the judge that the log names; they compare with each other, not with
metrics.json, and runs of different judges not at all.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from genhub import LoadError, hub
from genhub.paths import typed_path
from training.command import exit_status
from training.pictures import PICTURES, draw_quality
from training.results import read_log
from training.settings import make_folder

ROWS = 12  # of the printed table


@dataclasses.dataclass(frozen=True)
class Point:
    """A checkpoint: the training time in minutes and the images seen until then, what it was judged to be, by whom."""

    minutes: float
    images: int
    frechet_distance: float
    class_accuracy: float | None
    judge: str


def read_curve(given: str) -> list[Point]:
    """The checkpoints of a run folder, a model folder or a bundled model. Raises LoadError where there are none."""
    folder = typed_path(given, LoadError)
    path = folder / "log.jsonl"
    if not path.is_file():
        path = hub.resolve(given) / "training_log.jsonl"
    if not path.is_file():
        raise LoadError(f"{given}: has no log; give a run folder, or a model with its training_log.jsonl")
    lines = read_log(path)
    timed = [(line["step"], line["seconds"], line["images"]) for line in lines if "seconds" in line]
    judged = [line for line in lines if "probe_frechet_distance" in line]
    if not judged:
        raise LoadError(
            f"{given}: its log has no Fréchet distances; GANs, VAEs and distilled models with a judge log them"
        )
    if not timed:
        raise LoadError(f"{given}: its log tells no time; train for more steps than log_every, or set that lower")
    return [
        Point(
            at(line["step"], [(step, seconds) for step, seconds, _ in timed]) / 60,
            round(at(line["step"], [(step, images) for step, _, images in timed])),
            line["probe_frechet_distance"],
            line.get("probe_class_accuracy"),
            line.get("judge", "a judge that the log does not name"),
        )
        for line in judged
    ]


def at(step: int, points: Sequence[tuple[int, float]]) -> float:
    """The value at a step between or, at the pace of the whole run, beyond the points (step, value)."""
    steps, values = zip(*points, strict=True)
    return float(np.interp(step, steps, values)) + max(0, step - steps[-1]) * values[-1] / steps[-1]


def require_one_judge(curves: Mapping[str, Sequence[Point]]) -> None:
    """Raises LoadError unless all distances are in the features of the same judge."""
    judges = {name: {point.judge for point in points} for name, points in curves.items()}
    if len(set.union(*judges.values())) > 1:
        found = "; ".join(f"{name} by {' and '.join(j[:40] for j in sorted(of))}" for name, of in judges.items())
        raise LoadError(f"runs of different judges do not compare: {found}; measure them with training/evaluate.py")


def table(curves: Mapping[str, Sequence[Point]]) -> str:
    """Markdown: what each run's best checkpoint so far had reached at evenly spaced times."""
    end = max(points[-1].minutes for points in curves.values())
    lines = [f"| minutes | {' | '.join(curves)} |", "|" + "---|" * (1 + len(curves))]
    for minutes in np.linspace(0, end, ROWS + 1)[1:]:
        cells = [f"{minutes:.3g}"]
        for points in curves.values():
            reached = [point for point in points if point.minutes <= minutes + 1e-9]
            ended = minutes > points[-1].minutes + end / ROWS
            cells.append("–" if not reached or ended else written(min(reached, key=lambda p: p.frechet_distance)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def written(point: Point) -> str:
    accuracy = "" if point.class_accuracy is None else f", {point.class_accuracy:.1%}".replace("%", " %")
    return f"{point.frechet_distance:#.3g}{accuracy} after {point.images / 1000:,.0f} k images"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders, model folders or bundled models")
    parser.add_argument("--output", type=Path, help="also draw the Fréchet distances to this PNG")
    options = parser.parse_args(argv)
    if options.output and options.output.suffix.lower() not in PICTURES:
        parser.error(f"--output: expected a name that ends in {', '.join(PICTURES)}, got {options.output.name}")
    try:
        curves = {given: read_curve(given) for given in options.runs}
        require_one_judge(curves)
        print(table(curves))
        if options.output:
            points = {name: [[(p.minutes, p.frechet_distance) for p in found]] for name, found in curves.items()}
            make_folder(options.output.parent, "--output")
            draw_quality(points, options.output, "minutes of training")
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(exit_status(main))
