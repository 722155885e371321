"""Training and measuring on a device other than the CPU: nothing is left behind, and all figures are the same."""

import pytest
import torch
from accelerate import Accelerator
from elsewhere import DEVICE, pretended
from tiny_runs import last_checkpoint, measured, run, tiny_recipe

import training.assessment
import training.protocol
from training.protocol import hardware


@pytest.mark.parametrize("kind", ["adversarial", "vae", "vae_gan", "classifier", "diffusion"])
def test_a_run_is_the_same_on_another_device(kind, tmp_path, monkeypatch):
    """With its evaluation and a stop in between, and but for rounding."""
    here, there = tmp_path / "here", tmp_path / "there"

    def trained(folder):
        folder.mkdir()
        assert run(folder, tiny_recipe(kind)) == 0
        assert run(folder, None, "--resume", str(folder / "tiny"), "--max-steps", "4") == 0

    trained(here)
    monkeypatch.setattr(Accelerator, "device", DEVICE)
    for module in (training.protocol, training.assessment):
        monkeypatch.setattr(module, "measuring_device", lambda: DEVICE)
    with pretended():
        trained(there)
    found, expected = (measured(folder / "tiny")["metrics"] for folder in (there, here))
    assert found == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(last_checkpoint(there / "tiny")[0], last_checkpoint(here / "tiny")[0], rtol=0, atol=1e-6)


def test_a_record_names_the_device_that_was_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert hardware(torch.device("cuda", 1)) == "GPU 1"
    assert hardware(torch.device("cpu")).startswith("CPU, ")


def test_the_other_device_refuses_what_a_gpu_would():
    with pretended() as device:
        there, here = torch.ones(2, device=device), torch.ones(2)
        assert (there * 2 + torch.tensor(1.0)).cpu().tolist() == [3, 3]
        for mixed in (
            lambda: there + here,
            lambda: torch.cat([there, here]),
            lambda: here[torch.tensor([0], device=device)],
            lambda: torch.randn(2, device=device, generator=torch.Generator()),
            lambda: there.numpy(),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                mixed()
