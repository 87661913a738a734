"""The pass out: logits to train ids at the video's size, or a fraction of it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.segment.band import over_bands
from twnet_ros.segment.compiled import compiled
from twnet_ros.segment.confidence import Taps, rate
from twnet_ros.segment.input import Geometry
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.segmentation import SegmentError, Wish
from twnet_ros.segment.transfer import download


def label(logits: Tensor, geometry: Geometry) -> NDArray[np.uint8]:
    """Return the train ids (H, W) at the video's size from logits (1, C, h, w)."""
    return classify(logits, geometry, Wish())[0]


def classify(
    logits: Tensor, geometry: Geometry, wish: Wish
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the train ids (H, W) at the wished size from logits (1, C, h, w).

    One bilinear interpolation at pixel centres straight from the logits' grid, and the class of
    the largest; padding is cropped by it. One fused loop on the CPU, torch on other devices. The
    logits may be at any stride that divides the padded picture. With them comes the confidence
    (H, W) where it is wished for: 255 times the softmax probability of the interpolated logits.
    SegmentError where logits are infinite or NaN: which class is the largest would be chance.
    """
    size, least = wish.size(geometry.video), wish.least_confidence
    plain = not wish.confidence and least == 0
    total = logits.sum(dtype=torch.float32)
    found: tuple[NDArray[Any], ...]  # labels, confidence if it is needed, and the sum
    if logits.device.type != "cpu":
        if plain:
            found = download(label_by_torch(logits, geometry, size), total)
        else:
            found = download(*rate_by_torch(logits, geometry, size, least), total)
    else:
        columns = _taps(geometry, size, 0, logits.shape[3])
        rows = _taps(geometry, size, 1, logits.shape[2])
        if plain:
            found = _label_fused(logits, rows, columns), total.numpy()
        else:
            found = *rate(pixels(logits), rows, columns, least), total.numpy()
    if not np.isfinite(found[-1]):
        raise SegmentError("expected finite logits of the network, got infinite ones or NaN")
    return found[0], found[1] if wish.confidence else None


def _taps(geometry: Geometry, size: tuple[int, int], axis: int, grid: int) -> Taps:
    """Return for each pixel of the labels the two logits beside it and the second's weight.

    ``size`` is the labels' (width, height); ``axis`` is 0 across and 1 down, where the padded
    picture has ``grid`` logits.
    """
    side, net, padded = size[axis], geometry.net[axis], geometry.padded[axis]
    centre = (np.arange(side) + 0.5) * (net / side * (grid / padded)) - 0.5
    centre = np.clip(centre, 0, grid - 1)
    first = centre.astype(np.int64)
    return first, np.minimum(first + 1, grid - 1), (centre - first).astype(np.float32)


def label_by_torch(logits: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Interpolate (1, C, h, w) and return the classes, ``size`` (W, H), on their device."""
    return _interpolate(logits, geometry, size).argmax(0).to(torch.uint8)


def rate_by_torch(
    logits: Tensor, geometry: Geometry, size: tuple[int, int], least: float
) -> tuple[Tensor, Tensor]:
    """Do the same; return the winners' probabilities times 255, too, by which labels are left."""
    best, winner = (x := _interpolate(logits, geometry, size)).max(0)
    probability = 1 / (x - best).exp_().sum(0)
    labels = winner.to(torch.uint8).masked_fill_(probability < least, UNLABELLED)
    return labels, (255 * probability).round_().to(torch.uint8)


def _interpolate(logits: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Return logits (C, H, W) where ``_taps`` are."""
    # F.interpolate takes a scale or a size: only together do they leave out the padding.
    grid, net, padded = logits.shape[:1:-1], geometry.net, geometry.padded
    scales = [size[i] / net[i] * padded[i] / grid[i] for i in (1, 0)]
    # Where a side stays as it is, torch ignores its scale: there one pixel more is asked for.
    asked = [size[i] + (size[i] == grid[i] and net[i] < padded[i]) for i in (1, 0)]
    found: Tensor = torch.ops.aten.upsample_bilinear2d(logits.float(), asked, False, *scales)
    return found[0, :, : size[1], : size[0]]


def pixels(logits: Tensor) -> NDArray[np.float32]:
    """Return logits as (h, w, C), a view of channels-last memory in float32."""
    return logits[0].permute(1, 2, 0).float().contiguous().numpy()


def _label_fused(logits: Tensor, rows: Taps, columns: Taps) -> NDArray[np.uint8]:
    """Run the fused loop over bands of rows."""
    grid = pixels(logits)
    winners = np.empty(grid.shape[:2], np.uint8)
    labels = np.empty((len(rows[0]), len(columns[0])), np.uint8)

    def fill(first: int, last: int) -> None:
        top, bottom, down = (part[first:last] for part in rows)
        _fused(grid, winners, top, bottom, down, *columns, labels[first:last])  # type: ignore[arg-type]

    over_bands(len(winners), lambda first, last: _win(grid[first:last], winners[first:last]))
    over_bands(len(labels), fill)
    return labels


@compiled
def _win(grid: NDArray[np.float32], winners: NDArray[np.uint8]) -> None:
    """Fill ``winners`` (h, w) with the class of the largest of the logits (h, w, C)."""
    for y in range(grid.shape[0]):
        for x in range(grid.shape[1]):
            winners[y, x] = _largest(grid[y, x])


@compiled
def _largest(values: NDArray[np.float32]) -> int:
    best, winner = values[0], 0
    for c in range(1, len(values)):
        if values[c] > best:
            best, winner = values[c], c
    return winner


@compiled
def _fused(
    grid: NDArray[np.float32],
    winners: NDArray[np.uint8],
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    down: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    across: NDArray[np.float32],
    labels: NDArray[np.uint8],
) -> None:
    """Fill the first ``len(top)`` rows of ``labels`` from logits (h, w, C) and their winners.

    The class that wins at all four logits around a pixel wins between them, too: what is
    interpolated lies between, and only where classes meet there is anything to compute.
    """
    height, width, (_, columns, classes) = len(top), len(left), grid.shape
    row = np.empty((columns, classes), np.float32)  # of the logits at a row of pixels
    known = np.full(columns, -1)  # for which row each column of it is
    values = np.empty(classes, np.float32)
    for y in range(height):
        upper, lower = winners[top[y]], winners[bottom[y]]
        for x in range(width):
            first, second = left[x], right[x]
            winner = upper[first]
            if winner == upper[second] and winner == lower[first] and winner == lower[second]:
                labels[y, x] = winner
                continue
            for column in (first, second):
                if known[column] != y:
                    known[column] = y
                    for c in range(classes):
                        a = grid[top[y], column, c]
                        row[column, c] = a + (grid[bottom[y], column, c] - a) * down[y]
            for c in range(classes):
                values[c] = row[first, c] + (row[second, c] - row[first, c]) * across[x]
            labels[y, x] = _largest(values)
