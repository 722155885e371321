"""The network builder: what each row computes, and what it says about a row that is wrong."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genhub.layers import ConditionalBatchNorm, MinibatchDeviation, Projection, SelfAttention
from genhub.models import GenHubDiscriminator
from genhub.stages import ACTIVATIONS, Stack


def stack(*rows, shape=(4, 8, 8), classes=None) -> Stack:
    return Stack(rows, shape, classes)


def one_hot(*labels, classes=3) -> torch.Tensor:
    return F.one_hot(torch.tensor(labels), classes).float()


def normal(*shape, seed=0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomized(module: nn.Module, seed=0) -> nn.Module:
    """The module with every parameter drawn anew, so that no test passes because something starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


# -- shapes


@pytest.mark.parametrize(
    ("row", "shape", "result"),
    [
        ({"op": "dense", "width": 5}, (7,), (5,)),
        ({"op": "conv", "width": 5}, (4, 8, 8), (5, 8, 8)),
        ({"op": "conv", "width": 5, "kernel": 4, "stride": 2}, (4, 8, 8), (5, 4, 4)),
        ({"op": "conv", "width": 5, "kernel": 3, "padding": 0}, (4, 3, 3), (5, 1, 1)),
        ({"op": "conv", "width": 5, "kernel": 7, "stride": 1, "padding": 0}, (4, 9, 8), (5, 3, 2)),
        ({"op": "conv_transpose", "width": 5}, (4, 8, 8), (5, 8, 8)),
        ({"op": "conv_transpose", "width": 5, "kernel": 5, "stride": 2}, (4, 8, 6), (5, 16, 12)),
        ({"op": "conv_transpose", "width": 5, "kernel": 4, "padding": 0}, (4, 1, 1), (5, 4, 4)),
        ({"op": "conv_transpose", "width": 5, "kernel": 3, "stride": 2, "padding": 1}, (4, 4, 4), (5, 7, 7)),
        ({"op": "upsample"}, (4, 8, 8), (4, 16, 16)),
        ({"op": "upsample", "factor": 3}, (4, 2, 3), (4, 6, 9)),
        ({"op": "avg_pool"}, (4, 8, 8), (4, 4, 4)),
        ({"op": "avg_pool", "factor": 3}, (4, 7, 9), (4, 2, 3)),
        ({"op": "global_pool"}, (4, 8, 8), (4,)),
        ({"op": "reshape", "size": 2}, (20,), (5, 2, 2)),
        ({"op": "flatten"}, (4, 8, 8), (256,)),
        ({"op": "flatten"}, (7,), (7,)),
        ({"op": "identity"}, (4, 8, 8), (4, 8, 8)),
        ({"op": "identity"}, (7,), (7,)),
        ({"op": "label"}, (7,), (10,)),
        ({"op": "label"}, (4, 8, 8), (7, 8, 8)),
        ({"op": "attention"}, (4, 8, 8), (4, 8, 8)),
        ({"op": "minibatch_deviation"}, (4, 8, 8), (5, 8, 8)),
        ({"op": "minibatch_deviation"}, (7,), (8,)),
        ({"op": "projection"}, (7,), (1,)),
        ({"op": "residual", "body": [{"op": "conv", "width": 4}]}, (4, 8, 8), (4, 8, 8)),
        ({"op": "residual", "body": [{"op": "conv", "width": 6, "stride": 2}]}, (4, 8, 8), (6, 4, 4)),
        ({"op": "residual", "body": [{"op": "upsample"}, {"op": "conv", "width": 6}]}, (4, 8, 4), (6, 16, 8)),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else None,
)
def test_declared_and_computed_shape(row, shape, result):
    network = stack(row, shape=shape, classes=3)
    assert network.shape == result
    assert network(normal(2, *shape), one_hot(0, 2)).shape == (2, *result)


@pytest.mark.parametrize("size", [8, 7, 32])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2)])
def test_same_padding_of_conv_divides_the_size(kernel, stride, size):
    network = stack({"op": "conv", "width": 2, "kernel": kernel, "stride": stride}, shape=(1, size, size))
    side = network.shape[1]
    assert size // stride <= side <= size // stride + size % stride  # an odd size is rounded either way
    assert network(normal(1, 1, size, size)).shape == (1, 2, side, side)


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (1, 2), (2, 2), (3, 2), (4, 2), (5, 2), (5, 4)])
def test_same_padding_of_conv_transpose_multiplies_the_size(kernel, stride, size):
    row = {"op": "conv_transpose", "width": 2, "kernel": kernel, "stride": stride}
    network = stack(row, shape=(1, size, size))
    assert network.shape == (2, size * stride, size * stride)
    assert network(normal(1, 1, size, size)).shape == (1, *network.shape)


