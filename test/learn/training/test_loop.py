"""What both training steps share."""

import pytest
import torch

from twnet_ros.learn.training import loop


@pytest.mark.parametrize(
    ("device", "instructions", "gain", "expected"),
    [
        ("cpu", True, 2.0, True),
        ("cpu", True, 0.7, False),
        ("cpu", False, 2.0, False),
        ("cuda", True, 0.7, True),
        ("cuda", False, 2.0, False),
    ],
)
def test_training_is_in_bfloat16_on_gpus_and_on_cpus_that_it_makes_faster(
    monkeypatch, network, device, instructions, gain, expected
):
    monkeypatch.setattr(loop, "has_bf16", lambda _: instructions)
    monkeypatch.setattr(loop, "_gain", lambda backbone, layer: gain)
    assert loop.trains_in_bf16(network().config, device) == expected
    if device == "cpu":
        with loop.mixed_precision(network().config, device):
            assert torch.is_autocast_enabled("cpu") == expected


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_gain_is_measured_without_a_trace(monkeypatch, mode):
    """What is drawn at random afterwards must not depend on the processor."""
    ran = []

    def by_turns(*steps):
        for step in steps:
            step()
            ran.append(step)
        return [3.0, 2.0]

    monkeypatch.setattr(loop, "by_turns", by_turns)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with mode():  # as the least-squares start and the scoring are
        assert loop._gain.__wrapped__("mobilenetv1", 1) == 1.5
    assert len(ran) == 2
    assert torch.equal(torch.rand(3), expected)
