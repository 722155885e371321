"""The networks of a Stable Diffusion pipeline, as the loop trains them; what they save is plain diffusers."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from genhub import hub
from genhub import images as im
from genhub.models.base import Labels
from genhub.prompts import captions
from genhub.stable_diffusion import GenHubStableDiffusion
from training.tokenizer import build_tokenizer, save_tokenizer

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, StableDiffusionPipeline

MOMENTUM = 0.01  # of the running spread of the latents


class LatentAutoencoder(nn.Module):
    """``AutoencoderKL`` (Rombach et al., 2022): images to maps of latents and back.

    It follows the spread of its latents while it trains, and saves the factor that brings them to unit variance.

    Args:
        block_out_channels, layers_per_block, latent_channels, norm_num_groups, mid_block_add_attention: as in
            diffusers. Each block but the last halves the side.
        image_size, channels: of the square images.
    """

    class_names: Sequence[str] = ()

    def __init__(
        self,
        *,
        block_out_channels: Sequence[int],
        layers_per_block: int,
        latent_channels: int,
        norm_num_groups: int,
        mid_block_add_attention: bool,
        image_size: int,
        channels: int,
    ) -> None:
        from diffusers import AutoencoderKL

        super().__init__()
        self.image_shape = (channels, image_size, image_size)
        self.metadata: dict[str, Any] = {}
        depth = len(block_out_channels)
        self.network: AutoencoderKL = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            sample_size=image_size,
            down_block_types=("DownEncoderBlock2D",) * depth,
            up_block_types=("UpDecoderBlock2D",) * depth,
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            mid_block_add_attention=mid_block_add_attention,
        )
        self.register_buffer("latent_variance", torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Signed images (n, C, H, W) to their reconstructions, through the mean of the posterior."""
        return self.decode(self.encode(images)[0])

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of q(z | x), (n, c, h, w) each."""
        found = self.network.encode(images).latent_dist
        return found.mean, found.logvar

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.network.decode(latents).sample

    def num_parameters(self) -> int:
        return sum(p.numel() for p in self.parameters())

    @torch.no_grad()
    def follow(self, latents: torch.Tensor) -> None:
        """Take the variance of a batch of latents into account."""
        self.latent_variance.lerp_(latents.float().var(), MOMENTUM)

    @torch.no_grad()
    def reconstruct(self, images: torch.Tensor, *, labels: Labels = None, batch_size: int = 64) -> torch.Tensor:
        """Encode and decode: float images (n, C, H, W) in [-1, 1] to the same shape."""
        im.require_signed(images, "images")
        device = self.latent_variance.device
        return torch.cat([self(part.to(device)).clamp(-1, 1).float() for part in images.split(batch_size)])

    def save_pretrained(self, folder: Path) -> None:
        self.network.register_to_config(scaling_factor=round(self.latent_variance.rsqrt().item(), 4))
        self.network.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> Self:
        """What ``save_pretrained`` wrote, in evaluation mode."""
        network = load_autoencoder(folder)
        names = ("block_out_channels", "layers_per_block", "latent_channels", "norm_num_groups")
        arguments = {name: network.config[name] for name in (*names, "mid_block_add_attention")}
        model = cls(**arguments, image_size=network.config.sample_size, channels=network.config.in_channels)
        model.network = network
        model.latent_variance.fill_(network.config.scaling_factor**-2)
        return model.eval()


class TextToImage(nn.Module):
    """The parts of a ``StableDiffusionPipeline`` (Rombach et al., 2022), text encoder and denoiser drawn anew.

    Args:
        autoencoder: folder of a trained ``AutoencoderKL``, which stays as it is.
        text_encoder: arguments of ``CLIPTextConfig`` without those that the tokenizer settles.
        unet: arguments of ``UNet2DConditionModel`` without those that the others settle.
        noise: arguments of ``DDPMScheduler``, the noise that it is trained on.
        sampler: arguments of ``DPMSolverMultistepScheduler`` beside them.
        num_inference_steps, guidance_scale: that its pictures are drawn with.
        image_size, channels: of the square images.
        dataset: whose captions it learns, see ``genhub.prompts``.
    """

    def __init__(
        self,
        *,
        autoencoder: str,
        text_encoder: Mapping[str, Any],
        unet: Mapping[str, Any],
        noise: Mapping[str, Any],
        sampler: Mapping[str, Any],
        num_inference_steps: int,
        guidance_scale: float,
        image_size: int,
        channels: int,
        dataset: str,
    ) -> None:
        from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        self.captions = captions(dataset)
        self.class_names = list(self.captions)
        self.image_shape = (channels, image_size, image_size)
        self.metadata: dict[str, Any] = {}
        self.defaults = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        self.autoencoder = load_autoencoder(autoencoder).requires_grad_(False)
        config = self.autoencoder.config
        if (config.in_channels, config.sample_size) != (channels, image_size):
            raise ValueError(
                f"autoencoder: {autoencoder} is made for {config.in_channels} channels of {config.sample_size} pixels, "
                f"the data has {channels} of {image_size}"
            )
        length = text_encoder["max_position_embeddings"]
        self.tokenizer = build_tokenizer([text for texts in self.captions.values() for text in texts], length)
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(self.tokenizer),
                bos_token_id=self.tokenizer.bos_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                pad_token_id=self.tokenizer.pad_token_id,
                **text_encoder,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=image_size // 2 ** (len(config.block_out_channels) - 1),
            in_channels=config.latent_channels,
            out_channels=config.latent_channels,
            cross_attention_dim=self.text_encoder.config.hidden_size,
            **unet,
        )
        nn.init.zeros_(self.unet.conv_out.weight)
        self.scheduler = DDPMScheduler(**noise)
        self.sampler = DPMSolverMultistepScheduler.from_config(self.scheduler.config, **sampler)

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """What the denoiser predicts of noisy latents (n, c, h, w) at timesteps (n,), told tokens (n, length)."""
        return self.unet(noisy, timesteps, self.text_encoder(tokens).last_hidden_state).sample

    def num_parameters(self) -> int:
        """Those of the autoencoder included."""
        return sum(p.numel() for p in self.parameters())

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, length) int64."""
        length = self.tokenizer.model_max_length
        found = self.tokenizer(list(texts), padding="max_length", truncation=True, max_length=length)
        return torch.tensor(found.input_ids)

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Signed images to the scaled mean and standard deviation of their latents, (n, c, h, w) each."""
        found, scale = self.autoencoder.encode(images).latent_dist, self.autoencoder.config.scaling_factor
        return found.mean * scale, found.std * scale

    def pipeline(self) -> StableDiffusionPipeline:
        from diffusers import StableDiffusionPipeline

        return StableDiffusionPipeline(
            vae=self.autoencoder,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=copy.deepcopy(self.sampler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def generate(self, n: int = 1, **options: Any) -> torch.Tensor:
        """As ``GenHubStableDiffusion.generate``."""
        prompts = {name: texts[0] for name, texts in self.captions.items()}
        return GenHubStableDiffusion(self.pipeline(), prompts, **self.defaults).generate(n, **options)

    def save_pretrained(self, folder: Path) -> None:
        """The pipeline in half precision, laid out as diffusers and the Hub expect it."""
        saved = copy.deepcopy(self).half()
        saved.text_encoder.float()  # transformers computes in the precision of the file, diffusers in float32
        saved.pipeline().save_pretrained(folder)
        save_tokenizer(self.tokenizer, folder / "tokenizer")
        # What generate does by default travels with the pipeline; diffusers leaves a file that it does not know alone.
        record = {"dataset": self.metadata.get("dataset", ""), **self.defaults, "metadata": self.metadata}
        (folder / hub.RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: Path) -> GenHubStableDiffusion:
        """What ``save_pretrained`` wrote, as others load it."""
        return GenHubStableDiffusion.from_pretrained(folder)


def load_autoencoder(folder: str | Path) -> AutoencoderKL:
    """A trained autoencoder in evaluation mode. Raises ValueError where there is none."""
    from diffusers import AutoencoderKL

    folder = Path(folder).expanduser()
    if not (folder / "config.json").is_file():
        raise ValueError(f"autoencoder: {folder} holds no AutoencoderKL; train one first and give its final/ folder")
    network = AutoencoderKL.from_pretrained(folder).eval()
    network.register_to_config(_name_or_path="")  # what is saved would name a folder of this machine
    return network
