"""Tiny networks whose every part has something to say."""

import pytest
import torch
from torch import nn

from twnet_ros.net import Config, TWNet


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.fixture
def trap(tmp_path):
    """What makes its file ``mark`` when it is unpickled."""
    return Trap(tmp_path / "executed")


@pytest.fixture
def config():
    """Make a configuration; settings replace its fields."""

    def make(**settings):
        fields = {
            "backbone": "mobilenetv1",
            "layer": 1,
            "classes": ("road", "sky", "car"),
            "colors": ((128, 64, 128), (70, 130, 180), (0, 0, 142)),
            "input_size": (64, 32),
        }
        cut = {"correction": "none"} if settings.get("layer") == 3 else {}
        return Config(**{**fields, **cut, **settings})

    return make


@pytest.fixture
def network(config):
    """Make a randomly initialised network in evaluation mode."""

    def make(seed=0, **settings):
        torch.manual_seed(seed)
        return TWNet(config(**settings)).eval()

    return make


@pytest.fixture
def correcting(network):
    """Make a network whose correction is not zero and whose copies differ from the originals."""

    def make(seed=0, **settings):
        made = network(seed, **settings)
        made.copy_key_parts()
        with torch.no_grad():
            for part in (made.head, made.tail, *([made.cfr] if made.corrects else [])):
                for parameter in part.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
            for parameter in made.rga.parameters() if made.attends else ():
                parameter.normal_(std=0.5)
        return made

    return make


@pytest.fixture
def randomise():
    """Give batch norms, and what begins at zero, values of their own; return the network."""

    def randomise(network):
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)
        for corrects in ("cfr", "rga"):
            for parameter in getattr(network, corrects, nn.Identity()).parameters():
                nn.init.normal_(parameter, 0, 0.1)
        return network

    return randomise
