"""Measure models and sets of images, and record how.

    python training/evaluate.py cgan-mnist runs/my-run user/model       models: bundled, a run or model folder, a Hub id
    python training/evaluate.py --all-bundled                           every bundled model, each against its own data
    python training/evaluate.py --images FOLDER --dataset ylecun/mnist  images that something else has made
    python training/evaluate.py --floor --ceiling --dataset digits      real training images, and noise, as if generated

A model's ``metrics.json`` (protocol, metrics, spread, cost) is written into its folder; ``--check`` compares with it
instead and fails if a figure has moved by more than its spread. Several results are also printed as tables, one for
each protocol, because figures that were measured in different ways do not stand side by side. Models run on a GPU where
there is one.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
# Read when torch is imported: threads that spin for milliseconds while they wait crawl where others share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


from genhub import hub, metrics
from genhub.data import ImageSet, load_images, short_name
from genhub.errors import DataError, LoadError
from genhub.models import GenHubClassifier
from training.assessment import (
    PROBE_SEED,
    SAMPLES,
    Assessment,
    Reference,
    assess,
    assess_samples,
    draw,
    record,
    save_pairs,
)
from training.checkpoints import write_text
from training.command import exit_status
from training.protocol import comparison_key, default_extractor, judge_extractor
from training.selection import relabelled, split_names
from training.settings import make_folder
from training.subjects import Subject, subject_name, subjects, training_record
from training.wording import measurement


def measure(
    model: Any,
    test: ImageSet,
    judge: GenHubClassifier | None,
    samples: int = SAMPLES,
    reference: metrics.Statistics | None = None,
) -> dict[str, float]:
    """The few numbers that are cheap enough to be taken many times during training.

    Args:
        model: what is measured.
        test: held-out images.
        judge: reads classes and gives the features of the Fréchet distance; None measures on pooled pixels.
        samples: images generated.
        reference: feature statistics of the images that samples are compared with; those of ``test`` where left out.
    """
    if isinstance(model, GenHubClassifier):
        return {"accuracy": metrics.class_accuracy(test.images, test.labels, model)}
    found: dict[str, float] = {}
    if hasattr(model, "reconstruct"):
        found["reconstruction_mse"] = metrics.reconstruction_mse(test.images, test.labels, model)
    if hasattr(model, "generate"):
        drawn = draw(model, samples, test.class_names, PROBE_SEED)
        reference = reference or metrics.Statistics.of(metrics.features(test.images, judge))
        found["frechet_distance"] = metrics.frechet_distance(
            metrics.Statistics.of(metrics.features(drawn.images, judge)), reference
        )
        if judge is not None and drawn.labels is not None:
            found["class_accuracy"] = metrics.class_accuracy(drawn.images, drawn.labels, judge)
        elif judge is not None:
            found["largest_class_share"] = max(metrics.class_histogram(drawn.images, judge))
    return found


def evaluate(
    folder: Path,
    model: Any,
    test: ImageSet,
    samples: int,
    weights: str,
    split: str = "test",
    *,
    held_out: bool = True,
    train: ImageSet | None = None,
    pairs: Path | None = None,
) -> dict[str, Any]:
    """Measure a model in the default extractor of the data, and write ``metrics.json``. Returns what was written.

    Args:
        folder: of the model. The training time is read from its ``training_summary.json``.
        model: anything with ``generate`` or ``reconstruct``, or a classifier.
        test: images of their dataset's ``split``.
        samples: images generated.
        weights: ``ema`` or ``raw``.
        held_out: whether the model was not trained on those images.
        train: training images, to look for copies of them.
        pairs: where the picture of the closest pairs goes; it shows images of the dataset.
    """
    excluded = model.metadata.get("excluded_classes", ())
    reference = Reference(test, split, default_extractor(test), train, excluded=excluded, held_out=held_out)
    found = assess(model, reference, samples)
    entry = finished(found, folder, record(found, subject_name(model, folder), reference, weights, samples, model))
    write_record(folder, entry)
    if pairs is not None and found.pairs is not None:
        save_pairs(found, pairs)
    return entry


def finished(found: Assessment, folder: Path | None, entry: dict[str, Any]) -> dict[str, Any]:
    """The record with the cost that only the run knows."""
    seconds = training_record(folder, "training_summary.json").get("train_seconds")
    return {**entry, "cost": {**entry["cost"], "training_seconds": seconds}} if seconds is not None else entry


def write_record(folder: Path, entry: Mapping[str, Any], name: str = "metrics.json") -> None:
    write_text(folder / name, json.dumps(entry, indent=2, ensure_ascii=False) + "\n")


# -- the command

MISSING = {  # how the names of figures begin → what they take
    "anomaly": "--anomalies DATASET, of the images that its protocol names",
    "cas": "--cas",
    "memorized": "the training images",
    "memorization": "the training images",
}


@functools.cache
def read(source: str, split: str, size: int, channels: int, columns: tuple[tuple[str, str], ...] = ()) -> ImageSet:
    return load_images(source, split=split, image_size=size, channels=channels, **dict(columns))


def reference_for(subject: Subject, options: argparse.Namespace) -> Reference:
    """The images that a subject is measured against. Raises DataError, LoadError, ValueError."""
    source = dataset_for(subject, options.dataset)
    if subject.model is None:
        shape = load_images(source, split=options.split, limit=1).image_shape
    else:
        shape = subject.model.image_shape
    channels, size, _ = shape
    own = subject.model is not None and short_name(source) == short_name(own_source(subject))
    reading = subject.reading if own else {}
    columns = tuple((key, reading[key]) for key in ("image_column", "label_column") if reading.get(key))
    test = read(source, options.split, size, channels, columns)
    if subject.model is not None:
        test = relabelled(test, subject.model.class_names)
    train_split = options.train_split or reading.get("split") or "train"
    train, held_out = None, not split_names(options.split) & split_names(train_split)
    if subject.model is None or hasattr(subject.model, "generate"):
        try:
            if not held_out:
                raise DataError(f"{source}: split {options.split!r} is what is measured against")
            train = read(source, train_split, size, channels, columns)
        except DataError as error:
            print(f"no training images, so no search for copies: {error}", file=sys.stderr)
    anomalies = None
    others = [other for other in options.anomalies if short_name(other) != short_name(source)]
    if others and hasattr(subject.model, "reconstruct"):
        anomalies = read(others[0], options.split, size, channels)
    excluded = () if subject.model is None else subject.model.metadata.get("excluded_classes", ())
    return Reference(test, options.split, extractor_for(test, options), train, anomalies, excluded, held_out)


def dataset_for(subject: Subject, given: list[str]) -> str:
    """The dataset given; out of several the one of the model's name; by default what the model was trained on."""
    if len(given) == 1:
        return given[0]
    if subject.model is None:
        raise DataError("--dataset: say what the images are compared with, such as ylecun/mnist")
    own = own_source(subject)
    return next((source for source in given if short_name(source) == short_name(own)), own)


