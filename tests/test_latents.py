"""Latents that depend on their seed and number alone, and the paths between them."""

from __future__ import annotations

import math

import pytest
import torch

from genhub.latents import MAX_SEED, path, sample_latents


def test_a_row_depends_on_its_seed_and_number_alone():
    rows = sample_latents(64, 16, seed=3)
    assert rows.shape == (64, 16)
    assert rows.dtype == torch.float32
    assert torch.equal(sample_latents(4, 16, seed=3), rows[:4])
    assert torch.equal(sample_latents(64, 16, seed=3), rows)


def test_these_are_the_latents_of_all_published_images():
    """Other numbers here would change what every seed shows, in every model."""
    expected = torch.tensor([[0.059911, 0.0155596, -1.1644385], [-1.431463, 1.6707169, -0.402724]])
    assert torch.allclose(sample_latents(2, 3, seed=0), expected, atol=1e-6)


def test_rows_and_seeds_share_nothing():
    rows = torch.cat([sample_latents(32, 8, seed) for seed in (0, 1, 2, 2**31, MAX_SEED)])
    gaps = torch.cdist(rows, rows) + torch.eye(len(rows)) * 99
    assert gaps.min() > 0.1
    assert torch.corrcoef(rows).fill_diagonal_(0).abs().mean() < 0.5


def test_latents_are_standard_normal():
    values = sample_latents(2000, 16, seed=1).double().flatten()
    assert abs(values.mean()) < 0.02
    assert abs(values.var() - 1) < 0.03
    assert abs((values**3).mean()) < 0.06
    assert abs((values**4).mean() - 3) < 0.15


def test_sampling_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    sample_latents(2, 2, seed=0)
    assert torch.equal(torch.rand(3), expected)


# -- paths

A, B = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])


@pytest.mark.parametrize("method", ["linear", "spherical"])
@pytest.mark.parametrize("steps", [2, 3, 8])
def test_a_path_contains_both_ends(method, steps):
    points = path(A, B, steps, method)
    assert points.shape == (steps, 3)
    assert torch.allclose(points[0], A, atol=1e-6)
    assert torch.allclose(points[-1], B, atol=1e-6)


def test_a_straight_path_has_equal_steps():
    points = path(A, B, 5, "linear")
    assert torch.allclose(points.diff(dim=0), ((B - A) / 4).expand(4, 3), atol=1e-6)


def test_a_spherical_path_turns_at_constant_speed_and_blends_the_length():
    points = path(A, B, 5, "spherical")
    assert torch.allclose(points.norm(dim=1), torch.tensor([3, 2.5, 2, 1.5, 1]), atol=1e-5)
    units = points / points.norm(dim=1, keepdim=True)
    turns = torch.arccos((units[1:] * units[:-1]).sum(dim=1).clamp(-1, 1))
    assert torch.allclose(turns, torch.full((4,), math.pi / 8), atol=1e-3)


def test_a_spherical_path_keeps_the_length_that_a_straight_one_loses():
    start, end = sample_latents(2, 512, seed=0)
    shortest = min(start.norm(), end.norm())
    assert path(start, end, 9, "spherical").norm(dim=1).min() > 0.999 * shortest
    assert path(start, end, 9, "linear").norm(dim=1).min() < 0.8 * shortest


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (A, A),
        (A, 2 * A),
        (A, -A),
        (A, A + 1e-6),
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(3), A),
        (A, torch.zeros(3)),
    ],
    ids=["same", "same direction", "opposite", "nearly the same", "both zero", "from zero", "to zero"],
)
def test_degenerate_ends_give_finite_paths_with_these_ends(start, end):
    for method in ("linear", "spherical"):
        points = path(start, end, 5, method)
        assert torch.isfinite(points).all()
        assert torch.allclose(points[0], start, atol=1e-5)
        assert torch.allclose(points[-1], end, atol=1e-5)


def test_a_path_in_half_precision_may_start_at_the_mean():
    points = path(torch.zeros(3).half(), A.half(), 3)
    assert points.dtype == torch.float16
    assert torch.allclose(points.float(), path(torch.zeros(3), A, 3), atol=1e-3)


@pytest.mark.parametrize("method", ["linear", "spherical"])
def test_a_path_in_double_precision_is_exact(method):
    start, end = torch.tensor([0.1, 0.2]).double() / 3, torch.tensor([0.7, -0.3]).double() / 3
    points = path(start, end, 5, method)
    assert points.dtype == torch.float64
    assert torch.allclose(points[[0, -1]], torch.stack([start, end]), rtol=0, atol=1e-15)
