"""Real text-to-image pipelines of diffusers, small and untrained: images of 8×8 within milliseconds."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
)

from genhub.prompts import captions
from training.tokenizer import build_tokenizer

LENGTH = 24
WIDTH = 8  # of a text encoder
TEXTS = [text for texts in captions("cifar10+mnist").values() for text in texts]


def tokenizer() -> Any:
    return build_tokenizer(TEXTS, LENGTH)


def text_encoder(kind: type = CLIPTextModel) -> Any:
    words = tokenizer()
    return kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            initializer_factor=20.0,  # so that untrained words differ
        )
    )


def autoencoder() -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        norm_num_groups=2,
        sample_size=8,
        scaling_factor=1.0,
    )


def unet(**options: Any) -> diffusers.UNet2DConditionModel:
    defaults = {
        "sample_size": 4,
        "block_out_channels": (4, 8),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "attention_head_dim": 2,
        "norm_num_groups": 2,
        "cross_attention_dim": WIDTH,
    }
    return diffusers.UNet2DConditionModel(**defaults | options)


def stable_diffusion(checked: bool = False) -> diffusers.StableDiffusionPipeline:
    """With ``checked``, a safety checker comes with it."""
    torch.manual_seed(0)
    safety_checker = feature_extractor = None
    if checked:
        from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker

        small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        vision = {**small, "image_size": 8, "patch_size": 4}
        config = CLIPConfig(text_config={**small, "vocab_size": 8}, vision_config=vision, projection_dim=4)
        safety_checker = StableDiffusionSafetyChecker(config)
        feature_extractor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(),
        unet=unet(),
        scheduler=diffusers.DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=safety_checker,
        feature_extractor=feature_extractor,
        requires_safety_checker=checked,
    )


def turbo() -> diffusers.StableDiffusionPipeline:
    """As SD-Turbo: a scheduler that adds noise after each step, made for one step without guidance."""
    pipeline = stable_diffusion()
    pipeline.scheduler = diffusers.EulerAncestralDiscreteScheduler(timestep_spacing="trailing")
    return pipeline


def stable_diffusion_xl() -> diffusers.StableDiffusionXLPipeline:
    torch.manual_seed(0)
    times = 4
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=times,
            projection_class_embeddings_input_dim=WIDTH + 6 * times,
            use_linear_projection=True,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(steps_offset=1),
        add_watermarker=False,
    )


KINDS = {"sd": stable_diffusion, "sdxl": stable_diffusion_xl, "turbo": turbo}
