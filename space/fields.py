"""What links and forms say, read without ever failing: each thing not taken as given is said in one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from genhub.errors import nearest
from genhub.models.latent import check_whole
from space.catalog import Dataset

ALL = "all"


@dataclasses.dataclass(frozen=True)
class Number:
    """A number that a visitor sets: its word for people, its default and its range; whole, or in hundredths."""

    word: str
    default: float
    low: float
    high: float
    whole: bool = True

    def read(self, text: str | None, notes: list[str]) -> float:
        """The number in ``text``. Outside the range it becomes the nearest bound; what is none becomes the default."""
        if text is None or not text.strip():
            return self.default
        try:
            number = float(text) if len(text) <= 400 else float("nan")
        except ValueError:
            number = float("nan")
        if number != number or (self.whole and abs(number) < 1e15 and number != int(number)):
            kind = "a whole number" if self.whole else "a number"
            notes.append(f"{self.word} {quoted(text)} is not {kind}: using {self.default:g}.")
            return self.default
        if number < self.low or number > self.high:
            bound = self.low if number < self.low else self.high
            side = "below" if number < self.low else "above"
            notes.append(f"{self.word} {quoted(text)} is {side} {bound}: using {bound}.")
            return bound
        return int(number) if self.whole else round(number, 2) + 0.0

    def check(self, value: float, field: str) -> float:
        """``value``, which must be right. Raises ValueError saying what was given and what is allowed."""
        if self.whole:
            return check_whole(value, field, self.low, self.high)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError(f"{field}: expected a number from {self.low:g} to {self.high:g}, got {quoted(value)}")
        if abs(value - round(value, 2)) > 1e-9:  # what a sum of hundredths adds to them is no decimal
            raise ValueError(f"{field}: expected no more than two decimals, such as {value:.2f}, got {quoted(value)}")
        return round(float(value), 2)


def read_choice(text: str | None, word: str, allowed: Sequence[str], notes: list[str]) -> str:
    """``text`` if it is allowed, else the first that is."""
    given = (text or "").strip()
    if given and given not in allowed:
        notes.append(f"There is no {word} {quoted(given)}: using {allowed[0]}.")
    return given if given in allowed else allowed[0]


def check_choice(value: object, field: str, allowed: Sequence[str]) -> str:
    """``value``, which must be one of ``allowed``. Raises ValueError naming the nearest."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{field}: got {quoted(value)}; {nearest(value, allowed)}")
    return value


def check_names(given: object, field: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """A list of some of ``allowed``, or None for all of them, in their order. Raises ValueError naming the nearest."""
    if given is None:
        return tuple(allowed)
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ValueError(f"{field}: expected a list of names, got {quoted(given)}; allowed: {', '.join(allowed)}")
    for name in given:
        check_choice(name, field, allowed)
    return tuple(name for name in allowed if name in given)


def read_dataset(params: Mapping[str, str], catalog: Mapping[str, Dataset], notes: list[str]) -> Dataset:
    """The dataset of a link, or the first one."""
    name = params.get("dataset", "").strip()
    dataset = catalog.get(name) or next(iter(catalog.values()))
    if name and name not in catalog:
        notes.append(f"There is no dataset {quoted(name)}: showing {dataset.title}.")
    return dataset


def read_label(text: str, dataset: Dataset, notes: list[str]) -> int | None:
    """The index of a class of a link, or None for all of them."""
    label = text.strip()
    index = label_index(label, dataset)
    if index is None and label not in ("", ALL):
        notes.append(f"{dataset.title} has no class {quoted(label)}: showing all classes.")
    return index


def check_label(label: object, field: str, dataset: Dataset) -> int | None:
    """The index of a class given by name or index, None for "all". Raises ValueError naming the nearest."""
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f"{field}: expected a class name, an index or 'all', got {quoted(label)}")
    index = label_index(str(label), dataset)
    if index is None and label != ALL:
        raise ValueError(f"{field}: got {quoted(label)}; {nearest(label, (ALL, *dataset.class_names))}")
    return index


def label_index(label: str, dataset: Dataset) -> int | None:
    """The index of a class given by name or number, or None."""
    if label in dataset.class_names:
        return dataset.class_names.index(label)
    if label.isascii() and label.isdecimal() and len(label) < 9 and int(label) < len(dataset.class_names):
        return int(label)
    return None


def quoted(value: object) -> str:
    """What somebody typed, short enough to be repeated to them."""
    text = str(value)
    return f"“{text[:40]}…”" if len(text) > 41 else f"“{text}”"
