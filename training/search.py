"""Search for the batch size, learning rate and length of training of a recipe: experiment 8 of the MNIST GAN study.

    python training/search.py --dataset FOLDER --output FOLDER --trials 20 --images 300000

Each trial is a run that is assessed six times per ``--images``; one that is worse than the median of the others after
as many images is pruned (Akiba et al., 2019). Stopped or killed, the same command continues, the trial at hand from its
last checkpoint. ``OUTPUT/best.yaml`` is the best recipe found, ``OUTPUT/trials.json`` holds all trials. A search ends
early where as many trials diverge as it shall have.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])
# Read when torch is imported: threads that spin for milliseconds while they wait crawl where others share the cores.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import yaml
from accelerate import Accelerator

from genhub.models.latent import check_seed
from training.alarms import Diverged
from training.checkpoints import CheckpointError, write_text
from training.command import exit_status
from training.config import parse_config, read_recipe
from training.model_records import read_json
from training.process import set_threads
from training.results import read_log
from training.run import Run, first_image
from training.settings import ConfigError, TrainConfig, make_folder, to_yaml
from training.study import alone

if TYPE_CHECKING:
    import optuna

RECIPE = "mnist/experiment-8"
ASSESSMENTS = 6  # per full budget
BATCH_SIZES = (32, 64, 128, 256)
LEARNING_RATES = (5e-5, 2e-3)  # of both networks
LENGTHS = (1 / 3, 2 / 3, 1.0)  # shares of the full budget
UNPRUNED = 4  # trials before the first may be pruned


class Pruned(Exception):
    """A trial is not worth going on with."""


class TrialRun(Run):
    """A run that tells a trial how good it is at each assessment. Raises Pruned where the trial is hopeless."""

    def __init__(self, config: TrainConfig, folder: Path, trial: optuna.Trial, images: int) -> None:
        super().__init__(config, Accelerator(mixed_precision=config.mixed_precision), folder)
        self.trial, self.interval = trial, images / ASSESSMENTS
        self.reported: set[int] = set()

    def assess(self) -> None:
        super().assess()
        self.report(self.step, self.best["value"])
        if self.trial.should_prune():
            raise Pruned

    def resume(self) -> None:
        super().resume()
        best = math.inf
        for line in read_log(self.folder / "log.jsonl"):
            if "quality" in line:
                best = min(best, line["quality"])
                self.report(line["step"], best)

    def report(self, step: int, value: float) -> None:
        """Tell the best quality after ``step``; trials are compared after as many images, whatever their batches."""
        place = round(step * self.images_per_step / self.interval)
        if place not in self.reported:
            self.reported.add(place)
            self.trial.report(value, place)


def check_terms(options: argparse.Namespace) -> None:
    """Write down what the search is of, or raise ConfigError where its folder holds another one."""
    terms = {key: getattr(options, key) for key in ("recipe", "images", "dataset", "seed")}
    path = options.output / "search.json"
    found = read_json(path) if path.is_file() else terms
    for key, value in terms.items():
        if found.get(key) != value:
            raise ConfigError(
                f"--{key}: {options.output} holds a search with {found.get(key)}, got {value}; "
                "give the same, or another --output"
            )
    write_text(path, json.dumps(terms, indent=2) + "\n")


def open_search(folder: Path, recipe: str, own: TrainConfig, seed: int) -> optuna.Study:
    """The search kept in ``folder``, or a new one that begins with the recipe's own values.

    Trials that a killed search left are put first, to be continued.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    search = optuna.create_study(study_name=recipe, storage=storage, direction="minimize", load_if_exists=True)
    search.sampler = optuna.samplers.TPESampler(seed=seed + len(search.trials))  # not the same draws once more
    search.pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED)
    if not search.trials:
        search.enqueue_trial({"batch_size": own.batch_size, "lr": own.optimizer.lr, "length": 1.0})
    for trial in search.trials:
        if trial.state == optuna.trial.TrialState.RUNNING:
            search.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            search.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
    return search


def suggested(trial: optuna.Trial, own: TrainConfig, options: argparse.Namespace) -> TrainConfig:
    """The config of a trial: its recipe's own values are among those that are tried. Raises ConfigError."""
    batch_size = trial.suggest_categorical("batch_size", sorted({*BATCH_SIZES, own.batch_size}))
    rates = *LEARNING_RATES, own.optimizer.lr
    lr = trial.suggest_float("lr", min(rates), max(rates), log=True)
    images = round(trial.suggest_categorical("length", LENGTHS) * options.images)
    changes = {
        "name": "trial",
        "batch_size": batch_size,
        **rates_of(own, lr),
        "max_images": images,
        "max_steps": None,
        "max_minutes": None,
        "checkpoint_every": max(1, round(options.images / ASSESSMENTS / batch_size)),
        "seed": options.seed,
    } | ({"dataset": options.dataset} if options.dataset else {})
    path = options.output / "trial.yaml"
    write_text(path, yaml.safe_dump({"base": options.recipe, "description": "A trial.", **changes}))
    return parse_config(read_recipe(str(path)))


