"""What a training step costs, counted before anything is trained."""

from __future__ import annotations

import dataclasses

import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from genhub.convolution import as_written
from genhub.data import ImageSet
from training.batches import Batches
from training.networks import build_networks
from training.run import OBJECTIVES
from training.settings import TrainConfig

AT_ONCE = 8  # images in the counted step; the count per image hardly depends on it


def step_flops(config: TrainConfig, data: ImageSet) -> float:
    """Floating-point operations per image seen of one whole update: all networks, forward and backward, penalties.

    Counted as the rows of the networks say, whatever faster way there is on a machine. ``data`` gives shape and
    classes; its images are not looked at. Raises ConfigError.
    """
    config = dataclasses.replace(config, batch_size=AT_ONCE, accumulation=1, compile=False)
    images = torch.zeros(AT_ONCE, *data.image_shape, dtype=torch.uint8)
    labels = torch.zeros(AT_ONCE, dtype=torch.int64) if data.class_names else None
    likeness = dataclasses.replace(data, images=images, labels=labels)
    accelerator = Accelerator(cpu=True)
    networks = build_networks(config, likeness)
    objective = OBJECTIVES[config.objective.type](config, accelerator, *networks)
    batches = Batches(likeness, AT_ONCE, 0, 1, config.seed, accelerator.device)
    with as_written(), Counter() as counter:
        objective.update(batches, 0)
    return counter.flops / (AT_ONCE * objective.batches_per_update)


class Counter(TorchDispatchMode):
    """Adds up torch's own formulas of matrix products and convolutions.

    Its ``FlopCounterMode`` also follows modules, by hooks that a gradient penalty's inner gradient breaks.
    """

    flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result
