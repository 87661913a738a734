"""PIDNet-S (Xu, Xiong and Bhattacharyya, CVPR 2023), to time beside TWNet.

In the folder of this file, after ``. install/setup.bash``:

    twnet benchmark --against pidnet:pidnet_s

Three branches: one at 1/8 keeps the detail (P), one goes down to 1/64 and sees the whole picture
(I), one at 1/8 finds boundaries (D), by which the other two are mixed. Without the heads of
training it has 7.6 million parameters and 47.2 GMACs at 1024x2048; the weights are random.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twnet_ros.net.ddrnet import activated, bottleneck
from twnet_ros.net.layer import Lateral, basic, convolution, resize
from twnet_ros.segment import CITYSCAPES


def stage(inputs: int, outputs: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Return residual blocks, the last of which leaves without its ReLU."""
    first = basic(inputs, outputs, stride, activate=blocks > 1)
    rest = (basic(outputs, outputs, activate=n < blocks) for n in range(2, blocks + 1))
    return nn.Sequential(first, *rest)


class PixelAttention(nn.Module):
    """Pag: mixes the context into the detail where the two agree."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.detail, self.context = Lateral(channels, width), Lateral(channels, width)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Map detail (N, channels, h, w) and context, of any smaller size, to the detail's."""
        size = detail.shape[-2:]
        alike = self.detail(detail) * resize(self.context(context), size)
        share = torch.sigmoid(alike.sum(1, keepdim=True))
        return torch.lerp(detail, resize(context, size), share)


class ParallelPooling(nn.Module):
    """PAPPM: averages over ever larger windows, smoothed side by side (a grouped convolution)."""

    WINDOWS = ((5, 2), (9, 4), (17, 8))  # (side, stride); the last average is over the picture

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        scales = len(self.WINDOWS) + 1
        self.alone = nn.Sequential(*activated(inputs, width, 1))
        pools = [nn.AvgPool2d(side, stride, side // 2) for side, stride in self.WINDOWS]
        self.scales = nn.ModuleList(
            nn.Sequential(pool, *activated(inputs, width, 1))
            for pool in (*pools, nn.AdaptiveAvgPool2d(1))
        )
        all_scales = scales * width
        grouped = nn.Conv2d(all_scales, all_scales, 3, padding=1, groups=scales, bias=False)
        self.smooth = nn.Sequential(nn.BatchNorm2d(all_scales), nn.ReLU(inplace=True), grouped)
        self.fuse = nn.Sequential(*activated(width + all_scales, outputs, 1))
        self.shortcut = nn.Sequential(*activated(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w)."""
        alone = self.alone(x)
        pooled = [resize(scale(x), x.shape[-2:]) + alone for scale in self.scales]
        smoothed = self.smooth(torch.cat(pooled, 1))
        pyramid: Tensor = self.fuse(torch.cat([alone, smoothed], 1)) + self.shortcut(x)
        return pyramid


class BoundaryFusion(nn.Module):
    """Bag, the light one: detail at boundaries, context elsewhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail, self.context = Lateral(channels, channels), Lateral(channels, channels)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        """Mix detail and context by the boundary, (N, channels, h, w) each, to the same shape."""
        edge = torch.sigmoid(boundary)
        mixed: Tensor = self.detail((1 - edge) * context + detail)
        mixed += self.context(context + edge * detail)
        return mixed


class PIDNet(nn.Module):
    """The small one, as it infers: image (N, 3, H, W) to logits (N, classes, H / 8, W / 8)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *convolution(3, 32, 3, stride=2),
            nn.ReLU(inplace=True),
            *convolution(32, 32, 3, stride=2),
            nn.ReLU(inplace=True),
            stage(32, 32, 2),
            nn.ReLU(inplace=True),
            stage(32, 64, 2, stride=2),
            nn.ReLU(inplace=True),
        )
        self.i3, self.i4 = stage(64, 128, 3, stride=2), stage(128, 256, 3, stride=2)
        self.i5 = nn.Sequential(
            bottleneck(256, 256, 512, 2),
            bottleneck(512, 256, 512),
            ParallelPooling(512, 96, 128),
        )
        self.p3, self.p4, self.p5 = stage(64, 64, 2), stage(64, 64, 2), bottleneck(64, 64, 128)
        self.compress3, self.compress4 = Lateral(128, 64), Lateral(256, 64)
        self.pag3, self.pag4 = PixelAttention(64, 32), PixelAttention(64, 32)
        self.d3, self.d4 = stage(64, 32, 1), bottleneck(32, 32, 64)
        self.d5 = bottleneck(64, 64, 128)
        self.boundary3, self.boundary4 = Lateral(128, 32, 3), Lateral(256, 64, 3)
        self.fuse = BoundaryFusion(128)
        head = [*activated(128, 128, 3), nn.BatchNorm2d(128), nn.ReLU(inplace=True)]
        self.head = nn.Sequential(*head, nn.Conv2d(128, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, classes, H / 8, W / 8)."""
        x = self.stem(image)
        size = x.shape[-2:]
        p, d, i = self.p3(x), self.d3(x), F.relu(self.i3(x))
        p, d = self.pag3(p, self.compress3(i)), d + resize(self.boundary3(i), size)
        p, d, i = self.p4(F.relu(p)), self.d4(F.relu(d)), F.relu(self.i4(i))
        p, d = self.pag4(p, self.compress4(i)), d + resize(self.boundary4(i), size)
        p, d, i = self.p5(F.relu(p)), self.d5(F.relu(d)), resize(self.i5(i), size)
        logits: Tensor = self.head(self.fuse(p, i, d))
        return logits


def pidnet_s() -> nn.Module:
    """PIDNet-S with random weights, 19 classes."""
    return PIDNet(len(CITYSCAPES.names)).eval()
