"""Captions: what a text-to-image model is told for a class of a dataset."""

from __future__ import annotations

import dataclasses

from genhub.errors import nearest


@dataclasses.dataclass(frozen=True)
class Prompts:
    """How the classes of a dataset are put in words.

    Attributes:
        templates: sentences with the placeholder ``{}`` for a class's word, or ``{a}`` for the word with its article.
        words: of each class, by its name in the dataset, the words for it, the plainest first.
        image_shape: (channels, height, width) of the dataset's images.
    """

    templates: tuple[str, ...]
    words: dict[str, tuple[str, ...]]
    image_shape: tuple[int, int, int]


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PROMPTS = {
    "cifar10": Prompts(
        ("a photo of {a}", "a picture of {a}", "a small photo of the {}", "{a}", "{}"),
        {
            "airplane": ("airplane", "plane"),
            "automobile": ("car", "automobile"),
            "bird": ("bird",),
            "cat": ("cat",),
            "deer": ("deer",),
            "dog": ("dog",),
            "frog": ("frog",),
            "horse": ("horse",),
            "ship": ("ship", "boat"),
            "truck": ("truck",),
        },
        (3, 32, 32),
    ),
    "mnist": Prompts(
        ("a handwritten digit {}", "the digit {}", "a handwritten {}", "the number {}", "{}"),
        {str(i): (word, str(i)) for i, word in enumerate(NUMBERS)},
        (1, 28, 28),
    ),
}
PROMPTS["digits"] = dataclasses.replace(PROMPTS["mnist"], image_shape=(1, 8, 8))


def captions(dataset: str) -> dict[str, list[str]]:
    """Every sentence for each class of a dataset, by class name; the first is what images are asked for with.

    ``dataset`` is a short name, or several joined by ``+``. Raises ValueError for a name without prompts.
    """
    found: dict[str, list[str]] = {}
    for name in dataset.split("+"):
        if name not in PROMPTS:
            raise ValueError(f"dataset: no prompts are known for {name!r}; {nearest(name, PROMPTS)}")
        prompts = PROMPTS[name]
        for class_name, words in prompts.words.items():
            found[class_name] = [filled(template, word) for template in prompts.templates for word in words]
    return found


def filled(template: str, word: str) -> str:
    """A template with its word put in."""
    article = "an" if word[0] in "aeiou" else "a"
    return template.replace("{a}", f"{article} {word}").replace("{}", word)
