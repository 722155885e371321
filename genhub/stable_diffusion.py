"""Text-to-image pipelines of diffusers behind the verbs of GenHub's models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from genhub import hub
from genhub.errors import LoadError, as_whole, nearest
from genhub.images import resized, unit_to_signed
from genhub.latents import sample_latents
from genhub.models.base import Labels
from genhub.models.latent import MAX_IMAGES, check_guidance, check_number, check_seed, check_whole
from genhub.paths import typed_path
from genhub.pipelines import PRESETS, check_placement, find_pipeline, load_pipeline
from genhub.prompts import PROMPTS, captions

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DiffusionPipeline

MAX_STEPS = 500  # about as many as there are between training's 1,000 for schedulers to tell them apart


class GenHubStableDiffusion:
    """A text-to-image pipeline (Rombach et al., 2022) that is asked for classes as well as for sentences.

    Args:
        pipeline: a ``StableDiffusionPipeline``, ``StableDiffusionXLPipeline`` or another one called in the same way.
        prompts: a sentence for each class, by class name; none for a model that is only asked in words.
        num_inference_steps, guidance_scale: of ``generate`` where it is not told others.
        image_shape: (channels, height, width) that images are brought to; the pipeline's own where left out.
        metadata: facts such as ``name``.

    Attributes:
        image_shape: of what ``generate`` makes.
        class_names: what the labels 0, 1, … mean.
    """

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        prompts: Mapping[str, str] | None = None,
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        image_shape: tuple[int, int, int] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.prompts = check_prompts(prompts or {})
        self.class_names = list(self.prompts)
        self.num_inference_steps = check_whole(num_inference_steps, "num_inference_steps", 1, MAX_STEPS)
        self.guidance_scale = check_guidance(guidance_scale)
        side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        self.native_shape = (pipeline.vae.config.out_channels, side, side)
        self.image_shape = tuple(image_shape or self.native_shape)
        self.metadata = dict(metadata or {})
        pipeline.set_progress_bar_config(disable=True)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dataset: str | None = None,
        prompts: Mapping[str, str] | None = None,
        scheduler: str | None = None,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
        variant: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Self:
        """Load a text-to-image pipeline. Only safetensors are read.

        Args:
            pretrained_model_name_or_path: a bundled name, a folder, a preset (``genhub.pipelines.PRESETS``) or a Hub id
                ``user/name``; the local cache is looked up before the network. A safety checker that comes with it
                is used.
            dataset: whose classes are the labels, such as ``cifar10``; what it was trained on where left out.
            prompts: a sentence for each class, by class name, instead of those of ``genhub.prompts``.
            scheduler: one of ``genhub.pipelines.SCHEDULERS`` instead of its own.
            dtype: half precision on a GPU and float32 on a CPU where left out.
            device: a GPU where there is one, if left out. What does not fit is kept in the machine's memory.
            variant: which weight files of a repository, such as ``fp16``.
            revision, token, cache_dir, force_download, local_files_only: as in huggingface_hub.

        Raises:
            LoadError: nothing by that name, no network, missing or damaged weights, or too little memory; an unknown
                scheduler, dtype or device.
            ValueError: prompts that are no sentences by class name, or a dataset that none are known for.
        """
        given = str(pretrained_model_name_or_path)
        preset = None if typed_path(given, LoadError).is_dir() else PRESETS.get(given)
        if preset is not None:
            variant, scheduler = variant or preset.variant, scheduler or preset.scheduler
        device, dtype = check_placement(scheduler, dtype, device)  # before gigabytes are fetched
        if prompts is None and dataset is not None:
            prompts = class_prompts(dataset)
        elif prompts is not None:
            check_prompts(prompts)
        options = {"revision": revision, "token": token, "cache_dir": cache_dir}
        options |= {"force_download": force_download, "local_files_only": local_files_only}
        folder = find_pipeline(preset.repo_id if preset else given, variant, **options)
        pipeline = load_pipeline(folder, given, variant=variant, scheduler=scheduler, dtype=dtype, device=device)
        record = hub.read_record(folder, given) if preset is None else vars(preset)
        sampling = {key: record[key] for key in ("num_inference_steps", "guidance_scale") if key in record}
        if prompts is None and record.get("dataset"):
            prompts = class_prompts(record["dataset"])
        return cls(pipeline, prompts, **sampling, metadata={"name": given, **record.get("metadata", {})})

    def for_dataset(self, dataset: str) -> GenHubStableDiffusion:
        """The same pipeline asked for the classes of a dataset, with thumbnails of its images' shape."""
        trained, sources = (self.metadata.get(key, "").split("+") for key in ("dataset", "source"))
        source = dict(zip(trained, sources, strict=False)).get(dataset, dataset)
        return GenHubStableDiffusion(
            self.pipeline,
            class_prompts(dataset),
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            image_shape=PROMPTS[dataset].image_shape if dataset in PROMPTS else None,
            metadata={**self.metadata, "dataset": dataset, "source": source},
        )

    def to(self, device: str | torch.device) -> Self:
        """Move the pipeline, unless its memory plan moves it by itself. Returns this object."""
        if not any(hasattr(part, "_hf_hook") for part in self.pipeline.components.values()):
            self.pipeline.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return self.pipeline._execution_device

    @property
    def dtype(self) -> torch.dtype:
        return self.pipeline.unet.dtype

    def num_parameters(self) -> int:
        """How many numbers are learned, in all parts of the pipeline."""
        parts = [part for part in self.pipeline.components.values() if isinstance(part, torch.nn.Module)]
        return sum(p.numel() for part in parts for p in part.parameters())

    @torch.no_grad()
    def generate(
        self,
        n: int = 1,
        *,
        labels: Labels = None,
        prompt: str | Sequence[str] | None = None,
        seed: int | None = None,
        truncation: float = 1.0,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        batch_size: int = 8,
        callback: Callable[[int, torch.Tensor, Callable[[], torch.Tensor]], None] | None = None,
    ) -> torch.Tensor:
        """Make n images (n, C, H, W) of ``image_shape``, float32 in [-1, 1].

        Image i depends only on the weights, its label or prompt, the seed, i and the options of sampling.

        Args:
            n: how many, 1…100,000.
            labels: one label for all or one per image, as int or class name; each is asked for by its sentence.
            prompt: one sentence for all or one per image, instead of labels.
            seed: 0…2³²−1; None draws one at random.
            truncation: in [0, 1], multiplies the noise that images start from.
            num_inference_steps: denoising steps, 1…500; None takes the model's own.
            guidance_scale: 0…30; above 1 follows the prompt more closely, at twice the time (Ho & Salimans, 2021).
            negative_prompt: one sentence for what all images are led away from; only with guidance.
            batch_size: images made at once; bounds memory, does not change the result.
            callback: called after each step of each batch with the step's index, the latents so far and a function
                that decodes them, to images (batch, C, H, W) in [-1, 1] of the pipeline's own size.

        Raises:
            ValueError: an argument out of range; neither or both of labels and prompt; an unknown label.
        """
        check_whole(n, "n", 1, MAX_IMAGES)
        check_whole(batch_size, "batch_size", 1, MAX_IMAGES)
        truncation = check_number(truncation, "truncation", 0, 1)
        prompts = self.sentences(n, labels, prompt)
        if negative_prompt is not None and not isinstance(negative_prompt, str):
            raise ValueError(f"negative_prompt: expected one sentence for all images, got {negative_prompt!r}")
        steps = self.num_inference_steps
        if num_inference_steps is not None:
            steps = check_whole(num_inference_steps, "num_inference_steps", 1, MAX_STEPS)
        options: dict[str, Any] = {
            "num_inference_steps": steps,
            "guidance_scale": self.guidance_scale if guidance_scale is None else check_guidance(guidance_scale),
            "output_type": "pt",
        }
        if callback is not None:
            options["callback_on_step_end"] = forward_steps(callback)
        seed = check_seed(seed)
        side = self.pipeline.unet.config.sample_size
        shape = (self.pipeline.unet.config.in_channels, side, side)
        latents = sample_latents(n, int(np.prod(shape)), seed).mul_(truncation).reshape(n, *shape)
        pipeline = private(self.pipeline)
        made = []
        for first in range(0, n, batch_size):
            part = slice(first, first + batch_size)
            count = len(prompts[part])
            images = pipeline(
                prompts[part],
                negative_prompt=None if negative_prompt is None else [negative_prompt] * count,
                latents=latents[part].to(self.device, self.dtype),
                generator=[image_generator(seed, i) for i in range(first, first + count)],  # where steps add noise
                **options,
            ).images
            made.append(resized(unit_to_signed(images.float()), self.image_shape))
        return torch.cat(made)

    def sentences(self, n: int, labels: Labels, prompt: str | Sequence[str] | None) -> list[str]:
        """What each of n images is asked for with. Raises ValueError."""
        if (labels is None) == (prompt is None):
            got = "neither" if labels is None else "both"
            classes = f" out of {', '.join(self.class_names)}" if self.class_names else ""
            raise ValueError(
                f"labels, prompt: give one of them, got {got}; labels are{classes}, a prompt is a sentence"
            )
        if prompt is not None:
            several = [prompt] * n if isinstance(prompt, str) else prompt
            if not isinstance(several, Sequence) or not all(isinstance(sentence, str) for sentence in several):
                raise ValueError(f"prompt: expected a sentence, or one per image, got {prompt!r}")
        elif not self.prompts:
            raise ValueError(
                f"labels: this pipeline has no classes, got {labels!r}; give prompt, or load it with dataset"
            )
        else:
            if hasattr(labels, "tolist"):
                labels = labels.tolist()
            alone = isinstance(labels, str) or not isinstance(labels, Sequence)
            several = [self.prompts[self.class_name(label)] for label in ([labels] * n if alone else labels)]
        if len(several) != n:
            name = "labels" if prompt is None else "prompt"
            raise ValueError(f"{name}: expected one for all or {n}, one per image; got {len(several)}")
        return list(several)

    def class_name(self, label: int | str) -> str:
        """The class of a label. Raises ValueError naming the nearest one."""
        if isinstance(label, str):
            if label not in self.prompts:
                raise ValueError(f"labels: unknown class {label!r}; {nearest(label, self.class_names)}")
            return label
        index = as_whole(label)
        if index is None or not 0 <= index < len(self.class_names):
            raise ValueError(f"labels: expected a class name or 0…{len(self.class_names) - 1}, got {label!r}")
        return self.class_names[index]


