"""The critics of a Projected GAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import nn

from genhub.models.base import GenHubModel
from genhub.models.gan import Rows, critic
from genhub.models.latent import check_whole
from genhub.stages import Stack


class GenHubProjectedDiscriminator(GenHubModel):
    """A critic of images beside several that read what a frozen, pretrained network sees in them (Sauer et al., 2021).

    Features that tell things apart show a generator early what its images lack; the critic of the image itself sees
    what the guide overlooks. The paper has no such critic, and mixes the guide's depths at random before the heads.

    Args:
        stages: rows from image to one feature, as for ``GenHubDiscriminator``.
        guide: rows of the frozen network, of which those below the deepest head are kept. Its weights are saved with
            the others; here they are drawn like any, to be replaced by trained ones.
        heads: mappings of ``after``, the number of the guide's rows that this head comes after, and ``stages``, its own
            rows down to one feature.
        image_size, channels: of the square images.
        class_names: given where a critic reads the label.
    """

    def __init__(
        self,
        *,
        stages: Rows,
        guide: Rows,
        heads: Sequence[Mapping[str, Any]],
        image_size: int,
        channels: int,
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(image_size=image_size, channels=channels, class_names=class_names)
        if not isinstance(heads, Sequence) or isinstance(heads, str) or not heads:
            raise ValueError(f"heads: expected a list of at least one head, got {heads!r}")
        self.stages = critic(stages, self.image_shape, self.num_classes)
        self.after = [depth(head, f"heads[{i}]", len(guide)) for i, head in enumerate(heads)]
        self.guide = Stack(guide[: max(self.after)], self.image_shape, where="guide").requires_grad_(False)
        self.heads = nn.ModuleList(
            critic(head["stages"], self.guide.blocks[after - 1].shape, self.num_classes, f"heads[{i}].stages")
            for i, (after, head) in enumerate(zip(self.after, heads, strict=True))
        )

        if self.class_names and not any(part.conditional for part in (self.stages, *self.heads)):
            raise ValueError("class_names: no row of stages or heads reads the label; leave them out")

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.guide.eval()  # its statistics are part of what is frozen
        return self

    def forward(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] to one logit per critic (n, 1 + heads): large for what looks real."""
        seen = self.look(images)
        logits = [head(seen[after], condition) for after, head in zip(self.after, self.heads, strict=True)]
        return torch.cat([self.stages(images, condition), *logits], dim=1)

    def features(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """What the heads read, (n, f): the representation that a VAE-GAN compares images in."""
        seen = self.look(images)
        return torch.cat([seen[after].flatten(1) for after in sorted(set(self.after))], dim=1)

    def look(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The images, and what each row of the guide makes of them."""
        seen = [images]
        for block in self.guide.blocks:
            seen.append(block(seen[-1], None))
        return seen


def depth(head: Any, where: str, rows: int) -> int:
    """The checked ``after`` of a head. Raises ValueError."""
    if not isinstance(head, Mapping) or head.keys() != {"after", "stages"}:
        raise ValueError(f"{where}: expected a mapping of 'after' and 'stages', got {head!r}")
    return check_whole(head["after"], f"{where}.after", 1, rows)
