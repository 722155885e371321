"""GenHub: generative image models that load in one line and compare side by side.

>>> from genhub import GenHubCGAN
>>> images = GenHubCGAN.from_pretrained("cgan-cifar10").generate(8, labels="frog", seed=1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genhub.errors import DataError, LoadError
    from genhub.models import (
        GenHubAE,
        GenHubCGAN,
        GenHubClassifier,
        GenHubDiffusion,
        GenHubDiscriminator,
        GenHubGAN,
        GenHubModel,
        GenHubProjectedDiscriminator,
        GenHubVAE,
    )
    from genhub.stable_diffusion import GenHubStableDiffusion
    from genhub.zoo import ModelInfo, list_models, load

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "GenHubAE",
    "GenHubCGAN",
    "GenHubClassifier",
    "GenHubDiffusion",
    "GenHubDiscriminator",
    "GenHubGAN",
    "GenHubModel",
    "GenHubProjectedDiscriminator",
    "GenHubStableDiffusion",
    "GenHubVAE",
    "LoadError",
    "ModelInfo",
    "list_models",
    "load",
]


def __getattr__(name: str) -> Any:
    # Names are imported on first use, so that what needs no torch (errors, hub) does not wait for it.
    if name not in __all__:
        raise AttributeError(f"module 'genhub' has no attribute {name!r}")
    homes = {"GenHubStableDiffusion": "stable_diffusion", "DataError": "errors", "LoadError": "errors"}
    homes |= dict.fromkeys(("ModelInfo", "list_models", "load"), "zoo")
    return getattr(importlib.import_module(f"genhub.{homes.get(name, 'models')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
