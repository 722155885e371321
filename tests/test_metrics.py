"""What is measured: known answers, and bytes only."""

from __future__ import annotations

import math

import pytest
import tiny
import torch

from genhub import metrics
from genhub.images import to_uint8
from genhub.metrics import Statistics, frechet_distance


def gaussian(mean, covariance) -> Statistics:
    return Statistics(torch.tensor(mean, dtype=torch.float64), torch.tensor(covariance, dtype=torch.float64))


def images(n: int, seed: int = 0, shape=(3, 8, 8)) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# -- Fréchet distance


def test_statistics_are_the_mean_and_the_unbiased_covariance():
    statistics = Statistics.of(torch.tensor([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]]))
    assert statistics.mean.tolist() == [2, 3]
    assert statistics.covariance.tolist() == [[4, 2], [2, 4]]
    assert statistics.mean.dtype == statistics.covariance.dtype == torch.float64
    assert Statistics.of(torch.tensor([[1.0], [3.0]])).covariance.tolist() == [[2]]


def test_statistics_without_a_block_are_those_of_the_rest():
    features = torch.randn(53, 3, generator=torch.Generator().manual_seed(0)) + 5
    for i, found in enumerate(Statistics.leaving_out(features, 4)):
        rest = Statistics.of(torch.cat([part for j, part in enumerate(features.tensor_split(4)) if j != i]))
        torch.testing.assert_close(found.mean, rest.mean)
        torch.testing.assert_close(found.covariance, rest.covariance)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (gaussian([0, 0], [[1, 0], [0, 1]]), gaussian([0, 0], [[1, 0], [0, 1]]), 0),
        (gaussian([0, 0], [[1, 0], [0, 1]]), gaussian([3, 4], [[1, 0], [0, 1]]), 25),
        (gaussian([0], [[4]]), gaussian([1], [[9]]), 1 + (2 - 3) ** 2),
        (gaussian([0, 0], [[4, 0], [0, 1]]), gaussian([0, 0], [[1, 0], [0, 25]]), (2 - 1) ** 2 + (1 - 5) ** 2),
        (gaussian([0, 0], [[1, 1], [1, 1]]), gaussian([0, 0], [[0, 0], [0, 0]]), 2),
        # Eigenvectors that differ, so that the order of the matrices matters: worked out from the eigenvalues of A·B,
        # [[4, 2], [1, 1.5]], whose roots sum to √(5.5 + 2√4).
        (gaussian([0, 0], [[2, 0], [0, 1]]), gaussian([0, 0], [[2, 1], [1, 1.5]]), 6.5 - 2 * math.sqrt(9.5)),
    ],
)
def test_known_distances(a, b, expected):
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, abs=1e-6)


def test_the_distance_of_features_to_themselves_is_zero_and_grows_with_a_shift():
    features = torch.randn(500, 12, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 13))
    same = Statistics.of(features)
    assert frechet_distance(same, same) == pytest.approx(0, abs=1e-6)
    distances = [frechet_distance(same, Statistics.of(features + shift)) for shift in (0.1, 1.0, 3.0)]
    assert distances == pytest.approx([12 * shift**2 for shift in (0.1, 1.0, 3.0)], rel=1e-4)


def test_too_little_variety_is_a_distance():
    generator = torch.Generator().manual_seed(0)
    varied, collapsed = torch.randn(500, 4, generator=generator), torch.zeros(500, 4)
    assert frechet_distance(Statistics.of(varied), Statistics.of(collapsed)) == pytest.approx(4, rel=0.15)


def test_features_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="both must come from the same extractor"):
        frechet_distance(gaussian([0], [[1]]), gaussian([0, 0], [[1, 0], [0, 1]]))
    for features in (torch.zeros(1, 4), torch.zeros(0, 4), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"features: expected shape \(n, f\) with n of at least 2"):
            Statistics.of(features)


# -- the judge