def test_upsample_repeats_and_pools_average_pixels():
    x = normal(2, 4, 6, 6)
    tripled = x.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    assert torch.equal(stack({"op": "upsample", "factor": 3}, shape=(4, 6, 6))(x), tripled)
    pooled = stack({"op": "avg_pool", "factor": 3}, shape=(4, 6, 6))(x)
    torch.testing.assert_close(pooled, x.reshape(2, 4, 2, 3, 2, 3).mean(dim=(3, 5)))
    torch.testing.assert_close(stack({"op": "global_pool"}, shape=(4, 6, 6))(x), x.mean(dim=(2, 3)))


def test_reshape_undoes_flatten():
    x = normal(2, 4, 6, 6)
    assert torch.equal(stack({"op": "flatten"}, {"op": "reshape", "size": 6}, shape=(4, 6, 6))(x), x)


@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_is_centred(op, kernel):
    network = stack({"op": op, "width": 1, "kernel": kernel, "bias": False}, shape=(1, 6, 6))
    weight = network.blocks[0].op.weight
    with torch.no_grad():
        weight.zero_()[0, 0, kernel // 2, kernel // 2] = 1
    image = normal(1, 1, 6, 6)
    torch.testing.assert_close(network(image), image)


def test_rows_follow_each_other_and_survive_json():
    rows = [
        {"op": "dense", "width": 32, "norm": "batch", "act": "relu"},
        {"op": "reshape", "size": 2},
        {"op": "residual", "body": [{"op": "upsample"}, {"op": "conv", "width": 3, "act": "prelu"}]},
        {"op": "conv_transpose", "width": 1, "kernel": 4, "stride": 2, "act": "tanh"},
    ]
    network = Stack(rows, (5,))
    again = Stack(json.loads(json.dumps(rows)), (5,))
    again.load_state_dict(network.state_dict())
    noise = normal(3, 5)
    assert network.shape == (1, 8, 8)
    assert torch.equal(network(noise), again(noise))


def test_bias_can_be_left_out():
    for row in (
        {"op": "dense", "width": 2},
        {"op": "conv", "width": 2},
        {"op": "conv_transpose", "width": 2},
    ):
        shape = (3,) if row["op"] == "dense" else (3, 4, 4)
        assert stack(row, shape=shape).blocks[0].op.bias.shape == (2,)
        assert stack(row | {"bias": False}, shape=shape).blocks[0].op.bias is None


def test_features_are_what_the_last_row_with_weights_reads():
    image = normal(2, 4, 8, 8)
    conv, pool = {"op": "conv", "width": 3, "act": "relu"}, {"op": "global_pool"}
    network = stack(conv, pool, {"op": "dense", "width": 1})
    torch.testing.assert_close(network.features(image), F.relu(network.blocks[0].op(image)).mean(dim=(2, 3)))
    # Ending in conv → flatten, the head is the convolution: its input is returned, flattened, not the logit.
    network = stack(conv, {"op": "conv", "width": 1, "kernel": 8, "padding": 0}, {"op": "flatten"})
    torch.testing.assert_close(network.features(image), F.relu(network.blocks[0].op(image)).flatten(1))


# -- order, norms, activations, dropout


def test_order_is_operation_norm_activation_dropout():
    row = {"op": "dense", "width": 64, "norm": "batch", "act": "sigmoid", "dropout": 0.25}
    network = randomized(stack(row, shape=(5,)))
    block, x = network.blocks[0], normal(32, 5)
    expected = torch.sigmoid(block.norm(block.op(x)))  # never 0, so a 0 can only come from the dropout
    y = network(x)
    dropped = y == 0
    assert 0.2 < dropped.float().mean() < 0.3
    torch.testing.assert_close(y[~dropped], expected[~dropped] / 0.75)
    assert not (network.eval()(x) == 0).any()


def test_another_order_is_written_as_identity_rows():
    network = stack(
        {"op": "dense", "width": 6, "act": "relu"},
        {"op": "identity", "norm": "batch", "act": "prelu"},
        shape=(5,),
    )
    dense, x = network.blocks[0].op, normal(16, 5)
    hidden = F.relu(F.linear(x, dense.weight, dense.bias))
    normed = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(network(x), torch.where(normed > 0, normed, 0.25 * normed))


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "relu": lambda x: x.clamp_min(0),
        "lrelu": lambda x: torch.maximum(x, 0.2 * x),
        "silu": lambda x: x / (1 + (-x).exp()),
        "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5)),
        "tanh": lambda x: 1 - 2 / ((2 * x).exp() + 1),
        "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    }.items(),
)
def test_activations(name, expected):
    x = normal(3, 4, 8, 8)
    torch.testing.assert_close(stack({"op": "identity", "act": name})(x), expected(x))


