"""One training run: its parts, its loop, its checkpoints."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from tqdm import tqdm

from genhub.data import ImageSet, load_images
from genhub.metrics import Statistics, features
from training.alarms import Alarms, require_finite
from training.batches import Batches, stream
from training.checkpoints import Checkpoints, below, flatten_optimizer, restore_optimizer
from training.diffusion import Diffusion
from training.distillation import AdversarialDistillation, Distillation
from training.distributed import synchronize_batch_norm
from training.ema import EMA
from training.evaluate import measure
from training.finish import held_out, subset
from training.latent_diffusion import LatentAutoencoding, TextToImageDenoising
from training.networks import build_networks
from training.objectives import VAE, VAEGAN, Adversarial, Autoencoder, Classification
from training.optimization import schedule_factor
from training.process import interruption
from training.protocol import default_extractor, find_judge
from training.records import Log, Meter, samples, save_sheet, spread
from training.selection import find_outliers, select, without_classes
from training.settings import ConfigError, TrainConfig

OBJECTIVES = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "adversarial": Adversarial,
    "vae_gan": VAEGAN,
    "classifier": Classification,
    "diffusion": Diffusion,
    "distillation": Distillation,
    "adversarial_distillation": AdversarialDistillation,
    "latent_autoencoder": LatentAutoencoding,
    "text_to_image": TextToImageDenoising,
}
# what of DataConfig load_images takes
READING = ("split", "image_column", "label_column", "image_size", "channels", "limit", "streaming")
JUDGED = ("adversarial", "vae", "vae_gan", "distillation", "adversarial_distillation")  # by the samples they make
PROBE = 2000  # held-out images, and samples, behind the quality of a checkpoint
QUALITY = ("frechet_distance", "error_rate", "reconstruction_mse", "denoising_error")  # smaller is better


def first_image(config: TrainConfig, dataset: str | None = None) -> ImageSet:
    """The first image of a run's data, or of ``dataset`` read in the same way. Raises DataError."""
    keys = (key for key in READING if key not in ("limit", "streaming"))
    return load_images(dataset or config.dataset, limit=1, **{key: getattr(config.data, key) for key in keys})


