"""ResNet-18 as the key-frame encoder (He et al., 2016)."""

from torch import nn

from twnet_ros.net.backbone import Backbone, assemble
from twnet_ros.net.layer import basic, convolution


def resnet18(classes: int, layer: int) -> Backbone:
    """Build the paper's key-frame CNN with the context feature at decoder stage ``layer``."""
    stem = nn.Sequential(
        *convolution(3, 64, 7, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
    )
    encoder: list[nn.Module] = [
        nn.Sequential(stem, basic(64, 64), basic(64, 64)),
        nn.Sequential(basic(64, 128, 2), basic(128, 128)),
        nn.Sequential(basic(128, 256, 2), basic(256, 256)),
        nn.Sequential(basic(256, 512, 2), basic(512, 512)),
    ]
    return assemble(encoder, [64, 128, 256, 512], classes, layer)
