"""One small model per kind of network, with weights that make every output differ from every other."""

from __future__ import annotations

from collections.abc import Callable

import torch

from genhub import (
    GenHubAE,
    GenHubCGAN,
    GenHubClassifier,
    GenHubDiffusion,
    GenHubDiscriminator,
    GenHubGAN,
    GenHubModel,
    GenHubProjectedDiscriminator,
    GenHubVAE,
)

CLASSES = ["cat", "dog", "frog"]
GREY = {"image_size": 8, "channels": 1}
COLOUR = {"image_size": 8, "channels": 3}

DENSE_ENCODER = [{"op": "flatten"}, {"op": "dense", "width": 24, "act": "relu"}]
DENSE_DECODER = [
    {"op": "dense", "width": 24, "act": "relu"},
    {"op": "dense", "width": 64},
    {"op": "reshape", "size": 8, "act": "sigmoid"},
]
DENSE_GENERATOR = [*DENSE_DECODER[:-1], {"op": "reshape", "size": 8, "act": "tanh"}]
CONV_ENCODER = [
    {"op": "conv", "width": 6, "kernel": 4, "stride": 2, "norm": "batch", "act": "lrelu"},
    {"op": "conv", "width": 8, "kernel": 4, "stride": 2, "norm": "batch", "act": "lrelu"},
    {"op": "flatten"},
]
UP = [
    {"op": "dense", "width": 32, "bias": False},
    {"op": "reshape", "size": 2, "norm": "batch", "act": "relu"},
    {"op": "conv_transpose", "width": 6, "kernel": 4, "stride": 2, "norm": "batch", "act": "relu"},
]
TO_COLOUR = {"op": "conv_transpose", "width": 3, "kernel": 4, "stride": 2, "act": "tanh"}
CONV_DECODER = [*UP, TO_COLOUR]
LABELLED_DECODER = [{"op": "label"}, *CONV_DECODER]
CONDITIONAL_NORMS = [
    {"op": "dense", "width": 32, "spectral": True},
    {"op": "reshape", "size": 2},
    {"op": "upsample", "norm": "conditional_batch", "act": "relu"},
    {"op": "attention"},
    {"op": "residual", "body": [{"op": "upsample"}, {"op": "conv", "width": 4, "spectral": True}]},
    {"op": "conv", "width": 3, "act": "tanh"},
]
CRITIC = [
    {"op": "conv", "width": 6, "kernel": 4, "stride": 2, "spectral": True, "act": "lrelu"},
    {"op": "minibatch_deviation"},
    {"op": "flatten"},
]
DENOISER = {
    "unet": {
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "norm_num_groups": 4,
    },
    "scheduler": {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "beta_schedule": "squaredcos_cap_v2",
    },
    "num_inference_steps": 4,
}

MODELS: dict[str, Callable[[], GenHubModel]] = {
    "gan": lambda: GenHubGAN(latent_dim=5, stages=CONV_DECODER, **COLOUR),
    "gan-dense": lambda: GenHubGAN(latent_dim=5, stages=DENSE_GENERATOR, **GREY),
    "cgan": lambda: GenHubCGAN(latent_dim=5, stages=LABELLED_DECODER, class_names=CLASSES, **COLOUR),
    "cgan-norms": lambda: GenHubCGAN(latent_dim=5, stages=CONDITIONAL_NORMS, class_names=CLASSES, **COLOUR),
    "ae-dense": lambda: GenHubAE(latent_dim=4, encoder=DENSE_ENCODER, decoder=DENSE_DECODER, **GREY),
    "ae-conv": lambda: GenHubAE(latent_dim=4, encoder=CONV_ENCODER, decoder=CONV_DECODER, **COLOUR),
    "ae-labelled": lambda: GenHubAE(
        latent_dim=4, encoder=CONV_ENCODER, decoder=LABELLED_DECODER, class_names=CLASSES, **COLOUR
    ),
    "vae-dense": lambda: GenHubVAE(latent_dim=4, encoder=DENSE_ENCODER, decoder=DENSE_DECODER, **GREY),
    "vae-conv": lambda: GenHubVAE(latent_dim=4, encoder=CONV_ENCODER, decoder=CONV_DECODER, **COLOUR),
    "vae-labelled": lambda: GenHubVAE(
        latent_dim=4,
        encoder=[{"op": "label"}, *CONV_ENCODER],
        decoder=LABELLED_DECODER,
        class_names=CLASSES,
        **COLOUR,
    ),
    "diffusion": lambda: GenHubDiffusion(**DENOISER, patch=2, guidance_scale=1.0, **COLOUR),
    "diffusion-labelled": lambda: GenHubDiffusion(
        **DENOISER, patch=1, guidance_scale=2.0, class_names=CLASSES, **COLOUR
    ),
    "classifier": lambda: GenHubClassifier(
        stages=[*CONV_ENCODER, {"op": "dense", "width": 3}], class_names=CLASSES, **COLOUR
    ),
    "discriminator": lambda: GenHubDiscriminator(stages=[*CRITIC, {"op": "dense", "width": 1}], **COLOUR),
    "discriminator-conditional": lambda: GenHubDiscriminator(
        stages=[*CRITIC, {"op": "projection", "spectral": True}], class_names=CLASSES, **COLOUR
    ),
    "discriminator-projected": lambda: GenHubProjectedDiscriminator(
        stages=[*CRITIC, {"op": "projection"}],
        guide=[*CONV_ENCODER, {"op": "dense", "width": 3}],
        heads=[
            {"after": 1, "stages": [{"op": "global_pool"}, {"op": "dense", "width": 1}]},
            {"after": 2, "stages": [{"op": "flatten"}, {"op": "projection"}]},
        ],
        class_names=CLASSES,
        **COLOUR,
    ),
}


def build(name: str) -> GenHubModel:
    """A new model in evaluation mode; the same weights each time."""
    torch.manual_seed(sum(map(ord, name)))
    model = MODELS[name]()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            # Not the identity norms, zero gates and equal class embeddings of a new network, which hide mistakes.
            if key.endswith("running_mean"):
                value.normal_(0, 0.2)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point() and not key.endswith(("._u", "._v")):
                value.add_(torch.randn(value.shape), alpha=0.3)
    # Spectral norm estimates the new weights' size while training.
    spectral = [m for m in model.modules() if hasattr(m, "parametrizations")]
    for module in [m.train() for m in spectral] * 20:
        module.weight  # noqa: B018 - reading it is one step of the estimate
    model.metadata = {"name": name, "dataset": "toys"}
    return model.eval()
