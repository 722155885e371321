"""The fast way of convolving small maps gives what torch's layers give, to the second derivative."""

import copy

import pytest
import torch
from torch import nn

from genhub import convolution
from genhub.convolution import Conv2d, ConvTranspose2d, as_written
from genhub.models import GenHubCGAN, GenHubDiscriminator, GenHubGAN
from genhub.stages import Stack
from training.config import read_recipe
from training.costs import Counter


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


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("kind", "torchs"), [(Conv2d, nn.Conv2d), (ConvTranspose2d, nn.ConvTranspose2d)])
def test_half_precision_is_about_as_exact_as_torchs(kind, torchs):
    """Each product is rounded on its way into the sum: 1.1 to 2 times torch's errors, 3 times for that of the bias."""
    torch.manual_seed(0)
    layer, theirs = (cls(64, 64, 4, 2, 1) for cls in (kind, torchs))
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(64, 64, 4, 4)
    exact = derivatives(copy.deepcopy(theirs).double(), x.double())
    with torch.autocast("cpu", torch.bfloat16):
        pairs = zip(derivatives(layer, x), derivatives(theirs, x), exact, strict=True)
    for got, usual, right in pairs:
        assert got.dtype == usual.dtype
        error, usual_error = ((found - right).square().mean().sqrt() for found in (got, usual))
        assert error <= (4 if right.shape == layer.bias.shape else 2.5) * usual_error


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize("n", [2, 16])  # torch's way and ours
def test_spectral_norm_takes_one_step_at_each_use(kind, n):
    """As its paper has it (Miyato et al., 2018): each reading of the weight takes one."""
    layer = nn.utils.parametrizations.spectral_norm(kind(3, 3, 3, 1, 1))
    steps = []
    layer.parametrizations.weight[0].register_forward_hook(lambda *_: steps.append(1))
    layer(torch.randn(n, 3, 2, 2))
    assert len(steps) == 1


def test_fast_way_is_for_large_batches_of_small_maps_in_common_precisions(monkeypatch):
    taken = []
    monkeypatch.setattr(convolution, "Convolve", type("", (), {"apply": lambda x, *_: taken.append(x) or x}))
    layer = Conv2d(3, 3, 3, 1, 1)
    layer(torch.randn(16, 3, 2, 2))
    assert len(taken) == 1
    layer(torch.randn(15, 3, 2, 2))
    layer(torch.randn(256, 3, 2, 3))
    with torch.autocast("cpu", torch.float16):
        layer(torch.randn(16, 3, 2, 2))
    copy.deepcopy(layer).double()(torch.randn(16, 3, 2, 2).double())
    assert len(taken) == 1
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(16, 3, 2, 2))
    layer.bfloat16()(torch.randn(16, 3, 2, 2).bfloat16())
    assert [x.dtype for x in taken] == [torch.float32, torch.bfloat16, torch.bfloat16]
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.double()(torch.randn(16, 3, 2, 2).double()).dtype == torch.float64, "as torch has it"
    with torch.no_grad():
        layer.bfloat16()(torch.randn(16, 3, 2, 2).bfloat16())
    assert len(taken) == 3


@pytest.mark.parametrize("name", ["cgan-1", "dcgan-3"])
def test_images_in_half_precision_depend_on_no_batch(name):
    recipe = read_recipe(f"cifar10/{name}")["model"]
    conditional = {"class_names": ["a", "b"]} if recipe.pop("class") == "GenHubCGAN" else {}
    kind = GenHubCGAN if conditional else GenHubGAN
    model = kind(**recipe, image_size=32, channels=3, **conditional).bfloat16()
    labels = {"labels": 1} if conditional else {}
    many = model.generate(40, seed=1, batch_size=40, **labels)
    assert torch.equal(model.generate(40, seed=1, batch_size=8, **labels), many)


