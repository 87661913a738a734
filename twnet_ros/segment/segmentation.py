"""What the streaming engine returns for a frame."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twnet_ros.codec import FrameKind


class SegmentError(ValueError):
    """A model, device or setting that the engine cannot work with."""


class Path(enum.Enum):
    """Which of the network's two steps labelled a frame."""

    KEY = "key"
    NONKEY = "nonkey"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a frame beside its labels, and how large they are.

    SegmentError where a number is out of its range.
    """

    confidence: bool = False
    evidence: bool = False
    scale: float = 1.0  # of the labels' sides over the video's, 0 < scale <= 1
    least_confidence: float = 0.0  # pixels whose winner's probability is below are unlabelled

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise SegmentError(f"scale: expected 0 < scale <= 1, got {self.scale}")
        if not 0 <= self.least_confidence <= 1:
            raise SegmentError(
                f"least_confidence: expected a probability from 0 to 1, "
                f"got {self.least_confidence}"
            )

    def size(self, video: tuple[int, int]) -> tuple[int, int]:
        """Return the (width, height) in pixels of the labels of a video of such pictures."""
        width, height = video
        return max(1, round(self.scale * width)), max(1, round(self.scale * height))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a frame was predicted from, for every pixel of the network's picture.

    That is the video scaled to (w, h), without padding. All is 0 where nothing was carried.
    """

    motion: NDArray[np.float32]  # (h, w, 2), (dx, dy) in its pixels, source = position + motion
    residual: NDArray[np.float32]  # (h, w, 3), YCbCr in signed 8-bit levels


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The labels of one frame and how they came about."""

    labels: NDArray[np.uint8]  # (H, W) train ids, 255 = unlabelled; the video's size by the scale
    index: int  # the coded frame's
    pts: int | None  # the coded frame's
    kind: FrameKind
    path: Path
    distance: int  # frames since the last key step, 0 at a key step
    times_ms: dict[str, float]  # of "decode", "input", "network", "output" and "total"
    # Where it is wished for: of the winning class (H, W), 255 times its softmax probability.
    confidence: NDArray[np.uint8] | None = None
    evidence: Evidence | None = None  # where it is wished for
