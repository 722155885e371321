"""Finding and loading text-to-image pipelines of diffusers: presets, folders and Hub ids; what fits into memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from huggingface_hub import constants
from safetensors import SafetensorError, safe_open

from genhub import hub
from genhub.errors import LoadError, nearest

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Plan = Literal["whole", "sliced", "offloaded", "streamed"]


@dataclasses.dataclass(frozen=True)
class Preset:
    """A pipeline of the Hub and how it is meant to be sampled.

    Attributes:
        repo_id: on the Hub.
        num_inference_steps, guidance_scale: what its authors recommend.
        scheduler: one of ``SCHEDULERS`` instead of its own.
        variant: which of its weight files; half precision is half the download.
    """

    repo_id: str
    num_inference_steps: int
    guidance_scale: float
    scheduler: str | None = None
    variant: str | None = "fp16"


PRESETS = {
    "stable-diffusion-1.5": Preset("stable-diffusion-v1-5/stable-diffusion-v1-5", 25, 7.5, "dpm++"),
    "sd-turbo": Preset("stabilityai/sd-turbo", 1, 0.0),
    "sdxl-turbo": Preset("stabilityai/sdxl-turbo", 1, 0.0),
}
SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lcm": "LCMScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
}
OVERHEAD = 1.25  # activations and buffers beside the weights, about
SMALLEST = "stable-diffusion-mini"


def is_pipeline(given: str) -> bool:
    """Whether a name is a preset's, or a bundled or local folder is laid out as a pipeline. Asks no network."""
    local = hub.local_path(given)
    return (local / hub.PIPELINE).is_file() or (given in PRESETS and not local.is_dir())


def find_pipeline(given: str, variant: str | None, **options: Any) -> Path:
    """The folder of a pipeline: bundled or local, else of a Hub id from the cache or the network. Raises LoadError."""
    local = hub.local_path(given)
    if local.is_dir():
        if not (local / hub.PIPELINE).is_file():
            raise LoadError(f"{given}: no {hub.PIPELINE}, so no pipeline of diffusers; found: {hub.listing(local)}")
        return local
    if local.exists():
        raise LoadError(f"{given}: is a file; give the folder that holds {hub.PIPELINE}")
    if not hub.is_hub_id(given):
        known = [*PRESETS, *(name for name in hub.bundled_names() if is_pipeline(name))]
        raise LoadError(f"{given}: no preset, folder or Hub id 'user/name' by that name; {nearest(given, known)}")
    return download(given, variant, **options)


def download(repo_id: str, variant: str | None, **options: Any) -> Path:
    """Fetch a pipeline's files from the cache or the Hub and return their folder. Raises LoadError."""
    from diffusers import DiffusionPipeline

    def fetch(**more: Any) -> Path:
        return Path(DiffusionPipeline.download(repo_id, use_safetensors=True, variant=variant, **options | more))

    if not options.get("force_download"):
        try:
            cached = fetch(local_files_only=True)
            if not what_lacks(cached):
                return cached
        except (OSError, ValueError):  # diffusers' words for what is not in the cache
            pass
    if options.get("local_files_only") or constants.is_offline_mode():
        raise LoadError(f"{repo_id}: not in the local cache, and offline mode forbids the network; go online once")
    hub.require_reachable(repo_id)
    with hub.explained(repo_id, hub.PIPELINE, options.get("revision")):
        try:
            return fetch()
        except ValueError as error:  # such as weights that exist only pickled, or a variant that does not
            raise LoadError(f"{repo_id}: {hub.one_line(error)}") from error


def what_lacks(folder: Path) -> list[str]:
    """The parts of a pipeline folder that have a config but no weights, or nothing at all."""
    index = hub.read_json(folder / hub.PIPELINE, folder.name)
    lacking = []
    for name, value in index.items():
        if name.startswith("_") or not isinstance(value, list) or None in value:
            continue
        part = folder / name
        if not part.is_dir() or ((part / "config.json").is_file() and not any(part.glob("*.safetensors"))):
            lacking.append(name)
    return lacking


def check_placement(
    scheduler: str | None, dtype: torch.dtype | None, device: str | torch.device | None
) -> tuple[torch.device, torch.dtype]:
    """Where a pipeline shall run and in what precision; both are chosen where left out. Raises LoadError."""
    if scheduler is not None and scheduler not in SCHEDULERS:
        raise LoadError(f"scheduler: got {scheduler!r}; {nearest(scheduler, SCHEDULERS)}")
    best = best_device()
    try:
        wanted = best if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise LoadError(f"device: got {device!r}; use one of torch's such as 'cpu' or 'cuda'") from error
    if wanted.type in ("cuda", "mps") and wanted.type != best.type:
        raise LoadError(f"device: got {str(wanted)!r}, which this machine lacks; use {str(best)!r}")
    if dtype is None:
        dtype = torch.float32 if wanted.type == "cpu" else torch.float16
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise LoadError(f"dtype: expected one of torch's such as torch.float16, got {dtype!r}")
    return wanted, dtype


