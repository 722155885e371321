"""Train a model: ``accelerate launch training/train.py [--recipe NAME] [--dataset SOURCE] [overrides]``.

Without arguments it trains a conditional GAN on the embedded digits in about a minute. ``--resume`` continues a run
that was stopped or killed, exactly; ``--dry-run`` builds everything, makes no update and writes nothing. Any key of the
recipe is an option: ``--max-steps 20``, ``--optimizer.lr 1e-3``, ``--data.flip true``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import platform
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: the project's root is where training/ lies
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import accelerate
import torch
import yaml
from accelerate import Accelerator
from tqdm import tqdm

import genhub
from genhub.data import ImageSet, StreamedSet, load_images
from genhub.errors import DataError
from genhub.images import save_png
from genhub.metrics import Statistics, features
from genhub.models import GenHubDiscriminator, GenHubModel
from genhub.models.base import CLASSES
from training.alarms import Alarms, Diverged
from training.batches import Batches, Noise, stream
from training.checkpoints import Checkpoints, flatten_optimizer, restore_optimizer, write_folder
from training.config import DEFAULT_RECIPE, ConfigError, TrainConfig, parse_config, read_recipe
from training.distributed import synchronize_batch_norm
from training.ema import EMA
from training.evaluate import SAMPLES, evaluate, find_judge, hardware, measure
from training.objectives import OBJECTIVES
from training.optimization import schedule_factor
from training.records import Log, Meter, samples, sheet, spread

PROBE = 2000  # held-out images, and samples, behind the quality of a checkpoint


class Run:
    """One training run: what it is made of, its loop, and its folder.

    The folder holds ``config.yaml`` (everything resolved), ``log.jsonl``, ``grids/``, ``checkpoints/`` (the newest,
    with the best weights so far in it), ``summary.json``, ``metrics.json`` and ``final/``, which is what is published.
    """

    def __init__(self, config: TrainConfig, accelerator: Accelerator, folder: Path) -> None:
        self.config, self.accelerator, self.folder = config, accelerator, folder
        options = {k: v for k, v in dataclasses.asdict(config.data).items() if k not in ("flip", "rotate", "shift")}
        self.data = load_images(config.dataset, **options)
        self.probe = self.load_probe()
        self.batches = Batches(
            self.data,
            config.batch_size // config.accumulation,
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
        self.images_per_step = config.batch_size * accelerator.num_processes * config.objective.critic_steps
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.log = Log(folder / "log.jsonl", accelerator)
        self.meter = Meter()
        self.judge = find_judge(self.data.name, self.data.image_shape) if self.is_judged() else None
        self.reference = Statistics.of(features(self.probe.images, self.judge))
        self.alarms = Alarms(spread(self.probe.images))
        self.step, self.seconds, self.best = 0, 0.0, None
        self.best_weights: dict[str, torch.Tensor] = {}

    # -- building -------------------------------------------------------------------------------------------------

    def load_probe(self) -> ImageSet:
        """Held-out images that quality is measured on; a set without a test split lends some of its own."""
        config = self.config.data
        channels, size, _ = self.data.image_shape
        options = {"image_column": config.image_column, "label_column": config.label_column}
        options |= {"image_size": size, "channels": channels, "limit": PROBE}
        try:
            return load_images(self.config.dataset, split="test", **options)
        except DataError:
            return load_images(self.config.dataset, split=config.split, **options)

    def is_judged(self) -> bool:
        return self.config.objective.type not in ("autoencoder", "classifier")

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
    def steps_per_epoch(self) -> int | None:
        if self.batches.per_epoch is None:
            return None
        return max(1, self.batches.per_epoch // self.objective.batches_per_update)

    # -- the loop -------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Update until the budget is used up or the user interrupts; log, draw and checkpoint on the way."""
        config, total = self.config, self.total_steps
        started = time.monotonic() - self.seconds
        logged_at, logged_step = self.seconds, self.step
        bar = tqdm(
            total=total,
            initial=self.step,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30,
            disable=not self.accelerator.is_main_process,
            desc=config.name,
        )
        with bar, interruption() as interrupted:
            while not self.done():
                rates = self.set_rates()
                torch.manual_seed(
                    stream(config.seed, "dropout", self.step, self.accelerator.process_index).initial_seed()
                )
                noise = Noise(
                    config.seed, self.step, self.batches.size, self.accelerator.process_index,
                    self.accelerator.num_processes, self.accelerator.device,
                )  # fmt: skip
                self.meter.add(self.objective.update(self.batches, self.step, noise))
                self.step += 1
                self.ema.update(self.objective.model, self.step)
                self.seconds = time.monotonic() - started
                bar.update()

                if self.step % config.log_every == 0:
                    rate = (self.step - logged_step) * self.images_per_step / max(1e-9, self.seconds - logged_at)
                    logged_at, logged_step = self.seconds, self.step
                    self.write_log(rates, rate)
                    bar.set_postfix_str(f"{rate:.0f} images/s")
                if self.steps_per_epoch and self.step % self.steps_per_epoch == 0:
                    self.draw(self.step // self.steps_per_epoch)
                stop = self.agreed(interrupted.is_set() or self.out_of_time())
                if self.step % config.checkpoint_every == 0 or self.step == total or stop:
                    self.assess()
                    self.save()
                if stop:
                    break
        if interrupted.is_set():
            raise KeyboardInterrupt

    def done(self) -> bool:
        return (self.total_steps is not None and self.step >= self.total_steps) or self.agreed(self.out_of_time())

    def out_of_time(self) -> bool:
        return bool(self.config.max_minutes) and self.seconds >= 60 * self.config.max_minutes

    def agreed(self, mine: bool) -> bool:
        """Whether any process says so: clocks and signals differ between processes, steps must not."""
        if self.accelerator.num_processes == 1:
            return mine
        votes = self.accelerator.reduce(torch.tensor(float(mine), device=self.accelerator.device))
        return votes.item() > 0

    def set_rates(self) -> dict[str, float]:
        """Set this step's learning rates and return them for the log."""
        total = self.total_steps
        progress = self.step / total if total else self.seconds / (60 * self.config.max_minutes)
        factor = schedule_factor(self.config.schedule, self.step, progress)
        updaters = self.objective.updaters
        return {f"lr_{name}": updater.set_factor(factor) for name, updater in updaters.items()}

    def write_log(self, rates: dict[str, float], rate: float) -> None:
        means = self.meter.flush(self.accelerator)
        position = {"images": self.step * self.images_per_step, "seconds": round(self.seconds, 2)}
        self.log.write(self.step, {**position, **means, **rates, "images_per_second": rate})
        self.warn(self.alarms.check_losses(self.step, means))

    def draw(self, epoch: int) -> None:
        """The grid of fixed latents after an epoch, and the collapse alarm on it."""
        if not self.accelerator.is_main_process:
            return
        images = samples(self.ema.model, self.probe, self.config.samples, self.config.seed)
        path = self.folder / "grids" / f"epoch-{epoch:04d}.png"
        path.parent.mkdir(exist_ok=True)
        save_png(sheet(images, self.ema.model), path)
        if self.config.objective.type in ("adversarial", "vae_gan", "vae"):
            self.warn(self.alarms.check_samples(spread(images)))

    def assess(self) -> None:
        """Measure the averaged weights and remember the best ones."""
        numbers = measure(self.ema.model, self.probe, self.judge, PROBE, self.reference)
        name = next(n for n in ("frechet_distance", "accuracy", "reconstruction_mse") if n in numbers)
        value = 1 - numbers[name] if name == "accuracy" else numbers[name]
        self.log.write(self.step, {"quality": value, **{f"probe_{k}": v for k, v in numbers.items()}})
        if self.best is None or value < self.best["value"]:
            self.best = {"measure": name, "value": value, "step": self.step}
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.ema.model.state_dict().items()}
        self.warn(self.alarms.check_quality(name, value, self.best["value"]))

    def warn(self, messages: list[str]) -> None:
        for message in messages:
            self.log.write(self.step, {"alarm": message})
            if self.accelerator.is_main_process:
                tqdm.write(f"warning: step {self.step}: {message}", file=sys.stderr)

    # -- checkpoints ----------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write everything that the next step depends on. Order, noise and schedules depend on the step alone."""
        if self.accelerator.is_main_process and self.step not in self.checkpoints.steps():
            tensors = {}
            for name, network in self.objective.networks.items():
                tensors |= {f"{name}.{k}": v for k, v in network.state_dict().items()}
                optimizer = self.objective.updaters[name].optimizer.optimizer
                tensors |= flatten_optimizer(optimizer, f"optimizer_{name}")
            tensors |= {f"ema.{k}": v for k, v in self.ema.model.state_dict().items()}
            tensors |= {f"best.{k}": v for k, v in self.best_weights.items()}
            record: dict[str, Any] = {"seconds": self.seconds, "best": self.best, "meter": self.meter.state()}
            record["alarm"] = self.alarms.won
            if self.accelerator.scaler is not None:
                record["scaler"] = self.accelerator.scaler.state_dict()
            self.checkpoints.save(self.step, tensors, record)
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Continue from the newest checkpoint, or from the start where there is none."""
        found = self.checkpoints.load_newest()
        if found is None:
            self.log.truncate(0)
            return
        tensors, record = found
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
        if self.accelerator.is_main_process:
            self.log.truncate(self.step)

    # -- the end --------------------------------------------------------------------------------------------------

    def finish(self) -> Path:
        """Write ``summary.json``, ``metrics.json`` and ``final/`` from the best weights; return ``final/``."""
        from training.cards import render_card

        model = self.ema.model
        model.load_state_dict(self.best_weights)
        model.metadata = {"name": self.config.name, "dataset": self.data.name, "source": self.config.dataset}
        channels, size, _ = self.data.image_shape
        try:
            test = load_images(self.config.dataset, split="test", image_size=size, channels=channels)
        except DataError:
            test = self.probe
        summary = self.summary()
        (self.folder / "summary.json").write_text(to_json(summary), encoding="utf-8")

        def write(folder: Path) -> None:
            if self.objective.discriminator is not None:
                critic = self.objective.discriminator
                critic.metadata = {**model.metadata, "name": f"{self.config.name}/discriminator"}
                critic.save_pretrained(folder / "discriminator")
                (folder / "discriminator" / "README.md").unlink()
            model.save_pretrained(folder)
            saved = GenHubModel.from_pretrained(folder)  # measured as published, half precision included
            evaluate(folder, saved, test, SAMPLES, "ema" if self.config.ema else "raw")
            images = samples(saved, test, self.config.samples, self.config.seed)
            save_png(sheet(images, saved), folder / "samples.png", scale=2 if size < 48 else 1)
            shutil.copyfile(self.folder / "log.jsonl", folder / "training_log.jsonl")
            shutil.copyfile(self.folder / "config.yaml", folder / "training_config.yaml")
            (folder / "training_summary.json").write_text(to_json(summary), encoding="utf-8")
            (folder / "README.md").write_text(render_card(folder), encoding="utf-8")

        write_folder(self.folder / "final", write)
        shutil.copyfile(self.folder / "final" / "metrics.json", self.folder / "metrics.json")
        return self.folder / "final"

    def summary(self) -> dict[str, Any]:
        return {
            "name": self.config.name,
            "description": self.config.description,
            "dataset": self.data.name,
            "steps": self.step,
            "images_seen": self.step * self.images_per_step,
            "train_seconds": round(self.seconds, 1),
            "images_per_second": round(self.step * self.images_per_step / max(1e-9, self.seconds), 1),
            "best": self.best,
            "parameters": {name: sum(p.numel() for p in n.parameters()) for name, n in self.objective.networks.items()},
            "weights": "ema" if self.config.ema else "raw",
            "hardware": hardware(),
            "processes": self.accelerator.num_processes,
            "mixed_precision": self.config.mixed_precision,
            "versions": {
                "genhub": genhub.__version__,
                "torch": torch.__version__,
                "accelerate": accelerate.__version__,
                "python": platform.python_version(),
            },
            "date": datetime.date.today().isoformat(),
        }


def build_networks(config: TrainConfig, data: ImageSet | StreamedSet) -> tuple[GenHubModel, GenHubDiscriminator | None]:
    """The model and, for adversarial objectives, its discriminator, with weights drawn. Raises ConfigError."""
    channels, size, _ = data.image_shape
    arguments = dict(config.model)
    model_class = CLASSES[arguments.pop("class")]
    shared = {"image_size": size, "channels": channels}
    conditional = model_class.__name__ in ("GenHubCGAN", "GenHubClassifier") or reads_label(arguments)
    if (conditional or reads_label(config.discriminator)) and not data.class_names:
        raise ConfigError(
            f"dataset: {data.source} has no labels, and this model is conditional; "
            "name the column with --data.label_column, or choose an unconditional recipe"
        )
    try:
        model = model_class(**arguments, **shared, **({"class_names": data.class_names} if conditional else {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model: {error}") from error
    model.initialize(config.init, config.init_std)
    if config.discriminator is None:
        return model, None
    names = data.class_names if reads_label(config.discriminator) else None
    try:
        discriminator = GenHubDiscriminator(**config.discriminator, **shared, class_names=names)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"discriminator: {error}") from error
    discriminator.initialize(config.init, config.init_std)
    return model, discriminator


def reads_label(value: Any) -> bool:
    """Whether any row below, however deep, reads the label."""
    if isinstance(value, dict):
        own = value.get("op") in ("label", "projection") or value.get("norm") == "conditional_batch"
        return own or any(map(reads_label, value.values()))
    return isinstance(value, list) and any(map(reads_label, value))


def below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


def to_json(record: dict[str, Any]) -> str:

    return json.dumps(record, indent=2) + "\n"


class interruption(contextlib.AbstractContextManager):
    """Turns Ctrl-C and SIGTERM into a flag, so that a run ends between two steps with a checkpoint."""

    def __enter__(self) -> interruption:
        self.flag = False
        self.previous = {s: signal.signal(s, self.raise_flag) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def raise_flag(self, *_: object) -> None:
        self.flag = True

    def is_set(self) -> bool:
        return self.flag

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


def find_run(config: TrainConfig, resume: str | None) -> Path:
    """The folder of a run: a new one, numbered where the name is taken, or the newest of that name to resume."""
    parent = Path(config.output_dir)
    if resume is None:
        numbered = (parent / (config.name if i == 1 else f"{config.name}-{i}") for i in range(1, 100_000))
        return next(path for path in numbered if not path.exists())
    runs = [p for p in parent.glob(f"{config.name}*") if (p / "config.yaml").is_file()]
    runs = [p for p in runs if p.name.removeprefix(config.name).removeprefix("-").isdecimal() or p.name == config.name]
    if not runs:
        raise ConfigError(f"--resume: no run named {config.name!r} in {parent}/; leave --resume out to start one")
    return max(runs, key=lambda path: (path / "config.yaml").stat().st_mtime)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", help=f"name in training/recipes or a YAML file; {DEFAULT_RECIPE} by default")
    parser.add_argument(
        "--resume", nargs="?", const="", metavar="RUN", help="continue RUN, or the newest of the recipe"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything, train nothing, write nothing")
    options, overrides = parser.parse_known_args(argv)
    try:
        return train(options, overrides)
    except (ConfigError, DataError, Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def train(options: argparse.Namespace, overrides: list[str]) -> int:
    if options.resume:
        saved = Path(options.resume) / "config.yaml"
        if not saved.is_file():
            raise ConfigError(f"--resume: {options.resume} is no run folder: it has no config.yaml")
        config, folder = parse_config(read_recipe(str(saved)), overrides), Path(options.resume)
    else:
        config = parse_config(read_recipe(options.recipe or DEFAULT_RECIPE), overrides)
        folder = find_run(config, options.resume)
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        log_with=config.trackers or None,
        project_dir=folder,
        gradient_accumulation_steps=1,  # parts of a batch are averaged by the objectives
    )
    run = Run(config, accelerator, folder)
    main_process = accelerator.is_main_process
    parameters = ", ".join(
        f"{n}: {sum(p.numel() for p in m.parameters()):,}" for n, m in run.objective.networks.items()
    )
    if main_process:
        print(f"{config.name}: {len_of(run.data)} images of {run.data.source}, parameters of {parameters}")
        print(f"budget: {run.total_steps or '–'} steps of {run.images_per_step} images on {accelerator.device}")
    if options.dry_run:
        return 0
    if main_process:
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
    accelerator.wait_for_everyone()
    if config.trackers:
        accelerator.init_trackers("genhub")
    if options.resume is not None:
        run.resume()
    try:
        run.train()
    except KeyboardInterrupt:
        if main_process:
            print(f"stopped at step {run.step}; continue with: --resume {folder}", file=sys.stderr)
        return 130
    finally:
        accelerator.end_training()
    if main_process:
        final = run.finish()
        print(f"done: {final}")
        print(f"publish it: python training/publish.py {folder} --repo-id USER/{config.name}")
    return 0


def len_of(data: ImageSet | StreamedSet) -> str:
    return str(len(data)) if isinstance(data, ImageSet) else "streamed"


if __name__ == "__main__":
    sys.exit(main())
