"""Real sequences of frames of which some have labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from twnet_ros.learn.data.still import DataError, TrainIds, read_picture
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import Picture

DISTORTION = 0.02  # of the aspect ratio at most: sides must be whole, and even


@dataclass(frozen=True)
class Snippet:
    """Consecutive frames in their order, and the label files of some, by frame number from 0."""

    frames: tuple[Path, ...]
    labels: Mapping[int, Path]

    def walk_to(self, labelled: int, frames: int) -> list[int]:
        """Return the numbers of ``frames`` frames that lead up to a labelled one.

        A walk that is longer than what lies before the labelled frame comes from beyond it: it
        turns where the snippet begins and ends, and every pair of its frames are neighbours.
        """
        last = len(self.frames) - 1
        if not last:
            return [labelled] * frames
        back = (abs(labelled - k) % (2 * last) for k in range(frames - 1, -1, -1))
        return [number if number <= last else 2 * last - number for number in back]


def read_frame(path: Path, size: tuple[int, int]) -> Picture:
    """Read a frame at a size (width, height) of about its own aspect ratio."""
    rgb = read_picture(path)
    height, width = rgb.shape[:2]
    if _distorts((width, height), size):
        fitting = f"{size[0]}x{2 * round(size[0] * height / width / 2)}"
        raise DataError(
            f"{path}: expected clips of the frames' aspect ratio, {width}x{height}, as in "
            f"{fitting}, got {size[0]}x{size[1]}"
        )
    if (width, height) == size:
        return rgb
    way = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=way), np.uint8)


def read_truth(path: Path | None, size: tuple[int, int], train_ids: TrainIds) -> Picture:
    """Read a frame's train ids at a size (width, height); all unlabelled where it has no file."""
    if path is None:
        return np.full((size[1], size[0]), UNLABELLED, np.uint8)
    ids = train_ids(path)
    height, width = ids.shape
    if _distorts((width, height), size):
        raise DataError(
            f"{path}: expected labels of their frame's aspect ratio, as {size[0]}x{size[1]} has "
            f"it, got {width}x{height}"
        )
    # Plain INTER_NEAREST is not centred: it would shift the labels against the picture.
    return np.asarray(cv2.resize(ids, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _distorts(own: tuple[int, int], size: tuple[int, int]) -> bool:
    """Tell whether a picture of its own size (width, height) would be stretched to another."""
    return abs(size[0] * own[1] / (size[1] * own[0]) - 1) > DISTORTION
