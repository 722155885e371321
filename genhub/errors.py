"""Words that every error message shares."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable


class LoadError(ValueError):
    """A model could not be loaded; the message says what was given, what was found and what to do."""


class DataError(ValueError):
    """A dataset could not be read; the message says what was given, what was found and what to do."""


def as_whole(value: object) -> int | None:
    """``value`` as int if it is a whole number of Python, numpy or torch; None for anything else, even True."""
    if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def nearest(got: object, allowed: Iterable[object]) -> str:
    """``did you mean 'x'? allowed: …``, for the end of a message about an unknown name."""
    names = [str(name) for name in allowed]
    close = difflib.get_close_matches(str(got), names, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}allowed: {', '.join(names)}"
