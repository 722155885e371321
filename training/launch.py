"""Several processes on CPUs by ``accelerate launch --cpu --num_processes N``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence

import psutil
from accelerate.utils import parse_flag_from_env
from accelerate.utils.environment import get_cpu_distributed_information

from training.settings import ConfigError


def missing_processes(launcher: Callable[[], Sequence[str]]) -> int:
    """How many processes the command line of ``accelerate launch`` asks for, where it started only one; else 0.

    On CPUs, Accelerate starts several through mpirun alone; without it, it starts one and says nothing. What is left of
    the wish is the port on which they should have met. Raises ConfigError where the number is not on the command line.
    """
    wanted = "MASTER_PORT" in os.environ and parse_flag_from_env("ACCELERATE_USE_CPU")
    if not wanted or get_cpu_distributed_information().world_size > 1:
        return 0
    found = re.search(r" --num[_-]processes[= ](\d+)", " ".join(launcher()))
    if found is None:
        raise ConfigError(
            "accelerate launch started one process on the CPU where several were asked for; "
            "give --num_processes on the command line, or use: torchrun --nproc_per_node N training/train.py"
        )
    return int(found[1])


def start_missing_processes() -> None:
    """Become torchrun with as many processes as ``accelerate launch`` was asked for and did not start."""
    count = missing_processes(parents_command)
    if count > 1:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        os.execv(sys.executable, [*command, *sys.argv])  # in place, so that signals still reach the run


def parents_command() -> list[str]:
    """The command line of the process that started this one; empty where it cannot be read, as in a container."""
    try:
        return psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return []
