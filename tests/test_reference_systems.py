"""The recipes against the descriptions of the systems that they reproduce.

Every count is arithmetic on the descriptions (widths, kernels, biases), never a number that the code printed.
"""

import dataclasses
import functools

import pytest
import torch
from torch import nn

from genhub.models import GenHubAE, GenHubCGAN, GenHubDiscriminator, GenHubGAN, GenHubVAE
from genhub.models.base import CLASSES
from training.config import parse_config, read_recipe
from training.settings import TrainConfig

DATASETS = {"uoft-cs/cifar10": (32, 3), "ylecun/mnist": (28, 1), "art": (128, 3)}  # image size, channels
CLASS_NAMES = [f"class {i}" for i in range(10)]  # both sets have ten

# Learned numbers, layer by layer. A 3×3 kernel has 9 weights, 4×4 has 16, 5×5 has 25; "+ width" is the bias.
# Batch norm learns two numbers per channel, PReLU one. Spectral norm, pooling and dropout learn none.

UPSAMPLING_4 = [  # DCGAN 1's generator
    128 * 4096 + 4096,  # dense 128 → 4·4·256
    256 * 128 * 9 + 128,  # conv, 8×8
    128 * 128 * 9 + 128,  # conv, 16×16
    128 * 128 * 9 + 128,  # conv, 32×32
    128 * 3 * 9 + 3,  # conv to colours
]
PLAIN_4 = [  # DCGAN 1's discriminator
    3 * 64 * 9 + 64,  # conv, 32×32
    64 * 128 * 9 + 128,  # conv, 16×16
    128 * 128 * 9 + 128,  # conv, 8×8
    128 * 256 * 9 + 256,  # conv, 4×4
    4 * 4 * 256 + 1,  # dense to the logit
]
TRANSPOSED_2 = [  # DCGAN 2's generator
    128 * 8192 + 8192,  # dense 128 → 8·8·128
    2 * 8192,  # batch norm over its features
    128 * 128 * 25 + 128,  # transposed conv, 16×16
    2 * 128,  # batch norm
    128 * 3 * 25 + 3,  # transposed conv to colours, 32×32
]
NORMED_2 = [  # DCGAN 2's discriminator
    3 * 64 * 25 + 64,  # conv, 16×16
    64 * 128 * 25 + 128,  # conv, 8×8
    2 * 128,  # batch norm
    8 * 8 * 128 + 1,  # dense to the logit
]
UPSAMPLING_2 = [  # DCGAN 3's generator
    128 * 8192 + 8192,  # dense 128 → 8·8·128
    128 * 128 * 9 + 128,  # conv, 16×16
    128 * 3 * 9 + 3,  # conv to colours, 32×32
]
PLAIN_2 = [  # DCGAN 3's discriminator
    3 * 64 * 9 + 64,  # conv, 16×16
    64 * 128 * 9 + 128,  # conv, 8×8
    8 * 8 * 128 + 1,  # dense to the logit
]
TRANSPOSED_3 = [  # DCGAN 4's generator
    128 * 8192 + 8192,  # dense 128 → 4·4·512
    2 * 8192 + 8192,  # batch norm and PReLU over its features
    512 * 256 * 25 + 256,  # transposed conv, 8×8
    2 * 256 + 256,  # batch norm and PReLU
    256 * 128 * 25 + 128,  # transposed conv, 16×16
    2 * 128 + 128,  # batch norm and PReLU
    128 * 3 * 25 + 3,  # transposed conv to colours, 32×32
]
SPECTRAL_4 = [  # DCGAN 4's discriminator
    3 * 64 * 16 + 64,  # conv, 16×16
    64 * 128 * 16 + 128,  # conv, 8×8
    128 * 256 * 16 + 256,  # conv, 4×4
    256 * 512 * 16 + 512,  # conv, 2×2
    2 * 2 * 512 + 1,  # dense to the logit
]
UNBIASED_4 = [  # DCGAN 5's generator
    128 * 2048,  # dense 128 → 2·2·512, no bias
    512 * 128 * 9 + 2 * 128,  # conv without bias and batch norm, 4×4
    128 * 64 * 9 + 2 * 64,  # conv without bias and batch norm, 8×8
    64 * 64 * 9 + 2 * 64,  # conv without bias and batch norm, 16×16
    64 * 3 * 9,  # conv to colours, no bias, 32×32
]
LABELLED_4 = [  # CGAN 1's generator
    138 * 2048 + 2048,  # dense (128 + 10) → 2·2·512
    2 * 2048 + 2048,  # batch norm and PReLU over its features
    512 * 256 * 16 + 256,  # transposed conv, 4×4
    2 * 256 + 256,  # batch norm and PReLU
    256 * 128 * 16 + 128,  # transposed conv, 8×8
    2 * 128 + 128,  # batch norm and PReLU
    128 * 64 * 16 + 64,  # transposed conv, 16×16
    2 * 64 + 64,  # batch norm and PReLU
    64 * 3 * 16 + 3,  # transposed conv to colours, 32×32
]
LABELLED_CRITIC = [  # CGAN 1's discriminator
    3 * 64 * 16 + 64 + 2 * 64,  # conv and batch norm, 16×16
    64 * 128 * 16 + 128 + 2 * 128,  # conv and batch norm, 8×8
    128 * 256 * 16 + 256 + 2 * 256,  # conv and batch norm, 4×4
    256 * 512 * 16 + 512 + 2 * 512,  # conv and batch norm, 2×2
    522 * 512 + 512,  # dense (512 + 10) → 512
    512 + 1,  # dense to the logit
]
SKIPPING_3 = [  # CGAN 3's generator
    138 * 8192 + 8192,  # dense (128 + 10) → 4·4·512
    2 * 8192 + 8192,  # batch norm and PReLU over its features
    512 * 256 * 25 + 256,  # transposed conv, 8×8
    2 * 256 + 256,  # batch norm and PReLU
    256 * 128 * 25 + 128,  # transposed conv, 16×16
    2 * 128 + 128,  # batch norm and PReLU
    256 * 128 + 128,  # 1×1 conv of the skip from 8×8 to 16×16
    128 * 3 * 25 + 3,  # transposed conv to colours, 32×32
    128 * 3 + 3,  # 1×1 conv of the skip from 16×16 to 32×32
]
ATTENTION_64 = [  # over 64 channels
    2 * (64 * 8 + 8),  # queries and keys of 64 / 8 channels
    64 * 64 + 64,  # values
    1,  # gate
]
ATTENTION_128 = [  # over 128 channels
    2 * (128 * 16 + 16),  # queries and keys of 128 / 8 channels
    128 * 128 + 128,  # values
    1,  # gate
]
GROWING_28 = [  # experiment 5's generator, f = 64
    100 * 256 * 16 + 256 + 2 * 256,  # transposed conv and batch norm, 4×4
    256 * 128 * 9 + 128 + 2 * 128,  # transposed conv and batch norm, 7×7
    128 * 64 * 16 + 64 + 2 * 64,  # transposed conv and batch norm, 14×14
    64 * 1 * 16 + 1,  # transposed conv to grey, 28×28
]
SHRINKING_28 = [  # experiment 5's discriminator, f = 64
    1 * 64 * 16 + 64,  # conv, 14×14
    64 * 128 * 16 + 128 + 2 * 128,  # conv and batch norm, 7×7
    128 * 256 * 16 + 256 + 2 * 256,  # conv and batch norm, 3×3
    256 * 1 * 9 + 1,  # conv to the logit, 1×1
]
DENSE_G = [  # experiment 9's generator
    100 * 256 + 256,  # dense
    256 * 512 + 512,  # dense
    512 * 784 + 784,  # dense to 28·28 pixels
]
DENSE_D = [  # experiment 9's discriminator
    784 * 512 + 512,  # dense
    512 * 256 + 256,  # dense
    256 * 1 + 1,  # dense to the logit
]
DENSER_G = [  # experiment 10's generator
    100 * 256 + 256,  # dense
    256 * 512 + 512,  # dense
    512 * 1024 + 1024,  # dense
    1024 * 784 + 784,  # dense to 28·28 pixels
]
DENSER_D = [  # experiment 10's discriminator
    784 * 1024 + 1024,  # dense
    1024 * 512 + 512,  # dense
    512 * 256 + 256,  # dense
    256 * 1 + 1,  # dense to the logit
]
DENSE_ENCODER = [
    784 * 512 + 512,  # dense
    512 * 256 + 256,  # dense
]
DENSE_DECODER = [
    32 * 256 + 256,  # dense
    256 * 512 + 512,  # dense
    512 * 784 + 784,  # dense to 28·28 pixels
]
HEAD_32 = 256 * 32 + 32  # dense from the encoder's features to 32 latents

