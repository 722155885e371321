"""The base of every model: what it is made of, how it is saved, how it is loaded."""

from __future__ import annotations

import copy
import inspect
import json
import math
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from huggingface_hub import HfApi, PyTorchModelHubMixin, constants
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from genhub import hub
from genhub.errors import LoadError, as_whole, nearest

CLASSES: dict[str, type[GenHubModel]] = {}  # class name → class, filled as the classes are defined
SETTINGS = ("class_names", "num_inference_steps", "guidance_scale")  # arguments that may be changed afterwards
POWER_ITERATIONS = 15  # that spectral norm starts with, after which each training step adds one
Labels = int | str | Sequence[int | str] | torch.Tensor | None


class GenHubModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="genhub",
    license="mit",
    tags=["genhub", "generative-image-models"],
):
    """An image model whose constructor arguments are JSON values, so that ``config.json`` rebuilds it.

    Attributes:
        image_shape: (channels, height, width) of one image.
        class_names: what the labels 0, 1, … mean; empty for a model without labels.
        metadata: facts that travel in ``config.json`` beside the arguments, such as ``name`` and ``dataset``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The package's classes between are no models; a user's subclass is one, whatever its name.
        if cls.__name__.startswith("GenHub") or not cls.__module__.startswith("genhub."):
            CLASSES[cls.__name__] = cls

    def __init__(self, *, image_size: int, channels: int, class_names: Sequence[str] | None = None) -> None:
        super().__init__()
        self._hub_mixin_config = copy.deepcopy(self._hub_mixin_config)  # rows are the caller's, who may change them
        for name, value in (("image_size", image_size), ("channels", channels)):
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
        self.image_shape = (channels, image_size, image_size)
        if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names or []):
            raise ValueError(f"class_names: expected a list of strings, got {class_names!r}")
        if len(set(class_names or [])) < len(class_names or []):
            raise ValueError(f"class_names: each name must be there once, got {class_names!r}")
        self.class_names = list(class_names or [])
        self.metadata: dict[str, Any] = {}
        self._card: str | None = None
        self._card_of: int | None = None  # the checksum of the weights that it describes
        self._sheet: Path | None = None  # the picture that it shows

    @classmethod
    def _is_jsonable(cls, value: Any) -> bool:
        # The mixin would record the default instead of such a value, and the saved model would be another one.
        if not super()._is_jsonable(value):
            raise TypeError(f"{cls.__name__}: arguments must be JSON values (numbers, strings, lists), got {value!r}")
        return True

    @property
    def num_classes(self) -> int | None:
        return len(self.class_names) or None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def check_shape(self, images: torch.Tensor) -> None:
        """Raise ValueError unless images are at least one, of this model's shape."""
        if images.shape[1:] != self.image_shape or len(images) == 0:
            raise ValueError(
                f"images: expected shape (n, {', '.join(map(str, self.image_shape))}) with n of at least 1, "
                f"got {tuple(images.shape)}"
            )

    def num_parameters(self) -> int:
        """How many numbers are learned, those of a frozen guide among them. Buffers are not counted."""
        return sum(p.numel() for p in self.parameters())

    def initialize(self, scheme: Literal["default", "normal", "xavier", "orthogonal"], std: float = 0.02) -> None:
        """Draw all weights anew from the global generator.

        ``normal`` is DCGAN's N(0, std) (Radford et al., 2016), ``xavier`` is Keras' default, ``default`` is torch's.
        Biases become zero except under ``default``; norms start as the identity.
        """
        draw = {
            "normal": lambda w: nn.init.normal_(w, 0.0, std),
            "xavier": nn.init.xavier_uniform_,
            "orthogonal": nn.init.orthogonal_,
            "default": lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
        }
        if scheme not in draw:
            raise ValueError(f"scheme: got {scheme!r}; {nearest(scheme, draw)}")
        for module in self.modules():
            if not hasattr(module, "reset_parameters"):
                continue
            if not isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                module.reset_parameters()
                continue
            spectral = getattr(module, "parametrizations", None)
            weight = spectral.weight.original if spectral else module.weight
            with torch.no_grad():  # drawn in the order of indices, whatever the order in memory
                weight.copy_(draw[scheme](torch.empty_like(weight, memory_format=torch.contiguous_format)))
                if spectral:  # whose singular vectors were the old weight's
                    training = spectral.training
                    spectral.train()
                    for _ in range(POWER_ITERATIONS):
                        spectral.weight()
                    spectral.train(training)
            if module.bias is not None and scheme == "default":
                bound = 1 / math.sqrt(weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound)
            elif module.bias is not None:
                nn.init.zeros_(module.bias)
        for module in self.modules():  # after their children, whose values they replace
            if type(module).__module__ == "genhub.layers" and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def condition(self, labels: Labels, n: int) -> torch.Tensor | None:
        """Labels as class weights (n, num_classes), or None for a model without labels.

        Accepts one label for all images or one per image, as int or class name, or floats of class weights, as a tensor
        or an array.
        Raises ValueError for a missing, superfluous, unknown or out-of-range label and for a wrong count.
        """
        name = type(self).__name__
        if not self.class_names:
            if labels is not None:
                raise ValueError(f"labels: this {name} is unconditional and takes none, got {labels!r}; leave them out")
            return None
        if labels is None:
            raise ValueError(
                f"labels: this {name} is conditional and needs them, got None; "
                f"give one label or one per image out of 0…{len(self.class_names) - 1} or {', '.join(self.class_names)}"
            )
        if getattr(getattr(labels, "dtype", None), "kind", None) == "f":  # numpy's
            labels = torch.as_tensor(labels)
        if isinstance(labels, torch.Tensor) and labels.is_floating_point():
            if labels.shape != (n, len(self.class_names)):
                raise ValueError(
                    f"labels: class weights must have shape ({n}, {len(self.class_names)}), got {tuple(labels.shape)}"
                )
            if not labels.isfinite().all():
                raise ValueError("labels: class weights must be finite, got NaN or infinity")
            return labels.to(self.device, self.dtype)
        if isinstance(labels, torch.Tensor) or hasattr(labels, "tolist"):
            labels = labels.tolist()
        several = isinstance(labels, Sequence) and not isinstance(labels, str)
        indices = [self.label_index(label) for label in (labels if several else [labels] * n)]
        if len(indices) != n:
            raise ValueError(f"labels: expected one for all or {n}, one per image; got {len(indices)}")
        one_hot = nn.functional.one_hot(torch.tensor(indices, device=self.device), len(self.class_names))
        return one_hot.to(self.dtype)

    def label_index(self, label: int | str) -> int:
        """The index of a label given as int or class name. Raises ValueError naming the nearest class."""
        if isinstance(label, str):
            if label in self.class_names:
                return self.class_names.index(label)
            raise ValueError(f"labels: unknown class {label!r}; {nearest(label, self.class_names)}")
        index = as_whole(label)
        if index is None:
            raise ValueError(f"labels: expected an int or a class name, got {label!r}")
        if not 0 <= index < len(self.class_names):
            raise ValueError(f"labels: {index} is out of range; allowed: 0…{len(self.class_names) - 1}")
        return index

    # -- saving ---------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write ``config.json``, ``model.safetensors`` and a card, as the mixin does; a card that is there stays.

        The card that a model was loaded with goes with it, unless its weights are others now: figures of what it was
        would not be true of it.
        Weights are kept in half precision, each to about one part in two thousand: a model that is loaded again makes
        the same images but for the last, very rarely two, of their 256 levels. To train on exactly, resume the run from
        its checkpoint. A save that fails for want of room leaves the model that was in the folder before.

        Raises:
            TypeError: ``metadata`` holds what JSON cannot; nothing is written.
        """
        config = json.dumps(self.record(), indent=2) + "\n"
        state = saved_state(self)
        if self._card is not None and checksum(state) != self._card_of:
            self._card = None
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config_file, weights = (folder / f"{name}.part" for name in hub.FILES)
        try:
            config_file.write_text(config, encoding="utf-8")
            save_file(state, weights, metadata={"format": "pt"})
            return super().save_pretrained(folder, **options)
        finally:
            config_file.unlink(missing_ok=True)
            weights.unlink(missing_ok=True)

    def record(self) -> dict[str, Any]:
        """What ``config.json`` holds: the arguments, those that are settings as they are now."""
        arguments = self._hub_mixin_config or {}
        settings = {key: getattr(self, key) or arguments[key] for key in SETTINGS if key in arguments}
        return {"class": type(self).__name__, "metadata": self.metadata, **arguments, **settings}

    def _save_pretrained(self, save_directory: Path) -> None:
        for name in hub.FILES:  # which save_pretrained has written under these names
            (save_directory / f"{name}.part").replace(save_directory / name)
        card = save_directory / "README.md"
        if self._card is not None and not card.exists():  # the mixin writes one of its own where there is none
            card.write_text(self._card, encoding="utf-8")
            if self._sheet is not None and self._sheet.is_file() and self._sheet.parent != save_directory.resolve():
                shutil.copyfile(self._sheet, save_directory / self._sheet.name)

    def push_to_hub(self, repo_id: str, *, token: str | None = None, **kwargs: Any) -> str:
        """Upload config, weights and card, as the mixin does, without losing a card.

        A README that is already in the repository stays as it is, and so does the picture beside it; where there is
        none, the model's card goes there.
        ``training/publish.py`` uploads the whole model folder, samples and records included.

        Raises:
            ConnectionError: the Hub cannot be reached.
        """
        problem = hub.unreachable(constants.ENDPOINT)
        if problem:
            raise ConnectionError(f"{repo_id}: {problem}; nothing was uploaded, push it again when online")
        api = HfApi(token=token)
        if "/" not in repo_id:  # the user's own, which the Hub completes only where it creates a repository
            repo_id = f"{api.whoami()['name']}/{repo_id}"
        if api.file_exists(repo_id, "README.md", revision=kwargs.get("branch")):
            ignored = kwargs.get("ignore_patterns") or []
            kwargs["ignore_patterns"] = [*([ignored] if isinstance(ignored, str) else ignored), *hub.OPTIONAL_FILES]
        return super().push_to_hub(repo_id, token=token, **kwargs)

    # -- loading --------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Self:
        """Load a model in evaluation mode, on the CPU, in float32.

        Args:
            pretrained_model_name_or_path: a bundled name (``genhub.list_models()``), a folder, or a Hub id
                ``user/name``; looked up in that order, the local cache before the network. What was pushed since it was
                cached is fetched by ``force_download``.
            subfolder: ``"discriminator"`` for the critic kept with a GAN.
            revision, token, cache_dir, force_download, local_files_only: as in huggingface_hub.

        Raises:
            LoadError: nothing by that name, no or damaged weights, another class, or weights that do not fit.
        """
        given = str(pretrained_model_name_or_path)
        folder = hub.resolve(
            given,
            subfolder=subfolder,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        if (folder / hub.PIPELINE).is_file():
            raise LoadError(f"{given}: is a pipeline of diffusers; use genhub.load or GenHubStableDiffusion")
        config = hub.read_config(folder, given)
        saved_class = CLASSES.get(str(config.get("class")))
        if saved_class is None:
            raise LoadError(
                f"{given}: config.json names the class {config.get('class')!r}; {nearest(config.get('class'), CLASSES)}"
            )
        if not issubclass(saved_class, cls) or (saved_class is not cls and cls is not GenHubModel):
            arguments = f"{given!r}, subfolder={subfolder!r}" if subfolder else repr(given)
            hint = f"{saved_class.__name__}.from_pretrained({arguments}) or genhub.load({arguments})"
            if cls.__name__ == "GenHubDiscriminator" and (folder / "discriminator").is_dir():
                hint = f'{cls.__name__}.from_pretrained({given!r}, subfolder="discriminator")'
            raise LoadError(f"{given}: holds a {saved_class.__name__}, not a {cls.__name__}; use {hint}")
        allowed = inspect.signature(saved_class.__init__).parameters
        arguments = {key: value for key, value in config.items() if key not in ("class", "metadata")}
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in allowed.values())
        for key in arguments:
            if key not in allowed and not takes_any:
                raise LoadError(f"{given}: config.json has {key!r}; {nearest(key, list(allowed)[1:])}")
        try:
            # Neither this thread's random numbers nor its default device and type are touched.
            with torch.random.fork_rng(devices=[]), torch.device("cpu"):
                model = saved_class(**arguments).float()
        except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: sizes that no memory holds
            raise LoadError(f"{given}: config.json does not describe a {saved_class.__name__}: {error}") from error
        model.metadata = config.get("metadata") or {}
        if not isinstance(model.metadata, dict):
            raise LoadError(f"{given}: metadata in config.json must be an object, got {model.metadata!r}")
        card = folder / "README.md"
        model._card = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
        model._sheet = folder.resolve() / "samples.png"
        load_weights(model, folder / "model.safetensors", given)
        model._card_of = checksum(saved_state(model))
        return model.eval()


def saved_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights as they are saved."""
    return {key: halved(value.detach().cpu()).contiguous() for key, value in model.state_dict().items()}


