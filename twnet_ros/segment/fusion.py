"""Fusing what a frame shows with what was seen before, carried along the motion."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.net import warp, warp_cubic
from twnet_ros.segment.band import over_bands
from twnet_ros.segment.compensation import Field
from twnet_ros.segment.compiled import compiled
from twnet_ros.segment.output import pixels

# Measured on streets and CamVid clips (docs/RESULTS.md); both are flat about their best.
SHARE = 0.6  # of what was seen before, where the motion explains all of the picture
FADE = 10.0  # luma residual in 8-bit levels that leaves the e-th part of it


def fuse(
    logits: Tensor, past: Tensor, field: Field, residual: Tensor, future: Tensor | None = None
) -> Tensor:
    """Return a frame's logits (1, C, h, w) drawn towards those of what it is predicted from.

    ``past`` (1, C, h, w) comes along the motion of ``field`` at each cell's centre, as ``warp``
    brings it; where that points ahead, ``future`` does if it is given. It has a share that fades
    with ``residual`` (1, 3, h / n, w / n), the mean magnitude of ``compensate`` in 8-bit YCbCr
    levels: where the picture is another, the frame's own logits alone count. What is returned is
    the ``past`` of the next frame, so that evidence adds up over a few. One fused loop on the
    CPU, torch on other devices; alike up to rounding, and in float32.
    """
    if logits.device.type != "cpu":
        return fuse_by_torch(logits, past, field, residual, future)
    fresh, before = pixels(logits), pixels(past)
    later = before if future is None else pixels(future)
    shares = _share(residual)[0, 0].numpy()
    motion = field.thinned(len(field.row) // len(fresh))
    grids = motion.vectors.numpy(), motion.ahead.numpy()
    blocks = motion.row.numpy(), motion.column.numpy()
    fused = np.empty_like(fresh)

    def fill(first: int, last: int) -> None:
        _fused(fresh, before, later, *grids, *blocks, shares, first, last, fused)

    over_bands(len(fused), fill)
    return torch.from_numpy(fused).permute(2, 0, 1)[None]


def fuse_by_torch(
    logits: Tensor, past: Tensor, field: Field, residual: Tensor, future: Tensor | None = None
) -> Tensor:
    """Do what ``fuse`` does, on any device."""
    size = logits.shape[-2:]
    motion = field.thinned(len(field.row) // size[0])
    along = motion.dense()
    seen = warp(past.float(), along)
    if future is not None:
        seen = torch.where(motion.dense_ahead() > 0, warp(future.float(), along), seen)
    share = F.interpolate(_share(residual), size, mode="nearest-exact")
    return torch.lerp(logits.float(), seen, share)


def fuse_contexts(fresh: Tensor, past: Tensor, motion: Tensor, residual: Tensor) -> Tensor:
    """Return a key step's context (1, C, h, w) drawn towards the one that it takes the place of.

    ``past`` (1, C, h, w) comes along ``motion`` (1, 2, h, w), as the non-key step carries it, and
    has the share that ``past`` logits have in ``fuse``.
    """
    return torch.lerp(fresh, warp_cubic(past, motion), _share(residual).to(fresh.dtype))


def _share(residual: Tensor) -> Tensor:
    """Return the part (1, 1, h, w) that the past has, from the residual (1, 3, h, w)."""
    return SHARE * torch.exp(residual[:, :1] / -FADE)


@compiled
def _fused(
    fresh: NDArray[np.float32],
    past: NDArray[np.float32],
    future: NDArray[np.float32],
    vectors: NDArray[np.float32],
    ahead: NDArray[np.bool_],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    shares: NDArray[np.float32],
    begin: int,
    end: int,
    fused: NDArray[np.float32],
) -> None:
    """Fill the rows of ``fused`` (h, w, C) from ``begin`` to ``end``."""
    height, width, classes = fresh.shape
    down_by, across_by = height // shares.shape[0], width // shares.shape[1]
    # The bounds come first: of a motion that is no number they are what remains.
    none, right_edge, lower_edge = np.float32(0), np.float32(width - 1), np.float32(height - 1)
    for y in range(begin, end):
        for x in range(width):
            block = row[y], column[x]
            u = min(right_edge, max(none, np.float32(x) + vectors[block[0], block[1], 0]))
            v = min(lower_edge, max(none, np.float32(y) + vectors[block[0], block[1], 1]))
            left, top = int(u), int(v)
            across, down = u - np.float32(left), v - np.float32(top)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            source = future if ahead[block[0], block[1]] else past
            share = shares[y // down_by, x // across_by]
            for c in range(classes):
                a = source[top, left, c]
                a += (source[top, right, c] - a) * across
                b = source[bottom, left, c]
                b += (source[bottom, right, c] - b) * across
                new = fresh[y, x, c]
                fused[y, x, c] = new + (a + (b - a) * down - new) * share
