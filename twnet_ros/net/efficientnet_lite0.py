"""EfficientNet-Lite0 as the key-frame encoder.

EfficientNet-B0 (Tan and Le, 2019) with ReLU6 and without squeeze-and-excitation, as its authors
published it in 2020 for small devices.
"""

from torch import nn

from twnet_ros.net.backbone import Backbone, assemble
from twnet_ros.net.layer import InvertedResidual, convolution


def efficientnet_lite0(classes: int, layer: int) -> Backbone:
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
        nn.Sequential(block(24, 40, 2, kernel=5), block(40, 40, kernel=5)),
        nn.Sequential(
            block(40, 80, 2),
            *(block(80, 80) for _ in range(2)),
            block(80, 112, kernel=5),
            *(block(112, 112, kernel=5) for _ in range(2)),
        ),
        nn.Sequential(
            block(112, 192, 2, kernel=5),
            *(block(192, 192, kernel=5) for _ in range(3)),
            block(192, 320),
            *convolution(320, 1280, 1),
            nn.ReLU6(inplace=True),
        ),
    ]
    for part in nn.ModuleList(encoder).modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-3  # its authors'; in the published weights there are variances below it
    return assemble(encoder, [24, 40, 112, 1280], classes, layer)
