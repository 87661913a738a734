"""FFmpeg's decoders, set up to notice what is wrong."""

from __future__ import annotations

from typing import cast

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext

from twnet_ros.codec.bitstream import CodecName
from twnet_ros.codec.limit import MOST_PIXELS, Limit

_CHECKS = {
    # "explode" would have it refuse pictures that refer to one it refused, and so for ever where
    # no key picture comes any more (intra refresh); what it conceals instead, it tells of.
    "h264": "aggressive",
    # The MD5 that a picture may have with it, as well: without it nothing tells of most damage.
    # (A CRC or checksum in its place FFmpeg does not look at.)
    "hevc": "explode+aggressive+crccheck",
}


def open_context(codec: CodecName, limit: Limit) -> VideoCodecContext:
    """Return a decoder that gives each frame at once, with its vectors, and says what is wrong."""
    # FFmpeg's own AV1 decoder only drives hardware.
    name = "libdav1d" if codec == "av1" else codec
    context = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    context.options = {
        "flags2": "+export_mvs",
        "err_detect": _CHECKS.get(codec, "explode+aggressive"),
        # It counts a width in its own alignment; where headers are read here, that is not needed.
        "max_pixels": str(MOST_PIXELS if codec in ("h264", "mpeg4") else limit.pixels),
        "ec": "favor_inter",  # the quickest: what had to be concealed is never called intact
    }
    # Otherwise a picture cropped at the left comes with columns that are not to be shown.
    context.flags |= Flags.unaligned
    # Frame threads would each add a frame of delay; with more than one slice thread FFmpeg no
    # longer notices that a slice of an H.264 picture is missing.
    context.thread_type = "SLICE"
    context.thread_count = 1
    return context