LABELS_IN = [10 * 4096]  # ten more inputs of DCGAN 1's dense layer
LABEL_PLANES = [10 * 64 * 9]  # ten more planes into the first conv of its discriminator
DCGAN_28 = [  # experiment 3's generator
    100 * 6272 + 6272,  # dense 100 → 7·7·128
    2 * 6272,  # batch norm over its features
    128 * 64 * 16 + 64 + 2 * 64,  # transposed conv and batch norm, 14×14
    64 * 1 * 16 + 1,  # transposed conv to grey, 28×28
]
DCGAN_28_CRITIC = [  # experiment 3's discriminator
    1 * 64 * 16 + 64,  # conv, 14×14
    64 * 128 * 16 + 128 + 2 * 128,  # conv and batch norm, 7×7
    7 * 7 * 128 + 1,  # dense to the logit
]
FIVE_STAGES = [  # experiment 6's generator
    100 * 512 * 16 + 512 + 2 * 512,  # transposed conv and batch norm, 4×4
    512 * 256 * 9 + 256 + 2 * 256,  # transposed conv and batch norm, 7×7
    256 * 128 * 16 + 128 + 2 * 128,  # transposed conv and batch norm, 14×14
    128 * 64 * 16 + 64 + 2 * 64,  # transposed conv and batch norm, 28×28
    64 * 9 + 1,  # transposed conv to grey
]
THREE_STAGES = [  # experiment 6's discriminator
    1 * 64 * 16 + 64,  # conv, 14×14
    64 * 128 * 16 + 128 + 2 * 128,  # conv and batch norm, 7×7
    128 * 7 * 7 + 1,  # conv to the logit, 1×1
]
FIVE_LAYERS = [  # experiment 7's generator
    100 * 6272 + 6272 + 2 * 6272,  # dense 100 → 7·7·128 and batch norm
    128 * 128 * 16 + 128 + 2 * 128,  # transposed conv and batch norm, 14×14
    128 * 64 * 16 + 64 + 2 * 64,  # transposed conv and batch norm, 28×28
    64 * 32 * 9 + 32 + 2 * 32,  # transposed conv and batch norm
    32 * 9 + 1,  # transposed conv to grey
]
FOUR_LAYERS = [  # experiment 7's discriminator
    1 * 64 * 16 + 64,  # conv, 14×14
    64 * 128 * 16 + 128 + 2 * 128,  # conv and batch norm, 7×7
    128 * 256 * 9 + 256 + 2 * 256,  # conv and batch norm, 4×4
    256 * 16 + 1,  # conv to the logit, 1×1
]
ART = [
    128 * 512 * 16 + 512 + 2 * 512,  # transposed conv and batch norm, 4×4
    512 * 256 * 16 + 256 + 2 * 256,  # 8×8
    256 * 128 * 16 + 128 + 2 * 128,  # 16×16
    128 * 64 * 16 + 64 + 2 * 64,  # 32×32
    64 * 32 * 16 + 32 + 2 * 32,  # 64×64
    32 * 3 * 16 + 3,  # transposed conv to colours, 128×128
]
ART_CRITIC = [
    3 * 32 * 16 + 32,  # conv, 64×64
    32 * 64 * 16 + 64 + 2 * 64,  # conv and batch norm, 32×32
    64 * 128 * 16 + 128 + 2 * 128,  # 16×16
    128 * 256 * 16 + 256 + 2 * 256,  # 8×8
    256 * 512 * 16 + 512 + 2 * 512,  # 4×4
    512 * 16 + 1,  # conv to the logit, 1×1
]
IMPROVEMENTS = ("outliers", "sharpened", "augmented", "cutmix", "oversampled", "cosine", "exponential")

