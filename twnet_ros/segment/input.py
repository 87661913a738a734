"""The pass in: coded frames to the network's input, motion and residual."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.codec import BLOCK_PX, BlockMotion, CodedFrame
from twnet_ros.net import Config, TWNet
from twnet_ros.segment.color import ycc_to_rgb


def fit(video: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) of a video scaled, in its own proportions, to fit the box."""
    scale = min(box[0] / video[0], box[1] / video[1])
    return max(1, round(video[0] * scale)), max(1, round(video[1] * scale))


@dataclass(frozen=True)
class Geometry:
    """How a video's pixels map to the network's: scaled to ``net``, padded below and right."""

    video: tuple[int, int]  # (width, height) in pixels
    net: tuple[int, int]  # the scaled picture
    padded: tuple[int, int]  # the network's input

    @classmethod
    def of(cls, video: tuple[int, int], box: tuple[int, int]) -> "Geometry":
        """Scale ``video`` to fit ``box`` and pad it to a multiple of 32."""
        width, height = fit(video, box)
        multiple = TWNet.SIZE_MULTIPLE
        return cls(
            video, (width, height), (width + -width % multiple, height + -height % multiple)
        )


class InputPass:
    """Brings frames of one geometry to the device and into the network's form."""

    def __init__(
        self, geometry: Geometry, config: Config, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.geometry, self.config, self.device, self.dtype = geometry, config, device, dtype
        width, height = geometry.padded
        self.columns = self._blocks(width, geometry.net[0], geometry.video[0])
        self.rows = self._blocks(height, geometry.net[1], geometry.video[1])
        self.scale = torch.tensor(
            [geometry.net[0] / geometry.video[0], geometry.net[1] / geometry.video[1]],
            device=device,
        )
        self.affine: dict[tuple[str, bool], tuple[Tensor, Tensor]] = {}

    def _blocks(self, padded: int, scaled: int, video: int) -> Tensor:
        """Return the block under the centre of each pixel of the network's input."""
        centre = (np.arange(padded) + 0.5) * video / scaled
        block = np.minimum(centre, video - 1) // BLOCK_PX
        return torch.from_numpy(block.astype(np.int64)).to(self.device)

    def picture(self, frame: CodedFrame) -> Tensor:
        """Return the decoded picture (1, 3, H, W), YCbCr in 8-bit levels, scaled and padded."""
        planes = [self._plane(plane) for plane in (frame.y, frame.u, frame.v)]
        return torch.cat(planes, 1).contiguous(memory_format=torch.channels_last)

    def _plane(self, plane: NDArray[np.uint8]) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(plane)).to(self.device)[None, None].float()
        width, height = self.geometry.net
        if x.shape[-2:] != (height, width):
            x = F.interpolate(
                x, (height, width), mode="bilinear", align_corners=False, antialias=True
            )
        right, below = self.geometry.padded[0] - width, self.geometry.padded[1] - height
        return F.pad(x, (0, right, 0, below), mode="replicate") if right or below else x

    def image(self, picture: Tensor, frame: CodedFrame) -> Tensor:
        """Return the network's input, normalised RGB (1, 3, H, W), from YCbCr levels."""
        key = (frame.color_matrix, frame.full_range)
        if key not in self.affine:
            self.affine[key] = self._normaliser(*key)
        weight, bias = self.affine[key]
        image = F.conv2d(picture, weight, bias)
        return image.to(self.dtype, memory_format=torch.channels_last)

    def _normaliser(self, matrix: str, full_range: bool) -> tuple[Tensor, Tensor]:
        """Fold colour conversion and normalisation into one 1x1 convolution."""
        to_rgb = ycc_to_rgb(matrix, full_range).astype(np.float64)
        to_rgb[:, 3] -= self.config.mean
        affine = torch.from_numpy(to_rgb / np.asarray(self.config.std)[:, None]).float()
        affine = affine.to(self.device)
        return affine[:, :3, None, None].contiguous(), affine[:, 3].contiguous()

    def motion(self, motion: BlockMotion) -> Tensor:
        """Return the motion (1, 2, H, W) in pixels of the network's input."""
        blocks = torch.from_numpy(motion.displacement).to(self.device) * self.scale
        dense = blocks[self.rows[:, None], self.columns]
        return dense.permute(2, 0, 1)[None]

    def ahead(self, motion: BlockMotion) -> Tensor:
        """Return (1, 1, H, W): 1 where the motion points to a later frame, else 0."""
        blocks = torch.from_numpy(np.greater(motion.reference, 0)).to(self.device)
        return blocks[self.rows[:, None], self.columns].float()[None, None]
