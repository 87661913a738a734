"""The pass in: coded frames to the network's picture, image and motion."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.codec import BLOCK_PX, BlockMotion, CodedFrame
from twnet_ros.net import Config, TWNet
from twnet_ros.segment.color import ycc_to_rgb
from twnet_ros.segment.compensation import Field
from twnet_ros.segment.resampling import Planes, resample, taps
from twnet_ros.segment.transfer import upload


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
        """Prepare for images of ``dtype``; the CPU has float32 and bfloat16."""
        self.geometry, self.config, self.device, self.dtype = geometry, config, device, dtype
        sides = list(zip(geometry.video, geometry.net, geometry.padded, strict=True))[::-1]
        self.luma = taps(*sides[0]), taps(*sides[1])
        halves = [((video + 1) // 2, *rest) for video, *rest in sides]
        self.chroma = taps(*halves[0]), taps(*halves[1])
        self.row, self.column = (self._blocks(*side) for side in sides)
        self.scale = np.array([net / video for video, net, _ in sides[::-1]], np.float32)
        self.affine: dict[tuple[str, bool], Tensor] = {}

    def _blocks(self, video: int, scaled: int, padded: int) -> Tensor:
        """Return the block under the centre of each pixel of the network's input."""
        centre = (np.arange(padded) + 0.5) * video / scaled
        block = np.minimum(centre, video - 1) // BLOCK_PX
        return upload(block.astype(np.int64), self.device)

    def convert(self, frame: CodedFrame) -> tuple[Tensor, Tensor]:
        """Return a frame's picture and image, (1, 3, H, W) each, scaled and padded.

        The picture is as it was decoded, YCbCr in 8-bit levels, float32; the image is the
        network's input, normalised RGB in its own type. One fused loop on the CPU, torch on other
        devices; alike up to rounding.
        """
        key = (frame.color_matrix, frame.full_range)
        if key not in self.affine:
            self.affine[key] = self._normaliser(*key)
        planes = tuple(np.ascontiguousarray(plane) for plane in (frame.y, frame.u, frame.v))
        if self.device.type == "cpu":
            half = self.dtype == torch.bfloat16
            return resample(planes, self.luma, self.chroma, self.affine[key], half)
        return self.convert_by_torch(planes, self.affine[key])

    def convert_by_torch(self, planes: Planes, affine: Tensor) -> tuple[Tensor, Tensor]:
        """Do what ``convert`` does, on any device."""
        picture = torch.cat([self._scale(plane) for plane in planes], 1)
        picture = picture.contiguous(memory_format=torch.channels_last)
        pixels = picture.permute(0, 2, 3, 1)  # a convolution's arithmetic may be coarser on GPUs
        image = torch.addmm(affine[:, 3], pixels.flatten(0, 2), affine[:, :3].T).view_as(pixels)
        return picture, image.to(self.dtype).permute(0, 3, 1, 2)

    def _scale(self, plane: NDArray[np.uint8]) -> Tensor:
        x = upload(plane, self.device)[None, None].float()
        width, height = self.geometry.net
        if x.shape[-2:] != (height, width):
            x = F.interpolate(
                x, (height, width), mode="bilinear", align_corners=False, antialias=True
            )
        right, below = self.geometry.padded[0] - width, self.geometry.padded[1] - height
        return F.pad(x, (0, right, 0, below), mode="replicate") if right or below else x

    def _normaliser(self, matrix: str, full_range: bool) -> Tensor:
        """Fold colour conversion and normalisation into one affine map (3, 4)."""
        to_rgb = ycc_to_rgb(matrix, full_range).astype(np.float64)
        to_rgb[:, 3] -= self.config.mean
        affine = torch.from_numpy(to_rgb / np.asarray(self.config.std)[:, None]).float()
        return affine.to(self.device)

    def motion(self, motion: BlockMotion) -> Field:
        """Return the motion in pixels of the network's input."""
        vectors = upload(motion.displacement * self.scale, self.device)
        ahead = upload(np.greater(motion.reference, 0), self.device)
        return Field(vectors, ahead, self.row, self.column)

    def stride(self, context: Tensor) -> int:
        """Return the stride of a context (N, C, h, w) of the network's input."""
        return int(self.geometry.padded[1] // context.shape[-2])
