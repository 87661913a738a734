"""Which decoder a message's format or encoding text asks for."""

from __future__ import annotations

import re
from typing import cast

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.error import CodecError

_CODEC_OF_TOKEN: dict[str, CodecName] = {
    "h264": "h264",
    "avc": "h264",
    "avc1": "h264",
    "x264": "h264",
    "libx264": "h264",
    "libx264rgb": "h264",
    "libopenh264": "h264",
    "mpeg4": "mpeg4",
    "mp4v": "mpeg4",
    "xvid": "mpeg4",
    "libxvid": "mpeg4",
}
# H.264 encoders are named after their hardware: h264_nvenc, h264_vaapi, h264_v4l2m2m, ...
_ENCODER = re.compile(r"(h264|mpeg4)_[a-z0-9_]+")
# What stands behind is not looked at; the longest known has 45 characters.
_LONGEST_CHARACTERS = 256
_WITHOUT_VECTORS = re.compile(
    r"(hevc|h265|vp8|vp9|av1)(_[a-z0-9_]+)?|hev1|hvc1|vp08|vp09|av01|x265|libx265|libkvazaar"
    r"|libvpx|libvpxvp9|libaomav1|libsvtav1|librav1e"
)


def codec_of_format(text: str) -> CodecName:
    """
    Return 'h264' or 'mpeg4' for a `format` or `encoding` field.

    The name of a codec or of an encoder is a word of the text, in any case, in front of the first
    `;` ('h264;yuv420p;bgr8;bgr8', 'H.264 baseline'). Anything else is a CodecError, which says of
    HEVC, VP8, VP9 and AV1 why they are not supported.
    """
    text = text[:_LONGEST_CHARACTERS]
    expected = f"expected format 'h264' or 'mpeg4', got {text!r}"
    head = text.split(";", 1)[0].lower()
    # 'H.264' and 'mpeg-4' are the codecs' own names.
    for token in re.split(r"[\s,/]+", head.replace(".", "").replace("-", "")):
        if token in _CODEC_OF_TOKEN:
            return _CODEC_OF_TOKEN[token]
        encoder = _ENCODER.fullmatch(token)
        if encoder is not None:
            return cast(CodecName, encoder.group(1))
        if _WITHOUT_VECTORS.fullmatch(token):
            raise CodecError(
                f"{expected}: FFmpeg gives no motion vectors of HEVC, VP8, VP9 and AV1, which are "
                "not supported"
            )
    raise CodecError(expected)
