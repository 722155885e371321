"""The process that trains: its threads, and how it ends early."""

from __future__ import annotations

import contextlib
import os
import signal

import torch
from joblib import cpu_count  # the cores granted: Python's own count ignores the limits of a container

from training.settings import TrainConfig


def set_threads(config: TrainConfig) -> None:
    """Use the CPU cores that this process is granted.

    ``accelerate launch`` sets OMP_NUM_THREADS to 1 unless told otherwise, which would leave all other cores idle; any
    other value is a choice of the user's.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    elif os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


class interruption(contextlib.AbstractContextManager):
    """Turns Ctrl-C and SIGTERM into a flag, so that a run ends between two steps with a checkpoint.

    A second one acts at once, as if this did not exist.
    """

    def __enter__(self) -> interruption:
        self.flag = False
        self.previous = {s: signal.signal(s, self.raise_flag) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def raise_flag(self, *_: object) -> None:
        self.flag = True
        self.restore()

    def is_set(self) -> bool:
        return self.flag

    def restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        self.restore()
