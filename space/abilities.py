"""What a bundled model can be asked for."""

from __future__ import annotations

import dataclasses
import functools
import inspect

import genhub
from genhub import ModelInfo, hub
from genhub.models.latent import LatentModel
from space.records import read_json

FEW_STEPS = 4  # up to so many denoising steps a model answers as quickly as the others


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What a model can be asked for, read off its class and its ``config.json`` without loading it.

    Attributes:
        generates: images from a seed.
        truncates: with the latents multiplied by less than 1.
        walks: images from given latents, quickly.
        reconstructs: images from images.
        steps: of denoising for one image; None for a model that needs one pass.
        slow: takes seconds rather than milliseconds.
    """

    generates: bool
    truncates: bool
    walks: bool
    reconstructs: bool
    steps: int | None
    slow: bool


@functools.cache
def abilities(info: ModelInfo) -> Abilities:
    kind = getattr(genhub, info.model_class)
    asked = inspect.signature(kind.generate).parameters if hasattr(kind, "generate") else {}
    steps = steps_of(info) if "num_inference_steps" in asked else None
    slow = "num_inference_steps" in asked and not (steps and steps <= FEW_STEPS)
    return Abilities(
        generates=bool(asked),
        truncates="truncation" in asked,
        walks=issubclass(kind, LatentModel) and not slow,
        reconstructs=hasattr(kind, "reconstruct"),
        steps=steps,
        slow=slow,
    )


def steps_of(info: ModelInfo) -> int | None:
    """Denoising steps as a model's folder records them; None where it does not say."""
    files = [info.folder / name for name in (hub.RECORD, "config.json") if (info.folder / name).is_file()]
    return read_json(files[0]).get("num_inference_steps") if files else None
