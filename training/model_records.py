"""What a model folder says about its model: the records of its run, and the text that a person wrote for it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from genhub import hub
from genhub.hub import PIPELINE, read_config
from training.config import read_file
from training.wording import words

MODEL_CARDS = Path(__file__).resolve().parent.parent / "model_cards"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
TRAINED = (  # keys of a resolved config that may name a trained model
    ("init_from",),
    ("discriminator_init_from",),
    ("discriminator", "guide"),
    ("objective", "teacher"),
    ("objective", "classifier"),
    ("model", "autoencoder"),
)
SHORT_NAMES = {"cifar10": "CIFAR-10", "mnist": "MNIST", "cifar10+mnist": "CIFAR-10 + MNIST"}


@dataclass(frozen=True)
class Records:
    """What a model folder says about its model, and the hand-written part that belongs to it."""

    config: dict[str, Any]
    summary: dict[str, Any]
    protocol: dict[str, Any]
    metrics: dict[str, float | int | str]
    spread: dict[str, float]
    cost: dict[str, float]
    built_on: list[str]
    hand: dict[str, Any]
    hand_text: str

    @property
    def name(self) -> str:
        return self.summary.get("name") or self.config.get("metadata", {}).get("name") or "model"

    @property
    def held_out(self) -> bool:
        """Whether figures were measured on images that the model was not trained on; older records do not say it."""
        return self.protocol.get("held_out", True) is not False

    @property
    def class_name(self) -> str:
        return self.config["class"]


def read_records(folder: Path) -> Records:
    """The records of a model folder. Raises ValueError naming the file that is missing or malformed."""
    config = read_config(folder, folder.name) if (folder / PIPELINE).is_file() else read_json(folder / "config.json")
    config.setdefault("class", config.get("_class_name"))  # a single network of diffusers
    if not isinstance(config.get("class"), str):
        raise ValueError(f'{folder / "config.json"}: no "class" in it; save the model with save_pretrained')
    summary = read_json(folder / "training_summary.json", default={})
    metrics, spread, cost, protocol = read_measured(folder)
    records = Records(config, summary, protocol, metrics, spread, cost, built_on(folder), {}, "")
    hand, text = hand_written(records.name)
    if hand and same_data(recorded_dataset(records), hand["dataset"]):
        records = replace(records, hand=hand, hand_text=text)
    return records


def read_measured(folder: Path) -> tuple[dict, dict, dict, dict]:
    """Metrics, spread, cost and protocol of ``metrics.json``; of a model of several datasets, those of each."""
    metrics, spread, protocols = {}, {}, []
    for path in sorted(folder.glob("metrics-*.json")) or [folder / "metrics.json"]:
        measured = read_json(path, default={"protocol": {}, "metrics": {}})
        if not all(isinstance(measured.get(part), dict) for part in ("protocol", "metrics")):
            raise ValueError(f'{path}: needs "protocol" and "metrics"; run training/evaluate.py again')
        _, several, dataset = path.stem.partition("-")
        on = f" on {SHORT_NAMES.get(dataset, dataset)}" if several else ""
        figures = {key: value for key, value in measured["metrics"].items() if isinstance(value, int | float | str)}
        metrics |= {f"{key}{on}": value for key, value in figures.items()}
        spread |= {f"{key}{on}": value for key, value in measured.get("spread", {}).items()}
        protocols.append({key: v for key, v in measured["protocol"].items() if not several or key != "dataset"})
    protocol = {}
    for key in dict.fromkeys(key for each in protocols for key in each):
        values = [each[key] for each in protocols if key in each]
        protocol[key] = values[0] if values.count(values[0]) == len(values) else values
    return metrics, spread, measured.get("cost", {}), protocol


def built_on(folder: Path) -> list[str]:
    """Names of the trained models that the run started from or learned from. Raises ValueError for a damaged file."""
    config = read_file(str(path)) if (path := folder / "training_config.yaml").is_file() else {}
    found = [functools.reduce(lambda part, key: (part or {}).get(key), keys, config) for keys in TRAINED]
    return list(dict.fromkeys(Path(name).parent.name if Path(name).name == "final" else name for name in found if name))


def read_json(path: Path, default: dict | None = None) -> dict[str, Any]:
    return default if default is not None and not path.is_file() else hub.read_json(path, str(path.parent))


def hand_written(name: str) -> tuple[dict[str, Any], str]:
    """The front matter and the text of `model_cards/NAME.md`; both empty where there is none."""
    path = MODEL_CARDS / f"{name}.md"
    if name == "template" or not re.fullmatch(r"[\w.-]+", name) or not path.is_file():
        return {}, ""
    _, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text.strip()


def recorded_dataset(records: Records) -> str:
    """What the records call the data; the evaluation's name for it first, because figures stand beside it."""
    places = (records.protocol, records.summary, records.config.get("metadata", {}))
    return next((str(place["dataset"]) for place in places if place.get("dataset")), "")


def same_data(recorded: str, written: str) -> bool:
    """Whether a text about `written` fits: the same name, or a folder or short name that ends in it.

    Neither another Hub id nor another copy fits: `cifar10` is not "CIFAR-10 (JPEG copy)".
    """

    def key(name: str) -> str:
        return re.sub(r"[^a-z0-9(]", "", name.rstrip("/").rpartition("/")[2].lower())

    return recorded == written or (not HUB_ID.fullmatch(recorded) and key(recorded) == key(written))


def dataset_label(records: Records) -> str:
    """What to call the data in the card; never a path of the machine that trained."""
    if records.hand:
        return records.hand["dataset"]
    short, space, copy = recorded_dataset(records).partition(" (")
    return (words(SHORT_NAMES.get(short, short)) or "unnamed data") + space + copy
