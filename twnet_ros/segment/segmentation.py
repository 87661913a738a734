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
class Segmentation:
    """The labels of one frame and how they came about."""

    labels: NDArray[np.uint8]  # (H, W) train ids at the video's size, 255 = unlabelled
    index: int  # the coded frame's
    pts: int | None  # the coded frame's
    kind: FrameKind
    path: Path
    distance: int  # frames since the key frame, 0 at a key frame
    times_ms: dict[str, float]  # of "decode", "input", "network", "output" and "total"