def own_source(subject: Subject) -> str:
    """What a model was trained on."""
    return subject.model.metadata.get("source", "digits")


def extractor_for(test: ImageSet, options: argparse.Namespace) -> metrics.Extractor:
    match options.extractor:
        case None:
            return default_extractor(test)
        case "pixels":
            return metrics.pixel_extractor()
        case "inception":
            if options.weights is None:
                raise DataError("--extractor inception: needs --weights PATH, the file of torch-fidelity's releases")
            return metrics.inception_extractor(options.weights)
        case name:
            try:
                return judge_extractor(name)
            except LoadError as error:
                raise LoadError(f"--extractor: expected 'pixels', 'inception' or a classifier; {error}") from error


def measure_subject(subject: Subject, options: argparse.Namespace) -> tuple[dict[str, Any], Assessment]:
    """The record of one subject, and what else was found. Raises DataError, LoadError, ValueError."""
    recorded = subject.record.get("protocol", {}).get("samples")
    if options.check and options.samples and recorded and options.samples != recorded:
        raise DataError(
            f"--samples: the record of {subject.name} is of {recorded}, with which no other number compares, got "
            f"{options.samples}; leave it out"
        )
    if options.cas and subject.images is None and not subject.model.class_names:
        raise DataError(f"--cas: trains a classifier, so it needs a conditional model; {subject.name} takes no labels")
    reference = reference_for(subject, options)
    samples = options.samples or recorded or SAMPLES
    if subject.images is None:
        found = assess(subject.model, reference, samples, options.cas)
    else:
        found, made = Assessment(), subject.images(reference)
        samples = len(made.images)
        if subject.copied:
            reference = dataclasses.replace(reference, train=None)
        assess_samples(made, reference, found, options.cas)
    old = training_record(subject.folder, "training_summary.json")
    weights = old.get("weights", "as saved") if subject.images is None else "none"
    entry = record(found, subject.name, reference, weights, samples, subject.model)
    return finished(found, subject.folder, entry), found


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Lines that set a new record beside an old one, and whether every figure was found again within its spread."""
    if not all(isinstance(old.get(part), dict) for part in ("protocol", "metrics")):
        return ["the record is none of an evaluation; measure anew without --check"], False
    if comparison_key(old) != comparison_key(new):
        return ["measured with another extractor or other images than the record; measure anew without --check"], False
    lines, fine = [], True
    for name, value in old["metrics"].items():
        allowed = old.get("spread", {}).get(name)
        if name not in new["metrics"] or allowed is None:
            missing = MISSING.get(name.partition("_")[0], "the options of that time")
            lines.append(f"{name}: {value} — NOT MEASURED AGAIN; that takes {missing}")
            fine = False
            continue
        now = new["metrics"][name]
        within = abs(now - value) <= max(allowed, 1e-5 * abs(value))
        lines.append(f"{name}: {value} ± {allowed}, now {now}{'' if within else ' — OUTSIDE'}")
        fine &= within
    return lines, fine


def tables(records: Mapping[str, Mapping[str, Any]]) -> str:
    """One Markdown table for each protocol: a row for each metric, a column for each subject, ± the spread."""
    groups: dict[tuple, dict[str, Mapping[str, Any]]] = {}
    for name, entry in sorted(records.items(), key=lambda item: not item[1]["protocol"].get("samples")):
        key, samples = comparison_key(entry), entry["protocol"].get("samples")
        if not samples:  # an autoencoder's figures compare with all that were measured against the same images
            samples = next((other for known, other in groups if known == key), 0)
        groups.setdefault((key, samples), {})[name] = entry
    lines = []
    for (_, samples), members in groups.items():
        protocol = next(iter(members.values()))["protocol"]
        made = f", {samples:,} samples" if samples else ""
        lines += [f"\n{protocol['dataset']}, {protocol['split']}, features of {protocol['extractor']}{made}\n"]
        lines += [f"| | {' | '.join(members)} |", f"|---|{'---|' * len(members)}"]
        for key in dict.fromkeys(key for entry in members.values() for key in entry["metrics"]):
            cells = [
                measurement(entry["metrics"][key], entry["spread"].get(key)) if key in entry["metrics"] else "–"
                for entry in members.values()
            ]
            lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines)


def keep(subject: Subject, entry: dict[str, Any], output: Path | None) -> None:
    """Write a record to ``output``, or beside the model, whose card and tables quote it.

    There it replaces no record that was measured otherwise, and none that says more.
    """
    if (folder := output or subject.folder) is None:
        return
    if output is None and (why := reason_to_stay(subject.record, entry)):
        record = folder / subject.record_name
        print(f"{record}: {why} and stays; to replace it: --output {folder}", file=sys.stderr)
        return
    write_record(folder, entry, subject.record_name)
    if output is None and folder.name == "final" and (folder.parent / subject.record_name).is_file():
        write_record(folder.parent, entry, subject.record_name)  # a run has a copy at hand


def reason_to_stay(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Why a record is not replaced by another one; empty if it may be."""
    if not old:
        return ""
    if not all(isinstance(old.get(part), dict) for part in ("protocol", "metrics")):
        return "is no record of an evaluation"
    alike = comparison_key(old) == comparison_key(new)
    if not alike or old["protocol"].get("samples") != new["protocol"]["samples"]:
        return "was measured otherwise"
    missing = [name for name in old["metrics"] if name not in new["metrics"]]
    return f"has {', '.join(missing)} too" if missing else ""


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    records: dict[str, dict[str, Any]] = {}
    moved = []
    try:
        for option, folder in (("--output", options.output), ("--pairs", options.pairs and options.pairs.parent)):
            if folder is not None:
                make_folder(folder, option)
        for subject in subjects(options):
            entry, found = measure_subject(subject, options)
            records[subject.name if subject.name not in records else f"{subject.name} ({subject.folder})"] = entry
            if options.check:
                if not subject.record:
                    raise DataError(f"--check: {subject.name} has no metrics.json to compare with; measure it first")
                lines, fine = compare(subject.record, entry)
                verdict = [f"all {len(lines)} figures are within their spread"] if fine else []
                print(f"{subject.name}:", *lines, *verdict, sep="\n  ", flush=True)
                moved += [] if fine else [subject.name]
                continue
            print(json.dumps({subject.name: {key: entry[key] for key in ("metrics", "spread", "cost")}}, indent=2))
            keep(subject, entry, options.output)
            if options.pairs and found.pairs is not None:
                save_pairs(found, options.pairs)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if len(records) > 1 and not options.check:
        print(tables(records))
    if moved:
        print(f"not found again within their spread, see above: {', '.join(moved)}", file=sys.stderr)
    return 1 if moved else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="bundled names, run folders, model folders or Hub ids")
    parser.add_argument("--all-bundled", action="store_true", help="every bundled model")
    parser.add_argument("--images", help="a folder of generated images")
    parser.add_argument("--floor", action="store_true", help="measure real training images as if they were generated")
    parser.add_argument("--ceiling", action="store_true", help="measure noise")
    parser.add_argument(
        "--dataset", action="append", default=[], help="what is measured against; several are matched to models by name"
    )
    parser.add_argument("--split", default="test", help="which split of it")
    parser.add_argument(
        "--train-split", help="the split that copies are looked for in; by default what it was trained on"
    )
    parser.add_argument("--samples", type=int, help="images generated; as many as its record has, or 10,000")
    parser.add_argument("--extractor", help="a classifier of ours, 'pixels', or 'inception'; the data's own by default")
    parser.add_argument("--weights", type=Path, help="of the Inception network")
    parser.add_argument(
        "--anomalies",
        action="append",
        default=[],
        help="a dataset that autoencoders must tell from their own; of several the first that is another one",
    )
    parser.add_argument("--cas", action="store_true", help="train classifiers on the samples (a minute or more)")
    parser.add_argument("--pairs", type=Path, help="write the samples nearest to training images as a picture")
    parser.add_argument("--output", type=Path, help="folder for metrics.json, instead of the model's")
    parser.add_argument("--check", action="store_true", help="compare with metrics.json; exit status 1 if outside")
    options = parser.parse_args(argv)
    named = len(options.models) + bool(options.images) + options.floor + options.ceiling
    if not named and not options.all_bundled:
        parser.error("nothing to measure: name models, or give --all-bundled, --images, --floor or --ceiling")
    if (options.output or options.pairs) and (named > 1 or options.all_bundled):
        parser.error("--output, --pairs: write for one subject; name one")
    if options.samples is not None and options.samples < metrics.MIN_IMAGES:
        parser.error(f"--samples: {options.samples} are too few, at least {metrics.MIN_IMAGES} are needed")
    if options.weights and options.extractor != "inception":
        parser.error("--weights: are those of the Inception network; add --extractor inception")
    if options.check and (options.images or options.floor or options.ceiling):
        parser.error("--check: compares models with their metrics.json; leave --images, --floor and --ceiling out")
    if options.pairs and hub.PRETRAINED in options.pairs.resolve().parents:
        parser.error("--pairs: the picture shows images of the dataset, which are not published; write it elsewhere")
    return options


if __name__ == "__main__":
    sys.exit(exit_status(main))