COUNTS = {  # recipe: class, numbers in the model, numbers in the discriminator
    "cifar10/dcgan-1": (GenHubGAN, UPSAMPLING_4, PLAIN_4),
    "cifar10/dcgan-2": (GenHubGAN, TRANSPOSED_2, NORMED_2),
    "cifar10/dcgan-3": (GenHubGAN, UPSAMPLING_2, PLAIN_2),
    "cifar10/dcgan-4": (GenHubGAN, TRANSPOSED_3, SPECTRAL_4),
    "cifar10/dcgan-5": (GenHubGAN, UNBIASED_4, PLAIN_2),
    "cifar10/wgan-1": (GenHubGAN, UPSAMPLING_4, PLAIN_2),
    "cifar10/wgan-gp-1": (GenHubGAN, UPSAMPLING_4, PLAIN_2),
    "cifar10/wgan-2": (GenHubGAN, TRANSPOSED_2, SPECTRAL_4),
    "cifar10/wgan-gp-2": (GenHubGAN, TRANSPOSED_2, SPECTRAL_4),
    **{f"cifar10/dcgan-3-{name}": (GenHubGAN, UPSAMPLING_2, PLAIN_2) for name in IMPROVEMENTS},
    "cifar10/cgan-0": (GenHubCGAN, UPSAMPLING_4 + LABELS_IN, PLAIN_4 + LABEL_PLANES),
    "cifar10/cgan-1": (GenHubCGAN, LABELLED_4, LABELLED_CRITIC),
    **{f"cifar10/cgan-1-{name}": (GenHubCGAN, LABELLED_4, LABELLED_CRITIC) for name in IMPROVEMENTS},
    "cifar10/cgan-2": (GenHubCGAN, LABELLED_4, LABELLED_CRITIC),
    "cifar10/cgan-3": (GenHubCGAN, SKIPPING_3, LABELLED_CRITIC),
    "cifar10/sadcgan-1": (GenHubGAN, TRANSPOSED_2, NORMED_2 + ATTENTION_64),
    "cifar10/sadcgan-2": (GenHubGAN, TRANSPOSED_3 + ATTENTION_128, PLAIN_2 + ATTENTION_64),
    **{
        f"mnist/experiment-{name}": (GenHubGAN, DCGAN_28, DCGAN_28_CRITIC)
        for name in ("1", "2", "3", "3-sgd", "4", "8")
    },
    "mnist/experiment-5": (GenHubGAN, GROWING_28, SHRINKING_28),
    "mnist/experiment-6": (GenHubGAN, FIVE_STAGES, THREE_STAGES),
    "mnist/experiment-7": (GenHubGAN, FIVE_LAYERS, FOUR_LAYERS),
    "mnist/gan": (GenHubGAN, GROWING_28, SHRINKING_28),
    "art/dcgan": (GenHubGAN, ART, ART_CRITIC),
    "mnist/experiment-9": (GenHubGAN, DENSE_G, DENSE_D),
    "mnist/experiment-10": (GenHubGAN, DENSER_G, DENSER_D),
    "mnist/ae-dense": (GenHubAE, [*DENSE_ENCODER, HEAD_32, *DENSE_DECODER], None),
    "mnist/vae-dense": (GenHubVAE, [*DENSE_ENCODER, 2 * HEAD_32, *DENSE_DECODER], None),
}

