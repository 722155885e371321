"""A finished training run in miniature: the folders and records of train.py, around tiny real models."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from genhub import GenHubCGAN, GenHubDiscriminator

DIGITS = [str(digit) for digit in range(10)]
SUMMARY = {
    "name": "cgan-digits",
    "description": "A tiny example.",
    "dataset": "digits",
    "steps": 1500,
    "images_seen": 96000,
    "train_seconds": 61.5,
    "images_per_second": 1561.5,
    "best": {"measure": "frechet_distance", "value": 77.25, "step": 1250},
    "parameters": {"model": 1344, "discriminator": 75},
    "weights": "ema",
    "hardware": "CPU, 2 threads",
    "processes": 1,
    "mixed_precision": "bf16",
    "versions": {"torch": "2.11.0"},
    "date": "2026-01-31",
}
METRICS = {
    "protocol": {
        "dataset": "digits",
        "split": "test",
        "test_images": 297,
        "samples": 10000,
        "seed": 12345,
        "extractor": "classifier-digits",
        "extractor_sha256": "5e" * 32,
        "weights": "ema",
        "versions": {"torch": "2.11.0"},
        "hardware": "CPU, 2 threads",
    },
    "metrics": {"frechet_distance": 12.5, "class_accuracy": 0.98125},
}
MODEL_FILES = {
    "README.md",
    "config.json",
    "discriminator/config.json",
    "discriminator/model.safetensors",
    "metrics.json",
    "model.safetensors",
    "samples.png",
    "training_config.yaml",
    "training_log.jsonl",
    "training_summary.json",
}


def tiny_cgan(seed: int = 0) -> GenHubCGAN:
    """A conditional generator of 8×8 images with random weights."""
    torch.manual_seed(seed)
    stages = [{"op": "label"}, {"op": "dense", "width": 64}, {"op": "reshape", "size": 8, "act": "tanh"}]
    model = GenHubCGAN(latent_dim=4, stages=stages, image_size=8, channels=1, class_names=DIGITS)
    model.metadata = {"name": "cgan-digits", "dataset": "digits"}
    return model.eval()


def make_run(folder: Path) -> Path:
    """Writes the run into `folder`, with its model in `folder/final`; returns `folder`."""
    final = folder / "final"
    tiny_cgan().save_pretrained(final)
    stages = [{"op": "flatten"}, {"op": "label"}, {"op": "dense", "width": 1}]
    critic = GenHubDiscriminator(stages=stages, image_size=8, channels=1, class_names=DIGITS)
    critic.save_pretrained(final / "discriminator")
    (final / "discriminator" / "README.md").unlink(missing_ok=True)
    (final / "samples.png").write_bytes(b"\x89PNG" + bytes(2000))
    (final / "training_config.yaml").write_text("name: cgan-digits\n")
    (final / "training_log.jsonl").write_text('{"step": 1}\n')
    write_json(final / "training_summary.json", SUMMARY)
    write_json(final / "metrics.json", METRICS)
    for name in ("checkpoints", "grids"):
        (folder / name).mkdir()
    (folder / "checkpoints" / "last.pt").write_bytes(b"not for the Hub")
    (folder / "log.jsonl").write_text('{"step": 1}\n')
    write_json(folder / "summary.json", SUMMARY)
    return folder


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
