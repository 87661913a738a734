"""Videos as FFmpeg's encoders make them, with what ClipEncoder has no setting for."""

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
import pytest


def encode_timed(encoder, frames: Iterable, options=None, *, fps=17, **settings):
    """Encode RGB frames, planes of yuv420p or PyAV's own; return (number, data) as they come out.

    Settings are of PyAV's codec context, options of the encoder.
    """
    pictures = [_picture(frame) for frame in frames]
    try:
        context = av.CodecContext.create({"h264": "libx264"}.get(encoder, encoder), "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this PyAV has no {encoder}")
    context.width, context.height = pictures[0].width, pictures[0].height
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base, context.thread_count = fps, 1 / Fraction(fps), 1
    context.options = options or {}
    for name, value in settings.items():
        setattr(context, name, value)
    packets = []
    for number, picture in enumerate(pictures):
        picture.pts = number
        packets += context.encode(picture)
    return [(packet.pts, bytes(packet)) for packet in packets + context.encode(None)]


def encode(encoder, frames: Iterable, options=None, **settings):
    """Return the data alone."""
    return [data for _, data in encode_timed(encoder, frames, options, **settings)]


def _picture(frame):
    if isinstance(frame, np.ndarray):
        return av.VideoFrame.from_ndarray(frame, "yuv420p" if frame.ndim == 2 else "rgb24")
    return frame
