"""Train a list of systems at one budget and set them side by side.

    python training/study.py cifar10 --images 300000 --dataset FOLDER --output FOLDER

trains every recipe of training/recipes/cifar10 on the same number of images seen, the cheapest first, each by the
ordinary training command in a process of its own. Stopped or killed, the same command continues where it was; finished
runs are skipped, a row that fails is shown with its reason and tried again next time. Options after ``--`` go to
training/train.py: ``-- --mixed-precision bf16``.

OUTPUT holds what is worth keeping: the result of every finished run (see training/results.py), and ``table.md``,
``.csv`` and ``.json``, written anew after every run. The run folders lie in OUTPUT/runs or where ``--runs`` says; a
study goes on without those of finished runs.

    python training/study.py --table --output FOLDER             the tables and pictures of what there is so far
    python training/study.py --evaluate-only --output FOLDER     measure the runs that are here, floor and ceiling anew
    python training/study.py --contact-sheets cgan-cifar10 --output FOLDER    1,000 images, and 100 of each class
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: import from the root, not from this folder, whose names hide other packages
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from joblib import cpu_count

from genhub.data import short_name
from genhub.errors import DataError, LoadError, nearest
from training.checkpoints import write_text
from training.command import exit_status
from training.config import parse_config, read_recipe, recipe_names
from training.costs import step_flops
from training.folders import LOCK
from training.pictures import contact_sheets, draw_study
from training.process import interruption
from training.results import write_result
from training.run import first_image
from training.settings import ConfigError, TrainConfig, make_folder
from training.tables import BOUNDS, read_study, write_tables

ROOT = Path(__file__).resolve().parents[1]
STUDIED = ("autoencoder", "vae", "vae_gan", "adversarial")  # objectives of what the name of a folder stands for
ASSESSMENTS = 6  # per run: each costs 2,000 images and their features
LOG_LINES = 100  # per run, at least, as far as there are steps


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One recipe with one seed, and where its run lies."""

    recipe: str
    seed: int
    config: TrainConfig
    flops: float  # per image seen
    output: Path
    runs: Path

    @property
    def folder(self) -> Path:
        return self.runs / f"seed-{self.seed}" / self.config.name

    @property
    def result(self) -> Path:
        return self.output / f"seed-{self.seed}" / f"{self.config.name}.json"

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def failure(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.failed")

    @property
    def title(self) -> str:
        return f"{self.recipe}, seed {self.seed}"

    @property
    def trained(self) -> bool:
        return (self.folder / "metrics.json").is_file()


def choose_recipes(names: list[str]) -> list[str]:
    """Recipes by name; that of a folder stands for all of ``STUDIED`` in it that begin with nothing but its images.

    Raises ConfigError.
    """
    known = recipe_names()
    folders = sorted({name.split("/")[0] for name in known})
    chosen: dict[str, None] = {}
    for name in names:
        if name in folders:
            inside = [n for n in known if n.startswith(f"{name}/")]
            chosen |= dict.fromkeys(n for n in inside if from_images_alone(read_recipe(n)))
        elif name in known or name.endswith((".yaml", ".yml")):
            chosen[name] = None
        else:
            raise ConfigError(f"{name}: no such recipe or folder of recipes; {nearest(name, [*folders, *known])}")
    return list(chosen)


def from_images_alone(recipe: Mapping[str, Any]) -> bool:
    """Whether a budget counted in images is all that a recipe is given, and all classes.

    No trained network starts or guides it; one may say which images to leave out.
    """
    guided = recipe.get("init_from") or recipe.get("discriminator", {}).get("guide")
    whole = not recipe.get("data", {}).get("exclude_classes")
    return recipe["objective"]["type"] in STUDIED and whole and not guided


def plan(options: argparse.Namespace, overrides: list[str]) -> list[Job]:
    """All jobs, one seed after the other, the cheapest recipes first, and the study's terms in its folder.

    Raises ConfigError where the study was begun on other terms, DataError.
    """
    configs = {name: parse_config(read_recipe(name), overrides) for name in options.names}
    dataset = options.dataset or next(iter(configs.values())).dataset
    called = [config.name for config in configs.values()]
    for name, config in configs.items():
        if called.count(config.name) > 1:
            raise ConfigError(f"{name}: another recipe of the study is called {config.name}, too; rename one")
        if short_name(config.dataset) != short_name(next(iter(configs.values())).dataset):
            raise ConfigError(f"{name}: is a recipe for {config.dataset}; a study is of one dataset")
    terms = {"images": options.images, "overrides": overrides}
    path = options.output / "study.json"
    study = read_study(options.output) if path.is_file() else {**terms, "systems": {}}
    for key, value in terms.items():
        if study.get(key) != value:
            raise ConfigError(f"--output: {options.output} holds a study of {key} {study.get(key)}, not {value}")
    for name, config in configs.items():
        for system, facts in study["systems"].items():
            if facts["name"] == config.name and system != name:
                raise ConfigError(f"{name}: {system} of this study is called {config.name}, too; rename one")
        if name not in study["systems"]:
            flops = step_flops(config, first_image(config, dataset))
            study["systems"][name] = {"name": config.name, "flops": flops}
    write_text(path, json.dumps(study, indent=2) + "\n")
    flops = {name: study["systems"][name]["flops"] for name in configs}
    order = sorted(configs, key=lambda name: (flops[name], name))
    places = options.output, options.runs
    return [Job(name, seed, configs[name], flops[name], *places) for seed in range(options.seeds) for name in order]


def command(job: Job, options: argparse.Namespace, overrides: list[str]) -> list[str]:
    """The training command of a job: it starts the run, or continues it where there is one."""
    critic_steps = job.config.objective.critic_steps
    steps = math.ceil(options.images / (job.config.batch_size * critic_steps))
    settings = {
        "seed": job.seed,
        "output-dir": job.folder.parent,
        "max-images": options.images,
        "max-steps": "null",
        "max-minutes": "null",
        "checkpoint-every": math.ceil(steps / ASSESSMENTS),
        "log-every": max(1, min(job.config.log_every, steps // LOG_LINES)),
        "threads": max(1, cpu_count() // options.jobs),
    } | ({"dataset": options.dataset} if options.dataset else {})
    started = (job.folder / "config.yaml").is_file()
    what = ["--resume", str(job.folder)] if started else ["--recipe", job.recipe]
    flags = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    return [sys.executable, str(ROOT / "training" / "train.py"), *what, *flags, *overrides]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold a lock on a folder, as a file descriptor that runs inherit: they may outlive a killed study.

    Raises ConfigError where another command, or a run that it left behind, is still at work.
    """
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another command or a run of it is still at work in {folder}; wait") from error
        yield file.fileno()


def start(job: Job, options: argparse.Namespace, overrides: list[str], lock: int) -> subprocess.Popen:
    """Begin or continue a run. Its session is its own, so that Ctrl-C reaches it once, through the study."""
    if job.folder.is_dir() and not (job.folder / "config.yaml").is_file():
        shutil.rmtree(job.folder)  # killed before it was a run; its name would be taken
    job.failure.unlink(missing_ok=True)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("wb") as log:
        return subprocess.Popen(
            command(job, options, overrides),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
        )


def reason(code: int, log: Path) -> str:
    """Why a run failed: the signal that killed it, or how its log ends."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no output"])[-1].removeprefix("error: ")


def fail(job: Job, why: str) -> None:
    write_text(job.failure, why + "\n")
    print(f"{job.title}: failed: {why}", flush=True)


def keep(job: Job) -> bool:
    """Write the result of a trained run. False, and the run has failed, where its files cannot be read."""
    try:
        write_result(job.folder, job.result)
    except (OSError, ValueError) as error:
        fail(job, f"{job.folder}: no result: {error}; delete the folder to train anew")
        return False
    return True


def run_all(jobs: list[Job], options: argparse.Namespace, overrides: list[str], lock: int) -> bool:
    """Run what is not done, ``options.jobs`` at once. False if the user interrupts."""
    for job in jobs:
        if job.trained and not job.result.is_file():  # the study was killed in between
            keep(job)
    waiting = [job for job in jobs if not job.result.is_file()]
    print(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are done, {len(waiting)} to do", flush=True)
    running: dict[Job, tuple[subprocess.Popen, float]] = {}
    with interruption() as interrupted:
        while running or (waiting and not interrupted.is_set()):
            while waiting and len(running) < options.jobs and not interrupted.is_set():
                job = waiting.pop(0)
                running[job] = start(job, options, overrides, lock), time.monotonic()
                print(f"{job.title}: started, {job.flops / 1e9:.3g} GFLOP per image", flush=True)
            if interrupted.is_set():
                for process, _ in running.values():
                    process.terminate()  # it writes a checkpoint and ends
                for process, _ in running.values():
                    process.wait()
            for job, (process, began) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[job]
                minutes = (time.monotonic() - began) / 60
                if job.trained and keep(job):
                    print(f"{job.title}: done after {minutes:.1f} minutes", flush=True)
                elif not job.trained and not interrupted.is_set():
                    fail(job, reason(process.returncode, job.log))
                try:
                    write_tables(options.output, options.runs)
                except (ConfigError, LoadError) as error:  # a table that cannot be made is no reason to train no more
                    print(f"no table: {error}", flush=True)
            time.sleep(0.2)
        return not interrupted.is_set()


def evaluate_all(options: argparse.Namespace) -> None:
    """Measure the finished runs that are here anew, and floor and ceiling, by training/evaluate.py.

    Raises ConfigError.
    """
    systems = read_study(options.output)["systems"]
    dataset = options.dataset or parse_config(read_recipe(next(iter(systems))), []).dataset
    evaluate = [sys.executable, str(ROOT / "training" / "evaluate.py"), "--dataset", dataset]
    folders = [path.parent for path in sorted(options.runs.glob("seed-*/*/metrics.json"))]
    bounds = [[f"--{name}", "--output", str(options.output / name)] for name in BOUNDS]
    finals = [str(folder / "final") for folder in folders]
    for arguments in [*([final, "--output", final] for final in finals), *bounds]:
        done = subprocess.run([*evaluate, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise ConfigError(
                f"evaluate.py {' '.join(arguments)}: {(done.stderr.strip() or 'failed').splitlines()[-1]}"
            )
        print(f"measured {arguments[0]}", flush=True)
    for folder in folders:
        write_result(folder, options.output / folder.parent.name / f"{folder.name}.json")


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The study's own options, and those after ``--``."""
    mine, overrides = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes, or a folder of training/recipes such as cifar10 or mnist")
    parser.add_argument("--images", type=int, help="budget of every run, in images seen")
    parser.add_argument("--dataset", help="read instead of the recipes' own; a folder or a Hub id")
    parser.add_argument("--output", type=Path, required=True, help="where results, tables and pictures lie")
    parser.add_argument("--runs", type=Path, help="where the run folders lie; OUTPUT/runs unless given")
    parser.add_argument("--seeds", type=int, default=1, help="runs per recipe, with seeds 0, 1, …")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; fastest is one for each core")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--table", action="store_true", help="train nothing, write tables and pictures")
    instead.add_argument("--evaluate-only", action="store_true", help="train nothing, measure finished runs anew")
    instead.add_argument("--contact-sheets", metavar="MODEL", help="draw many images of one model into OUTPUT")
    options = parser.parse_args(mine)
    for name in ("seeds", "jobs", "images"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {getattr(options, name)}")
    options.runs = options.runs or options.output / "runs"
    options.trains = not (options.table or options.evaluate_only or options.contact_sheets)
    if options.trains and (not options.names or options.images is None):
        raise ConfigError("give recipes, or the name of their folder, and --images")
    if not options.trains and not options.contact_sheets and not (options.output / "study.json").is_file():
        raise ConfigError(f"--output: {options.output} holds no study; train one, or name the folder of one")
    options.names = choose_recipes(options.names)
    return options, overrides


def main(argv: list[str] | None = None) -> int:
    try:
        options, overrides = parse(sys.argv[1:] if argv is None else argv)
        if options.contact_sheets:
            print(*contact_sheets(options.contact_sheets, options.output), sep="\n")
            return 0
        if options.trains:
            make_folder(options.output, "--output")
            make_folder(options.runs, "--runs")
            with contextlib.ExitStack() as held:
                for folder in dict.fromkeys((options.output.resolve(), options.runs.resolve())):
                    lock = held.enter_context(alone(folder))
                if not run_all(plan(options, overrides), options, overrides, lock):
                    return 130
        if options.evaluate_only:
            evaluate_all(options)
        made = [write_tables(options.output, options.runs), *draw_study(options.output, options.runs)]
        print(*made, sep="\n")
        return 0
    except (ConfigError, DataError, LoadError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(exit_status(main, "the same command continues"))
