"""Real or fake: rounds of one real and one generated image, and whether a guess was right. Knows nothing of Gradio."""

from __future__ import annotations

import base64
import collections
import dataclasses
import io
import random
import secrets
import threading
from typing import Literal

import torch

from genhub import ModelInfo
from genhub.data import ImageSet
from genhub.images import to_pil
from genhub.latents import MAX_SEED
from space.abilities import abilities
from space.catalog import Dataset
from space.families import family_of
from space.inference import Engine
from space.result import Failure, Result
from space.view import View, read_view

MAX_ROUNDS = 5000  # open ones; the oldest is dropped. Some 200 bytes each
AT_ONCE = 20  # fakes made by one call of a model
Side = Literal["left", "right"]
GUESSES = ("left", "right", "tie")
chance = random.SystemRandom()  # nobody can foretell the sides


@dataclasses.dataclass(frozen=True)
class Fake:
    """Image ``place`` of a view, and the class that it was asked for or is judged to be (None if nobody says)."""

    pixels: torch.Tensor
    view: View
    place: int
    label: int | None


@dataclasses.dataclass(frozen=True)
class Round:
    """What the server knows of an open round and the visitor does not."""

    dataset: str
    real: Side
    model: str
    view: View
    label: int | None


@dataclasses.dataclass(frozen=True)
class Deal:
    """What the visitor gets: two images as data URIs, which differ in their pixels alone."""

    id: str
    left: str
    right: str


class NoFakes(ValueError):
    """No model of the dataset can make an image just now."""


class Game:
    """Deals rounds and takes one guess for each."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rounds: collections.OrderedDict[str, Round] = collections.OrderedDict()
        self.stock: dict[tuple[str, str], list[Fake]] = {}  # by dataset and model
        self.lock = threading.Lock()  # held while touching the two above

    def deal(self, dataset: Dataset, originals: ImageSet) -> Deal:
        """A new round with a real image of the fake's class. Raises Busy or NoFakes."""
        fake = self.fake(dataset)
        real = pick(originals, fake.label)
        side: Side = chance.choice(("left", "right"))
        ordered = (real, fake.pixels) if side == "left" else (fake.pixels, real)
        deal = Deal(secrets.token_urlsafe(12), *map(plain_png, ordered))
        with self.lock:
            self.rounds[deal.id] = Round(dataset.name, side, fake.view.models[0], fake.view, fake.label)
            while len(self.rounds) > MAX_ROUNDS:
                self.rounds.popitem(last=False)
        return deal

    def close(self, round_id: str) -> Round | None:
        """The truth about an open round, once: nobody can look before guessing again."""
        with self.lock:
            return self.rounds.pop(round_id, None)

    def fake(self, dataset: Dataset) -> Fake:
        """An image that was not shown before, by a model of a family drawn at random."""
        families: dict[str, list[ModelInfo]] = {}
        for info in players(dataset):
            families.setdefault(family_of(info).slug, []).append(info)
        for models in chance.sample(list(families.values()), len(families)):
            for info in chance.sample(models, len(models)):
                key = dataset.name, info.name
                with self.lock:
                    stock = self.stock.get(key)
                    if stock:
                        return stock.pop()
                made = self.make(dataset, info)
                if made:
                    with self.lock:
                        self.stock.setdefault(key, []).extend(made[1:])
                    return made[0]
        raise NoFakes(f"No model of {dataset.title} answers just now. Please try again in a minute.")

    def make(self, dataset: Dataset, info: ModelInfo) -> list[Fake]:
        """New images of a model in random order; none if it fails."""
        asked = {
            "dataset": dataset.name,
            "models": info.name,
            "n": str(AT_ONCE),
            "seed": str(chance.randint(0, MAX_SEED)),
        }
        view, _ = read_view(asked, self.engine.catalog)
        [result] = self.engine.compare(view)
        if isinstance(result, Failure):
            return []
        fakes = [Fake(pixels, view, i, label_of(result, i)) for i, pixels in enumerate(result.pixels)]
        chance.shuffle(fakes)
        return fakes


def players(dataset: Dataset) -> list[ModelInfo]:
    """The models that make images of their own, in milliseconds. Copies of real images would be no fair opponents."""
    return [info for info in dataset.models if abilities(info).generates and not abilities(info).slow]


def label_of(result: Result, place: int) -> int | None:
    labels = result.labels or result.judged
    return labels[place] if labels else None


def pick(originals: ImageSet, label: int | None) -> torch.Tensor:
    """A random real image, of the given class where there is one."""
    places = range(len(originals))
    if label is not None and originals.labels is not None:
        places = torch.nonzero(originals.labels == label).flatten().tolist() or places
    return originals.images[chance.choice(places)]


def plain_png(image: torch.Tensor) -> str:
    """A PNG as data URI without compression: its length depends on the shape alone, so it tells nothing."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG", compress_level=0)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
