"""Code that the page shows to be copied. Each piece runs on its own; a test runs them all."""

from __future__ import annotations

import dataclasses

ADDRESS = "http://127.0.0.1:7860"  # where ``make app`` serves; a page puts its own here


@dataclasses.dataclass(frozen=True)
class Example:
    """A piece of Python: its title, one line on it, the code."""

    title: str
    line: str
    code: str


EXAMPLES = (
    Example(
        "Images of a class",
        "Five lines from the import to a file. The same seed gives the same images.",
        """\
from genhub import GenHubCGAN
from genhub.images import grid, save_png, to_uint8

model = GenHubCGAN.from_pretrained("cgan-mnist")
images = model.generate(8, labels="7", seed=3)  # (8, 1, 28, 28), floats in [-1, 1]
save_png(grid(to_uint8(images)), "sevens.png", scale=4)
""",
    ),
    Example(
        "From one image to another",
        "A walk through the latent space of a variational autoencoder, seed 1 to seed 2.",
        """\
from genhub import GenHubVAE
from genhub.images import grid, save_png, to_uint8

model = GenHubVAE.from_pretrained("vae-mnist")
walk = model.interpolate(1, 2, steps=10)  # (10, 1, 28, 28)
save_png(grid(to_uint8(walk), columns=10), "walk.png", scale=4)
""",
    ),
    Example(
        "What an autoencoder keeps",
        "Pack an image into a few numbers and rebuild it. Any picture will do.",
        """\
from PIL import Image
from genhub import GenHubAE
from genhub.images import from_pil, to_signed

model = GenHubAE.from_pretrained("ae-mnist")
picture = Image.new("L", (200, 200), "white")
image = to_signed(from_pil(picture, channels=1, size=28))[None]  # (1, 1, 28, 28)
code = model.encode(image)  # (1, 32)
error = (model.reconstruct(image) - image).square().mean()
print(code.shape, float(error))
""",
    ),
    Example(
        "What is here",
        "Every bundled model by name, without loading its weights.",
        """\
import genhub

for info in genhub.list_models():
    print(info.name, info.model_class, info.dataset)
""",
    ),
    Example(
        "The Space as an API",
        "Ask this Space from another program.",
        f"""\
from gradio_client import Client

client = Client("{ADDRESS}")
answer = client.predict(dataset="mnist", label="7", seed=3, n=2, models=["cgan-mnist"], api_name="/compare")
for result in answer["results"]:
    print(result["model"], result["class_accuracy"], result["images"][0][:40])
""",
    ),
)
