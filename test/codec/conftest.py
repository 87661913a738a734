"""Clips and reference decoders for the codec's tests."""

from functools import partial

import av
import pytest

import coded
from twnet_ros.codec import ClipEncoder, CodecError, StreamDecoder


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


@pytest.fixture
def encode_reordered():
    """Encode RGB frames with two B-frames between anchors, a key frame every twelfth."""

    def run(codec, frames):
        parameters = "open-gop=1:b-adapt=0:scenecut=0:bframes=2"
        options = {"x264-params": parameters} if codec == "h264" else {}
        return coded.encode(codec, frames, options, gop_size=12, max_b_frames=2)

    return run


@pytest.fixture
def encode_between():
    """Encode RGB frames in H.264 with two B-frames between anchors, one reference in each list."""

    def run(frames):
        parameters = "bframes=2:b-adapt=0:b-pyramid=none:ref=1:weightp=0:scenecut=0"
        return coded.encode("h264", frames, {"x264-params": parameters})

    return run


@pytest.fixture
def decode_all():
    """Decode (pts, packet) that may be broken; return the frames and their luma by pts."""

    def run(codec, packets, **settings):
        decoder = StreamDecoder(codec, **settings)
        frames = []
        for number, data in packets:
            try:
                frames += decoder.decode(data, number)
            except CodecError:
                continue
        try:
            frames += decoder.flush()
        except CodecError:
            frames += decoder.flush()
        return {frame.pts: (frame, frame.y.tobytes()) for frame in frames}

    return run
