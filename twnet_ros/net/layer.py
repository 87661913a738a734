"""The convolution blocks that every part of the network is built from."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a same-padded convolution and its batch norm."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


def resize(x: Tensor, size: torch.Size) -> Tensor:
    """Interpolate (N, C, H, W) bilinearly, at pixel centres, to a size (h, w)."""
    if x.shape[-2:] == size:
        return x  # as interpolation would return it, by a pass over memory
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class Lateral(nn.Sequential):
    """Projection of an encoder feature to the width, and the stride, of its decoder stage."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1) -> None:
        super().__init__(*convolution(inputs, outputs, kernel, stride=stride))


class Fuse(nn.Module):
    """A decoder stage: upsample the deep feature, add the projected shallow one, 3x3."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.smooth = nn.Sequential(*convolution(inputs, outputs, 3), nn.ReLU(inplace=True))

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """Fuse (N, C, h, w) into (N, C, 2h, 2w)."""
        fused: Tensor = self.smooth(resize(deep, shallow.shape[-2:]) + shallow)
        return fused


class PyramidPooling(nn.Module):
    """Context of the whole picture: averages over 1, 2, 4 and 8 bins a side, fused."""

    BINS = (1, 2, 4, 8)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        width = inputs // 2
        branch = width // len(self.BINS)
        self.reduce = nn.Sequential(*convolution(inputs, width, 1), nn.ReLU(inplace=True))
        self.branches = nn.ModuleList(
            nn.Sequential(*convolution(width, branch, 1), nn.ReLU(inplace=True)) for _ in self.BINS
        )
        self.fuse = nn.Sequential(*convolution(2 * width, outputs, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w)."""
        x = self.reduce(x)
        parts = [x]
        for bins, branch in zip(self.BINS, self.branches, strict=True):
            pooled = branch(F.adaptive_avg_pool2d(x, bins))
            parts.append(resize(pooled, x.shape[-2:]))
        fused: Tensor = self.fuse(torch.cat(parts, 1))
        return fused


class Residual(nn.Module):
    """Adds what ``body`` computes to its input, which is projected where the shapes differ.

    With ``activate`` false the sum leaves before its ReLU.
    """

    def __init__(
        self,
        body: list[nn.Module],
        inputs: int,
        outputs: int,
        *,
        stride: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        same = stride == 1 and inputs == outputs
        project = [] if same else convolution(inputs, outputs, 1, stride=stride)
        self.shortcut = nn.Sequential(*project)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        x = self.body(x) + self.shortcut(x)
        return F.relu(x, inplace=True) if self.activate else x


def basic(inputs: int, outputs: int, stride: int = 1, *, activate: bool = True) -> Residual:
    """Return the residual block of two 3x3 convolutions (He et al., 2016)."""
    body = [
        *convolution(inputs, outputs, 3, stride=stride),
        nn.ReLU(inplace=True),
        *convolution(outputs, outputs, 3),
    ]
    return Residual(body, inputs, outputs, stride=stride, activate=activate)


class InvertedResidual(nn.Module):
    """A depthwise between a widening and a narrowing 1x1 convolution, beside a shortcut.

    From MobileNetV2 (Sandler et al., 2018).
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, kernel: int = 3, widen: int = 6
    ) -> None:
        super().__init__()
        width = inputs * widen
        expand = [*convolution(inputs, width, 1), nn.ReLU6(inplace=True)] if widen > 1 else []
        self.body = nn.Sequential(
            *expand,
            *convolution(width, width, kernel, stride=stride, groups=width),
            nn.ReLU6(inplace=True),
            *convolution(width, outputs, 1),  # linear: nothing follows it
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out: Tensor = self.body(x)
        return x + out if self.adds else out