DOUBLED = [
    {"op": "upsample"},
    {"op": "conv", "width": 5, "norm": "batch", "act": "lrelu"},
    {"op": "upsample", "factor": 3},
    {"op": "conv", "width": 4, "kernel": 5, "spectral": True},
    {"op": "upsample"},
    {"op": "conv", "width": 3, "kernel": 2, "padding": 1, "bias": False},
]


def test_convolution_of_an_enlarged_map_is_torchs():
    torch.manual_seed(0)
    network = Stack(DOUBLED, (3, 4, 5)).eval()
    x = torch.randn(2, 3, 4, 5)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        got = derivatives(network, x)
    with as_written():
        expected = derivatives(network, x)
    assert "aten::upsample_nearest2d" not in {event.key for event in profile.key_averages()}
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max() + 1e-6


@pytest.mark.parametrize(
    "rows",
    [
        [{"op": "upsample", "act": "relu"}, {"op": "conv", "width": 2}],
        [{"op": "upsample"}, {"op": "conv", "width": 2, "stride": 2}],
        [{"op": "upsample"}, {"op": "conv", "width": 2, "padding": 3}],
        [{"op": "upsample"}, {"op": "conv_transpose", "width": 2}],
        [{"op": "upsample"}],
    ],
)
def test_other_rows_enlarge_by_themselves(rows):
    torch.manual_seed(0)
    network, x = Stack(rows, (3, 4, 4)), torch.randn(2, 3, 4, 4)
    expected = x
    for block in network.blocks:
        expected = block(expected, None)
    assert torch.equal(network(x), expected)


def test_an_enlargement_steps_back_for_hooks_and_for_replaced_layers():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 4)
    network = Stack([{"op": "upsample"}, {"op": "conv", "width": 2}], (3, 4, 4))
    called = []
    handle = network.blocks[1].op.register_forward_hook(lambda *seen: called.append(seen[2].shape))
    network(x)
    assert called == [(2, 2, 8, 8)]
    handle.remove()
    network.blocks[0].register_forward_hook(lambda *seen: called.append(seen[2].shape))
    network(x)
    assert called[1:] == [(2, 3, 8, 8)]
    network.blocks[1].op = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1))
    assert network(x).shape == (2, 2, 8, 8)


def test_functional_gradients_work_in_the_fast_way(always):
    layer = Conv2d(3, 4, 4, stride=2, padding=1)
    x = torch.randn(16, 3, 4, 4)

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(layer, weights, x).square().sum()

    found = torch.func.grad(loss)(dict(layer.named_parameters()))
    loss(dict(layer.named_parameters())).backward()
    assert torch.allclose(found["weight"], layer.weight.grad, rtol=1e-4, atol=1e-5)


def test_features_before_the_head_are_of_the_enlarged_map():
    network, x = Stack([{"op": "upsample"}, {"op": "conv", "width": 2}], (3, 4, 4)), torch.randn(2, 3, 4, 4)
    enlarged = nn.functional.interpolate(x, scale_factor=2)
    features, output = network.features_and_output(x)
    assert torch.equal(features, enlarged.flatten(1))
    assert torch.equal(network.features(x), features)
    assert torch.allclose(output, network(x), atol=1e-5)


def test_operations_are_counted_as_rows_say():
    """An enlarged map costs what its size says, though a CPU takes a cheaper way."""
    network, x = Stack([{"op": "upsample"}, {"op": "conv", "width": 8}], (8, 4, 4)), torch.randn(1, 8, 4, 4)
    with Counter() as fewer:
        network(x)
    with as_written(), Counter() as counter:
        network(x)
    assert counter.flops == 2 * 64 * 8 * 8 * 9
    assert fewer.flops == 2 * 16 * 8 * 8 * 16


def test_networks_lie_in_memory_channels_last():
    stages = [{"op": "conv", "width": 4, "kernel": 4, "stride": 2}, {"op": "flatten"}, {"op": "dense", "width": 1}]
    critic = GenHubDiscriminator(stages=stages, image_size=8, channels=3)
    weights = [p for p in critic.parameters() if p.dim() == 4]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
