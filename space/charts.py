"""Charts as coordinates: pages draw them as inline SVG, with crisp text and without any script."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 52  # margins, which hold the ticks' texts
PLACES = (  # of a label: its anchor, and how far that is from the dot
    ("start", 10, 4),
    ("end", -10, 4),
    ("middle", 0, -11),
    ("middle", 0, 20),
    ("end", 8, -11),
    ("end", 8, 20),
)
CHARACTER, LINE = 8.5, 16  # a label's room per character and per line, at the size that the style sheet sets


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in the chart's units, and what it says."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps values to positions, linearly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), 1)

    def ticks(self, write: Callable[[float], str]) -> list[Tick]:
        values = log_steps(self.low, self.high) if self.log else steps(self.low, self.high)
        return [Tick(self.at(value), write(value)) for value in values]


def axis(values: Sequence[float], start: float, end: float, log: bool) -> Axis:
    """An axis from ``start`` to ``end`` with some air around all values."""
    low, high = min(values), max(values)
    if log:
        air = max((high / low) ** 0.08, 1.25)
        return Axis(low / air, high * air, start, end, True)
    air = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
    floor = 0.0 if 0 <= low < 0.5 * high else low - air  # amounts start at nought unless that hides what differs
    return Axis(floor, high + air, start, end, False)


def steps(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between low and high: 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_steps(low: float, high: float) -> list[float]:
    """Powers of ten between low and high, and numbers between them where that is few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(found) >= 3:
            return found
    return found or [low, high]


@dataclasses.dataclass(frozen=True)
class Dot:
    """A point to draw: value (x, y), its name, and a class for its colour and shape."""

    x: float
    y: float
    name: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Placed:
    """A dot with its position and that of its label, which is left out (None) where there is no room."""

    dot: Dot
    x: float
    y: float
    label: tuple[float, float, str] | None


@dataclasses.dataclass(frozen=True)
class Plot:
    """What a template needs to draw a scatter or line chart. ``level`` is the height of a line to compare with."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_title: str
    y_title: str
    dots: list[Placed]
    lines: list[tuple[str, str]]
    level: float | None = None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def scatter(
    dots: Sequence[Dot],
    x_title: str,
    y_title: str,
    write_x: Callable[[float], str],
    log_y: bool = False,
    level: float | None = None,
) -> Plot | None:
    """Points over a logarithmic x axis, named where there is room. None without a point that can be drawn.

    ``level`` is a value to compare with, which is left out where it lies beyond the points.
    """
    dots = [dot for dot in dots if dot.x > 0 and (dot.y > 0 or not log_y) and math.isfinite(dot.x + dot.y)]
    if not dots:
        return None
    x = axis([dot.x for dot in dots], LEFT, WIDTH - RIGHT, True)
    y = axis([dot.y for dot in dots], HEIGHT - BOTTOM, TOP, log_y)
    line = y.at(level) if level is not None and y.low <= level <= y.high else None
    return Plot(x.ticks(write_x), y.ticks(short), x_title, y_title, place(dots, x, y), [], line)


def place(dots: Sequence[Dot], x: Axis, y: Axis) -> list[Placed]:
    """Dots with labels at the first place that is free."""
    taken = [(x.at(dot.x) - 7, y.at(dot.y) - 7, x.at(dot.x) + 7, y.at(dot.y) + 7) for dot in dots]
    found = []
    for dot in dots:
        left, top = x.at(dot.x), y.at(dot.y)
        width = CHARACTER * len(dot.name)
        label = None
        for anchor, dx, dy in PLACES:
            start = left + dx - {"start": 0, "end": width, "middle": width / 2}[anchor]
            box = (start, top + dy - LINE + 3, start + width, top + dy + 3)
            inside = box[0] >= LEFT and box[2] <= WIDTH - RIGHT and box[1] >= TOP and box[3] <= HEIGHT - BOTTOM
            if inside and not any(overlap(box, other) for other in taken):
                taken.append(box)
                label = (left + dx, top + dy, anchor)
                break
        found.append(Placed(dot, left, top, label))
    return found


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    x_title: str,
    y_title: str,
    write_x: Callable[[float], str],
    log_y: bool = False,
) -> Plot | None:
    """Curves over a linear x axis, as (class, path). None without two points that can be drawn."""
    kept = [(kind, [p for p in points if all(map(math.isfinite, p))]) for kind, points in series]
    kept = [(kind, points) for kind, points in kept if len(points) > 1]
    if not kept:
        return None
    everything = [point for _, points in kept for point in points]
    x = Axis(0.0, max(point[0] for point in everything) or 1.0, LEFT, WIDTH - RIGHT, False)
    y = axis([point[1] for point in everything], HEIGHT - BOTTOM, TOP, log_y)
    paths = [(kind, "M" + "L".join(f"{x.at(a)} {y.at(b)}" for a, b in points)) for kind, points in kept]
    return Plot(x.ticks(write_x), y.ticks(short), x_title, y_title, [], paths)


def short(value: float) -> str:
    """A number as an axis says it: 0.05, 3, 120 k."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if abs(value) >= 1e4 else f"{value:g}"
