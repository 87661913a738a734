"""The residual in one pass: ``net.residual`` without the pictures in between."""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.net import residual
from twnet_ros.segment.band import over_bands


def compensate(current: Tensor, previous: Tensor, motion: Tensor) -> Tensor:
    """Return what ``residual`` does, up to rounding, for one picture (1, 3, H, W)."""
    if current.device.type != "cpu":
        return residual(current, previous, motion)
    here, there, moved = (
        x[0].permute(1, 2, 0).contiguous().numpy() for x in (current, previous, motion)
    )
    error = np.empty_like(here)
    over_bands(len(here), lambda first, last: _fused(here, there, moved, first, last, error))
    return torch.from_numpy(error).permute(2, 0, 1)[None]


@njit(cache=True, nogil=True)
def _fused(
    current: NDArray[np.float32],
    previous: NDArray[np.float32],
    motion: NDArray[np.float32],
    first: int,
    last: int,
    error: NDArray[np.float32],
) -> None:
    """Fill the rows from ``first`` to ``last`` of ``error``; all are (H, W, channels)."""
    height, width, channels = current.shape
    none, right_edge, lower_edge = np.float32(0), np.float32(width - 1), np.float32(height - 1)
    for y in range(first, last):
        for x in range(width):
            u = min(max(np.float32(x) + motion[y, x, 0], none), right_edge)
            v = min(max(np.float32(y) + motion[y, x, 1], none), lower_edge)
            left, top = int(u), int(v)  # not negative: truncation is the floor
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            across, down = u - np.float32(left), v - np.float32(top)
            for c in range(channels):
                upper = previous[top, left, c]
                upper += (previous[top, right, c] - upper) * across
                lower = previous[bottom, left, c]
                lower += (previous[bottom, right, c] - lower) * across
                error[y, x, c] = current[y, x, c] - (upper + (lower - upper) * down)