# What counts cannot see: activations in order, dropout in order, how many layers are under spectral norm.
LEAKY_2, LEAKY_4 = ["LeakyReLU"] * 2, ["LeakyReLU"] * 4
PRELU_3, CGAN_PRELU = ["PReLU"] * 3, ["ReLU", "PReLU", "PReLU", "PReLU", "PReLU", "Tanh"]
TRAITS = {
    "cifar10/dcgan-1": (([*LEAKY_4, "Tanh"], [], 0), (LEAKY_4, [0.4], 0)),
    "cifar10/dcgan-2": (([*LEAKY_2, "Tanh"], [], 0), (LEAKY_2, [0.4], 0)),
    "cifar10/dcgan-3": (([*LEAKY_2, "Tanh"], [], 0), (LEAKY_2, [], 0)),
    "cifar10/dcgan-4": (([*PRELU_3, "Tanh"], [], 0), (LEAKY_4, [0.3] * 4, 4)),
    "cifar10/dcgan-5": (([*LEAKY_4, "Tanh"], [], 0), (LEAKY_2, [], 0)),
    "cifar10/cgan-1": ((CGAN_PRELU, [], 0), ([*LEAKY_4, "ReLU"], [], 0)),
    "cifar10/cgan-2": ((CGAN_PRELU, [], 4), ([*LEAKY_4, "ReLU"], [], 0)),
    "cifar10/cgan-3": ((["ReLU", *PRELU_3, "Tanh"], [], 3), ([*LEAKY_4, "ReLU"], [], 0)),
    "cifar10/sadcgan-1": (([*LEAKY_2, "Tanh"], [], 0), (LEAKY_2, [0.4], 0)),
    "cifar10/sadcgan-2": (([*PRELU_3, "Tanh"], [], 0), (LEAKY_2, [], 0)),
    "mnist/experiment-5": ((["ReLU"] * 3 + ["Tanh"], [], 0), (["LeakyReLU"] * 3, [], 0)),
    "mnist/experiment-9": ((["ReLU"] * 2 + ["Tanh"], [], 0), (LEAKY_2, [], 0)),
    "mnist/experiment-10": ((["ReLU"] * 3 + ["Tanh"], [], 0), (["LeakyReLU"] * 3, [], 0)),
    "mnist/ae-dense": ((["ReLU"] * 4 + ["Sigmoid"], [], 0), None),
    "mnist/vae-dense": ((["ReLU"] * 4 + ["Sigmoid"], [], 0), None),
    "cifar10/wgan-1": (([*LEAKY_4, "Tanh"], [], 0), (LEAKY_2, [], 0)),
    "cifar10/wgan-2": (([*LEAKY_2, "Tanh"], [], 0), (LEAKY_4, [0.3] * 4, 4)),
    "mnist/experiment-3": ((["ReLU"] * 2 + ["Tanh"], [], 0), (LEAKY_2, [], 0)),
    "mnist/experiment-6": ((["ReLU"] * 4 + ["Tanh"], [], 0), (LEAKY_2, [], 0)),
    "mnist/experiment-7": ((["ReLU"] * 4 + ["Tanh"], [], 0), (["LeakyReLU"] * 3, [], 0)),
    "art/dcgan": ((["ReLU"] * 5 + ["Tanh"], [], 0), (["LeakyReLU"] * 5, [], 0)),
}
for name, like in {"cifar10/cgan-0": "cifar10/dcgan-1", "mnist/gan": "mnist/experiment-5"}.items():
    TRAITS[name] = TRAITS[like]
