"""The kinds of models there are, their variants, and which of them a bundled model is."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import yaml

from genhub import ModelInfo
from space.records import read_json

YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time, on every start


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of model or a variant of one, and which models are of it.

    Attributes:
        slug: of the kind, for styles and links; a variant stands with its kind and shares it.
        title, line: its name, and what to expect of it.
        model_class: of its models.
        traits: that they have, see ``traits_of``.
    """

    slug: str
    title: str
    line: str
    model_class: str
    traits: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        """Its name without that of one of its networks."""
        return self.title.partition(" (")[0]


FAMILIES = (  # in the order in which they are shown; of those that fit a model, the last is its family
    Family(
        "ae",
        "Autoencoder",
        "Packs an image into a few numbers and unpacks it. It has no prior, so there is nothing to sample.",
        "GenHubAE",
    ),
    Family(
        "vae",
        "Variational autoencoder",
        "Decodes a random point of a smooth latent space. Rarely absurd, often soft: it averages what it doubts.",
        "GenHubVAE",
    ),
    Family(
        "cvae",
        "Conditional VAE",
        "A variational autoencoder that is told the class: its code is left with how the thing looks, "
        "not with what it is.",
        "GenHubVAE",
        frozenset({"labelled"}),
    ),
    Family(
        "hybrid",
        "VAE-GAN",
        "A variational autoencoder whose pictures a critic judges: it packs like one and is sharp like the other.",
        "GenHubVAE",
        frozenset({"critic"}),
    ),
    Family(
        "hybrid",
        "Projected VAE-GAN",
        "A VAE-GAN whose critics also look through a trained classifier, and see what random codes become.",
        "GenHubVAE",
        frozenset({"critic", "projected"}),
    ),
    Family(
        "gan",
        "GAN (DCGAN)",
        "Trained to fool a critic, so it is sharp. It cannot be told the class and may favour some of them.",
        "GenHubGAN",
    ),
    Family(
        "gan",
        "GAN with attention (SAGAN)",
        "A GAN in which places that lie far apart look at each other, so that the two ends of a stroke may agree.",
        "GenHubGAN",
        frozenset({"attention"}),
    ),
    Family(
        "gan",
        "Wasserstein GAN (WGAN-GP)",
        "A GAN whose critic tells how far off an image is, not whether it is real. A penalty keeps its answers smooth.",
        "GenHubGAN",
        frozenset({"gradient_penalty"}),
    ),
    Family(
        "cgan",
        "Conditional GAN",
        "The same contest with the class given to both sides: it draws what it is asked for, or fails visibly.",
        "GenHubCGAN",
    ),
    Family(
        "cgan",
        "Projected GAN",
        "A conditional GAN whose critics also look through a trained classifier, which notices a wrong class early.",
        "GenHubCGAN",
        frozenset({"projected"}),
    ),
    Family(
        "cgan",
        "Projected AC-GAN",
        "A projected GAN whose generator is also told what a trained classifier takes its images for. Clear classes.",
        "GenHubCGAN",
        frozenset({"projected", "class_weight"}),
    ),
    Family(
        "diffusion",
        "Diffusion",
        "Starts from pure noise and removes a little of it at every step. Careful work, and slow.",
        "GenHubDiffusion",
    ),
    Family(
        "diffusion",
        "Distilled diffusion",
        "Learned from a finished diffusion model to take one large step for many small ones. A tenth of the time.",
        "GenHubDiffusion",
        frozenset({"teacher"}),
    ),
    Family(
        "sd",
        "Stable Diffusion",
        "Denoises in a small latent space, led by a sentence. The real ones are over a hundred times larger.",
        "GenHubStableDiffusion",
    ),
)
KINDS = {family.slug: family for family in reversed(FAMILIES)}  # slug → the kind, which comes before its variants
MODEL_CLASSES = frozenset(family.model_class for family in FAMILIES)


@functools.cache
def family_of(info: ModelInfo) -> Family:
    """The family of a model that is offered."""
    found = traits_of(info)
    return [family for family in FAMILIES if family.model_class == info.model_class and family.traits <= found][-1]


def traits_of(info: ModelInfo) -> frozenset[str]:
    """What tells the variants of a class apart, as far as a model's folder says; no weights are read.

    The settings of its objective that are on, such as ``gradient_penalty``; the operations of its network, such as
    ``attention``; "labelled" if it takes a label; "critic" if one is kept with it, and "projected" if that critic looks
    through a frozen network.
    """
    traits = {key for key, value in objective(info).items() if value} | operations(info)
    critic = info.folder / "discriminator"
    if info.class_names:
        traits.add("labelled")
    if critic.is_dir():
        traits.add("critic")
    if read_json(critic / "config.json").get("class") == "GenHubProjectedDiscriminator":
        traits.add("projected")
    return frozenset(traits)


def objective(info: ModelInfo) -> dict[str, Any]:
    """What a model was trained for, by the settings that are kept with it; empty where they are missing or damaged."""
    path = info.folder / "training_config.yaml"
    try:
        return dict(yaml.load(path.read_text(encoding="utf-8"), YAML)["objective"])
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return {}


def operations(info: ModelInfo) -> set[str]:
    """The operations that a network of stages consists of; none where its folder does not say."""
    stages = read_json(info.folder / "config.json").get("stages")
    rows = [row for row in stages if isinstance(row, dict)] if isinstance(stages, list) else []
    return {str(row.get("op")) for row in rows}
