"""The motion-compensated residual, the codec's error signal in image space."""

import torch.nn.functional as F
from torch import Tensor

from twnet_ros.net.warp import warp


def residual(current: Tensor, previous: Tensor, motion: Tensor) -> Tensor:
    """Return ``R_t = I_t - warp(I_{t-1}, M_t)`` (equation 3).

    ``current`` and ``previous`` are decoded pictures (N, 3, H, W), YCbCr in 8-bit levels;
    ``motion`` is (N, 2, H, W) in their pixels, 0 where a block has no vector (there the residual
    is against the co-located pixel). Returns (N, 3, H, W) in signed 8-bit levels. It equals
    the codec's own residual up to sub-pel filters and in-loop filtering.
    """
    return current - warp(previous, motion)


def residual_magnitude(residual: Tensor, stride: int) -> Tensor:
    """Bring a residual (N, 3, H, W) to the grid of a feature with this stride, without its sign.

    A feature pixel has the mean magnitude of its ``stride x stride`` pixels, in 8-bit levels. H
    and W must be multiples of the stride. Returns (N, 3, H / stride, W / stride).
    """
    return F.avg_pool2d(residual.abs(), stride)
