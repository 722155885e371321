"""The inference layer: cached models, cached results, one comparison computed at a time. Knows nothing of Gradio."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch

import genhub
from genhub.images import to_signed, to_uint8
from genhub.models.latent import PriorModel
from space.catalog import Dataset
from space.result import Failure, Job, Result
from space.view import View
from space.zerogpu import on_gpu

MAX_RESULTS = 256  # of at most 40 images: below 100 MB with their PNGs and data URIs
WAIT_SECONDS = 30.0
QUICK_SECONDS = 0.25
T = TypeVar("T")


class Busy(RuntimeError):
    """The compute lane did not become free in time."""


class Engine:
    """Answers views. Bundled models are loaded when first asked for and stay; results are kept, newest first."""

    def __init__(self, catalog: Mapping[str, Dataset]) -> None:
        self.catalog = catalog
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.models: dict[str, genhub.GenHubModel] = {}
        self.results: collections.OrderedDict[Job, Result] = collections.OrderedDict()
        self.free = threading.Lock()  # the lane: held while computing
        self.kept = threading.Lock()  # held while touching ``results``
        self.compute = on_gpu(self.compute_here)

    def compare(self, view: View) -> list[Result | Failure]:
        """One result per model of the view, in its order; computes those that are not kept. Raises Busy."""
        kept = self.kept_results(view)
        if all(result is not None and result.live for result in kept):
            return kept
        with self.lane():
            missing = [job for job in self.jobs(view) if not ((kept := self.recall(job)) and kept.live)]
            failures: dict[Job, Failure] = {}
            ready = [job for job in missing if self.prepare(job, view.dataset, failures)]
            made = {result.job: result for result in self.compute(ready, view.dataset)}
            for result in made.values():
                self.keep(result)
        return [made.get(job) or failures.get(job) or self.recall(job) for job in self.jobs(view)]

    def kept_results(self, view: View) -> list[Result | None]:
        """What is kept of a view, None for each model that would have to compute. Never computes."""
        return [self.recall(job) for job in self.jobs(view)]

    def jobs(self, view: View) -> list[Job]:
        """The view's jobs. What cannot be told the class has the same job whatever the class."""
        dataset = self.catalog[view.dataset]
        found = []
        for name in view.models:
            info = dataset.model(name)
            asked = dataset.source if info.model_class == "GenHubAE" else info
            label = view.label if asked is not None and asked.class_names else None
            found.append(Job(name, label, view.seed, view.n))
        return found

    def keep(self, result: Result) -> None:
        with self.kept:
            self.results[result.job] = result
            self.results.move_to_end(result.job)
            while len(self.results) > MAX_RESULTS:
                self.results.popitem(last=False)

    def recall(self, job: Job) -> Result | None:
        with self.kept:
            if job in self.results:
                self.results.move_to_end(job)
            return self.results.get(job)

    @contextmanager
    def lane(self) -> Iterator[None]:
        if not self.free.acquire(timeout=WAIT_SECONDS):
            raise Busy("Too many visitors are waiting for this machine; please try again in a minute.")
        try:
            yield
        finally:
            self.free.release()

    def prepare(self, job: Job, dataset_name: str, failures: dict[Job, Failure]) -> bool:
        """Load what a job needs, in the process that stays. Notes a failure in words and returns False."""
        dataset = self.catalog[dataset_name]
        needed = [job.model, dataset.judge]
        try:
            if dataset.model(job.model).model_class == "GenHubAE":
                if dataset.source is None:
                    raise genhub.LoadError("An autoencoder has no prior, and no other model of this dataset is here.")
                needed.append(dataset.source.name)
            for name in needed:
                if name is not None and name not in self.models:
                    self.models[name] = genhub.load(name, local_files_only=True).to(self.device)
        except genhub.LoadError as error:
            failures[job] = Failure(job, str(error))
        return job not in failures

    def compute_here(self, jobs: list[Job], dataset_name: str) -> list[Result]:
        """Results of jobs whose models are loaded."""
        dataset, made = self.catalog[dataset_name], {}
        for job in jobs:
            made[job] = self.answer(job, dataset, made)
        return list(made.values())

    def answer(self, job: Job, dataset: Dataset, made: Mapping[Job, Result]) -> Result:
        model = self.models[job.model]
        if isinstance(model, PriorModel):
            labels = asked_labels(job, len(model.class_names)) if model.class_names else None
            images, seconds = clock(lambda: model.generate(job.n, labels=labels, seed=job.seed).cpu())
            source = None
        else:
            original = self.original(job, dataset, made)
            labels, source = original.labels, original.job.model
            given = labels if model.class_names else None
            images, seconds = clock(lambda: model.reconstruct(to_signed(original.pixels), labels=given).cpu())
        pixels = to_uint8(images)
        judged = None
        if dataset.judge is not None:
            judged = tuple(self.models[dataset.judge].predict(pixels).argmax(dim=1).tolist())
        return Result(
            job=job,
            pixels=pixels,
            labels=None if labels is None else tuple(labels),
            judged=judged,
            seconds=seconds / job.n,
            parameters=model.num_parameters(),
            source=source,
        )

    def original(self, job: Job, dataset: Dataset, made: Mapping[Job, Result]) -> Result:
        """The images that an autoencoder reconstructs: those of the dataset's source model for the same request."""
        wanted = Job(dataset.source.name, job.label, job.seed, job.n)
        return made.get(wanted) or self.recall(wanted) or self.answer(wanted, dataset, made)


def asked_labels(job: Job, num_classes: int) -> list[int]:
    """The class of each image: the one that was asked for, or all of them in turn."""
    return [i % num_classes if job.label is None else job.label for i in range(job.n)]


def clock(make: Callable[[], T]) -> tuple[T, float]:
    """What ``make`` returns and the seconds it took. Quick work is done twice and the better time counts: a first call
    also pays for choosing kernels."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        made = make()
        seconds.append(time.perf_counter() - start)
        if seconds[0] > QUICK_SECONDS:
            break
    return made, min(seconds)
