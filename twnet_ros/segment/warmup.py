"""What is done ahead of the first frame."""

from collections.abc import Iterator

import numpy as np
import torch

from twnet_ros.codec import BlockMotion, CodedFrame, FrameKind
from twnet_ros.codec.frame import grid_shape
from twnet_ros.segment.compensation import Field, compensate
from twnet_ros.segment.fusion import fuse
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.output import classify
from twnet_ros.segment.resampling import resample, taps
from twnet_ros.segment.segmentation import Wish


def compile_passes(classes: int, dtype: torch.dtype) -> None:
    """Compile the passes in and out, which takes seconds when they were never used before."""
    for wish in (Wish(), Wish(confidence=True)):
        classify(torch.zeros(1, classes, 1, 1), Geometry.of((32, 32), (32, 32)), wish)
    # Two cells a side: the strides of one alone would be those of other variants.
    whole, half = taps(64, 64, 64), taps(32, 64, 64)
    planes = tuple(np.zeros((side, side), np.uint8) for side in (64, 32, 32))
    narrow = dtype == torch.bfloat16
    picture, _ = resample(planes, (whole, whole), (half, half), torch.zeros(3, 4), narrow)
    field, logits = Field.of_pixels(picture[:, :2]), torch.zeros(1, classes, 2, 2)
    _, error = compensate(picture, picture, field, 32)
    fuse(logits, logits, field, error)


def grey_frames(size: tuple[int, int]) -> Iterator[CodedFrame]:
    """Yield a key frame of a size (width, height) and a P-frame in which nothing moves."""
    width, height = size
    grid = grid_shape(height, width)
    still = BlockMotion(np.zeros((*grid, 2), np.float32), np.full(grid, -1, np.int8))
    luma = np.full((height, width), 128, np.uint8)
    chroma = luma[: (height + 1) // 2, : (width + 1) // 2]
    for index, (kind, motion) in enumerate(((FrameKind.I, None), (FrameKind.P, still))):
        yield CodedFrame(
            index=index,
            pts=None,
            kind=kind,
            y=luma,
            u=chroma,
            v=chroma,
            color_matrix="bt601",
            full_range=False,
            motion=motion,
            fault="",
            follows=True,
            decode_ms=0.0,
        )