def load_pipeline(
    folder: Path,
    given: str,
    *,
    variant: str | None,
    scheduler: str | None,
    dtype: torch.dtype,
    device: torch.device,
) -> DiffusionPipeline:
    """A pipeline ready to be called, where and in what precision memory allows. Raises LoadError."""
    try:
        import diffusers
        import transformers  # noqa: F401 - of every text encoder
    except ImportError as error:
        raise LoadError(f"{given}: pipelines take more packages: pip install diffusers transformers") from error
    index = hub.read_json(folder / hub.PIPELINE, given)
    if not {"unet", "vae", "tokenizer"} <= set(index):
        raise LoadError(
            f"{given}: is a {index.get('_class_name')}; only text-to-image pipelines with a U-Net and an autoencoder "
            "can be used, such as StableDiffusionPipeline and StableDiffusionXLPipeline"
        )
    if lacking := what_lacks(folder):
        raise LoadError(f"{given}: the pipeline lacks the weights of {', '.join(lacking)}; fetch or save it again")
    variant = variant if variant and any(folder.glob(f"*/*.{variant}*.safetensors")) else None
    sizes = part_sizes(folder, variant, dtype, given)
    plan = plan_memory(sizes, free_memory(torch.device("cpu")), free_memory(device), device.type, given)
    try:
        with without_progress_bars():
            pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                folder, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=True
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise LoadError(f"{given}: the pipeline cannot be loaded: {hub.one_line(error)}") from error
    if scheduler is not None:
        chosen = getattr(diffusers, SCHEDULERS[scheduler])
        pipeline.scheduler = chosen.from_config(pipeline.scheduler.config)
    try:
        return placed(pipeline, plan, device)
    except ImportError as error:
        raise LoadError(f"{given}: needs more memory than {device} has, or: pip install accelerate") from error


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Reading files of this machine is over before a bar says anything."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [bars for bars in (of_diffusers, of_transformers) if bars.is_progress_bar_enabled()]
    for bars in shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()


def best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def part_sizes(folder: Path, variant: str | None, dtype: torch.dtype, given: str) -> dict[str, int]:
    """Bytes that each part's weights take in ``dtype``, from the headers of its files."""
    sizes: dict[str, int] = {}
    for path in sorted(folder.glob("*/*.safetensors")):
        of_variant = len(path.name.split(".")) > 2
        if of_variant != (variant is not None and f".{variant}" in path.name):
            continue
        try:
            with safe_open(path, framework="pt") as file:
                shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError) as error:
            where = path.relative_to(folder).as_posix()
            raise LoadError(f"{given}: {where} is truncated or damaged ({error}); fetch it again") from error
        elements = sum(torch.Size(shape).numel() for shape in shapes)
        sizes[path.parent.name] = sizes.get(path.parent.name, 0) + elements * dtype.itemsize
    return sizes


def free_memory(device: torch.device) -> float:
    """Bytes that a device has to give, as far as it says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return float("inf")  # shares the memory of the machine
    limits = [float("inf")]
    info = Path("/proc/meminfo")
    if info.is_file():
        limits += [1024 * int(n) for n in re.findall(r"^MemAvailable:\s*(\d+)", info.read_text(), re.MULTILINE)]
    elif hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    limits.append(container_memory(Path("/sys/fs/cgroup")))
    return min(limits)


def container_memory(group: Path) -> float:
    """Bytes that the container of a control group (cgroup v2) may still take; infinite where nothing limits it."""
    most = (group / "memory.max").read_text().strip() if (group / "memory.max").is_file() else "max"
    if most == "max":
        return float("inf")
    # What is counted includes copies of files, which give way: a download has just filled memory with them.
    cached = re.search(r"^inactive_file (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
    return int(most) - int((group / "memory.current").read_text()) + (int(cached[1]) if cached else 0)


def plan_memory(sizes: dict[str, int], host: float, free: float, device: str, given: str) -> Plan:
    """How a pipeline whose parts take ``sizes`` bytes runs on a device with ``free`` of them. Raises LoadError.

    ``whole``: all parts stay on it. ``sliced``: as well, and attention goes head by head. ``offloaded``: one part at a
    time is moved to it. ``streamed``: layer by layer, which is slow.
    """
    whole, largest = OVERHEAD * sum(sizes.values()), OVERHEAD * max(sizes.values(), default=0)
    if whole > host:
        raise LoadError(
            f"{given}: takes about {whole / 2**30:.1f} GiB of memory, {host / 2**30:.1f} GiB are free; "
            f"use a machine with more, or the bundled {SMALLEST!r}"
        )
    if device != "cuda":
        return "whole" if 2 * whole < host else "sliced"
    if whole < free:
        return "whole" if 2 * whole < free else "sliced"
    return "offloaded" if largest < free else "streamed"


def placed(pipeline: DiffusionPipeline, plan: Plan, device: torch.device) -> DiffusionPipeline:
    if plan != "whole":
        pipeline.enable_attention_slicing()
    match plan:
        case "offloaded":
            pipeline.enable_model_cpu_offload(device=device)
        case "streamed":
            pipeline.enable_sequential_cpu_offload(device=device)
        case _:
            pipeline.to(device)
    return pipeline
