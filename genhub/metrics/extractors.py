"""Networks that images are compared in, registered with torch-fidelity, and the one pass that runs them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from genhub.hub import one_line
from genhub.images import require_uint8, to_signed
from genhub.metrics.cache import content_key, load_features, save_features
from genhub.models import GenHubClassifier
from genhub.models.latent import MAX_IMAGES, check_whole, evaluating

BATCH = 256
READING = threading.RLock()
INCEPTION = "inception-v3-compat"  # torch-fidelity's name for the network of the original FID


@dataclasses.dataclass(frozen=True)
class Features:
    """What an extractor sees in a set of images.

    Attributes:
        values: (n, f) float32, what distances are measured in.
        logits: (n, k) float32, unnormalised class scores; None where the extractor has no classes.
        extractor: identity of the extractor; features of different ones are never compared.
    """

    values: torch.Tensor
    logits: torch.Tensor | None
    extractor: str

    def __len__(self) -> int:
        return len(self.values)

    def at(self, index: torch.Tensor) -> Features:
        return Features(self.values[index], None if self.logits is None else self.logits[index], self.extractor)


@dataclasses.dataclass(frozen=True, eq=False)
class Extractor:
    """A network that makes features of images.

    Attributes:
        name: as people know it.
        sha256: of its weights; None for one without weights.
        registered: its name in torch-fidelity's registry, for ``calculate_metrics(feature_extractor=…)``.
        layers: torch-fidelity's names of the features and, if there are any, of the logits.
        options: arguments of torch-fidelity that belong to it.
        class_names: what its logits mean; empty where they are not classes of a dataset of ours.
    """

    name: str
    sha256: str | None
    registered: str
    layers: tuple[str, ...]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return f"{self.name} {self.sha256}" if self.sha256 else self.name


def judge_extractor(judge: GenHubClassifier, name: str, sha256: str) -> Extractor:
    """A classifier of ours: what its last layer reads are the features, what it says the logits."""
    check_digest(sha256)

    def layers(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        judge.check_shape(images)
        with evaluating(judge):
            signed = to_signed(images.to(judge.device)).to(judge.dtype)
            return tuple(layer.float() for layer in judge.features_and_logits(signed))

    registered = register(f"genhub-{sha256[:16]}", ("features", "logits"), layers)
    return Extractor(name, sha256, registered, ("features", "logits"), class_names=tuple(judge.class_names))


def pixel_extractor() -> Extractor:
    """No network: pixels pooled to 8×8. For datasets that no classifier is bundled for."""
    registered = register("genhub-pooled-pixels", ("features",), lambda images: (pooled_pixels(images),))
    return Extractor("pixels pooled to 8×8", None, registered, ("features",))


def inception_extractor(weights: str | Path) -> Extractor:
    """The network behind published FID, KID and inception scores, as torch-fidelity has it.

    Grey images are repeated over three channels; the network resizes to 299×299 itself, as the original did.

    Args:
        weights: the file ``weights-inception-2015-12-05-6726825d.pth`` of torch-fidelity's releases.

    Raises:
        ValueError: there is no such file. What is no plain state dict of this network fails in ``extract``.
    """
    require_torch_fidelity()
    path = Path(weights).expanduser()
    if not path.is_file():
        raise ValueError(
            f"weights: {weights} is no file; download weights-inception-2015-12-05-6726825d.pth from the releases of "
            "torch-fidelity on GitHub and give its path"
        )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    options = {"feature_extractor_weights_path": str(path)}
    return Extractor(INCEPTION, sha256, INCEPTION, ("2048", "logits_unbiased"), options)


def require_torch_fidelity() -> None:
    """Raises ImportError that says what to do: it is no dependency of a library that most only load models with."""
    try:
        import torch_fidelity  # noqa: F401
    except ImportError as error:
        raise ImportError("features are extracted by torch-fidelity: pip install torch-fidelity") from error


def check_digest(sha256: str) -> None:
    if len(sha256) != 64:
        raise ValueError(f"sha256: expected the 64 hexadecimal digits of the weights' hash, got {sha256!r}")


def register(name: str, layers: tuple[str, ...], forward: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]) -> str:
    """Make a function of uint8 images known to torch-fidelity, once per name; the name."""
    require_torch_fidelity()
    from torch_fidelity import FeatureExtractorBase, register_feature_extractor
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    class Registered(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return layers

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            require_uint8(images, "images")
            found = dict(zip(layers, forward(images), strict=True))
            return tuple(found[layer] for layer in self.features_list)

    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, Registered)
    return name


@torch.no_grad()
def extract(images: torch.Tensor, extractor: Extractor, device: torch.device | str = "cpu") -> Features:
    """The one pass over uint8 images (n, C, H, W), or what was remembered of an earlier one over the same images.

    Raises ValueError for anything but uint8 images, for none, and for features that are not finite.
    """
    require_uint8(images, "images")
    if images.dim() != 4 or len(images) == 0 or images.shape[1] not in (1, 3):
        raise ValueError(f"images: expected shape (n, 1 or 3, H, W) with n of at least 1, got {tuple(images.shape)}")
    key = content_key(images, extractor.identity)
    found = load_features(key)
    if found is None:
        network = build(extractor, torch.device(device))
        if extractor.registered == INCEPTION:
            images = images.expand(-1, 3, -1, -1)
        parts = [network(part.to(device)) for part in images.split(BATCH)]
        tensors = [torch.cat(layer).cpu().float().contiguous() for layer in zip(*parts, strict=True)]
        found = dict(zip(("features", "logits"), tensors, strict=False))
        save_features(key, found)
    for name, values in found.items():
        if not values.isfinite().all():
            raise ValueError(f"{extractor.name}: its {name} of these images are not finite; its weights are damaged")
    return Features(found["features"], found.get("logits"), extractor.identity)


def build(extractor: Extractor, device: torch.device) -> torch.nn.Module:
    """The network as torch-fidelity makes it. Raises ValueError for weights that cannot be read."""
    from torch_fidelity.utils import create_feature_extractor

    layers, cuda = list(extractor.layers), device.type == "cuda"
    try:
        with only_tensors():
            return create_feature_extractor(extractor.registered, layers, cuda=cuda, verbose=False, **extractor.options)
    except Exception as error:  # a file of another kind makes torch.load raise nearly anything
        raise ValueError(f"{extractor.name}: its weights cannot be read: {one_line(error)[:200]}") from error


@contextlib.contextmanager
def only_tensors() -> Iterator[None]:
    """torch-fidelity reads weights by unpickling whatever is there; this lets torch read tensors and nothing else."""
    with READING:  # one thread at a time, as what was there before is put back
        before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        try:
            yield
        finally:
            os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
            if before is not None:
                os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before


@torch.no_grad()
def features(images: torch.Tensor, judge: GenHubClassifier | None, batch_size: int = BATCH) -> torch.Tensor:
    """Features (n, f) of uint8 images without detours, for the measurements inside training.

    The judge's, or, without one, pixels pooled to 8×8: the same that ``extract`` gives.
    """
    require_uint8(images, "images")
    if judge is None:
        return pooled_pixels(images)
    judge.check_shape(images)
    check_whole(batch_size, "batch_size", 1, MAX_IMAGES)
    with evaluating(judge):
        parts = images.to(judge.device).split(batch_size)
        return torch.cat([judge.features(to_signed(part).to(judge.dtype)).float() for part in parts])


def pooled_pixels(images: torch.Tensor) -> torch.Tensor:
    """uint8 images to (n, C · 64) floats."""
    return F.adaptive_avg_pool2d(to_signed(images), 8).flatten(1)