def forward_steps(callback: Callable[..., None]) -> Callable[..., dict]:
    """A callback as the pipeline calls it."""

    def forward(pipeline: DiffusionPipeline, step: int, _: Any, tensors: dict) -> dict:
        latents = tensors["latents"]
        callback(step, latents.float(), lambda: decoded(pipeline.vae, latents))
        return {}

    return forward


@torch.no_grad()
def decoded(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1] of a pipeline's latents."""
    dtype = vae.dtype
    upcast = dtype == torch.float16 and vae.config.force_upcast  # as pipelines do: its activations overflow
    if upcast:
        vae.to(torch.float32)
    try:
        images = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
    finally:
        if upcast:
            vae.to(dtype)
    return images.float().clamp(-1, 1)


def private(pipeline: DiffusionPipeline) -> DiffusionPipeline:
    """The same networks with a state of sampling of their own: who samples at the same time changes nothing here."""
    mine = copy.copy(pipeline)
    mine.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    return mine


def check_prompts(prompts: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str) for pair in prompts.items() for text in pair):
        raise ValueError(
            f"prompts: expected a sentence for each class name, such as {{'cat': 'a cat'}}, got {prompts!r}"
        )
    return dict(prompts)


def class_prompts(dataset: str) -> dict[str, str]:
    """The first sentence for each class of a dataset."""
    return {name: sentences[0] for name, sentences in captions(dataset).items()}


def image_generator(seed: int, index: int) -> torch.Generator:
    """A CPU generator for image ``index`` of a seed."""
    state = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
