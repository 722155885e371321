"""Run folders: where a run lies, what continues it, and who works in it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from training.config import DEFAULT_RECIPE, parse_config, read_recipe, recipe_names
from training.settings import ConfigError, TrainConfig

# What may differ from the run that is continued: how long it goes on, where its images are, how it is computed.
CHANGEABLE = (
    "description", "dataset", "max_steps", "max_images", "max_minutes", "batch_size", "accumulation", "compile",
    "threads", "log_every", "checkpoint_every", "samples", "output_dir", "trackers",
)  # fmt: skip
LOCK = ".lock"


def choose_run(recipe: str | None, resume: str | None, overrides: Sequence[str]) -> tuple[TrainConfig, Path]:
    """The config and the folder of a new run or, with ``resume`` (a folder, or "" for the newest), of an old one.

    Raises ConfigError.
    """
    if resume and recipe:
        raise ConfigError(f"--recipe: {resume} has its own recipe; leave --recipe or the folder after --resume out")
    if not resume:
        recipe = recipe or DEFAULT_RECIPE
        name = recipe if recipe in recipe_names() else Path(recipe).stem
        config = parse_config({"recipe": name, **read_recipe(recipe)}, overrides)
        if resume is None:
            return config, next(new_folders(config))
        resume = newest_folder(config)
    folder = Path(resume)
    if not (folder / "config.yaml").is_file():
        raise ConfigError(f"--resume: {folder} is no run folder: it has no config.yaml; start a run without --resume")
    recipe = read_recipe(str(folder / "config.yaml"))
    saved, config = parse_config(recipe), parse_config(recipe, overrides)
    for field in dataclasses.fields(config):
        before, now = getattr(saved, field.name), getattr(config, field.name)
        if before != now and field.name not in CHANGEABLE:
            raise ConfigError(
                f"--{field.name}: a resumed run keeps its own ({before}), got {now}; "
                "leave the option out, or start a new run without --resume"
            )
    return config, folder


def new_folders(config: TrainConfig) -> Iterator[Path]:
    """``output_dir/name``, then numbered; those that are not taken at this moment."""
    parent = Path(config.output_dir)
    numbered = (parent / (config.name if i == 1 else f"{config.name}-{i}") for i in itertools.count(1))
    return (path for path in numbered if not path.exists())


@contextlib.contextmanager
def claimed(config: TrainConfig, old: Path | None) -> Iterator[Path]:
    """Hold a run's folder, ``old`` or a new one, so that no other process works in it.

    A new folder in which no run began is removed again. Raises ConfigError where a run is at work in the old one.
    """
    folder = old or made(config)
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"--resume: a run is still at work in {folder}; wait for its end, or start a new one without --resume"
        ) from error
    try:
        yield folder
    finally:
        lock.release()
        if old is None and not (folder / "config.yaml").exists():
            shutil.rmtree(folder)


def made(config: TrainConfig) -> Path:
    """A new folder for a run, by a name that no run started at the same moment was given. Raises ConfigError."""
    for folder in new_folders(config):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue  # another run was quicker
        except OSError as error:
            raise ConfigError(f"--output_dir: {folder} cannot be made ({error.strerror}); choose another") from error
        return folder
    raise AssertionError("numbers do not end")


def newest_folder(config: TrainConfig) -> str:
    """The run of this name that was started or resumed last. Raises ConfigError."""
    parent = Path(config.output_dir)
    found = [path.parent for path in parent.glob("*/config.yaml")]
    found = [p for p in found if p.name == config.name or p.name.removeprefix(f"{config.name}-").isdecimal()]
    if not found:
        raise ConfigError(f"--resume: no run of {config.name!r} in {parent}; leave --resume out to start one")
    return str(max(found, key=lambda path: (path / "config.yaml").stat().st_mtime_ns))
