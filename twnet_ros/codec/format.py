"""Which decoder a message's format or encoding text asks for."""

from __future__ import annotations

import re
from typing import cast

from twnet_ros.codec.bitstream import NAMES, CodecName
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
    "hevc": "hevc",
    "h265": "hevc",
    "hev1": "hevc",
    "hvc1": "hevc",
    "x265": "hevc",
    "libx265": "hevc",
    "libkvazaar": "hevc",
    "vp9": "vp9",
    "vp09": "vp9",
    "libvpxvp9": "vp9",
    "av1": "av1",
    "av01": "av1",
    "libaomav1": "av1",
    "libsvtav1": "av1",
    "librav1e": "av1",
}
# Other encoders are named after their hardware: h264_nvenc, h264_vaapi, hevc_v4l2m2m, ...
_ENCODER = re.compile(r"(h264|mpeg4|hevc|vp9|av1)_[a-z0-9_]+")
# What stands behind is not looked at; the longest known has 45 characters.
_LONGEST_CHARACTERS = 256


def codec_of_format(text: str) -> CodecName:
    """Return the codec that a ``format`` or ``encoding`` field names.

    The name of a codec or of an encoder is a word of the text, in any case, in front of the first
    ``;`` ('h264;yuv420p;bgr8;bgr8', 'H.264 baseline'). Anything else is a CodecError.
    """
    text = text[:_LONGEST_CHARACTERS]
    head = text.split(";", 1)[0].lower()
    # 'H.264' and 'mpeg-4' are the codecs' own names.
    for token in re.split(r"[\s,/]+", head.replace(".", "").replace("-", "")):
        if token in _CODEC_OF_TOKEN:
            return _CODEC_OF_TOKEN[token]
        encoder = _ENCODER.fullmatch(token)
        if encoder is not None:
            return cast(CodecName, encoder.group(1))
    raise CodecError(f"expected format {', '.join(map(repr, NAMES))}, got {text!r}")
