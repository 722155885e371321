"""The inference layer: cached models, cached results, one thing computed at a time. Knows nothing of Gradio."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from joblib import cpu_count

import genhub
from genhub.data import ImageSet
from genhub.images import to_signed, to_uint8
from space.abilities import abilities
from space.catalog import Dataset
from space.lane import Busy, Lane
from space.originals import Originals, read_split
from space.result import Failure, Job, Result
from space.view import View
from space.zerogpu import on_gpu, spaces

__all__ = ["Busy", "Engine"]

MAX_RESULTS = 256  # of at most 40 images: below 100 MB with their PNGs and data URIs
MAX_SLOW = 10  # images of a model that takes seconds for each
QUICK_SECONDS = 0.25
T = TypeVar("T")


class Engine:
    """Answers views and other questions. Bundled models are loaded when first asked for and stay; results are kept,
    newest first, beside those that were made ``beforehand``, which no number of visitors pushes out."""

    def __init__(self, catalog: Mapping[str, Dataset], beforehand: Iterable[Result] = ()) -> None:
        self.catalog = catalog
        self.beforehand = {result.job: result for result in beforehand}
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # In a container that is granted fewer cores than its machine has, torch would start a thread for each of those.
        torch.set_num_threads(min(torch.get_num_threads(), cpu_count()))
        self.models: dict[tuple[str, str], Any] = {}
        self.critics: dict[str, genhub.GenHubModel] = {}
        self.timed: set[tuple[str, int]] = set()  # models and numbers of images that were asked for before
        self.results: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()
        self.lane = Lane()
        self.originals: Originals[ImageSet] = Originals(read_split)
        self.kept = threading.Lock()  # held while touching ``results``
        self.compute = on_gpu(self.compute_here)
        self.work = on_gpu(self.work_here)

    # -- comparisons ----------------------------------------------------------------------------------------------

    def compare(self, view: View) -> list[Result | Failure]:
        """One result per model of the view, in its order; computes those that are not kept. Raises Busy."""
        made = {result.job: result for result in self.each(view, view.models)}
        return [made[job] for job in self.jobs(view)]

    def each(self, view: View, models: tuple[str, ...]) -> Iterator[Result | Failure]:
        """The results of some models of a view as they become ready: kept ones first, slow ones last. Raises Busy.

        The lane is held while a model computes, not between two of them.
        """
        jobs = [job for job in self.jobs(view) if job.model in models]
        kept = {job: self.recall(job) for job in jobs}
        missing = [job for job in jobs if kept[job] is None or not self.is_final(kept[job])]
        yield from (kept[job] for job in jobs if job not in missing)
        quick = [job for job in missing if not self.is_slow(job)]
        # A borrowed GPU is asked for once for all of them; one's own computer shows each as soon as it is there.
        parts = [quick] if spaces and quick else [[job] for job in quick]
        for part in parts + [[job] for job in missing if self.is_slow(job)]:
            yield from self.make(part, view.dataset)

    def make(self, jobs: list[Job], dataset_name: str) -> list[Result | Failure]:
        """Compute jobs in the lane, without asking what is kept but for what the wait may have brought. Raises Busy."""
        with self.lane.turn():
            made: dict[Job, Result | Failure] = {}
            for job in jobs:
                kept = self.recall(job)
                if kept is not None and self.is_final(kept):
                    made[job] = kept
                elif failure := self.prepare(job):
                    made[job] = failure
            for result in self.compute([job for job in jobs if job not in made], dataset_name):
                made[result.job] = result
                self.keep(result.job, result)
        return [made[job] for job in jobs]

    def kept_results(self, view: View) -> list[Result | None]:
        """What is kept of a view, None for each model that would have to compute. Never computes."""
        return [self.recall(job) for job in self.jobs(view)]

    def jobs(self, view: View) -> list[Job]:
        """The view's jobs. What cannot be told the class has the same job whatever the class."""
        return [self.job(view, name) for name in view.models]

    def job(self, view: View, name: str) -> Job:
        dataset = self.catalog[view.dataset]
        info = dataset.model(name)
        asked = info if abilities(info).generates else dataset.source
        label = view.label if asked is not None and asked.class_names else None
        truncation = view.truncation if asked is not None and abilities(asked).truncates else 1.0
        n = min(view.n, MAX_SLOW) if abilities(info).slow else view.n
        return Job(view.dataset, name, label, view.seed, n, truncation)

    def is_slow(self, job: Job) -> bool:
        return abilities(self.catalog[job.dataset].model(job.model)).slow

    def is_final(self, result: Result) -> bool:
        """Whether a kept result is as good as a new one. Slow models are not asked for what was made beforehand."""
        return result.live or self.is_slow(result.job)

    # -- other questions ------------------------------------------------------------------------------------------

    def run(self, work: Callable[..., T], *args: Hashable, dataset: str, models: tuple[str, ...] = ()) -> T:
        """``work(engine, *args)`` in the lane, with ``models`` of ``dataset`` loaded. Its answer, not None, is kept.

        ``work`` is a function of a module, so that a borrowed GPU can run it in a process of its own. Raises Busy, and
        LoadError for a model that cannot be loaded.
        """
        key = (work.__qualname__, dataset, *args)
        if (kept := self.recall(key)) is not None:
            return kept
        with self.lane.turn():
            if (kept := self.recall(key)) is None:
                for name in models:
                    self.load(dataset, name)
                kept = self.work(work, args)
                self.keep(key, kept)
        return kept

    def work_here(self, work: Callable[..., T], args: tuple[Hashable, ...]) -> T:
        return work(self, *args)

    # -- what is kept ---------------------------------------------------------------------------------------------

    def keep(self, key: Hashable, result: Any) -> None:
        with self.kept:
            self.results[key] = result
            self.results.move_to_end(key)
            while len(self.results) > MAX_RESULTS:
                self.results.popitem(last=False)

    def recall(self, key: Hashable) -> Any:
        with self.kept:
            if key in self.results:
                self.results.move_to_end(key)
            return self.results.get(key, self.beforehand.get(key))

    # -- models ---------------------------------------------------------------------------------------------------

    def load(self, dataset: str, name: str) -> Any:
        """A bundled model, ready to be asked for the classes of a dataset. In the lane only. Raises LoadError."""
        if (dataset, name) not in self.models:
            model = genhub.load(name, local_files_only=True)
            several = hasattr(model, "for_dataset")  # one that is asked in words for whatever there is
            self.models[dataset, name] = model.for_dataset(dataset) if several else model.to(self.device)
        return self.models[dataset, name]

    def critic(self, name: str) -> genhub.GenHubModel:
        """The critic of either class that is kept with a model. In the lane only. Raises LoadError without one."""
        if name not in self.critics:
            critic = genhub.GenHubModel.from_pretrained(name, subfolder="discriminator", local_files_only=True)
            self.critics[name] = critic.to(self.device)
        return self.critics[name]

    def prepare(self, job: Job) -> Failure | None:
        """Load what a job needs, in the process that stays. A failure says in words what is wrong."""
        dataset = self.catalog[job.dataset]
        needed = [job.model, dataset.judge]
        try:
            if not abilities(dataset.model(job.model)).generates:
                if dataset.source is None:
                    raise genhub.LoadError("An autoencoder has no prior, and no other model of this dataset is here.")
                needed.append(dataset.source.name)
            for name in needed:
                if name is not None:
                    self.load(job.dataset, name)
        except (genhub.LoadError, ImportError) as error:
            return Failure(job, str(error))
        return None

    # -- computing ------------------------------------------------------------------------------------------------

    def compute_here(self, jobs: list[Job], dataset_name: str) -> list[Result]:
        """Results of jobs whose models are loaded, and of what they were made from."""
        dataset, made = self.catalog[dataset_name], {}
        for job in jobs:
            if job not in made:
                made[job] = self.answer(job, dataset, made)
        return list(made.values())

    def answer(self, job: Job, dataset: Dataset, made: dict[Job, Result]) -> Result:
        model, info = self.models[job.dataset, job.model], dataset.model(job.model)
        able = abilities(info)
        if able.generates:
            labels = asked_labels(job, len(model.class_names)) if model.class_names else None
            options = {"truncation": job.truncation} if able.truncates else {}
            away: list[float] = []
            if able.slow and spaces is None:  # a borrowed GPU works in another process, where nobody waits
                options["callback"] = lambda *_: away.append(self.lane.give_way())
            images, seconds = self.clock(job, lambda: model.generate(job.n, labels=labels, seed=job.seed, **options))
            seconds -= sum(away)
            source = None
        else:
            original = self.original(job, dataset, made)
            labels, source = original.labels, original.job.model
            given = labels if model.class_names else None
            images, seconds = self.clock(job, lambda: model.reconstruct(to_signed(original.pixels), labels=given))
        pixels = to_uint8(images)
        judged = None
        if dataset.judge is not None:
            judged = tuple(self.models[job.dataset, dataset.judge].predict(pixels).argmax(dim=1).tolist())
        return Result(
            job=job,
            pixels=pixels,
            labels=None if labels is None else tuple(labels),
            judged=judged,
            seconds=seconds / job.n,
            parameters=model.num_parameters(),
            source=source,
            steps=getattr(model, "num_inference_steps", None),
        )

    def clock(self, job: Job, make: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
        """The images of ``make`` and the seconds they took. A first call also pays for choosing kernels: if it is
        quick, it is done again and the better time counts."""
        times = 2 if (job.model, job.n) not in self.timed else 1
        self.timed.add((job.model, job.n))
        seconds: list[float] = []
        while len(seconds) < times and (not seconds or seconds[0] <= QUICK_SECONDS):
            start = time.perf_counter()
            made = make().cpu()
            seconds.append(time.perf_counter() - start)
        return made, min(seconds)

    def original(self, job: Job, dataset: Dataset, made: dict[Job, Result]) -> Result:
        """The images that an autoencoder reconstructs: those of the dataset's source model for the same request."""
        wanted = Job(job.dataset, dataset.source.name, job.label, job.seed, job.n, job.truncation)
        found = made.get(wanted) or self.recall(wanted)
        if found is None:
            found = made[wanted] = self.answer(wanted, dataset, made)
        return found


def asked_labels(job: Job, num_classes: int) -> list[int]:
    """The class of each image: the one that was asked for, or all of them in turn."""
    return [i % num_classes if job.label is None else job.label for i in range(job.n)]
