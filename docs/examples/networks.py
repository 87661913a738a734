"""Networks to time beside TWNet, each a callable that returns a ``torch.nn.Module``.

In the folder of this file, after ``. install/setup.bash``:

    twnet benchmark --against networks:ddrnet

A network of your own is a function like ``ddrnet``: it takes nothing and returns a module that
maps a normalised image (1, 3, H, W) to logits (1, classes, h, w).
"""

from torch import Tensor, nn

from twnet_ros.learn.speed.contestant import untrained
from twnet_ros.net import Config, TWNet
from twnet_ros.segment import CITYSCAPES


class PerFrame(nn.Module):
    """The key step alone, as logits of an image."""

    def __init__(self, network: TWNet) -> None:
        super().__init__()
        self.keyframe = network.keyframe

    def forward(self, image: Tensor) -> Tensor:
        """Map (1, 3, H, W) to (1, classes, h, w)."""
        head = self.keyframe.head(image)
        logits: Tensor = self.keyframe.tail(self.keyframe.context(head), head)
        return logits


def ddrnet() -> nn.Module:
    """DDRNet-23-slim (Hong et al., 2021) with random weights, 19 classes."""
    config = Config(
        "ddrnet23slim", 3, CITYSCAPES.names, CITYSCAPES.colors, (2048, 1024), correction="none"
    )
    return PerFrame(untrained(config))
