"""The model classes."""

from genhub.models.autoencoder import GenHubAE, GenHubVAE
from genhub.models.base import GenHubModel
from genhub.models.classifier import GenHubClassifier
from genhub.models.diffusion import GenHubDiffusion
from genhub.models.gan import GenHubCGAN, GenHubDiscriminator, GenHubGAN
from genhub.models.projected import GenHubProjectedDiscriminator

__all__ = [
    "GenHubAE",
    "GenHubCGAN",
    "GenHubClassifier",
    "GenHubDiffusion",
    "GenHubDiscriminator",
    "GenHubGAN",
    "GenHubModel",
    "GenHubProjectedDiscriminator",
    "GenHubVAE",
]
