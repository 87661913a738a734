"""FFmpeg's exported motion vectors, put onto the 8x8 block grid."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType, VideoFrame

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.frame import BLOCK_PX, BlockMotion, grid_shape

_MARGIN = 2  # blocks


# Of B-VOPs FFmpeg exports places that it never fills; S(GMC)-VOPs move by other means, too.
_WITHOUT_OF_MPEG4 = (PictureType.B, PictureType.S)


def read_motion(picture: VideoFrame, codec: CodecName) -> BlockMotion | None:
    """Return the vectors of a predicted picture, None where they would not mean its motion."""
    without = picture.interlaced_frame or picture.pict_type in _WITHOUT_OF_MPEG4
    if codec == "mpeg4" and without:
        return None
    # picture.side_data would keep a container that refers back to the picture: a cycle that holds
    # megabytes until the garbage collector runs.
    try:
        exported = cast(Any, SideDataContainer)(picture).get("MOTION_VECTORS")
    except ValueError as error:  # PyAV lists it all, and does not know every kind: LCEVC, 28
        raise CodecError(
            f"expected a picture with side data known to PyAV, got {error}"
        ) from error
    vectors = None if exported is None else exported.to_ndarray()
    return fill_blocks(vectors, picture.height, picture.width)


def fill_blocks(vectors: npt.NDArray[Any] | None, height: int, width: int) -> BlockMotion:
    """Put AVMotionVector records onto the block grid of a height x width px picture.

    Each record covers w x h px (8 or 16) centred at (dst_x, dst_y); what lies outside the picture
    is clipped away. The displacement is motion / motion_scale: sub-pel is kept (src_x and
    src_y are truncated and not used), and source = position + displacement. Blocks that no
    record covers are intra: displacement 0, reference 0. Of a bi-predicted block the vector
    into the past is kept, unless it is 0 and the other is not: FFmpeg exports such a one also
    of a part that is predicted from the future alone, in a macroblock of which another part is
    predicted from the past. None stands for a picture without vectors.
    """
    rows, cols = grid_shape(height, width)
    # A margin of two blocks takes what lies outside, so that no record needs a test of its own.
    stride = cols + 2 * _MARGIN
    moved = np.zeros((rows + 2 * _MARGIN) * stride, np.complex64)  # dx + i dy: one write a block
    reference = np.zeros(moved.shape, np.int8)
    if vectors is not None:
        future = vectors["source"] > 0
        both = bool(future.any())
        if both:
            _write(vectors[future], 1, moved, reference, (rows, cols))
            ahead, vectors = moved.copy(), vectors[~future]
        _write(vectors, -1, moved, reference, (rows, cols))
        if both:
            made_up = (reference < 0) & (moved == 0) & (ahead != 0)
            moved[made_up], reference[made_up] = ahead[made_up], 1
    displacement = moved.view(np.float32).reshape(-1, stride, 2)
    inside = (slice(_MARGIN, _MARGIN + rows), slice(_MARGIN, _MARGIN + cols))
    return BlockMotion(
        np.ascontiguousarray(displacement[inside]),
        np.ascontiguousarray(reference.reshape(-1, stride)[inside]),
    )


def compose(later: BlockMotion, earlier: BlockMotion) -> BlockMotion:
    """Return the motion of two successive frames as one, past the frame between them.

    ``later`` points from frame t to t - 1 and ``earlier`` from t - 1 to t - 2; the result points
    from t to t - 2. The centre of each block is followed to the block that it comes from, at the
    picture's border to the outermost. A chain through an intra block has no vector. What of
    ``later`` points ahead stays as it is.
    """
    rows, cols = later.reference.shape
    if earlier.reference.shape != (rows, cols):
        raise ValueError(
            f"expected motion of {(rows, cols)} blocks to compose with, "
            f"got {earlier.reference.shape}"
        )
    moved = np.floor(later.displacement / BLOCK_PX + 0.5).astype(np.intp)
    col = np.clip(np.arange(cols) + moved[..., 0], 0, cols - 1)
    row = np.clip(np.arange(rows)[:, None] + moved[..., 1], 0, rows - 1)
    coded = later.coded & earlier.coded[row, col]
    displacement = later.displacement + earlier.displacement[row, col]
    displacement[~coded] = 0
    ahead = later.reference > 0
    displacement[ahead] = later.displacement[ahead]
    return BlockMotion(displacement, np.where(ahead, np.int8(1), -coded.astype(np.int8)))


def _write(
    vectors: npt.NDArray[Any],
    sign: int,
    moved: npt.NDArray[np.complex64],
    reference: npt.NDArray[np.int8],
    shape: tuple[int, int],
) -> None:
    """Write records of one direction, which do not overlap, into the flat grids with margins."""
    rows, cols = shape
    stride = cols + 2 * _MARGIN
    w, h = vectors["w"].astype(np.intp), vectors["h"].astype(np.intp)
    row = np.clip((vectors["dst_y"] - h // 2) // BLOCK_PX, -_MARGIN, rows) + _MARGIN
    col = np.clip((vectors["dst_x"] - w // 2) // BLOCK_PX, -_MARGIN, cols) + _MARGIN
    first = row * stride + col
    values = np.empty(len(vectors), np.complex64)
    scale = vectors["motion_scale"].astype(np.float32)
    values.real = vectors["motion_x"] / scale
    values.imag = vectors["motion_y"] / scale
    wide, tall = w > BLOCK_PX, h > BLOCK_PX
    moved[first] = values
    reference[first] = sign
    # A record covers one or two blocks each way.
    for covered, step in ((wide, 1), (tall, stride), (wide & tall, stride + 1)):
        every = covered.all()
        blocks = (first if every else first[covered]) + step
        moved[blocks] = values if every else values[covered]
        reference[blocks] = sign
