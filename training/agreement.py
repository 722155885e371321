"""How far the order of a study's systems agrees with the order in their reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

FEWEST = 5  # systems; fewer stand in one order or its reverse by chance more often than once in twenty times
MISTAKEN = "range bug"  # what reported.yaml notes beside an FID of images that were not in the same range


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Two orders of the same systems.

    Attributes:
        systems: their FID and our Fréchet distance, by system.
        correlation: Spearman's rank correlation of the two: 1 for the same order, 0 for none, −1 for the reverse.
        p: how probable a correlation as far from 0 is where neither order knows of the other.
    """

    systems: Mapping[str, tuple[float, float]]
    correlation: float
    p: float


def agreement(rows: Sequence[Mapping[str, Any]]) -> Agreement | None:
    """Of the rows with both figures, without reported ones that are known mistakes; None of fewer than five."""
    from scipy.stats import spearmanr

    systems = {
        row["system"]: (row["theirs"]["fid"], row["metrics"]["frechet_distance"])
        for row in rows
        if "fid" in row["theirs"] and "frechet_distance" in row["metrics"] and row["theirs"].get("note") != MISTAKEN
    }
    if len(systems) < FEWEST:
        return None
    found = spearmanr(*zip(*systems.values(), strict=True))
    return Agreement(systems, float(found.statistic), float(found.pvalue))
