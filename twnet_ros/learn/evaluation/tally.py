"""What is noted of labelled frames beside their confusion."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from twnet_ros.codec import BlockMotion
from twnet_ros.learn.evaluation.consistency import Consistency
from twnet_ros.segment import Segmentation


class Tally:
    """Temporal consistency, times, and the labels of a few frames; clip after clip."""

    def __init__(self, show: Collection[tuple[int, int]] = ()) -> None:
        """Keep the labels of the frames in ``show``, (number of the clip, number in the clip)."""
        self.consistency = Consistency()
        self.times_ms: list[float] = []  # of each labelled frame, without decoding
        self.shown: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self._show = show
        self._clip = -1

    def start_clip(self) -> None:
        """Go on to the next clip."""
        self._clip += 1
        self.consistency.start_clip()

    def add(
        self,
        number: int,
        motion: BlockMotion | None,
        truth: NDArray[np.uint8],
        result: Segmentation,
    ) -> None:
        """Note a frame by its number in the clip, with its motion and truth."""
        self.consistency.add(number, motion, truth, result.labels)
        self.times_ms.append(result.times_ms["total"] - result.times_ms["decode"])
        if (self._clip, number) in self._show:
            self.shown[self._clip, number] = result.labels
