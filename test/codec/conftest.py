"""Clips and reference decoders for the codec's tests."""

from functools import partial

import av
import pytest

from twnet_ros.codec import ClipEncoder


@pytest.fixture
def pan(pan_over):
    """Make RGB frames of a camera that pans over a smooth texture by (dx, dy) px a frame."""
    return partial(pan_over, width=176, height=144, square=4, blur=4)


@pytest.fixture
def encode():
    """Encode RGB frames to packets."""

    def run(codec, frames, **settings):
        height, width = frames[0].shape[:2]
        encoder = ClipEncoder(codec, width, height, **settings)
        packets = [packet for frame in frames for packet in encoder.encode(frame)]
        return packets + encoder.flush()

    return run


@pytest.fixture
def raw_decode():
    """Decode packets with PyAV alone, vectors exported."""

    def run(codec, packets):
        context = av.CodecContext.create(codec, "r")
        context.options = {"flags2": "+export_mvs"}
        context.thread_count = 1
        pictures = []
        for data in packets:
            packet = av.Packet(len(data))
            packet.update(data)
            pictures += context.decode(packet)
        return pictures + context.decode(None)

    return run
