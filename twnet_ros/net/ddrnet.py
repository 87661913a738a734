"""DDRNet-23-slim as the key-frame CNN (Hong, Pan, Sun and Jia, 2021).

Behind a common trunk a branch at 1/8 keeps the detail, and one that goes down to 1/64 with a
pyramid pooling sees the whole picture; they exchange features twice and are added at 1/8. What
is deep in it lies in both branches, and each stage of either needs the other: neither can be
carried along alone. So the context feature is taken behind their sum, and the head is a part of
the trunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twnet_ros.net.backbone import Backbone, Head, HeadFeatures, Tail
from twnet_ros.net.layer import Fuse, Lateral, Residual, basic, convolution, resize

DETAIL = 64  # channels of the branch at 1/8, and of the segmentation head
SUM = 128  # channels of both branches where they are added


def activated(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Return a batch norm and its ReLU in front of a convolution."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), conv]


def bottleneck(inputs: int, width: int, outputs: int, stride: int = 1) -> Residual:
    """Return the residual block 1x1, 3x3, 1x1, ``width`` in between, without its last ReLU."""
    body = [
        *convolution(inputs, width, 1),
        nn.ReLU(inplace=True),
        *convolution(width, width, 3, stride=stride),
        nn.ReLU(inplace=True),
        *convolution(width, outputs, 1),
    ]
    return Residual(body, inputs, outputs, stride=stride, activate=False)


class DualStage(nn.Module):
    """A stage of both branches, and what each gives to the other."""

    def __init__(self, inputs: int, outputs: int, down: list[nn.Module]) -> None:
        super().__init__()
        self.low = nn.Sequential(
            basic(inputs, outputs, 2), basic(outputs, outputs, activate=False)
        )
        self.high = nn.Sequential(basic(DETAIL, DETAIL), basic(DETAIL, DETAIL, activate=False))
        self.down = nn.Sequential(*down)
        self.compress = Lateral(outputs, DETAIL)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, inputs, h, w) to (N, outputs, h / 2, w / 2), beside (N, 64, H / 8, W / 8)."""
        low, high = self.low(low), self.high(high)
        raised = resize(self.compress(F.relu(low)), high.shape[-2:])
        low = F.relu(low + self.down(F.relu(high)), inplace=True)
        return low, F.relu(high + raised, inplace=True)


class DeepPooling(nn.Module):
    """DAPPM: averages over ever larger windows, each added to the one before and smoothed."""

    WINDOWS = ((5, 2), (9, 4), (17, 8))  # (side, stride); the last average is over the picture

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        scales = len(self.WINDOWS) + 2
        self.reduce = nn.ModuleList(
            nn.Sequential(*activated(inputs, width, 1)) for _ in range(scales)
        )
        self.smooth = nn.ModuleList(
            nn.Sequential(*activated(width, width, 3)) for _ in range(scales - 1)
        )
        self.fuse = nn.Sequential(*activated(scales * width, outputs, 1))
        self.shortcut = nn.Sequential(*activated(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w)."""
        pooled = [F.avg_pool2d(x, side, stride, side // 2) for side, stride in self.WINDOWS]
        pooled.append(F.adaptive_avg_pool2d(x, 1))
        parts = [self.reduce[0](x)]
        for feature, reduce, smooth in zip(pooled, self.reduce[1:], self.smooth, strict=True):
            parts.append(smooth(resize(reduce(feature), x.shape[-2:]) + parts[-1]))
        pyramid: Tensor = self.fuse(torch.cat(parts, 1)) + self.shortcut(x)
        return pyramid


class DualContext(nn.Module):
    """The rest of the trunk, both branches, their sum and what follows up to the context."""

    def __init__(self, stages: list[nn.Module], finish: list[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.third = DualStage(64, 128, convolution(DETAIL, 128, 3, stride=2))
        further = [*convolution(DETAIL, 128, 3, stride=2), nn.ReLU(inplace=True)]
        self.fourth = DualStage(128, 256, [*further, *convolution(128, 256, 3, stride=2)])
        self.high = bottleneck(DETAIL, DETAIL, SUM)
        self.low = nn.Sequential(bottleneck(256, 256, 512, 2), DeepPooling(512, 128, SUM))
        self.finish = nn.Sequential(*finish)

    def forward(self, head: HeadFeatures) -> Tensor:
        """Compute the context feature (N, C, H / 8, W / 8), after its ReLU."""
        x = self.stages(head.deep)
        low, high = self.fourth(*self.third(x, x))
        high, low = self.high(high), self.low(low)
        # Where 64 does not divide the picture, the last row and column at 1/64 reach past it.
        raised = F.interpolate(low, scale_factor=8, mode="bilinear", align_corners=False)
        height, width = high.shape[-2:]
        context: Tensor = self.finish(high + raised[..., :height, :width])
        return context


def ddrnet_23_slim(classes: int, layer: int) -> Backbone:
    """Build DDRNet-23-slim, with logits at 1/8; every layer keeps its context there.

    Layer 1: behind the segmentation head's 3x3 convolution (64 channels), corrected from and
    fused with what the whole trunk sees of the picture, at 1/8. Layer 2: the same from the
    trunk's stem of two convolutions alone, at 1/4. Layer 3: the sum of the branches (128
    channels), carried along and classified; with it the key step is exactly the published
    network, to which layers 1 and 2 add a lateral connection and the 3x3 convolution behind it.
    """
    trunk: list[nn.Module] = [
        nn.Sequential(
            *convolution(3, 32, 3, stride=2),
            nn.ReLU(inplace=True),
            *convolution(32, 32, 3, stride=2),
            nn.ReLU(inplace=True),
        ),
        nn.Sequential(basic(32, 32), basic(32, 32)),
        nn.Sequential(basic(32, 64, 2), basic(64, 64)),
    ]
    finish: list[nn.Module] = [nn.BatchNorm2d(SUM), nn.ReLU(inplace=True)]
    reduce = [*convolution(SUM, DETAIL, 3), nn.ReLU(inplace=True)]
    classifier = nn.Conv2d(DETAIL, classes, 1)
    if layer == 3:
        tail = Tail([], nn.Sequential(*reduce, classifier))
        return Backbone(Head([], []), DualContext(trunk, finish), tail, channels=SUM, stride=8)
    shallow = {1: 3, 2: 1}[layer]  # stages in the head
    lateral = Lateral(64, DETAIL) if layer == 1 else Lateral(32, DETAIL, 3, stride=2)
    return Backbone(
        Head(trunk[:shallow], [lateral]),
        DualContext(trunk[shallow:], [*finish, *reduce]),
        Tail([Fuse(DETAIL, DETAIL)], classifier),
        channels=DETAIL,
        stride=8,
    )
