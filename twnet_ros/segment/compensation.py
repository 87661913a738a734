"""Motion and residual on the context's grid, without the fields in between."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twnet_ros.net import residual, residual_magnitude, to_grid
from twnet_ros.segment.band import over_bands
from twnet_ros.segment.compiled import compiled


@dataclass(frozen=True, slots=True)
class Field:
    """Motion in pixels of the network's input, alike for the pixels of a block.

    ``vectors`` is (rows, columns, 2), ``(dx, dy)``; ``ahead`` (rows, columns) tells which of them
    point to a later frame. ``row`` (H,) and ``column`` (W,) say in which row and column of these
    grids a pixel is; they never fall.
    """

    vectors: Tensor
    ahead: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of_pixels(cls, motion: Tensor) -> "Field":
        """Take motion (1, 2, H, W) of every pixel."""
        vectors = motion[0].permute(1, 2, 0).contiguous()
        height, width = vectors.shape[:2]
        row, column = (torch.arange(side, device=motion.device) for side in (height, width))
        ahead = torch.zeros(height, width, dtype=torch.bool, device=motion.device)
        return cls(vectors, ahead, row, column)

    def dense(self) -> Tensor:
        """Return the motion (1, 2, H, W) of every pixel."""
        return self.vectors[self.row[:, None], self.column].permute(2, 0, 1)[None]

    def thinned(self, stride: int) -> "Field":
        """Return the motion at the centre of each ``stride x stride`` pixels, in such steps."""
        centre = slice(stride // 2, None, stride)
        return Field(self.vectors / stride, self.ahead, self.row[centre], self.column[centre])

    def dense_ahead(self) -> Tensor:
        """Return (1, 1, H, W): 1 where the motion points to a later frame, else 0."""
        return self.ahead[self.row[:, None], self.column].float()[None, None]


def compensate(
    current: Tensor, previous: Tensor, field: Field, stride: int, future: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return ``to_grid`` of the motion and ``residual_magnitude`` of the residual it leaves.

    Pictures are (1, 3, H, W), YCbCr in 8-bit levels, H and W multiples of the stride. Vectors that
    point ahead lead to ``future`` where it is given, the others to ``previous``. Returns
    (1, 2, h, w) in feature pixels and (1, 3, h, w) in 8-bit levels, h and w being H and W by the
    stride. One fused loop on the CPU, torch on other devices; alike up to rounding.
    """
    if current.device.type != "cpu":
        return compensate_by_torch(current, previous, field, stride, future)
    here, past = _rows(current), _rows(previous)
    later = past if future is None else _rows(future)
    grids = field.vectors.numpy(), field.ahead.numpy()
    rows, columns = _cut(field.row, stride), _cut(field.column, stride)
    shape = len(field.row) // stride, len(field.column) // stride
    motion, error = np.zeros((*shape, 2), np.float32), np.zeros((*shape, 3), np.float32)

    def fill(first: int, last: int) -> None:
        begin, end = np.searchsorted(rows[0], [first * stride, last * stride])
        _fused(here, past, later, *grids, rows, columns, stride, begin, end, motion, error)

    over_bands(shape[0], fill)
    motion /= stride**3
    error /= stride**2
    return _planes(motion), _planes(error)


