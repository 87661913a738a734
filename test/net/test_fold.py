"""The folded network computes what the trained one does."""

import copy

import pytest
import torch
from torch import nn

from twnet_ros.net import Config, TWNet, fold
from twnet_ros.net.config import BACKBONES


@pytest.fixture(params=sorted(BACKBONES))
def network(request, randomise):
    """A network whose batch norms have statistics and parameters of their own."""
    torch.manual_seed(0)
    config = Config(request.param, 1, ("a", "b", "c"), ((0, 0, 0),) * 3, (96, 64))
    return randomise(TWNet(config)).eval()


def test_both_steps_differ_by_rounding_alone(network):
    folded = copy.deepcopy(network)
    fold(folded)
    image, stride = torch.randn(1, 3, 64, 96), network.keyframe.stride
    grid = 64 // stride, 96 // stride
    motion, residual = torch.randn(1, 2, *grid), 10 * torch.rand(1, 3, *grid)
    with torch.inference_mode():
        for step in ("key", "nonkey"):
            results = []
            for one in (network, folded):
                logits, state = one.key(image)
                if step == "nonkey":
                    logits, state = one.nonkey(image.flip(-1), motion, residual, state)
                results.append((logits, state.context))
            for a, b in zip(*results, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


def test_no_batch_norm_is_left_behind_a_convolution(network):
    before = sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    fold(network)
    left = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    # DDRNet has some in front of their convolutions.
    assert len(left) < before / 4
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            kinds = [type(one) for one in part]
            assert (nn.Conv2d, nn.BatchNorm2d) not in zip(kinds, kinds[1:], strict=False)
