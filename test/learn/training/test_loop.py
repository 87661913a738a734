"""What both training steps share."""

import pytest
import torch

from twnet_ros.learn.training import loop


@pytest.mark.parametrize(
    ("device", "instructions", "amx", "expected"),
    [
        ("cpu", True, True, True),
        ("cpu", True, False, False),
        ("cpu", False, False, False),
        ("cuda", True, False, True),
        ("cuda", False, False, False),
    ],
)
def test_training_is_in_bfloat16_on_gpus_and_on_cpus_with_amx(
    monkeypatch, device, instructions, amx, expected
):
    monkeypatch.setattr(loop, "has_bf16", lambda _: instructions)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx})
    assert loop.trains_in_bf16(torch.device(device)) == expected


def test_a_cpu_that_says_nothing_of_amx_trains_in_float32(monkeypatch):
    monkeypatch.setattr(loop, "has_bf16", lambda _: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with loop.mixed_precision("cpu"):
        assert not torch.is_autocast_enabled("cpu")