for base in ("cifar10/dcgan-3", "cifar10/cgan-1"):
    TRAITS |= {f"{base}-{name}": TRAITS[base] for name in IMPROVEMENTS}
for i in (1, 2):
    TRAITS[f"cifar10/wgan-gp-{i}"] = TRAITS[f"cifar10/wgan-{i}"]
for name in ("1", "2", "3-sgd", "4", "8"):
    TRAITS[f"mnist/experiment-{name}"] = TRAITS["mnist/experiment-3"]


@functools.cache
def recipe(name: str) -> TrainConfig:
    return parse_config(read_recipe(name), [])


@functools.cache  # nothing here changes weights, so each system is built once
def build(name: str):
    """The model and the discriminator (or None) of a recipe, as training builds them from the data."""
    config = recipe(name)
    size, channels = DATASETS[config.dataset]
    data = {"image_size": size, "channels": channels}
    arguments = dict(config.model)
    model_class = CLASSES[arguments.pop("class")]
    if model_class is GenHubCGAN:
        data["class_names"] = CLASS_NAMES
    model = model_class(**arguments, **data)
    discriminator = GenHubDiscriminator(**config.discriminator, **data) if config.discriminator else None
    return model, discriminator


def labels_for(model) -> list[int] | None:
    return [3, 7] if model.num_classes else None


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_worked_out_by_hand(name):
    model_class, in_model, in_discriminator = COUNTS[name]
    model, discriminator = build(name)
    assert type(model) is model_class
    assert model.num_parameters() == sum(in_model)
    assert (discriminator is None) == (in_discriminator is None)
    if discriminator is not None:
        assert discriminator.num_parameters() == sum(in_discriminator)


