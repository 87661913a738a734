"""MobileNetV1 as the key-frame encoder (Howard et al., 2017)."""

from torch import nn

from twnet_ros.net.backbone import Backbone, assemble
from twnet_ros.net.layer import convolution


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a depthwise 3x3 and a pointwise convolution, each with batch norm and ReLU6."""
    return nn.Sequential(
        *convolution(inputs, inputs, 3, stride=stride, groups=inputs),
        nn.ReLU6(inplace=True),
        *convolution(inputs, outputs, 1),
        nn.ReLU6(inplace=True),
    )


def mobilenet_v1(classes: int, layer: int) -> Backbone:
    """Build the paper's key-frame CNN with the context feature at decoder stage ``layer``."""
    stem = nn.Sequential(*convolution(3, 32, 3, stride=2), nn.ReLU6(inplace=True))
    encoder: list[nn.Module] = [
        nn.Sequential(stem, separable(32, 64), separable(64, 128, 2), separable(128, 128)),
        nn.Sequential(separable(128, 256, 2), separable(256, 256)),
        nn.Sequential(separable(256, 512, 2), *(separable(512, 512) for _ in range(5))),
        nn.Sequential(separable(512, 1024, 2), separable(1024, 1024)),
    ]
    return assemble(encoder, [128, 256, 512, 1024], classes, layer)
