"""The fast way of convolving small maps gives what torch's layers give, to the second derivative."""

import pytest
import torch
from torch import nn

from genhub import convolution
from genhub.convolution import Conv2d, ConvTranspose2d
from genhub.models import GenHubDiscriminator


@pytest.fixture
def always(monkeypatch) -> None:
    """Take the fast way for any batch and any map."""
    monkeypatch.setattr(convolution, "IMAGES_PER_POSITION", 0)
    monkeypatch.setattr(convolution, "MAX_POSITIONS", 10**9)


def derivatives(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Result, gradients, and gradients of the gradients' squared length."""
    x = x.clone().requires_grad_()
    wanted = [x, *layer.parameters()]
    y = layer(x)
    first = torch.autograd.grad(y.square().sum(), wanted, create_graph=True)
    second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), wanted)
    return [y, *first, *second]


def require_same(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    theirs.load_state_dict(ours.state_dict())
    for got, expected in zip(derivatives(ours, x), derivatives(theirs, x), strict=True):
        assert got.shape == expected.shape
        assert (got - expected).abs().max() <= 1e-4 * expected.abs().max() + 1e-6


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [(4, 2, 1, (4, 4)), (3, 1, 1, (4, 5)), (4, 1, 0, (4, 4)), (5, 2, 2, (8, 7)), (3, 2, 0, (8, 8)), (3, 1, 4, (2, 3))],
)
def test_convolution_is_torchs(kernel, stride, padding, size, layout, bias):
    torch.manual_seed(0)
    layers = (kind(3, 5, kernel, stride, padding, bias=bias).to(memory_format=layout) for kind in (Conv2d, nn.Conv2d))
    require_same(*layers, torch.randn(6, 3, *size).contiguous(memory_format=layout))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra", "size"),
    [(4, 2, 1, 0, (2, 2)), (3, 1, 1, 0, (4, 5)), (4, 1, 0, 0, (1, 1)), (5, 2, 2, 1, (4, 3)), (3, 2, 0, 0, (2, 3))],
)
def test_transposed_convolution_is_torchs(kernel, stride, padding, extra, size, layout, bias):
    torch.manual_seed(0)
    kinds = (ConvTranspose2d, nn.ConvTranspose2d)
    layers = (kind(3, 5, kernel, stride, padding, extra, bias=bias).to(memory_format=layout) for kind in kinds)
    require_same(*layers, torch.randn(6, 3, *size).contiguous(memory_format=layout))


def test_fast_way_is_for_large_batches_of_small_maps_in_plain_float32(monkeypatch):
    taken = []
    monkeypatch.setattr(convolution, "Convolve", type("", (), {"apply": lambda x, *_: taken.append(x) or x}))
    layer = Conv2d(3, 3, 3, 1, 1)
    layer(torch.randn(16, 3, 2, 2))
    assert len(taken) == 1
    layer(torch.randn(15, 3, 2, 2))
    layer(torch.randn(256, 3, 2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(16, 3, 2, 2))
    layer.double()(torch.randn(16, 3, 2, 2).double())
    assert len(taken) == 1


def test_networks_lie_in_memory_channels_last():
    stages = [{"op": "conv", "width": 4, "kernel": 4, "stride": 2}, {"op": "flatten"}, {"op": "dense", "width": 1}]
    critic = GenHubDiscriminator(stages=stages, image_size=8, channels=3)
    weights = [p for p in critic.parameters() if p.dim() == 4]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
