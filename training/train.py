"""Train a model: ``accelerate launch training/train.py [--recipe NAME] [--dataset SOURCE] [overrides]``.

Without arguments it trains a conditional GAN on the embedded digits in about a minute. ``--resume`` continues a run
that was stopped or killed, exactly; ``--dry-run`` builds everything, makes no update and writes nothing. Any key of the
recipe is an option: ``--max-steps 20``, ``--optimizer.lr 1e-3``, ``--data.flip true``. The loop is in training/run.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
# Read when torch is imported: threads that spin for milliseconds while they wait crawl where others share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from genhub.data import ImageSet
from genhub.errors import DataError, LoadError
from training.alarms import Diverged
from training.checkpoints import CheckpointError, write_text
from training.command import exit_status
from training.config import DEFAULT_RECIPE, recipe_names
from training.finish import finish
from training.folders import choose_run, claimed
from training.launch import start_missing_processes
from training.process import set_threads
from training.run import Run
from training.selection import record_outliers
from training.settings import ConfigError, TrainConfig, to_yaml


def train(options: argparse.Namespace, overrides: list[str]) -> int:
    """Set up, train and finish one run; the exit code."""
    config, folder = choose_run(options.recipe, options.resume, overrides)
    set_threads(config)
    if options.dry_run or os.environ.get("RANK", "0") != "0":
        return train_in(folder, config, options)
    with claimed(config, None if options.resume is None else folder) as folder:
        try:
            return train_in(folder, config, options)
        except KeyboardInterrupt:  # before or after the loop, which ends by itself
            begun = (folder / "config.yaml").is_file()
            raise KeyboardInterrupt(f"continue with: --resume {folder}" if begun else "") from None


def train_in(folder: Path, config: TrainConfig, options: argparse.Namespace) -> int:
    """The same in the folder that the main process holds, which is the one that counts."""
    try:
        accelerator = Accelerator(
            mixed_precision=config.mixed_precision, log_with=config.trackers or None, project_dir=folder
        )
    except ValueError as error:  # such as a tracker that is not installed
        raise ConfigError(f"mixed_precision, trackers: {error}") from error
    (folder,) = broadcast_object_list([folder])
    run = Run(config, accelerator, folder)
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in run.objective.networks.items()}
    size = len(run.data) if isinstance(run.data, ImageSet) else "streamed"
    accelerator.print(f"{config.name}: {size} images of {run.data.source}")
    accelerator.print("parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    budget = f"{run.total_steps} steps" if run.total_steps else f"{config.max_minutes:g} minutes, steps"
    accelerator.print(f"budget: {budget} of {run.images_per_step} images on {accelerator.device.type}")
    if options.dry_run:
        return 0
    if options.resume is not None:
        run.resume()  # before anything is written: what a run refuses must not stay in its config
    if accelerator.is_main_process:
        write_text(folder / "config.yaml", to_yaml(config))
        if run.outliers:
            record_outliers(run.outliers, config.data, folder)
    accelerator.wait_for_everyone()
    if config.trackers:
        accelerator.init_trackers("genhub", init_kwargs={"trackio": {"name": folder.name, "resume": "allow"}})
    try:
        finished = run.train()
    finally:
        accelerator.end_training()
    if not finished:
        run.tell(f"stopped at step {run.step}; continue with: --resume {folder}")
        return 130
    if accelerator.is_main_process:
        final = finish(run)
        print(f"best: {run.best['measure']} {run.best['value']:.4g} at step {run.best['step']}")
        print(f"done: {final} holds the model, its card and samples.png")
        print(f"publish it: python training/publish.py {folder} --repo-id USER/{config.name}")
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"recipes: {', '.join(recipe_names())}. "
        f"recipe keys: {', '.join(field.name for field in dataclasses.fields(TrainConfig))}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--recipe", help=f"name in training/recipes or a YAML file; {DEFAULT_RECIPE} by default")
    parser.add_argument(
        "--resume", nargs="?", const="", metavar="RUN", help="continue RUN, or the newest of the recipe"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything, train nothing, write nothing")
    options, overrides = parser.parse_known_args(argv)
    try:
        if argv is None:  # from the command line
            start_missing_processes()
        return train(options, overrides)
    except (ConfigError, DataError, LoadError, Diverged, CheckpointError, OSError) as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(exit_status(main))
