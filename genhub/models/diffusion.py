"""Diffusion models: a denoiser and the noise schedule that it was trained on."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from genhub.errors import nearest
from genhub.images import require_signed
from genhub.models.base import Labels
from genhub.models.latent import BATCH, PriorModel, check_guidance, check_whole, evaluating

if TYPE_CHECKING:
    from diffusers import DDIMScheduler

Callback = Callable[[int, torch.Tensor, torch.Tensor], None]  # after each denoising step, see ``generate``


class GenHubDiffusion(PriorModel):
    """Denoising diffusion model (Ho et al., 2020), class-conditional where it has class names.

    The denoiser is diffusers' ``UNet2DModel``, the noise that of its ``DDIMScheduler``. Sampling is deterministic: the
    latent of an image is the noise that it starts from, so seeds and interpolation mean what they mean for every model.

    Args:
        unet: arguments of ``UNet2DModel``, without sizes and classes, which follow from the others.
        scheduler: arguments of ``DDIMScheduler``; ``prediction_type`` says what the network predicts.
        patch: side of the pixel patches that are moved into channels before the network and back after it. 2 makes it
            work on maps of half the side, about four times as cheap.
        components: principal components of the patches that are noised and denoised in place of the pixels: a linear
            first stage to latent diffusion (Rombach et al., 2022), which ``fit_components`` fits to images. What the
            others hold is left out of all samples. None denoises the pixels.
        num_inference_steps: denoising steps of ``generate`` where it is not told another number.
        guidance_scale: of ``generate`` where it is not told another; 1 is none (Ho & Salimans, 2021).
        solver_order: 1 samples by DDIM (Song et al., 2021); 2 by DPM-Solver++(2M) (Lu et al., 2022), which costs the
            same and blurs less: each step also looks at how the expected clean image changed over the one before.
        image_size, channels: of the square images.
        class_names: given for a conditional model. No class, as guidance needs it, is all class weights zero.
    """

    def __init__(
        self,
        *,
        unet: Mapping[str, Any],
        scheduler: Mapping[str, Any],
        patch: int,
        num_inference_steps: int,
        guidance_scale: float,
        image_size: int,
        channels: int,
        class_names: Sequence[str] | None = None,
        components: int | None = None,
        solver_order: int = 1,
    ) -> None:
        from diffusers import DDIMScheduler, UNet2DModel

        super().__init__(image_size=image_size, channels=channels, class_names=class_names)
        self.patch = check_whole(patch, "patch", 1, image_size)
        unbounded = {"clip_sample": False} if components else {}  # components, unlike pixels, have ranges of their own
        self.scheduler = build(DDIMScheduler, scheduler, unbounded, "scheduler")
        if self.scheduler.config.prediction_type == "epsilon" and self.scheduler.alphas_cumprod[-1] == 0:
            raise ValueError(
                "scheduler.prediction_type: with rescale_betas_zero_snr the first step sees pure noise, in which to "
                "predict noise says nothing of the image; use 'v_prediction' or 'sample'"
            )
        self.num_inference_steps = self.check_steps(num_inference_steps)
        self.guidance_scale = check_guidance(guidance_scale)
        self.solver_order = check_whole(solver_order, "solver_order", 1, 2)
        planes, side = channels * self.patch**2, image_size // self.patch
        self.components = None if components is None else check_whole(components, "components", 1, planes)
        self.sample_shape = self.image_shape if components is None else (components, side, side)
        self.latent_dim = math.prod(self.sample_shape)
        kept = components or planes
        fixed = {"sample_size": side, "in_channels": kept, "out_channels": kept}
        fixed |= {"class_embed_type": "identity" if self.class_names else None, "num_class_embeds": None}
        self.unet = build(UNet2DModel, unet, fixed, "unet")
        depth = len(self.unet.config.block_out_channels)
        if image_size % (self.patch * 2 ** (depth - 1)):
            raise ValueError(
                f"patch: images of {image_size} pixels cannot be cut into patches of {patch} and then halved "
                f"{depth - 1} times; use fewer blocks or another patch"
            )
        if self.class_names:  # linear in the class weights: mixtures of classes, and zeros for no class
            width = self.unet.time_embedding.linear_2.out_features
            self.class_embedding = nn.Linear(len(self.class_names), width, bias=False)
        self.unet.to(memory_format=torch.channels_last)
        if self.components:
            self.register_buffer("patch_mean", torch.zeros(planes))
            self.register_buffer("patch_basis", torch.eye(components, planes))  # orthonormal rows

    @torch.no_grad()
    def fit_components(self, images: torch.Tensor) -> None:
        """Take the principal components of the patches of signed images (n, C, H, W).

        Raises ValueError for another shape or range, and for a model that denoises pixels.
        """
        if not self.components:
            raise ValueError("components: this model denoises pixels; make it with a number of components to fit some")
        self.check_shape(images)
        require_signed(images, "images")
        patches = F.pixel_unshuffle(images, self.patch).movedim(1, -1).flatten(0, -2).double()
        self.patch_mean.copy_(patches.mean(dim=0))
        _, vectors = torch.linalg.eigh(torch.cov(patches.T))  # in ascending order
        self.patch_basis.copy_(vectors.flip(1)[:, : self.components].T)

    def pack(self, images: torch.Tensor) -> torch.Tensor:
        """Signed images (n, C, H, W) to what is noised and denoised, (n, *sample_shape)."""
        if not self.components:
            return images
        centred = F.pixel_unshuffle(images, self.patch) - self.patch_mean[:, None, None]
        with torch.autocast(images.device.type, enabled=False):  # what a loss aims at stays in full precision
            return torch.einsum("kc,nchw->nkhw", self.patch_basis, centred)

    def unpack(self, samples: torch.Tensor) -> torch.Tensor:
        """The images (n, C, H, W) of samples (n, *sample_shape)."""
        if not self.components:
            return samples
        centred = torch.einsum("kc,nkhw->nchw", self.patch_basis, samples)
        return F.pixel_shuffle(centred + self.patch_mean[:, None, None], self.patch)

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        """What the network predicts of noisy samples (n, *sample_shape) at timesteps (n,): the same shape.

        Which of noise, velocity or clean sample it is says ``scheduler.config.prediction_type``.
        """
        classes = self.class_embedding(condition) if self.class_names else None
        if self.components:
            return self.unet(noisy, timesteps, class_labels=classes).sample
        x = F.pixel_unshuffle(noisy, self.patch)  # (n, C·p², H/p, W/p)
        return F.pixel_shuffle(self.unet(x, timesteps, class_labels=classes).sample, self.patch)

    def guided(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor | None, scale: float
    ) -> torch.Tensor:
        """``forward`` with classifier-free guidance: scale 1 is the conditional prediction, more exaggerates it."""
        if condition is None or scale == 1:
            return self(noisy, timesteps, condition)
        both = torch.cat([condition, torch.zeros_like(condition)])
        with_class, without = self(noisy.repeat(2, 1, 1, 1), timesteps.repeat(2), both).chunk(2)
        return without + scale * (with_class - without)

    def decode(self, latents: torch.Tensor, labels: Labels = None) -> torch.Tensor:
        self.check_latents(latents)
        condition = self.condition(labels, len(latents))
        return self.denoise(latents, condition, self.num_inference_steps, self.guidance_scale)

    def denoise(
        self,
        latents: torch.Tensor,
        condition: torch.Tensor | None,
        steps: int,
        scale: float,
        callback: Callback | None = None,
    ) -> torch.Tensor:
        """Noise (n, latent_dim) to images (n, C, H, W) in [-1, 1]."""
        scheduler = copy.copy(self.scheduler)  # set_timesteps changes it
        scheduler.set_timesteps(steps)
        timesteps = scheduler.timesteps[:steps].tolist()  # rounding can leave it one too many
        x = latents.reshape(-1, *self.sample_shape)
        before = None  # the clean image of the step before and how far it went in log signal-to-noise ratio
        for i, (timestep, following) in enumerate(pairwise([*timesteps, -1])):
            at, to = (torch.full((len(x),), t, device=x.device) for t in (timestep, following))
            clean = scheduler.step(self.guided(x, at, condition, scale), timestep, x).pred_original_sample
            # The scheduler's own next x is not taken: it always goes down by the same whole number of timesteps, which
            # leads to the one that is next only where the number of steps divides that of training.
            # Guidance leads clean pixels out of range. They were clipped, and then the noise must be what remains of x.
            (alpha, sigma), (next_alpha, next_sigma) = levels(scheduler, at), levels(scheduler, to)
            h = (next_alpha / next_sigma).log() - (alpha / sigma).log()
            target = clean
            if self.solver_order == 2 and before is not None and following >= 0:  # the last h is infinite
                target = clean + h / before[1] / 2 * (clean - before[0])
            before = clean, h
            x = (next_alpha * target + next_sigma * (x - alpha * target) / sigma).to(x.dtype)
            if callback is not None:
                callback(i, self.unpack(x).float(), self.unpack(clean).float())
        return self.unpack(x).clamp(-1, 1)

    @torch.no_grad()
    def generate(
        self,
        n: int = 1,
        *,
        labels: Labels = None,
        seed: int | None = None,
        truncation: float = 1.0,
        batch_size: int = BATCH,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        callback: Callback | None = None,
    ) -> torch.Tensor:
        """Make n images (n, C, H, W), float32 in [-1, 1], on the model's device, in evaluation mode.

        Image i depends only on the weights, its label, the seed, i and the two options of sampling.

        Args:
            n, labels, seed, batch_size: as for every model.
            truncation: in [0, 1], multiplies the noise that images start from.
            num_inference_steps: denoising steps, 1…1,000; fewer are quicker and coarser. None takes the model's own.
            guidance_scale: 0…30; above 1 trades variety for typicality. None takes the model's own.
            callback: called after each step of each batch with the step's index, what the noise has become so far and
                the clean images that the network expects, both (batch, C, H, W).

        Raises:
            ValueError: an argument out of range, missing or superfluous labels.
        """
        steps = self.num_inference_steps if num_inference_steps is None else self.check_steps(num_inference_steps)
        scale = self.guidance_scale if guidance_scale is None else check_guidance(guidance_scale)
        parts = self.draw(n, labels, seed, truncation, batch_size)
        with evaluating(self):
            return torch.cat([self.denoise(*part, steps, scale, callback) for part in parts]).float()

    def check_steps(self, steps: int) -> int:
        return check_whole(steps, "num_inference_steps", 1, self.scheduler.config.num_train_timesteps)


def levels(scheduler: DDIMScheduler, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of signal and of noise at timesteps (n,), (n, 1, 1, 1) each; before the first timestep all is signal."""
    alphas = scheduler.alphas_cumprod.to(timesteps.device)
    squared = torch.where(timesteps < 0, scheduler.final_alpha_cumprod.to(alphas), alphas[timesteps.clamp_min(0)])
    return squared.sqrt().reshape(-1, 1, 1, 1), (1 - squared).sqrt().reshape(-1, 1, 1, 1)


def build(kind: type, given: Mapping[str, Any], fixed: Mapping[str, Any], where: str) -> Any:
    """An object of diffusers. Raises ValueError for what it does not take, or what ``fixed`` already settles."""
    allowed = [name for name in inspect.signature(kind.__init__).parameters if name not in ("self", *fixed)]
    for key in given:
        if key not in allowed:
            raise ValueError(f"{where}.{key}: {kind.__name__} is not given it here; {nearest(key, allowed)}")
    try:
        return kind(**given, **fixed)
    except Exception as error:  # what diffusers makes of numbers that fit no network is of nearly any kind
        # The first kinds speak in sentences; of the others the kind says more than the message, "0" for a KeyError.
        told = isinstance(error, (TypeError, ValueError, NotImplementedError))
        raise ValueError(f"{where}: {error if told else repr(error)}") from error
