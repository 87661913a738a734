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
_PART_10 = re.compile(r"\bavc\b|\bpart[\s-]*10\b")  # of MPEG-4, which is H.264
# What stands behind is not looked at; the longest known has 45 characters.
_LONGEST_CHARACTERS = 256


def _codec_of_word(word: str) -> CodecName | None:
    # 'H.264' and 'mpeg-4' are the codecs' own names.
    for name in (word.replace(".", "").replace("-", ""), word.split(".")[0]):
        if name in _CODEC_OF_TOKEN:
            return _CODEC_OF_TOKEN[name]
        if encoder := _ENCODER.fullmatch(name):
            return cast(CodecName, encoder.group(1))
    return None


def codec_of_format(text: str) -> CodecName:
    """Return the codec that a ``format`` or ``encoding`` field names.

    The name of a codec or of an encoder is a word of the text, in any case, in front of the first
    ``;`` ('h264;yuv420p;bgr8;bgr8', 'H.264 baseline'), or what stands in front of a dot in one
    (RFC 6381: 'avc1.42E01E'). Anything else is a CodecError.
    """
    text = text[:_LONGEST_CHARACTERS]
    head = text.split(";", 1)[0].lower()
    found = [codec for word in re.split(r"[\s,/]+", head) if (codec := _codec_of_word(word))]
    if found:
        return "h264" if found[0] == "mpeg4" and _PART_10.search(head) else found[0]
    raise CodecError(f"expected format {', '.join(map(repr, NAMES))}, got {text!r}")
