"""GenHub: generative image models that load in one line and compare side by side.

>>> from genhub import GenHubCGAN
>>> images = GenHubCGAN.from_pretrained("cgan-cifar10").generate(8, labels="frog", seed=1)
"""

from genhub.errors import DataError, LoadError
from genhub.models import (
    GenHubAE,
    GenHubCGAN,
    GenHubClassifier,
    GenHubDiscriminator,
    GenHubGAN,
    GenHubModel,
    GenHubVAE,
)
from genhub.zoo import ModelInfo, list_models, load

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "GenHubAE",
    "GenHubCGAN",
    "GenHubClassifier",
    "GenHubDiscriminator",
    "GenHubGAN",
    "GenHubModel",
    "GenHubVAE",
    "LoadError",
    "ModelInfo",
    "list_models",
    "load",
]
