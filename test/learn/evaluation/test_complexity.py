"""Multiply-accumulates of steps and methods. The networks' own are in test/net."""

import pytest
import torch
from torch import nn

from twnet_ros.learn.evaluation.complexity import PRODUCT, count_macs, method_gmacs, step_macs
from twnet_ros.net import Config, TWNet

SIZE = (2048, 1024)


@pytest.fixture(scope="module")
def paper():
    """The paper's network, without weights: 19 classes, context layer 1."""
    names = tuple(f"class {i}" for i in range(19))
    with torch.device("meta"):
        return TWNet(Config("mobilenetv1", 1, names, ((0, 0, 0),) * 19, SIZE))


def test_the_steps_cost_what_the_paper_says(paper):
    key, nonkey = step_macs(paper, SIZE)
    assert sum(key.values()) / 1e9 == pytest.approx(39.66, abs=0.01)
    assert nonkey["cfr.predict"] / 1e9 == pytest.approx(2.416, abs=0.001)
    assert (nonkey["rga.attend"] + nonkey[PRODUCT]) / 1e6 == pytest.approx(1.27, abs=0.005)
    assert not any(name.startswith("keyframe.") for name in nonkey)


@pytest.mark.parametrize(
    "method, key, nonkey",
    [
        ("per_frame", 39.66, 39.66),
        ("twnet", 39.66, 21.71),
        ("adaptive", 39.66, 21.71),
        ("nkfc", 39.66, 21.71 - 2.417),
        ("prop_mv", 39.66, 1.434),  # the classifier, 9 64 19 at 1/4
        ("dff", 39.66, 1.434),
        ("interp_mv", 39.66, 2 * 1.434),
        ("warping", 39.66, 0),
        ("repeat", 39.66, 0),
    ],
)
def test_methods(paper, method, key, nonkey):
    assert method_gmacs(paper, method, SIZE) == pytest.approx((key, nonkey), abs=0.01)


def test_counting_leaves_the_network_as_it_was(network):
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    large, small = (method_gmacs(model, "twnet", size) for size in ((256, 128), (128, 64)))
    assert large[0] > 3 * small[0] and large[1] == pytest.approx(4 * small[1])
    assert all(tensor.device.type == "cpu" for tensor in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(module._forward_hooks for module in model.modules())


def test_by_hand():
    layers = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(6, 6, 5, groups=3))
    macs = count_macs(layers, lambda: layers(torch.zeros(1, 4, 20, 30)))
    # 10 x 15 from 3 x 3 of 4 channels; 6 x 11 from 5 x 5 of 2
    assert macs == {"0": 10 * 15 * 6 * 9 * 4, "1": 6 * 11 * 6 * 25 * 2}


def test_layers_that_it_cannot_count():
    with pytest.raises(ValueError, match="expected convolutions only, got 1: Linear"):
        count_macs(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(1, 1)), lambda: None)
