"""How sure the network is: winning classes and their probabilities, in one pass on the CPU."""

import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.band import over_bands
from twnet_ros.segment.compiled import compiled
from twnet_ros.segment.palette import UNLABELLED

# For each pixel of a row or column the two logits beside it, (n,), and the second's weight, (n,).
Taps = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
BLOCK = 256  # pixels of a row that are rated at once, in the processor's nearest cache


def rate(
    grid: NDArray[np.float32], rows: Taps, columns: Taps, least: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the class (H, W) of the largest of the logits (h, w, C), interpolated at the taps.

    Then its softmax probability among these, as round(255 p). A label with less than ``least`` is
    replaced by that of unlabelled pixels.
    """
    labels, confidence = np.empty((2, len(rows[0]), len(columns[0])), np.uint8)

    def fill(first: int, last: int) -> None:
        top, bottom, down = (part[first:last] for part in rows)
        out = labels[first:last], confidence[first:last]
        _rate(grid, top, bottom, down, columns, np.float32(least), *out)  # type: ignore[arg-type]

    over_bands(len(labels), fill)
    return labels, confidence


@compiled
def _rate(
    grid: NDArray[np.float32],
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    down: NDArray[np.float32],
    columns: Taps,
    least: np.float32,
    labels: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
) -> None:
    """Fill the first ``len(top)`` rows of labels and confidence.

    No pixel is skipped: within an area of one class, too, the probability varies. Each row of the
    grid is stretched once and kept for the rows of pixels around it; what remains to be done for
    each of these has neither branches nor gathers, and runs as vector instructions.
    """
    classes, (left, right, across) = grid.shape[2], columns
    for start in range(0, len(left), BLOCK):
        end = min(start + BLOCK, len(left))
        taps = left[start:end], right[start:end], across[start:end]
        upper = np.empty((classes, end - start), np.float32)
        lower, values = np.empty_like(upper), np.empty_like(upper)
        best, total = np.empty(end - start, np.float32), np.empty(end - start, np.float32)
        upper_row = lower_row = -1
        for y in range(len(top)):
            if top[y] != upper_row:
                if top[y] == lower_row:
                    upper, lower, lower_row = lower, upper, upper_row
                else:
                    _stretch(grid[top[y]], taps, upper)
                upper_row = top[y]
            if bottom[y] != lower_row:
                _stretch(grid[bottom[y]], taps, lower)
                lower_row = bottom[y]
            winners = labels[y, start:end]
            _blend(upper, lower, down[y], values, best, winners)
            _sum_up(values, best, total)
            for x in range(end - start):
                probability = np.float32(1) / total[x]
                level = np.float32(255) * probability + np.float32(0.5)
                confidence[y, start + x] = np.uint8(level)
                if probability < least:
                    winners[x] = UNLABELLED


@compiled
def _stretch(row: NDArray[np.float32], taps: Taps, wide: NDArray[np.float32]) -> None:
    """Interpolate a row (w, C) of the grid at the taps, class by class (C, n)."""
    left, right, across = taps
    for c in range(len(wide)):
        line = wide[c]
        for x in range(len(left)):
            a = row[left[x], c]
            line[x] = a + (row[right[x], c] - a) * across[x]


@compiled
def _blend(
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
    down: np.float32,
    values: NDArray[np.float32],
    best: NDArray[np.float32],
    winners: NDArray[np.uint8],
) -> None:
    """Interpolate between two rows (C, n), and find the largest value and its class (n,)."""
    best[:] = -np.inf
    winners[:] = 0
    for c in range(len(values)):
        above, below, line = upper[c], lower[c], values[c]
        for x in range(len(best)):
            value = above[x] + (below[x] - above[x]) * down
            line[x] = value
            better = value > best[x]
            winners[x] = np.uint8(c) if better else winners[x]
            best[x] = value if better else best[x]


@compiled
def _sum_up(
    values: NDArray[np.float32], best: NDArray[np.float32], total: NDArray[np.float32]
) -> None:
    """Sum ``exp(values - best)`` over the classes: one by the winner's probability.

    exp(t) is taken as (1 + t/256 + (t/256)^2 / 2)^256, within 2e-5 for t <= 0: unlike the
    library's, a few vector instructions.
    """
    one, half = np.float32(1), np.float32(0.5)
    total[:] = 0
    for c in range(len(values)):
        line = values[c]
        for x in range(len(total)):
            t = max(line[x] - best[x], np.float32(-64)) * np.float32(1 / 256)
            power = one + t * (one + half * t)
            for _ in range(8):
                power *= power
            total[x] += power