def test_prelu_learns_one_slope_per_channel():
    network = stack({"op": "identity", "act": "prelu"})
    slopes = torch.tensor([0.1, 0.2, 0.3, 0.4])
    network.load_state_dict({"blocks.0.act.weight": slopes})
    x = normal(3, 4, 8, 8)
    torch.testing.assert_close(network(x), torch.where(x > 0, x, x * slopes[:, None, None]))


def test_every_activation_is_tested():
    assert set(ACTIVATIONS) == {"relu", "lrelu", "prelu", "silu", "gelu", "tanh", "sigmoid"}


@pytest.mark.parametrize("norm", ["batch", "conditional_batch"])
@pytest.mark.parametrize("shape", [(4,), (4, 8, 8)], ids=["features", "map"])
@pytest.mark.parametrize("momentum", [None, 0.2])
def test_momentum_is_the_share_of_the_new_batch(norm, shape, momentum):
    row = {"op": "identity", "norm": norm} | ({} if momentum is None else {"momentum": momentum})
    network = stack(row, shape=shape, classes=3)
    x = normal(16, *shape) + 5
    network(x, one_hot(*[0] * 16))
    [mean] = [value for key, value in network.state_dict().items() if key.endswith("running_mean")]
    batch_mean = x.mean(dim=[d for d in range(x.dim()) if d != 1])
    torch.testing.assert_close(mean, (momentum or 0.1) * batch_mean)


