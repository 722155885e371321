"""From a recipe and the options of a command to a checked config.

A recipe may extend another one: ``base: cifar10/dcgan-3`` takes that recipe's keys and replaces those that it gives
itself, however deep; lists are replaced whole.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from genhub.errors import nearest
from training.checks import check_values
from training.settings import ConfigError, TrainConfig

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "digits/cgan"


def recipe_names() -> list[str]:
    return sorted(str(path.relative_to(RECIPES).with_suffix("")) for path in RECIPES.rglob("*.yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """A recipe by its name in training/recipes, or by the path of a YAML file, with its bases resolved.

    Raises ConfigError.
    """
    recipe, seen = read_file(name), [name]
    while "base" in recipe:
        base = recipe.pop("base")
        if not isinstance(base, str) or base in seen:
            raise ConfigError(f"{seen[-1]}: base: expected the name of another recipe, got {base!r}")
        for key in ("name", "description"):
            if key not in recipe:
                raise ConfigError(f"{seen[-1]}: {key}: missing; a recipe with a base must give its own")
        seen.append(base)
        recipe = merged(read_file(base), recipe)
    return recipe


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``changes``; mappings are merged key by key, everything else is replaced."""
    result = {**base, **changes}
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            result[key] = merged(base[key], value)
    return result


def read_file(name: str) -> dict[str, Any]:
    """A recipe as it is written, by name or path. Raises ConfigError."""
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        path = Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        raise ConfigError(f"recipe: no recipe and no YAML file {name!r}; {nearest(name, recipe_names())}")
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise ConfigError(f"{path}: must hold a mapping, got {type(recipe).__name__}")
    return recipe


def parse_config(recipe: Mapping[str, Any], overrides: Sequence[str] = ()) -> TrainConfig:
    """A recipe with command-line overrides such as ``--max-steps 20`` or ``--optimizer.lr=1e-3`` on top.

    Raises ConfigError naming the key and the nearest valid one.
    """
    check_keys(recipe, TrainConfig, "")
    flags = [normalized(argument) for argument in overrides]
    for flag in flags:
        if flag.startswith("--"):
            hint_of(flag[2:].split("=", 1)[0], "--")
    try:
        parsed = parser().instantiate(parser().parse_args(flags, namespace=parser().parse_object(dict(recipe))))
        config = TrainConfig(**{field.name: parsed[field.name] for field in dataclasses.fields(TrainConfig)})
    except jsonargparse.ArgumentError as error:
        raise ConfigError(one_line(str(error))) from error
    check_null(config)
    check_values(config)
    return config


@functools.cache
def parser() -> jsonargparse.ArgumentParser:
    """Built once: it takes longer than what it parses."""
    made = jsonargparse.ArgumentParser(exit_on_error=False)
    made.add_class_arguments(TrainConfig, as_group=False)
    return made


def normalized(argument: str) -> str:
    """``--max-steps=20`` as ``--max_steps=20``; values are left alone."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def hint_of(name: str, prefix: str = "") -> Any:
    """The type of a key such as ``optimizer.lr``. Raises ConfigError for a key that does not exist."""
    kind: Any = TrainConfig
    for part in name.split("."):
        if not dataclasses.is_dataclass(kind):
            return kind  # inside a free mapping such as model
        hints = typing.get_type_hints(kind)
        if part not in hints:
            raise ConfigError(f"{prefix}{name}: no such option; {nearest(part, hints)}")
        kind = hints[part]
    return kind


def described(hint: Any) -> str:
    """A type in the words of a user."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return "one of " + ", ".join(map(str, arguments))
        case types.UnionType | typing.Union:
            return " or ".join(map(described, arguments))
        case builtin if builtin is list:
            return f"a list such as [a, b], each {described(arguments[0])}"
    return words.get(hint, "a mapping")


def one_line(message: str) -> str:
    """jsonargparse's report, which goes over several lines, in the words of all other messages."""
    if found := re.match(r'Parser key "([\w.]+)"', message):
        got = re.search(r"(?:Got value:|Given value:|Unable to load config) (.*)", message)
        return f"{found[1]}: expected {described(hint_of(found[1]))}, got {got[1] if got else 'something else'}"
    if found := re.match(r"argument --([\w.]+): expected one argument", message):
        return f"--{found[1]}: expected {described(hint_of(found[1]))}, got nothing"
    if found := re.match(r"unrecognized arguments: (.*)", message):
        if found[1] in recipe_names():
            return f"{found[1]}: is a recipe; write --recipe {found[1]}"
        return f"{found[1]}: belongs to no option; write --key value, and a list as --key '[a, b]'"
    if found := re.match(r"the following arguments are required: (.*)", message):
        return f"{found[1]}: missing; the recipe must give it"
    return " ".join(message.split())


def check_null(values: Any, where: str = "") -> None:
    """Raise ConfigError for a key without a value, which jsonargparse lets pass, unless its type allows that."""
    hints = typing.get_type_hints(type(values))
    for field in dataclasses.fields(values):
        value, hint = getattr(values, field.name), hints[field.name]
        if value is None and type(None) not in typing.get_args(hint):
            raise ConfigError(f"{where}{field.name}: expected {described(hint)}, got nothing")
        if dataclasses.is_dataclass(value):
            check_null(value, f"{where}{field.name}.")


def check_keys(values: Mapping[str, Any], kind: type, where: str) -> None:
    """Raise ConfigError for a key that a dataclass does not have, however deep."""
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"{where}{key}: no such key; {nearest(key, hints)}")
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}{key}: expected a mapping, got {value!r}")
            check_keys(value, hints[key], f"{where}{key}.")
