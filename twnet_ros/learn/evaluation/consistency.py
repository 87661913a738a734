"""Temporal consistency: whether labels stay with what they label."""

import numpy as np
from numpy.typing import NDArray

from twnet_ros.codec import BlockMotion, spread_blocks
from twnet_ros.segment.palette import UNLABELLED


class Consistency:
    """Share of pixels whose label is that of where they come from, where the truth's is, too.

    Frame t is held against frame t - 1 along the codec's motion, ``source = p + M[p]``, to the
    nearest pixel. Pixels count whose truth is labelled, and the same at p in t as at the source
    in t - 1. Those of blocks without a vector, or whose source lies outside the picture, do not
    count, and nor do frames whose previous frame was not labelled, or without motion: key frames,
    and those whose motion does not lead to the previous frame (B-frames and what follows one).
    """

    def __init__(self) -> None:
        self.agreeing = self.compared = 0  # pixels
        self._last: tuple[int, NDArray[np.uint8], NDArray[np.uint8]] | None = None

    def start_clip(self) -> None:
        """Forget the last frame: the next belongs to another clip."""
        self._last = None

    def add(
        self,
        number: int,
        motion: BlockMotion | None,
        truth: NDArray[np.uint8],
        labels: NDArray[np.uint8],
    ) -> None:
        """Count a frame by its number in the clip; truth and labels are (H, W) train ids."""
        last, self._last = self._last, (number, truth, labels)
        if last is None or last[0] != number - 1 or motion is None:
            return
        _, true, labelled = last
        if (truth == UNLABELLED).all() or (true == UNLABELLED).all():
            return  # as most frames of real sequences are
        row, column, known = nearest_source(motion, *truth.shape)
        scored = known & (truth != UNLABELLED) & (truth == true[row, column])
        self.compared += int(scored.sum())
        self.agreeing += int((scored & (labels == labelled[row, column])).sum())

    def share(self) -> float:
        """Return the share in percent; NaN where nothing was compared."""
        return 100 * self.agreeing / self.compared if self.compared else float("nan")


def nearest_source(
    motion: BlockMotion, height: int, width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return row and column (H, W) of the pixel that each pixel comes from, and where it is known.

    Where it is not known, in blocks without a vector into the past or outside the picture, row
    and column are those of some pixel.
    """
    dense = np.floor(motion.dense(height, width) + 0.5).astype(np.intp)
    column = np.arange(width) + dense[..., 0]
    row = np.arange(height)[:, None] + dense[..., 1]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    past = spread_blocks(motion.reference < 0, height, width)
    return row.clip(0, height - 1), column.clip(0, width - 1), inside & past