def compensate_by_torch(
    current: Tensor, previous: Tensor, field: Field, stride: int, future: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Do what ``compensate`` does, on any device."""
    motion, error = compensate_pixels(current, previous, field, future)
    return to_grid(motion, stride), residual_magnitude(error, stride)


def compensate_pixels(
    current: Tensor, previous: Tensor, field: Field, future: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the motion (1, 2, H, W) of every pixel and the residual (1, 3, H, W) it leaves.

    In pixels and signed 8-bit levels; the rest is as in ``compensate``.
    """
    motion = field.dense()
    error = residual(current, previous, motion)
    if future is not None:
        error = torch.where(field.dense_ahead() > 0, residual(current, future, motion), error)
    return motion, error


def _rows(picture: Tensor) -> NDArray[np.float32]:
    """Return a picture as (H, 3 W), a view of channels-last memory."""
    return picture[0].permute(1, 2, 0).contiguous().flatten(1).numpy()


def _planes(grid: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(grid).permute(2, 0, 1)[None]


Cut = tuple[NDArray[np.int64], NDArray[np.int64]]


def _cut(index: Tensor, stride: int) -> Cut:
    """Cut a side into runs of one block and one feature pixel: n + 1 edges, and the blocks."""
    block = index.numpy()
    new = np.arange(len(block)) % stride == 0
    new[1:] |= block[1:] != block[:-1]
    (starts,) = np.nonzero(new)
    return np.append(starts, len(block)), block[starts]


@compiled
def _fused(
    current: NDArray[np.float32],
    past: NDArray[np.float32],
    later: NDArray[np.float32],
    vectors: NDArray[np.float32],
    ahead: NDArray[np.bool_],
    rows: Cut,
    columns: Cut,
    stride: int,
    begin: int,
    end: int,
    motion: NDArray[np.float32],
    error: NDArray[np.float32],
) -> None:
    """Add up the runs of rows from ``begin`` to ``end``."""
    (tops, block_rows), (lefts, block_columns) = rows, columns
    sums = np.empty(3 * stride, np.float32)
    for i in range(begin, end):
        top, bottom = tops[i], tops[i + 1]
        for j in range(len(block_columns)):
            left, right = lefts[j], lefts[j + 1]
            block = block_rows[i], block_columns[j]
            dx, dy = vectors[block[0], block[1], 0], vectors[block[0], block[1], 1]
            cell = top // stride, left // stride
            area = np.float32((bottom - top) * (right - left))
            motion[cell[0], cell[1], 0] += area * dx
            motion[cell[0], cell[1], 1] += area * dy
            source = later if ahead[block[0], block[1]] else past
            sums[: 3 * (right - left)] = 0
            _add_run(current, source, top, bottom, left, right, dx, dy, sums)
            for x in range(right - left):
                for c in range(3):
                    error[cell[0], cell[1], c] += sums[3 * x + c]


@compiled
def _add_run(
    current: NDArray[np.float32],
    source: NDArray[np.float32],
    top: int,
    bottom: int,
    left: int,
    right: int,
    dx: np.float32,
    dy: np.float32,
    sums: NDArray[np.float32],
) -> None:
    """Add the magnitude of the residual of a rectangle, row on row, to its (3 width) sums."""
    height, width = current.shape[0], current.shape[1] // 3
    whole_x, whole_y = np.floor(dx), np.floor(dy)
    across, down = np.float32(dx - whole_x), np.float32(dy - whole_y)
    inside = (
        left + whole_x >= 0
        and right + whole_x < width
        and top + whole_y >= 0
        and bottom + whole_y < height
    )
    if inside:
        start, first = left + int(whole_x), int(whole_y)
        for y in range(top, bottom):
            here = current[y, 3 * left : 3 * right]
            upper = source[y + first, 3 * start : 3 * (start + right - left) + 3]
            lower = source[y + first + 1, 3 * start : 3 * (start + right - left) + 3]
            for i in range(len(here)):
                a = upper[i] + (upper[i + 3] - upper[i]) * across
                b = lower[i] + (lower[i + 3] - lower[i]) * across
                sums[i] += abs(here[i] - (a + (b - a) * down))
        return
    # The bounds come first: of a motion that is no number they are what remains.
    none, right_edge, lower_edge = np.float32(0), np.float32(width - 1), np.float32(height - 1)
    for y in range(top, bottom):
        v = min(lower_edge, max(none, np.float32(y) + dy))
        upper_row, down = int(v), v - np.float32(int(v))
        upper, lower = source[upper_row], source[min(upper_row + 1, height - 1)]
        for x in range(left, right):
            u = min(right_edge, max(none, np.float32(x) + dx))
            first, across = int(u), u - np.float32(int(u))
            second = min(first + 1, width - 1)
            for c in range(3):
                a = upper[3 * first + c]
                a += (upper[3 * second + c] - a) * across
                b = lower[3 * first + c]
                b += (lower[3 * second + c] - b) * across
                sums[3 * (x - left) + c] += abs(current[y, 3 * x + c] - (a + (b - a) * down))