def test_instance_norm_standardises_each_map():
    y = stack({"op": "identity", "norm": "instance"})(3 * normal(2, 4, 8, 8) + 1)
    torch.testing.assert_close(y.mean(dim=(2, 3)), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(dim=(2, 3), unbiased=False), torch.ones(2, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("width", "groups"), [(64, 32), (32, 16), (48, 16), (24, 8), (20, 4), (4, 2), (6, 2), (7, 1), (1, 1)]
)
def test_group_norm_uses_the_most_groups_that_hold_several_channels(width, groups):
    x = 3 * normal(2, width, 4, 4) + 1
    y = stack({"op": "identity", "norm": "group"}, shape=(width, 4, 4))(x)
    parts = x.reshape(2, groups, -1)
    centred = parts - parts.mean(2, keepdim=True)
    expected = centred / (parts.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(y, expected.reshape(x.shape), atol=1e-5, rtol=1e-4)


def test_group_norm_of_features_keeps_information():
    y = stack({"op": "identity", "norm": "group"}, shape=(32,))(normal(2, 32))
    assert y.abs().mean() > 0.5


# -- spectral norm


def sigma(matrix: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(matrix.detach())[0]


@pytest.mark.parametrize(
    ("row", "shape", "find"),
    [
        ({"op": "dense", "width": 9}, (7,), lambda op: op.weight),
        ({"op": "conv", "width": 9}, (4, 8, 8), lambda op: op.weight.flatten(1)),
        ({"op": "conv_transpose", "width": 9}, (4, 8, 8), lambda op: op.weight.transpose(0, 1).flatten(1)),
        ({"op": "attention"}, (16, 8, 8), lambda op: op.query.weight.flatten(1)),
        ({"op": "attention"}, (16, 8, 8), lambda op: op.key.weight.flatten(1)),
        ({"op": "attention"}, (16, 8, 8), lambda op: op.value.weight.flatten(1)),
        ({"op": "projection"}, (7,), lambda op: op.linear.weight),
        ({"op": "projection"}, (7,), lambda op: op.embedding.weight),
        (
            {"op": "residual", "body": [{"op": "conv", "width": 6}]},
            (4, 8, 8),
            lambda op: op.project.weight.flatten(1),
        ),
    ],
    ids=["dense", "conv", "conv_transpose", "query", "key", "value", "projection", "class embedding", "shortcut"],
)
def test_spectral_norm_bounds_the_largest_singular_value(row, shape, find):
    free = randomized(stack(row, shape=shape, classes=3))
    assert sigma(find(free.blocks[0].op)) > 1.5
    bound = randomized(stack(row | {"spectral": True}, shape=shape, classes=3))
    for _ in range(50):  # each training step brings the estimate closer
        bound(normal(2, *shape), one_hot(0, 1))
    bound.eval()
    assert sigma(find(bound.blocks[0].op)) == pytest.approx(1, abs=1e-2)
    assert torch.equal(bound(normal(2, *shape), one_hot(0, 1)), bound(normal(2, *shape), one_hot(0, 1)))


def test_spectral_norm_of_a_residual_is_that_of_its_shortcut_only():
    row = {"op": "residual", "body": [{"op": "conv", "width": 6}], "spectral": True}
    residual = stack(row).blocks[0].op
    assert hasattr(residual.project, "parametrizations")
    assert not hasattr(residual.body.blocks[0].op, "parametrizations")


# -- rows that read the label


@pytest.mark.parametrize("shape", [(4,), (4, 8, 8)], ids=["features", "map"])
def test_conditional_batch_norm_with_unit_scales_is_batch_norm(shape):
    network = stack({"op": "identity", "norm": "conditional_batch"}, shape=shape, classes=3)
    x = 3 * normal(8, *shape) + 1
    y = network(x, one_hot(0, 1, 2, 0, 1, 2, 0, 1))
    torch.testing.assert_close(y, F.batch_norm(x, None, None, training=True))


@pytest.mark.parametrize("shape", [(4,), (4, 8, 8)], ids=["features", "map"])
def test_conditional_batch_norm_scales_and_shifts_per_class(shape):
    network = randomized(stack({"op": "identity", "norm": "conditional_batch"}, shape=shape, classes=3))
    layer, x, labels = network.blocks[0].norm, normal(4, *shape), [2, 0, 0, 1]
    y = network(x, one_hot(*labels))
    normed = F.batch_norm(x, None, None, training=True)
    for i, label in enumerate(labels):
        scale, shift = (
            w[:, label].reshape(-1, *[1] * (len(shape) - 1)) for w in (layer.scale.weight, layer.shift.weight)
        )
        torch.testing.assert_close(y[i], normed[i] * scale + shift)
    network.eval()
    condition = one_hot(*labels)
    normed = layer.norm(x)  # by the statistics kept
    scale, shift = (w(condition).reshape(4, -1, *[1] * (len(shape) - 1)) for w in (layer.scale, layer.shift))
    torch.testing.assert_close(network(x, condition), normed * scale + shift)
    three = network(x, one_hot(2, 2, 2, 2))
    assert not torch.allclose(three, network(x, one_hot(1, 1, 1, 1)))
    half = network(x, 0.5 * one_hot(2, 2, 2, 2) + 0.5 * one_hot(1, 1, 1, 1))
    torch.testing.assert_close(half, 0.5 * three + 0.5 * network(x, one_hot(1, 1, 1, 1)))


def test_conditional_batch_norm_and_attention_return_to_their_start():
    norm, attention = randomized(ConditionalBatchNorm(4, 3, 0.1, flat=True)), randomized(SelfAttention(4))
    norm.reset_parameters()
    attention.reset_parameters()
    assert torch.equal(norm.scale.weight, torch.ones(4, 3))
    assert torch.equal(norm.shift.weight, torch.zeros(4, 3))
    assert attention.gate.item() == 0


def test_label_is_appended_to_features():
    x, condition = normal(2, 4), one_hot(1, 2)
    y = stack({"op": "label"}, shape=(4,), classes=3)(x, condition)
    assert torch.equal(y[:, :4], x)
    assert y[:, 4:].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_label_is_appended_to_maps_as_planes():
    x, condition = normal(2, 4, 5, 6), torch.tensor([[0.0, 1.0, 0.0], [0.25, 0.0, 0.75]])
    y = stack({"op": "label"}, shape=(4, 5, 6), classes=3)(x, condition)
    assert torch.equal(y[:, :4], x)
    for i in range(2):
        for c in range(3):
            assert torch.equal(y[i, 4 + c], torch.full((5, 6), condition[i, c].item()))


def test_label_takes_the_type_of_what_it_joins():
    y = stack({"op": "label"}, shape=(4,), classes=3)(normal(2, 4).bfloat16(), one_hot(1, 2))
    assert y.dtype == torch.bfloat16


def test_projection_is_linear_plus_inner_product_with_the_class_embedding():
    network = randomized(stack({"op": "projection"}, shape=(5,), classes=3))
    head, x, labels = network.blocks[0].op, normal(4, 5), [2, 0, 1, 1]
    y = network(x, one_hot(*labels))
    weight, bias = head.linear.weight[0], head.linear.bias[0]
    for i, label in enumerate(labels):
        expected = sum((weight[k] + head.embedding.weight[k, label]) * x[i, k] for k in range(5)) + bias
        torch.testing.assert_close(y[i, 0], expected)


@pytest.mark.parametrize(
    "body",
    [
        [{"op": "label"}, {"op": "conv", "width": 4}],
        [{"op": "conv", "width": 4, "norm": "conditional_batch"}],
        [{"op": "residual", "body": [{"op": "label"}, {"op": "conv", "width": 4}]}],
    ],
    ids=["label", "norm", "nested"],
)
def test_rows_inside_a_residual_read_the_label(body):
    network = randomized(stack({"op": "residual", "body": body}, classes=3)).eval()
    x = normal(1, 4, 8, 8)
    assert network.conditional
    assert not torch.allclose(network(x, one_hot(0)), network(x, one_hot(1)))


def test_a_stack_knows_whether_it_reads_the_label():
    assert not stack({"op": "conv", "width": 2}, classes=3).conditional
    assert stack({"op": "label"}, classes=3).conditional
    assert stack({"op": "conv", "width": 2, "norm": "conditional_batch"}, classes=3).conditional
    assert stack({"op": "flatten"}, {"op": "projection"}, classes=3).conditional


# -- residual, attention, minibatch deviation


def plus_input(*body, shape=(4, 8, 8)):
    """A residual of a body, and the body alone."""
    residual = randomized(stack({"op": "residual", "body": list(body)}, shape=shape)).blocks[0].op
    return residual, residual.body


def projected(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
    return torch.einsum("nchw,dc->ndhw", x, conv.weight[:, :, 0, 0]) + conv.bias[:, None, None]


def test_residual_of_equal_shape_adds_its_input():
    residual, body = plus_input({"op": "conv", "width": 4, "act": "relu"})
    x = normal(2, 4, 8, 8)
    assert isinstance(residual.project, nn.Identity)
    torch.testing.assert_close(residual(x, None), body(x) + x)


def test_residual_of_another_width_projects_its_input():
    residual, body = plus_input({"op": "conv", "width": 6})
    x = normal(2, 4, 8, 8)
    torch.testing.assert_close(residual(x, None), body(x) + projected(x, residual.project))


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("width", [4, 6])
def test_residual_that_grows_repeats_the_pixels_of_its_input(factor, width):
    residual, body = plus_input({"op": "upsample", "factor": factor}, {"op": "conv", "width": width})
    x = normal(2, 4, 8, 8)
    large = x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    shortcut = large if width == 4 else projected(large, residual.project)
    torch.testing.assert_close(residual(x, None), body(x) + shortcut, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("width", [4, 6])
def test_residual_that_shrinks_averages_its_input(factor, width):
    side = 4 * factor
    residual, body = plus_input(
        {"op": "conv", "width": width}, {"op": "avg_pool", "factor": factor}, shape=(4, side, side)
    )
    x = normal(2, 4, side, side)
    small = x.reshape(2, 4, 4, factor, 4, factor).mean(dim=(3, 5))
    shortcut = small if width == 4 else projected(small, residual.project)
    torch.testing.assert_close(residual(x, None), body(x) + shortcut, atol=1e-4, rtol=1e-4)


def test_activation_of_a_residual_row_comes_after_the_sum():
    network = randomized(stack({"op": "residual", "body": [{"op": "conv", "width": 4}], "act": "tanh"}))
    x = normal(2, 4, 8, 8)
    torch.testing.assert_close(network(x), torch.tanh(network.blocks[0].op.body(x) + x))


def test_attention_starts_as_the_identity():
    x = normal(2, 16, 5, 5)
    assert torch.equal(SelfAttention(16)(x), x)


@pytest.mark.parametrize("width", [16, 4])
def test_attention_matches_a_naive_implementation(width):
    layer, x = randomized(SelfAttention(width)), normal(2, width, 3, 4)
    layer.query.weight.data *= 0.2  # keeps the softmax away from one-hot, where many errors would not show
    positions = [(i, j) for i in range(3) for j in range(4)]
    query, key, value = (projected(x, conv) for conv in (layer.query, layer.key, layer.value))
    assert query.shape[1] == key.shape[1] == max(1, width // 8)
    expected = torch.empty_like(x)
    for n in range(2):
        for i, j in positions:
            scores = torch.stack([query[n, :, i, j] @ key[n, :, k, m] for k, m in positions])
            weights = scores.exp() / scores.exp().sum()
            mixed = sum(w * value[n, :, k, m] for w, (k, m) in zip(weights, positions, strict=True))
            expected[n, :, i, j] = x[n, :, i, j] + layer.gate * mixed
    torch.testing.assert_close(layer(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)], ids=["features", "map"])
@pytest.mark.parametrize(("n", "group"), [(4, 4), (8, 4), (6, 6), (1, 1)])
def test_minibatch_deviation_matches_a_naive_implementation(shape, n, group):
    x = normal(n, *shape)
    y = MinibatchDeviation()(x)
    assert y.shape == (n, 4, *shape[1:])
    assert torch.equal(y[:, :3], x)
    for i in range(n):
        members = x[i // group * group : (i // group + 1) * group]
        deviation = (((members - members.mean(0)) ** 2).mean(0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[i, 3], torch.full(shape[1:], deviation.item()))


def test_minibatch_deviation_sees_collapse():
    same = normal(1, 3, 2, 2).expand(4, -1, -1, -1)
    assert MinibatchDeviation()(same)[:, 3].max() < 1e-3
    assert MinibatchDeviation()(normal(4, 3, 2, 2))[:, 3].min() > 0.3


# -- errors

CONV = {"op": "conv", "width": 4}
FEATURES, MAP = (12,), (4, 8, 8)

ERRORS = {
    # not rows at all
    "no rows": ([], MAP, "stages: expected a list of at least one row, got []"),
    "rows of another type": ("conv", MAP, "stages: expected a list of at least one row, got 'conv'"),
    "mapping for rows": (
        {"op": "conv"},
        MAP,
        "stages: expected a list of at least one row, got {'op': 'conv'}",
    ),
    "row of another type": (["conv"], MAP, "stages[0]: expected a mapping with an 'op', got 'conv'"),
    "row without op": ([{"width": 3}], MAP, "stages[0]: expected a mapping with an 'op', got {'width': 3}"),
    # unknown names
    "op": (
        [CONV, {"op": "convv"}],
        MAP,
        "stages[1].op: got 'convv'; did you mean 'conv'? allowed: dense, conv,",
    ),
    "op of another type": ([{"op": ["conv"]}], MAP, "stages[0].op: got ['conv']; "),
    "op far from any": ([{"op": "xyz"}], MAP, "stages[0].op: got 'xyz'; allowed: dense, conv,"),
    "field": ([CONV | {"kernal": 3}], MAP, "stages[0].kernal: not a field of 'conv'; did you mean 'kernel'?"),
    "field of another op": (
        [{"op": "upsample", "width": 3}],
        MAP,
        "stages[0].width: not a field of 'upsample'; allowed: op, norm, momentum, act, dropout, factor",
    ),
    "activation": (
        [CONV | {"act": "leru"}],
        MAP,
        "stages[0].act: got 'leru'; did you mean 'lrelu'? allowed: relu,",
    ),
    "activation of another type": ([CONV | {"act": ["relu"]}], MAP, "stages[0].act: got ['relu']; "),
    "norm": (
        [CONV | {"norm": "bach"}],
        MAP,
        "stages[0].norm: got 'bach'; did you mean 'batch'? allowed: batch,",
    ),
    "norm of another type": ([CONV | {"norm": True}], MAP, "stages[0].norm: got True; allowed: batch,"),
    "name in a body": (
        [CONV, {"op": "residual", "body": [CONV, CONV | {"act": "tahn"}]}],
        MAP,
        "stages[1].body[1].act: got 'tahn'; did you mean 'tanh'?",
    ),
    # values
    "no width": ([{"op": "conv"}], MAP, "stages[0].width: missing; 'conv' needs it"),
    "no size": ([{"op": "reshape"}], FEATURES, "stages[0].size: missing; 'reshape' needs it"),
    "text width": (
        [{"op": "conv", "width": "64"}],
        MAP,
        ".width: expected a whole number of at least 1, got '64'",
    ),
    "float width": (
        [{"op": "conv", "width": 64.0}],
        MAP,
        ".width: expected a whole number of at least 1, got 64.0",
    ),
    "true width": (
        [{"op": "conv", "width": True}],
        MAP,
        ".width: expected a whole number of at least 1, got True",
    ),
    "null width": (
        [{"op": "conv", "width": None}],
        MAP,
        ".width: expected a whole number of at least 1, got None",
    ),
    "no channels": (
        [{"op": "conv", "width": 0}],
        MAP,
        ".width: expected a whole number of at least 1, got 0",
    ),
    "kernel": ([CONV | {"kernel": None}], MAP, ".kernel: expected a whole number of at least 1, got None"),
    "stride": ([CONV | {"stride": 0}], MAP, ".stride: expected a whole number of at least 1, got 0"),
    "factor": (
        [{"op": "upsample", "factor": 1.5}],
        MAP,
        ".factor: expected a whole number of at least 1, got 1.5",
    ),
    "size": (
        [{"op": "reshape", "size": -2}],
        FEATURES,
        ".size: expected a whole number of at least 1, got -2",
    ),
    "padding": (
        [CONV | {"padding": -1}],
        MAP,
        ".padding: expected a whole number of at least 0 or null, got -1",
    ),
    "text padding": ([CONV | {"padding": "same"}], MAP, "of at least 0 or null, got 'same'"),
    "bias": ([CONV | {"bias": "no"}], MAP, "stages[0].bias: expected true or false, got 'no'"),
    "spectral": ([CONV | {"spectral": 1}], MAP, "stages[0].spectral: expected true or false, got 1"),
    "text dropout": (
        [CONV | {"dropout": "0.3"}],
        MAP,
        ".dropout: expected a probability in [0, 1), got '0.3'",
    ),
    "null dropout": ([CONV | {"dropout": None}], MAP, ".dropout: expected a probability in [0, 1), got None"),
    "true dropout": ([CONV | {"dropout": True}], MAP, ".dropout: expected a probability in [0, 1), got True"),
    "full dropout": ([CONV | {"dropout": 1.0}], MAP, ".dropout: expected a probability in [0, 1), got 1.0"),
    "negative dropout": (
        [CONV | {"dropout": -0.1}],
        MAP,
        ".dropout: expected a probability in [0, 1), got -0.1",
    ),
    "momentum": ([CONV | {"momentum": 1.5}], MAP, ".momentum: expected a share in (0, 1], got 1.5"),
    "text momentum": ([CONV | {"momentum": "0.8"}], MAP, ".momentum: expected a share in (0, 1], got '0.8'"),
    "zero momentum": ([CONV | {"momentum": 0}], MAP, ".momentum: expected a share in (0, 1], got 0"),
    "empty body": ([{"op": "residual"}], MAP, "stages[0].body: expected a list of at least one row, got ()"),
    # shapes
    "dense on a map": (
        [{"op": "dense", "width": 3}],
        MAP,
        "stages[0]: 'dense' needs features, got a map (4, 8, 8); put a 'flatten' or 'global_pool' before",
    ),
    "reshape of a map": (
        [{"op": "reshape", "size": 2}],
        MAP,
        "'reshape' needs features, got a map (4, 8, 8)",
    ),
    "projection of a map": ([{"op": "projection"}], MAP, "'projection' needs features, got a map (4, 8, 8)"),
    **{
        f"{op} on features": (
            [{"op": op, **rest}],
            FEATURES,
            f"{op!r} needs a map, got 12 features; put a 'reshape'",
        )
        for op, rest in {
            "conv": {"width": 3},
            "conv_transpose": {"width": 3},
            "upsample": {},
            "avg_pool": {},
            "global_pool": {},
            "attention": {},
            "residual": {"body": [CONV]},
        }.items()
    },
    "later row": ([CONV, {"op": "flatten"}, CONV], MAP, "stages[2]: 'conv' needs a map, got 256 features"),
    "kernel beyond the map": (
        [CONV | {"kernel": 9, "padding": 0}],
        MAP,
        "stages[0]: kernel 9 with padding 0 does not fit a map (4, 8, 8)",
    ),
    "even kernel, stride 1": (
        [CONV | {"kernel": 4}],
        MAP,
        "no padding divides the size by 1 with kernel 4; set it",
    ),
    "even kernel, stride 1, transposed": (
        [{"op": "conv_transpose", "width": 3, "kernel": 4}],
        MAP,
        "stages[0]: no padding multiplies the size by 1 with kernel 4; set it",
    ),
    "nothing left": (
        [{"op": "conv_transpose", "width": 3, "padding": 2}],
        (4, 1, 1),
        "stages[0]: kernel 3 with padding 2 leaves nothing of a map (4, 1, 1)",
    ),
    "pool beyond the map": ([{"op": "avg_pool", "factor": 9}], MAP, "factor 9 does not fit a map (4, 8, 8)"),
    "reshape that does not fit": (
        [{"op": "reshape", "size": 5}],
        FEATURES,
        "stages[0].size: 12 features do not fill maps of 5 by 5",
    ),
    "body that ends in features": (
        [{"op": "residual", "body": [{"op": "flatten"}]}],
        MAP,
        "stages[0].body: must end in a map like its input, ends in (256,)",
    ),
    "body of another size": (
        [{"op": "residual", "body": [{"op": "conv", "width": 4, "padding": 0}]}],
        MAP,
        "body: cannot add (4, 6, 6) to its input (4, 8, 8); one size must be a multiple of the other",
    ),
    "body of another aspect": (
        [{"op": "residual", "body": [{"op": "conv", "width": 4, "stride": 2}]}],
        (4, 8, 7),
        "stages[0].body: cannot add (4, 4, 4) to its input (4, 8, 7)",
    ),
    "instance norm of features": (
        [{"op": "dense", "width": 3, "norm": "instance"}],
        FEATURES,
        "stages[0].norm: instance norm needs a map; this row yields 3 features",
    ),
    # labels
    "label": (
        [{"op": "label"}],
        MAP,
        "stages[0]: this row reads the label, but the model has no class_names",
    ),
    "conditional norm": ([CONV | {"norm": "conditional_batch"}], MAP, "stages[0]: this row reads the label"),
    "projection": ([{"op": "projection"}], FEATURES, "stages[0]: this row reads the label"),
    "label in a body": (
        [{"op": "residual", "body": [{"op": "label"}]}],
        MAP,
        "stages[0].body[0]: this row reads the label",
    ),
}


@pytest.mark.parametrize(("rows", "shape", "message"), ERRORS.values(), ids=ERRORS)
def test_a_wrong_row_is_named_with_what_to_do(rows, shape, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below, as plain text
        Stack(rows, shape)
    assert message in str(error.value)


def test_errors_name_the_argument_that_holds_the_rows():
    with pytest.raises(ValueError, match=r"^encoder\[0\]\.op: got 'conf'; did you mean 'conv'\?"):
        Stack([{"op": "conf"}], MAP, where="encoder")


def test_projection_alone_makes_a_conditional_discriminator():
    stages = [{"op": "conv", "width": 8, "stride": 2}, {"op": "global_pool"}, {"op": "projection"}]
    model = GenHubDiscriminator(stages=stages, image_size=8, channels=1, class_names=["a", "b"])
    assert isinstance(model.stages.blocks[-1].op, Projection)
    assert model(normal(2, 1, 8, 8), model.condition(["a", "b"], 2)).shape == (2,)
