"""MobileNetV2 as the key-frame encoder (Sandler et al., 2018)."""

from torch import nn

from twnet_ros.net.backbone import Backbone, assemble
from twnet_ros.net.layer import InvertedResidual, convolution


def mobilenet_v2(classes: int, layer: int) -> Backbone:
    """Build the paper's key-frame CNN with the context feature at decoder stage ``layer``."""
    block = InvertedResidual
    encoder: list[nn.Module] = [
        nn.Sequential(
            *convolution(3, 32, 3, stride=2),
            nn.ReLU6(inplace=True),
            block(32, 16, widen=1),
            block(16, 24, 2),
            block(24, 24),
        ),
        nn.Sequential(block(24, 32, 2), block(32, 32), block(32, 32)),
        nn.Sequential(
            block(32, 64, 2),
            *(block(64, 64) for _ in range(3)),
            block(64, 96),
            *(block(96, 96) for _ in range(2)),
        ),
        nn.Sequential(
            block(96, 160, 2),
            *(block(160, 160) for _ in range(2)),
            block(160, 320),
            *convolution(320, 1280, 1),
            nn.ReLU6(inplace=True),
        ),
    ]
    return assemble(encoder, [24, 32, 96, 1280], classes, layer)