class Run:
    """One training run: what it is made of, its loop, and its folder.

    The folder holds ``config.yaml`` (everything resolved), ``log.jsonl``, ``grids/``, ``checkpoints/`` (the newest,
    with the best weights so far in it), ``summary.json``, ``metrics.json`` and ``final/``, which is what is published.
    """

    def __init__(self, config: TrainConfig, accelerator: Accelerator, folder: Path) -> None:
        self.config, self.accelerator, self.folder = config, accelerator, folder
        data = load_images(config.dataset, **{key: getattr(config.data, key) for key in READING})
        self.data = without_classes(data, config.data.exclude_classes)
        self.outliers = find_outliers(self.data, config.data, folder)
        self.batches = Batches(
            select(self.data, config, self.outliers),
            config.batch_size,
            accelerator.process_index,
            accelerator.num_processes,
            config.seed,
            accelerator.device,
        )
        torch.manual_seed(config.seed)
        model, discriminator = build_networks(config, self.data)
        self.ema = EMA(model, config.ema)  # before any wrapping, so that its keys are those that are published
        self.ema.model.to(accelerator.device)
        for network in filter(None, (model, discriminator)):
            network.to(accelerator.device, memory_format=torch.channels_last).train()
            if accelerator.num_processes > 1:
                synchronize_batch_norm(network)
        self.objective = OBJECTIVES[config.objective.type](config, accelerator, model, discriminator)
        self.images_per_step = self.batches.global_size * self.objective.batches_per_update
        labelled = bool(model.class_names or config.data.exclude_classes)
        self.test, self.test_split, warning = held_out(config, self.data, labelled)
        if warning:
            self.tell(f"warning: {warning}")
        self.probe = subset(without_classes(self.test, config.data.exclude_classes), PROBE)
        is_judged = config.objective.type in JUDGED
        self.judge = find_judge(self.data.name, self.data.image_shape) if is_judged else None
        self.reference = Statistics.of(features(self.probe.images, self.judge)) if is_judged else None
        self.judged_by = {"judge": default_extractor(self.data).identity} if is_judged else {}
        self.alarms = Alarms(spread(self.probe.images))
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.log = Log(folder / "log.jsonl", accelerator)
        self.meter = Meter()
        self.step, self.seconds, self.best = 0, 0.0, None
        self.best_weights: dict[str, torch.Tensor] = {}

    @property
    def total_steps(self) -> int | None:
        """Steps of the budget; None where only time limits it."""
        limits = []
        if self.config.max_steps:
            limits.append(self.config.max_steps)
        if self.config.max_images:
            limits.append(math.ceil(self.config.max_images / self.images_per_step))
        return min(limits, default=None)

    @property
    def steps_per_epoch(self) -> int:
        """How often a grid is drawn; a stream has no known length and draws with its checkpoints."""
        if self.batches.per_epoch is None:
            return self.config.checkpoint_every
        return max(1, self.batches.per_epoch // self.objective.batches_per_update)

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> bool:
        """Update until the budget is used up; log, draw and checkpoint on the way. False if the user interrupts."""
        config, total = self.config, self.total_steps
        started = time.monotonic() - self.seconds
        logged_at, logged_step = self.seconds, self.step
        ended, stopped = self.vote(self.is_over(), False)
        with self.progress_bar() as bar, interruption() as interrupted:
            while not (ended or stopped):
                rates = self.set_rates()
                torch.manual_seed(self.dropout_seed())
                self.meter.add(self.objective.update(self.batches, self.step))
                self.step += 1
                self.ema.update(self.objective.model, self.step)
                self.seconds = time.monotonic() - started
                bar.update()

                ended, stopped = self.vote(self.is_over(), interrupted.is_set())
                if self.step % config.log_every == 0:
                    rate = (self.step - logged_step) * self.images_per_step / max(1e-9, self.seconds - logged_at)
                    logged_at, logged_step = self.seconds, self.step
                    self.write_log(rates, rate)
                    left = f", {config.max_minutes - self.seconds / 60:.1f} min left" if total is None else ""
                    bar.set_postfix_str(f"{rate:.0f} images/s{left}", refresh=False)
                if self.step % self.steps_per_epoch == 0 or ended:
                    self.draw()
                if self.step % config.checkpoint_every == 0 or ended:
                    self.assess()
                if self.step % config.checkpoint_every == 0 or ended or stopped:
                    self.save()
            (stopped,) = self.vote(stopped or interrupted.is_set())  # in the last step, while it was judged or saved
        if ended and self.best is None:  # a finished budget that no step of this or an earlier process assessed
            self.assess()
        return not stopped

    def is_over(self) -> bool:
        out_of_steps = self.total_steps is not None and self.step >= self.total_steps
        return out_of_steps or (bool(self.config.max_minutes) and self.seconds >= 60 * self.config.max_minutes)

    def vote(self, *mine: bool) -> list[bool]:
        """Whether any process says so: clocks and signals differ between processes, steps must not."""
        if self.accelerator.num_processes == 1:
            return list(mine)
        votes = torch.tensor(mine, dtype=torch.float32, device=self.accelerator.device)
        return [count > 0 for count in self.accelerator.reduce(votes).tolist()]

    def shared(self, mine: float) -> float:
        """The mean of a number over the processes, whose clocks differ: rates that differ would part their weights."""
        if self.accelerator.num_processes == 1:
            return mine
        return self.accelerator.reduce(torch.tensor(mine, device=self.accelerator.device), reduction="mean").item()

    def set_rates(self) -> dict[str, float]:
        """Set this step's learning rates and return them for the log."""
        total = self.total_steps
        progress = self.step / total if total else self.shared(self.seconds / (60 * self.config.max_minutes))
        factor = schedule_factor(self.config.schedule, self.step, progress)
        return {f"lr_{name}": updater.set_factor(factor) for name, updater in self.objective.updaters.items()}

    def dropout_seed(self) -> int:
        """For what torch draws by itself inside a network: a function of the step, like everything else."""
        return stream(self.config.seed, "dropout", self.step, self.accelerator.process_index).initial_seed()

    def write_log(self, rates: dict[str, float], rate: float) -> None:
        means = self.meter.flush(self.accelerator)
        position = {"images": self.step * self.images_per_step, "seconds": round(self.seconds, 2)}
        self.log.write(self.step, {**position, **means, **rates, "images_per_second": rate})
        self.warn(self.alarms.check_losses(self.step, means))

    def draw(self) -> None:
        """The grid of fixed latents, and the collapse alarm on it."""
        require_finite(self.step, self.objective.networks)
        if not self.accelerator.is_main_process:
            return
        images = samples(self.ema.model, self.probe, self.config.samples, self.config.seed)
        path = self.folder / "grids" / f"step-{self.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        save_sheet(images, self.ema.model, path)
        if self.reference is not None:
            self.warn(self.alarms.check_samples(spread(images, len(self.ema.model.class_names) or 1)))

    def assess(self) -> None:
        """Measure the averaged weights and remember the best ones."""
        require_finite(self.step, self.objective.networks)
        if not self.accelerator.is_main_process:
            return
        numbers = self.objective.quality(self.ema.model, self.probe)
        numbers = numbers or measure(self.ema.model, self.probe, self.judge, PROBE, self.reference)
        if "accuracy" in numbers:
            numbers["error_rate"] = 1 - numbers["accuracy"]  # smaller is better, as for the others
        name = next(n for n in QUALITY if n in numbers)
        value = numbers[name]
        self.log.write(self.step, {"quality": value, **self.judged_by, **{f"probe_{k}": v for k, v in numbers.items()}})
        if self.best is None or value < self.best["value"]:
            self.best = {"measure": name, "value": value, "step": self.step}
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.ema.model.state_dict().items()}
        self.warn(self.alarms.check_quality(name, value, self.best["value"]))
        self.warn(self.alarms.check_classes(numbers.get("largest_class_share", 0)))

    def warn(self, messages: list[str]) -> None:
        for message in messages:
            self.log.write(self.step, {"alarm": message})
            self.tell(f"warning: step {self.step}: {message}")

    def tell(self, message: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(message, file=sys.stderr)

    def progress_bar(self) -> tqdm:
        return tqdm(
            total=self.total_steps,
            initial=self.step,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self.accelerator.is_main_process,
            desc=self.config.name,
        )

    # -- checkpoints ----------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write everything that the next step depends on. Order, noise and schedules depend on the step alone."""
        require_finite(self.step, self.objective.networks)
        meter = self.meter.reduce(self.accelerator)
        if self.accelerator.is_main_process:
            tensors = {}
            for name, network in self.objective.networks.items():
                tensors |= {f"{name}.{k}": v for k, v in network.state_dict().items()}
                optimizer = self.objective.updaters[name].optimizer.optimizer
                tensors |= flatten_optimizer(optimizer, f"optimizer_{name}")
            tensors |= {f"ema.{k}": v for k, v in self.ema.model.state_dict().items()}
            tensors |= {f"best.{k}": v for k, v in self.best_weights.items()}
            record: dict[str, Any] = {"seconds": self.seconds, "best": self.best, "meter": meter}
            record |= {"alarm": self.alarms.won, "images_per_step": self.images_per_step, "data": self.data_terms()}
            if self.accelerator.scaler is not None:
                record["scaler"] = self.accelerator.scaler.state_dict()
            self.checkpoints.save(self.step, tensors, record)
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Continue from the newest checkpoint, or from the start where there is none."""
        found = self.checkpoints.load_newest()
        if found is not None:
            self.restore(*found)
        if self.accelerator.is_main_process:
            self.checkpoints.drop_after(self.step)
            self.log.truncate(self.step)
        self.accelerator.wait_for_everyone()

    def data_terms(self) -> dict[str, Any]:
        """What a copy of the data has in common with it: whoever continues on other data continues nothing."""
        count = len(self.data) if isinstance(self.data, ImageSet) else None
        return {"images": count, "class_names": list(self.data.class_names)}

    def restore(self, tensors: dict[str, torch.Tensor], record: dict[str, Any]) -> None:
        if record["images_per_step"] != self.images_per_step:
            raise ConfigError(
                f"batch_size: this run made steps of {record['images_per_step']} images, now they would have "
                f"{self.images_per_step}; a resumed run keeps processes × batch_size"
            )
        was, now = record.get("data", self.data_terms()), self.data_terms()  # older checkpoints do not say it
        if differing := [key for key in now if was[key] != now[key]]:
            raise ConfigError(
                f"--dataset: {self.data.source} differs in {', '.join(differing)} from what this run was trained on; "
                "give a copy of that, or start a new run without --resume"
            )
        for name, network in self.objective.networks.items():
            network.load_state_dict(below(tensors, name))
            restore_optimizer(self.objective.updaters[name].optimizer.optimizer, f"optimizer_{name}", tensors)
        self.ema.model.load_state_dict(below(tensors, "ema"))
        self.best_weights, self.best = below(tensors, "best"), record["best"]
        self.step, self.seconds = record["step"], record["seconds"]
        self.meter = Meter(**record["meter"])
        self.alarms.won = record["alarm"]
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(record["scaler"])