class Brightness(torch.nn.Module):
    """Reads class 2 in bright images, 0 in dark ones, and never 1: for answers that are known."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))  # a model lies on the device of its parameters

    def forward(self, signed: torch.Tensor) -> torch.Tensor:
        mean = signed.mean(dim=(1, 2, 3))
        return torch.stack([-mean, torch.full_like(mean, -9), mean], dim=1)


@pytest.fixture
def judge():
    model = tiny.build("classifier")
    model.stages = Brightness()
    return model


def test_class_accuracy_compares_what_was_meant_with_what_is_seen(judge):
    shown = torch.stack([torch.full((3, 8, 8), level, dtype=torch.uint8) for level in (0, 255, 255, 10)])
    assert metrics.class_accuracy(shown, torch.tensor([0, 2, 2, 0]), judge) == 1
    assert metrics.class_accuracy(shown, torch.tensor([0, 2, 1, 2]), judge) == 0.5
    assert metrics.class_accuracy(shown, torch.tensor([1, 1, 1, 1]), judge) == 0
    assert metrics.class_histogram(shown, judge) == [0.5, 0, 0.5]


@pytest.mark.parametrize("labels", [None, [0, 1], torch.tensor([0]), torch.tensor([0, 1, 2]), torch.tensor([[0, 1]])])
def test_labels_that_do_not_fit_the_images_are_refused(judge, labels):
    with pytest.raises(ValueError, match=r"labels: expected a tensor of shape \(2,\), one per image"):
        metrics.class_accuracy(images(2), labels, judge)


def test_features_do_not_depend_on_the_batch_or_the_mode():
    model = tiny.build("classifier")
    expected = metrics.features(images(7), model)
    assert expected.shape[0] == 7
    assert not expected.requires_grad
    assert torch.allclose(metrics.features(images(7), model.train(), batch_size=2), expected, atol=1e-5)
    assert model.training


def test_without_a_judge_features_are_pooled_pixels():
    features = metrics.features(images(2, shape=(1, 16, 16)), None)
    assert features.shape == (2, 64)
    expected = images(2, shape=(1, 16, 16))[0, 0, :2, :2].double().mean() / 127.5 - 1
    assert features[0, 0].item() == pytest.approx(expected.item(), abs=1e-5)


def test_reconstruction_error_is_per_pixel_in_unit_range():
    model = tiny.build("ae-conv")
    with torch.no_grad():
        model.decoder.blocks[-1].op.weight.zero_()
        model.decoder.blocks[-1].op.bias.fill_(0)  # every reconstruction is mid grey: 0 in [-1, 1]
    black, white = torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.full((3, 3, 8, 8), 255, dtype=torch.uint8)
    for shown in (black, white):
        assert metrics.reconstruction_mse(shown, None, model) == pytest.approx(0.25, abs=1e-6)


def test_reconstruction_error_uses_labels_only_where_the_model_reads_them():
    labels = torch.tensor([0, 1, 2])
    plain, labelled = tiny.build("ae-conv"), tiny.build("ae-labelled")
    assert metrics.reconstruction_mse(images(3), labels, plain) == metrics.reconstruction_mse(images(3), None, plain)
    other = metrics.reconstruction_mse(images(3), labels.flip(0), labelled)
    assert metrics.reconstruction_mse(images(3), labels, labelled) != pytest.approx(other, rel=1e-6)
    for measure in (metrics.reconstruction_mse, lambda *given: metrics.bound(*given, seed=0)):
        with pytest.raises(ValueError, match="is conditional and needs them, got None"):
            measure(images(3), None, labelled)


# -- bytes only


@pytest.mark.parametrize(
    "odd", [lambda x: x.float() / 255, lambda x: x.float() / 127.5 - 1, lambda x: x.int(), lambda x: x.numpy()]
)
def test_whatever_is_not_bytes_is_refused(judge, odd):
    shown, labels = odd(images(2)), torch.tensor([0, 1])
    for measure in (
        lambda: metrics.features(shown, judge),
        lambda: metrics.features(shown, None),
        lambda: metrics.class_accuracy(shown, labels, judge),
        lambda: metrics.class_histogram(shown, judge),
        lambda: metrics.reconstruction_mse(shown, None, tiny.build("ae-conv")),
    ):
        with pytest.raises(ValueError, match=r"images: expected .*uint8"):
            measure()


def test_generated_images_are_measured_after_quantising():
    made = tiny.build("gan").generate(4, seed=0)
    assert metrics.features(to_uint8(made), tiny.build("classifier")).shape[0] == 4