def checksum(state: Mapping[str, torch.Tensor]) -> int:
    total = 0
    for key in sorted(state):
        total = zlib.crc32(state[key].reshape(-1).view(torch.uint8).numpy(), total)
    return total


def halved(value: torch.Tensor) -> torch.Tensor:
    """Half precision of a float32 tensor, unless a value is too large for it, as the variance of a norm can be, or
    all are so small that it would keep few of their digits."""
    if value.dtype != torch.float32 or not value.numel():
        return value
    largest, half = value.abs().max(), torch.finfo(torch.float16)
    fits = largest == 0 or 16 * half.tiny < largest < half.max
    return value.half() if fits else value


def load_weights(model: nn.Module, path: Path, given: str) -> None:
    """Copy a safetensors file into a model. Raises LoadError unless keys and shapes match one to one."""
    if not path.is_file():
        raise LoadError(f"{given}: no model.safetensors in the folder; save the model with save_pretrained first")
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise LoadError(f"{given}: model.safetensors is truncated or damaged ({error}); fetch it again") from error
    check_state(model.state_dict(), state, given)
    model.load_state_dict(state)


def check_state(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], given: str) -> None:
    """Raise LoadError naming the first keys or shapes that differ."""
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    reshaped = [
        f"{key} is {tuple(found[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    problems = [
        f"{len(items)} {what} ({', '.join(items[:3])}{', …' if len(items) > 3 else ''})"
        for what, items in (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        if items
    ]
    if problems:
        raise LoadError(
            f"{given}: the weights do not fit config.json: {'; '.join(problems)}; "
            "use the config.json and model.safetensors of one save"
        )
