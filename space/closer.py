"""One image looked at closely: who sees what in it, what its critic says, how sharp it is."""

from __future__ import annotations

import dataclasses

import torch

from genhub import LoadError
from genhub.images import to_signed
from space.cards import describe
from space.catalog import Dataset
from space.families import family_of
from space.inference import Engine
from space.result import Failure, Job, Result
from space.view import View

MOST = 3  # classes that the judge's opinion lists


@dataclasses.dataclass(frozen=True)
class Opinion:
    """What the critic of a GAN says of an image: its logit, and its place among those beside it (1 is most real).

    A projected discriminator consists of several critics; their mean speaks.
    """

    logit: float
    place: int
    among: int


@dataclasses.dataclass(frozen=True)
class Closer:
    """What there is to say about image ``i`` of a result. ``judge`` has (class, probability), the likeliest first."""

    result: Result
    i: int
    alt: str
    family: str
    asked: str | None
    judge: list[tuple[str, float]]
    critic: Opinion | None
    sharpness: float
    relative_sharpness: float

    @property
    def src(self) -> str:
        return self.result.data_uris[self.i]


def look(engine: Engine, view: View, i: int) -> Closer | Failure | None:
    """Image ``i`` of the first model of a view; None where a slow model has not made it yet. Raises Busy."""
    dataset = engine.catalog[view.dataset]
    name = view.models[0]
    job = engine.job(view, name)
    result = engine.recall(job) if engine.is_slow(job) else engine.compare(dataclasses.replace(view, models=(name,)))[0]
    if not isinstance(result, Result):
        return result
    i = min(i, job.n - 1)
    needed = (name,) if dataset.judge is None else (name, dataset.judge)
    judge, critic = engine.run(ask, job, result.labels, i, dataset=dataset.name, models=needed)
    mean = sum(result.sharpness) / job.n
    return Closer(
        result=result,
        i=i,
        alt=describe(dataset.model(name), result, dataset, i),
        family=family_of(dataset.model(name)).title,
        asked=dataset.class_name(result.labels, i),
        judge=judge,
        critic=critic,
        sharpness=result.sharpness[i],
        relative_sharpness=result.sharpness[i] / mean if mean else 1.0,
    )


@torch.no_grad()
def ask(
    engine: Engine, job: Job, labels: tuple[int, ...] | None, i: int
) -> tuple[list[tuple[str, float]], Opinion | None]:
    """The opinions of the judge and of the model's critic. In the lane only."""
    dataset = engine.catalog[job.dataset]
    result: Result = engine.recall(job) or engine.answer(job, dataset, {})
    judge: list[tuple[str, float]] = []
    if dataset.judge is not None:
        shares = engine.load(job.dataset, dataset.judge).predict(result.pixels[i : i + 1])[0].tolist()
        judge = sorted(zip(dataset.class_names, shares, strict=True), key=lambda pair: -pair[1])[:MOST]
    return judge, opinion(engine, dataset, result, labels, i)


def opinion(engine: Engine, dataset: Dataset, result: Result, labels: tuple[int, ...] | None, i: int) -> Opinion | None:
    """What the critic that a GAN was trained against says; None where no critic is kept."""
    if result.source or not (dataset.model(result.job.model).folder / "discriminator").is_dir():
        return None
    try:
        critic = engine.critic(result.job.model)
    except LoadError:  # a damaged critic costs its opinion, not the page
        return None
    if critic.image_shape != tuple(result.pixels.shape[1:]):
        return None
    condition = critic.condition(list(labels) if critic.class_names else None, len(result.pixels))
    logits = critic(to_signed(result.pixels).to(critic.device), condition).cpu()
    logits = logits.reshape(len(result.pixels), -1).mean(dim=1)
    return Opinion(logits[i].item(), int((logits > logits[i]).sum()) + 1, len(logits))
