"""How the samples of a model changed while it trained. ``python -m space.progress RUN`` keeps those of a run."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from genhub import ModelInfo, list_models
from space.shell import ASSETS

FOLDER = ASSETS / "progress"
COLUMNS, ROWS = 10, 3  # of a sheet that are kept: the same latents every time
GAP = 2  # between the images of a sheet
MOMENTS = 12  # of a training that are kept, each later by the same factor, since images change most at first


@dataclasses.dataclass(frozen=True)
class Frame:
    """One moment of a training: its address relative to a page, when it was, and its size."""

    src: str
    when: str
    width: int
    height: int


def frames_of(info: ModelInfo) -> list[Frame]:
    """The moments that are kept of a model's training; none of another training than that of the bundled weights."""
    folder = FOLDER / info.name
    path = folder / "frames.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if record.get("steps") != steps_of(info.folder / "training_summary.json"):
        return []
    size = record["size"]
    return [Frame(f"ui/progress/{info.name}/{file}", when, *size) for when, file in record["frames"]]


def keep(run: Path, info: ModelInfo) -> int:
    """Cut the grids of a run folder, and the bundled sheet, down to a few rows; returns how many moments there are."""
    folder = FOLDER / info.name
    shutil.rmtree(folder, ignore_errors=True)  # the moments of an earlier training
    folder.mkdir(parents=True)
    last = steps_of(info.folder / "training_summary.json")
    steps = {int(path.stem.removeprefix("step-")): path for path in sorted((run / "grids").glob("step-*.png"))}
    sheets = [(f"step {step}", steps[step]) for step in spaced(steps) if step != last]  # at the end, as bundled
    frames = []
    for when, path in [*sheets, ("as bundled", info.folder / "samples.png")]:
        picture = top_rows(Image.open(path), info.image_shape[1])
        file = f"{when.replace(' ', '-')}.png"
        picture.save(folder / file, optimize=True)
        frames.append((when, file))
    record = {"steps": last, "size": picture.size, "frames": frames}
    (folder / "frames.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    return len(frames)


def spaced(steps: Iterable[int]) -> list[int]:
    """At most ``MOMENTS`` of ascending steps: those nearest to a geometric series from the first to the last."""
    steps = list(steps)
    wanted = np.geomspace(steps[0], steps[-1], MOMENTS) if len(steps) > MOMENTS else steps
    return sorted({min(steps, key=lambda step: abs(step - moment)) for moment in wanted})


def top_rows(sheet: Image.Image, size: int) -> Image.Image:
    """The first rows of a sheet of images of ``size`` pixels, pixel for pixel."""
    scale = max(1, round(sheet.width / (COLUMNS * (size + GAP) + GAP)))
    small = sheet.resize((sheet.width // scale, sheet.height // scale), Image.Resampling.NEAREST)
    return small.crop((0, 0, small.width, min(small.height, ROWS * (size + GAP) + GAP)))


def steps_of(path: Path) -> int | None:
    return json.loads(path.read_text(encoding="utf-8")).get("steps") if path.is_file() else None


def main(runs: list[str]) -> int:
    """Keep each run folder, which is named after its bundled model."""
    bundled = {info.name: info for info in list_models()}
    for run in map(Path, runs):
        if run.name not in bundled:
            print(f"{run}: no bundled model is called {run.name!r}", file=sys.stderr)
            return 2
        print(f"{run.name}: {keep(run, bundled[run.name])} moments")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