@pytest.mark.parametrize("name", COUNTS)
def test_images_and_logits_have_the_datasets_shape_and_range(name):
    size, channels = DATASETS[recipe(name).dataset]
    model, discriminator = build(name)
    model.train()
    images = torch.rand(2, channels, size, size) * 2 - 1
    if isinstance(model, GenHubGAN):
        images = model(torch.randn(2, {32: 128, 28: 100, 128: 128}[size]), model.condition(labels_for(model), 2))
    else:
        assert model.encode(images).shape == (2, 32)
        images = model(images)
    assert images.shape == (2, channels, size, size)
    assert -1 <= images.min() <= images.max() <= 1
    assert not torch.equal(images[0], images[1])
    if isinstance(model, GenHubVAE | GenHubGAN):
        assert model.generate(2, labels=labels_for(model), seed=0).shape == images.shape
    if discriminator is not None:
        assert discriminator.num_classes == model.num_classes
        assert discriminator(images, discriminator.condition(labels_for(model), 2)).shape == (2,)


@pytest.mark.parametrize("name", COUNTS)
def test_activations_dropout_and_spectral_norm_follow_the_description(name):
    for network, expected in zip(build(name), TRAITS[name], strict=True):
        if expected is None:
            assert network is None
            continue
        activations, dropout, spectral = expected
        kinds = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.Sigmoid)
        assert [type(m).__name__ for m in network.modules() if isinstance(m, kinds)] == activations
        assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == dropout
        assert sum(hasattr(m, "parametrizations") for m in network.modules()) == spectral
        assert all(m.negative_slope == 0.2 for m in network.modules() if isinstance(m, nn.LeakyReLU))


@pytest.mark.parametrize("name", [f"cifar10/cgan-{i}" for i in range(4)])
def test_conditional_systems_read_the_label_in_both_networks(name):
    generator, discriminator = (network.eval() for network in build(name))
    latents = torch.randn(1, 128).expand(2, -1)
    images = generator(latents, generator.condition([3, 7], 2))
    assert not torch.allclose(images[0], images[1])
    same_image = images[:1].expand(2, -1, -1, -1)
    logits = discriminator(same_image, discriminator.condition([3, 7], 2))
    assert logits[0] != logits[1]


def test_momentum_0_8_of_the_conditional_gans_is_0_2_here():
    generator, _ = build("cifar10/cgan-1")
    first = next(m for m in generator.modules() if isinstance(m, nn.BatchNorm1d))
    assert first.momentum == 0.2