def rates_of(own: TrainConfig, lr: float) -> dict[str, dict[str, float]]:
    """The learning rate for each network that the recipe trains."""
    names = ("optimizer", "discriminator_optimizer") if own.discriminator else ("optimizer",)
    return {name: {"lr": lr} for name in names}


def run_trial(trial: optuna.Trial, own: TrainConfig, options: argparse.Namespace) -> tuple[str, float | None]:
    """Run or continue one trial; its state ("complete", "pruned", "failed", "stopped") and its best quality."""
    config = suggested(trial, own, options)
    name = trial.user_attrs.get("folder", f"trial-{trial.number:03d}")
    trial.set_user_attr("folder", name)
    folder = options.output / name
    set_threads(config)
    run = TrialRun(config, folder, trial, options.images)
    try:
        if (folder / "config.yaml").is_file():
            run.resume()
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "config.yaml", to_yaml(config))
        return ("complete", run.best["value"]) if run.train() else ("stopped", None)
    except Pruned:
        return "pruned", run.best["value"]
    except Diverged as error:
        print(f"trial {trial.number}: {error}", file=sys.stderr)
        return "failed", None


def search_all(options: argparse.Namespace) -> bool:
    """Run trials until there are ``options.trials``, or as many failed. False if the user interrupts.

    Raises ConfigError.
    """
    import optuna

    states = optuna.trial.TrialState
    endings = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
    own, failed = parse_config(read_recipe(options.recipe)), 0
    search = open_search(options.output, options.recipe, own, options.seed)
    while sum(trial.state in (states.COMPLETE, states.PRUNED) for trial in search.trials) < options.trials:
        if failed == options.trials:
            if any(trial.state == states.COMPLETE for trial in search.trials):
                write_results(search, options)
            raise ConfigError(f"--recipe: {failed} trials of {options.recipe} diverged; search another one")
        trial = search.ask()
        state, value = run_trial(trial, own, options)
        failed += state == "failed"
        if state == "stopped":
            return False
        search.tell(trial, value if state == "complete" else None, state=endings[state])
        shown = "" if value is None else f", {value:.4g}"
        print(f"trial {trial.number}: {state}{shown}, {describe(trial.params)}", flush=True)
    write_results(search, options)
    return True


def describe(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in parameters.items())


def write_results(search: optuna.Study, options: argparse.Namespace) -> None:
    """``trials.json``, and ``best.yaml``: a recipe that extends the one that was searched."""
    last = {t.user_attrs.get("folder", t.number): t for t in search.trials if t.params}  # of one that was continued
    trials = [{"number": t.number, "state": t.state.name.lower(), "value": t.value, **t.params} for t in last.values()]
    tried = sum(trial["state"] != "fail" for trial in trials)
    write_text(options.output / "trials.json", json.dumps(trials, indent=2) + "\n")
    best = search.best_trial
    own = read_recipe(options.recipe)
    recipe = {
        "base": options.recipe,
        "name": f"{own['name']}-found",
        "description": f"The best of {tried} trials of a search over batch size, learning rate and length of "
        f"training, up to {options.images:,} images, from {options.recipe}.",
        "batch_size": best.params["batch_size"],
        "max_images": round(best.params["length"] * options.images),
        **rates_of(parse_config(own), best.params["lr"]),
    }
    write_text(options.output / "best.yaml", yaml.safe_dump(recipe, sort_keys=False))
    print(f"best: {best.value:.4g}, {describe(best.params)}; {options.output / 'best.yaml'} is its recipe")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default=RECIPE, help=f"what is searched; {RECIPE} by default")
    parser.add_argument("--trials", type=int, default=20, help="complete and pruned ones")
    parser.add_argument("--images", type=int, required=True, help="longest training of a trial, in images seen")
    parser.add_argument("--dataset", help="read instead of the recipe's own; a folder or a Hub id")
    parser.add_argument("--output", type=Path, required=True, help="where trials lie")
    parser.add_argument("--seed", type=int, default=0, help="of every trial, and of the search")
    options = parser.parse_args(argv)
    try:
        for name in ("trials", "images"):
            if getattr(options, name) < 1:
                raise ConfigError(f"--{name}: expected at least 1, got {getattr(options, name)}")
        check_seed(options.seed, "--seed")
        first_image(parse_config(read_recipe(options.recipe)), options.dataset)  # nothing is written where none is
        make_folder(options.output, "--output")
        with alone(options.output):
            check_terms(options)
            return 0 if search_all(options) else 130
    except (ValueError, CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(exit_status(main, "the same command continues"))
