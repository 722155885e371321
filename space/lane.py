"""The one compute lane: whoever computes holds it, the others wait in the order in which they came."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PLACES = 16  # who come when so many wait already are told to come again
PATIENCE = 30.0  # seconds


class Busy(RuntimeError):
    """The compute lane did not become free in time."""

    def __init__(self) -> None:
        super().__init__("Too many visitors are waiting for this machine; please try again in a minute.")


class Lane:
    """First come, first served, one at a time."""

    def __init__(self, places: int = PLACES, patience: float = PATIENCE) -> None:
        self.places = places
        self.patience = patience
        self.line: collections.deque[object] = collections.deque()  # the first of them computes
        self.moved = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lane inside a ``with`` block. Raises Busy where the line is too long or does not move in time."""
        ticket = object()
        with self.moved:
            if len(self.line) > self.places:
                raise Busy
            self.line.append(ticket)
            if not self.moved.wait_for(lambda: self.line[0] is ticket, self.patience):
                self.line.remove(ticket)
                raise Busy
        try:
            yield
        finally:
            with self.moved:
                self.line.popleft()
                self.moved.notify_all()

    def give_way(self) -> float:
        """Called by the holder in the middle of long work: all who wait now go first, then the holder goes on.

        Returns the seconds that the others took.
        """
        start = time.perf_counter()
        with self.moved:
            if len(self.line) > 1:
                ticket = self.line.popleft()
                self.line.append(ticket)
                self.moved.notify_all()
                self.moved.wait_for(lambda: self.line[0] is ticket)
        return time.perf_counter() - start
