"""The decoded frame as it travels: planes, block motion, and whether it can be trusted."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

BLOCK_PX = 8
_Scalar = TypeVar("_Scalar", bound=np.generic)

ColorMatrix = Literal["bt601", "bt709"]


class FrameKind(enum.Enum):
    """The picture type, read from the stream; a B picture predicted from the past alone is P."""

    I = "I"  # noqa: E741 (the field's own name)
    P = "P"
    B = "B"


@dataclass(frozen=True, slots=True)
class BlockMotion:
    """Backward motion on a grid of 8x8 blocks: source = position + displacement.

    ``displacement`` is (rows, cols, 2) float32, (dx, dy) in luma pixels, 0 where a block has no
    vector (intra). ``reference`` is (rows, cols) int8: -1 past, +1 future, 0 none.
    ``rows = ceil(height / 8)``, ``cols = ceil(width / 8)``.
    """

    displacement: npt.NDArray[np.float32]
    reference: npt.NDArray[np.int8]

    def __post_init__(self) -> None:
        grid = self.reference.shape
        if self.reference.ndim != 2 or self.reference.dtype != np.int8:
            raise ValueError(
                f"expected reference (rows, cols) int8, got {grid} {self.reference.dtype}"
            )
        if self.displacement.shape != (*grid, 2) or self.displacement.dtype != np.float32:
            raise ValueError(
                f"expected displacement {(*grid, 2)} float32, "
                f"got {self.displacement.shape} {self.displacement.dtype}"
            )

    @property
    def coded(self) -> npt.NDArray[np.bool_]:
        """Which blocks have a vector, (rows, cols)."""
        return np.not_equal(self.reference, 0)

    def dense(self, height: int, width: int) -> npt.NDArray[np.float32]:
        """Return the displacement of every pixel, (height, width, 2), by its own block."""
        expected = grid_shape(height, width)
        if self.reference.shape != expected:
            raise ValueError(
                f"expected a picture of {self.reference.shape} blocks of {BLOCK_PX} px, "
                f"got {height}x{width} px, which has {expected}"
            )
        return spread_blocks(self.displacement, height, width)


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One decoded picture with what the bitstream said about it.

    The planes are 8-bit 4:2:0, most often views on the decoder's own picture, which later
    pictures are predicted from: read them, never write to them.
    """

    index: int  # counts decoded frames from 0 since the decoder was made, in output order
    pts: int | None  # the packet's own, untouched
    kind: FrameKind
    y: npt.NDArray[np.uint8]  # (H, W)
    u: npt.NDArray[np.uint8]  # (ceil(H/2), ceil(W/2)), Cb
    v: npt.NDArray[np.uint8]  # (ceil(H/2), ceil(W/2)), Cr
    color_matrix: ColorMatrix
    full_range: bool
    motion: BlockMotion | None  # None for I frames and where the stream gives none to be used
    fault: str  # why it is not intact; '' where it is
    follows: bool  # none that it may be predicted from is known to be lost since the last one
    decode_ms: float

    def __post_init__(self) -> None:
        if self.y.ndim != 2:
            raise ValueError(f"expected a luma plane (H, W), got {self.y.shape}")
        height, width = self.y.shape
        chroma = ((height + 1) // 2, (width + 1) // 2)
        for name, plane, shape in (
            ("y", self.y, (height, width)),
            ("u", self.u, chroma),
            ("v", self.v, chroma),
        ):
            if plane.shape != shape or plane.dtype != np.uint8:
                raise ValueError(
                    f"expected plane {name} {shape} uint8, got {plane.shape} {plane.dtype}"
                )
        if self.key and self.motion is not None:
            raise ValueError(f"expected no motion of I frames, got some for {self.kind}")
        if self.motion is not None:
            expected = grid_shape(height, width)
            if self.motion.reference.shape != expected:
                raise ValueError(
                    f"expected motion of {expected} blocks for {height}x{width} px, "
                    f"got {self.motion.reference.shape}"
                )

    @property
    def key(self) -> bool:
        """Whether it is an I-frame: the key step runs here."""
        return self.kind is FrameKind.I

    @property
    def intact(self) -> bool:
        """Whether every picture that it is predicted from was decoded without a fault."""
        return not self.fault

    @property
    def height(self) -> int:
        """Luma rows."""
        return int(self.y.shape[0])

    @property
    def width(self) -> int:
        """Luma columns."""
        return int(self.y.shape[1])


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Return (rows, cols) of the 8x8 blocks that cover a picture, partial ones included."""
    return -(-height // BLOCK_PX), -(-width // BLOCK_PX)


def spread_blocks(blocks: npt.NDArray[_Scalar], height: int, width: int) -> npt.NDArray[_Scalar]:
    """Give every pixel of a picture its own block's value, (rows, cols, ...) to (H, W, ...)."""
    wide = np.repeat(blocks, BLOCK_PX, axis=1)[:, :width]
    return np.repeat(wide, BLOCK_PX, axis=0)[:height]
