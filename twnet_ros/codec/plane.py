"""A decoded picture's planes and colours, as 8-bit 4:2:0."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.frame import ColorMatrix

_AS_IT_IS = ("yuv420p", "yuvj420p")
_CONVERTED = re.compile(r"yuvj?(420|422|444)p((9|10|12|14)(le|be))?|gbrp((9|10|12|14)(le|be))?")
_GREY = re.compile(r"gray(?:(9|10|12|14)(le|be))?")
# Matrix coefficients of ISO/IEC 23091-2; 2 and 3 say nothing.
_MATRICES: dict[int, ColorMatrix] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601"}
_UNSPECIFIED = (2, 3)
_FULL_RANGE = 2
_HD_ROWS = 720
_COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}


def read_planes(
    picture: VideoFrame, matrix: ColorMatrix, full_range: bool, reformatter: VideoReformatter
) -> list[npt.NDArray[np.uint8]]:
    """Return luma, Cb and Cr, (H, W) and twice (ceil(H/2), ceil(W/2)): 8-bit 4:2:0.

    Where the decoder has that, they are views on its picture. 4:2:2, 4:4:4, RGB, grey and more
    than 8 bits are converted, in the matrix and range given; CodecError for anything else.
    """
    name = picture.format.name
    grey = _GREY.fullmatch(name)
    if grey:
        return _read_grey(picture, int(grey[1] or 8), grey[2] == "be", full_range)
    if name not in _AS_IT_IS:
        if not _CONVERTED.fullmatch(name):
            expected = "4:2:0, 4:2:2, 4:4:4, RGB or grey of 8 to 14 bits"
            raise CodecError(f"expected {expected}, got {name}")
        space = _COLORSPACES[matrix]
        color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        picture = reformatter.reformat(
            picture,
            format="yuv420p",
            src_colorspace=space,
            dst_colorspace=space,
            src_color_range=color_range,
            dst_color_range=color_range,
            threads=1,
        )
    views = []
    for plane in picture.planes:
        rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
        views.append(rows[:, : plane.width])
    return views


def _read_grey(
    picture: VideoFrame, bits: int, big_endian: bool, full_range: bool
) -> list[npt.NDArray[np.uint8]]:
    """Return the planes of a grey picture, which FFmpeg's scaler takes for full range always."""
    plane = picture.planes[0]
    kind = np.dtype(np.uint8 if bits == 8 else ">u2" if big_endian else "<u2")
    codes: npt.NDArray[Any] = np.frombuffer(cast(Any, plane), kind)
    rows = codes.reshape(plane.height, -1)[:, : plane.width]
    if bits > 8:
        # Limited range is shifted, full range spans all codes (ITU-R BT.2100).
        scale = np.float32(255 / (2**bits - 1) if full_range else 1 / 2 ** (bits - 8))
        rows = np.minimum(np.rint(rows * scale), 255).astype(np.uint8)
    colorless = np.full(((plane.height + 1) // 2, (plane.width + 1) // 2), 128, np.uint8)
    return [rows, colorless, colorless]


def is_full_range(picture: VideoFrame) -> bool:
    """Tell whether the planes are of full range (0 to 255), as those made of RGB always are."""
    full = picture.format.name.startswith("yuvj") or picture.color_range == _FULL_RANGE
    return full or _is_rgb(picture)


def color_matrix(picture: VideoFrame, codec: CodecName) -> ColorMatrix:
    """Return the matrix of the planes: the stream's where signalled, BT.709 for those made of RGB.

    Otherwise BT.601 for MPEG-4 and for fewer than 720 rows, BT.709 above. CodecError for others.
    """
    if _is_rgb(picture):
        return "bt709"
    if picture.colorspace in _UNSPECIFIED:
        return "bt601" if codec == "mpeg4" or picture.height < _HD_ROWS else "bt709"
    matrix = _MATRICES.get(picture.colorspace)
    if matrix is None:
        raise CodecError(
            "expected colour matrix BT.601 or BT.709, "
            f"got matrix coefficients {picture.colorspace}"
        )
    return matrix


def _is_rgb(picture: VideoFrame) -> bool:
    return picture.format.name.startswith("gbrp")