@pytest.mark.parametrize(("network", "attended"), [("discriminator", (64, 16, 16)), ("model", (128, 16, 16))])
def test_self_attention_of_sadcgan_2_sits_on_16x16_maps(network, attended):
    stages = getattr(recipe("cifar10/sadcgan-2"), network)["stages"]
    model, discriminator = build("cifar10/sadcgan-2")
    blocks = (model if network == "model" else discriminator).stages.blocks
    [place] = [i for i, row in enumerate(stages) if row["op"] == "attention"]
    assert blocks[place].shape == attended


@pytest.mark.parametrize(
    ("name", "lr", "betas", "batch", "epochs"),
    [
        ("experiment-1", 2e-4, [0.5, 0.999], 64, 15),
        ("experiment-2", 1e-3, [0.5, 0.999], 64, 30),
        ("experiment-3", 2e-4, [0.5, 0.999], 128, 100),
        ("experiment-4", 1e-3, [0.9, 0.999], 64, 50),
        ("experiment-5", 1e-3, [0.9, 0.999], 64, 50),
        ("experiment-6", 2e-4, [0.5, 0.999], 128, 150),
        ("experiment-7", 2e-4, [0.9, 0.999], 128, 150),
        ("experiment-9", 2e-4, [0.5, 0.999], 128, 50),
        ("experiment-10", 2e-4, [0.5, 0.999], 128, 150),
    ],
)
def test_mnist_experiments_train_as_described(name, lr, betas, batch, epochs):
    config = recipe(f"mnist/{name}")
    for optimizer in (config.optimizer, config.discriminator_optimizer):
        assert (optimizer.name, optimizer.lr, optimizer.betas) == ("adam", lr, betas)
    assert (config.batch_size, config.max_images) == (batch, epochs * 60_000)
    loss = "least_squares" if name == "experiment-1" else "bce"
    assert (config.objective.type, config.objective.loss) == ("adversarial", loss)


def test_sgd_variant_differs_from_experiment_3_in_the_discriminators_optimizer_alone():
    plain, sgd = dataclasses.asdict(recipe("mnist/experiment-3")), dataclasses.asdict(recipe("mnist/experiment-3-sgd"))
    assert {key for key in plain if plain[key] != sgd[key]} == {"name", "description", "discriminator_optimizer"}
    assert (sgd["discriminator_optimizer"]["name"], sgd["optimizer"]["name"]) == ("sgd", "adam")


@pytest.mark.parametrize(
    ("name", "section", "values"),
    [
        ("outliers", "data", {"outliers": 0.05, "outlier_model": "ae-cifar10"}),
        ("sharpened", "data", {"sharpen": 1.0}),
        ("augmented", "data", {"rotate": 15.0, "shift": 0.1, "flip": True}),
        ("cutmix", "data", {"cutmix": 0.5}),
        ("oversampled", "data", {"oversample": 2.0}),
        ("cosine", "schedule", {"name": "cosine"}),
        ("exponential", "schedule", {"name": "exponential", "final": 0.1}),
    ],
)
@pytest.mark.parametrize("base", ["dcgan-3", "cgan-1"])
def test_improvements_change_one_thing(base, name, section, values):
    plain = dataclasses.asdict(recipe(f"cifar10/{base}"))
    improved = dataclasses.asdict(recipe(f"cifar10/{base}-{name}"))
    assert {key for key in plain if plain[key] != improved[key]} == {"name", "description", section}
    assert improved[section] == plain[section] | values


@pytest.mark.parametrize("i", [1, 2])
def test_wasserstein_gans_clip_and_their_neighbours_penalize(i):
    clipped, penalized = recipe(f"cifar10/wgan-{i}").objective, recipe(f"cifar10/wgan-gp-{i}").objective
    assert (clipped.loss, clipped.critic_steps, clipped.clip, clipped.gradient_penalty) == ("wasserstein", 5, 0.01, 0)
    assert dataclasses.replace(penalized, clip=0.01, gradient_penalty=0) == clipped
    assert (penalized.clip, penalized.gradient_penalty) == (0, 10)


