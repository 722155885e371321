"""What each family is, in a few honest sentences, and how data flows through it."""

from __future__ import annotations

import dataclasses
import re

from markupsafe import Markup


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One family explained.

    Attributes:
        idea: how it works.
        training: what it is told to get right.
        good, bad: what to expect, and what to look for.
        flow: the boxes of its diagram in order; one in brackets is only used in training.
        paper: where it comes from.
        relatives: variants of it that are bundled too, and what sets them apart.
    """

    idea: str
    training: str
    good: str
    bad: str
    flow: tuple[str, ...]
    paper: str
    relatives: str = ""


PAPERS = {  # as a lesson cites it → its address
    "Hinton & Salakhutdinov, 2006": "https://doi.org/10.1126/science.1127647",
    "Kingma & Welling, 2014": "https://arxiv.org/abs/1312.6114",
    "Sohn et al., 2015": "https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html",
    "Larsen et al., 2016": "https://arxiv.org/abs/1512.09300",
    "Goodfellow et al., 2014": "https://arxiv.org/abs/1406.2661",
    "Radford et al., 2016": "https://arxiv.org/abs/1511.06434",
    "Zhang et al., 2019": "https://arxiv.org/abs/1805.08318",
    "Gulrajani et al., 2017": "https://arxiv.org/abs/1704.00028",
    "Mirza & Osindero, 2014": "https://arxiv.org/abs/1411.1784",
    "Miyato & Koyama, 2018": "https://arxiv.org/abs/1802.05637",
    "Sauer et al., 2021": "https://arxiv.org/abs/2111.01007",
    "Odena et al., 2017": "https://arxiv.org/abs/1610.09585",
    "Ho et al., 2020": "https://arxiv.org/abs/2006.11239",
    "Song et al., 2021": "https://arxiv.org/abs/2010.02502",
    "Salimans & Ho, 2022": "https://arxiv.org/abs/2202.00512",
    "Sauer et al., 2024": "https://arxiv.org/abs/2311.17042",
    "Rombach et al., 2022": "https://arxiv.org/abs/2112.10752",
}
CITATION = re.compile(r"([A-Z][^(;]*, \d{4})")


def cited(text: str) -> Markup:
    """A lesson's text with its papers as links."""
    parts = CITATION.split(text)
    links = [Markup('<a href="{}">{}</a>').format(PAPERS[name], name) for name in parts[1::2]]
    return Markup("").join(part for pair in zip(parts[::2], [*links, ""], strict=True) for part in pair)


LESSONS = {  # a family's slug → its lesson
    "ae": Lesson(
        "One network squeezes an image into a few numbers, the code. A second one rebuilds the image from it.",
        "The copy should match the original, pixel by pixel.",
        "It compresses well, and what it rebuilds badly is unusual: a way to find odd images, if not simple ones.",
        "It cannot invent. Nobody knows which codes belong to images, so a random code gives mush.",
        ("image", "encoder", "code", "decoder", "copy"),
        "Hinton & Salakhutdinov, 2006",
    ),
    "vae": Lesson(
        "An autoencoder whose codes form a cloud of known shape. A random point of the cloud is a new image.",
        "The copy should match, and the codes should look like plain noise. The two wishes pull against each other.",
        "Its codes are orderly: walking from one to another morphs one image into the other.",
        "It hedges. Where several images are possible it draws their average, so edges are soft.",
        ("image", "encoder", "mean and spread", "noise", "decoder", "copy"),
        "Kingma & Welling, 2014",
    ),
    "cvae": Lesson(
        "A variational autoencoder whose encoder and decoder are both told the class.",
        "As for a VAE. The code need not say what is shown, so that it can spend its numbers on how.",
        "It draws what it is asked for, and one code gives the same manner in every class.",
        "As soft as a VAE. Where class and code disagree, it draws something between the two.",
        ("image + class", "encoder", "code", "decoder + class", "copy"),
        "Sohn et al., 2015",
    ),
    "hybrid": Lesson(
        "A variational autoencoder with a critic behind it, which says whether a copy is good.",
        "The copy should look to the critic like the original, and the codes like plain noise.",
        "Sharper than a plain VAE, and it can still encode an image.",
        "Three networks have to keep in step; copies drift away from the original.",
        ("image", "encoder", "code", "decoder", "[critic]"),
        "Larsen et al., 2016",
        "The critics of the projected one look through a trained classifier too, and also at what random codes become.",
    ),
    "gan": Lesson(
        "Two networks compete. The generator turns noise into images. The critic tells them from real ones.",
        "The critic should catch every fake; the generator should get past it. It never sees a real image itself.",
        "Sharp images in a single pass, in milliseconds.",
        "It may draw the same few things again and again, for the critic does not ask for variety. It takes no orders.",
        ("noise", "generator", "image", "[critic]"),
        "Goodfellow et al., 2014; Radford et al., 2016",
        "In a self-attention GAN far places of an image look at each other (Zhang et al., 2019). The critic of a "
        "WGAN-GP tells how far off an image is, and is kept smooth by a penalty (Gulrajani et al., 2017).",
    ),
    "cgan": Lesson(
        "A GAN whose two sides know the class. The generator is asked for a horse; the critic checks for a horse.",
        "As for a GAN, but an image of the wrong class is caught as well.",
        "It draws what it is asked for, and every class gets its share.",
        "A class with many poses, such as cats, stays hard. When it fails, it fails in plain sight.",
        ("noise + class", "generator", "image", "[critic + class]"),
        "Mirza & Osindero, 2014; Miyato & Koyama, 2018",
        "In a projected GAN critics also look through a trained classifier (Sauer et al., 2021). In an AC-GAN the "
        "generator is also told what a classifier takes its image for (Odena et al., 2017).",
    ),
    "diffusion": Lesson(
        "A network learns to remove a little noise. Starting from nothing but noise, it cleans up in many small steps.",
        "Given an image with noise on it, it should say what the noise was. That is all.",
        "Training is calm, variety is high, and quality grows with the number of steps.",
        "Each step costs as much as a whole GAN, so it is slow. With few steps the images stay rough.",
        ("noise + class", "denoiser × steps", "image"),
        "Ho et al., 2020; Song et al., 2021",
        "A distilled one takes a few large steps, which a finished model taught it (Salimans & Ho, 2022). Critics may "
        "help, as a GAN's do, so that large steps do not blur (Sauer et al., 2024).",
    ),
    "sd": Lesson(
        "Diffusion in the small code of an autoencoder, led by a sentence. The decoder then paints the picture.",
        "The denoiser learns on codes with captions; the autoencoder and the reader of the text are trained apart.",
        "It takes orders in words. The real one paints nearly anything.",
        "The one bundled here is a miniature. It shows how the parts fit, not what the real one can do.",
        ("sentence", "text encoder", "denoiser × steps", "decoder", "image"),
        "Rombach et al., 2022",
    ),
}
