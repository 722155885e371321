"""Distances between sets: torch-fidelity's own answers, known answers, and what must not be compared."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from unittest.mock import Mock

import pytest
import tiny
import torch
from torch.utils.data import Dataset

from genhub import metrics
from genhub.images import to_uint8
from genhub.metrics import Features, Statistics, extract, fidelity, frechet_distance
from genhub.metrics.extractors import only_tensors
from genhub.metrics.fidelity import at_most, kid_subset_size


def images(n: int, seed: int = 0, shape=(3, 8, 8)) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def points(n: int, seed: int = 0, at: float = 0.0, extractor: str = "points") -> Features:
    return Features(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)) + at, None, extractor)


def judge_extractor(name: str = "judge") -> metrics.Extractor:
    model = tiny.build("classifier")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))), alpha=0.1)
    return metrics.judge_extractor(model, name, hashlib.sha256(name.encode()).hexdigest())


# -- torch-fidelity


class Images(Dataset):
    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.images[i]


def test_torch_fidelity_called_directly_gives_the_same():
    from torch_fidelity import calculate_metrics

    made, real = images(300), images(240, seed=1) // 2
    extractor = judge_extractor()
    ours = fidelity(generated=extract(made[:240], extractor), real=extract(real, extractor))
    theirs = calculate_metrics(
        input1=Images(made[:240]),
        input2=Images(real),
        feature_extractor=extractor.registered,
        kid_subset_size=kid_subset_size(240, 240),
        **{"fid": True, "kid": True, "isc": True, "prc": True},
        **{"cuda": False, "save_cpu_ram": True, "verbose": False},
    )
    pairs = {
        "frechet_distance": "frechet_inception_distance",
        "kernel_distance": "kernel_inception_distance_mean",
        "classifier_score": "inception_score_mean",
        "precision": "precision",
        "recall": "recall",
    }
    assert {name: ours[name].value for name in pairs} == pytest.approx(
        {name: theirs[key] for name, key in pairs.items()}, rel=1e-5
    )
    assert ours["frechet_distance"].value > 0.1
    assert 0 < ours["precision"].value < 1
    # The quick distance of the measurements inside training is the same one.
    quick = [Statistics.of(extract(x, extractor).values) for x in (made[:240], real)]
    assert frechet_distance(*quick) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)


def test_the_features_of_training_are_those_of_the_evaluation():
    model = tiny.build("classifier")
    extractor = metrics.judge_extractor(model, "plain", hashlib.sha256(b"plain").hexdigest())
    seen = extract(images(9), extractor)
    assert torch.allclose(seen.values, metrics.features(images(9), model), atol=1e-6)
    assert torch.allclose(seen.logits.softmax(1), model.predict(images(9)), atol=1e-6)
    pooled = extract(images(9), metrics.pixel_extractor())
    assert torch.equal(pooled.values, metrics.features(images(9), None))
    assert pooled.logits is None


def test_kid_subsets_are_those_of_torch_fidelity_where_there_are_enough_images():
    assert kid_subset_size(10_000, 10_000) == kid_subset_size(10_000, 1000) == 1000
    assert kid_subset_size(10_000, 999) == 499
    assert kid_subset_size(10, 999) == 5
    assert kid_subset_size(1000, 1000) == 500, "whole sets as subsets would all be alike"
    assert kid_subset_size(1500, 1999) == 750
    assert kid_subset_size(1000, 2000) == 1000


# -- known answers


def test_modes_that_are_missing_lower_recall_and_images_that_are_odd_lower_precision():
    """Two clusters are real, one of them is made: what is made looks real, half of what is real is made."""
    both = Features(torch.cat([points(60).values, points(60, 1, at=100).values]), None, "points")
    one = points(120, 2)
    found = fidelity(generated=one, real=both)
    assert found["precision"].value > 0.8
    assert found["recall"].value < 0.6
    assert found["density"].value > 0.5
    assert found["coverage"].value < 0.6
    swapped = fidelity(generated=both, real=one)
    assert swapped["precision"].value < 0.6
    assert swapped["recall"].value > 0.8
    with pytest.raises(TypeError):
        fidelity(one, both)


def test_neighbours_of_points_on_a_line():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    # Radii to the nearest neighbour: 1, 1, 1, 8. The sample 1.5 lies in the balls of 1 and 2; 9 lies in that of 10.
    # Those of the samples: 7.5, 7.5, 41; every real point lies in the first or the second.
    made = torch.tensor([[1.5], [9.0], [50.0]])
    found = metrics.neighbour_figures(generated=made, real=real, neighbourhood=1, density_neighbourhood=1)
    assert found["density"].value == pytest.approx((2 + 1 + 0) / 3)
    assert found["coverage"].value == pytest.approx(3 / 4)
    assert found["precision"].value == pytest.approx(2 / 3)
    assert found["recall"].value == 1
    with pytest.raises(ValueError, match="too few for 4 neighbours"):
        metrics.neighbour_figures(generated=made, real=real, neighbourhood=1, density_neighbourhood=4)
    with pytest.raises(ValueError, match="generated: 3 images are too few for 3 neighbours"):
        metrics.neighbour_figures(generated=made, real=real)


def test_an_equal_number_of_images_is_compared_by_neighbours():
    many, few = points(50), points(20, 1)
    alone = fidelity(generated=at_most(many, 20), real=few)
    assert fidelity(generated=many, real=few)["precision"] == alone["precision"]
    assert torch.equal(at_most(many, 20).values, at_most(many, 20).values)
    assert not torch.equal(at_most(many, 20).values, many.values[:20]), "a sorted set would lose classes"


def test_the_spread_of_a_mean_is_its_standard_error():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 3 + 5
    figure = metrics.mean_figure(values)
    assert figure.value == pytest.approx(5, abs=0.5)
    assert figure.spread == pytest.approx(3 / 20, rel=0.15)
    assert metrics.jackknife(lambda kept: values[kept].mean().item(), 400) == pytest.approx(3 / 20, rel=0.6)


def test_the_spread_of_a_share_is_at_least_one_image():
    having = torch.arange(400) < 100
    assert metrics.share_figure(having) == metrics.mean_figure(having.double())
    assert metrics.share_figure(having | True) == metrics.Figure(1.0, 1 / 400)
    assert metrics.share_figure(having & False) == metrics.Figure(0.0, 1 / 400)
    assert metrics.mean_figure(torch.zeros(400)).spread == 0, "of a length or an error, nothing is known beyond"


def test_the_spread_of_the_distance_is_that_between_draws():
    reference = points(2000, 99)
    draws = [fidelity(generated=points(200, seed, at=0.5), real=reference)["frechet_distance"] for seed in range(12)]
    between = torch.tensor([figure.value for figure in draws]).std().item()
    stated = sum(figure.spread for figure in draws) / len(draws)
    assert stated == pytest.approx(between, rel=0.6)


# -- guards


@pytest.mark.parametrize(
    "damaged",
    [
        lambda x: x.float() / 127.5 - 1,
        lambda x: x.float() / 255,
        lambda x: x.float(),
        lambda x: x.float() * torch.nan,
        lambda x: x.int(),
    ],
    ids=["signed", "unit", "bytes as floats", "nan", "integers"],
)
def test_nothing_but_bytes_is_measured(damaged):
    shown, good = damaged(images(12)), images(12)
    for measure in (
        lambda: extract(shown, judge_extractor()),
        lambda: extract(shown, metrics.pixel_extractor()),
        lambda: metrics.sharpness(generated=shown, real=good),
        lambda: metrics.sharpness(generated=good, real=shown),
        lambda: metrics.memorization(generated=shown, held_out=good, train=good),
        lambda: metrics.memorization(generated=good, held_out=good, train=shown),
        lambda: metrics.reconstruction_errors(shown, None, tiny.build("ae-conv")),
        lambda: metrics.bound(shown, None, tiny.build("vae-conv"), seed=0),
    ):
        with pytest.raises(ValueError, match="expected uint8"):
            measure()


def test_floats_of_another_range_do_not_become_bytes():
    for wrong in (torch.full((1, 3, 8, 8), 2.0), images(1).float(), torch.full((1, 3, 8, 8), torch.nan)):
        with pytest.raises(ValueError, match=r"expected floats in \[-1, 1\]"):
            to_uint8(wrong)


def test_images_of_two_sizes_are_refused():
    small, large = images(12), images(12, shape=(3, 16, 16))
    with pytest.raises(ValueError, match=r"images: expected shape \(n, 3, 8, 8\)"):
        extract(large, judge_extractor())
    with pytest.raises(ValueError, match=r"images of \(3, 16, 16\) and of \(3, 8, 8\)"):
        metrics.sharpness(generated=large, real=small)
    with pytest.raises(ValueError, match=r"held_out: expected at least 2 images of \(3, 8, 8\)"):
        metrics.memorization(generated=small, held_out=large, train=small)


def test_too_few_images_and_none_are_refused():
    with pytest.raises(ValueError, match="generated: 9 images are too few, at least 10"):
        fidelity(generated=points(9), real=points(50))
    with pytest.raises(ValueError, match="real: 9 images are too few, at least 10"):
        fidelity(generated=points(50), real=points(9))
    with pytest.raises(ValueError, match="n of at least 1"):
        extract(images(0), metrics.pixel_extractor())
    assert all(math.isfinite(figure.value) for figure in fidelity(generated=points(10), real=points(10, 1)).values())


@pytest.mark.parametrize(
    "extractor", [judge_extractor, metrics.pixel_extractor, lambda: metrics.inception_extractor("weights.pth")]
)
def test_without_torch_fidelity_it_is_said_what_to_install(extractor, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ImportError, match="pip install torch-fidelity"):
        extractor()


def test_features_of_different_extractors_are_not_compared():
    with pytest.raises(ValueError, match="figures of different extractors cannot be compared"):
        fidelity(generated=points(20), real=points(20, extractor="others"))
    one, other = extract(images(12), judge_extractor("one")), extract(images(12), judge_extractor("other"))
    with pytest.raises(ValueError, match="figures of different extractors cannot be compared"):
        fidelity(generated=one, real=other)


def test_a_damaged_extractor_is_noticed():
    model = tiny.build("classifier")
    next(model.parameters()).data.fill_(torch.nan)
    extractor = metrics.judge_extractor(model, "damaged", hashlib.sha256(b"damaged").hexdigest())
    with pytest.raises(ValueError, match="damaged: its features of these images are not finite"):
        extract(images(12), extractor)


# -- the cache


def test_features_are_remembered_by_content(monkeypatch, tmp_path):
    monkeypatch.setenv("GENHUB_CACHE", str(tmp_path))
    extractor = judge_extractor("cached")
    first = extract(images(12), extractor)
    (file,) = tmp_path.rglob("*.safetensors")

    def never(*arguments):
        raise AssertionError("the network ran")

    with monkeypatch.context() as patch:
        patch.setattr(metrics.extractors, "build", never)
        patch.setattr(os, "utime", Mock(side_effect=PermissionError))  # a cache that others wrote
        again = extract(images(12).clone(), extractor)
        assert torch.equal(again.values, first.values)
        assert torch.equal(again.logits, first.logits)
        changed = images(12)
        changed[0, 0, 0, 0] += 1
        for other, by in ((changed, extractor), (images(11), extractor), (images(12), judge_extractor("cached2"))):
            with pytest.raises(AssertionError, match="the network ran"):
                extract(other, by)
    file.write_bytes(b"damaged")
    assert torch.equal(extract(images(12), extractor).values, first.values)


def test_the_cache_has_a_size_and_needs_no_place_to_write(monkeypatch, tmp_path):
    monkeypatch.setenv("GENHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(metrics.cache, "LIMIT", 30_000)
    for seed in range(6):
        extract(images(12, seed), metrics.pixel_extractor())
    kept = list(tmp_path.rglob("*.safetensors"))
    assert 1 <= len(kept) < 6
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENHUB_CACHE", str(tmp_path / "file"))
    assert len(extract(images(12), metrics.pixel_extractor())) == 12


# -- Inception


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory):
    """The network of torch-fidelity with random weights: the file that users bring has the same form."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    class Random(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
        torch.manual_seed(0)
        network = Random("random", ["2048"])
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(network.state_dict(), path)
    return path


def test_inception_has_the_names_of_the_literature(inception_weights):
    extractor = metrics.inception_extractor(inception_weights)
    assert len(extractor.sha256) == 64
    made = extract(images(10, shape=(1, 8, 8)), extractor)
    assert made.values.shape == (10, 2048)
    assert made.logits.shape == (10, 1008)
    real = Features(made.values + 0.01, None, made.extractor)
    names = fidelity(generated=Features(made.values[:, :8], made.logits, made.extractor),
                     real=Features(real.values[:, :8], None, real.extractor))  # fmt: skip
    assert {"fid", "kid", "inception_score", "precision"} <= names.keys()
    assert not {"frechet_distance", "kernel_distance", "classifier_score"} & names.keys()


class Malicious:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_weights_are_never_unpickled(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    torch.save(Malicious(), path)
    with pytest.raises(ValueError, match="its weights cannot be read"):
        extract(images(10), metrics.inception_extractor(path))
    assert "unpickled" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="is no file; download"):
        metrics.inception_extractor(tmp_path / "absent.pth")


def test_what_torch_may_read_is_as_before_afterwards(monkeypatch):
    import os

    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    with only_tensors():
        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "0"
