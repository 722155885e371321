"""The end of a run: its best weights, measured and packed as they are published."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import accelerate
import torch

from genhub.data import ImageSet, StreamedSet, hub_id, load_images
from genhub.errors import DataError
from genhub.metrics import MIN_IMAGES
from training.batches import stream
from training.cards import render_card
from training.checkpoints import write_folder, write_text
from training.config import parse_config
from training.evaluate import SAMPLES, evaluate
from training.protocol import hardware, versions
from training.records import samples, save_sheet
from training.selection import relabelled, split_names
from training.settings import TrainConfig, to_yaml

if TYPE_CHECKING:
    from training.run import Run


def held_out(config: TrainConfig, data: ImageSet | StreamedSet, labelled: bool) -> tuple[ImageSet, str, str]:
    """Images to measure on, the name of their split, and a warning if they are not held out.

    These are the test images, or the training images for who trains on the test images. What is ``labelled`` is
    measured on images whose labels mean what those of the training images do.
    """
    channels, size, _ = data.image_shape
    columns = {"image_column": config.data.image_column, "label_column": config.data.label_column}
    streamed = {"streaming": True, "limit": SAMPLES} if config.data.streaming else {}
    options = {**columns, **streamed, "image_size": size, "channels": channels}
    trained_on = split_names(config.data.split)
    split = "train" if "test" in trained_on and "train" not in trained_on else "test"
    try:
        if split in trained_on:
            raise DataError(f"{config.dataset}: they are trained on")
        found = in_memory(load_images(config.dataset, split=split, **options))
        if len(found) < MIN_IMAGES:
            raise DataError(f"{config.dataset}: {len(found)} are too few, at least {MIN_IMAGES} are needed")
        found = relabelled(found, data.class_names)
        if labelled and found.class_names != data.class_names:
            what = "other classes than the training images" if found.class_names else "no labels"
            raise DataError(f"{config.dataset}: they have {what}")
        return found, split, ""
    except DataError as error:
        warning = f"no {split} images to measure on ({error}); quality is measured on images of {config.data.split!r}"
        return in_memory(data), config.data.split, warning


def in_memory(data: ImageSet | StreamedSet) -> ImageSet:
    """The set itself, or the first ``SAMPLES`` images of a stream."""
    if isinstance(data, ImageSet):
        return data
    data = dataclasses.replace(data, rows=data.rows.take(SAMPLES))
    images, labels = zip(*data.examples(seed=0, epoch=0), strict=True)
    known = torch.tensor(labels) if data.label_column else None
    return ImageSet(torch.stack(images), known, data.class_names, data.name, data.source)


def subset(data: ImageSet, n: int) -> ImageSet:
    """``n`` of the images, always the same and out of the whole set: many sets are sorted by class."""
    return data.subset(torch.randperm(len(data), generator=stream(0, "subset"))[:n])


def finish(run: Run) -> Path:
    """Write ``summary.json``, ``metrics.json`` and ``final/`` from the best weights; return ``final/``."""
    model, config = run.ema.model, run.config
    model.load_state_dict(run.best_weights)
    model.metadata = {"name": config.name, "dataset": run.data.name, "source": public_source(run.data)}
    if config.data.exclude_classes:
        model.metadata["excluded_classes"] = config.data.exclude_classes
    published = dataclasses.replace(config, dataset=public_source(run.data), output_dir="runs")
    published = parse_config(without_paths(dataclasses.asdict(published)))
    summary = json.dumps(summarize(run), indent=2, ensure_ascii=False) + "\n"
    write_text(run.folder / "summary.json", summary)

    def write(folder: Path) -> None:
        if run.objective.discriminator is not None:
            critic = run.objective.discriminator
            critic.metadata = {**model.metadata, "name": f"{config.name}/discriminator"}
            critic.save_pretrained(folder / "discriminator")
            (folder / "discriminator" / "README.md").unlink()
        model.save_pretrained(folder)
        shutil.copyfile(run.folder / "log.jsonl", folder / "training_log.jsonl")
        (folder / "training_config.yaml").write_text(to_yaml(published), encoding="utf-8")
        (folder / "training_summary.json").write_text(summary, encoding="utf-8")
        saved = type(model).from_pretrained(folder)  # measured as published, half precision included
        apart = run.test_split != config.data.split  # else every image measured against is a training image
        train = run.data if isinstance(run.data, ImageSet) and apart else None
        pairs = run.folder / "closest_pairs.png"  # shows images of the dataset, so it is not published
        evaluate(
            folder,
            saved,
            run.test,
            config.evaluation_samples,
            weights_kind(config),
            run.test_split,
            held_out=apart,
            train=train,
            pairs=pairs,
        )
        images = samples(saved, run.test, config.samples, config.seed)
        save_sheet(images, saved, folder / "samples.png")
        (folder / "README.md").write_text(render_card(folder), encoding="utf-8")

    write_folder(run.folder / "final", write)
    write_text(run.folder / "metrics.json", (run.folder / "final" / "metrics.json").read_text(encoding="utf-8"))
    return run.folder / "final"


def public_source(data: ImageSet | StreamedSet) -> str:
    """What others can type to get the data: a local folder is named after the Hub set that it is a copy of, if any."""
    if not any(Path(source).expanduser().is_dir() for source in (data.source, *data.source.split("+"))):
        return data.source
    return "+".join(hub_id(name) for name in data.name.split("+"))


def without_paths(values: Any) -> Any:
    """A config's values with folders of this machine by their names: their paths are nobody else's."""
    if isinstance(values, dict):
        return {key: without_paths(value) for key, value in values.items()}
    if isinstance(values, list):
        return [without_paths(value) for value in values]
    if not isinstance(values, str) or not os.path.isdir(os.path.expanduser(values)):
        return values
    folder = Path(values).expanduser().resolve()
    return folder.parent.name if folder.name == "final" else folder.name


def weights_kind(config: TrainConfig) -> str:
    return "ema" if config.ema else "raw"


def summarize(run: Run) -> dict[str, Any]:
    """The facts of a run that its card quotes."""
    images = run.step * run.images_per_step
    return {
        "name": run.config.name,
        "recipe": run.config.recipe,
        "description": run.config.description,
        "dataset": run.data.name,
        "steps": run.step,
        "images_seen": images,
        "train_seconds": round(run.seconds, 1),
        "images_per_second": round(images / max(1e-9, run.seconds), 1),
        "best": run.best,
        "parameters": {name: sum(p.numel() for p in n.parameters()) for name, n in run.objective.networks.items()},
        "weights": weights_kind(run.config),
        "hardware": hardware(run.accelerator.device),
        "processes": run.accelerator.num_processes,
        "mixed_precision": run.config.mixed_precision,
        "versions": {**versions(), "accelerate": accelerate.__version__},
        "date": datetime.date.today().isoformat(),
    }
