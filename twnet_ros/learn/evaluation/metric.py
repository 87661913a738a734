"""Mean intersection over union."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.palette import UNLABELLED


class Confusion:
    """Counts of (true class, predicted class) over all scored pixels.

    The last column counts predictions that are none of the classes: they miss the true one.
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes + 1), np.int64)

    def add(self, truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Count two label images of one shape; pixels whose truth is unlabelled are left out."""
        if truth.shape != predicted.shape:
            raise ValueError(f"expected predicted labels of {truth.shape}, got {predicted.shape}")
        classes = len(self.counts)
        scored = truth != UNLABELLED
        true = truth[scored].astype(np.int64)
        if true.size and (worst := int(true.max())) >= classes:
            raise ValueError(f"truth: expected train ids below {classes}, got {worst}")
        pairs = true * (classes + 1) + np.minimum(predicted[scored], classes)
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)

    def iou(self) -> NDArray[np.float64]:
        """Return the IoU of each class in percent, NaN where the truth has none of it.

        On few frames such a class would otherwise take a whole share off the mean by a single
        pixel that is taken for it.
        """
        hit = np.diag(self.counts).astype(np.float64)
        union = self.counts.sum(1) + self.counts[:, :-1].sum(0) - hit
        iou: NDArray[np.float64] = 100 * hit / np.where(self.counts.any(1), union, np.nan)
        return iou

    def merged(self, groups: Sequence[Sequence[int]]) -> "Confusion":
        """Return the confusion of groups of classes, such as categories.

        Mistakes within a group are none. Each class is in exactly one group.
        """
        classes = len(self.counts)
        if sorted(index for group in groups for index in group) != list(range(classes)):
            raise ValueError(f"expected each of {classes} classes in one group, got {groups}")
        result = Confusion(len(groups))
        for row, true in enumerate(groups):
            for column, predicted in enumerate([*groups, [classes]]):
                result.counts[row, column] = self.counts[np.ix_(true, predicted)].sum()
        return result

    def miou(self) -> float:
        """Return the mean over the classes that the truth has, in percent; NaN if it has none."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")
