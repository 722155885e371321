"""The classifier that judges what the others make."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from genhub.images import require_uint8, to_signed
from genhub.models.base import GenHubModel
from genhub.models.gan import Rows
from genhub.models.latent import MAX_IMAGES, check_whole, evaluating
from genhub.stages import Stack


class GenHubClassifier(GenHubModel):
    """Image classifier: the judge behind class accuracy, and the feature extractor behind Fréchet distances.

    Args:
        stages: rows from image to one logit per class; what enters the last row are the features.
        image_size, channels: of the square images.
        class_names: what the logits mean.
    """

    def __init__(self, *, stages: Rows, image_size: int, channels: int, class_names: Sequence[str]) -> None:
        super().__init__(image_size=image_size, channels=channels, class_names=class_names)
        self.stages = Stack(stages, self.image_shape)
        if self.stages.shape != (len(self.class_names),):
            raise ValueError(
                f"stages: must end in {len(self.class_names)} logits, one per class; end in {self.stages.shape}"
            )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] to logits (n, num_classes)."""
        return self.stages(images)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Images (n, C, H, W) in [-1, 1] to the representation before the logits, (n, f)."""
        return self.stages.features(images)

    def features_and_logits(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (n, C, H, W) in [-1, 1] to ``features`` (n, f) and logits (n, num_classes) in one pass."""
        return self.stages.features_and_output(images)

    @torch.no_grad()
    def predict(self, images: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
        """uint8 images (n, C, H, W) to class probabilities (n, num_classes), in evaluation mode.

        Raises ValueError for anything that is not uint8 of the classifier's shape: what measures never guesses a range.
        """
        require_uint8(images, "images")
        self.check_shape(images)
        check_whole(batch_size, "batch_size", 1, MAX_IMAGES)
        with evaluating(self):
            parts = [self(to_signed(part.to(self.device)).to(self.dtype)).float() for part in images.split(batch_size)]
        return torch.cat(parts).softmax(dim=1)