def test_art_trains_as_described():
    config = recipe("art/dcgan")
    assert (config.data.image_size, config.data.channels) == (128, 3)
    assert config.data.flip
    assert config.data.vertical_flip
    assert (config.optimizer.lr, config.discriminator_optimizer.lr, config.batch_size) == (1e-3, 1e-4, 128)
    assert config.max_images == 200 * 2800


def test_autoencoders_train_on_the_described_losses():
    ae, vae = recipe("mnist/ae-dense"), recipe("mnist/vae-dense")
    assert (ae.objective.type, ae.objective.reconstruction) == ("autoencoder", "mse")
    assert (vae.objective.type, vae.objective.reconstruction, vae.objective.beta) == ("vae", "bce", 1.0)
    assert ae.max_images == vae.max_images == 15 * 60_000
    assert ae.model["encoder"] == vae.model["encoder"]
    assert ae.model["decoder"] == vae.model["decoder"]


@pytest.mark.parametrize("name", COUNTS)
def test_recipes_say_what_they_are_and_what_is_chosen_here(name):
    config = recipe(name)
    family, system = name.split("/")
    assert config.name == f"{system}-{family}"
    assert "study" in config.description or "comparison" in config.description
    assert "chosen here" in config.description
    normal = {"cifar10/dcgan-2", "cifar10/sadcgan-1", "cifar10/wgan-2", "cifar10/wgan-gp-2", "mnist/gan", "art/dcgan"}
    normal |= {f"mnist/experiment-{i}" for i in ("1", "2", "3", "3-sgd", "4", "6", "7", "8")}
    assert config.init == ("normal" if name in normal else "xavier")


# Convolutional autoencoders of other sizes are expressible with the same rows.

CONV_ENCODER = [
    {"op": "conv", "width": 32, "kernel": 4, "stride": 2, "act": "relu"},
    {"op": "conv", "width": 64, "kernel": 4, "stride": 2, "act": "relu"},
    {"op": "flatten"},
]
CONV_DECODER = [
    {"op": "dense", "width": 64 * 7 * 7, "act": "relu"},
    {"op": "reshape", "size": 7},
    {"op": "conv_transpose", "width": 32, "kernel": 4, "stride": 2, "act": "relu"},
    {"op": "conv_transpose", "width": 1, "kernel": 4, "stride": 2, "act": "sigmoid"},
]


def test_convolutional_vae():
    model = GenHubVAE(latent_dim=16, encoder=CONV_ENCODER, decoder=CONV_DECODER, image_size=28, channels=1)
    assert model.num_parameters() == sum(
        [
            1 * 32 * 16 + 32,  # conv, 14×14
            32 * 64 * 16 + 64,  # conv, 7×7
            2 * (7 * 7 * 64 * 16 + 16),  # heads for mean and log-variance
            16 * 3136 + 3136,  # dense to 7·7·64
            64 * 32 * 16 + 32,  # transposed conv, 14×14
            32 * 1 * 16 + 1,  # transposed conv to grey, 28×28
        ]
    )
    mean, log_variance = model.posterior(torch.zeros(2, 1, 28, 28))
    assert mean.shape == log_variance.shape == (2, 16)
    assert model.generate(2, seed=0).shape == (2, 1, 28, 28)


def test_convolutional_vae_with_labels():
    label = {"op": "label"}
    model = GenHubVAE(
        latent_dim=16,
        encoder=[label, *CONV_ENCODER],
        decoder=[label, *CONV_DECODER],
        image_size=28,
        channels=1,
        class_names=CLASS_NAMES,
    )
    plain = GenHubVAE(latent_dim=16, encoder=CONV_ENCODER, decoder=CONV_DECODER, image_size=28, channels=1)
    # Ten more planes into the first conv, ten more inputs of the decoder's dense layer.
    assert model.num_parameters() == plain.num_parameters() + 10 * 32 * 16 + 10 * 3136
    three, seven = model.generate(1, labels=3, seed=0), model.generate(1, labels=7, seed=0)
    assert three.shape == (1, 1, 28, 28)
    assert not torch.allclose(three, seven)
