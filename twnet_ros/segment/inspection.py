"""What the codec knows about each frame of a file: type, motion and residual."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from twnet_ros.codec import (
    BlockMotion,
    CodedFrame,
    FrameKind,
    OpenVideo,
    read_packets,
    spread_blocks,
)
from twnet_ros.net import residual
from twnet_ros.segment.replay import decode


@dataclass(frozen=True)
class Inspection:
    """The side data of one frame, spread over its pixels."""

    frame: CodedFrame
    motion: NDArray[np.float32]  # (H, W, 2), (dx, dy) px, source = position + motion, 0 if none
    coded: NDArray[np.bool_]  # (H, W), whether the pixel's block has a vector
    residual: NDArray[np.float32]  # (H, W, 3), YCbCr in signed 8-bit levels, 0 for an I-frame

    def summary(self) -> dict[str, object]:
        """Return figures of the frame: counts, pixels and mean absolute 8-bit levels of luma."""
        length = np.hypot(self.motion[..., 0], self.motion[..., 1])[self.coded]
        blocks = 0 if self.frame.motion is None else int(self.frame.motion.coded.sum())
        return {
            "frame": self.frame.index,
            "type": self.frame.kind.value,
            "intact": self.frame.intact,
            "vector_blocks": blocks,
            "intra_share": round(1 - float(self.coded.mean()), 4),
            "mean_motion_px": round(float(length.mean()), 3) if length.size else 0.0,
            "residual_level": round(float(np.abs(self.residual[..., 0]).mean()), 3),  # luma
        }


def inspect(path: str | os.PathLike[str], read: OpenVideo = read_packets) -> Iterator[Inspection]:
    """Yield the side data of each frame of a video, which ``read`` opens, in display order.

    Residuals are against the last I- or P-frame, 0 where that was lost; the blocks of a B-frame
    that point to the future count as having no vector there.
    """
    return inspections(decode(path, read))


def inspections(frames: Iterable[CodedFrame]) -> Iterator[Inspection]:
    """Yield the side data of each of the frames, in display order, as ``inspect`` does."""
    anchor: torch.Tensor | None = None
    expected = 0
    for frame in frames:
        # What its vectors point to did not come out of the decoder, or is not among the frames.
        if not frame.follows or frame.index != expected:
            anchor = None
        expected = frame.index + 1
        height, width = frame.y.shape
        picture = _picture(frame)
        moved: NDArray[np.float32] = np.zeros((height, width, 2), np.float32)
        coded: NDArray[np.bool_] = np.zeros((height, width), bool)
        error = np.zeros((height, width, 3), np.float32)
        if frame.motion is not None:
            moved = frame.motion.dense(height, width)
            coded = spread_blocks(frame.motion.coded, height, width)
            if anchor is not None and anchor.shape == picture.shape:
                past = torch.from_numpy(_past(frame.motion).dense(height, width))
                compensated = residual(picture, anchor, past.permute(2, 0, 1)[None])
                error = compensated[0].permute(1, 2, 0).numpy()
        yield Inspection(frame, moved, coded, error)
        if frame.kind is not FrameKind.B:
            anchor = picture


def _past(motion: BlockMotion) -> BlockMotion:
    """Return the motion without the vectors that point to the future."""
    past = motion.reference < 0
    return BlockMotion(
        motion.displacement * past[..., None], np.where(past, motion.reference, 0).astype(np.int8)
    )


def _picture(frame: CodedFrame) -> torch.Tensor:
    """Return the planes at full size (1, 3, H, W), YCbCr in 8-bit levels."""
    y, u, v = (
        torch.from_numpy(plane.astype(np.float32))[None, None]
        for plane in (frame.y, frame.u, frame.v)
    )
    size = y.shape[-2:]
    chroma = (
        torch.nn.functional.interpolate(c, size, mode="bilinear", align_corners=False)
        for c in (u, v)
    )
    return torch.cat([y, *chroma], 1)
